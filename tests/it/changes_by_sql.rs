//! Tests what calls see of a change by SQL on the view `webhook_registry_subscriptions`.

use std::collections::BTreeSet;

use rusqlite::Connection;
use webhook_registry::{ChangeKind, ErrorKind, Registry};

use crate::guest::{FILES, dump_registry, guest, make_application};
use crate::opening::folder;
use crate::support::{new, refused};
use crate::writable_views::fill;

#[test]
fn every_process_sees_a_change_by_sql_with_its_next_call() {
    let (_folder, path) = folder();
    let conn = make_application(&path, FILES[1]);
    let registry = guest().open(&path).unwrap();
    fill(&registry);
    let (other, acme) = (guest().open(&path).unwrap(), registry.for_owner("acme").unwrap());
    let count = |handle: &Registry| handle.subscribers("a.v1").unwrap().len();
    let before = (count(&registry), count(&other), count(&acme));
    assert!(before.2 > 0);
    let run = |sql: &str| conn.execute(sql, []).unwrap();
    run("UPDATE webhook_registry_subscriptions SET enabled = 1");
    assert!(count(&registry) > before.0 && count(&other) > before.1 && count(&acme) > before.2);
    run("UPDATE webhook_registry_subscriptions SET enabled = 0, disabled_reason = 'audit' \
         WHERE owner = 'acme'");
    assert_eq!(count(&acme), 0);
    run("DELETE FROM webhook_registry_subscriptions WHERE owner = 'acme'");
    assert!(acme.is_empty().unwrap());
    assert!(!registry.owners(None, 10).unwrap().contains(&"acme".to_owned()));
    run("DELETE FROM webhook_registry_subscriptions");
    assert_eq!((count(&registry), count(&other)), (0, 0));
    assert!(registry.check().unwrap().is_sound());
}

#[test]
fn a_change_that_changes_nothing_counts_for_nothing() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path).unwrap();
    fill(&registry);
    let before = dump_registry(&path);
    let conn = Connection::open(&path).unwrap();
    for sql in [
        "UPDATE webhook_registry_subscriptions SET enabled = enabled",
        "UPDATE webhook_registry_subscriptions SET enabled = 0 WHERE NOT enabled",
        "UPDATE webhook_registry_subscriptions SET disabled_reason = '410 Gone' \
          WHERE disabled_reason = '410 Gone'",
        "UPDATE webhook_registry_subscriptions SET enabled = 1 WHERE enabled",
        "UPDATE webhook_registry_subscriptions SET name = name, disabled_at = disabled_at",
        "DELETE FROM webhook_registry_subscriptions WHERE id = 'none'",
    ] {
        conn.execute(sql, []).unwrap();
        assert!(dump_registry(&path) == before, "{sql}");
    }
}

#[test]
fn a_plan_is_out_of_date_after_a_change_by_sql_of_its_owner_only() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path).unwrap();
    fill(&registry);
    let conn = Connection::open(&path).unwrap();
    let acme = registry.for_owner("acme").unwrap();
    let plan =
        |handle: &Registry| handle.plan([new("declared")], webhook_registry::Prune::Keep).unwrap();
    let (own, of_acme) = (plan(&registry), plan(&acme));
    conn.execute(
        "UPDATE webhook_registry_subscriptions SET enabled = NOT enabled WHERE owner = 'acme'",
        [],
    )
    .unwrap();
    refused(acme.apply(of_acme), ErrorKind::Conflict, &["plan"]);
    registry.apply(own).unwrap();
    let of_acme = plan(&acme);
    conn.execute("DELETE FROM webhook_registry_subscriptions WHERE owner = 'acme'", []).unwrap();
    refused(acme.apply(of_acme), ErrorKind::Conflict, &["plan"]);
    let kinds: BTreeSet<_> = acme
        .changes(0, 1_000)
        .unwrap()
        .iter()
        .map(|change| change.kind() == ChangeKind::Deleted)
        .collect();
    assert_eq!(kinds.len(), 2);
}
