//! Tests the limit on the subscriptions of an owner: in a race of processes, and for every call
//! that can create one.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;

use serde_json::Value;
use webhook_registry::{
    Ensured, Error, ErrorKind, ListQuery, NewSubscription, Prune, Registry, RegistryOptions,
    SubscriptionUpdate,
};

use crate::support::child::{self, Peer};
use crate::support::{Random, learn, new, patient, refused};

const PROCESSES: usize = 4;
const THREADS: usize = 4;
const OWNERS: usize = 20;
const LIMIT: u64 = 10;

fn handle(registry: &Registry, owner: usize) -> Registry {
    if owner == 0 { registry.clone() } else { registry.for_owner(format!("o{owner}")).unwrap() }
}

#[test]
fn processes_that_create_at_once_reach_the_limit_of_each_owner_and_do_not_pass_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    learn(&Registry::open(&path).unwrap());
    let role = "owner_limits::child_creates";
    let mut peers: Vec<Peer> =
        (0..PROCESSES).map(|_| Peer::spawn(&mut child::command(role, &path, &[]))).collect();
    for peer in &mut peers {
        peer.expect("ready");
    }
    peers.iter_mut().for_each(|peer| peer.say("go"));
    // The output of all is read concurrently: a child with a full pipe would block.
    let ears: Vec<_> = peers.into_iter().map(|peer| thread::spawn(move || peer.finish())).collect();
    let mut balance: BTreeMap<String, i64> = BTreeMap::new();
    let (mut created, mut deleted) = (0, 0);
    for line in ears.into_iter().flat_map(|ear| ear.join().unwrap()) {
        let (what, owner) = line.split_once(' ').unwrap();
        let change = if what == "created" { 1 } else { -1 };
        if change == 1 {
            created += 1
        } else {
            deleted += 1
        }
        *balance.entry(owner.to_owned()).or_default() += change;
    }
    println!("{created} created, {deleted} deleted");
    assert!(deleted > OWNERS);
    let registry = Registry::open(&path).unwrap();
    for owner in 0..=OWNERS {
        let scoped = handle(&registry, owner);
        assert_eq!(scoped.len().unwrap(), LIMIT, "owner {owner}");
        assert_eq!(scoped.iter(ListQuery::new()).count() as u64, LIMIT, "owner {owner}");
        assert_eq!(balance[&owner.to_string()] as u64, LIMIT, "owner {owner}");
    }
    assert_eq!(registry.owners(None, 1_000).unwrap().len(), OWNERS);
    assert!(registry.check().unwrap().is_sound());
}

#[test]
fn child_creates() {
    let Some((path, _)) = child::role() else { return };
    let registry = patient().max_subscriptions(LIMIT).open(path).unwrap();
    child::tell("ready");
    assert_eq!(child::await_word(), "go");
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (registry, mut random) = (registry.clone(), Random::new());
            scope.spawn(move || {
                let names = format!("{}-{thread}", std::process::id());
                // Each thread begins elsewhere, and all meet at some owners.
                let first = random.below(OWNERS + 1);
                for at in 0..=OWNERS {
                    let owner = (first + at) % (OWNERS + 1);
                    fill(&handle(&registry, owner), owner, &names, &mut random);
                }
            });
        }
    });
}

/// Creates subscriptions until the limit is reached, deletes one, and creates again.
fn fill(registry: &Registry, owner: usize, names: &str, random: &mut Random) {
    let mut number = 0;
    let mut name = || {
        number += 1;
        format!("{names}-{number}")
    };
    let mut last = None;
    for round in 0..2 {
        loop {
            let made: Result<Vec<_>, Error> = match random.below(4) {
                0 => registry
                    .create_all([new(&name()), new(&name())])
                    .map(|made| made.iter().map(|made| made.subscription().id()).collect()),
                1 => registry.ensure(new(&name()).enabled(false)).map(|ensured| {
                    assert!(matches!(ensured, Ensured::Created(_)));
                    vec![ensured.subscription().id()]
                }),
                _ => registry.create(new(&name())).map(|made| vec![made.subscription().id()]),
            };
            match made {
                Ok(ids) => {
                    last = ids.last().copied().or(last);
                    ids.iter().for_each(|_| child::tell(format!("created {owner}")));
                    assert!(registry.len().unwrap() <= LIMIT);
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::LimitReached, "{error}");
                    // Two do not fit where one is left.
                    if registry
                        .create(new(&name()))
                        .map(|made| last = Some(made.subscription().id()))
                        .is_err()
                    {
                        break;
                    }
                    child::tell(format!("created {owner}"));
                }
            }
        }
        if let Some(id) = last.take().filter(|_| round == 0) {
            registry.delete(id).unwrap();
            child::tell(format!("deleted {owner}"));
        }
    }
}

/// Returns the content of the file and the number of its last change.
fn content(registry: &Registry) -> (Value, u64) {
    (serde_json::to_value(registry.export().unwrap()).unwrap(), registry.last_change().unwrap())
}

fn limited(limit: u64) -> RegistryOptions {
    Registry::options().max_subscriptions(limit)
}

/// Asserts that the limit refuses the call, which changes nothing.
#[track_caller]
fn assert_limited<T: std::fmt::Debug>(
    registry: &Registry,
    limit: u64,
    call: impl FnOnce() -> Result<T, Error>,
) {
    let before = content(registry);
    let error = refused(call(), ErrorKind::LimitReached, &[]);
    let message = error.to_string();
    let numbers: Vec<&str> =
        message.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    assert!(numbers.contains(&&*limit.to_string()), "{message}");
    assert_eq!(error.kind().http_status(), 409);
    let problem = error.to_problem();
    assert_eq!((&problem["status"], &problem["detail"]), (&409.into(), &message.into()));
    assert_eq!(problem.get("errors"), None);
    assert_eq!(content(registry), before, "a rejected call must change nothing");
}

/// A registry of which acme, globex and nobody have two subscriptions each, one of them disabled.
fn filled(registry: &Registry) -> [Registry; 3] {
    learn(registry);
    let all = ["acme", "globex", ""].map(|owner| {
        if owner.is_empty() { registry.clone() } else { registry.for_owner(owner).unwrap() }
    });
    for scoped in &all {
        scoped.create_all([new("one"), new("two").enabled(false)]).unwrap();
    }
    all
}

#[test]
fn every_way_to_create_is_rejected_beyond_the_limit() {
    let registry = limited(3).in_memory().unwrap();
    for scoped in filled(&registry) {
        let two = || [new("three"), new("four")];
        // What the calls would leave counts, and they leave nothing behind.
        assert_limited(&registry, 3, || scoped.create_all(two()));
        let plan = scoped.plan(two(), Prune::Keep).unwrap();
        assert_limited(&registry, 3, || scoped.apply(plan));
        scoped.create_all([new("three").enabled(false)]).unwrap();
        assert_limited(&registry, 3, || scoped.create(new("four")));
        assert_limited(&registry, 3, || scoped.create(new("four").enabled(false)));
        assert_limited(&registry, 3, || scoped.create_all([new("four")]));
        assert_limited(&registry, 3, || scoped.ensure(new("four")));
        let plan = scoped.plan([new("four")], Prune::Keep).unwrap();
        assert_limited(&registry, 3, || scoped.apply(plan));
        // One comes for one that goes.
        let plan = scoped.plan([new("one"), new("two"), new("four")], Prune::Delete).unwrap();
        let applied = scoped.apply(plan).unwrap();
        assert_eq!((applied.created().len(), applied.deleted().len()), (1, 1));
        let first = scoped.get_by_name("one").unwrap().unwrap().id();
        scoped.delete(first).unwrap();
        assert_eq!(scoped.create(new("five")).unwrap().subscription().name(), "five");
        assert_limited(&registry, 3, || scoped.create(new("six")));
        assert_eq!(scoped.delete_all().unwrap(), 3);
        scoped.create_all(["a", "b", "c"].map(new)).unwrap();
        assert_limited(&registry, 3, || scoped.create(new("d")));
    }
}

#[test]
fn the_limit_is_judged_after_everything_else() {
    let registry = limited(2).in_memory().unwrap();
    for scoped in filled(&registry) {
        let before = content(&registry);
        refused(scoped.create(new("").enabled(true)), ErrorKind::Invalid, &["name"]);
        refused(scoped.create(new("one")), ErrorKind::Conflict, &["name"]);
        let both = scoped.create_all([new("three"), new("one")]);
        refused(both, ErrorKind::Conflict, &["[1].name"]);
        let both = scoped.create_all([new("three"), new("three")]);
        refused(both, ErrorKind::Invalid, &["[1].name"]);
        let unknown = NewSubscription::new("three", "https://example.com/", ["agent.nothing"]);
        refused(scoped.ensure(unknown.clone()), ErrorKind::Invalid, &["events[0]"]);
        refused(scoped.create(unknown), ErrorKind::Invalid, &["events[0]"]);
        let stale = scoped.plan([new("three")], Prune::Keep).unwrap();
        assert_eq!(content(&registry), before);
        let one = scoped.get_by_name("one").unwrap().unwrap().id();
        scoped.update(one, SubscriptionUpdate::new().description("changed")).unwrap();
        refused(scoped.apply(stale), ErrorKind::Conflict, &["plan"]);
        let every = registry.for_every_owner().unwrap();
        refused(every.create(new("three")), ErrorKind::Invalid, &["owner"]);
    }
}

#[test]
fn what_creates_nothing_is_never_rejected_by_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    drop(filled(&Registry::open(&path).unwrap()));
    // The limit is the opener's, and is lowered below what is there.
    for limit in [1, 0] {
        let registry = limited(limit).open(&path).unwrap();
        for owner in ["acme", "globex", ""] {
            let scoped = if owner.is_empty() {
                registry.clone()
            } else {
                registry.for_owner(owner).unwrap()
            };
            assert_eq!(scoped.len().unwrap(), 2);
            assert!(scoped.create_all([]).unwrap().is_empty());
            let text = format!("{limit}");
            let ensured = scoped.ensure(new("one").description(&text)).unwrap();
            assert!(matches!(ensured, Ensured::Updated(_)), "{ensured:?}");
            assert!(matches!(
                scoped.ensure(new("one").description(&text)).unwrap(),
                Ensured::Unchanged(_)
            ));
            let two = scoped.get_by_name("two").unwrap().unwrap();
            let update = SubscriptionUpdate::new().enabled(!two.enabled()).name("renamed");
            scoped.update(two.id(), update).unwrap();
            scoped.update(two.id(), SubscriptionUpdate::new().name("two")).unwrap();
            let declared = [new("one").description("d"), new("two").enabled(false)];
            let plan = scoped.plan(declared, Prune::Delete).unwrap();
            assert_eq!(scoped.apply(plan).unwrap().created().len(), 0);
            let plan = scoped.plan([new("two"), new("three")], Prune::Delete).unwrap();
            assert_limited(&registry, limit, || scoped.apply(plan));
            assert_limited(&registry, limit, || scoped.create(new("three")));
            assert_limited(&registry, limit, || scoped.ensure(new("three")));
        }
    }
    // A deletion counts although more than allowed is left.
    let registry = limited(1).open(&path).unwrap();
    let acme = registry.for_owner("acme").unwrap();
    let plan = acme.plan([new("three")], Prune::Delete).unwrap();
    assert_eq!(acme.apply(plan).unwrap().deleted().len(), 2);
    assert_limited(&registry, 1, || acme.create(new("one")));
    let plan = registry.plan([new("one")], Prune::Delete).unwrap();
    assert_eq!(registry.apply(plan).unwrap().deleted().len(), 1);
    drop((registry, acme));
    // Without a limit, there is none: it is not kept in the file.
    let acme = Registry::open(&path).unwrap().for_owner("acme").unwrap();
    acme.create_all((0..50).map(|number| new(&format!("name {number}")))).unwrap();
    assert_eq!(acme.len().unwrap(), 51);
}

#[test]
fn a_limit_of_zero_lets_nothing_be_created_and_an_owner_without_subscriptions_has_one_too() {
    let registry = limited(0).in_memory().unwrap();
    learn(&registry);
    for scoped in [registry.clone(), registry.for_owner("acme").unwrap()] {
        assert_limited(&registry, 0, || scoped.create(new("one")));
        assert_limited(&registry, 0, || scoped.create_all([new("one")]));
        assert_limited(&registry, 0, || scoped.ensure(new("one")));
        let plan = scoped.plan([new("one")], Prune::Delete).unwrap();
        assert_limited(&registry, 0, || scoped.apply(plan));
        assert!(scoped.is_empty().unwrap());
    }
    assert!(registry.owners(None, 10).unwrap().is_empty());
    // The greatest limit is none.
    let registry = limited(u64::MAX).in_memory().unwrap();
    learn(&registry);
    registry.for_owner("acme").unwrap().create_all([new("one"), new("two")]).unwrap();
}

#[test]
fn an_import_may_hold_more_than_the_limit() {
    let origin = Registry::in_memory().unwrap();
    drop(filled(&origin));
    let registry = limited(1).in_memory().unwrap();
    registry.import(origin.export().unwrap()).unwrap();
    assert_eq!(content(&registry).0, content(&origin).0);
    let acme = registry.for_owner("acme").unwrap();
    assert_limited(&registry, 1, || acme.create(new("three")));
    let one = acme.get_by_name("one").unwrap().unwrap().id();
    acme.delete(one).unwrap();
    assert_limited(&registry, 1, || acme.create(new("three")));
    assert_eq!(acme.delete_all().unwrap(), 1);
    acme.create(new("three")).unwrap();
}

#[test]
fn handles_with_different_limits_on_one_file_each_keep_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path: &Path = &folder.path().join("registry.db");
    let [two, four] = [2, 4].map(|limit| limited(limit).open(path).unwrap());
    learn(&two);
    let [a, b] = [&two, &four].map(|registry| registry.for_owner("acme").unwrap());
    a.create_all([new("one"), new("two")]).unwrap();
    assert_limited(&two, 2, || a.create(new("three")));
    b.create_all([new("three"), new("four")]).unwrap();
    assert_limited(&four, 4, || b.create(new("five")));
    assert_limited(&two, 2, || a.create(new("five")));
    // Those of others are not counted.
    let globex = two.for_owner("globex").unwrap();
    globex.create_all([new("one"), new("two")]).unwrap();
    assert_limited(&two, 2, || globex.create(new("three")));
}
