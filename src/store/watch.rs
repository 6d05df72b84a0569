//! Whether anybody has changed the file.

use std::hint;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::Connection;

use super::fault::OrFault as _;
use crate::error::Result;

/// How long a thread spins for another's check, which takes two microseconds, before it sleeps.
const SPINS: u32 = 200;

/// Tells the versions of a file apart: one that follows a change, by whichever process, differs from all before it.
///
/// SQLite answers through `data_version`, and gets slower when two threads ask at once. So one asks, and whoever came
/// before that began takes the same answer.
#[derive(Default)]
pub(super) struct Watch {
    /// How many checks have begun, and the last of them that is done.
    begun: AtomicU64,
    done: AtomicU64,
    version: AtomicU64,
    sentinel: Mutex<Sentinel>,
}

/// The connection that asks. It reads nothing else, because the answer is about the time since it asked last.
#[derive(Default)]
struct Sentinel {
    conn: Option<Connection>,
    seen: Option<i64>,
}

impl Watch {
    /// The version that the file has now, or had at a moment since this call began.
    pub(super) fn version(&self, connect: impl FnOnce() -> Result<Connection>) -> Result<u64> {
        let before = self.begun.load(Ordering::SeqCst);
        let Some(mut sentinel) = self.sentinel_or_answer(before) else {
            return Ok(self.version.load(Ordering::SeqCst));
        };
        let check = self.begun.fetch_add(1, Ordering::SeqCst).wrapping_add(1);
        if sentinel.look(connect)? {
            self.version.fetch_add(1, Ordering::SeqCst);
        }
        self.done.store(check, Ordering::SeqCst);
        Ok(self.version.load(Ordering::SeqCst))
    }

    /// Closes its connection, and lets nobody ask until the guard is dropped.
    #[cfg(feature = "encryption")]
    pub(super) fn stop(&self) -> impl Sized + use<'_> {
        let mut sentinel = self.sentinel.lock().unwrap_or_else(PoisonError::into_inner);
        *sentinel = Sentinel::default();
        sentinel
    }

    /// The sentinel to ask, or none where a check that began after `before` is done.
    fn sentinel_or_answer(&self, before: u64) -> Option<MutexGuard<'_, Sentinel>> {
        let answered = || self.done.load(Ordering::SeqCst) > before;
        for _ in 0..SPINS {
            match self.sentinel.try_lock() {
                Ok(sentinel) => return (!answered()).then_some(sentinel),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if answered() => return None,
                Err(TryLockError::WouldBlock) => hint::spin_loop(),
            }
        }
        let sentinel = self.sentinel.lock().unwrap_or_else(PoisonError::into_inner);
        (!answered()).then_some(sentinel)
    }
}

impl Sentinel {
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
            .or_fault()?;
        Ok(self.seen.replace(found) != Some(found))
    }
}
