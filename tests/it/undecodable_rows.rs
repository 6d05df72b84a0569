//! Tests rows that do not decode. They must not count as "everything" or "nothing": an invalid
//! pattern that matches all events, a missing one that matches none, metadata that no filter finds.
//! The tests damage rows through a plain connection; every call that reads them must return
//! `Corrupt`.

use std::sync::OnceLock;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tempfile::TempDir;
use webhook_registry::{
    Durability, Error, ErrorKind, ListQuery, NewSubscription, Registry, SubscriptionId,
    SubscriptionUpdate,
};

use crate::support::{new, refused};

pub(crate) const EVENT: &str = "agent.v1";

/// A registry with one sound and one damaged subscription.
pub(crate) struct Damaged {
    _folder: TempDir,
    pub(crate) registry: Registry,
    pub(crate) id: SubscriptionId,
    pub(crate) sound: SubscriptionId,
}

impl Damaged {
    /// Executes the SQL while the registry is open, or before it is opened.
    pub(crate) fn new(sql: &str, while_open: bool) -> Damaged {
        static SOUND: OnceLock<(Vec<u8>, SubscriptionId, SubscriptionId)> = OnceLock::new();
        let (file, sound, id) = SOUND.get_or_init(Damaged::create_sound);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.db");
        std::fs::write(&path, file).unwrap();
        let open = || Registry::options().durability(Durability::Relaxed).open(&path).unwrap();
        let registry = while_open.then(open);
        if let Some(registry) = &registry {
            assert_eq!(registry.subscribers(EVENT).unwrap().len(), 1);
        }
        let conn = Connection::open(&path).unwrap();
        conn.execute_batch(
            "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; \
             PRAGMA synchronous = OFF",
        )
        .unwrap();
        // Damage has no triggers.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
        conn.execute_batch(sql).unwrap();
        assert!(conn.changes() > 0, "{sql} changed nothing");
        // Nor does it move the mark of cached answers, so an open registry would not read the rows.
        conn.execute_batch("UPDATE _webhook_registry_meta SET mark = random()").unwrap();
        drop(conn);
        let registry = registry.unwrap_or_else(open);
        Damaged { _folder: folder, registry, id: *id, sound: *sound }
    }

    fn create_sound() -> (Vec<u8>, SubscriptionId, SubscriptionId) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.db");
        let registry = Registry::open(&path).unwrap();
        registry.register_event_types([EVENT, "queue.v1"]).unwrap();
        let of = |name: &str, event: &str| {
            let new =
                NewSubscription::new(name, "https://example.com/", [event]).metadata("k", "1");
            registry.create(new).unwrap().subscription().id()
        };
        let (sound, id) = (of("sound", "queue.*"), of("damaged", "agent.*"));
        drop(registry);
        (std::fs::read(path).unwrap(), sound, id)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Call {
    Get,
    ByName,
    List,
    ListByEvent,
    Count,
    CountByMetadata,
    Subscribers,
    Explain,
    Update,
    Create,
    Register,
    Iter,
    Export,
    Expand,
    EventTypes,
    Remove,
    Changes,
}

use Call::{
    ByName, Changes, Count, CountByMetadata, Create, EventTypes, Expand, Explain, Export, Get,
    Iter, List, ListByEvent, Register, Remove, Subscribers, Update,
};

/// Every call that reads the subscription itself, and therefore decodes it.
pub(crate) const SUBSCRIPTION_CALLS: [Call; 5] = [Get, ByName, List, ListByEvent, Update];

pub(crate) fn call(damaged: &Damaged, call: Call) -> Result<String, Error> {
    let Damaged { registry, id, .. } = damaged;
    let by_metadata = ListQuery::new().metadata("k", "1");
    match call {
        Get => registry.get(*id).map(|found| format!("{found:?}")),
        ByName => registry.get_by_name("damaged").map(|found| format!("{found:?}")),
        List => registry.list(ListQuery::new()).map(|page| format!("{page:?}")),
        ListByEvent => {
            registry.list(ListQuery::new().event_type(EVENT)).map(|page| format!("{page:?}"))
        }
        Count => registry.count(ListQuery::new()).map(|count| count.to_string()),
        CountByMetadata => registry.count(by_metadata).map(|count| count.to_string()),
        Subscribers => registry.subscribers(EVENT).map(|all| format!("{all:?}")),
        Explain => registry.explain(EVENT).map(|all| all.to_string()),
        Update => {
            let update = SubscriptionUpdate::new().description("another");
            registry.update(*id, update).map(|found| format!("{found:?}"))
        }
        Create => registry.create(new("third")).map(|made| format!("{made:?}")),
        Iter => registry
            .iter(ListQuery::new())
            .collect::<Result<Vec<_>, _>>()
            .map(|all| format!("{all:?}")),
        Export => registry.export().map(|all| format!("{all:?}")),
        Expand => registry.expand("*").map(|all| format!("{all:?}")),
        EventTypes => registry.event_types().map(|all| format!("{all:?}")),
        Remove => registry.remove_event_type("queue.v1").map(|()| "removed".to_owned()),
        Changes => registry.changes(0, 100).map(|all| format!("{all:?}")),
        Register => registry.register_event_type("agent.v2").map(|()| "registered".to_owned()),
    }
}

/// Asserts that these calls return `Corrupt`, and that calls that do not read the row work.
#[track_caller]
pub(crate) fn assert_corrupt(sql: &str, calls: &[Call]) {
    for while_open in [true, false] {
        let damaged = Damaged::new(sql, while_open);
        let report = damaged.registry.check().unwrap();
        assert!(!report.is_sound(), "{sql}: check finds nothing");
        assert!(!report.to_string().contains("c2VjcmV0"), "a secret is shown: {report}");
        for &one in calls {
            let error = refused(call(&damaged, one), ErrorKind::Corrupt, &[]);
            assert!(error.to_string().starts_with("the file is damaged: "), "{one:?}: {error}");
            assert!(!error.to_string().contains("c2VjcmV0"), "a secret is shown: {error}");
            // The sound subscription is not affected.
            let (registry, sound) = (&damaged.registry, damaged.sound);
            assert_eq!(registry.get(sound).unwrap().unwrap().name(), "sound", "{sql}");
            assert_eq!(registry.subscribers("queue.v1").unwrap()[0].id(), sound, "{sql}");
        }
    }
}

pub(crate) fn set(column: &str, value: &str) -> String {
    format!("UPDATE _webhook_registry_subscription SET {column} = {value} WHERE name = 'damaged'")
}

#[test]
fn an_invalid_id_is_corrupt() {
    for id in ["''", "'x'", "'81ARZ3NDEKTSV4RRFFQ69G5FAV'", "'01ARZ3NDEKTSV4RRFFQ69G5FA!'"] {
        assert_corrupt(&set("id", id), &[ByName, List, ListByEvent, Subscribers, Explain]);
    }
    assert_corrupt(&set("id", "'zz'"), &[Create]);
    // The lower-case id differs from the id that finds the row.
    assert_corrupt(&set("id", "lower(id)"), &[ByName, List, ListByEvent, Subscribers, Explain]);
}

/// Values that `create` rejects, by column.
const REJECTED: [(&str, &[&str]); 4] = [
    (
        "name",
        &[
            "''",
            "' damaged'",
            "'damaged '",
            "char(160) || 'damaged'",
            "'dam' || char(10) || 'aged'",
            "'dam' || char(0) || 'aged'",
            "'dam' || char(127) || 'aged'",
            "'dam' || char(133) || 'aged'",
            "printf('%.*c', 129, 'x')",
            "replace(printf('%.*c', 129, 'x'), 'x', char(228))",
        ],
    ),
    (
        "url",
        &[
            "''",
            "'xttps://example.com/'",
            "'https:example.com/'",
            "'https:///example.com/'",
            "'https://?q'",
            "'example.com'",
            "'https://example.com/ a'",
            "'https://example.com/' || char(9)",
            "'https://example.com/' || char(0)",
            "'https://example.com/' || char(127)",
            "'https://example.com/' || char(160)",
            "'https://example.com/' || char(133)",
            "'https://example.com\\a'",
            "'https://user:password@example.com/'",
            "'https://example.com/#part'",
            "'https://example.com/' || printf('%.*c', 2048, 'x')",
        ],
    ),
    (
        "metadata",
        &[
            r#"'{"": "1"}'"#,
            r#"'{"a\u0000": "1"}'"#,
            r#"'{"a": "\u0000"}'"#,
            r#"'{"' || printf('%.*c', 129, 'x') || '": "1"}'"#,
            r#"'{"a": "' || printf('%.*c', 1025, 'x') || '"}'"#,
            r#"(WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 51)
               SELECT json_group_object(n, 'v') FROM n)"#,
        ],
    ),
    ("description", &["printf('%.*c', 4097, 'x')", "'a' || char(0)"]),
];

#[test]
fn subscription_text_that_create_would_reject_is_corrupt() {
    for (column, values) in REJECTED {
        for value in values {
            let sql = set(column, value);
            let more: &[Call] = match column {
                "name" => &[Subscribers, Explain],
                "url" => &[Subscribers],
                "metadata" => &[Subscribers, CountByMetadata],
                _ => &[],
            };
            assert_corrupt(&sql, &[&[Get, List, ListByEvent, Update, Iter, Export], more].concat());
        }
    }
    // Only the URL parser rejects these, and dispatch does not run it.
    for url in [
        "'https://a b/'",
        "'https://[::1/'",
        "'https://exa%mple.com/'",
        "'https://example.com:99999/'",
    ] {
        assert_corrupt(&set("url", url), &[Get, List, ListByEvent, Update, Iter, Export]);
    }
}

#[test]
fn stored_text_at_the_limits_of_create_is_returned() {
    for sql in [
        set("name", "replace(printf('%.*c', 128, 'x'), 'x', char(228))"),
        set("name", "'a  b' || char(8203)"),
        set("url", "'HTTP://127.1:80?' || printf('%.*c', 2031, 'x')"),
        set("url", "'https://m' || char(252) || 'nchen.example/'"),
        set("url", "'https://[::1]/'"),
        set("description", "printf('%.*c', 4096, 'x')"),
        set("description", "''"),
        set(
            "metadata",
            r#"'{"' || printf('%.*c', 128, 'x') || '": "' || printf('%.*c', 1024, 'x') || '"}'"#,
        ),
        "UPDATE _webhook_registry_event_type SET description = printf('%.*c', 4096, 'x'), \
         json_schema = 'true' \
         WHERE rowid = 1"
            .to_owned(),
    ] {
        let damaged = Damaged::new(&sql, true);
        for one in
            [Get, List, Subscribers, Explain, Iter, Export, EventTypes, Update, CountByMetadata]
        {
            call(&damaged, one).unwrap_or_else(|error| panic!("{sql}: {one:?}: {error}"));
        }
        let report = damaged.registry.check().unwrap();
        assert!(report.is_sound(), "{sql}: {report}");
    }
}

#[test]
fn stored_patterns_that_create_would_reject_are_corrupt() {
    assert_corrupt(
        "UPDATE _webhook_registry_pattern SET text = text || char(0) WHERE text = 'agent.*'",
        &[Explain, Register],
    );
    assert_corrupt(&set("events", "events || char(0)"), &SUBSCRIPTION_CALLS);
    assert_corrupt(&set("events", "events || char(0)"), &[Explain, Iter, Export]);
    assert_corrupt(&set("events", "events || ' ' || events"), &SUBSCRIPTION_CALLS);
    assert_corrupt(&set("events", "events || ' ' || events"), &[Explain, Iter, Export]);
    let many = "events || (WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE \
                n < 256) SELECT group_concat(' agent.v' || (n + 1), '') FROM n)";
    assert_corrupt(&set("events", many), &SUBSCRIPTION_CALLS);
}

#[test]
fn an_invalid_event_type_name_is_corrupt_and_not_skipped() {
    for name in [
        "''",
        "'a b'",
        "'agent.*'",
        "CAST(x'ff' AS TEXT)",
        "'a' || char(0)",
        "printf('%.*c', 257, 'a')",
    ] {
        let sql = format!("INSERT INTO _webhook_registry_event_type (name) VALUES ({name})");
        assert_corrupt(&sql, &[Expand, EventTypes, Export]);
        let damaged = Damaged::new(&sql, true);
        // An unknown name gets a suggestion of a known one.
        refused(damaged.registry.subscribers("agent.v2"), ErrorKind::Corrupt, &[]);
    }
    // A pattern with this prefix reads the row; other patterns do not.
    let damaged = Damaged::new(
        "INSERT INTO _webhook_registry_event_type (name) VALUES (CAST(x'6167656e742eff' AS TEXT))",
        true,
    );
    refused(damaged.registry.expand("agent.*"), ErrorKind::Corrupt, &[]);
    assert_eq!(damaged.registry.expand("queue.*").unwrap(), ["queue.v1"]);
    let waits = NewSubscription::new("third", "https://example.com/", ["agent.?*"]);
    refused(damaged.registry.create(waits), ErrorKind::Corrupt, &[]);
}

#[test]
fn an_invalid_stored_name_does_not_appear_in_a_message() {
    let sql = "UPDATE _webhook_registry_subscription SET name = 'a' || char(10) || 'b' WHERE seq \
               = 1; \
               UPDATE _webhook_registry_pattern SET text = 'queue.v1', prefix = NULL WHERE text = \
               'queue.*'";
    let damaged = Damaged::new(sql, true);
    let error = refused(call(&damaged, Remove), ErrorKind::Corrupt, &[]);
    assert!(error.to_string().contains("the name of subscription"), "{error}");
}

#[test]
fn metadata_that_is_not_an_object_of_strings_is_corrupt() {
    for metadata in
        ["''", "'{'", "'[]'", "'null'", "'{\"a\":1}'", "'{\"a\":null}'", "'{}{}'", "'text'"]
    {
        assert_corrupt(&set("metadata", metadata), &SUBSCRIPTION_CALLS);
        assert_corrupt(&set("metadata", metadata), &[Subscribers, CountByMetadata]);
    }
}

#[test]
fn times_and_numbers_that_no_registry_writes_are_corrupt() {
    for time in ["-1", "-9223372036854775808", "253402300800000", "9223372036854775807"] {
        assert_corrupt(&set("created_at", time), &SUBSCRIPTION_CALLS);
        assert_corrupt(&set("updated_at", time), &SUBSCRIPTION_CALLS);
    }
    assert_corrupt(&set("revision", "-1"), &SUBSCRIPTION_CALLS);
    assert_corrupt(&set("revision", "0"), &SUBSCRIPTION_CALLS);
    assert_corrupt(&set("enabled", "2"), &SUBSCRIPTION_CALLS);
    assert_corrupt(&set("enabled", "-1"), &SUBSCRIPTION_CALLS);
}

#[test]
fn an_invalid_stored_secret_is_corrupt_and_not_shown() {
    for text in ["''", "'c2VjcmV0 c2VjcmV0'", "'c2VjcmV0!'", "'********'"] {
        let sql =
            format!("UPDATE _webhook_registry_subscription SET secret = {text} WHERE seq = 2");
        assert_corrupt(&sql, &[Subscribers, Update]);
    }
    assert_corrupt(
        "UPDATE _webhook_registry_subscription SET secret_created_at = -1 WHERE seq = 2",
        &[Subscribers, Update],
    );
    let replaced = |expires_at: i64| {
        format!(
            "INSERT INTO _webhook_registry_replaced_secret \
             SELECT seq, 1, secret, created_at, {expires_at} FROM _webhook_registry_subscription \
             WHERE seq = 2; UPDATE _webhook_registry_subscription SET replaced_secrets = 1 \
             WHERE seq = 2"
        )
    };
    assert_corrupt(&replaced(-1), &[Subscribers, Update]);
}

#[test]
fn text_that_is_not_utf_8_is_corrupt() {
    for column in ["name", "url", "description", "metadata"] {
        let sql = format!(
            "UPDATE _webhook_registry_subscription SET {column} = CAST(x'ff' AS \
                        TEXT) WHERE seq = 2"
        );
        assert_corrupt(&sql, &[Get, List, ListByEvent, Update]);
        if column != "description" {
            assert_corrupt(&sql, &[Subscribers]);
        }
    }
}

#[test]
fn a_missing_table_is_corrupt() {
    for table in [
        "_webhook_registry_subscription_pattern",
        "_webhook_registry_expansion",
        "_webhook_registry_subscription",
    ] {
        let damaged = Damaged::new(
            &format!("CREATE TABLE x (y); INSERT INTO x VALUES (1); DROP TABLE {table}"),
            true,
        );
        refused(damaged.registry.subscribers(EVENT), ErrorKind::Corrupt, &[]);
    }
}

#[test]
fn count_does_not_decode_unneeded_columns() {
    let damaged = Damaged::new(&set("metadata", "'{'"), false);
    assert_eq!(call(&damaged, Count).unwrap(), "2");
}

#[test]
fn a_number_beyond_the_reachable_range_is_reported_by_check_and_by_writes() {
    let last = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ";
    assert_corrupt(
        &format!(
            "UPDATE _webhook_registry_subscription SET revision = {} WHERE name = \
                  'damaged'",
            i64::MAX
        ),
        &SUBSCRIPTION_CALLS,
    );
    assert_corrupt(&format!("UPDATE _webhook_registry_meta SET last_id = '{last}'"), &[Create]);
    let seq = format!(
        "UPDATE _webhook_registry_subscription_pattern SET subscription = {0} WHERE subscription \
         = 2;
         UPDATE _webhook_registry_replaced_secret SET subscription = {0} WHERE subscription = 2;
         UPDATE _webhook_registry_subscription SET seq = {0} WHERE seq = 2",
        i64::MAX
    );
    assert_corrupt(&seq, &[Create]);
    for sql in [
        format!("UPDATE _webhook_registry_change SET sequence = {} WHERE sequence = 4", i64::MAX),
        format!("UPDATE _webhook_registry_meta SET last_change = {}", i64::MAX),
    ] {
        assert_corrupt(&sql, &[Create, Register, Update]);
        let damaged = Damaged::new(&sql, false);
        refused(damaged.registry.changes(0, 10), ErrorKind::Corrupt, &[]);
        // As the finding says, the registry can still be exported.
        let fresh = Registry::in_memory().unwrap();
        fresh.import(damaged.registry.export().unwrap()).unwrap();
        fresh.create(new("third")).unwrap();
    }
}
