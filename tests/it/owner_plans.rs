//! Tests that a plan belongs to the scope that it was made in, and that only a change of that scope
//! or of the catalog outdates it.

use webhook_registry::{ErrorKind, ListQuery, Plan, Prune, Registry, SubscriptionUpdate};

use crate::owner_files::{document, handle, shared};
use crate::support::{new, refused};

/// Asserts that a scope rejects the plan as a conflict, and that nothing changes.
#[track_caller]
fn assert_conflict(scoped: &Registry, whole: &Registry, plan: Plan) {
    let before = (document(whole), whole.last_change().unwrap());
    refused(scoped.apply(plan), ErrorKind::Conflict, &["plan"]);
    assert_eq!((document(whole), whole.last_change().unwrap()), before);
}

#[test]
fn a_plan_applies_in_the_scope_that_it_was_made_in_only() {
    let registry = shared();
    let every = registry.for_every_owner().unwrap();
    let scopes = ["", "acme", "globex", "nobody"].map(|owner| handle(&registry, owner));
    let declared = || [new("crm").description("declared"), new("new")];
    for (at, made_in) in scopes.iter().enumerate() {
        for (other, applied_in) in scopes.iter().enumerate() {
            let plan = made_in.plan(declared(), Prune::Delete).unwrap();
            if at != other {
                assert_conflict(applied_in, &registry, plan);
            }
        }
        let plan = made_in.plan(declared(), Prune::Delete).unwrap();
        refused(every.apply(plan), ErrorKind::Invalid, &["owner"]);
    }
    for (at, scoped) in scopes.iter().enumerate() {
        let others = || -> Vec<_> {
            every
                .iter(ListQuery::new())
                .map(Result::unwrap)
                .filter(|found| scoped.get(found.id()).unwrap().is_none())
                .collect()
        };
        let before = others();
        let plan = scoped.plan(declared(), Prune::Delete).unwrap();
        let applied = scoped.apply(plan).unwrap();
        // The last has no subscriptions yet.
        let expected = if at == 3 { (2, 0, 0) } else { (1, 1, 1) };
        let counts = (applied.created().len(), applied.updated().len(), applied.deleted().len());
        assert_eq!(counts, expected);
        assert_eq!(others(), before);
        assert!(scoped.plan(declared(), Prune::Delete).unwrap().is_empty());
    }
}

#[test]
fn a_plan_is_outdated_by_a_change_of_its_scope_or_the_catalog_and_by_no_other() {
    let registry = shared();
    let [acme, globex] = ["acme", "globex"].map(|owner| registry.for_owner(owner).unwrap());
    let update = |scoped: &Registry, text: &str| {
        let id = scoped.get_by_name("crm").unwrap().unwrap().id();
        scoped.update(id, SubscriptionUpdate::new().description(text)).unwrap();
    };
    let plan = |scoped: &Registry| {
        let text = registry.last_change().unwrap().to_string();
        scoped.plan([new("crm").metadata("k", text)], Prune::Keep).unwrap()
    };
    for scoped in [&acme, &registry] {
        let made = plan(scoped);
        update(&globex, "changed");
        globex.create(new("more")).unwrap();
        registry.for_owner("new").unwrap().create(new("crm")).unwrap();
        if std::ptr::eq(scoped, &acme) {
            update(&registry, "changed");
            registry.create(new("more")).unwrap();
        } else {
            update(&acme, "changed");
        }
        scoped.apply(made).unwrap();
        globex.delete_all().unwrap();
        globex.create(new("crm")).unwrap();
        registry.for_owner("new").unwrap().delete_all().unwrap();

        let made = plan(scoped);
        update(scoped, "changed again");
        assert_conflict(scoped, &registry, made);
        let made = plan(scoped);
        registry.register_event_type(&*format!("x{}", registry.last_change().unwrap())).unwrap();
        assert_conflict(scoped, &registry, made);
        // An applied plan outdates its copy.
        let made = plan(scoped);
        scoped.apply(made.clone()).unwrap();
        assert_conflict(scoped, &registry, made);
        let made = plan(scoped);
        let id = scoped.create(new("temporary")).unwrap().subscription().id();
        scoped.delete(id).unwrap();
        assert_conflict(scoped, &registry, made);
    }
}

#[test]
fn a_plan_for_an_owner_without_subscriptions_is_outdated_by_one_that_came_and_went() {
    for keep in [10_000, 0] {
        let registry = Registry::options().keep_changes(keep).in_memory().unwrap();
        registry.register_event_type("agent.v1").unwrap();
        let [acme, globex] = ["acme", "globex"].map(|owner| registry.for_owner(owner).unwrap());
        let plan = || acme.plan([new("new")], Prune::Keep).unwrap();
        let outdated = plan();
        acme.create(new("temporary")).unwrap();
        assert_conflict(&acme, &registry, outdated.clone());
        acme.delete_all().unwrap();
        if keep > 0 {
            // Without a history, nothing says that the owner ever had one.
            assert_conflict(&acme, &registry, outdated.clone());
        }
        // Nor does it fit the owner's next subscriptions.
        acme.create(new("another")).unwrap();
        assert_conflict(&acme, &registry, outdated);
        acme.delete_all().unwrap();
        let fresh = plan();
        globex.create(new("one")).unwrap();
        globex.delete_all().unwrap();
        acme.apply(fresh).unwrap();
        assert_eq!(acme.len().unwrap(), 1);
    }
}
