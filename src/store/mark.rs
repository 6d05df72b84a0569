//! The mark by which cached answers of dispatch are known to be still valid.
//!
//! `PRAGMA data_version` moves with every commit, in an application's file also with one to a table
//! of the application. So where it has moved there, the mark is read: a random number in the
//! registry's only row, which triggers change with every row that dispatch reads (marks.sql). They
//! see this crate's changes, those made through a view and those made by hand.
//!
//! To insert a row and to run its trigger takes half as long again as to insert it. So where many
//! rows are inserted into an application's file, [`Write::bulk`] changes the mark once, and
//! switches the triggers of the connection off. A file of the registry's own has no such triggers.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _};

use super::error::MapSqliteErr as _;
use super::registry_row;
use super::schema::MARK_TRIGGERS;
use super::transaction::Write;
use crate::error::Result;

/// The values that stay the same as long as no answer of dispatch can have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    mark: i64,
    /// Another file can have taken the place of this one in the same pages.
    file_id: Vec<u8>,
    /// An answer with the secrets of another key must not be used.
    key_check: Option<Vec<u8>>,
    schema: i64,
}

impl Mark {
    /// Reads the mark. None where it cannot be relied on, because a trigger is missing.
    ///
    /// `known` is the last mark: while the schema is the same, so are the triggers.
    pub(super) fn read(conn: &Connection, known: Option<&Mark>) -> Result<Option<Mark>> {
        let number = |sql| {
            let mut statement = conn.prepare_cached(sql).map_sqlite_err()?;
            statement.query_row([], |row| row.get::<_, i64>(0)).map_sqlite_err()
        };
        let schema = number("PRAGMA schema_version")?;
        if known.is_none_or(|known| known.schema != schema)
            && number(
                "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' \
                    AND name GLOB '_webhook_registry_mark_*'",
            )? != MARK_TRIGGERS
        {
            return Ok(None);
        }
        let sql = "SELECT mark, file_id, key_check FROM _webhook_registry_meta WHERE one = 1";
        let mut statement = conn.prepare_cached(sql).map_sqlite_err()?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Mark { mark: row.get(0)?, file_id: row.get(1)?, key_check: row.get(2)?, schema })
        };
        statement.query_row([], read).optional().map_sqlite_err()
    }
}

/// The number of subscriptions from which on it is worth it to switch the triggers off and on. Each
/// switch makes SQLite prepare every cached statement again.
const MANY: usize = 500;

impl Write<'_> {
    /// Prepares for inserting so many subscriptions. Until the guard is dropped, nothing may be
    /// deleted or switched, because no trigger would run.
    pub(crate) fn bulk(&self, subscriptions: usize) -> Result<Option<BulkInsert<'_>>> {
        if subscriptions < MANY || !registry_row::is_guest(self.conn)? {
            return Ok(None);
        }
        self.execute("UPDATE _webhook_registry_meta SET mark = random()", [])?;
        set_triggers(self.conn, false)?;
        Ok(Some(BulkInsert(self.conn)))
    }
}

/// A connection whose triggers are switched off.
pub(crate) struct BulkInsert<'w>(&'w Connection);

impl Drop for BulkInsert<'_> {
    fn drop(&mut self) {
        // SQLite only sets a flag, which cannot fail on an open connection.
        let _ = set_triggers(self.0, true);
    }
}

fn set_triggers(conn: &Connection, on: bool) -> Result<()> {
    let set = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, on);
    set.map(drop).map_sqlite_err()
}
