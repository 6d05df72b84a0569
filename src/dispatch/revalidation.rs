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

use std::sync::Arc;

use super::cache::DispatchCache;
use super::question::Question;
use super::row_group::RowGroup;
use super::subscriber::Subscriber;
use crate::error::Result;
use crate::id::SubscriptionId;
use crate::store::{Read, wrong_index};
use crate::time::Clock;

/// The cached subscribers that can become part of an answer.
pub(crate) struct Revalidation<'c> {
    /// The answer of an earlier version; empty where there is none.
    previous: Arc<[Subscriber]>,
    /// The cache and the version whose subscribers need no comparison. None where there are none.
    shared: Option<(&'c DispatchCache, u64)>,
}

/// An answer that agrees with the file.
pub(crate) struct Revalidated {
    pub(crate) list: Vec<Subscriber>,
    /// True if the list holds subscribers of another answer, which were not compared.
    pub(crate) shares: bool,
}

impl<'c> Revalidation<'c> {
    /// Collects what the cache holds for an answer of this version.
    pub(crate) fn new(cache: &'c DispatchCache, version: u64, question: Question<'_>) -> Self {
        let previous = cache.previous(version, question).unwrap_or_default();
        let shared = cache.has_subscribers(version).then_some((cache, version));
        Revalidation { previous, shared }
    }

    /// Returns a revalidation that takes nothing from a cache.
    pub(crate) fn without_cache() -> Self {
        Revalidation { previous: Arc::default(), shared: None }
    }

    /// Reads the subscribers of an event type, in the order of creation. The list is empty also
    /// where the catalog does not have the event type.
    pub(crate) fn read(
        &self,
        read: &Read<'_>,
        event_type: &str,
        clock: &Clock,
    ) -> Result<Revalidated> {
        let mut query = read.subscriber_query(self.previous.len())?;
        let mut rows = query.rows(event_type)?;
        let mut previous = self.previous.iter().peekable();
        let mut list: Vec<Subscriber> = Vec::with_capacity(previous.len());
        let mut shares = false;
        let mut group: Option<RowGroup<'_>> = None;
        while let Some(row) = rows.next()? {
            // The patterns repeat the flag. A row that was edited by hand may say otherwise, and
            // then nothing is sent.
            if !row.enabled()? {
                continue;
            }
            let position = row.position();
            match group.take() {
                Some(same) if same.position() == position => {
                    group = Some(same.add(&row)?);
                    continue;
                }
                finished => list.extend(finished.map(|group| group.finish(clock))),
            }
            // A further row of a subscriber that was taken over from another answer.
            if list.last().is_some_and(|last| last.fields().position == position) {
                continue;
            }
            if let Some(shared) = self.shared(position) {
                shares = true;
                list.push(shared);
                continue;
            }
            // Both lists are in the order of positions.
            while previous.next_if(|earlier| earlier.fields().position < position).is_some() {}
            let same = previous.next_if(|earlier| earlier.fields().position == position);
            group = Some(RowGroup::start(&row, same)?);
        }
        list.extend(group.map(|group| group.finish(clock)));
        Ok(Revalidated { list, shares })
    }

    fn shared(&self, position: i64) -> Option<Subscriber> {
        let (cache, version) = self.shared?;
        cache.subscriber(version, position)
    }
}

/// Reads the subscription of an id, also a disabled one. The catalog is not asked.
pub(crate) fn read_subscriber(
    read: &Read<'_>,
    id: SubscriptionId,
    clock: &Clock,
) -> Result<Option<Subscriber>> {
    let mut query = read.subscriber_query_by_id()?;
    let mut rows = query.rows(&id.to_string())?;
    let mut group: Option<RowGroup<'_>> = None;
    while let Some(row) = rows.next()? {
        if row.id()? != id {
            return Err(wrong_index());
        }
        group = Some(match group.take() {
            Some(group) => group.add(&row)?,
            None => RowGroup::start(&row, None)?,
        });
    }
    Ok(group.map(|group| group.finish(clock)))
}
