//! Tests of how much work a call makes for SQLite. Steps are counted, because times depend on the
//! machine.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::type_complexity,
    reason = "a test says what it expects, and fails where that does not hold"
)]

use super::Registry;
use crate::plan::Prune;
use crate::scope::Scope;
use crate::secret::Rotation;
use crate::store::Store;
use crate::subscription::{ListQuery, NewSubscription, SubscriptionUpdate};

const EVENT: &str = "agent.presence.changed.v1";

/// Patterns that all match [`EVENT`] and differ for each number: some of its letters are `?`.
fn own_pattern(number: usize) -> String {
    let letter = |(at, letter)| if at < 20 && number >> at & 1 == 1 { '?' } else { letter };
    EVENT.chars().enumerate().map(letter).collect()
}

/// So many subscriptions, of which the event types say which patterns they have.
fn registry(count: usize, events: impl Fn(usize) -> Vec<String>) -> Registry {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types([EVENT, "queue.v1", "queue.v2", "channel.v1"]).unwrap();
    let new = |number: usize| {
        NewSubscription::new(format!("name {number}"), "https://example.com/", events(number))
            .metadata("parity", (number % 2).to_string())
            .enabled(number % 4 != 3)
    };
    registry.create_all((0..count).map(new)).unwrap();
    registry
}

/// The ways in which the patterns that match the event are spread.
fn spreads() -> Vec<(&'static str, fn(usize, usize) -> Vec<String>)> {
    fn other() -> Vec<String> {
        vec!["queue.*".to_owned()]
    }
    vec![
        ("one pattern that all share", |_, _| vec!["agent.*".to_owned()]),
        ("several that all share", |_, _| {
            ["agent.*", "*", "*.v1", "queue.*"].map(str::to_owned).to_vec()
        }),
        ("one of its own for each", |number, _| vec![own_pattern(number)]),
        ("two of its own for each", |number, _| {
            vec![own_pattern(number), own_pattern(number + (1 << 15))]
        }),
        ("own and shared in turn", |number, _| {
            vec![if number % 2 == 0 { own_pattern(number) } else { "*".to_owned() }]
        }),
        ("nearly none", |number, count| {
            if number % (count / 4) == 7 {
                vec!["agent.*".to_owned(), "*.v1".to_owned()]
            } else {
                other()
            }
        }),
        ("one of its own for each of the last tenth", move |number, count| {
            if number >= count / 10 * 9 { vec![own_pattern(number)] } else { other() }
        }),
        ("one of its own for one in ten", move |number, _| {
            if number % 10 == 0 { vec![own_pattern(number)] } else { other() }
        }),
    ]
}

/// Each way to ask for subscriptions that match the event, or for others by a filter.
fn queries() -> Vec<ListQuery> {
    let (all, matching) = (ListQuery::new, || ListQuery::new().event_type(EVENT));
    vec![
        all().name_contains("7"),
        all().enabled(false).name_contains("1").metadata("parity", "1"),
        matching(),
        matching().enabled(false),
        matching().name_contains("7"),
        matching().metadata("parity", "0"),
        matching().enabled(true).name_contains("1").metadata("parity", "0"),
        // No subscription has this.
        matching().metadata("parity", "2"),
    ]
}

fn walk(registry: &Registry, query: &ListQuery) -> (usize, u64) {
    registry.inner.store.steps(|| registry.iter(query.clone()).map(Result::unwrap).count())
}

fn page(registry: &Registry, query: &ListQuery) -> u64 {
    registry.inner.store.steps(|| registry.list(query.clone()).unwrap()).1
}

#[test]
fn a_filtered_walk_takes_no_more_than_a_few_times_the_steps_of_a_walk_of_the_table() {
    for (spread, events) in spreads() {
        for limit in [3, 100] {
            let mut whole = Vec::new();
            for count in [150, 1_200] {
                let registry = registry(count, |number| events(number, count));
                let (found, table) = walk(&registry, &ListQuery::new().limit(limit));
                assert_eq!(found, count);
                whole.push(table);
                for query in queries() {
                    let (_, steps) = walk(&registry, &query.clone().limit(limit));
                    assert!(
                        steps <= table * 6,
                        "{spread}, {count}, {limit}: {steps} for {table}, {query:?}"
                    );
                }
            }
            assert!(
                whole[1] <= whole[0] * 9,
                "{spread}, {limit}: {whole:?} for eight times the table"
            );
        }
    }
}

#[test]
fn a_page_by_event_type_takes_no_more_steps_in_a_larger_table() {
    for (spread, events) in spreads() {
        let queries = [
            ListQuery::new().event_type(EVENT),
            ListQuery::new().event_type(EVENT).enabled(true),
            ListQuery::new().event_type(EVENT).metadata("parity", "0"),
            ListQuery::new().event_type(EVENT).name_contains("name"),
        ];
        let [few, many] = [150, 1_200].map(|count| {
            let registry = registry(count, |number| events(number, count));
            let ids: Vec<_> =
                registry.iter(ListQuery::new()).map(|one| one.unwrap().id()).collect();
            let first = |query: &ListQuery| page(&registry, &query.clone().limit(10));
            let middle =
                |query: &ListQuery| page(&registry, &query.clone().limit(10).after(ids[count / 2]));
            queries.each_ref().map(|query| (first(query), middle(query)))
        });
        // Where the matches are far apart and each has a pattern of its own, each of these is
        // looked up.
        let far_apart =
            spread.contains("of its own for each of the last") || spread.contains("one in ten");
        for (few, many) in few.into_iter().zip(many) {
            for (few, many) in [(few.0, many.0), (few.1, many.1)] {
                let most = if far_apart { few * 9 } else { few + few / 4 };
                assert!(
                    many <= most,
                    "{spread}: {many} steps for a page, {few} in a table of an eighth"
                );
            }
        }
    }
}

/// A registry in which every table is large enough to tell a look-up from a scan: a handle of an
/// owner, or the registry itself.
fn large(count: usize, owner: Option<&str>) -> Registry {
    let registry = Registry::in_memory().unwrap();
    let types = (0..300)
        .map(|number| format!("type{number}.v1"))
        .chain([EVENT, "rare.v1"].map(str::to_owned));
    registry.register_event_types(types).unwrap();
    let registry = match owner {
        Some(owner) => registry.for_owner(owner).unwrap(),
        None => registry,
    };
    grow(&registry, 0, count);
    registry
}

/// The handle of the same registry that is not limited to an owner.
fn whole(registry: &Registry) -> Registry {
    Registry { scope: Scope::NoOwner, ..registry.clone() }
}

fn grow(registry: &Registry, from: usize, count: usize) {
    let new = |number: usize| {
        let mut events = vec![format!("type{}.v1", number % 300), format!("type{}.*", number % 7)];
        events.extend(number.is_multiple_of(2).then(|| "agent.*".to_owned()));
        events.extend((number % 400 == 7).then(|| "rare.v1".to_owned()));
        NewSubscription::new(format!("name {number}"), "https://example.com/", events)
            .metadata("parity", (number % 2).to_string())
            .enabled(number % 4 != 3)
    };
    registry.create_all((from..from + count).map(new)).unwrap();
}

/// The steps of every kind of call, in an order in which each finds what it needs.
fn calls(registry: &Registry) -> Vec<(&'static str, u64)> {
    fn rare() -> ListQuery {
        ListQuery::new().event_type("rare.v1")
    }
    let ids: Vec<_> = registry.iter(ListQuery::new()).map(|one| one.unwrap().id()).collect();
    let (id, last) = (ids[ids.len() / 2], ids[ids.len() - 1]);
    let file = whole(registry);
    let every = file.for_every_owner().unwrap();
    let new = |name: &str| {
        NewSubscription::new(name, "https://example.com/", ["type1.v1", "agent.*", "new.*"])
    };
    let new = |name: &str| new(name).allow_unknown_events(true);
    let update = SubscriptionUpdate::new;
    let mut all: Vec<(&'static str, u64)> = Vec::new();
    macro_rules! count {
        ($($call:expr;)*) => {
            $(
                let steps = registry.inner.store.steps(|| { let _ = $call.unwrap(); }).1;
                all.push((stringify!($call), steps));
            )*
        };
    }
    count! {
        registry.get(id);
        registry.get_by_name("name 70");
        registry.len();
        registry.is_empty();
        registry.list(ListQuery::new().limit(10));
        registry.list(ListQuery::new().limit(10).after(id));
        registry.list(ListQuery::new().limit(10).after(id).enabled(true));
        registry.list(ListQuery::new().limit(10).name_contains("7").metadata("parity", "1"));
        registry.list(rare());
        registry.list(rare().enabled(true));
        registry.list(ListQuery::new().limit(10).event_type(EVENT).after(id));
        registry.list(ListQuery::new().limit(10).event_type("type1.v1").enabled(false));
        registry.count(ListQuery::new().enabled(false));
        registry.count(rare());
        registry.count(rare().metadata("parity", "1"));
        registry.subscribers("rare.v1");
        registry.subscribers(EVENT);
        registry.explain("rare.v1");
        registry.explain(EVENT);
        every.subscribers("rare.v1");
        every.explain("rare.v1");
        every.list(ListQuery::new().limit(10).after(id));
        every.list(ListQuery::new().limit(10).after(id).enabled(true));
        every.list(rare());
        every.count(rare());
        every.get(id);
        registry.subscriber(id);
        registry.event_type(EVENT);
        registry.event_types();
        registry.expand("type1*");
        registry.last_change();
        registry.changes(500, 10);
        registry.plan([new("name 70")], Prune::Keep);
        registry.plan([new("name 70")], Prune::Delete);
        file.check();
        file.export();
        registry.create(new("new"));
        // Now as one of few.
        registry.subscribers("rare.v1");
        registry.create_all([new("new 1"), new("new 2")]);
        registry.ensure(new("new 3"));
        registry.ensure(new("new 3"));
        registry.ensure(new("new 3").enabled(false));
        registry.update(id, update().name("another"));
        registry.update(id, update().enabled(false));
        registry.update(id, update().events(["type2.*", "agent.*", "type299.v1"]));
        registry.update(id, update().events(["type3.*"]));
        registry.rotate_secret(id, Rotation::new());
        registry.revoke_old_secrets(id);
        registry.delete_if_revision(id, 7);
        registry.delete(last);
        file.register_event_type("agent.new.v1");
        file.register_event_type("new.v1");
        file.remove_event_type("new.v1");
        Ok::<_, ()>(file.remove_event_type("type2.v1").unwrap_err());
    }
    all
}

/// More rows than any table has.
const MANY: u64 = 10_000_000_000;

/// The text that `ANALYZE` writes for a table of so many rows, or for its index of so many columns,
/// where each value stands in `equal` rows.
fn said(rows: u64, equal: u64, index: Option<(&str, usize)>) -> String {
    let columns = index.map_or(0, |(_, columns)| columns);
    format!("{rows}{}", format!(" {equal}").repeat(columns))
}

#[test]
fn planted_statistics_change_the_plan_of_a_statement_that_depends_on_them() {
    let store = &large(10, None).inner.store;
    store.first_of_two();
    for small in ["probe_a", "probe_b"] {
        store.plant(&mut |table, index| said(if table == small { 1 } else { MANY }, 1, index));
        assert_eq!(store.first_of_two(), small);
    }
}

#[test]
fn no_call_takes_more_steps_where_the_statistics_of_the_tables_are_absurd() {
    assert_steps_under_absurd_statistics(None);
}

#[test]
fn no_call_for_an_owner_takes_more_steps_where_the_statistics_of_the_tables_are_absurd() {
    assert_steps_under_absurd_statistics(Some("acme"));
}

fn assert_steps_under_absurd_statistics(owner: Option<&str>) {
    const COUNT: usize = 600;
    let baseline = calls(&large(COUNT, owner));
    type Says = Box<dyn FnMut(&str, Option<(&str, usize)>) -> String>;
    let mut hostile: Vec<(String, Says)> = vec![
        ("tables of one row".to_owned(), Box::new(|_, index| said(1, 1, index))),
        (
            "indexes that tell nothing apart".to_owned(),
            Box::new(|_, index| said(MANY, MANY, index)),
        ),
        ("indexes that tell all apart".to_owned(), Box::new(|_, index| said(MANY, 1, index))),
    ];
    for seed in 1..=10 {
        let mut random = seed;
        let says = move |_: &str, index: Option<(&str, usize)>| {
            random = 6_364_136_223_846_793_005_u64
                .wrapping_mul(random)
                .wrapping_add(1_442_695_040_888_963_407);
            let rows = [0, 1, 10, MANY][(random >> 33) as usize % 4];
            said(rows, if random >> 40 & 1 == 0 { 1 } else { rows }, index)
        };
        hostile.push((format!("seed {seed}"), Box::new(says)));
    }
    let deletes = |call: &str| ["delete", "remove"].iter().any(|name| call.contains(name));
    let mut worse = Vec::new();
    let mut compare = |what: &str, registry: &Registry| {
        for ((call, usual), (_, steps)) in baseline.iter().zip(calls(registry)) {
            let is_excused = Store::statistics_slow_foreign_keys() && deletes(call);
            if !is_excused && steps > usual + usual / 2 + 100 {
                worse.push(format!("{what}: {steps} instead of {usual} for {call}"));
            }
        }
    };
    for (what, mut says) in hostile {
        let registry = large(COUNT, owner);
        registry.inner.store.plant(&mut says);
        compare(&what, &registry);
    }
    // As another program's ANALYZE leaves them, where SQLite is built so with samples of the rows
    // besides.
    for analyzed in [1, 10] {
        let registry = large(analyzed, owner);
        registry.inner.store.analyze();
        grow(&registry, analyzed, COUNT - analyzed);
        compare(&format!("analyzed when it had {analyzed}"), &registry);
    }
    assert!(worse.is_empty(), "{} calls are slower:\n{}", worse.len(), worse.join("\n"));
}

#[test]
fn many_patterns_that_match_no_name_read_the_catalog_only_a_few_times() {
    const TYPES: usize = 1_000;
    const EACH: usize = 10;
    let steps = |event: &dyn Fn(usize) -> String, allow: bool| {
        let registry = Registry::in_memory().unwrap();
        let names = (0..TYPES).map(|at| format!("{:a<46}{at:04}", "agent.presence"));
        registry.register_event_types(names).unwrap();
        let new = |at: usize| {
            let events = (at * EACH..(at + 1) * EACH).map(event);
            NewSubscription::new(format!("name {at}"), "https://example.com/", events)
                .allow_unknown_events(allow)
        };
        let list: Vec<_> = (0..60).map(new).collect();
        let (result, steps) = registry.inner.store.steps(|| registry.create_all(list));
        assert_eq!(result.is_ok(), allow);
        steps
    };
    for allow in [false, true] {
        let plain = steps(&|number| format!("unknown.{number}"), allow);
        let most = plain + 10 * 5 * TYPES as u64;
        for pattern in ["*unknown.%", "unknown?%*", "agent.*unknown.%*", "*u*n*k*n*o*w*n.%"] {
            let wildcards = steps(&|number| pattern.replace('%', &number.to_string()), allow);
            assert!(wildcards <= most, "{pattern}, {allow}: {wildcards} for {plain}");
        }
    }
}
