//! Look-ups of cached answers, while nothing changes.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, Barrier, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use webhook_registry::{ListQuery, Registry, SubscriptionId};

use crate::common::data::Random;
use crate::common::rows::SubscriberRow;
use crate::common::{Baseline, Dataset, Pair, Synchronous, in_memory};
use crate::{Asked, Bench, in_turns, rows, timed};

type Map = RwLock<HashMap<String, Arc<[SubscriberRow]>>>;

pub(crate) fn all(bench: &mut Bench) {
    memory(bench);
    exclusive(bench);
    shared(bench);
    by_id(bench);
    threads(bench);
}

fn memory(bench: &mut Bench) {
    const GROUP: &str = "dispatch/memory";
    if bench.run.wants(GROUP) {
        let dataset = bench.mixed(100_000);
        let Pair { registry, baseline } = Pair::in_memory(&dataset);
        against_hashmap(bench, GROUP, &dataset, &registry, &baseline);
    }
}

fn exclusive(bench: &mut Bench) {
    const GROUP: &str = "dispatch/exclusive";
    if bench.run.wants(GROUP) {
        let files = bench.mixed_files("100k", 100_000);
        let registry = Registry::options().exclusive(true).open(&files.registry).unwrap();
        let baseline = Baseline::open(&files.baseline, Synchronous::Full);
        let dataset = bench.mixed(100_000);
        against_hashmap(bench, GROUP, &dataset, &registry, &baseline);
    }
}

fn against_hashmap(
    bench: &mut Bench,
    group: &str,
    dataset: &Dataset,
    registry: &Registry,
    baseline: &Baseline,
) {
    let mut asked = Asked::new(dataset);
    let entry = |name: &String| (name.clone(), baseline.subscribers(name).unwrap().into());
    let map: Map = RwLock::new(asked.names.iter().map(entry).collect());
    let look_up = |name: &str| map.read().unwrap().get(name).cloned();
    for name in &asked.names {
        assert_eq!(rows(&registry.subscribers(name).unwrap()), *look_up(name).unwrap());
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
    let Pair { registry, baseline } = bench.mixed_files("100k", 100_000).open();
    let mut asked = Asked::new(&bench.mixed(100_000));
    for name in &asked.names {
        let answer = rows(&registry.subscribers(name).unwrap());
        assert_eq!(Some(answer), baseline.subscribers(name));
    }
    let mut group = bench.group(GROUP);
    group.bench_function("registry", |bencher| {
        bencher.iter(|| registry.subscribers(asked.next()).unwrap())
    });
    group.bench_function("data_version", |bencher| bencher.iter(|| baseline.data_version()));
}

/// The time for a subscription with its secrets, by its id, against that for its fields alone.
fn by_id(bench: &mut Bench) {
    const GROUP: &str = "dispatch/subscriber_by_id";
    if !bench.run.wants(GROUP) {
        return;
    }
    let files = bench.mixed_files("100k", 100_000);
    let registry = Registry::open(&files.registry).unwrap();
    let mut ids: Vec<SubscriptionId> =
        registry.iter(ListQuery::new()).map(|found| found.unwrap().id()).collect();
    Random::new(4).shuffle(&mut ids);
    ids.truncate(256);
    for &id in &ids {
        let subscriber = registry.subscriber(id).unwrap().unwrap();
        let subscription = registry.get(id).unwrap().unwrap();
        let name_and_url = (subscription.name(), subscription.url());
        assert_eq!((subscriber.name(), subscriber.url()), name_and_url);
        assert_eq!(subscriber.secrets().count(), 1);
    }
    // Each look-up is of another subscription, so that neither finds the pages of the other's.
    let (mut asked, mut got) = (ids.iter().cycle(), ids.iter().cycle().skip(ids.len() / 2));
    let mut group = bench.group(GROUP);
    in_turns(
        &mut group,
        [
            ("subscriber", &mut || {
                let &id = asked.next().unwrap();
                timed(|| registry.subscriber(id).unwrap())
            }),
            ("get", &mut || {
                let &id = got.next().unwrap();
                timed(|| registry.get(id).unwrap())
            }),
        ],
    );
}

/// The time that all threads together take for one look-up.
fn threads(bench: &mut Bench) {
    const GROUP: &str = "dispatch/threads";
    if !bench.run.wants(GROUP) {
        return;
    }
    let files = bench.mixed_files("100k", 100_000);
    let dataset = bench.mixed(100_000);
    let (memory, file) = (in_memory(&dataset), Registry::open(&files.registry).unwrap());
    let asked = Asked::new(&dataset);
    for name in &asked.names {
        let (one, other) = (memory.subscribers(name).unwrap(), file.subscribers(name).unwrap());
        assert!(one.iter().map(|one| one.name()).eq(other.iter().map(|other| other.name())));
    }
    // Each thread begins at another type, as threads that deliver different events do.
    let starts = [0, asked.names.len() / 2];
    let look_ups = |registry: &Registry, start: usize| {
        let (registry, mut asked) =
            (registry.clone(), Asked { names: asked.names.clone(), at: start });
        move || drop(black_box(registry.subscribers(asked.next()).unwrap()))
    };
    let versions = || {
        let baseline = Baseline::open(&files.baseline, Synchronous::Full);
        move || {
            black_box(baseline.data_version());
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

/// The work of one thread. Each job counts its calls, and two counts on the same cache line would
/// slow each other down.
#[repr(align(128))]
struct Job<F>(F);

/// Returns how long the threads take for so many rounds, shared between them.
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
