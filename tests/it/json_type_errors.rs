//! JSON of the wrong shape. Serde's own messages repeat the value that did not fit; put under the wrong key, that
//! value is a secret, and the message goes into a log.

use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde_json::{Value, json};
use webhook_registry::{
    Catalog, EventPattern, EventType, Export, ListQuery, NewSubscription, SubscriptionId,
    SubscriptionUpdate,
};

const SECRET: &str = "Leaky0WHqXISxMAgoYneiFhgdGrOgYeToYPN3HjIO4xA";

/// The message of a refusal, from text and from a value alike, that names all of these and never the secret.
#[track_caller]
fn refused<T: DeserializeOwned + std::fmt::Debug>(json: &Value, named: &[&str]) {
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

/// A value of each JSON type, and how it is called.
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

/// Puts a value of every other type under a key: each is refused by key and type.
#[track_caller]
fn takes_only<T: DeserializeOwned + std::fmt::Debug>(base: &Value, key: &str, types: &[&str]) {
    let mut refusals = 0;
    for (value, called) in values() {
        if types.contains(&called) {
            continue;
        }
        let mut body = base.clone();
        body[key] = value;
        refused::<T>(&body, &[key, called]);
        refusals += 1;
    }
    assert!(refusals >= 4);
}

fn least() -> Value {
    json!({"name": "n", "url": "https://x", "events": ["*"]})
}

#[test]
fn a_wrong_type_is_told_by_key_and_type_and_never_by_value() {
    let (string, flag, list, object) = ("a string", "a boolean", "an array", "an object");
    for (key, kind, null) in [
        ("name", string, false),
        ("url", string, false),
        ("events", list, false),
        ("enabled", flag, true),
        ("secret", string, true),
        ("description", string, true),
        ("metadata", object, true),
    ] {
        let types = if null { vec![kind, "null"] } else { vec![kind] };
        takes_only::<NewSubscription>(&least(), key, &types);
    }
    for (key, kind, null) in [
        ("name", string, false),
        ("url", string, false),
        ("events", list, false),
        ("enabled", flag, false),
        ("secret", string, false),
        ("description", string, true),
        ("metadata", object, true),
    ] {
        let types = if null { vec![kind, "null"] } else { vec![kind] };
        takes_only::<SubscriptionUpdate>(&json!({}), key, &types);
    }
    takes_only::<SubscriptionUpdate>(&json!({}), "ifRevision", &["a number"]);
    for (key, kind) in [
        ("enabled", flag),
        ("nameContains", string),
        ("eventType", string),
        ("metadata", object),
        ("after", string),
        ("limit", "a number"),
    ] {
        takes_only::<ListQuery>(&json!({}), key, &[kind, "null"]);
    }
    takes_only::<Catalog>(&json!({}), "eventTypes", &[list]);
    takes_only::<EventType>(&json!({"name": "n"}), "name", &[string]);
    takes_only::<EventType>(&json!({"name": "n"}), "description", &[string, "null"]);
}

#[test]
fn numbers_are_whole_and_not_negative() {
    for number in [json!(-4711), json!(0.4711), json!(4711.0), json!(1e300)] {
        refused::<SubscriptionUpdate>(&json!({"ifRevision": number}), &["ifRevision", "a number"]);
        refused::<ListQuery>(&json!({"limit": number}), &["limit", "a number"]);
    }
    let most = json!({"ifRevision": u64::MAX});
    assert_eq!(
        serde_json::from_value::<SubscriptionUpdate>(most).unwrap(),
        SubscriptionUpdate::new().if_revision(u64::MAX)
    );
}

#[test]
fn inside_lists_and_objects_the_place_is_named() {
    let with = |key: &str, value: Value| {
        let mut body = least();
        body[key] = value;
        body
    };
    for (value, called) in values() {
        if called != "a string" {
            let events = with("events", json!(["*", value]));
            refused::<NewSubscription>(&events, &["events[1]", "a string", called]);
            let metadata = with("metadata", json!({"k": value}));
            refused::<NewSubscription>(&metadata, &["metadata", "k", called]);
            let query = json!({"metadata": {"k": value}});
            refused::<ListQuery>(&query, &["metadata", "k", called]);
            if called != "null" {
                let patch = json!({"metadata": {"k": value}});
                refused::<SubscriptionUpdate>(&patch, &["metadata", "k", called]);
            }
        }
        if called != "an object" {
            refused::<Catalog>(&json!({"eventTypes": [value]}), &["eventTypes[0]", called]);
        }
    }
    refused::<Catalog>(&json!({"eventTypes": [{"name": "a"}, {}]}), &["name"]);
}

#[test]
fn a_whole_document_of_the_wrong_type_is_refused() {
    for (value, called) in values() {
        if called != "an object" {
            refused::<NewSubscription>(&value, &["an object", called]);
            refused::<SubscriptionUpdate>(&value, &["an object", called]);
            refused::<ListQuery>(&value, &["an object", called]);
            refused::<EventType>(&value, &["an object", called]);
            refused::<Catalog>(&value, &["an object", called]);
        }
        if called != "a string" {
            refused::<SubscriptionId>(&value, &["a string", called]);
            refused::<EventPattern>(&value, &["a string", called]);
        }
    }
    // Values of the right type that are none: their rules speak, without the text.
    refused::<SubscriptionId>(&json!(SECRET), &["subscription id"]);
    refused::<ListQuery>(&json!({"after": SECRET}), &["subscription id"]);
}

#[test]
fn unknown_keys_are_refused_by_name() {
    for key in
        ["Secret", "secrets", "subscriptionId", "revision", "", "ifRevision", "allowUnknownEvents"]
    {
        let mut body = least();
        body[key] = json!(SECRET);
        refused::<NewSubscription>(&body, &[&format!("{key:?}"), "the keys are name"]);
    }
    for key in
        ["Secret", "secrets", "subscriptionId", "revision", "", "createdAt", "allowUnknownEvents"]
    {
        let body = json!({key: SECRET});
        refused::<SubscriptionUpdate>(&body, &[&format!("{key:?}"), "ifRevision"]);
    }
    for key in ["name", "cursor", "name_contains", "secret", "next"] {
        refused::<ListQuery>(&json!({key: SECRET}), &[&format!("{key:?}"), "nameContains"]);
    }
}

/// Texts that are keys of a signing secret, and what it is often written with.
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
fn a_secret_that_is_put_where_a_key_has_to_be_is_not_repeated() {
    for secret in secrets() {
        let hidden = format!("{} bytes, not shown because it could be a secret", secret.len());
        let mut body = least();
        body[&*secret] = json!(1);
        refused::<NewSubscription>(&body, &["unknown key", &hidden, "the keys are name"]);
        refused::<SubscriptionUpdate>(
            &json!({(&*secret): 1}),
            &["unknown key", &hidden, "ifRevision"],
        );
        refused::<ListQuery>(&json!({(&*secret): 1}), &["unknown key", &hidden, "nameContains"]);
        refused::<Export>(&json!({(&*secret): 1}), &["unknown key", &hidden, "formatVersion"]);
        let inside =
            json!({"formatVersion": 1, "eventTypes": [], "subscriptions": [{(&*secret): 1}]});
        refused::<Export>(&inside, &["subscriptions[0]: unknown key", &hidden, "createdAt"]);
        let inside = json!({"subscriptions": [{"secrets": [{(&*secret): 1}]}]});
        refused::<Export>(
            &inside,
            &["subscriptions[0].secrets[0]: unknown key", &hidden, "expiresAt"],
        );

        let mut body = least();
        body["metadata"] = json!({(&*secret): 1});
        refused::<NewSubscription>(&body, &["metadata[", &hidden, "expected a string"]);
        refused::<SubscriptionUpdate>(
            &json!({"metadata": {(&*secret): 1}}),
            &["metadata[", &hidden],
        );
        refused::<ListQuery>(&json!({"metadata": {(&*secret): 1}}), &["metadata[", &hidden]);
        let twice = format!(r#"{{"metadata": {{"{secret}": "a", "{secret}": "b"}}}}"#);
        let message = serde_json::from_str::<ListQuery>(&twice).unwrap_err().to_string();
        assert!(message.contains("twice") && !message.contains("Leaky"), "{message}");

        // The rules tell a key too.
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
fn an_unknown_key_is_shown_up_to_64_bytes_and_cut_behind() {
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
fn missing_keys_are_named_all_at_once() {
    refused::<NewSubscription>(&json!({"secret": SECRET}), &["name", "url", "events"]);
    refused::<NewSubscription>(&json!({"name": "n", "url": SECRET}), &["events"]);
}

#[test]
fn a_key_that_stands_twice_is_refused() {
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
fn a_type_that_json_does_not_have_is_told_by_its_key_too() {
    let other_format =
        MapDeserializer::<_, serde::de::value::Error>::new([("name", 4711_i128)].into_iter());
    let error = NewSubscription::deserialize(other_format).unwrap_err();
    assert_eq!(error.to_string(), "name: expected a string, found a number");
}
