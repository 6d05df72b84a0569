//! The headers of Standard Webhooks, as specified in
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use super::subscriber::Subscriber;
use crate::error::{Error, Problem, Result};
use crate::secret::SigningSecret;

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// The signature of a delivery, made by [`Subscriber::sign`] or read from the received headers with
/// [`Signature::from_headers`]. Requires the feature `signing`.
#[cfg_attr(docsrs, doc(cfg(feature = "signing")))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    message_id: String,
    timestamp: u64,
    signatures: String,
}

impl Signature {
    /// Returns the three headers to send with the payload: `webhook-id`, `webhook-timestamp` (in
    /// seconds since 1970) and `webhook-signature`.
    pub fn headers(&self) -> [(&'static str, String); 3] {
        let Signature { message_id, timestamp, signatures } = self;
        [
            (ID, message_id.clone()),
            (TIMESTAMP, timestamp.to_string()),
            (SIGNATURE, signatures.clone()),
        ]
    }

    /// Reads the three headers of a delivery. `get` returns the value of a header, and is called
    /// with the names in lower case. Requires the feature `signing`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid), with the header's name as the field, for
    /// every header that is missing or that [`Subscriber::sign`] cannot have written: an id that
    /// is not visible ASCII without `.`, or a timestamp that is not a whole number of seconds.
    ///
    /// # Examples
    ///
    /// The receiver's side, with the headers in a map:
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use std::time::{Duration, SystemTime};
    /// use webhook_registry::{NewSubscription, Registry, Signature};
    ///
    /// let registry = Registry::in_memory()?;
    /// registry.register_event_type("agent.presencechanged.v1")?;
    /// let new = NewSubscription::new("crm", "https://example.com/", ["agent.*"]);
    /// let (_, secret) = registry.create(new)?.into_parts();
    /// let subscriber = &registry.subscribers("agent.presencechanged.v1")?[0];
    /// let sent = subscriber.sign("msg_1", SystemTime::now(), b"{}")?;
    ///
    /// let headers = HashMap::from(sent.headers());
    /// let received = Signature::from_headers(|name| headers.get(name).cloned())?;
    /// received.verify(&secret, b"{}", SystemTime::now(), Duration::from_secs(300))?;
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "signing")))]
    pub fn from_headers(get: impl Fn(&str) -> Option<String>) -> Result<Signature> {
        let mut problems = Vec::new();
        let mut header = |name: &'static str| {
            let value = get(name);
            if value.is_none() {
                problems.push(Problem::new(name, "the header is missing"));
            }
            value
        };
        let (id, timestamp, signatures) = (header(ID), header(TIMESTAMP), header(SIGNATURE));
        if let Some(Err(why)) = id.as_deref().map(check_message_id) {
            problems.push(Problem::new(ID, why));
        }
        let seconds = timestamp.as_deref().map(parse_seconds);
        if seconds == Some(None) {
            let why = "the timestamp has to be a whole number of seconds since 1970";
            problems.push(Problem::new(TIMESTAMP, why));
        }
        let (Some(message_id), Some(Some(timestamp)), Some(signatures), true) =
            (id, seconds, signatures, problems.is_empty())
        else {
            return Err(Error::invalid(problems));
        };
        Ok(Signature { message_id, timestamp, signatures })
    }

    /// Verifies that the payload was signed with this secret, at most `tolerance` before or after
    /// `now`. Standard Webhooks suggests a tolerance of five minutes. Requires the feature
    /// `signing`.
    ///
    /// Every `v1` signature of the header is compared. A delivery that was signed with an old and a
    /// new secret is therefore valid with either. The comparison takes constant time, and no
    /// message contains the expected signature.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `webhook-timestamp` if it is outside
    /// the tolerance, and on `webhook-signature` if no `v1` signature matches.
    #[cfg_attr(docsrs, doc(cfg(feature = "signing")))]
    pub fn verify(
        &self,
        secret: &SigningSecret,
        payload: &[u8],
        now: SystemTime,
        tolerance: Duration,
    ) -> Result<()> {
        let Signature { message_id, timestamp, signatures } = self;
        let mut problems = Vec::new();
        if !is_within(*timestamp, now, tolerance) {
            let why = "the timestamp is further from now than the tolerance";
            problems.push(Problem::new(TIMESTAMP, why));
        }
        let expected = signature(secret, message_id, *timestamp, payload)?;
        // All signatures are compared, so that the time does not reveal which of them matches.
        let matches = signatures.split(' ').fold(Choice::from(0), |matches, given| {
            matches | given.as_bytes().ct_eq(expected.as_bytes())
        });
        if !bool::from(matches) {
            problems
                .push(Problem::new(SIGNATURE, "no v1 signature matches the payload and secret"));
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::invalid(problems)) }
    }
}

fn parse_seconds(text: &str) -> Option<u64> {
    // `parse` accepts a leading plus, which no signer writes.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn is_within(timestamp: u64, now: SystemTime, tolerance: Duration) -> bool {
    let Some(signed_at) = UNIX_EPOCH.checked_add(Duration::from_secs(timestamp)) else {
        return false;
    };
    let ahead = signed_at.duration_since(now).unwrap_or_default();
    let behind = now.duration_since(signed_at).unwrap_or_default();
    ahead.max(behind) <= tolerance
}

/// Validates the id of a message, for the signer and for the receiver.
fn check_message_id(message_id: &str) -> Result<(), &'static str> {
    if message_id.is_empty() {
        Err("a message needs an id")
    } else if !message_id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.') {
        Err("the id of a message can contain only visible ASCII characters other than \".\"")
    } else {
        Ok(())
    }
}

impl Subscriber {
    /// Signs a delivery as [Standard Webhooks](https://www.standardwebhooks.com) 1.0 requires:
    /// HMAC-SHA256 over `id.timestamp.payload`. Requires the feature `signing`.
    ///
    /// The header has one `v1,` signature for each live secret, newest first, separated by spaces.
    /// During an overlap, the delivery is therefore valid for a receiver with the old key and for
    /// one with the new key. `message_id` identifies the event, and stays the same when the
    /// delivery is retried. The timestamp is rounded down to whole seconds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `messageId` if it is empty, or contains
    /// other characters than visible ASCII without `.`, and on `timestamp` for a time before 1970.
    ///
    /// An id with other characters would not arrive unchanged: HTTP strips white space at the ends
    /// of a header, and servers decode non-ASCII characters differently. A `.` separates the signed
    /// parts.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use webhook_registry::{NewSubscription, Registry};
    ///
    /// let registry = Registry::in_memory()?;
    /// registry.register_event_type("agent.presencechanged.v1")?;
    /// registry.create(NewSubscription::new("crm", "https://example.com/", ["agent.*"]))?;
    /// for subscriber in &registry.subscribers("agent.presencechanged.v1")? {
    ///     let id = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W";
    ///     let signature = subscriber.sign(id, SystemTime::now(), b"{}")?;
    ///     for (name, value) in signature.headers() {
    ///         println!("{name}: {value}");
    ///     }
    /// }
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "signing")))]
    pub fn sign(
        &self,
        message_id: &str,
        timestamp: SystemTime,
        payload: &[u8],
    ) -> Result<Signature> {
        let mut problems = Vec::new();
        if let Err(why) = check_message_id(message_id) {
            problems.push(Problem::new("messageId", why));
        }
        let seconds = timestamp
            .duration_since(UNIX_EPOCH)
            .map(|since| since.as_secs())
            .unwrap_or_else(|_| {
                problems.push(Problem::new("timestamp", "the timestamp is before 1970"));
                0
            });
        if !problems.is_empty() {
            return Err(Error::invalid(problems));
        }
        let signatures: Vec<String> = self
            .secrets()
            .map(|secret| signature(secret, message_id, seconds, payload))
            .collect::<Result<_>>()?;
        Ok(Signature {
            message_id: message_id.to_owned(),
            timestamp: seconds,
            signatures: signatures.join(" "),
        })
    }
}

fn signature(
    secret: &SigningSecret,
    message_id: &str,
    timestamp: u64,
    payload: &[u8],
) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.key())
        .map_err(|_| Error::corrupt("a secret's key has a length that HMAC does not accept"))?;
    mac.update(format!("{message_id}.{timestamp}.").as_bytes());
    mac.update(payload);
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}
