//! Rotates a secret while a receiver verifies every signature with an independent library.
//!
//! `cargo run --example rotation --features signing`

use std::error::Error;
use std::thread;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName};
use standardwebhooks::Webhook;
use webhook_registry::{NewSubscription, Registry, Rotation, Signature, SigningSecret, Subscriber};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const EVENT: &str = "agent.presencechanged.v1";
const PAYLOAD: &[u8] = br#"{"agent": 42, "presence": "available"}"#;

fn main() -> Result<()> {
    let registry = Registry::in_memory()?;
    registry.register_event_type(EVENT)?;
    let created =
        registry.create(NewSubscription::new("crm", "https://crm.example/hook", ["agent.*"]))?;
    let id = created.subscription().id();
    let old = created.secret();

    println!("# Before the rotation");
    let signature = sign(&registry.subscribers(EVENT)?)?;
    verify("the old secret", old, &signature, PAYLOAD)?;
    println!("the payload is changed in transit");
    verify("the old secret", old, &signature, br#"{"agent": 42, "presence": "forged"}"#)?;

    println!("\n# After the rotation: both secrets sign for two seconds");
    let overlap = Duration::from_secs(2);
    let new = registry.rotate_secret(id, Rotation::new().overlap(overlap))?;
    let subscribers = registry.subscribers(EVENT)?;
    let signature = sign(&subscribers)?;
    verify("the old secret", old, &signature, PAYLOAD)?;
    verify("the new secret", &new, &signature, PAYLOAD)?;

    println!(
        "\n# Two seconds later: the old secret has expired, also for subscribers fetched earlier"
    );
    thread::sleep(overlap);
    let signature = sign(&subscribers)?;
    verify("the old secret", old, &signature, PAYLOAD)?;
    verify("the new secret", &new, &signature, PAYLOAD)?;

    println!("\n# A rotation without overlap, for a leaked secret");
    let leaked = new;
    let new = registry.rotate_secret(id, Rotation::new().overlap(Duration::ZERO))?;
    let signature = sign(&registry.subscribers(EVENT)?)?;
    verify("the leaked secret", &leaked, &signature, PAYLOAD)?;
    verify("the new secret", &new, &signature, PAYLOAD)
}

/// Signs a delivery to the first subscriber, as the sender.
fn sign(subscribers: &[Subscriber]) -> Result<Signature> {
    let subscriber = subscribers.first().ok_or("there is no subscriber")?;
    let secrets = subscriber.secrets().count();
    println!("{} signs with {secrets} secret(s)", subscriber.name());
    Ok(subscriber.sign("msg_1", SystemTime::now(), PAYLOAD)?)
}

/// Verifies a delivery with the crate `standardwebhooks`, as the receiver.
fn verify(
    which: &str,
    secret: &SigningSecret,
    signature: &Signature,
    payload: &[u8],
) -> Result<()> {
    let mut headers = HeaderMap::new();
    for (name, value) in signature.headers() {
        headers.insert(HeaderName::from_static(name), value.parse()?);
    }
    match Webhook::new(secret.expose())?.verify(payload, &headers) {
        Ok(()) => println!("  a receiver with {which} ({}) accepts it", secret.fingerprint()),
        Err(error) => {
            println!("  a receiver with {which} ({}) rejects it: {error}", secret.fingerprint())
        }
    }
    Ok(())
}
