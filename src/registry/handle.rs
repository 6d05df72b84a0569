use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::dispatch::DispatchCache;
use crate::error::{Error, Result};
use crate::progress::{ProgressCallback, Tracker};
use crate::store::{Read, Store, Write};
use crate::subscription::Rules;
use crate::time::Clock;

/// An embedded registry of webhook subscriptions, in a file or in memory.
///
/// A clone is a pointer to the same registry. A registry can be shared between threads, and any
/// number of threads and processes can open one file. The next call of each of them sees a change.
///
/// # Errors
///
/// A failed call changes nothing. A call checks in this order, and the first failure decides the
/// [kind](crate::ErrorKind): `ReadOnly`, `NotFound`, another revision (`Conflict`), `Invalid`,
/// `Conflict`.
///
/// Every call can also fail with:
///
/// - [`ErrorKind::Busy`](crate::ErrorKind::Busy): another process held its lock past the
///   [busy timeout](crate::RegistryOptions::busy_timeout).
/// - [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt): the file is damaged, or another program has
///   written a value that no call accepts.
/// - [`ErrorKind::Storage`](crate::ErrorKind::Storage): the disk is full, or another I/O error.
///   After an I/O error during a commit, the outcome is known only when the file is opened again.
#[derive(Clone)]
pub struct Registry {
    pub(super) inner: Arc<Inner>,
}

/// The state that all clones of a registry share.
pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) cache: DispatchCache,
    pub(super) clock: Clock,
    pub(super) rules: Rules,
    pub(super) progress: Option<ProgressCallback>,
}

impl Registry {
    pub(super) fn new(
        store: Store,
        clock: Clock,
        rules: Rules,
        progress: Option<ProgressCallback>,
    ) -> Registry {
        #[cfg(feature = "test-util")]
        let clock = store.entropy().seeded_state().and_then(|state| state.clock()).unwrap_or(clock);
        let inner = Inner { store, cache: DispatchCache::new(), clock, rules, progress };
        Registry { inner: Arc::new(inner) }
    }

    /// Returns the absolute path of the file, as it was when the file was opened. `None` in memory.
    pub fn path(&self) -> Option<&Path> {
        self.inner.store.path()
    }
}

impl Registry {
    /// Reads in one transaction.
    pub(super) fn read<T>(&self, job: impl Fn(&Read<'_>) -> Result<T>) -> Result<T> {
        self.inner.store.read(job)
    }

    /// Reads with a single statement, which needs no transaction around it.
    pub(super) fn read_autocommit<T>(&self, job: impl Fn(&Read<'_>) -> Result<T>) -> Result<T> {
        self.inner.store.read_autocommit(job)
    }

    /// Makes a long call, which reports its progress.
    pub(super) fn tracked<T>(
        &self,
        job: &'static str,
        call: impl FnOnce(&Tracker) -> Result<T>,
    ) -> Result<T> {
        let progress = Tracker::new(job, self.inner.progress.clone());
        let result = call(&progress);
        progress.finish(result)
    }

    /// Changes the file in one transaction.
    pub(super) fn write<T>(&self, job: impl FnOnce(&Write<'_>) -> Result<T>) -> Result<T> {
        self.inner.store.write(job)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("path", &self.path())
            .field("read_only", &self.inner.store.is_read_only())
            .finish()
    }
}

/// Refuses a name outside the catalog. The caller adds a suggestion.
pub(super) fn require_event_type(read: &Read<'_>, name: &str) -> Result<()> {
    if read.knows_event_type(name)? { Ok(()) } else { Err(Error::no_event_type(name)) }
}
