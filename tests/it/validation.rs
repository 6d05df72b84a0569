//! Tests the validation of input. Every limit is tested on both sides and through every call that
//! accepts it: a limit that `create` checks and `update` does not would store a row that no later
//! call can repair.

use serde_json::{Value, json};
use webhook_registry::{
    Created, ErrorKind, ListQuery, NewSubscription, Registry, SubscriptionUpdate,
};

use crate::support::{contact_center, new, refused};

/// The setter of this name gives a permission, which a document cannot.
const SETTER: &str = "allow_unknown_events";

/// Returns a subscription with the keys of `body` and the missing required ones.
fn new_subscription(body: &Value) -> NewSubscription {
    let mut all = json!({"name": "base", "url": "https://example.com/hook", "events": ["agent.*"]});
    let all_keys = all.as_object_mut().unwrap();
    all_keys.extend(body.as_object().unwrap().clone());
    let allow = all_keys.remove(SETTER) == Some(json!(true));
    serde_json::from_value::<NewSubscription>(all).unwrap().allow_unknown_events(allow)
}

fn patch(body: &Value) -> SubscriptionUpdate {
    let mut keys = body.clone();
    let allow = keys.as_object_mut().unwrap().remove(SETTER) == Some(json!(true));
    serde_json::from_value::<SubscriptionUpdate>(keys).unwrap().allow_unknown_events(allow)
}

fn five_with_third(third: NewSubscription) -> Vec<NewSubscription> {
    vec![new("one"), new("two"), third, new("four"), new("five")]
}

/// Asserts that create, update and `create_all` reject these keys with the same message and change
/// nothing. Returns the message.
#[track_caller]
fn assert_rejected(body: &Value, fields: &[&str]) -> String {
    let registry = contact_center();
    let there = registry.create(new("there")).unwrap().subscription().clone();

    let by_create = refused(registry.create(new_subscription(body)), ErrorKind::Invalid, fields);
    let by_update = refused(registry.update(there.id(), patch(body)), ErrorKind::Invalid, fields);
    assert_eq!(by_create.problems(), by_update.problems());
    let within: Vec<String> = fields.iter().map(|field| format!("[2].{field}")).collect();
    let within: Vec<&str> = within.iter().map(String::as_str).collect();
    let by_list = refused(
        registry.create_all(five_with_third(new_subscription(body))),
        ErrorKind::Invalid,
        &within,
    );
    for (one, listed) in by_create.problems().iter().zip(by_list.problems()) {
        assert_eq!(one.message(), listed.message());
    }

    let after = registry.list(ListQuery::new()).unwrap();
    assert_eq!(after.subscriptions(), [there], "a rejected call changed a subscription");
    by_create.to_string()
}

/// Asserts that create, update and `create_all` accept these keys, store them as given, and stay
/// sound.
#[track_caller]
fn assert_accepted(body: &Value) -> Created {
    let registry = contact_center();
    let created = registry.create(new_subscription(body)).unwrap();
    let kept = |subscription: &Value| {
        for (key, value) in body.as_object().unwrap() {
            if !matches!(key.as_str(), "secret" | SETTER) {
                assert_eq!(&subscription[key], value, "{key} was not stored as given");
            }
        }
    };
    kept(&serde_json::to_value(&created).unwrap());

    let registry = contact_center();
    let there = registry.create(new("there")).unwrap().subscription().id();
    let updated = registry.update(there, patch(body)).unwrap();
    kept(&serde_json::to_value(updated).unwrap());

    let registry = contact_center();
    let all = registry.create_all(five_with_third(new_subscription(body))).unwrap();
    kept(&serde_json::to_value(&all[2]).unwrap());
    assert_eq!(registry.len().unwrap(), 5);
    let report = registry.check().unwrap();
    assert!(report.is_sound(), "accepted input is not sound: {report}");
    created
}

/// Returns base64 of this many bytes.
fn secret_of(bytes: usize) -> String {
    "Leaky".chars().cycle().take((bytes * 4).div_ceil(3)).collect()
}

fn entries(count: usize) -> Value {
    (0..count)
        .map(|n| (format!("key{n}"), json!("value")))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[test]
fn invalid_names_are_rejected() {
    for (name, reason) in [
        (String::new(), "needs a name"),
        ("n".repeat(129), "at most 128 characters, not 129"),
        ("é".repeat(129), "at most 128 characters, not 129"),
        ("e\u{301}".repeat(64) + "e", "at most 128 characters, not 129"),
        (" a".into(), "begin or end with white space"),
        ("a ".into(), "begin or end with white space"),
        ("\u{a0}a".into(), "begin or end with white space"),
        ("a\u{2003}".into(), "begin or end with white space"),
        ("\u{3000}a".into(), "begin or end with white space"),
        (" ".into(), "begin or end with white space"),
        ("a\n".into(), "control characters"),
        ("a\tb".into(), "control characters"),
        ("a\u{0}b".into(), "control characters"),
        ("a\u{7f}".into(), "control characters"),
        ("a\u{85}b".into(), "control characters"),
    ] {
        let message = assert_rejected(&json!({"name": name}), &["name"]);
        assert!(message.contains(reason), "{name:?}: {message}");
    }
}

#[test]
fn names_are_counted_in_characters_and_stored_byte_for_byte() {
    for name in [
        "n",
        "a b",
        "a\u{a0}b",
        "a\u{200b}",
        "WebhookTest1",
        "%_",
        "\"'\\",
        &"n".repeat(128),
        &"é".repeat(128),
        &"🦀".repeat(128),
        &"e\u{301}".repeat(64),
    ] {
        assert_accepted(&json!({"name": name}));
    }
    // Two Unicode forms of one letter are two names, and so are upper and lower case.
    let registry = contact_center();
    for name in ["caf\u{e9}", "cafe\u{301}", "Caf\u{e9}"] {
        registry.create(new(name)).unwrap();
    }
    assert_eq!(registry.len().unwrap(), 3);
}

#[test]
fn invalid_urls_are_rejected_with_their_reason() {
    let begins = "begins with http:// or https://";
    let host = "needs a host";
    let space = "white space or a control character";
    let user = "user name or password";
    let no_url = "not a URL";
    let (too_long, most) = (url_of(2_049), "at most 2048 bytes, not 2049");
    for (url, reason) in [
        ("", begins),
        ("example.com", begins),
        ("//example.com", begins),
        ("ftp://x", "not with ftp:"),
        ("file:///etc/passwd", "not with file:"),
        ("https:x", "// is missing"),
        ("https:/x", "// is missing"),
        ("http://", host),
        ("https:///x", host),
        ("https://?x", host),
        ("https://#x", host),
        (" https://x", space),
        ("https://x ", space),
        ("https://x/a b", space),
        ("https://x/\u{3000}", space),
        ("https://x/\t", space),
        ("https://x\n/", space),
        ("https://x/\u{0}", space),
        ("https://x/\u{7f}", space),
        (r"https://a\b@c/", "backslash"),
        (r"https:\\x", "backslash"),
        (r"https://x/a\b", "backslash"),
        ("https://u:p@x/", user),
        ("https://u@x/", user),
        ("https://@x/", user),
        ("https://:@x/", user),
        ("https://x/#f", "fragment"),
        ("https://x/#", "fragment"),
        ("http://[::1", no_url),
        ("https://x:99999/", no_url),
        ("https://x:port/", no_url),
        ("https://:443/", no_url),
        ("https://1.2.3.256/", no_url),
        ("https://a%00b/", no_url),
        (&too_long, most),
    ] {
        let message = assert_rejected(&json!({"url": url}), &["url"]);
        assert!(message.contains(reason), "{url:?}: {message}");
    }
    // Text that is not a scheme is not repeated as one: it can be a secret.
    for url in ["http/x", "https?x", ":x", "abcdefghijklmnopq:x", "a_b:x"] {
        let message = assert_rejected(&json!({ "url": url }), &["url"]);
        assert!(message.ends_with(begins), "{url}: {message}");
    }
}

#[test]
fn the_password_of_a_rejected_url_is_not_repeated() {
    for url in [
        "https://u:hunter2@x/".to_owned(),
        "https://u:hunter2@x y/".to_owned(),
        "https://u:hunter2@x/#f".to_owned(),
        r"https://u:hunter2@x\y".to_owned(),
        "https:u:hunter2@x".to_owned(),
        "ftp://u:hunter2@x".to_owned(),
        "u:hunter2@example.com".to_owned(),
        "https://u:hunter2@[::1".to_owned(),
        "https://u:hunter2/@x".to_owned(),
        format!("https://u:hunter2@x/{}", "a".repeat(2_048)),
    ] {
        let message = assert_rejected(&json!({"url": url}), &["url"]);
        assert!(!message.contains("hunter2"), "{message}");
    }
}

/// Returns a URL of this many bytes.
fn url_of(bytes: usize) -> String {
    let start = "https://example.com/";
    format!("{start}{}", "a".repeat(bytes - start.len()))
}

#[test]
fn urls_are_stored_as_given() {
    for url in [
        "http://x",
        "HTTPS://EXAMPLE.com",
        "hTTp://Example.COM:80/a/../b",
        "https://localhost:8080/",
        "https://[::1]/",
        "https://127.0.0.1/?a=b&c=%20",
        "https://example.com/@user?mail=a@b",
        "https://例え.jp/päth",
        &url_of(2_048),
    ] {
        assert_accepted(&json!({"url": url}));
    }
}

#[test]
fn exact_duplicate_events_are_dropped_and_the_order_is_kept() {
    let given = json!({"events": ["channel.held.v1", "*", "channel.held.v1", "agent.*", "*"]});
    let registry = contact_center();
    let created = registry.create(new_subscription(&given)).unwrap();
    let kept = ["channel.held.v1", "*", "agent.*"];
    assert_eq!(created.subscription().events(), kept);
    let id = registry.create(new("other")).unwrap().subscription().id();
    assert_eq!(registry.update(id, patch(&given)).unwrap().events(), kept);
}

#[test]
fn invalid_patterns_are_rejected_with_their_index() {
    let long = "a".repeat(257);
    for (pattern, reason) in [
        ("", "empty"),
        ("a b", "' '"),
        ("é", "'é'"),
        ("a\u{0}", "at byte 1"),
        ("a,b", "','"),
        ("{a,b}", "'{'"),
        ("**", "one * already crosses dots"),
        ("agent.**", "one * already crosses dots"),
        ("**/a", "one * already crosses dots"),
        ("a[b", "not closed"),
        ("[", "not closed"),
        ("[^a]", "^"),
        ("[*]", "can contain only letters"),
        ("[?]", "can contain only letters"),
        ("[]]", "empty"),
        ("[]", "empty"),
        ("[!]", "empty"),
        ("a]", "closes no set"),
        ("[z-a]", "is not greater than its start"),
        ("[a-a]", "is not greater than its start"),
        ("[a-c-e]", "- that is neither first, nor last"),
        ("[+-a]", "can contain only letters"),
        ("[a-~]", "- that is neither first, nor last"),
        (&long, "at most 256 bytes, not 257"),
    ] {
        // Allowing unknown events does not allow invalid syntax.
        for allow in [false, true] {
            let message = assert_rejected(
                &json!({"events": ["agent.*", pattern], "allow_unknown_events": allow}),
                &["events[1]"],
            );
            assert!(message.contains(reason), "{pattern:?}: {message}");
        }
    }
    let longest = "a".repeat(256);
    assert_accepted(
        &json!({"events": [longest, "[!a-c-]?:/_-", "[-a]", "*"], "allow_unknown_events": true}),
    );
}

#[test]
fn unknown_events_are_rejected_with_a_suggestion_unless_allowed() {
    for (pattern, reason) in [
        (
            "agent.presencechange.v1",
            r#"no event type "agent.presencechange.v1"; did you mean "agent.presencechanged.v1"?"#,
        ),
        ("Agent.presencechanged.v1", "did you mean \"agent.presencechanged.v1\"?"),
        ("agent.", "no event type"),
        ("agnet.*", "did you mean \"agent.*\"?"),
        ("*.held.v2", "did you mean \"*.held.v1\"?"),
        ("fax.*", "\"fax.*\" matches no event type"),
    ] {
        let events = json!({"events": [pattern, "*"]});
        let message = assert_rejected(&events, &["events[0]"]);
        assert!(message.contains(reason), "{pattern}: {message}");
        assert_accepted(&json!({"events": [pattern, "*"], "allow_unknown_events": true}));
    }
    assert_rejected(
        &json!({"events": ["a", "*", "b.*"], "allow_unknown_events": false}),
        &["events[0]", "events[2]"],
    );
}

#[test]
fn an_unknown_event_takes_effect_once_it_is_registered() {
    let registry = Registry::in_memory().unwrap();
    let body = json!({"events": ["a.b", "c.*"], "allow_unknown_events": true});
    registry.create(new_subscription(&body)).unwrap();
    registry.register_event_types(["a.b", "c.d", "e.f"]).unwrap();
    let count = |name| registry.subscribers(name).unwrap().len();
    assert_eq!((count("a.b"), count("c.d"), count("e.f")), (1, 1, 0));
}

#[test]
fn secrets_are_validated_by_their_bytes_and_not_repeated() {
    let padded = |count: usize| secret_of(128) + &"=".repeat(count - 171);
    for (secret, reason) in [
        (String::new(), "empty"),
        ("====".into(), "empty"),
        ("whsec_".into(), "empty"),
        (secret_of(31), "at least 32 bytes once decoded, not 31"),
        (format!("whsec_{}", secret_of(31)), "not 31"),
        (secret_of(129), "at most 128 bytes once decoded, not 129"),
        (padded(257), "at most 256 characters, not 257"),
        ("********".into(), "standard base64"),
        (secret_of(33) + "é", "standard base64"),
        (secret_of(33) + "-_", "standard base64"),
        (secret_of(33) + "\n", "standard base64"),
        (format!(" {}", secret_of(33)), "standard base64"),
        (secret_of(33) + "\u{0}", "standard base64"),
        (format!("{0}={0}", secret_of(33)), "standard base64"),
        (format!("WHSEC_{}", secret_of(33)), "standard base64"),
        // One character beyond complete groups of four is not a byte.
        (secret_of(33) + "A", "standard base64"),
    ] {
        let message = assert_rejected(&json!({"secret": secret}), &["secret"]);
        assert!(message.contains(reason), "{secret:?}: {message}");
        assert!(secret.is_empty() || !message.contains(&secret), "{message}");
        assert!(!message.contains("Leaky"), "{message}");
    }
    for secret in [
        secret_of(32),
        secret_of(32) + "=",
        secret_of(32) + "====",
        secret_of(128),
        padded(256),
        format!("whsec_{}", secret_of(32)),
    ] {
        let created = assert_accepted(&json!({"secret": secret}));
        assert_eq!(created.secret().expose(), secret);
    }
}

#[test]
fn descriptions_are_counted_in_bytes_and_stored_even_if_empty() {
    for text in ["", " ", "two\nlines", &"d".repeat(4_096), &"é".repeat(2_048)] {
        assert_accepted(&json!({"description": text}));
    }
    for text in ["a\u{0}", &"d".repeat(4_097), &("é".repeat(2_048) + "a")] {
        assert_rejected(&json!({"description": text}), &["description"]);
    }
}

#[test]
fn metadata_is_validated_key_by_key() {
    let long = |length: usize| "m".repeat(length);
    for metadata in [
        entries(50),
        json!({long(128): ""}),
        json!({"é".repeat(64): "é".repeat(512)}),
        json!({"k": long(1_024)}),
        json!({" ": " \n"}),
    ] {
        assert_accepted(&json!({"metadata": metadata}));
    }
    for (metadata, reason) in [
        (entries(51), "at most 50 keys are kept, not 51"),
        (json!({"": "v"}), "cannot be empty"),
        (json!({long(129): "v"}), "at most 128 bytes, not 129"),
        (json!({"é".repeat(65): "v"}), "at most 128 bytes, not 130"),
        (json!({"k": long(1_025)}), "at most 1024 bytes, not 1025"),
        (json!({"k": "é".repeat(513)}), "at most 1024 bytes, not 1026"),
        (json!({"k\u{0}": "v"}), "U+0000"),
        (json!({"k": "\u{0}"}), "U+0000"),
        (json!({"": "v", "k": long(1_025)}), "cannot be empty; a value has"),
    ] {
        let message = assert_rejected(&json!({"metadata": metadata}), &["metadata"]);
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn validation_reports_every_invalid_field_at_once() {
    let body = json!({
        "name": "", "url": "ftp://x", "events": ["**", "*", "nope"], "secret": secret_of(8),
        "description": "\u{0}", "metadata": {"": ""},
    });
    let fields = ["name", "url", "events[0]", "events[2]", "secret", "description", "metadata"];
    assert_rejected(&body, &fields);
}
