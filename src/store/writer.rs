//! Opens the connection that writes, and brings the file into WAL mode.

use std::fs;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, MAIN_DB};

use super::checkpoint::{WAL_LIMIT, has_wal_reset_bug};
use super::connection::{connect, journal_mode};
use super::error::MapSqliteErr as _;
use super::io_error::cannot;
use super::paths::rekey_copies;
use super::refusal::refusal;
use super::settings::{Access, Durability, Settings};
use crate::error::{Error, ErrorKind, Result};

/// The settings of the connection that writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer {
    pub(super) exclusive: bool,
    /// True if the file belongs to an application, so that its settings are not changed.
    pub(super) guest: bool,
    durability: Durability,
    pub(super) checkpoints: Checkpoints,
}

/// The program that makes the checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checkpoints {
    /// SQLite makes them after a commit.
    Automatic,
    /// This crate makes them, because SQLite's own could damage the file: see checkpoint.rs.
    Guarded,
    /// Another program makes them.
    External,
}

impl Writer {
    pub(super) fn new(settings: &Settings, guest: bool) -> Writer {
        let &Settings { exclusive, durability, auto_checkpoint, .. } = settings;
        let checkpoints = if !auto_checkpoint {
            Checkpoints::External
        } else if !exclusive && has_wal_reset_bug() {
            Checkpoints::Guarded
        } else {
            Checkpoints::Automatic
        };
        Writer { exclusive, guest, durability, checkpoints }
    }

    /// Opens a connection that has read nothing yet. So it holds no lock, and does not hinder a
    /// connection that locks the whole file.
    pub(super) fn connect(self, path: &Path) -> Result<Connection> {
        let conn = connect(path, Access::Write)?;
        if conn.is_readonly(MAIN_DB).map_sqlite_err()? {
            return Err(match refusal(path, Access::Write) {
                Some(cause) => cannot(path, "be written to", cause),
                None => Error::new(
                    ErrorKind::Storage,
                    format!("{} cannot be written to", path.display()),
                ),
            });
        }
        if self.exclusive {
            conn.pragma_update(None, "locking_mode", "EXCLUSIVE").map_sqlite_err()?;
        }
        self.configure(&conn)?;
        Ok(conn)
    }

    /// Lets a connection of [`Access::Query`] write.
    pub(super) fn adopt(self, conn: &Connection) -> Result<()> {
        conn.execute_batch("PRAGMA query_only = OFF").map_sqlite_err()?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_sqlite_err()?;
        self.configure(conn)
    }

    /// Sets the options that need no look at the file.
    fn configure(self, conn: &Connection) -> Result<()> {
        if self.checkpoints == Checkpoints::External {
            // Only connections that write make checkpoints. The `-wal` is not cut either, because
            // Litestream assumes that it has lost track of a `-wal` that is shorter than before.
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
                .map_sqlite_err()?;
        } else {
            let limit = format!("PRAGMA journal_size_limit = {WAL_LIMIT}");
            conn.query_row(&limit, [], |_| Ok(())).map_sqlite_err()?;
        }
        self.set_automatic_checkpoints(conn)?;
        if self.guest {
            // With a rollback journal SQLite would need the lock of the whole file to write pages
            // before the commit. That fails where anybody reads, and cannot be tried again alone.
            conn.execute_batch("PRAGMA cache_spill = OFF").map_sqlite_err()?;
        }
        Ok(())
    }

    /// Switches SQLite's checkpoints after a commit on or off.
    pub(super) fn set_automatic_checkpoints(self, conn: &Connection) -> Result<()> {
        let pages = if self.checkpoints == Checkpoints::Automatic { 1_000 } else { 0 };
        conn.pragma_update(None, "wal_autocheckpoint", pages).map_sqlite_err()
    }

    /// Brings a registry's own file, and a new one, into WAL mode. Sets the options for which
    /// SQLite reads the file.
    pub(super) fn enter_mode(self, conn: &Connection, path: &Path, is_new: bool) -> Result<()> {
        // An application can have made the file in the meantime.
        let has_pages = || conn.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0));
        if !self.guest || is_new && has_pages().map_sqlite_err()? == 0 {
            enter_wal(conn, path)?;
        }
        let synchronous = match self.durability {
            Durability::Full => "FULL",
            Durability::Relaxed => "NORMAL",
        };
        conn.pragma_update(None, "synchronous", synchronous).map_sqlite_err()?;
        if self.guest {
            return Ok(());
        }
        // A change of key that was killed can have left this copy, with secrets as text. None is
        // under way, because it would have the file locked.
        for left in rekey_copies(path).into_iter().flatten() {
            let _ = fs::remove_file(left);
        }
        Ok(())
    }
}

fn enter_wal(conn: &Connection, path: &Path) -> Result<()> {
    let mode = journal_mode(conn, "WAL")?;
    if mode == "wal" {
        return Ok(());
    }
    let why = format!(
        "{} lies where SQLite's WAL mode does not work (it answers {mode:?})",
        path.display()
    );
    Err(Error::new(ErrorKind::Storage, why))
}

/// Rejects a connection that could never write. SQLite returns that error before it tries the lock,
/// so nobody who holds the lock is waited for.
pub(super) fn can_write(conn: &Connection) -> Result<()> {
    let attempt = conn.execute_batch("BEGIN IMMEDIATE; ROLLBACK").map_sqlite_err();
    // SQLite learns from the header that the file is read-only. BEGIN then succeeds all the same.
    if conn.is_readonly(MAIN_DB).map_sqlite_err()? {
        return Err(Error::corrupt("its header forbids SQLite to write to it"));
    }
    match attempt {
        Err(error) if error.kind() == ErrorKind::Busy => Ok(()),
        attempt => attempt,
    }
}
