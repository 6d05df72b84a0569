//! What many tests begin with.

use webhook_registry::{Catalog, Error, ErrorKind, NewSubscription, Registry};

pub(crate) const CONTACT_CENTER: &str = include_str!("../fixtures/contact-center-event-types.json");
pub(crate) const SEED: &str = include_str!("../fixtures/seed-create.json");
pub(crate) const STRIPE: &str = include_str!("../fixtures/stripe-event-types.txt");

/// The secret of the seed request.
pub(crate) const SEED_SECRET: &str =
    "OFd4WHqXISxMAgoYneiFhgdGrOgYeToYPN3HjIO4xAxDvWd/oIKTW1P4A6GLXN0McDGlLtnTn1KCGCa+W5Gu=";

/// A registry in memory that knows the contact centre's event types.
pub(crate) fn contact_center() -> Registry {
    let registry = Registry::in_memory().unwrap();
    learn(&registry);
    registry
}

/// Teaches a registry the contact centre's event types.
pub(crate) fn learn(registry: &Registry) {
    let catalog: Catalog = serde_json::from_str(CONTACT_CENTER).unwrap();
    registry.register_event_types(catalog).unwrap();
}

/// A subscription that keeps every rule.
pub(crate) fn new(name: &str) -> NewSubscription {
    NewSubscription::new(name, "https://example.com/hook", ["agent.*"])
}

/// The error of a call that has to fail, with its kind and its fields checked.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(
    result: Result<T, Error>,
    kind: ErrorKind,
    fields: &[&str],
) -> Error {
    let error = result.expect_err("this has to be refused");
    assert_eq!(error.kind(), kind, "{error}");
    let found: Vec<&str> = error.problems().iter().map(|problem| problem.field()).collect();
    assert_eq!(found, fields, "{error}");
    error
}
