//! Writing, listing, getting, opening.

use std::cell::Cell;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use webhook_registry::{ListQuery, NewSubscription, Registry};

use crate::common::data::Random;
use crate::common::rows::Endpoint;
use crate::common::{Crowd, New, Plain, relaxed};
use crate::{Bench, after_each, in_turns, remove};

pub(crate) fn all(bench: &mut Bench) {
    open(bench);
    by_name(bench);
    page(bench);
    durable(bench);
    bulk(bench);
    // Last, because it leaves its mark on the files.
    register(bench);
}

fn durable(bench: &mut Bench) {
    const GROUP: &str = "create/durable";
    if !bench.run.wants(GROUP) {
        return;
    }
    let crowd = bench.mixed(100_000);
    let (ours, theirs) = (bench.fresh("durable-ours"), bench.fresh("durable-theirs"));
    let without = bench.fresh("durable-untold");
    let (registry, plain) = (Registry::open(&ours).unwrap(), Plain::open(&theirs, "FULL"));
    registry.register_event_types(crowd.event_types()).unwrap();
    plain.learn(&crowd.event_types());
    // As many as either could need, so that no name comes twice.
    let list: Vec<New> = crowd.subscriptions().collect();
    let (mut for_ours, mut for_theirs, mut for_untold) = (list.iter(), list.iter(), list.iter());
    let mut create = || drop(registry.create(for_ours.next().unwrap().request()).unwrap());
    let mut insert = || plain.create_told(for_theirs.next().unwrap());
    let untold = Plain::open(&without, "FULL");
    untold.learn(&crowd.event_types());
    let mut insert_untold =
        || drop(untold.create(std::slice::from_ref(for_untold.next().unwrap())));
    // Until every pattern is known.
    for _ in 0..bench.run.scaled(1_000) {
        create();
        insert();
        insert_untold();
    }
    // The same rows, those of the history too.
    assert_eq!(Plain::reader(&ours).dump(), plain.dump());
    assert_eq!(Plain::reader(&ours).told(), plain.told());
    let mut group = bench.group(GROUP);
    group.measurement_time(Duration::from_secs(3)).sample_size(40);
    let jobs: [(&str, &mut dyn FnMut()); 3] = [
        ("registry", &mut create),
        ("sql", &mut insert),
        ("sql_without_history", &mut insert_untold),
    ];
    in_turns(&mut group, jobs);
}

fn bulk(bench: &mut Bench) {
    const GROUP: &str = "create/bulk_100k";
    if !bench.run.wants(GROUP) {
        return;
    }
    let crowd = bench.mixed(100_000);
    let (ours, theirs) = (bench.fresh("bulk-ours"), bench.fresh("bulk-theirs"));
    bulk_ours(&ours, &crowd);
    bulk_theirs(&theirs, &crowd);
    assert_eq!(Plain::reader(&ours).dump(), Plain::reader(&theirs).dump());
    let mut group = bench.group(GROUP);
    group.sample_size(10);
    group.bench_function("registry", |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| bulk_ours(&ours, &crowd)).sum());
    });
    group.bench_function("sql", |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| bulk_theirs(&theirs, &crowd)).sum());
    });
}

fn bulk_ours(path: &Path, crowd: &Crowd) -> Duration {
    remove(path);
    let registry = Registry::open(path).unwrap();
    registry.register_event_types(crowd.event_types()).unwrap();
    let list: Vec<NewSubscription> = crowd.subscriptions().map(|new| new.request()).collect();
    let begun = Instant::now();
    let created = registry.create_all(list).unwrap();
    let spent = begun.elapsed();
    drop(black_box(created));
    spent
}

fn bulk_theirs(path: &Path, crowd: &Crowd) -> Duration {
    remove(path);
    let plain = Plain::open(path, "FULL");
    plain.learn(&crowd.event_types());
    let list: Vec<New> = crowd.subscriptions().collect();
    let begun = Instant::now();
    let created = plain.create(&list);
    let spent = begun.elapsed();
    drop(black_box(created));
    spent
}

/// Without waiting for the disk, which would hide any growth.
fn register(bench: &mut Bench) {
    const GROUP: &str = "catalog/register";
    if !bench.run.wants(GROUP) {
        return;
    }
    let files = [("1k", 1_000), ("1m", 1_000_000)]
        .map(|(name, count)| (name, bench.mixed_file(name, count)));
    let mut group = bench.group(GROUP);
    for (name, path) in files {
        let registry = relaxed(&path);
        let number = Cell::new(0);
        let event_type = || format!("t00.new.{}.created", number.get());
        let remove = || {
            registry.remove_event_type(&event_type()).unwrap();
            number.set(number.get() + 1);
        };
        registry.register_event_type(event_type()).unwrap();
        let covered: Vec<_> =
            ["t00.*", "t00.*.created"].map(|pattern| registry.expand(pattern).unwrap()).into();
        assert!(covered.iter().all(|names| names.contains(&event_type())));
        assert!(!registry.subscribers(&event_type()).unwrap().is_empty());
        after_each(&mut group, name, remove, || {
            registry.register_event_type(event_type()).unwrap()
        });
    }
}

fn page(bench: &mut Bench) {
    const GROUP: &str = "list/page_100";
    if !bench.run.wants(GROUP) {
        return;
    }
    let path = bench.mixed_file("1m", 1_000_000);
    let total = bench.run.scaled(1_000_000);
    let (registry, plain) = (Registry::open(&path).unwrap(), Plain::reader(&path));
    let cursor = plain.id_before_last(100).parse().unwrap();
    let (first, last) = (ListQuery::new().limit(100), ListQuery::new().limit(100).after(cursor));
    let list = |query: &ListQuery| registry.list(query.clone()).unwrap();
    let told = |query| list(query).subscriptions().iter().map(Endpoint::from).collect::<Vec<_>>();
    assert_eq!(told(&first), plain.page(0, 100));
    assert_eq!(told(&last), plain.page(total as i64 - 100, 100));
    let mut group = bench.group(GROUP);
    group.bench_function("first", |bencher| bencher.iter(|| list(&first)));
    group.bench_function("last", |bencher| bencher.iter(|| list(&last)));
    group.bench_function("sql", |bencher| bencher.iter(|| plain.page(0, 100)));
}

fn by_name(bench: &mut Bench) {
    const GROUP: &str = "get/by_name";
    if !bench.run.wants(GROUP) {
        return;
    }
    let path = bench.mixed_file("100k", 100_000);
    let (registry, plain) = (Registry::open(&path).unwrap(), Plain::reader(&path));
    let mut names: Vec<String> = bench.mixed(100_000).subscriptions().map(|new| new.name).collect();
    Random::new(9).shuffle(&mut names);
    names.truncate(1_000);
    for name in &names {
        let ours = registry.get_by_name(name).unwrap().unwrap();
        assert_eq!(Endpoint::from(&ours), plain.by_name(name).unwrap());
    }
    let (mut for_ours, mut for_theirs) = (names.iter().cycle(), names.iter().cycle());
    let mut group = bench.group(GROUP);
    group.bench_function("registry", |bencher| {
        bencher.iter(|| registry.get_by_name(for_ours.next().unwrap()).unwrap());
    });
    group.bench_function("sql", |bencher| {
        bencher.iter(|| plain.by_name(for_theirs.next().unwrap()))
    });
}

/// Closing is part of it: what was opened has to be let go somewhere.
fn open(bench: &mut Bench) {
    if bench.run.wants("open/memory") {
        let tables = |plain: &Plain| plain.dump().len();
        assert_eq!(Registry::in_memory().unwrap().len().unwrap(), tables(&Plain::memory()) as u64);
        let mut group = bench.group("open/memory");
        group.bench_function("registry", |bencher| bencher.iter(|| Registry::in_memory().unwrap()));
        group.bench_function("sql", |bencher| bencher.iter(Plain::memory));
    }
    if bench.run.wants("open/file") {
        let path = bench.mixed_file("1k", 1_000);
        let held = Registry::open(&path).unwrap().len().unwrap();
        assert_eq!(held, Plain::open(&path, "FULL").dump().len() as u64);
        let mut group = bench.group("open/file");
        group.bench_function("registry", |bencher| bencher.iter(|| Registry::open(&path).unwrap()));
        group.bench_function("sql", |bencher| bencher.iter(|| Plain::open(&path, "FULL")));
    }
}
