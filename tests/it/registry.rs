//! Tests the main task: from the body of a request to the subscribers of an event.

use webhook_registry::{ErrorKind, NewSubscription};

use crate::support::{SEED, SEED_SECRET, contact_center, new, refused};

#[test]
fn the_seed_request_is_accepted_and_its_secret_returned_unchanged() {
    let registry = contact_center();
    let request: NewSubscription = serde_json::from_str(SEED).unwrap();
    let created = registry.create(request).unwrap();
    assert_eq!(created.secret().expose(), SEED_SECRET);
    assert_eq!(created.secret().key().len(), 63);
    let subscribers = registry.subscribers("agent.presencechanged.v1").unwrap();
    assert_eq!(subscribers.len(), 1);
    assert_eq!(subscribers[0].id(), created.subscription().id());
    assert_eq!(subscribers[0].secrets().next().unwrap().expose(), SEED_SECRET);
}

#[test]
fn a_taken_name_is_a_conflict_that_names_the_holder() {
    let registry = contact_center();
    let holder = registry.create(new("crm")).unwrap().subscription().id();
    let error = refused(registry.create(new("crm")), ErrorKind::Conflict, &["name"]);
    assert!(error.to_string().contains(&holder.to_string()), "{error}");
}
