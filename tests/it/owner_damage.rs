//! Tests of owners in files that are damaged, or that another program has changed by hand.

use std::path::Path;

use webhook_registry::{ErrorKind, ListQuery, Prune, Registry, Subscriber};

use crate::owners::{EVENT, create, listed, names, new};
use crate::support::refused;

fn damage(path: &Path, sql: &str) {
    let conn = rusqlite::Connection::open(path).unwrap();
    conn.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
    conn.execute_batch(sql).unwrap();
    assert!(conn.changes() > 0, "{sql}");
}

#[test]
fn a_damaged_row_is_corrupt_for_its_owner_and_invisible_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let registry = Registry::open(&path).unwrap();
    registry.register_event_type(EVENT).unwrap();
    let (acme, bolt) = (registry.for_owner("acme").unwrap(), registry.for_owner("bolt").unwrap());
    let [of_acme, of_bolt, of_none] = [&acme, &bolt, &registry].map(|handle| create(handle, "crm"));
    damage(
        &path,
        "UPDATE _webhook_registry_subscription SET metadata = '[' \
         WHERE owner = (SELECT id FROM _webhook_registry_owner WHERE name = 'acme'); \
         UPDATE _webhook_registry_change SET fields = '[' WHERE owner = 'acme'",
    );
    for (handle, own) in [(&bolt, of_bolt), (&registry, of_none)] {
        assert_eq!(handle.get(of_acme).unwrap(), None);
        assert!(handle.subscriber(of_acme).unwrap().is_none());
        refused(handle.secret(of_acme), ErrorKind::NotFound, &["subscriptionId"]);
        refused(handle.delete(of_acme), ErrorKind::NotFound, &["subscriptionId"]);
        assert_eq!(listed(handle), [own]);
        assert_eq!(names(handle), ["crm"]);
        assert_eq!(handle.count(ListQuery::new().metadata("k", "v")).unwrap(), 0);
        let _ = handle.plan([new("crm")], Prune::Delete).unwrap();
    }
    assert_eq!(bolt.changes(0, 10).unwrap().len(), 1);
    for result in [
        acme.get(of_acme).map(drop),
        acme.get_by_name("crm").map(drop),
        acme.list(ListQuery::new()).map(drop),
        acme.subscribers(EVENT).map(drop),
        acme.changes(0, 10).map(drop),
        registry.for_every_owner().unwrap().get(of_acme).map(drop),
    ] {
        refused(result, ErrorKind::Corrupt, &[]);
    }
    assert_eq!(acme.delete_all().unwrap(), 1, "also what does not decode");
    assert!(acme.is_empty().unwrap());
}

#[test]
fn a_deletion_or_a_switch_by_hand_takes_its_rows_with_it() {
    for settings in ["ON", "OFF"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.db");
        let registry = Registry::open(&path).unwrap();
        registry.register_event_type(EVENT).unwrap();
        let acme = registry.for_owner("acme").unwrap();
        let first = create(&acme, "crm");
        let last = create(&acme, "erp");
        create(&registry, "crm");
        let sql = |sql: &str| {
            damage(
                &path,
                &format!(
                    "PRAGMA foreign_keys = {settings}; \
                     PRAGMA recursive_triggers = {settings}; {sql}"
                ),
            );
        };
        sql("UPDATE _webhook_registry_subscription SET enabled = 0 WHERE name = 'crm'");
        assert_eq!((names(&acme), names(&registry).len()), (vec!["erp".to_owned()], 0));
        let crm = acme.get(first).unwrap().unwrap();
        assert!(
            !crm.enabled() && crm.disabled_at().is_some() && registry.check().unwrap().is_sound()
        );
        sql(
            "UPDATE _webhook_registry_subscription SET disabled_reason = 'moved' WHERE enabled = 0",
        );
        sql("UPDATE _webhook_registry_subscription SET enabled = 1");
        let crm = acme.get(first).unwrap().unwrap();
        assert!(crm.enabled() && crm.disabled_at().is_none() && crm.disabled_reason().is_none());
        assert_eq!(names(&acme), ["crm", "erp"]);
        sql(&format!("DELETE FROM _webhook_registry_subscription WHERE id = '{last}'"));
        assert_eq!((acme.len().unwrap(), names(&acme)), (1, vec!["crm".to_owned()]));
        sql(&format!("DELETE FROM _webhook_registry_subscription WHERE id = '{first}'"));
        assert!(registry.owners(None, 10).unwrap().is_empty());
        sql("DELETE FROM _webhook_registry_subscription");
        assert_eq!(registry.len().unwrap(), 0);
        let report = registry.check().unwrap();
        assert!(report.is_sound(), "{report}");
        assert!(create(&acme, "new") > last);
    }
}

#[test]
fn a_pattern_that_leads_to_a_subscription_of_another_owner_adds_nobody_and_hides_nobody() {
    // With 20, the rows of the table are read one after the other.
    for count in [1, 20] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.db");
        let registry = Registry::open(&path).unwrap();
        registry.register_event_type(EVENT).unwrap();
        let (acme, bolt) =
            (registry.for_owner("acme").unwrap(), registry.for_owner("bolt").unwrap());
        for handle in [&registry, &acme, &bolt] {
            let all = (0..count).map(|number| new(&format!("crm{number}")));
            let _ = handle.create_all(all).unwrap();
        }
        damage(
            &path,
            "INSERT INTO _webhook_registry_subscription_pattern \
             SELECT o.id, s.seq, p.id, 1 FROM _webhook_registry_owner o, \
             _webhook_registry_subscription s, _webhook_registry_pattern p WHERE o.id <> s.owner",
        );
        let every = registry.for_every_owner().unwrap();
        let scopes = [(&registry, None), (&acme, Some("acme")), (&bolt, Some("bolt"))];
        // The first of each version finds an empty cache.
        for first in [&registry, &acme, &bolt, &every] {
            registry.register_event_type(format!("other{}", first.last_change().unwrap())).unwrap();
            let _ = first.subscribers(EVENT).unwrap();
            for (handle, owner) in scopes {
                let found = handle.subscribers(EVENT).unwrap();
                assert!(found.iter().all(|one| one.owner() == owner), "{found:?}");
                assert_eq!(found.len(), count);
            }
            let found = every.subscribers(EVENT).unwrap();
            let mut ids: Vec<_> = found.iter().map(Subscriber::id).collect();
            ids.dedup();
            assert_eq!((found.len(), ids.len()), (3 * count, 3 * count));
        }
    }
}
