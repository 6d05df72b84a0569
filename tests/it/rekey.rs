//! Tests changing the encryption key of a file: no file keeps a secret in the old form, no thread
//! loses its key or blocks forever, and a file of a killed process opens with exactly one key.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use webhook_registry::{
    Durability, ErrorKind, Registry, RegistryOptions, Rotation, SubscriptionUpdate,
};

use crate::support::child::{self, Peer};
use crate::support::{files_with, learn, new, refused, size};

pub(crate) const KEY: [u8; 32] = [7; 32];
pub(crate) const OTHER: [u8; 32] = *b"another key of thirty-two bytes!";
const EVENT: &str = "agent.presencechanged.v1";

pub(crate) fn options(key: Option<[u8; 32]>) -> RegistryOptions {
    let options = Registry::options().busy_timeout(Duration::from_millis(50));
    match key {
        Some(key) => options.encryption_key(key),
        None => options,
    }
}

/// Returns a secret whose text and decoded bytes have a common prefix to search for.
pub(crate) fn secret(number: usize) -> String {
    format!("Sought00{number:06}").repeat(6)
}

/// Creates a registry with this many subscriptions, each with a current and a replaced secret.
pub(crate) fn prepared(key: Option<[u8; 32]>, subscriptions: usize) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let registry = options(key).durability(Durability::Relaxed).open(&path).unwrap();
    learn(&registry);
    let list = (0..subscriptions).map(|at| new(&format!("s{at}")).secret(secret(2 * at)));
    for (at, created) in registry.create_all(list).unwrap().iter().enumerate() {
        let rotation = Rotation::new().secret(secret(2 * at + 1));
        registry.rotate_secret(created.subscription().id(), rotation).unwrap();
    }
    (folder, path)
}

/// Asserts that `secrets()` and dispatch return every original secret.
#[track_caller]
pub(crate) fn assert_intact(registry: &Registry, subscriptions: usize) {
    let subscribers = registry.subscribers(EVENT).unwrap();
    assert_eq!(subscribers.len(), subscriptions);
    for (at, subscriber) in subscribers.iter().enumerate() {
        let wanted = [secret(2 * at + 1), secret(2 * at)];
        let dispatched: Vec<&str> = subscriber.secrets().map(|secret| secret.expose()).collect();
        assert_eq!(dispatched, wanted);
        let issued = registry.secrets(subscriber.id()).unwrap();
        assert_eq!(
            issued.iter().map(|issued| issued.secret().expose()).collect::<Vec<_>>(),
            wanted
        );
    }
}

/// Returns the files that contain the common prefix of the secrets, as text or decoded.
pub(crate) fn readable_in(folder: &Path) -> Vec<String> {
    let decoded = webhook_registry::SigningSecret::parse(&secret(0)).unwrap().key()[..6].to_vec();
    [files_with(folder, b"Sought00"), files_with(folder, &decoded)].concat()
}

#[test]
fn a_changed_key_leaves_no_old_ciphertext_or_plain_text_in_any_file() {
    let steps = [None, Some(KEY), Some(OTHER), Some(OTHER), None, None, Some(KEY)];
    for exclusive in [false, true] {
        let (folder, path) = prepared(None, 30);
        let mut registry = options(None).exclusive(exclusive).open(&path).unwrap();
        for pair in steps.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let encrypted = encrypted_values(&path, exclusive);
            registry.rekey(to).unwrap();
            assert_intact(&registry, 30);
            // While it is open, and after it is closed.
            for _ in 0..2 {
                let wanted: &[&str] = if to.is_some() { &[] } else { &["registry.db"] };
                assert_eq!(readable_in(folder.path()), wanted, "{from:?} to {to:?}");
                for old in &encrypted {
                    assert_eq!(files_with(folder.path(), old), [""; 0], "{from:?} to {to:?}");
                }
                assert!(!folder.path().join("registry.db-journal").exists());
                drop(registry);
                let fits = |key| options(key).exclusive(exclusive).open(&path);
                for key in [None, Some(KEY), Some(OTHER)].into_iter().filter(|key| *key != to) {
                    refused(fits(key), ErrorKind::Incompatible, &[]);
                }
                registry = fits(to).unwrap();
                assert_intact(&registry, 30);
            }
            registry
                .update(
                    registry.subscribers(EVENT).unwrap()[0].id(),
                    SubscriptionUpdate::new().enabled(true),
                )
                .unwrap();
        }
    }
}

/// Returns some ciphertexts of the file, or none if the file is exclusive.
fn encrypted_values(path: &Path, exclusive: bool) -> Vec<Vec<u8>> {
    if exclusive {
        return Vec::new();
    }
    let conn = rusqlite::Connection::open(path).unwrap();
    let mut values = conn
        .prepare(
            "SELECT secret FROM _webhook_registry_subscription WHERE typeof(secret) = 'blob' \
             UNION ALL \
             SELECT secret FROM _webhook_registry_replaced_secret WHERE typeof(secret) = 'blob'",
        )
        .unwrap();
    let values = values.query_map([], |row| row.get(0)).unwrap();
    values.map(Result::unwrap).take(10).collect()
}

#[test]
fn the_key_cannot_be_changed_in_memory_or_read_only() {
    let registry = Registry::in_memory().unwrap();
    for key in [None, Some(KEY)] {
        refused(registry.rekey(key), ErrorKind::Invalid, &["encryption_key"]);
    }
    let error = refused(options(Some(KEY)).in_memory(), ErrorKind::Invalid, &["encryption_key"]);
    assert_eq!(error.to_string(), "encryption_key: a registry in memory has no file to encrypt");

    let (_folder, path) = prepared(Some(KEY), 1);
    let before = fs::read(&path).unwrap();
    let reader = options(Some(KEY)).read_only(true).open(&path).unwrap();
    for key in [None, Some(OTHER)] {
        refused(reader.rekey(key), ErrorKind::ReadOnly, &[]);
    }
    assert_intact(&reader, 1);
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn child_keeps_the_file_open() {
    let Some((path, arguments)) = child::role() else { return };
    let registry = options(Some(KEY)).read_only(arguments[0] == "reader").open(path).unwrap();
    assert_intact(&registry, 3);
    child::tell("open");
    child::await_word();
    assert_intact(&registry, 3);
    if arguments[0] == "writer" {
        registry.create(new("from the child")).unwrap();
    }
    drop(registry);
    child::tell("closed");
    child::await_word();
}

#[test]
fn changing_the_key_is_busy_while_another_handle_is_open() {
    let (folder, path) = prepared(Some(KEY), 3);
    let registry = options(Some(KEY)).open(&path).unwrap();
    let all = || -> Vec<Vec<u8>> {
        ["", "-wal"]
            .map(|end| fs::read(folder.path().join(format!("registry.db{end}"))).unwrap())
            .into()
    };
    #[track_caller]
    fn busy(registry: &Registry) {
        for key in [None, Some(OTHER), Some(KEY)] {
            refused(registry.rekey(key), ErrorKind::Busy, &[]);
        }
    }
    // Another handle of this process, writable or read-only, and another program that is reading.
    for read_only in [false, true] {
        let other = options(Some(KEY)).read_only(read_only).open(&path).unwrap();
        let before = all();
        busy(&registry);
        assert_eq!(all(), before);
        assert_intact(&other, 3);
        assert_intact(&registry, 3);
    }
    let program = rusqlite::Connection::open(&path).unwrap();
    program.execute_batch("BEGIN; SELECT * FROM webhook_registry_subscriptions").unwrap();
    let before = all();
    busy(&registry);
    assert_eq!(all(), before);
    // Nobody is locked out afterwards.
    assert_eq!(registry.create(new("meanwhile")).unwrap().subscription().revision(), 1);
    registry.delete(registry.get_by_name("meanwhile").unwrap().unwrap().id()).unwrap();
    drop(program);

    for role in ["reader", "writer"] {
        let mut peer =
            Peer::spawn(&mut child::command("rekey::child_keeps_the_file_open", &path, &[role]));
        peer.expect("open");
        let before = all();
        busy(&registry);
        assert_eq!(all(), before);
        assert_intact(&registry, 3);
        peer.say("go on");
        peer.expect("closed");
        peer.say("end");
        if role == "writer" {
            let made = registry.get_by_name("from the child").unwrap().unwrap();
            registry.delete(made.id()).unwrap();
        }
        registry.rekey(Some(OTHER)).unwrap();
        assert_intact(&registry, 3);
        registry.rekey(Some(KEY)).unwrap();
        peer.finish();
    }
    // A clone is not another handle.
    let clone = registry.clone();
    clone.rekey(Some(OTHER)).unwrap();
    assert_intact(&registry, 3);
}

/// Runs the job, and panics if it does not finish within a minute.
fn within_a_minute(job: impl FnOnce() + Send + 'static) {
    let (done, heard) = mpsc::channel();
    let thread = thread::spawn(move || {
        job();
        done.send(()).unwrap();
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = heard.recv_timeout(Duration::from_secs(60)) {
        panic!("the job did not finish within a minute");
    }
    thread.join().unwrap();
}

#[test]
fn clones_and_other_threads_continue_during_and_after_a_key_change() {
    for exclusive in [false, true] {
        let (folder, path) = prepared(None, 20);
        let registry =
            options(None).durability(Durability::Relaxed).exclusive(exclusive).open(&path).unwrap();
        within_a_minute(move || {
            let (over, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
            thread::scope(|scope| {
                for thread in 0..4 {
                    let (registry, over, calls) = (registry.clone(), &over, &calls);
                    scope.spawn(move || {
                        let ids: Vec<_> = registry
                            .subscribers(EVENT)
                            .unwrap()
                            .iter()
                            .map(|found| found.id())
                            .collect();
                        while !over.load(Ordering::Relaxed) {
                            match thread {
                                0 => assert_intact(&registry, 20),
                                1 => assert_eq!(
                                    registry.secrets(ids[7]).unwrap()[0].secret().expose(),
                                    secret(15)
                                ),
                                _ => {
                                    let update = SubscriptionUpdate::new()
                                        .metadata("n", calls.load(Ordering::Relaxed).to_string());
                                    let after = registry.update(ids[thread], update).unwrap();
                                    assert!(
                                        registry.get(ids[thread]).unwrap().unwrap().revision()
                                            >= after.revision()
                                    );
                                    assert_eq!(registry.subscribers(EVENT).unwrap().len(), 20);
                                }
                            }
                            calls.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
                for round in 0..size(30, 300) {
                    registry.rekey([Some(KEY), Some(OTHER), None][round % 3]).unwrap();
                    let before = calls.load(Ordering::Relaxed);
                    while calls.load(Ordering::Relaxed) < before + 8 {
                        thread::yield_now();
                    }
                }
                over.store(true, Ordering::Relaxed);
            });
            registry.rekey(Some(KEY)).unwrap();
            assert_intact(&registry, 20);
        });
        assert_eq!(readable_in(folder.path()), [""; 0]);
        assert_intact(&options(Some(KEY)).open(&path).unwrap(), 20);
    }
}

/// Concurrent openers see the file before or after the change, and a change that returns `Busy` has
/// no effect.
#[test]
fn concurrent_openers_find_the_file_with_the_old_or_the_new_key() {
    let (_folder, path) = prepared(None, 5);
    within_a_minute(move || {
        let patient = |key| options(key).busy_timeout(Duration::from_secs(5));
        let registry = patient(None).open(&path).unwrap();
        let (over, opened) = (AtomicBool::new(false), AtomicUsize::new(0));
        let (mut now, mut done, mut tried) = (None, 0, 0);
        thread::scope(|scope| {
            let guest = scope.spawn(|| {
                let mut key = None;
                while !over.load(Ordering::Relaxed) {
                    match patient(key).open(&path) {
                        Ok(registry) => {
                            assert_intact(&registry, 5);
                            opened.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
                            key = if key.is_none() { Some(KEY) } else { None };
                        }
                    }
                }
            });
            // On a busy machine either may be late, so both are awaited for the whole minute.
            while tried < size(40, 200) || done == 0 || opened.load(Ordering::Relaxed) == 0 {
                if guest.is_finished() {
                    break;
                }
                tried += 1;
                let wanted = if now.is_none() { Some(KEY) } else { None };
                match registry.rekey(wanted) {
                    Ok(()) => (now, done) = (wanted, done + 1),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
                }
                let found = registry.subscribers(EVENT).map(|subscribers| subscribers.len());
                let looks = rusqlite::Connection::open(&path).unwrap();
                let encrypted = looks.query_row(
                    "SELECT key_check IS NOT NULL FROM _webhook_registry_meta",
                    [],
                    |row| row.get(0),
                );
                if (found.as_ref().ok(), encrypted.as_ref().ok())
                    != (Some(&5), Some(&now.is_some()))
                {
                    over.store(true, Ordering::Relaxed);
                    panic!("after {done} changes: {found:?} subscribers, encrypted: {encrypted:?}");
                }
            }
            over.store(true, Ordering::Relaxed);
            guest.join().unwrap();
        });
        drop(registry);
        assert_intact(&options(now).open(&path).unwrap(), 5);
    });
}
