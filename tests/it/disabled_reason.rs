//! Tests the rule for disabled subscriptions: after every call, a disabled subscription has the
//! time since when and possibly a reason, and an enabled one has neither.

use std::time::Duration;

use serde_json::{Value, json};
use webhook_registry::{
    ChangeKind, Ensured, ErrorKind, NewSubscription, Prune, Registry, Rotation, Subscription,
    SubscriptionId, SubscriptionUpdate,
};

use crate::support::{Clock, learn, new, refused, time};
use crate::undecodable_rows::Call::{ByName, Explain, Get, Iter, List, ListByEvent, Update};
use crate::undecodable_rows::assert_corrupt;

const EVENT: &str = "agent.presencechanged.v1";
pub(crate) const START: u64 = 1_800_000_000_000;

/// A registry with one enabled subscription `crm`, and its clock.
pub(crate) struct Fixture {
    clock: Clock,
    pub(crate) registry: Registry,
    pub(crate) id: SubscriptionId,
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        let clock = Clock::at(START);
        let registry = clock.options().in_memory().unwrap();
        learn(&registry);
        let id = registry.create(new("crm")).unwrap().subscription().id();
        clock.set(START + 1);
        Fixture { clock, registry, id }
    }

    /// Returns a fixture whose subscription was disabled at `START + 1`.
    pub(crate) fn disabled(reason: &str) -> Fixture {
        let fixture = Fixture::new();
        fixture.registry.disable(fixture.id, reason).unwrap();
        fixture.clock.set(START + 2);
        fixture
    }

    pub(crate) fn stored(&self) -> Subscription {
        self.registry.get(self.id).unwrap().unwrap()
    }

    fn update(&self, update: SubscriptionUpdate) -> webhook_registry::Result<Subscription> {
        self.registry.update(self.id, update)
    }

    fn patch(&self, body: &Value) -> webhook_registry::Result<Subscription> {
        self.update(SubscriptionUpdate::from_json(body.to_string().as_bytes()).unwrap())
    }

    /// Asserts that a call changes nothing, whatever it returns, and hands on its result.
    #[track_caller]
    fn without_effect<T>(&self, call: impl FnOnce(&Registry) -> T) -> T {
        let before = (self.stored(), self.registry.last_change().unwrap());
        let result = call(&self.registry);
        assert_eq!((self.stored(), self.registry.last_change().unwrap()), before);
        result
    }

    /// Returns the kind of the last change, and its fields.
    fn last_change(&self) -> (ChangeKind, Value) {
        let last = self.registry.last_change().unwrap();
        let changes = self.registry.changes(last - 1, 1).unwrap();
        (changes[0].kind(), serde_json::to_value(changes[0].fields()).unwrap())
    }
}

/// Asserts the reason, and the time in milliseconds after `START`.
#[track_caller]
pub(crate) fn assert_disabled(subscription: &Subscription, reason: Option<&str>, after: u64) {
    assert!(!subscription.enabled());
    assert_eq!(subscription.disabled_reason(), reason);
    assert_eq!(subscription.disabled_at(), Some(time(START + after)));
}

#[track_caller]
fn assert_enabled(subscription: &Subscription) {
    let state = (subscription.disabled_reason(), subscription.disabled_at());
    assert_eq!((subscription.enabled(), state), (true, (None, None)));
}

#[track_caller]
fn refuses_reason<T: std::fmt::Debug>(result: webhook_registry::Result<T>) -> String {
    refused(result, ErrorKind::Invalid, &["disabledReason"]).to_string()
}

pub(crate) fn off(name: &str, reason: &str) -> NewSubscription {
    new(name).enabled(false).disabled_reason(reason)
}

#[test]
fn disable_stores_the_reason_and_the_time_and_stops_dispatch() {
    let fixture = Fixture::new();
    let disabled = fixture.registry.disable(fixture.id, "410 Gone").unwrap();
    assert_disabled(&disabled, Some("410 Gone"), 1);
    assert_eq!((disabled.revision(), disabled.updated_at()), (2, time(START + 1)));
    assert_eq!(fixture.stored(), disabled);
    assert!(fixture.registry.subscribers(EVENT).unwrap().is_empty());
    let json = serde_json::to_value(&disabled).unwrap();
    assert_eq!(json["disabledReason"], "410 Gone");
    assert_eq!(json["disabledAt"], "2027-01-15T08:00:00.001Z");
}

#[test]
fn disable_on_a_disabled_subscription_replaces_the_reason_and_keeps_the_time() {
    let fixture = Fixture::disabled("410 Gone");
    let again = fixture.registry.disable(fixture.id, "by its owner").unwrap();
    assert_disabled(&again, Some("by its owner"), 1);
    assert_eq!((again.revision(), again.updated_at()), (3, time(START + 2)));
}

#[test]
fn disable_with_the_same_reason_changes_nothing() {
    let fixture = Fixture::disabled("410 Gone");
    let again = fixture.without_effect(|registry| registry.disable(fixture.id, "410 Gone"));
    assert_eq!(again.unwrap().revision(), 2);
}

#[test]
fn disable_of_an_unknown_id_is_not_found_even_with_a_bad_reason() {
    let fixture = Fixture::new();
    fixture.registry.delete(fixture.id).unwrap();
    for reason in ["410 Gone", ""] {
        let result = fixture.registry.disable(fixture.id, reason);
        refused(result, ErrorKind::NotFound, &["subscriptionId"]);
    }
}

#[test]
fn a_reason_has_1_to_1024_bytes_without_u_0000_in_every_call() {
    let fixture = Fixture::disabled("410 Gone");
    let (longest, too_long) = ("é".repeat(512), "é".repeat(512) + "x");
    for (bad, why) in [("", "empty"), (&*too_long, "1024 bytes, not 1025"), ("a\0b", "U+0000")] {
        let message = fixture.without_effect(|registry| {
            refuses_reason(registry.create(off("a", bad)));
            let listed = registry.create_all([new("a"), off("b", bad)]);
            refused(listed, ErrorKind::Invalid, &["[1].disabledReason"]);
            refuses_reason(registry.ensure(off("a", bad)));
            refuses_reason(registry.ensure(off("crm", bad)));
            let planned = registry.plan([off("crm", bad)], Prune::Keep);
            refused(planned, ErrorKind::Invalid, &["[0].disabledReason"]);
            refuses_reason(fixture.update(SubscriptionUpdate::new().disabled_reason(bad)));
            refuses_reason(fixture.patch(&json!({"enabled": false, "disabledReason": bad})));
            refuses_reason(registry.disable(fixture.id, bad))
        });
        assert!(message.contains(why), "{message}");
    }
    for good in ["x", &longest, " \n\u{1}"] {
        let disabled = fixture.registry.disable(fixture.id, good).unwrap();
        assert_disabled(&disabled, Some(good), 1);
        let name = format!("with {} bytes", good.len());
        let created = fixture.registry.create(off(&name, good)).unwrap();
        assert_disabled(created.subscription(), Some(good), 2);
    }
}

#[test]
fn a_subscription_that_is_created_disabled_has_the_time_of_its_creation() {
    let Fixture { registry, .. } = Fixture::new();
    let created = registry.create(off("a", "not verified")).unwrap();
    assert_disabled(created.subscription(), Some("not verified"), 1);
    let created = registry.create(new("b").enabled(false)).unwrap();
    assert_disabled(created.subscription(), None, 1);
    assert_enabled(registry.create(new("c")).unwrap().subscription());
}

#[test]
fn a_stated_reason_is_invalid_where_the_subscription_is_enabled_after_the_call() {
    let fixture = Fixture::new();
    fixture.without_effect(|registry| {
        for bad in [new("a"), new("a").enabled(true), new("crm"), new("crm").enabled(true)] {
            let bad = bad.disabled_reason("x");
            assert!(refuses_reason(registry.create(bad.clone())).contains("is enabled"));
            refuses_reason(registry.ensure(bad.clone()));
            let planned = registry.plan([bad], Prune::Keep);
            refused(planned, ErrorKind::Invalid, &["[0].disabledReason"]);
        }
        refuses_reason(fixture.patch(&json!({"disabledReason": "x"})));
        refuses_reason(fixture.patch(&json!({"disabledReason": "x", "enabled": true})));
    });
    let fixture = Fixture::disabled("410 Gone");
    fixture.without_effect(|registry| {
        refuses_reason(fixture.patch(&json!({"disabledReason": "x", "enabled": true})));
        refuses_reason(registry.ensure(new("crm").disabled_reason("x").enabled(true)));
    });
}

#[test]
fn an_update_that_disables_takes_the_reason_or_has_none() {
    let fixture = Fixture::new();
    let update = SubscriptionUpdate::new().enabled(false).disabled_reason("paused");
    assert_disabled(&fixture.update(update).unwrap(), Some("paused"), 1);
    let fixture = Fixture::new();
    assert_disabled(&fixture.patch(&json!({"enabled": false})).unwrap(), None, 1);
}

#[test]
fn an_update_that_enables_clears_the_reason_and_the_time() {
    let fixture = Fixture::disabled("410 Gone");
    assert_enabled(&fixture.patch(&json!({"enabled": true})).unwrap());
    fixture.clock.set(START + 3);
    let update = SubscriptionUpdate::new().enabled(false);
    assert_disabled(&fixture.update(update).unwrap(), None, 3);
}

#[test]
fn clearing_the_reason_is_valid_whatever_the_subscription_is_after_the_call() {
    let fixture = Fixture::new();
    for enabled in [json!({}), json!({"enabled": true})] {
        let mut body = enabled.clone();
        body["disabledReason"] = Value::Null;
        fixture.without_effect(|_| assert_enabled(&fixture.patch(&body).unwrap()));
    }
    let fixture = Fixture::disabled("410 Gone");
    let cleared = fixture.patch(&json!({"disabledReason": null})).unwrap();
    assert_disabled(&cleared, None, 1);
    assert_eq!(cleared.revision(), 3);
    let update = || SubscriptionUpdate::new().clear_disabled_reason();
    fixture.without_effect(|_| fixture.update(update())).unwrap();
    fixture.registry.disable(fixture.id, "again").unwrap();
    assert_enabled(&fixture.update(update().enabled(true)).unwrap());
}

#[test]
fn the_later_of_two_setters_of_an_update_counts() {
    let fixture = Fixture::disabled("410 Gone");
    let update = SubscriptionUpdate::new;
    let cleared = fixture.update(update().disabled_reason("x").clear_disabled_reason()).unwrap();
    assert_disabled(&cleared, None, 1);
    let set = fixture.update(update().clear_disabled_reason().disabled_reason("x")).unwrap();
    assert_disabled(&set, Some("x"), 1);
}

#[test]
fn an_update_that_does_not_state_the_reason_of_a_disabled_subscription_keeps_it() {
    let fixture = Fixture::disabled("410 Gone");
    fixture.without_effect(|_| fixture.patch(&json!({"enabled": false}))).unwrap();
    let renamed = fixture.patch(&json!({"enabled": false, "name": "renamed"})).unwrap();
    assert_disabled(&renamed, Some("410 Gone"), 1);
    fixture.registry.rotate_secret(fixture.id, Rotation::new()).unwrap();
    fixture.registry.revoke_old_secrets(fixture.id).unwrap();
    assert_disabled(&fixture.stored(), Some("410 Gone"), 1);
    let replaced = fixture.patch(&json!({"disabledReason": "since Monday"})).unwrap();
    assert_disabled(&replaced, Some("since Monday"), 1);
}

#[test]
fn ensure_without_enabled_leaves_the_reason_alone() {
    let fixture = Fixture::disabled("by an operator");
    let plan = fixture.registry.plan([new("crm")], Prune::Keep).unwrap();
    assert!(plan.is_empty(), "{plan}");
    fixture.without_effect(|registry| registry.ensure(new("crm"))).unwrap();
    let ensured = fixture.registry.ensure(new("crm").description("d")).unwrap();
    assert_disabled(ensured.subscription(), Some("by an operator"), 1);
    assert_eq!(ensured.subscription().description(), Some("d"));
}

#[test]
fn ensure_validates_a_reason_without_enabled_and_leaves_that_of_a_disabled_subscription_alone() {
    let fixture = Fixture::disabled("by an operator");
    fixture.without_effect(|registry| {
        let declared = new("crm").disabled_reason("another");
        let ensured = registry.ensure(declared.clone()).unwrap();
        assert!(matches!(ensured, Ensured::Unchanged(_)), "{ensured:?}");
        assert!(registry.plan([declared], Prune::Keep).unwrap().is_empty());
        refuses_reason(registry.ensure(new("crm").disabled_reason("")));
    });
    let body = br#"{"name": "crm", "url": "https://example.com/hook", "events": ["agent.*"],
        "enabled": null, "disabledReason": "another"}"#;
    let declared = NewSubscription::from_json(body).unwrap();
    fixture.without_effect(|registry| registry.ensure(declared.clone())).unwrap();
    fixture.patch(&json!({"enabled": true})).unwrap();
    refuses_reason(fixture.registry.ensure(declared));
}

#[test]
fn ensure_with_enabled_false_gives_the_declared_reason_or_none() {
    let fixture = Fixture::new();
    let ensured = fixture.registry.ensure(off("crm", "not verified")).unwrap();
    assert_disabled(ensured.subscription(), Some("not verified"), 1);
    fixture.without_effect(|registry| registry.ensure(off("crm", "not verified"))).unwrap();
    fixture.clock.set(START + 2);
    let ensured = fixture.registry.ensure(off("crm", "410 Gone")).unwrap();
    assert_disabled(ensured.subscription(), Some("410 Gone"), 1);
    let ensured = fixture.registry.ensure(new("crm").enabled(false)).unwrap();
    assert_disabled(ensured.subscription(), None, 1);
    fixture.without_effect(|registry| registry.ensure(new("crm").enabled(false))).unwrap();
    let Ensured::Created(created) = fixture.registry.ensure(off("new", "later")).unwrap() else {
        panic!("it was there")
    };
    assert_disabled(created.subscription(), Some("later"), 2);
}

#[test]
fn ensure_with_enabled_true_clears_the_reason_and_the_time() {
    let fixture = Fixture::disabled("410 Gone");
    let ensured = fixture.registry.ensure(new("crm").enabled(true)).unwrap();
    assert_enabled(ensured.subscription());
}

#[test]
fn a_plan_shows_the_reason_as_a_field_and_apply_stores_it() {
    let fixture = Fixture::new();
    let plan = |declared: NewSubscription| fixture.registry.plan([declared], Prune::Keep).unwrap();
    let disabling = plan(off("crm", "410 Gone"));
    assert_eq!(disabling.to_string(), "~ update crm (enabled, disabledReason)");
    let applied = fixture.registry.apply(disabling).unwrap();
    assert_disabled(&applied.updated()[0], Some("410 Gone"), 1);
    fixture.clock.set(START + 2);
    assert!(plan(off("crm", "410 Gone")).is_empty());
    let replacing = plan(off("crm", "since Monday"));
    assert_eq!(replacing.to_string(), "~ update crm (disabledReason)");
    let applied = fixture.registry.apply(replacing).unwrap();
    assert_disabled(&applied.updated()[0], Some("since Monday"), 1);
    let enabling = plan(new("crm").enabled(true));
    assert_eq!(enabling.to_string(), "~ update crm (enabled, disabledReason)");
    assert_enabled(&fixture.registry.apply(enabling).unwrap().updated()[0]);
}

#[test]
fn a_copied_subscription_keeps_the_reason_and_gets_a_new_time() {
    let fixture = Fixture::disabled("410 Gone");
    let other = fixture.clock.options().in_memory().unwrap();
    learn(&other);
    let copied = other.create(NewSubscription::from(&fixture.stored())).unwrap();
    assert_disabled(copied.subscription(), Some("410 Gone"), 2);
}

#[test]
fn the_history_lists_the_reason_and_never_the_time() {
    let fixture = Fixture::new();
    fixture.registry.disable(fixture.id, "410 Gone").unwrap();
    let reason = |before: Option<&str>, after: Option<&str>| {
        let mut field = json!({"name": "disabledReason"});
        for (side, text) in [("before", before), ("after", after)] {
            if let Some(text) = text {
                field[side] = text.into();
            }
        }
        field
    };
    let enabled = |before: bool| json!({"name": "enabled", "before": before, "after": !before});
    assert_eq!(
        fixture.last_change(),
        (ChangeKind::Disabled, json!([enabled(true), reason(None, Some("410 Gone"))]))
    );
    fixture.registry.disable(fixture.id, "later").unwrap();
    assert_eq!(
        fixture.last_change(),
        (ChangeKind::Disabled, json!([reason(Some("410 Gone"), Some("later"))]))
    );
    fixture.patch(&json!({"disabledReason": null})).unwrap();
    assert_eq!(fixture.last_change(), (ChangeKind::Disabled, json!([reason(Some("later"), None)])));
    fixture.patch(&json!({"enabled": true})).unwrap();
    assert_eq!(fixture.last_change(), (ChangeKind::Enabled, json!([enabled(false)])));
    fixture.registry.disable(fixture.id, "x").unwrap();
    fixture.patch(&json!({"enabled": true})).unwrap();
    assert_eq!(
        fixture.last_change(),
        (ChangeKind::Enabled, json!([enabled(false), reason(Some("x"), None)]))
    );
    fixture.patch(&json!({"enabled": false, "disabledReason": "y", "name": "z"})).unwrap();
    let (kind, fields) = fixture.last_change();
    assert_eq!((kind, fields.as_array().unwrap().len()), (ChangeKind::Updated, 3));
    fixture.registry.delete(fixture.id).unwrap();
    let (kind, fields) = fixture.last_change();
    assert_eq!(kind, ChangeKind::Deleted);
    assert!(fields.as_array().unwrap().contains(&reason(Some("y"), None)), "{fields}");
    fixture.registry.create(off("new", "z")).unwrap();
    let (kind, fields) = fixture.last_change();
    assert_eq!(kind, ChangeKind::Created);
    let names: Vec<&str> =
        fields.as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["name", "url", "events", "enabled", "disabledReason", "secret"]);
}

#[test]
fn a_reason_and_a_new_secret_in_one_call_are_an_update() {
    let fixture = Fixture::disabled("410 Gone");
    let secret = "A".repeat(43);
    fixture.patch(&json!({"disabledReason": "x", "secret": secret})).unwrap();
    let (kind, fields) = fixture.last_change();
    assert_eq!(kind, ChangeKind::Updated);
    assert_eq!(fields.as_array().unwrap().len(), 2, "{fields}");
    assert!(!fields.to_string().contains(&secret));
}

#[test]
fn explain_shows_the_reason_on_one_line_without_widening_the_others() {
    let Fixture { registry, id, .. } = Fixture::disabled("410 Gone since Monday");
    registry.create(NewSubscription::new("bi", "https://b", ["*.v1"])).unwrap();
    registry.create(new("plain").enabled(false)).unwrap();
    registry.create(off("two lines", "a\nb \u{202e}(c)")).unwrap();
    let explanation = registry.explain(EVENT).unwrap();
    let lines = [
        EVENT,
        "  crm        disabled (410 Gone since Monday)  agent.*",
        "  bi         enabled   *.v1",
        "  plain      disabled  agent.*",
        r"  two lines  disabled (a\nb \u{202e}(c))  agent.*",
    ];
    assert_eq!(explanation.to_string(), lines.join("\n"));
    let reasons: Vec<_> = explanation.entries().iter().map(|it| it.disabled_reason()).collect();
    assert_eq!(reasons, [Some("410 Gone since Monday"), None, None, Some("a\nb \u{202e}(c)")]);
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(
        json["entries"][0],
        json!({"subscriptionId": id, "name": "crm", "enabled": false,
            "disabledReason": "410 Gone since Monday", "patterns": ["agent.*"]})
    );
    assert!(json["entries"][1].get("disabledReason").is_none());
}

#[test]
fn the_time_of_a_clock_that_steps_back_is_stored_as_it_is() {
    let fixture = Fixture::new();
    fixture.clock.set(START - 5);
    let disabled = fixture.registry.disable(fixture.id, "x").unwrap();
    assert_eq!(disabled.disabled_at(), Some(time(START) - Duration::from_millis(5)));
    assert!(fixture.registry.check().unwrap().is_sound());
}

#[test]
fn a_row_that_breaks_the_rule_is_corrupt_and_never_a_wrong_answer() {
    let set = |what: &str| {
        format!(
            "UPDATE _webhook_registry_subscription SET {what} WHERE name = \
                        'damaged'"
        )
    };
    let calls = [Get, ByName, List, ListByEvent, Iter, Update];
    assert_corrupt(&set("disabled_at = 1"), &calls);
    assert_corrupt(&set("enabled = 0"), &calls);
    assert_corrupt(&set("enabled = 0, disabled_at = -1"), &calls);
    let calls = [&calls[..], &[Explain]].concat();
    assert_corrupt(&set("disabled_reason = 'x'"), &calls);
    let off =
        |reason: &str| set(&format!("enabled = 0, disabled_at = 1, disabled_reason = {reason}"));
    for reason in ["''", "printf('%.*c', 1025, 'x')", "'a' || char(0)", "CAST(x'ff' AS TEXT)"] {
        assert_corrupt(&off(reason), &calls);
    }
}
