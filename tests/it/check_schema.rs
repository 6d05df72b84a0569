//! Tests that `check` reports missing and altered parts of the schema, and advises about foreign
//! triggers, indexes, views and tables that interfere with it.

use webhook_registry::Finding;

use crate::check::{check, execute, file, finds, is_about_sqlite};

#[test]
fn check_finds_missing_and_altered_parts_of_the_schema() {
    let view = "SELECT event_type, id, name, url FROM subscribers_of_old";
    for (sql, said) in [
        (
            "DROP VIEW webhook_registry_subscribers",
            "the view webhook_registry_subscribers is missing; export the registry",
        ),
        (
            "DROP VIEW webhook_registry_event_types; CREATE VIEW webhook_registry_event_types AS \
             SELECT name FROM _webhook_registry_event_type",
            "the view webhook_registry_event_types is not as",
        ),
        (
            &*format!(
                "DROP VIEW webhook_registry_subscribers; CREATE VIEW webhook_registry_subscribers \
                 AS {view}"
            ),
            "the view webhook_registry_subscribers is not as",
        ),
        (
            "DROP VIEW webhook_registry_event_types; CREATE TABLE webhook_registry_event_types \
             (name)",
            "the view webhook_registry_event_types is missing",
        ),
        (
            "DROP INDEX _webhook_registry_pattern_prefix",
            "the index _webhook_registry_pattern_prefix is missing; export the registry",
        ),
        (
            "DROP INDEX _webhook_registry_expansion_pattern",
            "the index _webhook_registry_expansion_pattern is \
          missing",
        ),
        (
            "DROP INDEX _webhook_registry_subscription_pattern_route",
            "the index _webhook_registry_subscription_pattern_route is missing",
        ),
        (
            "DROP INDEX _webhook_registry_expansion_pattern; \
             CREATE INDEX _webhook_registry_expansion_pattern ON _webhook_registry_expansion \
             (event_type)",
            "the index _webhook_registry_expansion_pattern is not as this crate writes it",
        ),
        (
            "DROP INDEX _webhook_registry_expansion_pattern; CREATE INDEX \
             _webhook_registry_expansion_pattern ON _webhook_registry_event_type (name)",
            "the index _webhook_registry_expansion_pattern is not as this crate writes it",
        ),
        (
            "ALTER TABLE _webhook_registry_subscription ADD COLUMN note TEXT",
            "the table _webhook_registry_subscription is not as this crate writes it",
        ),
        (
            "ALTER TABLE _webhook_registry_replaced_secret RENAME COLUMN created_at TO of",
            "the table _webhook_registry_replaced_secret is not as this crate writes it",
        ),
        (
            "ALTER TABLE _webhook_registry_change RENAME TO away",
            "the table _webhook_registry_change is missing",
        ),
        (
            "ALTER TABLE _webhook_registry_event_type RENAME TO away",
            "the view webhook_registry_event_types is not as this crate writes it",
        ),
        (
            "DROP TABLE _webhook_registry_change",
            "the table _webhook_registry_change is missing; restore a backup",
        ),
        (
            "PRAGMA writable_schema = ON; \
             UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (enabled IN (0, 1))', '')",
            "the table _webhook_registry_subscription_pattern is not as this crate writes it",
        ),
        (
            "PRAGMA writable_schema = ON; \
             UPDATE sqlite_schema SET sql = replace(sql, 'NULL: none', 'NULL: None')",
            "the table _webhook_registry_event_type is not as this crate writes it",
        ),
    ] {
        finds(sql, said, None);
    }
}

#[test]
fn check_advises_about_foreign_objects_that_interfere_with_its_tables() {
    let advises = |sql: &str, said: Option<&str>| {
        let file = file();
        execute(&file.path, sql);
        let report = check(&file.path);
        assert!(report.is_sound(), "{sql}: {report}");
        let about_the_file = report.advice().iter().filter(|advice| !is_about_sqlite(advice));
        let advice: Vec<&str> = about_the_file.map(Finding::message).collect();
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
            "CREATE TRIGGER t AFTER INSERT ON _webhook_registry_subscription BEGIN DELETE FROM \
             _webhook_registry_replaced_secret; END",
            r#"the trigger "t" is another program's and runs inside every change of _webhook_"#,
        ),
        (
            "CREATE TRIGGER t AFTER INSERT ON _WEBHOOK_REGISTRY_SUBSCRIPTION BEGIN SELECT 1; END",
            r#"the trigger "t" is another program's and runs inside every change of"#,
        ),
        (
            "CREATE TRIGGER t INSTEAD OF DELETE ON webhook_registry_subscribers BEGIN SELECT 1; \
             END",
            r#"the trigger "t" is another program's and runs inside every change of webhook_"#,
        ),
        (
            "{mine}; CREATE TRIGGER t AFTER INSERT ON mine \
             BEGIN UPDATE OR IGNORE _webhook_registry_subscription SET enabled = 0; END",
            r#"the trigger "t" is another program's and uses the registry's tables"#,
        ),
        (
            "CREATE UNIQUE INDEX i ON _webhook_registry_subscription (url)",
            r#"the index "i" is another program's and takes part in"#,
        ),
        (
            "CREATE VIEW v AS SELECT url FROM main.[_Webhook_Registry_Subscription]",
            r#"the view "v" is another program's and reads"#,
        ),
        (
            "CREATE VIEW v AS SELECT 1 FROM webhook_registry_subscribers JOIN \
             \"_webhook_registry_replaced_secret\"",
            r#"the view "v" is another program's and reads the registry's tables"#,
        ),
        (
            "CREATE TABLE t (of INTEGER REFERENCES _webhook_registry_subscription (seq))",
            r#"the table "t" is another program's and has a foreign key to _webhook_"#,
        ),
        (
            "CREATE TABLE t (of REFERENCES _webhook_registry_subscription (url)); INSERT INTO t \
             VALUES (1)",
            r#"the table "t" is another program's and has a foreign key to _webhook_"#,
        ),
        (
            "CREATE TABLE t (of REFERENCES _webhook_registry_subscription (seq)); INSERT INTO t \
             VALUES (999)",
            r#"the table "t" is another program's and has a foreign key to _webhook_"#,
        ),
    ] {
        advises(&sql.replace("{mine}", mine), Some(said));
    }
    // Objects that do not use the private tables, or read only the public views, get no advice.
    for sql in [
        "{mine}; CREATE INDEX i ON mine (secret); CREATE TABLE other (of REFERENCES mine (id))",
        "{mine}; CREATE TRIGGER t AFTER UPDATE OF event_type ON mine \
         BEGIN UPDATE mine SET secret = 1; END",
        "CREATE VIEW v AS SELECT event_type, name FROM webhook_registry_subscribers",
        "{mine}; CREATE VIEW v AS SELECT m.id, event_type, secret FROM mine m, \
         webhook_registry_subscriptions s",
        "ANALYZE",
        "ALTER TABLE _webhook_registry_change RENAME TO away; ALTER TABLE away RENAME TO \
         _webhook_registry_change",
    ] {
        advises(&sql.replace("{mine}", mine), None);
    }
}

#[test]
fn a_foreign_key_of_another_programs_table_is_no_damage_and_hides_none() {
    let parents = "CREATE TABLE p (x); CREATE TABLE k (id INTEGER PRIMARY KEY)";
    for foreign in [
        // The columns that it refers to are not unique, so SQLite cannot check it.
        "CREATE TABLE a (of REFERENCES p (x)); INSERT INTO a VALUES (1)",
        "CREATE TABLE zz (of REFERENCES p (x)); INSERT INTO zz VALUES (1)",
        "CREATE TABLE t (of REFERENCES _webhook_registry_subscription (url)); INSERT INTO t \
         VALUES (1)",
        "CREATE TABLE t (of REFERENCES p (none)); INSERT INTO t VALUES (1)",
        // It leads nowhere.
        "CREATE TABLE t (of REFERENCES k (id)); INSERT INTO t VALUES (1)",
        "CREATE TABLE t (of REFERENCES missing); INSERT INTO t VALUES (1)",
        "CREATE TABLE t (of REFERENCES _webhook_registry_replaced_secret); \
         INSERT INTO t VALUES (999)",
        "CREATE TABLE pragma_foreign_key_check (of)",
    ] {
        let file = file();
        execute(&file.path, &format!("{parents}; {foreign}"));
        let report = check(&file.path);
        assert!(report.is_sound(), "{foreign}: {report}");
        execute(&file.path, "DELETE FROM _webhook_registry_subscription WHERE name = 'bi'");
        let report = check(&file.path);
        let said = "rows of the table _webhook_registry_replaced_secret belong to no row of \
         _webhook_registry_subscription: 1";
        let finds = report.findings().iter().any(|finding| finding.message().contains(said));
        assert!(finds, "{foreign}: {report}");
    }
    // One of the registry's own that cannot be checked hides none of another table either.
    let file = file();
    execute(
        &file.path,
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = \
         replace(sql, 'REFERENCES _webhook_registry_pattern (id)', 'REFERENCES \
         _webhook_registry_pattern (prefix)') \
          WHERE name = '_webhook_registry_expansion'; DELETE FROM _webhook_registry_subscription \
           WHERE name = 'bi'",
    );
    let report = check(&file.path).to_string();
    assert!(report.contains("foreign key mismatch"), "{report}");
    assert!(
        report.contains("rows of the table _webhook_registry_replaced_secret belong to no row"),
        "{report}"
    );
}
