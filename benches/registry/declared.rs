//! Declared subscriptions, the document of an export, the history, a copy in memory.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use webhook_registry::{Ensured, Export, ListQuery, NewSubscription, Prune, Registry};

use crate::common::data::ONE;
use crate::common::document::{self, Document};
use crate::common::rows::SubscriptionRow;
use crate::common::{Baseline, Files, New, Pair, Synchronous};
use crate::{Bench, Job, after_each, in_turns, remove, timed};

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
    let Pair { registry, baseline } = bench.mixed_files("100k", 100_000).open();
    // Without the first one, which other groups have moved.
    let declared = bench.mixed(100_000);
    let declared: Vec<New> = declared.subscriptions().skip(1).take(1_000).collect();
    // Made beforehand, because a program that declares a subscription has it already.
    let requests: Vec<NewSubscription> = declared.iter().map(New::request).collect();
    let ensured = |request: &NewSubscription| match registry.ensure(request.clone()).unwrap() {
        Ensured::Unchanged(found) => found,
        other => panic!("{other:?}"),
    };
    for (new, request) in declared.iter().zip(&requests) {
        let ours = SubscriptionRow::from(&ensured(request));
        assert_eq!(Some(ours), baseline.by_name(&new.name));
    }
    let (mut for_registry, mut for_baseline) = (requests.iter().cycle(), declared.iter().cycle());
    let mut group = bench.group(GROUP);
    group.bench_function("registry", |bencher| {
        bencher.iter(|| ensured(for_registry.next().unwrap()))
    });
    group.bench_function("by_name", |bencher| {
        bencher.iter(|| baseline.by_name(&for_baseline.next().unwrap().name).unwrap())
    });
}

fn plan(bench: &mut Bench) {
    const GROUP: &str = "plan/10k";
    if !bench.run.wants(GROUP) {
        return;
    }
    let Pair { registry, baseline } = bench.mixed_files("10k", 10_000).open();
    let requests: Vec<NewSubscription> =
        bench.mixed(10_000).subscriptions().map(|new| new.request()).collect();
    let plan = |declared| registry.plan(declared, Prune::Delete).unwrap();
    assert!(plan(requests.clone()).is_empty());
    let all = registry.iter(ListQuery::new());
    let all: Vec<SubscriptionRow> = all.map(|found| (&found.unwrap()).into()).collect();
    assert_eq!(all.len(), requests.len());
    assert!(all == baseline.page(None, all.len()).0);
    let mut group = bench.group(GROUP);
    group.sample_size(15).measurement_time(Duration::from_secs(2));
    // A plan takes the declared list by value, so each round needs its own.
    let declared = Cell::new(Vec::new());
    after_each(&mut group, "registry", || declared.set(requests.clone()), || plan(declared.take()));
    after_each(&mut group, "baseline", || (), || baseline.page(None, all.len()));
}

fn documents(bench: &mut Bench) {
    const OUT: &str = "export/100k";
    const IN: &str = "import/100k";
    if !bench.run.wants(OUT) && !bench.run.wants(IN) {
        return;
    }
    let Pair { registry, baseline } = bench.mixed_files("100k", 100_000).open();
    let export = || serde_json::to_string(&registry.export().unwrap()).unwrap();
    let document = export();
    // Other groups have moved the subscription of this name, each side as often as it was timed.
    let [ours, theirs] = [&document, &document::export(&baseline)]
        .map(|document| Document::parse(document).without(ONE));
    assert!(ours == theirs, "both export the same document");
    let mut group = bench.group(OUT);
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    after_each(&mut group, "registry", || (), export);
    after_each(&mut group, "baseline", || (), || document::export(&baseline));
    drop(group);

    let files = bench.fresh_files("imported");
    import_registry(&files, &document);
    import_baseline(&files, &document);
    let imported = files.open();
    let exported = serde_json::to_string(&imported.registry.export().unwrap()).unwrap();
    assert!(exported == document, "the registry exports what it imported");
    let exported = document::export(&imported.baseline);
    assert!(
        Document::parse(&exported) == Document::parse(&document),
        "the baseline exports what it imported"
    );
    drop(imported);
    let mut group = bench.group(IN);
    group.sample_size(10);
    let jobs: [Job<'_>; 2] = [
        ("registry", &mut || import_registry(&files, &document)),
        ("baseline", &mut || import_baseline(&files, &document)),
    ];
    in_turns(&mut group, jobs);
}

fn import_registry(files: &Files, document: &str) -> Duration {
    remove(&files.registry);
    let registry = Registry::open(&files.registry).unwrap();
    timed(|| {
        let read: Export = serde_json::from_str(document).unwrap();
        registry.import(read).unwrap();
    })
}

fn import_baseline(files: &Files, document: &str) -> Duration {
    remove(&files.baseline);
    let baseline = Baseline::open(&files.baseline, Synchronous::Full);
    timed(|| document::import(&baseline, document))
}

/// The cost of the history in a durable change.
fn history(bench: &mut Bench) {
    const GROUP: &str = "create/history";
    if !bench.run.wants(GROUP) {
        return;
    }
    let dataset = bench.mixed(100_000);
    let list: Vec<New> = dataset.subscriptions().collect();
    let open = |path: &Path, keep| {
        let registry = Registry::options().keep_changes(keep).open(path).unwrap();
        registry.register_event_types(dataset.event_types()).unwrap();
        registry
    };
    let (kept, none) = (open(&bench.fresh("kept"), 10_000), open(&bench.fresh("none"), 0));
    let [mut with, mut without] = [&kept, &none].map(|registry| {
        let mut requests = list.iter().map(New::request);
        move || {
            let request = requests.next().unwrap();
            timed(|| registry.create(request).unwrap())
        }
    });
    let mut group = bench.group(GROUP);
    group.measurement_time(Duration::from_secs(3)).sample_size(40);
    in_turns(&mut group, [("kept", &mut with), ("none", &mut without)]);
    assert_eq!(none.changes(none.last_change().unwrap(), 1).unwrap(), []);
    assert_eq!(kept.changes(kept.last_change().unwrap() - 1, 1).unwrap().len(), 1);
}

/// A fork, and SQLite's copy of the same pages.
#[cfg(feature = "test-util")]
fn fork(bench: &mut Bench) {
    use rusqlite::Connection;
    use rusqlite::backup::{Backup, StepResult};

    const GROUP: &str = "fork/100k";
    if !bench.run.wants(GROUP) {
        return;
    }
    let path = bench.mixed_files("100k", 100_000).registry;
    let registry = Registry::open(&path).unwrap();
    let from = Connection::open(&path).unwrap();
    let backup = || {
        let mut to = Connection::open_in_memory().unwrap();
        let copy = Backup::new(&from, &mut to).unwrap();
        assert_eq!(copy.step(-1).unwrap(), StepResult::Done);
        drop(copy);
        to
    };
    let pages = |conn: &Connection| {
        conn.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(pages(&backup()), pages(&from));
    let all = |registry: &Registry| {
        registry.iter(ListQuery::new()).map(Result::unwrap).collect::<Vec<_>>()
    };
    assert!(all(&registry.fork().unwrap()) == all(&registry));
    let mut group = bench.group(GROUP);
    group.sample_size(15).measurement_time(Duration::from_secs(3));
    group.bench_function("registry", |bencher| bencher.iter(|| registry.fork().unwrap()));
    group.bench_function("backup", |bencher| bencher.iter(backup));
}
