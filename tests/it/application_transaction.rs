//! Tests that an application changes its own rows and the registry in one transaction, which
//! commits or rolls back as a whole. `tests/compat` does the same with other libraries.

use std::process::Command;

use rusqlite::Connection;
use webhook_registry::Registry;

use crate::guest::{EVENT, FILES, application, dump, dump_registry, guest, make_application};
use crate::opening::folder;
use crate::support::{learn, new};

/// What an application does about an order, as the cookbook shows it.
const ORDER: &str = "
    INSERT INTO orders VALUES (7, 'acme');
    INSERT INTO outbox (event, subscription, url)
    SELECT 7, id, url FROM webhook_registry_owner_subscribers
     WHERE owner = 'acme' AND event_type = 'agent.presencechanged.v1';
    UPDATE webhook_registry_subscriptions SET enabled = 0, disabled_reason = '410 Gone'
     WHERE owner = 'acme' AND name = 'broken';
    DELETE FROM webhook_registry_subscriptions WHERE owner = 'former';
";

const OWN: &str = "
    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT);
    CREATE TABLE outbox (event INTEGER, subscription TEXT, url TEXT);
    CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT);
    INSERT INTO customers VALUES (1, 'acme'), (2, 'former');
    CREATE TRIGGER customer_deleted AFTER DELETE ON customers BEGIN
        DELETE FROM webhook_registry_subscriptions WHERE owner = OLD.name;
    END;
";

fn registry(path: &std::path::Path) -> Registry {
    let registry = guest().open(path).unwrap();
    learn(&registry);
    for owner in ["acme", "former"] {
        let handle = registry.for_owner(owner).unwrap();
        handle.create_all([new("crm"), new("broken")]).unwrap();
    }
    registry.create(new("own")).unwrap();
    registry
}

#[track_caller]
fn assert_done(registry: &Registry, conn: &Connection) {
    let acme = registry.for_owner("acme").unwrap();
    assert_eq!(acme.subscribers(EVENT).unwrap().names().collect::<Vec<_>>(), ["crm"]);
    let broken = acme.get_by_name("broken").unwrap().unwrap();
    assert_eq!(broken.disabled_reason(), Some("410 Gone"));
    assert_eq!(registry.owners(None, 10).unwrap(), ["acme"]);
    assert_eq!(registry.subscribers(EVENT).unwrap().len(), 1);
    let sent = conn.query_row("SELECT count(*) FROM outbox", [], |row| row.get::<_, i64>(0));
    assert_eq!(sent.unwrap(), 2, "both were enabled when the order came");
    assert!(registry.check().unwrap().is_sound());
}

#[test]
fn a_transaction_of_the_application_changes_both_or_neither() {
    for settings in FILES {
        let (_folder, path) = folder();
        let conn = make_application(&path, settings);
        conn.execute_batch(OWN).unwrap();
        let registry = registry(&path);
        assert_eq!(registry.for_owner("acme").unwrap().subscribers(EVENT).unwrap().len(), 2);
        let (own, theirs) = (dump(&conn), dump_registry(&path));
        conn.execute_batch(&format!("BEGIN; {ORDER} ROLLBACK")).unwrap();
        assert!(dump(&conn) == own && dump_registry(&path) == theirs, "{settings}");
        conn.execute_batch(&format!("BEGIN; SAVEPOINT a; {ORDER} ROLLBACK TO a; COMMIT")).unwrap();
        assert!(dump(&conn) == own && dump_registry(&path) == theirs, "{settings}");
        conn.execute_batch(&format!("BEGIN; {ORDER} COMMIT")).unwrap();
        assert_done(&registry, &conn);
    }
}

#[test]
fn a_transaction_of_pythons_sqlite3_changes_both_or_neither() {
    const PYTHON: &str = "
import sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
for end in ['ROLLBACK', 'COMMIT']:
    conn.execute('BEGIN')
    for statement in sys.argv[2].split(';'):
        conn.execute(statement)
    conn.execute(end)
";
    for settings in &FILES[..3] {
        let (_folder, path) = folder();
        let conn = make_application(&path, settings);
        conn.execute_batch(OWN).unwrap();
        let registry = registry(&path);
        let done = Command::new("python3").args(["-c", PYTHON]).arg(&path).arg(ORDER).output();
        let Ok(done) = done else {
            println!("skipped: python3 is not installed");
            return;
        };
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert_done(&registry, &conn);
    }
}

#[test]
fn a_trigger_of_the_application_deletes_the_webhooks_of_a_customer_with_the_customer() {
    for settings in ["", "PRAGMA recursive_triggers = ON; PRAGMA foreign_keys = OFF"] {
        let (_folder, path) = folder();
        make_application(&path, FILES[0]).execute_batch(OWN).unwrap();
        let registry = registry(&path);
        let conn = application(&path);
        conn.execute_batch(settings).unwrap();
        conn.execute("DELETE FROM customers WHERE name = 'former'", []).unwrap();
        assert_eq!(registry.owners(None, 10).unwrap(), ["acme"]);
        let report = registry.check().unwrap();
        assert!(
            report.is_sound()
                && report.advice().iter().all(|it| !it.message().contains("customer"))
        );
        // A refused statement in a trigger refuses the statement that fired it.
        conn.execute_batch(
            "CREATE TRIGGER customer_renamed AFTER UPDATE OF name ON customers BEGIN
                 UPDATE webhook_registry_subscriptions SET owner = NEW.name WHERE owner = OLD.name;
             END",
        )
        .unwrap();
        let renamed = conn.execute("UPDATE OR IGNORE customers SET name = 'new'", []);
        assert!(renamed.unwrap_err().to_string().contains("SQL can only delete subscriptions"));
        assert_eq!(registry.owners(None, 10).unwrap(), ["acme"]);
        assert_eq!(
            conn.query_row("SELECT name FROM customers", [], |row| row.get::<_, String>(0))
                .unwrap(),
            "acme"
        );
    }
}
