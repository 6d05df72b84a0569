use std::path::Path;

use super::handle::Registry;
use super::open::absolute;
use crate::error::Result;

/// # Copies
impl Registry {
    /// Copies the registry into a new file at `path`, with mode 0600 on Unix.
    ///
    /// The copy is a snapshot, made by SQLite's online backup while other threads and processes
    /// continue to write. In memory and with
    /// [`exclusive(true)`](crate::RegistryOptions::exclusive), other threads wait.
    ///
    /// The file appears under its name complete and durable, or not at all. Until then it is a file
    /// `.webhook-registry-….part` in the same folder. Only a kill can leave that behind, with the
    /// files that SQLite has beside it.
    ///
    /// The copy opens like any other registry, with the same encryption key. It contains the
    /// history, but it is another file: the original rejects a [`Plan`](crate::Plan) that was made
    /// for the copy, and the copy one that was made for the original.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `owner`: the handle is limited to an
    ///   owner.
    /// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) on `path`: there is a file already, or
    ///   a `-wal` or `-journal` of a former file, which SQLite would take for that of the copy.
    /// - [`ErrorKind::Storage`](crate::ErrorKind::Storage): the folder is missing, the disk is
    ///   full, the folder does not support hard links, or no registry could be opened at `path`
    ///   because the path is longer than SQLite opens (504 bytes on Unix) or its name leaves no
    ///   room for `-journal`. The name of the unfinished copy has to fit too, so the path of the
    ///   folder can have at most 464 bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::{ErrorKind, Registry};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let (path, copy) = (folder.path().join("webhooks.db"), folder.path().join("copy.db"));
    /// let registry = Registry::open(&path)?;
    /// registry.register_event_type("agent.presencechanged.v1")?;
    /// registry.backup(&copy)?;
    /// assert_eq!(Registry::open(&copy)?.event_types()?.len(), 1);
    /// assert_eq!(registry.backup(&copy).unwrap_err().kind(), ErrorKind::Conflict);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<()> {
        self.require_whole_file()?;
        let path = absolute(path.as_ref())?;
        self.tracked("backup", |progress| self.inner.store.backup(&path, progress))
    }

    /// Copies the registry into memory. Requires the feature `test-util`.
    ///
    /// The fork is a snapshot and can be written to, even if the original is read-only. Changes to
    /// one are not visible in the other. The fork has the clock and the rules of the original. A
    /// fork that is made through a handle of every owner is such a handle too.
    ///
    /// A test can set up one registry and give each case a fork, which takes little more than
    /// copying the bytes. A fork of a [deterministic](crate::RegistryOptions::deterministic)
    /// registry continues from the same state. A [`Plan`](crate::Plan) that was made for one is
    /// rejected by the other.
    ///
    /// The secrets of an encrypted file stay encrypted in the fork, and a
    /// [`backup`](Registry::backup) of the fork needs the same key.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `owner`: the handle is limited to an
    ///   owner.
    /// - [`ErrorKind::Storage`](crate::ErrorKind::Storage): memory runs out.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::Registry;
    ///
    /// let registry = Registry::in_memory()?;
    /// registry.register_event_type("agent.presencechanged.v1")?;
    /// let fork = registry.fork()?;
    /// fork.remove_event_type("agent.presencechanged.v1")?;
    /// assert_eq!((registry.event_types()?.len(), fork.event_types()?.len()), (1, 0));
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    #[cfg(feature = "test-util")]
    #[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
    pub fn fork(&self) -> Result<Registry> {
        self.require_whole_file()?;
        let super::handle::Inner { store, cache: _, clock, rules, progress } = &*self.inner;
        let store = self.tracked("fork", |progress| store.fork(progress))?;
        let fork = Registry::new(store, clock.clone(), rules.clone(), progress.clone());
        Ok(Registry { scope: self.scope.clone(), ..fork })
    }
}
