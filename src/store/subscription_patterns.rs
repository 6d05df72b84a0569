//! The statements for the table `subscription_pattern`.

use rusqlite::params;

use super::error::MapSqliteErr as _;
use super::transaction::{Read, Write};
use crate::error::Result;
use crate::pattern::EventPattern;

pub(super) const INSERT_PATTERN: &str = "INSERT INTO _webhook_registry_subscription_pattern \
     (owner, subscription, position, pattern, enabled) VALUES (?1, ?2, ?3, ?4, ?5)";

impl Read<'_> {
    /// Returns how many subscriptions have a pattern with exactly this text.
    pub(super) fn pattern_uses(&self, pattern: &str) -> Result<i64> {
        let sql = "SELECT count(*) FROM _webhook_registry_subscription_pattern \
                   INDEXED BY _webhook_registry_subscription_pattern_route \
                   WHERE pattern = (SELECT id FROM _webhook_registry_pattern WHERE text = ?1)";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        statement.query_row([pattern], |row| row.get(0)).map_sqlite_err()
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
        // The new rows are added before the old ones are deleted, so that a pattern that stays is
        // not dropped and expanded anew.
        self.execute(
            "UPDATE _webhook_registry_subscription_pattern \
             INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1 \
             SET position = -1 - position WHERE owner = ?1 AND subscription = ?2",
            params![owner, seq],
        )?;
        let mut insert = self.conn.prepare_cached(INSERT_PATTERN).map_sqlite_err()?;
        for (position, pattern) in (0_i64..).zip(patterns) {
            let row = self.intern(pattern)?;
            insert.execute(params![owner, seq, position, row, enabled]).map_sqlite_err()?;
        }
        self.execute(
            "DELETE FROM _webhook_registry_subscription_pattern \
             INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1 \
             WHERE owner = ?1 AND subscription = ?2 AND position < 0",
            params![owner, seq],
        )
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
             SET enabled = ?3 WHERE owner = ?1 AND subscription = ?2",
            params![owner, seq, enabled],
        )
    }
}
