//! Tests that a failed open leaves nothing behind: no empty file at a path that SQLite cannot open,
//! and no journal beside a device.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use webhook_registry::{ErrorKind, Registry, RegistryOptions};

use crate::support::{new, refused};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    (folder, path)
}

/// Returns every way to open a registry with its name.
fn ways() -> [(&'static str, RegistryOptions); 3] {
    [
        ("open", Registry::options()),
        ("create(false)", Registry::options().create(false)),
        ("read_only", Registry::options().read_only(true)),
    ]
}

/// Returns the names of all files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Returns a path of this many bytes below a folder, whose last part has `last` bytes. Creates the
/// folders that it needs.
fn of_bytes(folder: &Path, length: usize, last: usize) -> PathBuf {
    let mut path = folder.to_owned();
    loop {
        match length - last - 1 - path.as_os_str().len() {
            0 => break,
            rest => path.push("d".repeat(if rest > 102 { 99 } else { rest - 1 })),
        }
    }
    fs::create_dir_all(&path).unwrap();
    path.join("f".repeat(last))
}

#[test]
fn a_path_that_sqlite_cannot_open_is_a_storage_error_and_leaves_no_file() {
    let (folder, _) = folder();
    let of_bytes = |length| of_bytes(folder.path(), length, 150);
    let name = |length: usize| folder.path().join("n".repeat(length));
    // With `-journal`, SQLite opens no path of more than 512 bytes, and file systems here allow no
    // name of more than 255.
    let (last_path, last_name) = (of_bytes(504), name(247));
    for path in
        [of_bytes(505), of_bytes(513), of_bytes(800), name(248), name(251), name(255), name(300)]
    {
        let before = names(path.parent().unwrap());
        for (way, options) in ways() {
            let error = options.open(&path).unwrap_err();
            let missing = way != "open" && error.kind() == ErrorKind::NotFound;
            assert!(missing || error.kind() == ErrorKind::Storage, "{way}: {error}");
        }
        refused(Registry::open(&path), ErrorKind::Storage, &[]);
        assert_eq!(names(path.parent().unwrap()), before);
    }
    for path in [last_path, last_name] {
        let registry = Registry::open(&path).unwrap();
        registry.create(new("one").allow_unknown_events(true)).unwrap();
        drop(registry);
        assert_eq!(Registry::open(&path).unwrap().len().unwrap(), 1);
    }
}

#[test]
fn the_length_of_a_path_is_measured_with_links_resolved() {
    let (folder, _) = folder();
    let long = (0..4).fold(folder.path().to_owned(), |path, _| path.join("d".repeat(120)));
    fs::create_dir_all(&long).unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&long, &link).unwrap();
    let error = refused(Registry::open(link.join("registry.db")), ErrorKind::Storage, &[]);
    assert!(error.to_string().contains("512 bytes"), "{error}");
    assert!(names(&long).is_empty());
}

#[test]
fn a_path_that_is_not_a_regular_file_is_a_storage_error_and_leaves_no_file() {
    let (folder, path) = folder();
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for device in ["/dev/null", "/dev/zero", "/dev/full"] {
        let link = folder.path().join(device.rsplit('/').next().unwrap());
        std::os::unix::fs::symlink(device, link).unwrap();
    }
    let before = names(folder.path());
    let devices = names(Path::new("/dev"));
    for name in &before {
        for (_, options) in ways() {
            let error = refused(options.open(folder.path().join(name)), ErrorKind::Storage, &[]);
            assert!(error.to_string().contains("is not a regular file"), "{error}");
        }
    }
    refused(Registry::open("/dev/null"), ErrorKind::Storage, &[]);
    assert_eq!(names(folder.path()), before);
    assert!(
        names(Path::new("/dev"))
            .iter()
            .all(|name| devices.contains(name) || !name.starts_with("null"))
    );
    // The same if a file that SQLite would create beside a new file is not a regular file.
    for suffix in ["-journal", "-wal", "-shm"] {
        let beside = folder.path().join(format!("registry.db{suffix}"));
        fs::create_dir(&beside).unwrap();
        let error = refused(Registry::open(&path), ErrorKind::Storage, &[]);
        assert!(
            error.to_string().contains(&format!("registry.db{suffix} is not a regular file")),
            "{error}"
        );
        assert!(!path.exists());
        fs::remove_dir(beside).unwrap();
    }
    assert!(Registry::open(&path).unwrap().is_empty().unwrap());
}

#[test]
fn a_file_beside_an_existing_registry_that_is_not_regular_is_a_storage_error_that_names_it() {
    let (folder, path) = folder();
    Registry::open(&path).unwrap().create(new("one").allow_unknown_events(true)).unwrap();
    fs::write(folder.path().join("empty"), "").unwrap();
    std::os::unix::fs::symlink(&path, folder.path().join("link")).unwrap();
    let bytes = fs::read(&path).unwrap();
    let make_pipe = |at: &Path| {
        assert!(std::process::Command::new("mkfifo").arg(at).status().unwrap().success());
    };
    type Make<'a> = &'a dyn Fn(&Path);
    let kinds: [(&str, Make); 4] = [
        ("a folder", &|at| fs::create_dir(at).unwrap()),
        ("a pipe", &make_pipe),
        ("a dangling link", &|at| std::os::unix::fs::symlink("nowhere", at).unwrap()),
        ("a link", &|at| std::os::unix::fs::symlink("empty", at).unwrap()),
    ];
    for suffix in ["-journal", "-wal", "-shm"] {
        let name = format!("registry.db{suffix}");
        let beside = folder.path().join(&name);
        for (kind, make) in &kinds {
            make(&beside);
            let before = names(folder.path());
            for path in [&path, &folder.path().join("link")] {
                for (way, options) in ways() {
                    let since = std::time::Instant::now();
                    let error = refused(options.open(path), ErrorKind::Storage, &[]);
                    assert!(
                        error.to_string().contains(&format!("{name} is not a regular file")),
                        "{way} beside {kind}: {error}"
                    );
                    // The timeout is five seconds.
                    assert!(since.elapsed().as_secs() < 3, "{way} beside {kind} waits");
                }
            }
            assert_eq!(names(folder.path()), before);
            fs::remove_file(&beside).or_else(|_| fs::remove_dir(&beside)).unwrap();
        }
    }
    assert!(fs::read(&path).unwrap() == bytes);
    assert_eq!(Registry::open(&path).unwrap().len().unwrap(), 1);
}

#[cfg(feature = "encryption")]
#[test]
fn a_registry_with_the_longest_name_or_path_can_be_given_a_key() {
    use sha2::{Digest as _, Sha256};
    for (length, last) in
        [(0, 241), (0, 242), (0, 243), (0, 247), (498, 4), (499, 18), (504, 23), (504, 150)]
    {
        let folder = tempfile::tempdir().unwrap();
        let length = length.max(folder.path().as_os_str().len() + 1 + last);
        let path = of_bytes(folder.path(), length, last);
        let registry = Registry::open(&path).unwrap();
        registry.create(new("one").allow_unknown_events(true)).unwrap();
        let before = names(path.parent().unwrap());
        for key in [Some([1; 32]), None, Some([2; 32])] {
            registry.rekey(key).unwrap_or_else(|error| panic!("{length} and {last}: {error:?}"));
            assert_eq!(names(path.parent().unwrap()), before);
        }
        drop(registry);
        // A copy that a killed program has left is removed by the next open.
        let digest = Sha256::digest(path.file_name().unwrap().as_encoded_bytes());
        let digest: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let left = path.with_file_name(format!(".{digest}-rekey"));
        if (length, last) != (498, 4) {
            fs::write(&left, "a secret").unwrap();
        }
        let registry = Registry::options().encryption_key([2; 32]).open(&path).unwrap();
        assert_eq!(registry.len().unwrap(), 1);
        assert_eq!(names(path.parent().unwrap()), before);
    }
}

#[cfg(feature = "encryption")]
#[test]
fn a_path_without_room_for_the_copy_of_a_change_of_key_is_a_storage_error_before_any_change() {
    for (length, last) in [(499, 4), (499, 17), (504, 1), (504, 22)] {
        let folder = tempfile::tempdir().unwrap();
        let path = of_bytes(folder.path(), length, last);
        let registry = Registry::open(&path).unwrap();
        registry.create(new("one").allow_unknown_events(true)).unwrap();
        let (before, version) = (names(path.parent().unwrap()), fs::read(&path).unwrap());
        let error = refused(registry.rekey(Some([1; 32])), ErrorKind::Storage, &[]);
        assert!(error.to_string().contains("no copy can be made beside it"), "{error}");
        assert_eq!(names(path.parent().unwrap()), before);
        assert!(fs::read(&path).unwrap() == version);
        // Nobody waits for it, and it is as usable as before.
        assert_eq!(Registry::open(&path).unwrap().len().unwrap(), 1);
        registry.create(new("two").allow_unknown_events(true)).unwrap();
    }
}

#[test]
fn a_backup_to_a_path_that_no_registry_can_be_opened_at_is_a_storage_error_and_leaves_no_file() {
    let (folder, path) = folder();
    let registry = Registry::open(&path).unwrap();
    registry.create(new("one").allow_unknown_events(true)).unwrap();
    let of_bytes = |length, last| of_bytes(folder.path(), length, last);
    for path in (505..=513)
        .chain([520, 800])
        .map(|length| of_bytes(length, 150))
        .chain((248..=255).map(|length| folder.path().join("n".repeat(length))))
    {
        let before = names(path.parent().unwrap());
        refused(registry.backup(&path), ErrorKind::Storage, &[]);
        assert_eq!(names(path.parent().unwrap()), before);
        refused(Registry::open(&path), ErrorKind::Storage, &[]);
    }
    // The name of the unfinished copy is longer than this one.
    let path = of_bytes(468, 2);
    let error = refused(registry.backup(&path), ErrorKind::Storage, &[]);
    assert!(error.to_string().contains(".part cannot be created"), "{error}");
    assert_eq!(names(path.parent().unwrap()), [""; 0]);
    for path in [of_bytes(504, 150), of_bytes(466, 1), folder.path().join("n".repeat(247))] {
        registry.backup(&path).unwrap();
        let copy = Registry::open(&path).unwrap();
        copy.create(new("two").allow_unknown_events(true)).unwrap();
        assert_eq!(copy.len().unwrap(), 2);
    }
}

#[test]
fn an_existing_file_at_a_path_that_sqlite_cannot_open_is_a_storage_error_that_says_so() {
    let (folder, path) = folder();
    Registry::open(&path).unwrap();
    let long = of_bytes(folder.path(), 505, 150);
    fs::copy(&path, &long).unwrap();
    for (way, options) in ways() {
        let error = refused(options.open(&long), ErrorKind::Storage, &[]);
        assert!(error.to_string().contains("more than 512 bytes"), "{way}: {error}");
    }
    assert_eq!(names(long.parent().unwrap()).len(), 1);
}
