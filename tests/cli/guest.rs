//! `--guest`: a registry in the database of an application.

use snapbox::str;

use crate::support::Scratch;

/// Makes an application's database, and a registry in it.
fn shared() -> Scratch {
    let scratch = Scratch::empty();
    let application = rusqlite::Connection::open(scratch.path("reg.db")).unwrap();
    application
        .execute_batch("PRAGMA user_version = 7; CREATE TABLE customer (name TEXT) STRICT")
        .unwrap();
    let created = scratch.run("init --guest").code(0).stdout();
    assert!(created.starts_with("created "), "{created}");
    scratch.run("types add order.paid --guest").code(0);
    scratch
}

#[test]
fn a_registry_in_an_applications_database_is_used_with_guest() {
    let scratch = shared();
    scratch.run("create crm https://crm.example/ order.* --guest").code(0);
    scratch.run("subscribers order.paid --guest").answers(str![[r#"
[ID]	crm	https://crm.example/

"#]]);
    scratch.run("check --guest").ends(
        0,
        "",
        str![[r#"
nothing found

"#]],
    );
    scratch.run("backup copy.db --guest").code(0);
    let application = rusqlite::Connection::open(scratch.path("copy.db")).unwrap();
    let version: i64 = application.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 7);
    application.execute("INSERT INTO customer VALUES ('acme')", []).unwrap();
}

#[test]
fn a_forgotten_guest_is_suggested() {
    let scratch = shared();
    scratch.run("list").refuses(str![[r#"
error: guest: the registry is a guest in an application's database; add --guest

"#]]);
    scratch.run("init").refuses(str![[r#"
error: guest: the registry is a guest in an application's database; add --guest

"#]]);
}

#[test]
fn without_guest_an_applications_database_is_left_as_it_is() {
    let scratch = Scratch::empty();
    let application = rusqlite::Connection::open(scratch.path("reg.db")).unwrap();
    application.execute_batch("CREATE TABLE customer (name TEXT)").unwrap();
    for command in ["init", "list", "list --guest", "types add a"] {
        scratch.run(command).code(2);
    }
    let tables: i64 =
        application.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

#[test]
fn a_registrys_own_file_opens_with_guest_too() {
    let scratch = Scratch::new();
    assert_eq!(scratch.json("list --guest"), scratch.json("list"));
}
