//! Tests that cached answers never mix owners: threads and processes that work for different
//! owners on one file, and handles of every scope that ask for the same event types in turn.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;

use webhook_registry::{
    ErrorKind, NewSubscription, Registry, Subscriber, SubscriptionId, SubscriptionUpdate,
};

use crate::support::child::{self, Peer};
use crate::support::{Random, patient, size};

const EVENTS: [&str; 3] = ["order.created", "order.paid", "user.created"];
const PATTERNS: [&str; 4] = ["*", "order.*", "order.paid", "*.created"];

fn handle(registry: &Registry, owner: &str) -> Registry {
    if owner.is_empty() { registry.clone() } else { registry.for_owner(owner).unwrap() }
}

/// The subscriptions of one owner, and the handle to change them with.
struct Tenant {
    owner: &'static str,
    registry: Registry,
    random: Random,
    /// The patterns of each enabled subscription, and whether it is enabled.
    subscriptions: Vec<(SubscriptionId, &'static str, bool)>,
    rounds: usize,
}

impl Tenant {
    fn new(registry: &Registry, owner: &'static str) -> Tenant {
        let registry = handle(registry, owner);
        Tenant { owner, registry, random: Random::new(), subscriptions: Vec::new(), rounds: 0 }
    }

    /// Creates, changes or deletes a subscription.
    fn change(&mut self) {
        self.rounds += 1;
        let pattern = *self.random.pick(&PATTERNS);
        let at = self.random.below(4);
        match self.subscriptions.get_mut(at) {
            None => {
                // The names of all owners are the same.
                let name = format!("name {}", self.rounds);
                let new = NewSubscription::new(name, "https://example.com/", [pattern]);
                let id = self.registry.create(new).unwrap().subscription().id();
                self.subscriptions.push((id, pattern, true));
            }
            Some((id, events, enabled)) if self.random.chance(60) => {
                (*events, *enabled) = (pattern, !*enabled);
                let update = SubscriptionUpdate::new().events([pattern]).enabled(*enabled);
                self.registry.update(*id, update).unwrap();
            }
            Some((id, ..)) => {
                self.registry.delete(*id).unwrap();
                self.subscriptions.remove(at);
            }
        }
    }

    fn expected(&self, event: &str) -> Vec<SubscriptionId> {
        let matches = |pattern: &str| match pattern {
            "*" => true,
            "order.*" => event.starts_with("order."),
            "*.created" => event.ends_with(".created"),
            name => name == event,
        };
        let got = self.subscriptions.iter().filter(|(_, events, is)| *is && matches(events));
        got.map(|(id, ..)| *id).collect()
    }

    /// Asserts that a handle of this owner returns exactly the owner's subscribers.
    fn assert_answers(&self, registry: &Registry) {
        for event in EVENTS {
            let found = registry.subscribers(event).unwrap();
            let ids: Vec<_> = found.iter().map(Subscriber::id).collect();
            assert_eq!(ids, self.expected(event), "{:?} {event}", self.owner);
            let owner = Some(self.owner).filter(|owner| !owner.is_empty());
            assert!(found.iter().all(|one| one.owner() == owner), "{found:?}");
        }
    }
}

/// Changes subscriptions, and asserts after each change that the answers are this owner's.
fn work(registry: &Registry, owner: &'static str, rounds: usize) {
    let mut tenant = Tenant::new(registry, owner);
    for _ in 0..rounds {
        tenant.change();
        // The second time from memory, unless another owner has changed the file.
        tenant.assert_answers(&tenant.registry);
        tenant.assert_answers(&tenant.registry);
    }
    tenant.registry.delete_all().unwrap();
    tenant.subscriptions.clear();
    tenant.assert_answers(&tenant.registry);
}

#[test]
fn threads_for_different_owners_of_one_registry_get_their_own_answers() {
    let folder = tempfile::tempdir().unwrap();
    let file = patient().open(folder.path().join("registry.db")).unwrap();
    for registry in [Registry::in_memory().unwrap(), file] {
        registry.register_event_types(EVENTS).unwrap();
        thread::scope(|scope| {
            for owner in ["", "acme", "globex"] {
                let registry = registry.clone();
                scope.spawn(move || work(&registry, owner, size(150, 3_000)));
            }
        });
        assert!(registry.for_every_owner().unwrap().is_empty().unwrap());
    }
}

#[test]
fn processes_for_different_owners_of_one_file_get_their_own_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let registry = patient().open(&path).unwrap();
    registry.register_event_types(EVENTS).unwrap();
    let peers: Vec<Peer> = ["acme", "globex"]
        .map(|owner| child::command("owner_cache::child_works", &path, &[owner]))
        .iter_mut()
        .map(Peer::spawn)
        .collect();
    work(&registry, "", size(100, 2_000));
    for peer in peers {
        assert!(peer.finish().is_empty());
    }
    assert!(registry.for_every_owner().unwrap().is_empty().unwrap());
    assert!(registry.check().unwrap().is_sound());
}

#[test]
fn child_works() {
    let Some((path, arguments)) = child::role() else { return };
    let owner = if arguments[0] == "acme" { "acme" } else { "globex" };
    work(&patient().open(path).unwrap(), owner, size(100, 2_000));
}

/// Asserts that every handle of every scope returns the answers of its scope, in a random order.
fn assert_all(handles: &[Registry], tenants: &[Tenant], random: &mut Random) {
    for _ in 0..8 {
        let registry = random.pick(handles);
        let at = random.below(tenants.len() + 1);
        if let Some(tenant) = tenants.get(at) {
            tenant.assert_answers(&handle(registry, tenant.owner));
            continue;
        }
        let every = registry.for_every_owner().unwrap();
        for event in EVENTS {
            let found = every.subscribers(event).unwrap();
            let mut expected: Vec<(SubscriptionId, Option<&str>)> = Vec::new();
            for tenant in tenants {
                let owner = Some(tenant.owner).filter(|owner| !owner.is_empty());
                expected.extend(tenant.expected(event).into_iter().map(|id| (id, owner)));
            }
            expected.sort();
            let found: Vec<_> = found.iter().map(|one| (one.id(), one.owner())).collect();
            assert_eq!(found, expected, "{event}");
        }
    }
}

#[test]
fn an_answer_for_one_scope_is_not_cached_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let path: &Path = &folder.path().join("registry.db");
    // The second handle learns of changes as another process does.
    let handles = [patient().open(path).unwrap(), patient().open(path).unwrap()];
    handles[0].register_event_types(EVENTS).unwrap();
    let mut random = Random::new();
    // One owner's name begins with another's, or with a name of an event type.
    let mut tenants = ["", "a", "ab", "order.paid", "a order.paid"]
        .map(|owner| Tenant::new(&handles[random.below(2)], owner));
    let mut seen = BTreeSet::new();
    for _ in 0..size(150, 3_000) {
        let at = random.below(tenants.len());
        tenants[at].change();
        assert_all(&handles, &tenants, &mut random);
        seen.insert(tenants[at].subscriptions.len());
    }
    assert!(seen.contains(&0) || seen.len() > 3, "{seen:?}");
    for tenant in &mut tenants {
        tenant.registry.delete_all().unwrap();
        tenant.subscriptions.clear();
    }
    assert_all(&handles, &tenants, &mut random);
}

#[test]
fn a_change_of_the_catalog_reaches_the_cached_answers_of_every_scope() {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(EVENTS).unwrap();
    let scopes = ["", "acme", "globex"].map(|owner| handle(&registry, owner));
    let every = registry.for_every_owner().unwrap();
    for scoped in &scopes {
        let new = NewSubscription::new("one", "https://example.com/", ["order.*"]);
        scoped.create(new).unwrap();
        refused_all(&scopes, "order.new");
    }
    registry.register_event_type("order.new").unwrap();
    for scoped in &scopes {
        assert_eq!(scoped.subscribers("order.new").unwrap().len(), 1);
    }
    assert_eq!(every.subscribers("order.new").unwrap().len(), 3);
    every.remove_event_type("order.new").unwrap();
    refused_all(&scopes, "order.new");
    assert_eq!(every.subscribers("order.new").unwrap_err().kind(), ErrorKind::NotFound);
}

fn refused_all(scopes: &[Registry], event: &str) {
    for scoped in scopes {
        assert_eq!(scoped.subscribers(event).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
