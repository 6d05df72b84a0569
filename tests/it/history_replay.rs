//! Tests that the history can be replayed: applied from its beginning it gives what the registry
//! returns, after random operations and after a kill.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use webhook_registry::{
    Change, ChangeKind, EventType, ListQuery, NewSubscription, Prune, Registry, Rotation,
    SubscriptionUpdate,
};

use crate::support::child::{self, Peer};
use crate::support::history;
use crate::support::{Random, size};

const SECRETS: [&str; 2] = [
    "c2VjcmV0IHRoYXQgbm8gaGlzdG9yeSBtYXkga2VlcCE=",
    "b3RoZXIgb25lIHRoYXQgbm8gaGlzdG9yeSBtYXkga2VlcA==",
];

/// Reads the history to its end, and asserts that it has no gap.
pub(crate) struct Follower {
    pub(crate) seen: u64,
}

impl Follower {
    #[track_caller]
    pub(crate) fn read(&mut self, registry: &Registry, limit: usize) -> Vec<Change> {
        let changes = registry.changes(self.seen, limit).unwrap();
        assert!(changes.len() <= limit);
        for change in &changes {
            self.seen += 1;
            assert_eq!(change.sequence(), self.seen);
        }
        changes
    }

    #[track_caller]
    pub(crate) fn read_all(&mut self, registry: &Registry, limit: usize) -> Vec<Change> {
        let mut all = Vec::new();
        loop {
            let page = self.read(registry, limit);
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }
}

/// The state according to the history: the fields of every subject.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Replayed(BTreeMap<String, BTreeMap<String, Value>>);

impl Replayed {
    /// Applies a change after asserting that the previous values are those of the change.
    #[track_caller]
    pub(crate) fn take(&mut self, change: &Change) {
        use ChangeKind::{Created, Deleted, EventTypeRegistered, EventTypeRemoved};
        let comes = matches!(change.kind(), Created | EventTypeRegistered);
        assert_eq!(self.0.contains_key(change.subject()), !comes, "{change:?}");
        let fields = self.0.entry(change.subject().to_owned()).or_default();
        for field in change.fields().iter().filter(|field| field.name() != "secret") {
            assert_ne!(field.before(), field.after(), "{change:?}");
            assert_eq!(fields.get(field.name()), field.before(), "{change:?}");
            match field.after() {
                Some(after) => fields.insert(field.name().to_owned(), after.clone()),
                None => fields.remove(field.name()),
            };
        }
        if matches!(change.kind(), Deleted | EventTypeRemoved) {
            assert!(
                self.0.remove(change.subject()).unwrap().is_empty(),
                "all of it was told: {change:?}"
            );
        }
    }

    /// Returns the same state as read from a registry.
    pub(crate) fn from_registry(registry: &Registry) -> Replayed {
        let Replayed(mut all) = Replayed::from_subscriptions(registry);
        for found in registry.event_types().unwrap() {
            let Value::Object(object) = serde_json::to_value(&found).unwrap() else {
                unreachable!()
            };
            all.insert(found.name().to_owned(), object.into_iter().collect());
        }
        Replayed(all)
    }

    /// Returns the subscriptions of a handle's scope. An owner is not a field of a change.
    pub(crate) fn from_subscriptions(registry: &Registry) -> Replayed {
        let mut all = BTreeMap::new();
        for found in registry.iter(ListQuery::new()) {
            let found = found.unwrap();
            let Value::Object(mut object) = serde_json::to_value(&found).unwrap() else {
                unreachable!()
            };
            for key in ["subscriptionId", "createdAt", "updatedAt", "revision"] {
                object.remove(key).unwrap();
            }
            assert_eq!(object.remove("disabledAt").is_some(), !found.enabled());
            object.remove("owner");
            all.insert(found.id().to_string(), object.into_iter().collect());
        }
        Replayed(all)
    }
}

/// Performs a random operation, which may fail or have no effect.
fn random_operation(registry: &Registry, random: &mut Random) {
    const TYPES: [&str; 5] = ["agent.a.v1", "agent.b.v1", "queue.a.v1", "queue.a.v2", "x"];
    const PATTERNS: [&str; 6] = ["agent.*", "*.v1", "queue.a.v1", "*", "x", "agent.b.v1"];
    let name = format!("n{}", random.below(4));
    let events = [*random.pick(&PATTERNS), *random.pick(&PATTERNS)];
    let mut new = NewSubscription::new(&name, format!("https://{}.com/", random.below(3)), events)
        .allow_unknown_events(random.chance(50));
    if random.chance(30) {
        new = new.description(format!("{}", random.below(2)));
    }
    if random.chance(30) {
        new = new.metadata(format!("{}", random.below(2)), format!("{}", random.below(2)));
    }
    if random.chance(30) {
        new = new.enabled(random.chance(50)).secret(*random.pick(&SECRETS));
    }
    if random.chance(20) {
        new = new.enabled(false).disabled_reason(format!("{}", random.below(2)));
    }
    let id = registry.get_by_name(&name).unwrap().map(|found| found.id());
    let mut update = SubscriptionUpdate::new().allow_unknown_events(true);
    if random.chance(50) {
        update = update.enabled(random.chance(50));
    }
    if random.chance(20) {
        update = update.disabled_reason(format!("{}", random.below(2)));
    }
    if random.chance(50) {
        update = update.secret(*random.pick(&SECRETS)).description("2");
    }
    if random.chance(50) {
        update = update.name(format!("n{}", random.below(4))).clear_metadata();
    }
    let mut event_type = EventType::new(*random.pick(&TYPES));
    if random.chance(50) {
        event_type = event_type.with_description(format!("{}", random.below(2)));
    }
    if random.chance(30) {
        event_type =
            event_type.with_json_schema(json!({ "maximum": random.below(2) as f64 / 3.0 }));
    }
    let gone = *random.pick(&TYPES);
    // The result of the operation does not matter.
    let _ = match (random.below(10), id) {
        (0 | 1, _) => {
            registry.register_event_types([event_type, EventType::new(*random.pick(&TYPES))])
        }
        (2, _) => registry.remove_event_type(gone),
        (3, _) => registry.create(new).map(drop),
        (4, _) => registry.ensure(new).map(drop),
        (5, _) => {
            let prune = *random.pick(&[Prune::Keep, Prune::Keep, Prune::Delete]);
            registry.plan([new], prune).and_then(|plan| registry.apply(plan)).map(drop)
        }
        (6, Some(id)) => registry.update(id, update).map(drop),
        (7, Some(id)) => registry.rotate_secret(id, Rotation::new()).map(drop),
        (8, Some(id)) if random.chance(50) => registry.delete(id),
        (9, Some(id)) => registry.disable(id, format!("{}", random.below(3))).map(drop),
        (_, Some(id)) => registry.revoke_old_secrets(id),
        _ => Ok(()),
    };
}

#[test]
fn the_replayed_history_equals_the_registry_after_every_step() {
    let mut random = Random::new();
    for _ in 0..size(20, 400) {
        let registry = Registry::in_memory().unwrap();
        let (mut follower, mut replayed) = (Follower { seen: 0 }, Replayed::default());
        for _ in 0..60 {
            random_operation(&registry, &mut random);
            let limit = 1 + random.below(5);
            follower.read_all(&registry, limit).iter().for_each(|change| replayed.take(change));
            assert_eq!(replayed, Replayed::from_registry(&registry));
        }
    }
}

#[test]
fn the_history_after_a_kill_contains_exactly_the_committed_changes() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..size(6, 40) {
        let path = folder.path().join(format!("{round}.db"));
        history::begin(&Registry::open(&path).unwrap());
        let mut peer = Peer::spawn(&mut child::command(
            "history_replay::child_writes_until_killed",
            &path,
            &[],
        ));
        // When its message arrives, the child is in the middle of the next step.
        for step in 0..10 + 7 * round {
            peer.expect(&step.to_string());
        }
        peer.kill();
        let registry = Registry::open(&path).unwrap();
        let (mut follower, mut replayed) = (Follower { seen: 0 }, Replayed::default());
        follower.read_all(&registry, 1_000).iter().for_each(|change| replayed.take(change));
        assert_eq!(replayed, Replayed::from_registry(&registry));
        assert!(follower.seen > 10, "the child had not written");
        assert!(registry.check().unwrap().is_sound());
    }
}

#[test]
fn child_writes_until_killed() {
    let Some((path, _)) = child::role() else {
        return;
    };
    let registry = Registry::open(path).unwrap();
    for step in 0.. {
        history::take(&registry, step).unwrap();
        child::tell(step);
    }
}
