//! Look-ups of what is not known, or not any more.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use webhook_registry::{Registry, SubscriptionId, SubscriptionUpdate};

use crate::common::data::{FOR_ONE, FOR_TEN, FOR_TEN_APART, ONE, Random};
use crate::common::{Crowd, Plain, relaxed};
use crate::{Bench, after_each, told};

pub(crate) fn all(bench: &mut Bench) {
    after_anothers_change(bench);
    own_write(bench);
    fanout(bench);
    many_types(bench);
    growth(bench);
}

/// A URL that differs from the one before.
pub(crate) struct Urls(Cell<u64>);

impl Urls {
    pub(crate) fn new() -> Urls {
        Urls(Cell::new(0))
    }

    pub(crate) fn next(&self) -> String {
        self.0.set(self.0.get() + 1);
        format!("https://hooks.example.com/customers/{}/events", self.0.get())
    }
}

fn after_anothers_change(bench: &mut Bench) {
    const GROUP: &str = "dispatch/cold";
    if !bench.run.wants(GROUP) {
        return;
    }
    let path = bench.mixed_file("100k", 100_000);
    let (registry, plain, other) =
        (Registry::open(&path).unwrap(), Plain::reader(&path), Plain::open(&path, "NORMAL"));
    let urls = Urls::new();
    let change = || other.move_to(ONE, &urls.next());
    for _ in 0..3 {
        change();
        let (ours, theirs) =
            (told(&registry.subscribers(FOR_ONE).unwrap()), plain.few_recipients(FOR_ONE));
        assert_eq!((ours.len(), &ours), (1, &theirs));
        assert!(ours[0].url.contains(&format!("/{}/", urls.0.get())), "{ours:?} is stale");
    }
    let mut group = bench.group(GROUP);
    group.measurement_time(Duration::from_millis(300));
    after_each(&mut group, "registry", change, || registry.subscribers(FOR_ONE).unwrap());
    after_each(&mut group, "sql", change, || plain.few_recipients(FOR_ONE));
}

fn own_write(bench: &mut Bench) {
    const GROUP: &str = "dispatch/own_write";
    if !bench.run.wants(GROUP) {
        return;
    }
    let path = bench.mixed_file("100k", 100_000);
    let (registry, plain) = (relaxed(&path), Plain::open(&path, "NORMAL"));
    let id: SubscriptionId = registry.get_by_name(ONE).unwrap().unwrap().id();
    let urls = Urls::new();
    let ours = || drop(registry.update(id, SubscriptionUpdate::new().url(urls.next())).unwrap());
    for _ in 0..3 {
        ours();
        let answer = told(&registry.subscribers(FOR_ONE).unwrap());
        assert_eq!(answer, plain.few_recipients(FOR_ONE));
        assert!(answer[0].url.contains(&format!("/{}/", urls.0.get())), "{answer:?} is stale");
    }
    let mut group = bench.group(GROUP);
    // A change takes thirty times as long as what is timed.
    group.measurement_time(Duration::from_millis(100));
    after_each(&mut group, "registry", ours, || registry.subscribers(FOR_ONE).unwrap());
    after_each(
        &mut group,
        "sql",
        || plain.move_to(ONE, &urls.next()),
        || plain.few_recipients(FOR_ONE),
    );
}

fn fanout(bench: &mut Bench) {
    const GROUP: &str = "dispatch/fanout_100k";
    if !bench.run.wants(GROUP) {
        return;
    }
    let path = bench.file("fans", &Crowd::Fans(bench.run.scaled(100_000)));
    let (registry, plain, other) =
        (Registry::open(&path).unwrap(), Plain::reader(&path), Plain::open(&path, "NORMAL"));
    let urls = Urls::new();
    let change = || other.move_to(ONE, &urls.next());
    assert_eq!(told(&registry.subscribers(FOR_ONE).unwrap()), plain.recipients(FOR_ONE));
    let mut group = bench.group(GROUP);
    group.sample_size(15).measurement_time(Duration::from_secs(4));
    after_each(&mut group, "registry", change, || registry.subscribers(FOR_ONE).unwrap());
    after_each(&mut group, "sql", change, || plain.recipients(FOR_ONE));
    // One that was never asked has no answer before to make the next of.
    let opened = RefCell::new(None);
    let open = || opened.replace(Some(Registry::open(&path).unwrap()));
    let first = || opened.borrow().as_ref().map(|registry| registry.subscribers(FOR_ONE).unwrap());
    after_each(&mut group, "registry_first", || drop(open()), first);
}

/// The time of one look-up, taken over rounds in which no type is asked twice.
fn many_types(bench: &mut Bench) {
    const GROUP: &str = "dispatch/many_types";
    if !bench.run.wants(GROUP) {
        return;
    }
    let crowd = if bench.run.small {
        Crowd::Groups { groups: 10, types: 10, subscriptions: 100 }
    } else {
        Crowd::Groups { groups: 1_000, types: 50, subscriptions: 100_000 }
    };
    let path = bench.file("groups", &crowd);
    let (registry, plain, other) =
        (Registry::open(&path).unwrap(), Plain::reader(&path), Plain::open(&path, "NORMAL"));
    let mut names = crowd.event_types();
    Random::new(5).shuffle(&mut names);
    for name in names.iter().take(50) {
        assert_eq!(told(&registry.subscribers(name).unwrap()), plain.recipients(name));
    }
    let urls = Urls::new();
    let at = Cell::new(0);
    let next = || {
        if at.get() == 0 {
            other.move_to(ONE, &urls.next());
        }
        at.set((at.get() + 1) % names.len());
    };
    let mut group = bench.group(GROUP);
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    after_each(&mut group, "registry", next, || registry.subscribers(&names[at.get()]).unwrap());
    at.set(0);
    after_each(&mut group, "sql", next, || plain.recipients(&names[at.get()]));
}

fn growth(bench: &mut Bench) {
    const GROUP: &str = "dispatch/growth";
    if !bench.run.wants(GROUP) {
        return;
    }
    let files = [("1k", 1_000), ("100k", 100_000), ("1m", 1_000_000)];
    let files = files.map(|(name, count)| (name, bench.mixed_file(name, count)));
    let mut group = bench.group(GROUP);
    group.measurement_time(Duration::from_millis(400));
    for (name, path) in files {
        let (registry, plain, other) =
            (Registry::open(&path).unwrap(), Plain::reader(&path), Plain::open(&path, "NORMAL"));
        let urls = Urls::new();
        let change = || other.move_to(ONE, &urls.next());
        for event_type in [FOR_TEN, FOR_TEN_APART] {
            change();
            let answer = told(&registry.subscribers(event_type).unwrap());
            assert_eq!((answer.len(), &answer), (10, &plain.few_recipients(event_type)));
        }
        after_each(&mut group, name, change, || registry.subscribers(FOR_TEN).unwrap());
        // After a change SQLite reads every page anew, and ten that lie apart are on more pages the more there are
        // between them. What the plain program takes for them is beside it.
        let apart = format!("{name}_apart");
        after_each(&mut group, &apart, change, || registry.subscribers(FOR_TEN_APART).unwrap());
        let sql = format!("{name}_apart_sql");
        after_each(&mut group, &sql, change, || plain.few_recipients(FOR_TEN_APART));
    }
}
