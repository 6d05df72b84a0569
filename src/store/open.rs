//! From a path to a connection: what lies there is looked at through a connection that cannot write, before anything
//! is written.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::backup;
use super::disk;
use super::error::{self, MapSqliteErr as _, fault};
use super::migrate::{self, Content};
use super::paths::{self, beside, not_a_registry, nothing_at, size_beside};
use super::retry;
use super::secret_codec::SecretCodec;
use super::{Access, Durability, Settings};
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

/// How often a file is opened before a read-only `-wal` or `-shm` is an error. SQLite falls back to
/// opening them for reading, whatever the cause. With no descriptor free for a moment, the
/// connection could never write.
const TRIES: usize = 3;

pub(super) fn file(path: &Path, how: &Settings) -> Result<Opened> {
    // Rejected before `prepare` makes a file that SQLite could not open.
    name_bytes(path)?;
    if how.read_only {
        return retry::retry_while_busy(how.busy_timeout, || to_read(path, how));
    }
    let has_content = paths::prepare(path, how.create)?;
    let mut tries = 1..TRIES;
    loop {
        match to_write(path, how, has_content) {
            Err(error) if error::is_read_only(&error) => {
                if let Some(named) = paths::unwritable_wal(path)? {
                    return Err(named);
                }
                if tries.next().is_none() {
                    return Err(paths::unwritable_shm(path)?.with_source(error));
                }
            }
            opened => return opened,
        }
    }
}

fn to_write(path: &Path, how: &Settings, has_content: bool) -> Result<Opened> {
    let (found, reader) = if has_content {
        retry::retry_while_busy(how.busy_timeout, || look(path, how))?
    } else {
        (Content::Nothing, None)
    };
    if found.admit()? == Content::Nothing && !how.create {
        return Err(nothing_at(path));
    }
    // A connection that only looks is in the way of one that wants the file for itself.
    let reader = reader.filter(|_| !how.exclusive);
    let mut conn = writer(path, how)?;
    if found != Content::Current {
        retry::retry_while_busy(how.busy_timeout, || migrate::migrate(&mut conn, how.key.as_ref()))
            .map_err(|error| disk::diagnose(&conn, error))?;
    }
    if how.exclusive {
        // The lock is taken by the first that is read, and then kept.
        retry::retry_while_busy(how.busy_timeout, || {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate);
            tx.and_then(rusqlite::Transaction::commit).map_sqlite_err()
        })?;
    }
    Ok(Opened { conn, reader, follows: !how.exclusive })
}

/// Opens the connection that writes.
pub(super) fn writer(path: &Path, how: &Settings) -> Result<Connection> {
    let conn = connect(path, Access::Write)?;
    if conn.is_readonly("main").map_sqlite_err()? {
        return Err(Error::new(
            ErrorKind::Storage,
            format!("{} cannot be written to", path.display()),
        ));
    }
    if how.exclusive {
        conn.pragma_update(None, "locking_mode", "EXCLUSIVE").map_sqlite_err()?;
    }
    if !how.auto_checkpoint {
        // On this connection alone: those that only read make none.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_sqlite_err()?;
        conn.pragma_update(None, "wal_autocheckpoint", 0).map_sqlite_err()?;
    }
    let mode: String = retry::retry_while_busy(how.busy_timeout, || {
        conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_sqlite_err()
    })
    .map_err(|error| disk::diagnose(&conn, error))?;
    if mode != "wal" {
        let why = format!(
            "{} lies where SQLite's WAL mode does not work (it answers {mode:?})",
            path.display()
        );
        return Err(Error::new(ErrorKind::Storage, why));
    }
    let synchronous = match how.durability {
        Durability::Full => "FULL",
        Durability::Relaxed => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", synchronous).map_sqlite_err()?;
    can_write(&conn)?;
    Ok(conn)
}

/// Refuses a connection that could never write. SQLite returns that error before it tries the lock,
/// so nobody who holds the lock is waited for.
fn can_write(conn: &Connection) -> Result<()> {
    let asked = conn.execute_batch("BEGIN IMMEDIATE; ROLLBACK").map_sqlite_err();
    // The header makes it read-only once it has been read, and BEGIN then succeeds all the same.
    if conn.is_readonly("main").map_sqlite_err()? {
        return Err(Error::corrupt("its header forbids SQLite to write to it"));
    }
    match asked {
        Err(error) if error.kind() == ErrorKind::Busy => Ok(()),
        asked => asked.map_err(|error| disk::diagnose(conn, error)),
    }
}

/// What lies at the path, whoever made it, and the connection that saw it if it can see what comes.
fn look(path: &Path, how: &Settings) -> Result<(Content, Option<Connection>)> {
    match connect(path, Access::Read).and_then(|conn| Ok((content(&conn, path, how)?, Some(conn))))
    {
        // A rollback journal that a killed program left, or a folder without room for a `-shm`: a look that needs
        // neither sees the file as it stood before what is in the journal or the `-wal`.
        Err(error) if error.kind() == ErrorKind::Storage => {
            let (_, found) = frozen_look(path, how, &error)?;
            if found != Content::Nothing {
                Ok((found, None))
            } else if journal_restores(path)? {
                // Not ours: a registry is made from no pages at all, and from then on has no such journal.
                let why = format!(
                    "{} is not a registry: the journal beside it holds what another program was about to remove",
                    path.display()
                );
                Err(Error::new(ErrorKind::Incompatible, why).with_source(error))
            } else if size_beside(path, "-wal")? > 0 {
                Err(error)
            } else {
                Ok((found, None))
            }
        }
        found => found,
    }
}

/// Looks at the file without its `-wal`, where SQLite could not read both.
fn frozen_look(path: &Path, how: &Settings, why: &Error) -> Result<(Connection, Content)> {
    let file = connect(path, Access::Frozen)?;
    match content(&file, path, how) {
        Ok(found) => Ok((file, found)),
        // With the changes in the `-wal` it may be whole.
        Err(error) if error.kind() == ErrorKind::Corrupt && size_beside(path, "-wal")? > 0 => {
            let what = format!(
                "{} could not be read with the changes in its `-wal`: {why}",
                path.display()
            );
            Err(Error::new(ErrorKind::Storage, what).with_source(error))
        }
        Err(error) => Err(error),
    }
}

/// Whether a rollback journal lies beside the file that would bring back pages: its header tells how many there were.
fn journal_restores(path: &Path) -> Result<bool> {
    let journal = beside(path, "-journal")?;
    let mut header = [0; 20];
    match fs::File::open(&journal).and_then(|mut journal| journal.read_exact(&mut header)) {
        Ok(()) => Ok(header.last_chunk() != Some(&[0; 4])),
        Err(cause)
            if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) =>
        {
            Ok(false)
        }
        Err(cause) => Err(paths::cannot(&journal, "be read", cause)),
    }
}

/// What the file holds, once the key fits it.
fn content(conn: &Connection, path: &Path, how: &Settings) -> Result<Content> {
    let judged = judge(conn, path, how);
    // A failure may have ended the transaction already. The first error tells more than that of the
    // ROLLBACK, and nothing was written.
    if !conn.is_autocommit() {
        let ended = conn.execute_batch("ROLLBACK").map_sqlite_err();
        if judged.is_ok() {
            ended?;
        }
    }
    judged.map_err(|error| disk::diagnose(conn, error))
}

fn judge(conn: &Connection, path: &Path, how: &Settings) -> Result<Content> {
    conn.execute_batch("BEGIN").map_sqlite_err()?;
    let found = Content::of(conn).map_err(|cause| {
        if error::is(&cause, ErrorCode::NotADatabase) { not_a_registry(path) } else { fault(cause) }
    })?;
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
    let is_cut = || Ok(!paths::length(path)?.is_multiple_of(page.into()));
    // Asked again, because another process can have finished what it was doing in between.
    Ok(is_cut()? && size_beside(path, "-wal")? == 0 && is_cut()?)
}

fn to_read(path: &Path, how: &Settings) -> Result<Opened> {
    if paths::size(path)?.is_none_or(|size| size == 0) {
        return Err(nothing_at(path));
    }
    let look =
        || connect(path, Access::Read).and_then(|conn| Ok((content(&conn, path, how)?, conn)));
    // Tried again, because a copy is not followed: a failure of one moment must not turn the
    // registry into a copy for its life.
    let followed = match look() {
        Err(error) if error.kind() == ErrorKind::Storage => look(),
        found => found,
    };
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
    let (file, found) = frozen_look(path, how, &why)?;
    let found = found.admit()?;
    // Judged before the rest: what seems empty or older here can be whole and current with what is left unread.
    for left in ["-wal", "-journal"] {
        if size_beside(path, left)? > 0 {
            let what = format!(
                "{} holds changes that cannot be read, because nothing can be written beside it",
                beside(path, left)?.display()
            );
            return Err(Error::new(ErrorKind::Storage, what).with_source(why));
        }
    }
    readable(found, path)?;
    let conn = backup::into_memory(&file).map_err(|error| disk::diagnose(&file, error))?;
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
    // Waiting is done in retry.rs. A damaged page is told, not followed; a replaced secret is overwritten, not only unlinked.
    conn.execute_batch(
        "PRAGMA busy_timeout = 0; PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY",
    )
    .map_sqlite_err()
}

/// The address at which SQLite reads a file without locks, `-wal` and `-shm`.
fn frozen_uri(path: &Path) -> Result<String> {
    let mut uri = "file:".to_owned();
    for &byte in name_bytes(path)? {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_') {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(uri + "?immutable=1")
}

/// Returns the path as SQLite takes it: any bytes on Unix, and UTF-8 elsewhere.
fn name_bytes(path: &Path) -> Result<&[u8]> {
    #[cfg(unix)]
    {
        Ok(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))
    }
    #[cfg(not(unix))]
    {
        let what =
            || format!("{} is not valid Unicode, and SQLite needs a path that is", path.display());
        path.to_str().map(str::as_bytes).ok_or_else(|| Error::new(ErrorKind::Storage, what()))
    }
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
