use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess};

use super::validation::{self, EventCatalog, Rules};
use super::{Subscription, SubscriptionUpdate};
use crate::error::{Problem, Result};
use crate::event_type::check_description;
use crate::json::{self, JsonObject, JsonType, Key};
use crate::pattern::EventPattern;
use crate::secret::{SecretText, SigningSecret};
use crate::url_policy;

/// What a subscription is created from: the body of a webhook API's `POST /subscriptions`.
///
/// # Rules
///
/// They are judged by [`create`](crate::Registry::create), all of them at once.
///
/// | field | rule |
/// |---|---|
/// | `name` | 1 to 128 characters, no control characters, no white space at either end, unique in the file, compared byte for byte |
/// | `url` | `http://` or `https://` directly followed by a host; no white space, control character or backslash, no user name or password, no `#`; accepted by the [URL standard](https://url.spec.whatwg.org/)'s parser; at most 2,048 bytes; kept as given; and what the registry's [`url_policy`](crate::RegistryOptions::url_policy) asks |
/// | `events` | 1 to 256 [patterns](EventPattern), each covering a known event type; exact repeats are dropped |
/// | `enabled` | `true` unless said otherwise |
/// | `secret` | base64 of 32 to 128 bytes in at most 256 characters, see [`SigningSecret::parse`]; instead of 32 what the registry's [`min_secret_bytes`](crate::RegistryOptions::min_secret_bytes) says; generated when none is given |
/// | `description` | at most 4,096 bytes |
/// | `metadata` | text to text: at most 50 keys of 1 to 128 bytes, values of at most 1,024 bytes |
///
/// No text holds U+0000.
///
/// # JSON
///
/// The keys are `name`, `url`, `events`, `enabled`, `secret`, `description` and `metadata`. `null`
/// equals absent for all but the first three. An unknown key is rejected, and so is a repeated one.
/// Reading checks the shape only. A message names the key and the types, never a value.
/// [`from_json`](NewSubscription::from_json) reports every fault, and `Deserialize` only the first.
///
/// [`allow_unknown_events`](NewSubscription::allow_unknown_events) is a permission, so it has no key
/// and is given in code only.
///
/// ```
/// use webhook_registry::{NewSubscription, Registry};
///
/// let registry = Registry::in_memory()?;
/// registry.register_event_type("agent.presencechanged.v1")?;
/// let body = br#"{"name": "crm", "url": "https://example.com/hook", "events": ["agent.*"]}"#;
/// let created = registry.create(NewSubscription::from_json(body)?)?;
/// assert_eq!(created.secret().key().len(), 64);
/// # Ok::<(), webhook_registry::Error>(())
/// ```
///
/// `Debug` shows neither the secret nor a user name or password in the URL.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct NewSubscription {
    name: String,
    url: String,
    events: Vec<String>,
    enabled: Option<bool>,
    secret: Option<SecretText>,
    description: Option<String>,
    metadata: BTreeMap<String, String>,
    allow_unknown_events: bool,
}

impl NewSubscription {
    /// An enabled subscription with a secret that will be generated.
    pub fn new(
        name: impl Into<String>,
        url: impl Into<String>,
        events: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> NewSubscription {
        NewSubscription {
            name: name.into(),
            url: url.into(),
            events: events.into_iter().map(|pattern| pattern.as_ref().to_owned()).collect(),
            enabled: None,
            secret: None,
            description: None,
            metadata: BTreeMap::new(),
            allow_unknown_events: false,
        }
    }

    /// Reads a JSON document and reports every fault of its shape.
    ///
    /// A fault is a wrong type, a missing, unknown or repeated key, a document that is not an
    /// object, or text that is not JSON. The field of a [`Problem`](crate::Problem) is the key, or
    /// `body` for the last two. At most 1,000 problems are listed, and one more counts the rest. No
    /// message repeats a value. The values are validated by
    /// the call that takes them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with a problem for each fault.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::NewSubscription;
    ///
    /// let body = br#"{"name": 5, "url": 7, "evnts": []}"#;
    /// let error = NewSubscription::from_json(body).unwrap_err();
    /// let fields: Vec<&str> = error.problems().iter().map(|problem| problem.field()).collect();
    /// assert_eq!(fields, ["name", "url", "evnts", "events"]);
    /// ```
    pub fn from_json(document: &[u8]) -> Result<NewSubscription> {
        json::from_slice(document)
    }

    /// Whether it gets events. Default: `true`.
    pub fn enabled(mut self, enabled: bool) -> NewSubscription {
        self.enabled = Some(enabled);
        self
    }

    /// The secret to sign with, kept exactly as given. Default: one is generated.
    pub fn secret(mut self, text: impl Into<String>) -> NewSubscription {
        self.secret = Some(SecretText::from(text.into()));
        self
    }

    /// A text for people. Default: none.
    pub fn description(mut self, text: impl Into<String>) -> NewSubscription {
        self.description = Some(text.into());
        self
    }

    /// Adds one entry of what the application keeps with the subscription. Default: none.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> NewSubscription {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Lets this one call name event types that the catalog does not know: such a pattern takes effect when the catalog
    /// learns a type that it covers. Not stored, not shown. Default: `false`.
    pub fn allow_unknown_events(mut self, allow: bool) -> NewSubscription {
        self.allow_unknown_events = allow;
        self
    }

    /// The name asked for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL asked for.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The patterns asked for.
    pub fn events(&self) -> &[String] {
        &self.events
    }

    /// What a document says of a subscription; it may name event types that are not known.
    pub(crate) fn imported(
        name: String,
        url: String,
        events: Vec<String>,
        enabled: bool,
        description: Option<String>,
        metadata: BTreeMap<String, String>,
    ) -> NewSubscription {
        NewSubscription {
            name,
            url,
            events,
            enabled: Some(enabled),
            secret: None,
            description,
            metadata,
            allow_unknown_events: true,
        }
    }

    pub(crate) fn states_secret(&self) -> bool {
        self.secret.is_some()
    }

    /// Whether this subscription is as declared here, but for the secret.
    pub(crate) fn is(&self, there: &Subscription) -> bool {
        let NewSubscription {
            name,
            url,
            events,
            enabled,
            secret: _,
            description,
            metadata,
            allow_unknown_events: _,
        } = self;
        // Repeats are dropped when patterns are kept; such a list is compared the long way.
        let same_events = events.len() == there.events.len()
            && events.iter().zip(&there.events).all(|(declared, kept)| declared == kept.as_str());
        *name == there.name
            && *url == there.url
            && same_events
            && enabled.is_none_or(|enabled| enabled == there.enabled)
            && *description == there.description
            && *metadata == there.metadata
    }

    /// What makes a subscription of this name as declared here.
    pub(crate) fn into_update(self) -> SubscriptionUpdate {
        let NewSubscription {
            name: _,
            url,
            events,
            enabled,
            secret,
            description,
            metadata,
            allow_unknown_events,
        } = self;
        SubscriptionUpdate::declared(
            url,
            events,
            enabled,
            secret,
            description,
            metadata,
            allow_unknown_events,
        )
    }

    /// Judges every rule but that of the name's uniqueness, which is the database's.
    pub(crate) fn check(
        self,
        rules: &Rules,
        catalog: &mut dyn EventCatalog,
    ) -> Result<Result<Draft, Vec<Problem>>> {
        let NewSubscription {
            name,
            url,
            events,
            enabled,
            secret,
            description,
            metadata,
            allow_unknown_events,
        } = self;
        let mut problems = Vec::new();
        if let Err(why) = validation::check_name(&name) {
            problems.push(Problem::new("name", why));
        }
        if let Err(why) = rules.url_policy.judge(&url) {
            problems.push(Problem::new("url", why));
        }
        let catalog = if allow_unknown_events { None } else { Some(catalog) };
        let (events, faults) = validation::check_events(&events, &[], catalog)?;
        problems.extend(faults);
        let secret = match secret
            .map(|text| SigningSecret::read_at_least(text.as_str(), rules.min_secret_bytes))
            .transpose()
        {
            Ok(secret) => secret,
            Err(why) => {
                problems.push(Problem::new("secret", why));
                None
            }
        };
        if let Some(Err(why)) = description.as_deref().map(check_description) {
            problems.push(Problem::new("description", why));
        }
        problems.extend(validation::check_metadata(&metadata).err());
        if !problems.is_empty() {
            return Ok(Err(problems));
        }
        Ok(Ok(Draft {
            name,
            url,
            events,
            enabled: enabled.unwrap_or(true),
            secret,
            description,
            metadata,
        }))
    }
}

/// A new subscription that keeps every rule.
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) events: Vec<EventPattern>,
    pub(crate) enabled: bool,
    pub(crate) secret: Option<SigningSecret>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// Everything but the secret, the identity and the history: to create the like of it elsewhere.
impl From<&Subscription> for NewSubscription {
    fn from(subscription: &Subscription) -> NewSubscription {
        let Subscription {
            id: _,
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            created_at: _,
            updated_at: _,
            revision: _,
        } = subscription;
        NewSubscription {
            name: name.clone(),
            url: url.clone(),
            events: events.iter().map(ToString::to_string).collect(),
            enabled: Some(*enabled),
            secret: None,
            description: description.clone(),
            metadata: metadata.clone(),
            allow_unknown_events: false,
        }
    }
}

impl fmt::Debug for NewSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NewSubscription {
            name,
            url,
            events,
            enabled,
            secret,
            description,
            metadata,
            allow_unknown_events,
        } = self;
        f.debug_struct("NewSubscription")
            .field("name", name)
            .field("url", &url_policy::redacted(url))
            .field("events", events)
            .field("enabled", enabled)
            .field("secret", secret)
            .field("description", description)
            .field("metadata", metadata)
            .field("allow_unknown_events", allow_unknown_events)
            .finish()
    }
}

#[derive(Default)]
struct Body {
    name: Option<String>,
    url: Option<String>,
    events: Option<Vec<String>>,
    enabled: Option<bool>,
    secret: Option<SecretText>,
    description: Option<String>,
    metadata: Option<BTreeMap<String, String>>,
}

impl JsonObject for Body {
    const KEYS: &'static [&'static str] =
        &["name", "url", "events", "enabled", "secret", "description", "metadata"];
    const DENY_UNKNOWN_FIELDS: bool = true;

    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        value: json::Value<'_, A>,
    ) -> Result<(), A::Error> {
        match key {
            "name" => self.name = Some(value.read()?),
            "url" => self.url = Some(value.read()?),
            "events" => self.events = Some(value.read()?),
            "enabled" => self.enabled = value.nullable()?,
            "secret" => self.secret = value.nullable()?,
            "description" => self.description = value.nullable()?,
            _ => self.metadata = value.nullable()?,
        }
        Ok(())
    }
}

impl JsonType for NewSubscription {
    const EXPECTED: &'static str = "an object";

    fn object<'de, A: MapAccess<'de>>(
        place: &Key<'_>,
        entries: A,
    ) -> Result<NewSubscription, A::Error> {
        let body: Body = json::document(place, entries)?;
        let Body { name, url, events, enabled, secret, description, metadata } = body;
        let absent =
            [("name", name.is_none()), ("url", url.is_none()), ("events", events.is_none())];
        let (Some(name), Some(url), Some(events)) = (name, url, events) else {
            return Err(place.missing_of(&absent));
        };
        Ok(NewSubscription {
            name,
            url,
            events,
            enabled,
            secret,
            description,
            metadata: metadata.unwrap_or_default(),
            allow_unknown_events: false,
        })
    }
}

impl<'de> Deserialize<'de> for NewSubscription {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NewSubscription, D::Error> {
        json::read(deserializer)
    }
}
