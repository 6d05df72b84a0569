//! What bad input gets. Every limit is tried on both sides and by every way in: a limit that `create` knows and
//! `update` forgot lets in a record that no later call can repair.

use serde_json::{Value, json};
use webhook_registry::{
    Created, ErrorKind, ListQuery, NewSubscription, Registry, SubscriptionUpdate,
};

use crate::support::{contact_center, new, refused};

/// The keys of `body`, with the required ones filled in.
/// The setter of this name gives a permission, which a document cannot.
const SETTER: &str = "allow_unknown_events";

fn whole(body: &Value) -> NewSubscription {
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

fn five(third: NewSubscription) -> Vec<NewSubscription> {
    vec![new("one"), new("two"), third, new("four"), new("five")]
}

/// These keys are refused by create, update and `create_all` in the same words, which are answered, and nothing
/// changes.
#[track_caller]
fn refuses(body: &Value, fields: &[&str]) -> String {
    let registry = contact_center();
    let there = registry.create(new("there")).unwrap().subscription().clone();

    let by_create = refused(registry.create(whole(body)), ErrorKind::Invalid, fields);
    let by_update = refused(registry.update(there.id(), patch(body)), ErrorKind::Invalid, fields);
    assert_eq!(by_create.problems(), by_update.problems());
    let within: Vec<String> = fields.iter().map(|field| format!("[2].{field}")).collect();
    let within: Vec<&str> = within.iter().map(String::as_str).collect();
    let by_list = refused(registry.create_all(five(whole(body))), ErrorKind::Invalid, &within);
    for (one, listed) in by_create.problems().iter().zip(by_list.problems()) {
        assert_eq!(one.message(), listed.message());
    }

    let after = registry.list(ListQuery::new()).unwrap();
    assert_eq!(after.subscriptions(), [there], "a refused call changed something");
    by_create.to_string()
}

/// These keys are accepted by create, update and `create_all`, kept as given, and sound.
#[track_caller]
fn admits(body: &Value) -> Created {
    let registry = contact_center();
    let created = registry.create(whole(body)).unwrap();
    let kept = |subscription: &Value| {
        for (key, value) in body.as_object().unwrap() {
            if !matches!(key.as_str(), "secret" | SETTER) {
                assert_eq!(&subscription[key], value, "{key} was not kept as given");
            }
        }
    };
    kept(&serde_json::to_value(&created).unwrap());

    let registry = contact_center();
    let there = registry.create(new("there")).unwrap().subscription().id();
    let updated = registry.update(there, patch(body)).unwrap();
    kept(&serde_json::to_value(updated).unwrap());

    let registry = contact_center();
    let all = registry.create_all(five(whole(body))).unwrap();
    kept(&serde_json::to_value(&all[2]).unwrap());
    assert_eq!(registry.len().unwrap(), 5);
    let report = registry.check().unwrap();
    assert!(report.is_sound(), "it was let in and is found fault with: {report}");
    created
}

/// Base64 of this many bytes.
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
fn names_that_break_a_rule_are_refused() {
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
        let message = refuses(&json!({"name": name}), &["name"]);
        assert!(message.contains(reason), "{name:?}: {message}");
    }
}

#[test]
fn names_are_counted_in_characters_and_kept_byte_for_byte() {
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
        admits(&json!({"name": name}));
    }
    // Two spellings of one letter are two names, and so are upper and lower case.
    let registry = contact_center();
    for name in ["caf\u{e9}", "cafe\u{301}", "Caf\u{e9}"] {
        registry.create(new(name)).unwrap();
    }
    assert_eq!(registry.len().unwrap(), 3);
}

#[test]
fn urls_that_break_a_rule_are_refused_each_with_its_reason() {
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
        let message = refuses(&json!({"url": url}), &["url"]);
        assert!(message.contains(reason), "{url:?}: {message}");
    }
    // What is no scheme is not repeated as one: it can be anything, a secret too.
    for url in ["http/x", "https?x", ":x", "abcdefghijklmnopq:x", "a_b:x"] {
        let message = refuses(&json!({ "url": url }), &["url"]);
        assert!(message.ends_with(begins), "{url}: {message}");
    }
}

#[test]
fn the_password_of_a_refused_url_is_not_repeated() {
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
        let message = refuses(&json!({"url": url}), &["url"]);
        assert!(!message.contains("hunter2"), "{message}");
    }
}

/// A URL of so many bytes.
fn url_of(bytes: usize) -> String {
    let start = "https://example.com/";
    format!("{start}{}", "a".repeat(bytes - start.len()))
}

#[test]
fn urls_are_kept_as_given() {
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
        admits(&json!({"url": url}));
    }
}

#[test]
fn the_number_of_events_is_judged_as_given() {
    let none: [&str; 0] = [];
    refuses(&json!({"events": none}), &["events"]);
    let many = |count: usize| (0..count).map(|n| format!("e{n}")).collect::<Vec<_>>();
    admits(&json!({"events": many(256), "allow_unknown_events": true}));
    let message = refuses(&json!({"events": many(257), "allow_unknown_events": true}), &["events"]);
    assert!(message.contains("at most 256 events, not 257"), "{message}");
    refuses(&json!({"events": vec!["**"; 257]}), &["events"]);
    refuses(&json!({"events": vec!["agent.*"; 257]}), &["events"]);

    let repeated =
        contact_center().create(whole(&json!({"events": vec!["agent.*"; 256]}))).unwrap();
    assert_eq!(repeated.subscription().events(), ["agent.*"]);
}

#[test]
fn exact_repeats_are_dropped_and_the_order_stays() {
    let given = json!({"events": ["channel.held.v1", "*", "channel.held.v1", "agent.*", "*"]});
    let registry = contact_center();
    let created = registry.create(whole(&given)).unwrap();
    let kept = ["channel.held.v1", "*", "agent.*"];
    assert_eq!(created.subscription().events(), kept);
    let id = registry.create(new("other")).unwrap().subscription().id();
    assert_eq!(registry.update(id, patch(&given)).unwrap().events(), kept);
}

#[test]
fn patterns_that_break_a_rule_are_refused_where_they_stand() {
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
        ("[*]", "no name can"),
        ("[?]", "no name can"),
        ("[]]", "empty"),
        ("[]", "empty"),
        ("[!]", "empty"),
        ("a]", "closes no class"),
        ("[z-a]", "does not rise"),
        ("[a-a]", "does not rise"),
        ("[a-c-e]", "- that is neither first nor last"),
        ("[+-a]", "holds what no name can"),
        ("[a-~]", "- that is neither first nor last"),
        (&long, "at most 256 bytes, not 257"),
    ] {
        // Permission to name unknown events is none to break the syntax.
        for allow in [false, true] {
            let message = refuses(
                &json!({"events": ["agent.*", pattern], "allow_unknown_events": allow}),
                &["events[1]"],
            );
            assert!(message.contains(reason), "{pattern:?}: {message}");
        }
    }
    let longest = "a".repeat(256);
    admits(
        &json!({"events": [longest, "[!a-c-]?:/_-", "[-a]", "*"], "allow_unknown_events": true}),
    );
}

#[test]
fn unknown_events_are_refused_with_the_nearest_name_unless_allowed() {
    for (pattern, reason) in [
        (
            "agent.presencechange.v1",
            r#"no event type "agent.presencechange.v1"; did you mean "agent.presencechanged.v1"?"#,
        ),
        ("Agent.presencechanged.v1", "did you mean \"agent.presencechanged.v1\"?"),
        ("agent.", "no event type"),
        ("agnet.*", "did you mean \"agent.*\"?"),
        ("*.held.v2", "did you mean \"*.held.v1\"?"),
        ("fax.*", "\"fax.*\" covers no event type"),
    ] {
        let events = json!({"events": [pattern, "*"]});
        let message = refuses(&events, &["events[0]"]);
        assert!(message.contains(reason), "{pattern}: {message}");
        admits(&json!({"events": [pattern, "*"], "allow_unknown_events": true}));
    }
    refuses(
        &json!({"events": ["a", "*", "b.*"], "allow_unknown_events": false}),
        &["events[0]", "events[2]"],
    );
}

#[test]
fn an_unknown_event_takes_effect_when_the_catalog_learns_it() {
    let registry = Registry::in_memory().unwrap();
    let body = json!({"events": ["a.b", "c.*"], "allow_unknown_events": true});
    registry.create(whole(&body)).unwrap();
    registry.register_event_types(["a.b", "c.d", "e.f"]).unwrap();
    let count = |name| registry.subscribers(name).unwrap().len();
    assert_eq!((count("a.b"), count("c.d"), count("e.f")), (1, 1, 0));
}

#[test]
fn secrets_are_judged_by_their_bytes_and_not_repeated() {
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
        // One character more than whole groups of four is no byte.
        (secret_of(33) + "A", "standard base64"),
    ] {
        let message = refuses(&json!({"secret": secret}), &["secret"]);
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
        let created = admits(&json!({"secret": secret}));
        assert_eq!(created.secret().expose(), secret);
    }
}

#[test]
fn descriptions_are_counted_in_bytes_and_kept_also_when_empty() {
    for text in ["", " ", "two\nlines", &"d".repeat(4_096), &"é".repeat(2_048)] {
        admits(&json!({"description": text}));
    }
    for text in ["a\u{0}", &"d".repeat(4_097), &("é".repeat(2_048) + "a")] {
        refuses(&json!({"description": text}), &["description"]);
    }
}

#[test]
fn metadata_is_judged_key_by_key() {
    let long = |length: usize| "m".repeat(length);
    for metadata in [
        entries(50),
        json!({long(128): ""}),
        json!({"é".repeat(64): "é".repeat(512)}),
        json!({"k": long(1_024)}),
        json!({" ": " \n"}),
    ] {
        admits(&json!({"metadata": metadata}));
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
        let message = refuses(&json!({"metadata": metadata}), &["metadata"]);
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn every_field_at_fault_is_told_at_once() {
    let body = json!({
        "name": "", "url": "ftp://x", "events": ["**", "*", "nope"], "secret": secret_of(8),
        "description": "\u{0}", "metadata": {"": ""},
    });
    let fields = ["name", "url", "events[0]", "events[2]", "secret", "description", "metadata"];
    refuses(&body, &fields);
}
