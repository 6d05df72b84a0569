//! Tests that `check` has a finding for each value that no call would have written: one past each
//! limit of its kind, set by hand.

use webhook_registry::Registry;

use crate::check::{check, execute, file};

/// Sets a value by hand, and asserts that a finding says this about the subscription with that
/// index, or about the file.
#[track_caller]
fn found(sql: &str, said: &str, about: Option<usize>) {
    let file = file();
    execute(&file.path, sql);
    let report = check(&file.path);
    let about = about.map(|at| file.ids[at]);
    let is_it = |finding: &&webhook_registry::Finding| {
        finding.message().contains(said) && finding.subscription_id() == about
    };
    let found: Vec<_> = report.findings().iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{sql}: {said}: {report}");
}

/// A text of this many characters, as SQL.
fn text(length: usize) -> String {
    format!("printf('%.{length}c', 'x')")
}

#[test]
fn a_name_that_no_create_takes_is_a_finding() {
    for (value, said) in [
        ("''".to_owned(), "its name: a subscription needs a name"),
        (text(129), "its name: a name has at most 128 characters, not 129"),
        ("' crm'".to_owned(), "its name: a name cannot begin or end with white space"),
        ("'crm' || char(160)".to_owned(), "its name: a name cannot begin or end with white space"),
        ("'a' || char(9) || 'b'".to_owned(), "its name: a name cannot hold control characters"),
        ("'a' || char(133) || 'b'".to_owned(), "its name: a name cannot hold control characters"),
        ("'a' || char(0) || 'b'".to_owned(), "its name: a name cannot hold control characters"),
    ] {
        found(
            &format!("UPDATE _webhook_registry_subscription SET name = {value} WHERE seq = 1"),
            said,
            Some(0),
        );
    }
}

#[test]
fn a_url_that_no_create_takes_is_a_finding() {
    for value in [
        "''".to_owned(),
        "'ftp://example.com/'".to_owned(),
        "'example.com'".to_owned(),
        "'https:example.com'".to_owned(),
        "'https:///example.com'".to_owned(),
        "'https://'".to_owned(),
        "'https://user@example.com/'".to_owned(),
        "'https://user:word@example.com/'".to_owned(),
        "'https://example.com/#part'".to_owned(),
        "'https://example.com/a b'".to_owned(),
        "' https://example.com/'".to_owned(),
        "'https://example.com/' || char(10)".to_owned(),
        "'https://example.com/' || char(0)".to_owned(),
        r"'https://example.com\path'".to_owned(),
        "'https://example.com:99999/'".to_owned(),
        "'https://exa mple.com/'".to_owned(),
        "'https://[::1/'".to_owned(),
        "'https://256.256.256.256/'".to_owned(),
        format!("'https://example.com/' || {}", text(2_048)),
    ] {
        let sql = format!("UPDATE _webhook_registry_subscription SET url = {value} WHERE seq = 1");
        found(&sql, "its url: ", Some(0));
    }
}

#[test]
fn another_text_of_a_subscription_that_no_create_takes_is_a_finding() {
    let set = |what: &str| {
        format!(
            "UPDATE _webhook_registry_subscription SET {what} WHERE seq = \
                        1"
        )
    };
    found(&set(&format!("description = {}", text(4_097))), "its description: ", Some(0));
    found(&set("description = 'a' || char(0)"), "its description: ", Some(0));
    let keys: Vec<String> = (0..51).map(|key| format!(r#""k{key}": "v""#)).collect();
    for metadata in [
        r#"'{"": "v"}'"#.to_owned(),
        r#"'{"a\u0000": "v"}'"#.to_owned(),
        r#"'{"a": "\u0000"}'"#.to_owned(),
        format!(r#"'{{"' || {} || '": "v"}}'"#, text(129)),
        format!(r#"'{{"a": "' || {} || '"}}'"#, text(1_025)),
        format!("'{{{}}}'", keys.join(",")),
    ] {
        found(&set(&format!("metadata = {metadata}")), "its metadata: ", Some(0));
    }
}

#[test]
fn a_pattern_or_an_event_type_that_nobody_can_register_is_a_finding() {
    let long = text(257);
    for value in ["''", "'**'", "'a b'", "'[a'", "'a' || char(233)", &long] {
        let sql = format!(
            "UPDATE _webhook_registry_pattern SET text = {value} WHERE text = \
                        '*.v1'"
        );
        found(&sql, "a pattern that is none", None);
        found(&sql, "dispatch does not find it by its patterns: \"*.v1\"", Some(1));
        if !["''", "'a b'"].contains(&value) {
            let sql =
                format!("UPDATE _webhook_registry_subscription SET events = {value} WHERE seq = 2");
            found(&sql, "a pattern that is none", Some(1));
        }
    }
    for value in ["''", "'a*'", "'a b'", "'a' || char(0)", &long] {
        let sql = format!("UPDATE _webhook_registry_event_type SET name = {value} WHERE rowid = 1");
        found(&sql, "has a name that is none", None);
    }
    let set =
        |what: &str| format!("UPDATE _webhook_registry_event_type SET {what} WHERE rowid = 1");
    for value in ["'a' || char(0)", &text(4_097)] {
        found(&set(&format!("description = {value}")), "the description of event type", None);
    }
    let large = format!("'\"' || {} || '\"'", text(300_000));
    for value in ["'null'", "'{'", "''", "'1e999'", &large] {
        found(&set(&format!("json_schema = {value}")), "of event type \"agent.a.v1\" is n", None);
    }
}

#[test]
fn a_secret_that_nobody_can_set_is_a_finding() {
    let set =
        |what: &str| format!("UPDATE _webhook_registry_subscription SET {what} WHERE seq = 2");
    let cannot = "cannot be decoded";
    for value in ["''", "'whsec_'", "'no base64!'", "'QQ-_'", "'A'"] {
        found(&set(&format!("secret = {value}")), cannot, Some(1));
    }
    // 257 characters, of which base64 decodes few; and 129 bytes.
    found(&set("secret = 'AAAA' || replace(printf('%.253c', 'x'), 'x', '=')"), cannot, Some(1));
    found(&set(&format!("secret = replace({}, 'x', 'A')", text(172))), cannot, Some(1));
    let time = "has a time that no registry writes";
    for value in [-1, 253_402_300_800_000_i64] {
        found(&set(&format!("secret_created_at = {value}")), time, Some(1));
        let old = format!("UPDATE _webhook_registry_replaced_secret SET expires_at = {value}");
        found(&old, time, Some(1));
    }
}

#[test]
fn a_number_or_time_of_a_subscription_that_no_registry_writes_is_a_finding() {
    for (value, said) in [
        ("revision = 0", "its revision is below 1"),
        ("revision = -1", "a negative number"),
        ("enabled = 2", "`enabled` neither 0 nor 1"),
        ("created_at = -1", "a time that no registry writes"),
        ("created_at = 253402300800000", "a time that no registry writes"),
        ("updated_at = -1", "a time that no registry writes"),
        ("id = '80000000000000000000000000'", "its id is none"),
        ("id = lower(id)", "its id is none"),
        ("id = ''", "its id is none"),
    ] {
        let file = file();
        execute(
            &file.path,
            &format!(
                "UPDATE _webhook_registry_subscription SET {value} WHERE seq \
                        = 1"
            ),
        );
        let report = check(&file.path);
        let said = report.findings().iter().any(|finding| finding.message().contains(said));
        assert!(said, "{value}: {report}");
    }
}

#[test]
fn values_at_their_limits_are_sound() {
    let file = file();
    for (column, value) in [
        ("name", text(128)),
        ("url", format!("'https://example.com/' || {}", text(2_028))),
        ("description", text(4_096)),
        ("metadata", format!(r#"'{{"' || {} || '": "' || {} || '"}}'"#, text(128), text(1_024))),
        ("created_at", "0".to_owned()),
        ("updated_at", "253402300799999".to_owned()),
    ] {
        execute(
            &file.path,
            &format!(
                "UPDATE _webhook_registry_subscription SET {column} = \
                        {value} WHERE seq = 1"
            ),
        );
    }
    let report = check(&file.path);
    assert!(report.is_sound(), "{report}");
    assert_eq!(Registry::open(&file.path).unwrap().len().unwrap(), 3);
}
