//! `from_json`: every fault of a document's shape at once, each with its key.

use std::fmt::Debug;
use std::time::Duration;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use webhook_registry::{
    Error, ErrorKind, ListQuery, NewSubscription, Rotation, SubscriptionUpdate,
};

use crate::support::{SEED, SEED_SECRET, contact_center, new, refused};

const SECRET: &str = "Leaky0WHqXISxMAgoYneiFhgdGrOgYeToYPN3HjIO4xA";

/// The types with a `from_json`.
trait FromJson: DeserializeOwned + Debug + PartialEq {
    fn read(document: &[u8]) -> Result<Self, Error>;
}

macro_rules! from_json {
    ($($type:ty),*) => {
        $(impl FromJson for $type {
            fn read(document: &[u8]) -> Result<Self, Error> {
                <$type>::from_json(document)
            }
        })*
    };
}

from_json!(NewSubscription, SubscriptionUpdate, ListQuery, Rotation);

/// Reads a document that is rejected, and returns its problems as `field: message`.
#[track_caller]
fn faults<T: FromJson>(document: impl AsRef<[u8]>) -> Vec<String> {
    let document = document.as_ref();
    let error = T::read(document).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(serde_json::from_slice::<T>(document).is_err(), "{error}");
    let shown = format!("{error} {error:?} {}", error.to_problem());
    assert!(!shown.contains("Leaky") && !shown.contains("4711"), "{shown}");
    error.problems().iter().map(ToString::to_string).collect()
}

/// The keys of a new subscription, as a message lists them.
const KEYS: &str =
    "the keys are name, url, events, enabled, secret, description, metadata, disabledReason";

#[test]
fn every_fault_of_a_new_subscription_is_reported_with_its_key() {
    assert_eq!(
        faults::<NewSubscription>(br#"{"name":5,"url":7,"evnts":[]}"#),
        [
            "name: expected a string, found a number".to_owned(),
            "url: expected a string, found a number".to_owned(),
            format!(r#"evnts: unknown key "evnts"; {KEYS}"#),
            r#"events: missing key "events""#.to_owned(),
        ]
    );
    let all = json!({
        "name": null, "url": [SECRET, {"a": SECRET}], "events": ["*", 4711, null, [SECRET], {}],
        "enabled": SECRET, "secret": {"a": SECRET}, "description": [4711],
        "metadata": {"a": 1, "b": "x", "c": null, "d": [SECRET]}, "allowUnknownEvents": true,
        "owner": SECRET, "disabledReason": [SECRET], "disabledAt": SECRET,
    });
    let mut found = faults::<NewSubscription>(all.to_string());
    found.sort();
    let mut expected = vec![
        "name: expected a string, found null".to_owned(),
        "url: expected a string, found an array".to_owned(),
        "events[1]: expected a string, found a number".to_owned(),
        "events[2]: expected a string, found null".to_owned(),
        "events[3]: expected a string, found an array".to_owned(),
        "events[4]: expected a string, found an object".to_owned(),
        "enabled: expected a boolean or null, found a string".to_owned(),
        "secret: expected a string or null, found an object".to_owned(),
        "description: expected a string or null, found an array".to_owned(),
        r#"metadata: "a": expected a string, found a number"#.to_owned(),
        r#"metadata: "c": expected a string, found null"#.to_owned(),
        r#"metadata: "d": expected a string, found an array"#.to_owned(),
        format!(r#"allowUnknownEvents: unknown key "allowUnknownEvents"; {KEYS}"#),
        format!(r#"owner: unknown key "owner"; {KEYS}"#),
        "disabledReason: expected a string or null, found an array".to_owned(),
        format!(r#"disabledAt: unknown key "disabledAt"; {KEYS}"#),
    ];
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(
        faults::<NewSubscription>("{}"),
        ["name", "url", "events"].map(|key| format!("{key}: missing key {key:?}"))
    );
}

#[test]
fn every_fault_of_an_update_a_query_and_a_rotation_is_reported_with_its_key() {
    let update = json!({"ifRevision": -4711, "enabled": null, "metadata": {"a": 1}, "x": 1});
    assert_eq!(faults::<SubscriptionUpdate>(update.to_string()).len(), 4);
    let query = r#"{"limit": "10", "enabled": "true", "after": "x", "metadata": {"a": null}}"#;
    assert_eq!(
        ListQuery::from_json(query.as_bytes()).unwrap_err().to_string(),
        "limit: expected a whole number from 0 or null, found a string; \
         enabled: expected a boolean or null, found a string; \
         after: a subscription id has 26 characters, not 1; \
         metadata: \"a\": expected a string, found null"
    );
    assert_eq!(
        faults::<ListQuery>(r#"{"after": [["01K9V3T0Z2B4C6D8E0F2G4H6J8"]], "owner": "acme"}"#),
        [
            "after: expected a string or null, found an array".to_owned(),
            "owner: unknown key \"owner\"; the keys are enabled, nameContains, eventType, \
             metadata, after, limit"
                .to_owned(),
        ]
    );
    assert_eq!(
        faults::<Rotation>(r#"{"secret": 1, "overlapSeconds": 1.5, "overlap": 3}"#),
        [
            "secret: expected a string or null, found a number",
            "overlapSeconds: expected a whole number from 0 or null, found a number",
            "overlap: unknown key \"overlap\"; the keys are secret, overlapSeconds",
        ]
    );
}

#[test]
fn a_repeated_key_is_reported_once_and_its_values_are_both_read() {
    let document = r#"{"name": "a", "name": 1, "name": "b", "url": 1, "url": 2, "events": ["*"],
        "metadata": {"k": "Leaky", "k": 1, "k": "Leaky", "l": "x"}}"#;
    assert_eq!(
        faults::<NewSubscription>(document),
        [
            r#"name: the key "name" appears twice"#,
            "name: expected a string, found a number",
            "url: expected a string, found a number",
            r#"url: the key "url" appears twice"#,
            "url: expected a string, found a number",
            r#"metadata: "k": expected a string, found a number"#,
            r#"metadata: "k": the key appears twice"#,
        ]
    );
}

#[test]
fn a_document_that_is_no_object_is_a_fault_of_the_body() {
    for (document, found) in [
        ("5", "a number"),
        ("1.5", "a number"),
        ("true", "a boolean"),
        ("null", "null"),
        (r#""Leaky""#, "a string"),
        (r#"[{"name": "Leaky"}]"#, "an array"),
    ] {
        let expected = [format!("body: expected an object, found {found}")];
        assert_eq!(faults::<NewSubscription>(document), expected);
        assert_eq!(faults::<SubscriptionUpdate>(document), expected);
        assert_eq!(faults::<ListQuery>(document), expected);
        assert_eq!(faults::<Rotation>(document), expected);
    }
}

#[test]
fn a_text_that_is_not_json_is_a_fault_of_the_body_with_its_position() {
    for (document, at) in [
        (&b""[..], "line 1 column 0"),
        (b"   \n ", "line 2 column 1"),
        (br#"{"name": "#, "line 1 column 9"),
        (b"{\"name\": 5,\n \"url\": Leaky}", "line 2 column 9"),
        (br#"{"name": 5} Leaky"#, "line 1 column 13"),
        (b"{} {}", "line 1 column 4"),
        (b"[1, 2", "line 1 column 5"),
        (b"5 x", "line 1 column 3"),
        (br#"{"unknown": [1, {"a": }]}"#, "line 1 column 23"),
        (br#"{"events": {"a": [1, }}"#, "line 1 column 22"),
        (b"{\"name\": \"\xff\"}", "line 1 column 11"),
        (b"{\n\"name\": \"\xc3\xa9\xff\"}", "line 2 column 12"),
        (b"\xef\xbb\xbf{}", "line 1 column 1"),
        (b"name=Leaky", "line 1 column 2"),
    ] {
        for found in [faults::<NewSubscription>(document), faults::<ListQuery>(document)] {
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with("body: not JSON: "), "{found:?}");
            assert!(found[0].ends_with(at), "{found:?} is not at {at}");
        }
    }
}

#[test]
fn a_thousand_faults_are_listed_and_the_rest_is_counted() {
    let document = |count: usize| format!(r#"{{"events": [{}]}}"#, vec!["1"; count].join(","));
    for (count, last) in [
        (998, r#"url: missing key "url""#),
        (999, "body: 1 more problem"),
        (1_000, "body: 2 more problems"),
        (100_000, "body: 99002 more problems"),
    ] {
        let found = faults::<NewSubscription>(document(count));
        assert_eq!(found.len(), 1_001.min(count + 2));
        assert_eq!(found[0], "events[0]: expected a string, found a number");
        assert_eq!(found.last().unwrap(), last);
    }
    let keys: Vec<String> = (0..5_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let found = faults::<ListQuery>(format!("{{{}}}", keys.join(",")));
    assert_eq!((found.len(), &*found[1_000]), (1_001, "body: 4000 more problems"));
}

#[test]
fn a_key_that_could_be_a_secret_is_not_repeated_and_a_long_one_is_cut() {
    for secret in [SECRET.to_owned(), format!("whsec_{SECRET}"), "Leaky=".to_owned()] {
        let hidden = format!("({} bytes, not shown because it could be a secret)", secret.len());
        let document = json!({(&*secret): 1, "name": "n", "metadata": {(&*secret): 1}}).to_string();
        let error = NewSubscription::from_json(document.as_bytes()).unwrap_err();
        let mut fields: Vec<&str> = error.problems().iter().map(|it| it.field()).collect();
        fields.sort_unstable();
        assert_eq!(fields, [&*hidden, "events", "metadata", "url"]);
        let found = faults::<NewSubscription>(document);
        assert!(found.contains(&format!("{hidden}: unknown key {hidden}; {KEYS}")), "{found:?}");
        assert!(found.contains(&format!("metadata: {hidden}: expected a string, found a number")));
    }
    let long = "a key. ".repeat(10);
    let error = Rotation::from_json(json!({ &*long: 1 }).to_string().as_bytes()).unwrap_err();
    assert_eq!(error.problems()[0].field(), "a key. a key. a …");
    assert_eq!(
        error.problems()[0].message(),
        r#"unknown key "a key. a key. a "…; the keys are secret, overlapSeconds"#
    );
    // The field is the key itself. Only people see it escaped.
    let error = Rotation::from_json("{\"a\\u2028b\": 1}".as_bytes()).unwrap_err();
    assert_eq!(error.problems()[0].field(), "a\u{2028}b");
    assert!(!error.to_string().contains('\u{2028}'), "{error}");
}

#[test]
fn hostile_depths_and_sizes_are_read_in_one_pass() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = format!("{}0{}", open.repeat(200_000), close.repeat(200_000));
        for document in [
            format!(r#"{{"unknown": {deep}}}"#),
            format!(r#"{{"name": {deep}}}"#),
            format!(r#"{{"events": [{deep}]}}"#),
            format!(r#"{{"metadata": {{"a": {deep}}}}}"#),
            format!("[{deep}]"),
            deep,
        ] {
            let error = NewSubscription::from_json(document.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(!error.problems()[0].message().contains("not JSON"), "{error}");
        }
    }
    let unclosed = "[".repeat(1_000_000);
    let found = faults::<NewSubscription>(&unclosed);
    assert!(found[0].starts_with("body: not JSON: EOF"), "{found:?}");
    let text = "x".repeat(4_000_000);
    let error =
        NewSubscription::from_json(json!({ &*text: text, "name": 1 }).to_string().as_bytes())
            .unwrap_err();
    assert!(error.to_string().len() < 1_000, "{error}");
}

#[test]
fn a_number_that_serde_json_passes_as_an_object_is_a_number() {
    for number in ["123456789012345678901234567890", "1.5", "-1", "1e5"] {
        for key in ["limit", "enabled"] {
            let found = faults::<ListQuery>(format!(r#"{{"{key}": {number}}}"#));
            assert!(found[0].ends_with("found a number"), "{found:?}");
        }
    }
    for key in ["$serde_json::private::RawValue", "$serde_json::private::Number"] {
        let found = faults::<ListQuery>(json!({"limit": {key: "12"}}).to_string());
        assert!(found[0].ends_with("found an object"), "{found:?}");
        assert_eq!(faults::<Rotation>(json!({key: "12"}).to_string()).len(), 1);
        let document = json!({"metadata": {key: "12"}}).to_string();
        assert_eq!(
            ListQuery::from_json(document.as_bytes()).unwrap(),
            ListQuery::new().metadata(key, "12")
        );
    }
}

#[test]
fn what_is_read_is_what_a_setter_says() {
    let seed = NewSubscription::from_json(SEED.as_bytes()).unwrap();
    assert_eq!(seed, serde_json::from_str(SEED).unwrap());
    let rotation = |document: &str| {
        let read = Rotation::from_json(document.as_bytes()).unwrap();
        assert_eq!(read, serde_json::from_str(document).unwrap());
        read
    };
    for nothing in ["{}", r#"{"secret": null, "overlapSeconds": null}"#] {
        assert_eq!(rotation(nothing), Rotation::new());
    }
    let hour = Duration::from_secs(3_600);
    assert_eq!(
        rotation(&json!({"secret": SEED_SECRET, "overlapSeconds": 3600}).to_string()),
        Rotation::new().secret(SEED_SECRET).overlap(hour)
    );
    let query = br#"{"enabled": null, "limit": 7, "nameContains": "", "eventType": ""}"#;
    assert_eq!(
        ListQuery::from_json(query).unwrap(),
        ListQuery::new().limit(7).name_contains("").event_type("")
    );
}

#[test]
fn the_overlap_of_a_rotation_from_json_is_validated_by_the_call() {
    let registry = contact_center();
    let id = registry.create(new("crm")).unwrap().subscription().id();
    let month = 30 * 24 * 3_600;
    let rotate = |seconds: u64| {
        let document = json!({ "overlapSeconds": seconds }).to_string();
        registry.rotate_secret(id, Rotation::from_json(document.as_bytes()).unwrap())
    };
    rotate(month).unwrap();
    rotate(0).unwrap();
    for seconds in [month + 1, u64::MAX] {
        refused(rotate(seconds), ErrorKind::Invalid, &["overlap"]);
    }
}

/// A value of any type, often one that fits.
fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        3 => Just(r#""text""#.to_owned()),
        1 => Just(r#""""#.to_owned()),
        1 => Just("true".to_owned()),
        1 => Just("null".to_owned()),
        1 => (0..3_u64).prop_map(|number| number.to_string()),
        1 => Just("-1".to_owned()),
        1 => Just("0.5".to_owned()),
        1 => Just(r#""01K9V3T0Z2B4C6D8E0F2G4H6J8""#.to_owned()),
    ];
    scalar.prop_recursive(2, 12, 4, |inner| {
        let entry = ("[ab]", inner.clone());
        prop_oneof![
            proptest::collection::vec(inner, 0..4)
                .prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::vec(entry, 0..4).prop_map(|entries| {
                let entry = |(key, value): &(String, String)| format!("\"{key}\":{value}");
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

fn document() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("name"),
        Just("url"),
        Just("events"),
        Just("enabled"),
        Just("secret"),
        Just("description"),
        Just("metadata"),
        Just("ifRevision"),
        Just("limit"),
        Just("after"),
        Just("nameContains"),
        Just("overlapSeconds"),
        Just("other"),
    ];
    let entries = proptest::collection::vec((key, value()), 0..6);
    (entries, any::<bool>(), 0..40_usize).prop_map(|(entries, whole, cut)| {
        let mut all: Vec<String> =
            entries.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        if whole {
            all.push(r#""name":"n","url":"u","events":["e"]"#.to_owned());
        }
        let mut text = format!("{{{}}}", all.join(","));
        if cut == 0 {
            text.truncate(text.len() / 2);
        }
        text
    })
}

/// Both readers accept the same documents with the same result, and the first fault of the one is
/// the first of the other.
fn assert_agrees<T: FromJson>(text: &str) {
    match (T::read(text.as_bytes()), serde_json::from_str::<T>(text)) {
        (Ok(one), Ok(other)) => assert_eq!(one, other, "{text}"),
        (Err(error), Err(other)) => {
            assert!(!error.problems().is_empty());
            if error.problems()[0].field() != "body" && !text.contains("metadata") {
                let message = error.problems()[0].message();
                let other = other.to_string();
                // Missing keys are one message there.
                let same = other.contains(message) || message.starts_with("missing key ");
                assert!(same, "{text}: {message} / {other}");
            }
        }
        (one, other) => panic!("{text}: {one:?} {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn from_json_accepts_the_documents_that_deserialize_accepts(text in document()) {
        assert_agrees::<NewSubscription>(&text);
        assert_agrees::<SubscriptionUpdate>(&text);
        assert_agrees::<Rotation>(&text);
        // A query also accepts texts by `Deserialize`.
        if let Ok(read) = ListQuery::from_json(text.as_bytes())
            && !text.contains(r#""""#)
        {
            prop_assert_eq!(read, serde_json::from_str::<ListQuery>(&text).unwrap());
        }
    }
}

#[test]
fn values_do_not_matter_to_the_shape() {
    let document = json!({"name": "", "url": "", "events": [], "secret": "x"}).to_string();
    let read = NewSubscription::from_json(document.as_bytes()).unwrap();
    let error = contact_center().create(read).unwrap_err();
    let fields: Vec<&str> = error.problems().iter().map(|problem| problem.field()).collect();
    assert_eq!(fields, ["name", "url", "events", "secret"]);
    assert_eq!(error.to_problem()["errors"].as_array().map(Vec::len), Some(4));
    let _: Value = error.to_problem();
}
