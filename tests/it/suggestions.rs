//! Tests "did you mean" suggestions: the nearest known name is suggested, and nothing if none is
//! near.

use webhook_registry::{ErrorKind, NewSubscription, Prune, Registry};

use crate::support::Random;

fn registry(names: &[&str]) -> Registry {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(names.iter().copied()).unwrap();
    registry
}

#[track_caller]
fn assert_hint(message: &str, near: Option<&str>) {
    match near {
        Some(near) => assert!(message.ends_with(&format!("; did you mean {near:?}?")), "{message}"),
        None => assert!(!message.contains("did you mean"), "{message}"),
    }
}

#[test]
fn a_name_is_suggested_if_at_most_half_of_the_text_differs() {
    for (known, text, near) in [
        // Half of four is two, half of five is three.
        (&["abcd"][..], "abxy", Some("abcd")),
        (&["abcd"], "axyz", None),
        (&["abcde"], "abxyz", Some("abcde")),
        (&["abcde"], "axyzw", None),
        // Longer and shorter by that number, and by more.
        (&["abcdef"], "abcd", Some("abcdef")),
        (&["abcdefg"], "abcd", None),
        (&["abc"], "abcdef", Some("abc")),
        (&["ab"], "abcdef", None),
        // A transposition counts as one difference, and another letter case as none.
        (&["abcd"], "badc", Some("abcd")),
        (&["AbCd"], "aBcD", Some("AbCd")),
        // The nearest name, and among equals the first by name.
        (&["abcx", "abcd", "axxd"], "abcde", Some("abcd")),
        (&["abcy", "abcx"], "abcd", Some("abcx")),
        // Characters are counted, not bytes.
        (&["abcd"], "éécd", Some("abcd")),
        (&["abcd"], "éééd", None),
    ] {
        let error = registry(known).subscribers(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_hint(&error.to_string(), near);
    }
}

#[test]
fn a_wildcard_is_compared_by_its_longer_literal_end_and_a_pattern_that_matches_is_suggested() {
    let known = ["aa.first.v1", "b", "channel.held.v1", "channel.held.v2", "queue.entered.v10"];
    for (pattern, near) in [
        ("chanel.*", "channel.*"),
        ("quue.*", "queue.*"),
        ("*.v11", "*.v10"),
        ("*d.v22", "*d.v2"),
        ("a*.v100", "queue.entered.v10"),
        // Of two ends of equal length, the first.
        ("quxue.*eld.v2", "queue.entered.v10"),
        ("quxu.*eld.v2", "channel.held.v2"),
        // Every wildcard character ends the literal part.
        ("quue.?", "queue.entered.v10"),
        ("quue.[a-c]", "queue.entered.v10"),
        ("?ueue.entered.v1", "?ueue.entered.v10"),
        ("[c]hanel.held.v2", "[c]hannel.held.v2"),
        // Longer than every name.
        ("queue.entered.v10.and.more.*", "queue.entered.*"),
        ("*more.and.more.and.channel.held.v2", "*channel.held.v2"),
    ] {
        let new = NewSubscription::new("crm", "https://example.com/", [pattern]);
        let error = registry(&known).create(new).unwrap_err();
        assert_eq!(error.problems()[0].field(), "events[0]");
        assert_hint(&error.to_string(), Some(near));
    }
}

#[test]
fn ten_problems_of_an_input_get_a_suggestion_and_all_are_reported() {
    let misspelt: Vec<String> = (0..12).map(|n| format!("channel.hold.v{n}")).collect();
    let new = NewSubscription::new("crm", "https://example.com/", misspelt);
    let error = registry(&["channel.held.v1"]).create(new).unwrap_err();
    let suggested: Vec<bool> =
        error.problems().iter().map(|problem| problem.message().contains("did you mean")).collect();
    assert_eq!(suggested, [vec![true; 10], vec![false; 2]].concat());
}

#[test]
fn a_call_gets_at_most_ten_suggestions_for_any_number_of_subscriptions() {
    let registry = registry(&["channel.held.v1"]);
    registry.create(NewSubscription::new("old", "https://example.com/", ["*"])).unwrap();
    let new = |name: usize, events: usize| {
        let misspelt = (0..events).map(|n| format!("channel.hold.v{n}"));
        NewSubscription::new(format!("s{name}"), "https://example.com/", misspelt)
    };
    let list = || [new(0, 3), new(1, 0), new(2, 9), new(3, 9)];
    for error in [
        registry.create_all(list()).unwrap_err(),
        registry.plan(list(), Prune::Keep).unwrap_err(),
        registry.plan(list(), Prune::Delete).unwrap_err(),
    ] {
        let unknown = error
            .problems()
            .iter()
            .filter(|problem| problem.message().starts_with("no event type"));
        let suggested: Vec<bool> =
            unknown.map(|problem| problem.message().contains("did you mean")).collect();
        assert_eq!(suggested, [vec![true; 10], vec![false; 11]].concat());
    }
}

#[test]
fn ten_misspellings_of_similar_names_are_resolved_among_a_thousand() {
    let names: Vec<String> =
        (0..1_000).map(|n| format!("customer.subscription.order.item{n:04}.updated.v1x")).collect();
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(names.iter().map(String::as_str)).unwrap();
    let misspelt: Vec<String> = (0..10)
        .map(|n| format!("custmer.subscription.order.item{:04}.updatde.v1x", n * 111))
        .collect();
    let error = registry
        .create(NewSubscription::new("crm", "https://example.com/", &misspelt))
        .unwrap_err();
    for (n, problem) in error.problems().iter().enumerate() {
        assert_hint(problem.message(), Some(&names[n * 111]));
    }
}

#[test]
fn a_misspelling_is_resolved_in_a_large_catalog() {
    let names: Vec<String> =
        (0..6_000).map(|n| format!("agent{n:04}.presence.changed.v1")).collect();
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(names.iter().map(String::as_str)).unwrap();
    for place in [0, 1, 2_999, 5_998, 5_999] {
        let misspelt = names[place].replace("presence", "presense");
        assert_hint(&registry.subscribers(&misspelt).unwrap_err().to_string(), Some(&names[place]));
        let wildcard = names[place].replace("presence.changed", "presense.*");
        let new = NewSubscription::new("crm", "https://example.com/", [misspelt, wildcard]);
        let error = registry.create(new).unwrap_err();
        let pattern = names[place].replace("changed", "*");
        assert_hint(error.problems()[0].message(), Some(&names[place]));
        assert_hint(error.problems()[1].message(), Some(&pattern));
        assert_eq!(error.problems().len(), 2);
    }
}

#[test]
fn the_same_call_gets_the_same_suggestions() {
    // More work than a call may do: names of two letters, for which no heuristic tells
    // which one is near.
    let name = |seed: u64, length: usize| -> String {
        let mut random = Random(seed);
        (0..length).map(|_| if random.chance(50) { 'a' } else { 'b' }).collect()
    };
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types((0..1_000).map(|seed| name(seed, 50))).unwrap();
    let list = || {
        let events = |from: u64| (0..10).map(move |n| name(5_000 + from * 10 + n, 50));
        (0..30).map(move |from| {
            NewSubscription::new(format!("s{from}"), "https://example.com/", events(from))
        })
    };
    let error = registry.create_all(list()).unwrap_err();
    let suggested = error
        .problems()
        .iter()
        .filter(|problem| problem.message().contains("did you mean"))
        .count();
    assert_eq!((error.problems().len(), suggested), (300, 10));
    assert_eq!(registry.create_all(list()).unwrap_err().problems(), error.problems());
}
