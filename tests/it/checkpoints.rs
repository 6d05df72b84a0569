//! Tests a registry beside a replication program. A registry without automatic checkpoints makes
//! none, not even the one that SQLite makes on closing.

use std::fs;
use std::path::{Path, PathBuf};

use webhook_registry::{ErrorKind, Registry, RegistryOptions};

use crate::support::{learn, new, refused};

pub(crate) const EVENT: &str = "agent.presencechanged.v1";

pub(crate) fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    (folder, path)
}

fn wal_length(path: &Path) -> u64 {
    fs::metadata(format!("{}-wal", path.display())).map_or(0, |found| found.len())
}

fn without_auto_checkpoint() -> RegistryOptions {
    Registry::options().auto_checkpoint(false)
}

pub(crate) fn read_only() -> RegistryOptions {
    Registry::options().read_only(true)
}

/// Writes more than the 1,000 pages after which SQLite makes a checkpoint.
fn write_many_pages(registry: &Registry) {
    for n in 0..150 {
        let fat = (0..20).fold(new(&format!("n{n}")), |new, key| {
            new.metadata(key.to_string(), "v".repeat(1_000))
        });
        registry.create(fat).unwrap();
    }
}

/// Creates a registry with one subscription and closes it, so that no file lies beside it.
pub(crate) fn create_closed(path: &Path, name: &str) {
    let registry = Registry::open(path).unwrap();
    learn(&registry);
    registry.create(new(name)).unwrap();
    drop(registry);
    assert_eq!(wal_length(path), 0);
}

#[test]
fn without_automatic_checkpoints_none_is_made_not_even_on_closing() {
    let (folder, path) = folder();
    create_closed(&path, "one");
    let file = fs::read(&path).unwrap();
    let reader = read_only().open(&path).unwrap();
    {
        let registry = without_auto_checkpoint().open(&path).unwrap();
        write_many_pages(&registry);
        assert!(
            wal_length(&path) > 2 * 1_000 * 4_096,
            "the -wal is too short for the test: {}",
            wal_length(&path)
        );
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(registry.subscribers(EVENT).unwrap().len(), 151));
            }
        });
        registry.backup(folder.path().join("copy.db")).unwrap();
        assert_eq!(wal_length(&folder.path().join("copy.db")), 0, "a copy has no -wal");
    }
    assert!(fs::read(&path).unwrap() == file, "a checkpoint was made");
    // The last two handles to close are a reader and one without automatic checkpoints.
    assert_eq!(reader.len().unwrap(), 151);
    drop(reader);
    assert!(fs::read(&path).unwrap() == file, "a reader made a checkpoint");
    drop(without_auto_checkpoint().open(&path).unwrap());
    assert!(fs::read(&path).unwrap() == file, "a checkpoint was made on closing");
    assert!(wal_length(&path) > 2 * 1_000 * 4_096);

    // The option is not stored in the file.
    let registry = Registry::open(&path).unwrap();
    assert_eq!(registry.len().unwrap(), 151);
    drop(registry);
    assert_eq!(wal_length(&path), 0);
    assert!(fs::read(&path).unwrap() != file);
}

#[test]
fn disabling_checkpoints_is_rejected_for_exclusive_and_in_memory_registries() {
    let (_folder, path) = folder();
    refused(without_auto_checkpoint().in_memory(), ErrorKind::Invalid, &["auto_checkpoint"]);
    refused(
        without_auto_checkpoint().exclusive(true).open(&path),
        ErrorKind::Invalid,
        &["auto_checkpoint"],
    );
    assert!(!path.exists());
    // A read-only registry makes no checkpoints anyway.
    create_closed(&path, "one");
    assert_eq!(without_auto_checkpoint().read_only(true).open(&path).unwrap().len().unwrap(), 1);
}
