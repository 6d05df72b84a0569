//! The types through which a job reads and changes the file.
//!
//! The files of the tables add their methods to these types.

use std::ops::Deref;

use rusqlite::Connection;

use super::catalog_names::CatalogNames;
use super::change_recorder::ChangeRecorder;
use super::error::MapSqliteErr as _;
use super::stored_secret::SecretCodec;
use super::{connection, disk};
use crate::error::{Error, Result};
use crate::scope::Scope;

/// A read transaction, or a single statement that runs without one.
pub(crate) struct Read<'c> {
    pub(super) conn: &'c Connection,
    pub(super) codec: &'c SecretCodec,
    pub(super) scope: &'c Scope,
    pub(super) names: CatalogNames,
}

impl<'c> Read<'c> {
    /// Wraps a connection. Only subscriptions of the scope are read.
    pub(super) fn new(conn: &'c Connection, codec: &'c SecretCodec, scope: &'c Scope) -> Read<'c> {
        Read { conn, codec, scope, names: CatalogNames::default() }
    }
}

impl Read<'_> {
    /// Returns the same error, or `Storage` where a page that seems damaged could not be read.
    pub(crate) fn diagnose(&self, error: Error) -> Error {
        disk::diagnose(self.conn, error)
    }

    /// Returns the number in the only row of a query.
    pub(super) fn number(&self, sql: &str) -> Result<i64> {
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        statement.query_row([], |row| row.get(0)).map_sqlite_err()
    }
}

/// A write transaction.
pub(crate) struct Write<'c> {
    read: Read<'c>,
    pub(super) recorder: ChangeRecorder,
}

impl<'c> Write<'c> {
    /// Wraps a connection on which a write transaction is open.
    pub(super) fn new(conn: &'c Connection, codec: &'c SecretCodec, scope: &'c Scope) -> Write<'c> {
        Write { read: Read::new(conn, codec, scope), recorder: ChangeRecorder::default() }
    }
}

impl Write<'_> {
    /// Executes a statement through the cache of prepared statements.
    pub(super) fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<()> {
        connection::execute(self.conn, sql, params)
    }
}

impl<'c> Deref for Write<'c> {
    type Target = Read<'c>;

    fn deref(&self) -> &Read<'c> {
        &self.read
    }
}
