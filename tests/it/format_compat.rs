//! Opens a file of every released schema, created by that release and never regenerated: every
//! later version must read it.

use webhook_registry::{ListQuery, NewSubscription, Registry};

use crate::support::SEED_SECRET;

#[test]
fn a_version_1_file_can_be_read_and_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v1.db");
    std::fs::write(&path, include_bytes!("../fixtures/v1.db")).unwrap();
    let registry = Registry::open(&path).unwrap();
    let names: Vec<String> =
        registry.iter(ListQuery::new()).map(|one| one.unwrap().name().to_owned()).collect();
    assert_eq!(names, ["WebhookTest1", "wallboard", "off"]);
    assert_eq!(registry.event_types().unwrap().len(), 7);
    let found = registry.subscribers("agent.presencechanged.v1").unwrap();
    assert_eq!(
        found.iter().map(|one| one.name()).collect::<Vec<_>>(),
        ["WebhookTest1", "wallboard"]
    );
    assert_eq!(found[0].secrets().next().unwrap().expose(), SEED_SECRET);
    assert_eq!(registry.explain("channel.held.v1").unwrap().entries().len(), 2);
    let wallboard = registry.get_by_name("wallboard").unwrap().unwrap();
    assert_eq!((wallboard.revision(), wallboard.metadata()["team"].as_str()), (2, "support"));
    assert_eq!(registry.last_change().unwrap(), 11);
    let off = registry.get_by_name("off").unwrap().unwrap();
    assert_eq!(off.disabled_reason(), Some("410 Gone"));
    assert_eq!(off.disabled_at(), Some(off.created_at()));
    let last = off.id();
    let new = NewSubscription::new("after", "https://example.com/", ["channel.*"]);
    assert!(registry.create(new).unwrap().subscription().id() > last);
    assert_eq!(registry.changes(11, 10).unwrap().len(), 1);
}
