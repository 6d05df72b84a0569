mod new;
mod query;
mod update;
mod validation;

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::id::SubscriptionId;
use crate::pattern::EventPattern;
use crate::secret::{IssuedSecret, SigningSecret};
use crate::time::Millis;
use crate::url_policy;

pub(crate) use new::Draft;
pub use new::NewSubscription;
pub use query::{ListQuery, Page};
pub use update::SubscriptionUpdate;
pub(crate) use update::Updated;
pub(crate) use validation::{EventCatalog, Rules, StoredParts, check_metadata, check_recipient};

/// A subscription as the registry keeps it. Its secret is not in it.
///
/// # JSON
///
/// The keys of the webhook API that this crate mirrors, in this order: `subscriptionId`, `name`, `url`, `events`,
/// `enabled`, then `description` and `metadata` when set, `createdAt` and `updatedAt` (RFC 3339 in UTC with
/// milliseconds and `Z`), `revision`.
#[derive(Clone, PartialEq, Eq)]
pub struct Subscription {
    pub(crate) id: SubscriptionId,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) events: Vec<EventPattern>,
    pub(crate) enabled: bool,
    pub(crate) description: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) created_at: Millis,
    pub(crate) updated_at: Millis,
    pub(crate) revision: u64,
}

impl Subscription {
    /// The identity, for good.
    pub fn id(&self) -> SubscriptionId {
        self.id
    }

    /// The name, unique in the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL, as it was given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The patterns, in the order given.
    pub fn events(&self) -> &[EventPattern] {
        &self.events
    }

    /// Whether it gets events at all.
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// A text for people.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// What the application keeps with it.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// When it was created, in whole milliseconds.
    pub fn created_at(&self) -> SystemTime {
        self.created_at.into()
    }

    /// When a call last changed it, in whole milliseconds.
    pub fn updated_at(&self) -> SystemTime {
        self.updated_at.into()
    }

    /// How often it was changed: 1 when created, one more with every call that changed something.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// What it becomes by a call that changes it.
    #[must_use]
    pub(crate) fn changed(&self, now: Millis) -> Subscription {
        Subscription { updated_at: now, revision: self.revision.saturating_add(1), ..self.clone() }
    }

    fn entries<M: SerializeMap>(
        &self,
        object: &mut M,
        secret: Option<&SigningSecret>,
    ) -> Result<(), M::Error> {
        let Subscription {
            id,
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            created_at,
            updated_at,
            revision,
        } = self;
        object.serialize_entry("subscriptionId", id)?;
        object.serialize_entry("name", name)?;
        object.serialize_entry("url", url)?;
        object.serialize_entry("events", events)?;
        object.serialize_entry("enabled", enabled)?;
        if let Some(secret) = secret {
            object.serialize_entry("secret", secret.expose())?;
        }
        if let Some(description) = description {
            object.serialize_entry("description", description)?;
        }
        if !metadata.is_empty() {
            object.serialize_entry("metadata", metadata)?;
        }
        object.serialize_entry("createdAt", created_at)?;
        object.serialize_entry("updatedAt", updated_at)?;
        object.serialize_entry("revision", revision)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Subscription {
            id,
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            created_at,
            updated_at,
            revision,
        } = self;
        f.debug_struct("Subscription")
            .field("id", id)
            .field("name", name)
            // No registry takes a password in a URL, but other programs can write to the file.
            .field("url", &url_policy::redacted(url))
            .field("events", events)
            .field("enabled", enabled)
            .field("description", description)
            .field("metadata", metadata)
            .field("created_at", created_at)
            .field("updated_at", updated_at)
            .field("revision", revision)
            .finish()
    }
}

impl Serialize for Subscription {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        self.entries(&mut object, None)?;
        object.end()
    }
}

/// The answer to a creation: the subscription, and its secret, which no other call's JSON shows.
///
/// # JSON
///
/// That of [`Subscription`] with `secret` behind `enabled`: the answer to a webhook API's `POST /subscriptions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    pub(crate) subscription: Subscription,
    pub(crate) secret: IssuedSecret,
}

impl Created {
    /// What was created.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// The secret, given or generated.
    pub fn secret(&self) -> &SigningSecret {
        self.secret.secret()
    }

    /// Both, to keep.
    pub fn into_parts(self) -> (Subscription, SigningSecret) {
        (self.subscription, self.secret.secret)
    }
}

impl Serialize for Created {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        self.subscription.entries(&mut object, Some(self.secret()))?;
        object.end()
    }
}
