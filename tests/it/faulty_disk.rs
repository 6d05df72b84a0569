//! Tests that a failing disk is reported as `Storage` and not as damage, and that a registry
//! recovers from a temporary failure. A library that is loaded before libc makes system calls of a
//! child process fail.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use webhook_registry::{Error, ErrorKind, ListQuery, NewSubscription, Registry};

use crate::support::child::{self, Peer};
use crate::support::{faults, new, size};

const CONTROL: &str = "FAULTY_DISK";
const EIO: i32 = 5;
const ENOMEM: i32 = 12;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

/// Every time, as a count for [`fail`].
const ALWAYS: u32 = 0;

/// Makes this system call fail on every file with this suffix, from this offset on: the nth time,
/// or [`ALWAYS`].
fn fail(call: &str, suffix: &str, errno: i32, from: u64, nth: u32) {
    let control = PathBuf::from(std::env::var_os(CONTROL).unwrap());
    let next = control.with_extension("next");
    fs::write(&next, format!("{call} {suffix} {errno} {from} {nth}\n")).unwrap();
    fs::rename(next, control).unwrap();
}

/// Stops all failures. Returns false if a one-time failure has occurred.
fn heal() -> bool {
    fs::remove_file(std::env::var_os(CONTROL).unwrap()).is_ok()
}

/// Runs a role in a new folder with the library loaded, and returns its messages. None without a C
/// compiler.
fn run(role: &str, arguments: &[&str]) -> Option<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let library = faults::library(folder.path())?;
    let mut command = child::command(
        &format!("faulty_disk::{role}"),
        &folder.path().join("registry.db"),
        arguments,
    );
    command.env("LD_PRELOAD", &library).env(CONTROL, folder.path().join("control"));
    Some(Peer::spawn(&mut command).finish())
}

/// Copies a file and those beside it, as a killed writer leaves them. Another process copies,
/// because closing a descriptor here would release the locks of SQLite.
fn copy_files(path: &Path, copy: &Path, suffixes: &[&str]) {
    for suffix in suffixes {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        assert!(Command::new("cp").args([name(path), name(copy)]).status().unwrap().success());
    }
}

/// Asserts that the error reports the disk, and neither damage nor the rollback.
#[track_caller]
fn assert_storage(error: &Error, what: &str) {
    assert_eq!(error.kind(), ErrorKind::Storage, "{what}: {error}");
    let message = error.to_string();
    assert!(
        !message.contains("no transaction is active") && !message.contains("damaged"),
        "{what}: {message}"
    );
}

const MADE: usize = 60;

/// Creates a file with interior pages in tables and indexes, and with overflow pages.
fn create_file(path: &Path) {
    let registry = Registry::open(path).unwrap();
    registry.register_event_types((0..200).map(|number| format!("agent.v{number}"))).unwrap();
    let filled = |number: usize| {
        let filled =
            NewSubscription::new(format!("s{number}"), "https://example.com/", ["agent.*"]);
        (0..number % 8)
            .fold(filled, |filled, key| filled.metadata(format!("k{key}"), "x".repeat(900)))
    };
    registry.create_all((0..MADE).map(filled)).unwrap();
}

/// Returns the result of every kind of call with its name; the last ones write.
fn calls(registry: &Registry, path: &Path) -> Vec<(&'static str, Result<(), Error>)> {
    let backup = path.with_extension("copy");
    let calls = vec![
        ("list", registry.list(ListQuery::new().limit(1_000)).map(drop)),
        ("iter", registry.iter(ListQuery::new()).collect::<Result<Vec<_>, _>>().map(drop)),
        ("subscribers", registry.subscribers("agent.v7").map(drop)),
        ("explain", registry.explain("agent.v7").map(drop)),
        ("event_types", registry.event_types().map(drop)),
        ("get_by_name", registry.get_by_name("s31").map(drop)),
        ("changes", registry.changes(0, 1_000).map(drop)),
        ("export", registry.export().map(drop)),
        ("check", registry.check().map(|report| assert!(report.is_sound(), "{report}"))),
        ("backup", registry.backup(&backup).map(drop)),
        ("create_all", registry.create_all([new("more").allow_unknown_events(true)]).map(drop)),
        ("delete", delete(registry)),
    ];
    let _ = fs::remove_file(backup);
    calls
}

fn delete(registry: &Registry) -> Result<(), Error> {
    match registry.get_by_name("s17")? {
        Some(found) => registry.delete(found.id()),
        None => Ok(()),
    }
}

/// Asserts that the file is sound and the answers are complete.
#[track_caller]
fn assert_whole(registry: &Registry) {
    assert!(registry.check().unwrap().is_sound());
    let names: BTreeSet<String> =
        registry.iter(ListQuery::new()).map(|found| found.unwrap().name().to_owned()).collect();
    let made = (0..MADE).map(|number| format!("s{number}")).filter(|name| name != "s17");
    assert!(made.into_iter().all(|name| names.contains(&name)), "{names:?}");
}

#[test]
fn child_cannot_read_its_file() {
    let Some((path, _)) = child::role() else { return };
    create_file(&path);
    let pages = fs::metadata(&path).unwrap().len() / 4_096;
    assert!(pages > 50, "{pages}");
    let (mut refused, mut refused_at_open) = (BTreeSet::new(), 0);
    for page in [0, 1, 2, 5, 10, 20, pages - 10] {
        for options in [Registry::options(), Registry::options().read_only(true)] {
            fail("read", ".db", EIO, page * 4_096, ALWAYS);
            let opened = options.open(&path);
            heal();
            match opened {
                Ok(registry) => assert_eq!(registry.len().unwrap(), MADE as u64),
                Err(error) => {
                    assert_storage(&error, "open");
                    refused_at_open += 1;
                }
            }
        }
        // After a change by another handle, its pages are read again.
        let copy = path.with_file_name(format!("{page}.db"));
        fs::copy(&path, &copy).unwrap();
        let [registry, other] = [(); 2].map(|()| Registry::open(&copy).unwrap());
        other.register_event_type("new.v1").unwrap();
        fail("read", ".db", EIO, page * 4_096, ALWAYS);
        for (call, result) in calls(&registry, &copy) {
            if let Err(error) = result {
                assert_storage(&error, call);
                refused.insert(call);
            }
        }
        heal();
        assert_whole(&registry);
        drop((registry, other));
        assert_whole(&Registry::open(&copy).unwrap());
    }
    assert!(refused_at_open > 0);
    assert_eq!(refused.len(), 12, "{refused:?}");
    child::tell("whole");
}

#[test]
fn an_unreadable_page_is_a_storage_error_and_not_corrupt() {
    if let Some(heard) = run("child_cannot_read_its_file", &[]) {
        assert_eq!(heard, ["whole"]);
    }
}

#[test]
fn child_fails_one_read() {
    let Some((path, _)) = child::role() else { return };
    create_file(&path);
    let registry = Registry::open(&path).unwrap();
    let mut failed = BTreeSet::new();
    for nth in (1..=size(60, 600)).step_by(size(3, 1)) {
        // No page is cached, because another handle has changed the file.
        let other = Registry::open(&path).unwrap();
        other.register_event_type(format!("other.v{nth}")).unwrap();
        drop(other);
        fail("read", ".db", EIO, 0, nth);
        let results = calls(&registry, &path);
        heal();
        for (call, result) in results {
            if let Err(error) = result {
                assert_storage(&error, call);
                failed.insert(call);
            }
        }
        let _ = registry.get_by_name("more").unwrap().map(|more| registry.delete(more.id()));
    }
    assert!(!failed.is_empty());
    assert_whole(&registry);
    child::tell("whole");
}

#[test]
fn a_read_that_fails_once_is_a_storage_error_and_not_corrupt() {
    if let Some(heard) = run("child_fails_one_read", &[]) {
        assert_eq!(heard, ["whole"]);
    }
}

#[test]
fn child_cannot_read_its_wal() {
    let Some((path, _)) = child::role() else { return };
    create_file(&path);
    let writer = Registry::open(&path).unwrap();
    writer.create(new("in the wal").allow_unknown_events(true)).unwrap();
    let registry = Registry::open(&path).unwrap();
    fail("read", "-wal", EIO, 0, ALWAYS);
    let mut failed = 0;
    for (call, result) in calls(&registry, &path) {
        if let Err(error) = result {
            assert_storage(&error, call);
            failed += 1;
        }
    }
    for read_only in [false, true] {
        if let Err(error) = Registry::options().read_only(read_only).open(&path) {
            assert_storage(&error, "open");
            failed += 1;
        }
    }
    heal();
    assert!(failed > 0);
    assert_whole(&registry);
    assert!(registry.get_by_name("in the wal").unwrap().is_some());
    child::tell("whole");
}

#[test]
fn an_unreadable_wal_is_a_storage_error_and_not_corrupt() {
    if let Some(heard) = run("child_cannot_read_its_wal", &[]) {
        assert_eq!(heard, ["whole"]);
    }
}

#[test]
fn child_fails_to_inspect_its_file() {
    let Some((path, _)) = child::role() else { return };
    create_file(&path);
    let mut told = BTreeSet::new();
    for (call, errno) in [
        ("read", EIO),
        ("write", ENOSPC),
        ("write", EIO),
        ("truncate", ENOSPC),
        ("map", ENOMEM),
        ("stat", EIO),
    ] {
        for suffix in ["registry.db", "-wal", "-shm"] {
            for times in [1, 2, ALWAYS] {
                let what = format!("{call} {suffix} {errno} {times}");
                fail(call, suffix, errno, 0, times);
                let opened = Registry::open(&path);
                heal();
                match opened {
                    Ok(registry) => assert_eq!(registry.len().unwrap(), MADE as u64, "{what}"),
                    Err(error) => {
                        assert_storage(&error, &what);
                        told.insert(call);
                    }
                }
                fail(call, suffix, errno, 0, times);
                let opened = Registry::options().read_only(true).open(&path);
                heal();
                match opened {
                    Ok(registry) => assert_eq!(registry.len().unwrap(), MADE as u64, "{what}"),
                    Err(error) => assert_storage(&error, &what),
                }
            }
        }
    }
    assert_eq!(told.into_iter().collect::<Vec<_>>(), ["map", "read", "stat", "truncate", "write"]);
    assert_whole(&Registry::open(&path).unwrap());
    child::tell("whole");
}

#[test]
fn a_failure_while_inspecting_the_file_is_a_storage_error_with_its_cause() {
    if let Some(heard) = run("child_fails_to_inspect_its_file", &[]) {
        assert_eq!(heard, ["whole"]);
    }
}

#[test]
fn child_cannot_stat_its_wal() {
    let Some((path, _)) = child::role() else { return };
    let writer = Registry::open(&path).unwrap();
    writer.register_event_types(["agent.v1"]).unwrap();
    let left = path.with_file_name("left.db");
    copy_files(&path, &left, &["", "-wal"]);
    drop(writer);
    // SQLite cannot create a `-shm`, so it is unknown if the `-wal` has changes.
    for (call, suffix) in
        [("open", "left.db-shm"), ("map", "left.db-shm"), ("truncate", "left.db-shm")]
    {
        fail(call, suffix, EIO, 0, ALWAYS);
        let error = Registry::options().read_only(true).open(&left).unwrap_err();
        assert_storage(&error, call);
    }
    fail("stat", "left.db-wal", EIO, 0, ALWAYS);
    for read_only in [false, true] {
        if let Ok(registry) = Registry::options().read_only(read_only).open(&left) {
            assert_eq!(registry.event_types().unwrap().len(), 1, "an older answer");
        }
    }
    heal();
    assert_eq!(Registry::open(&left).unwrap().event_types().unwrap().len(), 1);
    child::tell("whole");
}

#[test]
fn a_wal_that_cannot_be_inspected_is_not_treated_as_empty() {
    if let Some(heard) = run("child_cannot_stat_its_wal", &[]) {
        assert_eq!(heard, ["whole"]);
    }
}

#[test]
fn child_runs_out_of_descriptors_temporarily() {
    let Some((path, _)) = child::role() else { return };
    create_file(&path);
    let writer = Registry::open(&path).unwrap();
    writer.register_event_types(["in.the.wal"]).unwrap();
    let [left, left_again] = ["left.db", "left-again.db"].map(|name| path.with_file_name(name));
    for copy in [&left, &left_again] {
        copy_files(&path, copy, &["", "-wal", "-shm"]);
    }
    drop(writer);
    for (path, suffix) in [(left, "left.db-wal"), (left_again, "left-again.db-shm")] {
        fail("open", suffix, EMFILE, 0, 1);
        let registry = Registry::open(&path).unwrap();
        assert!(!heal(), "the failure did not occur");
        assert!(registry.event_type("in.the.wal").unwrap().is_some());
        registry.register_event_type("after").unwrap();
        assert_whole(&registry);
        drop(registry);

        fail("open", suffix, EMFILE, 0, 1);
        let reader = Registry::options().read_only(true).open(&path).unwrap();
        assert!(!heal(), "the failure did not occur");
        let writer = Registry::open(&path).unwrap();
        writer.register_event_type("seen").unwrap();
        assert!(
            reader.event_type("seen").unwrap().is_some(),
            "the reader does not follow the file"
        );
    }
    fail("open", "registry.db", EMFILE, 0, 1);
    assert_whole(&Registry::open(&path).unwrap());
    assert!(!heal(), "the failure did not occur");
    fail("open", "registry.db", EMFILE, 0, ALWAYS);
    assert_storage(&Registry::open(&path).unwrap_err(), "open");
    heal();
    assert_whole(&Registry::open(&path).unwrap());
    child::tell("whole");
}

#[test]
fn a_registry_recovers_from_a_temporary_lack_of_descriptors() {
    if let Some(heard) = run("child_runs_out_of_descriptors_temporarily", &[]) {
        assert_eq!(heard, ["whole"]);
    }
}
