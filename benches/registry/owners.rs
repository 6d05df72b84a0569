//! Subscriptions that belong to owners.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use webhook_registry::{
    EventPattern, NewSubscription, Registry, SubscriptionId, SubscriptionUpdate,
};

use crate::cold::Urls;
use crate::common::data::{Random, stripe};
use crate::common::owner_baseline::{OwnedRow, OwnerBaseline};
use crate::common::relaxed;
use crate::common::rows::id_bytes;
use crate::{Bench, Job, in_turns, timed};

const EVENT_TYPES: usize = 300;
const PATTERNS: usize = 1_000;
/// The subscriptions of an owner.
const EACH: usize = 5;

pub(crate) fn all(bench: &mut Bench) {
    cold(bench);
    warm(bench);
    create(bench);
    delete_all(bench);
    patterns(bench);
}

fn event_types() -> Vec<String> {
    (0..).flat_map(|n| stripe().map(move |name| format!("t{n}.{name}"))).take(EVENT_TYPES).collect()
}

/// Returns distinct patterns, one in ten of them a wildcard, with the event types that they match.
fn all_patterns(event_types: &[String]) -> Vec<(String, Vec<String>)> {
    let mut texts: Vec<String> = Vec::new();
    for name in event_types {
        let (start, end) = name.rsplit_once('.').unwrap();
        texts.push(name.clone());
        texts.push(format!("{start}.?{}", &end[1..]));
        texts.push(format!("{start}.*"));
        texts.push(format!("[{}]{}", &name[..1], &name[1..]));
    }
    texts.sort();
    texts.dedup();
    Random::new(3).shuffle(&mut texts);
    texts.truncate(PATTERNS);
    let matches = |text: String| {
        let pattern: EventPattern = text.parse().unwrap();
        let names = event_types.iter().filter(|name| pattern.matches(name)).cloned().collect();
        (text, names)
    };
    texts.into_iter().map(matches).collect()
}

fn owner(number: usize) -> String {
    format!("customer-{number:06}")
}

/// A file of many owners, and the baseline's file of the same rows.
struct Owned {
    registry: PathBuf,
    baseline: PathBuf,
    owners: usize,
    event_types: Vec<String>,
    first: SubscriptionId,
}

impl Owned {
    /// Creates the subscriptions of all owners in turn, so that those of one owner are on pages of
    /// their own.
    fn new(bench: &Bench, name: &str, owners: usize) -> Owned {
        let (registry, baseline) =
            (bench.fresh(&format!("{name}-registry")), bench.fresh(&format!("{name}-baseline")));
        let event_types = event_types();
        let patterns = all_patterns(&event_types);
        let (ours, theirs) = (relaxed(&registry), OwnerBaseline::open(&baseline));
        ours.register_event_types(event_types.clone()).unwrap();
        theirs.store_patterns(&patterns);
        let mut random = Random::new(5);
        let (mut first, mut rows) = (None, Vec::new());
        for round in 0..EACH {
            for number in 0..owners {
                let owner = owner(number);
                let events: Vec<String> = (0..1 + random.below(2))
                    .map(|_| patterns[random.below(patterns.len())].0.clone())
                    .collect();
                let mut events: Vec<String> = events;
                events.dedup();
                let url = format!("https://hooks.example.com/{owner}/{round}");
                let new = NewSubscription::new(format!("hook-{round}"), &url, &events);
                let created = ours.for_owner(&*owner).unwrap().create(new).unwrap();
                let id = created.subscription().id();
                first.get_or_insert(id);
                let row = OwnedRow {
                    id: id_bytes(id).to_vec(),
                    name: format!("hook-{round}"),
                    url,
                    secret: created.secret().expose().to_owned(),
                    metadata: None,
                };
                rows.push((owner, row, events));
            }
            theirs.store(&rows);
            rows.clear();
        }
        Owned { registry, baseline, owners, event_types, first: first.unwrap() }
    }

    fn assert_equal(&self, ours: &Registry, theirs: &OwnerBaseline) {
        let (mut random, mut found) = (Random::new(9), 0);
        for _ in 0..2_000 {
            let (owner, event_type) = self.random(&mut random);
            let ours = ours.for_owner(&*owner).unwrap().subscribers(event_type).unwrap();
            let theirs = theirs.subscribers(&owner, event_type);
            let ids = |rows: &[OwnedRow]| rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>();
            let own: Vec<_> = ours.iter().map(|one| id_bytes(one.id()).to_vec()).collect();
            assert_eq!(own, ids(&theirs));
            found += own.len();
        }
        assert!(found > 10, "{found}");
    }

    fn random(&self, random: &mut Random) -> (String, &str) {
        let event_type = &self.event_types[random.below(self.event_types.len())];
        (owner(random.below(self.owners)), event_type)
    }

    /// Returns questions that have an answer.
    fn questions(&self, theirs: &OwnerBaseline, count: usize) -> Vec<(String, String)> {
        let mut random = Random::new(13);
        let mut questions = Vec::new();
        while questions.len() < count {
            let (owner, event_type) = self.random(&mut random);
            if !theirs.subscribers(&owner, event_type).is_empty() {
                questions.push((owner, event_type.to_owned()));
            }
        }
        questions
    }
}

/// Changes one subscription of a file, as another program would.
struct Mover {
    registry: Registry,
    baseline: OwnerBaseline,
    id: SubscriptionId,
    urls: Urls,
}

impl Mover {
    fn new(owned: &Owned) -> Mover {
        Mover {
            registry: relaxed(&owned.registry).for_every_owner().unwrap(),
            baseline: OwnerBaseline::open(&owned.baseline),
            id: owned.first,
            urls: Urls::default(),
        }
    }

    fn registry(&self) {
        self.registry.update(self.id, SubscriptionUpdate::new().url(self.urls.next())).unwrap();
    }

    fn baseline(&self) {
        self.baseline.set_url(&id_bytes(self.id), &self.urls.next());
    }
}

fn cold(bench: &mut Bench) {
    let groups = ["owner/cold", "owner/growth"];
    if !groups.iter().any(|group| bench.run.wants(group)) {
        return;
    }
    let count = bench.run.scaled(1_000_000) / EACH;
    let [small, large] = [("owned-1k", 200), ("owned-1m", count)]
        .map(|(name, owners)| Owned::new(bench, name, owners));
    let [small, large] = [small, large].map(|owned| {
        let (ours, theirs) = (relaxed(&owned.registry), OwnerBaseline::open(&owned.baseline));
        owned.assert_equal(&ours, &theirs);
        let questions = owned.questions(&theirs, 512);
        (Mover::new(&owned), ours, theirs, questions, Cell::new(0))
    });
    type Side = (Mover, Registry, OwnerBaseline, Vec<(String, String)>, Cell<usize>);
    let next = |side: &Side| {
        side.4.set((side.4.get() + 1) % side.3.len());
        side.4.get()
    };
    let registry = |side: &Side| {
        let (owner, event_type) = &side.3[next(side)];
        let handle = side.1.for_owner(&**owner).unwrap();
        side.0.registry();
        timed(|| handle.subscribers(event_type).unwrap())
    };
    let baseline = |side: &Side| {
        let (owner, event_type) = &side.3[next(side)];
        side.0.baseline();
        timed(|| side.2.subscribers(owner, event_type))
    };
    if bench.run.wants(groups[0]) {
        let mut group = bench.group(groups[0]);
        let jobs: [Job<'_>; 2] =
            [("registry", &mut || registry(&large)), ("sql", &mut || baseline(&large))];
        in_turns(&mut group, jobs);
    }
    if bench.run.wants(groups[1]) {
        let mut group = bench.group(groups[1]);
        let jobs: [Job<'_>; 4] = [
            ("1k", &mut || registry(&small)),
            ("1m", &mut || registry(&large)),
            ("1k_sql", &mut || baseline(&small)),
            ("1m_sql", &mut || baseline(&large)),
        ];
        in_turns(&mut group, jobs);
    }
}

fn warm(bench: &mut Bench) {
    const GROUP: &str = "owner/warm";
    if !bench.run.wants(GROUP) {
        return;
    }
    let owned = Owned::new(bench, "owned-warm", bench.run.scaled(50_000) / EACH);
    let ours = Registry::open(&owned.registry).unwrap();
    let theirs = OwnerBaseline::open(&owned.baseline);
    let questions = owned.questions(&theirs, 256);
    let asked: Vec<(Registry, &str)> = questions
        .iter()
        .map(|(owner, event_type)| (ours.for_owner(&**owner).unwrap(), &**event_type))
        .collect();
    let mut at = asked.iter().cycle();
    let mut group = bench.group(GROUP);
    group.bench_function("registry", |bencher| {
        bencher.iter(|| {
            let (handle, event_type) = at.next().unwrap();
            handle.subscribers(event_type).unwrap()
        })
    });
    group.bench_function("data_version", |bencher| bencher.iter(|| theirs.data_version()));
}

fn open(path: &Path, most: Option<u64>) -> Registry {
    let options = Registry::options();
    match most {
        Some(most) => options.max_subscriptions(most).open(path).unwrap(),
        None => options.open(path).unwrap(),
    }
}

fn create(bench: &mut Bench) {
    const GROUP: &str = "owner/create";
    if !bench.run.wants(GROUP) {
        return;
    }
    let [limited, free] = [("limited", Some(10)), ("free", None)].map(|(name, most)| {
        let registry = open(&bench.fresh(&format!("owner-{name}")), most);
        registry.register_event_types(event_types()).unwrap();
        (registry, Cell::new(0))
    });
    let job = |(registry, made): &(Registry, Cell<usize>)| {
        let number = made.replace(made.get() + 1);
        let handle = registry.for_owner(owner(number / EACH)).unwrap();
        let name = format!("hook-{}", number % EACH);
        let new = NewSubscription::new(name, "https://hooks.example.com/", ["t0.*"]);
        timed(|| handle.create(new).unwrap())
    };
    for _ in 0..100 {
        job(&limited);
        job(&free);
    }
    let mut group = bench.group(GROUP);
    group.measurement_time(std::time::Duration::from_secs(3)).sample_size(40);
    let jobs: [Job<'_>; 2] =
        [("limited", &mut || job(&limited)), ("unlimited", &mut || job(&free))];
    in_turns(&mut group, jobs);
}

fn delete_all(bench: &mut Bench) {
    const GROUP: &str = "owner/delete_all";
    if !bench.run.wants(GROUP) {
        return;
    }
    let large = Owned::new(bench, "owned-deleted", bench.run.scaled(1_000_000) / EACH);
    let alone = Owned::new(bench, "owned-alone", 1);
    let sides = [large, alone].map(|owned| {
        let handle = relaxed(&owned.registry).for_owner("deleted").unwrap();
        (handle, owned.event_types)
    });
    let job = |(handle, event_types): &(Registry, Vec<String>)| {
        let new = |number: usize| {
            let name = format!("hook-{number}");
            NewSubscription::new(name, "https://hooks.example.com/", [&event_types[number]])
        };
        handle.create_all((0..EACH).map(new)).unwrap();
        timed(|| assert_eq!(handle.delete_all().unwrap(), EACH as u64))
    };
    let mut group = bench.group(GROUP);
    let jobs: [Job<'_>; 2] = [("large", &mut || job(&sides[0])), ("alone", &mut || job(&sides[1]))];
    in_turns(&mut group, jobs);
}

/// Patterns of other owners that match the event.
fn patterns(bench: &mut Bench) {
    const GROUP: &str = "owner/patterns";
    if !bench.run.wants(GROUP) {
        return;
    }
    let count = bench.run.scaled(100_000);
    let event = "order.shipment.delivered.v1";
    // Some of its letters are `?`, others for each number.
    let pattern = |number: usize| -> String {
        let letter = |(at, letter)| if at < 20 && number >> at & 1 == 1 { '?' } else { letter };
        event.chars().enumerate().map(letter).collect()
    };
    // The third side tells how much of the difference is due to the size of the tables.
    let sides = [("others", count, ""), ("none", 0, ""), ("unmatched", count, "x")];
    let sides = sides.map(|(name, count, end)| {
        let path = bench.fresh(&format!("owner-patterns-{name}"));
        let registry = relaxed(&path);
        let literals = (0..EACH).map(|number| format!("stock.low.v{number}"));
        registry.register_event_types(literals.chain([event.to_owned()])).unwrap();
        let handle = registry.for_owner("asking").unwrap();
        for number in 0..EACH {
            let events = [if number == 0 { event } else { "stock.low.v1" }];
            let new = NewSubscription::new(format!("hook-{number}"), "https://a.example/", events);
            handle.create(new).unwrap();
        }
        let others = registry.for_owner("others").unwrap();
        let list = (0..count / 100).map(|at| {
            let events = (0..100).map(|number| pattern(at * 100 + number + 1) + end);
            NewSubscription::new(format!("hook-{at}"), "https://b.example/", events)
                .allow_unknown_events(true)
        });
        others.create_all(list).unwrap();
        let id = handle.get_by_name("hook-1").unwrap().unwrap().id();
        let asked = Registry::open(&path).unwrap().for_owner("asking").unwrap();
        (handle, asked, id, Urls::default())
    });
    let job = |(changing, asked, id, urls): &(Registry, Registry, SubscriptionId, Urls)| {
        changing.update(*id, SubscriptionUpdate::new().url(urls.next())).unwrap();
        timed(|| assert_eq!(asked.subscribers(event).unwrap().len(), 1))
    };
    let mut group = bench.group(GROUP);
    let jobs: [Job<'_>; 3] = [
        ("others", &mut || job(&sides[0])),
        ("none", &mut || job(&sides[1])),
        ("unmatched", &mut || job(&sides[2])),
    ];
    in_turns(&mut group, jobs);
}
