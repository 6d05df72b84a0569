//! The file. This folder is the only place that names rusqlite, and decides nothing about meaning.

mod busy;
mod catalog;
mod dispatch;
mod fault;
mod migrate;
mod open;
mod readers;
mod rows;
mod subscriptions;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::{Error, ErrorKind, Result};
use fault::OrFault as _;
use open::{How, Opened};
use readers::Readers;

pub(crate) use catalog::Knowledge;
pub(crate) use dispatch::{Recipient, Routed};
pub(crate) use subscriptions::{Current, Taken};

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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) read_only: bool,
    pub(crate) create: bool,
    pub(crate) durability: Durability,
    pub(crate) busy_timeout: Duration,
}

/// An open file, or a database in memory.
#[derive(Debug)]
pub(crate) struct Store {
    /// Before `main`, because fields are dropped in order: the last connection to close empties the `-wal`, which takes
    /// one that can write. None where there is but one connection.
    readers: Option<Readers>,
    main: Mutex<Connection>,
    path: Option<PathBuf>,
    read_only: bool,
    busy_timeout: Duration,
}

impl Store {
    pub(crate) fn in_memory(settings: Settings) -> Result<Store> {
        let Settings {
            read_only,
            create: _,
            durability: _,
            busy_timeout,
        } = settings;
        Ok(Store {
            readers: None,
            main: Mutex::new(open::memory()?),
            path: None,
            read_only,
            busy_timeout,
        })
    }

    /// Opens the file at an absolute path.
    pub(crate) fn open(path: PathBuf, settings: Settings) -> Result<Store> {
        let Settings {
            read_only,
            create,
            durability,
            busy_timeout,
        } = settings;
        busy::set_timeout(busy_timeout);
        let Opened { conn, follows } = open::file(
            &path,
            How {
                read_only,
                create,
                durability,
            },
        )?;
        Ok(Store {
            readers: follows.then(|| Readers::new(&path)),
            main: Mutex::new(conn),
            path: Some(path),
            read_only,
            busy_timeout,
        })
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Reads, all from one moment of the file.
    pub(crate) fn read<T>(&self, job: impl FnOnce(&Read<'_>) -> Result<T>) -> Result<T> {
        busy::set_timeout(self.busy_timeout);
        match &self.readers {
            Some(readers) => {
                let conn = readers.take()?;
                let result = read_on(&conn, job);
                readers.give_back(conn);
                result
            }
            None => read_on(&*self.lock()?, job),
        }
    }

    /// Changes the file: all that the job does, or nothing where it fails.
    pub(crate) fn write<T>(&self, job: impl FnOnce(&Write<'_>) -> Result<T>) -> Result<T> {
        if self.read_only {
            return Err(Error::read_only());
        }
        let conn = self.lock()?;
        busy::set_timeout(self.busy_timeout);
        // Begun as IMMEDIATE: a transaction that first reads and then writes would fail at once when another process
        // wrote in between, whatever the timeout.
        let tx = Transaction::new_unchecked(&conn, TransactionBehavior::Immediate).or_fault()?;
        let result = job(&Write {
            read: Read { conn: &tx },
        })?;
        tx.commit().or_fault()?;
        Ok(result)
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

fn read_on<T>(conn: &Connection, job: impl FnOnce(&Read<'_>) -> Result<T>) -> Result<T> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Deferred).or_fault()?;
    let result = job(&Read { conn: &tx })?;
    tx.commit().or_fault()?;
    Ok(result)
}

/// A moment of the file, to read from.
pub(crate) struct Read<'c> {
    conn: &'c Connection,
}

/// The file, to read and to change.
pub(crate) struct Write<'c> {
    read: Read<'c>,
}

impl<'c> Deref for Write<'c> {
    type Target = Read<'c>;

    fn deref(&self) -> &Read<'c> {
        &self.read
    }
}
