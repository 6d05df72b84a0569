//! Tests of subscriptions that belong to an owner, and of handles that are limited to one.

use webhook_registry::{
    ChangeKind, ErrorKind, Export, ListQuery, NewSubscription, Prune, Registry, Rotation,
    SubscriptionId, SubscriptionUpdate,
};

use crate::support::refused;

pub(crate) const EVENT: &str = "order.paid.v1";

pub(crate) fn new(name: &str) -> NewSubscription {
    NewSubscription::new(name, format!("https://{name}.example/"), ["order.*"])
}

pub(crate) fn create(handle: &Registry, name: &str) -> SubscriptionId {
    handle.create(new(name)).unwrap().subscription().id()
}

pub(crate) fn names(handle: &Registry) -> Vec<String> {
    handle.subscribers(EVENT).unwrap().names().map(str::to_owned).collect()
}

pub(crate) fn listed(handle: &Registry) -> Vec<SubscriptionId> {
    handle.iter(ListQuery::new().limit(2)).map(|one| one.unwrap().id()).collect()
}

fn empty() -> Registry {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types([EVENT, "stock.low.v1"]).unwrap();
    registry
}

/// A registry in which acme, bolt and nobody have subscriptions of the same names.
struct Shared {
    registry: Registry,
    acme: Registry,
    bolt: Registry,
    every: Registry,
    /// In the order of creation: of acme, bolt and nobody in turn.
    ids: Vec<SubscriptionId>,
}

fn shared() -> Shared {
    let registry = empty();
    let (acme, bolt) = (registry.for_owner("acme").unwrap(), registry.for_owner("bolt").unwrap());
    let every = registry.for_every_owner().unwrap();
    let mut ids = Vec::new();
    for name in ["crm", "erp"] {
        ids.extend([&acme, &bolt, &registry].map(|handle| create(handle, name)));
    }
    Shared { registry, acme, bolt, every, ids }
}

#[test]
fn each_handle_sees_the_subscriptions_of_its_scope() {
    let Shared { registry, acme, bolt, every, ids } = shared();
    let of = |first: usize| vec![ids[first], ids[first + 3]];
    for (handle, owner, own) in [
        (&acme, Some("acme"), of(0)),
        (&bolt, Some("bolt"), of(1)),
        (&registry, None, of(2)),
        (&every, None, ids.clone()),
    ] {
        assert_eq!(listed(handle), own);
        assert_eq!(handle.len().unwrap(), own.len() as u64);
        assert!(!handle.is_empty().unwrap());
        for query in [ListQuery::new(), ListQuery::new().event_type(EVENT).name_contains("r")] {
            assert_eq!(handle.count(query.clone()).unwrap(), own.len() as u64);
            let page = handle.list(query.after(own[0])).unwrap();
            assert_eq!(page.subscriptions().len(), own.len() - 1);
        }
        let subscribers = handle.subscribers(EVENT).unwrap();
        let found: Vec<_> = subscribers.iter().map(|one| one.id()).collect();
        assert_eq!(found, own);
        let explanation = handle.explain(EVENT).unwrap();
        let found: Vec<_> = explanation.entries().iter().map(|one| one.subscription_id()).collect();
        assert_eq!(found, own);
        for id in &ids {
            let found = handle.get(*id).unwrap();
            assert_eq!(found.is_some(), own.contains(id));
            assert_eq!(handle.subscriber(*id).unwrap().is_some(), own.contains(id));
            assert_eq!(handle.secret(*id).is_ok(), own.contains(id));
        }
        if own.len() == 2 {
            let found = handle.get_by_name("erp").unwrap().unwrap();
            assert_eq!((found.id(), found.owner()), (own[1], owner));
            assert!(subscribers.iter().all(|one| one.owner() == owner));
            assert!(explanation.entries().iter().all(|one| one.owner() == owner));
        }
    }
    let owners: Vec<_> = every
        .subscribers(EVENT)
        .unwrap()
        .iter()
        .take(3)
        .map(|one| one.owner().map(str::to_owned))
        .collect();
    assert_eq!(owners, [Some("acme".to_owned()), Some("bolt".to_owned()), None]);
    let nobody = registry.for_owner("nobody").unwrap();
    assert_eq!((nobody.len().unwrap(), listed(&nobody), names(&nobody).len()), (0, vec![], 0));
}

#[test]
fn the_id_of_another_owners_subscription_answers_like_a_missing_one() {
    let Shared { registry, acme, bolt, ids, .. } = shared();
    let missing: SubscriptionId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    let before = serde_json::to_value(registry.export().unwrap()).unwrap();
    let text = |result: webhook_registry::Result<()>, id: SubscriptionId| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        error.to_string().replace(&id.to_string(), "ID")
    };
    for (handle, other) in [(&bolt, ids[0]), (&registry, ids[0]), (&acme, ids[2])] {
        let messages = [missing, other].map(|id| {
            assert_eq!(handle.get(id).unwrap(), None);
            assert!(handle.subscriber(id).unwrap().is_none());
            [
                text(handle.update(id, SubscriptionUpdate::new().name("x")).map(drop), id),
                text(handle.disable(id, "x").map(drop), id),
                text(handle.delete(id), id),
                text(handle.delete_if_revision(id, 9), id),
                text(handle.secret(id).map(drop), id),
                text(handle.secrets(id).map(drop), id),
                text(handle.rotate_secret(id, Rotation::new()).map(drop), id),
                text(handle.revoke_old_secrets(id), id),
            ]
        });
        assert_eq!(messages[0], messages[1]);
    }
    assert_eq!(serde_json::to_value(registry.export().unwrap()).unwrap(), before);
}

#[test]
fn the_handle_of_every_owner_changes_any_subscription_by_its_id() {
    let Shared { registry, acme, bolt, every, ids } = shared();
    every.update(ids[0], SubscriptionUpdate::new().name("renamed")).unwrap();
    every.disable(ids[1], "410 Gone").unwrap();
    every.delete(ids[2]).unwrap();
    let secret = every.rotate_secret(ids[0], Rotation::new()).unwrap();
    assert_eq!(acme.secret(ids[0]).unwrap().expose(), secret.expose());
    assert_eq!(names(&acme), ["renamed", "erp"]);
    assert_eq!(names(&bolt), ["erp"]);
    assert_eq!(names(&registry), ["erp"]);
    let error = every.update(ids[0], SubscriptionUpdate::new().name("erp")).unwrap_err();
    assert_eq!(error.to_string(), format!("name \"erp\" is taken by subscription {}", ids[3]));
}

#[test]
fn a_handle_refuses_what_its_scope_cannot_do() {
    let Shared { registry, acme, every, .. } = shared();
    let folder = tempfile::tempdir().unwrap();
    let document = || -> Export { registry.export().unwrap() };
    let plan = registry.plan([], Prune::Keep).unwrap();
    for result in [
        every.create(new("a")).map(drop),
        every.create_all([new("a")]).map(drop),
        every.ensure(new("a")).map(drop),
        every.plan([], Prune::Keep).map(drop),
        every.apply(plan.clone()).map(drop),
        every.get_by_name("crm").map(drop),
        every.delete_all().map(drop),
        acme.register_event_type("a"),
        acme.register_event_types(["a"]),
        acme.remove_event_type("stock.low.v1"),
        acme.backup(folder.path().join("copy.db")),
        acme.export().map(drop),
        acme.import(document()),
        acme.check().map(drop),
        acme.owners(None, 1).map(drop),
        acme.for_owner("acme").map(drop),
        acme.for_every_owner().map(drop),
    ] {
        refused(result, ErrorKind::Invalid, &["owner"]);
    }
    assert!(!folder.path().join("copy.db").exists());
    refused(acme.apply(plan), ErrorKind::Conflict, &["plan"]);
}

#[test]
fn an_owner_follows_the_rules_of_names() {
    let registry = empty();
    for owner in ["", " a", "a\n", &"x".repeat(129)] {
        refused(registry.for_owner(owner), ErrorKind::Invalid, &["owner"]);
    }
    for owner in ["a b", "Ä", &"é".repeat(128)] {
        create(&registry.for_owner(owner).unwrap(), "crm");
    }
    assert_eq!(registry.owners(None, 10).unwrap().len(), 3);
    refused(registry.owners(None, 0), ErrorKind::Invalid, &["limit"]);
    refused(registry.owners(None, 1_001), ErrorKind::Invalid, &["limit"]);
}

#[test]
fn owners_are_listed_while_they_have_a_subscription() {
    let Shared { registry, acme, every, ids, .. } = shared();
    assert_eq!(registry.owners(None, 10).unwrap(), ["acme", "bolt"]);
    assert_eq!(registry.owners(Some("acm"), 1).unwrap(), ["acme"]);
    assert_eq!(every.owners(Some("acme"), 10).unwrap(), ["bolt"]);
    acme.delete(ids[0]).unwrap();
    assert_eq!(registry.owners(None, 10).unwrap(), ["acme", "bolt"]);
    acme.delete(ids[3]).unwrap();
    assert_eq!(registry.owners(None, 10).unwrap(), ["bolt"]);
    create(&acme, "again");
    assert_eq!(registry.owners(None, 10).unwrap(), ["acme", "bolt"]);
    assert!(registry.check().unwrap().is_sound());
}

#[test]
fn delete_all_deletes_the_subscriptions_of_one_owner() {
    let Shared { registry, acme, bolt, ids, .. } = shared();
    let seen = registry.last_change().unwrap();
    assert_eq!(acme.delete_all().unwrap(), 2);
    let changes = registry.changes(seen, 10).unwrap();
    let told: Vec<_> = changes
        .iter()
        .map(|one| (one.kind(), one.subject(), one.owner(), one.fields().len()))
        .collect();
    let deleted = |id: &SubscriptionId| (id.to_string(), ChangeKind::Deleted);
    let subjects = [deleted(&ids[0]), deleted(&ids[3])];
    assert_eq!(told.len(), 2);
    for ((kind, subject, owner, fields), (id, expected)) in told.into_iter().zip(subjects) {
        assert_eq!((kind, subject, owner), (expected, &*id, Some("acme")));
        assert!(fields > 4);
    }
    assert_eq!((names(&acme).len(), names(&bolt).len(), names(&registry).len()), (0, 2, 2));
    assert_eq!(acme.delete_all().unwrap(), 0);
    assert_eq!(registry.last_change().unwrap(), seen + 2);
    assert_eq!(registry.delete_all().unwrap(), 2);
    assert_eq!(bolt.len().unwrap(), 2);
    assert!(registry.check().unwrap().is_sound());
    assert!(create(&acme, "new") > ids[5], "ids rise also after a deletion");
}

#[test]
fn changes_through_an_owners_handle_are_its_own() {
    let Shared { registry, acme, every, ids, .. } = shared();
    acme.rotate_secret(ids[0], Rotation::new()).unwrap();
    let subjects = |handle: &Registry, after| -> Vec<String> {
        let changes = handle.changes(after, 100).unwrap();
        changes.iter().map(|one| one.subject().to_owned()).collect()
    };
    let own = [ids[0], ids[3], ids[0]].map(|id| id.to_string());
    assert_eq!(subjects(&acme, 0), own);
    assert_eq!(acme.changes(0, 1).unwrap()[0].owner(), Some("acme"));
    let first = acme.changes(0, 1).unwrap()[0].sequence();
    assert_eq!(subjects(&acme, first), own[1..]);
    assert_eq!(subjects(&registry, 0).len(), 9);
    assert_eq!(subjects(&every, 0), subjects(&registry, 0));
    assert_eq!(acme.last_change().unwrap(), 9);
    refused(acme.changes(10, 1), ErrorKind::Gone, &[]);
}

#[test]
fn a_plan_is_outdated_by_changes_of_its_scope_and_of_the_catalog_only() {
    let Shared { registry, acme, bolt, ids, .. } = shared();
    let none = registry.for_owner("none").unwrap();
    for handle in [&acme, &registry, &none] {
        let plan = |name: &str| handle.plan([new(name)], Prune::Delete).unwrap();
        let other = plan("a");
        bolt.rotate_secret(ids[1], Rotation::new()).unwrap();
        handle.apply(other).unwrap();
        assert_eq!(names(handle), ["a"]);
        let outdated = plan("b");
        create(handle, "between");
        refused(handle.apply(outdated), ErrorKind::Conflict, &["plan"]);
        handle.delete_all().unwrap();
        let outdated = plan("b");
        let between = create(handle, "between");
        handle.delete(between).unwrap();
        refused(handle.apply(outdated), ErrorKind::Conflict, &["plan"]);
        let outdated = plan("b");
        registry.register_event_type(format!("new.{}", registry.last_change().unwrap())).unwrap();
        refused(handle.apply(outdated), ErrorKind::Conflict, &["plan"]);
        refused(bolt.apply(plan("b")), ErrorKind::Conflict, &["plan"]);
        handle.apply(plan("b")).unwrap();
    }
    assert_eq!(bolt.len().unwrap(), 2, "nothing of another scope is pruned");
}

#[test]
fn the_limit_counts_each_owner_and_those_without_one() {
    let options = Registry::options().max_subscriptions(2);
    let registry = options.in_memory().unwrap();
    registry.register_event_types([EVENT]).unwrap();
    let acme = registry.for_owner("acme").unwrap();
    for handle in [&registry, &acme] {
        create(handle, "a");
        handle.create(new("b").enabled(false)).unwrap();
        let before = registry.last_change().unwrap();
        for result in [
            handle.create(new("c")).map(drop),
            handle.create_all([new("c")]).map(drop),
            handle.ensure(new("c")).map(drop),
            handle.apply(handle.plan([new("c")], Prune::Keep).unwrap()).map(drop),
        ] {
            let error = refused(result, ErrorKind::LimitReached, &[]);
            assert!(error.to_string().contains("limit is 2 "), "{error}");
            assert_eq!(error.kind().http_status(), 409);
            assert_eq!(error.to_problem()["title"], "Limit reached");
        }
        refused(handle.create(new("a")), ErrorKind::Conflict, &["name"]);
        refused(handle.create(new("").enabled(false)), ErrorKind::Invalid, &["name"]);
        assert_eq!(registry.last_change().unwrap(), before);
        handle.create_all([]).unwrap();
        handle.ensure(new("a").description("changed")).unwrap();
        // One is created and another deleted.
        let plan = handle.plan([new("a"), new("c")], Prune::Delete).unwrap();
        handle.apply(plan).unwrap();
        assert_eq!(names(handle), ["a", "c"]);
    }
}

#[test]
fn a_limit_that_was_lowered_stops_nothing_but_creation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let open = |most: u64| Registry::options().max_subscriptions(most).open(&path).unwrap();
    let registry = open(9);
    registry.register_event_type(EVENT).unwrap();
    let ids = ["a", "b", "c"].map(|name| create(&registry, name));
    let low = open(0);
    low.update(ids[0], SubscriptionUpdate::new().name("changed")).unwrap();
    low.apply(low.plan([new("b"), new("c")], Prune::Delete).unwrap()).unwrap();
    refused(low.create(new("d")), ErrorKind::LimitReached, &[]);
    let other = Registry::options().max_subscriptions(1).in_memory().unwrap();
    other.import(registry.export().unwrap()).unwrap();
    assert_eq!(other.len().unwrap(), 2);
}

#[test]
fn export_and_import_keep_owners() {
    let Shared { registry, .. } = shared();
    let document = serde_json::to_value(registry.export().unwrap()).unwrap();
    assert_eq!(document["subscriptions"][0]["owner"], "acme");
    assert!(document["subscriptions"][2].get("owner").is_none());
    let copy = Registry::in_memory().unwrap();
    copy.import(serde_json::from_value(document.clone()).unwrap()).unwrap();
    assert_eq!(serde_json::to_value(copy.export().unwrap()).unwrap(), document);
    assert_eq!(names(&copy.for_owner("bolt").unwrap()), ["crm", "erp"]);
    assert!(copy.check().unwrap().is_sound());

    let mut wrong = document.clone();
    wrong["subscriptions"][0]["owner"] = " ".into();
    wrong["subscriptions"][4]["owner"] = serde_json::Value::Null;
    let target = Registry::in_memory().unwrap();
    let wrong = serde_json::from_value(wrong).unwrap();
    let fields = ["subscriptions[0].owner", "subscriptions[5].name"];
    refused(target.import(wrong), ErrorKind::Invalid, &fields);
    assert!(target.is_empty().unwrap());
    // A registry that holds another owner's subscriptions is not empty.
    copy.delete_all().unwrap();
    refused(copy.import(registry.export().unwrap()), ErrorKind::Conflict, &["registry"]);
}

#[test]
fn an_owner_in_a_body_is_an_unknown_key() {
    let body = br#"{"name": "a", "url": "https://a/", "events": ["*"], "owner": "bolt"}"#;
    refused(NewSubscription::from_json(body), ErrorKind::Invalid, &["owner"]);
    refused(SubscriptionUpdate::from_json(br#"{"owner": "b"}"#), ErrorKind::Invalid, &["owner"]);
    refused(ListQuery::from_json(br#"{"owner": "b"}"#), ErrorKind::Invalid, &["owner"]);
    assert!(serde_json::from_slice::<NewSubscription>(body).is_err());
    let acme = empty().for_owner("acme").unwrap();
    let created = acme.create(new("crm").metadata("k", "v")).unwrap();
    let text = serde_json::to_string(&created).unwrap();
    assert!(text.contains(r#""metadata":{"k":"v"},"owner":"acme","createdAt""#), "{text}");
}

#[test]
fn check_compares_urls_within_one_owner() {
    let registry = empty();
    let (acme, bolt) = (registry.for_owner("acme").unwrap(), registry.for_owner("bolt").unwrap());
    for handle in [&acme, &bolt, &registry] {
        handle.create(NewSubscription::new("a", "https://same.example/", ["order.*"])).unwrap();
    }
    assert_eq!(registry.check().unwrap().advice().len(), 0);
    acme.create(NewSubscription::new("b", "https://same.example/", ["order.*"])).unwrap();
    assert_eq!(registry.for_every_owner().unwrap().check().unwrap().advice().len(), 1);
}

#[test]
fn answers_of_different_scopes_are_cached_apart() {
    let Shared { registry, acme, bolt, every, .. } = shared();
    for _ in 0..2 {
        assert_eq!(names(&acme).len(), 2);
        assert_eq!(names(&every).len(), 6);
        assert_eq!(names(&registry).len(), 2);
        assert_eq!(names(&bolt).len(), 2);
        assert!(acme.subscribers("stock.low.v1").unwrap().is_empty());
    }
    create(&bolt, "third");
    assert_eq!([&acme, &bolt, &registry, &every].map(|it| names(it).len()), [2, 3, 2, 7]);
    assert!(format!("{acme:?}").contains("acme"));
}

#[cfg(feature = "test-util")]
#[test]
fn a_fork_keeps_the_scope_of_a_handle_that_sees_every_owner() {
    let Shared { registry, every, ids, .. } = shared();
    assert_eq!(listed(&registry.fork().unwrap()).len(), 2);
    assert_eq!(listed(&every.fork().unwrap()), ids);
}
