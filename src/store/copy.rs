//! Copies databases by SQLite's online backup, and holds unfinished copies.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, Progress, StepResult};

use super::connection::configure;
use super::error::MapSqliteErr as _;
use super::io_error::reason;
use super::paths::{BESIDE, create_private, with};
use crate::error::{Error, ErrorKind, Result, quoted};
use crate::progress::Tracker;

/// The number of pages that are copied between two reports of progress: 4 MiB of pages of the usual
/// size.
const STEP: i32 = 1_024;

/// Copies a database into memory.
pub(super) fn into_memory(from: &Connection, progress: Option<&Tracker>) -> Result<Connection> {
    let mut to = Connection::open_in_memory().map_sqlite_err()?;
    // SQLite cannot change the page size of a database in memory later.
    let page: i64 = from.query_row("PRAGMA page_size", [], |row| row.get(0)).map_sqlite_err()?;
    to.pragma_update(None, "page_size", page).map_sqlite_err()?;
    copy(from, &mut to, progress)?;
    configure(&mut to)?;
    Ok(to)
}

/// Copies one database into another.
///
/// With a callback for progress the copy takes several steps, and in one otherwise. Between steps,
/// a change by another connection would restart the copy, unless `from` has a transaction open, as
/// every caller with a callback has.
pub(super) fn copy(
    from: &Connection,
    to: &mut Connection,
    progress: Option<&Tracker>,
) -> Result<()> {
    let progress = progress.filter(|progress| progress.is_active());
    let backup = Backup::new(from, to).map_sqlite_err()?;
    let locked = || Error::new(ErrorKind::Busy, "the file was locked while it was copied");
    let Some(progress) = progress else {
        return match backup.step(-1).map_sqlite_err()? {
            StepResult::Done => Ok(()),
            _ => Err(locked()),
        };
    };
    loop {
        let step = backup.step(STEP).map_sqlite_err()?;
        let Progress { remaining, pagecount } = backup.progress();
        let pages = |count: i32| u64::try_from(count).unwrap_or(0);
        progress.begin(pages(pagecount));
        progress.advance_to(pages(pagecount.saturating_sub(remaining)));
        match step {
            StepResult::More => {}
            // Before the copy is closed: without it, `from` is as it was.
            StepResult::Done => return progress.complete(),
            _ => return Err(locked()),
        }
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
