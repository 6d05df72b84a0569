//! Tests that a ciphertext decrypts only in its own place.

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use webhook_registry::{ErrorKind, Registry};

use crate::encryption::{EVENT, EncryptedFile, KEY, SECRET, copy_with_wal, options_with};
use crate::support::refused;

#[test]
fn a_ciphertext_does_not_decrypt_in_another_place() {
    let first = "(SELECT min(seq) FROM _webhook_registry_subscription)";
    let second = "(SELECT max(seq) FROM _webhook_registry_subscription)";
    let old = |serial: i64| format!("subscription = {first} AND serial = {serial}");
    let replaced = |serial| {
        format!("(SELECT secret FROM _webhook_registry_replaced_secret WHERE {})", old(serial))
    };
    let current =
        |of: &str| format!("(SELECT secret FROM _webhook_registry_subscription WHERE seq = {of})");
    let set_old = |serial, what: &str| {
        format!("UPDATE _webhook_registry_replaced_secret SET {what} WHERE {}", old(serial))
    };
    let set = |what: &str| {
        format!("UPDATE _webhook_registry_subscription SET {what} WHERE seq = {first}")
    };
    let table = [
        ("that of another row", set_old(1, &format!("secret = {}", replaced(2)))),
        ("that of the current row", set_old(2, &format!("secret = {}", current(first)))),
        ("an old one as the current", set(&format!("secret = {}", replaced(1)))),
        ("that of another subscription", set(&format!("secret = {}", current(second)))),
        ("another number", set_old(2, "serial = 7")),
        ("a longer life", set_old(1, "expires_at = expires_at + 1")),
        ("a shorter life", set_old(2, "expires_at = expires_at - 1")),
        ("another birth", set("secret_created_at = secret_created_at + 1")),
        ("the birth of the subscription", set("secret_created_at = NULL")),
        ("another birth of an old one", set_old(1, "created_at = created_at + 1")),
        (
            "another id",
            format!(
                "UPDATE _webhook_registry_subscription SET id = '7' || substr(id, 2) WHERE \
                     seq = {second}"
            ),
        ),
        ("text in its place", set(&format!("secret = '{SECRET}'"))),
        ("nothing", set("secret = x''")),
        ("a nonce alone", set("secret = substr(secret, 1, 24)")),
        ("less of it", set("secret = substr(secret, 1, length(secret) - 1)")),
        ("more of it", set("secret = CAST(secret || x'00' AS BLOB)")),
        ("another nonce", set("secret = CAST(zeroblob(24) || substr(secret, 25) AS BLOB)")),
    ];
    for (how, sql) in &table {
        let mut encrypted = EncryptedFile::new();
        assert_eq!(encrypted.open().secrets(encrypted.ids[0]).unwrap().len(), 3);
        encrypted.tamper(sql);
        if *how == "another id" {
            let id = Connection::open(&encrypted.path)
                .unwrap()
                .query_row(
                    "SELECT id FROM _webhook_registry_subscription ORDER BY seq DESC",
                    [],
                    |row| row.get::<_, String>(0),
                )
                .unwrap();
            encrypted.ids = [id.parse().unwrap(), encrypted.ids[0]];
        }
        encrypted.assert_first_is_corrupt(how);
    }
}

#[test]
fn two_swapped_ciphertexts_do_not_decrypt() {
    let encrypted = EncryptedFile::new();
    // Complete rows, with their times, of two subscriptions with equal fields.
    encrypted.tamper(
        "CREATE TEMP TABLE kept AS SELECT * FROM _webhook_registry_subscription; \
         UPDATE _webhook_registry_subscription AS s \
         SET (secret, secret_created_at, replaced_secrets) = \
             (SELECT secret, secret_created_at, replaced_secrets FROM kept \
               WHERE kept.seq <> s.seq)",
    );
    let registry = encrypted.open();
    for id in encrypted.ids {
        refused(registry.secret(id), ErrorKind::Corrupt, &[]);
    }
    refused(registry.subscribers(EVENT), ErrorKind::Corrupt, &[]);
}

#[test]
fn a_ciphertext_does_not_decrypt_in_another_file_with_the_same_key() {
    let (one, two) = (EncryptedFile::new(), EncryptedFile::new());
    let conn = Connection::open(&one.path).unwrap();
    conn.execute("ATTACH ?1 AS other", [two.path.to_str().unwrap()]).unwrap();
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    // Everything that a ciphertext is bound to within its file, so that only the file differs.
    conn.execute_batch(
        "PRAGMA foreign_keys = OFF; DELETE FROM main._webhook_registry_replaced_secret; \
         DELETE FROM main._webhook_registry_subscription; \
         INSERT INTO main._webhook_registry_subscription SELECT * FROM \
         other._webhook_registry_subscription; \
         INSERT INTO main._webhook_registry_replaced_secret \
         SELECT * FROM other._webhook_registry_replaced_secret",
    )
    .unwrap();
    drop(conn);
    let registry = one.open();
    for id in two.ids {
        assert_eq!(registry.get(id).unwrap().unwrap().id(), id);
        refused(registry.secret(id), ErrorKind::Corrupt, &[]);
        refused(registry.secrets(id), ErrorKind::Corrupt, &[]);
    }
    refused(registry.subscribers(EVENT), ErrorKind::Corrupt, &[]);
    drop(registry);
    // Its key check does not decrypt either: the file is not accepted with another key.
    let conn = Connection::open(&one.path).unwrap();
    conn.execute("ATTACH ?1 AS other", [two.path.to_str().unwrap()]).unwrap();
    conn.execute(
        "UPDATE _webhook_registry_meta SET key_check = (SELECT key_check FROM \
                  other._webhook_registry_meta)",
        [],
    )
    .unwrap();
    drop(conn);
    refused(options_with(KEY).open(&one.path), ErrorKind::Incompatible, &[]);
    // With the id of the other file as well, it equals that file.
    one.tamper("UPDATE _webhook_registry_meta SET file_id = zeroblob(16)");
    refused(options_with(KEY).open(&one.path), ErrorKind::Incompatible, &[]);
    assert_eq!(two.open().secrets(two.ids[0]).unwrap().len(), 3);
}

#[test]
fn a_replayed_older_row_is_not_detected() {
    // The threat model documents that this is not detected.
    let encrypted = EncryptedFile::new();
    let conn = Connection::open(&encrypted.path).unwrap();
    conn.execute_batch(
        "CREATE TEMP TABLE kept AS SELECT * FROM _webhook_registry_replaced_secret; \
         CREATE TEMP TABLE row AS SELECT * FROM _webhook_registry_subscription",
    )
    .unwrap();
    let registry = encrypted.open();
    registry.revoke_old_secrets(encrypted.ids[0]).unwrap();
    assert_eq!(registry.secrets(encrypted.ids[0]).unwrap().len(), 1);
    conn.execute_batch(
        "DELETE FROM _webhook_registry_replaced_secret; \
         INSERT INTO _webhook_registry_replaced_secret SELECT * FROM temp.kept; \
         UPDATE _webhook_registry_subscription AS s SET replaced_secrets = \
             (SELECT replaced_secrets FROM temp.row WHERE row.seq = s.seq)",
    )
    .unwrap();
    assert_eq!(registry.secrets(encrypted.ids[0]).unwrap().len(), 3);
}

#[test]
fn a_ciphertext_in_an_unencrypted_file_is_corrupt() {
    let (_folder, path) = copy_with_wal(None);
    let registry = Registry::open(&path).unwrap();
    let id = registry.get_by_name("one").unwrap().unwrap().id();
    let conn = Connection::open(&path).unwrap();
    conn.execute("UPDATE _webhook_registry_subscription SET secret = randomblob(120)", []).unwrap();
    refused(registry.secret(id), ErrorKind::Corrupt, &[]);
    refused(registry.subscribers(EVENT), ErrorKind::Corrupt, &[]);
    refused(registry.rekey(Some(KEY)), ErrorKind::Busy, &[]);
    drop(conn);
    refused(registry.rekey(Some(KEY)), ErrorKind::Corrupt, &[]);
    drop(registry);
    Registry::open(&path).unwrap();
}
