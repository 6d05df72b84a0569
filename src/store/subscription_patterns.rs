//! The statements for the table `subscription_pattern`.

use std::collections::BTreeSet;

use rusqlite::params;

use super::error::MapSqliteErr as _;
use super::transaction::{Read, Write};
use crate::error::Result;
use crate::pattern::EventPattern;

pub(super) const INSERT_PATTERN: &str = "INSERT INTO _webhook_registry_subscription_pattern \
     (owner, subscription, pattern, enabled) VALUES (?1, ?2, ?3, ?4)";

impl Read<'_> {
    /// Returns how many subscriptions have a pattern with exactly this text.
    pub(super) fn pattern_uses(&self, pattern: &str) -> Result<i64> {
        let sql = "SELECT count(*) FROM _webhook_registry_subscription_pattern \
                   INDEXED BY _webhook_registry_subscription_pattern_route \
                   WHERE pattern = (SELECT id FROM _webhook_registry_pattern WHERE text = ?1)";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        statement.query_row([pattern], |row| row.get(0)).map_sqlite_err()
    }

    /// Returns the texts of the patterns by which dispatch finds the subscription at a position,
    /// where there is such a pattern.
    pub(super) fn route_patterns(&self, seq: i64) -> Result<BTreeSet<String>> {
        let sql = "SELECT (SELECT text FROM _webhook_registry_pattern WHERE id = r.pattern) \
                   FROM _webhook_registry_subscription_pattern r \
                   INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1 \
                   WHERE r.owner = (SELECT owner FROM _webhook_registry_subscription \
                                     WHERE seq = ?1) \
                     AND r.subscription = ?1";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([seq]).map_sqlite_err()?;
        let mut patterns = BTreeSet::new();
        while let Some(row) = rows.next().map_sqlite_err()? {
            let text = row.get_ref(0).map_sqlite_err()?.as_bytes_or_null().unwrap_or_default();
            patterns.extend(text.map(|text| String::from_utf8_lossy(text).into_owned()));
        }
        Ok(patterns)
    }
}

impl Write<'_> {
    /// Replaces the patterns of a subscription. A trigger drops those that no subscription has any
    /// more.
    pub(super) fn replace_patterns(
        &self,
        owner: i64,
        seq: i64,
        patterns: &[EventPattern],
        enabled: bool,
    ) -> Result<()> {
        let sql = "SELECT pattern FROM _webhook_registry_subscription_pattern \
                   INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1 \
                   WHERE owner = ?1 AND subscription = ?2";
        let mut before = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let before = before.query_map(params![owner, seq], |row| row.get(0));
        let mut before: BTreeSet<i64> = before.and_then(Iterator::collect).map_sqlite_err()?;
        self.set_patterns_enabled(owner, seq, enabled)?;
        let mut insert = self.conn.prepare_cached(INSERT_PATTERN).map_sqlite_err()?;
        for pattern in patterns {
            let row = self.intern(pattern)?;
            if !before.remove(&row) {
                insert.execute(params![owner, seq, row, enabled]).map_sqlite_err()?;
            }
        }
        for row in before {
            self.execute(
                "DELETE FROM _webhook_registry_subscription_pattern \
                 INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1 \
                 WHERE owner = ?1 AND subscription = ?2 AND pattern = ?3",
                params![owner, seq, row],
            )?;
        }
        Ok(())
    }

    /// Deletes the patterns of a subscription. A trigger drops those that no subscription has any
    /// more.
    pub(super) fn delete_patterns(&self, owner: i64, seq: i64) -> Result<()> {
        self.execute(
            "DELETE FROM _webhook_registry_subscription_pattern \
             INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1 \
             WHERE owner = ?1 AND subscription = ?2",
            params![owner, seq],
        )
    }

    /// Copies a changed `enabled` to the rows of a subscription's patterns.
    pub(super) fn set_patterns_enabled(&self, owner: i64, seq: i64, enabled: bool) -> Result<()> {
        self.execute(
            "UPDATE _webhook_registry_subscription_pattern \
             INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1 \
             SET enabled = ?3 WHERE owner = ?1 AND subscription = ?2 AND enabled <> ?3",
            params![owner, seq, enabled],
        )
    }
}
