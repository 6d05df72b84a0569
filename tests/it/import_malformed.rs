//! Tests malformed import documents: truncated, in another format, with wrong JSON types, or
//! mutated at random. An accepted document gives a sound registry. A rejected one is reported by
//! position and never by value, which can be a secret under the wrong key.

use serde_json::{Value, json};
use webhook_registry::{ErrorKind, Export, ListQuery, Registry};

use crate::import::{OTHER, assert_rejected, document, read, with};
use crate::support::{Random, SEED_SECRET, refused, size};

#[test]
fn an_unknown_format_version_is_incompatible_whatever_else_is_wrong() {
    let registry = Registry::in_memory().unwrap();
    for version in [0, 2, 3, u64::MAX] {
        let told =
            |document: &Value| assert_rejected(&registry, document, ErrorKind::Incompatible, &[]);
        let expected = format!("the document's format is {version}; the one that is known is 1");
        assert_eq!(told(&with("/formatVersion", Some(json!(version)))), expected);
        assert_eq!(told(&json!({"formatVersion": version})), expected);
        // Keys have no order, and other errors can be valid in another format.
        let others = [
            r#""eventTypes":{"a":1},"subscriptions":7,"tenants":[]"#,
            r#""eventTypes":["a",{"name":7}],"subscriptions":{}"#,
            r#""tenants":[{}],"eventTypes":[],"subscriptions":[{"url":1,"url":2}]"#,
            r#""eventTypes":[],"eventTypes":null,"subscriptions":[],"subscriptions":[]"#,
            r#""subscriptions":[{"subscriptionId":[[[[{}]]]],"secrets":-1.5e9}]"#,
        ];
        let version = format!(r#""formatVersion":{version}"#);
        for others in others {
            let first = others.split_once(r#","subscriptions"#).map_or(others, |(first, _)| first);
            let rest = others.strip_prefix(first).unwrap();
            for text in [
                format!("{{{version},{others}}}"),
                format!("{{{others},{version}}}"),
                format!("{{{first},{version}{rest}}}"),
            ] {
                let read = |text: &str| serde_json::from_str::<Export>(text);
                let document = read(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                let error = refused(registry.import(document), ErrorKind::Incompatible, &[]);
                assert_eq!(error.to_string(), expected);
            }
        }
    }
    for version in [json!("1"), json!(1.5), json!(-1), json!(null), json!([1])] {
        let error =
            serde_json::from_value::<Export>(with("/formatVersion", Some(version))).unwrap_err();
        assert!(
            error.to_string().starts_with("formatVersion: expected a whole number from 0"),
            "{error}"
        );
    }
}

#[test]
fn a_wrong_json_type_is_reported_by_position_and_never_by_value() {
    let table: [(&str, Option<Value>, &str); 19] = [
        ("/formatVersion", None, r#"missing key "formatVersion""#),
        ("/eventTypes", None, r#"missing key "eventTypes""#),
        ("/subscriptions", None, r#"missing key "subscriptions""#),
        (
            "/subscriptions",
            Some(json!({"hidden": 1})),
            "subscriptions: expected an array, found an object",
        ),
        (
            "/eventTypes/1",
            Some(json!("hidden")),
            "eventTypes[1]: expected an object, found a string",
        ),
        (
            "/eventTypes/1/name",
            Some(json!(7)),
            "eventTypes[1].name: expected a string, found a number",
        ),
        ("/eventTypes/1/name", None, r#"eventTypes[1]: missing key "name""#),
        (
            "/hidden",
            Some(json!(1)),
            "unknown key \"hidden\"; the keys are formatVersion, eventTypes, subscriptions",
        ),
        ("/subscriptions/2/secret", Some(json!(OTHER)), "subscriptions[2]: unknown key \"secret\""),
        ("/subscriptions/2/url", None, r#"subscriptions[2]: missing key "url""#),
        ("/subscriptions/2/secrets", None, r#"subscriptions[2]: missing key "secrets""#),
        (
            "/subscriptions/2/enabled",
            Some(json!(OTHER)),
            "subscriptions[2].enabled: expected a boolean, found a string",
        ),
        (
            "/subscriptions/2/enabled",
            Some(json!(null)),
            "subscriptions[2].enabled: expected a boolean, found null",
        ),
        (
            "/subscriptions/2/events/0",
            Some(json!(OTHER.len())),
            "subscriptions[2].events[0]: expected a string",
        ),
        (
            "/subscriptions/2/revision",
            Some(json!(-1)),
            "subscriptions[2].revision: expected a whole number from 0",
        ),
        (
            "/subscriptions/2/metadata/k",
            Some(json!([OTHER])),
            "subscriptions[2].metadata[\"k\"]: expected a string",
        ),
        (
            "/subscriptions/1/secrets/1",
            Some(json!(OTHER)),
            "subscriptions[1].secrets[1]: expected an object, found a string",
        ),
        (
            "/subscriptions/1/secrets/1/secret",
            Some(json!([OTHER])),
            "subscriptions[1].secrets[1].secret: expected a string, found an array",
        ),
        (
            "/subscriptions/1/secrets/1/createdAt",
            None,
            r#"subscriptions[1].secrets[1]: missing key "createdAt""#,
        ),
    ];
    for (place, value, message) in table {
        let document = with(place, value);
        let pretty = serde_json::to_string_pretty(&document).unwrap();
        for error in [
            serde_json::from_str::<Export>(&document.to_string()).unwrap_err(),
            serde_json::from_str::<Export>(&pretty).unwrap_err(),
            serde_json::from_value::<Export>(document).unwrap_err(),
        ] {
            assert!(error.to_string().starts_with(message), "{place}: {error}");
            assert!(!format!("{error} {error:?}").contains(&OTHER[6..14]), "{error}");
        }
    }
    let twice = document().to_string().replacen(
        r#""formatVersion""#,
        r#""formatVersion":1,"formatVersion""#,
        1,
    );
    let error = serde_json::from_str::<Export>(&twice).unwrap_err();
    assert!(error.to_string().starts_with(r#"the key "formatVersion" appears twice"#), "{error}");
    for text in ["", "null", "[]", "7", "\"x\"", "{", "{}"] {
        serde_json::from_str::<Export>(text).unwrap_err();
    }
    // Optional keys may be null.
    for place in ["/subscriptions/2/description", "/subscriptions/2/metadata"] {
        assert_eq!(read(&with(place, Some(Value::Null))), read(&with(place, None)));
    }
}

#[test]
fn a_document_truncated_anywhere_is_rejected() {
    let text = document().to_string();
    assert!(serde_json::from_str::<Export>(&text).is_ok());
    for end in 0..text.len() {
        let error = serde_json::from_str::<Export>(&text[..end]).unwrap_err();
        assert!(!error.to_string().contains(&SEED_SECRET[..8]), "{error}");
    }
    assert!(serde_json::from_str::<Export>(&(text + "x")).is_err());
}

/// Returns the document as text with its keys in this order.
fn in_order(document: &Value, keys: [&str; 3]) -> String {
    let entries = keys.map(|key| format!("{}:{}", json!(key), document[key]));
    format!("{{{}}}", entries.join(","))
}

#[test]
fn the_order_of_keys_does_not_change_the_meaning_of_a_document() {
    let [version, types, subscriptions] = ["formatVersion", "eventTypes", "subscriptions"];
    let orders = [
        [version, types, subscriptions],
        [version, subscriptions, types],
        [types, version, subscriptions],
        [subscriptions, version, types],
        [types, subscriptions, version],
        [subscriptions, types, version],
    ];
    let mut faulty = document();
    faulty["subscriptions"][1]["metadata"]["k"] = json!([OTHER]);
    let schema = json!({"z": [1, -2, 0.5, 1e300, true, null, {}], "a": {"b": []}});
    let mut schemed = document();
    schemed["eventTypes"][0]["jsonSchema"] = schema.clone();
    for keys in orders {
        let told = |text: &str| serde_json::from_str::<Export>(text).unwrap_err().to_string();
        assert_eq!(
            serde_json::from_str::<Export>(&in_order(&document(), keys)).unwrap(),
            read(&document())
        );
        let registry = Registry::in_memory().unwrap();
        registry.import(serde_json::from_str(&in_order(&schemed, keys)).unwrap()).unwrap();
        assert_eq!(
            registry.event_type("agent.a.v1").unwrap().unwrap().json_schema(),
            Some(&schema)
        );
        let error = told(&in_order(&faulty, keys));
        assert!(
            error.starts_with(r#"subscriptions[1].metadata["k"]: expected a string, found an"#),
            "{error}"
        );
        assert!(!error.contains(&OTHER[6..14]), "{error}");
        // Buffered content does not lose a duplicate key.
        let twice =
            in_order(&document(), keys).replace(r#""metadata":{"#, r#""metadata":{"k":"w","#);
        let error = told(&twice);
        assert!(
            error.starts_with(r#"subscriptions[0].metadata["k"]: the key appears twice"#),
            "{error}"
        );
        let twice = in_order(&document(), keys).replacen('{', r#"{"subscriptions":[],"#, 1);
        assert!(
            told(&twice).starts_with(r#"the key "subscriptions" appears twice"#),
            "{}",
            told(&twice)
        );
        let unknown = in_order(&document(), keys).replacen('{', r#"{"hidden":[],"#, 1);
        assert!(
            told(&unknown).starts_with(r#"unknown key "hidden"; the keys are"#),
            "{}",
            told(&unknown)
        );
        let missing =
            in_order(&document(), keys).replacen(r#""formatVersion":1"#, r#""eventTypes":[]"#, 1);
        assert!(
            told(&missing).starts_with(r#"the key "eventTypes" appears twice"#),
            "{}",
            told(&missing)
        );
    }
}

/// Returns a random position in the document.
fn random_position(value: &Value, random: &mut Random) -> String {
    let step = |key: String, inner: &Value, random: &mut Random| match inner {
        Value::Object(_) | Value::Array(_) if random.chance(80) => {
            format!("/{key}{}", random_position(inner, random))
        }
        _ => format!("/{key}"),
    };
    match value {
        Value::Object(object) if !object.is_empty() => {
            let (key, inner) = object.iter().nth(random.below(object.len())).unwrap();
            step(key.clone(), inner, random)
        }
        Value::Array(items) if !items.is_empty() => {
            let at = random.below(items.len());
            step(at.to_string(), &items[at], random)
        }
        _ => String::new(),
    }
}

#[test]
fn an_accepted_mutation_imports_soundly_and_a_rejected_one_leaves_the_registry_empty() {
    let mut random = Random::new();
    let values = [
        Value::Null,
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("a"),
        json!("b"),
        json!("*"),
        json!("agent.a.v1"),
        json!(SEED_SECRET),
        json!(OTHER),
        json!("2026-01-01T00:00:00Z"),
        json!([]),
        json!({}),
        json!(["*"]),
        json!("https://example.com"),
        json!("9999-12-31T23:59:59.999999Z"),
        json!("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"),
        json!("00000000000000000000000000"),
        json!(i64::MAX),
    ];
    let (mut taken, mut refusals) = (0, 0);
    for _ in 0..size(1_500, 30_000) {
        let mut document = document();
        document["subscriptions"].as_array_mut().unwrap().truncate(random.below(4));
        for _ in 0..1 + random.below(3) {
            let place = random_position(&document, &mut random);
            let Some(found) = document.pointer_mut(&place) else { continue };
            *found = random.pick(&values).clone();
        }
        let Ok(export) = serde_json::from_str::<Export>(&document.to_string()) else {
            refusals += 1;
            continue;
        };
        let registry = Registry::in_memory().unwrap();
        match registry.import(export) {
            Ok(()) => {
                taken += 1;
                let report = registry.check().unwrap();
                assert!(report.is_sound(), "{report}: {document}");
                let again = Registry::in_memory().unwrap();
                again.import(registry.export().unwrap()).unwrap();
                assert_eq!(again.export().unwrap(), registry.export().unwrap());
            }
            Err(error) => {
                refusals += 1;
                assert!(
                    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Incompatible),
                    "{error}"
                );
                assert_eq!(registry.list(ListQuery::new()).unwrap().subscriptions(), []);
                assert!(registry.event_types().unwrap().is_empty());
                assert_eq!(registry.last_change().unwrap(), 0);
            }
        }
    }
    assert!(taken > 50 && refusals > 50, "{taken} accepted, {refusals} rejected");
}
