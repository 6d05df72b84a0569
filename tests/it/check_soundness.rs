//! Tests that `check` finds nothing in what registries write, also while they write.

use webhook_registry::Registry;

use crate::check::is_about_sqlite;
use crate::support::history;
use crate::support::size;

#[test]
fn a_registry_is_sound_after_every_operation_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registries = [
        Registry::open(&path).unwrap(),
        Registry::in_memory().unwrap(),
        Registry::options().exclusive(true).open(folder.path().join("exclusive.db")).unwrap(),
    ];
    for registry in registries {
        let report = registry.check().unwrap();
        assert!(report.is_sound(), "{report}");
        assert!(report.advice().iter().all(is_about_sqlite), "{report}");
        history::begin(&registry);
        for step in 0..64 {
            history::take(&registry, step).unwrap();
            let report = registry.check().unwrap();
            assert!(report.is_sound(), "after step {step}: {report}");
        }
    }
}

#[test]
fn check_reads_one_snapshot_while_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().join("webhooks.db")).unwrap();
    history::begin(&registry);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for step in 0..size(120, 1_000) {
                history::take(&registry, step).unwrap();
            }
        });
        while !writing.is_finished() {
            let report = registry.check().unwrap();
            assert!(report.is_sound(), "{report}");
        }
    });
}
