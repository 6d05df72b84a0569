//! The fastest program that one would write by hand on rusqlite to do the same: same schema, same pragmas, QPSG on,
//! cached statements. It checks nothing but what the database checks.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use rand::TryRng as _;
use rusqlite::config::DbConfig;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, params,
};
use ulid::Ulid;

use super::data::New;
use super::rows::{Endpoint, Recipient};

const SCHEMA: &str = include_str!("../../src/store/schema.sql");
const APPLICATION: i64 = 0x7768_7267;
const VERSION: i64 = 1;

/// The fastest way to ask for many: the set of an IN is kept sorted, and sorts 100,000 in seven eighths of the time that a
/// sort of the rows takes.
const MANY: &str = "SELECT s.seq, s.id, s.name, s.url, s.metadata, k.text, k.expires_at, k.serial \
     FROM subscription s CROSS JOIN secret k ON k.subscription = s.seq \
    WHERE s.seq IN (SELECT r.subscription FROM expansion x \
                      JOIN subscription_pattern r ON r.pattern = x.pattern AND r.enabled = 1 \
                     WHERE x.event_type = (SELECT id FROM event_type WHERE name = ?1)) \
    ORDER BY s.seq, k.serial DESC";
/// The fastest way to ask for few: nine tenths of the time of the other for one. A subscription comes once for each of its
/// patterns.
const FEW: &str = "SELECT s.seq, s.id, s.name, s.url, s.metadata, k.text, k.expires_at, k.serial \
     FROM expansion x CROSS JOIN subscription_pattern r ON r.pattern = x.pattern AND r.enabled = 1 \
     CROSS JOIN subscription s ON s.seq = r.subscription CROSS JOIN secret k ON k.subscription = s.seq \
    WHERE x.event_type = (SELECT id FROM event_type WHERE name = ?1) \
    ORDER BY s.seq, k.serial DESC";

macro_rules! endpoints {
    ($condition:literal) => {
        concat!(
            "SELECT s.seq, s.id, s.name, s.url, s.enabled, s.description, s.metadata, s.created_at, s.updated_at, \
                    s.revision, p.text \
               FROM subscription s CROSS JOIN subscription_pattern sp ON sp.subscription = s.seq \
               CROSS JOIN pattern p ON p.id = sp.pattern WHERE ",
            $condition,
            " ORDER BY s.seq, sp.position"
        )
    };
}

pub(crate) struct Plain {
    pub(crate) conn: Connection,
}

impl Plain {
    pub(crate) fn memory() -> Plain {
        let conn = Connection::open_in_memory().unwrap();
        set_up(&conn);
        make_schema(&conn);
        Plain { conn }
    }

    /// Opens a file for writing; what lies there is looked at through a connection that only reads.
    pub(crate) fn open(path: &Path, synchronous: &str) -> Plain {
        let found = path.exists() && {
            let look = Plain::reader(path).conn;
            look.execute_batch("BEGIN").unwrap();
            let number = |sql| look.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
            let tables = number("SELECT count(*) FROM sqlite_master");
            let found = number("PRAGMA application_id") == APPLICATION
                && number("PRAGMA user_version") == VERSION;
            look.execute_batch("COMMIT").unwrap();
            assert!(found && tables > 0, "this is no registry");
            true
        };
        let conn = Connection::open(path).unwrap();
        set_up(&conn);
        let mode: String =
            conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        conn.pragma_update(None, "synchronous", synchronous).unwrap();
        if !found {
            make_schema(&conn);
        }
        Plain { conn }
    }

    /// Opens a connection that only reads.
    pub(crate) fn reader(path: &Path) -> Plain {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags).unwrap();
        set_up(&conn);
        Plain { conn }
    }

    pub(crate) fn data_version(&self) -> i64 {
        let mut statement = self.conn.prepare_cached("PRAGMA data_version").unwrap();
        statement.query_row([], |row| row.get(0)).unwrap()
    }

    pub(crate) fn recipients(&self, event_type: &str) -> Vec<Recipient> {
        self.ask(MANY, event_type)
    }

    /// The same, where few are expected.
    pub(crate) fn few_recipients(&self, event_type: &str) -> Vec<Recipient> {
        self.ask(FEW, event_type)
    }

    fn ask(&self, sql: &str, event_type: &str) -> Vec<Recipient> {
        let mut statement = self.conn.prepare_cached(sql).unwrap();
        collect_recipients(statement.query([event_type]).unwrap())
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<Endpoint> {
        let mut statement = self.conn.prepare_cached(endpoints!("s.name = ?1")).unwrap();
        let rows = statement.query([name]).unwrap();
        collect_endpoints(rows, 1).pop()
    }

    /// The first page behind this position.
    pub(crate) fn page(&self, after: i64, limit: usize) -> Vec<Endpoint> {
        let mut statement = self.conn.prepare_cached(endpoints!("s.seq > ?1")).unwrap();
        collect_endpoints(statement.query([after]).unwrap(), limit)
    }

    /// The id of the subscription that is so far from the last.
    pub(crate) fn id_before_last(&self, distance: usize) -> String {
        let sql = "SELECT id FROM subscription ORDER BY seq DESC LIMIT 1 OFFSET ?1";
        self.conn.query_row(sql, [distance as i64], |row| row.get(0)).unwrap()
    }

    /// A change that any other program could make: the subscription of this name moves to another URL.
    pub(crate) fn move_to(&self, name: &str, url: &str) {
        let sql = "UPDATE subscription SET url = ?2, revision = revision + 1 WHERE name = ?1";
        let mut statement = self.conn.prepare_cached(sql).unwrap();
        assert_eq!(statement.execute([name, url]).unwrap(), 1);
    }

    /// Adds event types to a catalog that has no subscriptions yet.
    pub(crate) fn learn(&self, names: &[String]) {
        let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate).unwrap();
        let mut insert = tx.prepare_cached("INSERT INTO event_type (name) VALUES (?1)").unwrap();
        for name in names {
            insert.execute([name]).unwrap();
        }
        drop(insert);
        tx.commit().unwrap();
    }

    /// Creates subscriptions in one transaction, and answers their ids and secrets.
    pub(crate) fn create(&self, list: &[New]) -> Vec<(String, String)> {
        self.create_with(list, false)
    }

    /// Creates one, with its row in the history of changes, which is kept as long as the registry keeps it.
    pub(crate) fn create_told(&self, new: &New) {
        self.create_with(std::slice::from_ref(new), true);
    }

    /// What the history tells, without times and ids.
    pub(crate) fn told(&self) -> Vec<String> {
        let sql = "SELECT fields FROM change WHERE kind = 'created' ORDER BY sequence";
        let mut statement = self.conn.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    fn create_with(&self, list: &[New], told: bool) -> Vec<(String, String)> {
        let now =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
        let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate).unwrap();
        let last: Option<String> = tx
            .prepare_cached("SELECT max((SELECT max(id) FROM subscription), coalesce((SELECT last_id FROM registry), ''))")
            .unwrap()
            .query_row([], |row| row.get(0))
            .unwrap();
        let mut last = last.map_or(Ulid::nil(), |text| Ulid::from_string(&text).unwrap());
        let mut known = HashMap::new();
        let mut all = Vec::with_capacity(list.len());
        let mut subscription = tx
            .prepare_cached(
                "INSERT INTO subscription (id, name, url, enabled, description, metadata, created_at, updated_at, revision) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 1)",
            )
            .unwrap();
        let mut route = tx
            .prepare_cached("INSERT INTO subscription_pattern (subscription, position, pattern, enabled) VALUES (?1, ?2, ?3, ?4)")
            .unwrap();
        let mut secret = tx
            .prepare_cached(
                "INSERT INTO secret (subscription, serial, text, created_at) VALUES (?1, 1, ?2, ?3)",
            )
            .unwrap();
        for new in list {
            let New { name, url, events, enabled, description, metadata } = new;
            last = if last.timestamp_ms() >= now {
                Ulid(last.0 + 1)
            } else {
                let mut random = [0; 16];
                rand::rngs::SysRng.try_fill_bytes(&mut random).unwrap();
                Ulid::from_parts(now, u128::from_le_bytes(random) >> 48)
            };
            let mut key = [0; 64];
            rand::rngs::SysRng.try_fill_bytes(&mut key).unwrap();
            let id = last.to_string();
            let text = base64::engine::general_purpose::STANDARD.encode(key);
            let kept = if metadata.is_empty() {
                "{}".to_owned()
            } else {
                serde_json::to_string(metadata).unwrap()
            };
            let seq = subscription
                .insert(params![id, name, url, enabled, description, kept, now as i64])
                .unwrap();
            for (position, event) in events.iter().enumerate() {
                let pattern = match known.get(event.as_str()) {
                    Some(&pattern) => pattern,
                    None => {
                        let pattern = intern(&tx, event);
                        known.insert(event.as_str(), pattern);
                        pattern
                    }
                };
                route.execute(params![seq, position as i64, pattern, enabled]).unwrap();
            }
            secret.execute(params![seq, text, now as i64]).unwrap();
            if told {
                let fields = serde_json::to_string(&super::document::created(new)).unwrap();
                tx.prepare_cached(
                    "INSERT INTO change (sequence, at, kind, subject, fields) \
                     VALUES (coalesce((SELECT max(sequence) FROM change), 0) + 1, ?1, 'created', ?2, ?3)",
                )
                .unwrap()
                .execute(params![now as i64, id, fields])
                .unwrap();
            }
            all.push((id, text));
        }
        drop((subscription, route, secret));
        tx.commit().unwrap();
        all
    }

    /// Everything but ids, times and secrets, in order.
    pub(crate) fn dump(&self) -> Vec<String> {
        let sql = "SELECT format('%Q %Q %d %Q %Q %Q', name, url, enabled, events, description, metadata) \
                     FROM subscriptions ORDER BY id";
        let mut statement = self.conn.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}

fn collect_recipients(mut rows: rusqlite::Rows<'_>) -> Vec<Recipient> {
    let mut all: Vec<Recipient> = Vec::new();
    let mut last = (0, 0);
    while let Some(row) = rows.next().unwrap() {
        let (seq, serial): (i64, i64) = (row.get(0).unwrap(), row.get(7).unwrap());
        if seq != last.0 {
            all.push(Recipient::from_row(row, 1).unwrap());
        } else if serial != last.1 {
            let secret = (row.get(5).unwrap(), row.get(6).unwrap());
            all.last_mut().unwrap().secrets.push(secret);
        }
        last = (seq, serial);
    }
    all
}

fn collect_endpoints(mut rows: rusqlite::Rows<'_>, limit: usize) -> Vec<Endpoint> {
    let mut all: Vec<Endpoint> = Vec::new();
    let mut last = 0;
    while let Some(row) = rows.next().unwrap() {
        let seq: i64 = row.get(0).unwrap();
        if seq == last {
            all.last_mut().unwrap().events.push(row.get(10).unwrap());
        } else if all.len() == limit {
            break;
        } else {
            all.push(Endpoint::from_row(row, 1).unwrap());
            last = seq;
        }
    }
    all
}

/// The row of a pattern that covers something.
pub(super) fn intern(tx: &Transaction<'_>, text: &str) -> i64 {
    let sql = "SELECT id FROM pattern p WHERE text = ?1 AND EXISTS (SELECT 1 FROM expansion WHERE pattern = p.id)";
    let mut find = tx.prepare_cached(sql).unwrap();
    if let Some(id) = find.query_row([text], |row| row.get(0)).optional().unwrap() {
        return id;
    }
    let wildcard = text.contains(['*', '?', '[']);
    let mut insert =
        tx.prepare_cached("INSERT INTO pattern (text, wildcard) VALUES (?1, ?2)").unwrap();
    let id = insert.insert(params![text, wildcard]).unwrap();
    let sql = if wildcard {
        "INSERT INTO expansion (event_type, pattern) SELECT id, ?1 FROM event_type WHERE name GLOB ?2"
    } else {
        "INSERT INTO expansion (event_type, pattern) SELECT id, ?1 FROM event_type WHERE name = ?2"
    };
    assert!(
        tx.prepare_cached(sql).unwrap().execute(params![id, text]).unwrap() > 0,
        "{text} covers nothing"
    );
    id
}

fn make_schema(conn: &Connection) {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate).unwrap();
    tx.execute_batch(SCHEMA).unwrap();
    tx.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}"
    ))
    .unwrap();
    tx.commit().unwrap();
}

fn set_up(conn: &Connection) {
    conn.busy_timeout(Duration::from_secs(5)).unwrap();
    conn.set_prepared_statement_cache_capacity(128);
    for (config, value) in [
        (DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    ] {
        conn.set_db_config(config, value).unwrap();
    }
    conn.execute_batch(
        "PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY",
    )
    .unwrap();
}
