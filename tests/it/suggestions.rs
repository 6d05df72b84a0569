//! Guards against a "did you mean" that names what is not near, or nothing although something is: it would send whoever
//! misspelt an event the wrong way.

use webhook_registry::{ErrorKind, NewSubscription, Registry};

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
fn a_name_is_near_when_no_more_than_half_of_the_text_differs() {
    for (known, text, near) in [
        // Half of four are two, half of five are three.
        (&["abcd"][..], "abxy", Some("abcd")),
        (&["abcd"], "axyz", None),
        (&["abcde"], "abxyz", Some("abcde")),
        (&["abcde"], "axyzw", None),
        // Longer and shorter by as much, and by more.
        (&["abcdef"], "abcd", Some("abcdef")),
        (&["abcdefg"], "abcd", None),
        (&["abc"], "abcdef", Some("abc")),
        (&["ab"], "abcdef", None),
        // Two that changed places are one fault, and so is another case none.
        (&["abcd"], "badc", Some("abcd")),
        (&["AbCd"], "aBcD", Some("AbCd")),
        // The nearest, and of those as near the first by name.
        (&["abcx", "abcd", "axxd"], "abcde", Some("abcd")),
        (&["abcy", "abcx"], "abcd", Some("abcx")),
        // Counted are characters, not bytes.
        (&["abcd"], "éécd", Some("abcd")),
        (&["abcd"], "éééd", None),
    ] {
        let error = registry(known).subscribers(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_hint(&error.to_string(), near);
    }
}

#[test]
fn a_wildcard_is_compared_by_its_longer_literal_end() {
    let known = ["aa.first.v1", "b", "channel.held.v1", "channel.held.v2", "queue.entered.v10"];
    for (pattern, near) in [
        ("chanel.*", "channel.held.v1"),
        ("quue.*", "queue.entered.v10"),
        ("*.v11", "queue.entered.v10"),
        ("*d.v22", "channel.held.v2"),
        ("a*.v100", "queue.entered.v10"),
        // Of two ends as long the first.
        ("quxue.*eld.v2", "queue.entered.v10"),
        ("quxu.*eld.v2", "channel.held.v2"),
        // Every wildcard ends what is literal.
        ("quue.?", "queue.entered.v10"),
        ("quue.[a-c]", "queue.entered.v10"),
        ("?ueue.entered.v1", "queue.entered.v10"),
        ("[c]hanel.held.v2", "channel.held.v2"),
        // Longer than every name.
        ("queue.entered.v10.and.more.*", "queue.entered.v10"),
        ("*more.and.more.and.channel.held.v2", "channel.held.v2"),
    ] {
        let new = NewSubscription::new("crm", "https://example.com/", [pattern]);
        let error = registry(&known).create(new).unwrap_err();
        assert_eq!(error.problems()[0].field(), "events[0]");
        assert_hint(&error.to_string(), Some(near));
    }
}

#[test]
fn ten_faults_of_an_input_get_a_suggestion_and_each_is_told() {
    let misspelt: Vec<String> = (0..12).map(|n| format!("channel.hold.v{n}")).collect();
    let new = NewSubscription::new("crm", "https://example.com/", misspelt);
    let error = registry(&["channel.held.v1"]).create(new).unwrap_err();
    let suggested: Vec<bool> =
        error.problems().iter().map(|problem| problem.message().contains("did you mean")).collect();
    assert_eq!(suggested, [vec![true; 10], vec![false; 2]].concat());
}
