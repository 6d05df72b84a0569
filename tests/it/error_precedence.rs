//! Tests which error comes first when several apply, and that a rejected update changes nothing.
//! Callers branch on the kind: `Invalid` for a deleted subscription would make them repair the
//! wrong thing.

use webhook_registry::{ErrorKind, Registry, SubscriptionId, SubscriptionUpdate};

use crate::support::{contact_center, learn, new, refused};

const NOBODY: &str = "01K9V3T0Z2B4C6D8E0F2G4H6J8";

fn unknown_id() -> SubscriptionId {
    NOBODY.parse().unwrap()
}

/// Returns an update with an invalid name, to be extended by the setters.
fn invalid_update() -> SubscriptionUpdate {
    SubscriptionUpdate::new().name("")
}

#[test]
fn read_only_precedes_every_other_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let writer = Registry::open(&path).unwrap();
    learn(&writer);
    let taken = writer.create(new("taken")).unwrap().subscription().clone();
    let reader = Registry::options().read_only(true).open(&path).unwrap();

    let kind = ErrorKind::ReadOnly;
    for name in ["taken", "fresh", ""] {
        refused(reader.create(new(name)), kind, &[]);
        refused(reader.create_all([new(name)]), kind, &[]);
    }
    refused(reader.create_all([]), kind, &[]);
    for id in [taken.id(), unknown_id()] {
        refused(reader.update(id, SubscriptionUpdate::new()), kind, &[]);
        refused(reader.update(id, invalid_update().if_revision(9)), kind, &[]);
        refused(reader.disable(id, ""), kind, &[]);
        refused(reader.delete(id), kind, &[]);
        refused(reader.delete_if_revision(id, 9), kind, &[]);
    }
    refused(reader.register_event_type(""), kind, &[]);
    refused(reader.register_event_types(["a"]), kind, &[]);
    refused(reader.remove_event_type("nope"), kind, &[]);
    refused(reader.remove_event_type("agent.presencechanged.v1"), kind, &[]);

    assert_eq!(reader.get(taken.id()).unwrap(), Some(taken));
    assert_eq!(reader.len().unwrap(), 1);
}

#[test]
fn not_found_precedes_revision_conflicts_and_invalid_input() {
    let registry = contact_center();
    let update = || invalid_update().if_revision(9);
    let error =
        refused(registry.update(unknown_id(), update()), ErrorKind::NotFound, &["subscriptionId"]);
    assert!(error.to_string().contains(NOBODY), "{error}");
    refused(registry.disable(unknown_id(), ""), ErrorKind::NotFound, &["subscriptionId"]);
    refused(registry.delete(unknown_id()), ErrorKind::NotFound, &["subscriptionId"]);
    refused(registry.delete_if_revision(unknown_id(), 9), ErrorKind::NotFound, &["subscriptionId"]);
}

#[test]
fn an_unknown_event_type_precedes_an_invalid_limit() {
    let registry = contact_center();
    let query = webhook_registry::ListQuery::new().event_type("nope").limit(0);
    refused(registry.list(query.clone()), ErrorKind::NotFound, &["eventType"]);
    refused(registry.iter(query.clone()).next().unwrap(), ErrorKind::NotFound, &["eventType"]);
    refused(registry.count(query), ErrorKind::NotFound, &["eventType"]);
}

#[test]
fn a_revision_conflict_precedes_invalid_input_which_precedes_a_taken_name() {
    let registry = contact_center();
    let before = registry.create(new("mine")).unwrap().subscription().clone();
    registry.create(new("taken")).unwrap();
    let id = before.id();
    let update = SubscriptionUpdate::new;

    let revision = &["ifRevision"];
    for change in [invalid_update(), update().name("taken"), update()] {
        let result = registry.update(id, change.if_revision(2));
        let error = refused(result, ErrorKind::Conflict, revision);
        assert!(error.to_string().contains("at revision 1"), "{error}");
    }
    refused(registry.delete_if_revision(id, 0), ErrorKind::Conflict, revision);
    let both = update().name("taken").url("ftp://x").if_revision(1);
    refused(registry.update(id, both), ErrorKind::Invalid, &["url"]);
    refused(registry.update(id, update().name("taken")), ErrorKind::Conflict, &["name"]);
    assert_eq!(registry.get(id).unwrap(), Some(before));
}

#[test]
fn a_taken_name_in_a_list_is_a_conflict_unless_an_entry_is_invalid() {
    let registry = contact_center();
    let holder = registry.create(new("taken")).unwrap().subscription().id();
    let listed = registry.create_all([new("a"), new("taken"), new("b")]);
    let error = refused(listed, ErrorKind::Conflict, &["[1].name"]);
    assert!(error.to_string().contains(&holder.to_string()), "{error}");
    let listed = registry.create_all([new("taken"), new("")]);
    refused(listed, ErrorKind::Invalid, &["[1].name"]);
    assert_eq!(registry.len().unwrap(), 1);
}

#[test]
fn a_name_is_free_after_its_holder_was_deleted_or_renamed() {
    let registry = contact_center();
    let first = registry.create(new("a")).unwrap().subscription().id();
    registry.update(first, SubscriptionUpdate::new().name("b")).unwrap();
    let second = registry.create(new("a")).unwrap().subscription().id();
    registry.delete(second).unwrap();
    registry.update(first, SubscriptionUpdate::new().name("a")).unwrap();
    refused(registry.create(new("a")), ErrorKind::Conflict, &["name"]);
}

#[test]
fn an_update_looks_up_only_new_patterns_in_the_catalog() {
    let registry = contact_center();
    let given =
        webhook_registry::NewSubscription::new("n", "https://x", ["gone.*", "later", "channel.*"]);
    let created = registry.create(given.allow_unknown_events(true)).unwrap();
    let id = created.subscription().id();
    let update = SubscriptionUpdate::new;

    registry.update(id, update().url("https://y").metadata("k", "v")).unwrap();
    let kept = registry.update(id, update().events(["later", "agent.*", "gone.*"]));
    assert_eq!(kept.unwrap().events(), ["later", "agent.*", "gone.*"]);
    let more = update().events(["gone.*", "other.*", "later", "else"]);
    refused(registry.update(id, more), ErrorKind::Invalid, &["events[1]", "events[3]"]);
    // A pattern that was removed counts as new when it is added again.
    registry.update(id, update().events(["agent.*"])).unwrap();
    let back = registry.update(id, update().events(["gone.*"]));
    refused(back, ErrorKind::Invalid, &["events[0]"]);
    let allowed = update().events(["gone.*"]).allow_unknown_events(true);
    assert_eq!(registry.update(id, allowed).unwrap().events(), ["gone.*"]);
    // The permission applied to that one call.
    let later = registry.update(id, update().events(["later"]));
    refused(later, ErrorKind::Invalid, &["events[0]"]);
}

#[test]
fn an_existing_wildcard_without_matches_does_not_block_an_update() {
    let registry = contact_center();
    let id = registry.create(new("a")).unwrap().subscription().id();
    registry.remove_event_type("agent.presencechanged.v1").unwrap();
    let update = SubscriptionUpdate::new;
    registry.update(id, update().enabled(false)).unwrap();
    registry.update(id, update().events(["agent.*", "channel.*"])).unwrap();
    refused(registry.create(new("b")), ErrorKind::Invalid, &["events[0]"]);
}

#[test]
fn a_duplicate_name_in_a_list_is_reported_on_the_later_entry() {
    let registry = contact_center();
    let twice = || [new("a"), new("b"), new("a"), new("b"), new("a")];
    let fields = ["[2].name", "[3].name", "[4].name"];
    refused(registry.create_all(twice()), ErrorKind::Invalid, &fields);
    // One problem for each field, even if a name is invalid in two ways.
    let empty = registry.create_all([new(""), new("")]);
    refused(empty, ErrorKind::Invalid, &["[0].name", "[1].name"]);
    assert!(registry.is_empty().unwrap());
    assert!(registry.create_all([]).unwrap().is_empty());
}

#[test]
fn text_that_is_not_a_ulid_is_rejected_as_an_id() {
    let good = "01K9V3T0Z2B4C6D8E0F2G4H6J8";
    assert!(good.parse::<SubscriptionId>().is_ok());
    assert!("7ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse::<SubscriptionId>().is_ok());
    let with = |first: char| format!("{first}{}", &good[1..]);
    let mut bad: Vec<String> = "89ABCDEFGHJKMNPQRSTVWXYZ".chars().map(with).collect();
    bad.extend(
        ["", "1", &good[1..], &format!("{good}0"), &good.replace('K', "U")].map(str::to_owned),
    );
    bad.extend(["I", "L", "O", "-", " ", "\u{0}"].map(|odd| good.replace('K', odd)));
    bad.push(good.replace("K9", "é"));
    for text in bad {
        let error =
            refused(text.parse::<SubscriptionId>(), ErrorKind::Invalid, &["subscriptionId"]);
        assert!(!error.problems()[0].message().is_empty());
        let json = serde_json::to_string(&text).unwrap();
        assert!(serde_json::from_str::<SubscriptionId>(&json).is_err());
    }
}
