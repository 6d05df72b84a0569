//! Tests that secrets are compared by their key and not by their text, of which one key has many. A
//! registry that compared texts would rotate to the key that it already has: two equal signatures,
//! and the old key would survive its revocation.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use webhook_registry::{
    Ensured, ErrorKind, NewSubscription, Prune, Registry, Rotation, SigningSecret, SubscriptionId,
    SubscriptionUpdate,
};

use crate::support::{Clock, learn, new, refused, time};

const START: u64 = 1_800_000_000_000;

/// A registry at `START` with one subscription, whose secret is `first`.
struct Case {
    registry: Registry,
    id: SubscriptionId,
    first: String,
}

impl Case {
    fn new(clock: &Clock) -> Case {
        let registry = clock.options().in_memory().unwrap();
        learn(&registry);
        let created = registry.create(new("crm")).unwrap();
        let (id, first) = (created.subscription().id(), created.secret().expose().to_owned());
        Case { registry, id, first }
    }

    fn rotate_to(&self, secret: &str) -> webhook_registry::Result<SigningSecret> {
        self.registry.rotate_secret(self.id, Rotation::new().secret(secret))
    }

    /// Returns the texts of the live secrets, newest first.
    fn live(&self) -> Vec<String> {
        let issued = self.registry.secrets(self.id).unwrap();
        issued.iter().map(|issued| issued.secret().expose().to_owned()).collect()
    }
}

/// Returns base64 of 64 bytes that consists of this digit.
fn secret_of_digit(digit: char) -> String {
    digit.to_string().repeat(86)
}

/// Returns other spellings of the same key: without, with correct and with surplus padding, with
/// the prefix, and with other unused bits in the last character.
fn spellings(text: &str) -> Vec<String> {
    let bare = text.trim_end_matches('=');
    let (start, last) = bare.split_at(bare.len() - 1);
    // 64 bytes leave four bits of the last character unused: `A` to `P` are equal, `Q` to `f` the
    // next, and so on.
    let other_bits = match last {
        "A" => "B",
        "Q" => "R",
        "g" => "h",
        "w" => "x",
        _ => "Q",
    };
    [
        format!("{start}{other_bits}"),
        bare.to_owned(),
        format!("{bare}=="),
        format!("{bare}==="),
        format!("whsec_{bare}"),
        format!("whsec_{bare}="),
    ]
    .into_iter()
    .filter(|spelling| spelling != text)
    .collect()
}

#[test]
fn a_live_key_is_rejected_as_a_new_one_in_any_spelling() {
    let clock = Clock::at(START);
    let case = Case::new(&clock);
    let first = case.first.clone();
    case.rotate_to(&secret_of_digit('b')).unwrap();
    for live in [secret_of_digit('b'), first.clone()] {
        let spellings = spellings(&live);
        assert!(spellings.len() >= 5);
        for spelling in spellings {
            let error = refused(case.rotate_to(&spelling), ErrorKind::Invalid, &["secret"]);
            assert_eq!(
                error.to_string(),
                "secret: a secret that is still valid cannot replace itself"
            );
        }
    }
    assert_eq!(case.live(), [secret_of_digit('b'), first]);
}

/// HMAC-SHA-256 fills a key up with zeros to 64 bytes, and takes the digest of a longer one.
#[test]
fn a_live_key_cannot_be_rotated_to_with_zeros_at_its_end_or_as_its_digest() {
    let clock = Clock::at(START);
    let case = Case::new(&clock);
    let encode = |key: &[u8]| STANDARD.encode(key);
    let (short, long) = ([7; 40], [8; 100]);
    for (live, alike) in [
        (&short[..], [&short[..], &[0]].concat()),
        (&short, [&short[..], &[0; 24]].concat()),
        (&long, Sha256::digest(long).to_vec()),
        (&long, [&Sha256::digest(long)[..], &[0; 3]].concat()),
    ] {
        case.registry.update(case.id, SubscriptionUpdate::new().secret(encode(live))).unwrap();
        refused(case.rotate_to(&encode(&alike)), ErrorKind::Invalid, &["secret"]);
        assert_eq!(case.live(), [encode(live)]);
    }
    // Zeros count where they make the key longer than a block, and anywhere but at the end.
    case.rotate_to(&encode(&[&short[..], &[0; 25]].concat())).unwrap();
    case.rotate_to(&encode(&[&[0], &long[..]].concat())).unwrap();
}

#[test]
fn an_update_to_another_spelling_of_the_current_key_keeps_it_and_drops_older_ones() {
    let clock = Clock::at(START);
    let case = Case::new(&clock);
    case.rotate_to(&secret_of_digit('b')).unwrap();
    clock.set(START + 1_000);
    for spelling in spellings(&secret_of_digit('b')) {
        let before = case.registry.get(case.id).unwrap().unwrap().revision();
        let update = || SubscriptionUpdate::new().secret(&*spelling);
        assert_eq!(case.registry.update(case.id, update()).unwrap().revision(), before + 1);
        assert_eq!(case.registry.update(case.id, update()).unwrap().revision(), before + 1);
        let issued = case.registry.secrets(case.id).unwrap();
        assert_eq!(case.live(), [spelling]);
        assert_eq!(
            (issued.len(), issued[0].created_at()),
            (1, time(START)),
            "the key is as old as it was"
        );
    }
}

#[test]
fn the_current_key_in_another_spelling_is_not_validated_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let short = "c".repeat(32);
    let lenient = Registry::options().min_secret_bytes(24).open(&path).unwrap();
    learn(&lenient);
    let declared = new("crm");
    let id = lenient.create(declared.clone().secret(&short)).unwrap().subscription().id();
    let strict = Registry::open(&path).unwrap();
    let other = format!("whsec_{short}=");
    assert!(matches!(strict.ensure(declared.secret(&other)).unwrap(), Ensured::Unchanged(_)));
    strict.update(id, SubscriptionUpdate::new().secret(&other)).unwrap();
    assert_eq!(strict.secret(id).unwrap().expose(), other);
    refused(
        strict.update(id, SubscriptionUpdate::new().secret("d".repeat(32))),
        ErrorKind::Invalid,
        &["secret"],
    );
}

#[test]
fn declaring_another_spelling_of_the_newest_key_changes_nothing() {
    let clock = Clock::at(START);
    let case = Case::new(&clock);
    case.rotate_to(&secret_of_digit('b')).unwrap();
    let found = case.registry.get(case.id).unwrap().unwrap();
    let (live, last) = (case.live(), case.registry.last_change().unwrap());
    for spelling in spellings(&secret_of_digit('b')) {
        let declared = NewSubscription::from(&found).secret(&*spelling);
        let plan = case.registry.plan([declared.clone()], Prune::Keep).unwrap();
        assert!(plan.is_empty(), "{plan}");
        assert!(matches!(case.registry.ensure(declared).unwrap(), Ensured::Unchanged(_)));
    }
    assert_eq!((case.live(), case.registry.last_change().unwrap()), (live, last));
    // A replaced secret that is still live is not the newest key.
    let declared = NewSubscription::from(&found).secret(&*case.first);
    assert_eq!(
        case.registry.plan([declared.clone()], Prune::Keep).unwrap().steps()[0].fields(),
        ["secret"]
    );
    assert!(matches!(case.registry.ensure(declared).unwrap(), Ensured::Updated(_)));
    assert_eq!(case.live(), std::slice::from_ref(&case.first));
}

#[test]
fn a_document_with_one_key_in_two_spellings_is_not_imported() {
    let clock = Clock::at(START);
    let case = Case::new(&clock);
    case.rotate_to(&secret_of_digit('b')).unwrap();
    let document = serde_json::to_value(case.registry.export().unwrap()).unwrap();
    for spelling in spellings(&secret_of_digit('b')) {
        let mut document = document.clone();
        document["subscriptions"][0]["secrets"][1]["secret"] = spelling.into();
        let export = serde_json::from_value(document).unwrap();
        let imported = clock.options().in_memory().unwrap().import(export);
        let error = refused(imported, ErrorKind::Invalid, &["subscriptions[0].secrets[1].secret"]);
        assert!(error.to_string().ends_with("stands among the secrets already"), "{error}");
    }
}
