use std::path::Path;

use super::handle::Registry;
use super::open::absolute;
use crate::error::Result;

/// # Copies
impl Registry {
    /// Copies the registry into a new file at `path`, with mode 0600 on Unix: one moment of it, by SQLite's online backup,
    /// while other threads and processes go on writing. (In memory and with
    /// [`exclusive(true)`](crate::RegistryOptions::exclusive) the other threads wait.)
    ///
    /// The file appears under its name whole and durable, or not at all. Until then it lies beside it, as
    /// `.webhook-registry-….part`, which only a kill can leave behind, with what SQLite has beside that. It is opened like any
    /// other registry: as it is, with the same encryption key. It holds the history too, but it is another file: a
    /// [`Plan`](crate::Plan) that was made on one is refused by the other.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) on `path`: something is there already, or a `-wal` or
    ///   `-journal` of a former file, which SQLite would take for the copy's.
    /// - [`ErrorKind::Storage`](crate::ErrorKind::Storage): a missing folder, a full disk, a folder where no hard links can
    ///   be made.
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
        self.inner.store.backup(&absolute(path.as_ref())?)
    }

    /// A private copy in memory, of this moment: also of a file, of a registry that only reads, and of an encrypted one. It
    /// can be written to, nothing that is done to either is seen in the other, and its clock and its own rules are those
    /// of this registry.
    ///
    /// A test sets a registry up once, and gives each case a fork. It takes little more than the copying of the bytes. A
    /// fork of a [deterministic](crate::RegistryOptions::deterministic) registry goes on as that would have, by itself. A
    /// [`Plan`](crate::Plan) that was made on one is refused by the other.
    /// The secrets of an encrypted file stay sealed in the fork, and a [`backup`](Registry::backup) of it needs the same
    /// key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Storage`](crate::ErrorKind::Storage) when memory runs out.
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
        let super::handle::Inner { store, memo: _, clock, rules } = &*self.inner;
        Ok(Registry::new(store.fork()?, clock.clone(), rules.clone()))
    }
}
