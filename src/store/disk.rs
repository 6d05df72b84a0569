//! Tells a disk that cannot be read from a file that is damaged.
//!
//! SQLite reports both as `SQLITE_CORRUPT`. Where a read fails with `EIO`, its VFS returns
//! `SQLITE_IOERR_CORRUPTFS`, and the virtual machine that runs a statement turns that code into
//! `SQLITE_CORRUPT`. `PRAGMA integrity_check` reads the same pages outside the virtual machine and
//! keeps the code in the text of its rows. Opening a file, the first read of its schema and a copy
//! return the code itself.
//!
//! The integrity check of an older SQLite (3.40) does not see every damaged entry of an index. A
//! statement does. Where the check finds nothing, the tables are therefore read by their indexes.
//!
//! The file is not read without SQLite: closing that descriptor would drop SQLite's locks.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, Error as SqlError, ffi};

use super::connection::connect;
use super::error::{self, MapSqliteErr as _};
use super::registry_row;
use super::schema::{Parts, newest_schema, own_tables};
use super::settings::Access;
use crate::error::{Error, ErrorKind, Result};

/// The words by which SQLite's integrity check reports a page that could not be read. For an
/// overflow page it leaves out the code.
const WITH_CODE: &str = "error code=";
const WITHOUT_CODE: &str = "failed to get page";

/// For how many times the duration of an integrity check its finding holds. The check reads the
/// whole file, and every call on a damaged file can fail. So at most a hundredth of the time is
/// spent on checks.
const HOLDS: u32 = 100;

/// The part of a file that is copied where its schema cannot be read: 64 MiB with pages of the
/// usual size. The schema lies at the beginning.
const COPIED_STEPS: u32 = 64;
const COPIED_PAGES: i32 = 256;

/// The files that were found to be damaged, and until when the finding holds.
static DAMAGED: Mutex<Vec<(String, Instant)>> = Mutex::new(Vec::new());

/// Returns the same error, or `Storage` where SQLite reports damage because a read failed.
pub(super) fn diagnose(conn: &Connection, error: Error) -> Error {
    // A path that is not UTF-8 is None, and the path of a database in memory is empty.
    let path = conn.path();
    if !is_ambiguous(&error) || path == Some("") || is_known(path.unwrap_or_default()) {
        return error;
    }
    let began = Instant::now();
    match look(conn) {
        Finding::Damage => {
            keep_known(path.unwrap_or_default(), began.elapsed().saturating_mul(HOLDS));
            error
        }
        Finding::Unreadable(what) => unreadable(what).with_source(error),
        Finding::Sound => unreadable("a read failed that now succeeds").with_source(error),
    }
}

fn damaged() -> MutexGuard<'static, Vec<(String, Instant)>> {
    let mut damaged = DAMAGED.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    damaged.retain(|(_, until)| now < *until);
    damaged
}

fn is_known(path: &str) -> bool {
    damaged().iter().any(|(known, _)| known == path)
}

fn keep_known(path: &str, holds: Duration) {
    if let Some(until) = Instant::now().checked_add(holds) {
        damaged().push((path.to_owned(), until));
    }
}

/// Returns an error for a line of SQLite's integrity check that reports a failed read, not damage.
pub(super) fn unreadable_page(line: &str) -> Option<Error> {
    says_unreadable(line).then(|| unreadable(line))
}

fn unreadable(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Storage, format!("the file could not be read: {what}"))
}

/// Returns whether the code behind this error can stand for damage and for a failed read.
///
/// The text of a table that SQLite read and cannot parse is damage. An integrity check can miss it.
fn is_ambiguous(error: &Error) -> bool {
    error.kind() == ErrorKind::Corrupt
        && error::sql_code(error) == Some(ffi::SQLITE_CORRUPT)
        && !error::is_malformed_schema(error)
}

enum Finding {
    Damage,
    Unreadable(String),
    Sound,
}

/// Checks the file through this connection. Where it cannot read the first page, a new connection
/// can tell why: it reads the header outside the virtual machine.
fn look(conn: &Connection) -> Finding {
    let anew = || match conn.path().map(|path| connect(Path::new(path), Access::Read)) {
        Some(Ok(conn)) => examine(&conn).or_else(|| copied(&conn)),
        Some(Err(error)) if error::sql_code(&error).is_some_and(error::is_io_code) => {
            Some(Finding::Unreadable(error.to_string()))
        }
        _ => copied(conn),
    };
    examine(conn).or_else(anew).unwrap_or(Finding::Damage)
}

/// Runs the integrity check, and reads by the indexes where it finds nothing. None where the check
/// could not begin.
fn examine(conn: &Connection) -> Option<Finding> {
    let found = integrity(conn)?;
    if !matches!(found, Finding::Sound) {
        return Some(found);
    }
    match read_by_indexes(conn) {
        // These reads go through the virtual machine, and can have met a failed read themselves.
        Err(error) if is_ambiguous(&error) => match integrity(conn) {
            Some(Finding::Unreadable(what)) => Some(Finding::Unreadable(what)),
            _ => Some(Finding::Damage),
        },
        Err(error) if error.kind() == ErrorKind::Storage => {
            Some(Finding::Unreadable(error.to_string()))
        }
        _ => Some(Finding::Sound),
    }
}

/// Reads each row of the registry's tables, by each of the registry's indexes.
pub(super) fn read_by_indexes(conn: &Connection) -> Result<()> {
    let newest = newest_schema(Parts::Tables)?;
    for table in own_tables(conn)? {
        for sql in scans(&newest, &table)? {
            // A statement does not compile where the file's index is missing or another one.
            let Ok(mut statement) = conn.prepare(&sql) else { continue };
            let mut rows = statement.query([]).map_sqlite_err()?;
            while rows.next().map_sqlite_err()?.is_some() {}
        }
    }
    Ok(())
}

/// Returns the statements that read a whole table: by itself, and by each of its indexes.
///
/// The schema is the registry's own and not that of a file, where an index can have any text.
fn scans(schema: &Connection, table: &str) -> Result<Vec<String>> {
    // A table WITHOUT ROWID is the index of its primary key. The index of UNIQUE has no SQL.
    let sql = "SELECT i.name, m.sql FROM pragma_index_list(?1) i \
               LEFT JOIN sqlite_master m ON m.name = i.name";
    let mut statement = schema.prepare(sql).map_sqlite_err()?;
    let mut rows = statement.query([table]).map_sqlite_err()?;
    let mut scans = vec![format!("SELECT * FROM {table} NOT INDEXED")];
    while let Some(row) = rows.next().map_sqlite_err()? {
        let index: String = row.get(0).map_sqlite_err()?;
        let sql: Option<String> = row.get(1).map_sqlite_err()?;
        // SQLite uses a partial index only where the statement has its condition.
        let part = sql.as_deref().and_then(|sql| sql.split_once("WHERE"));
        let part = part.map_or("TRUE", |(_, condition)| condition);
        scans.push(format!("SELECT * FROM {table} INDEXED BY {index} WHERE {part}"));
    }
    Ok(scans)
}

/// Reads the first pages by an online backup. A backup needs no schema, an integrity check does.
fn copied(conn: &Connection) -> Option<Finding> {
    let mut memory = Connection::open_in_memory().ok()?;
    let backup = Backup::new(conn, &mut memory).ok()?;
    for _ in 0..COPIED_STEPS {
        match backup.step(COPIED_PAGES) {
            Ok(StepResult::More) => {}
            Ok(_) => break,
            Err(SqlError::SqliteFailure(failure, _))
                if error::is_io_code(failure.extended_code) =>
            {
                return Some(Finding::Unreadable(failure.to_string()));
            }
            Err(_) => break,
        }
    }
    None
}

/// Runs SQLite's integrity check. None where it could not begin.
///
/// In an application's file the registry's tables come first, because the application may have
/// tables that take long to check, and collations that this connection does not know. Where they
/// are sound, the whole file is checked if it can be: a call also reads free pages.
fn integrity(conn: &Connection) -> Option<Finding> {
    let whole = || integrity_of(conn, "PRAGMA main.integrity_check");
    if !registry_row::is_guest(conn).unwrap_or(false) {
        return whole();
    }
    let tables = own_tables(conn).ok()?;
    let mut found = None;
    for table in std::iter::once("sqlite_schema".to_owned()).chain(tables) {
        match integrity_of(conn, &format!("PRAGMA main.integrity_check({table})")) {
            Some(Finding::Sound) => found = found.or(Some(Finding::Sound)),
            Some(Finding::Damage) => found = Some(Finding::Damage),
            other => return other,
        }
    }
    match found {
        Some(Finding::Sound) => whole().or(found),
        found => found,
    }
}

fn integrity_of(conn: &Connection, sql: &str) -> Option<Finding> {
    let mut is_sound = None;
    let looked = (|| {
        let mut statement = conn.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let line: String = row.get(0)?;
            if says_unreadable(&line) {
                return Ok(Some(line));
            }
            is_sound = Some(line == "ok");
        }
        Ok(None)
    })();
    match (looked, is_sound) {
        (Ok(Some(line)), _) => Some(Finding::Unreadable(line)),
        (Err(SqlError::SqliteFailure(failure, _)), _)
            if error::is_io_code(failure.extended_code) =>
        {
            Some(Finding::Unreadable(failure.to_string()))
        }
        (_, Some(false)) => Some(Finding::Damage),
        (Ok(None), Some(true)) => Some(Finding::Sound),
        _ => None,
    }
}

fn says_unreadable(line: &str) -> bool {
    line.contains(WITHOUT_CODE)
        || line.split(WITH_CODE).skip(1).any(|rest| {
            let digits = rest
                .find(|next: char| !next.is_ascii_digit())
                .map_or(rest, |end| rest.get(..end).unwrap_or(""));
            digits.parse().is_ok_and(error::is_io_code)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_report_of_a_failed_read_is_storage() {
        for line in [
            "*** in database main ***\nTree 4 page 4: unable to get the page. error code=8458",
            "Tree 2 page 9: unable to get the page. error code=266, and more",
            "Tree 3 page 3 cell 2: 2nd reference to page 9\nTree 3 page 3: failed to get page 12",
        ] {
            assert_eq!(
                unreadable_page(line).map(|error| error.kind()),
                Some(ErrorKind::Storage),
                "{line}"
            );
        }
        for line in [
            "ok",
            "Tree 4 page 4: btreeInitPage() returns error code 11",
            "unable to get the page. error code=11",
            // A file that ends before it should.
            "unable to get the page. error code=522",
            "error code=",
            "Page 7: never used",
        ] {
            assert!(unreadable_page(line).is_none(), "{line}");
        }
    }

    #[test]
    fn each_table_is_read_by_itself_and_by_each_index() {
        let conn = newest_schema(Parts::Tables).unwrap();
        let mut plans = String::new();
        for table in own_tables(&conn).unwrap() {
            for sql in scans(&conn, &table).unwrap() {
                let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
                let mut rows = plan.query([]).unwrap();
                while let Some(row) = rows.next().unwrap() {
                    plans += &format!("{}\n", row.get::<_, String>("detail").unwrap());
                }
            }
            let whole = [format!("SCAN {table}\n"), format!("SCAN {table} USING PRIMARY KEY\n")];
            assert!(whole.iter().any(|scan| plans.contains(scan)), "{table} in {plans}");
        }
        let sql = "SELECT i.name FROM sqlite_master t, pragma_index_list(t.name) i \
                    WHERE t.type = 'table' AND i.origin <> 'pk'";
        let mut statement = conn.prepare(sql).unwrap();
        let indexes = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let indexes: Vec<String> = indexes.collect::<Result<_, _>>().unwrap();
        assert_eq!(indexes.len(), 10, "{indexes:?}");
        for index in indexes {
            assert!(plans.contains(&format!("INDEX {index}")), "{index} in {plans}");
        }
    }

    #[test]
    fn a_finding_of_damage_holds_until_it_runs_out() {
        keep_known("/a/damaged.db", Duration::from_secs(60));
        keep_known("/a/former.db", Duration::ZERO);
        assert!(is_known("/a/damaged.db"));
        assert!(!is_known("/a/former.db") && !is_known("/a/other.db"));
        assert!(damaged().iter().all(|(path, _)| path != "/a/former.db"), "nothing piles up");
    }
}
