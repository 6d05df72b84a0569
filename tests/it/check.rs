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

#[test]
fn check_finds_rows_that_do_not_decode_or_violate_a_rule() {
    let set = |what: &str| {
        format!(
            "UPDATE _webhook_registry_subscription SET {what} WHERE name = \
                        'crm'"
        )
    };
    finds(&set("metadata = '[]'"), "metadata that is no object of strings", Some(0));
    finds(&set("metadata = '{\"a\": 1}'"), "metadata that is no object of strings", Some(0));
    finds(&set("metadata = '{'"), "metadata that is no object of strings", Some(0));
    finds(&set("metadata = '{\"\": \"x\"}'"), "its metadata: a key cannot be empty", Some(0));
    finds(&set("created_at = -1"), "a time that no registry writes", Some(0));
    finds(&set("updated_at = 253402300800000"), "a time that no registry writes", Some(0));
    finds(&set("revision = -1"), "a negative number", Some(0));
    finds(&set("revision = 0"), "its revision is below 1, or `enabled` neither 0 nor 1", Some(0));
    finds(&set("enabled = 7"), "`enabled` neither 0 nor 1", Some(0));
    finds(
        "UPDATE _webhook_registry_pattern SET prefix = 'agent' WHERE text = '*.v1'",
        "is kept with another beginning than it has",
        Some(1),
    );
    finds(
        "UPDATE _webhook_registry_subscription_pattern SET enabled = 7 WHERE subscription = 2",
        "kept as enabled",
        Some(1),
    );
    finds(&set("url = 'ftp://x/'"), "its url: a URL begins with http:// or https://", Some(0));
    finds(&set("name = ' crm'"), "its name: a name cannot begin or end with white space", Some(0));
    finds(
        &set("description = printf('%.*c', 5000, 'x')"),
        "its description: a description has at most",
        Some(0),
    );
    let off = |what: &str| {
        format!(
            "UPDATE _webhook_registry_subscription SET {what} WHERE name = \
                        'off'"
        )
    };
    finds(&set("disabled_reason = 'x'"), "its disabledReason: only a disabled", Some(0));
    finds(&set("disabled_at = 1"), "its disabledAt: only a disabled subscription has", Some(0));
    finds(&off("disabled_at = NULL"), "its disabledAt: a disabled subscription has", Some(2));
    finds(&off("disabled_at = -1"), "a time that no registry writes", Some(2));
    finds(&off("disabled_reason = ''"), "its disabledReason: a reason cannot be empty", Some(2));
    finds(
        &off("disabled_reason = printf('%.*c', 1025, 'x')"),
        "its disabledReason: a reason has at most 1024 bytes, not 1025",
        Some(2),
    );
    finds(
        &off("disabled_reason = 'a' || char(0)"),
        "its disabledReason: a reason cannot hold U+0000",
        Some(2),
    );
    finds(
        &off("disabled_reason = CAST(x'ff' AS TEXT)"),
        "the disabledReason of subscription",
        Some(2),
    );
    finds(
        &set("events = 'a' || replace(printf('%.*c', 300, ' '), ' ', ' a')"),
        "its events: a subscription has 1 to 256 of them, not 301; restore a backup, or delete it \
         by its id",
        Some(0),
    );
    finds(&set("events = events || ' agent.*'"), "its events: \"agent.*\" is there twice", Some(0));
    finds(&set("events = CAST(x'ff' AS TEXT)"), "the events of subscription 01", Some(0));
    for events in ["' agent.*'", "'agent.* '", "'agent.*  channel.*'", "'agent.* **'"] {
        let damage = set(&format!("events = {events}"));
        finds(&damage, "has a pattern that is none", Some(0));
    }
    finds(&set("url = CAST(x'ff' AS TEXT)"), "subscription \"crm\"", Some(0));
    finds(&set("name = CAST(x'41ff' AS TEXT)"), "subscription \"A\u{fffd}\"", Some(0));
    finds(
        "UPDATE _webhook_registry_pattern SET text = '**' WHERE text = '*.v1'",
        "a pattern that \
           is none",
        None,
    );
    finds(
        "UPDATE _webhook_registry_pattern SET text = '**' WHERE text = '*.v1'",
        "dispatch does not find it by its patterns: \"*.v1\"",
        Some(1),
    );
    finds(
        "UPDATE _webhook_registry_event_type SET name = 'a b' WHERE rowid = 1",
        "has a name that \
           is none",
        None,
    );
    finds(
        "UPDATE _webhook_registry_event_type SET name = CAST(x'ff' AS TEXT) WHERE rowid = 1",
        "has a name that is none",
        None,
    );
    finds(
        "UPDATE _webhook_registry_event_type SET json_schema = '{' WHERE rowid = 1",
        "the schema \
           of event type",
        None,
    );
    finds(
        "UPDATE _webhook_registry_event_type SET json_schema = 'null' WHERE rowid = 1",
        "or \
           register it anew",
        None,
    );
    finds(
        "UPDATE _webhook_registry_event_type SET description = printf('%.*c', 4097, 'x') \
         WHERE rowid = 1",
        "the description of event type \"agent.a.v1\" is none that a registry takes",
        None,
    );
    finds(
        "UPDATE _webhook_registry_meta SET file_id = x'00'",
        "what belongs to the file as a \
           whole",
        None,
    );
}

#[test]
fn no_finding_contains_a_url_or_a_secret() {
    let file = file();
    let hidden = "aGlkZGVuIHNlY3JldCB0aGF0IG5vYm9keSBtYXkgc2VlIQ";
    let url = "UPDATE _webhook_registry_subscription SET url = 'http://x.example.com/?token=hidden \
         token' WHERE seq = 1";
    execute(
        &file.path,
        &format!("{url}; UPDATE _webhook_registry_subscription SET secret = '{hidden}*'"),
    );
    let report = check(&file.path);
    let shown = format!("{report} {report:?}");
    assert!(
        !shown.contains("hidden") && !shown.contains("token") && !shown.contains(&hidden[..8]),
        "{shown}"
    );
}

#[test]
fn check_reports_every_fault_and_not_only_the_first() {
    let file = file();
    execute(
        &file.path,
        "UPDATE _webhook_registry_subscription SET url = 'x', name = ' '||name; \
         UPDATE _webhook_registry_subscription_pattern SET enabled = 1 - enabled; UPDATE \
         _webhook_registry_subscription SET secret = '' \
         WHERE seq = 3; DELETE FROM _webhook_registry_expansion",
    );
    let report = check(&file.path);
    for id in &file.ids {
        let about = report
            .findings()
            .iter()
            .filter(|finding| finding.subscription_id() == Some(*id))
            .count();
        assert!(about >= 3, "{report}");
    }
    assert!(report.to_string().lines().count() >= 9);
    assert!(report.to_string().starts_with("finding: "));
}

#[test]
fn check_validates_every_text_of_a_subscription_even_if_another_part_does_not_decode() {
    for damage in [
        "UPDATE _webhook_registry_subscription SET created_at = -1",
        "UPDATE _webhook_registry_subscription SET events = '**'",
        "UPDATE _webhook_registry_subscription SET events = ''",
        "UPDATE _webhook_registry_subscription SET metadata = '['",
    ] {
        let sql = format!(
            "{damage}; UPDATE _webhook_registry_subscription SET name = '', url = 'xttps://x/', \
             description = CAST(x'ff' AS TEXT), disabled_reason = '' WHERE seq = 2"
        );
        finds(&sql, "its disabledReason: a reason cannot be empty", Some(1));
        finds(&sql, "its url: a URL begins with http:// or https://", Some(1));
        finds(&sql, "its name: a subscription needs a name", Some(1));
        finds(&sql, "the description of subscription 01", Some(1));
    }
    for (events, said) in [
        ("''", "it has no pattern"),
        ("'**'", "has a pattern that is none: "),
        ("'a a'", "its events: \"a\" is there twice"),
        ("CAST(x'ff' AS TEXT)", "the events of subscription 01"),
    ] {
        let sql = format!(
            "UPDATE _webhook_registry_subscription SET created_at = -1, events = {events} \
             WHERE seq = 2"
        );
        finds(&sql, said, Some(1));
    }
    finds(
        "UPDATE _webhook_registry_subscription SET name = CAST(x'ff' AS TEXT), url = CAST(x'ff' \
         AS TEXT) \
         WHERE seq = 2",
        "the url of subscription 01",
        Some(1),
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
