//! Tests that a refused open names the path and the reason, and keeps the error of the operating
//! system as its source.

use std::error::Error as _;
use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use webhook_registry::{Error, ErrorKind, Registry, RegistryOptions};

use crate::disk_full::Mounted;
use crate::permissions::{NOBODY, child, prepared, rerun_as};
use crate::support::child::{self as role, Peer};

/// The ways to open a registry that create a missing file or write to an existing one.
fn writing() -> [RegistryOptions; 2] {
    [Registry::options(), Registry::options().create(false)]
}

fn reading() -> RegistryOptions {
    Registry::options().read_only(true)
}

/// Asserts the message, and that the source is this error of the operating system, whose text the
/// message does not repeat.
#[track_caller]
fn assert_refused(opened: Result<Registry, Error>, path: &Path, message: &str, code: i32) {
    let error = opened.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    assert_eq!(error.to_string(), format!("{} {message}", path.display()));
    let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(source.raw_os_error(), Some(code));
    let text = source.to_string();
    assert!(!error.to_string().contains(text.split(" (").next().unwrap()), "{error:?}");
}

const EACCES: i32 = 13;
const EMFILE: i32 = 24;
const EROFS: i32 = 30;

const NO_DESCRIPTOR: &str = "no file descriptor is left; raise the limit of open files, or close \
    some";

#[test]
fn child_opens_with_few_descriptors() {
    let Some((path, _)) = role::role() else { return };
    let maximum = getrlimit(Resource::Nofile).maximum;
    let before = getrlimit(Resource::Nofile).current;
    let limit = |current| setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    let open = |options: RegistryOptions, path: &Path, spare: u64| {
        let next = fs::File::open("/dev/null").unwrap().as_raw_fd();
        limit(Some(u64::try_from(next).unwrap() + spare));
        let opened = options.open(path);
        limit(before);
        opened
    };
    drop(Registry::open(&path).unwrap());
    let opens = format!("cannot be opened: {NO_DESCRIPTOR}");
    for options in writing() {
        let needed = (0..20).find(|&spare| match open(options.clone(), &path, spare) {
            Ok(_) => true,
            refused => {
                assert_refused(refused, &path, &opens, EMFILE);
                false
            }
        });
        // The file, its `-wal` and its `-shm`.
        assert!(needed.unwrap() >= 3, "{needed:?}");
    }
    assert_refused(open(reading(), &path, 0), &path, &opens, EMFILE);
    let new = path.with_file_name("new.db");
    let creates = format!("cannot be created: {NO_DESCRIPTOR}");
    assert_refused(open(Registry::options(), &new, 0), &new, &creates, EMFILE);
    assert_refused(open(Registry::options(), &new, 1), &new, &opens, EMFILE);
    // A registry that is open opens more connections later.
    let registry = Registry::open(&path).unwrap();
    let next = fs::File::open("/dev/null").unwrap().as_raw_fd();
    limit(Some(u64::try_from(next).unwrap()));
    let backup = registry.backup(path.with_file_name("copy.db")).unwrap_err();
    limit(before);
    assert!(backup.to_string().contains("no file descriptor is left"), "{backup:?}");
    registry.register_event_type("after").unwrap();
    role::tell("done");
}

#[test]
fn an_open_without_descriptors_names_the_path_and_the_lack() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let mut child = role::command("open_errors::child_opens_with_few_descriptors", &path, &[]);
    assert_eq!(Peer::spawn(&mut child).finish(), ["done"]);
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn an_open_without_permission_names_the_path_and_the_permission() {
    let Some(folder) = child() else {
        let (folder, path) = prepared();
        let closed = folder.path().join("closed");
        fs::create_dir(&closed).unwrap();
        mode(&closed, 0o600);
        for (file, of_folder) in [(0o000, 0o777), (0o444, 0o777), (0o644, 0o555)] {
            mode(&path, file);
            mode(folder.path(), of_folder);
            let test = "open_errors::an_open_without_permission_names_the_path_and_the_permission";
            rerun_as(NOBODY, test, folder.path());
            mode(folder.path(), 0o777);
        }
        return;
    };
    let lacks = |what: &str| format!("cannot be {what}: this user lacks the permission for it");
    let (path, new) = (folder.join("registry.db"), folder.join("new.db"));
    let closed = folder.join("closed/registry.db");
    for options in writing().into_iter().chain([reading()]) {
        assert_refused(options.open(&closed), &closed, &lacks("looked at"), EACCES);
    }
    let readable = fs::File::open(&path).is_ok();
    for options in writing() {
        let what = if readable { "written to" } else { "opened" };
        assert_refused(options.open(&path), &path, &lacks(what), EACCES);
    }
    if !readable {
        assert_refused(reading().open(&path), &path, &lacks("opened"), EACCES);
    }
    if fs::write(folder.join("probe"), "").is_err() {
        assert_refused(Registry::open(&new), &new, &lacks("created"), EACCES);
    }
}

#[test]
fn an_open_in_a_folder_where_nothing_can_be_created_says_what_is_needed() {
    let Some(folder) = child() else {
        let (folder, path) = prepared();
        mode(&path, 0o666);
        mode(folder.path(), 0o555);
        rerun_as(
            NOBODY,
            "open_errors::an_open_in_a_folder_where_nothing_can_be_created_says_what_is_needed",
            folder.path(),
        );
        mode(folder.path(), 0o755);
        return;
    };
    let path = folder.join("registry.db");
    for options in writing() {
        let error = options.open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage);
        let expected = format!(
            "{}-wal cannot be created, and a registry that writes needs it; give this user the \
             right to create files in its folder",
            path.display()
        );
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn an_open_on_a_read_only_medium_names_the_path_and_the_medium() {
    let Some(medium) = Mounted::tmpfs("size=1m") else {
        println!("skipped: mounting a file system is not permitted");
        return;
    };
    let (path, new) = (medium.path().join("registry.db"), medium.path().join("new.db"));
    drop(Registry::open(&path).unwrap());
    let remounted =
        Command::new("mount").args(["-o", "remount,ro"]).arg(medium.path()).status().unwrap();
    assert!(remounted.success());
    for options in writing() {
        let message = "cannot be written to: its file system is read-only";
        assert_refused(options.open(&path), &path, message, EROFS);
    }
    let message = "cannot be created: its file system is read-only";
    assert_refused(Registry::open(&new), &new, message, EROFS);
    assert_eq!(reading().open(&path).unwrap().len().unwrap(), 0);
}
