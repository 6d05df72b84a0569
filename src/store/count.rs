//! Counts subscriptions.

use rusqlite::params;

use super::error::{MapSqliteErr as _, sqlite_error};
use super::owners::owner_row;
use super::rows::{holds, metadata_in, natural};
use super::subscriptions::matching;
use super::transaction::Read;
use crate::error::Result;
use crate::scope::Scope;
use crate::subscription::ListQuery;

/// Selects from the subscriptions of an owner or of every owner that match a query: from all of
/// them, or from those with a pattern that matches an event type.
macro_rules! selected {
    ($what:literal, all, owner) => {
        concat!(
            "SELECT ",
            $what,
            " FROM _webhook_registry_subscription s \
             INDEXED BY _webhook_registry_subscription_owner \
             WHERE s.owner = ",
            owner_row!(),
            " AND ?2 IS NULL AND ",
            matching!()
        )
    };
    ($what:literal, all, every) => {
        concat!(
            "SELECT ",
            $what,
            " FROM _webhook_registry_subscription s \
             WHERE ?1 IS NULL AND ?2 IS NULL AND ",
            matching!()
        )
    };
    ($what:literal, tested, owner) => {
        concat!(
            "SELECT ",
            $what,
            " FROM _webhook_registry_subscription s \
             INDEXED BY _webhook_registry_subscription_owner \
             WHERE s.owner = ",
            owner_row!(),
            " AND ( \
                 SELECT 1 FROM _webhook_registry_subscription_pattern r \
                 INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1 \
                 WHERE r.owner = s.owner AND r.subscription = s.seq AND \
                       (SELECT 1 FROM _webhook_registry_expansion \
                         WHERE event_type = ?2 AND pattern = r.pattern)) \
             AND ",
            matching!()
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

impl Read<'_> {
    /// Returns the number of subscriptions that match the query, ignoring its start.
    pub(crate) fn count(&self, query: &ListQuery) -> Result<u64> {
        let ListQuery { enabled, name_contains, event_type, metadata: wanted, .. } = query;
        let rows = wanted.is_empty();
        let sql = match (self.scope, event_type) {
            (Scope::Every, None) => counting!(rows, all, every),
            (Scope::NoOwner | Scope::Owner(_), None) => counting!(rows, all, owner),
            (Scope::NoOwner | Scope::Owner(_), Some(event_type))
                if !self.starts_with_event(event_type)? =>
            {
                counting!(rows, tested, owner)
            }
            (_, Some(event_type)) => return self.count_followed(event_type, query),
        };
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let given = params![self.owner_param(), event_type, enabled, name_contains];
        let mut rows = statement.query(given).map_sqlite_err()?;
        let mut count = 0_u64;
        while let Some(row) = rows.next().map_sqlite_err()? {
            if wanted.is_empty() {
                return row.get(0).map_err(sqlite_error).and_then(natural);
            }
            count = count.saturating_add(u64::from(holds(&metadata_in(row, 0)?, wanted)));
        }
        Ok(count)
    }

    /// Returns the number of subscriptions that match the query, by following the patterns that
    /// match its event type.
    fn count_followed(&self, event_type: &str, query: &ListQuery) -> Result<u64> {
        let ListQuery { enabled, name_contains, metadata: wanted, .. } = query;
        let positions = self.followed(event_type, *enabled)?;
        if name_contains.is_none() && wanted.is_empty() {
            return Ok(u64::try_from(positions.len()).unwrap_or(u64::MAX));
        }
        let sql = "SELECT metadata FROM _webhook_registry_subscription \
                   WHERE seq = ?1 AND (?2 IS NULL OR instr(name, ?2) > 0)";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut count = 0_u64;
        for position in positions {
            let mut rows = statement.query(params![position, name_contains]).map_sqlite_err()?;
            if let Some(row) = rows.next().map_sqlite_err()? {
                let matches = wanted.is_empty() || holds(&metadata_in(row, 0)?, wanted);
                count = count.saturating_add(u64::from(matches));
            }
        }
        Ok(count)
    }
}
