//! Shared fixtures and helpers.

pub(crate) mod child;
#[cfg(unix)]
pub(crate) mod faults;
pub(crate) mod history;
pub(crate) mod oracle;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use webhook_registry::{
    Catalog, Durability, Error, ErrorKind, NewSubscription, Registry, RegistryOptions,
};

pub(crate) const CONTACT_CENTER: &str =
    include_str!("../../fixtures/contact-center-event-types.json");
pub(crate) const SEED: &str = include_str!("../../fixtures/seed-create.json");
pub(crate) const STRIPE: &str = include_str!("../../fixtures/stripe-event-types.txt");

/// The secret of the seed request.
pub(crate) const SEED_SECRET: &str =
    "OFd4WHqXISxMAgoYneiFhgdGrOgYeToYPN3HjIO4xAxDvWd/oIKTW1P4A6GLXN0McDGlLtnTn1KCGCa+W5Gu=";

/// Returns an in-memory registry with the event types of the contact center.
pub(crate) fn contact_center() -> Registry {
    let registry = Registry::in_memory().unwrap();
    learn(&registry);
    registry
}

/// Registers the event types of the contact center.
pub(crate) fn learn(registry: &Registry) {
    let catalog: Catalog = serde_json::from_str(CONTACT_CENTER).unwrap();
    registry.register_event_types(catalog).unwrap();
}

/// Returns options with a long timeout, for concurrent writers on a loaded machine whose waiting is
/// not under test.
pub(crate) fn patient() -> RegistryOptions {
    Registry::options().busy_timeout(Duration::from_secs(300)).durability(Durability::Relaxed)
}

/// The names of the files on which the suites of crashes, full disks and damage run: that of a
/// registry's own file, and those of an application's files in either journal mode.
pub(crate) const FILES: [&str; 3] = ["registry.db", "application-wal.db", "application-delete.db"];

fn is_application(path: &Path) -> bool {
    path.file_name().unwrap().to_str().unwrap().starts_with("application")
}

/// Returns the options for the file of this name.
pub(crate) fn options_for(path: &Path) -> RegistryOptions {
    Registry::options().guest(is_application(path))
}

/// Makes the file of an application, if its name says that it is one.
pub(crate) fn prepare(path: &Path) {
    if is_application(path) {
        let is_wal = path.to_str().unwrap().contains("wal");
        crate::guest::make_application(path, crate::guest::FILES[usize::from(!is_wal)]);
    }
}

/// Returns a valid subscription.
pub(crate) fn new(name: &str) -> NewSubscription {
    NewSubscription::new(name, "https://example.com/hook", ["agent.*"])
}

/// Returns the error of a call, after asserting its kind and fields.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(
    result: Result<T, Error>,
    kind: ErrorKind,
    fields: &[&str],
) -> Error {
    let error = result.expect_err("the call must be rejected");
    assert_eq!(error.kind(), kind, "{error}");
    let found: Vec<&str> = error.problems().iter().map(|problem| problem.field()).collect();
    assert_eq!(found, fields, "{error}");
    error
}

/// A clock that stands still until it is set, in milliseconds since 1970. Clones share the clock.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<AtomicU64>);

impl Clock {
    pub(crate) fn at(millis: u64) -> Clock {
        Clock(Arc::new(AtomicU64::new(millis)))
    }

    pub(crate) fn set(&self, millis: u64) {
        self.0.store(millis, Ordering::SeqCst);
    }

    pub(crate) fn options(&self) -> RegistryOptions {
        let clock = self.0.clone();
        Registry::options().clock(move || time(clock.load(Ordering::SeqCst)))
    }
}

pub(crate) fn time(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

/// Returns the names of the files in a folder whose raw bytes contain this.
pub(crate) fn files_with(folder: &Path, sought: &[u8]) -> Vec<String> {
    // As text, one character per byte: searching a `str` is fast even in a debug build.
    let text = |bytes: &[u8]| -> String { bytes.iter().map(|byte| char::from(*byte)).collect() };
    let sought = text(sought);
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = paths.filter(|path| text(&std::fs::read(path).unwrap()).contains(&sought));
    let mut names: Vec<String> =
        found.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Sets the flag when dropped, so that other threads end even if this one panics.
pub(crate) struct End<'a>(pub(crate) &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Returns the causes of an error, the nearest first.
pub(crate) fn causes(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |cause| cause.source())
}

/// Returns the size of a suite: a few seconds, or the full one with `WEBHOOK_REGISTRY_FULL=1`.
pub(crate) fn size<T>(small: T, full: T) -> T {
    if std::env::var_os("WEBHOOK_REGISTRY_FULL").is_some_and(|value| value == "1") {
        full
    } else {
        small
    }
}

/// A seeded generator (splitmix64), so that a failure can be reproduced.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// Uses the seed of `WEBHOOK_REGISTRY_SEED`, or a new one, and prints it so that a failure
    /// shows it.
    pub(crate) fn new() -> Random {
        use std::hash::{BuildHasher as _, RandomState};
        let seed = std::env::var("WEBHOOK_REGISTRY_SEED")
            .ok()
            .map(|seed| seed.parse().expect("WEBHOOK_REGISTRY_SEED is a number"))
            .unwrap_or_else(|| RandomState::new().hash_one(()));
        println!("WEBHOOK_REGISTRY_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Drops the registry's views from a file as another program, and returns their number.
pub(crate) fn drop_views(path: &Path) -> usize {
    let conn = rusqlite::Connection::open(path).unwrap();
    let sql = "SELECT 'DROP VIEW ' || name FROM sqlite_master WHERE type = 'view'";
    let mut views = conn.prepare(sql).unwrap();
    let drops = views.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let drops: Vec<String> = drops.map(Result::unwrap).collect();
    conn.execute_batch(&drops.join(";")).unwrap();
    drops.len()
}
