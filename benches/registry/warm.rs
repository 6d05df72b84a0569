//! Look-ups of what was asked before, while nothing changes.

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, Barrier, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use webhook_registry::Registry;

use crate::common::rows::Recipient;
use crate::common::{Crowd, Plain, in_memory};
use crate::{Asked, Bench, told};

type Map = RwLock<HashMap<String, Arc<[Recipient]>>>;

pub(crate) fn all(bench: &mut Bench) {
    memory(bench);
    file(bench, "dispatch/exclusive", exclusive);
    shared(bench);
    threads(bench);
}

/// A registry that has its file alone.
fn exclusive(path: &Path) -> Registry {
    Registry::options().exclusive(true).open(path).unwrap()
}

fn memory(bench: &mut Bench) {
    const GROUP: &str = "dispatch/memory";
    if bench.run.wants(GROUP) {
        let crowd = bench.mixed(100_000);
        let plain = Plain::memory();
        plain.learn(&crowd.event_types());
        plain.create(&crowd.subscriptions().collect::<Vec<_>>());
        // Two databases, so ids and secrets differ.
        let known = |list: Vec<Recipient>| -> Vec<_> {
            list.into_iter()
                .map(|Recipient { name, url, metadata, .. }| (name, url, metadata))
                .collect()
        };
        against_hashmap(bench, GROUP, &crowd, &in_memory(&crowd), &plain, known);
    }
}

fn file(bench: &mut Bench, group: &str, open: fn(&Path) -> Registry) {
    if bench.run.wants(group) {
        let path = bench.mixed_file("100k", 100_000);
        let crowd = bench.mixed(100_000);
        // Copied, because a file that one has alone cannot be read by the other.
        let copy = bench.fresh("alone");
        std::fs::copy(&path, &copy).unwrap();
        against_hashmap(bench, group, &crowd, &open(&copy), &Plain::reader(&path), |list| list);
    }
}

fn against_hashmap<T: PartialEq + std::fmt::Debug>(
    bench: &mut Bench,
    group: &str,
    crowd: &Crowd,
    registry: &Registry,
    plain: &Plain,
    known: fn(Vec<Recipient>) -> T,
) {
    let mut asked = Asked::of(crowd);
    let entry = |name: &String| (name.clone(), plain.recipients(name).into());
    let map: Map = RwLock::new(asked.names.iter().map(entry).collect());
    let look_up = |name: &str| map.read().unwrap().get(name).cloned();
    for name in &asked.names {
        let expected = look_up(name).unwrap();
        assert_eq!(known(told(&registry.subscribers(name).unwrap())), known(expected.to_vec()));
    }
    let mut group = bench.group(group);
    group.bench_function("registry", |bencher| {
        bencher.iter(|| registry.subscribers(asked.next()).unwrap())
    });
    group.bench_function("hashmap", |bencher| bencher.iter(|| look_up(asked.next()).unwrap()));
}

fn shared(bench: &mut Bench) {
    const GROUP: &str = "dispatch/shared";
    if !bench.run.wants(GROUP) {
        return;
    }
    let path = bench.mixed_file("100k", 100_000);
    let mut asked = Asked::of(&bench.mixed(100_000));
    let (registry, plain) = (Registry::open(&path).unwrap(), Plain::reader(&path));
    for name in &asked.names {
        assert_eq!(told(&registry.subscribers(name).unwrap()), plain.recipients(name));
    }
    let mut group = bench.group(GROUP);
    group.bench_function("registry", |bencher| {
        bencher.iter(|| registry.subscribers(asked.next()).unwrap())
    });
    group.bench_function("data_version", |bencher| bencher.iter(|| plain.data_version()));
}

/// The time of one look-up where all threads together make as many as one would.
fn threads(bench: &mut Bench) {
    const GROUP: &str = "dispatch/threads";
    if !bench.run.wants(GROUP) {
        return;
    }
    let path = bench.mixed_file("100k", 100_000);
    let crowd = bench.mixed(100_000);
    let (memory, file) = (in_memory(&crowd), Registry::open(&path).unwrap());
    let asked = Asked::of(&crowd);
    for name in &asked.names {
        let (one, other) = (memory.subscribers(name).unwrap(), file.subscribers(name).unwrap());
        assert!(one.iter().map(|one| one.name()).eq(other.iter().map(|other| other.name())));
    }
    // Each begins elsewhere, as threads that deliver different events do.
    let starts = [0, asked.names.len() / 2];
    let look_ups = |registry: &Registry, start: usize| {
        let (registry, mut asked) =
            (registry.clone(), Asked { names: asked.names.clone(), at: start });
        move || drop(black_box(registry.subscribers(asked.next()).unwrap()))
    };
    let versions = || {
        let plain = Plain::reader(&path);
        move || {
            black_box(plain.data_version());
        }
    };
    let mut group = bench.group(GROUP);
    for (name, registry, count) in [
        ("one", &memory, 1),
        ("two", &memory, 2),
        ("shared_one", &file, 1),
        ("shared_two", &file, 2),
    ] {
        let mut jobs: Vec<_> =
            starts.iter().take(count).map(|&start| Job(look_ups(registry, start))).collect();
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| in_parallel(rounds, &mut jobs))
        });
    }
    for (name, count) in [("data_version_one", 1), ("data_version_two", 2)] {
        let mut jobs: Vec<_> = (0..count).map(|_| Job(versions())).collect();
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| in_parallel(rounds, &mut jobs))
        });
    }
}

/// What one thread does, on cache lines of its own: each job counts, and two counts on one line would be timed as well.
#[repr(align(128))]
struct Job<F>(F);

/// How long the threads take for so many rounds, shared between them.
fn in_parallel(rounds: u64, jobs: &mut [Job<impl FnMut() + Send>]) -> Duration {
    let share = rounds.div_ceil(jobs.len() as u64);
    let ready = Barrier::new(jobs.len() + 1);
    thread::scope(|scope| {
        let workers: Vec<_> = jobs
            .iter_mut()
            .map(|job| {
                let ready = &ready;
                scope.spawn(move || {
                    ready.wait();
                    (0..share).for_each(|_| (job.0)());
                })
            })
            .collect();
        ready.wait();
        let begun = Instant::now();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        begun.elapsed()
    })
}
