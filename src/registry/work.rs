//! Tests of how much work a call makes for SQLite. Steps are counted, because times depend on the machine.

use super::Registry;
use crate::subscription::{ListQuery, NewSubscription};

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

/// How the patterns are spread that match the event.
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
    registry.0.store.steps(|| registry.iter(query.clone()).map(Result::unwrap).count())
}

fn page(registry: &Registry, query: &ListQuery) -> u64 {
    registry.0.store.steps(|| registry.list(query.clone()).unwrap()).1
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
                        steps <= table * 5,
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
        // Where the matches are far apart and each has a pattern of its own, each of these is looked up.
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
