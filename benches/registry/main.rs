//! Times the registry and an alternative on the same data, after asserting that both give the same
//! answers. `benches/report.py` prints the table of ratios.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a benchmark fails where what it expects does not hold"
)]

#[path = "../common/mod.rs"]
mod common;

mod application;
mod beside;
mod cold;
mod declared;
mod owners;
mod peers;
mod secrets;
mod storage;
mod warm;

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::hint::{self, black_box};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};
use tempfile::TempDir;
use webhook_registry::Subscribers;

use common::data::Random;
use common::rows::SubscriberRow;
use common::{Dataset, Files, Run};

fn main() {
    if let Some(path) = beside::asked_to_write() {
        beside::write_on(&path);
        return;
    }
    if let Some(path) = application::asked_to_write() {
        application::write_on(&path);
        return;
    }
    let mut bench = Bench {
        run: Run::from_args(),
        criterion: Criterion::default()
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1))
            .sample_size(30)
            .configure_from_args(),
        folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
        files: HashMap::new(),
    };
    warm::all(&mut bench);
    cold::all(&mut bench);
    beside::all(&mut bench);
    application::all(&mut bench);
    peers::all(&mut bench);
    secrets::all(&mut bench);
    declared::all(&mut bench);
    owners::all(&mut bench);
    // Last, because it adds wildcards to the files.
    storage::all(&mut bench);
    bench.criterion.final_summary();
}

struct Bench {
    run: Run,
    criterion: Criterion,
    folder: TempDir,
    files: HashMap<String, Files>,
}

impl Bench {
    /// Returns a group to time functions in.
    fn group(&mut self, name: &str) -> BenchmarkGroup<'_, WallTime> {
        let mut group = self.criterion.benchmark_group(name);
        group.sampling_mode(SamplingMode::Flat);
        group
    }

    /// Returns the files that hold a dataset. They are built once, and groups share them.
    fn files(&mut self, name: &str, dataset: &Dataset) -> Files {
        if let Some(files) = self.files.get(name) {
            return files.clone();
        }
        let files = self.fresh_files(name);
        let begun = Instant::now();
        files.fill(dataset);
        if !self.run.small {
            println!("built the files {name} in {:.1} s", begun.elapsed().as_secs_f64());
        }
        self.files.insert(name.to_owned(), files.clone());
        files
    }

    /// Returns the paths of two files that do not exist.
    fn fresh_files(&self, name: &str) -> Files {
        Files {
            registry: self.fresh(&format!("{name}-registry")),
            baseline: self.fresh(&format!("{name}-baseline")),
        }
    }

    /// Returns the path of a file that does not exist.
    fn fresh(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).with_extension("db")
    }

    fn mixed(&self, subscriptions: usize) -> Dataset {
        Dataset::Mixed {
            subscriptions: self.run.scaled(subscriptions),
            types: if self.run.small { 300 } else { 10_000 },
            patterns: if self.run.small { 50 } else { 1_000 },
        }
    }

    /// Returns the files of so many mixed subscriptions.
    fn mixed_files(&mut self, name: &str, subscriptions: usize) -> Files {
        let dataset = self.mixed(subscriptions);
        self.files(name, &dataset)
    }
}

/// Event types to ask for one after the other, so that not the same answer is in the processor's
/// cache each time.
struct Asked {
    names: Vec<String>,
    at: usize,
}

impl Asked {
    fn new(dataset: &Dataset) -> Asked {
        let mut names = dataset.event_types();
        Random::new(3).shuffle(&mut names);
        names.truncate(256);
        Asked { names, at: 0 }
    }

    fn next(&mut self) -> &str {
        self.at = if self.at + 1 < self.names.len() { self.at + 1 } else { 0 };
        &self.names[self.at]
    }
}

/// Runs a job and returns the time it took, with dropping its result.
fn timed<T>(job: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    drop(black_box(job()));
    begun.elapsed()
}

/// Times `job`, each time after `before`, which is not timed.
fn after_each<T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mut before: impl FnMut(),
    mut job: impl FnMut() -> T,
) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|rounds| {
            let rounds = 0..rounds;
            let times = rounds.map(|_| {
                before();
                timed(&mut job)
            });
            times.sum()
        });
    });
}

/// A function of a group. It runs once and returns the time of what is measured.
type Job<'j> = (&'j str, &'j mut dyn FnMut() -> Duration);

/// Runs several functions in turn (A B A B). The pace of a disk or of a shared machine changes more
/// within a second than the functions differ.
///
/// Criterion asks for one function after the other. While it asks for the first, all of them run,
/// and the times of the others are kept until criterion asks for them.
fn in_turns<const N: usize>(group: &mut BenchmarkGroup<'_, WallTime>, mut jobs: [Job<'_>; N]) {
    let mut kept: [VecDeque<(Duration, Duration)>; N] = std::array::from_fn(|_| VecDeque::new());
    for (asked, name) in jobs.each_ref().map(|(name, _)| *name).into_iter().enumerate() {
        let mut one = || {
            if let Some((time, round)) = kept[asked].pop_front() {
                pause(round);
                return time;
            }
            let begun = Instant::now();
            let times = jobs.each_mut().map(|(_, job)| job());
            let round = begun.elapsed();
            for (other, time) in times.into_iter().enumerate().filter(|(at, _)| *at != asked) {
                kept[other].push_back((time, round));
            }
            times[asked]
        };
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| one()).sum())
        });
    }
}

/// Waits as long as a round took. Criterion measures by its own clock how many rounds fit into the
/// time of a function, and would ask for more rounds than there are times kept.
fn pause(round: Duration) {
    // No group has samples of more than this.
    let round = round.min(Duration::from_millis(100));
    if round > Duration::from_millis(5) {
        return thread::sleep(round);
    }
    let begun = Instant::now();
    while begun.elapsed() < round {
        hint::spin_loop();
    }
}

/// Returns an answer of the registry in the form of the baseline's.
fn rows(subscribers: &Subscribers) -> Vec<SubscriberRow> {
    subscribers.iter().map(SubscriberRow::from).collect()
}

/// Removes a file, with its `-wal` and `-shm`.
fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut path = path.as_os_str().to_owned();
        path.push(suffix);
        let _ = fs::remove_file(path);
    }
}
