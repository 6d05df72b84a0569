//! The options of a store, and the ways in which a connection opens its file.

use std::time::Duration;

use crate::random::RandomSource;
use crate::secret::EncryptionKey;

/// The durability of a committed change.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// A change survives a power loss: `synchronous = FULL` in WAL mode, with one sync for each
    /// change. This is the default.
    #[default]
    Full,
    /// A change survives a crash of the process, but not of the machine: `synchronous = NORMAL`.
    /// After a power loss the last changes can be missing. The file is intact all the same, and no
    /// earlier change is lost without every later one.
    Relaxed,
}

/// The way in which a connection opens the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Write,
    Read,
    /// Reads only, but can bring back what a killed writer has left half-written.
    Query,
    /// Reads without locks, `-wal` and `-shm`. SQLite then does not notice what others write.
    Immutable,
}

/// The options for opening a store.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) read_only: bool,
    pub(crate) create: bool,
    /// True if the file may be an application's.
    pub(crate) guest: bool,
    pub(crate) exclusive: bool,
    pub(crate) durability: Durability,
    pub(crate) busy_timeout: Duration,
    pub(crate) key: Option<EncryptionKey>,
    /// None where the number that is stored in the file applies.
    pub(crate) keep_changes: Option<u64>,
    pub(crate) auto_checkpoint: bool,
    pub(crate) random: RandomSource,
}
