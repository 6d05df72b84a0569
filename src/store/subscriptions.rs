//! The statements that read the table `subscription`.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, Row, Rows, params};

use super::error::MapSqliteErr as _;
use super::owners::{in_scope, owner_name, owner_row};
use super::rows::{Decoder, counted, decode_id, holds, id_of, rising, valid_position};
use super::transaction::Read;
use crate::error::{Error, Result};
use crate::id::SubscriptionId;
use crate::scope::Scope;
use crate::secret::IssuedSecret;
use crate::subscription::{ListQuery, Subscription};
use crate::time::Millis;

/// Selects subscriptions `s`. The name of the owner is the last column, except where one owner has
/// them all.
macro_rules! select {
    (from $index:literal, $($conditions:tt)*) => {
        select!(with concat!(", ", owner_name!()), from $index, $($conditions)*)
    };
    (with $owner:expr, from $index:literal, $($conditions:tt)*) => {
        concat!(
            "SELECT s.seq, s.id, s.name, s.url, s.enabled, s.description, s.metadata, \
             s.created_at, s.updated_at, s.revision, s.events, s.disabled_reason, s.disabled_at",
            $owner,
            " FROM _webhook_registry_subscription s ", $index, " WHERE ", $($conditions)*
        )
    };
    // The subscription at a position. A look-up by a single position needs no index by name:
    // whatever the statistics are, SQLite goes to the row.
    (at $seq:expr, $($conditions:tt)*) => {
        select!(from "", "s.seq = ", $seq, " AND ", $($conditions)*)
    };
    // The subscriptions of the owner `?1` after the position `?2`.
    (owner $($conditions:tt)*) => {
        select!(
            with "",
            from "INDEXED BY _webhook_registry_subscription_owner",
            "s.owner = ", owner_row!(), " AND s.seq > ?2", $($conditions)*, " ORDER BY s.seq"
        )
    };
    // All subscriptions after the id `?2`. `?1` is NULL.
    (every $($conditions:tt)*) => {
        select!(
            from "INDEXED BY sqlite_autoindex__webhook_registry_subscription_1",
            "?1 IS NULL AND s.id > ?2", $($conditions)*, " ORDER BY s.id"
        )
    };
}

/// The conditions of a query, except those on metadata, which are tested after decoding.
macro_rules! matching {
    () => {
        "(?3 IS NULL OR s.enabled = ?3) AND (?4 IS NULL OR instr(s.name, ?4) > 0)"
    };
}

pub(super) use matching;

/// Selects every subscription, in order.
pub(super) const EVERY: &str = select!(from "NOT INDEXED", "TRUE ORDER BY s.seq");

/// A subscription that is to be changed, with its position and its secrets.
pub(crate) struct Current {
    pub(super) seq: i64,
    pub(crate) subscription: Subscription,
    /// Newest first, also those that have expired; never empty.
    pub(crate) secrets: Vec<IssuedSecret>,
}

impl Current {
    /// Returns the current secret.
    pub(crate) fn secret(&self) -> Result<&IssuedSecret> {
        self.secrets.first().ok_or_else(|| Error::no_secret(self.subscription.id))
    }

    /// Returns whether a replaced secret has not expired yet.
    pub(crate) fn has_old(&self, now: Millis) -> bool {
        self.secrets.iter().any(|secret| secret.expires_at.is_some() && secret.is_live(now))
    }
}

impl Read<'_> {
    pub(crate) fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>> {
        Ok(self.by_id(id)?.map(|(_, subscription)| subscription))
    }

    pub(crate) fn subscription_by_name(&self, name: &str) -> Result<Option<Subscription>> {
        Ok(self.by_name(name)?.map(|(_, subscription)| subscription))
    }

    /// Returns the subscription at a position, even if it breaks a rule.
    pub(super) fn at(&self, seq: i64) -> Result<Option<Subscription>> {
        let sql = select!(at "?1", "TRUE");
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let found = Decoder::without_rules(statement.query([seq]).map_sqlite_err()?).next()?;
        Ok(found.map(|(_, subscription)| subscription))
    }

    fn by_id(&self, id: SubscriptionId) -> Result<Option<(i64, Subscription)>> {
        let sql = select!(
            at "(SELECT seq FROM _webhook_registry_subscription WHERE id = ?3)",
            in_scope!()
        );
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let key = params![self.owner_param(), self.every_param(), id.to_string()];
        let found = Decoder::new(statement.query(key).map_sqlite_err()?).next()?;
        unless_wrong(found, |found| found.id == id)
    }

    fn by_name(&self, name: &str) -> Result<Option<(i64, Subscription)>> {
        let sql = select!(
            at concat!(
                "(SELECT seq FROM _webhook_registry_subscription WHERE owner = ",
                owner_row!(), " AND name = ?2)"
            ),
            "TRUE"
        );
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let owner = self.owner_param();
        let found = statement.query(params![owner, name]).map_sqlite_err()?;
        unless_wrong(Decoder::new(found).next()?, |found| {
            found.name() == name && found.owner() == owner
        })
    }

    pub(crate) fn current(&self, id: SubscriptionId) -> Result<Option<Current>> {
        self.with_secrets(self.by_id(id)?)
    }

    pub(crate) fn current_by_name(&self, name: &str) -> Result<Option<Current>> {
        self.with_secrets(self.by_name(name)?)
    }

    fn with_secrets(&self, found: Option<(i64, Subscription)>) -> Result<Option<Current>> {
        let current = |(seq, subscription): (i64, Subscription)| {
            let secrets = self.secrets(seq, subscription.id)?;
            Ok(Current { seq, subscription, secrets })
        };
        found.map(current).transpose()
    }

    /// Returns at most `most` of the subscriptions that match the query, in the order of creation.
    pub(crate) fn list(&self, query: &ListQuery, most: usize) -> Result<Vec<Subscription>> {
        let ListQuery { enabled, name_contains, event_type, .. } = query;
        let after = self.after(query.after)?;
        let owner = self.owner_param();
        let wanted = |subscription: &Subscription| holds(subscription.metadata(), &query.metadata);
        let page = match (enabled, name_contains, event_type) {
            // The most frequent case. Conditions that are always true would take time for each row.
            (None, None, None) => {
                let sql = match self.scope {
                    Scope::Every => select!(every ""),
                    Scope::NoOwner | Scope::Owner(_) => select!(owner ""),
                };
                let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
                let rows = statement.query(params![owner, after]).map_sqlite_err()?;
                self.list_decoder(rows).page(most, wanted)?
            }
            (_, _, None) => {
                let sql = match self.scope {
                    Scope::Every => select!(every " AND ", matching!()),
                    Scope::NoOwner | Scope::Owner(_) => {
                        select!(owner " AND ", matching!())
                    }
                };
                let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
                let rows = statement.query(params![owner, after, enabled, name_contains]);
                self.list_decoder(rows.map_sqlite_err()?).page(most, wanted)?
            }
            (_, _, Some(event_type)) => {
                let asked = |subscription: &Subscription| {
                    enabled.is_none_or(|enabled| subscription.enabled() == enabled)
                        && name_contains
                            .as_ref()
                            .is_none_or(|part| subscription.name().contains(part))
                        && wanted(subscription)
                };
                let mut page = Vec::new();
                self.each_match(event_type, *enabled, query.after, |seq| {
                    page.extend(Some(self.matched(seq)?).filter(asked));
                    Ok(page.len() < most)
                })?;
                page
            }
        };
        // A caller that continues after the last id has to come closer to the end.
        page.iter().try_fold(query.after, |before, one| rising(before, Some(one.id)))?;
        Ok(page)
    }

    fn list_decoder<'r>(&self, rows: Rows<'r>) -> Decoder<'r> {
        match self.scope {
            Scope::Every => Decoder::new(rows),
            Scope::NoOwner | Scope::Owner(_) => Decoder::of_owner(rows, self.scope.owner()),
        }
    }

    /// Returns the subscription at a position to which its patterns lead.
    fn matched(&self, seq: i64) -> Result<Subscription> {
        let sql = select!(at "?3", in_scope!());
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let key = params![self.owner_param(), self.every_param(), seq];
        let found = Decoder::new(statement.query(key).map_sqlite_err()?).next()?;
        let (_, found) = found.ok_or_else(|| Error::corrupt("a subscription that is missing"))?;
        Ok(found)
    }

    /// Returns the ids of the owner's subscriptions, in the order of creation.
    pub(crate) fn ids(&self) -> Result<Vec<SubscriptionId>> {
        let sql = concat!(
            "SELECT id FROM _webhook_registry_subscription s \
             INDEXED BY _webhook_registry_subscription_owner WHERE s.owner = ",
            owner_row!(),
            " ORDER BY s.seq"
        );
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([self.owner_param()]).map_sqlite_err()?;
        let mut ids = Vec::new();
        while let Some(row) = rows.next().map_sqlite_err()? {
            ids.push(id_of(row, 0)?);
        }
        Ok(ids)
    }

    /// Returns the next `limit` rows after this id: their positions and ids.
    #[cfg(feature = "encryption")]
    pub(super) fn ids_after(
        &self,
        after: Option<SubscriptionId>,
        limit: u16,
    ) -> Result<Vec<(i64, SubscriptionId)>> {
        let sql = "SELECT seq, id FROM _webhook_registry_subscription \
                   INDEXED BY sqlite_autoindex__webhook_registry_subscription_1 \
                   WHERE id > ?1 ORDER BY id LIMIT ?2";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query(params![id_text(after), limit]).map_sqlite_err()?;
        let (mut batch, mut last) = (Vec::new(), after);
        while let Some(row) = rows.next().map_sqlite_err()? {
            let id = id_of(row, 1)?;
            last = rising(last, Some(id))?;
            batch.push((valid_position(row.get(0).map_sqlite_err()?)?, id));
        }
        Ok(batch)
    }

    /// Returns the parameter after which a list begins: a position, or an id for every owner.
    pub(super) fn after(&self, id: Option<SubscriptionId>) -> Result<Value> {
        match self.scope {
            Scope::Every => Ok(Value::Text(id_text(id))),
            Scope::NoOwner | Scope::Owner(_) => self.position(id).map(Value::Integer),
        }
    }

    /// Returns a position below that of every subscription of the scope. A row that is not above it
    /// is damage, because every walk would pass it over.
    fn start(&self) -> Result<i64> {
        let sql = match self.scope {
            Scope::Every => {
                "SELECT seq FROM _webhook_registry_subscription NOT INDEXED WHERE ?1 IS NULL \
                 ORDER BY seq LIMIT 1"
            }
            Scope::NoOwner | Scope::Owner(_) => concat!(
                "SELECT seq FROM _webhook_registry_subscription \
                 INDEXED BY _webhook_registry_subscription_owner WHERE owner = ",
                owner_row!(),
                " ORDER BY seq LIMIT 1"
            ),
        };
        let mut least = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let least = least.query_row([self.owner_param()], |row| row.get(0));
        least.optional().map_sqlite_err()?.map(valid_position).transpose().map(|_| 0)
    }

    /// Returns the position that an id has, had, or would have.
    pub(super) fn position(&self, id: Option<SubscriptionId>) -> Result<i64> {
        let start = self.start()?;
        let Some(id) = id else {
            return Ok(start);
        };
        let sql = "SELECT i.seq, i.id IS (SELECT s.id FROM _webhook_registry_subscription s \
                                           WHERE s.seq = i.seq) FROM \
                   (SELECT seq, id FROM _webhook_registry_subscription INDEXED BY \
                    sqlite_autoindex__webhook_registry_subscription_1 \
                     WHERE id <= ?1 ORDER BY id DESC LIMIT 1) AS i";
        let mut last = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = last.query([id.to_string()]).map_sqlite_err()?;
        let Some(row) = rows.next().map_sqlite_err()? else {
            return Ok(start);
        };
        if row.get(1).map_sqlite_err()? { row.get(0).map_sqlite_err() } else { Err(wrong_index()) }
    }

    /// Returns the greatest id that was ever issued from the file.
    pub(crate) fn last_id(&self) -> Result<Option<SubscriptionId>> {
        let sql = "SELECT (SELECT max(id) FROM _webhook_registry_subscription INDEXED BY \
                           sqlite_autoindex__webhook_registry_subscription_1), \
                          (SELECT last_id FROM _webhook_registry_meta), \
                          coalesce((SELECT seq FROM _webhook_registry_subscription NOT INDEXED \
                                    ORDER BY seq DESC LIMIT 1), 0)";
        let mut greatest = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let (living, deleted, seq): (Option<String>, Option<String>, i64) =
            greatest.query_row([], row).map_sqlite_err()?;
        // After the greatest integer SQLite would choose any free `seq`, and the order would be
        // lost.
        counted(seq)?;
        let living = living.map(|text| decode_id(&text)).transpose()?;
        Ok(living.max(deleted.map(|text| decode_id(&text)).transpose()?))
    }
}

/// Returns the subscription that was found by a key, and rejects a damaged index that leads to a
/// row with another key.
///
/// SQLite takes the value of an indexed column from the index, not from the row. So the statements
/// look up the position in the index, and then the row by its position.
fn unless_wrong(
    found: Option<(i64, Subscription)>,
    has_key: impl FnOnce(&Subscription) -> bool,
) -> Result<Option<(i64, Subscription)>> {
    match found {
        Some((_, subscription)) if !has_key(&subscription) => Err(wrong_index()),
        found => Ok(found),
    }
}

/// Returns the text after which the ids of a list begin.
fn id_text(id: Option<SubscriptionId>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

pub(crate) fn wrong_index() -> Error {
    Error::corrupt("an index leads to another subscription than it says")
}
