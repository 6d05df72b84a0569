//! The JSON of what a registry reports, key by key and in order.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use webhook_registry::{
    ChangeKind, Ensured, NewSubscription, Prune, Registry, Rotation, SubscriptionUpdate,
};

use crate::support::{SEED_SECRET, learn, new};

const AT: &str = "2026-03-04T05:06:07.089Z";

fn registry() -> Registry {
    let clock = || SystemTime::UNIX_EPOCH + Duration::from_millis(1_772_600_767_089);
    let registry = Registry::options().clock(clock).in_memory().unwrap();
    learn(&registry);
    registry
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

#[test]
fn an_explanation_is_written_with_the_patterns_of_each_subscription() {
    let registry = registry();
    let events = ["*", "agent.*", "channel.*"];
    let one = registry.create(NewSubscription::new("one", "https://a", events)).unwrap();
    let off = registry.create(new("off").enabled(false)).unwrap();
    let ids = [one.subscription().id(), off.subscription().id()];
    assert_eq!(
        text(&registry.explain("agent.presencechanged.v1").unwrap()),
        format!(
            concat!(
                r#"{{"eventType":"agent.presencechanged.v1","entries":["#,
                r#"{{"subscriptionId":"{}","name":"one","enabled":true,"#,
                r#""patterns":["*","agent.*"]}},"#,
                r#"{{"subscriptionId":"{}","name":"off","enabled":false,"#,
                r#""patterns":["agent.*"]}}]}}"#,
            ),
            ids[0], ids[1]
        )
    );
}

#[test]
fn changes_are_written_with_what_differs_and_without_secrets() {
    let registry = registry();
    let before = registry.last_change().unwrap();
    let created = registry.create(new("crm").secret(SEED_SECRET)).unwrap();
    let id = created.subscription().id();
    let update = SubscriptionUpdate::new().enabled(false).metadata("k", "v");
    registry.update(id, update).unwrap();
    let secret = registry.rotate_secret(id, Rotation::new()).unwrap();
    registry.revoke_old_secrets(id).unwrap();
    let changes = registry.changes(before, 10).unwrap();
    let all = text(&changes);
    assert!(!all.contains(SEED_SECRET) && !all.contains(secret.expose()), "{all}");
    let begin = |n: u64, kind: &str| {
        let sequence = before + n;
        format!(
            r#"{{"sequence":{sequence},"at":"{AT}","kind":"{kind}","subject":"{id}","fields":["#
        )
    };
    assert_eq!(
        text(&changes[0]),
        begin(1, "created")
            + r#"{"name":"name","after":"crm"},{"name":"url","after":"https://example.com/hook"},"#
            + r#"{"name":"events","after":["agent.*"]},{"name":"enabled","after":true},"#
            + r#"{"name":"secret"}]}"#
    );
    assert_eq!(
        text(&changes[1]),
        begin(2, "updated")
            + r#"{"name":"enabled","before":true,"after":false},"#
            + r#"{"name":"metadata","after":{"k":"v"}}]}"#
    );
    assert_eq!(text(&changes[2]), begin(3, "secretRotated") + r#"{"name":"secret"}]}"#);
    assert_eq!(text(&changes[3]), begin(4, "secretsRevoked") + r#"{"name":"secret"}]}"#);
    for (kind, expected) in [
        (ChangeKind::Created, "created"),
        (ChangeKind::Updated, "updated"),
        (ChangeKind::Enabled, "enabled"),
        (ChangeKind::Disabled, "disabled"),
        (ChangeKind::SecretRotated, "secretRotated"),
        (ChangeKind::SecretsRevoked, "secretsRevoked"),
        (ChangeKind::Deleted, "deleted"),
        (ChangeKind::EventTypeRegistered, "eventTypeRegistered"),
        (ChangeKind::EventTypeReplaced, "eventTypeReplaced"),
        (ChangeKind::EventTypeRemoved, "eventTypeRemoved"),
    ] {
        assert_eq!(text(&kind), format!("{expected:?}"));
    }
}

#[test]
fn a_report_is_written_with_its_findings_and_its_advice() {
    let registry = registry();
    assert_eq!(text(&registry.check().unwrap()), r#"{"findings":[],"advice":[]}"#);
    // A pattern that covers nothing.
    let waits = NewSubscription::new("waits", "https://a", ["fax.*"]).allow_unknown_events(true);
    let id = registry.create(waits).unwrap().subscription().id();
    let report = registry.check().unwrap();
    let message = text(&report.advice()[0].message());
    let advice = format!(r#"{{"subscriptionId":"{id}","message":{message}}}"#);
    assert_eq!(text(&report), format!(r#"{{"findings":[],"advice":[{advice}]}}"#));
    assert_eq!(text(&report.advice()[0]), advice);
}

#[test]
fn a_finding_about_the_whole_file_has_no_subscription() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = Registry::open(&path).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE x(y)").unwrap();
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("DROP VIEW webhook_registry_subscribers")
        .unwrap();
    let report = registry.check().unwrap();
    let finding = report.findings().first().unwrap();
    let message = text(&finding.message());
    assert_eq!(text(finding), format!(r#"{{"message":{message}}}"#));
}

#[test]
fn a_plan_is_written_without_secrets_and_what_it_did_with_those_it_made() {
    let registry = registry();
    let old = registry.create(new("old")).unwrap().into_parts().0.id();
    registry.create(new("same").enabled(false)).unwrap();
    let declared = [
        new("same").enabled(true).secret(SEED_SECRET).description("d"),
        new("fresh").secret(SEED_SECRET),
    ];
    let plan = registry.plan(declared, Prune::Delete).unwrap();
    let written = text(&plan);
    assert!(!written.contains(SEED_SECRET), "{written}");
    for step in [
        r#"{"kind":"update","name":"same","fields":["enabled","description","secret"]}"#,
        r#"{"kind":"create","name":"fresh","fields":[]}"#,
        r#"{"kind":"delete","name":"old","fields":[]}"#,
    ] {
        assert!(written.contains(step), "{written}");
    }
    let steps: Vec<String> = plan.steps().iter().map(text).collect();
    assert_eq!(written, format!(r#"{{"steps":[{}]}}"#, steps.join(",")));
    let applied = registry.apply(plan).unwrap();
    let (created, updated) = (text(&applied.created()[0]), text(&applied.updated()[0]));
    assert!(created.contains(SEED_SECRET) && !updated.contains(SEED_SECRET));
    assert_eq!(
        text(&applied),
        format!(r#"{{"created":[{created}],"updated":[{updated}],"deleted":["{old}"]}}"#)
    );
}

#[test]
fn what_ensure_found_or_did_is_written_under_one_key() {
    let registry = registry();
    let ensured = registry.ensure(new("crm").secret(SEED_SECRET)).unwrap();
    let Ensured::Created(created) = &ensured else { panic!("{ensured:?}") };
    assert!(text(created).contains(SEED_SECRET));
    assert_eq!(text(&ensured), format!(r#"{{"created":{}}}"#, text(created)));
    let unchanged = registry.ensure(new("crm").secret(SEED_SECRET)).unwrap();
    let subscription = text(unchanged.subscription());
    assert_eq!(text(&unchanged), format!(r#"{{"unchanged":{subscription}}}"#));
    let updated = registry.ensure(new("crm").description("d")).unwrap();
    let subscription = text(updated.subscription());
    assert!(!subscription.contains(SEED_SECRET));
    assert_eq!(text(&updated), format!(r#"{{"updated":{subscription}}}"#));
}

#[test]
fn subscribers_tell_their_names_and_that_they_are_enabled() {
    let registry = registry();
    registry.create_all([new("b"), new("a"), new("off").enabled(false)]).unwrap();
    let subscribers = registry.subscribers("agent.presencechanged.v1").unwrap();
    assert_eq!(subscribers.names().collect::<Vec<_>>(), ["b", "a"]);
    assert!(subscribers.iter().all(|subscriber| subscriber.enabled()));
}
