//! Tests that a long call reports its progress, a short one nothing, and that a panic of the
//! callback fails one call only.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use webhook_registry::{NewSubscription, Progress, Prune, Registry, RegistryOptions};

use crate::support::learn;

/// The reports of each job: the progress, the thread and the time.
type Heard = Arc<Mutex<BTreeMap<&'static str, Vec<(Progress, ThreadId, Instant)>>>>;

/// Returns options whose callback keeps each report, and panics while it is told to.
fn listening(panics: &Arc<AtomicBool>) -> (RegistryOptions, Heard) {
    let (heard, panics) = (Heard::default(), Arc::clone(panics));
    let reports = Arc::clone(&heard);
    let options = Registry::options().progress(move |progress| {
        let report = (progress.clone(), std::thread::current().id(), Instant::now());
        reports.lock().unwrap().entry(progress.job()).or_default().push(report);
        assert!(!panics.load(Ordering::Relaxed), "the callback panics");
    });
    (options, heard)
}

/// Enough for every job to take more than 100 ms, also on a fast machine.
fn many(from: usize) -> impl Iterator<Item = NewSubscription> {
    (from..from + 6_000).map(|number| {
        NewSubscription::new(format!("s{number}"), "https://example.com/", ["agent.*", "channel.*"])
            .metadata("text", "x".repeat(1_000))
    })
}

/// Creates a registry in a file of 300 megabytes, most of it another table: a copy is fast.
fn large(options: &RegistryOptions, folder: &Path) -> Registry {
    let path = folder.join("large.db");
    let registry = options.open(&path).unwrap();
    registry.create(many(0).next().unwrap().allow_unknown_events(true)).unwrap();
    let fill = "CREATE TABLE filler (content); \
                WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 300) \
                INSERT INTO filler SELECT zeroblob(1000000) FROM n";
    rusqlite::Connection::open(&path).unwrap().execute_batch(fill).unwrap();
    registry
}

/// Makes a call, and asserts that it reported its progress as it should if it took long.
#[track_caller]
fn reports<T>(heard: &Heard, job: &'static str, call: impl FnOnce() -> T) -> T {
    heard.lock().unwrap().clear();
    let begun = Instant::now();
    let result = call();
    let took = begun.elapsed();
    let mut heard = std::mem::take(&mut *heard.lock().unwrap());
    let reports = heard.remove(job).unwrap_or_default();
    assert!(heard.is_empty(), "{job}: {heard:?}");
    assert!(!reports.is_empty(), "{job} took {took:?} and reported nothing");
    let limit = Duration::from_millis(100);
    assert!(reports[0].2 - begun >= limit, "{job} reported before 100 ms");
    // The last report does not wait.
    let spaced = u32::try_from(reports.len() - 1).unwrap();
    assert!(limit * spaced <= took, "{job}: {}", reports.len());
    assert!(reports.is_sorted_by(|one, next| one.0.done() < next.0.done()), "{job}: {reports:?}");
    let here = std::thread::current().id();
    assert!(reports.iter().all(|(_, thread, _)| *thread == here));
    let (last, ..) = &reports[reports.len() - 1];
    assert_eq!(last.done(), last.total(), "{job}");
    assert!(last.total() > 0, "{job}");
    result
}

/// Makes every long call. `call` makes it and returns nothing.
fn every_long_call(options: &RegistryOptions, folder: &Path, call: Call<'_>) {
    let registry = options.open(folder.join("registry.db")).unwrap();
    learn(&registry);
    call("create_all", &mut || drop(registry.create_all(many(0))), &registry);
    call("check", &mut || drop(registry.check()), &registry);
    let plan = registry.plan(many(3_000), Prune::Delete).unwrap();
    call("apply", &mut || drop(registry.apply(plan.clone())), &registry);
    call("export", &mut || drop(registry.export()), &registry);
    #[cfg(feature = "encryption")]
    call("rekey", &mut || drop(registry.rekey(Some([7; 32]))), &registry);
    let document = registry.export().unwrap();
    let other = options.in_memory().unwrap();
    call("import", &mut || drop(other.import(document.clone())), &other);
    let large = large(options, folder);
    let backup = folder.join("backup.db");
    call("backup", &mut || drop(large.backup(&backup)), &large);
    #[cfg(feature = "test-util")]
    call("fork", &mut || drop(large.fork()), &large);
}

/// Takes the name of a job, the call, and the registry that it is made on.
type Call<'c> = &'c mut dyn FnMut(&'static str, &mut dyn FnMut(), &Registry);

#[test]
fn every_long_call_reports_its_progress_from_its_own_thread() {
    let folder = tempfile::tempdir().unwrap();
    let (options, heard) = listening(&Arc::default());
    let mut names = Vec::new();
    every_long_call(&options, folder.path(), &mut |job, call, registry| {
        reports(&heard, job, call);
        assert!(!registry.is_empty().unwrap(), "{job}");
        names.push(job);
    });
    heard.lock().unwrap().clear();
    let mut all = vec!["create_all", "check", "apply", "export"];
    all.extend(cfg!(feature = "encryption").then_some("rekey"));
    all.extend(["import", "backup"]);
    all.extend(cfg!(feature = "test-util").then_some("fork"));
    assert_eq!(names, all);
}

#[test]
fn a_panic_of_the_callback_changes_nothing_and_the_registry_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let panics = Arc::new(AtomicBool::new(false));
    let (options, heard) = listening(&panics);
    every_long_call(&options, folder.path(), &mut |job, call, registry| {
        let before = (registry.len().unwrap(), registry.last_change().unwrap());
        panics.store(true, Ordering::Relaxed);
        let panic = catch_unwind(AssertUnwindSafe(&mut *call)).unwrap_err();
        panics.store(false, Ordering::Relaxed);
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"the callback panics"), "{job}");
        let after = (registry.len().unwrap(), registry.last_change().unwrap());
        assert_eq!(after, before, "{job}");
        registry.register_event_type(format!("after.{job}")).unwrap();
        assert!(registry.remove_event_type(&format!("after.{job}")).is_ok());
        if job == "apply" {
            // The registry has changed since the plan was made, so the plan is refused now.
            return;
        }
        // Of `import`, the registry has other ids since; and the check has been made before.
        if job != "import" {
            reports(&heard, job, call);
        }
    });
    // Neither a copy nor part of one is left.
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(
        names.iter().all(|name| !name.contains("part") && !name.contains("rekey")),
        "{names:?}"
    );
}

#[test]
fn a_short_call_reports_nothing() {
    let (options, heard) = listening(&Arc::default());
    let registry = options.in_memory().unwrap();
    learn(&registry);
    let begun = Instant::now();
    registry.create_all(many(0).take(3)).unwrap();
    registry.check().unwrap();
    let document = registry.export().unwrap();
    options.in_memory().unwrap().import(document).unwrap();
    // A machine under load can make any call long.
    if begun.elapsed() < Duration::from_millis(100) {
        assert_eq!(heard.lock().unwrap().len(), 0);
    }
}
