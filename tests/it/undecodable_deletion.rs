//! Tests deleting subscriptions that do not decode.

use webhook_registry::{
    ChangeKind, ErrorKind, ListQuery, NewSubscription, Registry, SubscriptionId,
};

use crate::support::{new, refused};
use crate::undecodable_rows::{Damaged, EVENT, set};

#[test]
fn an_undecodable_subscription_can_be_deleted_and_the_rest_is_then_sound() {
    let damages = [
        set("metadata", "'{'"),
        set("created_at", "-1"),
        set("revision", "0"),
        set("enabled", "7"),
        set("url", "CAST(x'ff' AS TEXT)"),
        set("name", "CAST(x'ff' AS TEXT)"),
        set("url", "'xttps://example.com/'"),
        set("name", "''"),
        set("description", "printf('%.*c', 5000, 'x')"),
        set("metadata", r#"'{"": "v"}'"#),
        set("events", "'**'"),
        set("events", "''"),
        set("events", "CAST(x'ff' AS TEXT)"),
        set("events", "'agent.* agent.*'"),
        "UPDATE _webhook_registry_subscription SET secret = '' WHERE seq = 2".to_owned(),
        "UPDATE _webhook_registry_subscription SET secret = '*' WHERE seq = 2".to_owned(),
        "UPDATE _webhook_registry_subscription SET secret_created_at = -1 WHERE seq = 2".to_owned(),
    ];
    for sql in damages {
        for while_open in [true, false] {
            let Damaged { registry, id, sound, .. } = &Damaged::new(&sql, while_open);
            refused(registry.export(), ErrorKind::Corrupt, &[]);
            refused(registry.delete_if_revision(*id, 1), ErrorKind::Corrupt, &[]);
            let report = registry.check().unwrap();
            let mut about =
                report.findings().iter().filter(|finding| finding.subscription_id() == Some(*id));
            assert!(
                about.any(|finding| finding.message().contains("delete it by its id")),
                "{sql}: {report}"
            );
            registry.delete(*id).unwrap();
            refused(registry.delete(*id), ErrorKind::NotFound, &["subscriptionId"]);
            assert_eq!(registry.list(ListQuery::new()).unwrap().subscriptions()[0].id(), *sound);
            assert!(registry.subscribers(EVENT).unwrap().is_empty(), "{sql}");
            let last = registry.last_change().unwrap();
            let change = &registry.changes(last - 1, 1).unwrap()[0];
            assert_eq!((change.kind(), change.subject()), (ChangeKind::Deleted, &*id.to_string()));
            assert!(change.fields().is_empty(), "{change:?}");
            let report = registry.check().unwrap();
            assert!(report.is_sound(), "{sql}: {report}");
            // The decodable rows are exported, and the name is free again.
            let other = Registry::in_memory().unwrap();
            other.import(registry.export().unwrap()).unwrap();
            assert_eq!(other.len().unwrap(), 1);
            let again = NewSubscription::new("damaged", "https://example.com/", [EVENT]);
            assert!(registry.create(again).unwrap().subscription().id() > *id);
        }
    }
}

/// A subscription has its patterns in its row. Those by which dispatch finds it are derived.
#[test]
fn a_subscription_is_readable_exported_and_deleted_where_dispatch_does_not_find_it() {
    for sql in [
        "UPDATE _webhook_registry_pattern SET text = '**' WHERE text = 'agent.*'",
        "DELETE FROM _webhook_registry_pattern WHERE text = 'agent.*'",
        "DELETE FROM _webhook_registry_subscription_pattern WHERE subscription = 2",
    ] {
        for while_open in [true, false] {
            let Damaged { registry, id, .. } = &Damaged::new(sql, while_open);
            let report = registry.check().unwrap();
            let mut about =
                report.findings().iter().filter(|finding| finding.subscription_id() == Some(*id));
            assert!(
                about.any(|finding| finding.message().contains("dispatch does not find it")),
                "{sql}: {report}"
            );
            let found = registry.get(*id).unwrap().unwrap();
            assert_eq!(found.events(), ["agent.*"]);
            // As the finding says, the new file is whole.
            let other = Registry::in_memory().unwrap();
            other.import(registry.export().unwrap()).unwrap();
            assert_eq!(other.get(*id).unwrap().unwrap().events(), ["agent.*"]);
            assert_eq!(other.subscribers(EVENT).unwrap().len(), 1, "{sql}");
            assert!(other.check().unwrap().is_sound(), "{sql}");
            registry.delete(*id).unwrap();
            assert!(registry.subscribers(EVENT).unwrap().is_empty(), "{sql}");
            assert_eq!(registry.len().unwrap(), 1);
        }
    }
}

#[test]
fn a_subscription_with_an_invalid_id_or_a_missing_table_is_not_deleted() {
    let Damaged { registry, id, .. } = &Damaged::new(&set("id", "'zz'"), false);
    refused(registry.delete(*id), ErrorKind::NotFound, &["subscriptionId"]);
    let Damaged { registry, id, .. } = &Damaged::new(
        "CREATE TABLE x (y); INSERT INTO x VALUES (1); DROP TABLE \
         _webhook_registry_subscription_pattern",
        true,
    );
    refused(registry.delete(*id), ErrorKind::Corrupt, &[]);
}

#[test]
fn the_greatest_possible_id_blocks_creation_until_it_is_deleted() {
    let last: SubscriptionId = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse().unwrap();
    let damaged = Damaged::new(
        &format!("UPDATE _webhook_registry_subscription SET id = '{last}' WHERE name = 'damaged'"),
        true,
    );
    let registry = &damaged.registry;
    refused(registry.get(last), ErrorKind::Corrupt, &[]);
    refused(registry.create(new("third")), ErrorKind::Corrupt, &[]);
    let report = registry.check().unwrap();
    assert!(
        report.findings().iter().any(|finding| finding.subscription_id() == Some(last)),
        "{report}"
    );
    registry.delete(last).unwrap();
    assert!(registry.create(new("third")).unwrap().subscription().id() < last);
    let report = registry.check().unwrap();
    assert!(report.is_sound(), "{report}");
}
