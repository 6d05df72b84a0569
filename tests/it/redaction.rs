//! Tests that secrets appear only where a caller asks for them: in the JSON of `Created`, in the
//! JSON of an `Export`, and through `SigningSecret::expose` and `key`. No `Debug` output, no error
//! message and no other JSON contains one. One wrong derive would put keys into a log file, and
//! nothing else would fail.

use std::fmt::Debug;
use std::time::Duration;

use webhook_registry::{
    Catalog, Created, Durability, Error, ErrorKind, EventPattern, EventType, Explanation,
    ExplanationEntry, IssuedSecret, ListQuery, NewSubscription, Page, Problem, Registry,
    RegistryOptions, Rotation, SigningSecret, Subscriber, Subscribers, Subscription,
    SubscriptionId, SubscriptionUpdate,
};

use crate::support::{SEED_SECRET, causes, contact_center, new, refused};

/// Base64 of `TheKeyThatNobodyMayReadInAnyOutput!`, so that the decoded bytes can be searched for
/// as text.
pub(crate) const SECRET: &str = "VGhlS2V5VGhhdE5vYm9keU1heVJlYWRJbkFueU91dHB1dCE=";
pub(crate) const KEY: &str = "TheKeyThatNobodyMayReadInAnyOutput!";

/// Asserts that the text contains neither the secret nor its key, not even as bytes, hexadecimal or
/// in part.
#[track_caller]
fn assert_clean(what: &str, text: &str) {
    let lower = text.to_lowercase();
    let (head, tail) = (&KEY.as_bytes()[..6], &KEY.as_bytes()[KEY.len() - 6..]);
    for part in [head, tail] {
        let list = part.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        let lines = part.iter().map(u8::to_string).collect::<Vec<_>>().join(",\n");
        let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
        let plain = std::str::from_utf8(part).unwrap().to_lowercase();
        for form in [list, lines, hex, plain] {
            assert!(!lower.replace("    ", "").contains(&form), "{what} shows the key: {text}");
        }
    }
    for part in [&SECRET[..8], &SECRET[SECRET.len() - 8..]] {
        assert!(!text.contains(part), "{what} shows the secret: {text}");
    }
}

#[track_caller]
fn assert_debug_clean(what: &str, value: &impl Debug) {
    assert!(!format!("{value:?}").is_empty(), "{what} is empty");
    assert_clean(what, &format!("{value:?}"));
    assert_clean(what, &format!("{value:#?}"));
}

pub(crate) fn with_secret() -> NewSubscription {
    new("crm").secret(SECRET)
}

#[test]
fn the_leak_search_detects_every_form_of_a_secret() {
    for leak in [
        SECRET.to_owned(),
        KEY.to_owned(),
        format!("{:?}", KEY.as_bytes()),
        format!("{:#?}", KEY.as_bytes()),
        SECRET[..10].to_owned(),
    ] {
        assert!(std::panic::catch_unwind(|| assert_clean("a leak", &leak)).is_err(), "{leak}");
    }
    assert_eq!(SigningSecret::parse(SECRET).unwrap().key(), KEY.as_bytes());
}

#[test]
fn debug_never_prints_a_secret() {
    let registry = contact_center();
    assert_debug_clean("NewSubscription", &with_secret());
    let update = SubscriptionUpdate::new().secret(SECRET);
    assert_debug_clean("SubscriptionUpdate", &update);
    for shown in [format!("{:?}", with_secret()), format!("{update:?}")] {
        assert!(
            shown.contains("secret: Some(SecretText(redacted))"),
            "that there is one shows: {shown}"
        );
    }
    assert_debug_clean("SigningSecret", &SigningSecret::parse(SECRET).unwrap());

    let created: Created = registry.create(with_secret()).unwrap();
    assert_debug_clean("Created", &created);
    let all: Vec<Created> = registry.create_all([new("other").secret(SECRET)]).unwrap();
    assert_debug_clean("Vec<Created>", &all);
    let subscription: &Subscription = created.subscription();
    assert_debug_clean("Subscription", subscription);
    assert_debug_clean("SubscriptionId", &subscription.id());
    let page: Page = registry.list(ListQuery::new()).unwrap();
    assert_debug_clean("Page", &page);
    assert_debug_clean("NewSubscription of one that exists", &NewSubscription::from(subscription));

    let subscribers: Subscribers = registry.subscribers("agent.presencechanged.v1").unwrap();
    assert_eq!(subscribers[0].secrets().next().unwrap().expose(), SECRET);
    assert_debug_clean("Subscribers", &subscribers);
    let subscriber: Subscriber = subscribers[0].clone();
    assert_debug_clean("Subscriber", &subscriber);
    assert_eq!((subscriber.name(), subscriber.url()), ("crm", "https://example.com/hook"));
    let fingerprint = created.secret().fingerprint();
    for shown in [&subscriber.id().to_string(), subscriber.name(), subscriber.url(), &fingerprint] {
        assert!(
            format!("{subscriber:?} {subscribers:?}").matches(shown).count() >= 2,
            "{subscriber:?}"
        );
    }
    assert_debug_clean("its secrets", &subscriber.secrets().collect::<Vec<_>>());
    let explanation: Explanation = registry.explain("agent.presencechanged.v1").unwrap();
    assert_debug_clean("Explanation", &explanation);
    assert_clean("Explanation", &explanation.to_string());
    let entry: &ExplanationEntry = &explanation.entries()[0];
    assert_debug_clean("ExplanationEntry", entry);

    let options: RegistryOptions = Registry::options();
    assert_debug_clean("RegistryOptions", &options);
    assert_debug_clean("Registry", &registry);
    assert_debug_clean("Durability", &Durability::Full);
    assert_debug_clean("ListQuery", &ListQuery::new());
    let pattern: EventPattern = "agent.*".parse().unwrap();
    assert_debug_clean("EventPattern", &pattern);
    let event_type = registry.event_type("agent.presencechanged.v1").unwrap().unwrap();
    assert_debug_clean("EventType", &event_type);
    let event_types: Vec<EventType> = registry.event_types().unwrap();
    assert_debug_clean("Catalog", &Catalog::from(event_types));
    let id: SubscriptionId = entry.subscription_id();
    assert_eq!(Some(id), page.subscriptions().first().map(Subscription::id));
}

#[test]
fn debug_never_prints_the_password_of_a_url() {
    for (url, shown) in [
        ("https://user:hunter2@example.com/a?b=c", "https://redacted@example.com/a?b=c"),
        ("HTTPS://hunter2@example.com/", "HTTPS://redacted@example.com/"),
        ("https://user:hunter2/hunter2@example.com/", "https://redacted@example.com/"),
        ("https://user:hunter2@hunter2@example.com/", "https://redacted@example.com/"),
        ("https://user:hunter2%40example.com/", "https://redacted@example.com/"),
        ("https://user:hunter2＠example.com/", "https://redacted@example.com/"),
        ("https:user:hunter2@example.com/", "redacted@example.com/"),
        ("https:\\\\user:hunter2@example.com/", "redacted@example.com/"),
        ("user:hunter2@example.com", "redacted@example.com"),
        ("ftp://user:hunter2@example.com/", "redacted@example.com/"),
        ("https://user:hunter2@", "https://redacted@"),
        ("https://a:hunter2@b/c@d#e", "https://redacted@d#e"),
        // A URL without a possible password is not redacted.
        ("https://example.com/@me?mail=a%40b.com", "https://example.com/@me?mail=a%40b.com"),
        ("ftp://example.com/", "ftp://example.com/"),
    ] {
        let new = NewSubscription::new("crm", url, ["agent.*"]);
        let update = SubscriptionUpdate::new().url(url);
        let expected = format!("url: {shown:?}");
        assert!(format!("{new:?}").contains(&expected), "{new:?}");
        assert!(format!("{update:?}").contains(&format!("url: Some({shown:?})")), "{update:?}");
        for text in [format!("{new:?} {update:?}"), format!("{new:#?} {update:#?}")] {
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}

#[test]
fn debug_of_a_file_registry_contains_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().join("registry.db")).unwrap();
    registry.create(with_secret().allow_unknown_events(true)).unwrap();
    assert!(format!("{registry:?}").contains("registry.db"));
    assert_debug_clean("Registry", &registry);
}

#[test]
fn debug_shows_rotated_secrets_by_fingerprint_only() {
    let registry = contact_center();
    let id = registry.create(with_secret()).unwrap().subscription().id();
    assert_debug_clean("Rotation", &Rotation::new().secret(SECRET));
    for same in [SECRET, SECRET.trim_end_matches('='), &format!("whsec_{SECRET}")] {
        let error = registry.rotate_secret(id, Rotation::new().secret(same)).unwrap_err();
        assert_error_clean(&refused::<()>(Err(error), ErrorKind::Invalid, &["secret"]));
    }
    let faulty = Rotation::new().secret(format!("{SECRET}*")).overlap(Duration::MAX);
    let error = registry.rotate_secret(id, faulty).unwrap_err();
    assert_error_clean(&refused::<()>(Err(error), ErrorKind::Invalid, &["secret", "overlap"]));

    registry.rotate_secret(id, Rotation::new()).unwrap();
    registry.rotate_secret(id, Rotation::new().secret(SEED_SECRET)).unwrap();
    let issued: Vec<IssuedSecret> = registry.secrets(id).unwrap();
    assert_debug_clean("Vec<IssuedSecret>", &issued);
    let shown = format!("{issued:?}");
    for secret in &issued {
        assert!(shown.contains(&secret.secret().fingerprint()), "{shown}");
    }
    let subscribers = registry.subscribers("agent.presencechanged.v1").unwrap();
    assert_eq!(subscribers[0].secrets().count(), 3);
    assert_debug_clean("Subscribers", &subscribers);
    for part in SEED_SECRET.as_bytes().chunks(8) {
        let part = std::str::from_utf8(part).unwrap();
        assert!(
            !format!("{issued:#?} {subscribers:#?}").contains(part) || part.len() < 8,
            "{part}"
        );
    }
    let page = serde_json::to_string(&registry.list(ListQuery::new()).unwrap()).unwrap();
    assert_clean("JSON", &page);
    assert!(!page.contains("secret") && !page.contains("fingerprint"), "{page}");
}

#[test]
fn a_fingerprint_depends_only_on_the_key() {
    // The fingerprint is fixed: people compare them between versions of this library.
    // printf 'webhook-registry fingerprint\0KEY' | sha256sum | cut -c 1-8
    let table = [
        ("QQ==", "2f7c5cac"),
        (SECRET, "dad996be"),
        (SEED_SECRET, "6763fd99"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "857cb158"),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "c3c158ae"),
        (
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBka\
             GxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==",
            "3422b9b3",
        ),
    ];
    for (text, fingerprint) in table {
        let bare = text.trim_start_matches("whsec_").trim_end_matches('=');
        for spelling in [text, bare, &format!("whsec_{bare}"), &format!("{bare}===")] {
            let secret = SigningSecret::parse(spelling).unwrap();
            assert_eq!(secret.fingerprint(), fingerprint, "{spelling}");
            assert_eq!(secret.clone().fingerprint(), fingerprint);
            assert_eq!(format!("{secret:?}"), format!("SigningSecret(fingerprint {fingerprint})"));
        }
    }
    let mut seen = std::collections::HashSet::new();
    for _ in 0..100 {
        let fingerprint = SigningSecret::generate().unwrap().fingerprint();
        assert!(
            fingerprint.len() == 8 && fingerprint.bytes().all(|byte| byte.is_ascii_alphanumeric())
        );
        seen.insert(fingerprint);
    }
    // Two of 100 are equal by chance once in a million runs.
    assert_eq!(seen.len(), 100);
}

#[test]
fn the_json_of_a_subscription_contains_a_secret_only_when_created() {
    let registry = contact_center();
    let created = registry.create(with_secret()).unwrap();
    let id = created.subscription().id();
    let text = serde_json::to_string(&created).unwrap();
    assert_eq!(text.matches(SECRET).count(), 1);

    let json = |value: &dyn Fn() -> String| assert_clean("JSON", &value());
    let page = registry.list(ListQuery::new()).unwrap();
    json(&|| serde_json::to_string(&page).unwrap());
    json(&|| serde_json::to_string(&registry.get(id).unwrap().unwrap()).unwrap());
    json(&|| serde_json::to_string(&registry.get_by_name("crm").unwrap().unwrap()).unwrap());
    let rotated = registry.update(id, SubscriptionUpdate::new().secret(SEED_SECRET)).unwrap();
    assert_eq!(rotated.revision(), 2);
    let text = serde_json::to_string(&rotated).unwrap();
    assert!(!text.contains("secret") && !text.contains(&SEED_SECRET[..8]), "{text}");
    let (subscription, secret) = created.into_parts();
    assert_eq!(secret.expose(), SECRET);
    json(&|| serde_json::to_string(&subscription).unwrap());
}

/// Asserts that the message, `Debug`, problems and causes of an error contain no secret.
#[track_caller]
fn assert_error_clean(error: &Error) {
    assert_clean("the message", &error.to_string());
    assert_debug_clean("the error", error);
    for problem in error.problems() {
        let problem: &Problem = problem;
        assert_clean("a problem", &problem.to_string());
        assert_debug_clean("a problem", problem);
        assert_clean("a problem's JSON", &serde_json::to_string(problem).unwrap());
    }
    for cause in causes(error) {
        assert_clean("a cause", &format!("{cause} {cause:?}"));
    }
}

#[test]
fn no_error_repeats_the_secret_of_its_input() {
    let registry = contact_center();
    let id = registry.create(with_secret()).unwrap().subscription().id();
    let other = registry.create(new("other")).unwrap().subscription().id();
    let update = || SubscriptionUpdate::new().secret(SECRET);
    let nobody: SubscriptionId = "01K9V3T0Z2B4C6D8E0F2G4H6J8".parse().unwrap();

    assert_error_clean(&refused(registry.create(with_secret()), ErrorKind::Conflict, &["name"]));
    assert_error_clean(&registry.create_all([with_secret(), with_secret()]).unwrap_err());
    let faulty = NewSubscription::new("", "ftp://x", ["**"]).secret(SECRET);
    assert_error_clean(&registry.create(faulty).unwrap_err());
    assert_error_clean(&registry.update(id, update().if_revision(5)).unwrap_err());
    assert_error_clean(&registry.update(nobody, update()).unwrap_err());
    assert_error_clean(&registry.update(other, update().name("crm")).unwrap_err());
    assert_error_clean(&registry.update(other, update().url("ftp://x")).unwrap_err());
    // An invalid secret: too long, too short, and not base64 in one character.
    for bad in [
        SECRET.trim_end_matches('=').repeat(5),
        format!("{SECRET}*"),
        format!("{SECRET}\n"),
        format!(" {SECRET}"),
        format!("{SECRET}{SECRET}"),
        SECRET[..24].to_owned(),
        format!("{SECRET}{}", "=".repeat(256)),
    ] {
        assert_error_clean(&refused(
            registry.create(new("n").secret(&*bad)),
            ErrorKind::Invalid,
            &["secret"],
        ));
        let updated = registry.update(other, SubscriptionUpdate::new().secret(&*bad));
        assert_error_clean(&refused(updated, ErrorKind::Invalid, &["secret"]));
        if let Err(error) = SigningSecret::parse(&bad) {
            assert_error_clean(&refused::<()>(Err(error), ErrorKind::Invalid, &["secret"]));
        }
    }
}
