//! Guards `ensure`, `plan`, `apply`, `changes`, `export` and `import` where something around them is wrong: another has the
//! lock, the disk is full, the file is damaged or is another by now. Each says so, has done nothing, and goes on once it is
//! put right.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use webhook_registry::{Error, ErrorKind, Export, Plan, Prune, Registry, SubscriptionUpdate};

use crate::support::{contact_center, learn, new, refused};

/// A file with one subscription, an empty one, and what to do with them.
struct Beset {
    _folder: tempfile::TempDir,
    path: PathBuf,
    registry: Registry,
    empty: Registry,
    plan: Plan,
    document: Export,
}

impl Beset {
    fn begin() -> Beset {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("webhooks.db");
        let options = Registry::options().busy_timeout(Duration::from_millis(20));
        let (registry, empty) =
            (options.open(&path).unwrap(), options.open(Beset::other(&path)).unwrap());
        learn(&registry);
        registry.create(new("there")).unwrap();
        let origin = contact_center();
        origin.create_all((0..50).map(|n| new(&format!("n{n}")))).unwrap();
        let plan = registry.plan((0..50).map(|n| new(&format!("n{n}"))), Prune::Delete).unwrap();
        Beset { _folder: folder, path, registry, empty, plan, document: origin.export().unwrap() }
    }

    fn other(path: &Path) -> PathBuf {
        path.with_file_name("empty.db")
    }

    fn both(&self) -> [Connection; 2] {
        [self.path.clone(), Beset::other(&self.path)].map(|path| Connection::open(path).unwrap())
    }

    fn writing(&self) -> [(&'static str, Result<(), Error>); 4] {
        let Beset { registry, empty, plan, document, .. } = self;
        [
            ("ensure one that is not there", registry.ensure(new("other")).map(drop)),
            ("ensure one that differs", registry.ensure(new("there").description("d")).map(drop)),
            ("apply", registry.apply(plan.clone()).map(drop)),
            ("import", empty.import(document.clone())),
        ]
    }

    fn reading(&self) -> [(&'static str, Result<(), Error>); 5] {
        let Beset { registry, .. } = self;
        [
            ("ensure one that is as declared", registry.ensure(new("there")).map(drop)),
            ("plan", registry.plan([new("other")], Prune::Delete).map(drop)),
            ("changes", registry.changes(0, 1_000).map(drop)),
            ("last_change", registry.last_change().map(drop)),
            ("export", registry.export().map(drop)),
        ]
    }

    /// That nothing was done, and that all can be done now.
    fn is_untouched(&self) {
        let Beset { registry, empty, plan, document, .. } = self;
        assert_eq!((registry.len().unwrap(), empty.last_change().unwrap()), (1, 0));
        assert_eq!(registry.get_by_name("there").unwrap().unwrap().revision(), 1);
        assert_eq!(registry.apply(plan.clone()).unwrap().created().len(), 50);
        empty.import(document.clone()).unwrap();
        assert_eq!((registry.len().unwrap(), empty.len().unwrap()), (50, 50));
        for registry in [registry, empty] {
            assert!(registry.check().unwrap().is_sound());
        }
    }
}

#[track_caller]
fn all_refused<const N: usize>(calls: [(&str, Result<(), Error>); N], kind: ErrorKind) {
    for (what, result) in calls {
        println!("{what}");
        refused(result, kind, &[]);
    }
}

#[test]
fn a_lock_that_another_keeps_is_busy_for_what_writes_and_nothing_for_what_reads() {
    let beset = Beset::begin();
    let holders = beset.both();
    holders.iter().for_each(|holder| holder.execute_batch("BEGIN IMMEDIATE").unwrap());
    all_refused(beset.writing(), ErrorKind::Busy);
    for (what, result) in beset.reading() {
        result.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    holders.iter().for_each(|holder| holder.execute_batch("COMMIT").unwrap());
    beset.is_untouched();
}

/// Windows refuses to rename a file that is open.
#[cfg(unix)]
#[test]
fn a_file_that_is_another_by_now_is_storage() {
    let beset = Beset::begin();
    let away = beset.path.with_file_name("away");
    std::fs::create_dir(&away).unwrap();
    // With what SQLite keeps beside them: one without the other is not a file that was moved, but one that is damaged.
    let rename = |from: &Path, to: &Path| {
        for name in ["webhooks.db", "empty.db"] {
            for suffix in ["", "-wal", "-shm"] {
                let name = format!("{name}{suffix}");
                std::fs::rename(from.join(&name), to.join(&name)).unwrap();
            }
        }
    };
    let here = beset.path.parent().unwrap();
    rename(here, &away);
    for path in [beset.path.clone(), Beset::other(&beset.path)] {
        drop(Registry::open(&path).unwrap());
    }
    all_refused(beset.writing(), ErrorKind::Storage);
    rename(&away, here);
    beset.is_untouched();
}

#[test]
fn a_history_that_cannot_be_written_to_undoes_what_it_would_tell() {
    let beset = Beset::begin();
    for conn in beset.both() {
        conn.execute_batch("ALTER TABLE change RENAME TO away").unwrap();
    }
    all_refused(beset.writing(), ErrorKind::Corrupt);
    for conn in beset.both() {
        conn.execute_batch("ALTER TABLE away RENAME TO change").unwrap();
    }
    beset.is_untouched();
}

#[test]
fn what_another_programs_trigger_refuses_is_no_taken_name() {
    let beset = Beset::begin();
    for conn in beset.both() {
        for event in ["INSERT", "UPDATE"] {
            let refuses = format!(
                "CREATE TRIGGER no_{event} BEFORE {event} ON subscription BEGIN SELECT RAISE(ABORT, 'not today'); END"
            );
            conn.execute_batch(&refuses).unwrap();
        }
    }
    all_refused(beset.writing(), ErrorKind::Corrupt);
    let id = beset.registry.get_by_name("there").unwrap().unwrap().id();
    let error = refused(
        beset.registry.update(id, SubscriptionUpdate::new().name("elsewhere")),
        ErrorKind::Corrupt,
        &[],
    );
    assert!(error.to_string().contains("not today"), "{error}");
    let error = refused(beset.registry.create(new("free")), ErrorKind::Corrupt, &[]);
    assert!(error.to_string().contains("not today"), "{error}");
    for conn in beset.both() {
        conn.execute_batch("DROP TRIGGER no_INSERT; DROP TRIGGER no_UPDATE").unwrap();
    }
    beset.is_untouched();
}

#[test]
fn a_damaged_table_is_corrupt_for_whatever_needs_it() {
    let tables = [
        ("registry", "plan changes last_change"),
        ("change", "plan changes last_change"),
        ("subscription", "ensure one that is as declared plan export"),
        ("subscription_pattern", "ensure one that is as declared plan export"),
        ("secret", "export"),
        ("event_type", "plan export"),
    ];
    for (table, affected) in tables {
        let beset = Beset::begin();
        let [conn, _] = beset.both();
        conn.execute_batch(&format!("PRAGMA foreign_keys = OFF; DROP TABLE {table}")).unwrap();
        for (what, result) in beset.reading() {
            println!("{table}: {what}");
            if affected.contains(what) {
                refused(result, ErrorKind::Corrupt, &[]);
            } else {
                result.unwrap();
            }
        }
    }
}

#[cfg(unix)]
mod full {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::{Beset, ErrorKind, all_refused};
    use crate::support::child::{self, Peer};

    /// No file of this process may grow past this many bytes.
    fn limit(bytes: Option<u64>) {
        let maximum = getrlimit(Resource::Fsize).maximum;
        setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum }).unwrap();
    }

    #[test]
    fn a_full_disk_is_storage_and_nothing_is_done_by_half() {
        let folder = tempfile::tempdir().unwrap();
        let role = "failure_atomicity::full::child_has_no_room";
        let told = Peer::spawn(&mut child::command_after("trap '' XFSZ", role, folder.path(), &[]))
            .finish();
        assert_eq!(told, ["untouched"]);
    }

    #[test]
    fn child_has_no_room() {
        if child::role().is_none() {
            return;
        }
        for room in [0, 5_000, 20_000] {
            let beset = Beset::begin();
            let wal = |path: &std::path::Path| {
                std::fs::metadata(path.display().to_string() + "-wal")
                    .map_or(0, |found| found.len())
            };
            for (what, path) in
                [("apply", beset.path.clone()), ("import", Beset::other(&beset.path))]
            {
                limit(Some(wal(&path) + room));
                let result = match what {
                    "apply" => beset.registry.apply(beset.plan.clone()).map(drop),
                    _ => beset.empty.import(beset.document.clone()),
                };
                all_refused([(what, result)], ErrorKind::Storage);
                limit(None);
            }
            beset.is_untouched();
        }
        child::tell("untouched");
    }
}
