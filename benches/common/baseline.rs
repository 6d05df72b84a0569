//! The program that the benchmarks compare with: the same job in rusqlite, written by hand.
//!
//! The baseline has a schema of its own and shares no code with the crate. It is written to be
//! fast. It validates what it stores, because that is a part of the job. It keeps no history, has
//! no call that rotates a secret, and panics on every error.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::TryRng as _;
use rand::rngs::SysRng;
use rusqlite::config::DbConfig;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Params, Row, params};
use url::Url;

use super::New;
use super::rows::{CreatedRow, Id, SubscriberRow, SubscriptionRow, unix_millis};

/// Marks a file of the baseline.
const APPLICATION_ID: i64 = 0x0062_6173;

/// `route` and `pattern_match` meet at the pattern. A new event type is therefore matched against
/// the distinct patterns and not against every subscription.
const SCHEMA: &str = "
CREATE TABLE event_type (
    name        TEXT NOT NULL UNIQUE,
    description TEXT, -- NULL: none
    json_schema TEXT  -- NULL: none
) STRICT;

CREATE TABLE pattern (
    id          INTEGER PRIMARY KEY,
    text        TEXT NOT NULL UNIQUE, -- with the classes as GLOB writes them
    is_wildcard INTEGER NOT NULL
) STRICT;
-- Has is_wildcard, or SQLite would read the row of each wildcard for it.
CREATE INDEX wildcard ON pattern (text, is_wildcard) WHERE is_wildcard;

CREATE TABLE pattern_match (
    event_type TEXT NOT NULL,
    pattern    INTEGER NOT NULL,
    PRIMARY KEY (event_type, pattern)
) STRICT, WITHOUT ROWID;

-- Dispatch reads the first columns of a row.
CREATE TABLE subscription (
    seq         INTEGER PRIMARY KEY, -- in the order of the ids
    enabled     INTEGER NOT NULL,
    id          BLOB NOT NULL UNIQUE,
    name        TEXT NOT NULL UNIQUE,
    url         TEXT NOT NULL,
    secret      TEXT NOT NULL,
    metadata    TEXT, -- a JSON object; NULL: none
    events      TEXT NOT NULL, -- the patterns as given, with a space between two
    description TEXT, -- NULL: none
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    revision    INTEGER NOT NULL
) STRICT;

CREATE TABLE route (
    pattern      INTEGER NOT NULL,
    subscription INTEGER NOT NULL,
    PRIMARY KEY (pattern, subscription)
) STRICT, WITHOUT ROWID;
";

/// Without `ORDER BY`: the rows of one pattern come in the order of `seq`, and `subscribers` sorts
/// those of several.
const SUBSCRIBERS: &str = "SELECT s.id, s.name, s.url, s.secret, s.metadata FROM pattern_match m \
     CROSS JOIN route r ON r.pattern = m.pattern \
     CROSS JOIN subscription s ON s.seq = r.subscription \
     WHERE m.event_type = ?1 AND s.enabled";

/// The columns that `subscription_row` reads.
macro_rules! columns {
    () => {
        "id, name, url, events, enabled, description, metadata, created_at, updated_at, revision"
    };
}

const BY_NAME: &str = concat!("SELECT ", columns!(), " FROM subscription WHERE name = ?1");
const BY_ID: &str = concat!("SELECT ", columns!(), " FROM subscription WHERE id = ?1");
/// The rows lie in the order of the ids, so a page reads neighbouring rows.
const PAGE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM subscription WHERE seq > coalesce((SELECT seq FROM subscription WHERE id <= ?1 \
     ORDER BY id DESC LIMIT 1), 0) ORDER BY seq LIMIT ?2"
);
const SET_URL: &str = concat!(
    "UPDATE subscription SET url = ?2, updated_at = ?3, revision = revision + 1 \
     WHERE id = ?1 AND url <> ?2 RETURNING ",
    columns!()
);

/// `synchronous` of a connection.
#[derive(Clone, Copy)]
pub(crate) enum Synchronous {
    /// A commit survives a power loss.
    Full,
    /// A commit survives a crash of the process.
    Normal,
}

pub(crate) struct Baseline {
    conn: Connection,
}

impl Baseline {
    pub(crate) fn in_memory() -> Baseline {
        let baseline = Baseline::connect(Connection::open_in_memory().unwrap());
        baseline.create_schema();
        baseline
    }

    /// Opens a file, or creates it.
    ///
    /// The file is not mapped into memory (`mmap_size`), because an I/O error would then end the
    /// process instead of being returned.
    pub(crate) fn open(path: &Path, synchronous: Synchronous) -> Baseline {
        let baseline = Baseline::connect(Connection::open(path).unwrap());
        if baseline.application_id() == 0 {
            baseline.conn.pragma_update(None, "journal_mode", "WAL").unwrap();
            baseline.create_schema();
        }
        let level = match synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        };
        baseline.conn.pragma_update(None, "synchronous", level).unwrap();
        baseline
    }

    fn connect(conn: Connection) -> Baseline {
        conn.busy_timeout(Duration::from_secs(5)).unwrap();
        conn.set_prepared_statement_cache_capacity(64);
        // Otherwise SQLite plans a statement again whenever a bound value could change the plan.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).unwrap();
        Baseline { conn }
    }

    fn application_id(&self) -> i64 {
        let id = self.conn.query_row("PRAGMA application_id", [], |row| row.get(0)).unwrap();
        assert!([0, APPLICATION_ID].contains(&id), "a file of another program");
        id
    }

    fn create_schema(&self) {
        self.write(|| {
            // Another process may have created the schema in the meantime.
            if self.application_id() == 0 {
                self.conn.execute_batch(SCHEMA).unwrap();
                self.conn.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
            }
        });
    }

    fn prepare(&self, sql: &str) -> CachedStatement<'_> {
        self.conn.prepare_cached(sql).unwrap()
    }

    fn execute(&self, sql: &str, params: impl Params) -> usize {
        self.prepare(sql).execute(params).unwrap()
    }

    pub(super) fn write<T>(&self, job: impl FnOnce() -> T) -> T {
        self.execute("BEGIN IMMEDIATE", []);
        let done = job();
        self.execute("COMMIT", []);
        done
    }

    /// Reads in one transaction.
    pub(crate) fn read<T>(&self, job: impl FnOnce() -> T) -> T {
        self.execute("BEGIN", []);
        let done = job();
        self.execute("COMMIT", []);
        done
    }

    pub(crate) fn data_version(&self) -> i64 {
        self.prepare("PRAGMA data_version").query_row([], |row| row.get(0)).unwrap()
    }

    /// Returns the subscribers in the order of their ids, or `None` if there is no such event type.
    pub(crate) fn subscribers(&self, event_type: &str) -> Option<Vec<SubscriberRow>> {
        let mut statement = self.prepare(SUBSCRIBERS);
        let mut rows = statement.query([event_type]).unwrap();
        let mut found: Vec<SubscriberRow> = Vec::new();
        let mut in_order = true;
        while let Some(row) = rows.next().unwrap() {
            let subscriber = subscriber_row(row);
            in_order = in_order && found.last().is_none_or(|last| last.id < subscriber.id);
            found.push(subscriber);
        }
        if !in_order {
            found.sort_by_key(|subscriber| subscriber.id);
            found.dedup_by_key(|subscriber| subscriber.id);
        }
        (!found.is_empty() || self.has_event_type(event_type)).then_some(found)
    }

    fn has_event_type(&self, name: &str) -> bool {
        self.prepare("SELECT 1 FROM event_type WHERE name = ?1").exists([name]).unwrap()
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<SubscriptionRow> {
        self.prepare(BY_NAME).query_row([name], |row| Ok(subscription_row(row))).optional().unwrap()
    }

    /// Returns at most `limit` subscriptions after an id, and whether there are more.
    pub(crate) fn page(&self, after: Option<Id>, limit: usize) -> (Vec<SubscriptionRow>, bool) {
        let after: &[u8] = after.as_ref().map_or(&[], |id| id);
        let mut statement = self.prepare(PAGE);
        let mut rows = statement.query(params![after, limit as i64 + 1]).unwrap();
        let mut page = Vec::with_capacity(limit);
        while let Some(row) = rows.next().unwrap() {
            if page.len() == limit {
                return (page, true);
            }
            page.push(subscription_row(row));
        }
        (page, false)
    }

    /// Returns every subscription with its secret, in the order of the ids.
    pub(crate) fn all(&self) -> Vec<CreatedRow> {
        let sql = concat!("SELECT ", columns!(), ", secret FROM subscription ORDER BY seq");
        let mut statement = self.prepare(sql);
        let rows = statement.query_map([], |row| {
            Ok(CreatedRow { subscription: subscription_row(row), secret: row.get(10)? })
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// Sets a URL and returns the subscription, in a transaction of its own. The same URL again
    /// changes nothing.
    pub(crate) fn set_url(&self, id: Id, url: &str) -> SubscriptionRow {
        validate_url(url);
        let read = |sql, params: &[&dyn rusqlite::ToSql]| {
            let mut statement = self.prepare(sql);
            let mut rows = statement.query(params).unwrap();
            let found = rows.next().unwrap().map(subscription_row);
            // The change is committed when the statement has run to its end.
            assert!(found.is_none() || rows.next().unwrap().is_none());
            found
        };
        let changed = read(SET_URL, &[&id, &url, &unix_millis(SystemTime::now())]);
        changed.or_else(|| read(BY_ID, &[&id])).unwrap()
    }

    /// Creates subscriptions in one transaction, with generated secrets.
    pub(crate) fn create(&self, list: Vec<New>) -> Vec<CreatedRow> {
        list.iter().for_each(validate);
        let mut random = vec![0; 10 + 64 * list.len()];
        SysRng.try_fill_bytes(&mut random).unwrap();
        let (for_id, for_secrets) = random.split_at(10);
        let now = unix_millis(SystemTime::now());
        let mut id = [0; 16];
        id[..6].copy_from_slice(&now.to_be_bytes()[2..]);
        id[6..].copy_from_slice(for_id);
        self.write(|| {
            // Ids increase also where the clock does not.
            let mut last = self.prepare("SELECT max(id) FROM subscription");
            let last: Option<Id> = last.query_row([], |row| row.get(0)).unwrap();
            let last = last.map_or(0, |last| u128::from_be_bytes(last) + 1);
            let ids = u128::from_be_bytes(id).max(last)..;
            let created = list.into_iter().zip(for_secrets.chunks_exact(64)).zip(ids);
            let created = created.map(|((new, secret), id)| CreatedRow {
                subscription: new.into_row(id.to_be_bytes(), now),
                secret: STANDARD.encode(secret),
            });
            let created: Vec<CreatedRow> = created.collect();
            self.insert(&created);
            created
        })
    }

    /// Stores subscriptions that were created elsewhere, in one transaction.
    pub(crate) fn store(&self, list: &[CreatedRow]) {
        self.write(|| self.insert(list));
    }

    pub(super) fn insert(&self, list: &[CreatedRow]) {
        let mut subscription = self.prepare(
            "INSERT INTO subscription (enabled, id, name, url, secret, metadata, events, \
             description, created_at, updated_at, revision) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        );
        let mut route = self.prepare("INSERT INTO route VALUES (?1, ?2)");
        let mut patterns: HashMap<&str, i64> = HashMap::new();
        for CreatedRow { subscription: new, secret } in list {
            let metadata =
                (!new.metadata.is_empty()).then(|| serde_json::to_string(&new.metadata).unwrap());
            let seq = subscription
                .insert(params![
                    new.enabled,
                    new.id,
                    new.name,
                    new.url,
                    secret,
                    metadata,
                    new.events.join(" "),
                    new.description,
                    new.created_at,
                    new.updated_at,
                    new.revision,
                ])
                .unwrap();
            for event in &new.events {
                let pattern = *patterns.entry(event).or_insert_with(|| self.pattern_id(event));
                route.execute([pattern, seq]).unwrap();
            }
        }
    }

    /// Returns the id of a pattern. A new one is stored and matched against the event types.
    fn pattern_id(&self, event: &str) -> i64 {
        let text = event.replace("[!", "[^");
        let mut find = self.prepare("SELECT id FROM pattern WHERE text = ?1");
        if let Some(known) = find.query_row([&text], |row| row.get(0)).optional().unwrap() {
            return known;
        }
        assert!(event.len() <= 256 && !event.contains("**") && glob::Pattern::new(event).is_ok());
        let wildcard = text.find(['*', '?', '[']);
        let id = self
            .prepare("INSERT INTO pattern (text, is_wildcard) VALUES (?1, ?2)")
            .insert(params![text, wildcard.is_some()])
            .unwrap();
        // Names are ASCII, so those with this prefix lie between the prefix and `end`.
        let prefix = &text[..wildcard.unwrap_or(text.len())];
        let end = format!("{prefix}\u{7f}");
        let matched = self.execute(
            "INSERT INTO pattern_match SELECT name, ?1 FROM event_type \
             WHERE name >= ?2 AND name < ?3 AND name GLOB ?4",
            params![id, prefix, end, text],
        );
        assert!(matched > 0, "{event} matches no event type");
        id
    }

    /// Registers event types in one transaction.
    pub(crate) fn register(&self, names: &[String]) {
        self.write(|| names.iter().for_each(|name| self.register_in(name, None, None)));
    }

    /// Registers an event type, or replaces what is known of it, in the caller's transaction.
    pub(super) fn register_in(&self, name: &str, description: Option<&str>, schema: Option<&str>) {
        let inserted = self.execute(
            "INSERT INTO event_type (name, description, json_schema) VALUES (?1, ?2, ?3) \
             ON CONFLICT DO NOTHING",
            params![name, description, schema],
        );
        if inserted == 0 {
            self.execute(
                "UPDATE event_type SET description = ?2, json_schema = ?3 WHERE name = ?1",
                params![name, description, schema],
            );
            return;
        }
        self.execute(
            "INSERT INTO pattern_match SELECT ?1, id FROM pattern WHERE text = ?1 \
             UNION ALL SELECT ?1, id FROM pattern WHERE is_wildcard AND ?1 GLOB text",
            [name],
        );
    }

    /// Removes an event type that no subscription names literally.
    pub(crate) fn unregister(&self, name: &str) {
        self.write(|| {
            self.execute("DELETE FROM pattern_match WHERE event_type = ?1", [name]);
            assert_eq!(self.execute("DELETE FROM event_type WHERE name = ?1", [name]), 1);
        });
    }

    /// Returns the names, descriptions and schemas of the event types, by name.
    pub(super) fn event_types(&self) -> Vec<(String, Option<String>, Option<String>)> {
        let sql = "SELECT name, description, json_schema FROM event_type ORDER BY name";
        let mut statement = self.prepare(sql);
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        rows.unwrap().map(Result::unwrap).collect()
    }
}

fn validate(new: &New) {
    let New { name, url, events, enabled: _, description, metadata } = new;
    assert!((1..=128).contains(&name.chars().count()) && name.trim() == name);
    assert!(!name.chars().any(char::is_control));
    validate_url(url);
    assert!((1..=256).contains(&events.len()));
    let fits = |text: &str, max| text.len() <= max && !text.contains('\0');
    assert!(description.as_ref().is_none_or(|text| fits(text, 4_096)));
    assert!(metadata.len() <= 50);
    assert!(
        metadata
            .iter()
            .all(|(key, value)| { !key.is_empty() && fits(key, 128) && fits(value, 1_024) })
    );
}

fn validate_url(url: &str) {
    let refused = |c: char| c.is_whitespace() || c.is_control() || c == '\\' || c == '#';
    assert!(url.len() <= 2_048 && !url.contains(refused));
    let parsed = Url::parse(url).unwrap();
    assert!(["http", "https"].contains(&parsed.scheme()) && parsed.has_host());
    assert!(parsed.username().is_empty() && parsed.password().is_none());
}

fn subscriber_row(row: &Row<'_>) -> SubscriberRow {
    SubscriberRow {
        id: row.get(0).unwrap(),
        name: row.get(1).unwrap(),
        url: row.get(2).unwrap(),
        secret: row.get(3).unwrap(),
        metadata: metadata(row, 4),
    }
}

fn subscription_row(row: &Row<'_>) -> SubscriptionRow {
    let events = row.get_ref(3).unwrap().as_str().unwrap();
    SubscriptionRow {
        id: row.get(0).unwrap(),
        name: row.get(1).unwrap(),
        url: row.get(2).unwrap(),
        events: events.split(' ').map(str::to_owned).collect(),
        enabled: row.get(4).unwrap(),
        description: row.get(5).unwrap(),
        metadata: metadata(row, 6),
        created_at: row.get(7).unwrap(),
        updated_at: row.get(8).unwrap(),
        revision: row.get(9).unwrap(),
    }
}

fn metadata(row: &Row<'_>, column: usize) -> BTreeMap<String, String> {
    let text = row.get_ref(column).unwrap().as_str_or_null().unwrap();
    text.map(|text| serde_json::from_str(text).unwrap()).unwrap_or_default()
}
