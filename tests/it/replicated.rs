//! The file in the hands of a program that replicates it. Guards against a checkpoint that takes changes from under that
//! program, also the one that SQLite makes on closing.

use std::fs;
use std::path::{Path, PathBuf};

use webhook_registry::{ErrorKind, Registry, RegistryOptions};

use crate::support::{learn, new, refused};

const EVENT: &str = "agent.presencechanged.v1";

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    (folder, path)
}

fn wal(path: &Path) -> u64 {
    fs::metadata(format!("{}-wal", path.display())).map_or(0, |found| found.len())
}

fn leaving() -> RegistryOptions {
    Registry::options().leave_checkpoints(true)
}

fn reading() -> RegistryOptions {
    Registry::options().read_only(true)
}

/// More changes than SQLite leaves in a `-wal` of its own accord: 1,000 pages.
fn write_much(registry: &Registry) {
    for n in 0..150 {
        let fat =
            (0..20).fold(new(&format!("n{n}")), |new, key| new.metadata(key.to_string(), "v".repeat(1_000)));
        registry.create(fat).unwrap();
    }
}

/// A registry with one subscription, closed: nothing is beside it.
fn make(path: &Path, name: &str) {
    let registry = Registry::open(path).unwrap();
    learn(&registry);
    registry.create(new(name)).unwrap();
    drop(registry);
    assert_eq!(wal(path), 0);
}

#[test]
fn a_registry_that_leaves_checkpoints_makes_none_also_not_on_closing() {
    let (folder, path) = folder();
    make(&path, "one");
    let file = fs::read(&path).unwrap();
    let reader = reading().open(&path).unwrap();
    {
        let registry = leaving().open(&path).unwrap();
        write_much(&registry);
        assert!(wal(&path) > 2 * 1_000 * 4_096, "too little to prove anything: {}", wal(&path));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(registry.subscribers(EVENT).unwrap().len(), 151));
            }
        });
        registry.backup(folder.path().join("copy.db")).unwrap();
        assert_eq!(wal(&folder.path().join("copy.db")), 0, "a copy stands by itself");
    }
    assert!(fs::read(&path).unwrap() == file, "a checkpoint was made");
    // Last to close are one that reads, and then one that leaves it too.
    assert_eq!(reader.len().unwrap(), 151);
    drop(reader);
    assert!(fs::read(&path).unwrap() == file, "a reader made a checkpoint");
    drop(leaving().open(&path).unwrap());
    assert!(fs::read(&path).unwrap() == file, "a checkpoint was made on closing");
    assert!(wal(&path) > 2 * 1_000 * 4_096);

    // It is not kept in the file.
    let registry = Registry::open(&path).unwrap();
    assert_eq!(registry.len().unwrap(), 151);
    drop(registry);
    assert_eq!(wal(&path), 0);
    assert!(fs::read(&path).unwrap() != file);
}

#[test]
fn checkpoints_cannot_be_left_to_others_where_no_other_can_make_them() {
    let (_folder, path) = folder();
    refused(leaving().in_memory(), ErrorKind::Invalid, &["leave_checkpoints"]);
    refused(leaving().exclusive(true).open(&path), ErrorKind::Invalid, &["leave_checkpoints"]);
    assert!(!path.exists());
    // A registry that only reads makes none anyhow.
    make(&path, "one");
    assert_eq!(leaving().read_only(true).open(&path).unwrap().len().unwrap(), 1);
}
