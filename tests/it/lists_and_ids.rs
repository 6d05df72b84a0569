//! Tests lists, pages and ids: pages neither skip nor repeat a subscription, and no id is given out
//! twice. Clients would notice neither.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use webhook_registry::{
    ErrorKind, ListQuery, NewSubscription, Registry, SubscriptionId, SubscriptionUpdate,
};

use crate::support::{Random, contact_center, learn, new, refused};

/// Returns a registry whose clock is the returned number of milliseconds.
fn with_clock() -> (Registry, Arc<AtomicU64>) {
    let millis = Arc::new(AtomicU64::new(1_000_000));
    let hand = Arc::clone(&millis);
    let now = move || SystemTime::UNIX_EPOCH + Duration::from_millis(hand.load(Ordering::Relaxed));
    let registry = Registry::options().clock(now).in_memory().unwrap();
    learn(&registry);
    (registry, millis)
}

fn fill(registry: &Registry, count: usize) -> Vec<SubscriptionId> {
    let list = (0..count).map(|n| new(&format!("n{n:04}")));
    let created = registry.create_all(list).unwrap();
    created.iter().map(|created| created.subscription().id()).collect()
}

#[track_caller]
fn assert_found(registry: &Registry, query: &ListQuery, expected: &[&str]) {
    let page = registry.list(query.clone()).unwrap();
    let found: Vec<&str> = page.subscriptions().iter().map(|one| one.name()).collect();
    assert_eq!(found, expected, "{query:?}");
    assert_eq!(registry.count(query.clone()).unwrap(), expected.len() as u64, "{query:?}");
    let walked = registry.iter(query.clone().limit(1)).map(|one| one.unwrap());
    let walked: Vec<String> = walked.map(|one| one.name().to_owned()).collect();
    assert_eq!(walked, expected, "{query:?}, one by one");
}

#[test]
fn consecutive_pages_neither_skip_nor_repeat() {
    let registry = contact_center();
    let ids = fill(&registry, 25);
    for limit in [1, 2, 5, 7, 24, 25, 26, 1_000] {
        let (mut found, mut query, mut pages) = (Vec::new(), ListQuery::new().limit(limit), 0);
        loop {
            let page = registry.list(query.clone()).unwrap();
            assert!(page.subscriptions().len() <= limit);
            found.extend((&page).into_iter().map(|one| one.id()));
            pages += 1;
            match page.next_cursor() {
                Some(next) => {
                    assert_eq!(page.subscriptions().len(), limit);
                    query = query.after(next);
                }
                None => break,
            }
        }
        assert_eq!(found, ids, "limit {limit}");
        assert_eq!(pages, 25_usize.div_ceil(limit), "limit {limit}");
        let walked: Vec<_> = registry.iter(ListQuery::new().limit(limit)).collect();
        assert_eq!(walked.len(), 25);
        let walked: Vec<_> = walked.into_iter().map(|one| one.unwrap().id()).collect();
        assert_eq!(walked, ids);
    }
    assert!(ids.is_sorted());
}

#[test]
fn a_page_has_100_entries_by_default_and_1000_at_most() {
    let registry = contact_center();
    fill(&registry, 1_001);
    let page = |query| registry.list(query).unwrap().subscriptions().len();
    assert_eq!(page(ListQuery::new()), 100);
    assert_eq!(page(ListQuery::new().limit(1)), 1);
    assert_eq!(page(ListQuery::new().limit(1_000)), 1_000);
    assert_eq!(registry.iter(ListQuery::new()).count(), 1_001);
    for limit in [0, 1_001, usize::MAX] {
        let query = ListQuery::new().limit(limit);
        refused(registry.list(query.clone()), ErrorKind::Invalid, &["limit"]);
        let mut walk = registry.iter(query.clone());
        refused(walk.next().unwrap(), ErrorKind::Invalid, &["limit"]);
        assert!(walk.next().is_none(), "an iterator ends after an error");
        assert!(walk.next().is_none());
        assert_eq!(registry.count(query).unwrap(), 1_001, "count ignores the limit");
    }
}

#[test]
fn a_cursor_stays_valid_after_its_subscription_was_deleted() {
    let registry = contact_center();
    let ids = fill(&registry, 5);
    let after = |id| {
        let page = registry.list(ListQuery::new().after(id)).unwrap();
        page.into_iter().map(|one| one.id()).collect::<Vec<_>>()
    };
    assert_eq!(after(ids[0]), ids[1..]);
    for gone in [ids[1], ids[4], ids[0]] {
        registry.delete(gone).unwrap();
    }
    assert_eq!(after(ids[0]), [ids[2], ids[3]]);
    assert_eq!(after(ids[1]), [ids[2], ids[3]]);
    assert_eq!(after(ids[2]), [ids[3]]);
    assert_eq!(after(ids[3]), []);
    assert_eq!(after(ids[4]), []);
    assert_eq!(after("00000000000000000000000000".parse().unwrap()), [ids[2], ids[3]]);
    assert_eq!(after("7ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse().unwrap()), []);
    let query = ListQuery::new().after(ids[2]);
    assert_eq!(registry.count(query).unwrap(), 2, "count ignores the position");
    for id in [ids[2], ids[3]] {
        registry.delete(id).unwrap();
    }
    assert_eq!(after(ids[0]), []);
    // Later subscriptions follow every cursor that was ever returned.
    let later = registry.create(new("later")).unwrap().subscription().id();
    assert_eq!(after(ids[4]), [later]);
}

/// Returns a registry of subscriptions that differ in every field that a query can filter by.
fn mixed() -> Registry {
    let registry = contact_center();
    let to = |name: &str, patterns: &[&str]| NewSubscription::new(name, "https://x", patterns);
    registry
        .create_all([
            to("alpha 100%", &["agent.*"]).metadata("team", "red").metadata("tier", "1"),
            to("alpha 1000", &["*"]).metadata("team", "red"),
            to("beta_x", &["channel.held.v1"]).metadata("team", "blue").enabled(false),
            to("betaXx", &["channel.*", "*.v1"]).metadata("tier", "1"),
            to("Ünï", &["agent.presencechanged.v1"]).metadata("team", "").enabled(false),
        ])
        .unwrap();
    registry
}

#[test]
fn filters_are_combined_with_and() {
    let registry = mixed();
    let all = ListQuery::new;
    let (presence, held) = ("agent.presencechanged.v1", "channel.held.v1");
    for (query, expected) in [
        (all(), &["alpha 100%", "alpha 1000", "beta_x", "betaXx", "Ünï"][..]),
        (all().enabled(true), &["alpha 100%", "alpha 1000", "betaXx"]),
        (all().enabled(false), &["beta_x", "Ünï"]),
        (all().event_type(presence), &["alpha 100%", "alpha 1000", "betaXx", "Ünï"]),
        (all().event_type(held), &["alpha 1000", "beta_x", "betaXx"]),
        (all().event_type(held).enabled(false), &["beta_x"]),
        (all().metadata("team", "red"), &["alpha 100%", "alpha 1000"]),
        (all().metadata("team", "red").metadata("tier", "1"), &["alpha 100%"]),
        (all().metadata("team", "red").metadata("team", "blue"), &["beta_x"]),
        (all().metadata("team", ""), &["Ünï"]),
        (all().metadata("team", "re"), &[]),
        (all().metadata("tier", "1").event_type(held), &["betaXx"]),
        (all().name_contains("a").metadata("tier", "1").enabled(true), &["alpha 100%", "betaXx"]),
        (
            all().name_contains("alpha").event_type(presence).metadata("team", "red").enabled(true),
            &["alpha 100%", "alpha 1000"],
        ),
        (all().name_contains("alpha").event_type(presence).enabled(false), &[]),
    ] {
        assert_found(&registry, &query, expected);
    }
}

#[test]
fn the_name_filter_compares_bytes() {
    let registry = mixed();
    for (part, expected) in [
        ("", &["alpha 100%", "alpha 1000", "beta_x", "betaXx", "Ünï"][..]),
        ("%", &["alpha 100%"]),
        ("100%", &["alpha 100%"]),
        ("_", &["beta_x"]),
        ("a_x", &["beta_x"]),
        ("*", &[]),
        ("alpha 1", &["alpha 100%", "alpha 1000"]),
        ("Alpha", &[]),
        ("Xx", &["betaXx"]),
        ("ü", &[]),
        ("Ü", &["Ünï"]),
        ("nï", &["Ünï"]),
        ("U", &[]),
        ("alpha 100%%", &[]),
        ("'", &[]),
        ("\u{0}", &[]),
        ("alpha\u{0}", &[]),
    ] {
        assert_found(&registry, &ListQuery::new().name_contains(part), expected);
    }
}

#[test]
fn filtered_pages_have_a_cursor_only_if_more_entries_follow() {
    let registry = contact_center();
    let list = (0..30).map(|n| {
        let team = if n % 10 == 0 { "red" } else { "blue" };
        new(&format!("n{n}")).metadata("team", team)
    });
    registry.create_all(list).unwrap();
    let query = ListQuery::new().metadata("team", "red").limit(2);
    let first = registry.list(query.clone()).unwrap();
    assert_eq!(first.subscriptions().len(), 2);
    let cursor = first.next_cursor().unwrap();
    let last = registry.list(query.clone().after(cursor)).unwrap();
    assert_eq!((last.subscriptions().len(), last.next_cursor()), (1, None));
    let exact = registry.list(query.limit(3)).unwrap();
    assert_eq!((exact.subscriptions().len(), exact.next_cursor()), (3, None));
}

#[test]
fn an_iterator_reads_page_by_page_and_sees_concurrent_changes() {
    let registry = contact_center();
    let ids = fill(&registry, 6);
    let mut walk = registry.iter(ListQuery::new().limit(2));
    let mut next = || walk.next().map(|one| one.unwrap().id());
    assert_eq!(next(), Some(ids[0]));
    for gone in [ids[1], ids[2], ids[5]] {
        registry.delete(gone).unwrap();
    }
    let later = registry.create(new("later")).unwrap().subscription().id();
    assert_eq!(next(), Some(ids[1]), "this page was read before");
    assert_eq!((next(), next(), next()), (Some(ids[3]), Some(ids[4]), Some(later)));
    assert_eq!(next(), None);
    // The iterator outlives its handle.
    let walk = {
        let handle = registry.clone();
        handle.iter(ListQuery::new())
    };
    assert_eq!(std::thread::spawn(move || walk.count()).join().unwrap(), 4);
}

#[test]
fn ids_increase_when_the_clock_steps_back_and_after_deletions() {
    let (registry, millis) = with_clock();
    let mut last: Option<SubscriptionId> = None;
    for (n, now) in [5_000_u64, 5_000, 4_000, 0, 9_000, 8_999, 9_000, 1].into_iter().enumerate() {
        millis.store(now, Ordering::Relaxed);
        let list = [new(&format!("a{n}")), new(&format!("b{n}"))];
        for created in registry.create_all(list).unwrap() {
            let subscription = created.subscription();
            let id = subscription.id();
            assert!(last < Some(id), "{last:?} {id}");
            let at = SystemTime::UNIX_EPOCH + Duration::from_millis(now);
            assert_eq!(subscription.created_at(), at, "the creation time is that of the clock");
            assert!(id.timestamp() >= at);
            last = Some(id);
        }
    }
    // First the greatest id is deleted, then all.
    registry.delete(last.unwrap()).unwrap();
    let next = registry.create(new("after the greatest")).unwrap();
    assert!(Some(next.subscription().id()) > last);
    let all: Vec<_> = registry.iter(ListQuery::new()).map(|one| one.unwrap().id()).collect();
    let greatest = *all.last().unwrap();
    for id in all.iter().rev() {
        registry.delete(*id).unwrap();
    }
    assert!(registry.is_empty().unwrap());
    let next = registry.create(new("next")).unwrap().subscription().id();
    assert!(next > greatest);
}

#[test]
fn ids_increase_past_deleted_ones_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let mut last = None;
    for n in 0..4_u64 {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100 - n);
        let registry = Registry::options().clock(move || now).open(&path).unwrap();
        let created = registry.create(new("n").allow_unknown_events(true)).unwrap();
        let id = created.subscription().id();
        assert!(last < Some(id));
        last = Some(id);
        registry.delete(id).unwrap();
    }
}

#[test]
fn the_revision_counts_only_calls_with_an_effect() {
    let (registry, millis) = with_clock();
    let id = registry.create(new("n")).unwrap().subscription().id();
    let at = |now| SystemTime::UNIX_EPOCH + Duration::from_millis(now);
    let created_at = at(1_000_000);
    let update = SubscriptionUpdate::new;
    let mut expected = (1, created_at);
    for (step, (change, counts)) in [
        (update(), false),
        (update().enabled(true), false),
        (update().name("m"), true),
        (update().name("m"), false),
        (update().name("n").url("https://y").enabled(false), true),
        (update().events(["agent.*", "agent.*"]), false),
        (update().events(["*", "agent.*"]), true),
        (update().events(["agent.*", "*"]), true),
        (update().clear_description().clear_metadata(), false),
        (update().description(""), true),
        (update().description(""), false),
        (update().clear_description(), true),
        (update().metadata("k", "v"), true),
        (update().clear_metadata().metadata("k", "v"), false),
        (update().remove_metadata("other"), false),
        (update().secret("A".repeat(43)), true),
        (update().secret("A".repeat(43)), false),
        (update().secret("A".repeat(43) + "="), true),
    ]
    .into_iter()
    .enumerate()
    {
        let now = 2_000_000 + step as u64;
        millis.store(now, Ordering::Relaxed);
        if counts {
            expected = (expected.0 + 1, at(now));
        }
        let stale = change.clone().if_revision(expected.0 + 7);
        refused(registry.update(id, stale), ErrorKind::Conflict, &["ifRevision"]);
        let after = registry.update(id, change).unwrap();
        assert_eq!((after.revision(), after.updated_at()), expected, "step {step}");
        assert_eq!(after.created_at(), created_at);
        assert_eq!(registry.get(id).unwrap(), Some(after));
    }
    // Catalog changes and rejected calls do not increment the revision.
    registry.register_event_type("agent.other").unwrap();
    registry.remove_event_type("agent.other").unwrap();
    refused(registry.update(id, update().name("")), ErrorKind::Invalid, &["name"]);
    let subscription = registry.get(id).unwrap().unwrap();
    assert_eq!((subscription.revision(), subscription.updated_at()), expected);
}

#[test]
fn a_deletion_can_require_a_revision() {
    let registry = contact_center();
    let id = registry.create(new("n")).unwrap().subscription().id();
    registry.update(id, SubscriptionUpdate::new().name("m")).unwrap();
    for stale in [0, 1, 3, u64::MAX] {
        let result = registry.delete_if_revision(id, stale);
        let error = refused(result, ErrorKind::Conflict, &["ifRevision"]);
        assert!(error.to_string().contains("revision 2"), "{error}");
    }
    assert_eq!(registry.len().unwrap(), 1);
    registry.delete_if_revision(id, 2).unwrap();
    assert!(registry.is_empty().unwrap());
    assert_eq!(registry.get(id).unwrap(), None);
    assert_eq!(registry.get_by_name("m").unwrap(), None);
    refused(registry.delete_if_revision(id, 2), ErrorKind::NotFound, &["subscriptionId"]);
    refused(registry.delete(id), ErrorKind::NotFound, &["subscriptionId"]);
    assert!(registry.subscribers("agent.presencechanged.v1").unwrap().is_empty());
}

#[test]
fn iterating_by_event_type_returns_each_subscription_once_whichever_patterns_match() {
    let mut random = Random::new();
    let event = "agent.presence.changed.v1";
    for count in [7, 40, 150] {
        let registry = contact_center();
        registry.register_event_type(event).unwrap();
        let shared =
            ["agent.*", "*", "*.v1", "agent.presence.*", event, "channel.*", "channel.held.v1"];
        // Returns a pattern that matches the event and differs for each number.
        let own = |number: usize| {
            let letter = |(at, letter)| if at < 12 && number >> at & 1 == 1 { '?' } else { letter };
            event.chars().enumerate().map(letter).collect::<String>()
        };
        let matching = ["agent.*", "*", "*.v1", "agent.presence.*", event];
        let mut expected = Vec::new();
        let mut list = Vec::new();
        for number in 0..count {
            let mut events: Vec<String> = Vec::new();
            while events.is_empty() || random.chance(50) {
                let shared = (*random.pick(&shared)).to_owned();
                let next = if random.chance(30) { own(1 + random.below(4_000)) } else { shared };
                if !events.contains(&next) {
                    events.push(next);
                }
            }
            let matches =
                events.iter().any(|one| matching.contains(&one.as_str()) || one.contains('?'));
            let (enabled, red) = (random.chance(60), random.chance(50));
            let name = format!("n{number:03}");
            let new = NewSubscription::new(&name, "https://example.com/", events).enabled(enabled);
            list.push(new.metadata("team", if red { "red" } else { "blue" }));
            expected.push((name, matches, enabled, red));
        }
        let ids: Vec<_> = registry
            .create_all(list)
            .unwrap()
            .iter()
            .map(|made| made.subscription().id())
            .collect();
        let query = || ListQuery::new().event_type(event);
        for (query, asks) in [
            (query(), (|_, _| true) as fn(bool, bool) -> bool),
            (query().enabled(true), |enabled, _| enabled),
            (query().enabled(false), |enabled, _| !enabled),
            (query().metadata("team", "red"), |_, red| red),
            (query().enabled(true).metadata("team", "blue"), |enabled, red| enabled && !red),
        ] {
            let wanted = expected.iter().zip(&ids);
            let wanted =
                wanted.filter(|((_, matches, enabled, red), _)| *matches && asks(*enabled, *red));
            let wanted: Vec<(&str, SubscriptionId)> =
                wanted.map(|((name, ..), id)| (name.as_str(), *id)).collect();
            let names: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
            for limit in [1, 2, 7, 100] {
                let walked = registry.iter(query.clone().limit(limit)).map(|one| one.unwrap());
                let walked: Vec<String> = walked.map(|one| one.name().to_owned()).collect();
                assert_eq!(walked, names, "{query:?}, {limit} a page");
            }
            for after in &ids {
                let page = registry.list(query.clone().limit(3).after(*after)).unwrap();
                let found: Vec<_> = page.subscriptions().iter().map(|one| one.id()).collect();
                let rest = wanted.iter().map(|(_, id)| *id).filter(|id| id > after);
                assert_eq!(found, rest.take(3).collect::<Vec<_>>(), "{query:?} after {after}");
            }
            assert_eq!(registry.count(query.clone()).unwrap(), names.len() as u64, "{query:?}");
        }
    }
}
