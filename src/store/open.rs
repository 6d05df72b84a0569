//! From a path to a connection: what lies there is looked at through a connection that cannot write, before anything
//! is written.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::backup;
use super::error::{MapSqliteErr as _, fault};
use super::migrate::{self, Content};
use super::retry;
use super::secret_codec::SecretCodec;
use super::writer::Writer;
use super::{Access, Settings};
use crate::error::{Error, ErrorKind, Result};

/// Every statement of the crate fits, so that none is prepared twice.
const STATEMENTS: usize = 128;

/// An open file.
pub(super) struct Opened {
    pub(super) conn: Connection,
    /// The connection through which the file was looked at first.
    pub(super) reader: Option<Connection>,
    /// Whether others can change the file, and are followed.
    pub(super) follows: bool,
}

pub(super) fn memory() -> Result<Connection> {
    let mut conn = Connection::open_in_memory().map_sqlite_err()?;
    set_up(&mut conn)?;
    migrate::migrate(&mut conn, None)?;
    Ok(conn)
}

pub(super) fn file(path: &Path, how: &Settings) -> Result<Opened> {
    if how.read_only {
        return retry::retry_while_busy(how.busy_timeout, || to_read(path, how));
    }
    let (found, reader) = if prepare(path, how.create)? {
        retry::retry_while_busy(how.busy_timeout, || look(path, how))?
    } else {
        (Content::Nothing, None)
    };
    if found.admit()? == Content::Nothing && !how.create {
        return Err(nothing_at(path));
    }
    // A connection that only looks is in the way of one that wants the file for itself.
    let reader = reader.filter(|_| !how.exclusive);
    let writer = Writer::new(how);
    let mut conn = writer.connect(path)?;
    retry::retry_while_busy(how.busy_timeout, || writer.enter_wal(&conn, path))?;
    if found != Content::Current {
        retry::retry_while_busy(how.busy_timeout, || {
            migrate::migrate(&mut conn, how.key.as_ref())
        })?;
    }
    if how.exclusive {
        // The lock is taken by the first that is read, and then kept.
        retry::retry_while_busy(how.busy_timeout, || {
            conn.execute_batch("BEGIN IMMEDIATE; COMMIT").map_sqlite_err()
        })?;
    }
    Ok(Opened { conn, reader, follows: !how.exclusive })
}

/// Makes the file if there is none; false where nothing is in it.
///
/// Its mode is 0600 from the first moment, and SQLite gives `-wal` and `-shm` the mode of the file.
fn prepare(path: &Path, create: bool) -> Result<bool> {
    // Closing a second descriptor of a file drops the process's locks on it, and with them SQLite's. So no thread may
    // hand a file to SQLite while another still has the descriptor that made it.
    static CREATING: Mutex<()> = Mutex::new(());
    let _creating = CREATING.lock().unwrap_or_else(PoisonError::into_inner);
    match size(path) {
        Ok(0) => Ok(false),
        Ok(_) => Ok(true),
        Err(Missing::Not(error)) => Err(error),
        Err(Missing::File) if !create => Err(nothing_at(path)),
        Err(Missing::File) => match create_private(path) {
            Ok(()) => Ok(false),
            // Another was quicker, and may have written to it since.
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(true),
            Err(cause) => Err(cannot(path, "be created", cause)),
        },
    }
}

/// Makes a new file of mode 0600, and closes it again.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

enum Missing {
    File,
    Not(Error),
}

/// The file's size; an error for what SQLite would take for something that it is not.
fn size(path: &Path) -> Result<u64, Missing> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            let why = format!("{} is a directory", path.display());
            Err(Missing::Not(Error::new(ErrorKind::Storage, why)))
        }
        // SQLite takes one byte for empty, and writes over it.
        Ok(found) if found.len() == 1 => Err(Missing::Not(not_a_registry(path))),
        Ok(found) => Ok(found.len()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Err(Missing::File),
        Err(cause) => Err(Missing::Not(cannot(path, "be looked at", cause))),
    }
}

/// What lies at the path, whoever made it, and the connection that saw it if it can see what comes.
fn look(path: &Path, how: &Settings) -> Result<(Content, Option<Connection>)> {
    match connect(path, Access::Read).and_then(|conn| Ok((content(&conn, path, how)?, Some(conn))))
    {
        // A rollback journal that a killed program left, or a folder without room for a `-shm`: a look that needs
        // neither sees the file as it stood before what is in the journal or the `-wal`.
        Err(error) if error.kind() == ErrorKind::Storage => {
            let found = content(&connect(path, Access::Frozen)?, path, how)?;
            if found != Content::Nothing {
                Ok((found, None))
            } else if journal_restores(path) {
                // Not ours: a registry is made from no pages at all, and from then on has no such journal.
                let why = format!(
                    "{} is not a registry: the journal beside it holds what another program was about to remove",
                    path.display()
                );
                Err(Error::new(ErrorKind::Incompatible, why).with_source(error))
            } else if fs::metadata(beside(path, "-wal")).is_ok_and(|left| left.len() > 0) {
                Err(error)
            } else {
                Ok((found, None))
            }
        }
        found => found,
    }
}

/// Whether a rollback journal lies beside the file that would bring back pages: its header tells how many there were.
fn journal_restores(path: &Path) -> bool {
    let mut header = [0; 20];
    let read = fs::File::open(beside(path, "-journal"))
        .and_then(|mut journal| journal.read_exact(&mut header));
    read.is_ok() && header.last_chunk() != Some(&[0; 4])
}

/// What the file holds, once the key fits it.
fn content(conn: &Connection, path: &Path, how: &Settings) -> Result<Content> {
    conn.execute_batch("BEGIN").map_sqlite_err()?;
    let found = Content::of(conn).map_err(|cause| {
        if super::error::is(&cause, rusqlite::ErrorCode::NotADatabase) {
            not_a_registry(path)
        } else {
            fault(cause)
        }
    });
    conn.execute_batch("COMMIT").map_sqlite_err()?;
    let found = found?;
    if matches!(found, Content::Current | Content::Older(_)) && ends_within_a_page(conn, path)? {
        return Err(Error::corrupt("it ends in the middle of a page"));
    }
    if found == Content::Current {
        SecretCodec::of(conn, how.key.as_ref())?;
    }
    Ok(found)
}

/// SQLite fills up the last page of a file that was cut with zeros, and rows are missing without a word.
///
/// With changes in the `-wal` a file may end so: a killed program was bringing them into it, and SQLite will again.
fn ends_within_a_page(conn: &Connection, path: &Path) -> Result<bool> {
    let page: u32 = conn.query_row("PRAGMA page_size", [], |row| row.get(0)).map_sqlite_err()?;
    let length = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    let is_cut = || !length(path).is_multiple_of(page.into());
    // Asked again, because another process can have finished what it was doing in between.
    Ok(is_cut() && length(&beside(path, "-wal")) == 0 && is_cut())
}

fn to_read(path: &Path, how: &Settings) -> Result<Opened> {
    match size(path) {
        Ok(0) | Err(Missing::File) => return Err(nothing_at(path)),
        Err(Missing::Not(error)) => return Err(error),
        Ok(_) => {}
    }
    let followed =
        connect(path, Access::Read).and_then(|conn| Ok((content(&conn, path, how)?, conn)));
    match followed {
        Ok((found, conn)) => {
            readable(found, path)?;
            Ok(Opened { conn, reader: None, follows: true })
        }
        Err(error) if error.kind() == ErrorKind::Storage => frozen(path, how, error),
        Err(error) => Err(error),
    }
}

/// Reads a file where SQLite can make neither `-wal` nor `-shm`: copied into memory as it stands, so that nothing that
/// happens to it later can be seen half.
fn frozen(path: &Path, how: &Settings, why: Error) -> Result<Opened> {
    let file = connect(path, Access::Frozen)?;
    let found = content(&file, path, how)?.admit()?;
    // Judged before the rest: what seems empty or older here can be whole and current with what is left unread.
    for left in ["-wal", "-journal"] {
        let left = beside(path, left);
        if fs::metadata(&left).is_ok_and(|left| left.len() > 0) {
            let what = format!(
                "{} holds changes that cannot be read, because nothing can be written beside it",
                left.display()
            );
            return Err(Error::new(ErrorKind::Storage, what).with_source(why));
        }
    }
    readable(found, path)?;
    let conn = backup::into_memory(&file)?;
    conn.pragma_update(None, "query_only", true).map_sqlite_err()?;
    Ok(Opened { conn, reader: None, follows: false })
}

fn readable(found: Content, path: &Path) -> Result<()> {
    match found.admit()? {
        Content::Nothing => Err(nothing_at(path)),
        Content::Older(version) => Err(Error::new(
            ErrorKind::Incompatible,
            format!(
                "the file's schema is version {version}; open it for writing once, and it is brought up to date"
            ),
        )),
        _ => Ok(()),
    }
}

/// Opens a connection, and sets on it what every connection needs.
pub(super) fn connect(path: &Path, access: Access) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = match access {
        Access::Write => {
            Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE)
        }
        Access::Read => Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_ONLY),
        Access::Frozen => Connection::open_with_flags(
            frozen_uri(path)?,
            flags | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
        ),
    };
    let mut conn = opened.map_err(|cause| {
        let error = fault(cause);
        Error::new(error.kind(), format!("{} could not be opened", path.display()))
            .with_source(error)
    })?;
    set_up(&mut conn)?;
    Ok(conn)
}

pub(super) fn set_up(conn: &mut Connection) -> Result<()> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    let set = |config, value| conn.set_db_config(config, value).map(drop).map_sqlite_err();
    // With STAT4, which the bundled SQLite has, a statement is planned anew whenever a bound value could change the
    // plan. That is nine tenths of the time of a look-up.
    set(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    set(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    set(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    set(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    set(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    // Waiting is done in busy.rs. A damaged page is told, not followed; a replaced secret is overwritten, not only unlinked.
    conn.execute_batch(
        "PRAGMA busy_timeout = 0; PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY",
    )
    .map_sqlite_err()
}

/// The address at which SQLite reads a file without locks, `-wal` and `-shm`.
fn frozen_uri(path: &Path) -> Result<String> {
    #[cfg(unix)]
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    #[cfg(not(unix))]
    let bytes = path.to_str().unwrap_or_default().as_bytes();
    let mut uri = "file:".to_owned();
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_') {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(uri + "?immutable=1")
}

/// `-wal` and the like, as SQLite names them.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    with(&fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()), suffix)
}

/// The path with this at its end.
pub(super) fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn nothing_at(path: &Path) -> Error {
    Error::new(ErrorKind::NotFound, format!("no registry at {}", path.display()))
}

fn not_a_registry(path: &Path) -> Error {
    let what = format!("{} is not an SQLite file, or an encrypted one", path.display());
    Error::new(ErrorKind::Incompatible, what)
}

fn cannot(path: &Path, what: &str, cause: io::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("{} cannot {what}: {cause}", path.display()))
        .with_source(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There is one version yet, so that no file is of an older one.
    #[test]
    fn what_only_reads_brings_nothing_up_to_date() {
        let refused = |content| readable(content, Path::new("/a/file.db")).unwrap_err();
        let older = refused(Content::Older(1));
        assert_eq!(older.kind(), ErrorKind::Incompatible);
        assert!(
            older.to_string().contains("schema is version 1; open it for writing once"),
            "{older}"
        );
        assert_eq!(refused(Content::Newer(9)).kind(), ErrorKind::Incompatible);
        let nothing = refused(Content::Nothing);
        assert_eq!(
            (nothing.kind(), nothing.to_string()),
            (ErrorKind::NotFound, "no registry at /a/file.db".to_owned())
        );
        readable(Content::Current, Path::new("/a/file.db")).unwrap();
    }
}
