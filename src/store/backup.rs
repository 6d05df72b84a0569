//! Backups of one snapshot of the file, by SQLite's online backup. Writers do not wait for it.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use rusqlite::Connection;

use super::connection::{connect, journal_mode};
#[cfg(feature = "test-util")]
use super::copy::into_memory;
use super::copy::{Part, cannot, copy, quoted_path, sync_folder};
use super::error::MapSqliteErr as _;
use super::handle::Store;
use super::paths::{BESIDE, check_length, with};
use super::schema::{Parts, VIEWS};
use super::settings::Access;
use super::stored_secret;
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Tracker;
use crate::random::RandomSource;
use crate::scope::Scope;

impl Store {
    /// Copies the file to an unused path. The copy appears there complete and durable, or not at
    /// all.
    pub(crate) fn backup(&self, path: &Path, progress: &Tracker) -> Result<()> {
        check_unused(path)?;
        let part =
            self.read(&Scope::Every, |read| Part::copied(read.conn, self.parts, path, progress))?;
        part.publish(path)
    }

    /// Copies the database into memory, where it can be changed.
    #[cfg(feature = "test-util")]
    pub(crate) fn fork(&self, progress: &Tracker) -> Result<Store> {
        self.read(&Scope::Every, |read| {
            let main = into_memory(read.conn, Some(progress))?;
            stored_secret::set_new_file_id(&main)?;
            Ok(self.with_copy(main, read.codec.clone()))
        })
    }
}

impl Part {
    /// Copies the database into a file with a random name, in the folder of the path.
    fn copied(from: &Connection, parts: Parts, path: &Path, progress: &Tracker) -> Result<Part> {
        let mut random = [0; 8];
        RandomSource::System.fill(&mut random)?;
        let name = format!(".webhook-registry-{:016x}.part", u64::from_be_bytes(random));
        let part = path.with_file_name(name);
        check_length(&part, "be created")?;
        // It is closed again before SQLite opens it (paths.rs says why). Nobody else knows the
        // name.
        let part = Part::create(part).map_err(|cause| cannot(path, "be written", cause))?;
        let mut to = connect(part.path(), Access::Write)?;
        // An unfinished copy is removed, and a finished one is synced as a whole, so SQLite need do
        // neither.
        to.execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; PRAGMA synchronous = \
             OFF",
        )
        .map_sqlite_err()?;
        copy(from, &mut to, Some(progress))?;
        if parts == Parts::Tables {
            // In memory no other program reads the views.
            let tx = to.transaction().map_sqlite_err()?;
            tx.execute_batch(VIEWS).map_sqlite_err()?;
            tx.commit().map_sqlite_err()?;
        }
        stored_secret::set_new_file_id(&to)?;
        // The copy of a database in memory has another journal mode in its header. That of an
        // application keeps its mode.
        let is_wal = parts != Parts::Guest || in_wal_mode(from)?;
        let wanted = if is_wal { "WAL" } else { "DELETE" };
        let mode = journal_mode(&to, wanted)?;
        if !mode.eq_ignore_ascii_case(wanted) {
            let why = format!("{} lies where SQLite's WAL mode does not work", quoted_path(path));
            return Err(Error::new(ErrorKind::Storage, why));
        }
        to.close().map_err(|(_, cause)| cause).map_sqlite_err()?;
        Ok(part)
    }

    /// Gives the copy its name, unless the path has been taken meanwhile.
    fn publish(self, path: &Path) -> Result<()> {
        let failed = |cause| cannot(path, "be written", cause);
        if with(self.path(), "-wal").try_exists().map_err(failed)? {
            return Err(Error::new(
                ErrorKind::Storage,
                "the copy could not be brought into one file",
            ));
        }
        OpenOptions::new()
            .write(true)
            .open(self.path())
            .and_then(|file| file.sync_all())
            .map_err(failed)?;
        // Unlike a rename, a hard link replaces nothing.
        fs::hard_link(self.path(), path).map_err(|cause| match cause.kind() {
            io::ErrorKind::AlreadyExists => occupied(path),
            io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => {
                cannot(path, "be given its name (its folder has to allow hard links)", cause)
            }
            _ => cannot(path, "be given its name", cause),
        })?;
        drop(self);
        sync_folder(path).map_err(|cause| {
            let _ = fs::remove_file(path);
            failed(cause)
        })
    }
}

fn in_wal_mode(conn: &Connection) -> Result<bool> {
    let mode: String =
        conn.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_sqlite_err()?;
    Ok(mode == "wal")
}

/// Rejects a path that is in use, or beside which is a file that SQLite would use with the copy.
fn check_unused(path: &Path) -> Result<()> {
    if path.file_name().is_none() {
        return Err(Error::new(ErrorKind::Storage, format!("{} names no file", quoted_path(path))));
    }
    // SQLite opens a copy at a longer path neither now nor later.
    check_length(path, "be written")?;
    let beside = BESIDE.iter().map(|suffix| with(path, suffix));
    for path in std::iter::once(path.to_owned()).chain(beside) {
        match fs::symlink_metadata(&path) {
            Ok(_) => return Err(occupied(&path)),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(cannot(&path, "be looked at", cause)),
        }
    }
    Ok(())
}

fn occupied(path: &Path) -> Error {
    Error::conflict_field(
        "path",
        format!("{} exists already, and a backup replaces nothing", quoted_path(path)),
    )
}
