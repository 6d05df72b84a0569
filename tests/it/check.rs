//! Tests that `check` reports every fault of a damaged file and does not stop at the first. Each
//! test damages a sound file through a plain SQLite connection and expects a finding that names the
//! damage.

use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use webhook_registry::{
    Created, Finding, NewSubscription, Registry, Report, Rotation, SubscriptionId,
    SubscriptionUpdate,
};

/// A sound file for a test to damage.
pub(crate) struct File {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
    /// "crm" with `agent.*` and `channel.*`, "bi" with `*.v1`, "off", disabled, with `agent.*`.
    pub(crate) ids: Vec<SubscriptionId>,
}

/// Creates a sound file without advice.
pub(crate) fn file() -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = Registry::open(&path).unwrap();
    registry
        .register_event_types(["agent.a.v1", "agent.b.v1", "channel.a.v1", "channel.b.v2"])
        .unwrap();
    let all = registry
        .create_all([
            NewSubscription::new("crm", "https://crm.example.com/", ["agent.*", "channel.*"])
                .metadata("k", "v"),
            NewSubscription::new("bi", "https://bi.example.com/", ["*.v1"]),
            NewSubscription::new("off", "https://off.example.com/", ["agent.*"]).enabled(false),
        ])
        .unwrap();
    let ids: Vec<_> = all.iter().map(|created: &Created| created.subscription().id()).collect();
    registry.rotate_secret(ids[1], Rotation::new()).unwrap();
    let report = registry.check().unwrap();
    assert!(report.is_sound(), "{report}");
    // Of the file, which is all right; another test is about the SQLite that is linked.
    assert!(report.advice().iter().all(is_about_sqlite), "{report}");
    File { _folder: folder, path, ids }
}

/// Returns whether the advice is about the linked SQLite and not about the file.
pub(crate) fn is_about_sqlite(advice: &Finding) -> bool {
    advice.message().starts_with("this program links SQLite ")
}

pub(crate) fn execute(path: &Path, sql: &str) {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON").unwrap();
    // Damage has no triggers.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    conn.execute_batch(sql).unwrap_or_else(|cause| panic!("{sql}: {cause}"));
}

/// Checks the file with a writable and a read-only registry, and asserts that both agree.
#[track_caller]
pub(crate) fn check(path: &Path) -> Report {
    let reader = Registry::options().read_only(true).open(path).unwrap().check().unwrap();
    let before = std::fs::read(path).unwrap();
    let writer = Registry::open(path).unwrap().check().unwrap();
    assert_eq!(reader, writer);
    assert!(std::fs::read(path).unwrap() == before, "a check must not change the file");
    writer
}

/// Damages a sound file, and asserts that a finding contains `said` and names the subscription.
#[track_caller]
pub(crate) fn finds(sql: &str, said: &str, about: Option<usize>) {
    let file = file();
    execute(&file.path, sql);
    let report = check(&file.path);
    assert!(!report.is_sound(), "{sql}");
    let about = about.map(|at| file.ids[at]);
    let found =
        |finding: &Finding| finding.message().contains(said) && finding.subscription_id() == about;
    assert!(report.findings().iter().any(found), "{sql}: {said}: {report}");
    for finding in report.findings() {
        assert_eq!(finding.to_string(), finding.message());
        assert!(finding.message().contains("; "), "the finding has no instruction: {finding}");
        if let Some(id) = finding.subscription_id() {
            assert!(finding.message().contains(&id.to_string()), "{finding}");
        }
    }
}

#[test]
fn check_finds_expansion_rows_that_differ_from_the_patterns() {
    finds(
        "DELETE FROM _webhook_registry_expansion WHERE event_type = 'channel.b.v2'",
        r#"subscription "crm" (01"#,
        Some(0),
    );
    let of = "(SELECT id FROM _webhook_registry_pattern WHERE text = 'channel.*')";
    finds(
        &format!("DELETE FROM _webhook_registry_expansion WHERE pattern = {of}"),
        "its pattern \"channel.*\" matches \"channel.a.v1\", \"channel.b.v2\" and is not expanded \
         into it",
        Some(0),
    );
    finds(
        "INSERT INTO _webhook_registry_expansion SELECT t.name, p.id FROM \
         _webhook_registry_event_type t, _webhook_registry_pattern p \
         WHERE t.name = 'agent.a.v1' AND p.text = 'channel.*'",
        r#""channel.*" is expanded into event types that it does not match (1)"#,
        Some(0),
    );
    finds(
        "INSERT INTO _webhook_registry_event_type (name) VALUES ('agent.new.v1')",
        r#"matches "agent.new.v1""#,
        Some(1),
    );
    finds(
        "INSERT INTO _webhook_registry_event_type (name) VALUES ('agent.new.v2')",
        r#"which it shares with 1 more, matches"#,
        Some(0),
    );
    finds(
        "INSERT INTO _webhook_registry_event_type (name) VALUES ('d.v1'), ('e.v1'), ('f.v1'), \
         ('g.v1'), ('h.v1'), \
         ('i.v1'), ('j.v1')",
        "its pattern \"*.v1\" matches \"d.v1\", \"e.v1\", \"f.v1\", \"g.v1\", \"h.v1\" and 2 more \
         and is not expanded into it",
        Some(1),
    );
    finds(
        "INSERT INTO _webhook_registry_event_type (name) VALUES ('d.v1'), ('e.v1'), ('f.v1'), \
         ('g.v1'), ('h.v1')",
        "its pattern \"*.v1\" matches \"d.v1\", \"e.v1\", \"f.v1\", \"g.v1\", \"h.v1\" and is not \
         expanded into it",
        Some(1),
    );
    finds(
        "UPDATE _webhook_registry_event_type SET name = 'moved.v3' WHERE name = 'channel.b.v2'",
        "event types that it does not match (1)",
        Some(0),
    );
    finds(
        "UPDATE _webhook_registry_pattern SET prefix = NULL WHERE text = '*.v1'",
        "is kept with another beginning than it has",
        Some(1),
    );
}

#[test]
fn check_finds_dangling_references_and_orphan_rows() {
    let orphans =
        "INSERT INTO _webhook_registry_pattern (text, prefix) VALUES ('nobody.*', 'nobody.')";
    finds(orphans, r#"the pattern "nobody.*" belongs to no subscription; export"#, None);
    finds(
        "DELETE FROM _webhook_registry_subscription WHERE name = 'bi'",
        "patterns are kept for subscriptions that do not exist (1); export",
        None,
    );
    finds(
        "UPDATE _webhook_registry_subscription_pattern SET owner = 7 WHERE subscription = 2",
        "its patterns are kept for another owner (1)",
        Some(1),
    );
    finds(
        "DELETE FROM _webhook_registry_subscription WHERE name = 'bi'",
        "rows of the table _webhook_registry_replaced_secret belong to no row of \
         _webhook_registry_subscription: 1",
        None,
    );
    finds(
        "DELETE FROM _webhook_registry_pattern WHERE text = '*.v1'",
        "rows of the table _webhook_registry_subscription_pattern belong to no row of \
         _webhook_registry_pattern",
        None,
    );
    finds(
        "DELETE FROM _webhook_registry_pattern WHERE text = '*.v1'",
        "subscription \"bi\"",
        Some(1),
    );
    finds(
        "DELETE FROM _webhook_registry_event_type WHERE name = 'agent.a.v1'",
        "rows of the table _webhook_registry_expansion belong to no row",
        None,
    );
    finds(
        "UPDATE _webhook_registry_subscription SET events = '' WHERE name = 'bi'",
        "it has no \
           pattern",
        Some(1),
    );
}

#[test]
fn check_finds_patterns_that_differ_from_those_by_which_dispatch_finds_a_subscription() {
    let route = |what: &str| format!("{what} _webhook_registry_subscription_pattern");
    let of =
        |text: &str| format!("(SELECT id FROM _webhook_registry_pattern WHERE text = '{text}')");
    finds(
        &format!("{} WHERE subscription = 1", route("DELETE FROM")),
        "dispatch does not find it by its patterns: \"agent.*\", \"channel.*\"; export",
        Some(0),
    );
    finds(
        &format!("{} WHERE pattern = {}", route("DELETE FROM"), of("channel.*")),
        "dispatch does not find it by its patterns: \"channel.*\"; export",
        Some(0),
    );
    finds(
        &format!("{} SELECT 0, 2, {}, 1", route("INSERT INTO"), of("agent.*")),
        "dispatch finds it by patterns that it does not have: \"agent.*\"; export",
        Some(1),
    );
    let events = |events: &str| {
        format!("UPDATE _webhook_registry_subscription SET events = '{events}' WHERE name = 'bi'")
    };
    finds(
        &events("*.v1 agent.?"),
        "dispatch does not find it by its patterns: \"agent.?\"; export",
        Some(1),
    );
    finds(
        &events("agent.?"),
        "dispatch does not find it by its patterns: \"agent.?\"; export",
        Some(1),
    );
    finds(
        &events("agent.?"),
        "dispatch finds it by patterns that it does not have: \"*.v1\"; export",
        Some(1),
    );
    finds(
        &format!(
            "UPDATE _webhook_registry_pattern SET text = 'agent.?' WHERE id = {}",
            of("channel.*")
        ),
        "dispatch finds it by patterns that it does not have: \"agent.?\"; export",
        Some(0),
    );
    // The order is that of the subscription alone.
    let file = file();
    let swapped = "UPDATE _webhook_registry_subscription SET events = 'channel.* agent.*' \
                   WHERE name = 'crm'";
    execute(&file.path, swapped);
    let report = check(&file.path);
    assert!(report.is_sound(), "{report}");
}

#[test]
fn check_finds_missing_and_surplus_secrets() {
    finds(
        "DELETE FROM _webhook_registry_replaced_secret",
        "the number of its replaced secrets is not kept as it is; give it another with \
         rotate_secret",
        Some(1),
    );
    finds(
        "UPDATE _webhook_registry_subscription SET replaced_secrets = 0 WHERE seq = 2",
        "the number of its replaced secrets is not kept as it is",
        Some(1),
    );
    for secret in ["'*'", "''", "x'00'"] {
        finds(
            &format!("UPDATE _webhook_registry_subscription SET secret = {secret} WHERE seq = 3"),
            "cannot be decoded",
            Some(2),
        );
    }
    finds(
        "UPDATE _webhook_registry_replaced_secret SET secret = '*'",
        "cannot be decoded",
        Some(1),
    );
    finds(
        "UPDATE _webhook_registry_subscription SET secret_created_at = -1 WHERE seq = 3",
        "a time that no registry writes",
        Some(2),
    );
}

#[test]
fn check_finds_an_enabled_flag_that_differs_between_its_two_copies() {
    finds(
        "UPDATE _webhook_registry_subscription SET enabled = 0 WHERE name = 'bi'",
        "kept as enabled where it is not",
        Some(1),
    );
    finds(
        "UPDATE _webhook_registry_subscription_pattern SET enabled = 1",
        "kept as enabled where it is not",
        Some(2),
    );
    finds(
        "UPDATE _webhook_registry_subscription_pattern SET enabled = 0 \
         WHERE pattern = (SELECT id FROM _webhook_registry_pattern WHERE text = 'channel.*')",
        "kept as enabled",
        Some(0),
    );
    // Following its instruction repairs the file.
    let file = file();
    execute(&file.path, "UPDATE _webhook_registry_subscription_pattern SET enabled = 1");
    let registry = Registry::open(&file.path).unwrap();
    registry.update(file.ids[2], SubscriptionUpdate::new().enabled(true)).unwrap();
    registry.update(file.ids[2], SubscriptionUpdate::new().enabled(false)).unwrap();
    assert!(registry.check().unwrap().is_sound());
}

#[test]
fn check_finds_ids_that_do_not_increase() {
    finds(
        "UPDATE _webhook_registry_subscription SET seq = 9 WHERE seq = 1; \
           UPDATE _webhook_registry_subscription_pattern SET subscription = 9 WHERE subscription \
           = 1; \
           UPDATE _webhook_registry_replaced_secret SET subscription = 9 WHERE subscription = 1",
        "its id does not follow",
        Some(0),
    );
    finds(
        "UPDATE _webhook_registry_subscription SET id = 'nonsense' WHERE seq = 2",
        r#"subscription "bi" (id "nonsense"): its id is none"#,
        None,
    );
    finds(
        "UPDATE _webhook_registry_subscription SET id = lower(id) WHERE seq = 2",
        "its id is \
           none",
        None,
    );
    finds(
        "UPDATE _webhook_registry_meta SET last_id = (SELECT max(id) FROM \
         _webhook_registry_subscription)",
        "as that of a deleted subscription",
        Some(2),
    );
    finds(
        "UPDATE _webhook_registry_meta SET last_id = 'x'",
        "a subscription id that is none",
        None,
    );
    // A deleted id is remembered, and later ids are greater.
    let file = file();
    let registry = Registry::open(&file.path).unwrap();
    registry.delete(file.ids[2]).unwrap();
    assert!(registry.check().unwrap().is_sound());
    registry.create(NewSubscription::new("n", "https://n.example.com/", ["agent.*"])).unwrap();
    assert!(registry.check().unwrap().is_sound());
}

#[test]
fn check_finds_numbers_that_no_registry_can_reach() {
    let most = i64::MAX;
    let last = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ";
    finds(
        &format!("UPDATE _webhook_registry_subscription SET revision = {most} WHERE seq = 2"),
        "to which no registry",
        Some(1),
    );
    finds(
        &format!("UPDATE _webhook_registry_subscription SET seq = {most} WHERE seq = 3"),
        "to which no registry",
        Some(2),
    );
    finds(
        &format!("UPDATE _webhook_registry_meta SET last_id = '{last}'"),
        "which no registry \
                    gives out",
        None,
    );
    finds(
        "UPDATE _webhook_registry_subscription SET seq = 0 WHERE seq = 1",
        "has the number 0, \
           below 1",
        Some(0),
    );
}

pub(crate) fn create(
    registry: &Registry,
    name: &str,
    url: &str,
    events: &[&str],
) -> SubscriptionId {
    let new = NewSubscription::new(name, url, events).allow_unknown_events(true);
    registry.create(new).unwrap().subscription().id()
}

#[cfg(feature = "encryption")]
#[test]
fn check_finds_an_encrypted_secret_that_cannot_be_decrypted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let open = || Registry::options().encryption_key([7; 32]).open(&path).unwrap();
    let ids: Vec<_> = {
        let registry = open();
        crate::support::learn(&registry);
        let all = ["a", "b"]
            .map(|name| create(&registry, name, &format!("https://{name}.com/"), &["agent.*"]));
        assert!(registry.check().unwrap().is_sound());
        all.into()
    };
    // The two ciphertexts are swapped.
    execute(
        &path,
        "CREATE TEMP TABLE kept AS SELECT seq, secret FROM _webhook_registry_subscription; \
         UPDATE _webhook_registry_subscription AS s \
         SET secret = (SELECT secret FROM kept WHERE kept.seq = 3 - s.seq)",
    );
    let report = open().check().unwrap();
    let about: Vec<_> =
        report.findings().iter().map(|finding| finding.subscription_id().unwrap()).collect();
    assert_eq!(about, ids, "{report}");
    assert!(report.findings()[0].message().contains("a secret of subscription"), "{report}");
}
