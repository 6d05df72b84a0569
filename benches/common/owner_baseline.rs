//! The program that the benchmarks of owners compare with: the same job in rusqlite, written by
//! hand, with a schema of its own.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};

/// The routes of one owner lie together, so a look-up for an owner reads few pages. Each is tested
/// against the patterns that match the event, which are on few pages for all owners.
const SCHEMA: &str = "
CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE pattern (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE pattern_match (
    event_type TEXT NOT NULL,
    pattern    INTEGER NOT NULL,
    PRIMARY KEY (event_type, pattern)
) STRICT, WITHOUT ROWID;
CREATE TABLE subscription (
    seq      INTEGER PRIMARY KEY,
    enabled  INTEGER NOT NULL,
    id       BLOB NOT NULL UNIQUE,
    owner    INTEGER NOT NULL,
    name     TEXT NOT NULL,
    url      TEXT NOT NULL,
    secret   TEXT NOT NULL,
    metadata TEXT,
    UNIQUE (owner, name)
) STRICT;
CREATE TABLE route (
    owner        INTEGER NOT NULL,
    subscription INTEGER NOT NULL,
    pattern      INTEGER NOT NULL,
    PRIMARY KEY (owner, subscription, pattern)
) STRICT, WITHOUT ROWID;
";

const SUBSCRIBERS: &str = "SELECT s.id, s.name, s.url, s.secret, s.metadata \
    FROM owner o CROSS JOIN route r ON r.owner = o.id \
    CROSS JOIN subscription s ON s.seq = r.subscription \
    WHERE o.name = ?2 AND s.enabled \
      AND EXISTS (SELECT 1 FROM pattern_match WHERE event_type = ?1 AND pattern = r.pattern)";

/// A subscriber of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedRow {
    pub(crate) id: Vec<u8>,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) secret: String,
    pub(crate) metadata: Option<String>,
}

pub(crate) struct OwnerBaseline(Connection);

impl OwnerBaseline {
    pub(crate) fn open(path: &Path) -> OwnerBaseline {
        let conn = Connection::open(path).unwrap();
        conn.busy_timeout(Duration::from_secs(5)).unwrap();
        conn.set_prepared_statement_cache_capacity(64);
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).unwrap();
        conn.pragma_update(None, "journal_mode", "WAL").unwrap();
        conn.pragma_update(None, "synchronous", "NORMAL").unwrap();
        let tables = "SELECT count(*) FROM sqlite_schema";
        if conn.query_row(tables, [], |row| row.get::<_, i64>(0)).unwrap() == 0 {
            conn.execute_batch(SCHEMA).unwrap();
        }
        OwnerBaseline(conn)
    }

    /// Stores which event types each pattern matches. The caller has matched them.
    pub(crate) fn store_patterns(&self, patterns: &[(String, Vec<String>)]) {
        let tx = self.0.unchecked_transaction().unwrap();
        for (text, names) in patterns {
            tx.execute("INSERT INTO pattern (text) VALUES (?1)", [text]).unwrap();
            let id = tx.last_insert_rowid();
            for name in names {
                let sql = "INSERT INTO pattern_match VALUES (?1, ?2)";
                tx.prepare_cached(sql).unwrap().execute(params![name, id]).unwrap();
            }
        }
        tx.commit().unwrap();
    }

    /// Stores subscriptions in one transaction, each with its owner and its patterns.
    pub(crate) fn store(&self, list: &[(String, OwnedRow, Vec<String>)]) {
        let tx = self.0.unchecked_transaction().unwrap();
        for (owner, row, events) in list {
            let execute = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
                tx.prepare_cached(sql).unwrap().execute(params).unwrap();
            };
            execute("INSERT OR IGNORE INTO owner (name) VALUES (?1)", &[owner]);
            execute(
                "INSERT INTO subscription (enabled, id, owner, name, url, secret, metadata) \
                 VALUES (1, ?1, (SELECT id FROM owner WHERE name = ?2), ?3, ?4, ?5, ?6)",
                &[&row.id, owner, &row.name, &row.url, &row.secret, &row.metadata],
            );
            let seq = tx.last_insert_rowid();
            for event in events {
                execute(
                    "INSERT INTO route VALUES ((SELECT id FROM owner WHERE name = ?1), ?2, \
                     (SELECT id FROM pattern WHERE text = ?3))",
                    &[owner, &seq, event],
                );
            }
        }
        tx.commit().unwrap();
    }

    /// Returns the subscribers of an owner in the order of their ids.
    pub(crate) fn subscribers(&self, owner: &str, event_type: &str) -> Vec<OwnedRow> {
        let mut statement = self.0.prepare_cached(SUBSCRIBERS).unwrap();
        let mut rows = statement.query([event_type, owner]).unwrap();
        let mut found: Vec<OwnedRow> = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let row = OwnedRow {
                id: row.get(0).unwrap(),
                name: row.get(1).unwrap(),
                url: row.get(2).unwrap(),
                secret: row.get(3).unwrap(),
                metadata: row.get(4).unwrap(),
            };
            // The patterns of one subscription follow each other.
            if found.last().is_none_or(|last| last.id != row.id) {
                found.push(row);
            }
        }
        found
    }

    /// Sets the URL of a subscription.
    pub(crate) fn set_url(&self, id: &[u8], url: &str) {
        let sql = "UPDATE subscription SET url = ?2 WHERE id = ?1";
        assert_eq!(self.0.prepare_cached(sql).unwrap().execute(params![id, url]).unwrap(), 1);
    }

    pub(crate) fn data_version(&self) -> i64 {
        let mut statement = self.0.prepare_cached("PRAGMA data_version").unwrap();
        statement.query_row([], |row| row.get(0)).unwrap()
    }
}
