//! Tests that following the instructions in the findings of `check` repairs the file. Each test
//! damages a file, does only what the findings say, and expects a sound registry with all undamaged
//! content.

use std::path::Path;

use rusqlite::config::DbConfig;
use webhook_registry::{
    Finding, ListQuery, NewSubscription, Registry, Report, Rotation, SubscriptionId,
    SubscriptionUpdate,
};

use crate::support::SEED_SECRET;

const TYPES: [&str; 5] = ["agent.a.v1", "agent.b.v1", "channel.a.v1", "channel.b.v2", "queue.v1"];

fn damaged(path: &Path, sql: &str) -> Registry {
    let registry = Registry::open(path).unwrap();
    registry.register_event_types(TYPES).unwrap();
    let at = |name: &str, events: &[&str]| {
        NewSubscription::new(name, format!("https://{name}.com/"), events)
    };
    let all = [
        at("crm", &["agent.*", "channel.*"]),
        at("bi", &["*.v1"]),
        at("off", &["queue.*"]).enabled(false),
    ];
    let made = registry.create_all(all).unwrap();
    registry.rotate_secret(made[1].subscription().id(), Rotation::new()).unwrap();
    drop(registry);
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON").unwrap();
    // Damage has no triggers.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    conn.execute_batch(sql).unwrap_or_else(|cause| panic!("{sql}: {cause}"));
    drop(conn);
    Registry::open(path).unwrap()
}

/// Follows the instruction of a finding. Returns false if only a new file helps.
fn follow_instruction(registry: &Registry, finding: &Finding) -> bool {
    let Some(id) = finding.subscription_id() else {
        let does = |what: &str| finding.message().contains(what);
        if does("or register it anew") {
            let named = TYPES.into_iter().find(|name| does(name)).unwrap();
            registry.register_event_type(named).unwrap();
            return true;
        }
        return false;
    };
    let does = |what: &str| finding.message().contains(what);
    let update = |update| drop(registry.update(id, update).unwrap());
    if registry.get(id).is_ok_and(|found| found.is_none()) {
        return true;
    }
    if does("or delete it by its id and create it anew") {
        registry.delete(id).unwrap();
    } else if does("give it another with rotate_secret") {
        registry.rotate_secret(id, Rotation::new()).unwrap();
    } else if does("set `enabled` to the other value and back") {
        let enabled = registry.get(id).unwrap().unwrap().enabled();
        update(SubscriptionUpdate::new().enabled(!enabled));
        update(SubscriptionUpdate::new().enabled(enabled));
    } else {
        return false;
    }
    true
}

/// Follows the instructions of all findings, and returns the registry and its report.
fn follow_all_instructions(registry: Registry, fresh: &Path) -> (Registry, Report) {
    let before = registry.check().unwrap();
    assert!(!before.is_sound());
    let rest: Vec<&Finding> = before
        .findings()
        .iter()
        .filter(|finding| !follow_instruction(&registry, finding))
        .collect();
    if rest.is_empty() {
        return (registry, before);
    }
    for finding in rest {
        let said = finding.message();
        assert!(
            said.contains("; export the registry and import it into a new file")
                || said.contains("or, if it can still be exported, import that into a new file"),
            "nothing to do: {said}"
        );
    }
    let new = Registry::open(fresh).unwrap();
    new.import(registry.export().unwrap_or_else(|error| panic!("{error}: {before}"))).unwrap();
    (new, before)
}

#[test]
fn following_the_instructions_of_every_finding_makes_the_registry_sound() {
    let set = |what: &str| {
        format!(
            "UPDATE _webhook_registry_subscription SET {what} WHERE name = \
                        'bi'"
        )
    };
    let many = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 300) \
                INSERT INTO _webhook_registry_pattern (text, prefix) SELECT 'queue.v1' || n, NULL \
                FROM n; \
                INSERT INTO _webhook_registry_subscription_pattern SELECT 0, 2, id, 1 \
                FROM _webhook_registry_pattern \
                WHERE text GLOB 'queue.v1?*'";
    let many_events = "events || (SELECT group_concat(' ' || text, '') \
                       FROM _webhook_registry_pattern WHERE text GLOB 'queue.v1?*')";
    let table = [
        "DELETE FROM _webhook_registry_expansion".to_owned(),
        "INSERT OR IGNORE INTO _webhook_registry_expansion SELECT t.name, p.id FROM \
         _webhook_registry_event_type t, _webhook_registry_pattern p"
            .to_owned(),
        "UPDATE _webhook_registry_pattern SET prefix = iif(prefix IS NULL, text, NULL)".to_owned(),
        "INSERT INTO _webhook_registry_pattern (text, prefix) VALUES ('nobody.*', 'nobody.')"
            .to_owned(),
        "INSERT INTO _webhook_registry_event_type (name) VALUES ('agent.new.v1')".to_owned(),
        "UPDATE _webhook_registry_meta SET last_id = (SELECT max(id) FROM \
         _webhook_registry_subscription)"
            .to_owned(),
        "DELETE FROM _webhook_registry_change WHERE sequence = 3".to_owned(),
        "UPDATE _webhook_registry_meta SET last_change = 99".to_owned(),
        "DELETE FROM _webhook_registry_subscription WHERE name = 'bi'".to_owned(),
        "DELETE FROM _webhook_registry_subscription WHERE name = 'crm'".to_owned(),
        "DELETE FROM _webhook_registry_subscription WHERE name = 'off'".to_owned(),
        "DELETE FROM _webhook_registry_event_type WHERE name = 'agent.a.v1'".to_owned(),
        "DELETE FROM _webhook_registry_pattern WHERE text = '*.v1'".to_owned(),
        "DELETE FROM _webhook_registry_subscription_pattern WHERE subscription = 2".to_owned(),
        "UPDATE _webhook_registry_subscription SET secret = '' WHERE seq = 2".to_owned(),
        "DELETE FROM _webhook_registry_replaced_secret".to_owned(),
        "UPDATE _webhook_registry_subscription SET replaced_secrets = 0 WHERE seq = 2".to_owned(),
        "UPDATE _webhook_registry_subscription SET replaced_secrets = 9 WHERE seq = 1".to_owned(),
        "UPDATE _webhook_registry_replaced_secret SET secret = '*' WHERE subscription = 2"
            .to_owned(),
        "UPDATE _webhook_registry_replaced_secret SET created_at = -1 WHERE subscription = 2"
            .to_owned(),
        "UPDATE _webhook_registry_subscription_pattern SET enabled = 1 - enabled".to_owned(),
        "UPDATE _webhook_registry_subscription_pattern SET enabled = 7 WHERE subscription = \
         2"
        .to_owned(),
        "UPDATE _webhook_registry_pattern SET text = '**' WHERE text = '*.v1'".to_owned(),
        many.to_owned(),
        format!("{many}; {}", set(&format!("events = {many_events}"))),
        "INSERT INTO _webhook_registry_subscription_pattern SELECT 0, 2, id, 1 \
         FROM _webhook_registry_pattern WHERE text = 'agent.*'"
            .to_owned(),
        set("events = 'agent.*'"),
        set("events = '*.v1 channel.c.v1'"),
        set("events = ''"),
        set("events = '**'"),
        set("events = '*.v1 *.v1'"),
        set("events = CAST(x'ff' AS TEXT)"),
        set("enabled = 0"),
        set("enabled = 0, disabled_at = 1"),
        set("disabled_at = 1"),
        set("disabled_reason = 'x'"),
        set("enabled = 7"),
        set("revision = 0"),
        set("created_at = -1"),
        set("metadata = '['"),
        set("metadata = '{\"\": \"v\"}'"),
        set("url = 'ftp://x'"),
        set("url = CAST(x'ff' AS TEXT)"),
        set("name = ' x'"),
        set("description = printf('%.*c', 5000, 'x')"),
        set("description = CAST(x'ff' AS TEXT), name = '', url = CAST(x'ff' AS TEXT), \
             created_at = -1"),
        "UPDATE _webhook_registry_event_type SET json_schema = '{' WHERE name = \
         'agent.a.v1'"
            .to_owned(),
        "UPDATE _webhook_registry_event_type SET json_schema = 'null' WHERE name = \
         'agent.a.v1'"
            .to_owned(),
        "UPDATE _webhook_registry_event_type SET description = 'a' || char(0) WHERE name = \
         'agent.a.v1'"
            .to_owned(),
        "UPDATE _webhook_registry_change SET subject = '' WHERE sequence IN (2, 4)".to_owned(),
        "DROP VIEW webhook_registry_subscribers".to_owned(),
        "DROP INDEX _webhook_registry_expansion_pattern".to_owned(),
        "ALTER TABLE _webhook_registry_replaced_secret ADD COLUMN note TEXT".to_owned(),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (n, sql) in table.iter().enumerate() {
        let path = |what: &str| folder.path().join(format!("{n}.{what}"));
        let registry = damaged(&path("db"), sql);
        let (registry, before) = follow_all_instructions(registry, &path("new"));
        let report = registry.check().unwrap();
        assert!(report.is_sound(), "{sql}: {before}\nthen: {report}");
        // Undamaged subscriptions receive the same events as before.
        let names: Vec<String> =
            registry.iter(ListQuery::new()).map(|found| found.unwrap().name().to_owned()).collect();
        let lost = |name: &str| {
            sql.contains(&format!(
                "FROM _webhook_registry_subscription WHERE \
                        name = '{name}'"
            ))
        };
        for (name, event) in [("crm", "channel.b.v2"), ("off", "queue.v1")] {
            if !lost(name) {
                assert!(names.iter().any(|found| found == name), "{sql}: {names:?}");
                let getting = registry.subscribers(event).unwrap();
                let gets = getting.iter().any(|subscriber| subscriber.name() == name);
                assert_eq!(gets, name == "crm", "{sql}: {event} goes to {getting:?}");
            }
        }
        let new = NewSubscription::new("later", "https://later.com/", ["*"]).secret(SEED_SECRET);
        let last: Option<SubscriptionId> =
            registry.iter(ListQuery::new()).map(|found| found.unwrap().id()).last();
        assert!(Some(registry.create(new).unwrap().subscription().id()) > last);
    }
}
