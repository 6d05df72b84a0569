//! The statements for the table `subscription`.

use rusqlite::{OptionalExtension as _, Row, ToSql, named_params, params};

use super::error::{MapSqliteErr as _, is_taken, sqlite_error};
use super::registry_row;
use super::rows::{
    Decoder, counted, decode_id, encode_metadata, holds, integer, millis, natural, rising,
    valid_metadata, valid_position,
};
use super::transaction::{Read, Write};
use crate::error::{Error, Result};
use crate::id::SubscriptionId;
use crate::secret::IssuedSecret;
use crate::subscription::{ListQuery, Subscription, SubscriptionFields};
use crate::time::Millis;

/// One row for each pattern of each subscription, in order.
macro_rules! select {
    ($($conditions:tt)*) => {
        concat!(
            "SELECT s.seq, s.id, s.name, s.url, s.enabled, s.description, s.metadata, \
             s.created_at, s.updated_at, ",
            "s.revision, (SELECT text FROM _webhook_registry_pattern WHERE id = sp.pattern), \
             s.disabled_reason, \
             s.disabled_at FROM _webhook_registry_subscription s INDEXED BY \
             _webhook_registry_subscription_seq ",
            "LEFT JOIN _webhook_registry_subscription_pattern sp INDEXED BY \
             sqlite_autoindex__webhook_registry_subscription_pattern_1 ",
            "ON sp.subscription = s.seq WHERE ", $($conditions)*,
            " ORDER BY s.seq, sp.position"
        )
    };
}

/// The conditions of a query, except those on metadata, which are tested after decoding.
macro_rules! matching {
    () => {
        "(:enabled IS NULL OR s.enabled = :enabled) AND (:name IS NULL OR instr(s.name, :name) > 0)"
    };
}

/// Selects from all subscriptions, or from those with a pattern that matches an event type.
macro_rules! counted {
    ($what:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM _webhook_registry_subscription s WHERE :event_type IS NULL \
            AND ",
            matching!()
        )
    };
    ($what:literal, event_type) => {
        concat!(
            "SELECT ",
            $what,
            " FROM (SELECT DISTINCT r.subscription FROM _webhook_registry_expansion x INDEXED BY \
             sqlite_autoindex__webhook_registry_expansion_1 \
                     CROSS JOIN _webhook_registry_subscription_pattern r INDEXED BY \
                     _webhook_registry_subscription_pattern_route \
                     WHERE x.event_type = (SELECT id FROM _webhook_registry_event_type WHERE name \
                     = :event_type) \
                       AND r.pattern = x.pattern) AS m \
              CROSS JOIN _webhook_registry_subscription s INDEXED BY \
              _webhook_registry_subscription_seq ON s.seq = m.subscription \
              WHERE ",
            matching!()
        )
    };
}

/// Selects every subscription, in order.
pub(super) const EVERY: &str = select!("1");

/// Inserts a row, whose `seq` SQLite chooses.
pub(super) const INSERT_SUBSCRIPTION: &str = "INSERT INTO _webhook_registry_subscription \
     (id, name, url, enabled, description, metadata, created_at, updated_at, revision, \
      disabled_reason, disabled_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// A subscription that is to be changed, with its position and its secrets.
pub(crate) struct Current {
    seq: i64,
    pub(crate) subscription: Subscription,
    /// Newest first, also those that have expired; never empty.
    pub(crate) secrets: Vec<IssuedSecret>,
}

/// The subscription that already has the name.
pub(crate) struct NameTaken(pub(crate) SubscriptionId);

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
        let mut statement = self.conn.prepare_cached(select!("s.seq = ?1")).map_sqlite_err()?;
        let found = Decoder::without_rules(statement.query([seq]).map_sqlite_err()?)?.next()?;
        Ok(found.map(|(_, subscription)| subscription))
    }

    fn by_id(&self, id: SubscriptionId) -> Result<Option<(i64, Subscription)>> {
        self.one(
            select!("s.seq = (SELECT seq FROM _webhook_registry_subscription WHERE id = ?1)"),
            id.to_string(),
            |found| found.id == id,
        )
    }

    fn by_name(&self, name: &str) -> Result<Option<(i64, Subscription)>> {
        self.one(
            select!(
                "s.seq = (SELECT seq FROM _webhook_registry_subscription WHERE name = \
                        ?1)"
            ),
            name,
            |found| found.name() == name,
        )
    }

    /// Returns the subscription with a key, and rejects a damaged index that leads to a row with
    /// another key.
    ///
    /// SQLite takes the value of an indexed column from the index, not from the row. So the
    /// statement looks up the position in the index, and then the row by its position.
    fn one(
        &self,
        sql: &str,
        key: impl ToSql,
        has_key: impl FnOnce(&Subscription) -> bool,
    ) -> Result<Option<(i64, Subscription)>> {
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let found = Decoder::new(statement.query([key]).map_sqlite_err()?)?.next()?;
        match found {
            Some((_, subscription)) if !has_key(&subscription) => Err(wrong_index()),
            found => Ok(found),
        }
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
        let wanted = |subscription: &Subscription| holds(subscription.metadata(), &query.metadata);
        let page = match (enabled, name_contains, event_type) {
            // The most frequent case. Conditions that are always true would take time for each row.
            (None, None, None) => {
                let mut statement =
                    self.conn.prepare_cached(select!("s.seq > ?1")).map_sqlite_err()?;
                Decoder::new(statement.query([after]).map_sqlite_err()?)?.page(most, wanted)?
            }
            (_, _, None) => {
                let sql = select!("s.seq > :after AND ", matching!());
                let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
                let given =
                    named_params! { ":after": after, ":enabled": enabled, ":name": name_contains };
                Decoder::new(statement.query(given).map_sqlite_err()?)?.page(most, wanted)?
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
                    let found = self.one(select!("s.seq = ?1"), seq, |_| true)?;
                    let (_, found) =
                        found.ok_or_else(|| Error::corrupt("a subscription that is missing"))?;
                    page.extend(Some(found).filter(asked));
                    Ok(page.len() < most)
                })?;
                page
            }
        };
        // A caller that continues after the last id has to come closer to the end.
        page.iter().try_fold(query.after, |before, one| rising(before, Some(one.id)))?;
        Ok(page)
    }

    /// Returns the number of subscriptions that match the query, ignoring its start.
    pub(crate) fn count(&self, query: &ListQuery) -> Result<u64> {
        let ListQuery { enabled, name_contains, event_type, metadata: wanted, .. } = query;
        let sql = match (wanted.is_empty(), event_type.is_some()) {
            (true, false) => counted!("count(*)"),
            (true, true) => counted!("count(*)", event_type),
            (false, false) => counted!("s.metadata"),
            (false, true) => counted!("s.metadata", event_type),
        };
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let given = named_params! {
            ":enabled": enabled,
            ":name": name_contains,
            ":event_type": event_type,
        };
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
            batch.push((last, super::rows::id_of(row, 1)?));
        }
        Ok(batch)
    }

    /// Returns a position below that of every subscription. A row that is not above it is damage,
    /// because every walk would pass it over.
    pub(super) fn start(&self) -> Result<i64> {
        let sql = "SELECT min(seq) FROM _webhook_registry_subscription INDEXED BY \
                   _webhook_registry_subscription_seq";
        let mut least = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let least: Option<i64> = least.query_row([], |row| row.get(0)).map_sqlite_err()?;
        least.map(valid_position).transpose().map(|_| 0)
    }

    /// Returns the position that an id has, had, or would have.
    fn position(&self, id: Option<SubscriptionId>) -> Result<i64> {
        let start = self.start()?;
        let Some(id) = id else {
            return Ok(start);
        };
        let mut last = self
            .conn
            .prepare_cached(
                "SELECT i.seq, i.id IS (SELECT s.id FROM _webhook_registry_subscription s WHERE \
                 s.seq = i.seq) FROM \
                 (SELECT seq, id FROM _webhook_registry_subscription INDEXED BY \
                 sqlite_autoindex__webhook_registry_subscription_1 \
                   WHERE id <= ?1 ORDER BY id DESC LIMIT 1) AS i",
            )
            .map_sqlite_err()?;
        let found = last.query_row([id.to_string()], |row| Ok((row.get(0)?, row.get(1)?)));
        match found.optional().map_sqlite_err()? {
            Some((seq, true)) => Ok(seq),
            Some((_, false)) => Err(wrong_index()),
            None => Ok(start),
        }
    }

    pub(crate) fn len(&self) -> Result<u64> {
        let mut count = self
            .conn
            .prepare_cached(
                "SELECT count(*) FROM \
                        _webhook_registry_subscription",
            )
            .map_sqlite_err()?;
        count.query_row([], |row| row.get(0)).map_err(sqlite_error).and_then(natural)
    }

    pub(crate) fn is_empty(&self) -> Result<bool> {
        let mut any = self
            .conn
            .prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM _webhook_registry_subscription)")
            .map_sqlite_err()?;
        any.query_row([], |row| row.get(0)).map_sqlite_err()
    }

    /// Returns the greatest id that was ever issued from the file.
    pub(crate) fn last_id(&self) -> Result<Option<SubscriptionId>> {
        let mut greatest = self
            .conn
            .prepare_cached(
                "SELECT (SELECT max(id) FROM _webhook_registry_subscription INDEXED BY \
                 sqlite_autoindex__webhook_registry_subscription_1), \
                        (SELECT last_id FROM _webhook_registry_meta), \
                        coalesce((SELECT max(seq) FROM _webhook_registry_subscription INDEXED BY \
                        _webhook_registry_subscription_seq), 0)",
            )
            .map_sqlite_err()?;
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

impl Write<'_> {
    /// Updates a subscription. `secrets` is None where they do not change.
    pub(crate) fn replace(
        &self,
        current: &Current,
        after: &Subscription,
        secrets: Option<&[IssuedSecret]>,
    ) -> Result<Result<(), NameTaken>> {
        let Subscription { fields, disabled_at, updated_at, revision, .. } = after;
        let SubscriptionFields {
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            disabled_reason,
        } = fields;
        let mut update = self
            .conn
            .prepare_cached(
                "UPDATE _webhook_registry_subscription SET name = ?2, url = ?3, enabled = ?4, \
                 description = ?5, \
                 metadata = ?6, updated_at = ?7, revision = ?8, disabled_reason = ?9, \
                 disabled_at = ?10 WHERE seq = ?1",
            )
            .map_sqlite_err()?;
        let row = params![
            current.seq,
            name,
            url,
            enabled,
            description,
            encode_metadata(metadata)?,
            millis(*updated_at)?,
            integer(*revision)?,
            disabled_reason,
            disabled_at.map(millis).transpose()?,
        ];
        match update.execute(row) {
            Err(cause) if is_taken(&cause, "_webhook_registry_subscription.name") => {
                return Ok(Err(self.holder(name)?));
            }
            result => result.map_sqlite_err()?,
        };
        if events != current.subscription.events() {
            self.replace_patterns(current.seq, events, *enabled)?;
        } else if *enabled != current.subscription.enabled() {
            self.set_patterns_enabled(current.seq, *enabled)?;
        }
        if let Some(secrets) = secrets {
            self.set_secrets(current.seq, current.subscription.id, secrets)?;
        }
        Ok(Ok(()))
    }

    /// Replaces the secrets of a subscription, newest first, and sets its revision and its time.
    pub(crate) fn replace_secrets(
        &self,
        current: &Current,
        after: &Subscription,
        secrets: &[IssuedSecret],
    ) -> Result<()> {
        self.execute(
            "UPDATE _webhook_registry_subscription SET updated_at = ?2, revision = ?3 WHERE seq = \
             ?1",
            params![current.seq, millis(after.updated_at)?, integer(after.revision)?],
        )?;
        self.overwrite_secrets(current, secrets)
    }

    /// Replaces the secrets of a subscription, newest first, and leaves its row alone.
    pub(crate) fn overwrite_secrets(
        &self,
        current: &Current,
        secrets: &[IssuedSecret],
    ) -> Result<()> {
        self.set_secrets(current.seq, current.subscription.id, secrets)
    }

    /// Deletes a subscription with everything that belongs to it, and stores its id if it was the
    /// greatest.
    pub(crate) fn delete(&self, current: &Current) -> Result<()> {
        self.delete_row(current.seq, current.subscription.id)
    }

    /// Deletes a subscription that does not decode. Returns false where no row has the id.
    pub(crate) fn delete_unread(&self, id: SubscriptionId) -> Result<bool> {
        // A damaged index alone must not decide which row is deleted.
        let sql = "SELECT seq FROM _webhook_registry_subscription WHERE seq = (SELECT seq FROM \
                   _webhook_registry_subscription WHERE \
            id = ?1) AND +id = ?1";
        let mut row = self.conn.prepare_cached(sql).map_sqlite_err()?;
        match row.query_row([id.to_string()], |row| row.get(0)).optional().map_sqlite_err()? {
            Some(seq) => self.delete_row(seq, id).map(|()| true),
            None => Ok(false),
        }
    }

    fn delete_row(&self, seq: i64, id: SubscriptionId) -> Result<()> {
        let patterns = self.pattern_rows(seq)?;
        self.execute("DELETE FROM _webhook_registry_subscription WHERE seq = ?1", params![seq])?;
        self.drop_unused(&patterns)?;
        registry_row::store_deleted_id(self.conn, id)
    }

    /// Clears the stored id of a deleted subscription, where a subscription has an id that is as
    /// great.
    pub(crate) fn forget_deleted(&self) -> Result<()> {
        registry_row::forget_deleted_id(self.conn)
    }

    /// Returns the subscription that has a name.
    pub(super) fn holder(&self, name: &str) -> Result<NameTaken> {
        let mut holder = self
            .conn
            .prepare_cached("SELECT id FROM _webhook_registry_subscription WHERE name = ?1")
            .map_sqlite_err()?;
        let id: String = holder.query_row([name], |row| row.get(0)).map_sqlite_err()?;
        decode_id(&id).map(NameTaken)
    }
}

pub(crate) fn wrong_index() -> Error {
    Error::corrupt("an index leads to another subscription than it says")
}
