//! The order of checks and the boundaries of transactions. No SQL and no parsing.

mod backup;
mod check;
mod dispatch;
mod event_types;
mod export;
mod history;
mod options;
mod plan;
mod secrets;
mod subscriptions;
mod suggestions;
#[cfg(test)]
mod work;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::dispatch::DispatchCache;
use crate::error::{Error, Result};
use crate::store::{Read, Store, Write};
use crate::subscription::Rules;
use crate::time::Clock;
pub use options::RegistryOptions;

/// An embedded registry of webhook subscriptions: a file, or a database in memory.
///
/// Cloning it copies a pointer to the same registry. It can be shared between threads, and any number of threads and
/// processes can have a file open: a change is seen by the next call of every one of them.
///
/// A failed call changes nothing. Refusals are judged in this order, and the first that fails decides the
/// [kind](crate::ErrorKind): `ReadOnly`, `NotFound`, a revision that has moved on (`Conflict`), `Invalid`, `Conflict`.
///
/// Every call can also fail with [`ErrorKind::Busy`](crate::ErrorKind::Busy) (another process kept its lock past the
/// [timeout](RegistryOptions::busy_timeout)), [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) (the file is damaged, or another program has put
/// something into it that no call would take) and [`ErrorKind::Storage`](crate::ErrorKind::Storage) (disk full, I/O). After an I/O error while a
/// change was being committed, its outcome is certain only once the file is opened again.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    cache: DispatchCache,
    clock: Clock,
    rules: Rules,
}

impl Registry {
    pub(crate) fn new(store: Store, clock: Clock, rules: Rules) -> Registry {
        #[cfg(feature = "test-util")]
        let clock = store.entropy().seeded_state().and_then(|state| state.clock()).unwrap_or(clock);
        let inner = Inner { store, cache: DispatchCache::new(), clock, rules };
        Registry { inner: Arc::new(inner) }
    }

    /// Opens the file at `path`, or creates it, with mode 0600 on Unix. An existing file of 0 bytes becomes a registry
    /// and keeps its mode.
    ///
    /// A path is always a file's name: `:memory:` and `file:…` are not special.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Incompatible`](crate::ErrorKind::Incompatible): another application's SQLite file, a file that is not SQLite's, or one written by
    ///   a newer version of this crate. It and its `-wal` are left as they were.
    /// - [`ErrorKind::Storage`](crate::ErrorKind::Storage): a directory, a device, an empty path, a path longer than SQLite opens
    ///   (504 bytes on Unix) or a name without room for `-journal`, a missing parent folder, a full
    ///   disk, a file that cannot be written to, or a `-wal` or `-shm` beside it that cannot be. A
    ///   refused path is left as it was. Where the disk fails later on, an empty file may remain.
    /// - [`ErrorKind::Busy`](crate::ErrorKind::Busy), [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt).
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::Registry;
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("webhooks.db");
    /// let registry = Registry::open(&path)?;
    /// registry.register_event_type("agent.presencechanged.v1")?;
    /// drop(registry);
    /// assert_eq!(Registry::open(&path)?.event_types()?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Registry> {
        Registry::options().open(path)
    }

    /// A new registry in memory: the same behaviour, no file. It lives as long as its last clone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`](crate::ErrorKind::Storage) when memory runs out.
    pub fn in_memory() -> Result<Registry> {
        Registry::options().in_memory()
    }

    /// The rest of what can be said about opening.
    pub fn options() -> RegistryOptions {
        RegistryOptions::new()
    }

    /// The file, as an absolute path that was fixed at open. None in memory.
    pub fn path(&self) -> Option<&Path> {
        self.inner.store.path()
    }
}

impl Registry {
    /// Reads from one snapshot of the file.
    fn read<T>(&self, job: impl Fn(&Read<'_>) -> Result<T>) -> Result<T> {
        self.inner.store.read(job)
    }

    /// Reads with one statement, without a transaction around it.
    fn read_autocommit<T>(&self, job: impl Fn(&Read<'_>) -> Result<T>) -> Result<T> {
        self.inner.store.read_autocommit(job)
    }

    /// Changes the file in one transaction.
    fn write<T>(&self, job: impl FnOnce(&Write<'_>) -> Result<T>) -> Result<T> {
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

/// Refuses a name outside the catalog. The [suggestion](suggestions) is to follow.
fn known_event_type(read: &Read<'_>, name: &str) -> Result<()> {
    if read.knows_event_type(name)? { Ok(()) } else { Err(Error::no_event_type(name)) }
}
