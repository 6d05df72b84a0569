//! The subscriptions that match an event type, in the order of creation, from any position on.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use rusqlite::{OptionalExtension as _, params};

use super::error::MapSqliteErr as _;
use super::owners::{owner_row, owner_row_beside};
use super::rows::rising;
use super::transaction::Read;
use crate::error::Result;
use crate::id::SubscriptionId;
use crate::scope::Scope;

/// Selects the patterns that match an event type.
const PATTERNS: &str = "SELECT pattern FROM _webhook_registry_expansion INDEXED BY \
                        sqlite_autoindex__webhook_registry_expansion_1 \
                         WHERE event_type = ?2 AND ?1 IS ?1 AND ?3 IS NULL";

/// Selects every subscription of a scope after a position, and whether one of its patterns matches.
macro_rules! scan {
    ($index:literal, $scope:expr, $order:literal) => {
        concat!(
            "SELECT s.seq, EXISTS ( \
                 SELECT 1 FROM _webhook_registry_subscription_pattern r \
                 INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1 \
                 WHERE r.owner = s.owner AND r.subscription = s.seq AND \
                       (SELECT 1 FROM _webhook_registry_expansion \
                         WHERE event_type = ?3 AND pattern = r.pattern)) \
               FROM _webhook_registry_subscription s \
               INDEXED BY ",
            $index,
            " WHERE ",
            $scope,
            " AND s.",
            $order,
            " > ?2 ORDER BY s.",
            $order
        )
    };
}

/// Selects the next subscription of an owner that has a pattern, by the index that holds them in
/// this order.
const NEXT: &str = "SELECT subscription FROM _webhook_registry_subscription_pattern \
                    INDEXED BY _webhook_registry_subscription_pattern_route \
                    WHERE pattern = ?1 AND owner = ?2 AND enabled = ?3 AND subscription > ?4 \
                    ORDER BY subscription LIMIT 1";

/// Selects the positions of the subscriptions that have a pattern which matches the event type `?2`
/// and that are enabled or not, as `?3` says, if it says anything.
macro_rules! followed {
    ($($owner:tt)*) => {
        concat!(
            "SELECT r.subscription FROM _webhook_registry_expansion x \
             INDEXED BY sqlite_autoindex__webhook_registry_expansion_1 \
             CROSS JOIN _webhook_registry_subscription_pattern r \
             INDEXED BY _webhook_registry_subscription_pattern_route \
             ON r.pattern = x.pattern AND ", $($owner)*,
            " WHERE x.event_type = ?2 \
               AND (?3 IS NULL OR r.enabled = iif(x.pattern = x.pattern, ?3, NULL))"
        )
    };
}

impl Read<'_> {
    /// Passes the position of each subscription of the scope after the id `start` with a pattern
    /// that matches this event type to `each`, in rising order, once each, until `each` returns
    /// false.
    ///
    /// A page must cost no more than its own length, and all pages together no more than the table.
    /// The index lists the subscriptions of one pattern in order, so a merge of the lists costs one
    /// look-up for each pattern and one for each match. That is quadratic where each of many
    /// subscriptions has a pattern of its own: every page would begin by looking up all of them. So
    /// as many subscriptions as there are patterns are first scanned one by one. Where that fills
    /// the page, nothing else is read; where it does not, the merge costs no more than the scan
    /// before it, and no later page scans these rows again. The scan reads the subscriptions of
    /// one owner only, so it also bounds the cost where the patterns are those of other owners.
    ///
    /// For every owner, the lists of one pattern are as many as the owners that have it. There the
    /// scan goes on for as many subscriptions as match, and then these are sorted.
    pub(super) fn each_match(
        &self,
        event_type: &str,
        enabled: Option<bool>,
        start: Option<SubscriptionId>,
        mut each: impl FnMut(i64) -> Result<bool>,
    ) -> Result<()> {
        let (known, scan) = match self.scope {
            Scope::Every => (
                followed!("?1 IS NULL"),
                scan!("sqlite_autoindex__webhook_registry_subscription_1", "?1 IS NULL", "id"),
            ),
            Scope::NoOwner | Scope::Owner(_) => (
                PATTERNS,
                scan!(
                    "_webhook_registry_subscription_owner",
                    concat!("s.owner = ", owner_row!()),
                    "seq"
                ),
            ),
        };
        let owner = self.owner_param();
        let mut known = self.conn.prepare_cached(known).map_sqlite_err()?;
        let mut known = known.query(params![owner, event_type, None::<bool>]).map_sqlite_err()?;
        let mut scan = self.conn.prepare_cached(scan).map_sqlite_err()?;
        let given = params![owner, self.after(start)?, event_type];
        let mut scan = scan.query(given).map_sqlite_err()?;
        let mut after = self.position(start)?;
        // For every owner, the positions of the subscriptions.
        let mut patterns: Vec<i64> = Vec::new();
        while let Some(pattern) = known.next().map_sqlite_err()? {
            patterns.push(pattern.get(0).map_sqlite_err()?);
            let Some(row) = scan.next().map_sqlite_err()? else {
                return Ok(());
            };
            after = rising(after, row.get(0).map_sqlite_err()?)?;
            if row.get(1).map_sqlite_err()? && !each(after)? {
                return Ok(());
            }
        }
        match self.scope {
            Scope::Every => {
                patterns.retain(|seq| *seq > after);
                patterns.sort_unstable();
                patterns.dedup();
                for seq in patterns {
                    if !each(seq)? {
                        break;
                    }
                }
                Ok(())
            }
            Scope::NoOwner | Scope::Owner(_) => match self.owner_row()? {
                Some(owner) => self.merge(owner, &patterns, enabled, after, each),
                None => Ok(()),
            },
        }
    }

    /// Returns the positions of the subscriptions of the scope with a pattern that matches this
    /// event type, in order.
    pub(super) fn followed(&self, event_type: &str, enabled: Option<bool>) -> Result<Vec<i64>> {
        let sql = match self.scope {
            Scope::Every => followed!("?1 IS NULL"),
            Scope::NoOwner | Scope::Owner(_) => followed!("r.owner = ", owner_row_beside!()),
        };
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let given = params![self.owner_param(), event_type, enabled];
        let rows = statement.query_map(given, |row| row.get(0));
        let mut positions: Vec<i64> = rows.and_then(Iterator::collect).map_sqlite_err()?;
        positions.sort_unstable();
        positions.dedup();
        Ok(positions)
    }

    /// Merges the lists of an owner's subscriptions of each pattern.
    fn merge(
        &self,
        owner: i64,
        patterns: &[i64],
        enabled: Option<bool>,
        mut after: i64,
        mut each: impl FnMut(i64) -> Result<bool>,
    ) -> Result<()> {
        let mut statement = self.conn.prepare_cached(NEXT).map_sqlite_err()?;
        let mut next = |pattern: i64, enabled: bool, after: i64| {
            let next =
                statement.query_row(params![pattern, owner, enabled, after], |row| row.get(0));
            next.optional().map_sqlite_err()?.map(|next| rising(after, next)).transpose()
        };
        let mut lists = BinaryHeap::with_capacity(patterns.len());
        for &pattern in patterns {
            for flag in [false, true]
                .into_iter()
                .filter(|flag| enabled.is_none_or(|enabled| enabled == *flag))
            {
                lists.extend(
                    next(pattern, flag, after)?.map(|first| Reverse((first, pattern, flag))),
                );
            }
        }
        while let Some(mut least) = lists.peek_mut() {
            let Reverse((seq, pattern, flag)) = *least;
            // The same subscription can be in several lists.
            if seq > after {
                after = seq;
                if !each(seq)? {
                    break;
                }
            }
            match next(pattern, flag, seq)? {
                Some(following) => *least = Reverse((following, pattern, flag)),
                None => drop(PeekMut::pop(least)),
            }
        }
        Ok(())
    }
}
