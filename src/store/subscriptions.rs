//! Statements for subscriptions.

use rusqlite::{OptionalExtension as _, Row, Rows, Statement, named_params, params};

use super::error::{MapSqliteErr as _, fault, is_taken};
use super::insert::INSERT_EVENT;
use super::rows::{
    Decoder, counted, decode_id, encode_metadata, holds, integer, judged_metadata, millis, natural,
};
use super::secrets::no_secret;
use super::{Read, Write};
use crate::error::Result;
use crate::id::SubscriptionId;
use crate::pattern::EventPattern;
use crate::secret::IssuedSecret;
use crate::subscription::{ListQuery, Subscription};
use crate::time::Millis;

/// One row for each pattern of each subscription, in order.
macro_rules! select {
    ($($conditions:tt)*) => {
        concat!(
            "SELECT s.seq, s.id, s.name, s.url, s.enabled, s.description, s.metadata, s.created_at, s.updated_at, ",
            "s.revision, p.text FROM subscription s ",
            "LEFT JOIN subscription_pattern sp ON sp.subscription = s.seq LEFT JOIN pattern p ON p.id = sp.pattern ",
            "WHERE ", $($conditions)*,
            " ORDER BY s.seq, sp.position"
        )
    };
}

/// What a query asks of every row, but for its metadata, which is judged once it is decoded.
macro_rules! matching {
    () => {
        "s.seq > :after AND (:enabled IS NULL OR s.enabled = :enabled) \
         AND (:name IS NULL OR instr(s.name, :name) > 0) AND :event_type IS NULL"
    };
    (event_type) => {
        "s.seq > :after AND (:enabled IS NULL OR s.enabled = :enabled) \
         AND (:name IS NULL OR instr(s.name, :name) > 0) \
         AND s.seq IN (SELECT r.subscription \
                         FROM expansion x JOIN subscription_pattern r ON r.pattern = x.pattern \
                        WHERE x.event_type = (SELECT id FROM event_type WHERE name = :event_type) \
                          AND r.subscription > :after)"
    };
}

/// Every subscription, in order.
pub(super) const EVERY: &str = select!("1");

/// A subscription to change, with what only the store knows of it.
pub(crate) struct Current {
    seq: i64,
    pub(crate) subscription: Subscription,
    /// Newest first, also those that have expired; never empty.
    pub(crate) secrets: Vec<IssuedSecret>,
}

/// The name belongs to this subscription already.
pub(crate) struct NameTaken(pub(crate) SubscriptionId);

impl Current {
    /// The current secret.
    pub(crate) fn secret(&self) -> Result<&IssuedSecret> {
        self.secrets.first().ok_or_else(|| no_secret(self.subscription.id))
    }

    /// Whether a secret that was replaced lives still.
    pub(crate) fn has_old(&self, now: Millis) -> bool {
        self.secrets.iter().any(|secret| secret.expires_at.is_some() && secret.is_live(now))
    }
}

impl Read<'_> {
    pub(crate) fn subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>> {
        Ok(self.one(select!("s.id = ?1"), &id.to_string())?.map(|(_, subscription)| subscription))
    }

    pub(crate) fn subscription_by_name(&self, name: &str) -> Result<Option<Subscription>> {
        Ok(self.one(select!("s.name = ?1"), name)?.map(|(_, subscription)| subscription))
    }

    /// What lies at this place of the file, also where it breaks a rule.
    pub(super) fn at(&self, seq: i64) -> Result<Option<Subscription>> {
        let mut statement = self.conn.prepare_cached(select!("s.seq = ?1")).map_sqlite_err()?;
        let found = Decoder::without_rules(statement.query([seq]).map_sqlite_err()?)?.next()?;
        Ok(found.map(|(_, subscription)| subscription))
    }

    fn one(&self, sql: &str, key: &str) -> Result<Option<(i64, Subscription)>> {
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        Decoder::new(statement.query([key]).map_sqlite_err()?)?.next()
    }

    pub(crate) fn current(&self, id: SubscriptionId) -> Result<Option<Current>> {
        self.with_secrets(self.one(select!("s.id = ?1"), &id.to_string())?)
    }

    pub(crate) fn current_by_name(&self, name: &str) -> Result<Option<Current>> {
        self.with_secrets(self.one(select!("s.name = ?1"), name)?)
    }

    fn with_secrets(&self, found: Option<(i64, Subscription)>) -> Result<Option<Current>> {
        let current = |(seq, subscription): (i64, Subscription)| {
            let secrets = self.secrets(seq, subscription.id)?;
            Ok(Current { seq, subscription, secrets })
        };
        found.map(current).transpose()
    }

    /// At most `most` of the subscriptions that the query asks for, in the order of creation.
    pub(crate) fn list(&self, query: &ListQuery, most: usize) -> Result<Vec<Subscription>> {
        let ListQuery { enabled, name_contains, event_type, .. } = query;
        let mut statement;
        let rows = match (enabled, name_contains, event_type) {
            // Most often: conditions that hold of every row take their time too.
            (None, None, None) => {
                statement = self.conn.prepare_cached(select!("s.seq > ?1")).map_sqlite_err()?;
                statement.query([self.position(query.after)?]).map_sqlite_err()?
            }
            (_, _, None) => {
                statement = self.conn.prepare_cached(select!(matching!())).map_sqlite_err()?;
                self.bound(&mut statement, query, query.after)?
            }
            (_, _, Some(_)) => {
                statement =
                    self.conn.prepare_cached(select!(matching!(event_type))).map_sqlite_err()?;
                self.bound(&mut statement, query, query.after)?
            }
        };
        Decoder::new(rows)?
            .page(most, |subscription| holds(&subscription.metadata, &query.metadata))
    }

    /// How many subscriptions the query asks for, wherever it begins.
    pub(crate) fn count(&self, query: &ListQuery) -> Result<u64> {
        let sql = match (query.metadata.is_empty(), query.event_type.is_some()) {
            (true, false) => concat!("SELECT count(*) FROM subscription s WHERE ", matching!()),
            (true, true) => {
                concat!("SELECT count(*) FROM subscription s WHERE ", matching!(event_type))
            }
            (false, false) => concat!("SELECT s.metadata FROM subscription s WHERE ", matching!()),
            (false, true) => {
                concat!("SELECT s.metadata FROM subscription s WHERE ", matching!(event_type))
            }
        };
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = self.bound(&mut statement, query, None)?;
        let mut count = 0_u64;
        while let Some(row) = rows.next().map_sqlite_err()? {
            if query.metadata.is_empty() {
                return row.get(0).map_err(fault).and_then(natural);
            }
            let metadata = judged_metadata(
                row.get_ref(0).and_then(|text| Ok(text.as_str()?)).map_sqlite_err()?,
            )?;
            count = count.saturating_add(u64::from(holds(&metadata, &query.metadata)));
        }
        Ok(count)
    }

    fn bound<'s>(
        &self,
        statement: &'s mut Statement<'_>,
        query: &ListQuery,
        after: Option<SubscriptionId>,
    ) -> Result<Rows<'s>> {
        let after = self.position(after)?;
        let ListQuery { enabled, name_contains, event_type, .. } = query;
        let given = named_params! {
            ":after": after, ":enabled": enabled, ":name": name_contains, ":event_type": event_type,
        };
        statement.query(given).map_sqlite_err()
    }

    /// The `seq` that an id has, or had, or would have.
    fn position(&self, id: Option<SubscriptionId>) -> Result<i64> {
        let Some(id) = id else {
            return Ok(0);
        };
        let mut last = self
            .conn
            .prepare_cached("SELECT seq FROM subscription WHERE id <= ?1 ORDER BY id DESC LIMIT 1")
            .map_sqlite_err()?;
        Ok(last
            .query_row([id.to_string()], |row| row.get(0))
            .optional()
            .map_sqlite_err()?
            .unwrap_or(0))
    }

    pub(crate) fn len(&self) -> Result<u64> {
        let mut count =
            self.conn.prepare_cached("SELECT count(*) FROM subscription").map_sqlite_err()?;
        count.query_row([], |row| row.get(0)).map_err(fault).and_then(natural)
    }

    pub(crate) fn is_empty(&self) -> Result<bool> {
        let mut any = self
            .conn
            .prepare_cached("SELECT NOT EXISTS (SELECT 1 FROM subscription)")
            .map_sqlite_err()?;
        any.query_row([], |row| row.get(0)).map_sqlite_err()
    }

    /// The greatest id that the file has ever given out.
    pub(crate) fn last_id(&self) -> Result<Option<SubscriptionId>> {
        let mut greatest = self
            .conn
            .prepare_cached(
                "SELECT (SELECT max(id) FROM subscription), (SELECT last_id FROM registry), \
                        (SELECT coalesce(max(seq), 0) FROM subscription)",
            )
            .map_sqlite_err()?;
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let (living, deleted, seq): (Option<String>, Option<String>, i64) =
            greatest.query_row([], row).map_sqlite_err()?;
        // Behind the greatest `seq` SQLite would take any that is free, and the order would be lost.
        counted(seq)?;
        let living = living.map(|text| decode_id(&text)).transpose()?;
        Ok(living.max(deleted.map(|text| decode_id(&text)).transpose()?))
    }
}

impl Write<'_> {
    /// Writes what a subscription has become; `secrets` are none where they stay.
    pub(crate) fn replace(
        &self,
        current: &Current,
        after: &Subscription,
        secrets: Option<&[IssuedSecret]>,
    ) -> Result<Result<(), NameTaken>> {
        let Subscription {
            id: _,
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            created_at: _,
            updated_at,
            revision,
        } = after;
        let mut update = self
            .conn
            .prepare_cached(
                "UPDATE subscription SET name = ?2, url = ?3, enabled = ?4, description = ?5, metadata = ?6, \
                 updated_at = ?7, revision = ?8 WHERE seq = ?1",
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
        ];
        match update.execute(row) {
            Err(cause) if is_taken(&cause, "subscription.name") => {
                return Ok(Err(self.holder(name)?));
            }
            result => result.map_sqlite_err()?,
        };
        if *events != current.subscription.events {
            let before = self.pattern_ids(current.seq)?;
            self.execute(
                "DELETE FROM subscription_pattern WHERE subscription = ?1",
                params![current.seq],
            )?;
            self.set_events(current.seq, events, *enabled)?;
            self.drop_unused(&before)?;
        } else if *enabled != current.subscription.enabled {
            self.execute(
                "UPDATE subscription_pattern SET enabled = ?2 WHERE subscription = ?1",
                params![current.seq, enabled],
            )?;
        }
        if let Some(secrets) = secrets {
            self.set_secrets(current.seq, current.subscription.id, secrets)?;
        }
        Ok(Ok(()))
    }

    /// Deletes a subscription with all that belongs to it, and remembers its id if it was the greatest.
    pub(crate) fn delete(&self, current: &Current) -> Result<()> {
        self.delete_row(current.seq, current.subscription.id)
    }

    /// The same of one that does not decode; false where no row has the id.
    pub(crate) fn delete_unread(&self, id: SubscriptionId) -> Result<bool> {
        let mut row = self
            .conn
            .prepare_cached("SELECT seq FROM subscription WHERE id = ?1")
            .map_sqlite_err()?;
        match row.query_row([id.to_string()], |row| row.get(0)).optional().map_sqlite_err()? {
            Some(seq) => self.delete_row(seq, id).map(|()| true),
            None => Ok(false),
        }
    }

    fn delete_row(&self, seq: i64, id: SubscriptionId) -> Result<()> {
        let patterns = self.pattern_ids(seq)?;
        self.execute("DELETE FROM subscription WHERE seq = ?1", params![seq])?;
        self.drop_unused(&patterns)?;
        // No id would be left after one that no registry gives out.
        if id.is_unreached() {
            return Ok(());
        }
        self.execute(
            "UPDATE registry SET last_id = ?1 WHERE coalesce(last_id, '') < ?1 \
             AND NOT EXISTS (SELECT 1 FROM subscription WHERE id > ?1)",
            params![id.to_string()],
        )
    }

    /// Forgets the greatest id that was deleted, where there is one again that is as great.
    pub(crate) fn forget_deleted(&self) -> Result<()> {
        self.execute(
            "UPDATE registry SET last_id = NULL WHERE last_id <= (SELECT max(id) FROM subscription)",
            params![],
        )
    }

    pub(super) fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<()> {
        self.conn
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params))
            .map(drop)
            .map_sqlite_err()
    }

    pub(super) fn holder(&self, name: &str) -> Result<NameTaken> {
        let mut holder = self
            .conn
            .prepare_cached("SELECT id FROM subscription WHERE name = ?1")
            .map_sqlite_err()?;
        let id: String = holder.query_row([name], |row| row.get(0)).map_sqlite_err()?;
        decode_id(&id).map(NameTaken)
    }

    fn set_events(&self, seq: i64, events: &[EventPattern], enabled: bool) -> Result<()> {
        let mut insert = self.conn.prepare_cached(INSERT_EVENT).map_sqlite_err()?;
        for (position, pattern) in (0_i64..).zip(events) {
            insert
                .execute(params![seq, position, self.intern(pattern)?, enabled])
                .map_sqlite_err()?;
        }
        Ok(())
    }

    fn pattern_ids(&self, seq: i64) -> Result<Vec<i64>> {
        let sql = "SELECT pattern FROM subscription_pattern WHERE subscription = ?1";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        statement.query_map([seq], |row| row.get(0)).and_then(Iterator::collect).map_sqlite_err()
    }
}
