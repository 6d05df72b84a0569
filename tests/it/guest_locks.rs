//! Tests that the registry and its application share one file: its locks, its journal, and its key.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
#[cfg(feature = "encryption")]
use webhook_registry::Rotation;
use webhook_registry::{ErrorKind, Registry};

use crate::guest::{EVENT, FILES, application, guest, make_application};
use crate::opening::folder;
use crate::support::child::{self, Peer};
use crate::support::{learn, new, refused};

/// Changes its table in one transaction, so much that pages reach the file, and never commits.
#[test]
fn child_application_writes_and_waits() {
    let Some((path, arguments)) = child::role() else { return };
    let conn = application(&path);
    conn.execute_batch(&format!(
        "PRAGMA journal_mode = {}; PRAGMA cache_size = 5; BEGIN IMMEDIATE; \
         UPDATE _webhook_registry_subscription SET name = name || '?'; \
         UPDATE _webhook_registry_subscription_pattern SET enabled = 0; \
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2000) \
         INSERT INTO webhooks SELECT n, hex(zeroblob(500)) FROM n",
        arguments[0]
    ))
    .unwrap();
    child::tell("half written");
    child::await_word();
}

fn registry(path: &Path) -> Registry {
    let registry = guest().open(path).unwrap();
    learn(&registry);
    registry.create_all((0..200).map(|at| new(&format!("name {at}")))).unwrap();
    registry
}

/// A rollback journal then lies beside the file, which only a connection that can write removes.
#[test]
fn a_killed_application_leaves_a_file_that_every_handle_reads_on() {
    for mode in ["DELETE", "PERSIST", "TRUNCATE", "WAL"] {
        let (_folder, path) = folder();
        make_application(&path, &format!("PRAGMA journal_mode = {mode}"));
        let registry = registry(&path);
        assert_eq!(registry.subscribers(EVENT).unwrap().len(), 200);
        let kill = || {
            let role = "guest_locks::child_application_writes_and_waits";
            let mut peer = Peer::spawn(&mut child::command(role, &path, &[mode]));
            peer.expect("half written");
            peer.kill();
            while peer.hear().is_some() {}
        };
        kill();
        if mode != "WAL" {
            let reader = guest().read_only(true).busy_timeout(Duration::ZERO);
            let error = refused(reader.open(&path), ErrorKind::Storage, &[]);
            assert!(error.to_string().contains("-journal"), "{error}");
        }
        assert_eq!(registry.subscribers(EVENT).unwrap().len(), 200, "{mode}");
        kill();
        let second = guest().open(&path).unwrap();
        assert_eq!(second.get_by_name("name 7").unwrap().unwrap().name(), "name 7");
        kill();
        assert_eq!(guest().read_only(mode == "WAL").open(&path).unwrap().len().unwrap(), 200);
        assert!(registry.check().unwrap().is_sound());
        registry.create(new("new")).unwrap();
        assert_eq!(second.subscribers(EVENT).unwrap().len(), 201);
    }
}

#[test]
fn with_a_rollback_journal_a_change_waits_for_readers_and_a_look_up_for_a_commit() {
    let (_folder, path) = folder();
    let conn = make_application(&path, FILES[1]);
    let registry = registry(&path);
    let read = |conn: &Connection| {
        conn.execute_batch("BEGIN").unwrap();
        conn.query_row("SELECT count(*) FROM webhooks", [], |row| row.get::<_, i64>(0)).unwrap();
    };
    read(&conn);
    let impatient = guest().busy_timeout(Duration::from_millis(20)).open(&path).unwrap();
    refused(impatient.create(new("impatient")), ErrorKind::Busy, &[]);
    assert_eq!(impatient.len().unwrap(), 200, "nothing of it is left");
    thread::scope(|scope| {
        let change = scope.spawn(|| registry.create(new("patient")));
        // Many pages, which must not be written before the commit.
        let many = scope.spawn(|| {
            let all = (0..3_000).map(|at| new(&format!("many {at}")));
            registry.create_all(all.collect::<Vec<_>>())
        });
        thread::sleep(Duration::from_millis(300));
        assert!(!change.is_finished() && !many.is_finished());
        conn.execute_batch("COMMIT").unwrap();
        change.join().unwrap().unwrap();
        many.join().unwrap().unwrap();
    });
    assert_eq!(registry.subscribers(EVENT).unwrap().len(), 3_201);
    conn.execute_batch("BEGIN EXCLUSIVE").unwrap();
    refused(impatient.subscribers(EVENT).map(|_| ()), ErrorKind::Busy, &[]);
    thread::scope(|scope| {
        let look_up = scope.spawn(|| registry.subscribers(EVENT));
        thread::sleep(Duration::from_millis(100));
        assert!(!look_up.is_finished());
        conn.execute_batch("COMMIT").unwrap();
        assert_eq!(look_up.join().unwrap().unwrap().len(), 3_201);
    });
}

#[test]
fn the_application_may_change_its_journal_mode_while_the_registry_is_open() {
    let (_folder, path) = folder();
    let conn = make_application(&path, FILES[1]);
    let registry = registry(&path);
    for (round, mode) in ["WAL", "DELETE", "WAL"].into_iter().enumerate() {
        drop(registry.clone());
        // SQLite leaves the WAL mode only where nobody else has the file open.
        let set = conn
            .query_row(&format!("PRAGMA journal_mode = {mode}"), [], |row| row.get::<_, String>(0));
        assert!(set.is_ok() == (mode == "WAL"), "{set:?}");
        registry.create(new(&format!("new {round}"))).unwrap();
        assert_eq!(registry.subscribers(EVENT).unwrap().len(), 201 + round);
    }
}

#[cfg(feature = "encryption")]
#[test]
fn a_new_key_takes_the_write_lock_only_and_stops_every_handle_with_the_old_one() {
    const KEY: [u8; 32] = [7; 32];
    for settings in FILES {
        let (_folder, path) = folder();
        let conn = make_application(&path, settings);
        let registry = registry(&path);
        let id = registry.get_by_name("name 0").unwrap().unwrap().id();
        let secret = registry.secret(id).unwrap();
        registry.rotate_secret(id, Rotation::new()).unwrap();
        for key in [Some(KEY), Some([8; 32]), None] {
            let (old, reader) = {
                let mut options = guest();
                if let Some(before) = match key {
                    Some(KEY) => None,
                    Some(_) => Some(KEY),
                    None => Some([8; 32]),
                } {
                    options = options.encryption_key(before);
                }
                (options.open(&path).unwrap(), options.read_only(true).open(&path).unwrap())
            };
            for handle in [&old, &reader] {
                assert_eq!(handle.subscribers(EVENT).unwrap().len(), 200);
            }
            let pages = |conn: &Connection| {
                conn.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0)).unwrap()
            };
            let before = pages(&conn);
            registry.rekey(key).unwrap();
            assert!(pages(&conn) >= before, "the file is not compacted");
            assert_eq!(registry.subscribers(EVENT).unwrap().len(), 200);
            assert_eq!(registry.secrets(id).unwrap()[1].secret(), &secret);
            let kind = ErrorKind::Incompatible;
            for handle in [&old, &reader] {
                for _ in 0..2 {
                    refused(handle.subscribers(EVENT).map(|_| ()), kind, &[]);
                    refused(handle.subscriber(id), kind, &[]);
                    refused(handle.secret(id), kind, &[]);
                    refused(handle.len(), kind, &[]);
                    refused(handle.get(id), kind, &[]);
                    refused(handle.event_types(), kind, &[]);
                    refused(handle.export(), kind, &[]);
                    refused(handle.check(), kind, &[]);
                    refused(handle.backup(path.with_extension("copy")), kind, &[]);
                }
            }
            refused(old.create(new("old")), kind, &[]);
            refused(old.rekey(Some([9; 32])), kind, &[]);
            let report = registry.check().unwrap();
            assert!(report.is_sound(), "{settings}: {:?}", report.findings());
        }
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        let impatient = guest().busy_timeout(Duration::ZERO).open(&path).unwrap();
        refused(impatient.rekey(Some(KEY)), ErrorKind::Busy, &[]);
        assert_eq!(impatient.secrets(id).unwrap()[1].secret(), &secret);
    }
}

#[cfg(feature = "encryption")]
#[test]
fn a_guest_that_is_made_with_a_key_is_encrypted_from_the_start() {
    let (_folder, path) = folder();
    make_application(&path, FILES[1]);
    let keyed = guest().encryption_key([7; 32]);
    let registry = keyed.open(&path).unwrap();
    learn(&registry);
    let created = registry.create(new("one")).unwrap();
    let text = created.secret().expose().as_bytes();
    assert!(crate::support::files_with(path.parent().unwrap(), text).is_empty());
    refused(guest().open(&path), ErrorKind::Incompatible, &[]);
    assert_eq!(keyed.open(&path).unwrap().len().unwrap(), 1);
}
