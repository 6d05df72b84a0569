//! Tests that text for people escapes invisible, line-breaking and bidirectional characters, which
//! could forge a line of a log. Names are stored byte for byte.

use webhook_registry::{
    ErrorKind, EventPattern, ListQuery, NewSubscription, Prune, Registry, SubscriptionUpdate,
};

use crate::support::{new, refused};

/// Characters of every category without a glyph, and blank letters, marks and symbols.
const HIDDEN: [char; 34] = [
    '\u{ad}',
    '\u{61c}',
    '\u{180e}',
    '\u{200b}',
    '\u{200c}',
    '\u{200d}',
    '\u{200e}',
    '\u{200f}',
    '\u{202a}',
    '\u{202e}',
    '\u{2060}',
    '\u{2066}',
    '\u{2069}',
    '\u{206f}',
    '\u{feff}',
    '\u{fff9}',
    '\u{e0001}',
    '\u{e007f}',
    '\u{2028}',
    '\u{2029}',
    '\u{a0}',
    '\u{3000}',
    '\u{34f}',
    '\u{115f}',
    '\u{1160}',
    '\u{17b4}',
    '\u{180b}',
    '\u{2800}',
    '\u{3164}',
    '\u{fe0f}',
    '\u{ffa0}',
    '\u{e0100}',
    '\u{e000}',
    '\u{2065}',
];

fn registry() -> Registry {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(["agent.v1", "agent.v2"]).unwrap();
    registry
}

/// Asserts that the text has no hidden character and shows each of these escaped.
#[track_caller]
fn assert_visible(what: &str, escaped: &[char]) {
    let hidden = |c: &char| HIDDEN.contains(c) || c.is_control();
    assert_eq!(what.chars().find(hidden), None, "{what:?}");
    for c in escaped {
        assert!(what.contains(&c.escape_unicode().to_string()), "{what:?} does not show {c:?}");
    }
}

#[test]
fn names_are_stored_byte_for_byte_and_escaped_in_every_display() {
    for c in HIDDEN {
        let registry = registry();
        let name = format!("x{c}- delete y");
        let created = registry.create(new(&name)).unwrap();
        assert_eq!(created.subscription().name(), name);
        assert_eq!(registry.get_by_name(&name).unwrap().unwrap().name(), name);
        assert_eq!(registry.subscribers("agent.v1").unwrap()[0].name(), name);

        let explanation = registry.explain("agent.v1").unwrap();
        assert_eq!(explanation.entries()[0].name(), name);
        assert_visible(&explanation.to_string().replacen('\n', "", 1), &[c]);

        for (declared, prune) in [
            (vec![new(&format!("new{c}"))], Prune::Keep),
            (vec![new(&name).description("another")], Prune::Keep),
            (vec![], Prune::Delete),
        ] {
            // A name must not begin or end with white space.
            let declared: Vec<_> =
                declared.into_iter().filter(|new| new.name().trim() == new.name()).collect();
            let steps = declared.len() + usize::from(prune == Prune::Delete);
            let plan = registry.plan(declared, prune).unwrap();
            assert_eq!(plan.steps().len(), steps);
            for step in plan.steps() {
                assert_visible(&step.to_string(), &[c]);
            }
            assert_visible(&plan.to_string(), &[]);
        }

        registry.create(new("other").enabled(false)).unwrap();
        let twice = registry.create(new(&format!("twin{c}of")).allow_unknown_events(true)).unwrap();
        let advice = registry.check().unwrap();
        assert!(!advice.advice().is_empty(), "two subscriptions have the same URL");
        for piece in advice.advice() {
            assert_visible(piece.message(), &[c]);
            assert_visible(&piece.to_string(), &[c]);
        }
        registry.delete(twice.subscription().id()).unwrap();
    }
}

#[test]
fn error_messages_escape_repeated_input() {
    for c in HIDDEN {
        let registry = registry();
        let name = format!("x{c}y");
        let id = registry.create(new(&name)).unwrap().subscription().id();
        let other = registry.create(new("other")).unwrap().subscription().id();
        let taken = refused(registry.create(new(&name)), ErrorKind::Conflict, &["name"]);
        let moved = registry.update(other, SubscriptionUpdate::new().name(&name));
        let twice = registry.create_all([new(&format!("t{c}")), new(&format!("t{c}"))]).map(drop);
        let unknown = registry.subscribers(&name).map(drop);
        let unlisted = registry.list(ListQuery::new().event_type(&name)).map(drop);
        let removed = registry.remove_event_type(&name);
        let explained = registry.explain(&name).map(drop);
        let patterns = registry.update(id, SubscriptionUpdate::new().events([&name])).map(drop);
        registry.update(id, SubscriptionUpdate::new().events(["agent.v1"])).unwrap();
        let named = registry.remove_event_type("agent.v1");
        let value = "v".repeat(1_025);
        let metadata =
            registry.update(id, SubscriptionUpdate::new().metadata(&name, value)).map(drop);
        let pattern = name.parse::<EventPattern>().map(drop);
        for error in [
            unknown,
            unlisted,
            removed,
            explained,
            patterns,
            named,
            metadata,
            pattern,
            moved.map(drop),
        ]
        .map(Result::unwrap_err)
        .into_iter()
        .chain([taken, twice.unwrap_err()])
        {
            assert_visible(&error.to_string(), &[c]);
            for problem in error.problems() {
                assert_visible(problem.message(), &[]);
                assert_visible(&problem.to_string(), &[]);
            }
        }
        let json = serde_json::json!({
            "name": "n", "url": "https://x", "events": ["*"], (name.clone()): 1,
        });
        let unknown_key = serde_json::from_value::<NewSubscription>(json).unwrap_err();
        let json = serde_json::json!({"metadata": {(name.clone()): 1}});
        let wrong_type = serde_json::from_value::<ListQuery>(json).unwrap_err();
        let no_pattern = serde_json::from_value::<EventPattern>(name.clone().into()).unwrap_err();
        for error in [unknown_key, wrong_type, no_pattern] {
            assert_visible(&error.to_string(), &[c]);
        }
    }
}

#[test]
fn a_path_is_escaped_in_a_message() {
    let folder = tempfile::tempdir().unwrap();
    for c in ['\n', '\u{1b}', '\u{202e}', '\u{2028}'] {
        let path = folder.path().join(format!("a{c}b"));
        let error = Registry::options().create(false).open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_visible(&error.to_string(), &[]);
    }
}

#[test]
fn visible_characters_are_not_escaped() {
    let registry = registry();
    let names = [
        "crm",
        "Bob's \"CRM\" \\ 7",
        "café",
        "cafe\u{301}",
        "営業部",
        "Отдел",
        "กำลัง",
        "हिन्दी",
        "🚀",
        "a\u{1f3fd}",
        "ü→ß",
    ];
    for name in names {
        let plan = registry.plan([new(name)], Prune::Keep).unwrap();
        assert_eq!(plan.to_string(), format!("+ create {name}"));
    }
    // A combining mark at the beginning would change the character before the name.
    let plan = registry.plan([new("\u{301}a")], Prune::Keep).unwrap();
    assert_eq!(plan.to_string(), "+ create \\u{301}a");
}
