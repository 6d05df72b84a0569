//! Checks that the catalog decodes, and that each pattern is expanded into the event types that it
//! matches.

use std::collections::{HashMap, HashSet};

use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::error::MapSqliteErr as _;
use super::findings::{REBUILD, listed, tolerant, unless_damaged};
use super::rows::decode_pattern;
use super::transaction::Read;
use crate::diagnostics::PatternMatches;
use crate::error::{Result, quoted};
use crate::event_type::is_name;
use crate::report::{Finding, Report, SubscriptionLabel};

/// The remedy for a changed event type.
const REGISTER: &str = "restore a backup, or register it anew";

impl Read<'_> {
    /// Returns what every pattern matches, by its text and the names that decode.
    pub(crate) fn check_catalog(&self, report: &mut Report) -> Result<PatternMatches> {
        let names = self.names(report)?;
        let mut matches = PatternMatches::new(names);
        let mut expansions =
            tolerant(self.conn, report, |_| self.expansions())?.unwrap_or_default();
        tolerant(self.conn, report, |report| {
            let sql = "SELECT id, prefix, text FROM _webhook_registry_pattern ORDER BY text";
            let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
            let mut rows = statement.query([]).map_sqlite_err()?;
            while let Some(row) = rows.next().map_sqlite_err()? {
                let id: i64 = row.get(0).map_sqlite_err()?;
                let expanded = expansions.remove(&id).unwrap_or_default();
                tolerant(self.conn, report, |report| {
                    self.pattern(row, id, expanded, &mut matches, report)
                })?;
            }
            Ok(())
        })?;
        Ok(matches)
    }

    /// Returns the names of the event types that decode.
    fn names(&self, report: &mut Report) -> Result<Vec<String>> {
        let mut names = Vec::new();
        tolerant(self.conn, report, |report| {
            let sql = "SELECT name FROM _webhook_registry_event_type ORDER BY name";
            let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
            let mut rows = statement.query([]).map_sqlite_err()?;
            while let Some(row) = rows.next().map_sqlite_err()? {
                tolerant(self.conn, report, |report| {
                    let name = row
                        .get_ref(0)
                        .map(|name| name.as_bytes().unwrap_or_default())
                        .map_sqlite_err()?;
                    let name = String::from_utf8_lossy(name);
                    if is_name(&name) {
                        unless_damaged(self.conn, self.event_type(&name), |error| {
                            report.push_finding(Finding::for_file(format!("{error}; {REGISTER}")));
                        })?;
                        names.push(name.into_owned());
                    } else {
                        let message = format!(
                            "the event type {} has a name that is none; restore a backup",
                            quoted(&name)
                        );
                        report.push_finding(Finding::for_file(message));
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })?;
        Ok(names)
    }

    /// Returns for each pattern the event types that it is expanded into in the file.
    fn expansions(&self) -> Result<HashMap<i64, HashSet<String>>> {
        let sql = "SELECT pattern, event_type FROM _webhook_registry_expansion ORDER BY \
                   event_type, pattern";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([]).map_sqlite_err()?;
        let mut expansions: HashMap<i64, HashSet<String>> = HashMap::new();
        while let Some(row) = rows.next().map_sqlite_err()? {
            let name =
                row.get_ref(1).map(|name| name.as_bytes().unwrap_or_default()).map_sqlite_err()?;
            let name = String::from_utf8_lossy(name).into_owned();
            expansions.entry(row.get(0).map_sqlite_err()?).or_default().insert(name);
        }
        Ok(expansions)
    }

    fn pattern(
        &self,
        row: &Row<'_>,
        id: i64,
        mut expanded: HashSet<String>,
        matches: &mut PatternMatches,
        report: &mut Report,
    ) -> Result<()> {
        let with = self.first_with(id)?;
        let decoded = unless_damaged(self.conn, decode_pattern(row, 2), |error| {
            report.push_finding(Finding::for_file(format!("{error}; {REBUILD}")));
        })?;
        let Some(pattern) = decoded else {
            return Ok(());
        };
        let text = pattern.to_string();
        let prefix = pattern.is_wildcard().then(|| pattern.literal_prefix().to_owned());
        let Some((who, more)) = with else {
            report.push_finding(Finding::for_file(format!(
                "the pattern \"{text}\" belongs to no subscription; {REBUILD}"
            )));
            matches.add(pattern).for_each(drop);
            return Ok(());
        };
        let shared =
            if more > 0 { format!(", which it shares with {more} more,") } else { String::new() };
        let mut find = |what: String| {
            report.push_finding(Finding::new(
                &who,
                format!("its pattern \"{text}\"{shared} {what}; {REBUILD}"),
            ));
        };
        if row.get_ref(1).map_sqlite_err()? != ValueRef::from(prefix.as_deref()) {
            find("is kept with another beginning than it has".to_owned());
        }
        let missing = matches.add(pattern).filter(|name| !expanded.remove(*name));
        let missing: Vec<String> = missing.map(quoted).collect();
        if !missing.is_empty() {
            find(format!("matches {} and is not expanded into it", listed(&missing)));
        }
        if !expanded.is_empty() {
            let count = expanded.len();
            find(format!("is expanded into event types that it does not match ({count})"));
        }
        Ok(())
    }

    /// Returns the first subscription that has the pattern, and how many others have it.
    fn first_with(&self, pattern: i64) -> Result<Option<(SubscriptionLabel, i64)>> {
        let sql = "SELECT s.id, s.name, \
                          (SELECT count(DISTINCT subscription) FROM \
                        _webhook_registry_subscription_pattern \
                             INDEXED BY _webhook_registry_subscription_pattern_route WHERE \
                        pattern = ?1) \
                     FROM _webhook_registry_subscription s \
                    WHERE s.seq = (SELECT min(subscription) FROM \
                    _webhook_registry_subscription_pattern \
                                   INDEXED BY _webhook_registry_subscription_pattern_route WHERE \
                        pattern = ?1)";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([pattern]).map_sqlite_err()?;
        let Some(row) = rows.next().map_sqlite_err()? else {
            return Ok(None);
        };
        let count: i64 = row.get(2).map_sqlite_err()?;
        let who =
            SubscriptionLabel::new(row.get(0).map_sqlite_err()?, row.get(1).map_sqlite_err()?);
        Ok(Some((who, count.saturating_sub(1))))
    }
}
