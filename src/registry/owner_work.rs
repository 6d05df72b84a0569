//! Tests that no call for one owner makes more work for SQLite where other owners have more
//! subscriptions and more patterns. Steps are counted, because times depend on the machine.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "a test says what it expects, and fails where that does not hold"
)]

use super::Registry;
use crate::error::Result;
use crate::plan::Prune;
use crate::secret::Rotation;
use crate::subscription::{ListQuery, NewSubscription, SubscriptionUpdate};

const EVENT: &str = "order.presence.changed.v1";

/// The subscriptions of the owner whose calls are counted.
const OWN: usize = 5;

fn new(name: &str, events: &[&str]) -> NewSubscription {
    NewSubscription::new(name, "https://example.com/", events)
}

/// A pattern that matches [`EVENT`] and differs for each number: some of the letters are `?`.
fn matching_pattern(number: usize) -> String {
    let letter = |(at, letter)| if at < 20 && number >> at & 1 == 1 { '?' } else { letter };
    EVENT.chars().enumerate().map(letter).collect()
}

/// Whose calls are counted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Whose {
    OwnersLiterals,
    OwnersWildcards,
    NobodysLiterals,
}

/// A registry in which other owners have `others` subscriptions, half of them before and half after
/// those of the scope whose calls are counted. Returns the handle of that scope.
fn registry(whose: Whose, others: usize) -> Registry {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types([EVENT, "order.paid", "queue.v1", "queue.v2"]).unwrap();
    let scoped = match whose {
        Whose::NobodysLiterals => registry.clone(),
        Whose::OwnersLiterals | Whose::OwnersWildcards => registry.for_owner("m").unwrap(),
    };
    let grow = |numbers: std::ops::Range<usize>| {
        // One owner has many, and each of the others five.
        for number in numbers.step_by(5) {
            let owner = if number % 2 == 0 { "large".to_owned() } else { format!("z{number}") };
            let new = |number: usize| {
                let events = [matching_pattern(number), "*".to_owned(), EVENT.to_owned()];
                NewSubscription::new(format!("name {number}"), "https://example.com/", events)
                    .enabled(number % 4 != 3)
                    .metadata("k", "v")
            };
            let five = (number..number + 5).map(new);
            registry.for_owner(owner).unwrap().create_all(five).unwrap();
        }
    };
    grow(0..others / 2);
    for number in 0..OWN {
        let events: &[&str] = match whose {
            Whose::OwnersWildcards => &["order.*", "queue.v1"],
            Whose::OwnersLiterals | Whose::NobodysLiterals => &[EVENT, "queue.v1"],
        };
        scoped.create(new(&format!("name {number}"), events).metadata("k", "v")).unwrap();
    }
    grow(others / 2..others);
    scoped
}

/// The steps of every kind of call for one owner.
fn calls(registry: &Registry) -> Vec<(&'static str, u64)> {
    let ids: Vec<_> = registry.iter(ListQuery::new()).map(|one| one.unwrap().id()).collect();
    assert_eq!(ids.len(), OWN);
    let id = ids[OWN / 2];
    let all = || ListQuery::new().limit(3);
    let update = SubscriptionUpdate::new;
    let mut steps: Vec<(&'static str, u64)> = Vec::new();
    macro_rules! count {
        ($($call:expr;)*) => {
            $(
                let (answer, count) = registry.inner.store.steps(|| $call);
                let _ = answer.unwrap();
                steps.push((stringify!($call), count));
            )*
        };
    }
    // A change of the scope's own makes the next answer cold.
    let touch = |text: &str| registry.update(id, update().description(text)).map(drop);
    count! {
        touch("1");
        registry.subscribers(EVENT);
        registry.subscribers(EVENT);
        registry.subscribers("order.paid");
        touch("2");
        registry.subscribers(EVENT);
        registry.subscribers("queue.v2");
        registry.explain(EVENT);
        registry.explain("queue.v2");
        registry.subscriber(id);
        registry.get(id);
        registry.get_by_name("name 1");
        registry.get_by_name("name 1000");
        registry.len();
        registry.is_empty();
        registry.list(all());
        registry.list(all().after(id));
        registry.list(all().enabled(false));
        registry.list(all().event_type(EVENT));
        registry.list(all().event_type(EVENT).after(id));
        registry.list(all().event_type("queue.v2"));
        registry.list(all().name_contains("name"));
        registry.list(all().name_contains("nothing").metadata("k", "v"));
        registry.count(all());
        registry.count(all().event_type(EVENT));
        registry.count(all().enabled(true).metadata("k", "v"));
        registry.iter(all()).collect::<Result<Vec<_>>>();
        registry.iter(all().event_type(EVENT)).collect::<Result<Vec<_>>>();
        registry.secret(id);
        registry.secrets(id);
        registry.last_change();
        registry.changes(0, 3);
        registry.changes(registry.last_change().unwrap(), 3);
        registry.plan([new("name 1", &["queue.*"]), new("new", &[EVENT])], Prune::Delete);
        registry.create(new("new 1", &[EVENT]));
        registry.create(new("new 2", &["queue.?"]).allow_unknown_events(true));
        registry.create_all([new("new 3", &["queue.v1"]), new("new 4", &[EVENT])]);
        registry.ensure(new("new 1", &["queue.v2"]));
        registry.ensure(new("new 5", &["queue.v2"]));
        registry.update(id, update().name("renamed"));
        registry.update(id, update().events(["queue.v1", EVENT]));
        registry.disable(id, "410 Gone");
        registry.update(id, update().enabled(true));
        registry.update(id, update().enabled(false));
        registry.rotate_secret(id, Rotation::new());
        registry.revoke_old_secrets(id);
        registry.delete(ids[0]);
        registry.delete_if_revision(ids[1], 1);
        registry.apply(registry.plan([new("name 4", &[EVENT])], Prune::Delete).unwrap());
        registry.delete_all();
        registry.len();
        registry.subscribers(EVENT);
        registry.list(all());
    }
    steps
}

/// Asserts that no call takes more than a quarter more steps.
fn assert_no_growth(what: &str, few: &[(&str, u64)], many: &[(&str, u64)]) {
    let mut worse = Vec::new();
    for ((call, few), (_, many)) in few.iter().zip(many) {
        if *many > few + few / 4 + 20 {
            worse.push(format!("{many} instead of {few} for {call}"));
        }
    }
    assert!(worse.is_empty(), "{what}: {} calls are slower:\n{}", worse.len(), worse.join("\n"));
}

#[test]
fn no_call_for_one_owner_takes_more_steps_where_others_have_a_hundred_times_more() {
    for whose in [Whose::OwnersLiterals, Whose::OwnersWildcards, Whose::NobodysLiterals] {
        let [few, many] = [20, 2_000].map(|others| calls(&registry(whose, others)));
        assert_no_growth(&format!("{whose:?}"), &few, &many);
    }
}

#[test]
fn the_same_holds_with_the_statistics_of_another_program() {
    let [few, many] = [20, 2_000].map(|others| {
        let scoped = registry(Whose::OwnersLiterals, others);
        scoped.inner.store.analyze();
        calls(&scoped)
    });
    assert_no_growth("analyzed", &few, &many);
}

#[test]
fn a_limit_takes_no_more_steps_where_there_are_more_subscriptions() {
    let steps = |own: usize, others: usize| {
        let registry = Registry::options().max_subscriptions(1_000).in_memory().unwrap();
        registry.register_event_type(EVENT).unwrap();
        let named = |number: usize| new(&format!("name {number}"), &[EVENT]);
        for owner in 0..others {
            let it = registry.for_owner(format!("o{owner}")).unwrap();
            it.create_all((0..20).map(named)).unwrap();
        }
        let acme = registry.for_owner("acme").unwrap();
        acme.create_all((0..own).map(named)).unwrap();
        let first = acme.inner.store.steps(|| acme.create(new("first", &[EVENT])).unwrap()).1;
        acme.create_all((own..999).map(named)).unwrap();
        let refused = acme.inner.store.steps(|| acme.create(new("last", &[EVENT])).unwrap_err()).1;
        (first, refused)
    };
    let (base, refused) = steps(1, 1);
    for (own, others) in [(900, 1), (1, 100)] {
        let more = steps(own, others);
        assert!(more.0 <= base + base / 4 + 20, "{own}, {others}: {more:?} instead of {base}");
        assert!(more.1 <= refused + refused / 4 + 20, "{own}, {others}: {more:?} for {refused}");
    }
}

#[test]
fn the_id_of_another_owner_takes_about_the_steps_of_an_id_that_does_not_exist() {
    let registry = registry(Whose::OwnersLiterals, 200);
    let other = Registry { inner: registry.inner.clone(), scope: crate::scope::Scope::NoOwner };
    let theirs = other.for_owner("large").unwrap().get_by_name("name 0").unwrap().unwrap().id();
    let never = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    let update = || SubscriptionUpdate::new().name(" ").url("nowhere");
    let steps = |id| {
        let count = |call: &dyn Fn() -> bool| {
            // The first prepares the statement.
            call();
            let (is_found, steps) = registry.inner.store.steps(call);
            assert!(!is_found);
            steps
        };
        [
            count(&|| registry.get(id).unwrap().is_some()),
            count(&|| registry.subscriber(id).unwrap().is_some()),
            count(&|| registry.secret(id).is_ok()),
            count(&|| registry.secrets(id).is_ok()),
            count(&|| registry.update(id, update()).is_ok()),
            count(&|| registry.delete(id).is_ok()),
            count(&|| registry.delete_if_revision(id, 1).is_ok()),
            count(&|| registry.rotate_secret(id, Rotation::new()).is_ok()),
            count(&|| registry.revoke_old_secrets(id).is_ok()),
        ]
    };
    println!("{:?} {:?}", steps(theirs), steps(never));
    for (theirs, never) in steps(theirs).into_iter().zip(steps(never)) {
        // The owner has to be compared, and nothing else is read.
        assert!(theirs.abs_diff(never) <= 40, "{theirs} steps instead of {never}");
    }
}
