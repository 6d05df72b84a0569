//! The rules that each registry sets for itself at opening: they judge what is new or changed, and leave alone what another
//! opener has put into the file. One that judged too much would lock an application out of its own subscriptions.

use webhook_registry::{ErrorKind, NewSubscription, Registry, SubscriptionUpdate, UrlPolicy};

use crate::support::{learn, new, refused};

#[test]
fn a_registry_takes_any_url_unless_told_otherwise() {
    let registry = Registry::in_memory().unwrap();
    learn(&registry);
    let stated = Registry::options().url_policy(UrlPolicy::any()).in_memory().unwrap();
    learn(&stated);
    for registry in [registry, stated] {
        registry.create(at("crm", "http://127.0.0.1:8080/hook")).unwrap();
    }
}

#[test]
fn what_is_created_keeps_the_policy() {
    let registry = Registry::options().url_policy(UrlPolicy::public_https()).in_memory().unwrap();
    learn(&registry);
    registry.create(new("fine")).unwrap();
    for url in ["http://example.com/", "https://10.1/", "https://localhost/"] {
        let error = refused(registry.create(at("crm", url)), ErrorKind::Invalid, &["url"]);
        assert_eq!(error.to_string(), UrlPolicy::public_https().check(url).unwrap_err().to_string());
    }
    let json = r#"{"name": "", "url": "https://[::1]/", "events": ["agent.*"]}"#;
    let from_json: NewSubscription = serde_json::from_str(json).unwrap();
    refused(registry.create(from_json), ErrorKind::Invalid, &["name", "url"]);

    let list = [new("one"), at("two", "https://127.1/"), new("three"), at("four", "http://a.com/")];
    refused(registry.create_all(list), ErrorKind::Invalid, &["[1].url", "[3].url"]);
    assert_eq!(registry.len().unwrap(), 1);
}

#[test]
fn a_stricter_policy_leaves_a_url_from_before_alone_and_judges_a_changed_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let before = "http://127.0.0.1:8080/hook";
    let id = {
        let registry = Registry::open(&path).unwrap();
        learn(&registry);
        registry.create(at("crm", before)).unwrap().subscription().id()
    };
    let registry = Registry::options().url_policy(UrlPolicy::public_https()).open(&path).unwrap();
    assert_eq!(registry.subscribers("agent.presencechanged.v1").unwrap().len(), 1);

    let other_fields = SubscriptionUpdate::new().name("crm 2").enabled(false).description("old");
    assert_eq!(registry.update(id, other_fields).unwrap().revision(), 2);
    // The same URL, stated: nothing changes, so nothing is judged.
    let same = registry.update(id, SubscriptionUpdate::new().url(before)).unwrap();
    assert_eq!((same.revision(), same.url()), (2, before));

    for url in ["http://127.0.0.1:8080/hook2", "http://example.com/", "https://127.1/"] {
        refused(registry.update(id, SubscriptionUpdate::new().url(url)), ErrorKind::Invalid, &["url"]);
        let patch = serde_json::from_value(serde_json::json!({"url": url, "enabled": true})).unwrap();
        refused(registry.update(id, patch), ErrorKind::Invalid, &["url"]);
    }
    let kept = registry.get(id).unwrap().unwrap();
    assert_eq!((kept.url(), kept.enabled(), kept.revision()), (before, false, 2));

    let moved = registry.update(id, SubscriptionUpdate::new().url("https://example.com/hook")).unwrap();
    assert_eq!(moved.revision(), 3);
    // Once left, the way back is a change like any other.
    refused(registry.update(id, SubscriptionUpdate::new().url(before)), ErrorKind::Invalid, &["url"]);
    drop(registry);

    // The policy is the opener's, not the file's.
    let registry = Registry::open(&path).unwrap();
    registry.update(id, SubscriptionUpdate::new().url(before)).unwrap();
}

fn at(name: &str, url: &str) -> NewSubscription {
    NewSubscription::new(name, url, ["agent.*"])
}
