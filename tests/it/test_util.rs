//! Tests what the tests of users depend on. A seed that gave another id would break their
//! snapshots; a fork that shared a row with its origin would couple their test cases.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use webhook_registry::{
    ErrorKind, ListQuery, ManualClock, NewSubscription, Prune, Registry, Rotation,
    SubscriptionUpdate,
};

use crate::support::{contact_center, drop_views, learn, new, refused};

const BEGINNING: Duration = Duration::from_secs(1_767_225_600);

fn seeded(seed: u64) -> Registry {
    let registry = Registry::options().deterministic(seed).in_memory().unwrap();
    learn(&registry);
    registry
}

fn at(millis: u64) -> SystemTime {
    UNIX_EPOCH + BEGINNING + Duration::from_millis(millis)
}

/// Returns the content of a registry, with secrets and times.
fn contents(registry: &Registry) -> String {
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
fn a_seed_determines_these_exact_ids_secrets_and_times() {
    let registry = seeded(42);
    let created = registry.create(new("crm")).unwrap();
    assert_eq!(
        serde_json::to_string(&created).unwrap(),
        concat!(
            r#"{"subscriptionId":"01KDVDNA01KXM7CH2F9NVD149Q","name":"crm","#,
            r#""url":"https://example.com/hook","events":["agent.*"],"enabled":true,"#,
            r#""secret":"jO0kDPt84Pu4NdgMYJ99s3NqhHQ4HCPLfd5QTgCfjZZWNRoi/xgXIEbL2A4HTumax8"#,
            r#"yV8NrzLDXUoLQZMtbv7g==","createdAt":"2026-01-01T00:00:00.001Z","#,
            r#""updatedAt":"2026-01-01T00:00:00.001Z","revision":1}"#,
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
fn the_same_calls_give_an_equal_registry_only_with_the_same_seed() {
    let run = |seed| {
        let registry = seeded(seed);
        let id = registry.create(new("crm")).unwrap().subscription().id();
        registry.create_all((0..20).map(|n| new(&format!("n{n}")))).unwrap();
        registry.rotate_secret(id, Rotation::new()).unwrap();
        registry.update(id, SubscriptionUpdate::new().enabled(false)).unwrap();
        registry.delete(registry.get_by_name("n7").unwrap().unwrap().id()).unwrap();
        contents(&registry)
    };
    assert_eq!(run(0), run(0));
    assert_eq!(run(u64::MAX), run(u64::MAX));
    assert_ne!(run(0), run(1));
    // Options that are used twice start from the seed again.
    let options = Registry::options().deterministic(5);
    let one = || {
        let registry = options.in_memory().unwrap();
        registry.create(new("crm").allow_unknown_events(true)).unwrap();
        contents(&registry)
    };
    assert_eq!(one(), one());
}

#[test]
fn generated_ids_and_secrets_are_distinct() {
    let registry = seeded(1);
    let all = registry.create_all((0..100).map(|n| new(&format!("n{n}")))).unwrap();
    let secrets: std::collections::HashSet<_> =
        all.iter().map(|created| created.secret().expose().to_owned()).collect();
    assert_eq!(secrets.len(), 100);
    assert!(all.windows(2).all(|pair| pair[0].subscription().id() < pair[1].subscription().id()));
    assert!(all.iter().all(|created| created.secret().key().len() == 64));
    // A secret generated without a registry is random.
    let made = || webhook_registry::SigningSecret::generate().unwrap();
    assert_ne!(made(), made());
}

#[test]
fn the_deterministic_clock_advances_one_millisecond_with_each_change() {
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
    // Failed calls and calls without effect take no time either.
    refused(registry.create(new("a")), ErrorKind::Conflict, &["name"]);
    refused(registry.create(new("")), ErrorKind::Invalid, &["name"]);
    refused(registry.delete_if_revision(id, 9), ErrorKind::Conflict, &["ifRevision"]);
    registry.update(id, SubscriptionUpdate::new().name("a")).unwrap();
    registry.update(id, SubscriptionUpdate::new()).unwrap();
    registry.register_event_types(["agent.a.v1", "agent.a.v1"]).unwrap();
    registry.revoke_old_secrets(id).unwrap();
    registry.ensure(new("a")).unwrap();
    let plan = registry.plan([new("a")], Prune::Delete).unwrap();
    registry.apply(plan).unwrap();
    registry.update(id, SubscriptionUpdate::new().description("now")).unwrap();
    assert_eq!(time("a"), at(2));
    registry.create_all([new("b"), new("c")]).unwrap();
    assert_eq!((time("b"), time("c")), (at(3), at(3)), "one call has one time");
    registry.delete(id).unwrap();
    registry.create(new("d")).unwrap();
    assert_eq!(time("d"), at(5));
    let times: Vec<_> =
        registry.changes(0, 100).unwrap().iter().map(|change| change.at()).collect();
    assert_eq!(times, [at(0), at(1), at(2), at(3), at(3), at(4), at(5)]);
    // Setting the history limit is not a change.
    let registry = Registry::options().deterministic(1).keep_changes(0).in_memory().unwrap();
    registry.register_event_type("agent.a.v1").unwrap();
    assert_eq!(registry.create(new("a")).unwrap().subscription().created_at(), at(1));
}

#[test]
fn a_failed_call_does_not_consume_deterministic_random_values() {
    let run = |fail: bool| {
        let registry = seeded(3);
        registry.create(new("a")).unwrap();
        if fail {
            refused(registry.create(new("a")), ErrorKind::Conflict, &["name"]);
            refused(
                registry.create_all([new("b"), new("c"), new("a")]),
                ErrorKind::Conflict,
                &["[2].name"],
            );
            refused(registry.create(new("").secret("x")), ErrorKind::Invalid, &["name", "secret"]);
        }
        registry.create(new("b")).unwrap();
        contents(&registry)
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn with_a_custom_clock_only_ids_and_secrets_come_from_the_seed() {
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
    // The order of setters does not matter; the secret comes from the seed.
    let same = Registry::options().clock(SystemTime::now).deterministic(9).in_memory().unwrap();
    learn(&same);
    assert_eq!(same.create(new("a")).unwrap().secret(), &secret);
}

#[test]
fn a_deterministic_registry_is_rejected_for_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let options = Registry::options().deterministic(1);
    refused(options.open(&path), ErrorKind::Invalid, &["deterministic"]);
    let both = options.min_secret_bytes(0).read_only(true).exclusive(true);
    refused(
        both.open(&path),
        ErrorKind::Invalid,
        &["exclusive", "deterministic", "min_secret_bytes"],
    );
    assert!(!path.exists());
}

#[test]
fn a_fork_and_its_origin_are_independent() {
    let registry = contact_center();
    let id = registry.create(new("crm")).unwrap().subscription().id();
    let warm = registry.subscribers("agent.presencechanged.v1").unwrap().len();
    let fork = registry.fork().unwrap();
    assert_eq!(contents(&fork), contents(&registry));
    assert_eq!(fork.path(), None);
    let before = contents(&registry);
    fork.create(new("other")).unwrap();
    fork.update(id, SubscriptionUpdate::new().name("renamed")).unwrap();
    fork.register_event_type("agent.new.v1").unwrap();
    assert_eq!(contents(&registry), before);
    assert_eq!(fork.subscribers("agent.presencechanged.v1").unwrap().len(), warm + 1);
    registry.delete(id).unwrap();
    assert_eq!(fork.get(id).unwrap().unwrap().name(), "renamed");
    assert_eq!(fork.fork().unwrap().len().unwrap(), 2);
}

#[test]
fn a_backup_of_a_fork_of_a_registry_in_memory_is_a_file_with_views() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = contact_center();
    registry.create(new("crm")).unwrap();
    let fork = registry.fork().unwrap();
    assert!(fork.check().unwrap().is_sound());
    fork.fork().unwrap().backup(&path).unwrap();
    assert!(Registry::open(&path).unwrap().check().unwrap().is_sound());
    let conn = rusqlite::Connection::open(&path).unwrap();
    let name = "SELECT name FROM webhook_registry_subscriptions";
    assert_eq!(conn.query_row(name, [], |row| row.get::<_, String>(0)).unwrap(), "crm");
}

#[test]
fn check_reports_the_missing_views_of_a_file_also_in_a_fork_and_in_its_backup() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = Registry::open(&path).unwrap();
    learn(&registry);
    registry.create(new("crm")).unwrap();
    let dropped = drop_views(&path);
    let missing = |registry: &Registry| {
        let report = registry.check().unwrap();
        report.findings().iter().filter(|it| it.message().contains("is missing")).count()
    };
    let fork = registry.fork().unwrap();
    let copy = folder.path().join("copy.db");
    fork.fork().unwrap().backup(&copy).unwrap();
    let copy = Registry::open(&copy).unwrap();
    let counts = [&registry, &fork, &copy].map(missing);
    assert!(dropped > 0 && counts[0] >= dropped, "{counts:?}");
    assert_eq!(counts, [counts[0]; 3]);
}

#[test]
fn a_fork_of_a_read_only_registry_is_writable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = Registry::open(&path).unwrap();
    learn(&registry);
    registry.create(new("crm")).unwrap();
    let here = || std::fs::read_dir(folder.path()).unwrap().count();
    let reader = Registry::options().read_only(true).open(&path).unwrap();
    for origin in [&registry, &reader] {
        let (before, files) = (contents(&registry), here());
        let fork = origin.fork().unwrap();
        assert_eq!(contents(&fork), before);
        fork.create(new("in the fork")).unwrap();
        assert_eq!(contents(&registry), before);
        assert_eq!(here(), files, "the fork must not create a file");
    }
    drop((registry, reader));
    let exclusive = Registry::options().exclusive(true).open(&path).unwrap();
    let fork = exclusive.fork().unwrap();
    fork.create(new("in the fork")).unwrap();
    drop(exclusive);
    assert_eq!(fork.len().unwrap(), 2, "the fork must outlive its origin");
}

#[test]
fn a_fork_keeps_the_rules_and_the_clock_of_its_origin() {
    let clock = ManualClock::new(at(0));
    let registry = Registry::options()
        .min_secret_bytes(24)
        .url_policy(webhook_registry::UrlPolicy::https_only())
        .clock({
            let clock = clock.clone();
            move || clock.now()
        })
        .in_memory()
        .unwrap();
    learn(&registry);
    let fork = registry.fork().unwrap();
    let plain = NewSubscription::new("a", "http://example.com/", ["*"]);
    refused(fork.create(plain), ErrorKind::Invalid, &["url"]);
    clock.advance(Duration::from_secs(9));
    let created = fork.create(new("a").secret("A".repeat(32))).unwrap();
    assert_eq!(created.subscription().created_at(), clock.now());
}

#[test]
fn a_fork_of_a_deterministic_registry_continues_like_its_origin() {
    let registry = seeded(11);
    registry.create(new("a")).unwrap();
    let (one, two) = (registry.fork().unwrap(), registry.fork().unwrap());
    for registry in [&one, &registry, &two] {
        registry.create(new("b")).unwrap();
        registry.create(new("c")).unwrap();
    }
    assert_eq!(contents(&one), contents(&registry));
    assert_eq!(contents(&two), contents(&registry));
    // Independent: operations of the fork do not advance the clock of its origin.
    one.create(new("d")).unwrap();
    let created = registry.create(new("e")).unwrap();
    assert_eq!(
        created.subscription().created_at(),
        two.create(new("e")).unwrap().subscription().created_at()
    );
    assert_eq!(contents(&two), contents(&registry));
}

#[cfg(feature = "encryption")]
#[test]
fn a_fork_of_an_encrypted_file_reads_its_secrets_and_stays_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let options = Registry::options().encryption_key([7; 32]);
    let registry = options.open(&path).unwrap();
    learn(&registry);
    let created = registry.create(new("crm")).unwrap();
    let fork = registry.fork().unwrap();
    assert_eq!(&fork.secret(created.subscription().id()).unwrap(), created.secret());
    fork.rotate_secret(created.subscription().id(), Rotation::new()).unwrap();
    let copy = folder.path().join("copy.db");
    fork.backup(&copy).unwrap();
    refused(Registry::open(&copy), ErrorKind::Incompatible, &[]);
    assert_eq!(contents(&options.open(&copy).unwrap()), contents(&fork));
    refused(fork.rekey(None), ErrorKind::Invalid, &["encryption_key"]);
}

#[test]
fn a_fork_reads_one_snapshot_while_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().join("webhooks.db")).unwrap();
    learn(&registry);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..40 {
                // Calls create pairs, so an odd number in a fork is half a call.
                registry
                    .create_all([new(&format!("{round} a")), new(&format!("{round} b"))])
                    .unwrap();
            }
        });
        for _ in 0..40 {
            let fork = registry.fork().unwrap();
            assert!(fork.len().unwrap().is_multiple_of(2));
            assert!(fork.check().unwrap().is_sound());
        }
    });
}

#[test]
fn a_manual_clock_stands_still_until_set_and_its_clones_share_it() {
    let clock = ManualClock::new(at(0));
    let same = clock.clone();
    assert_eq!(same.now(), at(0));
    clock.advance(Duration::from_millis(1_500));
    assert_eq!(same.now(), at(1_500));
    same.set(UNIX_EPOCH);
    assert_eq!(clock.now(), UNIX_EPOCH);
    assert_eq!(format!("{clock:?}"), "ManualClock(1970-01-01T00:00:00.000Z)");
    clock.advance(Duration::MAX);
    assert_eq!(clock.now(), UNIX_EPOCH, "the clock must stop at its greatest value");
    fn shared<T: Clone + Send + Sync + std::fmt::Debug + 'static>(_: &T) {}
    shared(&clock);
}
