//! The JSON Schemas, held against the crate: a schema rejects no document that the crate accepts.

use std::sync::LazyLock;

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use webhook_registry::{
    Catalog, Created, ListQuery, NewSubscription, Page, Registry, Rotation, Subscription,
    SubscriptionUpdate,
};

use crate::support::{SEED_SECRET, learn, new};

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::meta::validate(schema).unwrap();
    jsonschema::draft202012::new(schema).unwrap()
}

fn registry() -> Registry {
    // The least restrictive that there is.
    let registry = Registry::options().min_secret_bytes(24).in_memory().unwrap();
    learn(&registry);
    registry
}

/// What the crate and the schema say of a document.
struct Judge {
    schema: Validator,
    accepts: fn(&[u8]) -> bool,
}

impl Judge {
    /// Returns true if the crate accepts the document, which the schema must do then as well.
    #[track_caller]
    fn accepts(&self, document: &Value) -> bool {
        let accepted = (self.accepts)(document.to_string().as_bytes());
        if accepted && let Err(error) = self.schema.validate(document) {
            panic!("the schema rejects what the crate accepts: {error}: {document}");
        }
        accepted
    }

    /// Asserts that both reject the document.
    #[track_caller]
    fn rejects(&self, document: &Value) {
        assert!(!self.accepts(document), "accepted: {document}");
        assert!(!self.schema.is_valid(document), "only the crate rejects {document}");
    }
}

static NEW: LazyLock<Judge> = LazyLock::new(|| Judge {
    schema: validator(&NewSubscription::json_schema()),
    accepts: |document| {
        let read = NewSubscription::from_json(document);
        read.and_then(|new| registry().create(new)).is_ok()
    },
});

static UPDATE: LazyLock<Judge> = LazyLock::new(|| Judge {
    schema: validator(&SubscriptionUpdate::json_schema()),
    accepts: |document| {
        let registry = registry();
        let there = new("there").metadata("k", "v").description("d");
        let id = registry.create(there).unwrap().subscription().id();
        let read = SubscriptionUpdate::from_json(document);
        read.and_then(|update| registry.update(id, update)).is_ok()
    },
});

static QUERY: LazyLock<Judge> = LazyLock::new(|| Judge {
    schema: validator(&ListQuery::json_schema()),
    accepts: |document| {
        ListQuery::from_json(document).and_then(|query| registry().list(query)).is_ok()
    },
});

static ROTATION: LazyLock<Judge> = LazyLock::new(|| Judge {
    schema: validator(&Rotation::json_schema()),
    accepts: |document| {
        let registry = registry();
        let id = registry.create(new("there")).unwrap().subscription().id();
        let read = Rotation::from_json(document);
        read.and_then(|rotation| registry.rotate_secret(id, rotation)).is_ok()
    },
});

static CATALOG: LazyLock<Judge> = LazyLock::new(|| Judge {
    schema: validator(&Catalog::json_schema()),
    accepts: |document| {
        serde_json::from_slice::<Catalog>(document)
            .is_ok_and(|catalog| registry().register_event_types(catalog).is_ok())
    },
});

fn with(base: &Value, key: &str, value: Value) -> Value {
    let mut document = base.clone();
    document[key] = value;
    document
}

fn entries(count: usize, value: &Value) -> Value {
    Value::Object((0..count).map(|n| (format!("k{n}"), value.clone())).collect())
}

/// The values at each limit of the keys that a new subscription and an update share, and whether
/// they are within it.
fn limits() -> Vec<(&'static str, Value, bool)> {
    let url = |length: usize| format!("https://h/{}", "p".repeat(length - 10));
    let id = |length: usize| "é".repeat(length);
    let base64 = |length: usize| "A".repeat(length);
    vec![
        ("name", json!("a"), true),
        ("name", json!(""), false),
        ("name", json!(id(128)), true),
        ("name", json!(id(129)), false),
        ("name", json!("a\tb"), false),
        ("name", json!("a\u{7f}b"), false),
        ("name", json!("a\u{9f}b"), false),
        ("name", json!("a\u{a0}b \"\\"), true),
        ("url", json!(url(2_048)), true),
        ("url", json!(url(2_049)), false),
        ("url", json!("HTTPS://h"), true),
        ("url", json!("https://例え.jp/é?a=@"), true),
        ("url", json!("ftp://h"), false),
        ("url", json!("https:///p"), false),
        ("url", json!("https://h#f"), false),
        ("url", json!("https://h\\"), false),
        ("events", json!([]), false),
        ("events", json!(vec!["*"; 256]), true),
        ("events", json!(vec!["*"; 257]), false),
        ("events", json!([""]), false),
        ("events", json!(["[!x-z]*", "agent.*", "?*[-_:/.]*"]), true),
        ("events", json!([format!("{}*", "?".repeat(256))]), false),
        ("events", json!(["a b"]), false),
        ("events", json!(["*", 1]), false),
        ("enabled", json!(false), true),
        ("enabled", json!("false"), false),
        ("secret", json!(base64(32)), true),
        ("secret", json!(format!("whsec_{}", base64(43))), true),
        ("secret", json!(format!("{}==", SEED_SECRET.trim_end_matches('='))), true),
        ("secret", json!(format!("{}{}", base64(43), "=".repeat(213))), true),
        ("secret", json!(format!("{}{}", base64(43), "=".repeat(214))), false),
        ("secret", json!(base64(257)), false),
        ("secret", json!(""), false),
        ("secret", json!("-_".repeat(32)), false),
        ("secret", json!(format!("{} ", base64(43))), false),
        ("description", json!(""), true),
        ("description", json!("d".repeat(4_096)), true),
        ("description", json!("d".repeat(4_097)), false),
        ("description", json!("a\u{0}"), false),
        ("description", json!("a\nb"), true),
        ("description", Value::Null, true),
        ("metadata", Value::Null, true),
        ("metadata", json!({"k": "v".repeat(1_024)}), true),
        ("metadata", json!({"k": "v".repeat(1_025)}), false),
        ("metadata", json!({"k": "\u{0}"}), false),
        ("metadata", json!({"k": 1}), false),
        ("metadata", entries(49, &json!("v")), true),
        ("disabledReason", json!(""), false),
        ("disabledReason", json!("d".repeat(1_025)), false),
        ("disabledReason", json!("a\u{0}"), false),
        ("disabledReason", json!(["d"]), false),
        ("disabledReason", Value::Null, true),
        ("disabledAt", json!("2026-03-04T05:06:07.089Z"), false),
        ("unknown", json!(1), false),
        ("allowUnknownEvents", json!(true), false),
    ]
}

#[test]
fn a_schema_has_the_limits_of_the_crate() {
    let base = json!({"name": "n", "url": "https://h", "events": ["*"]});
    assert!(NEW.accepts(&base) && UPDATE.accepts(&base));
    for (judge, base) in [(&*NEW, &base), (&*UPDATE, &json!({}))] {
        for (key, value, within) in limits() {
            let document = with(base, key, value);
            if within {
                assert!(judge.accepts(&document), "rejected: {document}");
            } else {
                judge.rejects(&document);
            }
        }
    }
    // A reason is accepted only where the subscription is disabled.
    for (judge, base) in [(&*NEW, &base), (&*UPDATE, &json!({}))] {
        let disabled = with(base, "enabled", json!(false));
        for reason in ["d", "a\nb", &"d".repeat(1_024)] {
            assert!(judge.accepts(&with(&disabled, "disabledReason", json!(reason))));
            assert!(!judge.accepts(&with(base, "disabledReason", json!(reason))));
        }
    }
    // What differs: null equals absent, or is refused.
    for key in ["enabled", "secret"] {
        assert!(NEW.accepts(&with(&base, key, Value::Null)));
        UPDATE.rejects(&json!({key: null}));
    }
    for key in ["name", "url", "events"] {
        NEW.rejects(&with(&base, key, Value::Null));
        UPDATE.rejects(&json!({key: null}));
        let mut without = base.clone();
        without.as_object_mut().unwrap().remove(key);
        NEW.rejects(&without);
    }
    for (metadata, within) in [
        (entries(50, &json!("v")), true),
        (entries(51, &json!("v")), false),
        (json!({"": "v"}), false),
        (json!({"k".repeat(128): "v"}), true),
        (json!({"k".repeat(129): "v"}), false),
        (json!({"k": null}), false),
    ] {
        let document = with(&base, "metadata", metadata);
        if within { assert!(NEW.accepts(&document)) } else { NEW.rejects(&document) }
    }
    for metadata in [entries(200, &Value::Null), json!({"": null, "k".repeat(200): null})] {
        assert!(UPDATE.accepts(&json!({ "metadata": metadata })));
    }
    for (revision, within) in [(json!(1), true), (json!(-1), false), (json!("1"), false)] {
        let document = json!({ "ifRevision": revision });
        if within { assert!(UPDATE.accepts(&document)) } else { UPDATE.rejects(&document) }
    }
}

#[test]
fn the_schemas_of_a_query_a_rotation_and_a_catalog_have_the_limits_of_the_crate() {
    let id = "01K9V3T0Z2B4C6D8E0F2G4H6J8";
    for (key, value, within) in [
        ("limit", json!(1), true),
        ("limit", json!(1_000), true),
        ("limit", json!(0), false),
        ("limit", json!(1_001), false),
        ("limit", json!("10"), false),
        ("limit", Value::Null, true),
        ("enabled", json!(true), true),
        ("enabled", json!("true"), false),
        ("nameContains", json!("\u{0}".repeat(300)), true),
        ("eventType", json!("agent.presencechanged.v1"), true),
        ("eventType", json!(""), false),
        ("eventType", json!("a".repeat(257)), false),
        ("eventType", json!("agent.*"), false),
        ("metadata", json!({"": "", "k".repeat(200): "v".repeat(2_000)}), true),
        ("metadata", json!({"k": null}), false),
        ("after", json!(id), true),
        ("after", json!(id.to_lowercase()), true),
        ("after", json!(&id[1..]), false),
        ("after", json!(format!("8{}", &id[1..])), false),
        ("after", json!(id.replace('J', "I")), false),
        ("after", json!(id.replace('J', "u")), false),
        ("owner", json!("acme"), false),
    ] {
        let document = json!({ key: value });
        if within {
            assert!(QUERY.accepts(&document), "{document}");
        } else {
            QUERY.rejects(&document);
        }
    }
    for seconds in [0, 1, 2_592_000] {
        assert!(ROTATION.accepts(&json!({"overlapSeconds": seconds, "secret": null})));
    }
    for seconds in [json!(-1), json!(2_592_001), json!(0.5), json!("1"), json!(u64::MAX)] {
        ROTATION.rejects(&json!({ "overlapSeconds": seconds }));
    }
    ROTATION.rejects(&json!({"overlap": 1}));
    let catalog = |event_type: Value| json!({"eventTypes": [event_type], "next": 1});
    for event_type in [
        json!({"name": "a".repeat(256), "description": "d".repeat(4_096), "jsonSchema": true}),
        json!({"name": "A-z_0.:/", "description": null, "jsonSchema": null, "id": 7}),
    ] {
        assert!(CATALOG.accepts(&catalog(event_type)));
    }
    for event_type in [
        json!({"name": ""}),
        json!({"name": "a".repeat(257)}),
        json!({"name": "a*"}),
        json!({"name": "a", "description": "d".repeat(4_097)}),
        json!({"description": "d"}),
        json!("a"),
    ] {
        CATALOG.rejects(&catalog(event_type));
    }
    CATALOG.rejects(&json!({}));
}

/// Texts around every limit of length, of characters that are in some rule.
fn text() -> impl Strategy<Value = String> {
    let length = prop_oneof![
        8 => 0..40_usize,
        1 => 126..130_usize,
        1 => 254..258_usize,
        1 => 1_022..1_026_usize,
        1 => 2_046..2_050_usize,
        1 => 4_094..4_098_usize,
    ];
    let letters = prop_oneof![
        4 => Just("[a-zA-Z0-9]"),
        1 => Just("[a-z.*?]"),
        1 => Just("[é\u{a0}\u{7f}\u{85}\u{feff}\u{2028} \t\n\u{0}a]"),
        1 => Just("[A-Za-z0-9+/=_-]"),
        1 => Just("[a\\[\\]!^#@\\\\:/-]"),
    ];
    let head = prop_oneof![
        4 => Just(""),
        1 => Just("https://"),
        1 => Just("HTTP://h/"),
        1 => Just("whsec_"),
        1 => Just("*"),
    ];
    (head, letters, length).prop_flat_map(|(head, letters, length)| {
        let tail = proptest::string::string_regex(&format!("{letters}{{{length}}}")).unwrap();
        tail.prop_map(move |tail| format!("{head}{tail}"))
    })
}

fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        Just(json!(-1)),
        Just(json!(0)),
        Just(json!(1)),
        Just(json!(999)),
        Just(json!(1_001)),
        Just(json!(2_592_000)),
        Just(json!(2_592_001)),
        Just(json!(u64::MAX)),
        Just(json!(0.5)),
    ];
    let keys = proptest::collection::btree_map(
        text(),
        prop_oneof![
            4 => text().prop_map(Value::String),
            1 => Just(Value::Null),
        ],
        0..4,
    );
    prop_oneof![
        6 => text().prop_map(Value::String),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
        2 => number,
        2 => proptest::collection::vec(text(), 0..4).prop_map(|texts| json!(texts)),
        1 => (250..260_usize).prop_map(|count| json!(vec!["*"; count])),
        2 => keys.prop_map(|entries| Value::Object(entries.into_iter().collect())),
        1 => (48..53_usize).prop_map(|count| entries(count, &json!("v"))),
    ]
}

/// The keys of every document, those of a new subscription first.
const ALL_KEYS: [&str; 16] = [
    "name",
    "url",
    "events",
    "enabled",
    "secret",
    "description",
    "metadata",
    "disabledReason",
    "ifRevision",
    "limit",
    "after",
    "nameContains",
    "eventType",
    "overlapSeconds",
    "jsonSchema",
    "other",
];

/// A document that is valid but for some values.
fn document() -> impl Strategy<Value = (Value, Value, Value, Value, Value)> {
    let changed =
        proptest::collection::btree_map(proptest::sample::select(&ALL_KEYS[..]), value(), 0..3);
    (changed, any::<bool>()).prop_map(|(changed, enabled)| {
        let only = |of: &[&str], base: Value| {
            let mut document: Map<String, Value> = base.as_object().unwrap().clone();
            let known = changed.iter().filter(|(key, _)| of.contains(key) || **key == "other");
            document.extend(known.map(|(key, value)| ((*key).to_owned(), value.clone())));
            Value::Object(document)
        };
        let base = json!({"name": "n", "url": "https://h", "events": ["*"], "enabled": enabled});
        let event_type = only(&["name", "description", "jsonSchema"], json!({"name": "a"}));
        (
            only(&ALL_KEYS[..8], base),
            only(&ALL_KEYS[..9], json!({ "enabled": enabled })),
            only(
                &["enabled", "limit", "after", "nameContains", "eventType", "metadata"],
                json!({}),
            ),
            only(&["secret", "overlapSeconds"], json!({})),
            json!({ "eventTypes": [event_type] }),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_schema_rejects_a_document_that_the_crate_accepts(documents in document()) {
        let (new, update, query, rotation, catalog) = documents;
        NEW.accepts(&new);
        UPDATE.accepts(&update);
        QUERY.accepts(&query);
        ROTATION.accepts(&rotation);
        CATALOG.accepts(&catalog);
    }
}

#[test]
fn what_a_registry_writes_fits_its_schemas_and_has_no_other_keys() {
    let registry = registry().for_owner("acme").unwrap();
    let full = new("full").description("d").metadata("k", "v").secret(SEED_SECRET);
    let full = full.enabled(false).disabled_reason("r");
    let created = [registry.create(full).unwrap(), registry.create(new("bare")).unwrap()];
    let schemas = (
        validator(&Created::json_schema()),
        validator(&Subscription::json_schema()),
        validator(&Page::json_schema()),
    );
    for created in &created {
        let document = serde_json::to_value(created).unwrap();
        schemas.0.validate(&document).unwrap();
        assert!(!schemas.1.is_valid(&document), "a subscription has no secret");
        let subscription = serde_json::to_value(created.subscription()).unwrap();
        schemas.1.validate(&subscription).unwrap();
        assert!(!schemas.0.is_valid(&subscription), "the secret is missing");
        for key in ["subscriptionId", "name", "url", "events", "enabled", "createdAt", "revision"] {
            let mut without = subscription.clone();
            without.as_object_mut().unwrap().remove(key).unwrap();
            assert!(!schemas.1.is_valid(&without), "{key} is always there");
        }
    }
    let keys = |schema: Value| -> Vec<String> {
        schema["properties"].as_object().unwrap().keys().cloned().collect()
    };
    let mut written: Vec<String> =
        serde_json::to_value(&created[0]).unwrap().as_object().unwrap().keys().cloned().collect();
    let mut known = keys(Created::json_schema());
    written.sort();
    known.sort();
    assert_eq!(written, known);
    for limit in [1, 2] {
        let page = registry.list(ListQuery::new().limit(limit)).unwrap();
        schemas.2.validate(&serde_json::to_value(&page).unwrap()).unwrap();
    }
    let catalog = Catalog::from(registry.event_types().unwrap());
    validator(&Catalog::json_schema()).validate(&serde_json::to_value(&catalog).unwrap()).unwrap();
}
