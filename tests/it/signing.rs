//! Tests that independent implementations verify every signature, and that an expired secret is not
//! used for signing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use standardwebhooks::{Webhook, WebhookError};
use webhook_registry::{
    ErrorKind, Registry, RegistryOptions, Rotation, Signature, SigningSecret, Subscriber,
    SubscriptionId,
};

use crate::support::{Clock, Random, SEED_SECRET, learn, new, refused};

pub(crate) const EVENT: &str = "agent.presencechanged.v1";

pub(crate) fn signer(options: &RegistryOptions, secret: &str) -> Subscriber {
    let registry = options.in_memory().unwrap();
    learn(&registry);
    registry.create(new("crm").secret(secret)).unwrap();
    registry.subscribers(EVENT).unwrap()[0].clone()
}

pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(crate) fn headers(signature: &Signature) -> HeaderMap {
    signature
        .headers()
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

/// Encodes base64 with padding, independently of the crate.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number =
            (0..3).fold(0, |number, at| number << 8 | u32::from(*chunk.get(at).unwrap_or(&0)));
        for at in 0..4 {
            let digit = DIGITS[(number >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn the_test_vector_of_standard_webhooks_holds() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let subscriber = signer(&Registry::options().min_secret_bytes(24), secret);
    let payload = br#"{"test": 2432232314}"#;
    let signature =
        subscriber.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at(1_614_265_330), payload).unwrap();
    let wanted = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    assert_eq!(signature.headers(), wanted.map(|(name, value)| (name, value.to_owned())));
    let again =
        subscriber.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at(1_614_265_330), payload).unwrap();
    assert_eq!((signature.clone(), signature.headers()), (again.clone(), again.headers()));
    assert!(format!("{signature:?}").contains("msg_p5jXN8AQM9LWM0D4loKWxJek"));
}

/// Validates the HMAC that signatures are compared with: RFC 4231, cases 1 to 4, 6 and 7, and the
/// truncated fifth.
#[test]
fn the_reference_hmac_passes_the_vectors_of_rfc_4231() {
    let counted: Vec<u8> = (1..=25).collect();
    let table: [(&[u8], &[u8], &str); 7] = [
        (
            &[0x0b; 20],
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            &[0xaa; 20],
            &[0xdd; 50],
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ),
        (&counted, &[0xcd; 50], "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
        (&[0x0c; 20], b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
        (
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            &[0xaa; 131],
            b"This is a test using a larger than block-size key and a larger than block-size data. \
              The key needs to be hashed before being used by the HMAC algorithm.",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ];
    for (key, data, wanted) in table {
        let wanted = unhex(wanted);
        assert_eq!(hmac_sha256::HMAC::mac(data, key)[..wanted.len()], wanted);
    }
}

#[test]
fn the_signature_covers_id_time_and_payload_with_the_decoded_key_of_any_length() {
    let mut random = Random::new();
    let options = Registry::options().min_secret_bytes(1);
    // Includes lengths around a block of SHA-256, beyond which a key is hashed first.
    for length in [1, 2, 20, 24, 31, 32, 33, 63, 64, 65, 127, 128] {
        let key: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        let subscriber = signer(&options, &base64(&key));
        let payloads: [&[u8]; 5] =
            [b"", b"{}", b"\0\xff not UTF-8 \xc3", &[b'.'; 3], &vec![7; 100_000]];
        for payload in payloads {
            for (id, seconds) in [("m", 0), ("msg_1", 1), ("evt:!~_1/2", 253_402_300_799)] {
                let signature = subscriber.sign(id, at(seconds), payload).unwrap();
                let content = [id.as_bytes(), format!(".{seconds}.").as_bytes(), payload].concat();
                let wanted = format!("v1,{}", base64(&hmac_sha256::HMAC::mac(&content, &key)));
                let [(_, told_id), (_, told_time), (_, told)] = signature.headers();
                assert_eq!((told_id.as_str(), told_time), (id, seconds.to_string()));
                assert_eq!(told, wanted, "a key of {length} bytes");
            }
        }
    }
}

#[test]
fn a_signature_time_is_truncated_to_whole_seconds() {
    let subscriber = signer(&Registry::options(), SEED_SECRET);
    let sign = |time| subscriber.sign("m", time, b"x").unwrap();
    let second = sign(at(1_700_000_000));
    assert_eq!(sign(at(1_700_000_000) + Duration::from_nanos(999_999_999)), second);
    assert_ne!(sign(at(1_700_000_001)), second);
    assert_eq!(sign(UNIX_EPOCH).headers()[1].1, "0");
}

#[test]
fn an_ambiguous_message_id_or_a_time_before_1970_is_rejected() {
    let subscriber = signer(&Registry::options(), SEED_SECRET);
    for id in [
        "",
        ".",
        "a.b",
        "a.",
        ".a",
        "a\n",
        "a\r\nb",
        "\0",
        "\t",
        "\u{7f}",
        "a\u{85}b",
        " msg",
        "msg ",
        " ",
        "a b",
        "é",
        "evt:Ünï",
        "\u{201c}",
        "a\u{a0}",
        "\u{200b}a",
        "\u{ff41}",
    ] {
        let error = refused(subscriber.sign(id, at(5), b"x"), ErrorKind::Invalid, &["messageId"]);
        assert!(error.to_string().starts_with("messageId: "), "{error}");
    }
    for time in [UNIX_EPOCH - Duration::from_nanos(1), UNIX_EPOCH - Duration::from_secs(1 << 40)] {
        refused(subscriber.sign("m", time, b"x"), ErrorKind::Invalid, &["timestamp"]);
        refused(
            subscriber.sign("a.b", time, b"x"),
            ErrorKind::Invalid,
            &["messageId", "timestamp"],
        );
    }
    for id in [
        "a",
        "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
        "01K9V3T0Z2B4C6D8E0F2G4H6J8",
        "a,b",
        "a\"b",
        "!",
        "~",
        "urn:a/b?c=%20",
    ] {
        subscriber.sign(id, at(5), b"x").unwrap();
    }
}

/// Returns a registry with a manual clock, and its one subscription with its first secret
/// `whsec_…`.
pub(crate) fn to_rotate() -> (Registry, Clock, SubscriptionId, SigningSecret) {
    let clock = Clock::at(1_000);
    let registry = clock.options().in_memory().unwrap();
    learn(&registry);
    let created = registry.create(new("crm")).unwrap();
    let (subscription, secret) = created.into_parts();
    (registry, clock, subscription.id(), secret)
}

#[test]
fn an_independent_receiver_verifies_with_both_keys_and_after_the_overlap_with_the_new_one_only() {
    let (registry, clock, id, old) = to_rotate();
    let before = registry.subscribers(EVENT).unwrap()[0].clone();
    let rotation = Rotation::new().overlap(Duration::from_millis(500));
    let new = registry.rotate_secret(id, rotation).unwrap();
    let subscriber = registry.subscribers(EVENT).unwrap()[0].clone();
    // The library checks the age by the system clock, so the time of signing is the system time.
    // The clock of the registry determines the live secrets.
    let (now, payload) = (SystemTime::now(), br#"{"agent": 7}"#);
    let sign = |subscriber: &Subscriber| headers(&subscriber.sign("msg_1", now, payload).unwrap());
    #[track_caller]
    fn verdict(secret: &SigningSecret, headers: &HeaderMap, payload: &[u8]) -> bool {
        let by_text = Webhook::new(secret.expose()).unwrap().verify(payload, headers);
        let by_key = Webhook::from_bytes(secret.key().to_vec()).unwrap().verify(payload, headers);
        assert_eq!(by_text.is_ok(), by_key.is_ok());
        assert!(matches!(by_text, Ok(()) | Err(WebhookError::InvalidSignature)), "{by_text:?}");
        by_text.is_ok()
    }
    let stranger = SigningSecret::generate().unwrap();

    let with_one = sign(&before);
    assert_eq!(
        [&old, &new, &stranger].map(|key| verdict(key, &with_one, payload)),
        [true, false, false]
    );
    for (millis, expected) in [(1_000, [true, true]), (1_499, [true, true]), (1_500, [false, true])]
    {
        clock.set(millis);
        let both = sign(&subscriber);
        assert_eq!([&old, &new].map(|key| verdict(key, &both, payload)), expected, "at {millis}");
        assert!(!verdict(&stranger, &both, payload) && !verdict(&new, &both, b"another"));
    }
    // The signature of the independent library is the same text.
    let seconds = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let theirs =
        Webhook::new(new.expose()).unwrap().sign("msg_1", seconds as i64, payload).unwrap();
    assert_eq!(sign(&subscriber)["webhook-signature"], theirs);
}

#[test]
fn there_is_one_signature_for_each_live_secret_newest_first() {
    let (registry, clock, id, first) = to_rotate();
    let mut secrets = vec![first];
    for _ in 0..10 {
        secrets.insert(0, registry.rotate_secret(id, Rotation::new()).unwrap());
    }
    let subscriber = &registry.subscribers(EVENT).unwrap()[0];
    let signature = |secret: &SigningSecret| {
        Webhook::new(secret.expose()).unwrap().sign("m", 1_700_000_000, b"payload").unwrap()
    };
    let told =
        || subscriber.sign("m", at(1_700_000_000), b"payload").unwrap().headers()[2].1.clone();
    let all: Vec<String> = secrets.iter().map(signature).collect();
    assert_eq!((told(), all.len()), (all.join(" "), 11));
    clock.set(1_000 + 24 * 60 * 60 * 1_000);
    assert_eq!(told(), all[0]);
}

/// HS256 for `jsonwebtoken`, which has no built-in one, with the HMAC that passes the vectors of
/// the RFC.
struct Hs256(Vec<u8>);

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        Ok(hmac_sha256::HMAC::mac(message, &self.0).to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let right = hmac_sha256::HMAC::mac(message, &self.0).as_slice() == signature;
        right.then_some(()).ok_or_else(signature::Error::new)
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, key| Ok(Box::new(Hs256(key.as_bytes().to_vec()))),
    verifier_factory: |_, key| Ok(Box::new(Hs256(key.try_get_as_bytes()?.to_vec()))),
    key_utils: KeyUtils::new_unimplemented(),
};

/// The contact center signs a delivery with a JWT in a header: HS256 with the decoded bytes of the
/// secret.
#[test]
fn a_receiver_verifies_a_jwt_signed_with_the_decoded_key() {
    PROVIDER.install_default().expect("no other test installs a provider");
    // The example token of jwt.io, whose key is `your-256-bit-secret`.
    let example = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.\
                   eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.\
                   SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
    let mut validation = Validation::new(Algorithm::HS256);
    validation.required_spec_claims.clear();
    let read = |token: &str, key: &DecodingKey| {
        jsonwebtoken::decode::<serde_json::Value>(token, key, &validation).map(|token| token.claims)
    };
    assert!(read(example, &DecodingKey::from_secret(b"your-256-bit-secret")).is_ok());
    assert!(read(example, &DecodingKey::from_secret(b"another")).is_err());

    let (registry, clock, id, old) = to_rotate();
    let new = registry.rotate_secret(id, Rotation::new()).unwrap();
    let subscriber = registry.subscribers(EVENT).unwrap()[0].clone();
    let claims = serde_json::json!({"iss": "contact-center", "payload": {"agent": 7}});
    let token = |secret: &SigningSecret| {
        jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            &claims,
            &EncodingKey::from_secret(secret.key()),
        )
        .unwrap()
    };
    // The receiver has only the text of the secret, and does not use this library.
    let receiver =
        |secret: &SigningSecret| DecodingKey::from_base64_secret(secret.expose()).unwrap();
    let tokens: Vec<String> = subscriber.secrets().map(token).collect();
    assert_eq!(tokens.len(), 2);
    assert_eq!(read(&tokens[0], &receiver(&new)).unwrap(), claims);
    assert_eq!(read(&tokens[1], &receiver(&old)).unwrap(), claims);
    assert!(
        read(&tokens[0], &receiver(&old)).is_err() && read(&tokens[1], &receiver(&new)).is_err()
    );
    // Vice versa, the key verifies a token of the receiver.
    let theirs = EncodingKey::from_base64_secret(new.expose()).unwrap();
    let theirs = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &theirs).unwrap();
    assert_eq!(theirs, tokens[0]);
    clock.set(1_000 + 24 * 60 * 60 * 1_000);
    assert_eq!(subscriber.secrets().map(token).collect::<Vec<_>>(), tokens[..1]);
}
