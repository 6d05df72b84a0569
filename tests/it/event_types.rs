//! Tests the catalog with two real ones. The expansions were counted by hand (`grep -c` on the
//! fixture), so a wildcard that misses one name fails here.

use serde_json::json;
use webhook_registry::{
    Catalog, Error, ErrorKind, EventType, ListQuery, NewSubscription, Registry, SubscriptionUpdate,
};

use crate::support::{CONTACT_CENTER, STRIPE, contact_center, new, refused};

fn stripe() -> Registry {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(STRIPE.lines()).unwrap();
    registry
}

/// Returns a subscription to these patterns, known or unknown.
fn subscription(name: &str, patterns: &[&str]) -> NewSubscription {
    NewSubscription::new(name, "https://example.com/hook", patterns).allow_unknown_events(true)
}

fn event_type_names(registry: &Registry) -> Vec<String> {
    let all = registry.event_types().unwrap();
    all.iter().map(|event_type| event_type.name().to_owned()).collect()
}

/// Asserts the names of the subscribers of the event.
#[track_caller]
fn assert_subscribers(registry: &Registry, event_type: &str, expected: &[&str]) {
    let subscribers = registry.subscribers(event_type).unwrap();
    let found: Vec<&str> = subscribers.iter().map(|who| who.name()).collect();
    assert_eq!(found, expected, "{event_type}");
}

#[test]
fn the_catalog_of_the_contact_center_is_registered_unchanged() {
    let catalog: Catalog = serde_json::from_str(CONTACT_CENTER).unwrap();
    assert_eq!(catalog.event_types.len(), 7);
    let presence = &catalog.event_types[0];
    assert_eq!(presence.name(), "agent.presencechanged.v1");
    assert_eq!(presence.description(), Some("An agent's presence has changed."));
    let schema = presence.json_schema().unwrap();
    assert_eq!(schema["required"], json!(["timestamp", "presence", "user"]));
    assert_eq!(catalog.event_types[1].json_schema(), None);

    let registry = contact_center();
    assert_eq!(registry.event_types().unwrap(), catalog.event_types);
    assert_eq!(registry.event_type("agent.presencechanged.v1").unwrap().as_ref(), Some(presence));
    // The keys of a schema may be reordered, but none is lost.
    let given: serde_json::Value = serde_json::from_str(CONTACT_CENTER).unwrap();
    let answer = Catalog::from(registry.event_types().unwrap());
    assert_eq!(serde_json::to_value(&answer).unwrap(), given);
    let again: Catalog = serde_json::from_str(&serde_json::to_string(&answer).unwrap()).unwrap();
    assert_eq!(again, catalog);
}

#[test]
fn wildcards_match_the_hand_counted_contact_center_events() {
    let registry = contact_center();
    for (pattern, expected) in [
        ("agent.*", &["agent.presencechanged.v1"][..]),
        ("channel.held.v1", &["channel.held.v1"]),
        ("*connected*", &["channel.connected.v1", "channel.disconnected.v1"]),
        ("channel.[hr]*", &["channel.held.v1", "channel.retrieved.v1"]),
        ("channel.????.v1", &["channel.held.v1"]),
        ("channel.[!a-d]*", &["channel.held.v1", "channel.retrieved.v1", "channel.wrapstarted.v1"]),
        ("*.v2", &[]),
        ("channel", &[]),
        ("channel.", &[]),
        ("CHANNEL.*", &[]),
        ("*channel.held.v1*", &["channel.held.v1"]),
    ] {
        assert_eq!(registry.expand(pattern).unwrap(), expected, "{pattern}");
    }
    assert_eq!(registry.expand("channel.*").unwrap().len(), 6);
    assert_eq!(registry.expand("*.v1").unwrap().len(), 7);
}

#[test]
fn wildcards_match_the_hand_counted_stripe_events() {
    let registry = stripe();
    assert_eq!(registry.event_types().unwrap().len(), 275);
    for (pattern, expected) in [
        ("*", 275),
        ("?*", 275),
        ("customer.*", 21),
        ("customer.subscription.*", 8),
        ("*.created", 60),
        ("*.updated", 47),
        ("payment_intent.*", 8),
        ("charge.*", 13),
        ("charge.??????", 1),
        ("invoice.*", 17),
        ("invoice.p*", 5),
        ("issuing_*.created", 6),
        ("checkout.session.async_payment_*", 2),
        ("payout.[a-f]*", 3),
        ("*refund*", 8),
        ("*_*", 165),
        ("[a-c]*", 79),
        ("[!a-c]*", 196),
        ("account.updated", 1),
        ("v*", 0),
        ("account", 0),
    ] {
        let matched = registry.expand(pattern).unwrap();
        assert_eq!(matched.len(), expected, "{pattern}: {matched:?}");
    }
    assert_eq!(
        registry.expand("payout.*ed").unwrap(),
        [
            "payout.canceled",
            "payout.created",
            "payout.failed",
            "payout.reconciliation_completed",
            "payout.updated"
        ]
    );
    assert_eq!(
        registry.expand("*plan.[cu]*").unwrap(),
        ["plan.created", "plan.updated", "reserve.plan.created", "reserve.plan.updated"]
    );
}

#[test]
fn expanding_an_invalid_pattern_is_rejected() {
    let registry = contact_center();
    for pattern in ["", "**", "[^a]", "a b"] {
        refused(registry.expand(pattern), ErrorKind::Invalid, &["pattern"]);
    }
}

#[test]
fn event_types_are_ordered_by_bytes() {
    let registry = Registry::in_memory().unwrap();
    let in_order =
        ["-", ".", "/", "0", "10", "9", ":", "A", "Z", "_", "a", "a-b", "a.b", "aa", "b"];
    let mut shuffled = in_order;
    shuffled.reverse();
    shuffled.swap(2, 9);
    registry.register_event_types(shuffled).unwrap();
    assert_eq!(event_type_names(&registry), in_order);
    assert_eq!(registry.expand("*").unwrap(), in_order);
    assert_eq!(registry.expand("a*").unwrap(), ["a", "a-b", "a.b", "aa"]);
}

#[test]
fn the_later_of_two_event_types_with_one_name_is_registered() {
    let registry = Registry::in_memory().unwrap();
    let first = EventType::new("a").with_description("first");
    let second = EventType::new("a").with_json_schema(json!({"n": 2}));
    registry.register_event_types([first, EventType::new("b"), second.clone()]).unwrap();
    assert_eq!(registry.event_types().unwrap(), [second, EventType::new("b")]);
}

#[test]
fn registering_again_replaces_description_and_schema() {
    let registry = Registry::in_memory().unwrap();
    registry
        .create(subscription("literal", &["a.b"]))
        .and(registry.create(subscription("wildcard", &["a.*"])))
        .unwrap();
    let full =
        EventType::new("a.b").with_description("text").with_json_schema(json!({"type": "object"}));
    for event_type in
        [full.clone(), EventType::new("a.b").with_description(""), full, EventType::new("a.b")]
    {
        registry.register_event_type(event_type.clone()).unwrap();
        assert_eq!(registry.event_types().unwrap(), [event_type]);
        assert_subscribers(&registry, "a.b", &["literal", "wildcard"]);
    }
    registry.register_event_type("a.b".to_owned()).unwrap();
    assert_eq!(event_type_names(&registry), ["a.b"]);
}

#[test]
fn a_new_event_type_is_dispatched_at_once_by_every_matching_pattern() {
    let registry = Registry::in_memory().unwrap();
    registry
        .create_all([
            subscription("star", &["*"]),
            subscription("prefix", &["a.*", "a.b*"]),
            subscription("literal", &["a.b"]),
            subscription("class", &["a.[a-c]"]),
            subscription("other", &["b.*"]),
            subscription("off", &["a.*"]).enabled(false),
        ])
        .unwrap();
    refused(registry.subscribers("a.b"), ErrorKind::NotFound, &["eventType"]);
    registry.register_event_type("a.b").unwrap();
    assert_subscribers(&registry, "a.b", &["star", "prefix", "literal", "class"]);
    registry.register_event_types(["a.d", "b.", "c"]).unwrap();
    assert_subscribers(&registry, "a.d", &["star", "prefix"]);
    assert_subscribers(&registry, "b.", &["star", "other"]);
    assert_subscribers(&registry, "c", &["star"]);
    let all = registry.iter(ListQuery::new()).map(|found| found.unwrap());
    assert!(all.into_iter().all(|subscription| subscription.revision() == 1));
}

#[test]
fn a_removed_event_type_leaves_the_wildcard_expansions_and_returns_with_registration() {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(["a.b", "c"]).unwrap();
    let before = registry.create(subscription("wildcard", &["a.*"])).unwrap().into_parts().0;
    registry.remove_event_type("a.b").unwrap();
    assert_eq!(event_type_names(&registry), ["c"]);
    assert_eq!(registry.expand("a.*").unwrap(), [""; 0]);
    assert_eq!(registry.event_type("a.b").unwrap(), None);
    refused(registry.subscribers("a.b"), ErrorKind::NotFound, &["eventType"]);
    assert_eq!(registry.get(before.id()).unwrap(), Some(before));
    assert_subscribers(&registry, "c", &[]);

    registry.register_event_type("a.b").unwrap();
    assert_subscribers(&registry, "a.b", &["wildcard"]);
}

/// Another program can remove the trigger that would delete them, and then the event type.
#[test]
fn an_event_type_whose_expansions_were_left_behind_can_be_registered_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = Registry::open(&path).unwrap();
    registry.register_event_types(["a.b", "c"]).unwrap();
    registry
        .create_all([subscription("wildcard", &["a.*"]), subscription("literal", &["a.b"])])
        .unwrap();
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(
            "PRAGMA foreign_keys = OFF; DROP TRIGGER _webhook_registry_event_type_deleted; \
             DELETE FROM _webhook_registry_event_type WHERE name = 'a.b'",
        )
        .unwrap();
    assert_eq!(event_type_names(&registry), ["c"]);
    registry.register_event_type("a.b").unwrap();
    assert_subscribers(&registry, "a.b", &["wildcard", "literal"]);
}

#[test]
fn an_event_type_in_literal_use_cannot_be_removed_and_at_most_ten_holders_are_named() {
    for (count, more) in [(1, None), (10, None), (11, Some("and 1 more")), (12, Some("and 2 more"))]
    {
        let registry = contact_center();
        let list = (0..count)
            .map(|n| subscription(&format!("n{n:02}"), &["channel.*", "channel.held.v1"]));
        let created = registry.create_all(list).unwrap();
        registry.create(subscription("wildcard", &["*"])).unwrap();

        let result = registry.remove_event_type("channel.held.v1");
        let message = refused(result, ErrorKind::Conflict, &["name"]).to_string();
        for (n, created) in created.iter().enumerate() {
            let id = created.subscription().id().to_string();
            assert_eq!(message.contains(&id), n < 10, "{count}: {message}");
            assert_eq!(message.contains(&format!("n{n:02}")), n < 10, "{message}");
        }
        assert_eq!(message.contains(" more"), more.is_some(), "{message}");
        assert!(message.contains(more.unwrap_or("channel.held.v1")), "{message}");
        assert!(!message.contains("wildcard"), "{message}");
        assert_eq!(event_type_names(&registry).len(), 7);
        assert_subscribers(&registry, "channel.held.v1", &{
            let mut all: Vec<&str> = created.iter().map(|one| one.subscription().name()).collect();
            all.push("wildcard");
            all
        });
    }
}

#[test]
fn a_disabled_subscription_also_prevents_the_removal_of_its_event_types() {
    let registry = contact_center();
    let name = "channel.held.v1";
    let off = registry.create(subscription("off", &[name]).enabled(false)).unwrap();
    let gone = registry.create(subscription("gone", &[name])).unwrap();
    registry.delete(gone.subscription().id()).unwrap();
    let error = refused(registry.remove_event_type(name), ErrorKind::Conflict, &["name"]);
    assert!(!error.to_string().contains("gone"), "{error}");
    let other = SubscriptionUpdate::new().events(["channel.*"]);
    registry.update(off.subscription().id(), other).unwrap();
    registry.remove_event_type(name).unwrap();
    refused(registry.remove_event_type(name), ErrorKind::NotFound, &["eventType"]);
}

#[test]
fn an_unknown_event_type_is_not_found_and_the_nearest_is_suggested() {
    let registry = contact_center();
    type Ask = fn(&Registry, &str) -> Result<(), Error>;
    let ask: [Ask; 5] = [
        |registry, name| registry.subscribers(name).map(drop),
        |registry, name| registry.explain(name).map(drop),
        |registry, name| registry.list(ListQuery::new().event_type(name)).map(drop),
        |registry, name| registry.count(ListQuery::new().event_type(name)).map(drop),
        |registry, name| registry.remove_event_type(name),
    ];
    let (presence, held) = ("agent.presencechanged.v1", "channel.held.v1");
    for (name, near) in [
        ("agent.presencechange.v1", Some(presence)),
        ("agent.presencechagned.v1", Some(presence)),
        ("AGENT.PRESENCECHANGED.V1", Some(presence)),
        ("channel.held", Some(held)),
        ("channel.held.v1 ", Some(held)),
        ("channel.h*d.v1", Some(held)),
        ("channel.held.v1\n", Some(held)),
        ("fax", None),
        ("", None),
        ("*", None),
        ("\u{0}", None),
    ] {
        for call in ask {
            let error = refused(call(&registry, name), ErrorKind::NotFound, &["eventType"]);
            let message = error.to_string();
            match near {
                Some(near) => {
                    let hint = format!("did you mean {near:?}?");
                    assert!(message.contains(&hint), "{message}");
                }
                None => assert!(!message.contains("did you mean"), "{message}"),
            }
            assert!(!message.contains(['\n', '\u{0}']), "{message:?}");
        }
        assert_eq!(registry.event_type(name).unwrap(), None);
        let first = registry.iter(ListQuery::new().event_type(name)).next().unwrap();
        refused(first, ErrorKind::NotFound, &["eventType"]);
    }
    // A name outside the catalog is unknown even if a subscription waits for it.
    registry.create(subscription("waits", &["fax.*", "fax"])).unwrap();
    for call in ask {
        refused(call(&registry, "fax"), ErrorKind::NotFound, &["eventType"]);
    }
}

#[test]
fn explain_returns_the_matching_patterns_and_disabled_subscriptions() {
    let registry = contact_center();
    registry
        .create_all([
            subscription("all", &["*.v1", "channel.*", "agent.*", "*"]),
            subscription("other", &["channel.*"]),
            subscription("off", &["agent.presencechanged.v1"]).enabled(false),
        ])
        .unwrap();
    let explanation = registry.explain("agent.presencechanged.v1").unwrap();
    assert_eq!(explanation.event_type(), "agent.presencechanged.v1");
    let [all, off] = explanation.entries() else {
        panic!("two subscriptions match: {explanation}");
    };
    assert_eq!((all.name(), all.enabled(), all.patterns().len()), ("all", true, 3));
    assert_eq!(all.patterns(), ["*.v1", "agent.*", "*"]);
    assert_eq!((off.name(), off.enabled()), ("off", false));
    assert_eq!(off.patterns(), ["agent.presencechanged.v1"]);
    let by_name = registry.get_by_name("off").unwrap().unwrap();
    assert_eq!(off.subscription_id(), by_name.id());
    let table = explanation.to_string();
    assert!(
        table.contains("all") && table.contains("enabled") && table.contains("*.v1, agent.*, *")
    );
    assert!(table.contains("off  disabled  agent.presencechanged.v1"), "{table}");

    let held = registry.explain("channel.held.v1").unwrap();
    assert_eq!(held.entries().len(), 2);
    assert_subscribers(&registry, "agent.presencechanged.v1", &["all"]);
}

#[test]
fn a_subscription_receives_an_event_once_even_if_many_patterns_match() {
    let registry = stripe();
    registry.create(subscription("many", &["*", "charge.*", "charge.failed", "*.failed"])).unwrap();
    registry.create(new("agent").allow_unknown_events(true)).unwrap();
    assert_subscribers(&registry, "charge.failed", &["many"]);
    let reached =
        STRIPE.lines().filter(|name| registry.subscribers(name).unwrap().len() == 1).count();
    assert_eq!(reached, 275);
}

#[test]
fn event_types_are_validated_against_their_limits() {
    let schema = |bytes: usize| json!("s".repeat(bytes - 2));
    let named = |name: &str| EventType::new(name);
    let registry = Registry::in_memory().unwrap();
    for event_type in [
        named("a"),
        named("AZaz09_-.:/"),
        named(&"n".repeat(256)),
        named("a").with_description("d".repeat(4_096)),
        named("a").with_json_schema(schema(256 * 1_024)),
    ] {
        registry.register_event_type(event_type.clone()).unwrap();
        assert_eq!(registry.event_type(event_type.name()).unwrap(), Some(event_type));
    }
    let before = registry.event_types().unwrap();
    for (event_type, field) in [
        (named(""), "name"),
        (named(&"n".repeat(257)), "name"),
        (named("a b"), "name"),
        (named("a\n"), "name"),
        (named("a\u{0}"), "name"),
        (named("a*"), "name"),
        (named("a?"), "name"),
        (named("[a]"), "name"),
        (named("é"), "name"),
        (named("a@b"), "name"),
        (named("a").with_description("d".repeat(4_097)), "description"),
        (named("a").with_description("\u{0}"), "description"),
        (named("a").with_json_schema(schema(256 * 1_024 + 1)), "jsonSchema"),
    ] {
        let one = registry.register_event_type(event_type.clone());
        refused(one, ErrorKind::Invalid, &[field]);
        let many = registry.register_event_types([named("new"), event_type]);
        refused(many, ErrorKind::Invalid, &[&format!("[1].{field}")]);
    }
    let all = named("").with_description("\u{0}").with_json_schema(schema(256 * 1_024 + 1));
    let fields = ["name", "description", "jsonSchema"];
    refused(registry.register_event_type(all), ErrorKind::Invalid, &fields);
    assert_eq!(registry.event_types().unwrap(), before);
}
