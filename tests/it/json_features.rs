//! Tests metadata and schemas under serde_json features that another crate of the program may
//! enable, because Cargo unifies features. `raw_value` and `arbitrary_precision` give two keys a
//! special meaning and represent numbers as objects, `preserve_order` changes the order of keys,
//! and `unbounded_depth` lifts the limit of the parser. `.ci/run` also runs the whole suite with
//! all of them.

use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use webhook_registry::{
    Catalog, ErrorKind, EventType, Export, ListQuery, NewSubscription, Registry, SubscriptionUpdate,
};

use crate::support::refused;

const KEYS: [&str; 2] = ["$serde_json::private::RawValue", "$serde_json::private::Number"];

/// Returns objects with such a key alone, and with others before and after it.
fn objects() -> Vec<Map<String, Value>> {
    let texts = ["oops", "[1,2]", "{\"a\":1}", "1.5", "12", "null", "", "\"x\""];
    let one = KEYS.iter().flat_map(|key| texts.map(|text| [(*key, text)].to_vec()));
    let more =
        KEYS.iter().flat_map(|key| [vec![("$", "1"), (*key, "2")], vec![(*key, "1"), ("z", "2")]]);
    let object = |entries: Vec<(&str, &str)>| {
        entries.into_iter().map(|(key, text)| (key.to_owned(), json!(text))).collect()
    };
    one.chain(more).chain([vec![(KEYS[0], "1"), (KEYS[1], "2")]]).map(object).collect()
}

#[test]
fn metadata_round_trips_with_any_keys() {
    for metadata in objects() {
        let registry = Registry::in_memory().unwrap();
        let body = json!({
            "name": "n", "url": "https://example.com/", "events": ["*"], "metadata": metadata,
        });
        let from_text: NewSubscription = serde_json::from_str(&body.to_string()).unwrap();
        let from_value: NewSubscription = serde_json::from_value(body.clone()).unwrap();
        assert_eq!(from_text, from_value);
        let created = registry.create(from_text.allow_unknown_events(true)).unwrap();
        let id = created.subscription().id();
        let shown = |registry: &Registry| {
            let found = registry.get(id).unwrap().unwrap();
            serde_json::to_value(found.metadata()).unwrap()
        };
        let given = Value::Object(metadata.clone());
        assert_eq!(shown(&registry), given);
        // The history contains it before and after.
        let patch = format!(r#"{{"metadata":{}}}"#, given.to_string().replace("\":\"", "\":\"x"));
        registry.update(id, serde_json::from_str::<SubscriptionUpdate>(&patch).unwrap()).unwrap();
        registry.update(id, SubscriptionUpdate::new().clear_metadata()).unwrap();
        registry.update(id, serde_json::from_value(json!({"metadata": given})).unwrap()).unwrap();
        let changes = registry.changes(0, 10).unwrap();
        let of = |at: usize| {
            changes[at].fields().iter().find(|field| field.name() == "metadata").unwrap()
        };
        assert_eq!((of(0).before(), of(0).after()), (None, Some(&given)));
        assert_eq!(of(1).before(), Some(&given));
        assert_eq!(of(1).after(), of(2).before());
        assert_eq!((of(3).before(), of(3).after()), (None, Some(&given)));
        // A query finds it.
        let query = json!({"metadata": given});
        let query: ListQuery = serde_json::from_str(&query.to_string()).unwrap();
        assert_eq!(registry.count(query).unwrap(), 1);
        // An export contains it, in any order of keys.
        let export = registry.export().unwrap();
        let text = serde_json::to_string(&export).unwrap();
        let (rest, version) =
            (text.replacen(r#""formatVersion":1,"#, "", 1), r#","formatVersion":1}"#);
        for document in [text.clone(), rest.strip_suffix('}').unwrap().to_owned() + version] {
            let other = Registry::in_memory().unwrap();
            other.import(serde_json::from_str(&document).unwrap()).unwrap();
            assert_eq!(shown(&other), given);
            assert_eq!(other.export().unwrap(), export);
        }
        let value = serde_json::to_value(&export).unwrap();
        assert_eq!(serde_json::from_value::<Export>(value).unwrap(), export);
        assert!(registry.check().unwrap().is_sound());
    }
}

#[test]
fn a_schema_round_trips_with_any_keys() {
    let nested = |object: &Map<String, Value>| {
        let object = Value::Object(object.clone());
        [
            object.clone(),
            json!([object]),
            json!({"properties": {"a": [1.5, {"b": object}]}, "z": object}),
        ]
    };
    for schema in objects().iter().flat_map(nested) {
        let registry = Registry::in_memory().unwrap();
        let document = json!({"eventTypes": [{"name": "a", "jsonSchema": schema}]});
        let from_text: Catalog = serde_json::from_str(&document.to_string()).unwrap();
        let from_value: Catalog = serde_json::from_value(document.clone()).unwrap();
        let bytes = document.to_string();
        let from_reader: Catalog = serde_json::from_reader(bytes.as_bytes()).unwrap();
        let set = Catalog::from(vec![EventType::new("a").with_json_schema(schema.clone())]);
        for read in [&from_text, &from_value, &from_reader] {
            assert_eq!(read, &set, "{document}");
        }
        registry.register_event_types(from_text).unwrap();
        let there = |registry: &Registry| registry.event_type("a").unwrap().unwrap();
        assert_eq!(there(&registry).json_schema(), Some(&schema));
        let before = registry.last_change().unwrap();
        registry.register_event_types(set).unwrap();
        assert_eq!(registry.last_change().unwrap(), before, "nothing may have changed");
        registry.register_event_type("a").unwrap();
        let changes = registry.changes(0, 10).unwrap();
        let of = |at: usize| {
            changes[at].fields().iter().find(|field| field.name() == "jsonSchema").unwrap()
        };
        assert_eq!((of(0).after(), of(1).before()), (Some(&schema), Some(&schema)));
        registry.register_event_types(from_value).unwrap();
        let export: Export =
            serde_json::from_str(&serde_json::to_string(&registry.export().unwrap()).unwrap())
                .unwrap();
        let other = Registry::in_memory().unwrap();
        other.import(export).unwrap();
        assert_eq!(there(&other).json_schema(), Some(&schema));
        assert!(registry.check().unwrap().is_sound());
    }
}

#[test]
fn an_object_stays_one_also_where_its_digits_are_escaped() {
    for (text, value) in [(r"\u0031", "1"), (r"1\u002e5", "1.5"), (r"-\u0030", "-0")] {
        for key in KEYS {
            let schema = format!(r#"{{"a":[{{"{key}":"{text}"}}]}}"#);
            let text = format!(r#"{{"name":"a","jsonSchema":{schema}}}"#);
            let document =
                format!(r#"{{"eventTypes":[{text}],"subscriptions":[],"formatVersion":1}}"#);
            let expected = json!({"a": [{key: value}]});
            let read: EventType = serde_json::from_str(&text).unwrap();
            assert_eq!(read.json_schema(), Some(&expected), "{text}");
            let registry = Registry::in_memory().unwrap();
            registry.import(serde_json::from_str(&document).unwrap()).unwrap();
            let there = registry.event_type("a").unwrap().unwrap();
            assert_eq!(there.json_schema(), Some(&expected), "{document}");
        }
    }
}

/// A catalog inside a document of another program: serde buffers flattened content.
#[derive(serde::Deserialize)]
struct Answer {
    #[serde(flatten)]
    catalog: Catalog,
}

#[test]
fn numbers_of_a_schema_stay_numbers() {
    let schema = r#"{"a":[0,-7,1.5,-0.25,1e300,18446744073709551615],"b":{"multipleOf":0.01}}"#;
    let text = format!(r#"{{"eventTypes":[{{"name":"a","jsonSchema":{schema}}}]}}"#);
    let expected: Value = serde_json::from_str(schema).unwrap();
    let read: Catalog = serde_json::from_str(&text).unwrap();
    let value: Catalog = serde_json::from_value(serde_json::from_str(&text).unwrap()).unwrap();
    let flattened = serde_json::from_str::<Answer>(&text).unwrap().catalog;
    let from_reader = serde_json::from_reader::<_, Answer>(text.as_bytes()).unwrap().catalog;
    for catalog in [read, value, flattened, from_reader] {
        let registry = Registry::in_memory().unwrap();
        registry.register_event_types(catalog).unwrap();
        assert_eq!(registry.event_type("a").unwrap().unwrap().json_schema(), Some(&expected));
        let changes = registry.changes(0, 10).unwrap();
        assert_eq!(changes[0].fields()[1].after(), Some(&expected));
    }
}

/// With `arbitrary_precision` they would be stored, and no program without it could read the file.
/// Without it they are not valid JSON.
#[test]
fn a_schema_number_beyond_64_bits_is_rejected() {
    for number in ["1e400", "-1e400", "[{\"a\":1e309}]"] {
        let document = format!(r#"{{"eventTypes":[{{"name":"a","jsonSchema":{number}}}]}}"#);
        let Ok(catalog) = serde_json::from_str::<Catalog>(&document) else { continue };
        let registry = Registry::in_memory().unwrap();
        let error = refused(
            registry.register_event_types(catalog),
            ErrorKind::Invalid,
            &["[0].jsonSchema"],
        );
        assert!(error.to_string().contains("has to fit in a 64-bit float"), "{error}");
    }
}

#[test]
fn a_number_is_not_accepted_as_an_object() {
    for number in ["1.5", "-1.5", "1e300", "123456789012345678901234567890"] {
        let body = |key: &str| {
            format!(r#"{{"name":"n","url":"https://x","events":["*"],"{key}":{number}}}"#)
        };
        let told = [
            serde_json::from_str::<NewSubscription>(&body("metadata")).unwrap_err(),
            serde_json::from_str::<SubscriptionUpdate>(&format!(r#"{{"metadata":{number}}}"#))
                .unwrap_err(),
            serde_json::from_str::<ListQuery>(&format!(r#"{{"metadata":{number}}}"#)).unwrap_err(),
            serde_json::from_str::<Export>(number).unwrap_err(),
            serde_json::from_str::<Catalog>(&format!(r#"{{"eventTypes":[{number}]}}"#))
                .unwrap_err(),
        ];
        for error in told {
            let message = error.to_string();
            assert!(message.contains("found a number") && !message.contains("serde"), "{message}");
        }
        let unknown = serde_json::from_str::<NewSubscription>(&body("hidden")).unwrap_err();
        assert!(unknown.to_string().starts_with(r#"unknown key "hidden""#), "{unknown}");
    }
}

#[test]
fn schemas_that_differ_only_in_key_order_are_equal() {
    let registry = Registry::in_memory().unwrap();
    let learn = |schema: &str| {
        let text = format!(r#"{{"name":"a","jsonSchema":{schema}}}"#);
        registry.register_event_type(serde_json::from_str::<EventType>(&text).unwrap()).unwrap();
    };
    learn(r#"{"b":1,"a":{"d":[{"y":1,"x":2}],"c":2}}"#);
    let document = || serde_json::to_string(&registry.export().unwrap()).unwrap();
    let before = (document(), registry.last_change().unwrap());
    learn(r#"{"a":{"c":2,"d":[{"x":2,"y":1}]},"b":1}"#);
    assert_eq!((document(), registry.last_change().unwrap()), before);
    // A second round trip gives the same text.
    let other = Registry::in_memory().unwrap();
    other.import(serde_json::from_str(&before.0).unwrap()).unwrap();
    assert_eq!(serde_json::to_string(&other.export().unwrap()).unwrap(), before.0);
}

/// Returns a value nested too deeply for a parser with a limit.
fn deep(levels: usize) -> Value {
    let nest = |inner, level| match level % 2 {
        0 => Value::Array(vec![inner]),
        _ => Value::Object([("a".to_owned(), inner)].into_iter().collect()),
    };
    (0..levels).fold(Value::Null, nest)
}

/// Drops a value level by level: dropping a deep one at once overflows the stack.
fn dismantle(mut value: Value) {
    loop {
        value = match &mut value {
            Value::Array(items) => items[0].take(),
            Value::Object(entries) => entries.values_mut().next().unwrap().take(),
            _ => return,
        };
    }
}

#[test]
fn a_too_deeply_nested_document_is_rejected_before_the_stack_overflows() {
    for levels in [130, 1_000, 100_000] {
        let document = |value: Value| {
            let event_type = [("name".to_owned(), json!("a")), ("jsonSchema".to_owned(), value)];
            let event_types = Value::Array(vec![Value::Object(event_type.into_iter().collect())]);
            let entries =
                [("eventTypes".to_owned(), event_types), ("subscriptions".to_owned(), json!([]))];
            Value::Object(entries.into_iter().collect())
        };
        let mut document = document(deep(levels));
        let told = [
            Catalog::deserialize(&document).unwrap_err(),
            Export::deserialize(&document).unwrap_err(),
        ];
        for error in told {
            assert!(error.to_string().contains("nested more than 127 levels deep"), "{error}");
        }
        dismantle(document["eventTypes"][0]["jsonSchema"].take());
        let registry = Registry::in_memory().unwrap();
        let event_type = EventType::new("a").with_json_schema(deep(levels));
        let error =
            refused(registry.register_event_type(event_type), ErrorKind::Invalid, &["jsonSchema"]);
        assert!(error.to_string().contains("at most 124 levels"), "{error}");
    }
}

#[test]
fn the_deepest_allowed_schema_works_in_every_call() {
    let schema = deep(124);
    let registry = Registry::in_memory().unwrap();
    registry.register_event_type(EventType::new("a").with_json_schema(schema.clone())).unwrap();
    let document = serde_json::to_string(&registry.export().unwrap()).unwrap();
    let last = document.replacen(r#""formatVersion":1,"#, "", 1);
    let last = last.strip_suffix('}').unwrap().to_owned() + r#","formatVersion":1}"#;
    for document in [document, last] {
        let other = Registry::in_memory().unwrap();
        other.import(serde_json::from_str(&document).unwrap()).unwrap();
        assert_eq!(other.event_type("a").unwrap().unwrap().json_schema(), Some(&schema));
        assert_eq!(other.changes(0, 10).unwrap()[0].fields()[1].after(), Some(&schema));
    }
    let deeper = EventType::new("b").with_json_schema(deep(125));
    refused(registry.register_event_type(deeper), ErrorKind::Invalid, &["jsonSchema"]);
}
