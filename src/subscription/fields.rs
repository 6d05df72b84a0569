use std::collections::BTreeMap;
use std::fmt;

use serde::ser::{Serialize, SerializeMap};

use crate::pattern::EventPattern;
use crate::secret::SigningSecret;
use crate::url_policy;

/// The fields of a subscription that a caller sets.
///
/// `P` is the type of a pattern: a `String` before validation, an [`EventPattern`] after it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct SubscriptionFields<P = EventPattern> {
    pub(crate) name: String,
    pub(crate) url: String,
    /// In the order given.
    pub(crate) events: Vec<P>,
    pub(crate) enabled: bool,
    pub(crate) description: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    /// Never set on an enabled subscription that meets the rules.
    pub(crate) disabled_reason: Option<String>,
}

impl SubscriptionFields {
    /// Returns the same fields with the texts of the patterns.
    pub(crate) fn into_unvalidated(self) -> SubscriptionFields<String> {
        let SubscriptionFields {
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            disabled_reason,
        } = self;
        let events = events.iter().map(ToString::to_string).collect();
        SubscriptionFields { name, url, events, enabled, description, metadata, disabled_reason }
    }
}

impl SubscriptionFields<String> {
    /// Returns whether the validated fields `other` are equal to these, `enabled` and the reason
    /// aside.
    ///
    /// Validation drops repeated patterns, so a list with repeats is never equal.
    pub(super) fn equal_except_state(&self, other: &SubscriptionFields) -> bool {
        let SubscriptionFields {
            name,
            url,
            events,
            enabled: _,
            description,
            metadata,
            disabled_reason: _,
        } = self;
        *name == other.name
            && *url == other.url
            && events.iter().eq(other.events.iter().map(EventPattern::as_str))
            && *description == other.description
            && *metadata == other.metadata
    }
}

impl<P: Serialize> SubscriptionFields<P> {
    /// Writes the JSON entries of the fields, except the reason, which
    /// [`serialize_disabled`](SubscriptionFields::serialize_disabled) writes. A secret stands after
    /// `enabled`.
    pub(crate) fn serialize_entries<M: SerializeMap>(
        &self,
        object: &mut M,
        secret: Option<&SigningSecret>,
    ) -> Result<(), M::Error> {
        let SubscriptionFields {
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            disabled_reason: _,
        } = self;
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
        Ok(())
    }

    /// Writes the JSON entries of a disabled subscription: its reason, and its time.
    pub(crate) fn serialize_disabled<M: SerializeMap>(
        &self,
        object: &mut M,
        disabled_at: Option<&impl Serialize>,
    ) -> Result<(), M::Error> {
        if let Some(reason) = &self.disabled_reason {
            object.serialize_entry("disabledReason", reason)?;
        }
        if let Some(time) = disabled_at {
            object.serialize_entry("disabledAt", time)?;
        }
        Ok(())
    }
}

impl<P: fmt::Debug> SubscriptionFields<P> {
    /// Adds the fields to the `Debug` text of the struct that embeds them. A secret, which has to
    /// redact itself, stands after `enabled`.
    ///
    /// The URL is redacted: no registry accepts a password in a URL, but an unvalidated URL can
    /// have one, and other programs can write to the file.
    pub(super) fn debug_fields(
        &self,
        debug: &mut fmt::DebugStruct<'_, '_>,
        secret: Option<&dyn fmt::Debug>,
    ) {
        let SubscriptionFields {
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            disabled_reason,
        } = self;
        debug
            .field("name", name)
            .field("url", &url_policy::redacted(url))
            .field("events", events)
            .field("enabled", enabled);
        if let Some(secret) = secret {
            debug.field("secret", secret);
        }
        debug
            .field("description", description)
            .field("metadata", metadata)
            .field("disabled_reason", disabled_reason);
    }
}
