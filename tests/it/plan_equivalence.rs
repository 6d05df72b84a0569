//! Tests that applying a plan for a random list has the same effect as calling `ensure` for each
//! entry, that the steps shown are the steps done, and that a second plan is empty.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::thread;

use webhook_registry::{
    Ensured, ErrorKind, ListQuery, NewSubscription, Plan, Prune, Registry, StepKind, Subscription,
};

use crate::support::child::{self, Peer};
use crate::support::{Random, SEED_SECRET, learn, new, patient, refused, size};

const SECRETS: [&str; 2] = [SEED_SECRET, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjU"];
const TYPES: [&str; 4] = ["agent.a.v1", "agent.b.v2", "queue.a.v1", "queue.b.v2"];
const PATTERNS: [&str; 6] = ["agent.*", "*.v1", "queue.a.v1", "*", "none.*", "agent.b.v2"];

/// The subscriptions by name, without ids, times and generated secrets, which differ between any
/// two registries.
type State = BTreeMap<String, (NewSubscription, u64, Option<String>)>;

fn state(registry: &Registry) -> State {
    let one = |found: Subscription| {
        let secret = registry.secret(found.id()).unwrap().expose().to_owned();
        let stated = SECRETS.contains(&secret.as_str()).then_some(secret);
        (found.name().to_owned(), (NewSubscription::from(&found), found.revision(), stated))
    };
    registry.iter(ListQuery::new()).map(|found| one(found.unwrap())).collect()
}

fn declaration(random: &mut Random, names: usize) -> NewSubscription {
    let events = [*random.pick(&PATTERNS), *random.pick(&PATTERNS)];
    let url = format!("https://{}.com/", random.below(2));
    let mut new = NewSubscription::new(
        format!("n{}", random.below(names)),
        url,
        &events[..1 + random.below(2)],
    )
    .allow_unknown_events(random.chance(80));
    if random.chance(30) {
        new = new.enabled(random.chance(50));
    }
    if random.chance(15) {
        new = new.enabled(false).disabled_reason(format!("{}", random.below(2)));
    }
    if random.chance(5) {
        // Valid only for a subscription that is disabled already.
        new = new.disabled_reason("without enabled");
    }
    if random.chance(30) {
        new = new.secret(*random.pick(&SECRETS));
    }
    if random.chance(50) {
        new = new.description(format!("{}", random.below(2)));
    }
    if random.chance(50) {
        new = new.metadata(format!("{}", random.below(2)), format!("{}", random.below(2)));
    }
    new
}

fn declarations(random: &mut Random, most: usize, names: usize) -> Vec<NewSubscription> {
    (0..random.below(most + 1)).map(|_| declaration(random, names)).collect()
}

/// Creates a registry with the valid subscriptions of the list.
fn filled(list: &[NewSubscription]) -> Registry {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(TYPES).unwrap();
    for new in list {
        let _ = registry.create(new.clone());
    }
    registry
}

/// Asserts that the steps of a plan describe the difference between the two states.
#[track_caller]
fn assert_done(
    plan: &Plan,
    before: &State,
    after: &State,
    declared: &[NewSubscription],
    prune: Prune,
) {
    let steps: BTreeMap<&str, StepKind> =
        plan.steps().iter().map(|step| (step.name(), step.kind())).collect();
    assert_eq!(steps.len(), plan.steps().len(), "one step per subscription: {plan}");
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let expected = match (before.get(name), after.get(name)) {
            (None, Some(_)) => Some(StepKind::Create),
            (Some(_), None) => Some(StepKind::Delete),
            (Some(before), Some(after)) => {
                assert_eq!(
                    before == after,
                    before.1 == after.1,
                    "the revision rises with what changes"
                );
                (before != after).then_some(StepKind::Update)
            }
            (None, None) => None,
        };
        assert_eq!(steps.get(name.as_str()).copied(), expected, "{name}: {plan}");
    }
    for step in plan.steps() {
        let (Some(before), Some(after)) = (before.get(step.name()), after.get(step.name())) else {
            assert!(step.fields().is_empty(), "{step}");
            continue;
        };
        let json = |of: &(NewSubscription, u64, Option<String>)| {
            let (new, _, secret) = of;
            // `Debug` shows every field but the secret.
            let shown = format!("{new:?}");
            let at = |from: &str, to: &str| {
                let begins = shown.find(from).unwrap();
                shown[begins..begins + shown[begins..].find(to).unwrap()].to_owned()
            };
            BTreeMap::from([
                ("url", at(" url:", ", events:")),
                ("events", at(" events:", ", enabled:")),
                ("enabled", at(" enabled:", ", secret:")),
                ("description", at(" description:", ", metadata:")),
                ("metadata", at(" metadata:", ", disabled_reason:")),
                ("disabledReason", at(" disabled_reason:", ", allow")),
                ("secret", format!("{secret:?}")),
            ])
        };
        let (before, after) = (json(before), json(after));
        let differing: BTreeSet<&str> = before
            .iter()
            .filter(|(key, value)| after[*key] != **value)
            .map(|(key, _)| *key)
            .collect();
        let told: BTreeSet<&str> = step.fields().iter().map(String::as_str).collect();
        assert_eq!(told, differing, "{step}");
    }
    let declared: BTreeSet<&str> = declared.iter().map(NewSubscription::name).collect();
    let all_declared = after.keys().all(|name| declared.contains(name.as_str()));
    assert!(prune == Prune::Keep || all_declared, "{after:?}");
    assert!(declared.iter().all(|name| after.contains_key(*name)));
}

#[test]
fn applying_a_plan_equals_calling_ensure_for_each_entry() {
    let mut random = Random::new();
    let (mut refusals, mut done) = (0, 0);
    for _ in 0..size(150, 3_000) {
        // A few declared among many are looked up one by one; many are read at once.
        let (there, names) = *random.pick(&[(4, 6), (40, 60)]);
        let there = declarations(&mut random, there, names);
        let (planned, ensured) = (filled(&there), filled(&there));
        for registry in [&planned, &ensured] {
            if let Some(found) = registry.get_by_name("n0").unwrap() {
                registry.disable(found.id(), "by an operator").unwrap();
            }
        }
        let declared = declarations(&mut random, 6, names);
        let prune = *random.pick(&[Prune::Keep, Prune::Delete]);
        let before = state(&planned);
        let mut seen = BTreeSet::new();
        let twice = declared.iter().any(|new| !seen.insert(new.name()));
        let plan = match planned.plan(declared.clone(), prune) {
            Ok(plan) => plan,
            Err(error) => {
                assert_eq!((error.kind(), state(&planned)), (ErrorKind::Invalid, before));
                let bad = declared.iter().any(|new| ensured.ensure(new.clone()).is_err());
                assert!(twice || bad, "{error}");
                refusals += 1;
                continue;
            }
        };
        assert!(!twice);
        let last = planned.last_change().unwrap();
        let applied = planned.apply(plan.clone()).unwrap();
        let (mut made, mut changed) = (Vec::new(), Vec::new());
        for new in &declared {
            match ensured.ensure(new.clone()).unwrap() {
                Ensured::Created(created) => made.push(created.subscription().name().to_owned()),
                Ensured::Updated(found) => changed.push(found.name().to_owned()),
                _ => {}
            }
        }
        for name in
            before.keys().filter(|name| prune == Prune::Delete && !seen.contains(name.as_str()))
        {
            ensured.delete(ensured.get_by_name(name).unwrap().unwrap().id()).unwrap();
        }
        let after = state(&planned);
        assert_eq!(after, state(&ensured));
        let name = |found: &Subscription| found.name().to_owned();
        assert_eq!(
            applied.created().iter().map(|it| name(it.subscription())).collect::<Vec<_>>(),
            made
        );
        assert_eq!(applied.updated().iter().map(name).collect::<Vec<_>>(), changed);
        assert_done(&plan, &before, &after, &declared, prune);
        assert_eq!(planned.last_change().unwrap() - last, plan.steps().len() as u64);
        assert!(planned.plan(declared, prune).unwrap().is_empty());
        done += 1;
    }
    assert!(refusals > 10 && done > 10, "{refusals} rejected, {done} applied");
}

#[test]
fn concurrent_readers_see_an_applied_plan_completely_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = Registry::open(&path).unwrap();
    learn(&registry);
    let list = |generation: usize| -> Vec<_> {
        (0..30)
            .map(|n| {
                new(&format!("{}", generation % 2 * 15 + n)).metadata("of", generation.to_string())
            })
            .collect()
    };
    thread::scope(|scope| {
        let applying = scope.spawn(|| {
            for generation in 0..size(20, 300) {
                registry.apply(registry.plan(list(generation), Prune::Delete).unwrap()).unwrap();
            }
        });
        let other = Registry::open(&path).unwrap();
        while !applying.is_finished() {
            let page = other.list(ListQuery::new()).unwrap();
            let generations: BTreeSet<&str> =
                page.subscriptions().iter().map(|found| found.metadata()["of"].as_str()).collect();
            assert!(
                generations.len() <= 1 && [0, 30].contains(&page.subscriptions().len()),
                "{page:?}"
            );
        }
    });
}

/// Adds this many names with plans, each retried until applied. Returns the number of retries.
fn add_by_plans(path: &Path, who: &str, count: usize) -> usize {
    let registry = patient().open(path).unwrap();
    let mut again = 0;
    for n in 0..count {
        let name = format!("{who} {n}");
        loop {
            let plan = registry.plan([new(&name).allow_unknown_events(true)], Prune::Keep).unwrap();
            assert_eq!(plan.to_string(), format!("+ create {name}"));
            match registry.apply(plan) {
                Ok(applied) => break assert_eq!(applied.created().len(), 1),
                Err(error) => drop(refused::<()>(Err(error), ErrorKind::Conflict, &["plan"])),
            }
            again += 1;
        }
    }
    again
}

#[test]
fn concurrent_applications_of_plans_are_serialized_or_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    drop(Registry::open(&path).unwrap());
    let count = size(15, 300);
    let argument = count.to_string();
    let mut peer = Peer::spawn(&mut child::command(
        "plan_equivalence::child_adds_by_plans",
        &path,
        &[&argument],
    ));
    peer.expect("ready");
    peer.say("go");
    let again: usize = thread::scope(|scope| {
        let path = &path;
        let threads: Vec<_> = (0..2)
            .map(|n| scope.spawn(move || add_by_plans(path, &format!("thread {n}"), count)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!("{again} plans were retried");
    assert!(peer.finish().is_empty());
    let registry = Registry::open(&path).unwrap();
    let all = 3 * count as u64;
    assert_eq!((registry.len().unwrap(), registry.last_change().unwrap()), (all, all));
}

#[test]
fn child_adds_by_plans() {
    let Some((path, arguments)) = child::role() else {
        return;
    };
    child::tell("ready");
    child::await_word();
    add_by_plans(&path, "process", arguments[0].parse().unwrap());
}
