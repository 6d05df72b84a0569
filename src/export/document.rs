use std::fmt;

use serde::ser::{Serialize, SerializeMap as _, SerializeStruct as _, Serializer};

use crate::event_type::EventType;
use crate::secret::{IssuedSecret, SecretText};
use crate::subscription::{Subscription, SubscriptionFields};

/// The only format that this version reads and writes.
pub(crate) const FORMAT: u64 = 1;

/// Everything that a registry contains, as one JSON document.
///
/// [`Registry::export`](crate::Registry::export) returns it, and
/// [`Registry::import`](crate::Registry::import) takes it.
///
/// **It contains every live secret as text**, also when the registry is encrypted. Its `Debug`
/// shows no secret.
///
/// # JSON
///
/// `{"formatVersion": 1, "eventTypes": […], "subscriptions": […]}`. Event types are ordered by
/// name, subscriptions by creation. Each subscription has the keys of a
/// [`Subscription`](crate::Subscription) and `secrets`, newest first:
/// `{"secret", "createdAt", "expiresAt"}`, where only replaced secrets have `expiresAt`. The same
/// registry always gives the same document.
///
/// Deserializing rejects unknown keys, except those of an [`EventType`](crate::EventType). If
/// `formatVersion` is another, nothing else is read, wherever that key stands, and importing the
/// document fails.
#[derive(Clone, PartialEq, Eq)]
pub struct Export {
    pub(crate) format_version: u64,
    pub(crate) event_types: Vec<EventType>,
    pub(crate) subscriptions: Vec<Exported>,
}

/// One subscription of the document, not validated.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Exported {
    pub(super) id: String,
    pub(super) owner: Option<String>,
    pub(super) fields: SubscriptionFields<String>,
    pub(super) disabled_at: Option<String>,
    pub(super) created_at: String,
    pub(super) updated_at: String,
    pub(super) revision: u64,
    pub(super) secrets: Vec<ExportedSecret>,
}

/// One secret of the document, not validated.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct ExportedSecret {
    pub(super) secret: SecretText,
    pub(super) created_at: String,
    pub(super) expires_at: Option<String>,
}

impl Exported {
    /// Returns the entry of a subscription and its secrets, newest first.
    pub(crate) fn new(subscription: Subscription, secrets: Vec<IssuedSecret>) -> Exported {
        let Subscription { id, owner, fields, disabled_at, created_at, updated_at, revision } =
            subscription;
        Exported {
            id: id.to_string(),
            owner: owner.as_deref().map(str::to_owned),
            fields: fields.into_unvalidated(),
            disabled_at: disabled_at.map(|since| since.to_string()),
            created_at: created_at.to_string(),
            updated_at: updated_at.to_string(),
            revision,
            secrets: secrets.into_iter().map(ExportedSecret::new).collect(),
        }
    }
}

impl ExportedSecret {
    fn new(issued: IssuedSecret) -> ExportedSecret {
        let IssuedSecret { secret, created_at, expires_at } = issued;
        ExportedSecret {
            secret: SecretText::from(secret.expose().to_owned()),
            created_at: created_at.to_string(),
            expires_at: expires_at.map(|until| until.to_string()),
        }
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Export { format_version, event_types, subscriptions } = self;
        f.debug_struct("Export")
            .field("format_version", format_version)
            .field("event_types", &event_types.len())
            .field("subscriptions", &subscriptions.len())
            .finish_non_exhaustive()
    }
}

impl Serialize for Export {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Export { format_version, event_types, subscriptions } = self;
        let mut object = serializer.serialize_struct("Export", 3)?;
        object.serialize_field("formatVersion", format_version)?;
        object.serialize_field("eventTypes", event_types)?;
        object.serialize_field("subscriptions", subscriptions)?;
        object.end()
    }
}

impl Serialize for Exported {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Exported { id, owner, fields, disabled_at, created_at, updated_at, revision, secrets } =
            self;
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("subscriptionId", id)?;
        fields.serialize_entries(&mut object, None)?;
        if let Some(owner) = owner {
            object.serialize_entry("owner", owner)?;
        }
        fields.serialize_disabled(&mut object, disabled_at.as_ref())?;
        object.serialize_entry("createdAt", created_at)?;
        object.serialize_entry("updatedAt", updated_at)?;
        object.serialize_entry("revision", revision)?;
        object.serialize_entry("secrets", secrets)?;
        object.end()
    }
}

impl Serialize for ExportedSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ExportedSecret { secret, created_at, expires_at } = self;
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("secret", secret.as_str())?;
        object.serialize_entry("createdAt", created_at)?;
        if let Some(until) = expires_at {
            object.serialize_entry("expiresAt", until)?;
        }
        object.end()
    }
}
