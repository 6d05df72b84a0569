//! Copies databases by SQLite's online backup, and holds unfinished copies.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::connection::configure;
use super::error::MapSqliteErr as _;
use super::io_error::reason;
use super::paths::{BESIDE, create_private, with};
use crate::error::{Error, ErrorKind, Result, quoted};

/// Copies a database into memory.
pub(super) fn into_memory(from: &Connection) -> Result<Connection> {
    let mut to = Connection::open_in_memory().map_sqlite_err()?;
    // SQLite cannot change the page size of a database in memory later.
    let page: i64 = from.query_row("PRAGMA page_size", [], |row| row.get(0)).map_sqlite_err()?;
    to.pragma_update(None, "page_size", page).map_sqlite_err()?;
    copy(from, &mut to)?;
    configure(&mut to)?;
    Ok(to)
}

/// Copies one database into another, in one step. With more steps, a change by another process in
/// between would restart the copy.
pub(super) fn copy(from: &Connection, to: &mut Connection) -> Result<()> {
    match Backup::new(from, to).and_then(|backup| backup.step(-1)).map_sqlite_err()? {
        StepResult::Done => Ok(()),
        _ => Err(Error::new(ErrorKind::Busy, "the file was locked while it was copied")),
    }
}

/// An unfinished copy, which is removed when it is dropped.
pub(super) struct Part(PathBuf);

impl Part {
    /// Creates an empty file of mode 0600 at an unused path.
    pub(super) fn create(path: PathBuf) -> io::Result<Part> {
        create_private(&path)?;
        Ok(Part(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
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

/// Syncs the folder of a file, so that its name is durable. Windows has no such call.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let folder = path.parent().unwrap_or(path);
        match fs::File::open(folder).and_then(|folder| folder.sync_all()) {
            // Some file systems cannot sync a folder.
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

pub(super) fn cannot(path: &Path, what: &str, cause: io::Error) -> Error {
    let what = format!("{} cannot {what}: {}", quoted_path(path), reason(&cause));
    Error::new(ErrorKind::Storage, what).with_source(cause)
}

pub(super) fn quoted_path(path: &Path) -> String {
    quoted(&path.display().to_string())
}
