//! Tests opening without write permission. Root may write anywhere, so each test runs itself again
//! in a child process as nobody. The main hazard is a reader that answers from an older state of
//! the file because it could not read the newer one.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;
use webhook_registry::{ErrorKind, Registry};

use crate::support::{drop_views, learn, new, refused};

const FOLDER: &str = "WEBHOOK_REGISTRY_TEST_FOLDER";
pub(crate) const NOBODY: u32 = 65_534;

/// Returns the folder that the parent prepared, and None in the parent itself.
pub(crate) fn child() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Runs one test of this file again on a folder, without root privileges.
#[track_caller]
fn rerun_as_nobody(test: &str, folder: &Path) {
    rerun_as(NOBODY, &format!("permissions::{test}"), folder);
}

/// Runs the test of this path as this user if root started the tests.
#[track_caller]
pub(crate) fn rerun_as(user: u32, test: &str, folder: &Path) {
    let is_root = fs::metadata(folder).unwrap().uid() == 0;
    // Through this link, the child finds the program even if it may not enter the folder of the
    // program.
    let link = Path::new("/proc/self/exe");
    let program =
        if is_root && link.exists() { link.to_owned() } else { std::env::current_exe().unwrap() };
    let mut command = Command::new(program);
    command.args([test, "--exact", "--nocapture"]).env(FOLDER, folder).current_dir(folder);
    if is_root {
        command.uid(user).gid(user);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let shown = format!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}");
    assert!(said.contains("1 passed"), "the child ran no test: {shown}");
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Creates a world-writable folder with a world-readable registry of one subscription.
pub(crate) fn prepared() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    mode(folder.path(), 0o777);
    let path = folder.path().join("registry.db");
    let registry = Registry::open(&path).unwrap();
    learn(&registry);
    registry.create(new("one")).unwrap();
    drop(registry);
    mode(&path, 0o644);
    (folder, path)
}

/// Adds a subscription that is only in the `-wal`, and returns the writer that keeps it there.
fn write_into_wal(path: &Path) -> Registry {
    let writer = Registry::open(path).unwrap();
    writer.create(new("two").allow_unknown_events(true)).unwrap();
    assert!(fs::metadata(beside(path, "-wal")).unwrap().len() > 0);
    writer
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// Copies the folder as a killed writer leaves it, with some of its files.
fn copy_as_killed(path: &Path, suffixes: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let writer = write_into_wal(path);
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("registry.db");
    for suffix in suffixes {
        let to = beside(&copy, suffix);
        fs::copy(beside(path, suffix), &to).unwrap();
        mode(&to, 0o644);
    }
    drop(writer);
    (folder, copy)
}

fn read_only(path: &Path) -> webhook_registry::Result<Registry> {
    Registry::options().read_only(true).open(path)
}

/// Asserts that the child has no write permission.
fn assert_not_writable(path: &Path) {
    assert!(fs::OpenOptions::new().append(true).open(path).is_err());
}

#[test]
fn an_unwritable_file_is_a_storage_error_unless_read_only() {
    let Some(folder) = child() else {
        let (folder, path) = prepared();
        mode(&path, 0o444);
        let before = fs::read(&path).unwrap();
        // Twice, because the first reader leaves files behind.
        for _ in 0..2 {
            rerun_as_nobody(
                "an_unwritable_file_is_a_storage_error_unless_read_only",
                folder.path(),
            );
        }
        assert_eq!(fs::read(&path).unwrap(), before);
        return;
    };
    let path = folder.join("registry.db");
    assert_not_writable(&path);
    refused(Registry::open(&path), ErrorKind::Storage, &[]);
    let registry = read_only(&path).unwrap();
    assert_eq!(registry.len().unwrap(), 1);
    let again = registry.clone();
    let other =
        std::thread::spawn(move || again.subscribers("agent.presencechanged.v1").unwrap().len());
    assert_eq!(other.join().unwrap(), 1);
    refused(registry.create(new("n")), ErrorKind::ReadOnly, &[]);
}

#[test]
fn a_file_in_an_unwritable_directory_can_be_read() {
    let Some(folder) = child() else {
        for file_mode in [0o444, 0o666] {
            let (folder, path) = prepared();
            let viewless = folder.path().join("viewless.db");
            fs::copy(&path, &viewless).unwrap();
            assert!(drop_views(&viewless) > 0);
            mode(&path, file_mode);
            fs::write(folder.path().join("empty.db-wal"), "").unwrap();
            fs::copy(&path, folder.path().join("empty.db")).unwrap();
            mode(folder.path(), 0o555);
            rerun_as_nobody("a_file_in_an_unwritable_directory_can_be_read", folder.path());
            mode(folder.path(), 0o755);
        }
        return;
    };
    assert!(fs::write(folder.join("new"), "").is_err());
    for name in ["registry.db", "empty.db", "viewless.db"] {
        let path = folder.join(name);
        let registry = read_only(&path).unwrap();
        assert_eq!(registry.check().unwrap().is_sound(), name != "viewless.db", "{name}");
        assert_eq!(registry.len().unwrap(), 1);
        assert_eq!(registry.path(), Some(path.as_path()));
        let subscribers = registry.subscribers("agent.presencechanged.v1").unwrap();
        assert_eq!(subscribers[0].name(), "one");
        refused(registry.create(new("n")), ErrorKind::ReadOnly, &[]);
        refused(Registry::open(&path), ErrorKind::Storage, &[]);
    }
    refused(Registry::open(folder.join("new.db")), ErrorKind::Storage, &[]);
    refused(read_only(&folder.join("new.db")), ErrorKind::NotFound, &["path"]);
}

#[test]
fn an_unreadable_wal_with_content_is_a_storage_error_and_never_an_older_answer() {
    let Some(folder) = child() else {
        let (_first, path) = prepared();
        let (folder, copy) = copy_as_killed(&path, &["", "-wal"]);
        mode(folder.path(), 0o555);
        rerun_as_nobody(
            "an_unreadable_wal_with_content_is_a_storage_error_and_never_an_older_answer",
            folder.path(),
        );
        // Also if the `-wal` itself is unreadable.
        mode(&beside(&copy, "-wal"), 0o000);
        rerun_as_nobody(
            "an_unreadable_wal_with_content_is_a_storage_error_and_never_an_older_answer",
            folder.path(),
        );
        mode(folder.path(), 0o755);
        return;
    };
    let path = folder.join("registry.db");
    refused(read_only(&path), ErrorKind::Storage, &[]);
    refused(Registry::open(&path), ErrorKind::Storage, &[]);
    // Through another name of the same file, without a `-wal` beside it.
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    refused(read_only(&link), ErrorKind::Storage, &[]);
}

#[test]
fn a_registry_whose_only_content_is_in_an_unreadable_wal_is_a_storage_error() {
    let Some(folder) = child() else {
        let first = tempfile::tempdir().unwrap();
        let path = first.path().join("registry.db");
        let writer = Registry::open(&path).unwrap();
        let (folder, _) = copy_as_killed(&path, &["", "-wal"]);
        drop(writer);
        mode(folder.path(), 0o555);
        rerun_as_nobody(
            "a_registry_whose_only_content_is_in_an_unreadable_wal_is_a_storage_error",
            folder.path(),
        );
        mode(folder.path(), 0o755);
        return;
    };
    let path = folder.join("registry.db");
    refused(read_only(&path), ErrorKind::Storage, &[]);
    let existing = Registry::options().create(false);
    refused(existing.open(&path), ErrorKind::Storage, &[]);
    refused(Registry::open(&path), ErrorKind::Storage, &[]);
}

#[test]
fn a_wal_with_content_and_its_shm_is_read_or_a_storage_error() {
    let Some(folder) = child() else {
        let (_first, path) = prepared();
        let (folder, _) = copy_as_killed(&path, &["", "-wal", "-shm"]);
        mode(folder.path(), 0o555);
        rerun_as_nobody("a_wal_with_content_and_its_shm_is_read_or_a_storage_error", folder.path());
        mode(folder.path(), 0o755);
        return;
    };
    match read_only(&folder.join("registry.db")) {
        Ok(registry) => assert_eq!(registry.len().unwrap(), 2, "an older answer"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Storage, "{error}"),
    }
}

#[test]
fn a_reader_in_an_unwritable_directory_follows_a_live_writer() {
    let Some(folder) = child() else {
        let (folder, path) = prepared();
        let writer = write_into_wal(&path);
        mode(folder.path(), 0o555);
        rerun_as_nobody("a_reader_in_an_unwritable_directory_follows_a_live_writer", folder.path());
        mode(folder.path(), 0o755);
        assert_eq!(writer.len().unwrap(), 2);
        return;
    };
    let registry = read_only(&folder.join("registry.db")).unwrap();
    assert_eq!(registry.len().unwrap(), 2);
}

#[test]
fn an_unreadable_file_is_a_storage_error() {
    let Some(folder) = child() else {
        let (folder, path) = prepared();
        mode(&path, 0o000);
        rerun_as_nobody("an_unreadable_file_is_a_storage_error", folder.path());
        return;
    };
    let path = folder.join("registry.db");
    refused(Registry::open(&path), ErrorKind::Storage, &[]);
    refused(read_only(&path), ErrorKind::Storage, &[]);
}

#[test]
fn a_database_of_another_application_is_incompatible_without_write_permission() {
    let Some(folder) = child() else {
        let (folder, _) = prepared();
        let path = folder.path().join("notes.db");
        let other = Connection::open(&path).unwrap();
        other.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE notes (text)").unwrap();
        drop(other);
        mode(&path, 0o444);
        mode(folder.path(), 0o555);
        rerun_as_nobody(
            "a_database_of_another_application_is_incompatible_without_write_permission",
            folder.path(),
        );
        mode(folder.path(), 0o755);
        return;
    };
    let path = folder.join("notes.db");
    refused(Registry::open(&path), ErrorKind::Incompatible, &[]);
    refused(read_only(&path), ErrorKind::Incompatible, &[]);
}

/// Creates a registry owned by nobody with these files of another user beside it. None without root
/// privileges.
fn left_by_another(suffixes: &[&str]) -> Option<(tempfile::TempDir, PathBuf)> {
    let (folder, path) = prepared();
    if fs::metadata(&path).unwrap().uid() != 0 {
        println!("skipped: only root can run as two users");
        return None;
    }
    std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    // That user reads the registry, and cannot remove the files that reading creates.
    rerun_as(NOBODY - 1, "permissions::child_reads_and_leaves_its_files", folder.path());
    for suffix in ["-wal", "-shm"] {
        let left = beside(&path, suffix);
        assert_eq!(fs::metadata(&left).unwrap().uid(), NOBODY - 1);
        if !suffixes.contains(&suffix) {
            fs::remove_file(left).unwrap();
        }
    }
    Some((folder, path))
}

#[test]
fn child_reads_and_leaves_its_files() {
    if let Some(folder) = child() {
        assert_eq!(read_only(&folder.join("registry.db")).unwrap().len().unwrap(), 1);
    }
}

#[test]
fn an_unwritable_file_beside_the_registry_is_a_storage_error_that_names_it() {
    let Some(folder) = child() else {
        for (suffixes, named) in [
            (&["-wal", "-shm"][..], "registry.db-wal"),
            (&["-wal"], "registry.db-wal"),
            (&["-shm"], "registry.db-shm"),
        ] {
            let Some((folder, path)) = left_by_another(suffixes) else { return };
            let before = fs::read(&path).unwrap();
            fs::write(folder.path().join("named"), named).unwrap();
            rerun_as_nobody(
                "an_unwritable_file_beside_the_registry_is_a_storage_error_that_names_it",
                folder.path(),
            );
            assert!(fs::read(&path).unwrap() == before);
            // The instruction in the message works.
            for suffix in suffixes {
                fs::remove_file(beside(&path, suffix)).unwrap();
            }
            fs::write(folder.path().join("named"), "").unwrap();
            rerun_as_nobody(
                "an_unwritable_file_beside_the_registry_is_a_storage_error_that_names_it",
                folder.path(),
            );
        }
        return;
    };
    let path = folder.join("registry.db");
    let named = fs::read_to_string(folder.join("named")).unwrap();
    if named.is_empty() {
        let registry = Registry::open(&path).unwrap();
        registry.create(new("two")).unwrap();
        return;
    }
    for options in [
        Registry::options(),
        Registry::options().create(false),
        Registry::options().keep_changes(5),
    ] {
        let message = refused(options.open(&path), ErrorKind::Storage, &[]).to_string();
        assert!(message.contains(&format!("{named} cannot be written to")), "{message}");
    }
    assert_eq!(read_only(&path).unwrap().len().unwrap(), 1);
}

#[test]
fn an_unreadable_file_beside_the_registry_is_a_storage_error_that_names_it() {
    let Some(folder) = child() else {
        for suffix in ["-wal", "-shm", "-journal"] {
            let (folder, path) = prepared();
            mode(&path, 0o666);
            if fs::metadata(&path).unwrap().uid() != 0 {
                println!("skipped: only root can run as two users");
                return;
            }
            let left = beside(&path, suffix);
            // An empty journal hinders nobody.
            fs::write(&left, if suffix == "-journal" { "a header" } else { "" }).unwrap();
            mode(&left, 0o600);
            let before = fs::read(&path).unwrap();
            fs::write(folder.path().join("named"), format!("registry.db{suffix}")).unwrap();
            rerun_as_nobody(
                "an_unreadable_file_beside_the_registry_is_a_storage_error_that_names_it",
                folder.path(),
            );
            assert!(fs::read(&path).unwrap() == before);
        }
        return;
    };
    let path = folder.join("registry.db");
    let named = fs::read_to_string(folder.join("named")).unwrap();
    for options in [Registry::options(), Registry::options().create(false)] {
        let message = refused(options.open(&path), ErrorKind::Storage, &[]).to_string();
        assert!(message.contains(&format!("{named} cannot be written to")), "{message}");
    }
    if named.ends_with("-journal") {
        let message = refused(read_only(&path), ErrorKind::Storage, &[]).to_string();
        assert!(message.contains(&format!("{named} holds changes")), "{message}");
    } else {
        assert_eq!(read_only(&path).unwrap().len().unwrap(), 1);
    }
}

/// SQLite ignores that it cannot remove the `-wal`, and would leave in it what it held.
#[cfg(feature = "encryption")]
#[test]
fn rekey_empties_a_wal_that_it_may_write_to_but_not_remove() {
    const SOUGHT: &str = "Sought00Sought00Sought00Sought00Sought00Sought00";
    let Some(folder) = child() else {
        let (folder, path) = prepared();
        // As in /tmp: whoever may write to a file need not be allowed to remove it.
        mode(folder.path(), 0o1777);
        mode(&path, 0o666);
        for suffix in ["-wal", "-shm"] {
            fs::write(beside(&path, suffix), "").unwrap();
            mode(&beside(&path, suffix), 0o666);
        }
        rerun_as_nobody("rekey_empties_a_wal_that_it_may_write_to_but_not_remove", folder.path());
        return;
    };
    let path = folder.join("registry.db");
    let key = [7; 32];
    let registry = Registry::open(&path).unwrap();
    let id = registry.create(new("two").secret(SOUGHT)).unwrap().subscription().id();
    registry.rekey(Some(key)).unwrap();
    let left = crate::support::files_with(&folder, &SOUGHT.as_bytes()[..8]);
    assert!(left.is_empty(), "{left:?}");
    // What is written next is not lost, and the file opens again.
    registry.create(new("three")).unwrap();
    assert_eq!(registry.secret(id).unwrap().expose(), SOUGHT);
    drop(registry);
    let registry = Registry::options().encryption_key(key).open(&path).unwrap();
    assert_eq!(registry.secret(id).unwrap().expose(), SOUGHT);
    assert_eq!(registry.len().unwrap(), 3);
    assert!(registry.check().unwrap().is_sound());
}
