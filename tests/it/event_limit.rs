//! Tests the limit of 256 events of a subscription, through every call that can set them.

use std::time::Duration;

use serde_json::json;
use webhook_registry::{
    Error, ErrorKind, Export, NewSubscription, Prune, Registry, SubscriptionUpdate,
};

use crate::oversized_input::{QUICK, assert_quick, assert_readable};
use crate::support::{contact_center, new, refused, size};

const LIMIT: usize = 256;

fn many(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("e{number}")).collect()
}

fn with_events(events: &[String]) -> NewSubscription {
    NewSubscription::new("crm", "https://example.com/", events).allow_unknown_events(true)
}

/// Asserts that the number of events is the only problem, in this field.
#[track_caller]
fn assert_too_many<T: std::fmt::Debug>(result: Result<T, Error>, field: &str) {
    let error = refused(result, ErrorKind::Invalid, &[field]);
    let message = error.problems()[0].message();
    assert!(message.contains("at most 256 events, not 257"), "{message}");
}

#[test]
fn a_subscription_has_at_most_256_events_by_every_call_that_sets_them() {
    let (most, more) = (many(LIMIT), many(LIMIT + 1));
    let registry = contact_center();
    assert_too_many(registry.create(with_events(&more)), "events");
    assert_too_many(registry.create_all([new("one"), with_events(&more)]), "[1].events");
    assert_too_many(registry.ensure(with_events(&more)), "events");
    assert_too_many(registry.plan([with_events(&more)], Prune::Keep), "[0].events");
    let id = registry.create(new("crm")).unwrap().subscription().id();
    let update =
        |events: &[String]| SubscriptionUpdate::new().events(events).allow_unknown_events(true);
    assert_too_many(registry.update(id, update(&more)), "events");
    assert_too_many(registry.ensure(with_events(&more)), "events");
    assert_eq!(registry.len().unwrap(), 1);

    assert_eq!(registry.update(id, update(&most)).unwrap().events().len(), LIMIT);
    registry.ensure(with_events(&most)).unwrap();
    assert!(registry.plan([with_events(&most)], Prune::Keep).unwrap().is_empty());
    registry.delete(id).unwrap();
    let created = registry.create(with_events(&most)).unwrap();
    assert_eq!(created.subscription().events().len(), LIMIT);
}

#[test]
fn an_import_of_more_than_256_events_is_rejected_and_one_of_256_is_not() {
    let registry = contact_center();
    registry.create(with_events(&many(LIMIT))).unwrap();
    let document = serde_json::to_value(registry.export().unwrap()).unwrap();
    let import = |document: &serde_json::Value| {
        let document: Export = serde_json::from_value(document.clone()).unwrap();
        Registry::in_memory().unwrap().import(document)
    };
    import(&document).unwrap();
    let mut larger = document;
    larger["subscriptions"][0]["events"] = json!(many(LIMIT + 1));
    assert_too_many(import(&larger), "subscriptions[0].events");
}

#[test]
fn the_number_of_events_is_validated_before_deduplication() {
    let registry = contact_center();
    let repeated = |event: &str, count| {
        registry.create(NewSubscription::new("crm", "https://example.com/", vec![event; count]))
    };
    assert_too_many(repeated("**", LIMIT + 1), "events");
    assert_too_many(repeated("agent.*", LIMIT + 1), "events");
    refused(repeated("agent.*", 0), ErrorKind::Invalid, &["events"]);
    assert_eq!(repeated("agent.*", LIMIT).unwrap().subscription().events(), ["agent.*"]);
}

#[test]
fn the_maximum_of_256_adversarial_patterns_is_accepted_quickly() {
    let registry = Registry::in_memory().unwrap();
    let names: Vec<String> =
        (0..size(100, 1_000)).map(|number| format!("{}{number}", "a".repeat(250))).collect();
    registry.register_event_types(names).unwrap();
    let patterns: Vec<String> =
        (0..256).map(|number| "*a".repeat(120) + &format!("*{number}")).collect();
    let hostile = NewSubscription::new("hostile", "https://example.com/", &patterns)
        .allow_unknown_events(true);
    let limit = Duration::from_secs(size(4, 60));
    let made = assert_quick(limit, || registry.create(hostile).unwrap());
    assert_eq!(made.subscription().events().len(), 256);
    let name = "a".repeat(250) + "new255";
    assert_quick(limit, || registry.register_event_type(name.as_str()).unwrap());
    assert_eq!(registry.subscribers(&name).unwrap().len(), 1);
    // All are misspelt: the search for suggestions is bounded.
    let registry = contact_center();
    let unknown: Vec<String> =
        (0..256).map(|number| "b".repeat(250) + &number.to_string()).collect();
    let error = assert_quick(limit, || {
        registry
            .create(NewSubscription::new("unknown", "https://example.com/", unknown))
            .unwrap_err()
    });
    assert_eq!(error.problems().len(), 256, "one problem per event");
    assert_readable(error);
    let one_more = vec!["*"; 257];
    let error = registry.create(NewSubscription::new("b", "https://example.com/", one_more));
    refused(error, ErrorKind::Invalid, &["events"]);
    let million = vec!["?"; size(100_000, 1_000_000)];
    let new = NewSubscription::new("b", "https://example.com/", million);
    assert_readable(assert_quick(QUICK, || {
        refused(registry.create(new), ErrorKind::Invalid, &["events"])
    }));
}
