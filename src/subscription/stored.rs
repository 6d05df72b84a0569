use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::fields::SubscriptionFields;
use crate::id::SubscriptionId;
use crate::pattern::EventPattern;
use crate::secret::SigningSecret;
use crate::time::Millis;

/// A subscription as the registry stores it, without its secret.
///
/// # JSON
///
/// The keys of the webhook API that this crate mirrors, in this order: `subscriptionId`, `name`,
/// `url`, `events`, `enabled`, then `description`, `metadata`, `owner`, `disabledReason` and
/// `disabledAt` when set, `createdAt` and `updatedAt`, `revision`. Times are written as in RFC
/// 3339, in UTC with milliseconds and `Z`.
#[derive(Clone, PartialEq, Eq)]
pub struct Subscription {
    pub(crate) id: SubscriptionId,
    pub(crate) owner: Option<Arc<str>>,
    pub(crate) fields: SubscriptionFields,
    /// None on an enabled subscription, and only there.
    pub(crate) disabled_at: Option<Millis>,
    pub(crate) created_at: Millis,
    pub(crate) updated_at: Millis,
    pub(crate) revision: u64,
}

impl Subscription {
    /// Returns the id, which never changes.
    pub fn id(&self) -> SubscriptionId {
        self.id
    }

    /// Returns the owner, which never changes. `None` if the subscription has none.
    ///
    /// It is that of the handle that created the subscription, see
    /// [`Registry::for_owner`](crate::Registry::for_owner).
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Returns the name, which is unique among the subscriptions of the owner, or among those
    /// without one.
    pub fn name(&self) -> &str {
        &self.fields.name
    }

    /// Returns the URL exactly as it was given.
    pub fn url(&self) -> &str {
        &self.fields.url
    }

    /// Returns the patterns in the order given.
    pub fn events(&self) -> &[EventPattern] {
        &self.fields.events
    }

    /// Returns whether dispatch includes the subscription.
    pub fn enabled(&self) -> bool {
        self.fields.enabled
    }

    /// Returns the description, a text for people.
    pub fn description(&self) -> Option<&str> {
        self.fields.description.as_deref()
    }

    /// Returns the entries that the application stores with the subscription.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.fields.metadata
    }

    /// Returns the reason why the subscription is disabled, if one was given. `None` while it is
    /// enabled.
    pub fn disabled_reason(&self) -> Option<&str> {
        self.fields.disabled_reason.as_deref()
    }

    /// Returns the time of the call that disabled the subscription, or created it disabled, in
    /// whole milliseconds. `None` while it is enabled.
    ///
    /// A later change of the reason does not change the time.
    pub fn disabled_at(&self) -> Option<SystemTime> {
        self.disabled_at.map(SystemTime::from)
    }

    /// Returns the time of creation, in whole milliseconds.
    pub fn created_at(&self) -> SystemTime {
        self.created_at.into()
    }

    /// Returns the time of the last call that changed the subscription, in whole milliseconds.
    pub fn updated_at(&self) -> SystemTime {
        self.updated_at.into()
    }

    /// Returns the revision: 1 on creation, one more after each call that changed something.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the next revision of the subscription, with these fields.
    #[must_use]
    pub(crate) fn next_revision(&self, fields: SubscriptionFields, now: Millis) -> Subscription {
        let disabled_at = if fields.enabled { None } else { self.disabled_at.or(Some(now)) };
        Subscription {
            id: self.id,
            owner: self.owner.clone(),
            fields,
            disabled_at,
            created_at: self.created_at,
            updated_at: now,
            revision: self.revision.saturating_add(1),
        }
    }

    pub(super) fn serialize_entries<M: SerializeMap>(
        &self,
        object: &mut M,
        secret: Option<&SigningSecret>,
    ) -> Result<(), M::Error> {
        let Subscription { id, owner, fields, disabled_at, created_at, updated_at, revision } =
            self;
        object.serialize_entry("subscriptionId", id)?;
        fields.serialize_entries(object, secret)?;
        if let Some(owner) = owner {
            object.serialize_entry("owner", owner.as_ref())?;
        }
        fields.serialize_disabled(object, disabled_at.as_ref())?;
        object.serialize_entry("createdAt", created_at)?;
        object.serialize_entry("updatedAt", updated_at)?;
        object.serialize_entry("revision", revision)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Subscription { id, owner, fields, disabled_at, created_at, updated_at, revision } =
            self;
        let mut debug = f.debug_struct("Subscription");
        debug.field("id", id);
        fields.debug_fields(&mut debug, None);
        debug
            .field("owner", owner)
            .field("disabled_at", disabled_at)
            .field("created_at", created_at)
            .field("updated_at", updated_at)
            .field("revision", revision)
            .finish()
    }
}

impl Serialize for Subscription {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        self.serialize_entries(&mut object, None)?;
        object.end()
    }
}
