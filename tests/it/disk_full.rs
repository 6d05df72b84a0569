//! Tests that a full disk costs only the change that did not fit: no partial write, no lost
//! acknowledgement. The same registry continues in the same process once there is space again.
#![cfg(unix)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use webhook_registry::{ErrorKind, NewSubscription, Registry};

use crate::support::child::{self, Peer};
use crate::support::history;
use crate::support::{FILES, new, options_for, prepare, size};

/// Limits the size of every file of this process, in bytes.
pub(crate) fn limit_file_size(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum }).unwrap();
}

/// Takes steps until one is rejected, and returns their number.
fn fill_until_rejected(registry: &Registry, from: usize) -> usize {
    for step in from.. {
        assert!(step < 5_000, "the disk never filled");
        if let Err(error) = history::take(registry, step) {
            assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
            return step;
        }
    }
    unreachable!()
}

/// Fills the disk, frees space and continues, three times, and checks the state at each point.
fn fill_and_continue(path: &Path, full: impl Fn(), room: impl Fn()) {
    let registry = options_for(path).open(path).unwrap();
    history::begin(&registry);
    let mut steps = 0;
    for _ in 0..3 {
        full();
        steps = fill_until_rejected(&registry, steps);
        for _ in 0..3 {
            assert_eq!(
                history::state(&registry).unwrap(),
                history::after(steps),
                "what was there is intact"
            );
            let again = history::take(&registry, steps);
            assert_eq!(again.unwrap_err().kind(), ErrorKind::Storage);
        }
        // A second handle reads the same state, unless there is no space to open it.
        match options_for(path).open(path) {
            Ok(second) => assert_eq!(history::state(&second).unwrap(), history::after(steps)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Storage, "{error}"),
        }
        room();
        for _ in 0..20 {
            history::take(&registry, steps).unwrap();
            steps += 1;
        }
        assert_eq!(
            history::state(&registry).unwrap(),
            history::after(steps),
            "the registry does not continue"
        );
    }
    drop(registry);
    assert_eq!(
        history::state(&options_for(path).open(path).unwrap()).unwrap(),
        history::after(steps)
    );
    history::assert_whole(path);
    child::tell(format!("whole after {steps}"));
}

#[test]
fn child_writes_with_a_file_size_limit() {
    let Some((path, arguments)) = child::role() else {
        return;
    };
    let more: u64 = arguments[0].parse().unwrap();
    let wal = PathBuf::from(path.to_str().unwrap().to_owned() + "-wal");
    fill_and_continue(
        &path,
        || {
            // With a rollback journal the file itself grows.
            let longest = std::fs::metadata(&wal).or_else(|_| std::fs::metadata(&path)).unwrap();
            limit_file_size(Some(longest.len() + more));
        },
        || limit_file_size(None),
    );
}

/// Runs a role with `SIGXFSZ` ignored, so that exceeding the size limit is an error and not a kill.
fn run_limited(role: &str, path: &Path, arguments: &[&str]) -> Vec<String> {
    Peer::spawn(&mut child::command_after("trap '' XFSZ", role, path, arguments)).finish()
}

#[test]
fn a_file_size_limit_is_a_storage_error_and_loses_no_other_change() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..size(8, 200) {
        let name = FILES[round as usize % FILES.len()];
        let path = folder.path().join(name.replace(".db", &format!("-{round}.db")));
        prepare(&path);
        let heard = run_limited(
            "disk_full::child_writes_with_a_file_size_limit",
            &path,
            &[&(round * 1_777).to_string()],
        );
        assert!(heard[0].starts_with("whole after "), "{heard:?}");
    }
}

/// Returns a subscription so large that the file itself, and not only its `-wal`, reaches the
/// limit.
fn large(name: &str) -> NewSubscription {
    (0..50).fold(new(name), |new, key| new.metadata(format!("key {key}"), "x".repeat(1_000)))
}

#[test]
fn child_checkpoints_with_a_file_size_limit() {
    let Some((path, _)) = child::role() else { return };
    let registry = options_for(&path).open(&path).unwrap();
    history::begin(&registry);
    limit_file_size(Some(6 << 20));
    let mut made = 0;
    loop {
        match registry.create(large(&made.to_string())) {
            Ok(_) => made += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
                break;
            }
        }
    }
    assert_eq!(registry.len().unwrap(), made);
    limit_file_size(None);
    for more in made..made + 100 {
        registry.create(large(&more.to_string())).unwrap();
    }
    drop(registry);
    let registry = options_for(&path).open(&path).unwrap();
    for number in 0..made + 100 {
        let found = registry.get_by_name(&number.to_string()).unwrap().unwrap();
        assert_eq!(found.metadata().len(), 50);
    }
    assert_eq!(registry.subscribers("agent.v1").unwrap().len() as u64, made + 100);
    drop(registry);
    history::assert_whole(&path);
    assert!(std::fs::metadata(&path).unwrap().len() > 6 << 20);
    child::tell("whole");
}

#[test]
fn a_checkpoint_without_disk_space_loses_nothing() {
    for name in FILES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        prepare(&path);
        let role = "disk_full::child_checkpoints_with_a_file_size_limit";
        assert_eq!(run_limited(role, &path, &[]), ["whole"], "{name}");
    }
}

#[test]
fn child_creates_a_file_without_disk_space() {
    let Some((path, arguments)) = child::role() else {
        return;
    };
    limit_file_size(Some(arguments[0].parse().unwrap()));
    let error = options_for(&path).open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
    limit_file_size(None);
    let registry = options_for(&path).open(&path).unwrap();
    history::begin(&registry);
    history::take(&registry, 0).unwrap();
    assert_eq!(history::state(&registry).unwrap(), history::after(1));
    child::tell("whole");
}

#[test]
fn creating_a_file_without_disk_space_is_a_storage_error_and_succeeds_later() {
    let folder = tempfile::tempdir().unwrap();
    let limits = [0, 1, 100, 4_096, 8_192, 32_768, 50_000];
    for (name, bytes) in FILES.into_iter().flat_map(|name| limits.map(|bytes| (name, bytes))) {
        let path = folder.path().join(name.replace(".db", &format!("-{bytes}.db")));
        prepare(&path);
        let role = "disk_full::child_creates_a_file_without_disk_space";
        let heard = run_limited(role, &path, &[&bytes.to_string()]);
        assert_eq!(heard, ["whole"], "{name} with {bytes} bytes");
    }
}

#[test]
fn child_fills_the_disk() {
    let Some((path, _)) = child::role() else { return };
    let ballast = path.with_file_name("ballast");
    fill_and_continue(
        &path,
        || {
            // Fills all free space except for a little.
            let mut file = std::fs::File::create(&ballast).unwrap();
            while file.write_all(&[0; 4_096]).is_ok() {}
            let taken = file.metadata().unwrap().len();
            file.set_len(taken.saturating_sub(100_000)).unwrap();
        },
        || std::fs::remove_file(&ballast).unwrap(),
    );
}

/// A mounted file system, unmounted when dropped.
pub(crate) struct Mounted(tempfile::TempDir);

impl Mounted {
    pub(crate) fn tmpfs(size: &str) -> Option<Mounted> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", size, "tmpfs"]).arg(folder.path());
        let done = mount.stderr(std::process::Stdio::null()).status();
        done.is_ok_and(|status| status.success()).then(|| Mounted(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_a_storage_error_and_loses_no_other_change() {
    for round in 0..size(3, 20) {
        let Some(disk) = Mounted::tmpfs("size=6m") else {
            println!("skipped: mounting a file system is not permitted");
            return;
        };
        let path = disk.path().join(FILES[round % FILES.len()]);
        prepare(&path);
        let peer = Peer::spawn(&mut child::command("disk_full::child_fills_the_disk", &path, &[]));
        let heard = peer.finish();
        assert!(heard[0].starts_with("whole after "), "{heard:?}");
    }
}

#[test]
fn child_opens_on_a_full_disk() {
    let Some((path, _)) = child::role() else { return };
    let name = path.file_name().unwrap().to_str().unwrap().replace(".db", "-made.db");
    let made = path.with_file_name(name);
    prepare(&made);
    let registry = options_for(&made).open(&made).unwrap();
    history::begin(&registry);
    history::take(&registry, 0).unwrap();
    drop(registry);
    let mut file = std::fs::File::create(path.with_file_name("ballast")).unwrap();
    while file.write_all(&[0; 4_096]).is_ok() {}
    let full = file.metadata().unwrap().len();
    let mut refused = 0;
    for pages in 0..24 {
        file.set_len(full - pages * 4_096).unwrap();
        for path in [&made, &path] {
            match options_for(path).open(path) {
                Ok(registry) => assert_eq!(registry.len().unwrap(), u64::from(path == &made)),
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.kind(), ErrorKind::Storage, "{pages}: {error}");
                    let message = error.to_string();
                    assert!(!message.contains("no transaction is active"), "{message}");
                }
            }
        }
        let reader = options_for(&made).read_only(true).open(&made).unwrap();
        assert_eq!(
            history::state(&reader).unwrap(),
            history::after(1),
            "with room for {pages} pages"
        );
    }
    assert!(refused > 0);
    file.set_len(0).unwrap();
    for path in [&made, &path] {
        let registry = options_for(path).open(path).unwrap();
        registry.register_event_type("agent.v3").unwrap();
        assert!(registry.check().unwrap().is_sound());
    }
    child::tell("whole");
}

#[test]
fn opening_on_a_full_disk_reads_existing_files_and_rejects_new_ones_with_a_storage_error() {
    for name in FILES {
        let Some(disk) = Mounted::tmpfs("size=1m") else {
            println!("skipped: mounting a file system is not permitted");
            return;
        };
        let path = disk.0.path().join(name);
        prepare(&path);
        let peer =
            Peer::spawn(&mut child::command("disk_full::child_opens_on_a_full_disk", &path, &[]));
        assert_eq!(peer.finish(), ["whole"], "{name}");
    }
}
