//! Tests that `ensure`, `plan`, `apply`, `changes`, `export` and `import` return an error, change
//! nothing and recover if the file is locked, full, corrupt or replaced.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use webhook_registry::{Error, ErrorKind, Export, Plan, Prune, Registry, SubscriptionUpdate};

use crate::support::{contact_center, learn, new, refused};

/// A file with one subscription, an empty file, and the calls to test with them.
struct Fixture {
    _folder: tempfile::TempDir,
    path: PathBuf,
    registry: Registry,
    empty: Registry,
    plan: Plan,
    document: Export,
}

impl Fixture {
    fn new() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("webhooks.db");
        let options = Registry::options().busy_timeout(Duration::from_millis(20));
        let (registry, empty) =
            (options.open(&path).unwrap(), options.open(Fixture::other(&path)).unwrap());
        learn(&registry);
        registry.create(new("there")).unwrap();
        let origin = contact_center();
        origin.create_all((0..50).map(|n| new(&format!("n{n}")))).unwrap();
        let plan = registry.plan((0..50).map(|n| new(&format!("n{n}"))), Prune::Delete).unwrap();
        Fixture { _folder: folder, path, registry, empty, plan, document: origin.export().unwrap() }
    }

    fn other(path: &Path) -> PathBuf {
        path.with_file_name("empty.db")
    }

    fn both(&self) -> [Connection; 2] {
        [self.path.clone(), Fixture::other(&self.path)].map(|path| Connection::open(path).unwrap())
    }

    fn writing(&self) -> [(&'static str, Result<(), Error>); 4] {
        let Fixture { registry, empty, plan, document, .. } = self;
        [
            ("ensure one that is not there", registry.ensure(new("other")).map(drop)),
            ("ensure one that differs", registry.ensure(new("there").description("d")).map(drop)),
            ("apply", registry.apply(plan.clone()).map(drop)),
            ("import", empty.import(document.clone())),
        ]
    }

    fn reading(&self) -> [(&'static str, Result<(), Error>); 5] {
        let Fixture { registry, .. } = self;
        [
            ("ensure one that is as declared", registry.ensure(new("there")).map(drop)),
            ("plan", registry.plan([new("other")], Prune::Delete).map(drop)),
            ("changes", registry.changes(0, 1_000).map(drop)),
            ("last_change", registry.last_change().map(drop)),
            ("export", registry.export().map(drop)),
        ]
    }

    /// Asserts that nothing was changed, and that every call succeeds now.
    fn assert_unchanged(&self) {
        let Fixture { registry, empty, plan, document, .. } = self;
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
fn assert_all_rejected<const N: usize>(calls: [(&str, Result<(), Error>); N], kind: ErrorKind) {
    for (what, result) in calls {
        println!("{what}");
        refused(result, kind, &[]);
    }
}

#[test]
fn a_foreign_lock_is_busy_for_writes_and_does_not_block_reads() {
    let fixture = Fixture::new();
    let holders = fixture.both();
    holders.iter().for_each(|holder| holder.execute_batch("BEGIN IMMEDIATE").unwrap());
    assert_all_rejected(fixture.writing(), ErrorKind::Busy);
    for (what, result) in fixture.reading() {
        result.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    holders.iter().for_each(|holder| holder.execute_batch("COMMIT").unwrap());
    fixture.assert_unchanged();
}

/// Windows refuses to rename a file that is open.
#[cfg(unix)]
#[test]
fn a_replaced_file_is_a_storage_error() {
    let fixture = Fixture::new();
    let away = fixture.path.with_file_name("away");
    std::fs::create_dir(&away).unwrap();
    // Together with the `-wal` and `-shm`: a database without them is not moved but damaged.
    let rename = |from: &Path, to: &Path| {
        for name in ["webhooks.db", "empty.db"] {
            for suffix in ["", "-wal", "-shm"] {
                let name = format!("{name}{suffix}");
                std::fs::rename(from.join(&name), to.join(&name)).unwrap();
            }
        }
    };
    let here = fixture.path.parent().unwrap();
    rename(here, &away);
    for path in [fixture.path.clone(), Fixture::other(&fixture.path)] {
        drop(Registry::open(&path).unwrap());
    }
    assert_all_rejected(fixture.writing(), ErrorKind::Storage);
    rename(&away, here);
    fixture.assert_unchanged();
}

#[test]
fn a_failed_history_write_rolls_back_its_change() {
    let fixture = Fixture::new();
    for conn in fixture.both() {
        conn.execute_batch("ALTER TABLE _webhook_registry_change RENAME TO away").unwrap();
    }
    assert_all_rejected(fixture.writing(), ErrorKind::Corrupt);
    for conn in fixture.both() {
        conn.execute_batch("ALTER TABLE away RENAME TO _webhook_registry_change").unwrap();
    }
    fixture.assert_unchanged();
}

#[test]
fn a_foreign_trigger_failure_is_not_reported_as_a_taken_name() {
    let fixture = Fixture::new();
    for conn in fixture.both() {
        for event in ["INSERT", "UPDATE"] {
            let refuses = format!(
                "CREATE TRIGGER no_{event} BEFORE {event} ON _webhook_registry_subscription BEGIN \
                 SELECT RAISE(ABORT, 'not today'); END"
            );
            conn.execute_batch(&refuses).unwrap();
        }
    }
    assert_all_rejected(fixture.writing(), ErrorKind::Corrupt);
    let id = fixture.registry.get_by_name("there").unwrap().unwrap().id();
    let error = refused(
        fixture.registry.update(id, SubscriptionUpdate::new().name("elsewhere")),
        ErrorKind::Corrupt,
        &[],
    );
    assert!(error.to_string().contains("not today"), "{error}");
    let error = refused(fixture.registry.create(new("free")), ErrorKind::Corrupt, &[]);
    assert!(error.to_string().contains("not today"), "{error}");
    for conn in fixture.both() {
        conn.execute_batch("DROP TRIGGER no_INSERT; DROP TRIGGER no_UPDATE").unwrap();
    }
    fixture.assert_unchanged();
}

#[test]
fn a_damaged_table_is_corrupt_for_every_call_that_needs_it() {
    let tables = [
        ("_webhook_registry_meta", "plan changes last_change"),
        ("_webhook_registry_change", "plan changes last_change"),
        ("_webhook_registry_subscription", "ensure one that is as declared plan export"),
        ("_webhook_registry_subscription_pattern", ""),
        ("_webhook_registry_event_type", "plan export"),
    ];
    for (table, affected) in tables {
        let fixture = Fixture::new();
        let [conn, _] = fixture.both();
        conn.execute_batch(&format!("PRAGMA foreign_keys = OFF; DROP TABLE {table}")).unwrap();
        for (what, result) in fixture.reading() {
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

    use super::{ErrorKind, Fixture, assert_all_rejected};
    use crate::support::child::{self, Peer};

    /// Limits the size of every file of this process, in bytes.
    fn limit(bytes: Option<u64>) {
        let maximum = getrlimit(Resource::Fsize).maximum;
        setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum }).unwrap();
    }

    #[test]
    fn a_full_disk_is_a_storage_error_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let role = "failure_atomicity::full::child_has_no_disk_space";
        let told = Peer::spawn(&mut child::command_after("trap '' XFSZ", role, folder.path(), &[]))
            .finish();
        assert_eq!(told, ["untouched"]);
    }

    #[test]
    fn child_has_no_disk_space() {
        if child::role().is_none() {
            return;
        }
        for room in [0, 5_000, 20_000] {
            let fixture = Fixture::new();
            let wal = |path: &std::path::Path| {
                std::fs::metadata(path.display().to_string() + "-wal")
                    .map_or(0, |found| found.len())
            };
            for (what, path) in
                [("apply", fixture.path.clone()), ("import", Fixture::other(&fixture.path))]
            {
                limit(Some(wal(&path) + room));
                let result = match what {
                    "apply" => fixture.registry.apply(fixture.plan.clone()).map(drop),
                    _ => fixture.empty.import(fixture.document.clone()),
                };
                assert_all_rejected([(what, result)], ErrorKind::Storage);
                limit(None);
            }
            fixture.assert_unchanged();
        }
        child::tell("untouched");
    }
}
