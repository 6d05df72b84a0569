//! The statements that read the table `subscription`.

use rusqlite::{Row, params};

use super::error::{MapSqliteErr as _, sqlite_error};
use super::owners::{in_scope, owner_name, owner_row, owner_row_beside};
use super::rows::{
    Decoder, counted, decode_id, holds, id_of, natural, rising, valid_metadata, valid_position,
};
use super::transaction::Read;
use crate::error::{Error, Result};
use crate::id::SubscriptionId;
use crate::scope::Scope;
use crate::secret::IssuedSecret;
use crate::subscription::{ListQuery, Subscription};
use crate::time::Millis;

/// One row for each pattern of each subscription, in order. The first argument is the index by
/// which the subscriptions are found.
macro_rules! select {
    ($index:literal, $($conditions:tt)*) => {
        concat!(
            "SELECT s.seq, s.id, s.name, s.url, s.enabled, s.description, s.metadata, \
             s.created_at, s.updated_at, s.revision, \
             (SELECT text FROM _webhook_registry_pattern WHERE id = sp.pattern), \
             s.disabled_reason, s.disabled_at, ",
            owner_name!(),
            " FROM _webhook_registry_subscription s INDEXED BY _webhook_registry_subscription_",
            $index,
            " LEFT JOIN _webhook_registry_subscription_pattern sp INDEXED BY \
             sqlite_autoindex__webhook_registry_subscription_pattern_1 \
             ON sp.owner = s.owner AND sp.subscription = s.seq WHERE ", $($conditions)*,
            " ORDER BY s.seq, sp.position"
        )
    };
}

/// The subscriptions of the scope after the position `?2`: of the owner `?1`, or of every owner,
/// where `?1` is NULL.
macro_rules! after {
    (owner) => {
        concat!("s.owner = ", owner_row!(), " AND s.seq > ?2")
    };
    (every) => {
        "?1 IS NULL AND s.seq > ?2"
    };
}

/// The conditions of a query, except those on metadata, which are tested after decoding.
macro_rules! matching {
    () => {
        "(?3 IS NULL OR s.enabled = ?3) AND (?4 IS NULL OR instr(s.name, ?4) > 0)"
    };
}

/// The row of the event type `?2`.
macro_rules! event_type {
    () => {
        "(SELECT id FROM _webhook_registry_event_type WHERE name = ?2)"
    };
}

/// Selects from the subscriptions of an owner or of every owner that match a query: from all of
/// them, from those with a pattern that matches an event type by testing each one, or from those
/// that the patterns of the event type lead to.
macro_rules! selected {
    ($what:literal, all, owner) => {
        concat!(
            "SELECT ", $what, " FROM _webhook_registry_subscription s \
             INDEXED BY _webhook_registry_subscription_owner \
             WHERE s.owner = ", owner_row!(), " AND ?2 IS NULL AND ", matching!()
        )
    };
    ($what:literal, all, every) => {
        concat!(
            "SELECT ", $what, " FROM _webhook_registry_subscription s \
             WHERE ?1 IS NULL AND ?2 IS NULL AND ", matching!()
        )
    };
    ($what:literal, tested, owner) => {
        concat!(
            "SELECT ", $what, " FROM _webhook_registry_subscription s \
             INDEXED BY _webhook_registry_subscription_owner \
             WHERE s.owner = ", owner_row!(), " AND EXISTS ( \
                 SELECT 1 FROM _webhook_registry_subscription_pattern r \
                 INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1 \
                 WHERE r.owner = s.owner AND r.subscription = s.seq AND \
                       (SELECT 1 FROM _webhook_registry_expansion \
                         WHERE event_type = ", event_type!(), " AND pattern = r.pattern)) \
             AND ", matching!()
        )
    };
    ($what:literal, led, $($owner:tt)*) => {
        concat!(
            "SELECT ", $what, " FROM ( \
                 SELECT DISTINCT r.subscription FROM _webhook_registry_expansion x \
                 INDEXED BY sqlite_autoindex__webhook_registry_expansion_1 \
                 CROSS JOIN _webhook_registry_subscription_pattern r \
                 INDEXED BY _webhook_registry_subscription_pattern_route \
                 WHERE x.event_type = ", event_type!(), " AND r.pattern = x.pattern \
                   AND ", $($owner)*, ") AS m \
             CROSS JOIN _webhook_registry_subscription s \
             INDEXED BY _webhook_registry_subscription_seq ON s.seq = m.subscription \
             WHERE ", matching!()
        )
    };
}

/// Picks the statement of a count: of the rows, or of those whose metadata matches.
macro_rules! counting {
    ($only_rows:expr, $($which:tt)*) => {
        if $only_rows {
            selected!("count(*)", $($which)*)
        } else {
            selected!("s.metadata", $($which)*)
        }
    };
}

/// Selects every subscription, in order.
pub(super) const EVERY: &str = select!("seq", "1");

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
        let sql = select!("seq", "s.seq = ?1");
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let found = Decoder::without_rules(statement.query([seq]).map_sqlite_err()?)?.next()?;
        Ok(found.map(|(_, subscription)| subscription))
    }

    fn by_id(&self, id: SubscriptionId) -> Result<Option<(i64, Subscription)>> {
        let sql = select!(
            "seq",
            "s.seq = (SELECT seq FROM _webhook_registry_subscription WHERE id = ?3) AND ",
            in_scope!()
        );
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let key = params![self.owner_param(), self.every_param(), id.to_string()];
        let found = Decoder::new(statement.query(key).map_sqlite_err()?)?.next()?;
        unless_wrong(found, |found| found.id == id)
    }

    fn by_name(&self, name: &str) -> Result<Option<(i64, Subscription)>> {
        let sql = select!(
            "seq",
            "s.seq = (SELECT seq FROM _webhook_registry_subscription WHERE owner = ",
            owner_row!(),
            " AND name = ?2)"
        );
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let owner = self.owner_param();
        let found = statement.query(params![owner, name]).map_sqlite_err()?;
        unless_wrong(Decoder::new(found)?.next()?, |found| {
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
        let after = self.position(query.after)?;
        let owner = self.owner_param();
        let wanted = |subscription: &Subscription| holds(subscription.metadata(), &query.metadata);
        let page = match (enabled, name_contains, event_type) {
            // The most frequent case. Conditions that are always true would take time for each row.
            (None, None, None) => {
                let sql = match self.scope {
                    Scope::Every => select!("seq", after!(every)),
                    Scope::NoOwner | Scope::Owner(_) => select!("owner", after!(owner)),
                };
                let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
                let rows = statement.query(params![owner, after]).map_sqlite_err()?;
                Decoder::new(rows)?.page(most, wanted)?
            }
            (_, _, None) => {
                let sql = match self.scope {
                    Scope::Every => select!("seq", after!(every), " AND ", matching!()),
                    Scope::NoOwner | Scope::Owner(_) => {
                        select!("owner", after!(owner), " AND ", matching!())
                    }
                };
                let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
                let rows = statement.query(params![owner, after, enabled, name_contains]);
                Decoder::new(rows.map_sqlite_err()?)?.page(most, wanted)?
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
                self.each_match(event_type, *enabled, after, |seq| {
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

    /// Returns the subscription at a position to which its patterns lead.
    fn matched(&self, seq: i64) -> Result<Subscription> {
        let sql = select!("seq", "s.seq = ?3 AND ", in_scope!());
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let key = params![self.owner_param(), self.every_param(), seq];
        let found = Decoder::new(statement.query(key).map_sqlite_err()?)?.next()?;
        let (_, found) = found.ok_or_else(|| Error::corrupt("a subscription that is missing"))?;
        Ok(found)
    }

    /// Returns the number of subscriptions that match the query, ignoring its start.
    pub(crate) fn count(&self, query: &ListQuery) -> Result<u64> {
        let ListQuery { enabled, name_contains, event_type, metadata: wanted, .. } = query;
        let rows = wanted.is_empty();
        let sql = match (self.scope, event_type) {
            (Scope::Every, None) => counting!(rows, all, every),
            (Scope::NoOwner | Scope::Owner(_), None) => counting!(rows, all, owner),
            (Scope::Every, Some(_)) => counting!(rows, led, "?1 IS NULL"),
            (Scope::NoOwner | Scope::Owner(_), Some(event_type)) => {
                if self.starts_with_event(event_type)? {
                    counting!(rows, led, "r.owner = ", owner_row_beside!())
                } else {
                    counting!(rows, tested, owner)
                }
            }
        };
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let given = params![self.owner_param(), event_type, enabled, name_contains];
        let mut rows = statement.query(given).map_sqlite_err()?;
        let mut count = 0_u64;
        while let Some(row) = rows.next().map_sqlite_err()? {
            if wanted.is_empty() {
                return row.get(0).map_err(sqlite_error).and_then(natural);
            }
            let metadata = valid_metadata(
                row.get_ref(0).and_then(|text| Ok(text.as_str()?)).map_sqlite_err()?,
            )?;
            count = count.saturating_add(u64::from(holds(&metadata, wanted)));
        }
        Ok(count)
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

    /// Returns the next `limit` rows after this position: their positions and ids. The first page
    /// begins at the [start](Read::start).
    #[cfg(feature = "encryption")]
    pub(super) fn ids_after(&self, after: i64, limit: u16) -> Result<Vec<(i64, SubscriptionId)>> {
        let sql = "SELECT seq, id FROM _webhook_registry_subscription INDEXED BY \
                   _webhook_registry_subscription_seq \
                   WHERE seq > ?1 ORDER BY seq LIMIT ?2";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query(params![after, limit]).map_sqlite_err()?;
        let (mut batch, mut last) = (Vec::new(), after);
        while let Some(row) = rows.next().map_sqlite_err()? {
            last = rising(last, valid_position(row.get(0).map_sqlite_err()?)?)?;
            batch.push((last, id_of(row, 1)?));
        }
        Ok(batch)
    }

    /// Returns a position below that of every subscription of the scope. A row that is not above it
    /// is damage, because every walk would pass it over.
    pub(super) fn start(&self) -> Result<i64> {
        let sql = match self.scope {
            Scope::Every => {
                "SELECT min(seq) FROM _webhook_registry_subscription \
                 INDEXED BY _webhook_registry_subscription_seq WHERE ?1 IS NULL"
            }
            Scope::NoOwner | Scope::Owner(_) => concat!(
                "SELECT (SELECT seq FROM _webhook_registry_subscription \
                         INDEXED BY _webhook_registry_subscription_owner \
                         WHERE owner = ",
                owner_row!(),
                " ORDER BY seq LIMIT 1)"
            ),
        };
        let mut least = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let least = least.query_row([self.owner_param()], |row| row.get(0)).map_sqlite_err()?;
        let least: Option<i64> = least;
        least.map(valid_position).transpose().map(|_| 0)
    }

    /// Returns the position that an id has, had, or would have.
    fn position(&self, id: Option<SubscriptionId>) -> Result<i64> {
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
                          coalesce((SELECT max(seq) FROM _webhook_registry_subscription \
                                    INDEXED BY _webhook_registry_subscription_seq), 0)";
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

pub(crate) fn wrong_index() -> Error {
    Error::corrupt("an index leads to another subscription than it says")
}
