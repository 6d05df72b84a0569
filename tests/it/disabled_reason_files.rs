//! Tests that a reason and the time of disabling survive an export, an import, a reopened file and
//! a backup.

use serde_json::{Value, json};
use webhook_registry::{ErrorKind, Registry, Rotation};

use crate::disabled_reason::{Fixture, START, assert_disabled, off};
use crate::support::{Clock, refused};

/// Returns the export of a fixture as JSON.
fn exported(fixture: &Fixture) -> Value {
    serde_json::to_value(fixture.registry.export().unwrap()).unwrap()
}

fn import(document: Value) -> webhook_registry::Result<Registry> {
    let registry = Clock::at(START + 9).options().in_memory().unwrap();
    registry.import(serde_json::from_value(document).unwrap())?;
    Ok(registry)
}

#[test]
fn an_export_of_enabled_subscriptions_has_neither_key() {
    let text = exported(&Fixture::new()).to_string();
    assert!(!text.contains("disabled"), "{text}");
}

#[test]
fn an_import_keeps_the_reason_and_the_time() {
    let fixture = Fixture::disabled("410 Gone");
    fixture.registry.rotate_secret(fixture.id, Rotation::new()).unwrap();
    let imported = import(exported(&fixture)).unwrap();
    assert_eq!(imported.get(fixture.id).unwrap(), Some(fixture.stored()));
    assert_ne!(fixture.stored().disabled_at(), Some(fixture.stored().updated_at()));
}

#[test]
fn an_import_of_a_disabled_subscription_without_a_time_takes_the_time_of_its_update() {
    let fixture = Fixture::disabled("410 Gone");
    fixture.registry.rotate_secret(fixture.id, Rotation::new()).unwrap();
    for absent in [None, Some(Value::Null)] {
        let mut document = exported(&fixture);
        let entry = document["subscriptions"][0].as_object_mut().unwrap();
        entry.remove("disabledAt").unwrap();
        entry.remove("disabledReason").unwrap();
        for key in ["disabledAt", "disabledReason"] {
            entry.extend(absent.clone().map(|null| (key.to_owned(), null)));
        }
        let imported = import(document).unwrap().get(fixture.id).unwrap().unwrap();
        assert_disabled(&imported, None, 2);
    }
}

#[test]
fn an_import_rejects_an_enabled_subscription_with_a_reason_or_a_time() {
    let time = json!("2027-01-15T08:00:00.001Z");
    for (key, value) in [("disabledReason", json!("x")), ("disabledAt", time)] {
        let mut document = exported(&Fixture::new());
        document["subscriptions"][0][key] = value;
        let field = format!("subscriptions[0].{key}");
        refused(import(document), ErrorKind::Invalid, &[&field]);
    }
    for (key, bad) in [("disabledReason", "\0"), ("disabledAt", "Monday")] {
        let mut document = exported(&Fixture::disabled("410 Gone"));
        document["subscriptions"][0][key] = bad.into();
        let field = format!("subscriptions[0].{key}");
        refused(import(document), ErrorKind::Invalid, &[&field]);
    }
}

#[test]
fn a_reason_survives_reopening_a_file_and_is_in_a_backup() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("a.db"), folder.path().join("b.db"));
    let registry = Registry::open(&path).unwrap();
    let created = registry.create(off("a", "410 Gone").allow_unknown_events(true)).unwrap();
    registry.backup(&copy).unwrap();
    drop(registry);
    for path in [path, copy] {
        let found = Registry::open(path).unwrap().get_by_name("a").unwrap();
        assert_eq!(found.as_ref(), Some(created.subscription()));
    }
}
