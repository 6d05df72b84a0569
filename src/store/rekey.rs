//! Changes the file's encryption key, so that nothing that the old key or no key opens is left in
//! it.
//!
//! # The hazard
//!
//! Every secret has to change from one key to the other at once, also for readers and after a kill.
//! And the old bytes have to go, wherever SQLite keeps them: in free pages and in the `-wal`. So
//! the file has to belong to this connection alone, and `locking_mode = EXCLUSIVE` gives that. The
//! lock is the operating system's, on the file, and belongs to the connection. To give it up,
//! SQLite needs a statement that reads the file, which can fail on a full or broken disk. So the
//! connection is closed in every case of failure, and the operating system then gives up the lock.
//!
//! Inside this process, the codec is held for writing meanwhile (see `handle.rs`): no call may
//! decrypt with the old key what is encrypted with the new one. Where the outcome is not known at
//! the end, the next call finds out before anything else
//! ([`PendingRekey`](super::pending_rekey::PendingRekey)).

use std::fs;
use std::io;
use std::mem;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{PoisonError, RwLockReadGuard};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::connection::{connect, execute, journal_mode};
use super::copy::{self, Part, cannot, quoted_path};
use super::error::MapSqliteErr as _;
use super::handle::{Shared, Store};
use super::lock_wait::{self, is_busy};
use super::paths::{beside, check_same_file, rekey_copy};
use super::pending_rekey::{DETERMINE_KEY, DONE, ENTER_WAL};
use super::settings::Access;
use super::stored_secret::{SecretCodec, other_key};
use super::transaction::{Read, Write};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Tracker;
use crate::scope::Scope;
use crate::secret::EncryptionKey;

/// The number of subscriptions that one query reads. It bounds how many of them are in memory at
/// once.
const BATCH: u16 = 1_000;

/// A change of key that failed.
struct Failed {
    error: Error,
    /// The codec of the new key, where the file may have it now.
    new: Option<SecretCodec>,
}

impl Store {
    /// Encrypts every secret with this key, or decrypts it where there is none. Nobody else may
    /// have the file open.
    ///
    /// The new state is in the `-wal` only, until it is complete. Up to that moment a failure is
    /// undone by removing the `-wal`, which needs no disk space. The next connection is opened
    /// before the file is locked, because opening one can fail too.
    pub(crate) fn rekey(&self, key: Option<&EncryptionKey>, progress: &Tracker) -> Result<()> {
        if self.read_only {
            return Err(Error::read_only());
        }
        let Some(path) = &self.path else {
            return Err(Error::new(ErrorKind::Storage, "there is no file"));
        };
        if !self.guest {
            // Rejected before anything is locked. An application's file is changed without a copy.
            rekey_copy(path)?;
        }
        // In the order of handle.rs. No call of this store is under way now, and none begins.
        let mut codec = self.codec.write().unwrap_or_else(PoisonError::into_inner);
        let _probe = self.shared.as_ref().map(|shared| shared.data_version.stop());
        let mut conn = self.lock()?;
        if self.pending_rekey.blocks(true) {
            self.reconnect(&mut conn, path)?;
            self.determine_key(&conn, &mut codec, true, self.busy_timeout)?;
        }
        if self.guest {
            return self.rekey_guest(&conn, &mut codec, path, key, progress);
        }
        let successor = self.writer.connect(path)?;
        check_same_file(path, self.file)?;
        let changed = self
            .lock_file(&conn)
            .map_err(|error| Failed { error, new: None })
            .and_then(|()| self.change(&mut conn, path, &codec, key, progress));
        let failed = match changed {
            Ok(new) => {
                *codec = new;
                // While the file is locked: the next process finds it in WAL mode and need not
                // change it.
                let is_in_wal_mode = journal_mode(&conn, "WAL").is_ok_and(|mode| mode == "wal");
                let keeps_lock = self.writer.exclusive && is_in_wal_mode;
                if keeps_lock && self.writer.set_automatic_checkpoints(&conn).is_ok() {
                    return Ok(());
                }
                None
            }
            Err(Failed { error, new }) => {
                *self.pending_rekey.other() = new;
                Some(error)
            }
        };
        self.pending_rekey.set(DETERMINE_KEY);
        self.replace_connection(&mut conn, successor);
        // This keeps the file open again. After a failure the caller has waited for a lock long
        // enough.
        let timeout = if failed.is_some() { Duration::ZERO } else { self.busy_timeout };
        let held = self.determine_key(&conn, &mut codec, false, timeout);
        failed.map_or_else(|| unless_other_key(held), Err)
    }

    /// Changes the key of an application's file, in one transaction beside its other users. They
    /// find the change at their next call, because each compares the key.
    fn rekey_guest(
        &self,
        conn: &Connection,
        codec: &mut SecretCodec,
        path: &Path,
        key: Option<&EncryptionKey>,
        progress: &Tracker,
    ) -> Result<()> {
        let tx = lock_wait::retry_while_busy(self.busy_timeout, || {
            Transaction::new_unchecked(conn, TransactionBehavior::Immediate).map_sqlite_err()
        })
        .map_err(|error| self.explain_busy(error))?;
        codec.check_current(&tx)?;
        check_same_file(path, self.file)?;
        let new = rewrite_secrets(&tx, codec, key, progress)?;
        progress.complete()?;
        let committed =
            lock_wait::retry_while_busy(self.busy_timeout, || execute(&tx, "COMMIT", []));
        // This rolls back where the commit failed.
        drop(tx);
        match committed {
            Ok(()) => *codec = new,
            Err(error) if is_busy(&error) => return Err(self.explain_busy(error)),
            Err(error) => {
                // An I/O error can hide that the commit took place. The next call finds out.
                *self.pending_rekey.other() = Some(new);
                self.pending_rekey.set(DETERMINE_KEY);
                return Err(error);
            }
        }
        self.version.fetch_add(1, Ordering::SeqCst);
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.after_commit(conn, path, self.file);
        }
        Ok(())
    }

    /// Locks the file as soon as nobody else has it open.
    fn lock_file(&self, conn: &Connection) -> Result<()> {
        lock_wait::retry_while_busy(self.busy_timeout, || {
            if let Some(Shared { readers, .. }) = &self.shared {
                readers.close();
            }
            lock_exclusively(conn).inspect_err(|_| {
                // The others can use the file until the next attempt, or from now on.
                if !self.writer.exclusive {
                    let _ = conn.pragma_update(None, "locking_mode", "NORMAL");
                }
            })
        })
    }

    /// Changes the key of a file that this connection has locked, and leaves no `-wal`.
    fn change(
        &self,
        conn: &mut Connection,
        path: &Path,
        old: &SecretCodec,
        key: Option<&EncryptionKey>,
        progress: &Tracker,
    ) -> Result<SecretCodec, Failed> {
        // SQLite must not copy anything into the file before the new state is complete.
        let mut new = None;
        let written = conn
            .pragma_update(None, "wal_autocheckpoint", 0)
            .map_sqlite_err()
            .and_then(|()| {
                let tx = Transaction::new_unchecked(conn, TransactionBehavior::Exclusive)
                    .map_sqlite_err()?;
                // Set before the commit, because an error can hide that the commit took place.
                new = Some(rewrite_secrets(&tx, old, key, progress)?);
                tx.commit().map_sqlite_err()
            })
            .and_then(|()| rewrite_pages(conn, path))
            .and_then(|()| progress.complete());
        if let Err(error) = written {
            if self.undo(conn, path).is_ok() {
                return Err(Failed { error, new: None });
            }
            let what = "the change of key could neither be finished nor undone, and the file may \
                have its new key";
            return Err(Failed { error: Error::new(error.kind(), what).with_source(error), new });
        }
        // From here on SQLite writes to the file itself, and needs the content of the `-wal`. When
        // SQLite leaves WAL mode it ignores that it may not remove the `-wal`, and then continues
        // with it. So the `-wal` is emptied first. Where that fails, it can still be removed.
        let _ = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let left = journal_mode(conn, "DELETE").and_then(|mode| match mode.as_str() {
            "delete" => Ok(()),
            _ => Err(Error::new(ErrorKind::Busy, format!("the file stays in the mode {mode:?}"))),
        });
        match (left.and_then(|()| holds_nothing(&beside(path, "-wal")?)), new) {
            (Ok(()), Some(new)) => Ok(new),
            (Ok(()), None) => {
                Err(Failed { error: Error::new(ErrorKind::Storage, "no key was set"), new: None })
            }
            (Err(cause), new) => Err(Failed { error: uncleared(cause), new }),
        }
    }

    /// Removes or empties the `-wal` of the connection that has the file locked, so that the file
    /// is as before.
    ///
    /// The connection has to be closed next. It must not copy its `-wal` into the file then, so
    /// that is switched off here.
    fn undo(&self, conn: &Connection, path: &Path) -> Result<()> {
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_sqlite_err()?;
        check_same_file(path, self.file)?;
        let wal = beside(path, "-wal")?;
        // SQLite has no locks on the `-wal` that closing a second descriptor could drop.
        remove(&wal).or_else(|error| {
            let emptied =
                fs::OpenOptions::new().write(true).open(&wal).and_then(|wal| wal.set_len(0));
            emptied.map_err(|_| error)
        })?;
        // Without this the `-wal` could be there again after a power loss.
        let _ = copy::sync_folder(path);
        Ok(())
    }

    /// Locks the codec for a call, after finishing what a change of key has left to do.
    pub(super) fn lock_codec(&self, writing: bool) -> Result<RwLockReadGuard<'_, SecretCodec>> {
        loop {
            let codec = self.codec.read().unwrap_or_else(PoisonError::into_inner);
            // Read while the lock is held: a change of key stores its outcome before it gives up
            // the lock.
            if !self.pending_rekey.blocks(writing) {
                return Ok(codec);
            }
            drop(codec);
            self.finish_rekey(writing)?;
        }
    }

    /// Finishes what a change of key has left to do.
    pub(super) fn finish_rekey(&self, writing: bool) -> Result<()> {
        let mut codec = self.codec.write().unwrap_or_else(PoisonError::into_inner);
        let _probe = self.shared.as_ref().map(|shared| shared.data_version.stop());
        let mut conn = self.lock()?;
        let Some(path) = self.path.as_ref().filter(|_| self.pending_rekey.blocks(writing)) else {
            return Ok(());
        };
        self.reconnect(&mut conn, path)?;
        self.determine_key(&conn, &mut codec, writing, self.busy_timeout)
    }

    /// Replaces the connection that writes.
    ///
    /// A connection that failed to enter WAL mode can report at the next attempt that it is in it,
    /// while the file is not. What it then wrote to a `-wal` would be lost.
    fn reconnect(&self, conn: &mut Connection, path: &Path) -> Result<()> {
        let fresh = self.writer.connect(path)?;
        check_same_file(path, self.file)?;
        self.replace_connection(conn, fresh);
        Ok(())
    }

    fn replace_connection(&self, conn: &mut Connection, by: Connection) {
        drop(mem::replace(conn, by));
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.reset();
        }
    }

    /// Determines which key the file has, and brings it back into WAL mode, through a new
    /// connection.
    fn determine_key(
        &self,
        conn: &Connection,
        codec: &mut SecretCodec,
        writing: bool,
        timeout: Duration,
    ) -> Result<()> {
        let mut other = self.pending_rekey.other();
        let is_other = lock_wait::retry_while_busy(timeout, || {
            if self.writer.exclusive {
                conn.execute_batch("BEGIN IMMEDIATE; COMMIT").map_sqlite_err()?;
            }
            if codec.fits(conn)? {
                Ok(false)
            } else if other.as_ref().map_or(Ok(false), |other| other.fits(conn))? {
                Ok(true)
            } else {
                Err(other_key())
            }
        })?;
        match other.take() {
            Some(other) if is_other => *codec = other,
            _ => {}
        }
        // Another process can have changed the file while it was unlocked.
        self.version.fetch_add(1, Ordering::SeqCst);
        let Some(path) = &self.path else {
            return Ok(());
        };
        match lock_wait::retry_while_busy(timeout, || self.writer.enter_mode(conn, path, false)) {
            Ok(()) => {
                self.pending_rekey.set(DONE);
                Ok(())
            }
            Err(error) if writing => {
                self.pending_rekey.set(DETERMINE_KEY);
                Err(error)
            }
            // On a full disk this fails and reading does not. But a rollback journal that it has
            // left has to be rolled back first, and only a connection that can write does that.
            Err(_) => {
                self.pending_rekey.set(DETERMINE_KEY);
                codec.fits(conn)?;
                self.pending_rekey.set(ENTER_WAL);
                Ok(())
            }
        }
    }
}

/// Drops the error of the first read after a change, unless it says that another process has
/// already given the file yet another key. The change itself stands, and the next call meets every
/// other error again.
fn unless_other_key(look: Result<()>) -> Result<()> {
    match look {
        Err(error) if error.kind() == ErrorKind::Incompatible => Err(error),
        _ => Ok(()),
    }
}

/// Locks the file for this connection alone, after copying the `-wal` into it and removing it.
///
/// The file then returns to WAL mode. A rollback journal would hold the old bytes, and after a kill
/// it would lie beside a half-written file that no key opens until the rollback. A `-wal` holds
/// only the new pages.
fn lock_exclusively(conn: &Connection) -> Result<()> {
    conn.pragma_update(None, "locking_mode", "EXCLUSIVE").map_sqlite_err()?;
    match journal_mode(conn, "DELETE")?.as_str() {
        "delete" => journal_mode(conn, "WAL").map(drop),
        _ => Err(Error::new(
            ErrorKind::Busy,
            "the file is open elsewhere, and needs to be this registry's alone",
        )),
    }
}

fn uncleared(cause: Error) -> Error {
    let what = "the file has its new key, but what lay there before could not be cleared from it";
    Error::new(cause.kind(), what).with_source(cause)
}

/// Rejects a file that is still there and not empty.
fn holds_nothing(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(file) if file.len() == 0 => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => {
            let what = format!("{} can be neither removed nor emptied", quoted_path(path));
            Err(Error::new(ErrorKind::Storage, what))
        }
        Err(cause) => Err(cannot(path, "be read", cause)),
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(cannot(path, "be removed", cause))
        }
        _ => Ok(()),
    }
}

/// Rewrites every page, so that the old bytes are overwritten.
///
/// `VACUUM` does the same, but keeps its copy in memory, where it would take as much as the file,
/// or in the folder for temporary files, which can be on another disk. The copy can hold secrets as
/// text, so it is beside the file.
fn rewrite_pages(conn: &mut Connection, path: &Path) -> Result<()> {
    let path = rekey_copy(path)?;
    // A change of key that was killed may have left it. Nobody else has the file open now.
    remove(&path)?;
    let part = Part::create(path.clone()).map_err(|cause| cannot(&path, "be written", cause))?;
    // As bytes, because a path need not be UTF-8.
    let name = ToSqlOutput::Borrowed(ValueRef::Text(part.path().as_os_str().as_encoded_bytes()));
    conn.execute("VACUUM INTO ?1", [name]).map_sqlite_err()?;
    copy::copy(&connect(part.path(), Access::Read)?, conn, None)
}

/// Encrypts every secret with the new key, in the open transaction. Returns the codec of that key.
fn rewrite_secrets(
    tx: &Connection,
    old: &SecretCodec,
    key: Option<&EncryptionKey>,
    progress: &Tracker,
) -> Result<SecretCodec> {
    let codec = SecretCodec::set_key(tx, key)?;
    let from = Read::new(tx, old, &Scope::Every);
    let to = Write::new(tx, &codec, &Scope::Every);
    if progress.is_active() {
        progress.begin(from.len()?.saturating_add(1));
    }
    let mut after = None;
    loop {
        let batch = from.ids_after(after, BATCH)?;
        let Some(&(_, last)) = batch.last() else {
            break;
        };
        for (seq, id) in batch {
            to.set_secrets(seq, id, &from.secrets(seq, id)?)?;
            progress.advance();
        }
        after = Some(last);
    }
    drop(to);
    Ok(codec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_key_is_an_error_after_the_change() {
        let result = |kind| {
            unless_other_key(Err(Error::new(kind, "met by the first read")))
                .map_err(|error| error.kind())
        };
        assert_eq!(result(ErrorKind::Busy), Ok(()));
        assert_eq!(result(ErrorKind::Storage), Ok(()));
        assert_eq!(result(ErrorKind::Incompatible), Err(ErrorKind::Incompatible));
    }
}
