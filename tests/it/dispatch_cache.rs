//! Tests the dispatch cache: a cached answer reflects every change, and unchanged parts are reused.

use std::time::Duration;

use webhook_registry::{
    NewSubscription, Registry, Rotation, Subscriber, SubscriptionId, SubscriptionUpdate,
};

use crate::support::{Clock, contact_center, learn, new};

const EVENT: &str = "agent.presencechanged.v1";

fn describe(subscriber: &Subscriber) -> String {
    let secrets: Vec<_> =
        subscriber.secrets().map(webhook_registry::SigningSecret::expose).collect();
    let (id, name, url) = (subscriber.id(), subscriber.name(), subscriber.url());
    format!("{id} {name} {url} {:?} {secrets:?}", subscriber.metadata())
}

fn describe_all(registry: &Registry) -> Vec<String> {
    registry.subscribers(EVENT).unwrap().iter().map(describe).collect()
}

/// Creates a subscription that matches by two patterns and appears once in an answer.
fn subscribe(registry: &Registry, name: &str) -> SubscriptionId {
    let twice = NewSubscription::new(name, "https://example.com/hook", ["agent.*", "*.v1"]);
    registry.create(twice.metadata("team", "crm")).unwrap().subscription().id()
}

type Change = fn(&Registry, SubscriptionId);

const CHANGES: [(&str, Change); 11] = [
    ("name", |registry, id| {
        drop(registry.update(id, SubscriptionUpdate::new().name("another")).unwrap())
    }),
    ("url", |registry, id| {
        drop(registry.update(id, SubscriptionUpdate::new().url("https://b.example/")).unwrap())
    }),
    ("metadata", |registry, id| {
        registry.update(id, SubscriptionUpdate::new().metadata("team", "bi")).unwrap();
    }),
    ("no metadata", |registry, id| {
        registry.update(id, SubscriptionUpdate::new().remove_metadata("team")).unwrap();
    }),
    ("a new secret beside the one before", |registry, id| {
        registry.rotate_secret(id, Rotation::new().overlap(Duration::from_secs(60))).unwrap();
    }),
    ("a third", |registry, id| drop(registry.rotate_secret(id, Rotation::new()).unwrap())),
    ("only the current secret", |registry, id| registry.revoke_old_secrets(id).unwrap()),
    ("a secret in its place", |registry, id| {
        registry.rotate_secret(id, Rotation::new().overlap(Duration::ZERO)).unwrap();
    }),
    ("disabled", |registry, id| {
        drop(registry.update(id, SubscriptionUpdate::new().enabled(false)).unwrap())
    }),
    ("enabled", |registry, id| {
        drop(registry.update(id, SubscriptionUpdate::new().enabled(true)).unwrap())
    }),
    ("deleted", |registry, id| registry.delete(id).unwrap()),
];

fn assert_every_change_is_visible(
    changes: &Registry,
    asks: &Registry,
    fresh: impl Fn() -> Registry,
) {
    learn(changes);
    let ids = ["one", "two", "three"].map(|name| subscribe(changes, name));
    assert_eq!(describe_all(asks).len(), 3);
    for (what, change) in CHANGES {
        let before = describe_all(asks);
        change(changes, ids[1]);
        let after = describe_all(asks);
        assert_ne!(after, before, "{what}");
        assert_eq!(after, describe_all(&fresh()), "{what}");
        assert_eq!(
            (&after[0], after.last()),
            (&before[0], before.last()),
            "{what}: of the others nothing changed"
        );
    }
    subscribe(changes, "four");
    assert_eq!(describe_all(asks), describe_all(&fresh()));
}

#[test]
fn a_change_through_another_handle_is_visible_in_cached_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let clock = Clock::at(1_800_000_000_000);
    let open = || clock.options().open(&path).unwrap();
    assert_every_change_is_visible(&open(), &open(), open);
}

#[test]
fn a_change_through_the_same_handle_is_visible_in_cached_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = Registry::open(&path).unwrap();
    assert_every_change_is_visible(&registry, &registry, || Registry::open(&path).unwrap());
}

#[cfg(feature = "encryption")]
#[test]
fn a_change_through_another_handle_is_visible_with_encrypted_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let open = || Registry::options().encryption_key([7; 32]).open(&path).unwrap();
    assert_every_change_is_visible(&open(), &open(), open);
}

/// Every column of an answer that another program changes to a valid value is visible.
#[test]
fn a_row_changed_by_another_program_is_visible_in_cached_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = Registry::open(&path).unwrap();
    learn(&registry);
    let id = subscribe(&registry, "one");
    registry.rotate_secret(id, Rotation::new()).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    for sql in [
        "UPDATE _webhook_registry_subscription SET name = 'another'",
        "UPDATE _webhook_registry_subscription SET url = 'https://b.example/'",
        "UPDATE _webhook_registry_subscription SET metadata = '{}'",
        "UPDATE _webhook_registry_subscription SET metadata = '{\"a\":\"b\"}'",
        "UPDATE _webhook_registry_subscription SET id = '01K9V3T0Z2B4C6D8E0F2G4H6J8'",
        "UPDATE _webhook_registry_subscription SET secret = \
         'MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE='",
        "UPDATE _webhook_registry_replaced_secret SET secret = \
         'MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=' WHERE serial = 1",
        "UPDATE _webhook_registry_replaced_secret SET expires_at = 1 WHERE serial = 1",
        "UPDATE _webhook_registry_replaced_secret SET expires_at = 253402300799999 \
         WHERE serial = 1",
        "DELETE FROM _webhook_registry_replaced_secret WHERE serial = 1",
    ] {
        let before = describe_all(&registry);
        assert!(other.execute(sql, []).unwrap() > 0);
        let after = describe_all(&registry);
        assert_ne!(after, before, "{sql}");
        assert_eq!(after, describe_all(&Registry::open(&path).unwrap()), "{sql}");
    }
}

#[test]
fn unchanged_subscribers_are_reused_in_a_revalidated_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let (asks, changes) = (Registry::open(&path).unwrap(), Registry::open(&path).unwrap());
    learn(&changes);
    let ids = ["one", "two"].map(|name| subscribe(&changes, name));
    changes.rotate_secret(ids[0], Rotation::new()).unwrap();
    let before = asks.subscribers(EVENT).unwrap();
    changes.update(ids[1], SubscriptionUpdate::new().url("https://b.example/")).unwrap();
    let after = asks.subscribers(EVENT).unwrap();
    let kept = |at: usize| std::ptr::eq(before[at].name(), after[at].name());
    assert_eq!([kept(0), kept(1)], [true, false]);
    // A subscriber behind a deleted one is reused, too.
    changes.delete(ids[0]).unwrap();
    let behind = asks.subscribers(EVENT).unwrap();
    assert!(std::ptr::eq(after[1].name(), behind[0].name()));
}

/// A subscriber in many answers is stored once. The memory for 50,000 answers depends on that.
#[test]
fn answers_for_different_events_share_their_subscribers() {
    let folder = tempfile::tempdir().unwrap();
    for registry in
        [Registry::in_memory().unwrap(), Registry::open(folder.path().join("webhooks.db")).unwrap()]
    {
        learn(&registry);
        registry.register_event_type("agent.other.v1").unwrap();
        subscribe(&registry, "one");
        let (one, other) =
            (registry.subscribers(EVENT).unwrap(), registry.subscribers("agent.other.v1").unwrap());
        assert!(std::ptr::eq(one[0].name(), other[0].name()));
    }
}

#[test]
fn a_subscriber_is_found_by_its_id_whatever_the_catalog_has_and_whether_it_is_enabled() {
    let registry = contact_center();
    let (created, secret) =
        registry.create(new("crm").metadata("tenant", "7")).unwrap().into_parts();
    let id = created.id();
    let found = |registry: &Registry| registry.subscriber(id).unwrap().unwrap();
    for event_type in registry.event_types().unwrap() {
        let update = SubscriptionUpdate::new().events(["*"]);
        registry.update(id, update).unwrap();
        registry.remove_event_type(event_type.name()).unwrap();
        let subscriber = found(&registry);
        assert_eq!((subscriber.id(), subscriber.name()), (id, "crm"));
        assert_eq!(subscriber.url(), created.url());
        assert_eq!(subscriber.metadata(), created.metadata());
        assert_eq!(subscriber.secrets().collect::<Vec<_>>(), [&secret]);
        assert!(subscriber.enabled());
    }
    registry.update(id, SubscriptionUpdate::new().enabled(false)).unwrap();
    let rotated = registry.rotate_secret(id, Rotation::new()).unwrap();
    assert!(!found(&registry).enabled());
    assert_eq!(found(&registry).secrets().collect::<Vec<_>>(), [&rotated, &secret]);
    registry.delete(id).unwrap();
    assert!(registry.subscriber(id).unwrap().is_none());
}

#[test]
fn a_subscription_that_is_disabled_by_hand_in_its_own_row_alone_gets_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let registry = Registry::open(&path).unwrap();
    learn(&registry);
    let id = registry.create(new("crm")).unwrap().subscription().id();
    let event = "agent.presencechanged.v1";
    assert_eq!(registry.subscribers(event).unwrap().len(), 1);
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("UPDATE _webhook_registry_subscription SET enabled = 0").unwrap();
    assert!(registry.subscribers(event).unwrap().is_empty());
    assert!(!registry.subscriber(id).unwrap().unwrap().enabled());
    other.execute_batch("UPDATE _webhook_registry_subscription SET enabled = 1").unwrap();
    assert_eq!(registry.subscribers(event).unwrap().len(), 1);
}
