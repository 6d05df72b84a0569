//! Tests clocks that are wrong: they step back, stand still, return 1969 or a year that RFC 3339
//! cannot represent, or panic. Ids still increase, JSON times stay valid, and no lock stays
//! poisoned.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use webhook_registry::{ListQuery, Registry, Subscription, SubscriptionId, SubscriptionUpdate};

use crate::support::{Random, new, size};

const HOUR: i64 = 3_600_000;
const NOW: i64 = 1_790_000_000_123;
/// 9999-12-31T23:59:59.999Z
const LAST: i64 = 253_402_300_799_999;

#[derive(Clone)]
struct Clock(Arc<AtomicI64>);

impl Clock {
    fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::Relaxed);
    }

    fn now(&self) -> SystemTime {
        let millis = self.0.load(Ordering::Relaxed);
        let since = Duration::from_millis(millis.unsigned_abs());
        if millis < 0 { UNIX_EPOCH - since } else { UNIX_EPOCH + since }
    }
}

fn registry() -> (Registry, Clock) {
    let clock = Clock(Arc::new(AtomicI64::new(NOW)));
    let reads = clock.clone();
    let registry = Registry::options().clock(move || reads.now()).in_memory().unwrap();
    registry.register_event_type("agent.v1").unwrap();
    (registry, clock)
}

fn at(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis as u64)
}

/// Returns `createdAt` and `updatedAt` of the JSON.
fn times(subscription: &Subscription) -> (String, String) {
    let json = serde_json::to_value(subscription).unwrap();
    let text = |key: &str| json[key].as_str().unwrap().to_owned();
    (text("createdAt"), text("updatedAt"))
}

/// Sets the clock, creates a subscription, and asserts its JSON times and that its id is the
/// greatest.
#[track_caller]
fn created_at(
    registry: &Registry,
    clock: &Clock,
    millis: i64,
    expected: &str,
    before: &mut SubscriptionId,
) {
    clock.set(millis);
    let made = registry.create(new(&format!("at {millis} after {before}"))).unwrap();
    let made = made.subscription();
    assert!(made.id() > *before, "{} after {before}", made.id());
    assert_eq!(times(made), (expected.to_owned(), expected.to_owned()));
    assert_eq!(made.created_at(), at(millis.clamp(0, LAST)));
    assert!(made.id().timestamp() >= made.created_at());
    *before = made.id();
    assert_eq!(registry.get(made.id()).unwrap().as_ref(), Some(made));
}

#[test]
fn ids_increase_and_times_stay_rfc_3339_with_any_clock() {
    let (registry, clock) = registry();
    let mut last = "00000000000000000000000000".parse().unwrap();
    let mut step = |millis, expected| created_at(&registry, &clock, millis, expected, &mut last);
    step(NOW, "2026-09-21T14:13:20.123Z");
    step(NOW, "2026-09-21T14:13:20.123Z");
    step(NOW - HOUR, "2026-09-21T13:13:20.123Z");
    step(NOW - HOUR, "2026-09-21T13:13:20.123Z");
    step(-1, "1970-01-01T00:00:00.000Z");
    step(-HOUR * 24 * 365, "1970-01-01T00:00:00.000Z");
    step(0, "1970-01-01T00:00:00.000Z");
    step(951_782_400_000, "2000-02-29T00:00:00.000Z");
    step(4_107_542_400_000, "2100-03-01T00:00:00.000Z");
    step(LAST - 1, "9999-12-31T23:59:59.998Z");
    step(LAST, "9999-12-31T23:59:59.999Z");
    step(LAST + 1, "9999-12-31T23:59:59.999Z");
    step(LAST * 30, "9999-12-31T23:59:59.999Z");
    step(NOW + 1, "2026-09-21T14:13:20.124Z");
    let list = registry.list(ListQuery::new()).unwrap();
    assert_eq!(list.subscriptions().len(), 14);
    assert!(list.subscriptions().is_sorted_by(|a, b| a.id() < b.id()), "the order of creation");
}

#[test]
fn ids_increase_past_deleted_ones_when_the_clock_stands_still() {
    let (registry, _clock) = registry();
    let mut last: Option<SubscriptionId> = None;
    for number in 0..size(300, 20_000) {
        let made = registry.create(new("one")).unwrap();
        let id = made.subscription().id();
        assert!(last < Some(id), "{number}");
        assert_eq!(id.timestamp(), at(NOW));
        last = Some(id);
        registry.delete(id).unwrap();
    }
}

#[test]
fn ids_increase_after_reopening_with_a_clock_that_went_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let mut last: Option<SubscriptionId> = None;
    let mut random = Random::new();
    for round in 0..size(20, 500) {
        let millis = [NOW, NOW - HOUR, 0, LAST, NOW + HOUR][random.below(5)];
        let registry = Registry::options().clock(move || at(millis)).open(&path).unwrap();
        registry.register_event_type("agent.v1").unwrap();
        let all = [format!("{round} a"), format!("{round} b")].map(|name| new(&name));
        for made in registry.create_all(all).unwrap() {
            assert!(last < Some(made.subscription().id()), "round {round}");
            last = Some(made.subscription().id());
        }
        // The greatest id is deleted, and must not be reused.
        registry.delete(last.unwrap()).unwrap();
    }
}

#[test]
fn an_update_records_the_time_of_the_clock_even_if_it_went_back() {
    let (registry, clock) = registry();
    let id = registry.create(new("one")).unwrap().subscription().id();
    clock.set(NOW - HOUR);
    let after = registry.update(id, SubscriptionUpdate::new().enabled(false)).unwrap();
    let (created, updated) = times(&after);
    assert_eq!(
        (created.as_str(), updated.as_str()),
        ("2026-09-21T14:13:20.123Z", "2026-09-21T13:13:20.123Z")
    );
    clock.set(LAST + HOUR);
    let same = registry.update(id, SubscriptionUpdate::new().enabled(false)).unwrap();
    assert_eq!(same, after, "an update without effect keeps the time");
    clock.set(-HOUR);
    let after = registry.update(id, SubscriptionUpdate::new().enabled(true)).unwrap();
    assert_eq!(times(&after).1, "1970-01-01T00:00:00.000Z");
    assert_eq!(after.revision(), 3);
}

#[test]
fn the_extremes_of_system_time_are_clamped() {
    let far = [
        UNIX_EPOCH.checked_add(Duration::from_secs(i64::MAX as u64)),
        UNIX_EPOCH.checked_sub(Duration::from_secs(i64::MAX as u64)),
        UNIX_EPOCH.checked_add(Duration::new(1, 999_999)),
        UNIX_EPOCH.checked_sub(Duration::from_nanos(1)),
    ];
    for time in far.into_iter().flatten() {
        let registry = Registry::options().clock(move || time).in_memory().unwrap();
        registry.register_event_type("agent.v1").unwrap();
        let made = registry.create(new("one")).unwrap();
        let created = made.subscription().created_at();
        assert!(created >= UNIX_EPOCH && created <= at(LAST));
        let (text, _) = times(made.subscription());
        assert_eq!(text.len(), "1970-01-01T00:00:00.000Z".len(), "{text}");
        assert_eq!(registry.subscribers("agent.v1").unwrap()[0].secrets().count(), 1);
    }
}

#[test]
fn a_panicking_clock_fails_only_its_own_call() {
    let folder = tempfile::tempdir().unwrap();
    for on_file in [false, true] {
        let panics = Arc::new(AtomicBool::new(false));
        let read = panics.clone();
        let options = Registry::options().clock(move || {
            assert!(!read.load(Ordering::Relaxed), "the clock is broken");
            at(NOW)
        });
        let registry = match on_file {
            true => options.open(folder.path().join("registry.db")).unwrap(),
            false => options.in_memory().unwrap(),
        };
        registry.register_event_type("agent.v1").unwrap();
        let id = registry.create(new("one")).unwrap().subscription().id();
        let before = registry.get(id).unwrap();
        for round in 0..5 {
            panics.store(true, Ordering::Relaxed);
            let calls: [&dyn Fn(); 4] = [
                &|| drop(registry.create(new("two"))),
                &|| drop(registry.create_all([new("two"), new("three")])),
                &|| drop(registry.update(id, SubscriptionUpdate::new().enabled(false))),
                &|| drop(registry.subscribers("agent.v1").map(|all| all[0].secrets().count())),
            ];
            for call in calls {
                assert!(
                    catch_unwind(AssertUnwindSafe(call)).is_err(),
                    "the call did not read the clock"
                );
            }
            // It works on another thread, too.
            std::thread::scope(|scope| {
                scope.spawn(|| registry.create(new("two"))).join().unwrap_err()
            });
            panics.store(false, Ordering::Relaxed);
            assert_eq!(registry.get(id).unwrap(), before, "a failed call must not change anything");
            assert_eq!(registry.len().unwrap(), 1 + round);
            registry.create(new(&format!("after {round}"))).unwrap();
            assert_eq!(registry.subscribers("agent.v1").unwrap().len() as u64, 2 + round);
        }
    }
}
