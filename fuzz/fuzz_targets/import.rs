//! Guards against a document that is taken in half, in part, or as something that a registry would not have written; and
//! against a refusal that leaves something behind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use webhook_registry::{ErrorKind, Export, ListQuery, Registry, Subscription, SubscriptionId};

#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/it/support/oracle.rs"]
mod oracle;

/// Before every secret of a document expires, and the same at each call.
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
        assert_eq!(document(&first), document(&registry()), "a refusal left something behind");
        assert_eq!(first.last_change().unwrap(), 0);
        return;
    }
    let all: Vec<Subscription> = first.iter(ListQuery::new()).map(Result::unwrap).collect();
    for event_type in first.event_types().unwrap() {
        let name = event_type.name();
        let covering = all.iter().filter(|one| one.enabled());
        let covering =
            covering.filter(|one| one.events().iter().any(|it| oracle::covers(it.as_str(), name)));
        let expected: Vec<SubscriptionId> = covering.map(Subscription::id).collect();
        let found = first.subscribers(name).unwrap();
        assert_eq!(found.iter().map(|one| one.id()).collect::<Vec<_>>(), expected, "{name}");
    }
    let report = first.check().unwrap();
    assert!(report.is_sound(), "{report}");
    // What it holds is a document again, and that of its copy too. A secret that has expired is not in it.
    let second = registry();
    second.import(serde_json::from_str(&document(&first)).unwrap()).unwrap();
    assert_eq!(document(&second), document(&first));
    for one in &all {
        assert_eq!(second.secrets(one.id()).unwrap(), first.secrets(one.id()).unwrap());
    }
});
