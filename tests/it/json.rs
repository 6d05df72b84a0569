//! Tests the JSON representation key by key and in order. Servers pass these texts on, so a moved
//! key, a different time format or a new null breaks their clients.

use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use webhook_registry::{
    Catalog, ErrorKind, EventPattern, EventType, ListQuery, NewSubscription, Registry,
    Subscription, SubscriptionId, SubscriptionUpdate,
};

use crate::support::{SEED, SEED_SECRET, learn, new, refused};

/// 2026-03-04T05:06:07.089Z, and a fraction of a millisecond that is truncated.
fn fixed() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(1_772_600_767_089_999)
}

const FIXED: &str = "2026-03-04T05:06:07.089Z";

fn registry() -> Registry {
    let registry = Registry::options().clock(fixed).in_memory().unwrap();
    learn(&registry);
    registry
}

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

fn body<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

/// Creates a subscription with every field, and returns it with its registry.
fn full() -> (Registry, Subscription) {
    let registry = registry();
    let new = new("full").description("for \"people\"").metadata("b", "2").metadata("a", "1");
    let created = registry.create(new).unwrap();
    (registry, created.into_parts().0)
}

#[test]
fn a_created_subscription_has_these_keys_in_this_order() {
    let registry = registry();
    let created = registry.create(serde_json::from_str(SEED).unwrap()).unwrap();
    let id = created.subscription().id();
    assert_eq!(
        text(&created),
        format!(r#"{{"subscriptionId":"{id}","name":"WebhookTest1","#)
            + r#""url":"https://your-application.com/abc/123","#
            + r#""events":["agent.presencechanged.v1"],"enabled":true,"#
            + &format!(r#""secret":"{SEED_SECRET}","createdAt":"{FIXED}","#)
            + &format!(r#""updatedAt":"{FIXED}","revision":1}}"#)
    );

    let new = new("full")
        .secret(SEED_SECRET)
        .enabled(false)
        .description("")
        .disabled_reason("410 \"Gone\"")
        .metadata("b", "2")
        .metadata("a", "1");
    let created = registry.create(new).unwrap();
    let id = created.subscription().id();
    assert_eq!(
        text(&created),
        format!(r#"{{"subscriptionId":"{id}","name":"full","url":"https://example.com/hook","#)
            + &format!(r#""events":["agent.*"],"enabled":false,"secret":"{SEED_SECRET}","#)
            + r#""description":"","metadata":{"a":"1","b":"2"},"#
            + &format!(r#""disabledReason":"410 \"Gone\"","disabledAt":"{FIXED}","#)
            + &format!(r#""createdAt":"{FIXED}","updatedAt":"{FIXED}","revision":1}}"#)
    );
}

#[test]
fn a_subscription_has_the_same_keys_without_the_secret() {
    let (registry, subscription) = full();
    let id = subscription.id();
    let expected =
        format!(r#"{{"subscriptionId":"{id}","name":"full","url":"https://example.com/hook","#)
            + r#""events":["agent.*"],"enabled":true,"#
            + r#""description":"for \"people\"","metadata":{"a":"1","b":"2"},"#
            + &format!(r#""createdAt":"{FIXED}","updatedAt":"{FIXED}","revision":1}}"#);
    assert_eq!(text(&subscription), expected);
    assert_eq!(text(&registry.get(id).unwrap().unwrap()), expected);
    assert_eq!(text(&registry.get_by_name("full").unwrap().unwrap()), expected);
    let changed =
        registry.update(id, SubscriptionUpdate::new().clear_description().clear_metadata());
    assert_eq!(
        text(&changed.unwrap()),
        expected
            .replace(r#","description":"for \"people\"","metadata":{"a":"1","b":"2"}"#, "")
            .replace(r#""revision":1"#, r#""revision":2"#)
    );
}

#[test]
fn a_page_has_a_next_cursor_only_if_there_is_a_next_page() {
    let registry = registry();
    let none = registry.list(ListQuery::new()).unwrap();
    assert_eq!(text(&none), r#"{"subscriptions":[]}"#);
    let all = registry.create_all([new("a"), new("b"), new("c")]).unwrap();
    let one = |n: usize| text(all[n].subscription());
    let (a, b, c) = (one(0), one(1), one(2));
    let page = registry.list(ListQuery::new().limit(2)).unwrap();
    let cursor = all[1].subscription().id();
    assert_eq!(text(&page), format!(r#"{{"subscriptions":[{a},{b}],"next":"{cursor}"}}"#));
    let last = registry.list(ListQuery::new().after(cursor)).unwrap();
    assert_eq!(text(&last), format!(r#"{{"subscriptions":[{c}]}}"#));
    let exact = registry.list(ListQuery::new().limit(3)).unwrap();
    assert_eq!(text(&exact), format!(r#"{{"subscriptions":[{a},{b},{c}]}}"#));
}

#[test]
fn times_are_whole_milliseconds_from_1970_to_9999() {
    let second = Duration::from_secs(1);
    let last = SystemTime::UNIX_EPOCH + Duration::from_millis(253_402_300_799_999);
    for (now, expected) in [
        (SystemTime::UNIX_EPOCH, "1970-01-01T00:00:00.000Z"),
        (SystemTime::UNIX_EPOCH - second, "1970-01-01T00:00:00.000Z"),
        (fixed(), FIXED),
        (SystemTime::UNIX_EPOCH + second, "1970-01-01T00:00:01.000Z"),
        (last, "9999-12-31T23:59:59.999Z"),
        (last + second, "9999-12-31T23:59:59.999Z"),
    ] {
        let registry = Registry::options().clock(move || now).in_memory().unwrap();
        let created = registry.create(new("a").allow_unknown_events(true)).unwrap();
        let json: Value = serde_json::to_value(&created).unwrap();
        assert_eq!(json["createdAt"], expected);
        assert_eq!(json["updatedAt"], expected);
        let subscription = registry.get_by_name("a").unwrap().unwrap();
        assert_eq!(&subscription, created.subscription());
        let since = subscription.created_at().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since.subsec_nanos() % 1_000_000, 0);
        assert_eq!(subscription.id().timestamp(), subscription.created_at());
    }
}

/// Applies a PATCH body to a subscription with every field, and returns the result.
#[track_caller]
fn patched(patch: &Value) -> Value {
    let (registry, before) = full();
    let after = registry.update(before.id(), body(patch)).unwrap();
    assert_eq!(registry.get(before.id()).unwrap().as_ref(), Some(&after));
    serde_json::to_value(after).unwrap()
}

#[test]
fn a_patch_changes_only_the_named_fields() {
    let before = patched(&json!({}));
    assert_eq!(before["revision"], 1);
    for (patch, key, expected) in [
        (json!({"name": "other"}), "name", json!("other")),
        (json!({"url": "http://y"}), "url", json!("http://y")),
        (json!({"events": ["*", "agent.*"]}), "events", json!(["*", "agent.*"])),
        (json!({"enabled": false}), "enabled", json!(false)),
        (json!({"description": ""}), "description", json!("")),
        (json!({"description": null}), "description", Value::Null),
        (json!({"metadata": {"c": "3"}}), "metadata", json!({"a": "1", "b": "2", "c": "3"})),
        (json!({"metadata": {"a": "9"}}), "metadata", json!({"a": "9", "b": "2"})),
        (json!({"metadata": {"a": null}}), "metadata", json!({"b": "2"})),
        (json!({"metadata": {"a": null, "b": "", "z": null}}), "metadata", json!({"b": ""})),
        (json!({"metadata": {"a": null, "b": null}}), "metadata", Value::Null),
        (json!({"metadata": null}), "metadata", Value::Null),
    ] {
        let after = patched(&patch);
        assert_eq!(after[key], expected, "{patch}");
        for (other, value) in before.as_object().unwrap() {
            if other != key && other != "revision" && other != "subscriptionId" {
                assert_eq!(&after[other], value, "{patch} changed {other}");
            }
        }
        assert_eq!(after["revision"], 2, "{patch}");
    }
}

#[test]
fn a_patch_without_effect_does_not_increment_the_revision() {
    for patch in [
        json!({}),
        json!({"metadata": {}}),
        json!({"metadata": {"z": null}}),
        json!({"metadata": {"a": "1"}}),
        json!({"name": "full", "enabled": true, "events": ["agent.*", "agent.*"]}),
        json!({"description": "for \"people\"", "ifRevision": 1}),
    ] {
        assert_eq!(patched(&patch)["revision"], 1, "{patch}");
    }
    let (registry, before) = full();
    let stale = registry.update(before.id(), body(&json!({"ifRevision": 0})));
    refused(stale, ErrorKind::Conflict, &["ifRevision"]);
}

#[test]
fn the_setters_of_an_update_apply_in_call_order() {
    let update = SubscriptionUpdate::new;
    for (change, expected) in [
        (update().clear_metadata().metadata("k", "v"), json!({"k": "v"})),
        (update().metadata("k", "v").clear_metadata(), Value::Null),
        (update().metadata("a", "x").remove_metadata("a"), json!({"b": "2"})),
        (update().remove_metadata("a").metadata("a", "x"), json!({"a": "x", "b": "2"})),
        (update().clear_metadata().metadata("k", "v").remove_metadata("k"), Value::Null),
    ] {
        let (registry, before) = full();
        let after = registry.update(before.id(), change).unwrap();
        assert_eq!(serde_json::to_value(after).unwrap()["metadata"], expected);
    }
    let (registry, before) = full();
    let set = update().clear_description().description("x");
    assert_eq!(registry.update(before.id(), set).unwrap().description(), Some("x"));
    let clear = update().description("y").clear_description();
    assert_eq!(registry.update(before.id(), clear).unwrap().description(), None);
}

#[test]
fn null_equals_absent_in_the_optional_keys_of_a_new_subscription() {
    let least = json!({"name": "n", "url": "https://x", "events": ["*"]});
    let mut nulls = least.clone();
    for key in ["enabled", "secret", "description", "metadata"] {
        nulls[key] = Value::Null;
    }
    let new: NewSubscription = body(&nulls);
    assert_eq!(new, body::<NewSubscription>(&least));
    assert_eq!(new, NewSubscription::new("n", "https://x", ["*"]));
    assert_eq!((new.name(), new.url()), ("n", "https://x"));
    assert_eq!(new.events(), ["*"]);

    let nulls = json!({
        "enabled": null, "nameContains": null, "eventType": null, "metadata": null,
        "after": null, "limit": null,
    });
    assert_eq!(body::<ListQuery>(&nulls), ListQuery::new());
}

#[test]
fn every_json_key_equals_its_setter() {
    let new: NewSubscription = body(&json!({
        "name": "n", "url": "https://x", "events": ["a", "b"], "enabled": false,
        "secret": SEED_SECRET, "description": "d", "metadata": {"k": "v"},
    }));
    let same = NewSubscription::new("n", "https://x", ["a", "b"])
        .enabled(false)
        .secret(SEED_SECRET)
        .description("d")
        .metadata("k", "v");
    assert_eq!(new, same);
    let update: SubscriptionUpdate = body(&json!({
        "name": "n", "url": "https://x", "events": ["a"], "enabled": false, "secret": SEED_SECRET,
        "description": "d", "metadata": {"k": "v", "r": null}, "ifRevision": 7,
    }));
    let same = SubscriptionUpdate::new()
        .name("n")
        .url("https://x")
        .events(["a"])
        .enabled(false)
        .secret(SEED_SECRET)
        .description("d")
        .metadata("k", "v")
        .remove_metadata("r")
        .if_revision(7);
    assert_eq!(update, same);
    let id = "01K9V3T0Z2B4C6D8E0F2G4H6J8";
    let query: ListQuery = body(&json!({
        "enabled": true, "nameContains": "n", "eventType": "a", "metadata": {"k": "v", "l": "w"},
        "after": id, "limit": 7,
    }));
    let same = ListQuery::new()
        .enabled(true)
        .name_contains("n")
        .event_type("a")
        .metadata("k", "v")
        .metadata("l", "w")
        .after(id.parse().unwrap())
        .limit(7);
    assert_eq!(query, same);
}

#[test]
fn a_subscription_can_be_recreated_from_its_json_except_for_its_secret() {
    let (registry, subscription) = full();
    let copy = NewSubscription::from(&subscription);
    let said = new("full")
        .enabled(true)
        .description("for \"people\"")
        .metadata("a", "1")
        .metadata("b", "2");
    assert_eq!(copy, said);
    registry.delete(subscription.id()).unwrap();
    let again = registry.create(copy).unwrap().into_parts().0;
    assert!(again.id() > subscription.id());
    assert_eq!(again.metadata(), subscription.metadata());
}

#[test]
fn ids_and_patterns_serialize_as_strings() {
    let id: SubscriptionId = "01k9v3t0z2b4c6d8e0f2g4h6j8".parse().unwrap();
    assert_eq!(text(&id), r#""01K9V3T0Z2B4C6D8E0F2G4H6J8""#);
    assert_eq!(serde_json::from_str::<SubscriptionId>(&text(&id)).unwrap(), id);
    assert_eq!(format!("{id:?}"), "SubscriptionId(01K9V3T0Z2B4C6D8E0F2G4H6J8)");
    let pattern: EventPattern = "a.[!b-d]*".parse().unwrap();
    assert_eq!(text(&pattern), r#""a.[!b-d]*""#);
    assert_eq!(serde_json::from_str::<EventPattern>(&text(&pattern)).unwrap(), pattern);
    assert!(serde_json::from_str::<EventPattern>(r#""[^a]""#).is_err());
    // Keys of a map, which JSON writes as strings.
    let map = std::collections::BTreeMap::from([(id, pattern)]);
    assert_eq!(text(&map), r#"{"01K9V3T0Z2B4C6D8E0F2G4H6J8":"a.[!b-d]*"}"#);
}

#[test]
fn problems_serialize_for_a_response_body() {
    let error = registry().create(new("").description("\u{0}")).unwrap_err();
    assert_eq!(
        text(&error.problems()),
        r#"[{"field":"name","message":"a subscription needs a name"},"#.to_owned()
            + r#"{"field":"description","message":"a description cannot contain U+0000"}]"#
    );
    assert_eq!(error.problems()[0].to_string(), "name: a subscription needs a name");
}

#[test]
fn a_catalog_deserializes_from_the_document_of_another_system() {
    let given = concat!(
        r#"{"next": 1, "eventTypes": ["#,
        r#"{"name": "a", "description": null, "jsonSchema": null, "id": {"x": []}},"#,
        "\n        ",
        r#"{"jsonSchema": {"type": "object"}, "description": "d", "name": "b"}]}"#,
    );
    let catalog: Catalog = serde_json::from_str(given).unwrap();
    let b = EventType::new("b").with_description("d").with_json_schema(json!({"type": "object"}));
    assert_eq!(catalog, Catalog::from(vec![EventType::from("a"), b]));
    assert_eq!(
        text(&catalog),
        concat!(
            r#"{"eventTypes":[{"name":"a"},"#,
            r#"{"name":"b","description":"d","jsonSchema":{"type":"object"}}]}"#
        )
    );
    assert_eq!(text(&Catalog::default()), r#"{"eventTypes":[]}"#);
    assert!(serde_json::from_str::<Catalog>("{}").is_err());
    assert!(serde_json::from_str::<EventType>(r#"{"description": "d"}"#).is_err());
}
