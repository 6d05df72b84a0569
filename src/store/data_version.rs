//! Notices that another connection or process has changed the registry.
//!
//! # The hazard
//!
//! SQLite's `PRAGMA data_version` returns a number that differs from the last one of the same
//! connection if another connection has committed in between. A cached answer is valid only if the
//! number is asked for after the call began: a number from before could hide a commit that the
//! caller already knows of.
//!
//! In an application's file the number also moves when the application commits to its own tables.
//! So where it has moved there, the [`Mark`] is read, which moves with the registry alone. The mark
//! is read after the number: a commit in between can then only make the next check read it again.
//!
//! # The lock
//!
//! The pragma takes two microseconds, and longer where two threads run it at once, because both
//! contend for locks inside SQLite. So a `Mutex` lets one thread at a time ask, by one connection.
//! A thread that has to wait for it uses the other thread's result, if that check *began* after its
//! own call. The counters `started` and `done` tell: a check that began earlier may have read the
//! number before the commit that the waiting thread knows of.
//!
//! A waiting thread spins before it sleeps, because waking a thread takes longer than a check.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::Connection;

use super::disk;
use super::error::MapSqliteErr as _;
use super::mark::Mark;
use crate::error::Result;

/// The number of times that a thread spins for another thread's check before it sleeps.
const SPINS: u32 = 200;

/// The number of times that a thread that is about to check spins for another thread to arrive,
/// where one did the last time. Threads that were answered together ask again almost together.
/// Without this pause each of them would wait for the other's check before its own.
const SPINS_FOR_WAITERS: u32 = 20;

/// Counts the versions of a registry. Whenever any process has changed it, the next version is
/// greater.
pub(super) struct DataVersion {
    /// True if others than registries write to the file, so that the mark decides.
    guest: bool,
    /// The number of checks that have started.
    started: AtomicU64,
    /// The number of the last check that is done.
    done: AtomicU64,
    version: AtomicU64,
    /// The number of threads that wait for another thread's check.
    waiting: AtomicUsize,
    /// True if a thread waited recently.
    crowded: AtomicBool,
    probe: Mutex<VersionProbe>,
}

/// The connection that asks.
#[derive(Default)]
struct VersionProbe {
    conn: Option<Connection>,
    last: Option<i64>,
    mark: Option<Mark>,
}

/// The state of the lock at one attempt to take it.
enum Probed<'v> {
    /// This thread has to check.
    Locked(MutexGuard<'v, VersionProbe>),
    /// A check that is recent enough is done.
    Answered,
    /// Another thread holds the lock.
    WouldBlock,
}

impl DataVersion {
    pub(super) fn new(guest: bool) -> DataVersion {
        DataVersion {
            guest,
            started: AtomicU64::default(),
            done: AtomicU64::default(),
            version: AtomicU64::default(),
            waiting: AtomicUsize::default(),
            crowded: AtomicBool::default(),
            probe: Mutex::default(),
        }
    }

    /// Returns the version that the file has now, or had at a moment since this call began.
    ///
    /// If this call is the one that notices a change, it also calls `read` with the new version, so
    /// that it reads by the same connection, which has just read the first page, and from the same
    /// snapshot. Other threads need not wait for that, but one that asks meanwhile does. So `read`
    /// has to be short.
    pub(super) fn version(
        &self,
        connect: impl FnOnce() -> Result<Connection>,
        read: impl FnOnce(&Connection, u64),
    ) -> Result<u64> {
        let before = self.started.load(Ordering::SeqCst);
        let Some(mut probe) = self.lock_unless_answered(before) else {
            return Ok(self.version.load(Ordering::SeqCst));
        };
        self.await_waiters();
        let check = self.started.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        probe.check(self.guest, connect, |conn| {
            let version = self.version.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
            self.done.store(check, Ordering::SeqCst);
            read(conn, version);
        })?;
        self.done.store(check, Ordering::SeqCst);
        Ok(self.version.load(Ordering::SeqCst))
    }

    /// Closes the connection, and lets no thread ask until the guard is dropped.
    pub(super) fn stop(&self) -> impl Sized + use<'_> {
        let mut probe = self.probe.lock().unwrap_or_else(PoisonError::into_inner);
        *probe = VersionProbe::default();
        probe
    }

    /// Locks the probe. Returns None where a check that started after `before` is done.
    fn lock_unless_answered(&self, before: u64) -> Option<MutexGuard<'_, VersionProbe>> {
        match self.try_probe(before) {
            Probed::Locked(probe) => return Some(probe),
            Probed::Answered => return None,
            Probed::WouldBlock => {}
        }
        self.crowded.store(true, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let probe = self.wait(before);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        probe
    }

    fn wait(&self, before: u64) -> Option<MutexGuard<'_, VersionProbe>> {
        for _ in 0..SPINS {
            hint::spin_loop();
            if self.has_answered(before) {
                return None;
            }
            match self.try_probe(before) {
                Probed::Locked(probe) => return Some(probe),
                Probed::Answered => return None,
                Probed::WouldBlock => {}
            }
        }
        let probe = self.probe.lock().unwrap_or_else(PoisonError::into_inner);
        (!self.has_answered(before)).then_some(probe)
    }

    fn try_probe(&self, before: u64) -> Probed<'_> {
        match self.probe.try_lock() {
            Ok(_) if self.has_answered(before) => Probed::Answered,
            Ok(probe) => Probed::Locked(probe),
            Err(TryLockError::Poisoned(poisoned)) => Probed::Locked(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Probed::WouldBlock,
        }
    }

    fn has_answered(&self, before: u64) -> bool {
        self.done.load(Ordering::SeqCst) > before
    }

    /// Spins until another thread waits for the check that is about to start.
    fn await_waiters(&self) {
        if !self.crowded.load(Ordering::Relaxed) {
            return;
        }
        for _ in 0..SPINS_FOR_WAITERS {
            if self.waiting.load(Ordering::SeqCst) > 0 {
                return;
            }
            hint::spin_loop();
        }
        self.crowded.store(false, Ordering::Relaxed);
    }
}

impl VersionProbe {
    /// Calls `changed` if the registry has changed since the last check, in a registry's own file
    /// while the snapshot in which that was found is still open. The first check finds a change.
    fn check(
        &mut self,
        guest: bool,
        connect: impl FnOnce() -> Result<Connection>,
        changed: impl FnOnce(&Connection),
    ) -> Result<()> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => connect()?,
        };
        let conn = self.conn.insert(conn);
        let mut statement = conn
            .prepare_cached("PRAGMA data_version")
            .map_sqlite_err()
            .map_err(|error| disk::diagnose(conn, error))?;
        let mut rows = statement.query([]).map_sqlite_err()?;
        let found = rows
            .next()
            .map_sqlite_err()
            .and_then(|row| row.map(|row| row.get::<_, i64>(0)).transpose().map_sqlite_err());
        let found = found.map_err(|error| disk::diagnose(conn, error))?;
        if found.is_some() && self.last == found {
            return Ok(());
        }
        if guest {
            // With rusqlite 0.32 and its SQLite 3.46, a statement of the mark fails with
            // `SQLITE_LOCKED` while this one is open.
            drop(rows);
            drop(statement);
            let mark = Mark::read(conn, self.mark.as_ref())
                .map_err(|error| disk::diagnose(conn, error))?;
            let is_same = mark.is_some() && mark == self.mark;
            self.mark = mark;
            if is_same {
                self.last = found;
                return Ok(());
            }
        }
        self.last = found;
        // In a registry's own file the statement is still open here, and with it the snapshot.
        changed(conn);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::{Parts, newest_schema};

    #[test]
    fn a_version_stays_until_another_connection_changes_the_registry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        newest_schema(Parts::Guest).unwrap().execute("VACUUM INTO ?1", [path.to_str()]).unwrap();
        let connect = || Connection::open(&path).map_sqlite_err();
        let other = connect().unwrap();
        other
            .execute_batch(
                "UPDATE _webhook_registry_meta SET guest = 1; CREATE TABLE application (a)",
            )
            .unwrap();
        let versions = DataVersion::new(true);
        let mut last = 0;
        let mut moves = |statement: &str| {
            other.execute_batch(statement).unwrap();
            let mut read = None;
            let version = versions.version(connect, |_, version| read = Some(version)).unwrap();
            assert_eq!(read, (last < version).then_some(version), "a change is read");
            let reread = |_: &Connection, _| panic!("nothing has changed");
            assert_eq!(versions.version(connect, reread).unwrap(), version);
            std::mem::replace(&mut last, version) < version
        };
        assert!(moves("SELECT 1"), "the first check reports a change");
        assert!(!moves("INSERT INTO application VALUES (1)"));
        assert!(moves("INSERT INTO _webhook_registry_event_type (name) VALUES ('a.v1')"));
        assert!(!moves("DELETE FROM application"));
        assert!(moves("DELETE FROM _webhook_registry_event_type"));
        assert!(moves("UPDATE _webhook_registry_meta SET key_check = x'00'"));
        // Nothing would report a change any more.
        assert!(moves("DROP TRIGGER _webhook_registry_mark_event_type_delete"));
        assert!(moves("INSERT INTO application VALUES (1)"));
    }

    #[test]
    fn a_thread_checks_unless_a_check_that_began_later_is_done_or_another_thread_checks() {
        let versions = DataVersion::new(true);
        versions.done.store(5, Ordering::SeqCst);
        assert!(matches!(versions.try_probe(5), Probed::Locked(_)));
        assert!(matches!(versions.try_probe(4), Probed::Answered));
        let held = versions.probe.lock().unwrap();
        assert!(matches!(versions.try_probe(5), Probed::WouldBlock));
        assert!(versions.wait(4).is_none(), "an answered check is not waited for");
        drop(held);
        assert!(versions.wait(5).is_some());
    }

    #[test]
    fn a_thread_that_waited_for_a_failed_check_checks_itself() {
        let versions = DataVersion::new(true);
        let version = std::thread::scope(|scope| {
            let held = versions.probe.lock().unwrap();
            let ask = || versions.version(|| newest_schema(Parts::Guest), |_, _| {});
            let other = scope.spawn(move || ask().unwrap());
            let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
            while versions.waiting.load(Ordering::SeqCst) != 1 && std::time::Instant::now() < until
            {
                std::thread::yield_now();
            }
            let counted =
                (versions.waiting.load(Ordering::SeqCst), versions.crowded.load(Ordering::SeqCst));
            // Long enough that the other thread sleeps. The test would also pass if it still spun.
            std::thread::sleep(std::time::Duration::from_millis(50));
            drop(held);
            assert_eq!(counted, (1, true), "the other thread is counted as waiting");
            other.join().unwrap()
        });
        assert_eq!(version, 1, "the first check reports a change");
        assert_eq!(versions.waiting.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn waiters_are_awaited_only_where_a_thread_waited_recently() {
        let versions = DataVersion::new(true);
        let crowded = || versions.crowded.load(Ordering::SeqCst);
        versions.await_waiters();
        assert!(!crowded());
        versions.crowded.store(true, Ordering::SeqCst);
        versions.waiting.store(1, Ordering::SeqCst);
        versions.await_waiters();
        assert!(crowded(), "a thread arrived");
        versions.waiting.store(0, Ordering::SeqCst);
        versions.await_waiters();
        assert!(!crowded(), "no thread arrived");
    }
}
