//! Whether anybody has changed the file.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::Connection;

use super::disk;
use super::error::MapSqliteErr as _;
use crate::error::Result;

/// How long a thread spins for another's check, which takes two microseconds, before it sleeps.
const SPINS: u32 = 200;

/// How long a thread that is about to check spins for another to come along, where one did the last time: those who were
/// answered together ask again almost together, and alone each would wait for the other's check before its own.
const SPINS_FOR_COMPANY: u32 = 20;

/// Tells the versions of a file apart: one that follows a change, by whichever process, differs from all before it.
///
/// SQLite answers through `data_version`, and gets slower when two threads ask at once. So one asks, and whoever came
/// before that began takes the same answer.
#[derive(Default)]
pub(super) struct DataVersion {
    /// How many checks have begun, and the last of them that is done.
    begun: AtomicU64,
    done: AtomicU64,
    version: AtomicU64,
    /// How many wait for another's check, and whether any did lately.
    waiting: AtomicUsize,
    crowded: AtomicBool,
    sentinel: Mutex<VersionProbe>,
}

/// The connection that asks. It reads nothing else, because the answer is about the time since it asked last.
#[derive(Default)]
struct VersionProbe {
    conn: Option<Connection>,
    seen: Option<i64>,
}

impl DataVersion {
    /// The version that the file has now, or had at a moment since this call began.
    pub(super) fn version(&self, connect: impl FnOnce() -> Result<Connection>) -> Result<u64> {
        let before = self.begun.load(Ordering::SeqCst);
        let Some(mut sentinel) = self.sentinel_or_answer(before) else {
            return Ok(self.version.load(Ordering::SeqCst));
        };
        self.await_company();
        let check = self.begun.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        if sentinel.look(connect)? {
            self.version.fetch_add(1, Ordering::SeqCst);
        }
        self.done.store(check, Ordering::SeqCst);
        Ok(self.version.load(Ordering::SeqCst))
    }

    /// Closes its connection, and lets nobody ask until the guard is dropped.
    pub(super) fn stop(&self) -> impl Sized + use<'_> {
        let mut sentinel = self.sentinel.lock().unwrap_or_else(PoisonError::into_inner);
        *sentinel = VersionProbe::default();
        sentinel
    }

    /// The sentinel to ask, or none where a check that began after `before` is done.
    fn sentinel_or_answer(&self, before: u64) -> Option<MutexGuard<'_, VersionProbe>> {
        if let Some(settled) = self.settled(before) {
            return settled;
        }
        self.crowded.store(true, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let sentinel = self.wait(before);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        sentinel
    }

    fn wait(&self, before: u64) -> Option<MutexGuard<'_, VersionProbe>> {
        for _ in 0..SPINS {
            hint::spin_loop();
            if self.has_answered(before) {
                return None;
            }
            if let Some(settled) = self.settled(before) {
                return settled;
            }
        }
        let sentinel = self.sentinel.lock().unwrap_or_else(PoisonError::into_inner);
        (!self.has_answered(before)).then_some(sentinel)
    }

    /// What a look at the lock settles; nothing where another thread has it.
    fn settled(&self, before: u64) -> Option<Option<MutexGuard<'_, VersionProbe>>> {
        match self.sentinel.try_lock() {
            Ok(sentinel) => Some((!self.has_answered(before)).then_some(sentinel)),
            Err(TryLockError::Poisoned(poisoned)) => Some(Some(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn has_answered(&self, before: u64) -> bool {
        self.done.load(Ordering::SeqCst) > before
    }

    fn await_company(&self) {
        if !self.crowded.load(Ordering::Relaxed) {
            return;
        }
        for _ in 0..SPINS_FOR_COMPANY {
            if self.waiting.load(Ordering::SeqCst) > 0 {
                return;
            }
            hint::spin_loop();
        }
        self.crowded.store(false, Ordering::Relaxed);
    }
}

impl VersionProbe {
    /// Whether the file has changed since the last look; true at the first.
    fn look(&mut self, connect: impl FnOnce() -> Result<Connection>) -> Result<bool> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => connect()?,
        };
        let conn = self.conn.insert(conn);
        let found: i64 = conn
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_sqlite_err()
            .map_err(|error| disk::diagnose(conn, error))?;
        Ok(self.seen.replace(found) != Some(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_stays_until_another_connection_changes_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let connect = || Connection::open(folder.path().join("file.db")).map_sqlite_err();
        let watch = DataVersion::default();
        let first = watch.version(connect).unwrap();
        assert_eq!(watch.version(connect).unwrap(), first);
        connect().unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        let second = watch.version(connect).unwrap();
        assert!(second > first);
        assert_eq!(watch.version(connect).unwrap(), second);
    }

    #[test]
    fn a_lock_that_is_free_settles_who_asks_and_one_that_is_held_nothing() {
        let watch = DataVersion::default();
        watch.done.store(5, Ordering::SeqCst);
        assert!(watch.settled(5).is_some_and(|to_ask| to_ask.is_some()));
        assert!(watch.settled(4).is_some_and(|to_ask| to_ask.is_none()));
        let held = watch.sentinel.lock().unwrap();
        assert!(watch.settled(5).is_none());
        assert!(watch.wait(4).is_none(), "what was answered is not waited for");
        drop(held);
        assert!(watch.wait(5).is_some());
    }

    #[test]
    fn whoever_waited_for_a_check_that_answers_nothing_asks_for_itself() {
        let watch = DataVersion::default();
        let version = std::thread::scope(|scope| {
            let held = watch.sentinel.lock().unwrap();
            let other = scope
                .spawn(|| watch.version(|| Connection::open_in_memory().map_sqlite_err()).unwrap());
            let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
            while watch.waiting.load(Ordering::SeqCst) != 1 && std::time::Instant::now() < until {
                std::thread::yield_now();
            }
            let company =
                (watch.waiting.load(Ordering::SeqCst), watch.crowded.load(Ordering::SeqCst));
            // Long enough that it does not spin any more. Were it still spinning, it would pass all the same.
            std::thread::sleep(std::time::Duration::from_millis(50));
            drop(held);
            assert_eq!(company, (1, true), "it is seen to wait");
            other.join().unwrap()
        });
        assert_eq!(version, 1, "the first look tells of a change");
        assert_eq!(watch.waiting.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn company_is_awaited_only_where_there_was_some() {
        let watch = DataVersion::default();
        let crowded = || watch.crowded.load(Ordering::SeqCst);
        watch.await_company();
        assert!(!crowded());
        watch.crowded.store(true, Ordering::SeqCst);
        watch.waiting.store(1, Ordering::SeqCst);
        watch.await_company();
        assert!(crowded(), "somebody came");
        watch.waiting.store(0, Ordering::SeqCst);
        watch.await_company();
        assert!(!crowded(), "nobody came");
    }
}
