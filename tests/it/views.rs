//! Tests the three views, which other programs read and join with their own tables. A moved column,
//! or a row that the API would not return, breaks programs that this crate's users cannot see.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use webhook_registry::{EventType, ListQuery, NewSubscription, Registry, SubscriptionUpdate};

use crate::support::{SEED_SECRET, learn, new};

/// Creates a file registry with varied content.
fn filled() -> (tempfile::TempDir, PathBuf, Registry) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_772_600_767_089);
    let registry = Registry::options().clock(move || now).open(&path).unwrap();
    learn(&registry);
    registry.register_event_type(EventType::new("agent.other").with_description("")).unwrap();
    let to = |name: &str, patterns: &[&str]| NewSubscription::new(name, "https://x/?y", patterns);
    let created = registry
        .create_all([
            new("plain").secret(SEED_SECRET),
            to("many", &["channel.*", "agent.*", "*", "channel.held.v1"])
                .description("with \"quotes\"\n")
                .metadata("b", "{}")
                .metadata("a", "ü"),
            to("off", &["*"]).enabled(false).disabled_reason("410 Gone").description(""),
            to("waits", &["fax.*", "fax"]).allow_unknown_events(true),
            to("gone", &["*"]),
        ])
        .unwrap();
    registry.delete(created[4].subscription().id()).unwrap();
    let changed = SubscriptionUpdate::new().events(["*.v1", "agent.other"]);
    registry.update(created[0].subscription().id(), changed).unwrap();
    (folder, path, registry)
}

fn reader(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// Returns the names of the columns, and every row.
fn rows(conn: &Connection, sql: &str) -> (Vec<String>, Vec<Vec<Cell>>) {
    let mut statement = conn.prepare(sql).unwrap();
    let width = statement.column_count();
    let names = (0..width).map(|at| statement.column_name(at).unwrap().to_owned()).collect();
    let rows = statement
        .query_map([], |row| (0..width).map(|at| row.get(at)).collect())
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    (names, rows)
}

fn text(text: impl ToString) -> Cell {
    Cell::Text(text.to_string())
}

fn maybe(given: Option<&str>) -> Cell {
    given.map_or(Cell::Null, text)
}

#[test]
fn the_views_have_these_columns_in_this_order() {
    let (_folder, path, registry) = filled();
    registry.for_owner("acme").unwrap().create(new("owned")).unwrap();
    let conn = reader(&path);
    for (view, columns) in [
        (
            "webhook_registry_subscriptions",
            "id name url enabled events description metadata created_at updated_at revision owner \
             disabled_reason disabled_at",
        ),
        ("webhook_registry_event_types", "name description json_schema"),
        ("webhook_registry_subscribers", "event_type id name url"),
        ("webhook_registry_owner_subscribers", "owner event_type id name url"),
        ("webhook_registry_routes", "event_type id owner name enabled pattern"),
        ("webhook_registry_changes", "sequence at kind subject owner fields"),
    ] {
        let (names, rows) = rows(&conn, &format!("SELECT * FROM {view}"));
        assert_eq!(names.join(" "), columns, "{view}");
        assert!(!rows.is_empty(), "{view}");
        let sql = format!("SELECT type FROM sqlite_schema WHERE name = '{view}'");
        let kind: String = conn.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(kind, "view");
    }
}

#[test]
fn the_routes_view_equals_what_explain_returns_to_every_owner() {
    let (_folder, path, registry) = filled();
    let acme = registry.for_owner("acme").unwrap();
    acme.create(NewSubscription::new("owned", "https://x/", ["*", "*.v1", "agent.other"])).unwrap();
    let conn = reader(&path);
    let every = registry.for_every_owner().unwrap();
    let mut expected = Vec::new();
    for event_type in registry.event_types().unwrap() {
        for entry in every.explain(event_type.name()).unwrap().entries() {
            for pattern in entry.patterns() {
                expected.push(vec![
                    text(event_type.name()),
                    text(entry.subscription_id()),
                    maybe(entry.owner()),
                    text(entry.name()),
                    Cell::Integer(i64::from(entry.enabled())),
                    text(pattern),
                ]);
            }
        }
    }
    let (_, mut found) = rows(&conn, "SELECT * FROM webhook_registry_routes");
    let sort = |rows: &mut Vec<Vec<Cell>>| rows.sort_by_key(|row| format!("{row:?}"));
    sort(&mut found);
    sort(&mut expected);
    assert!(found.len() > 20);
    assert_eq!(found, expected);
}

#[test]
fn the_changes_view_equals_the_api() {
    let (_folder, path, registry) = filled();
    registry.for_owner("acme").unwrap().create(new("owned")).unwrap();
    let conn = reader(&path);
    let changes = registry.changes(0, 1_000).unwrap();
    let (_, found) = rows(&conn, "SELECT * FROM webhook_registry_changes ORDER BY sequence");
    assert_eq!(found.len(), changes.len());
    for (row, change) in found.iter().zip(changes) {
        let json = serde_json::to_value(&change).unwrap();
        let at = change.at().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        assert_eq!(
            row[..5],
            [
                Cell::Integer(change.sequence().try_into().unwrap()),
                Cell::Integer(at.try_into().unwrap()),
                text(json["kind"].as_str().unwrap()),
                text(change.subject()),
                maybe(change.owner()),
            ]
        );
        let Cell::Text(fields) = &row[5] else { panic!("{row:?}") };
        assert_eq!(serde_json::from_str::<Value>(fields).unwrap(), json["fields"]);
    }
}

#[test]
fn the_subscriptions_view_equals_the_api() {
    let (_folder, path, registry) = filled();
    let conn = reader(&path);
    let (_, mut found) = rows(&conn, "SELECT * FROM webhook_registry_subscriptions ORDER BY id");
    let millis = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Cell::Integer(i64::try_from(since.as_millis()).unwrap())
    };
    let json_of = |cell: &mut Cell| {
        let Cell::Text(json) = std::mem::replace(cell, Cell::Null) else {
            panic!("no text");
        };
        serde_json::from_str::<Value>(&json).unwrap()
    };
    let all: Vec<_> = registry.iter(ListQuery::new()).map(|one| one.unwrap()).collect();
    assert_eq!((found.len(), all.len()), (4, 4));
    for (row, one) in found.iter_mut().zip(&all) {
        assert_eq!(json_of(&mut row[4]), json!(one.events()), "in order");
        assert_eq!(json_of(&mut row[6]), json!(one.metadata()));
        let expected = [
            text(one.id()),
            text(one.name()),
            text(one.url()),
            Cell::Integer(one.enabled().into()),
            Cell::Null,
            maybe(one.description()),
            Cell::Null,
            millis(one.created_at()),
            millis(one.updated_at()),
            Cell::Integer(one.revision().try_into().unwrap()),
            maybe(one.owner()),
            maybe(one.disabled_reason()),
            one.disabled_at().map_or(Cell::Null, millis),
        ];
        assert_eq!(row[..], expected);
    }
    assert_eq!(all.iter().filter(|one| one.disabled_reason() == Some("410 Gone")).count(), 1);
    let none: String = conn
        .query_row(
            "SELECT metadata FROM webhook_registry_subscriptions WHERE name = 'plain'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(none, "{}");
    let second: String = conn
        .query_row(
            "SELECT json_extract(events, '$[1]') || json_extract(metadata, '$.a') \
             FROM webhook_registry_subscriptions WHERE name = 'many'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(second, "agent.*ü");
}

#[test]
fn the_event_types_view_equals_the_api() {
    let (_folder, path, registry) = filled();
    let (_, found) = rows(
        &reader(&path),
        "SELECT * FROM webhook_registry_event_types ORDER BY \
                        name",
    );
    let all = registry.event_types().unwrap();
    assert_eq!(found.len(), 8);
    assert_eq!(found.len(), all.len());
    for (row, one) in found.iter().zip(&all) {
        assert_eq!(row[..2], [text(one.name()), maybe(one.description())]);
        match (&row[2], one.json_schema()) {
            (Cell::Null, None) => {}
            (Cell::Text(json), Some(schema)) => {
                assert_eq!(&serde_json::from_str::<Value>(json).unwrap(), schema);
            }
            odd => panic!("{odd:?}"),
        }
    }
}

#[track_caller]
fn assert_subscribers_agree(conn: &Connection, registry: &Registry) -> usize {
    let (_, found) = rows(
        conn,
        "SELECT * FROM webhook_registry_subscribers ORDER BY event_type, \
                        id",
    );
    let mut expected = Vec::new();
    for event_type in registry.event_types().unwrap() {
        for one in &registry.subscribers(event_type.name()).unwrap() {
            expected.push(vec![
                text(event_type.name()),
                text(one.id()),
                text(one.name()),
                text(one.url()),
            ]);
        }
    }
    assert_eq!(found, expected);
    found.len()
}

#[test]
fn the_subscribers_view_equals_the_api_also_after_changes() {
    let (_folder, path, registry) = filled();
    let conn = reader(&path);
    // `plain` receives the seven of `*.v1` and `agent.other`, `many` all eight; `off` and `waits`
    // none.
    assert_eq!(assert_subscribers_agree(&conn, &registry), 16);
    registry.register_event_type("fax.sent").unwrap();
    assert_eq!(assert_subscribers_agree(&conn, &registry), 18);
    let many = registry.get_by_name("many").unwrap().unwrap().id();
    registry.update(many, SubscriptionUpdate::new().enabled(false)).unwrap();
    assert_eq!(assert_subscribers_agree(&conn, &registry), 9);
    registry.remove_event_type("channel.connected.v1").unwrap();
    assert_eq!(assert_subscribers_agree(&conn, &registry), 8);
    registry.delete(many).unwrap();
    let off = registry.get_by_name("off").unwrap().unwrap().id();
    registry.update(off, SubscriptionUpdate::new().enabled(true)).unwrap();
    assert_eq!(assert_subscribers_agree(&conn, &registry), 16);
}

#[test]
fn no_view_contains_a_secret() {
    let (_folder, path, registry) = filled();
    let conn = reader(&path);
    let (_, views) =
        rows(&conn, "SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name");
    assert_eq!(
        views,
        [
            [text("_webhook_registry_record")],
            [text("webhook_registry_changes")],
            [text("webhook_registry_event_types")],
            [text("webhook_registry_owner_subscribers")],
            [text("webhook_registry_routes")],
            [text("webhook_registry_subscribers")],
            [text("webhook_registry_subscriptions")]
        ]
    );
    let mut secrets = vec![SEED_SECRET.to_owned()];
    for one in &registry.subscribers("agent.other").unwrap() {
        secrets.extend(one.secrets().map(|secret| secret.expose().to_owned()));
    }
    assert_eq!(secrets.len(), 3);
    for view in &views {
        let [Cell::Text(view)] = &view[..] else { panic!("{view:?}") };
        let (_, rows) = rows(&conn, &format!("SELECT * FROM {view}"));
        let shown = format!("{rows:?}");
        for secret in &secrets {
            assert!(!shown.contains(&secret[..12]), "{view}: {shown}");
        }
    }
}

#[test]
fn a_program_can_join_the_views_with_its_own_tables() {
    let (folder, path, _registry) = filled();
    let own = Connection::open(folder.path().join("own.db")).unwrap();
    own.execute_batch(
        "CREATE TABLE customer (hook TEXT, label TEXT); \
         INSERT INTO customer VALUES ('plain', 'P'), ('many', 'M')",
    )
    .unwrap();
    own.execute("ATTACH ?1 AS hooks", [path.to_str().unwrap()]).unwrap();
    let (_, found) = rows(
        &own,
        "SELECT c.label FROM customer c JOIN hooks.webhook_registry_subscribers s ON s.name = \
         c.hook \
         WHERE s.event_type = 'channel.held.v1' ORDER BY s.id",
    );
    assert_eq!(found, [[text("P")], [text("M")]]);
    let (_, found) = rows(
        &own,
        "SELECT s.name, e.value FROM hooks.webhook_registry_subscriptions s, json_each(s.events) e \
         WHERE s.name = 'plain' ORDER BY e.key",
    );
    assert_eq!(found, [[text("plain"), text("*.v1")], [text("plain"), text("agent.other")]]);
}
