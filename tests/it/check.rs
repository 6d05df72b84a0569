//! Guards against a check that says "sound" of a file that is not, or gives up at the first thing that is wrong. Every
//! damage here is done by hand, through plain rusqlite, and each has to be told for what it is.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use webhook_registry::{
    Created, ErrorKind, Finding, NewSubscription, Registry, Report, Rotation, SubscriptionId,
    SubscriptionUpdate,
};

use crate::support::history;
use crate::support::{contact_center, learn, new, refused, size};

/// A sound file to damage.
struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
    /// "crm" with `agent.*` and `channel.*`, "bi" with `*.v1`, "off", disabled, with `agent.*`.
    ids: Vec<SubscriptionId>,
}

/// A sound file, with nothing to advise.
fn file() -> File {
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
    assert!(report.advice().iter().all(is_of_sqlite), "{report}");
    File { _folder: folder, path, ids }
}

/// Whether this is about the SQLite that is linked, and not about the file.
fn is_of_sqlite(advice: &Finding) -> bool {
    advice.message().starts_with("this program links SQLite ")
}

fn by_hand(path: &Path, sql: &str) {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON").unwrap();
    conn.execute_batch(sql).unwrap_or_else(|cause| panic!("{sql}: {cause}"));
}

/// The check of the file, by one that can write and by one that cannot, which have to agree.
#[track_caller]
fn checked(path: &Path) -> Report {
    let reader = Registry::options().read_only(true).open(path).unwrap().check().unwrap();
    let before = std::fs::read(path).unwrap();
    let writer = Registry::open(path).unwrap().check().unwrap();
    assert_eq!(reader, writer);
    assert!(std::fs::read(path).unwrap() == before, "a check changes nothing");
    writer
}

/// Damages a sound file, and looks for a finding that says so, with whom it is about.
#[track_caller]
fn finds(sql: &str, said: &str, about: Option<usize>) {
    let file = file();
    by_hand(&file.path, sql);
    let report = checked(&file.path);
    assert!(!report.is_sound(), "{sql}");
    let about = about.map(|at| file.ids[at]);
    let found =
        |finding: &Finding| finding.message().contains(said) && finding.subscription_id() == about;
    assert!(report.findings().iter().any(found), "{sql}: {said}: {report}");
    for finding in report.findings() {
        assert_eq!(finding.to_string(), finding.message());
        assert!(finding.message().contains("; "), "it says what to do: {finding}");
        if let Some(id) = finding.subscription_id() {
            assert!(finding.message().contains(&id.to_string()), "{finding}");
        }
    }
}

#[test]
fn an_expansion_that_is_not_what_the_patterns_say_is_found() {
    finds(
        "DELETE FROM expansion WHERE event_type = (SELECT id FROM event_type WHERE name = 'channel.b.v2')",
        r#"subscription "crm" (01"#,
        Some(0),
    );
    let of = "(SELECT id FROM pattern WHERE text = 'channel.*')";
    finds(
        &format!("DELETE FROM expansion WHERE pattern = {of}"),
        r#"its pattern "channel.*" covers "channel.a.v1", "channel.b.v2" and is not expanded into it"#,
        Some(0),
    );
    finds(
        "INSERT INTO expansion SELECT t.id, p.id FROM event_type t, pattern p \
         WHERE t.name = 'agent.a.v1' AND p.text = 'channel.*'",
        r#""channel.*" is expanded into event types that it does not cover (1)"#,
        Some(0),
    );
    finds(
        "INSERT INTO event_type (name) VALUES ('agent.new.v1')",
        r#"covers "agent.new.v1""#,
        Some(1),
    );
    finds(
        "INSERT INTO event_type (name) VALUES ('agent.new.v2')",
        r#"which it shares with 1 more, covers"#,
        Some(0),
    );
    finds(
        "INSERT INTO event_type (name) VALUES ('d.v1'), ('e.v1'), ('f.v1'), ('g.v1'), ('h.v1'), ('i.v1'), ('j.v1')",
        r#"its pattern "*.v1" covers "d.v1", "e.v1", "f.v1", "g.v1", "h.v1" and 2 more and is not expanded into it"#,
        Some(1),
    );
    finds(
        "INSERT INTO event_type (name) VALUES ('d.v1'), ('e.v1'), ('f.v1'), ('g.v1'), ('h.v1')",
        r#"its pattern "*.v1" covers "d.v1", "e.v1", "f.v1", "g.v1", "h.v1" and is not expanded into it"#,
        Some(1),
    );
    finds(
        "UPDATE event_type SET name = 'moved.v3' WHERE name = 'channel.b.v2'",
        "event types that it does not cover (1)",
        Some(0),
    );
    finds(
        "UPDATE pattern SET wildcard = 0 WHERE text = '*.v1'",
        "is kept as a name where it is a wildcard",
        Some(1),
    );
}

#[test]
fn rows_that_point_to_nothing_or_that_nothing_points_to_are_found() {
    let orphans = "INSERT INTO pattern (text, wildcard) VALUES ('nobody.*', 1)";
    finds(orphans, r#"the pattern "nobody.*" belongs to no subscription; export"#, None);
    finds(
        "DELETE FROM subscription WHERE name = 'bi'",
        "rows of the table secret belong to no row of subscription: 2",
        None,
    );
    finds(
        "DELETE FROM pattern WHERE text = '*.v1'",
        "rows of the table subscription_pattern belong to no row of pattern",
        None,
    );
    finds("DELETE FROM pattern WHERE text = '*.v1'", "subscription \"bi\"", Some(1));
    finds(
        "DELETE FROM event_type WHERE name = 'agent.a.v1'",
        "rows of the table expansion belong to no row",
        None,
    );
    finds("DELETE FROM subscription_pattern WHERE subscription = 2", "it has no pattern", Some(1));
}

#[test]
fn secrets_that_are_missing_or_too_many_are_found() {
    finds("DELETE FROM secret WHERE subscription = 2", "has no secret", Some(1));
    finds(
        "DELETE FROM secret WHERE expires_at IS NULL AND subscription = 2",
        "it has no current secret",
        Some(1),
    );
    finds("UPDATE secret SET expires_at = NULL", "besides its newest never expires", Some(1));
    finds(
        "UPDATE secret SET expires_at = 9 WHERE subscription = 1",
        "it has no current secret",
        Some(0),
    );
    finds("UPDATE secret SET text = '*' WHERE subscription = 3", "cannot be decoded", Some(2));
    finds(
        "UPDATE secret SET text = NULL, sealed = x'00' WHERE subscription = 3",
        "cannot be decoded",
        Some(2),
    );
    finds(
        "UPDATE secret SET created_at = -1 WHERE subscription = 3",
        "a time that no registry writes",
        Some(2),
    );
}

#[test]
fn an_enabled_that_is_kept_twice_and_differs_is_found() {
    finds(
        "UPDATE subscription SET enabled = 0 WHERE name = 'bi'",
        "kept as enabled where it is not",
        Some(1),
    );
    finds(
        "UPDATE subscription_pattern SET enabled = 1",
        "kept as enabled where it is not",
        Some(2),
    );
    finds(
        "UPDATE subscription_pattern SET enabled = 0 WHERE position = 1",
        "kept as enabled",
        Some(0),
    );
    // And what it says to do helps.
    let file = file();
    by_hand(&file.path, "UPDATE subscription_pattern SET enabled = 1");
    let registry = Registry::open(&file.path).unwrap();
    registry.update(file.ids[2], SubscriptionUpdate::new().enabled(true)).unwrap();
    registry.update(file.ids[2], SubscriptionUpdate::new().enabled(false)).unwrap();
    assert!(registry.check().unwrap().is_sound());
}

#[test]
fn ids_that_do_not_rise_are_found() {
    finds(
        "UPDATE subscription SET seq = 9 WHERE seq = 1; UPDATE subscription_pattern SET subscription = 9 WHERE subscription = 1; \
           UPDATE secret SET subscription = 9 WHERE subscription = 1",
        "its id does not follow",
        Some(0),
    );
    finds(
        "UPDATE subscription SET id = 'nonsense' WHERE seq = 2",
        r#"subscription "bi" (of the id "nonsense"): its id is none"#,
        None,
    );
    finds("UPDATE subscription SET id = lower(id) WHERE seq = 2", "its id is none", None);
    finds(
        "UPDATE registry SET last_id = (SELECT max(id) FROM subscription)",
        "as that of a deleted subscription",
        Some(2),
    );
    finds("UPDATE registry SET last_id = 'x'", "a subscription id that is none", None);
    // A deleted one is remembered, and later ones rise past it.
    let file = file();
    let registry = Registry::open(&file.path).unwrap();
    registry.delete(file.ids[2]).unwrap();
    assert!(registry.check().unwrap().is_sound());
    registry.create(NewSubscription::new("n", "https://n.example.com/", ["agent.*"])).unwrap();
    assert!(registry.check().unwrap().is_sound());
}

#[test]
fn numbers_to_which_no_registry_counts_are_found() {
    let most = i64::MAX;
    let last = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ";
    finds(
        &format!("UPDATE subscription SET revision = {most} WHERE seq = 2"),
        "to which no registry",
        Some(1),
    );
    finds(
        &format!("UPDATE subscription SET seq = {most} WHERE seq = 3"),
        "to which no registry",
        Some(2),
    );
    finds(&format!("UPDATE registry SET last_id = '{last}'"), "which no registry gives out", None);
}

#[test]
fn rows_that_do_not_decode_or_break_a_rule_are_found() {
    let set = |what: &str| format!("UPDATE subscription SET {what} WHERE name = 'crm'");
    finds(&set("metadata = '[]'"), "metadata that is no object of strings", Some(0));
    finds(&set("metadata = '{\"a\": 1}'"), "metadata that is no object of strings", Some(0));
    finds(&set("metadata = '{'"), "metadata that is no object of strings", Some(0));
    finds(&set("metadata = '{\"\": \"x\"}'"), "its metadata: a key cannot be empty", Some(0));
    finds(&set("created_at = -1"), "a time that no registry writes", Some(0));
    finds(&set("updated_at = 253402300800000"), "a time that no registry writes", Some(0));
    finds(&set("revision = -1"), "a negative number", Some(0));
    finds(&set("revision = 0"), "its revision is below 1, or `enabled` neither 0 nor 1", Some(0));
    finds(&set("enabled = 7"), "`enabled` neither 0 nor 1", Some(0));
    finds("UPDATE pattern SET wildcard = 7 WHERE text = '*.v1'", "is kept as a name", Some(1));
    finds(
        "UPDATE subscription_pattern SET enabled = 7 WHERE subscription = 2",
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
    finds(
        "WITH RECURSIVE n (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < 300) \
         INSERT INTO subscription_pattern SELECT 1, n, 1, 1 FROM n",
        "its events: a subscription has 1 to 256 of them, not 301; restore a backup, or delete it by its id",
        Some(0),
    );
    finds(
        "INSERT INTO subscription_pattern SELECT 1, 7, pattern, 1 FROM subscription_pattern WHERE position = 0 AND subscription = 1",
        "its events: \"agent.*\" is there twice",
        Some(0),
    );
    finds(&set("url = CAST(x'ff' AS TEXT)"), "subscription \"crm\"", Some(0));
    finds(&set("name = CAST(x'41ff' AS TEXT)"), "subscription \"A\u{fffd}\"", Some(0));
    finds("UPDATE pattern SET text = '**' WHERE text = '*.v1'", "a pattern that is none", None);
    finds("UPDATE pattern SET text = '**' WHERE text = '*.v1'", "a pattern that is none", Some(1));
    finds("UPDATE event_type SET name = 'a b' WHERE id = 1", "has a name that is none", None);
    finds(
        "UPDATE event_type SET name = CAST(x'ff' AS TEXT) WHERE id = 1",
        "has a name that is none",
        None,
    );
    finds("UPDATE event_type SET json_schema = '{' WHERE id = 1", "the schema of event type", None);
    finds("UPDATE event_type SET json_schema = 'null' WHERE id = 1", "or register it anew", None);
    finds(
        "UPDATE event_type SET description = printf('%.*c', 4097, 'x') WHERE id = 1",
        "the description of event type \"agent.a.v1\" is none that a registry takes",
        None,
    );
    finds("UPDATE registry SET file_id = x'00'", "what belongs to the file as a whole", None);
}

#[test]
fn a_history_that_has_a_gap_or_does_not_decode_is_found() {
    finds("DELETE FROM change WHERE sequence = 3", "the history of changes has gaps", None);
    finds("UPDATE registry SET last_change = 99", "the history of changes has gaps", None);
    finds("UPDATE registry SET keep_changes = -1", "what belongs to the file as a whole", None);
    finds("UPDATE registry SET last_change = -1", "what belongs to the file as a whole", None);
    let most = i64::MAX;
    finds(
        &format!("UPDATE registry SET last_change = {most}"),
        "what belongs to the file as a whole",
        None,
    );
    finds(
        &format!("UPDATE change SET sequence = {most} WHERE sequence = 3"),
        "to which no registry",
        None,
    );
    finds("UPDATE change SET fields = '{' WHERE sequence = 3", "change 3", None);
    finds("UPDATE change SET kind = 'x' WHERE sequence = 3", "change", None);
    for sequence in [3, 5] {
        let every = "UPDATE change SET subject = 'no subject' WHERE sequence IN (3, 5)";
        finds(every, &format!("change {sequence} of the history is not as it was written"), None);
    }
    // What is no longer kept is no gap.
    let file = file();
    drop(Registry::options().keep_changes(2).open(&file.path).unwrap());
    assert!(checked(&file.path).is_sound());
    drop(Registry::options().keep_changes(0).open(&file.path).unwrap());
    assert!(checked(&file.path).is_sound());
    drop(Registry::options().keep_changes(100).open(&file.path).unwrap());
    Registry::open(&file.path).unwrap().register_event_type("agent.later.v1").unwrap();
    assert!(checked(&file.path).is_sound());
}

#[test]
fn nothing_of_a_url_or_a_secret_is_told() {
    let file = file();
    let hidden = "aGlkZGVuIHNlY3JldCB0aGF0IG5vYm9keSBtYXkgc2VlIQ";
    let url =
        "UPDATE subscription SET url = 'http://x.example.com/?token=hidden token' WHERE seq = 1";
    by_hand(&file.path, &format!("{url}; UPDATE secret SET text = '{hidden}*'"));
    let report = checked(&file.path);
    let shown = format!("{report} {report:?}");
    assert!(
        !shown.contains("hidden") && !shown.contains("token") && !shown.contains(&hidden[..8]),
        "{shown}"
    );
}

#[test]
fn every_fault_is_told_not_only_the_first() {
    let file = file();
    by_hand(
        &file.path,
        "UPDATE subscription SET url = 'x', name = ' '||name; UPDATE subscription_pattern SET enabled = 1 - enabled; \
         DELETE FROM secret WHERE subscription = 3; DELETE FROM expansion",
    );
    let report = checked(&file.path);
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
fn every_text_of_a_subscription_is_judged_also_where_another_part_does_not_decode() {
    for damage in [
        "UPDATE subscription SET created_at = -1",
        "UPDATE pattern SET text = '**' WHERE text = '*.v1'",
        "DELETE FROM subscription_pattern WHERE subscription = 2",
        "UPDATE subscription SET metadata = '['",
    ] {
        let sql = format!(
            "{damage}; UPDATE subscription SET name = '', url = 'xttps://x/', description = CAST(x'ff' AS TEXT) WHERE seq = 2"
        );
        finds(&sql, "its url: a URL begins with http:// or https://", Some(1));
        finds(&sql, "its name: a subscription needs a name", Some(1));
        finds(&sql, "the description of subscription 01", Some(1));
    }
    finds(
        "UPDATE subscription SET name = CAST(x'ff' AS TEXT), url = CAST(x'ff' AS TEXT) WHERE seq = 2",
        "the url of subscription 01",
        Some(1),
    );
}

#[test]
fn a_part_of_the_schema_that_is_missing_or_differs_is_found() {
    let view = "SELECT event_type, id, name, url FROM subscribers_of_old";
    for (sql, said) in [
        ("DROP VIEW subscribers", "the view subscribers is missing; export the registry"),
        (
            "DROP VIEW event_types; CREATE VIEW event_types AS SELECT name FROM event_type",
            "the view event_types is not as",
        ),
        (
            &*format!("DROP VIEW subscribers; CREATE VIEW subscribers AS {view}"),
            "the view subscribers is not as",
        ),
        (
            "DROP VIEW event_types; CREATE TABLE event_types (name)",
            "the view event_types is missing",
        ),
        (
            "DROP INDEX pattern_wildcard",
            "the index pattern_wildcard is missing; export the registry",
        ),
        ("DROP INDEX expansion_pattern", "the index expansion_pattern is missing"),
        (
            "DROP INDEX subscription_pattern_route",
            "the index subscription_pattern_route is missing",
        ),
        (
            "DROP INDEX expansion_pattern; CREATE INDEX expansion_pattern ON expansion (event_type)",
            "the index expansion_pattern is not as this crate writes it",
        ),
        (
            "DROP INDEX expansion_pattern; CREATE INDEX expansion_pattern ON event_type (name)",
            "the index expansion_pattern is not as this crate writes it",
        ),
        (
            "ALTER TABLE subscription ADD COLUMN note TEXT",
            "the table subscription is not as this crate writes it",
        ),
        (
            "ALTER TABLE change RENAME COLUMN subject TO of",
            "the table change is not as this crate writes it",
        ),
        ("ALTER TABLE change RENAME TO away", "the table change is missing"),
        (
            "ALTER TABLE event_type RENAME TO away",
            "the view event_types is not as this crate writes it",
        ),
        ("DROP TABLE change", "the table change is missing; restore a backup"),
        (
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (enabled IN (0, 1))', '')",
            "the table subscription_pattern is not as this crate writes it",
        ),
        (
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'NULL: none', 'NULL: None')",
            "the table event_type is not as this crate writes it",
        ),
    ] {
        finds(sql, said, None);
    }
}

#[test]
fn what_another_program_has_put_on_the_tables_of_the_registry_is_advised() {
    let advised = |sql: &str, said: Option<&str>| {
        let file = file();
        by_hand(&file.path, sql);
        let report = checked(&file.path);
        assert!(report.is_sound(), "{sql}: {report}");
        let advice: Vec<&str> = report.advice().iter().map(Finding::message).collect();
        match said {
            Some(said) => {
                assert_eq!(advice.len(), 1, "{sql}: {advice:?}");
                assert!(
                    advice[0].starts_with(said) && advice[0].contains("; drop it"),
                    "{sql}: {advice:?}"
                );
            }
            None => assert!(advice.is_empty(), "{sql}: {advice:?}"),
        }
    };
    let mine = "CREATE TABLE mine (id INTEGER PRIMARY KEY, event_type TEXT, secret TEXT)";
    for (sql, said) in [
        (
            "CREATE TRIGGER t AFTER INSERT ON subscription BEGIN DELETE FROM secret; END",
            r#"the trigger "t" is another program's and runs inside every change of subscription"#,
        ),
        (
            "CREATE TRIGGER t AFTER INSERT ON SUBSCRIPTION BEGIN SELECT 1; END",
            r#"the trigger "t" is another program's and runs inside every change of"#,
        ),
        (
            "CREATE TRIGGER t INSTEAD OF DELETE ON subscribers BEGIN SELECT 1; END",
            r#"the trigger "t" is another program's and runs inside every change of subscribers"#,
        ),
        (
            "{mine}; CREATE TRIGGER t AFTER INSERT ON mine BEGIN UPDATE OR IGNORE subscription SET enabled = 0; END",
            r#"the trigger "t" is another program's and uses the registry's tables"#,
        ),
        (
            "CREATE UNIQUE INDEX i ON subscription (url)",
            r#"the index "i" is another program's and takes part in"#,
        ),
        (
            "CREATE VIEW v AS SELECT url FROM main.[Subscription]",
            r#"the view "v" is another program's and reads"#,
        ),
        (
            "CREATE VIEW v AS SELECT 1 FROM subscribers JOIN \"secret\"",
            r#"the view "v" is another program's and reads the registry's tables"#,
        ),
        (
            "CREATE TABLE t (of INTEGER REFERENCES subscription (seq))",
            r#"the table "t" is another program's and has a foreign key to subscription"#,
        ),
    ] {
        advised(&sql.replace("{mine}", mine), Some(said));
    }
    // What leaves the tables alone, and what reads the public views, which are there for that.
    for sql in [
        "{mine}; CREATE INDEX i ON mine (secret); CREATE TABLE other (of REFERENCES mine (id))",
        "{mine}; CREATE TRIGGER t AFTER UPDATE OF event_type ON mine BEGIN UPDATE mine SET secret = 1; END",
        "CREATE VIEW v AS SELECT event_type, name FROM subscribers",
        "{mine}; CREATE VIEW v AS SELECT m.id, event_type, secret FROM mine m, subscriptions s",
        "ANALYZE",
        "ALTER TABLE subscription RENAME TO away; ALTER TABLE away RENAME TO subscription",
    ] {
        advised(&sql.replace("{mine}", mine), None);
    }
}

/// The page where a table or an index begins, and the size of a page.
fn root(path: &Path, name: &str) -> (u64, u64) {
    let conn = rusqlite::Connection::open(path).unwrap();
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64;
    (
        number(&format!("SELECT rootpage FROM sqlite_master WHERE name = '{name}'")),
        number("PRAGMA page_size"),
    )
}

fn overwrite(path: &Path, (page, size): (u64, u64), byte: u8) {
    use std::io::{Seek as _, Write as _};
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(std::io::SeekFrom::Start((page - 1) * size)).unwrap();
    file.write_all(&vec![byte; size as usize]).unwrap();
}

#[test]
fn a_page_of_rubbish_in_any_table_or_index_is_found_and_the_rest_is_read() {
    let names = [
        "event_type",
        "pattern",
        "pattern_wildcard",
        "expansion",
        "expansion_pattern",
        "subscription",
        "subscription_pattern",
        "subscription_pattern_route",
        "secret",
        "sqlite_autoindex_event_type_1",
        "sqlite_autoindex_pattern_1",
        "sqlite_autoindex_subscription_1",
        "sqlite_autoindex_subscription_2",
    ];
    for name in names {
        for byte in [0, 0xAA] {
            let file = file();
            overwrite(&file.path, root(&file.path, name), byte);
            println!("{name} {byte}");
            let report = checked(&file.path);
            assert!(!report.is_sound(), "{name}");
            if name == "secret" {
                let lost =
                    report.findings().iter().filter(|finding| finding.subscription_id().is_some());
                assert!(lost.count() >= 3, "{report}");
            }
        }
    }
    // Where a table is not there at all, the others are.
    let file = file();
    by_hand(&file.path, "DROP VIEW subscriptions; DROP VIEW subscribers; DROP TABLE expansion");
    let report = checked(&file.path);
    assert!(
        report.findings().iter().any(|finding| finding.message().contains("expansion")),
        "{report}"
    );
}

#[test]
fn pages_that_belong_to_nothing_are_found() {
    let conn = rusqlite::Connection::open_in_memory().unwrap();
    let known: i64 = conn
        .query_row("SELECT count(*) FROM pragma_module_list WHERE name = 'dbstat'", [], |row| {
            row.get(0)
        })
        .unwrap();
    if known == 0 {
        println!("skipped: this SQLite has no dbstat");
        return;
    }
    finds(
        "CREATE TABLE lost (x); INSERT INTO lost VALUES (zeroblob(9000)); PRAGMA writable_schema = ON; \
         DELETE FROM sqlite_master WHERE name = 'lost'",
        "pages belong to nothing (3)",
        None,
    );
    // Free ones are not lost, and neither is a table of another program's.
    let file = file();
    by_hand(
        &file.path,
        "CREATE TABLE mine (x); INSERT INTO mine VALUES (zeroblob(90000)); DELETE FROM mine; ANALYZE",
    );
    assert!(checked(&file.path).is_sound());
    // Nor are those that say where the others have moved to, which another program can have asked for.
    by_hand(&file.path, "PRAGMA auto_vacuum = FULL; VACUUM");
    assert!(checked(&file.path).is_sound());
}

#[test]
fn the_page_behind_which_the_locks_lie_is_not_lost() {
    if !size(false, true) {
        println!("skipped: the file has to have a gigabyte");
        return;
    }
    const BEFORE: i64 = (1 << 30) / 4_096;
    let file = file();
    let conn = rusqlite::Connection::open(&file.path).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF; CREATE TABLE mine (x)",
    )
    .unwrap();
    let pages = || conn.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0)).unwrap();
    // One would be longer than SQLite lets a value be.
    let half = (BEFORE - 40 - pages()) / 2 * 4_092;
    conn.execute("INSERT INTO mine VALUES (zeroblob(?1)), (zeroblob(?1))", [half]).unwrap();
    // The page that lies there is never counted as one of the file before the next is.
    for expected in [BEFORE, BEFORE + 2] {
        while pages() < expected {
            conn.execute("INSERT INTO mine VALUES (zeroblob(4000))", []).unwrap();
        }
        assert_eq!(pages(), expected);
        conn.execute_batch("PRAGMA journal_mode = WAL").unwrap();
        let report = checked(&file.path);
        assert!(report.is_sound(), "{expected}: {report}");
        conn.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    }
}

#[test]
fn a_file_that_cannot_be_read_at_all_is_corrupt() {
    let file = file();
    let registry = Registry::options().read_only(true).open(&file.path).unwrap();
    drop(Registry::open(&file.path).unwrap());
    overwrite(&file.path, (1, 4_096), 0xAA);
    match registry.check() {
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Storage), "{error}")
        }
        Ok(report) => assert!(!report.is_sound(), "{report}"),
    }
    refused(Registry::open(&file.path), ErrorKind::Incompatible, &[]);
}

#[test]
fn a_linked_sqlite_with_the_wal_reset_bug_is_advised_for_a_file_with_its_version() {
    let file = file();
    let affected = match rusqlite::version_number() {
        3_044_006..3_045_000 | 3_050_007..3_051_000 => false,
        version => version < 3_051_003,
    };
    for registry in
        [Registry::open(&file.path), Registry::options().read_only(true).open(&file.path)]
    {
        let report = registry.unwrap().check().unwrap();
        let told: Vec<&str> = report.advice().iter().map(|advice| advice.message()).collect();
        let version = format!("this program links SQLite {}, ", rusqlite::version());
        assert_eq!(
            told.iter().filter(|message| message.starts_with(&version)).count(),
            usize::from(affected)
        );
    }
    // In memory there is no `-wal`.
    let nothing = Registry::in_memory().unwrap().check().unwrap();
    assert_eq!(nothing.to_string(), "nothing found");
}

/// The one piece of advice, with whom it is about.
#[track_caller]
fn advised(registry: &Registry, about: SubscriptionId, message: &str) {
    let report = registry.check().unwrap();
    assert!(report.is_sound(), "{report}");
    let [advice] = report.advice() else { panic!("one piece of advice: {report}") };
    assert_eq!((advice.message(), advice.subscription_id()), (message, Some(about)));
    assert_eq!(report.to_string(), format!("advice: {message}"));
}

fn made(registry: &Registry, name: &str, url: &str, events: &[&str]) -> SubscriptionId {
    let new = NewSubscription::new(name, url, events).allow_unknown_events(true);
    registry.create(new).unwrap().subscription().id()
}

#[test]
fn two_that_get_an_event_at_the_same_url_are_advised() {
    let registry = contact_center();
    let url = "https://example.com/hook";
    let first = made(&registry, "first", url, &["agent.*"]);
    let other =
        made(&registry, "other", "https://EXAMPLE.com:443/hook", &["agent.presencechanged.v1"]);
    let message = format!(
        "subscription \"other\" ({other}): it has the URL of subscription \"first\" ({first}), and both want \
         \"agent.presencechanged.v1\", which is delivered there twice; disable one, or take the event out of one"
    );
    advised(&registry, other, &message);
    // Not where one is disabled, points elsewhere, or wants something else.
    let quiet = |update: SubscriptionUpdate| {
        registry.update(other, update).unwrap();
        let report = registry.check().unwrap();
        assert!(report.is_sound() && report.advice().is_empty(), "{report}");
    };
    quiet(SubscriptionUpdate::new().enabled(false));
    quiet(SubscriptionUpdate::new().enabled(true).url("https://example.com/hook2"));
    quiet(SubscriptionUpdate::new().url(url).events(["channel.*"]));
    // The very same pattern counts also where it covers nothing yet.
    let update = SubscriptionUpdate::new().events(["agent.*", "x.y"]).allow_unknown_events(true);
    registry.update(first, update).unwrap();
    registry
        .update(other, SubscriptionUpdate::new().events(["x.y"]).allow_unknown_events(true))
        .unwrap();
    let advice = registry.check().unwrap();
    assert!(
        advice.advice().iter().any(|advice| advice.message().contains(r#"both want "x.y""#)),
        "{advice}"
    );
}

#[test]
fn of_many_at_one_url_each_is_told_with_the_first_before_it() {
    let registry = contact_center();
    let url = "https://example.com/hook";
    let patterns = ["agent.*", "channel.*", "agent.presencechanged.v1", "*"];
    let ids: Vec<_> =
        patterns.iter().map(|pattern| made(&registry, pattern, url, &[pattern])).collect();
    let report = registry.check().unwrap();
    let pairs: Vec<_> = report
        .advice()
        .iter()
        .map(|advice| (advice.subscription_id().unwrap(), advice.message()))
        .collect();
    assert_eq!(pairs.len(), 2, "{report}");
    for (pair, id) in pairs.iter().zip([ids[2], ids[3]]) {
        assert_eq!(pair.0, id);
        assert!(
            pair.1.contains(&format!("the URL of subscription \"agent.*\" ({})", ids[0])),
            "{}",
            pair.1
        );
    }
}

#[test]
fn the_first_before_it_and_the_first_event_that_both_want_are_named_whatever_the_order_of_patterns()
{
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(["a", "b", "c"]).unwrap();
    let url = "https://example.com/hook";
    let first = made(&registry, "first", url, &["b", "c"]);
    made(&registry, "second", url, &["a"]);
    let third = made(&registry, "third", url, &["a", "b", "c"]);
    let report = registry.check().unwrap();
    let [advice] = report.advice() else { panic!("one piece of advice: {report}") };
    assert_eq!(advice.subscription_id(), Some(third));
    let said = format!("the URL of subscription \"first\" ({first}), and both want \"b\"");
    assert!(advice.message().contains(&said), "{advice}");
}

#[test]
fn many_at_one_url_take_no_time_for_each_pair() {
    let registry = contact_center();
    let count = size(3_000, 100_000);
    registry.create_all((0..count).map(|n| new(&format!("n{n}")))).unwrap();
    let report = registry.check().unwrap();
    assert!(report.is_sound());
    assert_eq!(report.advice().len(), count - 1);
}

#[test]
fn a_pattern_that_adds_nothing_is_advised() {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(["a.x.v1", "a.y.v1", "b.x.v1"]).unwrap();
    /// The patterns, and which of them adds nothing to which.
    type Case = (&'static [&'static str], Option<(&'static str, &'static str)>);
    let table: [Case; 9] = [
        (&["a.x.v1", "a.*"], Some(("a.x.v1", "a.*"))),
        (&["a.*", "a.x.v1"], Some(("a.x.v1", "a.*"))),
        (&["a.*", "*"], Some(("a.*", "*"))),
        // The same today: the name adds nothing, or the later.
        (&["b.*", "b.x.v1"], Some(("b.x.v1", "b.*"))),
        (&["b.x.v1", "b.*"], Some(("b.x.v1", "b.*"))),
        (&["a.*", "a.*.v1"], Some(("a.*.v1", "a.*"))),
        (&["a.*", "b.*"], None),
        (&["a.*", "*.x.v1"], None),
        (&["a.x.v1", "a.y.v1"], None),
    ];
    for (events, expected) in table {
        let id = made(&registry, "s", "https://example.com/", events);
        match expected {
            Some((one, other)) => {
                let message = format!(
                    "subscription \"s\" ({id}): its pattern \"{one}\" covers nothing today that its \"{other}\" does \
                     not; take one of them out"
                );
                advised(&registry, id, &message);
            }
            None => {
                assert_eq!(registry.check().unwrap().to_string(), "nothing found", "{events:?}")
            }
        }
        registry.delete(id).unwrap();
    }
}

#[test]
fn a_pattern_that_covers_nothing_is_advised_also_once_its_types_are_gone() {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(["a.x.v1", "b.x.v1"]).unwrap();
    let id = made(&registry, "s", "https://example.com/", &["b.*", "a.*"]);
    assert!(registry.check().unwrap().advice().is_empty());
    registry.remove_event_type("a.x.v1").unwrap();
    let message = format!(
        "subscription \"s\" ({id}): its pattern \"a.*\" covers no event type today; register one that it covers, or \
         take it out"
    );
    advised(&registry, id, &message);
    registry.delete(id).unwrap();
    let id = made(&registry, "s", "https://example.com/", &["not.yet.v1"]);
    advised(
        &registry,
        id,
        &message.replace("a.*", "not.yet.v1").replace(&message[18..44], &id.to_string()),
    );
}

#[test]
fn plain_http_is_advised() {
    for url in ["http://example.com/", "HTTP://example.com/"] {
        let registry = contact_center();
        let id = made(&registry, "s", url, &["agent.*"]);
        let message = format!(
            "subscription \"s\" ({id}): its URL is plain http, which anybody on the way can read and change; move it \
             to https"
        );
        advised(&registry, id, &message);
    }
}

#[test]
fn a_secret_of_more_than_a_year_is_advised_by_the_registrys_clock() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    let days = Arc::new(AtomicU64::new(0));
    let registry = Registry::options()
        .clock({
            let days = Arc::clone(&days);
            move || time(days.load(Ordering::SeqCst))
        })
        .in_memory()
        .unwrap();
    learn(&registry);
    let id = made(&registry, "s", "https://example.com/", &["agent.*"]);
    for quiet in [0, 1, 365] {
        days.store(quiet, Ordering::SeqCst);
        assert!(registry.check().unwrap().advice().is_empty());
    }
    days.store(366, Ordering::SeqCst);
    let message = format!(
        "subscription \"s\" ({id}): its secret is more than a year old (since 2026-01-01T00:00:00.000Z); give it \
         another with rotate_secret"
    );
    advised(&registry, id, &message);
    registry.rotate_secret(id, Rotation::new()).unwrap();
    assert!(registry.check().unwrap().advice().is_empty(), "the old one is on its way out");
}

fn time(days: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_225_600 + days * 86_400)
}

#[test]
fn what_the_registry_itself_does_is_always_sound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registries = [
        Registry::open(&path).unwrap(),
        Registry::in_memory().unwrap(),
        Registry::options().exclusive(true).open(folder.path().join("exclusive.db")).unwrap(),
    ];
    for registry in registries {
        let report = registry.check().unwrap();
        assert!(report.is_sound(), "{report}");
        assert!(report.advice().iter().all(is_of_sqlite), "{report}");
        history::begin(&registry);
        for step in 0..64 {
            history::take(&registry, step).unwrap();
            let report = registry.check().unwrap();
            assert!(report.is_sound(), "after step {step}: {report}");
        }
    }
}

#[cfg(feature = "encryption")]
#[test]
fn a_sealed_secret_that_does_not_open_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let open = || Registry::options().encryption_key([7; 32]).open(&path).unwrap();
    let ids: Vec<_> = {
        let registry = open();
        learn(&registry);
        let all = ["a", "b"]
            .map(|name| made(&registry, name, &format!("https://{name}.com/"), &["agent.*"]));
        assert!(registry.check().unwrap().is_sound());
        all.into()
    };
    // Each in the other's place.
    by_hand(
        &path,
        "CREATE TEMP TABLE kept AS SELECT subscription, sealed FROM secret; \
         UPDATE secret SET sealed = (SELECT sealed FROM kept WHERE kept.subscription = 3 - secret.subscription)",
    );
    let report = open().check().unwrap();
    let about: Vec<_> =
        report.findings().iter().map(|finding| finding.subscription_id().unwrap()).collect();
    assert_eq!(about, ids, "{report}");
    assert!(report.findings()[0].message().contains("a secret of subscription"), "{report}");
}

#[test]
fn a_check_is_of_one_moment_while_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().join("webhooks.db")).unwrap();
    history::begin(&registry);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for step in 0..size(120, 1_000) {
                history::take(&registry, step).unwrap();
            }
        });
        while !writing.is_finished() {
            let report = registry.check().unwrap();
            assert!(report.is_sound(), "{report}");
        }
    });
}
