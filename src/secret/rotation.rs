//! The replacement of secrets. The current time and the source of random bytes are arguments.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, MapAccess};

use super::expiry::IssuedSecret;
use super::signing_secret::{GENERATED_KEY, SecretText, SigningSecret};
use crate::error::{Error, Problem, Result};
use crate::json::{self, JsonObject, key_names};
use crate::random::{RandomBuffer, RandomSource};
use crate::time::Millis;

const DEFAULT_OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
pub(crate) const MAX_OVERLAP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The most replaced secrets that a subscription can have at once.
pub(crate) const MAX_OLD: usize = 10;

/// The options for replacing a secret with
/// [`Registry::rotate_secret`](crate::Registry::rotate_secret).
///
/// # JSON
///
/// The keys are `secret` and `overlapSeconds` (a whole number). Both are optional, and null equals
/// absent. An unknown key is rejected. [`from_json`](Rotation::from_json) reports every fault, and
/// `Deserialize` only the first.
///
/// ```
/// use std::time::Duration;
/// use webhook_registry::{NewSubscription, Registry, Rotation};
///
/// let registry = Registry::in_memory()?;
/// registry.register_event_type("agent.presencechanged.v1")?;
/// let request = NewSubscription::new("crm", "https://example.com/", ["agent.*"]);
/// let created = registry.create(request)?;
/// let id = created.subscription().id();
///
/// let new = registry.rotate_secret(id, Rotation::new().overlap(Duration::from_secs(3600)))?;
/// let subscribers = registry.subscribers("agent.presencechanged.v1")?;
/// let live: Vec<_> = subscribers[0].secrets().collect();
/// assert_eq!(live, [&new, created.secret()], "for an hour, deliveries are signed with both");
/// # Ok::<(), webhook_registry::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Rotation {
    secret: Option<SecretText>,
    overlap: Duration,
}

impl Rotation {
    /// Creates a rotation to a generated secret. The replaced secret stays valid for 24 hours.
    pub fn new() -> Rotation {
        Rotation { secret: None, overlap: DEFAULT_OVERLAP }
    }

    /// Reads a JSON document and reports every fault of its shape.
    ///
    /// A fault is a wrong type, a missing, unknown or repeated key, a document that is not an
    /// object, or text that is not JSON. The field of a [`Problem`](crate::Problem) is the key, or
    /// `body` for the last two. At most 1,000 problems are listed, and one more counts the rest. No
    /// message repeats a value. The values are validated by
    /// [`rotate_secret`](crate::Registry::rotate_secret), whose problems name the field `overlap`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with a problem for each fault.
    pub fn from_json(document: &[u8]) -> Result<Rotation> {
        json::from_slice(document)
    }

    /// Sets the new secret, which is stored exactly as given. By default one is generated.
    pub fn secret(mut self, text: impl Into<String>) -> Rotation {
        self.secret = Some(SecretText::from(text.into()));
        self
    }

    /// Sets the time for which the replaced secret stays valid: at most 30 days, rounded up to
    /// whole milliseconds. The default is 24 hours.
    ///
    /// Zero removes the replaced secret at once. Secrets that were replaced earlier keep their
    /// expiry.
    pub fn overlap(mut self, overlap: Duration) -> Rotation {
        self.overlap = overlap;
        self
    }

    /// Validates the rotation, and returns the subscription's new list of secrets, newest first.
    /// Expired secrets are left out.
    pub(crate) fn apply_to(
        self,
        secrets: &[IssuedSecret],
        min_key: usize,
        random: &RandomSource,
        now: Millis,
    ) -> Result<Vec<IssuedSecret>> {
        let Rotation { secret, overlap } = self;
        let mut problems = Vec::new();
        let secret =
            secret.map(|text| SigningSecret::read_at_least(text.as_str(), min_key)).transpose();
        let secret = secret.unwrap_or_else(|why| {
            problems.push(Problem::new("secret", why));
            None
        });
        let live = secrets.iter().filter(|secret| secret.is_live(now));
        // The keys are compared, not the texts. With another text of the same key, the replaced
        // secret would still be in use, and revoking it would have no effect.
        if secret
            .as_ref()
            .is_some_and(|secret| live.clone().any(|live| live.secret.has_key_of(secret)))
        {
            problems
                .push(Problem::new("secret", "a secret that is still valid cannot replace itself"));
        }
        if overlap > MAX_OVERLAP {
            problems.push(Problem::new("overlap", "the overlap is at most 30 days"));
        }
        if !problems.is_empty() {
            return Err(Error::invalid(problems));
        }
        let until = now.plus(overlap);
        let replaced = live.clone().map(|secret| match secret.expires_at {
            None => IssuedSecret { expires_at: Some(until), ..secret.clone() },
            Some(_) => secret.clone(),
        });
        let mut after: Vec<IssuedSecret> = replaced.filter(|secret| secret.is_live(now)).collect();
        if after.len() > MAX_OLD {
            // The message names the next expiry of the secrets replaced so far. The one that this
            // rotation would replace does not count.
            return Err(too_many(live.filter_map(|secret| secret.expires_at).min()));
        }
        let secret = secret.map_or_else(
            || SigningSecret::generate_with(&mut RandomBuffer::new(random, GENERATED_KEY)),
            Ok,
        )?;
        after.insert(0, IssuedSecret::current(secret, now));
        Ok(after)
    }
}

impl Default for Rotation {
    fn default() -> Rotation {
        Rotation::new()
    }
}

impl JsonObject for Rotation {
    const KEYS: &'static [&'static str] = key_names::ROTATION;
    const DENY_UNKNOWN_FIELDS: bool = true;

    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        value: json::Value<'_, A>,
    ) -> Result<(), A::Error> {
        match key {
            "secret" => self.secret = value.nullable()?,
            _ => {
                self.overlap = value.nullable()?.map_or(DEFAULT_OVERLAP, Duration::from_secs);
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Rotation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rotation, D::Error> {
        json::read(deserializer)
    }
}

fn too_many(next_expiry: Option<Millis>) -> Error {
    let when = next_expiry.map(|next| format!("; the next one expires at {next}"));
    let when = when.unwrap_or_default();
    let message =
        format!("the subscription has {MAX_OLD} replaced secrets, the most allowed{when}");
    Error::conflict_with_message(message.clone(), Problem::new("secret", message))
}
