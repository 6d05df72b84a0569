//! Tests that an import is validated completely and applied completely or not at all: every problem
//! is reported with its position, names are unique, no error contains a secret, and a rejected
//! import leaves the registry unchanged.

use std::sync::OnceLock;
use std::thread;

use serde_json::{Value, json};
use webhook_registry::{
    ErrorKind, Export, NewSubscription, Registry, Rotation, SubscriptionUpdate, UrlPolicy,
};

use crate::support::{SEED_SECRET, learn, new, refused, size};

pub(crate) const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjU";

/// Returns the document of a registry with two event types and three subscriptions; the second has
/// two secrets.
pub(crate) fn document() -> Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(make).clone()
}

fn make() -> Value {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(["agent.a.v1", "agent.b.v1"]).unwrap();
    let list = ["a", "b", "c"]
        .map(|name| new(name).description("d").metadata("k", "v").secret(SEED_SECRET));
    let made = registry.create_all(list).unwrap();
    registry.rotate_secret(made[1].subscription().id(), Rotation::new().secret(OTHER)).unwrap();
    serde_json::to_value(registry.export().unwrap()).unwrap()
}

/// Returns the document with another value at this position, or without it.
pub(crate) fn with(place: &str, value: Option<Value>) -> Value {
    let mut document = document();
    let (of, key) = place.rsplit_once('/').unwrap();
    match (document.pointer_mut(of).unwrap(), value) {
        (Value::Object(object), Some(value)) => drop(object.insert(key.to_owned(), value)),
        (Value::Object(object), None) => drop(object.remove(key).unwrap()),
        (Value::Array(items), Some(value)) => items[key.parse::<usize>().unwrap()] = value,
        (Value::Array(items), None) => drop(items.remove(key.parse().unwrap())),
        _ => panic!("{place}"),
    }
    document
}

pub(crate) fn read(document: &Value) -> Export {
    serde_json::from_str(&document.to_string())
        .unwrap_or_else(|error| panic!("{error}: {document}"))
}

/// Asserts that the import is rejected and leaves the registry unchanged.
#[track_caller]
pub(crate) fn assert_rejected(
    registry: &Registry,
    document: &Value,
    kind: ErrorKind,
    fields: &[&str],
) -> String {
    let state = || (registry.export().unwrap(), registry.last_change().unwrap());
    let before = state();
    let error = refused(registry.import(read(document)), kind, fields);
    assert_eq!(state(), before);
    assert!(registry.check().unwrap().is_sound());
    error.to_string()
}

/// Asserts that an import into an empty registry reports this one problem.
#[track_caller]
fn assert_invalid(place: &str, value: Value, field: &str, message: &str) {
    let registry = Registry::in_memory().unwrap();
    let told = assert_rejected(&registry, &with(place, Some(value)), ErrorKind::Invalid, &[field]);
    assert!(told.starts_with(&format!("{field}: ")) && told.contains(message), "{told}");
    // The next import succeeds.
    registry.import(read(&document())).unwrap();
    assert_eq!(registry.len().unwrap(), 3);
}

#[test]
fn every_invalid_value_of_an_import_is_reported_with_its_position() {
    let of = |key: &str| (format!("/subscriptions/1/{key}"), format!("subscriptions[1].{key}"));
    let table: [(&str, Value, &str); 25] = [
        ("subscriptionId", json!(""), "has 26 characters, not 0"),
        ("subscriptionId", json!("81ARZ3NDEKTSV4RRFFQ69G5FAV"), "a digit from 0 to 7"),
        ("subscriptionId", json!("01ARZ3NDEKTSV4RRFFQ69G5FAU"), "letters other than"),
        ("subscriptionId", json!("00000000000000000000000000"), "ids rise"),
        ("name", json!(""), "needs a name"),
        ("name", json!(" b"), "white space"),
        ("name", json!("a"), r#""a" stands in this list already, at [0]"#),
        ("url", json!("ftp://example.com"), "http:// or https://"),
        ("events", json!([]), "at least one"),
        ("description", json!("x".repeat(5_000)), "at most 4096"),
        ("description", json!("\0"), "U+0000"),
        ("metadata", json!({"": "v"}), "a key cannot be empty"),
        ("createdAt", json!("yesterday"), "RFC 3339"),
        ("createdAt", json!("1969-12-31T23:59:59.999Z"), "RFC 3339"),
        ("createdAt", json!("2026-01-01T00:00:00+01:00"), "RFC 3339"),
        ("updatedAt", json!("10000-01-01T00:00:00Z"), "RFC 3339"),
        ("updatedAt", json!("2026-13-01T00:00:00Z"), "RFC 3339"),
        ("revision", json!(0), "a whole number from 1"),
        ("revision", json!(u64::MAX), "a whole number from 1"),
        ("revision", json!(i64::MAX), "to 4611686018427387904"),
        ("revision", json!(i64::MAX - 1), "to 4611686018427387904"),
        ("subscriptionId", json!("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"), "too few are left"),
        ("subscriptionId", json!("7ZZZZZZZZY0000000000000000"), "too few are left"),
        ("secrets", json!([]), "from 1 to 11 secrets"),
        ("name", json!("x".repeat(129)), "at most 128"),
    ];
    for (key, value, message) in table {
        let (place, field) = of(key);
        assert_invalid(&place, value, &field, message);
    }
    let (place, field) = of("events");
    assert_invalid(&place, json!(["agent.*", "**"]), &format!("{field}[1]"), "**");
    assert_invalid(
        "/eventTypes/1/name",
        json!("a b"),
        "eventTypes[1].name",
        "a name cannot contain",
    );
    let twice = r#""agent.a.v1" stands in this list already, at [0]"#;
    assert_invalid("/eventTypes/1/name", json!("agent.a.v1"), "eventTypes[1].name", twice);
    let long = json!("x".repeat(5_000));
    assert_invalid("/eventTypes/0/description", long, "eventTypes[0].description", "at most 4096");
    let large = json!("x".repeat(300_000));
    assert_invalid(
        "/eventTypes/0/jsonSchema",
        large,
        "eventTypes[0].jsonSchema",
        "bytes serialized",
    );
}

#[test]
fn calls_after_an_import_of_the_greatest_numbers_and_times_succeed() {
    let mut document = document();
    let latest = json!("9999-12-31T23:59:59.999Z");
    for subscription in document["subscriptions"].as_array_mut().unwrap() {
        subscription["revision"] = json!(1_u64 << 62);
        subscription["createdAt"] = latest.clone();
        subscription["updatedAt"] = latest.clone();
        for secret in subscription["secrets"].as_array_mut().unwrap() {
            secret["createdAt"] = latest.clone();
        }
    }
    document["subscriptions"][1]["secrets"][1]["expiresAt"] = latest;
    document["subscriptions"][2]["subscriptionId"] = json!("7ZZZZZZZZXZZZZZZZZZZZZZZZZ");
    let registry = Registry::in_memory().unwrap();
    registry.import(read(&document)).unwrap();
    for (number, name) in (1..).zip(["a", "b", "c"]) {
        let id = registry.get_by_name(name).unwrap().unwrap().id();
        let update = |text: &str| SubscriptionUpdate::new().description(text);
        assert_eq!(registry.update(id, update("1")).unwrap().revision(), (1 << 62) + 1);
        registry.rotate_secret(id, Rotation::new()).unwrap();
        registry.revoke_old_secrets(id).unwrap();
        assert_eq!(registry.update(id, update("2")).unwrap().revision(), (1 << 62) + 4);
        let created = registry.create(new(&format!("new{number}"))).unwrap();
        assert!(created.subscription().id() > id);
    }
    let report = registry.check().unwrap();
    assert!(report.is_sound(), "{report}");
    let last = registry.get_by_name("new3").unwrap().unwrap().id();
    registry.delete(last).unwrap();
    assert!(registry.create(new("newer")).unwrap().subscription().id() > last);
}

#[test]
fn every_problem_of_a_secret_is_reported_and_no_secret_is_shown() {
    let of = |at: usize, key: &str| {
        (
            format!("/subscriptions/1/secrets/{at}/{key}"),
            format!("subscriptions[1].secrets[{at}].{key}"),
        )
    };
    let table: [(usize, &str, Value, &str); 9] = [
        (0, "secret", json!(""), "cannot be empty"),
        (0, "secret", json!("aGlkZGVu aGlkZGVuaGlkZGVuaGlkZGVuaGlkZGVuaGlkZGVu"), "base64"),
        (1, "secret", json!("aGlkZGVu"), "at least 32 bytes"),
        (1, "secret", json!("aGlkZGVu".repeat(40)), "at most 256 characters"),
        (1, "secret", json!(OTHER), "stands among the secrets already"),
        (0, "createdAt", json!("hidden"), "RFC 3339"),
        (1, "expiresAt", json!("hidden"), "RFC 3339"),
        (0, "expiresAt", json!("2099-01-01T00:00:00Z"), "the newest secret does not expire"),
        (1, "expiresAt", Value::Null, "every other does"),
    ];
    for (at, key, value, message) in table {
        let (place, field) = of(at, key);
        assert_invalid(&place, value.clone(), &field, message);
        let error =
            Registry::in_memory().unwrap().import(read(&with(&place, Some(value)))).unwrap_err();
        let shown = format!("{error} {error:?} {:?}", error.problems());
        assert!(!shown.contains("aGlkZGVu") && !shown.contains(&OTHER[..12]), "{shown}");
    }
    // At most eleven secrets.
    let secret = |n: usize| {
        let old = json!({
            "secret": format!("{n:02}{}", &SEED_SECRET[2..]),
            "createdAt": "2026-01-01T00:00:00Z", "expiresAt": "2099-01-01T00:00:00Z",
        });
        if n > 0 { old } else { document()["subscriptions"][0]["secrets"][0].clone() }
    };
    let all = |count: usize| Some(Value::Array((0..count).map(secret).collect()));
    let registry = Registry::in_memory().unwrap();
    let place = "/subscriptions/1/secrets";
    assert_rejected(
        &registry,
        &with(place, all(12)),
        ErrorKind::Invalid,
        &["subscriptions[1].secrets"],
    );
    registry.import(read(&with(place, all(11)))).unwrap();
    let id = registry.get_by_name("b").unwrap().unwrap().id();
    assert_eq!(registry.secrets(id).unwrap().len(), 11);
}

#[test]
fn import_reports_every_problem_at_once() {
    let mut document = document();
    document["eventTypes"][0] = json!({"name": "", "description": "\0"});
    let subscriptions = document["subscriptions"].as_array_mut().unwrap();
    let repeated = subscriptions[0].clone();
    subscriptions[1] = json!({
        "subscriptionId": "x", "name": "", "url": "x", "events": ["[", "ok", "**"], "enabled": true,
        "description": "\0", "metadata": {"": ""}, "createdAt": "", "updatedAt": "", "revision": 0,
        "secrets": [
            {"secret": "", "createdAt": "", "expiresAt": ""}, {"secret": "", "createdAt": ""},
        ],
    });
    subscriptions.push(repeated);
    let fields = [
        "eventTypes[0].name",
        "eventTypes[0].description",
        "subscriptions[1].subscriptionId",
        "subscriptions[1].name",
        "subscriptions[1].url",
        "subscriptions[1].events[0]",
        "subscriptions[1].events[2]",
        "subscriptions[1].description",
        "subscriptions[1].metadata",
        "subscriptions[1].createdAt",
        "subscriptions[1].updatedAt",
        "subscriptions[1].revision",
        "subscriptions[1].secrets[0].secret",
        "subscriptions[1].secrets[0].createdAt",
        "subscriptions[1].secrets[0].expiresAt",
        "subscriptions[1].secrets[1].secret",
        "subscriptions[1].secrets[1].createdAt",
        "subscriptions[1].secrets[1].expiresAt",
        "subscriptions[3].subscriptionId",
        "subscriptions[3].name",
    ];
    let registry = Registry::in_memory().unwrap();
    let told = assert_rejected(&registry, &document, ErrorKind::Invalid, &fields);
    assert!(told.ends_with("; and 10 more"), "{told}");
    // Validation precedes the check for an empty registry.
    registry.register_event_type("x").unwrap();
    assert_rejected(&registry, &document, ErrorKind::Invalid, &fields);
}

#[test]
fn imported_ids_must_increase_and_the_later_entry_is_reported() {
    let document = document();
    let swapped = |order: [usize; 3]| {
        let mut swapped = document.clone();
        swapped["subscriptions"] = order.map(|at| document["subscriptions"][at].clone()).into();
        swapped
    };
    let registry = Registry::in_memory().unwrap();
    let invalid = |order, fields: &[&str]| {
        assert_rejected(&registry, &swapped(order), ErrorKind::Invalid, fields)
    };
    invalid([1, 0, 2], &["subscriptions[1].subscriptionId"]);
    invalid([2, 1, 0], &["subscriptions[1].subscriptionId", "subscriptions[2].subscriptionId"]);
    invalid([0, 2, 1], &["subscriptions[2].subscriptionId"]);
    invalid([0, 0, 1], &["subscriptions[1].subscriptionId", "subscriptions[1].name"]);
    // Lower case is the same id, and it is stored in upper case.
    let id = document["subscriptions"][2]["subscriptionId"].as_str().unwrap();
    registry
        .import(read(&with("/subscriptions/2/subscriptionId", Some(id.to_lowercase().into()))))
        .unwrap();
    assert_eq!(serde_json::to_value(registry.export().unwrap()).unwrap(), document);
}

#[test]
fn importing_into_a_nonempty_registry_is_rejected() {
    let document = document();
    let conflict = |registry: &Registry| {
        let told = assert_rejected(registry, &document, ErrorKind::Conflict, &["registry"]);
        assert_eq!(told, "registry holds something already; import needs an empty one");
    };
    let registry = Registry::in_memory().unwrap();
    registry.register_event_type("x").unwrap();
    conflict(&registry);
    registry.remove_event_type("x").unwrap();
    let id = registry.create(new("x").allow_unknown_events(true)).unwrap().subscription().id();
    conflict(&registry);
    registry.delete(id).unwrap();
    registry.import(read(&document)).unwrap();
    conflict(&registry);
    // An empty document is no exception.
    let nothing = json!({"formatVersion": 1, "eventTypes": [], "subscriptions": []});
    assert_rejected(&registry, &nothing, ErrorKind::Conflict, &["registry"]);
    let empty = Registry::in_memory().unwrap();
    empty.import(read(&nothing)).unwrap();
    assert_eq!((empty.last_change().unwrap(), empty.is_empty().unwrap()), (0, true));
}

#[test]
fn importing_into_a_read_only_registry_is_rejected_before_validation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    drop(Registry::open(&path).unwrap());
    let reader = Registry::options().read_only(true).open(&path).unwrap();
    for document in [
        document(),
        with("/subscriptions/0/url", Some(json!(""))),
        with("/formatVersion", Some(json!(9))),
    ] {
        assert_rejected(&reader, &document, ErrorKind::ReadOnly, &[]);
    }
}

#[test]
fn an_import_is_validated_with_the_rules_of_the_importing_registry() {
    let lax = Registry::options().min_secret_bytes(1).in_memory().unwrap();
    learn(&lax);
    let local = NewSubscription::new("local", "http://localhost/", ["agent.*"]).secret("YWJjZA==");
    lax.create_all([new("ok"), local]).unwrap();
    let document = serde_json::to_value(lax.export().unwrap()).unwrap();
    let strict = Registry::options().url_policy(UrlPolicy::https_only()).in_memory().unwrap();
    let fields = ["subscriptions[1].url", "subscriptions[1].secrets[0].secret"];
    assert_rejected(&strict, &document, ErrorKind::Invalid, &fields);
    let stricter = Registry::options().min_secret_bytes(5).in_memory().unwrap();
    assert_rejected(&stricter, &document, ErrorKind::Invalid, &fields[1..]);
    Registry::options().min_secret_bytes(4).in_memory().unwrap().import(read(&document)).unwrap();
}

#[test]
fn imported_patterns_may_match_no_event_type_of_the_document() {
    let mut document = document();
    document["eventTypes"] = json!([]);
    document["subscriptions"][0]["events"] = json!(["not.yet.v1", "none.*"]);
    let registry = Registry::in_memory().unwrap();
    registry.import(read(&document)).unwrap();
    assert!(registry.event_types().unwrap().is_empty());
    registry.register_event_types(["not.yet.v1", "agent.c.v1"]).unwrap();
    assert_eq!(registry.subscribers("not.yet.v1").unwrap().len(), 1);
    assert_eq!(registry.subscribers("agent.c.v1").unwrap().len(), 2);
}

#[test]
fn concurrent_readers_see_an_import_completely_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Registry::in_memory().unwrap();
    learn(&origin);
    origin.create_all((0..size(200, 5_000)).map(|n| new(&format!("n{n}")))).unwrap();
    let (all, types) = (origin.len().unwrap(), origin.event_types().unwrap().len());
    for round in 0..4 {
        let path = folder.path().join(format!("{round}.db"));
        let (registry, other) = (Registry::open(&path).unwrap(), Registry::open(&path).unwrap());
        let export = origin.export().unwrap();
        thread::scope(|scope| {
            let importing = scope.spawn(move || registry.import(export).unwrap());
            loop {
                let over = importing.is_finished();
                let (before, there) = (other.event_types().unwrap().len(), other.len().unwrap());
                assert!([0, all].contains(&there) && [0, types].contains(&before));
                assert!(before == 0 || there == all, "event types without the subscriptions");
                if over {
                    break assert_eq!(there, all);
                }
            }
        });
    }
}
