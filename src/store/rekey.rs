//! Giving the file another key, or none, so that nothing of what was readable before is left in it.

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

use super::connection::{connect, journal_mode};
use super::copy::{self, Part, cannot};
use super::error::MapSqliteErr as _;
use super::handle::{Shared, Store};
use super::paths::{beside, check_same_file};
use super::pending_rekey::{DETERMINE_KEY, DONE, ENTER_WAL};
use super::retry;
use super::secret_codec::SecretCodec;
use super::settings::Access;
use super::transaction::{Read, Write};
use super::writer::REKEY;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::EncryptionKey;

/// How many subscriptions are rewritten from one look: what of their secrets is in memory at once.
const BATCH: u16 = 1_000;

/// How far a change of key came that failed.
struct Failed {
    error: Error,
    /// The codec of the new key, where the file may have that.
    new: Option<SecretCodec>,
}

impl Store {
    /// Seals every secret with this key, or lays it open where there is none. The file has to be this store's alone.
    ///
    /// The new state is in the `-wal` alone until all of it is there. Up to then a failure is undone by removing the `-wal`,
    /// which needs no room and writes nothing. Whatever happens, the connection that has the file locked is closed: the
    /// system then gives up the lock, where a statement that was to do so could fail. Its successor is opened before the
    /// lock is taken, for the same reason.
    pub(crate) fn rekey(&self, key: Option<&EncryptionKey>) -> Result<()> {
        if self.read_only {
            return Err(Error::read_only());
        }
        let Some(path) = &self.path else {
            return Err(Error::new(ErrorKind::Storage, "there is no file"));
        };
        // In this order, as everywhere: no reader of this store is under way, and none begins.
        let mut codec = self.codec.write().unwrap_or_else(PoisonError::into_inner);
        let _probe = self.shared.as_ref().map(|shared| shared.data_version.stop());
        let mut conn = self.lock()?;
        if self.pending_rekey.blocks(true) {
            self.reconnect(&mut conn, path)?;
            self.determine_key(&conn, &mut codec, true, self.busy_timeout)?;
        }
        let successor = self.writer.connect(path)?;
        check_same_file(path, self.file)?;
        let changed = self
            .take(&conn)
            .map_err(|error| Failed { error, new: None })
            .and_then(|()| self.change(&mut conn, path, &codec, key));
        let failed = match changed {
            Ok(new) => {
                *codec = new;
                // While nobody else is there: whoever comes next finds the file in WAL mode, and has nothing to write.
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
        self.replace(&mut conn, successor);
        // By this look the file is held open again. Who has waited for a lock and failed has waited long enough.
        let timeout = if failed.is_some() { Duration::ZERO } else { self.busy_timeout };
        let held = self.determine_key(&conn, &mut codec, false, timeout);
        failed.map_or_else(|| unless_other_key(held), Err)
    }

    /// Takes the file once nobody else has it open.
    fn take(&self, conn: &Connection) -> Result<()> {
        retry::retry_while_busy(self.busy_timeout, || {
            if let Some(Shared { readers, .. }) = &self.shared {
                readers.close();
            }
            alone(conn).inspect_err(|_| {
                // Tried again, or given up: either way the others are let in meanwhile.
                if !self.writer.exclusive {
                    let _ = conn.pragma_update(None, "locking_mode", "NORMAL");
                }
            })
        })
    }

    /// Changes the key of a file that is this connection's alone, and leaves no `-wal`.
    fn change(
        &self,
        conn: &mut Connection,
        path: &Path,
        old: &SecretCodec,
        key: Option<&EncryptionKey>,
    ) -> Result<SecretCodec, Failed> {
        // SQLite is not to bring anything into the file before all of it is there.
        let mut new = None;
        let written = conn
            .pragma_update(None, "wal_autocheckpoint", 0)
            .map_sqlite_err()
            .and_then(|()| rewrite(conn, old, key, &mut new))
            .and_then(|()| renew(conn, path));
        if let Err(error) = written {
            if self.undo(conn, path).is_ok() {
                return Err(Failed { error, new: None });
            }
            let what = "the change of key could neither be finished nor undone, and the file may have its new key";
            return Err(Failed { error: Error::new(error.kind(), what).with_source(error), new });
        }
        // From here on the file itself is written to, and what the `-wal` holds is needed.
        let left = journal_mode(conn, "DELETE").and_then(|mode| match mode.as_str() {
            "delete" => Ok(()),
            _ => Err(Error::new(ErrorKind::Busy, format!("the file stays in the mode {mode:?}"))),
        });
        match (left, new) {
            (Ok(()), Some(new)) => Ok(new),
            (Ok(()), None) => {
                Err(Failed { error: Error::new(ErrorKind::Storage, "no key was set"), new: None })
            }
            (Err(cause), new) => Err(Failed { error: uncleared(cause), new }),
        }
    }

    /// Removes or empties the `-wal` under the connection that has the file locked, and keeps that from bringing it into the file when
    /// it is closed, which has to be next: the file is as it was.
    fn undo(&self, conn: &Connection, path: &Path) -> Result<()> {
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_sqlite_err()?;
        check_same_file(path, self.file)?;
        let wal = beside(path, "-wal")?;
        // It has no locks that a second descriptor could drop.
        remove(&wal).or_else(|error| {
            let emptied =
                fs::OpenOptions::new().write(true).open(&wal).and_then(|wal| wal.set_len(0));
            emptied.map_err(|_| error)
        })?;
        // After a loss of power the `-wal` could be there again.
        let _ = copy::sync_folder(path);
        Ok(())
    }

    /// The codec of the key that the file has, to read or to write with.
    pub(super) fn lock_codec(&self, writing: bool) -> Result<RwLockReadGuard<'_, SecretCodec>> {
        loop {
            let codec = self.codec.read().unwrap_or_else(PoisonError::into_inner);
            // Looked at behind the lock, which a change of key holds until it has said how it ended.
            if !self.pending_rekey.blocks(writing) {
                return Ok(codec);
            }
            drop(codec);
            self.finish_rekey(writing)?;
        }
    }

    /// Does what a change of key has left to do.
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

    /// A connection that could not enter WAL mode can take itself to be in it when it is asked again, and the file not: what
    /// it wrote to a `-wal` then would be nowhere.
    fn reconnect(&self, conn: &mut Connection, path: &Path) -> Result<()> {
        let fresh = self.writer.connect(path)?;
        check_same_file(path, self.file)?;
        self.replace(conn, fresh);
        Ok(())
    }

    fn replace(&self, conn: &mut Connection, by: Connection) {
        drop(mem::replace(conn, by));
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.begin_anew();
        }
    }

    /// Finds out which key the file has, and brings it back into WAL mode, through a connection that has done nothing yet.
    fn determine_key(
        &self,
        conn: &Connection,
        codec: &mut SecretCodec,
        writing: bool,
        timeout: Duration,
    ) -> Result<()> {
        let mut other = self.pending_rekey.other();
        let is_other = retry::retry_while_busy(timeout, || {
            if self.writer.exclusive {
                conn.execute_batch("BEGIN IMMEDIATE; COMMIT").map_sqlite_err()?;
            }
            if codec.fits(conn)? {
                Ok(false)
            } else if other.as_ref().map_or(Ok(false), |other| other.fits(conn))? {
                Ok(true)
            } else {
                Err(Error::new(
                    ErrorKind::Incompatible,
                    "the file was given another key; open it anew",
                ))
            }
        })?;
        match other.take() {
            Some(other) if is_other => *codec = other,
            _ => {}
        }
        // With the file let go for a moment, another can have changed it.
        self.version.fetch_add(1, Ordering::SeqCst);
        let Some(path) = &self.path else {
            return Ok(());
        };
        match retry::retry_while_busy(timeout, || self.writer.enter_wal(conn, path)) {
            Ok(()) => {
                self.pending_rekey.set(DONE);
                Ok(())
            }
            Err(error) if writing => {
                self.pending_rekey.set(DETERMINE_KEY);
                Err(error)
            }
            // On a full disk this fails and reading does not; but a journal that it has left has to be rolled back, which
            // takes a connection that can write.
            Err(_) => {
                self.pending_rekey.set(DETERMINE_KEY);
                codec.fits(conn)?;
                self.pending_rekey.set(ENTER_WAL);
                Ok(())
            }
        }
    }
}

/// What the first look after a change says. Whoever was quicker may have given the file yet another key. Whatever else
/// stands in the way undoes nothing, and is met again by the next call.
fn unless_other_key(look: Result<()>) -> Result<()> {
    match look {
        Err(error) if error.kind() == ErrorKind::Incompatible => Err(error),
        _ => Ok(()),
    }
}

/// Takes the file, with its `-wal` emptied into it and removed, for as long as the connection says.
///
/// It is left in WAL mode all the same. A rollback journal would hold what is to go, and a kill would leave the file half
/// written beside it, so that no key fits until it is rolled back; a `-wal` holds the new pages alone.
fn alone(conn: &Connection) -> Result<()> {
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

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            let what = format!("{} cannot be removed: {cause}", path.display());
            Err(Error::new(ErrorKind::Storage, what).with_source(cause))
        }
        _ => Ok(()),
    }
}

/// Writes every page anew, so that what the old ones held goes with them.
///
/// As `VACUUM` does, but with the copy in a file beside this one and not in memory, where it would take as much as the file
/// has. It is not in the folder for temporary files either, which can be on another disk, with secrets in it as text.
fn renew(conn: &mut Connection, path: &Path) -> Result<()> {
    let path = beside(path, REKEY)?;
    // A killed one may have left it, and nobody else has the file now.
    remove(&path)?;
    let part = Part::create(path.clone()).map_err(|cause| cannot(&path, "be written", cause))?;
    // As bytes: a path need not be UTF-8.
    let name = ToSqlOutput::Borrowed(ValueRef::Text(part.path().as_os_str().as_encoded_bytes()));
    conn.execute("VACUUM INTO ?1", [name]).map_sqlite_err()?;
    let from = connect(part.path(), Access::Read)?;
    copy::copy(&from, conn)
}

/// Seals every secret with the new key; `new` is what the file has once that is committed, or has in spite of an error.
fn rewrite(
    conn: &Connection,
    old: &SecretCodec,
    key: Option<&EncryptionKey>,
    new: &mut Option<SecretCodec>,
) -> Result<()> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Exclusive).map_sqlite_err()?;
    let codec = &*new.insert(SecretCodec::set_key(&tx, key)?);
    let from = Read { conn: &tx, codec: old };
    let to = Write::new(&tx, codec);
    let mut after = 0;
    loop {
        let batch = from.ids_after(after, BATCH)?;
        let Some(&(last, _)) = batch.last() else {
            break;
        };
        for (seq, id) in batch {
            to.set_secrets(seq, id, &from.secrets(seq, id)?)?;
        }
        after = last;
    }
    tx.commit().map_sqlite_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_after_the_change_undoes_nothing_and_another_key_is_told() {
        let told = |kind| {
            unless_other_key(Err(Error::new(kind, "met on the first look")))
                .map_err(|error| error.kind())
        };
        assert_eq!(told(ErrorKind::Busy), Ok(()));
        assert_eq!(told(ErrorKind::Storage), Ok(()));
        assert_eq!(told(ErrorKind::Incompatible), Err(ErrorKind::Incompatible));
    }
}
