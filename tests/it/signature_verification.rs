//! Tests verifying received signatures: those of independent senders, during a rotation, with old
//! timestamps, and with malformed headers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use standardwebhooks::Webhook;
use webhook_registry::{ErrorKind, Registry, Rotation, Signature, SigningSecret};

use crate::signing::{EVENT, at, base64, headers, signer, to_rotate};
use crate::support::{SEED_SECRET, refused};

const TOLERANCE: Duration = Duration::from_secs(300);

fn received(headers: &HeaderMap) -> webhook_registry::Result<Signature> {
    Signature::from_headers(|name| Some(headers.get(name)?.to_str().unwrap().to_owned()))
}

#[test]
fn signatures_of_an_independent_sender_verify_and_vice_versa() {
    for bytes in [24_u8, 32, 64] {
        let text = base64(&(0..bytes).collect::<Vec<u8>>());
        let secret = SigningSecret::parse(&text).unwrap();
        let peer = Webhook::new(&text).unwrap();
        let now = SystemTime::now();
        let seconds = now.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let theirs = peer.sign("msg_1", seconds.try_into().unwrap(), b"{}").unwrap();
        let get = |name: &str| match name {
            "webhook-id" => Some("msg_1".to_owned()),
            "webhook-timestamp" => Some(seconds.to_string()),
            "webhook-signature" => Some(theirs.clone()),
            other => panic!("{other} is not a header of Standard Webhooks"),
        };
        let signature = Signature::from_headers(get).unwrap();
        signature.verify(&secret, b"{}", now, TOLERANCE).unwrap();
        let options = Registry::options().min_secret_bytes(24);
        let ours = signer(&options, &text).sign("msg_1", now, b"{}").unwrap();
        peer.verify(b"{}", &headers(&ours)).unwrap();
        assert_eq!(received(&headers(&ours)).unwrap(), signature);
    }
}

#[test]
fn after_a_rotation_the_old_and_the_new_key_verify_and_no_other() {
    let (registry, _hands, id, old) = to_rotate();
    let new = registry.rotate_secret(id, Rotation::new()).unwrap();
    let now = at(1);
    let signature = registry.subscribers(EVENT).unwrap()[0].sign("msg_1", now, b"{}").unwrap();
    let signature = received(&headers(&signature)).unwrap();
    for secret in [&old, &new] {
        signature.verify(secret, b"{}", now, TOLERANCE).unwrap();
        let error = refused(
            signature.verify(secret, b"[]", now, TOLERANCE),
            ErrorKind::Invalid,
            &["webhook-signature"],
        );
        assert!(!error.to_string().contains("v1,"), "{error}");
    }
    let other = SigningSecret::generate().unwrap();
    let result = signature.verify(&other, b"{}", now, TOLERANCE);
    refused(result, ErrorKind::Invalid, &["webhook-signature"]);
}

#[test]
fn a_timestamp_is_accepted_within_the_tolerance_on_both_sides_of_now() {
    let secret = SigningSecret::parse(SEED_SECRET).unwrap();
    let subscriber = signer(&Registry::options(), SEED_SECRET);
    let signature = subscriber.sign("msg_1", at(10_000), b"{}").unwrap();
    for (now, fits) in
        [(9_699, false), (9_700, true), (10_000, true), (10_300, true), (10_301, false), (0, false)]
    {
        let result = signature.verify(&secret, b"{}", at(now), TOLERANCE);
        assert_eq!(result.is_ok(), fits, "at {now}");
        if !fits {
            refused(result, ErrorKind::Invalid, &["webhook-timestamp"]);
        }
    }
    let both = signature.verify(&secret, b"[]", at(0), TOLERANCE);
    refused(both, ErrorKind::Invalid, &["webhook-timestamp", "webhook-signature"]);
    let latest = Signature::from_headers(|name| match name {
        "webhook-timestamp" => Some(u64::MAX.to_string()),
        _ => Some("msg".to_owned()),
    });
    let result = latest.unwrap().verify(&secret, b"{}", at(0), Duration::MAX);
    refused(result, ErrorKind::Invalid, &["webhook-timestamp", "webhook-signature"]);
}

#[test]
fn malformed_signature_headers_are_rejected_by_name() {
    let good = [("webhook-id", "msg_1"), ("webhook-timestamp", "1"), ("webhook-signature", "v1,x")];
    let with = |name: &'static str, value: Option<&'static str>| {
        Signature::from_headers(move |asked| {
            let (_, usual) = good.iter().find(|(name, _)| *name == asked)?;
            if asked == name { value.map(str::to_owned) } else { Some((*usual).to_owned()) }
        })
    };
    for (name, values) in [
        ("webhook-id", &[None, Some(""), Some("a.b"), Some("a b"), Some("é")][..]),
        ("webhook-timestamp", &[None, Some(""), Some("-1"), Some("+1"), Some("1.5"), Some("now")]),
        ("webhook-timestamp", &[Some("18446744073709551616"), Some(" 1")]),
        ("webhook-signature", &[None]),
    ] {
        for value in values {
            refused(with(name, *value), ErrorKind::Invalid, &[name]);
        }
    }
    refused(
        Signature::from_headers(|_| None),
        ErrorKind::Invalid,
        &["webhook-id", "webhook-timestamp", "webhook-signature"],
    );
    // A header with only other versions has no signature that this crate supports.
    let secret = SigningSecret::parse(SEED_SECRET).unwrap();
    for header in ["", "v1a,x v2,y", "v1,"] {
        let signature = with("webhook-signature", Some(header)).unwrap();
        let result = signature.verify(&secret, b"{}", at(1), TOLERANCE);
        refused(result, ErrorKind::Invalid, &["webhook-signature"]);
    }
}
