//! Writing, listing, getting, opening.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::hint::black_box;
use std::time::Duration;

use webhook_registry::{
    Created, ListQuery, NewSubscription, Registry, SubscriptionId, SubscriptionUpdate,
};

use crate::cold::Urls;
use crate::common::data::{FOR_ONE, ONE, Random, is_wildcard};
use crate::common::rows::{CreatedRow, SubscriptionRow, id_bytes};
use crate::common::{Baseline, Dataset, Files, New, Pair, Synchronous};
use crate::{Bench, Job, in_turns, remove, rows, timed};

pub(crate) fn all(bench: &mut Bench) {
    open(bench);
    by_name(bench);
    page(bench);
    create_durable(bench);
    update_durable(bench);
    bulk(bench);
    // Last, because it adds wildcards to the files.
    register(bench);
}

/// Returns all subscriptions of both, for comparing databases that were filled independently.
fn without_ids_and_times(pair: &Pair) -> [Vec<SubscriptionRow>; 2] {
    let ours = pair.registry.iter(ListQuery::new());
    let ours = ours.map(|subscription| SubscriptionRow::from(&subscription.unwrap()));
    let theirs = pair.baseline.all().into_iter().map(|row| row.subscription);
    [
        ours.map(SubscriptionRow::without_id_and_times).collect(),
        theirs.map(SubscriptionRow::without_id_and_times).collect(),
    ]
}

fn create_durable(bench: &mut Bench) {
    const GROUP: &str = "create/durable";
    if !bench.run.wants(GROUP) {
        return;
    }
    let dataset = bench.mixed(100_000);
    let pair = bench.fresh_files("create").open();
    pair.registry.register_event_types(dataset.event_types()).unwrap();
    pair.baseline.register(&dataset.event_types());
    // More than criterion asks for, so that no name comes twice.
    let list: Vec<New> = dataset.subscriptions().collect();
    let (mut for_registry, mut for_baseline) = (list.iter(), list.iter());
    let mut registry = || {
        let request = for_registry.next().unwrap().request();
        timed(|| pair.registry.create(request).unwrap())
    };
    let mut baseline = || {
        let new = vec![for_baseline.next().unwrap().clone()];
        timed(|| pair.baseline.create(new))
    };
    // Until every pattern is stored.
    for _ in 0..bench.run.scaled(1_000) {
        registry();
        baseline();
    }
    let [ours, theirs] = without_ids_and_times(&pair);
    assert_eq!(ours, theirs);
    let mut group = bench.group(GROUP);
    group.measurement_time(Duration::from_secs(3)).sample_size(40);
    in_turns(&mut group, [("registry", &mut registry), ("baseline", &mut baseline)]);
}

/// Moves the first thousand subscriptions, one after the other, in copies of the files. Their rows
/// are on few pages: the checkpoints of updates all over the file take ten times as long as the
/// updates, and vary with the disk.
fn update_durable(bench: &mut Bench) {
    const GROUP: &str = "update/durable";
    if !bench.run.wants(GROUP) {
        return;
    }
    let (from, to) = (bench.mixed_files("100k", 100_000), bench.fresh_files("update"));
    for (from, to) in [(&from.registry, &to.registry), (&from.baseline, &to.baseline)] {
        fs::copy(from, to).unwrap();
        // Or the first durable update would wait until the copy is on the disk.
        fs::OpenOptions::new().write(true).open(to).unwrap().sync_all().unwrap();
    }
    let pair = to.open();
    // Without the first one, which other groups have moved.
    let all = pair.registry.iter(ListQuery::new()).skip(1).take(1_000);
    let mut ids: Vec<SubscriptionId> = all.map(|found| found.unwrap().id()).collect();
    Random::new(11).shuffle(&mut ids);
    let update = |id: SubscriptionId, url: &str| {
        pair.registry.update(id, SubscriptionUpdate::new().url(url)).unwrap()
    };
    let without_time = |row| SubscriptionRow { updated_at: 0, ..row };
    for id in ids.iter().take(3) {
        let ours = SubscriptionRow::from(&update(*id, "https://hooks.example.com/moved"));
        let theirs = pair.baseline.set_url(id_bytes(*id), "https://hooks.example.com/moved");
        assert_eq!(without_time(ours), without_time(theirs));
    }
    let (mut for_registry, mut for_baseline) = (ids.iter().cycle(), ids.iter().cycle());
    let (urls, baseline_urls) = (Urls::default(), Urls::default());
    let mut group = bench.group(GROUP);
    group.measurement_time(Duration::from_secs(3)).sample_size(40);
    let jobs: [Job<'_>; 2] = [
        ("registry", &mut || {
            let (id, url) = (*for_registry.next().unwrap(), urls.next());
            timed(|| update(id, &url))
        }),
        ("baseline", &mut || {
            let (id, url) = (id_bytes(*for_baseline.next().unwrap()), baseline_urls.next());
            timed(|| pair.baseline.set_url(id, &url))
        }),
    ];
    in_turns(&mut group, jobs);
}

fn bulk(bench: &mut Bench) {
    const GROUP: &str = "create/bulk_100k";
    if !bench.run.wants(GROUP) {
        return;
    }
    let dataset = bench.mixed(100_000);
    let files = bench.fresh_files("bulk");
    bulk_registry(&files, &dataset);
    bulk_baseline(&files, &dataset);
    let [ours, theirs] = without_ids_and_times(&files.open());
    assert_eq!(ours.len(), bench.run.scaled(100_000));
    assert!(ours == theirs);
    let mut group = bench.group(GROUP);
    group.sample_size(10);
    let jobs: [Job<'_>; 2] = [
        ("registry", &mut || bulk_registry(&files, &dataset)),
        ("baseline", &mut || bulk_baseline(&files, &dataset)),
    ];
    in_turns(&mut group, jobs);
}

fn bulk_registry(files: &Files, dataset: &Dataset) -> Duration {
    remove(&files.registry);
    let registry = Registry::open(&files.registry).unwrap();
    registry.register_event_types(dataset.event_types()).unwrap();
    let list: Vec<NewSubscription> = dataset.subscriptions().map(|new| new.request()).collect();
    let mut created: Vec<Created> = Vec::new();
    let time = timed(|| created = registry.create_all(list).unwrap());
    drop(black_box(created));
    time
}

fn bulk_baseline(files: &Files, dataset: &Dataset) -> Duration {
    remove(&files.baseline);
    let baseline = Baseline::open(&files.baseline, Synchronous::Full);
    baseline.register(&dataset.event_types());
    let list: Vec<New> = dataset.subscriptions().collect();
    let mut created: Vec<CreatedRow> = Vec::new();
    let time = timed(|| created = baseline.create(list));
    drop(black_box(created));
    time
}

/// Registers an event type beside 1,000 wildcards, without waiting for the disk, which would hide
/// any growth.
fn register(bench: &mut Bench) {
    const GROUP: &str = "catalog/register";
    if !bench.run.wants(GROUP) {
        return;
    }
    let [small, large] = [("1k", 1_000), ("1m", 1_000_000)].map(|(name, count)| {
        let pair = bench.mixed_files(name, count).open_relaxed();
        let dataset = bench.mixed(count);
        add_wildcards(&pair, &dataset, bench.run.scaled(1_000));
        Registered { pair, registry: Cell::default(), baseline: Cell::default() }
    });
    for registered in [&small, &large] {
        registered.assert_equal();
    }
    let mut group = bench.group(GROUP);
    let jobs: [Job<'_>; 4] = [
        ("registry", &mut || large.registry()),
        ("baseline", &mut || large.baseline()),
        ("registry_1k", &mut || small.registry()),
        ("baseline_1k", &mut || small.baseline()),
    ];
    in_turns(&mut group, jobs);
}

/// Creates subscriptions until the distinct patterns include so many wildcards.
fn add_wildcards(pair: &Pair, dataset: &Dataset, wildcards: usize) {
    let stored: BTreeSet<String> = dataset
        .subscriptions()
        .flat_map(|new| new.events)
        .filter(|event| is_wildcard(event))
        .collect();
    // Each matches the type that it was made of.
    let more = dataset.event_types().into_iter().map(|mut name| {
        name.pop();
        name + "?"
    });
    let more: BTreeSet<String> = more.filter(|pattern| !stored.contains(pattern)).collect();
    let first = dataset.subscriptions().count();
    let more = more.into_iter().take(wildcards.saturating_sub(stored.len()));
    let more = more.enumerate().map(|(at, event)| New::plain(first + at, vec![event]).request());
    let created = pair.registry.create_all(more).unwrap();
    pair.baseline.store(&created.iter().map(CreatedRow::from).collect::<Vec<_>>());
}

/// A pair in which one event type after the other is registered and removed.
struct Registered {
    pair: Pair,
    registry: Cell<usize>,
    baseline: Cell<usize>,
}

impl Registered {
    fn next(number: &Cell<usize>) -> String {
        number.set(number.get() + 1);
        format!("t00.new.{}.created", number.get())
    }

    fn registry(&self) -> Duration {
        let name = Registered::next(&self.registry);
        let time = timed(|| self.pair.registry.register_event_type(&*name).unwrap());
        self.pair.registry.remove_event_type(&name).unwrap();
        time
    }

    fn baseline(&self) -> Duration {
        let name = [Registered::next(&self.baseline)];
        let time = timed(|| self.pair.baseline.register(&name));
        self.pair.baseline.unregister(&name[0]);
        time
    }

    fn assert_equal(&self) {
        let name = ["t00.one.more.created".to_owned()];
        self.pair.registry.register_event_type(&*name[0]).unwrap();
        self.pair.baseline.register(&name);
        let answer = rows(&self.pair.registry.subscribers(&name[0]).unwrap());
        assert!(!answer.is_empty());
        assert!(Some(answer) == self.pair.baseline.subscribers(&name[0]));
        self.pair.registry.remove_event_type(&name[0]).unwrap();
        self.pair.baseline.unregister(&name[0]);
        assert!(self.pair.registry.subscribers(&name[0]).is_err());
        assert_eq!(self.pair.baseline.subscribers(&name[0]), None);
    }
}

fn page(bench: &mut Bench) {
    const GROUP: &str = "list/page_100";
    if !bench.run.wants(GROUP) {
        return;
    }
    let Pair { registry, baseline } = bench.mixed_files("1m", 1_000_000).open();
    // The page of the last hundred begins after the subscription before them.
    let before = bench.run.scaled(1_000_000) - 101;
    let before = bench.mixed(1_000_000).subscriptions().nth(before).unwrap().name;
    let cursor = registry.get_by_name(&before).unwrap().unwrap().id();
    let queries = [None, Some(cursor)].map(|after| {
        let query = ListQuery::new().limit(100);
        (after.map(id_bytes), after.map_or(query.clone(), |id| query.after(id)))
    });
    for (after, query) in &queries {
        let page = registry.list(query.clone()).unwrap();
        let (theirs, more) = baseline.page(*after, 100);
        assert_eq!((page.next_cursor().is_some(), page.subscriptions().len()), (more, 100));
        assert_eq!(
            unmoved(page.subscriptions().iter().map(SubscriptionRow::from)),
            unmoved(theirs)
        );
    }
    let [(_, first), (last_after, last)] = queries;
    let mut group = bench.group(GROUP);
    let jobs: [Job<'_>; 4] = [
        ("first", &mut || timed(|| registry.list(first.clone()).unwrap())),
        ("first_baseline", &mut || timed(|| baseline.page(None, 100))),
        ("last", &mut || timed(|| registry.list(last.clone()).unwrap())),
        ("last_baseline", &mut || timed(|| baseline.page(last_after, 100))),
    ];
    in_turns(&mut group, jobs);
}

/// Leaves out the subscription that other groups have moved, each side as often as it was timed.
fn unmoved(rows: impl IntoIterator<Item = SubscriptionRow>) -> Vec<SubscriptionRow> {
    rows.into_iter().filter(|row| row.name != ONE).collect()
}

fn by_name(bench: &mut Bench) {
    const GROUP: &str = "get/by_name";
    if !bench.run.wants(GROUP) {
        return;
    }
    let Pair { registry, baseline } = bench.mixed_files("100k", 100_000).open();
    let names = bench.mixed(100_000);
    let names = names.subscriptions().map(|new| new.name).filter(|name| name != ONE);
    let mut names: Vec<String> = names.collect();
    Random::new(9).shuffle(&mut names);
    names.truncate(1_000);
    for name in &names {
        let ours = registry.get_by_name(name).unwrap().unwrap();
        assert_eq!(Some(SubscriptionRow::from(&ours)), baseline.by_name(name));
    }
    let (mut for_registry, mut for_baseline) = (names.iter().cycle(), names.iter().cycle());
    let mut group = bench.group(GROUP);
    let jobs: [Job<'_>; 2] = [
        ("registry", &mut || {
            let name = for_registry.next().unwrap();
            timed(|| registry.get_by_name(name).unwrap())
        }),
        ("baseline", &mut || {
            let name = for_baseline.next().unwrap();
            timed(|| baseline.by_name(name).unwrap())
        }),
    ];
    in_turns(&mut group, jobs);
}

/// Closing is timed too.
fn open(bench: &mut Bench) {
    if bench.run.wants("open/memory") {
        let empty = Registry::in_memory().unwrap().is_empty().unwrap();
        assert!(empty && Baseline::in_memory().all().is_empty());
        let mut group = bench.group("open/memory");
        let jobs: [Job<'_>; 2] = [
            ("registry", &mut || timed(|| Registry::in_memory().unwrap())),
            ("baseline", &mut || timed(Baseline::in_memory)),
        ];
        in_turns(&mut group, jobs);
    }
    if !bench.run.wants("open/file") && !bench.run.wants("open/first_answer") {
        return;
    }
    let Files { registry, baseline } = bench.mixed_files("1k", 1_000);
    let open_registry = || Registry::open(&registry).unwrap();
    let open_baseline = || Baseline::open(&baseline, Synchronous::Full);
    let ours = rows(&open_registry().subscribers(FOR_ONE).unwrap()).remove(0);
    let theirs = open_baseline().subscribers(FOR_ONE).unwrap().remove(0);
    assert_eq!((&ours.id, &ours.secret), (&theirs.id, &theirs.secret));
    let mut group = bench.group("open/file");
    let jobs: [Job<'_>; 2] =
        [("registry", &mut || timed(open_registry)), ("baseline", &mut || timed(open_baseline))];
    in_turns(&mut group, jobs);
    drop(group);
    let mut group = bench.group("open/first_answer");
    let jobs: [Job<'_>; 2] = [
        ("registry", &mut || timed(|| open_registry().subscribers(FOR_ONE).unwrap())),
        ("baseline", &mut || timed(|| open_baseline().subscribers(FOR_ONE).unwrap())),
    ];
    in_turns(&mut group, jobs);
}
