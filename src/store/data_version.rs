//! Counts the versions of a registry, for any number of threads.
//!
//! `version_probe.rs` asks by `PRAGMA data_version` whether there is a new version. The pragma
//! takes about a microsecond, and longer where two threads run it at once, because both contend for
//! locks inside SQLite. So a `Mutex` lets one thread at a time ask, by the probe's connection or by
//! the one that writes. A thread that has to wait for it uses the other thread's result, if that
//! check *began* after its own call. The counters `started` and `done` tell: a check that began
//! earlier may have read the number before the commit that the waiting thread knows of.
//!
//! A waiting thread spins before it sleeps, because waking a thread takes longer than a check.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::Connection;

use super::version_probe::{Connections, FoundBy, VersionProbe};
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
    /// The number of the last check that is done. Release and Acquire are enough: a thread that
    /// reads it needs only the `version` that was stored before.
    done: AtomicU64,
    version: AtomicU64,
    /// The number of threads that wait for another thread's check.
    waiting: AtomicUsize,
    /// True if a thread waited recently.
    crowded: AtomicBool,
    probe: Mutex<VersionProbe>,
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
    /// that it reads by the connection that has just read the first page, and from the same
    /// snapshot, or in an application's file from that moment or a later one. Other threads need
    /// not wait for that, but one that asks meanwhile does, and a writer of this store if `main`
    /// reads. So `read` has to be short.
    pub(super) fn version(
        &self,
        connections: &impl Connections,
        read: impl FnOnce(&Connection, FoundBy, u64),
    ) -> Result<u64> {
        let before = self.started.load(Ordering::SeqCst);
        let Some(mut probe) = self.lock_unless_answered(before) else {
            return Ok(self.version.load(Ordering::SeqCst));
        };
        self.await_waiters();
        let check = self.started.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        probe.check(self.guest, connections, |conn, by| {
            let version = self.version.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
            self.done.store(check, Ordering::Release);
            read(conn, by, version);
        })?;
        self.done.store(check, Ordering::Release);
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
        self.done.load(Ordering::Acquire) > before
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

#[cfg(test)]
mod tests {
    use std::ops::Deref;

    use super::*;
    use crate::store::schema::{Parts, newest_schema};

    struct OnlyAProbe;

    impl Connections for OnlyAProbe {
        fn connect(&self) -> Result<Connection> {
            newest_schema(Parts::Guest)
        }

        fn commits(&self) -> u64 {
            0
        }

        fn main(&self) -> Option<impl Deref<Target = Connection>> {
            None::<&Connection>
        }
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
            let ask = || versions.version(&OnlyAProbe, |_, _, _| {});
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
