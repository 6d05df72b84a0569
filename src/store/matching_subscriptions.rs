//! The subscriptions that match an event type, in the order of creation, from any position on.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use rusqlite::{OptionalExtension as _, params};

use super::error::MapSqliteErr as _;
use super::rows::rising;
use super::transaction::Read;
use crate::error::Result;

/// Selects the patterns that match an event type.
const PATTERNS: &str = "SELECT pattern FROM _webhook_registry_expansion INDEXED BY \
                        sqlite_autoindex__webhook_registry_expansion_1 \
                         WHERE event_type = (SELECT id FROM _webhook_registry_event_type WHERE \
                        name = ?1)";

/// Selects every subscription after a position, and whether one of its patterns matches.
const SCAN: &str = "SELECT s.seq, EXISTS (SELECT 1 FROM _webhook_registry_subscription_pattern r \
                    INDEXED BY \
    sqlite_autoindex__webhook_registry_subscription_pattern_1 \
                                           WHERE r.subscription = s.seq AND \
                                                 (SELECT 1 FROM _webhook_registry_expansion \
                                                   WHERE event_type = (SELECT id FROM \
                        _webhook_registry_event_type \
                                                   WHERE name = ?2) \
                                                     AND pattern = r.pattern)) \
                      FROM _webhook_registry_subscription s INDEXED BY \
                      _webhook_registry_subscription_seq WHERE s.seq > ?1 ORDER BY \
                      s.seq";

/// Selects the next subscription that has a pattern, by the index that holds them in this order.
const NEXT: &str = "SELECT subscription FROM _webhook_registry_subscription_pattern INDEXED BY \
    _webhook_registry_subscription_pattern_route \
                     WHERE pattern = ?1 AND enabled = ?2 AND subscription > ?3 ORDER BY \
                     subscription LIMIT 1";

impl Read<'_> {
    /// Passes the position of each subscription after `after` with a pattern that matches this
    /// event type to `each`, in rising order, once each, until `each` returns false.
    ///
    /// A page must cost no more than its own length, and all pages together no more than the table.
    /// The index lists the subscriptions of one pattern in order, so a merge of the lists costs one
    /// look-up for each pattern and one for each match. That is quadratic where each of many
    /// subscriptions has a pattern of its own: every page would begin by looking up all of them. So
    /// as many subscriptions as there are patterns are first scanned one by one. Where that fills
    /// the page, nothing else is read; where it does not, the merge costs no more than the scan
    /// before it, and no later page scans these rows again.
    pub(super) fn each_match(
        &self,
        event_type: &str,
        enabled: Option<bool>,
        mut after: i64,
        mut each: impl FnMut(i64) -> Result<bool>,
    ) -> Result<()> {
        let mut known = self.conn.prepare_cached(PATTERNS).map_sqlite_err()?;
        let mut known = known.query([event_type]).map_sqlite_err()?;
        let mut scan = self.conn.prepare_cached(SCAN).map_sqlite_err()?;
        let mut scan = scan.query(params![after, event_type]).map_sqlite_err()?;
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
        self.merge(&patterns, enabled, after, each)
    }

    /// Merges the lists of the subscriptions of each pattern.
    fn merge(
        &self,
        patterns: &[i64],
        enabled: Option<bool>,
        mut after: i64,
        mut each: impl FnMut(i64) -> Result<bool>,
    ) -> Result<()> {
        let mut statement = self.conn.prepare_cached(NEXT).map_sqlite_err()?;
        let mut next = |pattern: i64, enabled: bool, after: i64| {
            let next = statement.query_row(params![pattern, enabled, after], |row| row.get(0));
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
