//! Tests oversized input: ten megabytes of JSON, a million keys, adversarial patterns. It is
//! accepted, or rejected quickly with a readable message, and never stored in part.

use std::fmt::Write as _;
use std::time::Duration;

use webhook_registry::{
    Catalog, ErrorKind, EventType, ListQuery, NewSubscription, Registry, SubscriptionUpdate,
};

use crate::support::{contact_center, new, refused, size};

/// Asserts that the call needs little CPU time, also without optimization. The clock of the thread
/// is used, because other programs on the machine do not affect it.
#[track_caller]
pub(crate) fn assert_quick<T>(limit: Duration, what: impl FnOnce() -> T) -> T {
    let began = thread_cpu_time();
    let result = what();
    let took = thread_cpu_time() - began;
    assert!(took < limit, "took {took:?}");
    result
}

/// Returns the CPU time of this thread.
fn thread_cpu_time() -> Duration {
    #[cfg(unix)]
    {
        let worked = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(worked).unwrap()
    }
    #[cfg(not(unix))]
    {
        use std::time::Instant;
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        START.elapsed()
    }
}

pub(crate) const QUICK: Duration = Duration::from_secs(4);

#[track_caller]
pub(crate) fn assert_readable(error: impl std::fmt::Display + std::fmt::Debug) {
    let (shown, debugged) = (error.to_string(), format!("{error:?}"));
    assert!(shown.len() < 8_192, "{} bytes of message", shown.len());
    assert!(debugged.len() < 65_536, "{} bytes of Debug", debugged.len());
}

/// Returns a body for `create` with the given JSON in one field.
fn body(field: &str, json: &str) -> String {
    let mut body = r#"{"name":"a","url":"https://example.com/","events":["agent.*"]"#.to_owned();
    write!(body, r#","{field}":{json}}}"#).unwrap();
    body
}

#[test]
fn a_json_body_of_ten_megabytes_is_rejected_quickly() {
    let registry = contact_center();
    let large = "x".repeat(10 << 20);
    for (name, url, events, field) in [
        (&*large, "https://example.com/", "agent.*", "name"),
        ("a", &*("https://example.com/".to_owned() + &large), "agent.*", "url"),
        ("a", "https://example.com/", &*large, "events[0]"),
    ] {
        let json = serde_json::json!({ "name": name, "url": url, "events": [events] }).to_string();
        let error = assert_quick(QUICK, || {
            let new: NewSubscription = serde_json::from_str(&json).unwrap();
            refused(registry.create(new), ErrorKind::Invalid, &[field])
        });
        assert_readable(error);
    }
    for (field, value) in [
        ("description", format!("\"{large}\"")),
        ("secret", format!("\"{}\"", "A".repeat(10 << 20))),
        ("metadata", format!("{{\"k\":\"{large}\"}}")),
        ("metadata", format!("{{\"{large}\":\"v\"}}")),
    ] {
        let json = body(field, &value);
        let error = assert_quick(QUICK, || {
            let new: NewSubscription = serde_json::from_str(&json).unwrap();
            refused(registry.create(new), ErrorKind::Invalid, &[field])
        });
        assert_readable(error);
    }
    // Errors of serde are equally short.
    for (field, value) in [
        ("enabled", format!("\"{large}\"")),
        (&*large, "1".to_owned()),
        ("metadata", format!("{{\"{large}\":1}}")),
        ("description", "[".repeat(10 << 20)),
    ] {
        let json = body(field, &value);
        assert_readable(assert_quick(QUICK, || {
            serde_json::from_str::<NewSubscription>(&json).unwrap_err()
        }));
    }
    assert!(registry.is_empty().unwrap());
}

#[test]
fn a_million_metadata_keys_are_rejected_without_effect_and_ten_are_accepted() {
    let registry = contact_center();
    let keys = |count: usize| -> String {
        let all: Vec<String> = (0..count).map(|number| format!("\"{number}\":\"\"")).collect();
        format!("{{{}}}", all.join(","))
    };
    let json = body("metadata", &keys(size(200_000, 1_000_000)));
    let began = thread_cpu_time();
    let new: NewSubscription = serde_json::from_str(&json).unwrap();
    assert_readable(refused(registry.create(new), ErrorKind::Invalid, &["metadata"]));
    let update: SubscriptionUpdate =
        serde_json::from_str(&format!("{{\"metadata\":{}}}", keys(size(200_000, 1_000_000))))
            .unwrap();
    let new: NewSubscription = serde_json::from_str(&body("metadata", &keys(10))).unwrap();
    let id = registry.create(new).unwrap().subscription().id();
    let before = registry.get(id).unwrap();
    assert_readable(refused(registry.update(id, update), ErrorKind::Invalid, &["metadata"]));
    assert_eq!(registry.get(id).unwrap(), before);
    let took = thread_cpu_time() - began;
    assert!(took < Duration::from_secs(20), "took {took:?}");
    // A null for each of a million absent keys removes nothing, and changes nothing.
    let nulls =
        keys(size(50_000, 1_000_000)).replace("\"\"", "null").replace("{\"0\":", "{\"zero\":");
    let update: SubscriptionUpdate =
        serde_json::from_str(&format!("{{\"metadata\":{nulls}}}")).unwrap();
    let after = registry.update(id, update).unwrap();
    assert_eq!(after.metadata().len(), 1, "all keys but \"0\" are removed");
}

#[test]
fn oversized_metadata_can_be_reduced() {
    let registry = contact_center();
    let full = (0..50).fold(new("a"), |new, key| new.metadata(key.to_string(), "v"));
    let id = registry.create(full).unwrap().subscription().id();
    let more = SubscriptionUpdate::new().metadata("one more", "v");
    refused(registry.update(id, more.clone()), ErrorKind::Invalid, &["metadata"]);
    assert_eq!(registry.update(id, more.remove_metadata("0")).unwrap().metadata().len(), 50);
}

#[test]
fn a_thousand_problems_in_one_list_are_all_returned_and_ten_are_shown() {
    let registry = contact_center();
    let all =
        (0..1_000).map(|_| NewSubscription::new("", "ftp://x", ["a b", "**"]).secret("short"));
    let error = assert_quick(QUICK, || registry.create_all(all).unwrap_err());
    assert_eq!(error.problems().len(), 1_000 * 5, "one problem per field");
    assert_message_readable(&error);
    assert!(registry.is_empty().unwrap());
}

fn assert_message_readable(error: &webhook_registry::Error) {
    assert!(error.to_string().len() < 8_192);
    assert!(error.to_string().contains("more"), "{error}");
}

#[test]
fn a_schema_at_the_depth_and_size_limits_round_trips_and_a_larger_one_is_rejected() {
    let registry = Registry::in_memory().unwrap();
    let array = |inner| serde_json::Value::Array(vec![inner]);
    let object = |inner| serde_json::json!({ "k": inner });
    for nest in [array, object] {
        let nested =
            |depth: usize| (0..depth).fold(serde_json::Value::Null, |inner, _| nest(inner));
        // serde_json reads 127 levels, and each document around a schema adds some.
        let registry = Registry::in_memory().unwrap();
        let deep = EventType::new("deep").with_json_schema(nested(124));
        registry.register_event_type(deep.clone()).unwrap();
        assert_eq!(registry.event_type("deep").unwrap(), Some(deep.clone()));
        assert_eq!(registry.changes(0, 1).unwrap()[0].fields()[1].after(), deep.json_schema());
        let document = serde_json::to_string(&registry.export().unwrap()).unwrap();
        let other = Registry::in_memory().unwrap();
        other.import(serde_json::from_str(&document).unwrap()).unwrap();
        assert_eq!(other.event_types().unwrap(), registry.event_types().unwrap());
        let catalog = serde_json::to_string(&Catalog::from(vec![deep.clone()])).unwrap();
        assert_eq!(serde_json::from_str::<Catalog>(&catalog).unwrap().event_types, [deep]);
        for depth in [125, 126, 127, 128, 129, 1_000] {
            let deeper = EventType::new("deeper").with_json_schema(nested(depth));
            let error = registry.register_event_type(deeper);
            assert_readable(refused(error, ErrorKind::Invalid, &["jsonSchema"]));
        }
    }
    let text =
        |bytes: usize| EventType::new("large").with_json_schema("x".repeat(bytes - 2).into());
    registry.register_event_type(text(256 << 10)).unwrap();
    assert_eq!(registry.event_type("large").unwrap(), Some(text(256 << 10)));
    refused(
        registry.register_event_type(text((256 << 10) + 1)),
        ErrorKind::Invalid,
        &["jsonSchema"],
    );
}

#[test]
fn a_large_catalog_is_registered_completely_or_not_at_all() {
    let registry = Registry::in_memory().unwrap();
    let count = size(2_000, 100_000);
    let mut names: Vec<EventType> =
        (0..count).map(|number| EventType::new(format!("a.b.v{number}"))).collect();
    names.push(EventType::new("no name"));
    let field = format!("[{count}].name");
    let error = registry.register_event_types(Catalog::from(names.clone()));
    refused(error, ErrorKind::Invalid, &[&field]);
    assert!(registry.event_types().unwrap().is_empty());
    names.pop();
    registry.create(new("all").allow_unknown_events(true)).unwrap();
    registry.register_event_types(names).unwrap();
    assert_eq!(registry.expand("a.*").unwrap().len(), count);
    assert_eq!(registry.expand("*.v1?").unwrap().len(), 10);
}

#[test]
fn lookups_of_ten_megabytes_return_nothing_quickly() {
    let registry = contact_center();
    registry.create(new("a")).unwrap();
    let large = "a.".repeat(5 << 20);
    assert_quick(QUICK, || {
        assert_eq!(registry.get_by_name(&large).unwrap(), None);
        assert_eq!(registry.event_type(&large).unwrap(), None);
        assert_readable(refused(registry.expand(&large), ErrorKind::Invalid, &["pattern"]));
    });
    let query = ListQuery::new().name_contains(&*large).metadata(&*large, "v");
    assert_eq!(assert_quick(QUICK, || registry.count(query).unwrap()), 0);
    assert_readable(large.parse::<webhook_registry::SubscriptionId>().unwrap_err());
}

#[test]
fn an_event_type_of_one_megabyte_is_not_found_quickly() {
    let registry = contact_center();
    let large = "a.".repeat(1 << 19);
    for error in assert_quick(QUICK * 2, || {
        [
            registry.subscribers(&large).unwrap_err(),
            registry.explain(&large).unwrap_err(),
            registry.list(ListQuery::new().event_type(&*large)).unwrap_err(),
            registry.remove_event_type(&large).unwrap_err(),
        ]
    }) {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_readable(error);
    }
}
