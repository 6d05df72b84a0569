//! The statements for the table `_webhook_registry_meta`, whose only row belongs to the file as a
//! whole.

use rusqlite::Connection;

use super::connection::execute;
use super::error::{MapSqliteErr as _, sqlite_error};
use super::rows::{counted, id_of, integer};
use crate::error::Result;
use crate::id::SubscriptionId;

/// Returns the ciphertext that only the file's key opens, or None where secrets are not encrypted.
pub(super) fn key_check(conn: &Connection) -> Result<Option<Vec<u8>>> {
    let sql = "SELECT key_check FROM _webhook_registry_meta";
    let mut check = conn.prepare_cached(sql).map_sqlite_err()?;
    check.query_row([], |row| row.get(0)).map_sqlite_err()
}

pub(super) fn set_key_check(conn: &Connection, check: Option<&[u8]>) -> Result<()> {
    execute(conn, "UPDATE _webhook_registry_meta SET key_check = ?1", [check])
}

/// Returns whether the file belongs to an application, in which the registry is a guest.
pub(super) fn is_guest(conn: &Connection) -> Result<bool> {
    conn.query_row("SELECT guest FROM _webhook_registry_meta", [], |row| row.get(0))
        .map_sqlite_err()
}

/// Returns the random bytes that identify the file.
pub(super) fn file_id(conn: &Connection) -> Result<Vec<u8>> {
    let mut id = conn
        .prepare_cached(
            "SELECT file_id FROM \
                        _webhook_registry_meta",
        )
        .map_sqlite_err()?;
    id.query_row([], |row| row.get(0)).map_sqlite_err()
}

pub(super) fn set_file_id(conn: &Connection, id: &[u8]) -> Result<()> {
    execute(conn, "UPDATE _webhook_registry_meta SET file_id = ?1", [id])
}

/// Gives the file an identity of its own, as the schema gives a new file.
pub(super) fn set_random_file_id(conn: &Connection) -> Result<()> {
    execute(conn, "UPDATE _webhook_registry_meta SET file_id = randomblob(16)", [])
}

/// Returns the greatest id of a deleted subscription, where it is greater than every other id.
pub(super) fn last_deleted(conn: &Connection) -> Result<Option<SubscriptionId>> {
    let sql = "SELECT last_id FROM _webhook_registry_meta WHERE last_id IS NOT NULL";
    let mut statement = conn.prepare_cached(sql).map_sqlite_err()?;
    let mut rows = statement.query([]).map_sqlite_err()?;
    rows.next().map_sqlite_err()?.map(|row| id_of(row, 0)).transpose()
}

/// Clears the id of a deleted subscription, where a subscription has an id that is as great.
pub(super) fn forget_deleted_id(conn: &Connection) -> Result<()> {
    execute(
        conn,
        "UPDATE _webhook_registry_meta SET last_id = NULL WHERE last_id <= \
         (SELECT max(id) FROM _webhook_registry_subscription INDEXED BY \
         sqlite_autoindex__webhook_registry_subscription_1)",
        [],
    )
}

/// Returns the sequence number of the newest change of an event type.
pub(super) fn catalog_change(conn: &Connection) -> Result<u64> {
    let sql = "SELECT catalog_change FROM _webhook_registry_meta";
    let mut statement = conn.prepare_cached(sql).map_sqlite_err()?;
    let change = statement.query_row([], |row| row.get(0)).map_err(sqlite_error)?;
    counted(change)
}

pub(super) fn set_catalog_change(conn: &Connection, sequence: u64) -> Result<()> {
    let sql = "UPDATE _webhook_registry_meta SET catalog_change = ?1";
    execute(conn, sql, [integer(sequence)?])
}

pub(super) fn set_last_change(conn: &Connection, last: u64) -> Result<()> {
    execute(conn, "UPDATE _webhook_registry_meta SET last_change = ?1", [integer(last)?])
}

pub(super) fn set_history_limit(conn: &Connection, keep: u64, last: u64) -> Result<()> {
    let sql = "UPDATE _webhook_registry_meta SET keep_changes = ?1, last_change = ?2";
    execute(conn, sql, [integer(keep)?, integer(last)?])
}
