//! Tests rows of the catalog and the history that do not decode: every call that reads them must
//! return `Corrupt`, and `check` must report them.

use webhook_registry::{ChangeKind, ErrorKind, Registry};

use crate::check::{check, file, finds};
use crate::support::refused;
use crate::undecodable_rows::{Call::*, Damaged, EVENT, assert_corrupt, call};

#[test]
fn a_schema_that_is_not_json_is_corrupt() {
    let damaged = Damaged::new(
        "UPDATE _webhook_registry_event_type SET json_schema = '{' WHERE name = \
                      'agent.v1'",
        true,
    );
    refused(damaged.registry.event_type(EVENT), ErrorKind::Corrupt, &[]);
    refused(damaged.registry.event_types(), ErrorKind::Corrupt, &[]);
    assert_eq!(damaged.registry.subscribers(EVENT).unwrap().len(), 1);
}

#[test]
fn an_invalid_stored_event_type_is_corrupt_until_it_is_registered_again() {
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
        let sql = format!("UPDATE _webhook_registry_event_type SET {set} WHERE name = 'agent.v1'");
        assert_corrupt(&sql, &[EventTypes, Export]);
        let Damaged { registry, .. } = &Damaged::new(&sql, true);
        refused(registry.event_type(EVENT), ErrorKind::Corrupt, &[]);
        refused(registry.remove_event_type(EVENT), ErrorKind::Corrupt, &[]);
        // All names are valid.
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
fn a_history_value_that_no_call_would_accept_is_corrupt() {
    // Change 1 registers an event type, change 3 creates a subscription.
    let fields = |sequence: u8, fields: &str| {
        format!(
            "UPDATE _webhook_registry_change SET fields = '{fields}' WHERE sequence = \
                 {sequence}"
        )
    };
    let one = |name: &str, value: &str| format!(r#"[{{"name":"{name}","after":{value}}}]"#);
    let mut damages = vec![
        "UPDATE _webhook_registry_change SET subject = '' WHERE sequence = 3".to_owned(),
        "UPDATE _webhook_registry_change SET subject = lower(subject) WHERE sequence = \
         3"
        .to_owned(),
        "UPDATE _webhook_registry_change SET subject = 'agent.v1' WHERE sequence = 3".to_owned(),
        "UPDATE _webhook_registry_change SET subject = 'a b' WHERE sequence = 1".to_owned(),
        "UPDATE _webhook_registry_change SET subject = CAST(x'ff' AS TEXT) WHERE sequence = \
         1"
        .to_owned(),
        "UPDATE _webhook_registry_change SET at = -1 WHERE sequence = 1".to_owned(),
        "UPDATE _webhook_registry_change SET kind = 'Created' WHERE sequence = 3".to_owned(),
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
        assert_corrupt(&sql, &[Changes]);
    }
    let damaged = Damaged::new(&fields(3, &one("url", "\"https://other.example/\"")), true);
    call(&damaged, Changes).unwrap();
}

#[test]
fn check_finds_a_history_with_a_gap_or_an_undecodable_entry() {
    finds(
        "DELETE FROM _webhook_registry_change WHERE sequence = 3",
        "the history of changes has \
           gaps",
        None,
    );
    finds(
        "UPDATE _webhook_registry_meta SET last_change = 99",
        "the history of changes has \
           gaps",
        None,
    );
    finds(
        "UPDATE _webhook_registry_meta SET keep_changes = -1",
        "what belongs to the file as a \
           whole",
        None,
    );
    finds(
        "UPDATE _webhook_registry_meta SET last_change = -1",
        "what belongs to the file as a \
           whole",
        None,
    );
    let most = i64::MAX;
    finds(
        &format!("UPDATE _webhook_registry_meta SET last_change = {most}"),
        "what belongs to the file as a whole",
        None,
    );
    finds(
        &format!("UPDATE _webhook_registry_change SET sequence = {most} WHERE sequence = 3"),
        "to which no registry",
        None,
    );
    finds("UPDATE _webhook_registry_change SET fields = '{' WHERE sequence = 3", "change 3", None);
    finds("UPDATE _webhook_registry_change SET kind = 'x' WHERE sequence = 3", "change", None);
    for sequence in [3, 5] {
        let every = "UPDATE _webhook_registry_change SET subject = 'no subject' WHERE sequence IN \
                     (3, 5)";
        finds(every, &format!("change {sequence} of the history is not as it was written"), None);
    }
    // Trimmed changes are not a gap.
    let file = file();
    drop(Registry::options().keep_changes(2).open(&file.path).unwrap());
    assert!(check(&file.path).is_sound());
    drop(Registry::options().keep_changes(0).open(&file.path).unwrap());
    assert!(check(&file.path).is_sound());
    drop(Registry::options().keep_changes(100).open(&file.path).unwrap());
    Registry::open(&file.path).unwrap().register_event_type("agent.later.v1").unwrap();
    assert!(check(&file.path).is_sound());
}
