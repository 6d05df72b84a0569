//! The headers of [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::Subscriber;
use crate::error::{Error, Problem, Result};
use crate::secret::SigningSecret;

/// What a delivery is signed with: from [`Subscriber::sign`].
#[cfg_attr(docsrs, doc(cfg(feature = "signing")))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    message_id: String,
    timestamp: u64,
    signatures: String,
}

impl Signature {
    /// The three headers to send with the payload: `webhook-id`, `webhook-timestamp` (seconds since 1970) and
    /// `webhook-signature`.
    pub fn headers(&self) -> [(&'static str, String); 3] {
        let Signature { message_id, timestamp, signatures } = self;
        [
            ("webhook-id", message_id.clone()),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", signatures.clone()),
        ]
    }
}

impl Subscriber {
    /// Signs a delivery as [Standard Webhooks](https://www.standardwebhooks.com) 1.0 asks: HMAC-SHA256 over
    /// `id.timestamp.payload`, one `v1,` signature for each live secret, newest first, separated by a space. So during an
    /// overlap a receiver with the old key and one with the new both verify it.
    ///
    /// `message_id` names the event, and stays the same when the delivery is tried again. The timestamp is cut to whole
    /// seconds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `messageId` for one that is empty or holds anything but visible
    /// ASCII without `.`, and on `timestamp` for a time before 1970. White space at an end does not survive an HTTP header,
    /// other characters arrive in as many encodings as there are servers, and a `.` separates the signed parts.
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
    ///     let signature = subscriber.sign("msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", SystemTime::now(), b"{}")?;
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
        if message_id.is_empty() {
            problems.push(Problem::new("messageId", "a message needs an id"));
        } else if !message_id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.') {
            problems.push(Problem::new(
                "messageId",
                "the id of a message holds only visible ASCII characters, and no \".\" or white space",
            ));
        }
        let seconds = timestamp
            .duration_since(UNIX_EPOCH)
            .map(|since| since.as_secs())
            .unwrap_or_else(|_| {
                problems.push(Problem::new("timestamp", "a timestamp is not before 1970"));
                0
            });
        if !problems.is_empty() {
            return Err(Error::invalid(problems));
        }
        let signed_at = seconds.to_string();
        let content = [message_id.as_bytes(), b".", signed_at.as_bytes(), b".", payload];
        let signatures: Vec<String> =
            self.secrets().map(|secret| signature(secret, &content)).collect::<Result<_>>()?;
        Ok(Signature {
            message_id: message_id.to_owned(),
            timestamp: seconds,
            signatures: signatures.join(" "),
        })
    }
}

fn signature(secret: &SigningSecret, content: &[&[u8]]) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.key())
        .map_err(|_| Error::corrupt("a secret whose key is of no length that HMAC takes"))?;
    content.iter().for_each(|part| mac.update(part));
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}
