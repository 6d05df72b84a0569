//! Tests that public types are unwind safe. A panicking call fails alone, so a server may catch the
//! panic and continue; types that are not unwind safe would force it to wrap every value in
//! `AssertUnwindSafe`.

use std::panic::{RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use webhook_registry::{EventType, ListQuery, Registry};

const fn is_unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}

/// Asserts at compile time that these public types are unwind safe, and defines their names.
macro_rules! unwind_safe {
    ($($(#[$only:meta])? $name:ident $(<$of:ty>)?,)*) => {
        $($(#[$only])? const _: () = is_unwind_safe::<webhook_registry::$name $(<$of>)?>();)*
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

unwind_safe! {
    Applied,
    Catalog,
    Change,
    ChangeKind,
    Created,
    Durability,
    Ensured,
    Error,
    ErrorKind,
    EventPattern,
    EventType,
    Explanation,
    ExplanationEntry,
    Export,
    FieldChange,
    Finding,
    IssuedSecret,
    ListQuery,
    #[cfg(feature = "test-util")] ManualClock,
    NewSubscription,
    Page,
    Plan,
    Problem,
    Progress,
    Prune,
    Registry,
    RegistryOptions,
    Report,
    Result<()>,
    Rotation,
    #[cfg(feature = "signing")] Signature,
    SigningSecret,
    Step,
    StepKind,
    Subscriber,
    Subscribers,
    Subscription,
    SubscriptionId,
    SubscriptionUpdate,
    UrlPolicy,
}

#[test]
fn every_public_type_is_asserted_to_be_unwind_safe() {
    let exports = include_str!("../../src/lib.rs").split("\npub use ").skip(1);
    let exports = exports.flat_map(|rest| {
        let (path, _) = rest.split_once(';').unwrap();
        let (_, names) = path.split_once("::").unwrap();
        names
            .trim_matches(['{', '}', ' ', '\n'])
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
    });
    let mut exports: Vec<&str> = exports.collect();
    exports.sort_unstable();
    assert_eq!(exports, NAMES);
}

#[test]
fn iterators_over_subscriptions_and_secrets_are_unwind_safe() {
    fn is_unwind_safe<T: UnwindSafe + RefUnwindSafe>(_: &T) {}
    let registry = Registry::in_memory().unwrap();
    registry.register_event_type(EventType::new("agent.v1")).unwrap();
    registry.create(crate::support::new("crm")).unwrap();
    is_unwind_safe(&registry.iter(ListQuery::new()));
    is_unwind_safe(&registry.subscribers("agent.v1").unwrap()[0].secrets());
}

#[test]
fn a_registry_passes_through_catch_unwind_and_works_after_a_panic() {
    let panics = Arc::new(AtomicBool::new(false));
    let asked = panics.clone();
    let options = Registry::options().clock(move || {
        assert!(!asked.load(Ordering::Relaxed), "the clock panics");
        SystemTime::now()
    });
    let registry = catch_unwind(|| options.in_memory().unwrap()).unwrap();
    registry.register_event_type("agent.v1").unwrap();
    registry.create(crate::support::new("crm")).unwrap();
    let subscribers = registry.subscribers("agent.v1").unwrap();
    panics.store(true, Ordering::Relaxed);
    catch_unwind(|| registry.create(crate::support::new("two"))).unwrap_err();
    catch_unwind(|| subscribers[0].secrets().count()).unwrap_err();
    panics.store(false, Ordering::Relaxed);
    assert_eq!(catch_unwind(|| subscribers[0].secrets().count()).unwrap(), 1);
    assert_eq!(registry.len().unwrap(), 1);
    let error = catch_unwind(|| registry.subscribers("none").unwrap_err()).unwrap();
    assert_eq!(catch_unwind(|| error.to_string()).unwrap().lines().count(), 1);
}
