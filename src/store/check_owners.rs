//! Checks the rows of owners, and the owners that other tables repeat.

use rusqlite::Row;

use super::error::MapSqliteErr as _;
use super::findings::{DELETE, REBUILD, RESTORE, unless_damaged};
use super::rows::decode_owner;
use super::transaction::Read;
use crate::error::{Result, quoted};
use crate::report::{Finding, Report, SubscriptionLabel};

impl Read<'_> {
    /// Checks the table of owners, the owners of the patterns, and the numbers of the newest
    /// changes.
    pub(super) fn check_owners(&self, report: &mut Report) -> Result<()> {
        if self.number("SELECT count(*) FROM _webhook_registry_owner WHERE id = 0")? != 1 {
            let message = format!("the row that stands for no owner is missing; {RESTORE}");
            report.push_finding(Finding::for_file(message));
        }
        // The counts of all owners at once, because an index lists the subscriptions by owner.
        let sql = "SELECT o.id, o.name, o.subscriptions, \
                          (SELECT count(*) FROM _webhook_registry_subscription s \
                           INDEXED BY _webhook_registry_subscription_owner WHERE s.owner = o.id) \
                     FROM _webhook_registry_owner o ORDER BY o.id";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([]).map_sqlite_err()?;
        while let Some(row) = rows.next().map_sqlite_err()? {
            self.owner_of_row(row, report)?;
        }
        self.check_newest_changes(report)?;
        self.check_pattern_owners(report)
    }

    fn owner_of_row(&self, row: &Row<'_>, report: &mut Report) -> Result<()> {
        let id: i64 = row.get(0).map_sqlite_err()?;
        let mut whose = "without an owner".to_owned();
        if id != 0 {
            let name = unless_damaged(self.conn, decode_owner(row, 1), |error| {
                report.push_finding(Finding::for_file(format!("{error}; {RESTORE}")));
            })?;
            let Some(name) = name else {
                return Ok(());
            };
            whose = format!("of the owner {}", quoted(name));
        }
        let [counted, found] = [2, 3].map(|column| row.get::<_, i64>(column).map_sqlite_err());
        let (counted, found) = (counted?, found?);
        if counted != found {
            let message = format!(
                "the number of subscriptions {whose} is kept as {counted}, and there are {found}; \
                 {REBUILD}"
            );
            report.push_finding(Finding::for_file(message));
        } else if id != 0 && found == 0 {
            let message = format!(
                "a row is kept for subscriptions {whose}, of which there are \
                 none; {REBUILD}"
            );
            report.push_finding(Finding::for_file(message));
        }
        Ok(())
    }

    /// Compares the numbers by which a plan notices changes with the history.
    fn check_newest_changes(&self, report: &mut Report) -> Result<()> {
        let of_event_types =
            "kind IN ('eventTypeRegistered', 'eventTypeReplaced', 'eventTypeRemoved')";
        let last = "max((SELECT last_change FROM _webhook_registry_meta), \
                        coalesce((SELECT max(sequence) FROM _webhook_registry_change), 0))";
        let wrong = format!(
            "SELECT (SELECT count(*) FROM _webhook_registry_owner o \
                      WHERE o.last_change NOT BETWEEN \
                            coalesce(iif(o.id = 0, \
                                (SELECT max(c.sequence) FROM _webhook_registry_change c \
                                  WHERE c.owner IS NULL AND NOT c.{of_event_types}), \
                                (SELECT max(c.sequence) FROM _webhook_registry_change c \
                                 INDEXED BY _webhook_registry_change_owner \
                                  WHERE c.owner = o.name)), 0) \
                            AND {last}) \
                  + (SELECT count(*) FROM _webhook_registry_meta \
                      WHERE catalog_change NOT BETWEEN \
                            coalesce((SELECT max(sequence) FROM _webhook_registry_change \
                                       WHERE {of_event_types}), 0) \
                            AND {last})"
        );
        let wrong = self.number(&wrong)?;
        if wrong != 0 {
            let message = format!(
                "the numbers of the newest changes, by which a plan notices them, do not agree \
                 with the history ({wrong}); {REBUILD}"
            );
            report.push_finding(Finding::for_file(message));
        }
        Ok(())
    }

    /// Reports patterns that are kept for another owner than their subscription has, or for no
    /// subscription.
    fn check_pattern_owners(&self, report: &mut Report) -> Result<()> {
        let sql = "SELECT (SELECT id FROM _webhook_registry_subscription \
                            WHERE seq = r.subscription), \
                          (SELECT name FROM _webhook_registry_subscription \
                            WHERE seq = r.subscription), \
                          count(*) \
                     FROM _webhook_registry_subscription_pattern r \
                    WHERE r.owner IS NOT (SELECT owner FROM _webhook_registry_subscription \
                                           WHERE seq = r.subscription) \
                    GROUP BY r.subscription";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([]).map_sqlite_err()?;
        let mut orphans = 0_i64;
        while let Some(row) = rows.next().map_sqlite_err()? {
            let text = |column| {
                let bytes = row.get_ref(column).map_sqlite_err()?.as_bytes_or_null();
                let bytes = bytes.unwrap_or_default();
                Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
            };
            let count: i64 = row.get(2).map_sqlite_err()?;
            match (text(0)?, text(1)?) {
                (Some(id), Some(name)) => {
                    let who = SubscriptionLabel::new(id, name);
                    let message =
                        format_args!("its patterns are kept for another owner ({count}); {DELETE}");
                    report.push_finding(Finding::new(&who, message));
                }
                _ => orphans = orphans.saturating_add(count),
            }
        }
        if orphans != 0 {
            let message = format!(
                "patterns are kept for subscriptions that do not exist ({orphans}); {REBUILD}"
            );
            report.push_finding(Finding::for_file(message));
        }
        Ok(())
    }
}
