//! The file. This folder is the only place that names rusqlite, and decides nothing about meaning.

mod backup;
mod catalog;
mod check;
mod check_catalog;
mod check_schema;
mod data_version;
mod disk;
mod dispatch;
mod encryption;
mod error;
mod history;
mod insert;
mod matches;
mod migrate;
mod open;
mod paths;
mod reader_pool;
#[cfg(feature = "encryption")]
mod rekey;
mod reopen;
mod retry;
mod rows;
mod secret_codec;
mod secrets;
mod subscriptions;
#[cfg(test)]
mod work;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::{Error, ErrorKind, Result};
use crate::random::RandomSource;
use crate::scope::Scope;
use crate::secret::EncryptionKey;
use data_version::DataVersion;
use error::MapSqliteErr as _;
use history::ChangeRecorder;
use open::Opened;
use reader_pool::{FileId, ReaderPool};
use secret_codec::SecretCodec;

pub(crate) use catalog::CatalogLookup;
pub(crate) use dispatch::{Made, Recipient, Routed};
pub(crate) use insert::Inserter;
pub(crate) use subscriptions::{Current, NameTaken};

/// What a returned call has survived.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// A power loss: SQLite's `synchronous = FULL` in WAL mode, one sync a change. The default.
    #[default]
    Full,
    /// A crash of the process, but not of the machine: `synchronous = NORMAL`. After a power loss the last changes can
    /// be missing; the file is whole all the same, and no earlier change is lost without every later one.
    Relaxed,
}

/// How a connection reaches the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Write,
    Read,
    /// Without locks: what others write meanwhile is not noticed.
    Frozen,
}

/// How to open a store.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) read_only: bool,
    pub(crate) create: bool,
    pub(crate) exclusive: bool,
    pub(crate) durability: Durability,
    pub(crate) busy_timeout: Duration,
    pub(crate) key: Option<EncryptionKey>,
    /// None where the file's own number holds.
    pub(crate) keep_changes: Option<u64>,
    pub(crate) auto_checkpoint: bool,
    pub(crate) entropy: RandomSource,
}

/// An open file, or a database in memory.
pub(crate) struct Store {
    /// Before `main`, because fields are dropped in order: the last connection to close empties the `-wal`, which takes
    /// one that can write. None where there is but one connection.
    shared: Option<Shared>,
    main: Mutex<Connection>,
    /// Locked for writing only while the file gets another key, or another file its place.
    vault: RwLock<SecretCodec>,
    /// Rises with every change made through `main`.
    version: AtomicU64,
    path: Option<PathBuf>,
    /// Which file the path led to when it was opened.
    file: Option<FileId>,
    read_only: bool,
    busy_timeout: Duration,
    entropy: RandomSource,
}

/// What it takes to read a file that others change.
struct Shared {
    watch: DataVersion,
    readers: ReaderPool,
    /// Whether `main` has changed the file since it was last read from: what it wrote is in its cache, and nowhere else.
    warm: AtomicBool,
    /// How the file is opened that takes the place of this one. None for a registry that writes: its changes would be
    /// of the one file or of the other.
    again: Option<Settings>,
}

impl Store {
    pub(crate) fn in_memory(settings: &Settings) -> Result<Store> {
        Store::new(open::memory()?, None, None, settings)
    }

    /// Opens the file at an absolute path.
    pub(crate) fn open(path: PathBuf, settings: &Settings) -> Result<Store> {
        // Before it is opened: one that takes its place meanwhile is told from it at the first call.
        let before = settings.read_only.then(|| reader_pool::file_id(&path)).flatten();
        let Opened { conn, reader, follows } = open::file(&path, settings)?;
        let shared = follows.then(|| Shared {
            watch: DataVersion::default(),
            readers: ReaderPool::new(&path, before.or_else(|| reader_pool::file_id(&path)), reader),
            warm: AtomicBool::new(false),
            again: settings.read_only.then(|| settings.clone()),
        });
        Store::new(conn, shared, Some(path), settings)
    }

    fn new(
        main: Connection,
        shared: Option<Shared>,
        path: Option<PathBuf>,
        settings: &Settings,
    ) -> Result<Store> {
        let &Settings { read_only, busy_timeout, ref key, ref entropy, .. } = settings;
        let vault = retry::retry_while_busy(busy_timeout, || SecretCodec::of(&main, key.as_ref()))
            .map_err(|error| disk::diagnose(&main, error))?;
        let file = path.as_deref().and_then(reader_pool::file_id);
        let store = Store {
            shared,
            main: Mutex::new(main),
            vault: RwLock::new(vault),
            version: AtomicU64::new(1),
            path,
            file,
            read_only,
            busy_timeout,
            entropy: entropy.clone(),
        };
        if let Some(keep) = settings.keep_changes
            && !store.read(&Scope::Every, |tx| tx.keeps_changes(keep))?
        {
            store.write(&Scope::Every, |tx| tx.keep_changes(keep))?;
        }
        Ok(store)
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// What ids and secrets are drawn from.
    pub(crate) fn entropy(&self) -> &RandomSource {
        &self.entropy
    }

    /// A number that differs from all that were given before a change, whoever made it. What is read after it was given
    /// is no older than it.
    pub(crate) fn version(&self) -> Result<u64> {
        match &self.shared {
            None => Ok(self.version.load(Ordering::SeqCst)),
            Some(Shared { watch, readers, .. }) => self.on_current_file(|| {
                retry::retry_while_busy(self.busy_timeout, || watch.version(|| readers.take()))
            }),
        }
    }

    /// Reads, all from one moment of the file. A job that meets another's lock is done again.
    pub(crate) fn read<T>(&self, scope: &Scope, job: impl Fn(&Read<'_>) -> Result<T>) -> Result<T> {
        self.on_reader(scope, |read| {
            let conn = read.conn;
            run(conn, "BEGIN")?;
            let result = job(read);
            // Nothing was written, so either ending will do; but the moment has to end. Where a page is damaged, it does,
            // and SQLite says so all the same.
            let ended = run(conn, "COMMIT")
                .or_else(|cause| if conn.is_autocommit() { Ok(()) } else { Err(cause) });
            let result = result?;
            ended.map(|()| result)
        })
    }

    /// Reads with one statement, which sees one moment without a transaction around it.
    pub(crate) fn read_autocommit<T>(
        &self,
        scope: &Scope,
        job: impl Fn(&Read<'_>) -> Result<T>,
    ) -> Result<T> {
        if let Some(Shared { warm, .. }) = &self.shared
            && warm.load(Ordering::Relaxed)
            && warm.swap(false, Ordering::Relaxed)
        {
            // The vault before the connection, as everywhere.
            let vault = self.vault();
            if let Ok(conn) = self.main.try_lock() {
                return self.retry(scope, &conn, &vault, &job);
            }
        }
        self.on_reader(scope, job)
    }

    fn on_reader<T>(&self, scope: &Scope, job: impl Fn(&Read<'_>) -> Result<T>) -> Result<T> {
        match &self.shared {
            Some(Shared { readers, .. }) => self.on_current_file(|| {
                let vault = self.vault();
                let conn = retry::retry_while_busy(self.busy_timeout, || readers.take())?;
                let result = self.retry(scope, &conn, &vault, &job);
                readers.give_back(conn);
                result
            }),
            None => {
                let vault = self.vault();
                let conn = self.lock()?;
                self.retry(scope, &conn, &vault, &job)
            }
        }
    }

    fn retry<T>(
        &self,
        scope: &Scope,
        conn: &Connection,
        vault: &SecretCodec,
        job: impl Fn(&Read<'_>) -> Result<T>,
    ) -> Result<T> {
        let result =
            retry::retry_while_busy(self.busy_timeout, || job(&Read { conn, vault, scope }));
        result.map_err(|error| disk::diagnose(conn, error))
    }

    /// Changes the file: all that the job does, or nothing where it fails.
    pub(crate) fn write<T>(
        &self,
        scope: &Scope,
        job: impl FnOnce(&Write<'_>) -> Result<T>,
    ) -> Result<T> {
        if self.read_only {
            return Err(Error::read_only());
        }
        let vault = self.vault();
        let conn = self.lock()?;
        // Begun as IMMEDIATE: a transaction that first reads and then writes would fail at once when another process
        // wrote in between, whatever the timeout.
        let tx = retry::retry_while_busy(self.busy_timeout, || {
            Transaction::new_unchecked(&conn, TransactionBehavior::Immediate).map_sqlite_err()
        })
        .map_err(|error| disk::diagnose(&conn, error))?;
        if let Some(path) = &self.path {
            reader_pool::same_file(path, self.file)?;
        }
        #[cfg(feature = "test-util")]
        let turn = self.entropy.script().map(|script| script.turn());
        let write =
            Write { read: Read { conn: &tx, vault: &vault, scope }, ledger: ChangeRecorder::new() };
        let result = job(&write)
            .and_then(|result| write.settle().map(|()| result))
            .map_err(|error| disk::diagnose(&tx, error))?;
        #[cfg(feature = "test-util")]
        let changed = write.ledger.has_entries();
        let committed = tx.commit().map_sqlite_err().map_err(|error| disk::diagnose(&conn, error));
        // After the commit, and also where it is not known whether it took place.
        self.version.fetch_add(1, Ordering::SeqCst);
        if let Some(Shared { warm, .. }) = &self.shared {
            warm.store(true, Ordering::Relaxed);
        }
        #[cfg(feature = "test-util")]
        if let (Some(turn), Ok(())) = (turn, &committed) {
            turn.end(changed);
        }
        committed.map(|()| result)
    }

    /// Tells the error of a call that used `main` apart, as `read` and `write` do.
    #[cfg(feature = "encryption")]
    pub(crate) fn diagnosed<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| match self.lock() {
            Ok(conn) => disk::diagnose(&conn, error),
            Err(_) => error,
        })
    }

    fn vault(&self) -> RwLockReadGuard<'_, SecretCodec> {
        self.vault.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> Result<MutexGuard<'_, Connection>> {
        self.main.lock().or_else(|poisoned| {
            // A thread panicked in the middle of a call, in the caller's clock for one. Its transaction went with it;
            // where it did not, nothing more can be trusted to be whole.
            let conn = poisoned.into_inner();
            if conn.is_autocommit() {
                self.main.clear_poison();
                Ok(conn)
            } else {
                Err(Error::new(
                    ErrorKind::Storage,
                    "a thread panicked while it held the registry's lock, and left a transaction open; open it anew",
                ))
            }
        })
    }
}

fn run(conn: &Connection, sql: &str) -> Result<()> {
    conn.prepare_cached(sql)
        .and_then(|mut statement| statement.execute([]))
        .map(drop)
        .map_sqlite_err()
}

/// A moment of the file, to read from.
pub(crate) struct Read<'c> {
    conn: &'c Connection,
    vault: &'c SecretCodec,
    /// Which subscriptions the call reaches.
    scope: &'c Scope,
}

impl Read<'_> {
    /// Returns the same error, or `Storage` where a page that seems damaged could not be read.
    pub(crate) fn diagnose(&self, error: Error) -> Error {
        disk::diagnose(self.conn, error)
    }
}

/// The file, to read and to change.
pub(crate) struct Write<'c> {
    read: Read<'c>,
    ledger: ChangeRecorder,
}

impl<'c> Deref for Write<'c> {
    type Target = Read<'c>;

    fn deref(&self) -> &Read<'c> {
        &self.read
    }
}
