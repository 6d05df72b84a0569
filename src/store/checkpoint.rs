//! Checkpoints that cannot meet SQLite's WAL-reset bug.
//!
//! # The hazard
//!
//! In SQLite 3.7.0 to 3.51.2 a checkpoint can start with the state of the `-wal` from before
//! another connection restarted it. It then records changes as copied that are not. They are lost,
//! or the file is damaged. This happens if a change is committed between two steps of a checkpoint.
//! SQLite's own checkpoints after a commit hold no lock against that. A FULL or TRUNCATE checkpoint
//! falls back to the same behaviour where another connection is writing.
//!
//! # The lock
//!
//! With such a version SQLite's automatic checkpoints are switched off. This crate makes a
//! checkpoint through a second connection, while the first one holds SQLite's write lock, so that
//! nobody can commit meanwhile. It takes two connections because SQLite makes no checkpoint inside
//! a transaction. The checkpoint of the last connection that closes is still SQLite's: that
//! connection has the whole file locked. The bug is in the program that makes the checkpoint, so a
//! program with another version beside this one endangers the file only by its own checkpoints.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::connection::connect;
use super::error::MapSqliteErr as _;
use super::paths::{FileId, beside, check_same_file};
use super::settings::Access;
use crate::error::Result;

/// The length in bytes to which the `-wal` is cut once all of it is in the file. It is the length
/// at which SQLite makes a checkpoint by itself. What a long read of another program or one large
/// change adds is given back.
pub(super) const WAL_LIMIT: u64 = 4 << 20;

/// The number of rows that are changed before the next attempt, where a reader still needs the
/// `-wal`.
const ROWS: u64 = 50;

/// Returns whether the linked SQLite has the bug.
pub(super) fn has_wal_reset_bug() -> bool {
    is_affected(rusqlite::version_number())
}

/// Returns whether a version of SQLite has the bug. Two older branches were fixed too.
fn is_affected(version: i32) -> bool {
    match version {
        3_044_006..3_045_000 | 3_050_007..3_051_000 => false,
        version => (3_007_000..3_051_003).contains(&version),
    }
}

/// Returns the advice on a version of SQLite, where it has the bug.
fn advice(version: i32, name: &str) -> Option<String> {
    is_affected(version).then(|| {
        format!(
            "this program links SQLite {name}, in which checkpoints of two connections can lose \
             a committed change or damage \
             the file (SQLite's WAL-reset bug); the registry's own checkpoints avoid that, but \
             not those of Litestream and of \
             whatever else writes to the file; link SQLite 3.51.3 or later (or 3.50.7 or \
             3.44.6), there too"
        )
    })
}

/// Returns advice on the linked SQLite, where it has the bug.
pub(super) fn sqlite_advice() -> Option<String> {
    advice(rusqlite::version_number(), rusqlite::version())
}

/// The checkpoints that this crate makes after a commit.
///
/// `journal_size_limit` cuts the `-wal` when SQLite restarts it. So the `-wal` is longer than the
/// limit only where it holds that much, or where it has just been copied.
pub(super) struct GuardedCheckpoints {
    wal: PathBuf,
    /// The number of changed rows of the connection at which the next attempt is due.
    due: AtomicU64,
}

impl GuardedCheckpoints {
    pub(super) fn new(path: &Path) -> Result<GuardedCheckpoints> {
        Ok(GuardedCheckpoints { wal: beside(path, "-wal")?, due: AtomicU64::new(0) })
    }

    /// Starts counting for a new connection.
    #[cfg(feature = "encryption")]
    pub(super) fn reset(&self) {
        self.due.store(0, Ordering::Relaxed);
    }

    /// Makes a checkpoint where one is due. Its failure is ignored, because the commit stands, and
    /// the next commit tries again.
    pub(super) fn after_commit(&self, conn: &Connection, path: &Path, file: Option<FileId>) {
        let changed = conn.total_changes();
        if changed >= self.due.load(Ordering::Relaxed)
            && fs::metadata(&self.wal).is_ok_and(|wal| wal.len() > WAL_LIMIT)
            && checkpoint(conn, path, file).is_ok_and(|is_complete| !is_complete)
        {
            self.due.store(changed.saturating_add(ROWS), Ordering::Relaxed);
        }
    }
}

/// Copies the `-wal` into the file, as far as no reader still needs it. Returns whether everything
/// was copied.
fn checkpoint(conn: &Connection, path: &Path, file: Option<FileId>) -> Result<bool> {
    // SQLite makes no checkpoint through a connection that is inside a transaction.
    let second = connect(path, Access::Write)?;
    second.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_sqlite_err()?;
    let lock = Transaction::new_unchecked(conn, TransactionBehavior::Immediate).map_sqlite_err()?;
    check_same_file(path, file)?;
    let number = |row: &rusqlite::Row<'_>, at| row.get::<_, i64>(at);
    let is_complete = second.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok(number(row, 0)? == 0 && number(row, 1)? == number(row, 2)?)
    });
    let is_complete = is_complete.map_sqlite_err()?;
    lock.rollback().map_sqlite_err()?;
    Ok(is_complete)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_type::EventType;
    use crate::random::RandomSource;
    use crate::scope::Scope;
    use crate::store::{Durability, Settings, Store};
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn the_versions_with_the_bug_are_recognized() {
        for version in [3_007_000, 3_038_000, 3_044_005, 3_045_000, 3_050_006, 3_051_000, 3_051_002]
        {
            assert!(is_affected(version), "{version}");
        }
        for version in [3_006_023, 3_044_006, 3_050_007, 3_051_003, 3_052_000, 3_054_001] {
            assert!(!is_affected(version), "{version}");
        }
        let advice_text = advice(3_051_001, "3.51.1").unwrap();
        assert!(
            advice_text.starts_with("this program links SQLite 3.51.1, ")
                && advice_text.contains("3.51.3"),
            "{advice_text}"
        );
        assert_eq!(advice(3_051_003, "3.51.3"), None);
    }

    /// Opens a store as with a version that has the bug.
    fn guarded(path: &Path) -> Store {
        let settings = Settings {
            read_only: false,
            create: true,
            guest: false,
            exclusive: false,
            durability: Durability::Relaxed,
            busy_timeout: Duration::from_secs(60),
            key: None,
            keep_changes: None,
            auto_checkpoint: true,
            random: RandomSource::System,
        };
        let mut store = Store::open(path.to_owned(), &settings).unwrap();
        store.checkpoints = Some(GuardedCheckpoints::new(path).unwrap());
        store.lock().unwrap().pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        store
    }

    fn add(store: &Store, number: usize) {
        let name = format!("type.{number}");
        let description = "x".repeat(3_000);
        store
            .write(&Scope::Every, |tx| {
                tx.add_event_type(&EventType::new(&name), Some(&description))
            })
            .unwrap();
    }

    fn length(path: &Path, suffix: &str) -> u64 {
        fs::metadata(beside(path, suffix).unwrap()).unwrap().len()
    }

    #[test]
    fn guarded_checkpoints_bound_the_wal_and_copy_everything_into_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.db");
        let store = guarded(&path);
        let mut longest = 0;
        for number in 0..3_000 {
            add(&store, number);
            longest = longest.max(length(&path, "-wal"));
        }
        assert!(
            (WAL_LIMIT..WAL_LIMIT + WAL_LIMIT / 8).contains(&longest),
            "the -wal had {longest} bytes"
        );
        assert!(length(&path, "") > 2 * WAL_LIMIT, "the file itself grew");
        let found: i64 = store
            .read(&Scope::Every, |read| {
                read.number(
                    "SELECT count(*) FROM \
                        _webhook_registry_event_type",
                )
            })
            .unwrap();
        assert_eq!(found, 3_000);
    }

    #[test]
    fn a_guarded_checkpoint_is_made_only_with_the_write_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.db");
        let store = guarded(&path);
        add(&store, 0);
        let before = length(&path, "");
        let conn = store.lock().unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(checkpoint(&conn, &path, store.file).is_err());
        assert_eq!(length(&path, ""), before);
        other.execute_batch("COMMIT").unwrap();
        assert!(checkpoint(&conn, &path, store.file).unwrap());
        assert!(length(&path, "") > before && conn.is_autocommit());
        // A file that took the place of this one is not touched either.
        assert!(checkpoint(&conn, &path, Some((0, 0))).is_err());
        assert!(conn.is_autocommit());
    }

    #[test]
    fn a_long_read_delays_a_guarded_checkpoint_and_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.db");
        let store = guarded(&path);
        add(&store, 0);
        let reader = Connection::open(&path).unwrap();
        let count = |conn: &Connection| -> i64 {
            conn.query_row("SELECT count(*) FROM _webhook_registry_event_type", [], |row| {
                row.get(0)
            })
            .unwrap()
        };
        reader.execute_batch("BEGIN").unwrap();
        assert_eq!(count(&reader), 1);
        for number in 1..3_000 {
            add(&store, number);
        }
        assert_eq!(count(&reader), 1);
        assert!(length(&path, "-wal") > 2 * WAL_LIMIT);
        reader.execute_batch("COMMIT").unwrap();
        (3_000..5_000).for_each(|number| add(&store, number));
        assert_eq!(count(&reader), 5_000);
        assert!(length(&path, "-wal") < WAL_LIMIT + WAL_LIMIT / 8);
    }

    #[test]
    fn writers_with_guarded_checkpoints_lose_no_change_to_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.db");
        let stores: Vec<Store> = (0..3).map(|_| guarded(&path)).collect();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let writers: Vec<_> = stores
                .iter()
                .zip(0..)
                .map(|(store, at)| {
                    scope.spawn(move || (0..700).for_each(|number| add(store, 1_000 * at + number)))
                })
                .collect();
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let conn = stores[0].lock().unwrap();
                    let _ = checkpoint(&conn, &path, stores[0].file);
                }
            });
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            over.store(true, Ordering::Relaxed);
        });
        let conn = Connection::open(&path).unwrap();
        let found: i64 = conn
            .query_row("SELECT count(*) FROM _webhook_registry_event_type", [], |row| row.get(0))
            .unwrap();
        assert_eq!(found, 2_100);
        let verdict: String =
            conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
    }
}
