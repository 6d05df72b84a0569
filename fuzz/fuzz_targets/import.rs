//! Tests that an import is applied completely or not at all, that the result is sound, and that its
//! export round-trips.
//!
//! The input is the document.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webhook_registry::{ErrorKind, Export, ListQuery, Registry, Subscription, SubscriptionId};

#[allow(dead_code, reason = "the tests use the rest of it")]
#[path = "../../tests/it/support/oracle.rs"]
mod oracle;

/// Returns a registry whose fixed clock precedes the expiry of every secret.
fn registry() -> Registry {
    Registry::options().clock(|| std::time::UNIX_EPOCH).in_memory().unwrap()
}

fn document(registry: &Registry) -> String {
    serde_json::to_string(&registry.export().unwrap()).unwrap()
}

fuzz_target!(|text: &str| {
    let Ok(export) = serde_json::from_str::<Export>(text) else { return };
    let first = registry();
    if let Err(error) = first.import(export) {
        let kinds = [ErrorKind::Invalid, ErrorKind::Incompatible, ErrorKind::Conflict];
        assert!(kinds.contains(&error.kind()), "{error}");
        assert_eq!(
            document(&first),
            document(&registry()),
            "a rejected import changed the registry"
        );
        assert_eq!(first.last_change().unwrap(), 0);
        return;
    }
    let all: Vec<Subscription> = first.iter(ListQuery::new()).map(Result::unwrap).collect();
    for event_type in first.event_types().unwrap() {
        let name = event_type.name();
        let matching = all.iter().filter(|one| one.enabled());
        let matching =
            matching.filter(|one| one.events().iter().any(|it| oracle::matches(it.as_str(), name)));
        let expected: Vec<SubscriptionId> = matching.map(Subscription::id).collect();
        let found = first.subscribers(name).unwrap();
        assert_eq!(found.iter().map(|one| one.id()).collect::<Vec<_>>(), expected, "{name}");
    }
    for one in &all {
        assert_eq!(one.disabled_at().is_none(), one.enabled());
        assert!(one.disabled_reason().is_none() || !one.enabled());
    }
    let report = first.check().unwrap();
    assert!(report.is_sound(), "{report}");
    // The registry and its copy export the same document, without expired secrets.
    let second = registry();
    second.import(serde_json::from_str(&document(&first)).unwrap()).unwrap();
    assert_eq!(document(&second), document(&first));
    for one in &all {
        assert_eq!(second.secrets(one.id()).unwrap(), first.secrets(one.id()).unwrap());
    }
});
