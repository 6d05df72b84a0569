use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::dispatch::DispatchCache;
use crate::error::{Error, Result};
use crate::progress::{ProgressCallback, Tracker};
use crate::scope::Scope;
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
/// [kind](crate::ErrorKind): `ReadOnly`, the scope of the handle (`Invalid` on `owner`),
/// `NotFound`, another revision (`Conflict`), `Invalid`, `Conflict`, `LimitReached`.
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
    pub(super) scope: Scope,
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
        let clock = store.random().seeded_state().and_then(|state| state.clock()).unwrap_or(clock);
        let inner = Inner { store, cache: DispatchCache::new(), clock, rules, progress };
        Registry { inner: Arc::new(inner), scope: Scope::NoOwner }
    }

    /// Returns the absolute path of the file, as it was when the file was opened. `None` in memory.
    pub fn path(&self) -> Option<&Path> {
        self.inner.store.path()
    }
}

impl Registry {
    /// Reads in one transaction.
    pub(super) fn read<T>(&self, job: impl Fn(&Read<'_>) -> Result<T>) -> Result<T> {
        self.inner.store.read(&self.scope, job)
    }

    /// Reads with a single statement, which needs no transaction around it.
    pub(super) fn read_autocommit<T>(&self, job: impl Fn(&Read<'_>) -> Result<T>) -> Result<T> {
        self.inner.store.read_autocommit(&self.scope, job)
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
        self.inner.store.write(&self.scope, job)
    }

    /// Rejects every change of a registry that is open for reading only.
    pub(super) fn require_writable(&self) -> Result<()> {
        if self.inner.store.is_read_only() { Err(Error::read_only()) } else { Ok(()) }
    }

    /// Rejects the handle of every owner, for a call that needs to know one.
    pub(super) fn require_one_owner(&self) -> Result<()> {
        match self.scope {
            Scope::Every => Err(Error::invalid_field(
                "owner",
                "a handle of every owner does not say whose subscriptions are meant; \
                 call for_owner, or use the registry itself for those without an owner",
            )),
            Scope::NoOwner | Scope::Owner(_) => Ok(()),
        }
    }

    /// Rejects a handle that is limited to an owner, for a call that concerns the whole file.
    pub(super) fn require_whole_file(&self) -> Result<()> {
        match self.scope {
            Scope::Owner(_) => Err(Error::invalid_field(
                "owner",
                "a handle that is limited to an owner cannot do this; use the registry itself",
            )),
            Scope::NoOwner | Scope::Every => Ok(()),
        }
    }

    /// Reads everything that the file holds in one transaction.
    pub(super) fn read_file<T>(&self, job: impl Fn(&Read<'_>) -> Result<T>) -> Result<T> {
        self.require_whole_file()?;
        self.inner.store.read(&Scope::Every, job)
    }

    /// Changes the file in one transaction, whose subscriptions they may be.
    pub(super) fn write_file<T>(&self, job: impl FnOnce(&Write<'_>) -> Result<T>) -> Result<T> {
        self.require_writable()?;
        self.require_whole_file()?;
        self.inner.store.write(&Scope::Every, job)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("path", &self.path())
            .field("read_only", &self.inner.store.is_read_only())
            .field("scope", &self.scope)
            .finish()
    }
}

/// Rejects a name outside the catalog. The caller adds a suggestion.
pub(super) fn require_event_type(read: &Read<'_>, name: &str) -> Result<()> {
    if read.knows_event_type(name)? { Ok(()) } else { Err(Error::no_event_type(name)) }
}
