use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess};

use super::fields::SubscriptionFields;
use super::validation::{self, EventCatalog, Rejection, Rules, Validated};
use crate::error::{Problem, Result};
use crate::event_type::check_description;
use crate::json::{self, JsonObject, Nullable, key_names};
use crate::secret::{SecretText, SigningSecret};
use crate::url_policy;

/// A change to a subscription: the body of a PATCH.
///
/// Fields that are not set keep their values. An update validates the fields that it changes, by
/// the rules of [`NewSubscription`](crate::NewSubscription#rules), and no others. Of `events`, it
/// looks up in the catalog only the patterns that the subscription does not have yet. Setters act
/// in the order called.
///
/// # JSON
///
/// A JSON merge patch ([RFC 7396](https://www.rfc-editor.org/rfc/rfc7396)) with the keys `name`,
/// `url`, `events`, `enabled`, `secret`, `description`, `metadata`, `disabledReason` and
/// `ifRevision`. `metadata` merges, and a null value removes its key. `null` clears `description`,
/// `disabledReason` or all of `metadata` and is rejected for the rest. An unknown key is rejected,
/// and so is a repeated one. [`from_json`](SubscriptionUpdate::from_json) reports every fault, and
/// `Deserialize` only the first.
///
/// ```
/// use webhook_registry::{NewSubscription, Registry, SubscriptionUpdate};
///
/// let registry = Registry::in_memory()?;
/// registry.register_event_type("agent.presencechanged.v1")?;
/// let new = NewSubscription::new("crm", "https://example.com/", ["agent.*"]);
/// let id = registry.create(new)?.subscription().id();
///
/// let patch: SubscriptionUpdate = serde_json::from_str(r#"{"enabled": false, "ifRevision": 1}"#)?;
/// assert_eq!(registry.update(id, patch)?.revision(), 2);
///
/// let same = registry.update(id, SubscriptionUpdate::new().enabled(false))?;
/// assert_eq!(same.revision(), 2, "an update without effect adds no revision");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// `Debug` shows neither the secret nor a user name or password in the URL.
#[derive(Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct SubscriptionUpdate {
    name: Option<String>,
    url: Option<String>,
    events: Option<Vec<String>>,
    enabled: Option<bool>,
    secret: Option<SecretText>,
    description: Patch,
    metadata: MetadataPatch,
    disabled_reason: Patch,
    /// True in a declaration that does not state `enabled`: its reason is validated, and the reason
    /// of the subscription is kept.
    keeps_disabled_reason: bool,
    allow_unknown_events: bool,
    if_revision: Option<u64>,
}

/// A change to an optional field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Patch {
    #[default]
    Keep,
    Clear,
    Set(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct MetadataPatch {
    clear: bool,
    /// `None` removes the key.
    entries: BTreeMap<String, Option<String>>,
}

impl SubscriptionUpdate {
    /// Returns an update that changes nothing.
    pub fn new() -> SubscriptionUpdate {
        SubscriptionUpdate::default()
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
    pub fn from_json(document: &[u8]) -> Result<SubscriptionUpdate> {
        json::from_slice(document)
    }

    /// Sets the name.
    pub fn name(mut self, name: impl Into<String>) -> SubscriptionUpdate {
        self.name = Some(name.into());
        self
    }

    /// Sets the URL.
    pub fn url(mut self, url: impl Into<String>) -> SubscriptionUpdate {
        self.url = Some(url.into());
        self
    }

    /// Replaces all patterns.
    pub fn events(
        mut self,
        events: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> SubscriptionUpdate {
        self.events = Some(events.into_iter().map(|pattern| pattern.as_ref().to_owned()).collect());
        self
    }

    /// Sets whether dispatch includes the subscription. Enabling it clears the reason why it was
    /// disabled.
    pub fn enabled(mut self, enabled: bool) -> SubscriptionUpdate {
        self.enabled = Some(enabled);
        self
    }

    /// Replaces the secret at once and drops every earlier one.
    ///
    /// The current secret, set again, ends the overlap of the secrets that a
    /// [rotation](crate::Registry::rotate_secret) replaced. If none of those is live, nothing
    /// changes. Another spelling of the same key is stored as given and counts as a change, but
    /// [`created_at`](crate::IssuedSecret::created_at) does not change.
    pub fn secret(mut self, text: impl Into<String>) -> SubscriptionUpdate {
        self.secret = Some(SecretText::from(text.into()));
        self
    }

    /// Sets the description.
    pub fn description(mut self, text: impl Into<String>) -> SubscriptionUpdate {
        self.description = Patch::Set(text.into());
        self
    }

    /// Removes the description.
    pub fn clear_description(mut self) -> SubscriptionUpdate {
        self.description = Patch::Clear;
        self
    }

    /// Adds or replaces one entry of the metadata.
    pub fn metadata(
        mut self,
        key: impl Into<String>,
        value: impl Into<String>,
    ) -> SubscriptionUpdate {
        self.metadata.entries.insert(key.into(), Some(value.into()));
        self
    }

    /// Removes one entry of the metadata, if it exists.
    pub fn remove_metadata(mut self, key: impl Into<String>) -> SubscriptionUpdate {
        self.metadata.entries.insert(key.into(), None);
        self
    }

    /// Removes all metadata, including entries that were set before this call.
    pub fn clear_metadata(mut self) -> SubscriptionUpdate {
        self.metadata = MetadataPatch { clear: true, entries: BTreeMap::new() };
        self
    }

    /// Sets the reason why the subscription is disabled.
    ///
    /// The reason is valid only if the subscription is disabled after the update, by
    /// [`enabled(false)`](SubscriptionUpdate::enabled) or because it was before.
    pub fn disabled_reason(mut self, reason: impl Into<String>) -> SubscriptionUpdate {
        self.disabled_reason = Patch::Set(reason.into());
        self
    }

    /// Removes the reason why the subscription is disabled. It stays disabled.
    pub fn clear_disabled_reason(mut self) -> SubscriptionUpdate {
        self.disabled_reason = Patch::Clear;
        self
    }

    /// Lets this one call name event types outside the catalog. Default: `false`.
    pub fn allow_unknown_events(mut self, allow: bool) -> SubscriptionUpdate {
        self.allow_unknown_events = allow;
        self
    }

    /// Makes the update fail with [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) unless the
    /// subscription is at this revision, even if the update would change nothing.
    pub fn if_revision(mut self, revision: u64) -> SubscriptionUpdate {
        self.if_revision = Some(revision);
        self
    }

    /// Returns the update that reconciles a subscription with a declared one. It clears an absent
    /// description and absent metadata, and keeps `enabled` and the secret unless they are stated.
    /// It clears an absent reason where `enabled` is stated, and else keeps the reason.
    pub(super) fn from_declared(
        fields: SubscriptionFields<String>,
        states_enabled: bool,
        secret: Option<SecretText>,
        allow_unknown_events: bool,
    ) -> SubscriptionUpdate {
        let SubscriptionFields {
            name: _,
            url,
            events,
            enabled,
            description,
            metadata,
            disabled_reason,
        } = fields;
        SubscriptionUpdate {
            name: None,
            url: Some(url),
            events: Some(events),
            enabled: states_enabled.then_some(enabled),
            secret,
            description: description.map_or(Patch::Clear, Patch::Set),
            metadata: MetadataPatch {
                clear: true,
                entries: metadata.into_iter().map(|(key, value)| (key, Some(value))).collect(),
            },
            disabled_reason: disabled_reason.map_or(Patch::Clear, Patch::Set),
            keeps_disabled_reason: !states_enabled,
            allow_unknown_events,
            if_revision: None,
        }
    }

    /// Returns the revision that the caller expects, if any.
    pub(crate) fn expected_revision(&self) -> Option<u64> {
        self.if_revision
    }

    /// Applies the patch to the fields of a subscription, and validates those that it changes.
    pub(crate) fn validate(
        self,
        current: &SubscriptionFields,
        current_secret: &SigningSecret,
        rules: &Rules,
        catalog: &mut dyn EventCatalog,
    ) -> Validated<Updated> {
        let SubscriptionUpdate {
            name,
            url,
            events,
            enabled,
            secret,
            description,
            metadata,
            disabled_reason,
            keeps_disabled_reason,
            allow_unknown_events,
            if_revision: _,
        } = self;
        let mut problems = Vec::new();
        let mut after = current.clone();
        if let Some(name) = name.filter(|name| *name != current.name) {
            problems
                .extend(validation::check_name(&name).err().map(|why| Problem::new("name", why)));
            after.name = name;
        }
        if let Some(url) = url.filter(|url| *url != current.url) {
            problems
                .extend(rules.url_policy.validate(&url).err().map(|why| Problem::new("url", why)));
            after.url = url;
        }
        if let Some(events) = events {
            let catalog = if allow_unknown_events { None } else { Some(catalog) };
            let (patterns, found) = validation::check_events(&events, &current.events, catalog)?;
            problems.extend(found);
            after.events = patterns;
        }
        after.enabled = enabled.unwrap_or(current.enabled);
        let secret = secret.map(|text| validate_secret(&text, current_secret, rules));
        let secret = secret.transpose().unwrap_or_else(|why| {
            problems.push(Problem::new("secret", why));
            None
        });
        match description {
            Patch::Keep => {}
            Patch::Clear => after.description = None,
            Patch::Set(text) => {
                problems.extend(
                    check_description(&text).err().map(|why| Problem::new("description", why)),
                );
                after.description = Some(text);
            }
        }
        metadata.apply(&mut after.metadata);
        problems.extend(validation::check_metadata(&after.metadata).err());
        if let Patch::Set(reason) = &disabled_reason {
            let fault = validation::check_disabled_reason(reason, after.enabled).err();
            problems.extend(fault.map(|why| Problem::new("disabledReason", why)));
        }
        match disabled_reason {
            _ if after.enabled => after.disabled_reason = None,
            _ if keeps_disabled_reason => {}
            Patch::Keep => {}
            Patch::Clear => after.disabled_reason = None,
            Patch::Set(reason) => after.disabled_reason = Some(reason),
        }
        if problems.is_empty() {
            Ok(Updated { fields: after, secret })
        } else {
            Err(Rejection::Problems(problems))
        }
    }
}

/// Returns the stated secret. The rules do not apply to the key of the current secret, because they
/// may have become stricter since that secret was stored.
fn validate_secret(
    text: &SecretText,
    current: &SigningSecret,
    rules: &Rules,
) -> Result<SigningSecret, String> {
    if current.has_text(text.as_str()) {
        return Ok(current.clone());
    }
    if let Ok(secret) = SigningSecret::read(text.as_str())
        && secret.has_key_of(current)
    {
        return Ok(secret);
    }
    SigningSecret::read_at_least(text.as_str(), rules.min_secret_bytes)
}

impl MetadataPatch {
    fn apply(self, metadata: &mut BTreeMap<String, String>) {
        let MetadataPatch { clear, entries } = self;
        if clear {
            metadata.clear();
        }
        for (key, value) in entries {
            match value {
                Some(value) => metadata.insert(key, value),
                None => metadata.remove(&key),
            };
        }
    }
}

/// The result of a valid update.
pub(crate) struct Updated {
    pub(crate) fields: SubscriptionFields,
    /// The stated secret, which can be the current one. None if no secret was stated.
    pub(crate) secret: Option<SigningSecret>,
}

impl fmt::Debug for SubscriptionUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SubscriptionUpdate {
            name,
            url,
            events,
            enabled,
            secret,
            description,
            metadata,
            disabled_reason,
            keeps_disabled_reason,
            allow_unknown_events,
            if_revision,
        } = self;
        f.debug_struct("SubscriptionUpdate")
            .field("name", name)
            .field("url", &url.as_deref().map(url_policy::redacted))
            .field("events", events)
            .field("enabled", enabled)
            .field("secret", secret)
            .field("description", description)
            .field("metadata", metadata)
            .field("disabled_reason", disabled_reason)
            .field("keeps_disabled_reason", keeps_disabled_reason)
            .field("allow_unknown_events", allow_unknown_events)
            .field("if_revision", if_revision)
            .finish()
    }
}

impl JsonObject for SubscriptionUpdate {
    const KEYS: &'static [&'static str] = key_names::SUBSCRIPTION_UPDATE;
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
            "enabled" => self.enabled = Some(value.read()?),
            "secret" => self.secret = Some(value.read()?),
            "description" => self.description = value.nullable()?.map_or(Patch::Clear, Patch::Set),
            "metadata" => {
                let entries: Option<BTreeMap<String, Nullable<String>>> = value.nullable()?;
                self.metadata.clear = entries.is_none();
                self.metadata.entries = entries
                    .into_iter()
                    .flatten()
                    .map(|(key, Nullable(value))| (key, value))
                    .collect();
            }
            "disabledReason" => {
                self.disabled_reason = value.nullable()?.map_or(Patch::Clear, Patch::Set);
            }
            _ => self.if_revision = Some(value.read()?),
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for SubscriptionUpdate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SubscriptionUpdate, D::Error> {
        json::read(deserializer)
    }
}
