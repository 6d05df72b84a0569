//! Opening a registry.

use std::path::{Path, PathBuf};

use super::handle::Registry;
use super::options::RegistryOptions;
use crate::error::{Error, ErrorKind, Result};
use crate::store::Store;

/// # Opening
impl Registry {
    /// Opens the file at `path`, or creates it with mode 0600 on Unix.
    ///
    /// An existing file of 0 bytes becomes a registry and keeps its mode. A path is always the name
    /// of a file: `:memory:` and `file:…` have no special meaning.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Incompatible`]: a SQLite file of another application, a file that is not
    ///   SQLite's, or a file that a newer version of this crate wrote. The file and its `-wal` are
    ///   left as they were.
    /// - [`ErrorKind::Storage`]: a directory, a device, an empty path, a path longer than SQLite
    ///   opens (504 bytes on Unix), a name without room for `-journal`, a missing parent folder, a
    ///   full disk, a file that cannot be written to, a `-wal` or `-shm` beside it that cannot be
    ///   written to, or a `-wal`, `-shm` or `-journal` that is not a regular file. A rejected path
    ///   is left as it was. If the disk fails later on, an empty file may remain.
    /// - [`ErrorKind::Busy`], [`ErrorKind::Corrupt`].
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

    /// Opens a new registry in memory.
    ///
    /// It behaves like a registry in a file, and lives as long as its last clone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`] when memory runs out.
    pub fn in_memory() -> Result<Registry> {
        Registry::options().in_memory()
    }

    /// Returns the options for opening a registry.
    pub fn options() -> RegistryOptions {
        RegistryOptions::new()
    }
}

impl RegistryOptions {
    /// Opens the file at `path`, or creates it.
    ///
    /// # Errors
    ///
    /// Those of [`Registry::open`], and:
    ///
    /// - [`ErrorKind::NotFound`]: a missing or empty file with `create(false)` or
    ///   `read_only(true)`.
    /// - [`ErrorKind::Incompatible`]: without `guest(true)`, a file in which the registry is a
    ///   guest; with it, an application's file with a table that is named as only the registry's
    ///   may be.
    /// - [`ErrorKind::Invalid`]: `read_only` with `exclusive` or `keep_changes`, `exclusive` with
    ///   `guest` or `auto_checkpoint(false)`, a `min_secret_bytes` that is not from 1 to 128, and
    ///   `deterministic` (feature `test-util`).
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Registry> {
        let problems = self.problems_of_file();
        if !problems.is_empty() {
            return Err(Error::invalid(problems));
        }
        Ok(self.registry(Store::open(absolute(path.as_ref())?, &self.settings())?))
    }

    /// Opens a new registry in memory.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`]: `read_only(true)`, `create(false)`, `guest(true)`,
    ///   `exclusive(true)`, `auto_checkpoint(false)`, an encryption key, or a `min_secret_bytes`
    ///   that is not from 1 to 128.
    /// - [`ErrorKind::Storage`]: memory runs out.
    pub fn in_memory(&self) -> Result<Registry> {
        let problems = self.problems_in_memory();
        if !problems.is_empty() {
            return Err(Error::invalid(problems));
        }
        Ok(self.registry(Store::in_memory(&self.settings())?))
    }

    fn registry(&self, store: Store) -> Registry {
        Registry::new(store, self.clock_or_default(), self.rules(), self.progress_callback())
    }
}

/// Returns the absolute path. SQLite gives `:memory:` and `file:x?mode=memory` no special meaning
/// in an absolute path, so every path is the name of a file.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|cause| {
        let message = format!("{:?} is not the path of a file", path.display().to_string());
        Error::new(ErrorKind::Storage, message).with_source(cause)
    })
}
