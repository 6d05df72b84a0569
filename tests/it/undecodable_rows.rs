//! Guards against a row that does not decode and is then taken for "everything" or "nothing": a pattern that is none
//! and covers all, a missing one that covers nothing, metadata that no filter sees. Rows are damaged by hand, through a
//! plain connection; every reading call that touches them has to say `Corrupt`.

use std::sync::OnceLock;

use rusqlite::Connection;
use tempfile::TempDir;
use webhook_registry::{
    ChangeKind, Durability, Error, ErrorKind, ListQuery, NewSubscription, Registry, SubscriptionId,
    SubscriptionUpdate,
};

use crate::support::{new, refused};

const EVENT: &str = "agent.v1";

/// The registry of one sound subscription and one that is damaged.
struct Damaged {
    _folder: TempDir,
    registry: Registry,
    id: SubscriptionId,
    sound: SubscriptionId,
}

impl Damaged {
    /// Damages while the registry is open, or before it is opened.
    fn by(sql: &str, while_open: bool) -> Damaged {
        static SOUND: OnceLock<(Vec<u8>, SubscriptionId, SubscriptionId)> = OnceLock::new();
        let (file, sound, id) = SOUND.get_or_init(Damaged::make);
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
            "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; PRAGMA synchronous = OFF",
        )
        .unwrap();
        conn.execute_batch(sql).unwrap();
        assert!(conn.changes() > 0, "{sql} changed nothing");
        drop(conn);
        let registry = registry.unwrap_or_else(open);
        Damaged { _folder: folder, registry, id: *id, sound: *sound }
    }

    fn make() -> (Vec<u8>, SubscriptionId, SubscriptionId) {
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
enum Call {
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

/// Every call that needs the subscription itself, and so has to decode it.
const RECORD: [Call; 5] = [Get, ByName, List, ListByEvent, Update];

fn call(damaged: &Damaged, call: Call) -> Result<String, Error> {
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

/// Checks that these calls say `Corrupt`, and that what does not touch the row still works.
#[track_caller]
fn told(sql: &str, calls: &[Call]) {
    for while_open in [true, false] {
        let damaged = Damaged::by(sql, while_open);
        let report = damaged.registry.check().unwrap();
        assert!(!report.is_sound(), "{sql}: nothing is found");
        assert!(!report.to_string().contains("c2VjcmV0"), "a secret is shown: {report}");
        for &one in calls {
            let error = refused(call(&damaged, one), ErrorKind::Corrupt, &[]);
            assert!(error.to_string().starts_with("the file is damaged: "), "{one:?}: {error}");
            assert!(!error.to_string().contains("c2VjcmV0"), "a secret is shown: {error}");
            // The sound one is not drawn in.
            let (registry, sound) = (&damaged.registry, damaged.sound);
            assert_eq!(registry.get(sound).unwrap().unwrap().name(), "sound", "{sql}");
            assert_eq!(registry.subscribers("queue.v1").unwrap()[0].id(), sound, "{sql}");
        }
    }
}

fn set(column: &str, value: &str) -> String {
    format!("UPDATE subscription SET {column} = {value} WHERE name = 'damaged'")
}

#[test]
fn an_id_that_is_none_is_told() {
    for id in ["''", "'x'", "'81ARZ3NDEKTSV4RRFFQ69G5FAV'", "'01ARZ3NDEKTSV4RRFFQ69G5FA!'"] {
        told(&set("id", id), &[ByName, List, ListByEvent, Subscribers, Explain]);
    }
    told(&set("id", "'zz'"), &[Create]);
    // It would be another id than the one that the row is found by.
    told(&set("id", "lower(id)"), &[ByName, List, ListByEvent, Subscribers, Explain]);
}

/// What no `create` would take, by column.
const REFUSED: [(&str, &[&str]); 4] = [
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
fn no_text_of_a_subscription_comes_out_that_no_create_would_take() {
    for (column, values) in REFUSED {
        for value in values {
            let sql = set(column, value);
            let more: &[Call] = match column {
                "name" => &[Subscribers, Explain],
                "url" => &[Subscribers],
                "metadata" => &[Subscribers, CountByMetadata],
                _ => &[],
            };
            told(&sql, &[&[Get, List, ListByEvent, Update, Iter, Export], more].concat());
        }
    }
    // Only the parser refuses these, and dispatch is spared it.
    for url in [
        "'https://a b/'",
        "'https://[::1/'",
        "'https://exa%mple.com/'",
        "'https://example.com:99999/'",
    ] {
        told(&set("url", url), &[Get, List, ListByEvent, Update, Iter, Export]);
    }
}

#[test]
fn text_at_the_limits_that_a_create_takes_comes_out() {
    for sql in [
        set("name", "replace(printf('%.*c', 128, 'x'), 'x', char(228))"),
        set("name", "'a  b' || char(8203)"),
        set("url", "'HTTP://127.1:80?' || printf('%.*c', 2031, 'x')"),
        set("url", "'https://m' || char(252) || 'nchen.example/'"),
        set("url", "'https://[::1]/'"),
        set("description", "printf('%.*c', 4096, 'x')"),
        set("description", "''"),
        set("metadata", r#"'{"' || printf('%.*c', 128, 'x') || '": "' || printf('%.*c', 1024, 'x') || '"}'"#),
        "UPDATE event_type SET description = printf('%.*c', 4096, 'x'), json_schema = 'true' WHERE id = 1"
            .to_owned(),
    ] {
        let damaged = Damaged::by(&sql, true);
        for one in [Get, List, Subscribers, Explain, Iter, Export, EventTypes, Update, CountByMetadata] {
            call(&damaged, one).unwrap_or_else(|error| panic!("{sql}: {one:?}: {error}"));
        }
        let report = damaged.registry.check().unwrap();
        assert!(report.is_sound(), "{sql}: {report}");
    }
}

#[test]
fn patterns_that_no_create_would_keep_are_told() {
    told(
        "UPDATE pattern SET text = text || char(0) WHERE text = 'agent.*'",
        &[Get, List, Explain, Register],
    );
    told(
        "INSERT INTO subscription_pattern SELECT 2, 1, pattern, 1 FROM subscription_pattern WHERE subscription = 2",
        &RECORD,
    );
    told(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 256) \
         INSERT INTO pattern (text, wildcard) SELECT 'agent.v' || (n + 1), 0 FROM n; \
         INSERT INTO subscription_pattern SELECT 2, id, id, 1 FROM pattern WHERE wildcard = 0",
        &RECORD,
    );
}

#[test]
fn a_name_of_an_event_type_that_is_none_is_told_and_not_passed_over() {
    for name in [
        "''",
        "'a b'",
        "'agent.*'",
        "CAST(x'ff' AS TEXT)",
        "'a' || char(0)",
        "printf('%.*c', 257, 'a')",
    ] {
        let sql = format!("INSERT INTO event_type (name) VALUES ({name})");
        told(&sql, &[Expand, EventTypes, Export]);
        let damaged = Damaged::by(&sql, true);
        // What is not there gets a suggestion of what is.
        refused(damaged.registry.subscribers("agent.v2"), ErrorKind::Corrupt, &[]);
    }
    // Behind the prefix of a pattern too, and elsewhere it does not matter.
    let damaged =
        Damaged::by("INSERT INTO event_type (name) VALUES (CAST(x'6167656e742eff' AS TEXT))", true);
    refused(damaged.registry.expand("agent.*"), ErrorKind::Corrupt, &[]);
    assert_eq!(damaged.registry.expand("queue.*").unwrap(), ["queue.v1"]);
    let waits = NewSubscription::new("third", "https://example.com/", ["agent.?*"]);
    refused(damaged.registry.create(waits), ErrorKind::Corrupt, &[]);
}

#[test]
fn a_name_that_is_none_does_not_stand_in_a_message() {
    let sql = "UPDATE subscription SET name = 'a' || char(10) || 'b' WHERE seq = 1; \
               UPDATE pattern SET text = 'queue.v1', wildcard = 0 WHERE text = 'queue.*'";
    let damaged = Damaged::by(sql, true);
    let error = refused(call(&damaged, Remove), ErrorKind::Corrupt, &[]);
    assert!(error.to_string().contains("the name of subscription"), "{error}");
}

#[test]
fn metadata_that_is_no_object_of_texts_is_told() {
    for metadata in
        ["''", "'{'", "'[]'", "'null'", "'{\"a\":1}'", "'{\"a\":null}'", "'{}{}'", "'text'"]
    {
        told(&set("metadata", metadata), &RECORD);
        told(&set("metadata", metadata), &[Subscribers, CountByMetadata]);
    }
}

#[test]
fn times_and_numbers_that_no_registry_writes_are_told() {
    for time in ["-1", "-9223372036854775808", "253402300800000", "9223372036854775807"] {
        told(&set("created_at", time), &RECORD);
        told(&set("updated_at", time), &RECORD);
    }
    told(&set("revision", "-1"), &RECORD);
    told(&set("revision", "0"), &RECORD);
    told(&set("enabled", "2"), &RECORD);
    told(&set("enabled", "-1"), &RECORD);
}

#[test]
fn a_pattern_that_is_none_is_told() {
    for text in ["''", "'**'", "'a**'", "'[^a]'", "'a b'", "'['"] {
        let sql = format!("UPDATE pattern SET text = {text} WHERE text = 'agent.*'");
        told(&sql, &RECORD);
        told(&sql, &[Explain, Register]);
    }
}

#[test]
fn a_missing_pattern_is_told_and_is_neither_none_nor_all() {
    let gone = "DELETE FROM pattern WHERE text = 'agent.*'";
    told(gone, &[Get, ByName, List, Update]);
    told("DELETE FROM subscription_pattern WHERE subscription = 2", &[Get, ByName, List, Update]);
    // The expansion still leads to the subscription: its answer may be the right one, but not an empty one.
    let damaged = Damaged::by(gone, false);
    match damaged.registry.subscribers(EVENT) {
        Ok(all) => assert_eq!(all.len(), 1),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
    }
    refused(damaged.registry.explain(EVENT), ErrorKind::Corrupt, &[]);
}

#[test]
fn a_secret_that_is_none_is_told_and_not_shown() {
    for text in ["''", "'c2VjcmV0 c2VjcmV0'", "'c2VjcmV0!'", "'********'"] {
        let sql = format!("UPDATE secret SET text = {text} WHERE subscription = 2");
        told(&sql, &[Subscribers, Update]);
    }
    told("DELETE FROM secret WHERE subscription = 2", &[Subscribers, Update]);
    told("UPDATE secret SET expires_at = -1 WHERE subscription = 2", &[Subscribers]);
}

#[test]
fn a_subscription_that_cannot_be_read_can_still_be_deleted_and_then_the_rest_is_sound() {
    let damages = [
        set("metadata", "'{'"),
        set("created_at", "-1"),
        set("revision", "0"),
        set("enabled", "7"),
        set("url", "CAST(x'ff' AS TEXT)"),
        set("name", "CAST(x'ff' AS TEXT)"),
        set("url", "'xttps://example.com/'"),
        set("name", "''"),
        set("description", "printf('%.*c', 5000, 'x')"),
        set("metadata", r#"'{"": "v"}'"#),
        "UPDATE pattern SET text = '**' WHERE text = 'agent.*'".to_owned(),
        "DELETE FROM pattern WHERE text = 'agent.*'".to_owned(),
        "DELETE FROM subscription_pattern WHERE subscription = 2".to_owned(),
        "DELETE FROM secret WHERE subscription = 2".to_owned(),
        "UPDATE secret SET text = '*' WHERE subscription = 2".to_owned(),
        "UPDATE secret SET created_at = -1 WHERE subscription = 2".to_owned(),
    ];
    for sql in damages {
        for while_open in [true, false] {
            let Damaged { registry, id, sound, .. } = &Damaged::by(&sql, while_open);
            refused(registry.export(), ErrorKind::Corrupt, &[]);
            refused(registry.delete_if_revision(*id, 1), ErrorKind::Corrupt, &[]);
            let report = registry.check().unwrap();
            let mut about =
                report.findings().iter().filter(|finding| finding.subscription_id() == Some(*id));
            assert!(
                about.any(|finding| finding.message().contains("delete it by its id")),
                "{sql}: {report}"
            );
            registry.delete(*id).unwrap();
            refused(registry.delete(*id), ErrorKind::NotFound, &["subscriptionId"]);
            assert_eq!(registry.list(ListQuery::new()).unwrap().subscriptions()[0].id(), *sound);
            assert!(registry.subscribers(EVENT).unwrap().is_empty(), "{sql}");
            let last = registry.last_change().unwrap();
            let change = &registry.changes(last - 1, 1).unwrap()[0];
            assert_eq!((change.kind(), change.subject()), (ChangeKind::Deleted, &*id.to_string()));
            assert!(change.fields().is_empty(), "{change:?}");
            let report = registry.check().unwrap();
            // A pattern without a subscription is not the subscription's own: that takes the export.
            let rest = sql.contains("FROM pattern") || sql.contains("FROM subscription_pattern");
            assert!(report.is_sound() || rest, "{sql}: {report}");
            // What can be read is carried over, and the name is free again.
            let other = Registry::in_memory().unwrap();
            other.import(registry.export().unwrap()).unwrap();
            assert_eq!(other.len().unwrap(), 1);
            let again = NewSubscription::new("damaged", "https://example.com/", [EVENT]);
            let registry = if rest { &other } else { registry };
            assert!(registry.create(again).unwrap().subscription().id() > *id);
        }
    }
}

#[test]
fn what_cannot_be_found_or_taken_apart_is_not_deleted() {
    let Damaged { registry, id, .. } = &Damaged::by(&set("id", "'zz'"), false);
    refused(registry.delete(*id), ErrorKind::NotFound, &["subscriptionId"]);
    let Damaged { registry, id, .. } = &Damaged::by(
        "CREATE TABLE x (y); INSERT INTO x VALUES (1); DROP TABLE subscription_pattern",
        true,
    );
    refused(registry.delete(*id), ErrorKind::Corrupt, &[]);
}

#[test]
fn a_schema_that_is_no_json_is_told() {
    let damaged =
        Damaged::by("UPDATE event_type SET json_schema = '{' WHERE name = 'agent.v1'", true);
    refused(damaged.registry.event_type(EVENT), ErrorKind::Corrupt, &[]);
    refused(damaged.registry.event_types(), ErrorKind::Corrupt, &[]);
    assert_eq!(damaged.registry.subscribers(EVENT).unwrap().len(), 1);
}

#[test]
fn an_event_type_that_no_registration_would_take_is_told_and_mended_by_another() {
    for set in [
        "json_schema = '{'",
        "json_schema = 'null'",
        "json_schema = CAST(x'ff' AS TEXT)",
        "json_schema = printf('%.*c', 126, '[') || printf('%.*c', 126, ']')",
        r#"json_schema = '"' || printf('%.*c', 262144, 'x') || '"'"#,
        "description = CAST(x'ff' AS TEXT)",
        "description = 'a' || char(0)",
        "description = printf('%.*c', 4097, 'x')",
    ] {
        let sql = format!("UPDATE event_type SET {set} WHERE name = 'agent.v1'");
        told(&sql, &[EventTypes, Export]);
        let Damaged { registry, .. } = &Damaged::by(&sql, true);
        refused(registry.event_type(EVENT), ErrorKind::Corrupt, &[]);
        refused(registry.remove_event_type(EVENT), ErrorKind::Corrupt, &[]);
        // No name is at fault.
        assert_eq!(registry.expand("*").unwrap(), [EVENT, "queue.v1"]);
        let seen = registry.last_change().unwrap();
        registry.register_event_type(EVENT).unwrap();
        assert_eq!(registry.event_type(EVENT).unwrap().unwrap().description(), None);
        assert_eq!(registry.subscribers(EVENT).unwrap().len(), 1);
        let change = &registry.changes(seen, 100).unwrap()[0];
        assert_eq!((change.kind(), change.subject()), (ChangeKind::EventTypeReplaced, EVENT));
        assert!(registry.check().unwrap().is_sound(), "{set}");
    }
}

#[test]
fn no_value_of_the_history_comes_out_that_no_call_would_have_taken() {
    // Change 1 registers an event type, change 3 creates a subscription.
    let fields = |sequence: u8, fields: &str| {
        format!("UPDATE change SET fields = '{fields}' WHERE sequence = {sequence}")
    };
    let one = |name: &str, value: &str| format!(r#"[{{"name":"{name}","after":{value}}}]"#);
    let mut damages = vec![
        "UPDATE change SET subject = '' WHERE sequence = 3".to_owned(),
        "UPDATE change SET subject = lower(subject) WHERE sequence = 3".to_owned(),
        "UPDATE change SET subject = 'agent.v1' WHERE sequence = 3".to_owned(),
        "UPDATE change SET subject = 'a b' WHERE sequence = 1".to_owned(),
        "UPDATE change SET subject = CAST(x'ff' AS TEXT) WHERE sequence = 1".to_owned(),
        "UPDATE change SET at = -1 WHERE sequence = 1".to_owned(),
        "UPDATE change SET kind = 'Created' WHERE sequence = 3".to_owned(),
        fields(3, r#"[{"name":"name","after":"a"},{"name":"name","after":"b"}]"#),
        fields(3, r#"[{"name":"name","after":"a","then":"b"}]"#),
        fields(3, r#"[{"name":"name","before":null,"after":"b"}]"#),
        fields(3, r#"[{"name":"name","before":" a","after":"b"}]"#),
        fields(3, r#"{"name":"name","after":"a"}"#),
    ];
    let long = |length: usize| format!("\"{}\"", "x".repeat(length));
    for (name, value) in [
        ("name", "\"\""),
        ("name", "\"a\\u0000\""),
        ("name", "1"),
        ("url", "\"xttps://example.com/\""),
        ("url", "\"https://[::1/\""),
        ("events", "[]"),
        ("events", "[\"**\"]"),
        ("events", "[\"a\",\"a\"]"),
        ("events", "\"a\""),
        ("enabled", "1"),
        ("description", &*long(4_097)),
        ("metadata", "{\"\":\"1\"}"),
        ("metadata", "{\"a\":1}"),
        ("metadata", "[]"),
        ("secret", "\"c2VjcmV0c2VjcmV0\""),
        ("jsonSchema", "true"),
        ("revision", "1"),
    ] {
        damages.push(fields(3, &one(name, value)));
    }
    for (name, value) in [
        ("name", "\"a b\""),
        ("description", "\"\\u0000\""),
        ("jsonSchema", "null"),
        ("jsonSchema", &*long(262_144)),
        ("url", "\"https://example.com/\""),
        ("secret", "null"),
    ] {
        damages.push(fields(1, &one(name, value)));
    }
    for sql in damages {
        told(&sql, &[Changes]);
    }
    let damaged = Damaged::by(&fields(3, &one("url", "\"https://other.example/\"")), true);
    call(&damaged, Changes).unwrap();
}

#[test]
fn text_that_is_no_utf_8_is_told() {
    for column in ["name", "url", "description", "metadata"] {
        let sql = format!("UPDATE subscription SET {column} = CAST(x'ff' AS TEXT) WHERE seq = 2");
        told(&sql, &[Get, List, ListByEvent, Update]);
        if column != "description" {
            told(&sql, &[Subscribers]);
        }
    }
}

#[test]
fn a_table_that_is_gone_is_told() {
    for table in ["secret", "subscription_pattern", "expansion", "subscription"] {
        let damaged = Damaged::by(
            &format!("CREATE TABLE x (y); INSERT INTO x VALUES (1); DROP TABLE {table}"),
            true,
        );
        refused(damaged.registry.subscribers(EVENT), ErrorKind::Corrupt, &[]);
    }
}

#[test]
fn counting_does_not_touch_what_it_does_not_need() {
    let damaged = Damaged::by(&set("metadata", "'{'"), false);
    assert_eq!(call(&damaged, Count).unwrap(), "2");
}

#[test]
fn a_number_to_which_no_registry_counts_is_told_and_never_left_as_an_obstacle_without_a_word() {
    let last = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ";
    told(
        &format!("UPDATE subscription SET revision = {} WHERE name = 'damaged'", i64::MAX),
        &RECORD,
    );
    told(&format!("UPDATE registry SET last_id = '{last}'"), &[Create]);
    let seq = format!(
        "UPDATE subscription_pattern SET subscription = {0} WHERE subscription = 2;
         UPDATE secret SET subscription = {0} WHERE subscription = 2;
         UPDATE subscription SET seq = {0} WHERE seq = 2",
        i64::MAX
    );
    told(&seq, &[Create]);
    for sql in [
        format!("UPDATE change SET sequence = {} WHERE sequence = 4", i64::MAX),
        format!("UPDATE registry SET last_change = {}", i64::MAX),
    ] {
        told(&sql, &[Create, Register, Update]);
        let damaged = Damaged::by(&sql, false);
        refused(damaged.registry.changes(0, 10), ErrorKind::Corrupt, &[]);
        // As the check says: it can still be exported.
        let fresh = Registry::in_memory().unwrap();
        fresh.import(damaged.registry.export().unwrap()).unwrap();
        fresh.create(new("third")).unwrap();
    }
}

#[test]
fn an_id_after_which_there_is_none_can_be_deleted_and_is_not_remembered() {
    let last: SubscriptionId = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse().unwrap();
    let damaged =
        Damaged::by(&format!("UPDATE subscription SET id = '{last}' WHERE name = 'damaged'"), true);
    let registry = &damaged.registry;
    refused(registry.get(last), ErrorKind::Corrupt, &[]);
    refused(registry.create(new("third")), ErrorKind::Corrupt, &[]);
    let report = registry.check().unwrap();
    assert!(
        report.findings().iter().any(|finding| finding.subscription_id() == Some(last)),
        "{report}"
    );
    registry.delete(last).unwrap();
    assert!(registry.create(new("third")).unwrap().subscription().id() < last);
    let report = registry.check().unwrap();
    assert!(report.is_sound(), "{report}");
}
