//! Look-ups whose answer is not cached, or whose cached answer a change may have made stale.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use webhook_registry::{Registry, SubscriptionId, SubscriptionUpdate};

use crate::common::data::{FOR_ONE, FOR_TEN, FOR_TEN_APART, ONE, Random};
use crate::common::rows::{Id, id_bytes};
use crate::common::{Baseline, Dataset, Files, Pair, Synchronous};
use crate::{Bench, Job, after_each, in_turns, rows, timed};

pub(crate) fn all(bench: &mut Bench) {
    one_of_100k(bench);
    one_in_memory(bench);
    own_write(bench);
    fanout(bench);
    fanout_first(bench);
    many_types(bench);
    growth(bench);
    growth_in_memory(bench);
    // After the growth, so that both have the same files.
    ten_of_1m(bench);
}

/// URLs that differ from one call to the next.
#[derive(Default)]
pub(crate) struct Urls(Cell<u64>);

impl Urls {
    pub(crate) fn next(&self) -> String {
        self.0.set(self.0.get() + 1);
        self.current()
    }

    fn current(&self) -> String {
        format!("https://hooks.example.com/customers/{}/events", self.0.get())
    }
}

/// Sets the URL of the subscription [`ONE`] in a registry.
pub(crate) struct Mover {
    registry: Registry,
    id: SubscriptionId,
    urls: Urls,
}

impl Mover {
    pub(crate) fn new(registry: Registry) -> Mover {
        let id = registry.get_by_name(ONE).unwrap().unwrap().id();
        Mover { registry, id, urls: Urls::default() }
    }

    /// Sets a URL that differs from the one before.
    pub(crate) fn change(&self) {
        self.set_url(&self.urls.next());
    }

    pub(crate) fn set_url(&self, url: &str) {
        self.registry.update(self.id, SubscriptionUpdate::new().url(url)).unwrap();
    }
}

/// A pair to ask, and who changes its data before each question.
struct Changed {
    asked: Rc<Pair>,
    registry: Mover,
    baseline: Rc<Pair>,
    id: Id,
    urls: Urls,
}

impl Changed {
    fn new(asked: Rc<Pair>, changing: Rc<Pair>) -> Changed {
        let registry = Mover::new(changing.registry.clone());
        let id = id_bytes(registry.id);
        Changed { asked, registry, baseline: changing, id, urls: Urls::default() }
    }

    /// Other handles and connections make the changes, as another process would.
    fn by_another(files: &Files) -> Changed {
        Changed::new(files.open().into(), files.open_relaxed().into())
    }

    /// The pair itself makes the changes.
    fn by_itself(pair: Pair) -> Changed {
        let pair = Rc::new(pair);
        Changed::new(Rc::clone(&pair), pair)
    }

    fn change_baseline(&self) {
        self.baseline.baseline.set_url(self.id, &self.urls.next());
    }

    fn registry(&self, event_type: &str) -> Duration {
        self.registry.change();
        timed(|| self.asked.registry.subscribers(event_type).unwrap())
    }

    fn baseline(&self, event_type: &str) -> Duration {
        self.change_baseline();
        timed(|| self.asked.baseline.subscribers(event_type).unwrap())
    }

    /// Asserts that both see a change, and that both return the same subscribers.
    fn assert_equal(&self, event_type: &str, count: usize) {
        for _ in 0..3 {
            self.registry.change();
            self.change_baseline();
            let answer = rows(&self.asked.registry.subscribers(event_type).unwrap());
            let url = &self.asked.baseline.by_name(ONE).unwrap().url;
            assert_eq!(*url, self.registry.urls.current());
            assert!(answer.iter().all(|row| row.name != ONE || row.url == *url), "{answer:?}");
            assert_eq!(Some(&answer), self.asked.baseline.subscribers(event_type).as_ref());
            assert_eq!(answer.len(), count);
        }
    }
}

fn one_of_100k(bench: &mut Bench) {
    const GROUP: &str = "dispatch/cold";
    if bench.run.wants(GROUP) {
        let changed = Changed::by_another(&bench.mixed_files("100k", 100_000));
        for_one(bench, GROUP, &changed);
    }
}

fn one_in_memory(bench: &mut Bench) {
    const GROUP: &str = "dispatch/cold_memory";
    if bench.run.wants(GROUP) {
        let changed = Changed::by_itself(Pair::in_memory(&bench.mixed(100_000)));
        for_one(bench, GROUP, &changed);
    }
}

fn own_write(bench: &mut Bench) {
    const GROUP: &str = "dispatch/own_write";
    if bench.run.wants(GROUP) {
        let files = bench.mixed_files("100k", 100_000);
        for_one(bench, GROUP, &Changed::by_itself(files.open_relaxed()));
    }
}

fn for_one(bench: &mut Bench, group: &str, changed: &Changed) {
    changed.assert_equal(FOR_ONE, 1);
    let mut group = bench.group(group);
    let jobs: [Job<'_>; 2] = [
        ("registry", &mut || changed.registry(FOR_ONE)),
        ("baseline", &mut || changed.baseline(FOR_ONE)),
    ];
    in_turns(&mut group, jobs);
}

fn ten_of_1m(bench: &mut Bench) {
    const GROUP: &str = "dispatch/ten_of_1m";
    if !bench.run.wants(GROUP) {
        return;
    }
    let changed = Changed::by_another(&bench.mixed_files("1m", 1_000_000));
    for event_type in [FOR_TEN, FOR_TEN_APART] {
        changed.assert_equal(event_type, 10);
    }
    let mut group = bench.group(GROUP);
    let jobs: [Job<'_>; 4] = [
        ("registry", &mut || changed.registry(FOR_TEN_APART)),
        ("baseline", &mut || changed.baseline(FOR_TEN_APART)),
        ("registry_together", &mut || changed.registry(FOR_TEN)),
        ("baseline_together", &mut || changed.baseline(FOR_TEN)),
    ];
    in_turns(&mut group, jobs);
}

fn fanout(bench: &mut Bench) {
    const GROUP: &str = "dispatch/fanout_100k";
    if !bench.run.wants(GROUP) {
        return;
    }
    let count = bench.run.scaled(100_000);
    let changed = Changed::by_another(&bench.files("fans", &Dataset::Fans(count)));
    changed.assert_equal(FOR_ONE, count);
    let mut group = bench.group(GROUP);
    group.sample_size(15);
    let jobs: [Job<'_>; 2] = [
        ("registry", &mut || changed.registry(FOR_ONE)),
        ("baseline", &mut || changed.baseline(FOR_ONE)),
    ];
    in_turns(&mut group, jobs);
}

/// The first question of a handle. There is no previous answer to build the next from.
fn fanout_first(bench: &mut Bench) {
    const GROUP: &str = "dispatch/fanout_100k_first";
    if !bench.run.wants(GROUP) {
        return;
    }
    let count = bench.run.scaled(100_000);
    let files = bench.files("fans", &Dataset::Fans(count));
    let changed = Changed::by_another(&files);
    changed.assert_equal(FOR_ONE, count);
    let mut group = bench.group(GROUP);
    group.sample_size(15);
    let jobs: [Job<'_>; 2] = [
        ("registry", &mut || {
            changed.registry.change();
            let opened = Registry::open(&files.registry).unwrap();
            timed(|| opened.subscribers(FOR_ONE).unwrap())
        }),
        ("baseline", &mut || {
            changed.change_baseline();
            let opened = Baseline::open(&files.baseline, Synchronous::Full);
            timed(|| opened.subscribers(FOR_ONE).unwrap())
        }),
    ];
    in_turns(&mut group, jobs);
}

/// The time of one look-up, over rounds in which no type is asked for twice.
fn many_types(bench: &mut Bench) {
    const GROUP: &str = "dispatch/many_types";
    if !bench.run.wants(GROUP) {
        return;
    }
    let dataset = if bench.run.small {
        Dataset::Groups { groups: 10, types: 10, subscriptions: 100 }
    } else {
        Dataset::Groups { groups: 1_000, types: 50, subscriptions: 100_000 }
    };
    let changed = Changed::by_another(&bench.files("groups", &dataset));
    let mut names = dataset.event_types();
    Random::new(5).shuffle(&mut names);
    for name in names.iter().take(50) {
        changed.assert_equal(name, if bench.run.small { 10 } else { 100 });
    }
    let next = |at: &Cell<usize>, change: &dyn Fn()| {
        if at.get() == 0 {
            change();
        }
        at.set((at.get() + 1) % names.len());
        &*names[at.get()]
    };
    let (for_registry, for_baseline) = (Cell::default(), Cell::default());
    let mut group = bench.group(GROUP);
    group.measurement_time(Duration::from_secs(5));
    let jobs: [Job<'_>; 2] = [
        ("registry", &mut || {
            let name = next(&for_registry, &|| changed.registry.change());
            timed(|| changed.asked.registry.subscribers(name).unwrap())
        }),
        ("baseline", &mut || {
            let name = next(&for_baseline, &|| changed.change_baseline());
            timed(|| changed.asked.baseline.subscribers(name).unwrap())
        }),
    ];
    in_turns(&mut group, jobs);
}

fn growth(bench: &mut Bench) {
    const GROUP: &str = "dispatch/growth";
    if !bench.run.wants(GROUP) {
        return;
    }
    let sizes = [("1k", 1_000), ("100k", 100_000), ("1m", 1_000_000)];
    let sizes = sizes.map(|(name, count)| {
        let changed = Changed::by_another(&bench.mixed_files(name, count));
        for event_type in [FOR_TEN, FOR_TEN_APART] {
            changed.assert_equal(event_type, 10);
        }
        (name, changed)
    });
    let mut group = bench.group(GROUP);
    group.measurement_time(Duration::from_millis(400));
    for (name, changed) in &sizes {
        let registry = &changed.asked.registry;
        let change = || changed.registry.change();
        after_each(&mut group, name, change, || registry.subscribers(FOR_TEN).unwrap());
        // After a change SQLite reads every page again. Ten subscribers that are spread out are on
        // more pages the more subscriptions there are between them. The baseline shows how much of
        // the growth is SQLite's.
        let apart = format!("{name}_apart");
        after_each(&mut group, &apart, change, || registry.subscribers(FOR_TEN_APART).unwrap());
        let (baseline, change) = (&changed.asked.baseline, || changed.change_baseline());
        let apart = format!("{name}_apart_baseline");
        after_each(&mut group, &apart, change, || baseline.subscribers(FOR_TEN_APART).unwrap());
    }
}

fn growth_in_memory(bench: &mut Bench) {
    const GROUP: &str = "dispatch/growth_memory";
    if !bench.run.wants(GROUP) {
        return;
    }
    let [small, large] = [1_000, 1_000_000].map(|count| {
        let changed = Changed::by_itself(Pair::in_memory(&bench.mixed(count)));
        for event_type in [FOR_TEN, FOR_TEN_APART] {
            changed.assert_equal(event_type, 10);
        }
        changed
    });
    let mut group = bench.group(GROUP);
    let jobs: [Job<'_>; 8] = [
        ("1k", &mut || small.registry(FOR_TEN)),
        ("1m", &mut || large.registry(FOR_TEN)),
        ("1k_baseline", &mut || small.baseline(FOR_TEN)),
        ("1m_baseline", &mut || large.baseline(FOR_TEN)),
        ("1k_apart", &mut || small.registry(FOR_TEN_APART)),
        ("1m_apart", &mut || large.registry(FOR_TEN_APART)),
        ("1k_apart_baseline", &mut || small.baseline(FOR_TEN_APART)),
        ("1m_apart_baseline", &mut || large.baseline(FOR_TEN_APART)),
    ];
    in_turns(&mut group, jobs);
}
