//! The calls of a store: open, version, read and write.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
#[cfg(not(feature = "encryption"))]
use std::sync::{PoisonError, RwLockReadGuard};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::connection::execute;
use super::error::{MapSqliteErr as _, is_recovering};
use super::handle::{Shared, Store};
use super::lock_wait::{is_busy, retry_while, retry_while_busy};
use super::reader_pool::ReaderPool;
use super::settings::Settings;
use super::stored_secret::SecretCodec;
use super::transaction::{Read, Write};
use super::version_probe::{Connections, FoundBy};
use super::{disk, paths};
use crate::error::{Error, ErrorKind, Result};
use crate::scope::Scope;

impl Store {
    /// Creates a store in memory.
    pub(crate) fn in_memory(settings: &Settings) -> Result<Store> {
        Store::new_in_memory(settings)?.with_history_limit(settings)
    }

    /// Opens the file at an absolute path.
    pub(crate) fn open(path: PathBuf, settings: &Settings) -> Result<Store> {
        Store::open_file(path, settings)?.with_history_limit(settings)
    }

    fn with_history_limit(self, settings: &Settings) -> Result<Store> {
        if let Some(keep) = settings.keep_changes
            && !self.read(&Scope::Every, |tx| tx.keeps_changes(keep))?
        {
            self.write(&Scope::Every, |tx| tx.keep_changes(keep))?;
        }
        Ok(self)
    }

    /// Returns a version that increases whenever any process commits. A later read is at least as
    /// new as the version.
    pub(crate) fn version(&self) -> Result<u64> {
        self.version_and_read(&Scope::Every, |_, _| Ok(false))
    }

    /// Returns the [version](Store::version). If this call noticed that it is a new one, and the
    /// connection that did has nothing to wait for, it also calls `job` to read of that version.
    /// `job` returns whether it has read what it wants.
    ///
    /// Where `job` fails, the result is as if it had not been called. The caller then reads in
    /// another way, which retries and returns errors.
    pub(crate) fn version_and_read(
        &self,
        scope: &Scope,
        mut job: impl FnMut(&Read<'_>, u64) -> Result<bool>,
    ) -> Result<u64> {
        // After a failed change of key another process may have had the file, or a journal has to
        // be rolled back before anything can be read.
        #[cfg(feature = "encryption")]
        if self.pending_rekey.blocks(false) {
            self.finish_rekey(false)?;
        }
        let Some(Shared { data_version, readers, main_is_fresh, .. }) = &self.shared else {
            return Ok(self.version.load(Ordering::SeqCst));
        };
        let mut read = |conn: &Connection, by, version| {
            // The connection that wrote has the pages in memory.
            if by == FoundBy::Probe && main_is_fresh.load(Ordering::Relaxed) {
                return;
            }
            let has_read = self.read_unless_blocked(conn, scope, version, &mut job);
            if has_read && by == FoundBy::Main {
                main_is_fresh.store(false, Ordering::Relaxed);
            }
        };
        let connections = SharedConnections { store: self, readers };
        self.on_current_file(|| self.retry_read(|| data_version.version(&connections, &mut read)))
    }

    /// Reads by a connection that other threads may wait for, unless the codec is locked or
    /// a change of key is unfinished. Returns whether `job` has read what it wants.
    fn read_unless_blocked(
        &self,
        conn: &Connection,
        scope: &Scope,
        version: u64,
        job: impl FnOnce(&Read<'_>, u64) -> Result<bool>,
    ) -> bool {
        // Not `lock_codec`: whoever replaces the connections holds the codec, and waits for the one
        // that is in use here.
        let Ok(codec) = self.codec.try_read() else {
            return false;
        };
        #[cfg(feature = "encryption")]
        if self.pending_rekey.blocks(false) {
            return false;
        }
        self.check_key(conn, &codec).is_ok()
            && job(&Read::new(conn, &codec, scope), version).is_ok_and(|has_read| has_read)
    }

    /// Reads in one transaction, so that everything is of one snapshot. A job that meets another
    /// process's lock is called again.
    pub(crate) fn read<T>(&self, scope: &Scope, job: impl Fn(&Read<'_>) -> Result<T>) -> Result<T> {
        self.on_reader(scope, |read| {
            let conn = read.conn;
            execute(conn, "BEGIN", [])?;
            let result = job(read);
            // Nothing was written, so COMMIT and ROLLBACK do the same. But the snapshot has to end.
            // On a damaged page SQLite ends the transaction and returns an error all the same.
            let ended = execute(conn, "COMMIT", [])
                .or_else(|cause| if conn.is_autocommit() { Ok(()) } else { Err(cause) });
            let result = result?;
            ended.map(|()| result)
        })
    }

    /// Reads with one statement, which needs no transaction to see one snapshot.
    pub(crate) fn read_autocommit<T>(
        &self,
        scope: &Scope,
        job: impl Fn(&Read<'_>) -> Result<T>,
    ) -> Result<T> {
        if let Some(Shared { main_is_fresh, .. }) = &self.shared
            && main_is_fresh.load(Ordering::Relaxed)
            && main_is_fresh.swap(false, Ordering::Relaxed)
        {
            let result = self.on_current_file(|| {
                let codec = self.lock_codec(false)?;
                let main = self.main.try_lock().ok();
                main.map(|conn| self.read_with_retry(&conn, &codec, scope, &job)).transpose()
            })?;
            if let Some(result) = result {
                return Ok(result);
            }
        }
        self.on_reader(scope, job)
    }

    fn on_reader<T>(&self, scope: &Scope, job: impl Fn(&Read<'_>) -> Result<T>) -> Result<T> {
        match &self.shared {
            Some(Shared { readers, .. }) => self.on_current_file(|| {
                let codec = self.lock_codec(false)?;
                let conn = retry_while_busy(self.busy_timeout, || readers.take())?;
                let result = self.read_with_retry(&conn, &codec, scope, &job);
                readers.give_back(conn);
                result
            }),
            None => {
                let codec = self.lock_codec(false)?;
                let conn = self.lock()?;
                self.read_with_retry(&conn, &codec, scope, &job)
            }
        }
    }

    fn read_with_retry<T>(
        &self,
        conn: &Connection,
        codec: &SecretCodec,
        scope: &Scope,
        job: impl Fn(&Read<'_>) -> Result<T>,
    ) -> Result<T> {
        let result = self.retry_read(|| {
            self.check_key(conn, codec)?;
            job(&Read::new(conn, codec, scope))
        });
        result.map_err(|error| {
            // A secret that does not decode may have been encrypted with another key meanwhile.
            match self.check_key(conn, codec) {
                Err(other) if other.kind() == ErrorKind::Incompatible => other,
                _ => disk::diagnose(conn, error),
            }
        })
    }

    /// Repeats a read while it meets another process's lock.
    fn retry_read<T>(&self, read: impl FnMut() -> Result<T>) -> Result<T> {
        if self.guest {
            retry_while(self.busy_timeout, |error| is_busy(error) || is_recovering(error), read)
        } else {
            retry_while_busy(self.busy_timeout, read)
        }
    }

    /// Rejects an application's file whose key another process has changed. The key of a registry's
    /// own file changes only while nobody else has it open.
    fn check_key(&self, conn: &Connection, codec: &SecretCodec) -> Result<()> {
        if self.guest { codec.check_current(conn) } else { Ok(()) }
    }

    /// Changes the file in one transaction. Where the job fails, nothing of it stays.
    pub(crate) fn write<T>(
        &self,
        scope: &Scope,
        job: impl FnOnce(&Write<'_>) -> Result<T>,
    ) -> Result<T> {
        if self.read_only {
            return Err(Error::read_only());
        }
        let codec = self.lock_codec(true)?;
        let conn = self.lock()?;
        // IMMEDIATE, because a transaction that first reads and then writes would fail at once
        // where another process wrote in between, whatever the timeout.
        let tx = retry_while_busy(self.busy_timeout, || {
            Transaction::new_unchecked(&conn, TransactionBehavior::Immediate).map_sqlite_err()
        })
        .map_err(|error| disk::diagnose(&conn, self.explain_busy(error)))?;
        self.check_key(&tx, &codec)?;
        if let Some(path) = &self.path {
            paths::check_same_file(path, self.file)?;
        }
        #[cfg(feature = "test-util")]
        let rollback_guard = self.random.seeded_state().map(|state| state.begin());
        let write = Write::new(&tx, &codec, scope);
        let result = job(&write)
            .and_then(|result| write.finish().map(|()| result))
            .map_err(|error| disk::diagnose(&tx, error))?;
        #[cfg(feature = "test-util")]
        let changed = write.recorder.has_entries();
        // With a rollback journal a commit waits for readers, and can be tried again.
        let committed = retry_while_busy(self.busy_timeout, || execute(&tx, "COMMIT", []))
            .map_err(|error| disk::diagnose(&conn, error));
        drop(write);
        // This rolls back where the commit failed.
        drop(tx);
        // Also where the commit failed, because an I/O error can hide that it took place.
        self.version.fetch_add(1, Ordering::SeqCst);
        if let Some(Shared { main_is_fresh, .. }) = &self.shared {
            main_is_fresh.store(true, Ordering::Relaxed);
        }
        #[cfg(feature = "test-util")]
        if let (Some(guard), Ok(())) = (rollback_guard, &committed) {
            guard.keep(changed);
        }
        if let (Some(checkpoints), Some(path), Ok(())) = (&self.checkpoints, &self.path, &committed)
        {
            checkpoints.after_commit(&conn, path, self.file);
        }
        committed.map(|()| result)
    }

    /// Returns the error, where the thread may wait for a transaction of its own, with what to do.
    pub(super) fn explain_busy(&self, error: Error) -> Error {
        if !self.guest || !is_busy(&error) {
            return error;
        }
        let what = "the application's database stayed locked past the busy timeout; if this \
                    thread has a write transaction of the application open, make the call before \
                    it begins or after its commit, or change the view \
                    webhook_registry_subscriptions in it";
        Error::new(ErrorKind::Busy, what).with_source(error)
    }

    /// Locks the codec for a call. With the feature `encryption`, `rekey.rs` has another version,
    /// which first finishes what a change of key has left to do.
    #[cfg(not(feature = "encryption"))]
    fn lock_codec(&self, _writing: bool) -> Result<RwLockReadGuard<'_, SecretCodec>> {
        Ok(self.codec.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The connections of a store whose file other processes change.
struct SharedConnections<'s> {
    store: &'s Store,
    readers: &'s ReaderPool,
}

impl Connections for SharedConnections<'_> {
    fn connect(&self) -> Result<Connection> {
        // A new one: an idle connection, which has parsed the schema, is left to who reads.
        self.readers.connect()
    }

    fn commits(&self) -> u64 {
        self.store.version.load(Ordering::SeqCst)
    }

    fn main(&self) -> Option<impl Deref<Target = Connection>> {
        if self.store.guest { None } else { self.store.main.try_lock().ok() }
    }
}
