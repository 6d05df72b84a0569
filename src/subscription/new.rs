use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess};

use super::draft::Draft;
use super::fields::SubscriptionFields;
use super::stored::Subscription;
use super::update::SubscriptionUpdate;
use super::validation::{EventCatalog, Rules, Validated};
use crate::error::Result;
use crate::json::{self, JsonObject, JsonType, Key, key_names};
use crate::secret::SecretText;

/// A subscription to create: the body of a webhook API's `POST /subscriptions`.
///
/// # Rules
///
/// [`create`](crate::Registry::create) checks them and reports every broken rule at once.
///
/// - `name`: 1 to 128 characters, no control characters, no white space at either end. Unique
///   among the subscriptions of one owner, or of those without one, compared byte for byte.
/// - `url`: `http://` or `https://` directly followed by a host. No white space, control character
///   or backslash, no user name or password, no `#`. At most 2,048 bytes, accepted by the parser of
///   the [URL standard](https://url.spec.whatwg.org/) and by the registry's
///   [`url_policy`](crate::RegistryOptions::url_policy). Stored as given.
/// - `events`: 1 to 256 [patterns](crate::EventPattern), each of which matches a known event type.
///   Exact repeats are dropped.
/// - `enabled`: `true` by default.
/// - `secret`: base64 of 32 to 128 bytes in at most 256 characters, see
///   [`SigningSecret::parse`](crate::SigningSecret::parse). The registry's
///   [`min_secret_bytes`](crate::RegistryOptions::min_secret_bytes) replaces the 32. Generated if
///   absent.
/// - `description`: at most 4,096 bytes.
/// - `metadata`: text to text, at most 50 keys of 1 to 128 bytes, values of at most 1,024 bytes.
/// - `disabledReason`: 1 to 1,024 bytes, and only where `enabled` is `false`.
///
/// No text may contain U+0000.
///
/// # JSON
///
/// The keys are `name`, `url`, `events`, `enabled`, `secret`, `description`, `metadata` and
/// `disabledReason`. `null` equals absent for all but the first three. An unknown key is rejected,
/// and so is a repeated one.
/// Deserializing checks the types only. Its messages name the key and the types, never a value.
/// [`from_json`](NewSubscription::from_json) reports every fault, and `Deserialize` only the first.
///
/// [`allow_unknown_events`](NewSubscription::allow_unknown_events) is a permission, so it has no
/// key and is given in code only.
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
    fields: SubscriptionFields<String>,
    /// False where `enabled` has its default. [`Registry::ensure`](crate::Registry::ensure) then
    /// keeps the value of an existing subscription.
    states_enabled: bool,
    secret: Option<SecretText>,
    allow_unknown_events: bool,
}

impl NewSubscription {
    /// Returns an enabled subscription with a secret that is generated on creation.
    pub fn new(
        name: impl Into<String>,
        url: impl Into<String>,
        events: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> NewSubscription {
        NewSubscription {
            fields: SubscriptionFields {
                name: name.into(),
                url: url.into(),
                events: events.into_iter().map(|pattern| pattern.as_ref().to_owned()).collect(),
                enabled: true,
                description: None,
                metadata: BTreeMap::new(),
                disabled_reason: None,
            },
            states_enabled: false,
            secret: None,
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

    /// Sets whether dispatch includes the subscription. Default: `true`.
    pub fn enabled(mut self, enabled: bool) -> NewSubscription {
        self.fields.enabled = enabled;
        self.states_enabled = true;
        self
    }

    /// Sets the secret, which is stored exactly as given. Default: a secret is generated.
    pub fn secret(mut self, text: impl Into<String>) -> NewSubscription {
        self.secret = Some(SecretText::from(text.into()));
        self
    }

    /// Sets the description, a text for people. Default: none.
    pub fn description(mut self, text: impl Into<String>) -> NewSubscription {
        self.fields.description = Some(text.into());
        self
    }

    /// Adds one entry to the metadata, which the application stores with the subscription.
    /// Default: none.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> NewSubscription {
        self.fields.metadata.insert(key.into(), value.into());
        self
    }

    /// Sets the reason why the subscription is disabled, a text for people. Default: none.
    ///
    /// A reason is valid only with [`enabled(false)`](NewSubscription::enabled).
    /// [`ensure`](crate::Registry::ensure) states how it treats the reason of an existing
    /// subscription.
    pub fn disabled_reason(mut self, reason: impl Into<String>) -> NewSubscription {
        self.fields.disabled_reason = Some(reason.into());
        self
    }

    /// Lets this one call name event types outside the catalog. Default: `false`.
    ///
    /// Such a pattern takes effect when a type that it matches is registered. The permission is
    /// neither stored nor shown.
    pub fn allow_unknown_events(mut self, allow: bool) -> NewSubscription {
        self.allow_unknown_events = allow;
        self
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.fields.name
    }

    /// Returns the URL.
    pub fn url(&self) -> &str {
        &self.fields.url
    }

    /// Returns the texts of the patterns.
    pub fn events(&self) -> &[String] {
        &self.fields.events
    }

    pub(crate) fn states_secret(&self) -> bool {
        self.secret.is_some()
    }

    /// Returns whether the stored subscription has these fields. The secret is not compared, and
    /// `enabled` and the reason only if `enabled` was stated. A reason without it is never equal,
    /// because it has to be validated.
    pub(crate) fn equals(&self, stored: &Subscription) -> bool {
        let SubscriptionFields { enabled, disabled_reason, .. } = &self.fields;
        let equal_state = if self.states_enabled {
            *enabled == stored.fields.enabled && *disabled_reason == stored.fields.disabled_reason
        } else {
            disabled_reason.is_none()
        };
        equal_state && self.fields.equal_except_state(&stored.fields)
    }

    /// Returns the update that gives an existing subscription of this name these fields.
    pub(crate) fn into_update(self) -> SubscriptionUpdate {
        let NewSubscription { fields, states_enabled, secret, allow_unknown_events } = self;
        SubscriptionUpdate::from_declared(fields, states_enabled, secret, allow_unknown_events)
    }

    /// Checks every rule, except that the name is not taken, which only the database can tell.
    pub(crate) fn validate(
        self,
        rules: &Rules,
        catalog: &mut dyn EventCatalog,
    ) -> Validated<Draft> {
        let NewSubscription { fields, states_enabled: _, secret, allow_unknown_events } = self;
        let catalog = if allow_unknown_events { None } else { Some(catalog) };
        Draft::validate(fields, secret, rules, catalog)
    }
}

/// Copies every field, but neither the secret nor the id and the times.
impl From<&Subscription> for NewSubscription {
    fn from(subscription: &Subscription) -> NewSubscription {
        NewSubscription {
            fields: subscription.fields.clone().into_unvalidated(),
            states_enabled: true,
            secret: None,
            allow_unknown_events: false,
        }
    }
}

impl fmt::Debug for NewSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NewSubscription { fields, states_enabled, secret, allow_unknown_events } = self;
        let mut debug = f.debug_struct("NewSubscription");
        fields.debug_fields(&mut debug, Some(secret));
        debug
            .field("allow_unknown_events", allow_unknown_events)
            .field("states_enabled", states_enabled)
            .finish()
    }
}

/// A JSON body.
#[derive(Default)]
struct Body {
    fields: SubscriptionFields<String>,
    enabled: Option<bool>,
    secret: Option<SecretText>,
}

impl JsonObject for Body {
    const KEYS: &'static [&'static str] = key_names::NEW_SUBSCRIPTION;
    const REQUIRED: usize = 3;
    const DENY_UNKNOWN_FIELDS: bool = true;

    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        value: json::Value<'_, A>,
    ) -> Result<(), A::Error> {
        let Body { fields, enabled, secret } = self;
        match key {
            "name" => fields.name = value.read()?,
            "url" => fields.url = value.read()?,
            "events" => fields.events = value.read()?,
            "enabled" => *enabled = value.nullable()?,
            "secret" => *secret = value.nullable()?,
            "description" => fields.description = value.nullable()?,
            "metadata" => fields.metadata = value.nullable()?.unwrap_or_default(),
            _ => fields.disabled_reason = value.nullable()?,
        }
        Ok(())
    }
}

impl JsonType for NewSubscription {
    const EXPECTED: &'static str = "an object";

    fn object<'de, A: MapAccess<'de>>(
        key: &Key<'_>,
        entries: A,
    ) -> Result<NewSubscription, A::Error> {
        let Body { fields, enabled, secret } = json::document(key, entries)?;
        Ok(NewSubscription {
            fields: SubscriptionFields { enabled: enabled.unwrap_or(true), ..fields },
            states_enabled: enabled.is_some(),
            secret,
            allow_unknown_events: false,
        })
    }
}

impl<'de> Deserialize<'de> for NewSubscription {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NewSubscription, D::Error> {
        json::read(deserializer)
    }
}
