//! Tests that JSON input is validated, stored unchanged or rejected without effect, and that no
//! message repeats a secret of the input.
//!
//! The input has the body of a `POST` or a `PATCH` on each line.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use webhook_registry::{
    Created, Error, ErrorKind, ListQuery, NewSubscription, Registry, Subscription, SubscriptionId,
    SubscriptionUpdate,
};

#[allow(dead_code, reason = "the tests use the rest of it")]
#[path = "../../tests/it/support/oracle.rs"]
mod oracle;

const TYPES: [&str; 3] = ["agent.presencechanged.v1", "channel.held.v1", "a"];

/// Returns the content of the registry and the number of its last change.
fn state(registry: &Registry) -> String {
    let document = serde_json::to_string(&registry.export().unwrap()).unwrap();
    format!("{} {document}", registry.last_change().unwrap())
}

/// Asserts the rules that every stored subscription satisfies.
fn assert_rules(subscription: &Subscription) {
    let name = subscription.name();
    assert!((1..=128).contains(&name.chars().count()) && name.trim() == name);
    assert!(!name.chars().any(char::is_control));
    let url = subscription.url();
    let scheme = url.split_once("://").expect("a scheme").0.to_ascii_lowercase();
    assert!(["http", "https"].contains(&&*scheme) && url.len() <= 2_048);
    assert!(!url.contains(|c: char| c.is_whitespace() || c.is_control() || "\\#".contains(c)));
    let authority = url[scheme.len() + 3..].split(['/', '?']).next().unwrap();
    assert!(!authority.is_empty() && !authority.contains('@'));
    let events = subscription.events();
    assert!((1..=256).contains(&events.len()));
    assert!(events.iter().all(|pattern| oracle::accepts(pattern.as_str())));
    assert_eq!(events.iter().collect::<BTreeSet<_>>().len(), events.len());
    let metadata = subscription.metadata();
    assert!(metadata.len() <= 50 && metadata.keys().all(|key| (1..=128).contains(&key.len())));
    assert!(metadata.values().all(|value| value.len() <= 1_024));
    assert!(
        subscription.description().is_none_or(|text| text.len() <= 4_096 && !text.contains('\0'))
    );
    let reason = subscription.disabled_reason();
    assert!(reason.is_none_or(|text| (1..=1_024).contains(&text.len()) && !text.contains('\0')));
    assert!(reason.is_none() || !subscription.enabled());
    assert_eq!(subscription.disabled_at().is_none(), subscription.enabled());
}

/// Asserts that dispatch returns the subscriptions with a matching pattern.
fn assert_dispatched(registry: &Registry) {
    let all: Vec<Subscription> = registry.iter(ListQuery::new()).map(Result::unwrap).collect();
    for name in TYPES {
        let matching = all.iter().filter(|one| one.enabled());
        let matching =
            matching.filter(|one| one.events().iter().any(|it| oracle::matches(it.as_str(), name)));
        let expected: Vec<SubscriptionId> = matching.map(Subscription::id).collect();
        let found = registry.subscribers(name).unwrap();
        assert_eq!(found.iter().map(|one| one.id()).collect::<Vec<_>>(), expected, "{name}");
    }
}

/// Asserts that a created subscription has the fields of the request, and can be recreated.
fn assert_as_asked(body: &Value, created: &Created) {
    let (subscription, secret) = (created.subscription(), created.secret());
    assert_rules(subscription);
    let json = serde_json::to_value(created).unwrap();
    for key in ["name", "url", "description", "disabledReason"] {
        assert_eq!(json.get(key), body.get(key).filter(|value| !value.is_null()), "{key}");
    }
    let enabled = body.get("enabled").filter(|value| !value.is_null());
    assert_eq!(&json["enabled"], enabled.unwrap_or(&Value::Bool(true)));
    let mut events = body["events"].as_array().unwrap().clone();
    let mut seen = Vec::new();
    events.retain(|event| {
        !seen.contains(event) && {
            seen.push(event.clone());
            true
        }
    });
    assert_eq!(json["events"].as_array(), Some(&events));
    assert_eq!(json["secret"], secret.expose());
    if let Some(given) = body.get("secret").filter(|value| !value.is_null()) {
        assert_eq!(given, secret.expose());
    }
    assert!((32..=128).contains(&secret.key().len()));
    let other = Registry::in_memory().unwrap();
    let again =
        NewSubscription::from(subscription).allow_unknown_events(true).secret(secret.expose());
    let again = other.create(again).unwrap();
    assert_eq!(again.secret(), secret);
    let again = serde_json::to_value(again).unwrap();
    for key in
        ["name", "url", "events", "enabled", "secret", "description", "metadata", "disabledReason"]
    {
        assert_eq!(json.get(key), again.get(key), "{key}");
    }
}

/// Asserts that the message does not repeat the text of the key `secret`.
fn assert_silent(body: &Value, line: &str, message: &str) {
    // Text that also occurs elsewhere may be repeated for that reason.
    if let Some(Value::String(secret)) = body.get("secret")
        && secret.len() >= 12
        && line.matches(&**secret).count() == 1
    {
        assert!(!message.contains(&**secret), "{message}");
    }
}

fuzz_target!(|text: &str| {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(TYPES).unwrap();
    let mut before = state(&registry);
    for line in text.split('\n').take(12) {
        let body: Value = serde_json::from_str(line).unwrap_or_default();
        let new = serde_json::from_str::<NewSubscription>(line);
        let update = serde_json::from_str::<SubscriptionUpdate>(line);
        // Both readers accept the same documents.
        let (new_json, update_json) = (
            NewSubscription::from_json(line.as_bytes()),
            SubscriptionUpdate::from_json(line.as_bytes()),
        );
        assert_eq!(new_json.as_ref().ok(), new.as_ref().ok());
        assert_eq!(update_json.as_ref().ok(), update.as_ref().ok());
        for error in [new_json.err(), update_json.err()].into_iter().flatten() {
            assert!(!error.problems().is_empty());
            assert_silent(&body, line, &format!("{error} {error:?}"));
        }
        for error in [new.as_ref().err(), update.as_ref().err()].into_iter().flatten() {
            assert_silent(&body, line, &error.to_string());
        }
        let refused = |error: &Error, before: &str| {
            assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Conflict), "{error}");
            assert!(!error.problems().is_empty());
            assert_silent(&body, line, &format!("{error} {error:?}"));
            assert_eq!(state(&registry), before, "a rejected call changed the registry: {error}");
        };
        // A permission that no document can give.
        let allow = line.starts_with(' ');
        if let Ok(new) = new {
            match registry.create(new.allow_unknown_events(allow)) {
                Ok(created) => assert_as_asked(&body, &created),
                Err(error) => refused(&error, &before),
            }
            before = state(&registry);
        }
        if let Ok(update) = update
            && let Some(found) = registry.list(ListQuery::new()).unwrap().subscriptions().last()
        {
            match registry.update(found.id(), update.clone()) {
                Ok(after) => {
                    assert_rules(&after);
                    assert_eq!(registry.get(after.id()).unwrap().as_ref(), Some(&after));
                    let changed = state(&registry) != before;
                    assert_eq!(after.revision(), found.revision() + u64::from(changed));
                    before = state(&registry);
                    // Repeating the update has no effect, or fails because of its revision.
                    match registry.update(found.id(), update) {
                        Ok(again) => assert_eq!(again, after),
                        Err(error) => assert_eq!(error.problems()[0].field(), "ifRevision"),
                    }
                    assert_eq!(state(&registry), before);
                }
                Err(error) => refused(&error, &before),
            }
        }
    }
    assert_dispatched(&registry);
    assert!(registry.check().unwrap().is_sound());
});
