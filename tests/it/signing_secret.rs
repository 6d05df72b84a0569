//! Tests parsing, comparing, generating and replacing signing secrets.

use webhook_registry::{ErrorKind, SigningSecret, SubscriptionUpdate};

use crate::redaction::{KEY, SECRET, with_secret};
use crate::support::{SEED_SECRET, contact_center, new, refused};

#[test]
fn a_secret_parses_with_correct_missing_or_surplus_padding() {
    let bare = SECRET.trim_end_matches('=');
    for text in [
        SECRET.to_owned(),
        bare.to_owned(),
        format!("{bare}=="),
        format!("{bare}======"),
        format!("whsec_{bare}"),
        format!("whsec_{SECRET}"),
    ] {
        let secret = SigningSecret::parse(&text).unwrap();
        assert_eq!(secret.key(), KEY.as_bytes());
        assert_eq!(secret.expose(), text);
        let registry = contact_center();
        let created = registry.create(new("n").secret(&*text)).unwrap();
        assert_eq!(created.secret(), &secret);
        let subscribers = registry.subscribers("agent.presencechanged.v1").unwrap();
        assert_eq!(subscribers[0].secrets().next().unwrap().expose(), text);
    }
    // The unused bits of the last character are ignored: `E` and `F` differ only in them.
    let (clean, dirty) = ("QUE", "QUF");
    let key = |text| SigningSecret::parse(text).unwrap().key().to_vec();
    assert_eq!(key(clean), b"AA");
    assert_eq!(key(dirty), b"AA");
}

#[test]
fn a_short_secret_parses_but_is_rejected_by_a_registry() {
    assert_eq!(SigningSecret::parse("QQ==").unwrap().key(), b"A");
    for bad in ["", "=", "whsec_", "A", "Q Q", "QQ-_", "QQ\n", "whsec_whsec_QQ=="] {
        refused(SigningSecret::parse(bad), ErrorKind::Invalid, &["secret"]);
    }
    let registry = contact_center();
    let short = new("n").secret("QQ==");
    refused(registry.create(short), ErrorKind::Invalid, &["secret"]);
}

#[test]
fn secrets_are_compared_by_their_texts() {
    let parse = |text: &str| SigningSecret::parse(text).unwrap();
    assert_eq!(parse(SECRET), parse(SECRET));
    assert_eq!(parse(SECRET), parse(SECRET).clone());
    // The same key in another spelling is another text.
    assert_ne!(parse(SECRET), parse(SECRET.trim_end_matches('=')));
    assert_ne!(parse(SECRET), parse(&format!("whsec_{SECRET}")));
    assert_ne!(parse("QUE="), parse("QUI="));
    assert_ne!(parse("QUE="), parse("QUEx"));
}

#[test]
fn generated_secrets_are_64_bytes_in_padded_base64_and_distinct() {
    let registry = contact_center();
    let mut seen = std::collections::HashSet::new();
    for n in 0..20 {
        let by_hand = SigningSecret::generate().unwrap();
        let created = registry.create(new(&format!("n{n}"))).unwrap();
        for secret in [&by_hand, created.secret()] {
            assert_eq!((secret.key().len(), secret.expose().len()), (64, 88));
            assert!(secret.expose().ends_with("==") && !secret.expose().ends_with("==="));
            assert_eq!(SigningSecret::parse(secret.expose()).unwrap().key(), secret.key());
            assert!(seen.insert(secret.expose().to_owned()));
        }
    }
    assert_eq!(seen.len(), 40);
}

#[test]
fn an_updated_secret_replaces_the_previous_one_at_once() {
    let registry = contact_center();
    let id = registry.create(with_secret()).unwrap().subscription().id();
    let secrets = || {
        let subscribers = registry.subscribers("agent.presencechanged.v1").unwrap();
        let all = subscribers[0].secrets().map(|secret| secret.expose().to_owned());
        all.collect::<Vec<_>>()
    };
    assert_eq!(secrets(), [SECRET]);
    let update = |text: &str| {
        let update = SubscriptionUpdate::new().secret(text);
        registry.update(id, update).unwrap().revision()
    };
    assert_eq!(update(SECRET), 1, "the same secret must not increment the revision");
    assert_eq!(update(SEED_SECRET), 2);
    assert_eq!(secrets(), [SEED_SECRET]);
    assert_eq!(
        update(SEED_SECRET.trim_end_matches('=')),
        3,
        "another text must increment the revision"
    );
    assert_eq!(secrets(), [SEED_SECRET.trim_end_matches('=')]);
}
