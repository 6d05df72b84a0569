//! Tests that errors about wrong JSON types do not repeat the value. Messages of serde repeat it,
//! and a value under the wrong key can be a secret that the message would put into a log.

use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_json::{Value, json};
use webhook_registry::{
    Catalog, EventPattern, EventType, Export, ListQuery, NewSubscription, SubscriptionId,
    SubscriptionUpdate,
};

const SECRET: &str = "Leaky0WHqXISxMAgoYneiFhgdGrOgYeToYPN3HjIO4xA";

/// Asserts that parsing text and a value fails with a message that has all of these names and never
/// the secret.
#[track_caller]
fn assert_rejected<T: DeserializeOwned + std::fmt::Debug>(json: &Value, named: &[&str]) {
    let from_text = serde_json::from_str::<T>(&json.to_string()).unwrap_err();
    let from_value = serde_json::from_value::<T>(json.clone()).unwrap_err();
    for error in [from_text, from_value] {
        let message = format!("{error} {error:?}");
        for name in named {
            assert!(message.contains(name), "{json}: {message} does not name {name}");
        }
        assert!(!message.contains("Leaky"), "{message}");
        assert!(!message.contains("4711"), "{message}");
    }
}

/// Returns a value of each JSON type with the name of the type.
fn values() -> [(Value, &'static str); 8] {
    [
        (json!(SECRET), "a string"),
        (json!(true), "a boolean"),
        (json!(4711), "a number"),
        (json!(-4711), "a number"),
        (json!(0.4711), "a number"),
        (json!([SECRET]), "an array"),
        (json!({SECRET: SECRET}), "an object"),
        (Value::Null, "null"),
    ]
}

/// Asserts that a value of every other type under this key is rejected by key and type.
#[track_caller]
fn assert_accepts_only<T: DeserializeOwned + std::fmt::Debug>(
    base: &Value,
    key: &str,
    types: &[&str],
) {
    let mut refusals = 0;
    for (value, called) in values() {
        if types.contains(&called) {
            continue;
        }
        let mut body = base.clone();
        body[key] = value;
        assert_rejected::<T>(&body, &[key, called]);
        refusals += 1;
    }
    assert!(refusals >= 4);
}

fn minimal() -> Value {
    json!({"name": "n", "url": "https://x", "events": ["*"]})
}

#[test]
fn a_wrong_json_type_is_reported_by_key_and_type_and_never_by_value() {
    let (string, flag, list, object) = ("a string", "a boolean", "an array", "an object");
    for (key, kind, null) in [
        ("name", string, false),
        ("url", string, false),
        ("events", list, false),
        ("enabled", flag, true),
        ("secret", string, true),
        ("description", string, true),
        ("metadata", object, true),
        ("disabledReason", string, true),
    ] {
        let types = if null { vec![kind, "null"] } else { vec![kind] };
        assert_accepts_only::<NewSubscription>(&minimal(), key, &types);
    }
    for (key, kind, null) in [
        ("name", string, false),
        ("url", string, false),
        ("events", list, false),
        ("enabled", flag, false),
        ("secret", string, false),
        ("description", string, true),
        ("metadata", object, true),
        ("disabledReason", string, true),
    ] {
        let types = if null { vec![kind, "null"] } else { vec![kind] };
        assert_accepts_only::<SubscriptionUpdate>(&json!({}), key, &types);
    }
    assert_accepts_only::<SubscriptionUpdate>(&json!({}), "ifRevision", &["a number"]);
    for (key, kind) in [
        ("enabled", flag),
        ("nameContains", string),
        ("eventType", string),
        ("metadata", object),
        ("after", string),
        ("limit", "a number"),
    ] {
        assert_accepts_only::<ListQuery>(&json!({}), key, &[kind, "null"]);
    }
    assert_accepts_only::<Catalog>(&json!({}), "eventTypes", &[list]);
    assert_accepts_only::<EventType>(&json!({"name": "n"}), "name", &[string]);
    assert_accepts_only::<EventType>(&json!({"name": "n"}), "description", &[string, "null"]);
}

#[test]
fn negative_and_fractional_numbers_are_rejected() {
    for number in [json!(-4711), json!(0.4711), json!(4711.0), json!(1e300)] {
        assert_rejected::<SubscriptionUpdate>(
            &json!({"ifRevision": number}),
            &["ifRevision", "a number"],
        );
        assert_rejected::<ListQuery>(&json!({"limit": number}), &["limit", "a number"]);
    }
    let most = json!({"ifRevision": u64::MAX});
    assert_eq!(
        serde_json::from_value::<SubscriptionUpdate>(most).unwrap(),
        SubscriptionUpdate::new().if_revision(u64::MAX)
    );
}

#[test]
fn an_error_inside_a_list_or_object_names_the_position() {
    let with = |key: &str, value: Value| {
        let mut body = minimal();
        body[key] = value;
        body
    };
    for (value, called) in values() {
        if called != "a string" {
            let events = with("events", json!(["*", value]));
            assert_rejected::<NewSubscription>(&events, &["events[1]", "a string", called]);
            let metadata = with("metadata", json!({"k": value}));
            assert_rejected::<NewSubscription>(&metadata, &["metadata", "k", called]);
            let query = json!({"metadata": {"k": value}});
            assert_rejected::<ListQuery>(&query, &["metadata", "k", called]);
            if called != "null" {
                let patch = json!({"metadata": {"k": value}});
                assert_rejected::<SubscriptionUpdate>(&patch, &["metadata", "k", called]);
            }
        }
        if called != "an object" {
            assert_rejected::<Catalog>(&json!({"eventTypes": [value]}), &["eventTypes[0]", called]);
        }
    }
    assert_rejected::<Catalog>(&json!({"eventTypes": [{"name": "a"}, {}]}), &["name"]);
}

#[test]
fn a_document_of_the_wrong_json_type_is_rejected() {
    for (value, called) in values() {
        if called != "an object" {
            assert_rejected::<NewSubscription>(&value, &["an object", called]);
            assert_rejected::<SubscriptionUpdate>(&value, &["an object", called]);
            assert_rejected::<ListQuery>(&value, &["an object", called]);
            assert_rejected::<EventType>(&value, &["an object", called]);
            assert_rejected::<Catalog>(&value, &["an object", called]);
        }
        if called != "a string" {
            assert_rejected::<SubscriptionId>(&value, &["a string", called]);
            assert_rejected::<EventPattern>(&value, &["a string", called]);
        }
    }
    // Invalid values of the right type: the message of their rule does not repeat the text.
    assert_rejected::<SubscriptionId>(&json!(SECRET), &["subscription id"]);
    assert_rejected::<ListQuery>(&json!({"after": SECRET}), &["subscription id"]);
}

#[test]
fn unknown_keys_are_rejected_by_name() {
    for key in
        ["Secret", "secrets", "subscriptionId", "revision", "", "ifRevision", "allowUnknownEvents"]
    {
        let mut body = minimal();
        body[key] = json!(SECRET);
        assert_rejected::<NewSubscription>(&body, &[&format!("{key:?}"), "the keys are name"]);
    }
    for key in
        ["Secret", "secrets", "subscriptionId", "revision", "", "createdAt", "allowUnknownEvents"]
    {
        let body = json!({key: SECRET});
        assert_rejected::<SubscriptionUpdate>(&body, &[&format!("{key:?}"), "ifRevision"]);
    }
    for key in ["name", "cursor", "name_contains", "secret", "next"] {
        assert_rejected::<ListQuery>(&json!({key: SECRET}), &[&format!("{key:?}"), "nameContains"]);
    }
}

/// Returns typical texts of signing secrets.
fn secrets() -> Vec<String> {
    let mut secrets = vec![
        SECRET.to_owned(),
        format!("whsec_{SECRET}"),
        format!("WHSEC_{}", &SECRET[..10]),
        format!("{SECRET}=="),
        format!("Bearer {SECRET}"),
        format!("{SECRET}.{SECRET}"),
        SECRET.repeat(3),
        SECRET[..20].to_owned(),
        format!("{}=", &SECRET[..8]),
    ];
    // Base64 of 24 bytes without a digit, and hexadecimal.
    secrets.push("LeakyAbcdefGhIjKlmnOpQrsTuVwXyzAb".to_owned());
    secrets.push(format!("Leaky{}", "0a1b2c3d".repeat(8)));
    secrets
}

#[test]
fn a_secret_in_place_of_a_key_is_not_repeated() {
    for secret in secrets() {
        let hidden = format!("{} bytes, not shown because it could be a secret", secret.len());
        let mut body = minimal();
        body[&*secret] = json!(1);
        assert_rejected::<NewSubscription>(&body, &["unknown key", &hidden, "the keys are name"]);
        assert_rejected::<SubscriptionUpdate>(
            &json!({(&*secret): 1}),
            &["unknown key", &hidden, "ifRevision"],
        );
        assert_rejected::<ListQuery>(
            &json!({(&*secret): 1}),
            &["unknown key", &hidden, "nameContains"],
        );
        assert_rejected::<Export>(
            &json!({(&*secret): 1}),
            &["unknown key", &hidden, "formatVersion"],
        );
        let inside =
            json!({"formatVersion": 1, "eventTypes": [], "subscriptions": [{(&*secret): 1}]});
        assert_rejected::<Export>(
            &inside,
            &["subscriptions[0]: unknown key", &hidden, "createdAt"],
        );
        let inside = json!({"subscriptions": [{"secrets": [{(&*secret): 1}]}]});
        assert_rejected::<Export>(
            &inside,
            &["subscriptions[0].secrets[0]: unknown key", &hidden, "expiresAt"],
        );

        let mut body = minimal();
        body["metadata"] = json!({(&*secret): 1});
        assert_rejected::<NewSubscription>(&body, &["metadata[", &hidden, "expected a string"]);
        assert_rejected::<SubscriptionUpdate>(
            &json!({"metadata": {(&*secret): 1}}),
            &["metadata[", &hidden],
        );
        assert_rejected::<ListQuery>(
            &json!({"metadata": {(&*secret): 1}}),
            &["metadata[", &hidden],
        );
        let twice = format!(r#"{{"metadata": {{"{secret}": "a", "{secret}": "b"}}}}"#);
        let message = serde_json::from_str::<ListQuery>(&twice).unwrap_err().to_string();
        assert!(message.contains("twice") && !message.contains("Leaky"), "{message}");

        // The rules also mention a key.
        let value = "v".repeat(1_025);
        let update = SubscriptionUpdate::new()
            .metadata(&*secret, value)
            .metadata(format!("{secret}\0"), "v");
        let registry = crate::support::contact_center();
        let id = registry.create(crate::support::new("crm")).unwrap().subscription().id();
        let message = registry.update(id, update).unwrap_err().to_string();
        assert!(message.starts_with("metadata: ") && !message.contains("Leaky"), "{message}");
    }
}

#[test]
fn an_unknown_key_is_truncated_to_64_bytes_in_the_message() {
    let key = |length: usize| "a key. ".repeat(10)[..length].to_owned();
    let shown =
        |key: &str| serde_json::from_value::<ListQuery>(json!({key: 1})).unwrap_err().to_string();
    assert!(
        shown(&key(64)).contains(&format!("unknown key {:?};", key(64))),
        "{}",
        shown(&key(64))
    );
    assert!(
        shown(&key(65)).contains(&format!("unknown key {:?}…;", key(16))),
        "{}",
        shown(&key(65))
    );
    for typo in
        ["subscriptionIdentifierName", "allow_unknown_events", "name2", "if-revision", "x-1"]
    {
        assert!(shown(typo).contains(&format!("unknown key {typo:?};")), "{}", shown(typo));
    }
}

#[test]
fn all_missing_keys_are_reported_at_once() {
    assert_rejected::<NewSubscription>(&json!({"secret": SECRET}), &["name", "url", "events"]);
    assert_rejected::<NewSubscription>(&json!({"name": "n", "url": SECRET}), &["events"]);
}

#[test]
fn a_duplicate_key_is_rejected() {
    let twice = |json: &str| {
        let new = serde_json::from_str::<NewSubscription>(json).map(drop);
        let update = serde_json::from_str::<SubscriptionUpdate>(json).map(drop);
        for error in [new.unwrap_err(), update.unwrap_err()] {
            let message = error.to_string();
            assert!(message.contains("twice") && !message.contains("Leaky"), "{message}");
        }
    };
    twice(&format!(r#"{{"secret": "{SECRET}", "secret": "{SECRET}"}}"#));
    twice(r#"{"metadata": {"k": "Leaky", "k": "Leaky"}}"#);
}

#[test]
fn a_type_that_json_lacks_is_also_reported_by_its_key() {
    let other_format =
        MapDeserializer::<_, serde::de::value::Error>::new([("name", 4711_i128)].into_iter());
    let error = NewSubscription::deserialize(other_format).unwrap_err();
    assert_eq!(error.to_string(), "name: expected a string, found a number");
}
