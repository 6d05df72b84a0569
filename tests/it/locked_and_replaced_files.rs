//! Tests what other programs and people do to an open file: they lock it, move, delete or replace
//! it, or change the working directory; and paths that are links or not UTF-8. The registry waits
//! for a lock until the timeout and then returns `Busy`, or returns a clear error, or works. It
//! never answers from another file.

#[cfg(unix)]
use std::ffi::OsStr;
use std::fs;
#[cfg(unix)]
use std::os::unix::ffi::OsStrExt as _;
#[cfg(unix)]
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;
use webhook_registry::{Durability, Error, ErrorKind, Registry, SubscriptionUpdate};

use crate::support::child::{self, Peer};
use crate::support::{new, refused};

fn fresh() -> (TempDir, PathBuf, Registry) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let registry =
        Registry::options().busy_timeout(Duration::from_millis(300)).open(&path).unwrap();
    registry.register_event_type("agent.v1").unwrap();
    registry.create(new("one")).unwrap();
    (folder, path, registry)
}

/// Asserts that a call returns `Busy` after the timeout, and not much later.
#[track_caller]
fn assert_waits_for_timeout<T: std::fmt::Debug>(
    timeout: Duration,
    call: impl FnOnce() -> Result<T, Error>,
) {
    let began = Instant::now();
    refused(call(), ErrorKind::Busy, &[]);
    let waited = began.elapsed();
    assert!(waited >= timeout, "returned too early, after {waited:?}");
    assert!(waited < timeout + Duration::from_secs(2), "waited {waited:?}");
}

#[test]
fn a_foreign_lock_is_busy_after_the_timeout_and_not_before() {
    let (_folder, path, registry) = fresh();
    let stranger = Connection::open(&path).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let timeout = Duration::from_millis(300);
    assert_waits_for_timeout(timeout, || registry.create(new("two")));
    assert_waits_for_timeout(timeout, || registry.register_event_type("queue.v1"));
    // Another thread of the same registry has the same timeout, and waits independently.
    std::thread::scope(|scope| {
        scope
            .spawn(|| assert_waits_for_timeout(timeout, || registry.create(new("two"))))
            .join()
            .unwrap()
    });
    let hasty = Registry::options().busy_timeout(Duration::ZERO).open(&path).unwrap();
    assert_waits_for_timeout(Duration::ZERO, || hasty.create(new("two")));
    // Readers do not wait.
    assert_eq!(registry.subscribers("agent.v1").unwrap().len(), 1);
    assert_eq!(Registry::open(&path).unwrap().len().unwrap(), 1);
    stranger.execute_batch("COMMIT").unwrap();
    registry.create(new("two")).unwrap();
    assert_eq!(hasty.len().unwrap(), 2);
}

#[test]
fn the_wal_shrinks_again_after_another_programs_long_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let registry = Registry::options().durability(Durability::Relaxed).open(&path).unwrap();
    registry.register_event_type("agent.v1").unwrap();
    let id = registry.create(new("one")).unwrap().subscription().id();
    let wal = || fs::metadata(folder.path().join("registry.db-wal")).unwrap().len();
    let change = |times: usize| {
        for time in 0..times {
            let text = format!("{time:03}").repeat(300);
            let update = (0..50).fold(SubscriptionUpdate::new(), |update, key| {
                update.metadata(format!("key {key}"), &text)
            });
            registry.update(id, update).unwrap();
        }
    };
    let stranger = Connection::open(&path).unwrap();
    stranger.execute_batch("BEGIN; SELECT * FROM webhook_registry_subscriptions").unwrap();
    change(300);
    assert!(wal() > 6 << 20, "{} bytes", wal());
    stranger.execute_batch("COMMIT").unwrap();
    // Once no reader needs the frames, a checkpoint copies them, and the `-wal` starts over.
    change(60);
    assert!(wal() < 5 << 20, "{} bytes", wal());
    // The `-wal` shrinks after one large change as well.
    let large = |at| {
        (0..50).fold(new(&format!("s{at}")), |new, key| {
            new.metadata(format!("key {key}"), "x".repeat(1_000))
        })
    };
    registry.create_all((0..200).map(large)).unwrap();
    assert!(wal() > 6 << 20, "{} bytes", wal());
    change(60);
    assert!(wal() < 5 << 20, "{} bytes", wal());
}

#[test]
fn a_lock_released_within_the_timeout_causes_no_error() {
    let (_folder, path, registry) = fresh();
    let stranger = Connection::open(&path).unwrap();
    for name in ["a", "b", "c"] {
        stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| registry.create(new(name)));
            std::thread::sleep(Duration::from_millis(100));
            stranger.execute_batch("COMMIT").unwrap();
            waiting.join().unwrap().unwrap();
        });
    }
    assert_eq!(registry.len().unwrap(), 4);
}

#[test]
fn opening_waits_for_the_lock_of_a_still_empty_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let stranger = Connection::open(&path).unwrap();
    stranger.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let timeout = Duration::from_millis(200);
    assert_waits_for_timeout(timeout, || Registry::options().busy_timeout(timeout).open(&path));
    stranger.execute_batch("ROLLBACK").unwrap();
    drop(stranger);
    assert!(Registry::open(&path).unwrap().is_empty().unwrap());
}

#[test]
fn opening_waits_for_a_file_that_another_program_is_still_writing() {
    let (_folder, path, registry) = fresh();
    drop(registry);
    let stranger = Connection::open(&path).unwrap();
    stranger.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1").unwrap();
    let before = fs::read(&path).unwrap();
    stranger
        .execute_batch(
            "BEGIN EXCLUSIVE; PRAGMA foreign_keys = OFF; DROP VIEW webhook_registry_subscriptions; \
             DROP TABLE _webhook_registry_meta; \
             CREATE TABLE mine (x); INSERT INTO mine VALUES (zeroblob(4000000))",
        )
        .unwrap();
    let half = fs::read(&path).unwrap();
    assert!(
        half[4_096..before.len()] != before[4_096..],
        "what is dropped is gone from the file already"
    );
    let timeout = Duration::from_millis(200);
    assert_waits_for_timeout(timeout, || Registry::options().busy_timeout(timeout).open(&path));
    assert_waits_for_timeout(timeout, || {
        Registry::options().busy_timeout(timeout).read_only(true).open(&path)
    });
    stranger.execute_batch("ROLLBACK").unwrap();
    drop(stranger);
    assert!(Registry::open(&path).unwrap().check().unwrap().is_sound());
}

/// Replaces the file with that of another registry in the correct way: with the `-wal` and `-shm`
/// of the old one removed. SQLite does not know to which file a `-wal` belongs, so it would read an
/// old one into the new file.
#[cfg(unix)]
pub(crate) fn replace(path: &Path) {
    let other = path.with_file_name("other.db");
    let registry = Registry::open(&other).unwrap();
    registry.register_event_types(["agent.v1", "queue.v1"]).unwrap();
    registry.create_all(["x", "y", "z"].map(new)).unwrap();
    drop(registry);
    for left in [path.with_extension("db-wal"), path.with_extension("db-shm")] {
        fs::remove_file(left).unwrap();
    }
    fs::rename(other, path).unwrap();
}

/// Reads on many threads at once, so that connections are opened, and asserts that no answer comes
/// from another file.
#[cfg(unix)]
#[track_caller]
fn assert_reads_old_file_or_fails(registry: &Registry) {
    let start = std::sync::Barrier::new(12);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                start.wait();
                for _ in 0..20 {
                    match registry.subscribers("agent.v1") {
                        Ok(found) => {
                            let names: Vec<&str> = found.iter().map(|one| one.name()).collect();
                            assert_eq!(names, ["one"]);
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Storage, "{error}"),
                    }
                }
            });
        }
    });
}

#[cfg(unix)]
#[test]
fn a_replaced_file_is_never_mixed_with_the_opened_one() {
    let (_folder, path, registry) = fresh();
    replace(&path);
    assert_reads_old_file_or_fails(&registry);
    // The new file is sound, and stays so after the old handle is closed.
    drop(registry);
    let now = Registry::open(&path).unwrap();
    assert_eq!(now.len().unwrap(), 3);
    now.create(new("four")).unwrap();
}

#[cfg(unix)]
#[test]
fn a_deleted_file_is_still_readable_or_an_error() {
    let (_folder, path, registry) = fresh();
    for left in [path.clone(), path.with_extension("db-wal"), path.with_extension("db-shm")] {
        fs::remove_file(left).unwrap();
    }
    assert_reads_old_file_or_fails(&registry);
    drop(registry);
    assert!(!path.exists());
}

#[cfg(unix)]
#[test]
fn a_write_to_a_deleted_file_is_rejected() {
    let (_folder, path, registry) = fresh();
    fs::remove_file(&path).unwrap();
    refused(registry.create(new("two")), ErrorKind::Storage, &[]);
    let (_folder, path, registry) = fresh();
    replace(&path);
    refused(registry.create(new("two")), ErrorKind::Storage, &[]);
    assert_eq!(Registry::open(&path).unwrap().len().unwrap(), 3);
}

#[test]
fn child_changes_its_directory() {
    let Some((folder, _)) = child::role() else { return };
    std::env::set_current_dir(&folder).unwrap();
    let mut names = vec!["registry.db", "a%41#c.db", "./sub/../registry2.db"];
    if cfg!(unix) {
        // Windows does not allow these file names.
        names.extend([":memory:", "file:x?mode=memory", "a%41?b#c.db"]);
    }
    for name in names {
        std::env::set_current_dir(&folder).unwrap();
        let registry = Registry::open(name).unwrap();
        assert!(registry.path().unwrap().is_absolute());
        std::env::set_current_dir("/").unwrap();
        registry.register_event_type("agent.v1").unwrap();
        let id = registry.create(new("one")).unwrap().subscription().id();
        assert_eq!(registry.subscribers("agent.v1").unwrap()[0].id(), id);
        let again = Registry::open(registry.path().unwrap()).unwrap();
        assert_eq!(again.get(id).unwrap().unwrap().name(), "one");
        drop((registry, again));
        // The file is in the original directory, under exactly this name.
        assert!(folder.join(name).exists(), "{name}");
        assert_eq!(Registry::open(folder.join(name)).unwrap().len().unwrap(), 1, "{name}");
    }
    child::tell("done");
}

#[test]
fn changing_the_working_directory_does_not_change_the_path_of_an_open_registry() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let role = "locked_and_replaced_files::child_changes_its_directory";
    let heard = Peer::spawn(&mut child::command(role, folder.path(), &[])).finish();
    assert_eq!(heard, ["done"]);
}

#[cfg(unix)]
#[test]
fn a_symlink_opens_the_same_registry() {
    let (folder, path, registry) = fresh();
    let link = folder.path().join("link.db");
    symlink(&path, &link).unwrap();
    let linked = Registry::open(&link).unwrap();
    linked.create(new("two")).unwrap();
    assert_eq!(registry.len().unwrap(), 2);
    registry.create(new("three")).unwrap();
    assert_eq!(linked.subscribers("agent.v1").unwrap().len(), 3);
    assert!(!folder.path().join("link.db-wal").exists(), "both names must share one -wal");
    let reader = Registry::options().read_only(true).open(&link).unwrap();
    assert_eq!(reader.len().unwrap(), 3);
}

#[cfg(unix)]
#[test]
fn a_dangling_symlink_is_followed_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("registry.db"), folder.path().join("link.db"));
    symlink(&path, &link).unwrap();
    match Registry::open(&link) {
        Ok(registry) => {
            registry.register_event_type("agent.v1").unwrap();
            assert_eq!(Registry::open(&path).unwrap().event_types().unwrap().len(), 1);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Storage, "{error}"),
    }
}

#[cfg(unix)]
#[test]
fn a_path_may_be_invalid_utf_8() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(OsStr::from_bytes(b"r\xFF\xFE ?%#\n.db"));
    let registry = Registry::open(&path).unwrap();
    registry.register_event_type("agent.v1").unwrap();
    registry.create(new("one")).unwrap();
    assert_eq!(registry.path(), Some(&*path));
    assert_eq!(registry.subscribers("agent.v1").unwrap().len(), 1);
    drop(registry);
    assert_eq!(Registry::options().read_only(true).open(&path).unwrap().len().unwrap(), 1);
    fs::write(&path, "no registry at all").unwrap();
    refused(Registry::open(&path), ErrorKind::Incompatible, &[]);
    refused(Registry::open(path.join("x")), ErrorKind::Storage, &[]);
    refused(Registry::open(OsStr::from_bytes(b"a\0b")), ErrorKind::Storage, &[]);
}

/// SQLite takes paths as UTF-8 there, which cannot represent a lone surrogate.
#[cfg(windows)]
#[test]
fn a_path_that_is_not_unicode_is_a_storage_error_and_creates_no_file() {
    use std::os::windows::ffi::OsStringExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(std::ffi::OsString::from_wide(&[0x61, 0xD800]));
    refused(Registry::open(&path), ErrorKind::Storage, &[]);
    assert!(!path.exists());
    fs::write(&path, "").unwrap();
    refused(Registry::options().read_only(true).open(&path), ErrorKind::Storage, &[]);
}

#[cfg(unix)]
#[test]
fn child_opens_as_another_user() {
    let Some((path, arguments)) = child::role() else {
        return;
    };
    let open = |read_only| match Registry::options().read_only(read_only).open(&path) {
        Ok(registry) => registry.len().unwrap().to_string(),
        Err(error) => format!("{:?}", error.kind()),
    };
    child::tell(open(arguments[0] == "read-only"));
}

/// Opens the file as a user who does not own it.
#[cfg(unix)]
fn open_as_another_user(path: &Path, how: &str) -> Option<String> {
    let before = if rustix::process::geteuid().is_root() {
        "exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$0\" \"$@\""
    } else {
        return None;
    };
    let mut peer = Peer::spawn(&mut child::command_after(
        before,
        "locked_and_replaced_files::child_opens_as_another_user",
        path,
        &[how],
    ));
    peer.hear()
}

#[cfg(unix)]
#[test]
fn a_file_without_read_permission_is_a_storage_error() {
    let (folder, path, registry) = fresh();
    drop(registry);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let chmod = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    for (mode, how, expected) in [
        (0o600, "write", "Storage"),
        (0o600, "read-only", "Storage"),
        (0o644, "write", "Storage"),
        (0o644, "read-only", "1"),
        (0o666, "read-only", "1"),
    ] {
        chmod(mode);
        let Some(found) = open_as_another_user(&path, how) else {
            println!("skipped: only root can run as another user");
            return;
        };
        assert_eq!(found, expected, "{mode:o} {how}");
    }
    assert_eq!(Registry::open(&path).unwrap().len().unwrap(), 1);
}

#[cfg(unix)]
#[test]
fn an_open_registry_whose_file_becomes_unreadable_works_or_returns_an_error() {
    let (_folder, path, registry) = fresh();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    assert_reads_old_file_or_fails(&registry);
    match registry.create(new("two")) {
        Ok(_) => assert_eq!(registry.len().unwrap(), 2),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Storage, "{error}"),
    }
}
