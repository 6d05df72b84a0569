//! The open handle of a store: its connections, its locks and its settings.
//!
//! # Locks
//!
//! A call takes the locks in this order, so that two calls cannot deadlock: [`Store::codec`], the
//! probe of [`DataVersion`], [`Store::main`], and the list of the [`ReaderPool`]. The exception is
//! [`Store::version_and_read`], which holds the probe and tries `main` and the codec without
//! waiting for either.
//!
//! - `codec` protects more than the key: every call holds it for reading while it uses a
//!   connection. Whoever replaces the connections (a change of key, or a read-only registry that
//!   opens the file anew) holds it for writing, and so knows that no call is under way. It is a
//!   `RwLock` because readers run in parallel and a replacement is rare.
//! - `main` is a `Mutex` because a connection is not `Sync`. It also makes the writers of this
//!   process wait in the operating system's queue. SQLite's own lock has no queue, so a writer that
//!   waits for another process has to poll.
//! - The locks of other processes are not here: `lock_wait.rs` waits for them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, MutexGuard, RwLock};
use std::time::Duration;

use rusqlite::Connection;

use super::checkpoint::{self, GuardedCheckpoints};
use super::data_version::DataVersion;
use super::open::Opened;
use super::paths::FileId;
#[cfg(feature = "encryption")]
use super::pending_rekey::PendingRekey;
use super::reader_pool::ReaderPool;
use super::schema::Parts;
use super::settings::{Access, Settings};
use super::stored_secret::SecretCodec;
use super::writer::{Checkpoints, Writer};
use super::{disk, lock_wait, open};
use crate::error::{Error, ErrorKind, Result};
use crate::random::RandomSource;

/// An open file, or a database in memory.
pub(crate) struct Store {
    /// None where there is only one connection.
    ///
    /// This field stands before `main` because fields are dropped in order: the last connection to
    /// close empties the `-wal`, and only a connection that can write does that.
    pub(super) shared: Option<Shared>,
    /// The connection that writes. Where it is the only one, it reads too.
    pub(super) main: Mutex<Connection>,
    /// Encodes and decodes secrets with the file's key. See the module's documentation of locks.
    pub(super) codec: RwLock<SecretCodec>,
    /// Increases with every commit of `main`, before another call can lock it.
    pub(super) version: AtomicU64,
    pub(super) path: Option<PathBuf>,
    /// The identity of the file that is open, or None in memory and elsewhere than on Unix.
    pub(super) file: Option<FileId>,
    pub(super) read_only: bool,
    /// True if the file belongs to an application. Others can change the key meanwhile then.
    pub(super) guest: bool,
    /// The parts of the schema that `check` requires and a backup has.
    pub(super) parts: Parts,
    /// None where SQLite or another program makes the checkpoints.
    pub(super) checkpoints: Option<GuardedCheckpoints>,
    /// The settings by which a change of key opens the connection that writes again.
    #[cfg(feature = "encryption")]
    pub(super) writer: Writer,
    #[cfg(feature = "encryption")]
    pub(super) pending_rekey: PendingRekey,
    pub(super) busy_timeout: Duration,
    pub(super) random: RandomSource,
}

/// The parts that a store needs to read a file that other processes change.
pub(super) struct Shared {
    pub(super) data_version: DataVersion,
    pub(super) readers: ReaderPool,
    /// True if `main` has written since it was last read through. Then the new pages are in the
    /// page cache of `main` only, and a read through `main` is faster than one through a reader.
    /// It is also true after an open in which no reader has parsed the schema.
    pub(super) main_is_fresh: AtomicBool,
    /// The settings to open the file that takes the place of this one. None for a store that
    /// writes, because nobody could tell which of the two files a change went to.
    pub(super) reopen: Option<Settings>,
}

impl Store {
    /// Creates a store in memory.
    pub(super) fn new_in_memory(settings: &Settings) -> Result<Store> {
        Store::new(open::memory()?, None, None, settings, Parts::Tables)
    }

    /// Opens the file at an absolute path, and leaves the history's limit as it is.
    pub(super) fn open_file(path: PathBuf, settings: &Settings) -> Result<Store> {
        let Opened { conn, reader, sees_changes, guest, file } = open::file(&path, settings)?;
        let parts = if guest { Parts::Guest } else { Parts::Own };
        // A reader of an application's file may meet a rollback journal that a killed program left.
        let access = if guest && !settings.read_only { Access::Query } else { Access::Read };
        let main_is_fresh = AtomicBool::new(reader.is_none());
        let shared = sees_changes.then(|| Shared {
            data_version: DataVersion::new(guest),
            readers: ReaderPool::new(&path, access, file, reader),
            main_is_fresh,
            reopen: settings.read_only.then(|| settings.clone()),
        });
        Store::new(conn, shared, Some((path, file)), settings, parts)
    }

    fn new(
        main: Connection,
        shared: Option<Shared>,
        at: Option<(PathBuf, Option<FileId>)>,
        settings: &Settings,
        parts: Parts,
    ) -> Result<Store> {
        let guest = parts == Parts::Guest;
        let &Settings { read_only, busy_timeout, ref key, ref random, .. } = settings;
        let codec =
            lock_wait::retry_while_busy(busy_timeout, || SecretCodec::load(&main, key.as_ref()))
                .map_err(|error| disk::diagnose(&main, error))?;
        let (path, file) = at.unzip();
        let writer = Writer::new(settings, guest);
        let guarded = !read_only && writer.checkpoints == Checkpoints::Guarded;
        let checkpoints =
            path.as_deref().filter(|_| guarded).map(GuardedCheckpoints::new).transpose()?;
        Ok(Store {
            shared,
            main: Mutex::new(main),
            codec: RwLock::new(codec),
            version: AtomicU64::new(1),
            path,
            file: file.flatten(),
            read_only,
            guest,
            parts,
            checkpoints,
            #[cfg(feature = "encryption")]
            writer,
            #[cfg(feature = "encryption")]
            pending_rekey: PendingRekey::default(),
            busy_timeout,
            random: random.clone(),
        })
    }

    /// Creates a store in memory from a copy of this one's database.
    #[cfg(feature = "test-util")]
    pub(super) fn with_copy(&self, main: Connection, codec: SecretCodec) -> Store {
        Store {
            shared: None,
            main: Mutex::new(main),
            codec: RwLock::new(codec),
            version: AtomicU64::new(1),
            path: None,
            file: None,
            read_only: false,
            guest: false,
            parts: self.parts,
            checkpoints: None,
            #[cfg(feature = "encryption")]
            writer: self.writer,
            #[cfg(feature = "encryption")]
            pending_rekey: PendingRekey::default(),
            busy_timeout: self.busy_timeout,
            random: self.random.fork(),
        }
    }

    /// Returns the path of the file, or None in memory.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns whether every change is rejected.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Returns the source of random bytes for ids and secrets.
    pub(crate) fn random(&self) -> &RandomSource {
        &self.random
    }

    /// Returns advice on the linked SQLite, where it has a bug that endangers a file.
    pub(crate) fn sqlite_advice(&self) -> Option<String> {
        self.path.as_ref().and_then(|_| checkpoint::sqlite_advice())
    }

    /// Locks the connection that writes.
    pub(super) fn lock(&self) -> Result<MutexGuard<'_, Connection>> {
        self.main.lock().or_else(|poisoned| {
            // A thread panicked during a call, for example in the caller's clock. Dropping its
            // transaction has rolled it back. Where that failed, the connection still holds half a
            // change, and nothing that it reads can be trusted.
            let conn = poisoned.into_inner();
            if conn.is_autocommit() {
                self.main.clear_poison();
                Ok(conn)
            } else {
                Err(Error::new(
                    ErrorKind::Storage,
                    "a thread panicked while it held the registry's lock, and left a transaction \
                     open; open the registry again",
                ))
            }
        })
    }

    /// Diagnoses the error of a call that used `main`, as `read` and `write` do.
    #[cfg(feature = "encryption")]
    pub(crate) fn diagnosed<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| match self.lock() {
            Ok(conn) => disk::diagnose(&conn, error),
            Err(_) => error,
        })
    }
}
