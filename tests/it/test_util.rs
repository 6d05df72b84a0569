//! What users' own tests stand on. A seed that gives another id on the next machine breaks every snapshot that was taken
//! with it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use webhook_registry::{ErrorKind, ListQuery, ManualClock, Registry, Rotation, SubscriptionUpdate};

use crate::support::{learn, new, refused};

const BEGINNING: Duration = Duration::from_secs(1_767_225_600);

fn seeded(seed: u64) -> Registry {
    let registry = Registry::options().deterministic(seed).in_memory().unwrap();
    learn(&registry);
    registry
}

fn at(millis: u64) -> SystemTime {
    UNIX_EPOCH + BEGINNING + Duration::from_millis(millis)
}

/// All that a registry holds, secrets and times included.
fn whole(registry: &Registry) -> String {
    let mut text = format!("{:?}\n", registry.event_types().unwrap());
    for found in registry.iter(ListQuery::new()) {
        let found = found.unwrap();
        text += &serde_json::to_string(&found).unwrap();
        for issued in registry.secrets(found.id()).unwrap() {
            let (from, until) = (issued.created_at(), issued.expires_at());
            text += &format!(" {} {from:?} {until:?}", issued.secret().expose());
        }
        text.push('\n');
    }
    text
}

#[test]
fn a_seed_gives_these_very_ids_secrets_and_times() {
    let registry = seeded(42);
    let created = registry.create(new("crm")).unwrap();
    assert_eq!(
        serde_json::to_string(&created).unwrap(),
        concat!(
            r#"{"subscriptionId":"01KDVDNA01KXM7CH2F9NVD149Q","name":"crm","#,
            r#""url":"https://example.com/hook","events":["agent.*"],"enabled":true,"#,
            r#""secret":"jO0kDPt84Pu4NdgMYJ99s3NqhHQ4HCPLfd5QTgCfjZZWNRoi/xgXIEbL2A4HTumax8yV8NrzLDXUoLQZMtbv7g==","#,
            r#""createdAt":"2026-01-01T00:00:00.001Z","updatedAt":"2026-01-01T00:00:00.001Z","revision":1}"#,
        ),
    );
    let id = created.subscription().id();
    let rotated = registry.rotate_secret(id, Rotation::new()).unwrap();
    assert_eq!(
        rotated.expose(),
        "QnkOApj6PY8NNi95AI6b2ZibNVRw5xSuvQ1ZNru/zBG94NDv1M8vZ2gRUNBY6MaLLotGf2W7ejZ+F7Dx6lTiDA=="
    );
    let ids: Vec<String> = registry
        .create_all([new("one"), new("two")])
        .unwrap()
        .iter()
        .map(|created| created.subscription().id().to_string())
        .collect();
    assert_eq!(ids, ["01KDVDNA03ZKAZB0DVFAF96YRX", "01KDVDNA03ZKAZB0DVFAF96YRY"]);
    assert_eq!(registry.get_by_name("two").unwrap().unwrap().created_at(), at(3));
}

#[test]
fn the_same_calls_give_the_same_registry_and_another_seed_another() {
    let run = |seed| {
        let registry = seeded(seed);
        let id = registry.create(new("crm")).unwrap().subscription().id();
        registry.create_all((0..20).map(|n| new(&format!("n{n}")))).unwrap();
        registry.rotate_secret(id, Rotation::new()).unwrap();
        registry.update(id, SubscriptionUpdate::new().enabled(false)).unwrap();
        registry.delete(registry.get_by_name("n7").unwrap().unwrap().id()).unwrap();
        whole(&registry)
    };
    assert_eq!(run(0), run(0));
    assert_eq!(run(u64::MAX), run(u64::MAX));
    assert_ne!(run(0), run(1));
    // Options that are used twice begin anew.
    let options = Registry::options().deterministic(5);
    let one = || {
        let registry = options.in_memory().unwrap();
        registry.create(new("crm").allow_unknown_events(true)).unwrap();
        whole(&registry)
    };
    assert_eq!(one(), one());
}

#[test]
fn generated_ones_differ_from_each_other() {
    let registry = seeded(1);
    let all = registry.create_all((0..100).map(|n| new(&format!("n{n}")))).unwrap();
    let secrets: std::collections::HashSet<_> =
        all.iter().map(|created| created.secret().expose().to_owned()).collect();
    assert_eq!(secrets.len(), 100);
    assert!(all.windows(2).all(|pair| pair[0].subscription().id() < pair[1].subscription().id()));
    assert!(all.iter().all(|created| created.secret().key().len() == 64));
    // What is made beside a registry is as random as ever.
    let made = || webhook_registry::SigningSecret::generate().unwrap();
    assert_ne!(made(), made());
}

#[test]
fn time_gains_a_millisecond_with_each_call_that_changed_something() {
    let registry = Registry::options().deterministic(1).in_memory().unwrap();
    let time = |name: &str| registry.get_by_name(name).unwrap().unwrap().updated_at();
    registry.register_event_type("agent.a.v1").unwrap(); // 0 → 1
    registry.create(new("a")).unwrap();
    assert_eq!(time("a"), at(1));
    let id = registry.get_by_name("a").unwrap().unwrap().id();
    assert_eq!(id.timestamp(), at(1));
    // Reading takes no time.
    registry.list(ListQuery::new()).unwrap();
    registry.subscribers("agent.a.v1").unwrap();
    // Nor does what fails, or changes nothing.
    refused(registry.create(new("a")), ErrorKind::Conflict, &["name"]);
    refused(registry.create(new("")), ErrorKind::Invalid, &["name"]);
    refused(registry.delete_if_revision(id, 9), ErrorKind::Conflict, &["ifRevision"]);
    registry.update(id, SubscriptionUpdate::new().name("a")).unwrap();
    registry.update(id, SubscriptionUpdate::new()).unwrap();
    registry.update(id, SubscriptionUpdate::new().description("now")).unwrap();
    assert_eq!(time("a"), at(2));
    registry.create_all([new("b"), new("c")]).unwrap();
    assert_eq!((time("b"), time("c")), (at(3), at(3)), "one call, one time");
    registry.delete(id).unwrap();
    registry.create(new("d")).unwrap();
    assert_eq!(time("d"), at(5));
}

#[test]
fn a_call_that_fails_leaves_no_trace_in_what_is_drawn_next() {
    let run = |fail: bool| {
        let registry = seeded(3);
        registry.create(new("a")).unwrap();
        if fail {
            refused(registry.create(new("a")), ErrorKind::Conflict, &["name"]);
            refused(registry.create_all([new("b"), new("c"), new("a")]), ErrorKind::Conflict, &["[2].name"]);
            refused(registry.create(new("").secret("x")), ErrorKind::Invalid, &["name", "secret"]);
        }
        registry.create(new("b")).unwrap();
        whole(&registry)
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn with_a_clock_of_ones_own_only_ids_and_secrets_come_from_the_seed() {
    let clock = ManualClock::new(at(0) + Duration::from_secs(1_000_000));
    let options = Registry::options().deterministic(9);
    let registry = options
        .clock({
            let clock = clock.clone();
            move || clock.now()
        })
        .in_memory()
        .unwrap();
    learn(&registry);
    let made = |name: &str| registry.create(new(name)).unwrap().into_parts();
    let (first, secret) = made("a");
    let (second, _) = made("b");
    assert_eq!((first.created_at(), second.created_at()), (clock.now(), clock.now()));
    clock.advance(Duration::from_secs(5));
    assert_eq!(made("c").0.created_at(), clock.now());
    // Order of setters does not count; the secret is that of the seed.
    let same = Registry::options().clock(SystemTime::now).deterministic(9).in_memory().unwrap();
    learn(&same);
    assert_eq!(same.create(new("a")).unwrap().secret(), &secret);
}

#[test]
fn a_deterministic_registry_is_in_memory_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let options = Registry::options().deterministic(1);
    refused(options.open(&path), ErrorKind::Invalid, &["deterministic"]);
    let both = options.min_secret_bytes(0).read_only(true).exclusive(true);
    refused(both.open(&path), ErrorKind::Invalid, &["exclusive", "deterministic", "min_secret_bytes"]);
    assert!(!path.exists());
}

#[test]
fn a_manual_clock_stands_until_it_is_set_and_its_clones_are_one() {
    let clock = ManualClock::new(at(0));
    let same = clock.clone();
    assert_eq!(same.now(), at(0));
    clock.advance(Duration::from_millis(1_500));
    assert_eq!(same.now(), at(1_500));
    same.set(UNIX_EPOCH);
    assert_eq!(clock.now(), UNIX_EPOCH);
    assert_eq!(format!("{clock:?}"), "ManualClock(1970-01-01T00:00:00.000Z)");
    clock.advance(Duration::MAX);
    assert_eq!(clock.now(), UNIX_EPOCH, "past the end it stands still");
    fn shared<T: Clone + Send + Sync + std::fmt::Debug + 'static>(_: &T) {}
    shared(&clock);
}
