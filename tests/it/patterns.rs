//! Tests that a pattern means the same to the crate, to SQLite's `GLOB`, and to an independent,
//! simpler implementation (the oracle). A difference would be a delivery that nobody asked for, or
//! a missing one.

use std::cell::Cell;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use proptest::{prop_assert, prop_assert_eq};
use rusqlite::Connection;
use webhook_registry::{ErrorKind, EventPattern, Registry};

use crate::support::oracle;
use crate::support::{STRIPE, refused, size};

fn runner() -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases: size(2_000, 50_000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

#[track_caller]
fn assert_holds(outcome: Result<(), impl std::fmt::Display>) {
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// Generates a name of few characters, so that patterns often match.
fn name() -> impl Strategy<Value = String> {
    vec(select(&b"aabbcz.-_09AZ:/"[..]), 1..9).prop_map(|bytes| String::from_utf8(bytes).unwrap())
}

fn class() -> impl Strategy<Value = String> {
    let member = prop_oneof![
        3 => select(&["a", "b", "c", "z", ".", "_", "0", "A", ":", "/"][..])
            .prop_map(str::to_owned),
        2 => select(&["a-b", "a-z", "A-z", "0-9", ".-z", "b-c", "/-A"][..]).prop_map(str::to_owned),
    ];
    (
        select(&["", "!"][..]),
        select(&["", "", "-"][..]),
        vec(member, 1..4),
        select(&["", "", "-"][..]),
    )
        .prop_map(|(not, first, members, last)| format!("[{not}{first}{}{last}]", members.concat()))
}

/// Generates mostly valid patterns.
fn pattern() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => select(&["a", "b", "c", "z", ".", "-", "_", "0", "9", "A", "Z", ":", "/"][..])
            .prop_map(str::to_owned),
        3 => Just("*".to_owned()),
        2 => Just("?".to_owned()),
        3 => class(),
    ];
    vec(part, 1..7).prop_map(|parts| parts.concat())
}

/// Generates mostly invalid patterns.
fn arbitrary_text() -> impl Strategy<Value = String> {
    let bit = select(
        &[
            "a", "b", "-", "-", ".", "[", "[", "]", "]", "!", "^", "*", "?", "z", "0", " ", "é",
            "\0", "\\", "{", ",",
        ][..],
    );
    vec(bit, 0..9).prop_map(|bits| bits.concat())
}

/// Returns the answer of SQLite, which negates sets with `^` where the crate uses `!`.
fn glob(conn: &Connection, pattern: &str, name: &str) -> bool {
    conn.prepare_cached("SELECT ?2 GLOB ?1")
        .unwrap()
        .query_row([pattern.replace("[!", "[^").as_str(), name], |row| row.get(0))
        .unwrap()
}

#[test]
fn the_crate_sqlite_and_the_oracle_agree_on_what_a_pattern_matches() {
    let conn = Connection::open_in_memory().unwrap();
    // A property that never matches proves nothing, so the matches are counted.
    let (hits, asked) = (Cell::new(0), Cell::new(0));
    let outcome = runner().run(&(pattern(), vec(name(), 4)), |(text, names)| {
        let parsed = text.parse::<EventPattern>();
        prop_assert_eq!(parsed.is_ok(), oracle::accepts(&text), "{:?}", text);
        let Ok(parsed) = parsed else { return Ok(()) };
        for name in &names {
            let ours = parsed.matches(name);
            prop_assert_eq!(ours, oracle::matches(&text, name), "oracle: {:?} on {:?}", text, name);
            prop_assert_eq!(ours, glob(&conn, &text, name), "GLOB: {:?} on {:?}", text, name);
            hits.set(hits.get() + u32::from(ours));
            asked.set(asked.get() + 1);
        }
        Ok(())
    });
    assert_holds(outcome);
    assert!(hits.get() > asked.get() / 50, "{} of {} hit", hits.get(), asked.get());
}

#[test]
fn a_name_generated_from_a_pattern_matches_it() {
    let conn = Connection::open_in_memory().unwrap();
    let runs = vec(select(&["", "a", ".", "b.c", "z-"][..]), 8);
    let outcome = runner().run(&(pattern(), runs), |(text, runs)| {
        let Ok(parsed) = text.parse::<EventPattern>() else {
            return Ok(());
        };
        let mut runs = runs.into_iter();
        let mut name = String::new();
        for part in text.split_inclusive(['*', '?']).filter(|_| !text.contains('[')) {
            match part.strip_suffix('*') {
                Some(literal) => name += &(literal.to_owned() + runs.next().unwrap_or_default()),
                None => name += &part.replace('?', "x"),
            }
        }
        if !name.is_empty() {
            prop_assert!(parsed.matches(&name), "{:?} on {:?}", text, name);
            prop_assert!(oracle::matches(&text, &name), "oracle: {:?} on {:?}", text, name);
            prop_assert!(glob(&conn, &text, &name), "GLOB: {:?} on {:?}", text, name);
        }
        Ok(())
    });
    assert_holds(outcome);
}

#[test]
fn the_crate_and_the_oracle_accept_the_same_patterns() {
    let conn = Connection::open_in_memory().unwrap();
    let accepted = Cell::new(0);
    let outcome = runner().run(&(arbitrary_text(), name()), |(text, name)| {
        match text.parse::<EventPattern>() {
            Err(error) => {
                prop_assert!(!oracle::accepts(&text), "rejected {:?}: {}", text, error);
                prop_assert_eq!(error.kind(), ErrorKind::Invalid);
                prop_assert_eq!(error.problems()[0].field(), "pattern");
                prop_assert_eq!(error.problems().len(), 1);
            }
            Ok(parsed) => {
                accepted.set(accepted.get() + 1);
                prop_assert!(oracle::accepts(&text), "accepted {:?}", text);
                prop_assert_eq!(parsed.is_wildcard(), oracle::is_wildcard(&text));
                prop_assert_eq!(
                    parsed.matches(&name),
                    glob(&conn, &text, &name),
                    "{:?} on {:?}",
                    text,
                    name
                );
                prop_assert_eq!(parsed.as_str(), &text);
                prop_assert_eq!(parsed.to_string(), text.clone());
                let json = serde_json::to_string(&parsed).unwrap();
                prop_assert_eq!(json, serde_json::to_string(&text).unwrap());
                prop_assert_eq!(
                    parsed,
                    serde_json::from_value::<EventPattern>(text.into()).unwrap()
                );
            }
        }
        Ok(())
    });
    assert_holds(outcome);
    assert!(accepted.get() > 100, "only {} texts were patterns", accepted.get());
}

#[test]
fn no_text_makes_parsing_or_matching_panic() {
    let outcome = runner().run(&(".*", ".*"), |(pattern, name)| {
        let parsed = pattern.parse::<EventPattern>();
        prop_assert_eq!(parsed.is_ok(), oracle::accepts(&pattern));
        let covered = parsed.is_ok_and(|parsed| parsed.matches(&name));
        prop_assert_eq!(covered, oracle::matches(&pattern, &name));
        let star: EventPattern = "*".parse().unwrap();
        prop_assert_eq!(star.matches(&name), oracle::is_name(&name));
        Ok(())
    });
    assert_holds(outcome);
}

/// Asserts one row of the table: which names a pattern matches and which not.
#[track_caller]
fn assert_table_row(text: &str, matched: &[&str], others: &[&str]) {
    let pattern: EventPattern = text.parse().unwrap();
    assert_eq!(pattern, text);
    let conn = Connection::open_in_memory().unwrap();
    for (names, expected) in [(matched, true), (others, false)] {
        for name in names {
            assert_eq!(pattern.matches(name), expected, "{text:?} on {name:?}");
            assert_eq!(oracle::matches(text, name), expected, "oracle: {text:?} on {name:?}");
            if oracle::is_name(name) {
                assert_eq!(glob(&conn, text, name), expected, "GLOB: {text:?} on {name:?}");
            }
        }
    }
}

#[test]
fn the_documented_table_of_pattern_matches_holds() {
    assert_table_row(
        "agent.*",
        &["agent.presencechanged.v1", "agent."],
        &["agent", "Agent.x", "xagent.y"],
    );
    assert_table_row("*.v1", &["a.b.v1", ".v1"], &["a.v2", "a.v1.b", "v1"]);
    let longest = "a".repeat(256);
    let too_long = "a".repeat(257);
    assert_table_row("*", &["a", "a.b/c:d-e_f", &longest], &["", "a b", "é", "a\0", &too_long]);
    assert_table_row("a?c", &["abc", "a.c", "a/c"], &["ac", "abbc", "aéc"]);
    assert_table_row("[abc]", &["a", "c"], &["d", "A", "ab", ""]);
    assert_table_row("[a-c]x", &["ax", "cx"], &["dx", "-x", "x"]);
    assert_table_row("[!abc]", &["d", ".", "A", "/"], &["a", "b", "", "!", "^", " "]);
    assert_table_row("[!a-c]", &["d", "-"], &["b"]);
    assert_table_row("[-a]", &["-", "a"], &["b"]);
    assert_table_row("[a-]", &["-", "a"], &["b"]);
    assert_table_row("[!-a]", &["b"], &["-", "a", "!"]);
    assert_table_row("[a-c-]", &["b", "-"], &["d"]);
    assert_table_row("[-]", &["-"], &["a"]);
    assert_table_row("[!-]", &["a"], &["-"]);
    assert_table_row("[--]", &["-"], &["a"]);
    assert_table_row("[a-cx-z0]", &["b", "y", "0"], &["d", "-", "1"]);
    assert_table_row("[.-z]", &[".", "A", "z", "0"], &["-"]);
    assert_table_row("*a*b*", &["ab", "xaxbx", "aab"], &["ba", "a", "b"]);
    assert_table_row("a.b", &["a.b"], &["aXb", "a.b.c"]);
    assert_table_row("*[0-9]", &["v1", "1"], &["v", "1v"]);
    assert_table_row(&longest, &[&longest], &["a"]);
}

#[test]
fn text_outside_the_pattern_grammar_is_invalid() {
    let too_long = "a".repeat(257);
    for text in [
        "", "**", "a**", "a.**.b", "***", "[^a]", "[*]", "[?]", "[]]", "[z-a]", "[a-a]", "[]",
        "[!]", "]", "a]b", "[", "a[b", "[!", "[a-", "[a-b-c]", "[a-c-e]", "[--a]", "[---]", "[!!]",
        "[a!]", "[[]", "[[a]", "a b", " a", "a\n", "é", "[é]", "[a-é]", "a\0", "\\a", "{a,b}",
        "!a", "^a", "[ ]", "a,b", "[a]]", "[!]a]", &too_long,
    ] {
        assert!(!oracle::accepts(text), "oracle: {text:?}");
        refused(text.parse::<EventPattern>(), ErrorKind::Invalid, &["pattern"]);
    }
    let error = refused("a.**".parse::<EventPattern>(), ErrorKind::Invalid, &["pattern"]);
    assert!(error.to_string().contains("one * already crosses dots"), "{error}");
}

#[test]
fn adversarial_patterns_match_quickly() {
    let began = Instant::now();
    let names = ["a".repeat(256), "a".repeat(255) + "b", "ab".repeat(128), "a.".repeat(128)];
    for pattern in [
        "*a".repeat(128),
        "*a".repeat(127) + "*b",
        "*?".repeat(127) + "*",
        "*[!b]".repeat(51),
        "*[a-z]".repeat(42) + "c",
        "?".repeat(256),
        "*a*b".repeat(64),
        "[a-z]".repeat(51),
    ] {
        let parsed: EventPattern = pattern.parse().unwrap();
        for name in &names {
            for _ in 0..size(20, 2_000) {
                std::hint::black_box(parsed.matches(name));
            }
        }
    }
    let each = began.elapsed() / (8 * 4 * size(20, 2_000));
    assert!(each < Duration::from_millis(5), "{each:?} a match");
}

#[test]
fn a_pattern_expands_into_exactly_the_names_that_the_oracle_matches() {
    let registry = Registry::in_memory().unwrap();
    let mut names: Vec<&str> = STRIPE.lines().collect();
    registry.register_event_types(names.iter().copied()).unwrap();
    names.sort_unstable();
    let prefix =
        select(&["", "customer.", "c", "invoice.p", "charge.refunded", "treasury", "z"][..]);
    let outcome = runner().run(&(prefix, pattern()), |(prefix, rest)| {
        let text = prefix.to_owned() + &rest;
        if !oracle::accepts(&text) {
            return Ok(());
        }
        let expected: Vec<&str> =
            names.iter().copied().filter(|name| oracle::matches(&text, name)).collect();
        prop_assert_eq!(registry.expand(&text).unwrap(), expected, "{:?}", text);
        Ok(())
    });
    assert_holds(outcome);
    for name in &names {
        assert_eq!(registry.expand(name).unwrap(), [*name]);
    }
    assert_eq!(registry.expand("*").unwrap(), names);
}

#[test]
fn a_pattern_compares_hashes_and_displays_like_its_text() {
    let parse = |text: &str| text.parse::<EventPattern>().unwrap();
    let (a, b) = (parse("a.*"), parse("b"));
    assert_eq!(a, parse("a.*"));
    assert_ne!(a, b);
    assert!(a < b);
    assert_eq!(a.partial_cmp(&b), Some(a.cmp(&b)));
    assert_eq!(std::collections::BTreeSet::from([b.clone(), a.clone(), parse("b")]).len(), 2);
    let hash = |pattern: &EventPattern| {
        use std::hash::BuildHasher as _;
        std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default().hash_one(pattern)
    };
    assert_eq!(hash(&a), hash(&parse("a.*")));
    assert_ne!(hash(&a), hash(&b));
    assert_eq!(format!("{a} {a:>5} {a:?}"), "a.*   a.* EventPattern(\"a.*\")");
    let text: &str = a.as_ref();
    assert_eq!(text, "a.*");
    assert_eq!(a, *"a.*");
    assert_eq!(a, "a.*");
    assert_ne!(a, *"a");
    assert_ne!(a, "a");
    assert!(a.is_wildcard() && !b.is_wildcard());
}
