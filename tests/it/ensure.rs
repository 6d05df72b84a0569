//! Tests that `ensure` keeps what an operator changed and the declaration does not state, such as
//! `enabled` or a rotated secret, and that an unchanged declaration writes nothing to the history.

use std::thread;
use std::time::Duration;

use webhook_registry::{
    Created, Ensured, ErrorKind, NewSubscription, Registry, Rotation, Subscription,
    SubscriptionUpdate, UrlPolicy,
};

use crate::support::child::{self, Peer};
use crate::support::{
    Clock, SEED_SECRET, contact_center, learn, new, patient, refused, size, time,
};

const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjU";
const EVENT: &str = "agent.presencechanged.v1";

#[track_caller]
fn created(ensured: Ensured) -> Created {
    match ensured {
        Ensured::Created(created) => created,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn updated(ensured: Ensured) -> Subscription {
    match ensured {
        Ensured::Updated(subscription) => subscription,
        other => panic!("{other:?}"),
    }
}

/// Ensures an existing subscription, and asserts that nothing changed.
#[track_caller]
fn unchanged(registry: &Registry, declared: NewSubscription) {
    let before = (registry.last_change().unwrap(), registry.get_by_name(declared.name()).unwrap());
    match registry.ensure(declared).unwrap() {
        Ensured::Unchanged(found) => assert_eq!(Some(found), before.1),
        other => panic!("{other:?}"),
    }
    assert_eq!((registry.last_change().unwrap(), registry.len().unwrap()), (before.0, 1));
}

#[test]
fn ensure_creates_then_does_nothing_then_updates_what_differs() {
    let registry = contact_center();
    let declared = || new("crm").description("d").metadata("k", "v");
    let first = created(registry.ensure(declared()).unwrap());
    assert_eq!(first.secret().key().len(), 64, "a secret is generated");
    assert_eq!(registry.get_by_name("crm").unwrap().as_ref(), Some(first.subscription()));
    assert_eq!(Ensured::Created(first.clone()).subscription(), first.subscription());
    unchanged(&registry, declared());
    let after = updated(registry.ensure(declared().description("e")).unwrap());
    let id = first.subscription().id();
    assert_eq!((after.id(), after.revision(), after.description()), (id, 2, Some("e")));
    assert_eq!(Ensured::Updated(after.clone()).subscription(), &after);
    unchanged(&registry, declared().description("e"));
    assert_eq!(&registry.secret(id).unwrap(), first.secret(), "an unstated secret is kept");
}

#[test]
fn ensure_sets_url_events_description_and_metadata_also_to_none() {
    let registry = contact_center();
    let full = || {
        NewSubscription::new("crm", "https://a.com/", ["agent.*", "channel.*"])
            .description("d")
            .metadata("k", "v")
            .metadata("l", "w")
    };
    let id = created(registry.ensure(full()).unwrap()).subscription().id();
    let events = |events: &[&str]| NewSubscription::new("crm", "https://a.com/", events);
    // Each is compared with `full`, which is restored in between; `Some` means changed.
    let table: [(NewSubscription, &str); 8] = [
        (events(&["agent.*", "channel.*"]), "description metadata"),
        (events(&["agent.*", "channel.*"]).description("d").metadata("k", "v"), "metadata"),
        (full().metadata("k", "x"), "metadata"),
        (full().description(""), "description"),
        (events(&["agent.*"]).description("d").metadata("k", "v").metadata("l", "w"), "events"),
        // The order of events is significant.
        (
            events(&["channel.*", "agent.*"])
                .description("d")
                .metadata("k", "v")
                .metadata("l", "w"),
            "events",
        ),
        (
            NewSubscription::new("crm", "https://b.com/", ["agent.*"]),
            "url events description metadata",
        ),
        (full().enabled(false), "enabled"),
    ];
    for (declared, expected) in table {
        updated(registry.ensure(declared.clone()).unwrap());
        let last = registry.last_change().unwrap();
        let told = registry.changes(last - 1, 1).unwrap();
        let fields: Vec<&str> = told[0].fields().iter().map(|field| field.name()).collect();
        assert_eq!(fields.join(" "), expected);
        unchanged(&registry, declared);
        updated(registry.ensure(full().enabled(true)).unwrap());
    }
    // An exact duplicate changes nothing.
    unchanged(
        &registry,
        events(&["agent.*", "channel.*", "agent.*"])
            .description("d")
            .metadata("k", "v")
            .metadata("l", "w"),
    );
    assert_eq!(registry.get(id).unwrap().unwrap().revision(), 17);
}

#[test]
fn ensure_compares_enabled_only_if_stated() {
    let registry = contact_center();
    let id = created(registry.ensure(new("crm")).unwrap()).subscription().id();
    registry.update(id, SubscriptionUpdate::new().enabled(false)).unwrap();
    unchanged(&registry, new("crm"));
    unchanged(&registry, new("crm").enabled(false));
    let json = |enabled: &str| -> NewSubscription {
        let events = r#""events": ["agent.*"]"#;
        let text =
            format!(r#"{{"name": "crm", "url": "https://example.com/hook", {events}{enabled}}}"#);
        serde_json::from_str(&text).unwrap()
    };
    unchanged(&registry, json(""));
    unchanged(&registry, json(r#", "enabled": null"#));
    // Another field changes, and the subscription stays disabled.
    assert!(!updated(registry.ensure(new("crm").description("d")).unwrap()).enabled());
    assert!(updated(registry.ensure(new("crm").enabled(true)).unwrap()).enabled());
    registry.update(id, SubscriptionUpdate::new().enabled(false)).unwrap();
    assert!(updated(registry.ensure(json(r#", "enabled": true"#)).unwrap()).enabled());
    assert_eq!(registry.subscribers(EVENT).unwrap().len(), 1, "dispatch sees the change");
    // A new subscription is enabled unless stated otherwise.
    assert!(created(registry.ensure(new("other")).unwrap()).subscription().enabled());
    assert!(
        !created(registry.ensure(new("third").enabled(false)).unwrap()).subscription().enabled()
    );
}

#[test]
fn ensure_compares_the_secret_only_if_stated_and_with_the_newest() {
    let clock = Clock::at(1_000);
    let registry = clock.options().in_memory().unwrap();
    learn(&registry);
    let first = created(registry.ensure(new("crm").secret(SEED_SECRET)).unwrap());
    assert_eq!(first.secret().expose(), SEED_SECRET, "stored as given");
    let id = first.subscription().id();
    unchanged(&registry, new("crm"));
    unchanged(&registry, new("crm").secret(SEED_SECRET));
    clock.set(2_000);
    registry
        .rotate_secret(id, Rotation::new().secret(OTHER).overlap(Duration::from_secs(60)))
        .unwrap();
    // Stating the newest secret ends no overlap: deliveries in flight stay valid.
    unchanged(&registry, new("crm"));
    unchanged(&registry, new("crm").secret(OTHER));
    assert_eq!(registry.secrets(id).unwrap().len(), 2);
    // Another secret, even an earlier one, replaces all live secrets at once.
    clock.set(3_000);
    let after = updated(registry.ensure(new("crm").secret(SEED_SECRET)).unwrap());
    assert_eq!((after.revision(), after.updated_at()), (3, time(3_000)));
    let live = registry.secrets(id).unwrap();
    let [only] = live.as_slice() else { panic!("{live:?}") };
    assert_eq!((only.secret().expose(), only.created_at()), (SEED_SECRET, time(3_000)));
    assert_eq!(only.expires_at(), None);
}

#[test]
fn ensure_reports_every_problem_and_changes_nothing() {
    let registry = contact_center();
    let bad = || {
        NewSubscription::new("crm", "ftp://example.com", ["agent.*", "agent.hold.v1", "**"])
            .secret("dG9vIHNob3J0")
            .description("x".repeat(5_000))
            .metadata("", "")
    };
    let fields = ["url", "events[1]", "events[2]", "secret", "description", "metadata"];
    let seen = |registry: &Registry| {
        (registry.last_change().unwrap(), registry.get_by_name("crm").unwrap())
    };
    let before = seen(&registry);
    let error = refused(registry.ensure(bad()), ErrorKind::Invalid, &fields);
    assert!(!error.to_string().contains("dG9vIHNob3J0"), "{error}");
    assert!(error.to_string().contains(r#"no event type "agent.hold.v1""#), "{error}");
    assert_eq!(seen(&registry), before);
    // The same holds for an existing subscription.
    registry.ensure(new("crm").metadata("k", "v")).unwrap();
    let before = seen(&registry);
    refused(registry.ensure(bad()), ErrorKind::Invalid, &fields);
    refused(registry.ensure(new("crm").secret("")), ErrorKind::Invalid, &["secret"]);
    let none = NewSubscription::new("crm", "https://example.com/hook", Vec::<String>::new());
    refused(registry.ensure(none), ErrorKind::Invalid, &["events"]);
    assert_eq!(seen(&registry), before);
    // An invalid name belongs to no subscription.
    for name in ["", " crm", "a\nb", &"x".repeat(129)] {
        refused(registry.ensure(new(name)), ErrorKind::Invalid, &["name"]);
    }
}

#[test]
fn ensure_validates_only_what_differs_from_the_existing_subscription() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let lax = Registry::options().min_secret_bytes(1).open(&path).unwrap();
    lax.register_event_types(["agent.a.v1", "agent.b.v1"]).unwrap();
    let declared = || {
        NewSubscription::new("crm", "http://localhost/", ["gone.*", "agent.*"]).secret("c2hvcnQ=")
    };
    lax.ensure(declared().allow_unknown_events(true)).unwrap();
    let strict = Registry::options().url_policy(UrlPolicy::public_https()).open(&path).unwrap();
    unchanged(&strict, declared());
    // Existing values are kept under any rules; new values are validated.
    updated(strict.ensure(declared().description("d")).unwrap());
    let other =
        NewSubscription::new("crm", "http://localhost/2", ["gone.*", "new.*"]).secret("c2hvcnQ2");
    refused(strict.ensure(other.clone()), ErrorKind::Invalid, &["url", "events[1]", "secret"]);
    let error = strict.ensure(other.allow_unknown_events(true));
    refused(error, ErrorKind::Invalid, &["url", "secret"]);
}

#[test]
fn unknown_events_are_allowed_for_one_ensure_call_only() {
    let registry = contact_center();
    let declared = || NewSubscription::new("crm", "https://example.com/", ["not.yet.v1"]);
    refused(registry.ensure(declared()), ErrorKind::Invalid, &["events[0]"]);
    created(registry.ensure(declared().allow_unknown_events(true)).unwrap());
    unchanged(&registry, declared());
    registry.register_event_type("not.yet.v1").unwrap();
    assert_eq!(registry.subscribers("not.yet.v1").unwrap().len(), 1);
}

#[test]
fn ensure_on_a_read_only_registry_is_rejected_even_if_nothing_differs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = Registry::open(&path).unwrap();
    learn(&registry);
    registry.ensure(new("crm")).unwrap();
    let reader = Registry::options().read_only(true).open(&path).unwrap();
    for declared in [new("crm"), new("other"), new(""), new("crm").secret(SEED_SECRET)] {
        refused(reader.ensure(declared), ErrorKind::ReadOnly, &[]);
    }
    assert_eq!(registry.len().unwrap(), 1);
}

#[test]
fn ensure_reports_a_corrupt_subscription_and_does_not_recreate_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = Registry::open(&path).unwrap();
    learn(&registry);
    registry.ensure(new("crm")).unwrap();
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("UPDATE _webhook_registry_subscription SET metadata = '['").unwrap();
    for declared in [new("crm"), new("crm").description("d"), new("crm").secret(SEED_SECRET)] {
        refused(registry.ensure(declared), ErrorKind::Corrupt, &[]);
    }
    assert_eq!(registry.len().unwrap(), 1);
}

#[test]
fn debug_of_ensured_contains_no_secret() {
    let registry = contact_center();
    let ensured = registry.ensure(new("crm").secret(SEED_SECRET)).unwrap();
    assert!(!format!("{ensured:?}").contains(&SEED_SECRET[..8]));
    let ensured = registry.ensure(new("crm").secret(OTHER)).unwrap();
    let shown = format!("{ensured:?}");
    assert!(!shown.contains(&OTHER[..12]) && !shown.contains(&SEED_SECRET[..8]), "{shown}");
}

/// Ensures the same few subscriptions repeatedly. Returns the numbers of creations and updates.
fn ensure_repeatedly(path: &std::path::Path, rounds: usize) -> (usize, usize) {
    let (mut made, mut changed) = (0, 0);
    for round in 0..rounds {
        let registry = patient().open(path).unwrap();
        for n in 0..3 {
            match registry.ensure(new(&format!("n{round} {n}")).allow_unknown_events(true)).unwrap()
            {
                Ensured::Created(_) => made += 1,
                Ensured::Updated(_) => changed += 1,
                _ => {}
            }
        }
    }
    (made, changed)
}

#[test]
fn one_of_many_concurrent_ensure_calls_creates_and_the_others_find_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let rounds = size(10, 200);
    let argument = rounds.to_string();
    let mut peers: Vec<Peer> = (0..2)
        .map(|_| Peer::spawn(&mut child::command("ensure::child_ensures", &path, &[&argument])))
        .collect();
    peers.iter_mut().for_each(|peer| peer.expect("ready"));
    peers.iter_mut().for_each(|peer| peer.say("go"));
    let own = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..2).map(|_| scope.spawn(|| ensure_repeatedly(&path, rounds))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let mut all: Vec<String> = peers.into_iter().flat_map(Peer::finish).collect();
    all.extend(own.iter().map(|(made, changed)| format!("{made} {changed}")));
    let made: usize =
        all.iter().map(|told| told.strip_suffix(" 0").unwrap().parse::<usize>().unwrap()).sum();
    let registry = Registry::open(&path).unwrap();
    assert_eq!((all.len(), made), (4, 3 * rounds), "a name was created twice: {all:?}");
    assert_eq!(
        (registry.len().unwrap(), registry.last_change().unwrap()),
        (3 * rounds as u64, 3 * rounds as u64)
    );
}

#[test]
fn child_ensures() {
    let Some((path, arguments)) = child::role() else {
        return;
    };
    child::tell("ready");
    child::await_word();
    let (made, changed) = ensure_repeatedly(&path, arguments[0].parse().unwrap());
    child::tell(format_args!("{made} {changed}"));
}
