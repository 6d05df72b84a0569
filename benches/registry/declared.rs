//! What others bring and take: declared subscriptions, the document of an export, a copy in memory.

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use webhook_registry::{Ensured, Export, ListQuery, NewSubscription, Prune, Registry};

use crate::common::document;
use crate::common::rows::Endpoint;
use crate::common::{New, Plain};
use crate::{Bench, after_each, remove};

pub(crate) fn all(bench: &mut Bench) {
    ensure(bench);
    plan(bench);
    documents(bench);
    history(bench);
    #[cfg(feature = "test-util")]
    fork(bench);
}

fn ensure(bench: &mut Bench) {
    const GROUP: &str = "ensure/unchanged";
    if !bench.run.wants(GROUP) {
        return;
    }
    let path = bench.mixed_file("100k", 100_000);
    let declared: Vec<New> = bench.mixed(100_000).subscriptions().take(1_000).collect();
    let (registry, plain) = (Registry::open(&path).unwrap(), Plain::reader(&path));
    let at = Cell::new(0);
    let next = || {
        at.set((at.get() + 1) % declared.len());
        &declared[at.get()]
    };
    // Made beforehand: what a program declares, it has.
    let requests: Vec<NewSubscription> = declared.iter().map(New::request).collect();
    let ours = |request: &NewSubscription| match registry.ensure(request.clone()).unwrap() {
        Ensured::Unchanged(found) => found,
        other => panic!("{other:?}"),
    };
    for (new, request) in declared.iter().zip(&requests).skip(1) {
        assert_eq!(Endpoint::from(&ours(request)), plain.by_name(&new.name).unwrap());
    }
    let mut group = bench.group(GROUP);
    // The first of the crowd has been moved by other benchmarks.
    let request = || {
        next();
        &requests[at.get().max(1)]
    };
    group.bench_function("registry", |bencher| bencher.iter(|| ours(request())));
    group
        .bench_function("by_name", |bencher| bencher.iter(|| plain.by_name(&next().name).unwrap()));
}

fn plan(bench: &mut Bench) {
    const GROUP: &str = "plan/10k";
    if !bench.run.wants(GROUP) {
        return;
    }
    let path = bench.mixed_file("10k", 10_000);
    let requests: Vec<NewSubscription> =
        bench.mixed(10_000).subscriptions().map(|new| new.request()).collect();
    let (registry, plain) = (Registry::open(&path).unwrap(), Plain::reader(&path));
    let ours = |declared| registry.plan(declared, Prune::Delete).unwrap();
    assert!(ours(requests.clone()).is_empty());
    let rows = plain.page(0, usize::MAX);
    assert_eq!(rows.len(), requests.len());
    let all: Vec<Endpoint> = registry
        .iter(ListQuery::new())
        .map(|subscription| Endpoint::from(&subscription.unwrap()))
        .collect();
    assert_eq!(all, rows);
    let mut group = bench.group(GROUP);
    group.sample_size(15).measurement_time(Duration::from_secs(2));
    // What is declared is given away, so each round needs its own.
    let declared = Cell::new(Vec::new());
    after_each(&mut group, "registry", || declared.set(requests.clone()), || ours(declared.take()));
    after_each(&mut group, "sql", || (), || plain.page(0, usize::MAX));
}

fn documents(bench: &mut Bench) {
    const OUT: &str = "export/100k";
    const IN: &str = "import/100k";
    if !bench.run.wants(OUT) && !bench.run.wants(IN) {
        return;
    }
    let path = bench.mixed_file("100k", 100_000);
    let (registry, plain) = (Registry::open(&path).unwrap(), Plain::reader(&path));
    let ours = || serde_json::to_string(&registry.export().unwrap()).unwrap();
    let document = ours();
    assert!(document == document::export(&plain), "both write the same bytes");
    let mut group = bench.group(OUT);
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    after_each(&mut group, "registry", || (), ours);
    after_each(&mut group, "sql", || (), || document::export(&plain));
    drop(group);

    let (to, other) = (bench.fresh("imported"), bench.fresh("imported-plain"));
    import_ours(&to, &document);
    import_theirs(&other, &document);
    for path in [&to, &other] {
        let imported = Registry::open(path).unwrap();
        assert!(
            serde_json::to_string(&imported.export().unwrap()).unwrap() == document,
            "it comes back"
        );
        assert!(imported.check().unwrap().is_sound());
    }
    let mut group = bench.group(IN);
    group.sample_size(10);
    group.bench_function("registry", |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| import_ours(&to, &document)).sum());
    });
    group.bench_function("sql", |bencher| {
        bencher.iter_custom(|rounds| (0..rounds).map(|_| import_theirs(&other, &document)).sum());
    });
}

fn import_ours(path: &Path, document: &str) -> Duration {
    remove(path);
    let registry = Registry::open(path).unwrap();
    let begun = Instant::now();
    let read: Export = serde_json::from_str(document).unwrap();
    registry.import(read).unwrap();
    begun.elapsed()
}

fn import_theirs(path: &Path, document: &str) -> Duration {
    remove(path);
    let plain = Plain::open(path, "FULL");
    let begun = Instant::now();
    document::import(&plain, document);
    begun.elapsed()
}

/// What the history adds to a durable change.
fn history(bench: &mut Bench) {
    const GROUP: &str = "create/history";
    if !bench.run.wants(GROUP) {
        return;
    }
    let crowd = bench.mixed(100_000);
    let list: Vec<New> = crowd.subscriptions().collect();
    let open = |path: &Path, keep| {
        let registry = Registry::options().keep_changes(keep).open(path).unwrap();
        registry.register_event_types(crowd.event_types()).unwrap();
        registry
    };
    let (kept, none) = (open(&bench.fresh("kept"), 10_000), open(&bench.fresh("none"), 0));
    let mut group = bench.group(GROUP);
    group.measurement_time(Duration::from_secs(3)).sample_size(40);
    for (name, registry) in [("kept", &kept), ("none", &none)] {
        let mut requests = list.iter().map(New::request);
        after_each(&mut group, name, || (), || registry.create(requests.next().unwrap()).unwrap());
    }
    assert_eq!(none.changes(none.last_change().unwrap(), 1).unwrap(), []);
    assert_eq!(kept.changes(kept.last_change().unwrap() - 1, 1).unwrap().len(), 1);
}

#[cfg(feature = "test-util")]
fn fork(bench: &mut Bench) {
    const GROUP: &str = "fork/100k";
    if !bench.run.wants(GROUP) {
        return;
    }
    let path = bench.mixed_file("100k", 100_000);
    let (registry, plain) = (Registry::open(&path).unwrap(), Plain::reader(&path));
    let copied = Plain { conn: backup(&plain) };
    assert_eq!(copied.dump(), plain.dump());
    assert_eq!(registry.fork().unwrap().len().unwrap(), registry.len().unwrap());
    let mut group = bench.group(GROUP);
    group.sample_size(15).measurement_time(Duration::from_secs(3));
    group.bench_function("registry", |bencher| {
        bencher.iter(|| std::hint::black_box(registry.fork().unwrap()))
    });
    group.bench_function("backup", |bencher| bencher.iter(|| std::hint::black_box(backup(&plain))));
}

#[cfg(feature = "test-util")]
fn backup(plain: &Plain) -> rusqlite::Connection {
    let mut to = rusqlite::Connection::open_in_memory().unwrap();
    let copy = rusqlite::backup::Backup::new(&plain.conn, &mut to).unwrap();
    assert_eq!(copy.step(-1).unwrap(), rusqlite::backup::StepResult::Done);
    drop(copy);
    to
}
