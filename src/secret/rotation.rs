//! A secret's life: from the call that made it current to its expiry. Pure functions of "now".

use std::time::{Duration, SystemTime};

use serde::de::{Deserialize, Deserializer, MapAccess};

use super::{GENERATED_KEY, SecretText, SigningSecret};
use crate::error::{Error, Problem, Result};
use crate::json::{self, JsonObject, JsonType, Key};
use crate::random::{RandomBuffer, RandomSource};
use crate::time::Millis;

const DEFAULT_OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_OVERLAP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How many replaced secrets live at once.
pub(crate) const MAX_OLD: usize = 10;

/// How to replace a secret: with [`Registry::rotate_secret`](crate::Registry::rotate_secret).
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
/// let created = registry.create(NewSubscription::new("crm", "https://example.com/", ["agent.*"]))?;
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
    /// A secret that will be generated; the one before lives for another 24 hours.
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

    /// The new secret, kept exactly as given. Default: one is generated.
    pub fn secret(mut self, text: impl Into<String>) -> Rotation {
        self.secret = Some(SecretText::from(text.into()));
        self
    }

    /// How long the secret before stays valid: at most 30 days, in milliseconds (a part of one counts as one). Zero
    /// drops it at once, and leaves earlier ones to their time. Default: 24 hours.
    pub fn overlap(mut self, overlap: Duration) -> Rotation {
        self.overlap = overlap;
        self
    }

    /// What becomes of the secrets of a subscription, newest first. Those that have expired are left out.
    pub(crate) fn check(
        self,
        secrets: &[IssuedSecret],
        least_key: usize,
        entropy: &RandomSource,
        now: Millis,
    ) -> Result<Vec<IssuedSecret>> {
        let Rotation { secret, overlap } = self;
        let mut problems = Vec::new();
        let secret =
            secret.map(|text| SigningSecret::read_at_least(text.as_str(), least_key)).transpose();
        let secret = secret.unwrap_or_else(|why| {
            problems.push(Problem::new("secret", why));
            None
        });
        let live = secrets.iter().filter(|secret| secret.is_live(now));
        // By key: of two spellings of one key, the replaced one would go on signing, and revoking it
        // would change nothing.
        if secret
            .as_ref()
            .is_some_and(|secret| live.clone().any(|live| live.secret.has_key_of(secret)))
        {
            problems.push(Problem::new(
                "secret",
                "a secret that is still live cannot take its own place",
            ));
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
            // Of those that live already: the one that this rotation would replace makes no room.
            return Err(too_many(live.filter_map(|secret| secret.expires_at).min()));
        }
        let secret = secret.map_or_else(
            || SigningSecret::drawn(&mut RandomBuffer::new(entropy, GENERATED_KEY)),
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
    const KEYS: &'static [&'static str] = &["secret", "overlapSeconds"];
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

impl JsonType for Rotation {
    const EXPECTED: &'static str = "an object";

    fn object<'de, A: MapAccess<'de>>(place: &Key<'_>, entries: A) -> Result<Rotation, A::Error> {
        json::document(place, entries)
    }
}

impl<'de> Deserialize<'de> for Rotation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rotation, D::Error> {
        json::read(deserializer)
    }
}

fn too_many(next: Option<Millis>) -> Error {
    let when = next.map(|next| format!("; the next of them expires at {next}")).unwrap_or_default();
    let message = format!("{MAX_OLD} replaced secrets live already, the most that can{when}");
    Error::conflict_saying(message.clone(), Problem::new("secret", message))
}

/// A secret of a subscription, with its time: from [`Registry::secrets`](crate::Registry::secrets).
///
/// It lives while now is before [`expires_at`](IssuedSecret::expires_at), to the millisecond, by the registry's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedSecret {
    pub(crate) secret: SigningSecret,
    pub(crate) created_at: Millis,
    pub(crate) expires_at: Option<Millis>,
}

impl IssuedSecret {
    pub(crate) fn current(secret: SigningSecret, now: Millis) -> IssuedSecret {
        IssuedSecret { secret, created_at: now, expires_at: None }
    }

    pub(crate) fn is_live(&self, now: Millis) -> bool {
        self.expires_at.is_none_or(|until| now < until)
    }

    /// The secret.
    pub fn secret(&self) -> &SigningSecret {
        &self.secret
    }

    /// When a call made it the current one.
    pub fn created_at(&self) -> SystemTime {
        self.created_at.into()
    }

    /// When it ceases to be valid. None for the current one.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at.map(Into::into)
    }
}
