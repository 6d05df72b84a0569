//! How fast the registry is next to what it stands on: every group times both on the same data, once it has asserted
//! that they give the same answer. `benches/report.py` makes the table of ratios from it.
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

mod beside;
mod cold;
mod declared;
mod peers;
mod secrets;
mod storage;
mod warm;

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::hint::{self, black_box};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};
use tempfile::TempDir;
use webhook_registry::Subscribers;

use common::data::Random;
use common::rows::Recipient;
use common::{Crowd, Run, build};

fn main() {
    if let Some(path) = beside::asked_to_write() {
        beside::write_on(&path);
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
    peers::all(&mut bench);
    secrets::all(&mut bench);
    declared::all(&mut bench);
    // Last, because it leaves its mark on the files.
    storage::all(&mut bench);
    bench.criterion.final_summary();
}

struct Bench {
    run: Run,
    criterion: Criterion,
    folder: TempDir,
    files: HashMap<String, PathBuf>,
}

impl Bench {
    /// A group to time functions in.
    fn group(&mut self, name: &str) -> BenchmarkGroup<'_, WallTime> {
        let mut group = self.criterion.benchmark_group(name);
        group.sampling_mode(SamplingMode::Flat);
        group
    }

    /// The file that holds this crowd. It is made once, and groups share it.
    fn file(&mut self, name: &str, crowd: &Crowd) -> PathBuf {
        if let Some(path) = self.files.get(name) {
            return path.clone();
        }
        let path = self.fresh(name);
        let begun = Instant::now();
        build(&path, crowd);
        if !self.run.small {
            println!("made the file {name} in {:.1} s", begun.elapsed().as_secs_f64());
        }
        self.files.insert(name.to_owned(), path.clone());
        path
    }

    /// A path where nothing lies.
    fn fresh(&self, name: &str) -> PathBuf {
        self.folder.path().join(name).with_extension("db")
    }

    fn mixed(&self, subscriptions: usize) -> Crowd {
        Crowd::Mixed {
            subscriptions: self.run.scaled(subscriptions),
            types: if self.run.small { 300 } else { 10_000 },
            patterns: if self.run.small { 50 } else { 1_000 },
        }
    }

    /// The file of so many mixed subscriptions.
    fn mixed_file(&mut self, name: &str, subscriptions: usize) -> PathBuf {
        let crowd = self.mixed(subscriptions);
        self.file(name, &crowd)
    }
}

/// Event types to ask for in turn, so that no answer stays in the nearest cache by being the only one.
struct Asked {
    names: Vec<String>,
    at: usize,
}

impl Asked {
    fn of(crowd: &Crowd) -> Asked {
        let mut names = crowd.event_types();
        Random::new(3).shuffle(&mut names);
        names.truncate(256);
        Asked { names, at: 0 }
    }

    fn next(&mut self) -> &str {
        self.at = if self.at + 1 < self.names.len() { self.at + 1 } else { 0 };
        &self.names[self.at]
    }
}

/// Times `job` alone, each time after `before`; giving back what it answers is part of it.
fn after_each<T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mut before: impl FnMut(),
    mut job: impl FnMut() -> T,
) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                before();
                let begun = Instant::now();
                drop(black_box(job()));
                spent += begun.elapsed();
            }
            spent
        });
    });
}

/// Times jobs that wait for the disk, in turns: how long it takes changes more from one second to the next than they differ.
fn in_turns<const N: usize>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    mut jobs: [(&str, &mut dyn FnMut()); N],
) {
    // Taken while another was asked for.
    let mut taken: [VecDeque<Duration>; N] = std::array::from_fn(|_| VecDeque::new());
    for (at, name) in jobs.each_ref().map(|(name, _)| *name).into_iter().enumerate() {
        let mut one = || {
            if let Some(spent) = taken[at].pop_front() {
                // Criterion reckons by its own clock how many it asks for.
                let begun = Instant::now();
                while begun.elapsed() < spent {
                    hint::spin_loop();
                }
                return spent;
            }
            let mut own = Duration::ZERO;
            for (other, (_, job)) in jobs.iter_mut().enumerate() {
                let begun = Instant::now();
                job();
                let spent = begun.elapsed();
                if other == at { own = spent } else { taken[other].push_back(spent) }
            }
            own
        };
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| one()).sum())
        });
    }
}

/// An answer of the registry, in the form of the plain program's.
fn told(subscribers: &Subscribers) -> Vec<Recipient> {
    subscribers.iter().map(Recipient::from).collect()
}

/// Removes a file, with what SQLite has put beside it.
fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut path = path.as_os_str().to_owned();
        path.push(suffix);
        let _ = fs::remove_file(path);
    }
}
