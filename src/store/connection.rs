//! Opens connections, and sets on each of them what every connection needs.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Error as SqlError, ErrorCode, OpenFlags};

use super::error::{MapSqliteErr as _, is, sqlite_error};
use super::io_error::cannot;
use super::refusal::refusal;
use super::settings::Access;
#[cfg(not(unix))]
use crate::error::ErrorKind;
use crate::error::{Error, Result};

/// The capacity of the cache of prepared statements. Every statement of the crate fits, so that
/// none is prepared twice.
const STATEMENTS: usize = 128;

/// Opens a connection and configures it.
pub(super) fn connect(path: &Path, access: Access) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = match access {
        Access::Write | Access::Query => {
            Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_WRITE)
        }
        Access::Read => Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_READ_ONLY),
        Access::Immutable => Connection::open_with_flags(
            immutable_uri(path)?,
            flags | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
        ),
    };
    let mut conn = opened.map_err(|cause| unopened(path, access, cause))?;
    configure(&mut conn)?;
    if access == Access::Query {
        // The connection that writes makes the checkpoints.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_sqlite_err()?;
        conn.execute_batch("PRAGMA query_only = ON").map_sqlite_err()?;
    }
    Ok(conn)
}

/// Returns an error that names the path, and the reason where the operating system gives one.
fn unopened(path: &Path, access: Access, cause: SqlError) -> Error {
    let refused = is(&cause, ErrorCode::CannotOpen).then(|| refusal(path, access)).flatten();
    match refused {
        Some(cause) => cannot(path, "be opened", cause),
        None => {
            let error = sqlite_error(cause);
            Error::new(error.kind(), format!("{} could not be opened", path.display()))
                .with_source(error)
        }
    }
}

/// Sets on a connection what every connection needs.
pub(super) fn configure(conn: &mut Connection) -> Result<()> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    let set = |config, value| conn.set_db_config(config, value).map(drop).map_sqlite_err();
    // With STAT4, which the bundled SQLite has, SQLite prepares a statement anew whenever a bound
    // value could change its plan. That takes nine tenths of the time of a look-up.
    set(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    set(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    set(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    set(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    set(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    // `lock_wait.rs` waits for locks instead of SQLite. With `cell_size_check` SQLite reports a
    // damaged page instead of following it. With `secure_delete` it overwrites a replaced secret
    // instead of only unlinking it.
    conn.execute_batch(
        "PRAGMA busy_timeout = 0; PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON; \
         PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY",
    )
    .map_sqlite_err()
}

/// Executes a statement through the cache of prepared statements.
pub(super) fn execute(conn: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<()> {
    conn.prepare_cached(sql)
        .and_then(|mut statement| statement.execute(params))
        .map(drop)
        .map_sqlite_err()
}

/// Requests a journal mode, and returns the mode that the connection is in afterwards.
///
/// SQLite commits what it writes for the change of mode only after the row of the answer. So the
/// statement has to run to its end. Otherwise an error at the commit would be lost, and a journal
/// would later bring back the former mode.
pub(super) fn journal_mode(conn: &Connection, mode: &str) -> Result<String> {
    let mut statement = conn.prepare(&format!("PRAGMA journal_mode = {mode}")).map_sqlite_err()?;
    let mut rows = statement.query([]).map_sqlite_err()?;
    let mut found = String::new();
    while let Some(row) = rows.next().map_sqlite_err()? {
        found = row.get(0).map_sqlite_err()?;
    }
    Ok(found)
}

/// Returns the URI by which SQLite reads a file without locks, `-wal` and `-shm`.
fn immutable_uri(path: &Path) -> Result<String> {
    let mut uri = "file:".to_owned();
    for &byte in path_bytes(path)? {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_') {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(uri + "?immutable=1")
}

/// Returns the path as SQLite takes it: any bytes on Unix, and UTF-8 elsewhere.
pub(super) fn path_bytes(path: &Path) -> Result<&[u8]> {
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
