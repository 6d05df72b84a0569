//! Tests that a registry in an application's database leaves the application alone, and that the
//! application does not hinder the registry.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::Value;
use webhook_registry::{
    ErrorKind, ListQuery, NewSubscription, Prune, Registry, RegistryOptions, Rotation,
    SubscriptionUpdate,
};

use crate::opening::{contents, folder};
use crate::support::{causes, learn, new, refused};

pub(crate) const EVENT: &str = "agent.presencechanged.v1";

pub(crate) fn guest() -> RegistryOptions {
    Registry::options().guest(true).busy_timeout(Duration::from_secs(60))
}

/// The settings of an application's file, which it makes before its first table.
pub(crate) const FILES: [&str; 8] = [
    "PRAGMA journal_mode = WAL",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA encoding = 'UTF-16le'; PRAGMA journal_mode = WAL",
    "PRAGMA encoding = 'UTF-16be'",
    "PRAGMA page_size = 512; PRAGMA auto_vacuum = FULL",
    "PRAGMA page_size = 65536; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL",
    "PRAGMA page_size = 1024; PRAGMA encoding = 'UTF-16le'",
    "PRAGMA journal_mode = PERSIST",
];

/// The tables of an application, under names that a registry could have too. Some of them need a
/// collation and a function of the application's.
const TABLES: &str = "
    PRAGMA foreign_keys = OFF; PRAGMA user_version = 7; PRAGMA application_id = 1234;
    CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT UNIQUE COLLATE german);
    CREATE TABLE subscription (id TEXT PRIMARY KEY, customer REFERENCES customer, enabled);
    CREATE TABLE secret (text CHECK (tidy(text)));
    CREATE TABLE pattern (a, b AS (\"a\" || 'x'));
    CREATE TABLE webhooks (id PRIMARY KEY, url) WITHOUT ROWID;
    CREATE TABLE webhook_subscriptions (id INTEGER PRIMARY KEY AUTOINCREMENT, webhook);
    CREATE TABLE event_type (name);
    -- As sqlx, diesel and refinery make them. rusqlite_migration uses `user_version`.
    CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
        installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL,
        checksum BLOB NOT NULL, execution_time BIGINT NOT NULL);
    CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL,
        run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
    CREATE TABLE refinery_schema_history (version INT4 PRIMARY KEY, name VARCHAR(255),
        applied_on VARCHAR(255), checksum VARCHAR(255));
    INSERT INTO _sqlx_migrations VALUES (1, 'one', '2026-01-01', 1, X'00FF', 7);
    INSERT INTO __diesel_schema_migrations (version) VALUES ('1');
    INSERT INTO refinery_schema_history VALUES (1, 'one', '2026-01-01', '17');
    CREATE INDEX pattern_prefix ON pattern (a COLLATE german);
    CREATE VIEW subscriptions AS SELECT id, \"enabled\" FROM subscription;
    CREATE TRIGGER subscription_deleted AFTER DELETE ON subscription BEGIN
        INSERT INTO webhooks VALUES (OLD.id, 'gone'); END;
    INSERT INTO customer VALUES (1, 'Äpfel'), (2, 'Birnen');
    INSERT INTO subscription VALUES ('s1', 1, 1), ('s2', 99, 0);
    INSERT INTO secret VALUES ('whsec_' || 'application');
    INSERT INTO pattern (a) VALUES ('agent.*');
    INSERT INTO webhooks VALUES ('w', 'https://example.com/'), (X'00FF', NULL);
    INSERT INTO webhook_subscriptions (webhook) VALUES ('w');
    DELETE FROM webhook_subscriptions;
    INSERT INTO webhook_subscriptions (webhook) VALUES ('w');";

/// Opens a connection of the application.
pub(crate) fn application(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.create_collation("german", |a, b| a.to_lowercase().cmp(&b.to_lowercase())).unwrap();
    conn.create_scalar_function("tidy", 1, rusqlite::functions::FunctionFlags::empty(), |_| {
        Ok(true)
    })
    .unwrap();
    // Not by the method, which needs SQLite 3.44 to link.
    conn.execute_batch("PRAGMA busy_timeout = 60000").unwrap();
    conn
}

pub(crate) fn make_application(path: &Path, settings: &str) -> Connection {
    let conn = application(path);
    conn.execute_batch(settings).unwrap();
    conn.execute_batch(TABLES).unwrap();
    conn
}

/// Returns every row of the registry's tables.
pub(crate) fn dump_registry(path: &Path) -> Vec<Vec<Value>> {
    let conn = application(path);
    let tables = rows(
        &conn,
        "SELECT name FROM sqlite_schema \
          WHERE type = 'table' AND name LIKE '%webhook%' ORDER BY name",
    );
    let of = |table: &Vec<Value>| match &table[..] {
        [Value::Text(table)] => rows(&conn, &format!("SELECT * FROM {table}")),
        other => panic!("{other:?}"),
    };
    tables.iter().flat_map(of).collect()
}

fn rows(conn: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = conn.prepare(sql).unwrap();
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| (0..columns).map(|at| row.get(at)).collect();
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

/// Returns all that belongs to the application: settings, schema and rows.
pub(crate) fn dump(conn: &Connection) -> Vec<Vec<Value>> {
    let rows = |sql: &str| rows(conn, sql);
    let mut all = Vec::new();
    // That mode is the connection's.
    let kept = |value: Vec<Value>| match &value[..] {
        [Value::Text(mode)] if mode == "persist" => vec![Value::Text("delete".to_owned())],
        _ => value,
    };
    for setting in
        ["user_version", "application_id", "journal_mode", "page_size", "encoding", "auto_vacuum"]
    {
        all.extend(rows(&format!("PRAGMA {setting}")).into_iter().map(kept));
    }
    let own = "name NOT LIKE '%webhook\\_registry\\_%' ESCAPE '\\'";
    all.extend(rows(&format!(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE {own} ORDER BY name"
    )));
    let tables =
        format!("SELECT name FROM sqlite_schema WHERE type = 'table' AND {own} ORDER BY name");
    for table in rows(&tables) {
        let [Value::Text(table)] = &table[..] else { panic!("{table:?}") };
        all.extend(rows(&format!("SELECT * FROM {table}")));
    }
    all
}

/// Makes every kind of change and asks every kind of question, as far as each can be made here.
pub(crate) fn live(registry: &Registry, path: &Path) {
    learn(registry);
    let created = registry.create(new("ünïcödé").description("\u{1f980}".repeat(900))).unwrap();
    let id = created.subscription().id();
    registry.create_all((0..600).map(|at| new(&format!("name {at}")))).unwrap();
    assert_eq!(registry.subscribers(EVENT).unwrap().len(), 601);
    registry.update(id, SubscriptionUpdate::new().enabled(false)).unwrap();
    assert_eq!(registry.subscribers(EVENT).unwrap().len(), 600);
    registry.update(id, SubscriptionUpdate::new().enabled(true).events(["*"])).unwrap();
    registry.rotate_secret(id, Rotation::new()).unwrap();
    registry.ensure(new("name 7").metadata("ключ", "значение")).unwrap();
    registry.register_event_type("agent.new.v1").unwrap();
    registry.remove_event_type("agent.new.v1").unwrap();
    let page = registry.list(ListQuery::new().name_contains("ïcö")).unwrap();
    assert_eq!(page.subscriptions().len(), 1);
    assert_eq!(registry.explain(EVENT).unwrap().entries().len(), 601);
    assert!(!registry.changes(0, 100).unwrap().is_empty());
    let report = registry.check().unwrap();
    assert!(report.is_sound(), "{:?}", report.findings());
    let copy = path.with_extension("copy");
    registry.backup(&copy).unwrap();
    let copied = guest().open(&copy).unwrap();
    assert_eq!(copied.list(ListQuery::new()).unwrap(), registry.list(ListQuery::new()).unwrap());
    assert_eq!(
        serde_json::to_value(copied.export().unwrap()).unwrap(),
        serde_json::to_value(registry.export().unwrap()).unwrap()
    );
    #[cfg(feature = "test-util")]
    {
        let fork = registry.fork().unwrap();
        fork.delete(id).unwrap();
        assert!(fork.check().unwrap().is_sound());
        assert_eq!(registry.subscribers(EVENT).unwrap().len(), 601);
    }
    let plan = registry.plan([new("name 8")], Prune::Delete).unwrap();
    registry.apply(plan).unwrap();
    assert_eq!(registry.len().unwrap(), 1);
    assert!(registry.check().unwrap().is_sound());
}

#[test]
fn the_application_finds_its_tables_and_settings_as_they_were() {
    for settings in FILES {
        let (_folder, path) = folder();
        let conn = make_application(&path, settings);
        let before = dump(&conn);
        let registry = guest().open(&path).unwrap();
        live(&registry, &path);
        assert_eq!(dump(&conn), before, "{settings}");
        assert_eq!(dump(&application(&path.with_extension("copy"))), before, "{settings}");
        // Opened by a program that has neither its collation nor its function.
        drop(registry);
        let options = guest().create(false);
        assert_eq!(options.open(&path).unwrap().len().unwrap(), 1);
        assert_eq!(options.read_only(true).open(&path).unwrap().len().unwrap(), 1);
        assert_eq!(dump(&conn), before, "{settings}");
        conn.execute_batch(
            "DELETE FROM subscription; PRAGMA user_version = 8; VACUUM; ANALYZE; DROP TABLE secret",
        )
        .unwrap();
        let registry = guest().open(&path).unwrap();
        assert!(registry.check().unwrap().is_sound(), "{settings}");
        assert_eq!(registry.subscribers(EVENT).unwrap().len(), 1);
    }
}

#[test]
fn a_missing_or_empty_file_becomes_a_database_of_the_application_in_wal_mode() {
    for is_empty in [false, true] {
        let (_folder, path) = folder();
        if is_empty {
            std::fs::write(&path, "").unwrap();
        }
        for options in [guest().create(false), guest().read_only(true)] {
            refused(options.open(&path), ErrorKind::NotFound, &["path"]);
        }
        let registry = guest().open(&path).unwrap();
        let conn = Connection::open(&path).unwrap();
        let number = |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(number("PRAGMA user_version") + number("PRAGMA application_id"), 0);
        assert_eq!(dump(&conn)[2], [Value::Text("wal".to_owned())]);
        drop(registry);
        let error = refused(Registry::open(&path), ErrorKind::Incompatible, &[]);
        assert!(error.to_string().contains("`RegistryOptions::guest(true)`"), "{error}");
    }
}

#[test]
fn a_file_of_a_registrys_own_stays_its_own() {
    let (_folder, path) = folder();
    learn(&Registry::open(&path).unwrap());
    let before = std::fs::read(&path).unwrap();
    let registry = guest().open(&path).unwrap();
    registry.create(new("one")).unwrap();
    drop(registry);
    assert_eq!(Registry::open(&path).unwrap().len().unwrap(), 1);
    assert_eq!(std::fs::read(&path).unwrap()[56..72], before[56..72], "the header");
}

#[test]
fn a_refused_open_leaves_nothing_behind() {
    let check = |prepare: &str, options: RegistryOptions, kind, fields: &[&str], says: &str| {
        for settings in FILES {
            let (folder, path) = folder();
            let conn = make_application(&path, settings);
            conn.execute_batch(prepare).unwrap();
            drop(conn);
            let before = contents(folder.path());
            let error = refused(options.open(&path), kind, fields);
            assert!(error.to_string().contains(says), "{error}");
            assert!(contents(folder.path()) == before, "{settings}: {error}");
        }
    };
    let other = "another application's data";
    check("", Registry::options(), ErrorKind::Incompatible, &[], other);
    check("", guest().create(false), ErrorKind::NotFound, &["path"], "no registry at");
    check("", guest().read_only(true), ErrorKind::NotFound, &["path"], "no registry at");
    for name in ["webhook_registry_x", "_webhook_registry_x", "_Webhook_Registry_Meta"] {
        for object in [
            format!("CREATE TABLE {name} (a)"),
            format!("CREATE VIEW {name} AS SELECT 1 AS a"),
            format!("CREATE INDEX {name} ON webhooks (url)"),
        ] {
            check(&object, guest(), ErrorKind::Incompatible, &[], &format!("\"{name}\""));
        }
    }
    // A trigger that will use the view may be there before the view is.
    let (_folder, path) = folder();
    let conn = make_application(&path, FILES[0]);
    conn.execute_batch(
        "CREATE TRIGGER webhook_registry_customer AFTER DELETE ON customer BEGIN
             DELETE FROM webhook_registry_subscriptions WHERE name = OLD.name; END",
    )
    .unwrap();
    guest().open(&path).unwrap();
}

#[test]
fn an_application_may_have_dropped_every_table() {
    for settings in FILES {
        let (_folder, path) = folder();
        let conn = application(&path);
        conn.execute_batch(settings).unwrap();
        conn.execute_batch(
            "CREATE TABLE large (a); \
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 500) \
             INSERT INTO large SELECT hex(zeroblob(2000)) FROM n; \
             DROP TABLE large",
        )
        .unwrap();
        assert!(guest().open(&path).unwrap().is_empty().unwrap(), "{settings}");
    }
}

#[test]
fn a_database_that_has_lost_the_list_of_its_tables_is_corrupt() {
    let (_folder, path) = folder();
    let conn = make_application(&path, FILES[1]);
    conn.execute_batch(
        "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema; PRAGMA writable_schema = RESET",
    )
    .unwrap();
    refused(guest().open(&path), ErrorKind::Corrupt, &[]);
}

#[test]
fn options_that_do_not_fit_a_guest_are_rejected() {
    let (folder, path) = folder();
    refused(guest().exclusive(true).open(&path), ErrorKind::Invalid, &["exclusive"]);
    refused(guest().in_memory(), ErrorKind::Invalid, &["guest"]);
    assert!(contents(folder.path()).is_empty());
}

#[test]
fn a_change_inside_the_applications_transaction_is_busy_and_says_what_to_do() {
    for settings in &FILES[..2] {
        let (_folder, path) = folder();
        let conn = make_application(&path, settings);
        let registry = guest().busy_timeout(Duration::from_millis(50)).open(&path).unwrap();
        learn(&registry);
        registry.create(new("one")).unwrap();
        conn.execute_batch("BEGIN IMMEDIATE; DELETE FROM webhooks").unwrap();
        let error = refused(registry.create(new("two")), ErrorKind::Busy, &[]);
        let says = "make the call before it begins or after its commit, or change the view";
        assert!(error.to_string().contains(says), "{error}");
        assert!(causes(&error).next().is_some());
        assert_eq!(registry.subscribers(EVENT).unwrap().len(), 1);
        assert_eq!(registry.len().unwrap(), 1);
        conn.execute_batch("COMMIT").unwrap();
        registry.create(new("two")).unwrap();
    }
}

#[test]
fn import_asks_only_whether_the_registry_is_empty() {
    let (_folder, path) = folder();
    make_application(&path, FILES[1]);
    let source = crate::support::contact_center();
    source.create(new("one")).unwrap();
    let registry = guest().open(&path).unwrap();
    registry.import(source.export().unwrap()).unwrap();
    assert_eq!(registry.get_by_name("one").unwrap(), source.get_by_name("one").unwrap());
}

/// In a UTF-16 file SQLite sorts by other bytes.
#[test]
fn owners_are_in_the_order_of_their_utf_8_bytes_whatever_the_encoding_of_the_file() {
    for settings in FILES {
        let (_folder, path) = folder();
        make_application(&path, settings);
        let registry = guest().open(&path).unwrap();
        learn(&registry);
        let owners = ["a", "z", "ä", "Ā", "ā", "€", "\u{ff5e}", "\u{1f980}"];
        for owner in owners.iter().rev() {
            registry.for_owner(*owner).unwrap().create(new("one")).unwrap();
        }
        assert_eq!(registry.owners(None, 1_000).unwrap(), owners, "{settings}");
        assert_eq!(registry.owners(Some("ab"), 2).unwrap(), owners[1..3]);
        assert_eq!(registry.owners(Some("\u{1f980}"), 2).unwrap(), [""; 0]);
    }
}

#[test]
fn limits_are_in_bytes_of_utf_8_whatever_the_encoding_of_the_file() {
    for settings in &FILES[2..4] {
        let (_folder, path) = folder();
        make_application(&path, settings);
        let registry = guest().open(&path).unwrap();
        registry.register_event_type("a.v1").unwrap();
        let one = |name: &str| NewSubscription::new(name, "https://example.com/", ["a.v1"]);
        // 4,096 bytes each: of one, of two, of three and of four bytes a character.
        for (name, text) in [("1", "a"), ("2", "é"), ("3", "€"), ("4", "\u{1f980}")] {
            let most = 4_096 / text.len();
            registry.create(one(name).description(text.repeat(most))).unwrap();
            let more = one("more").description(text.repeat(most + 1));
            refused(registry.create(more), ErrorKind::Invalid, &["description"]);
        }
        assert!(registry.check().unwrap().is_sound());
        assert_eq!(registry.list(ListQuery::new()).unwrap().subscriptions().len(), 4);
    }
}
