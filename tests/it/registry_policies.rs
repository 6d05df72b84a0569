//! Tests the rules that each registry sets when it is opened. They apply to new and changed values,
//! and not to what another opener has stored: an application must not be locked out of its own
//! subscriptions.

use webhook_registry::{ErrorKind, NewSubscription, Registry, SubscriptionUpdate, UrlPolicy};

use crate::support::{learn, new, refused};

#[test]
fn a_registry_accepts_any_url_by_default() {
    let registry = Registry::in_memory().unwrap();
    learn(&registry);
    let stated = Registry::options().url_policy(UrlPolicy::any()).in_memory().unwrap();
    learn(&stated);
    for registry in [registry, stated] {
        registry.create(subscription_at("crm", "http://127.0.0.1:8080/hook")).unwrap();
    }
}

#[test]
fn a_new_url_must_satisfy_the_policy() {
    let registry = Registry::options().url_policy(UrlPolicy::public_https()).in_memory().unwrap();
    learn(&registry);
    registry.create(new("fine")).unwrap();
    for url in ["http://example.com/", "https://10.1/", "https://localhost/"] {
        let error =
            refused(registry.create(subscription_at("crm", url)), ErrorKind::Invalid, &["url"]);
        assert_eq!(
            error.to_string(),
            UrlPolicy::public_https().check(url).unwrap_err().to_string()
        );
    }
    let json = r#"{"name": "", "url": "https://[::1]/", "events": ["agent.*"]}"#;
    let from_json: NewSubscription = serde_json::from_str(json).unwrap();
    refused(registry.create(from_json), ErrorKind::Invalid, &["name", "url"]);

    let list = [
        new("one"),
        subscription_at("two", "https://127.1/"),
        new("three"),
        subscription_at("four", "http://a.com/"),
    ];
    refused(registry.create_all(list), ErrorKind::Invalid, &["[1].url", "[3].url"]);
    assert_eq!(registry.len().unwrap(), 1);
}

#[test]
fn a_stricter_url_policy_applies_to_changed_urls_and_not_to_stored_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let before = "http://127.0.0.1:8080/hook";
    let id = {
        let registry = Registry::open(&path).unwrap();
        learn(&registry);
        registry.create(subscription_at("crm", before)).unwrap().subscription().id()
    };
    let registry = Registry::options().url_policy(UrlPolicy::public_https()).open(&path).unwrap();
    assert_eq!(registry.subscribers("agent.presencechanged.v1").unwrap().len(), 1);

    let other_fields = SubscriptionUpdate::new().name("crm 2").enabled(false).description("old");
    assert_eq!(registry.update(id, other_fields).unwrap().revision(), 2);
    // Stating the same URL changes nothing, so nothing is validated.
    let same = registry.update(id, SubscriptionUpdate::new().url(before)).unwrap();
    assert_eq!((same.revision(), same.url()), (2, before));

    for url in ["http://127.0.0.1:8080/hook2", "http://example.com/", "https://127.1/"] {
        refused(
            registry.update(id, SubscriptionUpdate::new().url(url)),
            ErrorKind::Invalid,
            &["url"],
        );
        let patch =
            serde_json::from_value(serde_json::json!({"url": url, "enabled": true})).unwrap();
        refused(registry.update(id, patch), ErrorKind::Invalid, &["url"]);
    }
    let kept = registry.get(id).unwrap().unwrap();
    assert_eq!((kept.url(), kept.enabled(), kept.revision()), (before, false, 2));

    let moved =
        registry.update(id, SubscriptionUpdate::new().url("https://example.com/hook")).unwrap();
    assert_eq!(moved.revision(), 3);
    // Returning to the old URL is a change like any other.
    refused(
        registry.update(id, SubscriptionUpdate::new().url(before)),
        ErrorKind::Invalid,
        &["url"],
    );
    drop(registry);

    // The policy belongs to the handle and not to the file.
    let registry = Registry::open(&path).unwrap();
    registry.update(id, SubscriptionUpdate::new().url(before)).unwrap();
}

#[test]
fn a_secret_shorter_than_the_configured_minimum_is_rejected() {
    let table = [
        (None, 31, 32),
        (Some(32), 31, 32),
        (Some(24), 23, 24),
        (Some(16), 15, 16),
        (Some(1), 0, 1),
        (Some(65), 64, 65),
        (Some(128), 127, 128),
    ];
    for (asked, short, enough) in table {
        let options = Registry::options();
        let registry = match asked {
            None => options,
            Some(bytes) => options.min_secret_bytes(bytes),
        }
        .in_memory()
        .unwrap();
        learn(&registry);

        let created = registry.create(new("a").secret(secret_of(enough, 'a'))).unwrap();
        assert_eq!(created.secret().key().len(), enough);
        let id = created.subscription().id();
        let update = |secret: String| registry.update(id, SubscriptionUpdate::new().secret(secret));

        let said = refused(
            registry.create(new("b").secret(secret_of(short, 'b'))),
            ErrorKind::Invalid,
            &["secret"],
        )
        .to_string();
        if short > 0 {
            let wanted =
                format!("secret: a secret has at least {enough} bytes once decoded, not {short}");
            assert_eq!(said, wanted);
        }
        refused(
            registry.create(from_json(&secret_of(short, 'b'))),
            ErrorKind::Invalid,
            &["secret"],
        );
        refused(
            registry.create_all([new("b"), from_json(&secret_of(short, 'b'))]),
            ErrorKind::Invalid,
            &["[1].secret"],
        );
        refused(update(secret_of(short, 'b')), ErrorKind::Invalid, &["secret"]);

        assert_eq!(update(secret_of(enough, 'b')).unwrap().revision(), 2);
        let patch = serde_json::json!({"secret": secret_of(enough, 'c')});
        let patch: SubscriptionUpdate = serde_json::from_value(patch).unwrap();
        assert_eq!(registry.update(id, patch).unwrap().revision(), 3);
        registry.create(from_json(&secret_of(enough, 'd'))).unwrap();
        // A generated secret has its usual length.
        assert_eq!(registry.create(new("made")).unwrap().secret().key().len(), 64);
    }
}

#[test]
fn a_stricter_minimum_length_applies_to_changed_secrets_and_not_to_stored_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let before = secret_of(24, 'a');
    let id = {
        let registry = Registry::options().min_secret_bytes(24).open(&path).unwrap();
        learn(&registry);
        let created = registry.create(new("crm").secret(before.as_str())).unwrap();
        created.subscription().id()
    };
    let registry = Registry::open(&path).unwrap();
    let subscribers = registry.subscribers("agent.presencechanged.v1").unwrap();
    assert_eq!(subscribers[0].secrets().next().unwrap().expose(), before);
    let disabled = registry.update(id, SubscriptionUpdate::new().enabled(false)).unwrap();
    assert_eq!(disabled.revision(), 2);
    let same = registry.update(id, SubscriptionUpdate::new().secret(before.as_str()));
    assert_eq!(same.unwrap().revision(), 2);
    let other = registry.update(id, SubscriptionUpdate::new().secret(secret_of(24, 'b')));
    refused(other, ErrorKind::Invalid, &["secret"]);
}

#[test]
fn a_minimum_secret_length_outside_its_range_is_rejected_at_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    for bytes in [0, 129, usize::MAX] {
        let options = Registry::options().min_secret_bytes(bytes);
        let error = refused(options.open(&path), ErrorKind::Invalid, &["min_secret_bytes"]);
        let wanted = format!("min_secret_bytes: has to be from 1 to 128, not {bytes}");
        assert_eq!(error.to_string(), wanted);
        refused(options.in_memory(), ErrorKind::Invalid, &["min_secret_bytes"]);
        let both = options.read_only(true).exclusive(true);
        refused(both.open(&path), ErrorKind::Invalid, &["exclusive", "min_secret_bytes"]);
    }
    assert!(!path.exists());
    for bytes in [1, 128] {
        Registry::options().min_secret_bytes(bytes).open(&path).unwrap();
    }
}

fn subscription_at(name: &str, url: &str) -> NewSubscription {
    NewSubscription::new(name, url, ["agent.*"])
}

/// Returns base64 of this many bytes without padding; its unused bits are ignored.
fn secret_of(bytes: usize, digit: char) -> String {
    digit.to_string().repeat((bytes * 8).div_ceil(6))
}

fn from_json(secret: &str) -> NewSubscription {
    let body = serde_json::json!({
        "name": "json", "url": "https://example.com/", "events": ["agent.*"], "secret": secret,
    });
    serde_json::from_value(body).unwrap()
}
