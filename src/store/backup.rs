//! Copies of the whole file, of one moment, by SQLite's online backup: nobody who writes meanwhile waits.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::error::MapSqliteErr as _;
use super::paths::{BESIDE, create_private, with};
use super::writer::journal_mode;
use super::{Access, Store, open, secret_codec};
use crate::error::{Error, ErrorKind, Result, quoted};
use crate::random::RandomSource;

impl Store {
    /// Copies the file to a path where nothing is. It appears there whole and durable, or not at all.
    pub(crate) fn backup(&self, path: &Path) -> Result<()> {
        unoccupied(path)?;
        let part = self.read(|read| Part::copied(read.conn, path))?;
        part.settle(path)
    }

    /// A copy in memory, which can be written to.
    #[cfg(feature = "test-util")]
    pub(crate) fn fork(&self) -> Result<Store> {
        use std::sync::{Mutex, RwLock, atomic::AtomicU64};
        self.read(|read| {
            let main = into_memory(read.conn)?;
            secret_codec::set_apart(&main)?;
            Ok(Store {
                shared: None,
                main: Mutex::new(main),
                vault: RwLock::new(read.vault.clone()),
                version: AtomicU64::new(1),
                path: None,
                file: None,
                read_only: false,
                guard: None,
                #[cfg(feature = "encryption")]
                writer: self.writer,
                #[cfg(feature = "encryption")]
                unfinished: super::rekey::Unfinished::default(),
                busy_timeout: self.busy_timeout,
                entropy: self.entropy.fork(),
            })
        })
    }
}

pub(super) fn into_memory(from: &Connection) -> Result<Connection> {
    let mut to = Connection::open_in_memory().map_sqlite_err()?;
    // A database in memory cannot take another size later.
    let page: i64 = from.query_row("PRAGMA page_size", [], |row| row.get(0)).map_sqlite_err()?;
    to.pragma_update(None, "page_size", page).map_sqlite_err()?;
    copy(from, &mut to)?;
    open::set_up(&mut to)?;
    Ok(to)
}

/// In one step: in more, whatever another process changes in between would make it begin anew.
pub(super) fn copy(from: &Connection, to: &mut Connection) -> Result<()> {
    match Backup::new(from, to).and_then(|backup| backup.step(-1)).map_sqlite_err()? {
        StepResult::Done => Ok(()),
        _ => Err(Error::new(ErrorKind::Busy, "the file was locked while it was copied")),
    }
}

/// A copy that has not got its name yet. It goes when it is dropped.
pub(super) struct Part(PathBuf);

impl Part {
    /// An empty file of mode 0600 at this path, where nothing is.
    #[cfg(feature = "encryption")]
    pub(super) fn empty(path: PathBuf) -> Result<Part> {
        create_private(&path).map_err(|cause| cannot(&path, "be written", cause))?;
        Ok(Part(path))
    }

    #[cfg(feature = "encryption")]
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Under a name of its own, in the folder where it is to lie.
    fn copied(from: &Connection, path: &Path) -> Result<Part> {
        let mut random = [0; 8];
        RandomSource::System.fill(&mut random)?;
        let name = format!(".webhook-registry-{:016x}.part", u64::from_be_bytes(random));
        let part = path.with_file_name(name);
        // Closed again before SQLite has it, as paths.rs says why; and nobody else knows the name.
        create_private(&part).map_err(|cause| cannot(path, "be written", cause))?;
        let part = Part(part);
        let mut to = open::connect(&part.0, Access::Write)?;
        // What becomes of a file that fails half-way is that it is removed, and it is made durable as a whole.
        to.execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF",
        )
        .map_sqlite_err()?;
        copy(from, &mut to)?;
        secret_codec::set_apart(&to)?;
        // In memory the journal is another, and is noted in the file.
        let mode = journal_mode(&to, "WAL")?;
        if mode != "wal" {
            let why = format!("{} lies where SQLite's WAL mode does not work", quoted_path(path));
            return Err(Error::new(ErrorKind::Storage, why));
        }
        to.close().map_err(|(_, cause)| cause).map_sqlite_err()?;
        Ok(part)
    }

    /// Gives it its name, unless something has got that meanwhile.
    fn settle(self, path: &Path) -> Result<()> {
        let failed = |cause| cannot(path, "be written", cause);
        if with(&self.0, "-wal").try_exists().map_err(failed)? {
            return Err(Error::new(
                ErrorKind::Storage,
                "the copy could not be brought into one file",
            ));
        }
        OpenOptions::new()
            .write(true)
            .open(&self.0)
            .and_then(|file| file.sync_all())
            .map_err(failed)?;
        // A link replaces nothing, where a rename would.
        fs::hard_link(&self.0, path).map_err(|cause| match cause.kind() {
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

impl Drop for Part {
    fn drop(&mut self) {
        let Part(path) = self;
        for suffix in BESIDE {
            let _ = fs::remove_file(with(path, suffix));
        }
        let _ = fs::remove_file(path);
    }
}

/// Refuses a path where something is; also where something lies beside it that SQLite would take for the copy's own.
fn unoccupied(path: &Path) -> Result<()> {
    if path.file_name().is_none() {
        return Err(Error::new(ErrorKind::Storage, format!("{} names no file", quoted_path(path))));
    }
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

/// Makes the name of the file at the path durable. Windows has no such call.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let folder = path.parent().unwrap_or(path);
        match fs::File::open(folder).and_then(|folder| folder.sync_all()) {
            // Some file systems have no such call for a folder.
            Err(cause)
                if matches!(
                    cause.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
                ) =>
            {
                Ok(())
            }
            synced => synced,
        }
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        Ok(())
    }
}

fn occupied(path: &Path) -> Error {
    Error::conflict_field(
        "path",
        format!("{} exists already, and a backup replaces nothing", quoted_path(path)),
    )
}

fn cannot(path: &Path, what: &str, cause: io::Error) -> Error {
    let what = format!("{} cannot {what}: {cause}", quoted_path(path));
    Error::new(ErrorKind::Storage, what).with_source(cause)
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.display().to_string())
}
