//! Guards a change of key that fails: one that leaves the file locked for every other process, or
//! with a key that the caller was not told of. Whatever fails, the file is as it was, and the same
//! registry goes on once nothing fails any more.

use std::io::Write as _;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use webhook_registry::{ErrorKind, Registry, SubscriptionUpdate};

use crate::disk_full::{Mounted, limit_file_size};
use crate::rekey::{KEY, options, secret};
use crate::support::child::{self, Peer};
use crate::support::{faults, learn, new, size};

const OTHER: [u8; 32] = [8; 32];
const EVENT: &str = "agent.presencechanged.v1";

fn fill(registry: &Registry, subscriptions: usize) {
    learn(registry);
    registry
        .create_all((0..subscriptions).map(|at| new(&format!("s{at}")).secret(secret(at))))
        .unwrap();
}

#[track_caller]
fn assert_intact(registry: &Registry, subscriptions: usize) {
    let subscribers = registry.subscribers(EVENT).unwrap();
    assert_eq!(subscribers.len(), subscriptions);
    for (at, subscriber) in subscribers.iter().enumerate() {
        assert_eq!(subscriber.secrets().next().unwrap().expose(), secret(at));
        assert_eq!(registry.secret(subscriber.id()).unwrap().expose(), secret(at));
    }
}

/// Changes the key while `fail` is in force, and answers the key that the file has then: the old
/// one after an error.
///
/// Then everything has to work again, for this registry and for another.
fn rekey_while(
    registry: Registry,
    path: &Path,
    exclusive: bool,
    keys: [Option<[u8; 32]>; 2],
    subscriptions: usize,
    fail: impl FnOnce(),
    work: impl FnOnce(),
) -> (Registry, bool) {
    let [old, new] = keys;
    fail();
    let changed = registry.rekey(new);
    work();
    // Once the file itself is written to, nothing can be undone, and the error says so.
    let has_new = match &changed {
        Ok(()) => true,
        Err(error) => {
            let is_told = matches!(error.kind(), ErrorKind::Storage | ErrorKind::Busy);
            assert!(is_told || error.to_string().contains("readonly database"), "{error:?}");
            assert!(
                !error.to_string().contains("may have its new key"),
                "of the two ways back one is open: {error:?}"
            );
            error.to_string().contains("has its new key")
        }
    };
    let key = if has_new { new } else { old };
    assert_intact(&registry, subscriptions);
    if exclusive {
        assert_eq!(
            options(key).open(path).unwrap_err().kind(),
            ErrorKind::Busy,
            "it is exclusive still"
        );
    } else {
        assert_intact(&options(key).open(path).unwrap(), subscriptions);
        let reader = options(key).read_only(true).open(path).unwrap();
        assert_intact(&reader, subscriptions);
    }
    let id = registry.subscribers(EVENT).unwrap()[0].id();
    registry.update(id, SubscriptionUpdate::new().description("changed")).unwrap();
    assert!(registry.check().unwrap().is_sound(), "{}", registry.check().unwrap());
    assert_intact(&registry, subscriptions);
    drop(registry);
    let open = || options(key).exclusive(exclusive).open(path).unwrap();
    assert_intact(&open(), subscriptions);
    let header = std::fs::read(path).unwrap();
    assert_eq!(&header[18..20], [2, 2], "it is in WAL mode");
    assert!(!path.with_extension("db-rekey").exists());
    let registry = open();
    assert_intact(&registry, subscriptions);
    assert_eq!(registry.get(id).unwrap().unwrap().description(), Some("changed"));
    (registry, changed.is_ok())
}

/// Lets it fail at the first step, then at the next that the stride comes to, until `work` says
/// that nothing has failed. Answers how many steps there were.
fn at_every_step(
    path: &Path,
    exclusive: bool,
    stride: usize,
    fail: impl Fn(usize),
    work: impl Fn() -> bool,
) -> usize {
    let registry = options(None).exclusive(exclusive).open(path).unwrap();
    fill(&registry, 20);
    drop(registry);
    let mut key = None;
    for step in (1..).step_by(stride) {
        assert!(step < 1_000, "it never comes to an end");
        let registry = options(key).exclusive(exclusive).open(path).unwrap();
        let next = if key.is_none() { Some(KEY) } else { None };
        let mut failed = false;
        let (registry, done) = rekey_while(
            registry,
            path,
            exclusive,
            [key, next],
            20,
            || fail(step),
            || failed = work(),
        );
        drop(registry);
        if !failed {
            assert!(done, "it fails without a fault");
            return step - 1;
        }
        // Whichever it is now; and the next step is tried from the other side.
        let now = [key, next].into_iter().find(|key| options(*key).open(path).is_ok()).unwrap();
        let other = if now.is_none() { Some(OTHER) } else { None };
        options(now).open(path).unwrap().rekey(other).unwrap();
        key = other;
        if key == Some(OTHER) {
            options(key).open(path).unwrap().rekey(Some(KEY)).unwrap();
            key = Some(KEY);
        }
    }
    unreachable!()
}

#[test]
fn child_meets_faults() {
    let Some((path, arguments)) = child::role() else { return };
    let [call, how, exclusive, stride] = &arguments[..] else { panic!("{arguments:?}") };
    let count = if how == "once" { 1 } else { 1_000_000 };
    let arm = |what: String| std::fs::remove_file(format!("/fault-arm/{what}")).unwrap_err();
    let steps = at_every_step(
        &path,
        exclusive == "exclusive",
        stride.parse().unwrap(),
        |step| drop(arm(format!("{call}/{step}/{count}"))),
        || arm("none".to_owned()).kind() != std::io::ErrorKind::NotFound,
    );
    child::tell(steps);
}

#[test]
fn a_change_of_key_in_which_any_call_fails_leaves_the_file_as_it_was_and_open_to_all() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = faults::library(folder.path()) else {
        println!("skipped: no library can be preloaded here");
        return;
    };
    // Of many of a kind not each one.
    for (call, stride) in [("open", 1), ("unlink", 1), ("sync", 3), ("write", 13), ("truncate", 1)]
    {
        for how in ["once", "from-then-on"] {
            for exclusive in ["shared", "exclusive"] {
                let path = folder.path().join(format!("{call}-{how}-{exclusive}.db"));
                let stride = size(stride, 1).to_string();
                let arguments = [call, how, exclusive, &*stride];
                let mut child =
                    child::command("failed_rekey::child_meets_faults", &path, &arguments);
                let heard = Peer::spawn(child.env("LD_PRELOAD", &library)).finish();
                let steps: usize = heard[0].parse().unwrap();
                println!("{arguments:?}: {steps} steps");
                assert!(steps > 0, "{arguments:?}: no fault was met");
            }
        }
    }
}

#[test]
fn child_may_open_no_more() {
    let Some((path, _)) = child::role() else { return };
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = |current| setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    let before = getrlimit(Resource::Nofile).current;
    let step = std::cell::Cell::new(0);
    let steps = at_every_step(
        &path,
        false,
        1,
        // What the next descriptor would be, and a few more.
        |number| {
            step.set(number);
            let next = std::os::fd::AsRawFd::as_raw_fd(&std::fs::File::open("/dev/null").unwrap());
            limit(Some(u64::try_from(next).unwrap() + number as u64 - 1));
        },
        || {
            // As many as it takes are open by then: one more would not have been.
            limit(before);
            step.get() < 20
        },
    );
    child::tell(steps);
}

#[test]
fn a_change_of_key_without_descriptors_leaves_the_file_as_it_was_and_open_to_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let heard =
        Peer::spawn(&mut child::command("failed_rekey::child_may_open_no_more", &path, &[]))
            .finish();
    assert_eq!(heard, ["19"]);
}

#[test]
fn child_fills_the_disk_before_it() {
    let Some((path, arguments)) = child::role() else { return };
    let left: u64 = arguments[0].parse().unwrap();
    let registry = options(None).open(&path).unwrap();
    fill(&registry, 200);
    let ballast = path.with_file_name("ballast");
    let full = || {
        let mut file = std::fs::File::create(&ballast).unwrap();
        while file.write_all(&[0; 4_096]).is_ok() {}
        let taken = file.metadata().unwrap().len();
        file.set_len(taken.saturating_sub(left)).unwrap();
    };
    let room = || std::fs::remove_file(&ballast).unwrap();
    let (registry, done) = rekey_while(registry, &path, false, [None, Some(KEY)], 200, full, room);
    if !done {
        registry.rekey(Some(KEY)).unwrap();
        assert_intact(&registry, 200);
    }
    child::tell(done);
}

#[test]
fn a_change_of_key_on_a_full_disk_leaves_the_file_as_it_was_and_open_to_all() {
    let mut ends = Vec::new();
    for left in (0..720_u64).step_by(size(40, 4)) {
        let Some(disk) = Mounted::tmpfs("size=720k") else {
            println!("skipped: no file system may be mounted here");
            return;
        };
        let path = disk.path().join("registry.db");
        let arguments = [&*(left * 1_024).to_string()];
        let mut child =
            child::command("failed_rekey::child_fills_the_disk_before_it", &path, &arguments);
        ends.extend(Peer::spawn(&mut child).finish());
    }
    println!("{ends:?}");
    assert!(ends.iter().any(|end| end == "false"), "the disk was never full");
}

#[test]
fn child_may_write_no_more() {
    let Some((path, arguments)) = child::role() else { return };
    let most: u64 = arguments[0].parse().unwrap();
    let registry = options(None).open(&path).unwrap();
    fill(&registry, 200);
    let (_, done) = rekey_while(
        registry,
        &path,
        false,
        [None, Some(KEY)],
        200,
        || limit_file_size(Some(most)),
        || limit_file_size(None),
    );
    child::tell(done);
}

#[test]
fn a_change_of_key_for_which_a_file_may_not_grow_leaves_the_file_as_it_was_and_open_to_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut ends = Vec::new();
    for most in (0..480_u64).step_by(size(40, 4)) {
        let path = folder.path().join(format!("{most}.db"));
        let arguments = [&*(most * 1_024).to_string()];
        let child = "failed_rekey::child_may_write_no_more";
        ends.extend(
            Peer::spawn(&mut child::command_after("trap '' XFSZ", child, &path, &arguments))
                .finish(),
        );
    }
    println!("{ends:?}");
    assert!(
        ends.iter().any(|end| end == "false") && ends.iter().any(|end| end == "true"),
        "{ends:?}"
    );
}
