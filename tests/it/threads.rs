//! Tests a registry that threads share: a thread sees its own changes at once, revisions never
//! decrease, and no subscriber mixes the fields of two updates.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use webhook_registry::{
    ErrorKind, ListQuery, NewSubscription, Registry, Rotation, SubscriptionId, SubscriptionUpdate,
};

use crate::support::{Random, size};

const THREADS: usize = 8;
/// The minimum number of rounds for a meaningful test.
const ENOUGH: u64 = 100;
/// The number of subscriptions that every thread updates.
const SHARED: usize = 4;

/// Returns the URL of an update. All fields derive from one number, so that a partial update shows.
fn url(stamp: u64) -> String {
    format!("https://example.com/{stamp}")
}

/// Returns the event types of an update: `even.v1` or `odd.v1`, and always `all.v1`.
fn events(stamp: u64) -> [&'static str; 2] {
    ["all.v1", if stamp.is_multiple_of(2) { "even.*" } else { "odd.*" }]
}

fn update(stamp: u64) -> SubscriptionUpdate {
    SubscriptionUpdate::new()
        .url(url(stamp))
        .events(events(stamp))
        .metadata("stamp", stamp.to_string())
}

fn subscription(name: &str, stamp: u64) -> NewSubscription {
    NewSubscription::new(name, url(stamp), events(stamp)).metadata("stamp", stamp.to_string())
}

struct Shared {
    registry: Registry,
    ids: Vec<SubscriptionId>,
    /// The greatest revision that an update of each shared subscription returned.
    seen: Arc<Vec<AtomicU64>>,
    /// The number of rounds of all threads.
    calls: Arc<AtomicU64>,
    until: Instant,
}

impl Shared {
    fn new(registry: Registry, time: Duration) -> Shared {
        registry.register_event_types(["all.v1", "even.v1", "odd.v1"]).unwrap();
        let made = registry
            .create_all((0..SHARED).map(|number| subscription(&format!("shared {number}"), 0)));
        Shared {
            registry,
            ids: made.unwrap().iter().map(|made| made.subscription().id()).collect(),
            seen: Arc::new((0..SHARED).map(|_| AtomicU64::new(1)).collect()),
            calls: Arc::default(),
            until: Instant::now() + time,
        }
    }

    /// Asserts that all answers about an event type agree with the fields of each subscriber.
    fn look(&self, random: &mut Random) {
        let event_type = *random.pick(&["all.v1", "even.v1", "odd.v1"]);
        let found = self.registry.subscribers(event_type).unwrap();
        assert!(found.is_sorted_by(|a, b| a.id() < b.id()), "the subscribers are not in id order");
        for one in &found {
            let stamp: u64 = one.metadata()["stamp"].parse().unwrap();
            assert_eq!(one.url(), url(stamp), "half an update of {}", one.name());
            let fits = event_type == "all.v1" || events(stamp)[1].starts_with(&event_type[..3]);
            assert!(fits, "{} gets {event_type} with the stamp {stamp}", one.name());
        }
        if event_type == "all.v1" {
            let shared = found.iter().filter(|one| one.name().starts_with("shared")).count();
            assert_eq!(shared, SHARED, "a subscriber was temporarily missing");
        }
        for entry in self.registry.explain(event_type).unwrap().entries() {
            assert!(entry.enabled() || entry.name().starts_with("own"), "{}", entry.name());
            assert_eq!(entry.patterns().len(), 1);
        }
    }

    /// Updates a shared subscription.
    fn change(&self, random: &mut Random) {
        let index = random.below(SHARED);
        let (id, seen) = (self.ids[index], &self.seen[index]);
        let before = seen.load(Ordering::SeqCst);
        // A stamp is never repeated, so that each update has an effect.
        let after = self.registry.update(id, update(random.next())).unwrap();
        assert!(after.revision() > before, "{} after {before}", after.revision());
        let newer = seen.fetch_max(after.revision(), Ordering::SeqCst).max(after.revision());
        assert!(self.registry.get(id).unwrap().unwrap().revision() >= newer, "a revision fell");
    }

    /// Creates, changes and deletes a subscription of its own; each call sees the effect of the
    /// previous one.
    fn live(&self, name: &str, random: &mut Random) {
        let registry = &self.registry;
        let made = registry.create(subscription(name, 2)).unwrap();
        let id = made.subscription().id();
        let gets = |event_type: &str| {
            registry.subscribers(event_type).unwrap().iter().any(|one| one.id() == id)
        };
        assert_eq!(registry.get(id).unwrap().as_ref(), Some(made.subscription()));
        assert_eq!(registry.get_by_name(name).unwrap().map(|found| found.id()), Some(id));
        assert!(gets("even.v1") && !gets("odd.v1"));
        let after = registry.update(id, update(3)).unwrap();
        assert_eq!(after.revision(), 2);
        assert!(gets("odd.v1") && !gets("even.v1"));
        let secret = registry.rotate_secret(id, Rotation::new()).unwrap();
        let found = registry.subscribers("all.v1").unwrap();
        let own = found.iter().find(|one| one.id() == id).unwrap();
        assert_eq!(own.secrets().collect::<Vec<_>>(), [&secret, made.secret()]);
        registry.update(id, SubscriptionUpdate::new().enabled(false)).unwrap();
        assert!(!gets("all.v1"));
        let listed = registry.list(ListQuery::new().name_contains(name).enabled(false)).unwrap();
        assert_eq!(listed.subscriptions().len(), 1);
        let event_type = format!("odd.{}", name.replace(' ', "_"));
        registry.register_event_type(event_type.as_str()).unwrap();
        assert!(
            registry
                .explain(&event_type)
                .unwrap()
                .entries()
                .iter()
                .any(|entry| entry.subscription_id() == id)
        );
        registry.remove_event_type(&event_type).unwrap();
        assert_eq!(registry.subscribers(&event_type).unwrap_err().kind(), ErrorKind::NotFound);
        if random.chance(50) {
            registry.delete_if_revision(id, 4).unwrap();
        } else {
            registry.delete(id).unwrap();
        }
        assert_eq!(registry.get(id).unwrap(), None);
        assert!(!gets("all.v1"));
    }

    fn work(&self, thread: usize) {
        let mut random = Random::new();
        let name = format!("own {thread}");
        // A busy machine takes longer, and the test is as meaningful.
        while Instant::now() < self.until || self.calls.load(Ordering::Relaxed) < ENOUGH {
            match random.below(8) {
                0 | 1 => self.change(&mut random),
                2 => self.live(&name, &mut random),
                3 => {
                    // A snapshot: never half of a pair.
                    let page = self.registry.list(ListQuery::new().event_type("all.v1")).unwrap();
                    let shared =
                        page.subscriptions().iter().filter(|one| one.name().starts_with("shared"));
                    assert_eq!(shared.count(), SHARED);
                }
                _ => self.look(&mut random),
            }
            self.calls.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn run(what: &str, handles: &[Registry]) {
    let time = Duration::from_millis(size(1_200, 10_000));
    let first = Shared::new(handles[0].clone(), time);
    let others: Vec<Shared> = handles[1..]
        .iter()
        .map(|handle| Shared {
            registry: handle.clone(),
            ids: first.ids.clone(),
            seen: first.seen.clone(),
            calls: first.calls.clone(),
            until: first.until,
        })
        .collect();
    let all: Vec<&Shared> = std::iter::once(&first).chain(&others).collect();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let shared = all[thread % all.len()];
            scope.spawn(move || shared.work(thread));
        }
    });
    assert_eq!(first.registry.len().unwrap(), SHARED as u64);
    println!("{what}: {} rounds of {THREADS} threads", first.calls.load(Ordering::Relaxed));
}

#[test]
fn threads_share_a_registry_on_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    run("one handle", &[Registry::open(&path).unwrap()]);
}

#[test]
fn threads_share_an_exclusive_registry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    run("exclusive", &[Registry::options().exclusive(true).open(&path).unwrap()]);
    crate::support::history::assert_whole(&path);
}

#[test]
fn threads_share_a_registry_in_memory() {
    run("in memory", &[Registry::in_memory().unwrap()]);
}

#[test]
fn threads_share_a_file_through_separate_handles() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let handles: Vec<Registry> = (0..THREADS).map(|_| Registry::open(&path).unwrap()).collect();
    run("eight handles", &handles);
}

#[test]
fn dropping_clones_during_calls_leaves_the_file_intact() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let path = &path;
            scope.spawn(move || {
                for round in 0..size(8, 200) {
                    let registry = Registry::open(path).unwrap();
                    registry.register_event_types(["all.v1", "even.v1", "odd.v1"]).unwrap();
                    let mut all = registry.iter(ListQuery::new().limit(1));
                    let _ = all.next();
                    registry.create(subscription(&format!("{thread} {round}"), round)).unwrap();
                    drop(registry);
                    // The iterator keeps the file open.
                    assert!(all.all(|found| found.is_ok()));
                }
            });
        }
    });
    assert_eq!(Registry::open(&path).unwrap().len().unwrap(), THREADS as u64 * size(8, 200));
    crate::support::history::assert_whole(&path);
}
