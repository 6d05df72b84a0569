//! The look-ups of dispatch: an event type, the patterns that match it, and the subscriptions that
//! have them.
//!
//! First the positions of the subscribers are read, then their rows. The statement of the positions
//! stays open meanwhile, so both are of one snapshot, without a transaction around them.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension as _, Row, params, params_from_iter};

use super::dispatch_sql::{self, BATCH, Way};
use super::error::MapSqliteErr as _;
use super::rows::{
    breaks_a_rule, check_owner_name, decode_flag, decode_pattern, events_of, id_of, metadata_of,
    name_of, rising, text_of, valid_position, valid_reason,
};
use super::secrets::has_only_secret;
use super::transaction::Read;
use crate::error::{Error, Problem, Result};
use crate::id::SubscriptionId;
use crate::pattern::EventPattern;
use crate::scope::Scope;
use crate::secret::IssuedSecret;

/// The number of patterns that only others have at which a first look-up without an owner gives up.
const OTHERS: u8 = 8;

/// The number of an owner's subscriptions from which on a first look-up gives up.
const FEW: i64 = 33;

/// The greatest number of subscribers that [`Effort::Few`] finds, each once for each pattern.
pub(crate) const MAX_FEW: usize = 32;

/// The first column of the secrets in the rows of subscribers.
const SECRETS: usize = 7;

/// What a look-up reads at most.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Gives up where there are more than a few subscribers, or the next would give up.
    Few,
    /// Gives up where the scope or the event has much besides its subscribers.
    Short,
    /// Never gives up, and asks first in which way it has less to read.
    Thorough,
}

/// Receives the subscribers of an event, in the order of their positions.
pub(crate) trait SubscriberSink {
    /// Returns whether the subscriber at a position with this row of an owner is known, so that its
    /// own row need not be read.
    fn knows(&mut self, position: i64, owner_row: i64) -> bool;

    /// Takes the row of a subscriber.
    fn take(&mut self, row: &SubscriberRow<'_>) -> Result<()>;
}

/// The row of a subscriber.
///
/// The values are decoded on demand, because most rows are only compared with what is known.
pub(crate) struct SubscriberRow<'q> {
    read: &'q Read<'q>,
    row: &'q Row<'q>,
    position: Position,
    owners: &'q OwnerNames,
}

/// The names of owners that a call has looked up.
type OwnerNames = RefCell<HashMap<i64, Arc<str>>>;

/// A subscription with the patterns that match an event type.
pub(crate) struct RouteRow {
    pub(crate) id: SubscriptionId,
    pub(crate) owner: Option<Arc<str>>,
    pub(crate) name: String,
    pub(crate) enabled: bool,
    pub(crate) disabled_reason: Option<String>,
    pub(crate) patterns: Vec<EventPattern>,
}

/// The position of a subscription, and the row of its owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    seq: i64,
    owner: i64,
}

impl Read<'_> {
    /// Passes the subscribers of an event type to `sink`, in the order of their positions. Returns
    /// false where it gave up, and passed nobody.
    ///
    /// A [thorough](Effort::Thorough) call needs a transaction around it.
    pub(crate) fn subscribers(
        &self,
        event_type: &str,
        effort: Effort,
        sink: &mut impl SubscriberSink,
    ) -> Result<bool> {
        let (way, few) = match self.scope {
            _ if effort == Effort::Thorough => (self.way(event_type)?, i64::MAX),
            Scope::Owner(_) => (Way::FromOwner, FEW),
            Scope::NoOwner | Scope::Every => (Way::FromEvent, FEW),
        };
        let sql = dispatch_sql::positions(self.scope, way);
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = match self.scope {
            Scope::Owner(owner) => statement.query(params![event_type, few, owner]),
            Scope::NoOwner | Scope::Every => statement.query(params![event_type, few]),
        }
        .map_sqlite_err()?;
        let (mut found, mut in_order): (Vec<Position>, bool) = (Vec::new(), true);
        let mut others = if effort == Effort::Thorough { None } else { Some(OTHERS) };
        while let Some(row) = rows.next().map_sqlite_err()? {
            let seq: Option<i64> = row.get(0).map_sqlite_err()?;
            let owner: Option<i64> = match self.scope {
                Scope::NoOwner if seq.is_some() => Some(0),
                _ => row.get(1).map_sqlite_err()?,
            };
            let Some(owner) = owner else {
                break;
            };
            let Some(seq) = seq else {
                others = others.map(|left| left.saturating_sub(1));
                if others == Some(0) {
                    return Ok(false);
                }
                continue;
            };
            let next = Position { seq: valid_position(seq)?, owner };
            in_order = in_order && found.last().is_none_or(|last| last.seq < next.seq);
            found.push(next);
            if effort == Effort::Few && found.len() > MAX_FEW {
                return Ok(false);
            }
        }
        if !in_order {
            // A subscription is found once for each of its patterns.
            found.sort_unstable();
            found.dedup();
        }
        found.retain(|position| !sink.knows(position.seq, position.owner));
        self.each_subscriber(&found, sink).map(|()| true)
    }

    /// Returns the shorter way to the subscribers of an event.
    fn way(&self, event_type: &str) -> Result<Way> {
        let from_event = *self.scope == Scope::Every || self.starts_with_event(event_type)?;
        Ok(if from_event { Way::FromEvent } else { Way::FromOwner })
    }

    /// Looks up the rows of these subscriptions. Patterns of a subscription that does not exist, or
    /// that has another owner, lead to nobody.
    fn each_subscriber(&self, found: &[Position], sink: &mut impl SubscriberSink) -> Result<()> {
        let owners = OwnerNames::default();
        // Not for one owner, because a damaged page with rows of others is nothing that the owner's
        // answer depends on.
        if !matches!(self.scope, Scope::Owner(_)) && is_dense(found) {
            return self.each_from_the_first(found, &owners, sink);
        }
        let (batches, rest) = found.as_chunks::<BATCH>();
        for batch in batches {
            let mut statement = self.conn.prepare_cached(dispatch_sql::SEVERAL).map_sqlite_err()?;
            let positions = params_from_iter(batch.iter().map(|position| position.seq));
            let mut rows = statement.query(positions).map_sqlite_err()?;
            let mut expected = batch.iter();
            while let Some(row) = rows.next().map_sqlite_err()? {
                let position: i64 = row.get(0).map_sqlite_err()?;
                if let Some(&expected) = expected.find(|expected| expected.seq == position) {
                    self.pass(row, expected, &owners, sink)?;
                }
            }
        }
        if rest.is_empty() {
            return Ok(());
        }
        let mut statement = self.conn.prepare_cached(dispatch_sql::ONE).map_sqlite_err()?;
        for position in rest {
            let mut rows = statement.query([position.seq]).map_sqlite_err()?;
            if let Some(row) = rows.next().map_sqlite_err()? {
                self.pass(row, *position, &owners, sink)?;
            }
        }
        Ok(())
    }

    /// Reads the table from the first of these subscriptions to the last.
    fn each_from_the_first(
        &self,
        found: &[Position],
        owners: &OwnerNames,
        sink: &mut impl SubscriberSink,
    ) -> Result<()> {
        let mut expected = found.iter().peekable();
        let mut before = 0;
        let mut statement = self.conn.prepare_cached(dispatch_sql::FROM).map_sqlite_err()?;
        let first = expected.peek().map(|first| first.seq);
        let mut rows = statement.query([first]).map_sqlite_err()?;
        while expected.peek().is_some()
            && let Some(row) = rows.next().map_sqlite_err()?
        {
            let position: i64 = row.get(0).map_sqlite_err()?;
            before = rising(before, position)?;
            while expected.next_if(|expected| expected.seq < position).is_some() {}
            // Several in a damaged file, each with another owner.
            while let Some(&expected) = expected.next_if(|expected| expected.seq == position) {
                self.pass(row, expected, owners, sink)?;
            }
        }
        Ok(())
    }

    /// Passes a row to `sink`, unless it has another owner than its patterns.
    fn pass(
        &self,
        row: &Row<'_>,
        position: Position,
        owners: &OwnerNames,
        sink: &mut impl SubscriberSink,
    ) -> Result<()> {
        if row.get::<_, i64>(2).map_sqlite_err()? != position.owner {
            return Ok(());
        }
        sink.take(&SubscriberRow { read: self, row, position, owners })
    }

    /// Passes the subscription of an id to `take`, whatever its patterns are, if it is in the
    /// scope.
    pub(crate) fn subscriber(
        &self,
        id: SubscriptionId,
        take: impl FnOnce(&SubscriberRow<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut statement = self.conn.prepare_cached(dispatch_sql::BY_ID).map_sqlite_err()?;
        let mut rows = statement.query([id.to_string()]).map_sqlite_err()?;
        let Some(row) = rows.next().map_sqlite_err()? else {
            return Ok(());
        };
        // While the row is read, the row of its owner is of the same snapshot.
        let owner: i64 = row.get(2).map_sqlite_err()?;
        if *self.scope != Scope::Every && self.owner_row()? != Some(owner) {
            return Ok(());
        }
        let position = Position { seq: valid_position(row.get(0).map_sqlite_err()?)?, owner };
        take(&SubscriberRow { read: self, row, position, owners: &OwnerNames::default() })
    }

    /// Returns every subscription of the scope with a pattern that matches this event type, in the
    /// order of ids, with those patterns in their order.
    pub(crate) fn routes(&self, event_type: &str) -> Result<Vec<RouteRow>> {
        let sql = dispatch_sql::routes(self.scope, self.way(event_type)?);
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let given = params![event_type, self.owner_param()];
        let mut rows = statement.query(given).map_sqlite_err()?;
        let mut found: Vec<(Position, EventPattern)> = Vec::new();
        while let Some(row) = rows.next().map_sqlite_err()? {
            let seq = valid_position(row.get(0).map_sqlite_err()?)?;
            let position = Position { seq, owner: row.get(1).map_sqlite_err()? };
            found.push((position, decode_pattern(row, 2)?));
        }
        found.sort_by_key(|(position, _)| *position);
        let owners = OwnerNames::default();
        let routes = found.chunk_by(|(one, _), (other, _)| one == other);
        routes.filter_map(|found| self.route(found, &owners).transpose()).collect()
    }

    /// Returns a subscription that was found, with the patterns by which it was found, in its own
    /// order.
    fn route(
        &self,
        found: &[(Position, EventPattern)],
        owners: &OwnerNames,
    ) -> Result<Option<RouteRow>> {
        let Some((position, _)) = found.first() else {
            return Ok(None);
        };
        let sql = "SELECT id, owner, name, enabled, disabled_reason, events \
                   FROM _webhook_registry_subscription WHERE seq = ?1";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([position.seq]).map_sqlite_err()?;
        let Some(row) = rows.next().map_sqlite_err()? else {
            return Ok(None);
        };
        if row.get::<_, i64>(1).map_sqlite_err()? != position.owner {
            return Ok(None);
        }
        let (id, enabled) = (id_of(row, 0)?, decode_flag(row, 3)?);
        let mut patterns = events_of(row, 5, id)?;
        patterns.retain(|pattern| found.iter().any(|(_, found)| found == pattern));
        if patterns.len() != found.len() {
            return Err(Error::corrupt(format_args!(
                "subscription {id} is found by a pattern that it does not have"
            )));
        }
        Ok(Some(RouteRow {
            id,
            owner: self.owner_named(position.owner, id, owners)?,
            name: name_of(row, 2, id)?.to_owned(),
            enabled,
            disabled_reason: valid_reason(row, 4, id, enabled)?.map(str::to_owned),
            patterns,
        }))
    }

    /// Returns the name of the owner of a subscription, by the row of the owner.
    fn owner_named(
        &self,
        owner: i64,
        id: SubscriptionId,
        known: &OwnerNames,
    ) -> Result<Option<Arc<str>>> {
        match self.scope {
            Scope::NoOwner | Scope::Owner(_) => return Ok(self.scope.owner().cloned()),
            Scope::Every if owner == 0 => return Ok(None),
            Scope::Every => {}
        }
        if let Some(name) = known.borrow().get(&owner) {
            return Ok(Some(name.clone()));
        }
        let sql = "SELECT name FROM _webhook_registry_owner WHERE id = ?1";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let name = statement.query_row([owner], |row| row.get(0)).optional().map_sqlite_err()?;
        let name: String = name.ok_or_else(|| {
            Error::corrupt(format_args!("the owner of subscription {id} is missing"))
        })?;
        let name: Arc<str> = check_owner_name(&name)?.into();
        known.borrow_mut().insert(owner, name.clone());
        Ok(Some(name))
    }
}

/// Returns whether so many rows of the table are among these that it is faster to read the whole
/// table up to the last of them than to look up each.
fn is_dense(found: &[Position]) -> bool {
    let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
    found.len() > BATCH && found.last().is_some_and(|last| last.seq <= count.saturating_mul(2))
}

impl<'q> SubscriberRow<'q> {
    /// Returns the key of the subscription's row. It increases with the id.
    #[inline]
    pub(crate) fn position(&self) -> i64 {
        self.position.seq
    }

    /// Returns the row of the subscription's owner.
    #[inline]
    pub(crate) fn owner_row(&self) -> i64 {
        self.position.owner
    }

    #[inline]
    pub(crate) fn id(&self) -> Result<SubscriptionId> {
        id_of(self.row, 1)
    }

    /// Returns the owner of the subscription.
    pub(crate) fn owner(&self, id: SubscriptionId) -> Result<Option<Arc<str>>> {
        self.read.owner_named(self.position.owner, id, self.owners)
    }

    pub(crate) fn name(&self, id: SubscriptionId) -> Result<&'q str> {
        text_of(self.row, 3, "name", id)
    }

    pub(crate) fn url(&self, id: SubscriptionId) -> Result<&'q str> {
        text_of(self.row, 4, "url", id)
    }

    /// Returns whether the subscription's own row is enabled.
    #[inline]
    pub(crate) fn enabled(&self) -> Result<bool> {
        decode_flag(self.row, 5)
    }

    /// Returns the metadata, which can break a rule.
    #[inline]
    pub(crate) fn metadata(&self, id: SubscriptionId) -> Result<BTreeMap<String, String>> {
        metadata_of(self.row, 6, id)
    }

    /// Decodes the current secret and those that were replaced, newest first, also expired ones.
    pub(crate) fn secrets(&self, id: SubscriptionId) -> Result<(IssuedSecret, Vec<IssuedSecret>)> {
        self.read.secrets_of(self.row, SECRETS, self.position.seq, id)
    }

    /// Returns whether the id is this.
    #[inline]
    pub(crate) fn has_id(&self, id: SubscriptionId) -> Result<bool> {
        self.has_text(1, id.text(&mut [0; SubscriptionId::LENGTH]))
    }

    /// Returns whether the name is exactly this.
    #[inline]
    pub(crate) fn has_name(&self, name: &str) -> Result<bool> {
        self.has_text(3, name)
    }

    /// Returns whether the URL is exactly this.
    #[inline]
    pub(crate) fn has_url(&self, url: &str) -> Result<bool> {
        self.has_text(4, url)
    }

    /// Returns whether the row holds exactly this secret, unencrypted, and replaced none.
    #[inline]
    pub(crate) fn has_only_secret(&self, secret: &IssuedSecret) -> Result<bool> {
        has_only_secret(self.row, SECRETS, secret)
    }

    /// Returns the error for a row that breaks a rule of the registry.
    pub(crate) fn corrupt(&self, id: SubscriptionId, problem: &Problem) -> Error {
        breaks_a_rule(id, problem)
    }

    #[inline]
    fn has_text(&self, column: usize, text: &str) -> Result<bool> {
        Ok(self.row.get_ref(column).map_sqlite_err()? == ValueRef::Text(text.as_bytes()))
    }
}
