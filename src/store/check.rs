//! Checks the file: by SQLite's own checks, and by comparing the tables. Damage that can still be
//! read is a finding, and the check reads on after it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rusqlite::Connection;

use super::disk;
use super::error::MapSqliteErr as _;
use super::findings::{DELETE, REBUILD, RESTORE, listed, tolerant, tolerant_of, unless_damaged};
use super::handle::Store;
use super::registry_row;
use super::rows::{UNREACHED, description_of, disabled_reason_of, events_of, metadata_of, text_of};
use super::schema::{self, Parts, own_tables};
use super::transaction::Read;
use crate::error::{Error, Result, quoted};
use crate::id::SubscriptionId;
use crate::report::{Finding, Report, SubscriptionLabel};
use crate::secret::IssuedSecret;
use crate::subscription::{StoredParts, Subscription};

/// The offset of the page that SQLite uses for locks. No table uses that page.
const LOCKS: i64 = 0x4000_0000;

impl Store {
    /// Checks the schema, the pages, the references, and what belongs to the file as a whole.
    pub(crate) fn check_file(&self, read: &Read<'_>, report: &mut Report) -> Result<()> {
        read.check_file(self.parts, report)
    }
}

impl Read<'_> {
    fn check_file(&self, parts: Parts, report: &mut Report) -> Result<()> {
        // Where not even this can be read, there is nothing to report on.
        self.number("SELECT count(*) FROM sqlite_master")?;
        tolerant(self.conn, report, |report| self.check_schema(parts, report))?;
        let before = report.findings().len();
        let whole = tolerant(self.conn, report, |report| integrity(self.conn, report))?;
        if report.findings().len() == before {
            // An older SQLite's check misses some damage. Where it found other damage, the file has
            // to be restored anyway.
            tolerant(self.conn, report, |_| disk::read_by_indexes(self.conn))?;
        }
        if whole == Some(true) {
            tolerant(self.conn, report, |report| self.unused_pages(report))?;
        }
        tolerant(self.conn, report, |report| references(self.conn, report))?;
        tolerant(self.conn, report, |report| self.registry_row(report))?;
        tolerant(self.conn, report, |report| self.check_owners(report))?;
        tolerant(self.conn, report, |report| self.history(report))?;
        Ok(())
    }

    /// Reads every subscription and its secrets, in the order of creation, and passes those that
    /// decode to `see`.
    pub(crate) fn check_subscriptions(
        &self,
        report: &mut Report,
        mut see: impl FnMut(&mut Report, &SubscriptionLabel, &Subscription, &[IssuedSecret]),
    ) -> Result<()> {
        // A value that does not decode was reported with the file.
        let last_deleted =
            tolerant(self.conn, &mut Report::default(), |_| registry_row::last_deleted(self.conn))?
                .flatten();
        let bare = "SELECT seq FROM _webhook_registry_subscription WHERE events = ''";
        let bare = tolerant(self.conn, report, |_| self.numbers(bare))?.unwrap_or_default();
        let disagree = "SELECT s.seq FROM _webhook_registry_subscription s CROSS JOIN \
                        _webhook_registry_subscription_pattern r \
                        INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1 ON \
                        r.owner = s.owner AND r.subscription = s.seq \
                         WHERE r.enabled <> s.enabled";
        let disagree = tolerant(self.conn, report, |_| self.numbers(disagree))?.unwrap_or_default();
        // A connection that only reads leaves out the CHECKs when it reads the schema, also from
        // its integrity check.
        let unchecked = "SELECT seq FROM _webhook_registry_subscription WHERE enabled NOT IN (0, \
                        1) OR revision < 1";
        let unchecked =
            tolerant(self.conn, report, |_| self.numbers(unchecked))?.unwrap_or_default();
        let miscounted = "SELECT seq FROM _webhook_registry_subscription s \
                           WHERE replaced_secrets <> \
                                 (SELECT count(*) FROM _webhook_registry_replaced_secret \
                                  INDEXED BY sqlite_autoindex__webhook_registry_replaced_secret_1 \
                                   WHERE subscription = s.seq)";
        let miscounted =
            tolerant(self.conn, report, |_| self.numbers(miscounted))?.unwrap_or_default();
        let mut before: Option<SubscriptionId> = None;
        tolerant(self.conn, report, |report| {
            let sql = "SELECT seq, id, name FROM _webhook_registry_subscription ORDER BY seq";
            let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
            let mut rows = statement.query([]).map_sqlite_err()?;
            while let Some(row) = rows.next().map_sqlite_err()? {
                let seq: i64 = row.get(0).map_sqlite_err()?;
                let text = |column| {
                    let bytes = row.get_ref(column).map(|text| text.as_bytes().map(<[u8]>::to_vec));
                    let bytes = bytes.map(Result::unwrap_or_default).map_sqlite_err()?;
                    Ok::<_, Error>(String::from_utf8_lossy(&bytes).into_owned())
                };
                let who = SubscriptionLabel::new(text(1)?, text(2)?);
                if who.id().is_none() {
                    report.push_finding(Finding::new(
                        &who,
                        format_args!("its id is none; {RESTORE}"),
                    ));
                } else if who.id() <= before {
                    let message = format!("its id does not follow on the one before it; {RESTORE}");
                    report.push_finding(Finding::new(&who, message));
                } else if who.id() == last_deleted {
                    let message =
                        format!("its id is kept as that of a deleted subscription; {REBUILD}");
                    report.push_finding(Finding::new(&who, message));
                }
                before = who.id().max(before);
                if seq >= UNREACHED {
                    let message = "nothing can be created after it, for its row has a number to \
                        which no registry counts";
                    report.push_finding(Finding::new(&who, format_args!("{message}; {DELETE}")));
                }
                if seq < 1 {
                    let message = format!("its row has the number {seq}, below 1; {DELETE}");
                    report.push_finding(Finding::new(&who, message));
                }
                if unchecked.binary_search(&seq).is_ok() {
                    let message =
                        format!("its revision is below 1, or `enabled` neither 0 nor 1; {DELETE}");
                    report.push_finding(Finding::new(&who, message));
                }
                let secrets = tolerant_of(self.conn, report, &who, || self.all_secrets(seq, &who))?
                    .unwrap_or_default();
                if miscounted.binary_search(&seq).is_ok() {
                    let message = "the number of its replaced secrets is not kept as it is; give \
                        it another with rotate_secret";
                    report.push_finding(Finding::new(&who, message));
                }
                let bare = bare.binary_search(&seq).is_ok();
                let found = self.one_of(seq, bare, &who, report)?;
                // After the faults of the row itself, which have to be repaired first.
                if disagree.binary_search(&seq).is_ok() {
                    let message = "its patterns are kept as enabled where it is not, or the \
                        other way round; set `enabled` to the \
                         other value and back";
                    report.push_finding(Finding::new(&who, message));
                }
                if let Some(subscription) = found {
                    self.check_routes(seq, &subscription, &who, report)?;
                    see(report, &who, &subscription, &secrets);
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Reads a subscription, and reports each part that does not decode or that breaks a rule.
    fn one_of(
        &self,
        seq: i64,
        bare: bool,
        who: &SubscriptionLabel,
        report: &mut Report,
    ) -> Result<Option<Subscription>> {
        let mut faults = Vec::new();
        let found = if bare {
            faults.push("it has no pattern".to_owned());
            None
        } else {
            unless_damaged(self.conn, self.at(seq), |error| faults.push(error.to_string()))?
                .flatten()
        };
        if let Some(subscription) = &found {
            faults.extend(named(StoredParts::from(subscription)));
        } else if let Some(id) = who.id() {
            // The first that does not decode hides the others.
            faults.extend(
                unless_damaged(self.conn, self.texts(seq, bare, id), drop)?.unwrap_or_default(),
            );
        }
        let mut told = HashSet::new();
        for fault in faults.into_iter().filter(|fault| told.insert(fault.clone())) {
            let what_to_do = if who.id().is_some() { DELETE } else { RESTORE };
            report.push_finding(Finding::new(who, format_args!("{fault}; {what_to_do}")));
        }
        Ok(found)
    }

    /// Returns the problems of each text of a subscription.
    fn texts(&self, seq: i64, bare: bool, id: SubscriptionId) -> Result<Vec<String>> {
        let sql = "SELECT name, url, description, metadata, disabled_reason, events FROM \
                   _webhook_registry_subscription \
            WHERE seq = ?1";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([seq]).map_sqlite_err()?;
        let Some(row) = rows.next().map_sqlite_err()? else {
            return Ok(Vec::new());
        };
        let mut faults = Vec::new();
        let mut tell = |error: Error| faults.push(error.to_string());
        let name = unless_damaged(self.conn, text_of(row, 0, "name", id), &mut tell)?;
        let url = unless_damaged(self.conn, text_of(row, 1, "url", id), &mut tell)?;
        let description =
            unless_damaged(self.conn, description_of(row, 2, id), &mut tell)?.flatten();
        let metadata = unless_damaged(self.conn, metadata_of(row, 3, id), &mut tell)?;
        let disabled_reason =
            unless_damaged(self.conn, disabled_reason_of(row, 4, id), &mut tell)?.flatten();
        let events =
            if bare { None } else { unless_damaged(self.conn, events_of(row, 5, id), &mut tell)? };
        let parts = StoredParts {
            name,
            url,
            events: events.as_deref(),
            description,
            metadata: metadata.as_ref(),
            disabled_reason,
            ..StoredParts::default()
        };
        faults.extend(named(parts));
        Ok(faults)
    }

    /// Compares the patterns of a subscription with those by which dispatch finds it.
    fn check_routes(
        &self,
        seq: i64,
        subscription: &Subscription,
        who: &SubscriptionLabel,
        report: &mut Report,
    ) -> Result<()> {
        let routes = tolerant_of(self.conn, report, who, || self.route_patterns(seq))?;
        let routes: BTreeSet<String> = routes.unwrap_or_default();
        let events = subscription.events().iter().map(|event| event.as_str());
        let missing: Vec<String> =
            events.clone().filter(|event| !routes.contains(*event)).map(quoted).collect();
        if !missing.is_empty() {
            let message =
                format!("dispatch does not find it by its patterns: {}", listed(&missing));
            report.push_finding(Finding::new(who, format_args!("{message}; {REBUILD}")));
        }
        let events: HashSet<&str> = events.collect();
        let surplus = routes.iter().filter(|route| !events.contains(route.as_str()));
        let surplus: Vec<String> = surplus.map(|route| quoted(route)).collect();
        if !surplus.is_empty() {
            let message = format!(
                "dispatch finds it by patterns that it does not have: {}",
                listed(&surplus)
            );
            report.push_finding(Finding::new(who, format_args!("{message}; {REBUILD}")));
        }
        Ok(())
    }

    fn unused_pages(&self, report: &mut Report) -> Result<()> {
        // The integrity check says nothing of them once a schema has views. The table that knows of
        // every page is not in every build of SQLite; and where pages can move, there are some
        // besides.
        let known = "SELECT count(*) FROM pragma_module_list WHERE name = 'dbstat'";
        if self.number(known)? == 0 || self.number("PRAGMA auto_vacuum")? != 0 {
            return Ok(());
        }
        let pages = self.number("PRAGMA page_count")?;
        let of_locks = LOCKS
            .checked_div(self.number("PRAGMA page_size")?)
            .is_some_and(|before| pages > before);
        let used = [
            self.number("SELECT coalesce(sum(pageno), 0) FROM dbstat WHERE aggregate = TRUE")?,
            self.number("PRAGMA freelist_count")?,
            i64::from(of_locks),
        ];
        let unused = pages.saturating_sub(used.iter().sum());
        if unused != 0 {
            let message = format!(
                "pages belong to nothing ({unused}), and what they hold is never overwritten; \
                 {REBUILD}"
            );
            report.push_finding(Finding::for_file(message));
        }
        Ok(())
    }

    fn registry_row(&self, report: &mut Report) -> Result<()> {
        let rows = self.number("SELECT count(*) FROM _webhook_registry_meta")?;
        let whole = format!(
            "SELECT count(*) FROM _webhook_registry_meta WHERE length(file_id) IN (16, 32) AND \
             keep_changes >= 0 \
                AND last_change >= 0 AND last_change < {UNREACHED} AND schema_version = {} AND \
             guest IN (0, 1) AND catalog_change >= 0 AND catalog_change < {UNREACHED}",
            schema::newest()
        );
        if (rows, self.number(&whole)?) != (1, 1) {
            let message = format!(
                "what belongs to the file as a whole is not there once as it was written; {RESTORE}"
            );
            report.push_finding(Finding::for_file(message));
        }
        registry_row::last_deleted(self.conn).map(drop)
    }

    fn history(&self, report: &mut Report) -> Result<()> {
        // A history without rows is not compared with the file's row.
        let gaps = "SELECT max(sequence) - min(sequence) + 1 <> count(*) \
                       OR max(sequence) < (SELECT max(last_change) FROM _webhook_registry_meta) \
                       FROM _webhook_registry_change";
        if self.number(&format!("SELECT coalesce(({gaps}), 0)"))? != 0 {
            let message =
                format!("the history of changes has gaps; {REBUILD}, and follow it from there");
            report.push_finding(Finding::for_file(message));
        }
        self.decode_changes(|error| {
            report.push_finding(Finding::for_file(format!(
                "{error}; {REBUILD}, and follow its history from there"
            )));
        })
    }

    fn all_secrets(&self, seq: i64, who: &SubscriptionLabel) -> Result<Vec<IssuedSecret>> {
        // An encrypted secret decrypts for its subscription alone, so where that has no id, neither
        // has this.
        who.id().map_or_else(|| Ok(Vec::new()), |id| self.secrets(seq, id))
    }

    /// Returns the distinct numbers of a query, in order.
    fn numbers(&self, sql: &str) -> Result<Vec<i64>> {
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let numbers = statement.query_map([], |row| row.get(0)).and_then(Iterator::collect);
        let mut numbers: Vec<i64> = numbers.map_sqlite_err()?;
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }
}

/// Returns the parts of a subscription that break a rule.
fn named(parts: StoredParts<'_>) -> impl Iterator<Item = String> {
    parts.faults().into_iter().map(|problem| format!("its {problem}"))
}

/// Runs SQLite's integrity check, and returns whether it found nothing. In an application's file it
/// covers the registry's tables alone.
fn integrity(conn: &Connection, report: &mut Report) -> Result<bool> {
    if !registry_row::is_guest(conn)? {
        return integrity_of(conn, "PRAGMA integrity_check", report);
    }
    // The schema is shared: where it is damaged, the registry's tables cannot be found.
    for table in std::iter::once("sqlite_schema".to_owned()).chain(own_tables(conn)?) {
        // One statement for each, because damage of one must not hide that of another.
        let sql = format!("PRAGMA main.integrity_check({table})");
        tolerant(conn, report, |report| integrity_of(conn, &sql, report))?;
    }
    // Pages that belong to nothing are the application's concern.
    Ok(false)
}

fn integrity_of(conn: &Connection, sql: &str, report: &mut Report) -> Result<bool> {
    let mut statement = conn.prepare(sql).map_sqlite_err()?;
    let mut rows = statement.query([]).map_sqlite_err()?;
    let mut whole = true;
    while let Some(row) = rows.next().map_sqlite_err()? {
        let line: String = row.get(0).map_sqlite_err()?;
        if let Some(error) = disk::unreadable_page(&line) {
            return Err(error);
        }
        if line != "ok" {
            whole = false;
            report.push_finding(Finding::for_file(format!(
                "SQLite finds the file damaged: {line}; {RESTORE}"
            )));
        }
    }
    Ok(whole)
}

/// Reports rows of the registry's tables whose foreign keys lead nowhere.
///
/// Each table is checked by itself: SQLite ends a check of all tables at the first foreign key that
/// refers to no unique columns, and that can be one of another program.
fn references(conn: &Connection, report: &mut Report) -> Result<()> {
    for table in own_tables(conn)? {
        tolerant(conn, report, |report| references_of(conn, &table, report))?;
    }
    Ok(())
}

fn references_of(conn: &Connection, table: &str, report: &mut Report) -> Result<()> {
    let sql = format!("PRAGMA main.foreign_key_check({table})");
    let mut statement = conn.prepare(&sql).map_sqlite_err()?;
    let mut rows = statement.query([]).map_sqlite_err()?;
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    while let Some(row) = rows.next().map_sqlite_err()? {
        let count = counts.entry(row.get(2).map_sqlite_err()?).or_default();
        *count = count.saturating_add(1);
    }
    for (parent, count) in counts {
        let message = format!(
            "rows of the table {table} belong to no row of {parent}: {count} of them; {REBUILD}"
        );
        report.push_finding(Finding::for_file(message));
    }
    Ok(())
}
