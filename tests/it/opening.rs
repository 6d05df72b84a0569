//! Tests how opening treats an existing path: it neither overwrites nor checkpoints a file of
//! another program, and a mistyped path does not become an in-memory registry. Also what it does if
//! the file is replaced or removed meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use webhook_registry::{Error, ErrorKind, Registry};

use crate::support::{learn, new, refused};

pub(crate) fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    (folder, path)
}

/// Creates a registry with one subscription, and closes it.
fn create_closed(path: &Path) {
    let registry = Registry::open(path).unwrap();
    learn(&registry);
    registry.create(new("one")).unwrap();
}

/// Returns every file of the folder except for a `-shm` and an empty `-wal`, which SQLite may add.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.to_str().unwrap();
        let bytes = fs::read(&path).unwrap();
        let is_allowed = name.ends_with("-shm") || name.ends_with("-wal") && bytes.is_empty();
        if !is_allowed {
            files.insert(path, bytes);
        }
    }
    files
}

/// Returns every way to open a registry with its name.
pub(crate) fn ways() -> [(&'static str, webhook_registry::RegistryOptions); 3] {
    [
        ("open", Registry::options()),
        ("create(false)", Registry::options().create(false)),
        ("read_only", Registry::options().read_only(true)),
    ]
}

/// Asserts that every way to open rejects the file and leaves it unchanged.
#[track_caller]
fn assert_rejected_unchanged(path: &Path, kind: ErrorKind) {
    let folder = path.parent().unwrap();
    let before = contents(folder);
    assert!(before.contains_key(path), "the file does not exist");
    for (way, options) in ways() {
        for _ in 0..2 {
            refused(options.open(path), kind, &[]);
            assert!(contents(folder) == before, "opening {way} changed the folder");
        }
    }
}

/// Copies a database that is open, as a killed program leaves it behind.
pub(crate) fn copy_as_killed(path: &Path, to: &Path) -> PathBuf {
    let copy = to.join("left.db");
    for suffix in ["", "-wal", "-journal"] {
        let name = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        if name(path).exists() {
            fs::copy(name(path), name(&copy)).unwrap();
        }
    }
    copy
}

#[test]
fn a_path_that_cannot_be_a_file_is_a_storage_error() {
    let (folder, path) = folder();
    fs::write(folder.path().join("text"), "text").unwrap();
    fs::create_dir(&path).unwrap();
    for path in [
        PathBuf::new(),
        path,
        folder.path().join("text").join("registry.db"),
        folder.path().join("nul\0.db"),
    ] {
        for (_, options) in ways() {
            refused(options.open(&path), ErrorKind::Storage, &[]);
        }
    }
    let missing = folder.path().join("missing").join("registry.db");
    refused(Registry::open(&missing), ErrorKind::Storage, &[]);
    assert!(!folder.path().join("missing").exists());
    for (_, options) in &ways()[1..] {
        let error: Error = options.open(&missing).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Storage | ErrorKind::NotFound), "{error}");
    }
}

#[test]
fn open_errors_name_the_file() {
    let (_folder, path) = folder();
    fs::write(&path, "a text file, longer than a header of one hundred bytes").unwrap();
    let error = Registry::open(&path).unwrap_err();
    assert!(error.to_string().contains("registry.db"), "{error}");
}

#[test]
fn an_empty_file_becomes_a_registry_and_keeps_its_mode() {
    let (_folder, path) = folder();
    fs::write(&path, "").unwrap();
    set_mode(&path, 0o640);
    let registry = Registry::open(&path).unwrap();
    learn(&registry);
    registry.create(new("one")).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        assert_mode(&path, suffix, 0o640);
    }
    drop(registry);
    assert_eq!(Registry::open(&path).unwrap().len().unwrap(), 1);
    assert_mode(&path, "", 0o640);
}

#[test]
fn a_new_file_is_accessible_to_its_owner_only() {
    let (folder, path) = folder();
    set_mode(folder.path(), 0o777);
    let registry = Registry::open(&path).unwrap();
    assert_mode(&path, "", 0o600);
    learn(&registry);
    registry.create(new("one")).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        assert_mode(&path, suffix, 0o600);
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
#[track_caller]
fn assert_mode(path: &Path, suffix: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = format!("{}{suffix}", path.display());
    let found = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(found, mode, "{path} has mode {found:o}");
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) {}

#[cfg(not(unix))]
fn assert_mode(_: &Path, _: &str, _: u32) {}

#[test]
fn files_that_are_not_sqlite_databases_are_rejected_and_unchanged() {
    for bytes in [
        &b"x"[..],
        b"\0",
        b"ab",
        b"a text file\n",
        b"SQLite format 3\0",
        &[0; 4_096],
        &b"# notes\n".repeat(1_000),
        &[0xAA; 1_024],
    ] {
        let (_folder, path) = folder();
        fs::write(&path, bytes).unwrap();
        assert_rejected_unchanged(&path, ErrorKind::Incompatible);
    }
}

#[test]
fn a_database_of_another_application_is_rejected_and_unchanged() {
    for setup in [
        "CREATE TABLE notes (text)",
        "PRAGMA application_id = 42",
        "PRAGMA user_version = 1",
        "PRAGMA journal_mode = WAL; CREATE TABLE notes (text)",
        // A file like a registry except for the application id, and one with only the application
        // id.
        "PRAGMA user_version = 1; CREATE TABLE _webhook_registry_subscription (id)",
        "PRAGMA application_id = 2003333735; CREATE TABLE notes (text)",
    ] {
        let (_folder, path) = folder();
        let other = Connection::open(&path).unwrap();
        other.execute_batch(setup).unwrap();
        // While the other program is running, and afterwards.
        assert_rejected_unchanged(&path, ErrorKind::Incompatible);
        drop(other);
        assert_rejected_unchanged(&path, ErrorKind::Incompatible);
    }
}

#[test]
fn a_wal_of_another_application_is_not_checkpointed() {
    for before in ["", "CREATE TABLE notes (text)"] {
        let (folder, path) = folder();
        let other = Connection::open(&path).unwrap();
        other.execute_batch(&format!("PRAGMA journal_mode = WAL; {before}")).unwrap();
        other
            .execute_batch("PRAGMA wal_checkpoint(TRUNCATE); CREATE TABLE more AS SELECT 1 AS one")
            .unwrap();
        let to = tempfile::tempdir_in(folder.path()).unwrap();
        let left = copy_as_killed(&path, to.path());
        let wal = to.path().join("left.db-wal");
        assert!(fs::metadata(wal).unwrap().len() > 0);
        assert_rejected_unchanged(&left, ErrorKind::Incompatible);
        let one: i64 = Connection::open(&left)
            .unwrap()
            .query_row("SELECT one FROM more", [], |row| row.get(0))
            .unwrap();
        assert_eq!(one, 1);
    }
}

#[test]
fn a_journal_of_another_application_is_not_rolled_back() {
    let (folder, path) = folder();
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch(
            "CREATE TABLE notes (text); \
             INSERT INTO notes SELECT hex(randomblob(500)) FROM json_each('[1,2,3,4,5,6,7,8,9]'); \
             PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN; UPDATE notes SET text = 'half'; \
             INSERT INTO notes SELECT hex(randomblob(9000)) FROM notes",
        )
        .unwrap();
    let to = tempfile::tempdir_in(folder.path()).unwrap();
    let left = copy_as_killed(&path, to.path());
    let journal = to.path().join("left.db-journal");
    assert!(fs::metadata(&journal).unwrap().len() > 0);
    assert_rejected_unchanged(&left, ErrorKind::Incompatible);
    // The journal was hot: the program itself rolls it back.
    let rest: i64 = Connection::open(&left)
        .unwrap()
        .query_row("SELECT count(*) FROM notes WHERE text <> 'half'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rest, 9);
    assert!(!journal.exists());
}

#[test]
fn a_file_of_a_newer_version_is_rejected() {
    for version in [2, 99, i32::MAX] {
        let (folder, path) = folder();
        create_closed(&path);
        let newer = Connection::open(&path).unwrap();
        newer.pragma_update(None, "user_version", version).unwrap();
        // The version is in the `-wal` of a running program, in a leftover `-wal`, and in the file.
        assert!(fs::metadata(folder.path().join("registry.db-wal")).unwrap().len() > 0);
        assert_rejected_unchanged(&path, ErrorKind::Incompatible);
        let to = tempfile::tempdir().unwrap();
        assert_rejected_unchanged(&copy_as_killed(&path, to.path()), ErrorKind::Incompatible);
        drop(newer);
        assert_rejected_unchanged(&path, ErrorKind::Incompatible);
        let message = Registry::open(&path).unwrap_err().to_string();
        assert!(message.contains("newer version") && message.contains(&version.to_string()));
    }
}

#[test]
fn no_file_is_created_read_only_or_with_create_disabled() {
    let (folder, path) = folder();
    for (_, options) in &ways()[1..] {
        refused(options.open(&path), ErrorKind::NotFound, &["path"]);
        assert!(contents(folder.path()).is_empty());
    }
    fs::write(&path, "").unwrap();
    for (_, options) in &ways()[1..] {
        refused(options.open(&path), ErrorKind::NotFound, &["path"]);
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    }
    create_closed(&path);
    for (_, options) in ways() {
        assert_eq!(options.open(&path).unwrap().len().unwrap(), 1);
    }
}

#[test]
fn a_reader_sees_changes_on_its_next_call_and_never_changes_the_file() {
    let (folder, path) = folder();
    create_closed(&path);
    let read_only = Registry::options().read_only(true);
    let before = contents(folder.path());
    let early = read_only.open(&path).unwrap();
    assert_eq!(early.len().unwrap(), 1);
    assert!(contents(folder.path()) == before);

    let writer = Registry::open(&path).unwrap();
    for n in 2..20 {
        writer.create(new(&format!("n{n}"))).unwrap();
        assert_eq!(early.len().unwrap(), n);
        assert_eq!(read_only.open(&path).unwrap().len().unwrap(), n);
    }
    drop(writer);
    let before = contents(folder.path());
    assert_eq!(early.subscribers("agent.presencechanged.v1").unwrap().len(), 19);
    refused(early.create(new("more")), ErrorKind::ReadOnly, &[]);
    drop(early);
    assert!(contents(folder.path()) == before);
}

#[test]
fn the_files_of_a_killed_writer_are_readable_by_a_writer_and_a_reader() {
    let (_folder, path) = folder();
    create_closed(&path);
    let writer = Registry::open(&path).unwrap();
    writer.create(new("two")).unwrap();
    let to = tempfile::tempdir().unwrap();
    let left = copy_as_killed(&path, to.path());
    assert!(fs::metadata(to.path().join("left.db-wal")).unwrap().len() > 0);

    let before = contents(to.path());
    let reader = Registry::options().read_only(true).open(&left).unwrap();
    assert_eq!(reader.len().unwrap(), 2);
    drop(reader);
    assert!(contents(to.path()) == before);
    let next = Registry::open(&left).unwrap();
    assert_eq!(next.len().unwrap(), 2);
    next.create(new("three")).unwrap();
}

#[test]
fn contradictory_options_are_invalid() {
    let read_only = Registry::options().read_only(true);
    refused(read_only.in_memory(), ErrorKind::Invalid, &["read_only"]);
    let both = read_only.create(false).in_memory();
    refused(both, ErrorKind::Invalid, &["read_only", "create"]);
    assert_eq!(Registry::in_memory().unwrap().path(), None);
}

#[test]
fn two_in_memory_registries_are_independent() {
    let one = Registry::in_memory().unwrap();
    one.register_event_type("a").unwrap();
    assert_eq!(one.clone().event_types().unwrap().len(), 1);
    assert!(Registry::in_memory().unwrap().event_types().unwrap().is_empty());
}

#[test]
fn an_encrypted_file_is_rejected_without_a_key_even_without_the_encryption_feature() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    drop(Registry::open(&path).unwrap());
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute("UPDATE _webhook_registry_meta SET key_check = randomblob(40)", []).unwrap();
    drop(conn);
    let before = std::fs::read(&path).unwrap();
    for options in [
        Registry::options(),
        Registry::options().read_only(true),
        Registry::options().exclusive(true),
    ] {
        let error = refused(options.open(&path), ErrorKind::Incompatible, &[]);
        assert_eq!(error.to_string(), "the file is encrypted, and no key was given");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

/// Opens a file without tables that another connection keeps from being written, and calls
/// `change` while opening waits for that lock.
#[cfg(unix)]
fn open_during(path: &Path, change: impl FnOnce()) -> Result<Registry, Error> {
    let stranger = Connection::open(path).unwrap();
    stranger.execute_batch("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let options = Registry::options().busy_timeout(Duration::from_secs(60));
        let opening = scope.spawn(move || options.open(path));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!opening.is_finished(), "opening waits for the lock");
        change();
        stranger.execute_batch("ROLLBACK").unwrap();
        drop(stranger);
        opening.join().unwrap()
    })
}

#[cfg(unix)]
#[test]
fn a_file_replaced_while_it_is_opened_is_left_for_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let registry = open_during(&path, || crate::locked_and_replaced_files::replace(&path)).unwrap();
    assert_eq!(registry.len().unwrap(), 3);
    registry.create(new("four")).unwrap();
    let other = Registry::open(&path).unwrap();
    assert_eq!(other.len().unwrap(), 4, "the change is in the file at the path");
    assert!(other.check().unwrap().is_sound());
}

#[cfg(unix)]
#[test]
fn a_file_removed_while_it_is_opened_is_created_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let remove = || {
        for left in [path.clone(), path.with_extension("db-wal"), path.with_extension("db-shm")] {
            fs::remove_file(left).unwrap();
        }
    };
    let registry = open_during(&path, remove).unwrap();
    registry.register_event_type("agent.v1").unwrap();
    registry.create(new("one")).unwrap();
    assert_eq!(Registry::open(&path).unwrap().len().unwrap(), 1);
}
