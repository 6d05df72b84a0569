//! Reads an answer from the file, and takes over from the cache what the file still says.
//!
//! After a change of one subscription, the next answer can have a hundred thousand subscribers of
//! which one differs. Reading all rows takes SQLite some time, and building all subscribers anew
//! would take as long again. So a cached subscriber is used in two cases:
//!
//! - An answer of the same version holds the subscriber. Then its rows are skipped. The version is
//!   that of the file when the call began, and the rows are read later, so that another process may
//!   have committed in between. The caller has to ask for the version again before it uses such an
//!   answer ([`Revalidated::shares`]).
//! - The previous answer holds the subscriber. Then every column of its rows is compared first.
//!   This needs no version: what is returned is what the rows say.

use std::iter::Peekable;
use std::slice;
use std::sync::Arc;

use super::cache::DispatchCache;
use super::question::Question;
use super::subscriber::{Subscriber, SubscriberFields};
use crate::error::Result;
use crate::id::SubscriptionId;
use crate::secret::IssuedSecret;
use crate::store::{Effort, MAX_FEW, Read, SubscriberRow, SubscriberSink, wrong_index};
use crate::subscription::check_recipient;
use crate::time::Clock;

/// The cached subscribers that can become part of an answer.
pub(crate) struct Revalidation<'c> {
    /// The answer of an earlier version; empty where there is none.
    previous: Arc<[Subscriber]>,
    /// The cache and the version whose subscribers need no comparison. None where there are none.
    shared: Option<(&'c DispatchCache, u64)>,
}

/// An answer that agrees with the file.
#[derive(Default)]
pub(crate) struct Revalidated {
    pub(crate) list: Vec<Subscriber>,
    /// True if the list holds subscribers of another answer, which were not compared.
    pub(crate) shares: bool,
}

/// An answer that is being read.
struct Reading<'r> {
    revalidation: &'r Revalidation<'r>,
    /// The subscribers of the previous answer that are still to come.
    previous: Peekable<slice::Iter<'r, Subscriber>>,
    clock: &'r Clock,
    answer: Revalidated,
}

impl<'c> Revalidation<'c> {
    /// Collects what the cache holds for an answer of this version.
    pub(crate) fn new(cache: &'c DispatchCache, version: u64, question: Question<'_>) -> Self {
        let (previous, has_subscribers) = cache.reusable(version, question);
        let shared = has_subscribers.then_some((cache, version));
        Revalidation { previous: previous.unwrap_or_default(), shared }
    }

    /// Returns a revalidation that takes nothing from a cache.
    pub(crate) fn without_cache() -> Self {
        Revalidation { previous: Arc::default(), shared: None }
    }

    /// Reads the subscribers of an event type, in the order of creation. The list is empty also
    /// where the catalog does not have the event type. None where the look-up gave up.
    pub(crate) fn read(
        &self,
        read: &Read<'_>,
        event_type: &str,
        effort: Effort,
        clock: &Clock,
    ) -> Result<Option<Revalidated>> {
        if effort == Effort::Few && self.previous.len() > MAX_FEW {
            return Ok(None);
        }
        let list = Vec::with_capacity(self.previous.len());
        let mut reading = Reading {
            revalidation: self,
            previous: self.previous.iter().peekable(),
            clock,
            answer: Revalidated { list, shares: false },
        };
        if !read.subscribers(event_type, effort, &mut reading)? {
            return Ok(None);
        }
        let mut answer = reading.answer;
        if answer.shares {
            answer.list.sort_by_key(|subscriber| subscriber.fields().position);
        }
        Ok(Some(answer))
    }
}

impl SubscriberSink for Reading<'_> {
    fn knows(&mut self, position: i64, owner_row: i64) -> bool {
        let shared = self.revalidation.shared;
        let known =
            shared.and_then(|(cache, version)| cache.subscriber(version, position, owner_row));
        self.answer.shares |= known.is_some();
        let knows = known.is_some();
        self.answer.list.extend(known);
        knows
    }

    fn take(&mut self, row: &SubscriberRow<'_>) -> Result<()> {
        // The patterns repeat the flag. A row that was edited by hand may say otherwise, and then
        // nothing is sent.
        let enabled = row.enabled()?;
        if !enabled {
            return Ok(());
        }
        let position = row.position();
        // Both lists are in the order of positions.
        while self.previous.next_if(|earlier| earlier.fields().position < position).is_some() {}
        let previous = self.previous.next_if(|earlier| earlier.fields().position == position);
        let subscriber = match previous {
            Some(previous) if is_unchanged(row, enabled, previous.fields())? => previous.clone(),
            _ => Subscriber::new(decode(row, enabled)?, self.clock.clone()),
        };
        self.answer.list.push(subscriber);
        Ok(())
    }
}

/// Returns whether the row of a subscriber holds the same values as before.
fn is_unchanged(
    row: &SubscriberRow<'_>,
    is_enabled: bool,
    previous: &SubscriberFields,
) -> Result<bool> {
    let SubscriberFields {
        position: _,
        owner_row,
        id,
        owner,
        name,
        url,
        metadata,
        enabled,
        secret,
        replaced_secrets,
    } = previous;
    Ok(row.has_name(name)?
        && row.has_url(url)?
        && is_enabled == *enabled
        && row.has_id(*id)?
        && row.owner_row() == *owner_row
        && row.owner(*id)? == *owner
        && row.metadata(*id)? == *metadata
        && has_secrets(row, *id, secret, replaced_secrets)?)
}

/// Returns whether the rows hold exactly these secrets.
fn has_secrets(
    row: &SubscriberRow<'_>,
    id: SubscriptionId,
    secret: &IssuedSecret,
    replaced: &[IssuedSecret],
) -> Result<bool> {
    if replaced.is_empty() && row.has_only_secret(secret)? {
        return Ok(true);
    }
    let (stored, stored_replaced) = row.secrets(id)?;
    Ok(stored == *secret && stored_replaced == replaced)
}

/// Decodes the row of a subscriber, and rejects values that no registry writes.
fn decode(row: &SubscriberRow<'_>, enabled: bool) -> Result<SubscriberFields> {
    let id = row.id()?;
    let (name, url, metadata) = (row.name(id)?, row.url(id)?, row.metadata(id)?);
    check_recipient(name, url, &metadata).map_err(|problem| row.corrupt(id, &problem))?;
    let (secret, replaced_secrets) = row.secrets(id)?;
    Ok(SubscriberFields {
        position: row.position(),
        owner_row: row.owner_row(),
        id,
        owner: row.owner(id)?,
        name: name.to_owned(),
        url: url.to_owned(),
        metadata,
        enabled,
        secret,
        replaced_secrets,
    })
}

/// Reads the subscription of an id, also a disabled one. The catalog is not asked.
pub(crate) fn read_subscriber(
    read: &Read<'_>,
    id: SubscriptionId,
    clock: &Clock,
) -> Result<Option<Subscriber>> {
    let mut found = None;
    read.subscriber(id, |row| {
        if row.id()? != id {
            return Err(wrong_index());
        }
        found = Some(Subscriber::new(decode(row, row.enabled()?)?, clock.clone()));
        Ok(())
    })?;
    Ok(found)
}
