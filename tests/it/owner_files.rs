//! Tests that owners are kept by everything that concerns the whole file: export, import, backups,
//! forks, the history and `check`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use webhook_registry::{
    Change, ChangeKind, ErrorKind, Export, ListQuery, NewSubscription, Prune, Registry, Rotation,
    SubscriptionUpdate,
};

use crate::history_replay::Replayed;
use crate::support::{Random, SEED_SECRET, contact_center, new, refused, size};

const OWNERS: [&str; 3] = ["acme", "globex", "Acme"];

pub(crate) fn handle(registry: &Registry, owner: &str) -> Registry {
    if owner.is_empty() { registry.clone() } else { registry.for_owner(owner).unwrap() }
}

/// A registry in which each owner and nobody has the same two names.
pub(crate) fn shared() -> Registry {
    let registry = contact_center();
    for owner in ["acme", "", "globex", "Acme"] {
        let scoped = handle(&registry, owner);
        scoped.create(new("crm").metadata("k", "v")).unwrap();
        let bi = scoped.create(new("bi").enabled(false)).unwrap().subscription().id();
        scoped.rotate_secret(bi, Rotation::new()).unwrap();
    }
    registry
}

/// Returns every answer about subscriptions, by owner.
fn answers(registry: &Registry) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    assert_eq!(registry.owners(None, 10).unwrap(), ["Acme", "acme", "globex"]);
    for owner in OWNERS.into_iter().chain([""]) {
        let scoped = handle(registry, owner);
        let mut lines = vec![scoped.explain("agent.presencechanged.v1").unwrap().to_string()];
        let subscribers = scoped.subscribers("agent.presencechanged.v1").unwrap();
        lines.extend(subscribers.iter().map(|one| format!("{} {:?}", one.id(), one.owner())));
        for found in scoped.iter(ListQuery::new()) {
            let found = found.unwrap();
            lines.push(serde_json::to_string(&found).unwrap());
            for secret in scoped.secrets(found.id()).unwrap() {
                lines.push(format!("{} {:?}", secret.secret().expose(), secret.expires_at()));
            }
        }
        all.insert(owner.to_owned(), lines);
    }
    all
}

pub(crate) fn document(registry: &Registry) -> Value {
    serde_json::to_value(registry.export().unwrap()).unwrap()
}

fn read(document: &Value) -> Export {
    serde_json::from_value(document.clone()).unwrap()
}

#[test]
fn an_export_and_its_import_keep_the_owner_of_each_subscription() {
    let origin = shared();
    let text = serde_json::to_string(&origin.export().unwrap()).unwrap();
    assert_eq!(text.matches(r#""owner":"acme""#).count(), 2);
    assert_eq!(text.matches(r#""metadata":{"k":"v"},"owner":"globex","createdAt""#).count(), 1);
    let every = origin.for_every_owner().unwrap();
    assert_eq!(serde_json::to_string(&every.export().unwrap()).unwrap(), text);
    for through_every in [false, true] {
        let registry = Registry::in_memory().unwrap();
        let whole =
            if through_every { registry.for_every_owner().unwrap() } else { registry.clone() };
        whole.import(serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(serde_json::to_string(&registry.export().unwrap()).unwrap(), text);
        assert_eq!(answers(&registry), answers(&origin));
        // Each owner's history begins with what was imported.
        for owner in OWNERS {
            let changes = registry.for_owner(owner).unwrap().changes(0, 100).unwrap();
            assert_eq!(changes.len(), 2);
            let is_creation =
                |it: &Change| it.kind() == ChangeKind::Created && it.owner() == Some(owner);
            assert!(changes.iter().all(is_creation), "{changes:?}");
        }
        assert!(registry.check().unwrap().is_sound());
        // What is there is enough for a conflict, whoever owns it.
        registry.delete_all().unwrap();
        let again = registry.import(serde_json::from_str(&text).unwrap());
        assert_eq!(again.unwrap_err().kind(), ErrorKind::Conflict);
    }
}

#[test]
fn the_export_of_a_registry_without_owners_names_none() {
    let registry = contact_center();
    registry.create(new("one").description("d").metadata("k", "v").secret(SEED_SECRET)).unwrap();
    // An owner that is gone leaves nothing.
    let acme = registry.for_owner("acme").unwrap();
    acme.create(new("one")).unwrap();
    acme.delete_all().unwrap();
    let text = serde_json::to_string(&registry.export().unwrap()).unwrap();
    assert!(!text.contains("owner") && !text.contains("acme"), "{text}");
    let one = &text[text.find("subscriptionId").unwrap()..];
    let keys = [
        "subscriptionId",
        "name",
        "url",
        "events",
        "enabled",
        "description",
        "metadata",
        "createdAt",
        "updatedAt",
        "revision",
        "secrets",
        "secret",
        "createdAt",
    ];
    let mut at = 0;
    for key in keys {
        at += one[at..].find(&format!("{key}\":")).unwrap_or_else(|| panic!("{key}: {one}"));
    }
    let entry = document(&registry)["subscriptions"][0].as_object().unwrap().len();
    assert_eq!(entry, 11, "{text}");
}

#[test]
fn an_import_judges_owners_and_the_names_of_each_owner() {
    let whole = document(&shared());
    let rejected = |document: &Value, fields: &[&str]| {
        let registry = Registry::in_memory().unwrap();
        refused(registry.import(read(document)), ErrorKind::Invalid, fields);
        assert!(registry.for_every_owner().unwrap().is_empty().unwrap());
        assert!(registry.owners(None, 1).unwrap().is_empty());
        assert_eq!(registry.last_change().unwrap(), 0);
    };
    for bad in ["", " acme", "acme\u{3000}", "a\nb", &"x".repeat(129)] {
        let mut document = whole.clone();
        document["subscriptions"][3]["owner"] = json!(bad);
        rejected(&document, &["subscriptions[3].owner"]);
    }
    // The later of two names of one owner. Other owners may have it too.
    let mut document = whole.clone();
    document["subscriptions"][6]["owner"] = json!("acme");
    rejected(&document, &["subscriptions[6].name"]);
    let mut document = whole.clone();
    document["subscriptions"][1]["name"] = json!("crm");
    rejected(&document, &["subscriptions[1].name"]);
    let mut document = whole.clone();
    document["subscriptions"][6].as_object_mut().unwrap().remove("owner");
    rejected(&document, &["subscriptions[6].name"]);
    // Absent equals null.
    let mut document = whole.clone();
    document["subscriptions"][2]["owner"] = Value::Null;
    let registry = Registry::in_memory().unwrap();
    registry.import(read(&document)).unwrap();
    assert_eq!(serde_json::to_value(registry.export().unwrap()).unwrap(), whole);
    for wrong in [json!(1), json!(["acme"]), json!({"name": "acme"}), json!(true)] {
        let mut document = whole.clone();
        document["subscriptions"][0]["owner"] = wrong;
        let error = serde_json::from_value::<Export>(document).unwrap_err().to_string();
        assert!(error.contains("subscriptions[0].owner"), "{error}");
    }
}

#[test]
fn a_backup_and_a_file_opened_again_know_the_owners() {
    let folder = tempfile::tempdir().unwrap();
    let [path, copy] = ["registry.db", "copy.db"].map(|name| folder.path().join(name));
    let registry = Registry::open(&path).unwrap();
    registry.import(shared().export().unwrap()).unwrap();
    let expected = answers(&registry);
    registry.for_every_owner().unwrap().backup(&copy).unwrap();
    let plan = |registry: &Registry| {
        registry.for_owner("acme").unwrap().plan([new("new")], Prune::Keep).unwrap()
    };
    let of_origin = plan(&registry);
    drop(registry);
    for path in [&path, &copy] {
        let registry = Registry::open(path).unwrap();
        assert_eq!(answers(&registry), expected);
        assert!(registry.check().unwrap().is_sound());
        let reader = Registry::options().read_only(true).open(path).unwrap();
        assert_eq!(answers(&reader), expected);
    }
    // A backup is another file, for an owner too.
    let registry = Registry::open(&copy).unwrap();
    let acme = registry.for_owner("acme").unwrap();
    refused(acme.apply(of_origin), ErrorKind::Conflict, &["plan"]);
    acme.apply(plan(&registry)).unwrap();
    assert_eq!(acme.len().unwrap(), 3);
    assert_eq!(Registry::open(&path).unwrap().for_owner("acme").unwrap().len().unwrap(), 2);
}

#[cfg(feature = "encryption")]
#[test]
fn a_rekey_reaches_the_handles_of_every_scope() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let registry = Registry::open(&path).unwrap();
    registry.import(shared().export().unwrap()).unwrap();
    let expected = answers(&registry);
    let acme = registry.for_owner("acme").unwrap();
    let every = registry.for_every_owner().unwrap();
    let secret = || {
        let id = acme.get_by_name("crm").unwrap().unwrap().id();
        acme.secret(id).unwrap().expose().to_owned()
    };
    let before = secret();
    // They are clones of the one registry that has the file to itself.
    for (by, key) in [(&registry, Some([1; 32])), (&every, Some([2; 32])), (&every, None)] {
        by.rekey(key).unwrap();
        assert_eq!(secret(), before);
        assert_eq!(answers(&registry), expected);
        let made = acme.create(new("by acme")).unwrap();
        assert_eq!(every.secret(made.subscription().id()).unwrap(), *made.secret());
        acme.delete(made.subscription().id()).unwrap();
    }
}

#[test]
fn a_handle_of_an_owner_keeps_an_exclusive_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let registry = Registry::options().exclusive(true).open(&path).unwrap();
    let acme = registry.for_owner("acme").unwrap();
    drop(registry);
    let impatient = Registry::options().busy_timeout(std::time::Duration::ZERO);
    refused(impatient.open(&path), ErrorKind::Busy, &[]);
    assert!(acme.is_empty().unwrap());
    drop(acme);
    impatient.open(&path).unwrap();
}

#[test]
fn the_limit_of_the_history_is_that_of_the_file() {
    let registry = Registry::options().keep_changes(0).in_memory().unwrap();
    registry.register_event_type("agent.v1").unwrap();
    let acme = registry.for_owner("acme").unwrap();
    acme.create(new("one")).unwrap();
    let last = acme.last_change().unwrap();
    refused(acme.changes(0, 10), ErrorKind::Gone, &[]);
    registry.for_owner("globex").unwrap().create(new("one")).unwrap();
    refused(acme.changes(last, 10), ErrorKind::Gone, &[]);
    assert!(acme.changes(last + 1, 10).unwrap().is_empty());
    refused(acme.changes(last + 2, 10), ErrorKind::Gone, &[]);
}

#[cfg(feature = "test-util")]
#[test]
fn a_fork_keeps_the_scope_of_the_handle_that_it_was_made_through() {
    let registry = shared();
    let expected = answers(&registry);
    let fork = registry.fork().unwrap();
    assert_eq!(answers(&fork), expected);
    assert_eq!(fork.len().unwrap(), 2);
    let every = registry.for_every_owner().unwrap().fork().unwrap();
    assert_eq!(every.len().unwrap(), 8);
    refused(every.create(new("new")), ErrorKind::Invalid, &["owner"]);
    refused(every.delete_all(), ErrorKind::Invalid, &["owner"]);
    refused(registry.for_owner("acme").unwrap().fork(), ErrorKind::Invalid, &["owner"]);
    // Handles of the fork change the fork only.
    let acme = every.for_owner("acme").unwrap();
    assert_eq!(acme.delete_all().unwrap(), 2);
    assert_eq!(every.len().unwrap(), 6);
    assert_eq!(answers(&registry), expected);
    assert_eq!(answers(&fork), expected);
}

#[cfg(feature = "test-util")]
#[test]
fn deterministic_registries_with_owners_repeat() {
    let run = || {
        let registry = Registry::options().deterministic(7).in_memory().unwrap();
        registry.register_event_type("agent.v1").unwrap();
        for owner in ["acme", "", "globex"] {
            handle(&registry, owner).create_all([new("one"), new("two")]).unwrap();
        }
        registry.for_owner("acme").unwrap().delete_all().unwrap();
        let changes = registry.changes(0, 100).unwrap();
        (serde_json::to_string(&registry.export().unwrap()).unwrap(), changes)
    };
    assert_eq!(run(), run());
}

/// Performs a random operation of a scope, which may fail or have no effect.
fn random_operation(scoped: &Registry, random: &mut Random) {
    const PATTERNS: [&str; 4] = ["agent.*", "*", "agent.a", "queue.b"];
    let name = format!("n{}", random.below(3));
    let new = NewSubscription::new(&name, "https://example.com/", [*random.pick(&PATTERNS)])
        .metadata("k", random.below(2).to_string());
    let id = scoped.get_by_name(&name).unwrap().map(|found| found.id());
    let update = SubscriptionUpdate::new().enabled(random.chance(50));
    let update = if random.chance(30) { update.name("n0").description("d") } else { update };
    // The result of the operation does not matter.
    let _ = match (random.below(9), id) {
        (0 | 1, _) => scoped.create(new).map(drop),
        (2, _) => scoped.ensure(new).map(drop),
        (3, _) => {
            let prune = *random.pick(&[Prune::Keep, Prune::Delete]);
            scoped.plan([new], prune).and_then(|plan| scoped.apply(plan)).map(drop)
        }
        (4, _) if random.chance(20) => scoped.delete_all().map(drop),
        (5, Some(id)) => scoped.delete(id),
        (6, Some(id)) => scoped.rotate_secret(id, Rotation::new()).map(drop),
        (_, Some(id)) => scoped.update(id, update).map(drop),
        _ => Ok(()),
    };
}

#[test]
fn the_replayed_history_of_an_owner_gives_the_subscriptions_of_that_owner() {
    let mut random = Random::new();
    for _ in 0..size(10, 200) {
        let registry = Registry::in_memory().unwrap();
        registry.register_event_types(["agent.a", "queue.b"]).unwrap();
        let scopes = OWNERS.map(|owner| registry.for_owner(owner).unwrap());
        let mut histories = scopes.map(|scoped| (scoped, 0, Replayed::default()));
        for _ in 0..60 {
            let at = random.below(histories.len() + 1);
            let scoped = histories.get(at).map_or(&registry, |(scoped, ..)| scoped);
            random_operation(scoped, &mut random);
            let limit = 1 + random.below(5);
            for (scoped, seen, replayed) in &mut histories {
                loop {
                    let page = scoped.changes(*seen, limit).unwrap();
                    let Some(last) = page.last() else { break };
                    *seen = last.sequence();
                    page.iter().for_each(|change| replayed.take(change));
                }
                assert_eq!(*replayed, Replayed::from_subscriptions(scoped));
            }
        }
    }
}

#[test]
fn the_advice_about_one_url_is_given_within_one_owner() {
    let registry = contact_center();
    let [acme, globex] = ["acme", "globex"].map(|owner| registry.for_owner(owner).unwrap());
    for scoped in [&registry, &acme, &globex] {
        scoped.create(new("first")).unwrap();
    }
    let report = registry.check().unwrap();
    assert!(report.is_sound() && report.advice().is_empty(), "{report}");
    for scoped in [&registry, &acme] {
        let first = scoped.get_by_name("first").unwrap().unwrap().id();
        let second = scoped.create(new("second")).unwrap().subscription().id();
        let report = registry.for_every_owner().unwrap().check().unwrap();
        let [advice] = report.advice() else { panic!("not exactly one piece of advice: {report}") };
        assert_eq!(advice.subscription_id(), Some(second));
        assert!(advice.message().contains(&first.to_string()), "{advice}");
        assert!(report.is_sound());
        scoped.delete(second).unwrap();
    }
}
