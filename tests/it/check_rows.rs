//! Tests that `check` reports rows that do not decode or violate a rule, all of them, and repeats
//! neither a URL nor a secret.

use crate::check::{check, execute, file, finds};

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
