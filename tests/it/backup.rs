//! Tests that a backup is a complete, independent file: it never holds part of a call, does not
//! depend on a `-wal`, and does not replace an existing file.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use webhook_registry::{ErrorKind, Registry};

use crate::support::child::{self, Peer};
use crate::support::history;
use crate::support::{learn, new, refused, size};

/// Returns every subscription with its live secrets, and the catalog.
fn contents(registry: &Registry) -> String {
    let mut text = format!("{:?}\n", registry.event_types().unwrap());
    for found in registry.iter(Default::default()) {
        let found = found.unwrap();
        let secrets = registry.secrets(found.id()).unwrap();
        let secrets: Vec<&str> = secrets.iter().map(|issued| issued.secret().expose()).collect();
        text += &format!("{} {secrets:?}\n", serde_json::to_string(&found).unwrap());
    }
    text
}

fn file_names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn registry_with_50(path: &Path) -> Registry {
    let registry = Registry::open(path).unwrap();
    learn(&registry);
    registry.create_all((0..50).map(|n| new(&format!("n{n}")))).unwrap();
    registry
}

#[test]
fn a_backup_is_a_single_file_with_the_contents_at_that_moment() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    std::fs::create_dir_all(&source).unwrap();
    std::fs::create_dir_all(&target).unwrap();
    let registry = registry_with_50(&source.join("webhooks.db"));
    let before = contents(&registry);
    let copy = target.join("copy.db");
    registry.backup(&copy).unwrap();
    assert_eq!(file_names(&target), ["copy.db"], "neither a -wal nor a .part file");
    history::assert_whole(&copy);
    let header = std::fs::read(&copy).unwrap();
    assert_eq!(&header[18..20], [2, 2], "the copy is in WAL mode");
    registry.create(new("later")).unwrap();
    let copied = Registry::open(&copy).unwrap();
    assert_eq!(contents(&copied), before);
    assert!(copied.check().unwrap().is_sound());
    copied.create(new("in the copy")).unwrap();
    assert_eq!(registry.get_by_name("in the copy").unwrap(), None);
    // An empty registry and a copy can be backed up too.
    drop(copied);
    Registry::options()
        .read_only(true)
        .open(&copy)
        .unwrap()
        .backup(target.join("again.db"))
        .unwrap();
    let again = Registry::open(target.join("again.db")).unwrap();
    assert_eq!(again.len().unwrap(), 51);
    Registry::in_memory().unwrap().backup(target.join("empty.db")).unwrap();
    assert!(
        Registry::options()
            .create(false)
            .open(target.join("empty.db"))
            .unwrap()
            .is_empty()
            .unwrap()
    );
}

#[cfg(unix)]
#[test]
fn a_backup_is_accessible_to_its_owner_only_whatever_the_mode_of_the_source() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = registry_with_50(&path);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let copy = folder.path().join("copy.db");
    registry.backup(&copy).unwrap();
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn read_only_exclusive_and_in_memory_registries_can_be_backed_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let file = registry_with_50(&path);
    let before = contents(&file);
    let copied = |registry: &Registry, name: &str| {
        let copy = folder.path().join(name);
        registry.backup(&copy).unwrap();
        let header = std::fs::read(&copy).unwrap();
        assert_eq!(&header[18..20], [2, 2], "{name}");
        contents(&Registry::options().read_only(true).open(&copy).unwrap())
    };
    let reader = Registry::options().read_only(true).open(&path).unwrap();
    assert_eq!(copied(&reader, "by a reader"), before);
    drop((file, reader));
    let exclusive = Registry::options().exclusive(true).open(&path).unwrap();
    assert_eq!(copied(&exclusive, "by an exclusive one"), before);
    let memory = Registry::in_memory().unwrap();
    learn(&memory);
    memory.create(new("crm")).unwrap();
    assert_eq!(copied(&memory, "of memory"), contents(&memory));
}

/// A registry in memory has no views. Its first file gets them.
#[test]
fn backups_of_registries_in_memory_have_the_views_and_each_an_identity() {
    let folder = tempfile::tempdir().unwrap();
    let identities = ["a.db", "b.db"].map(|name| {
        let memory = Registry::in_memory().unwrap();
        learn(&memory);
        memory.create(new(name)).unwrap();
        assert!(memory.check().unwrap().is_sound());
        let path = folder.path().join(name);
        memory.backup(&path).unwrap();
        let conn = rusqlite::Connection::open(&path).unwrap();
        conn.execute("UPDATE webhook_registry_subscriptions SET enabled = 0", []).unwrap();
        let copy = Registry::open(&path).unwrap();
        assert!(copy.check().unwrap().is_sound());
        assert!(!copy.get_by_name(name).unwrap().unwrap().enabled());
        // The part that secrets are bound to, without what the backup appends.
        let sql = "SELECT substr(file_id, 1, 16) FROM _webhook_registry_meta";
        conn.query_row(sql, [], |row| row.get::<_, Vec<u8>>(0)).unwrap()
    });
    assert_ne!(identities[0], identities[1]);
}

#[cfg(feature = "encryption")]
#[test]
fn a_backup_of_an_encrypted_file_opens_only_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let options = Registry::options().encryption_key([7; 32]);
    let registry = options.open(folder.path().join("webhooks.db")).unwrap();
    learn(&registry);
    let created = registry.create(new("crm")).unwrap();
    let copy = folder.path().join("copy.db");
    registry.backup(&copy).unwrap();
    let bytes = std::fs::read(&copy).unwrap();
    let secret = created.secret().expose().as_bytes();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    refused(Registry::open(&copy), ErrorKind::Incompatible, &[]);
    refused(Registry::options().encryption_key([8; 32]).open(&copy), ErrorKind::Incompatible, &[]);
    assert_eq!(contents(&options.open(&copy).unwrap()), contents(&registry));
}

#[test]
fn a_backup_does_not_overwrite_an_existing_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = registry_with_50(&path);
    let file = folder.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    let sub = folder.path().join("folder");
    std::fs::create_dir(&sub).unwrap();
    for taken in [&file, &sub, &path] {
        let error = refused(registry.backup(taken), ErrorKind::Conflict, &["path"]);
        let shown = format!(
            "path {:?} exists already, and a backup replaces nothing",
            taken.to_str().unwrap()
        );
        assert_eq!(error.to_string(), shown);
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    // An empty file and a dangling link count as existing.
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    refused(registry.backup(&empty), ErrorKind::Conflict, &["path"]);
    #[cfg(unix)]
    {
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        refused(registry.backup(&link), ErrorKind::Conflict, &["path"]);
        assert!(!folder.path().join("nowhere").exists());
    }
    // SQLite would read the leftovers of a former file as part of the copy.
    for left in ["-wal", "-journal", "-shm"] {
        let (copy, left) =
            (folder.path().join("copy.db"), folder.path().join(format!("copy.db{left}")));
        std::fs::write(&left, "left").unwrap();
        refused(registry.backup(&copy), ErrorKind::Conflict, &["path"]);
        assert!(!copy.exists());
        std::fs::remove_file(&left).unwrap();
    }
    assert!(file_names(folder.path()).iter().all(|name| !name.ends_with(".part")));
}

#[test]
fn a_backup_to_an_impossible_path_is_a_storage_error() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry_with_50(&folder.path().join("webhooks.db"));
    std::fs::write(folder.path().join("file"), "").unwrap();
    let bad = ["missing/copy.db", "file/copy.db", "webhooks.db/x"];
    for bad in bad {
        refused(registry.backup(folder.path().join(bad)), ErrorKind::Storage, &[]);
    }
    refused(registry.backup(""), ErrorKind::Storage, &[]);
    refused(registry.backup("/"), ErrorKind::Storage, &[]);
    let long = folder.path().join("x".repeat(300));
    refused(registry.backup(long), ErrorKind::Storage, &[]);
    let longest = folder.path().join("x".repeat(240));
    registry.backup(&longest).unwrap();
    assert!(file_names(folder.path()).iter().all(|name| !name.ends_with(".part")));
}

#[test]
fn a_backup_to_a_relative_path_or_a_special_name_creates_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry_with_50(&folder.path().join("webhooks.db"));
    for name in [":memory:", "file:x?mode=memory", "a b%41#?.db"] {
        let copy = folder.path().join(name);
        registry.backup(&copy).unwrap();
        assert_eq!(Registry::open(&copy).unwrap().len().unwrap(), 50);
    }
}

#[test]
fn child_writes_until_told_to_stop() {
    let Some((path, _)) = child::role() else { return };
    let registry = Registry::open(&path).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            child::await_word();
            stop.store(true, Ordering::SeqCst);
        });
        for round in 0.. {
            registry
                .create_all([new(&format!("p{round} a")), new(&format!("p{round} b"))])
                .unwrap();
            if round == 0 {
                child::tell("writing");
            }
            if stop.load(Ordering::SeqCst) {
                break;
            }
        }
    });
    child::tell("done");
}

#[test]
fn a_backup_is_consistent_while_a_thread_and_a_process_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = registry_with_50(&path);
    let mut peer =
        Peer::spawn(&mut child::command("backup::child_writes_until_told_to_stop", &path, &[]));
    peer.expect("writing");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                registry
                    .create_all([new(&format!("t{round} a")), new(&format!("t{round} b"))])
                    .unwrap();
                if stop.load(Ordering::SeqCst) {
                    break;
                }
            }
        });
        let mut last = 0;
        for round in 0..size(8, 60) {
            let copy = folder.path().join(format!("copy {round}.db"));
            registry.backup(&copy).unwrap();
            let copied = Registry::open(&copy).unwrap();
            let len = copied.len().unwrap();
            assert!(len.is_multiple_of(2) && len >= last, "{len} after {last}");
            assert!(copied.check().unwrap().is_sound());
            last = len;
        }
        stop.store(true, Ordering::SeqCst);
        assert!(last > 50, "the writers wrote");
    });
    peer.say("stop");
    peer.expect("done");
    peer.finish();
}

#[test]
fn one_of_many_concurrent_backups_to_one_path_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let registry = registry_with_50(&folder.path().join("webhooks.db"));
    let copy = folder.path().join("copy.db");
    let done = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| registry.backup(&copy))).collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap());
        results
            .filter(|result| match result {
                Ok(()) => true,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                    false
                }
            })
            .count()
    });
    assert_eq!(done, 1);
    assert_eq!(Registry::open(&copy).unwrap().len().unwrap(), 50);
    assert!(file_names(folder.path()).iter().all(|name| !name.ends_with(".part")));
}

#[cfg(unix)]
#[test]
fn child_backs_up_with_a_file_size_limit() {
    let Some((path, arguments)) = child::role() else { return };
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let registry = Registry::open(&path).unwrap();
    let before = contents(&registry);
    let copy = path.with_file_name("copy.db");
    let maximum = getrlimit(Resource::Fsize).maximum;
    let limit = |current| setrlimit(Resource::Fsize, Rlimit { current, maximum }).unwrap();
    limit(Some(arguments[0].parse().unwrap()));
    let error = refused(registry.backup(&copy), ErrorKind::Storage, &[]);
    limit(maximum);
    assert!(
        !copy.exists()
            && file_names(path.parent().unwrap()).iter().all(|name| !name.ends_with(".part"))
    );
    assert_eq!(contents(&registry), before);
    registry.backup(&copy).unwrap();
    child::tell(format_args!("rejected: {}", error.to_string().len() > 10));
}

#[cfg(unix)]
#[test]
fn a_backup_that_runs_out_of_disk_space_leaves_no_file_and_can_be_retried() {
    for bytes in ["0", "1000", "20000", "60000"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("webhooks.db");
        drop(registry_with_50(&path));
        let role = "backup::child_backs_up_with_a_file_size_limit";
        let peer = Peer::spawn(&mut child::command_after("trap '' XFSZ", role, &path, &[bytes]));
        assert_eq!(peer.finish(), ["rejected: true"], "with {bytes} bytes");
    }
}

#[cfg(unix)]
#[test]
fn a_backup_into_an_unwritable_directory_is_a_storage_error() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let registry = registry_with_50(&folder.path().join("webhooks.db"));
    let shut = folder.path().join("shut");
    std::fs::create_dir(&shut).unwrap();
    std::fs::set_permissions(&shut, std::fs::Permissions::from_mode(0o500)).unwrap();
    if std::fs::write(shut.join("probe"), "").is_ok() {
        println!("skipped: this user may write to any directory");
        return;
    }
    refused(registry.backup(shut.join("copy.db")), ErrorKind::Storage, &[]);
}

#[test]
fn child_backs_up_repeatedly() {
    let Some((path, _)) = child::role() else { return };
    let registry = Registry::open(&path).unwrap();
    for round in 0.. {
        registry.backup(path.with_file_name(format!("copy {round}.db"))).unwrap();
        if round == 0 {
            child::tell("begun");
        }
    }
}

#[test]
fn a_killed_backup_leaves_only_complete_files_under_their_names() {
    for round in 0..size(4, 40) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("webhooks.db");
        drop(registry_with_50(&path));
        let mut peer =
            Peer::spawn(&mut child::command("backup::child_backs_up_repeatedly", &path, &[]));
        peer.expect("begun");
        std::thread::sleep(std::time::Duration::from_micros(5_000 + 700 * round));
        peer.kill();
        drop(peer);
        let copies = file_names(folder.path());
        let mut whole_ones = 0;
        for name in copies.iter().filter(|name| name.starts_with("copy") && name.ends_with(".db")) {
            assert_eq!(
                Registry::open(folder.path().join(name)).unwrap().len().unwrap(),
                50,
                "{name}"
            );
            whole_ones += 1;
        }
        assert!(whole_ones > 0, "no backup was complete: {copies:?}");
    }
}
