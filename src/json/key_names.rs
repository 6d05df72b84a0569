//! The keys of the documents that are read. Where some are required, they come first.

/// A subscription to create, the body of `POST /subscriptions`.
pub(crate) const NEW_SUBSCRIPTION: &[&str] = SUBSCRIPTION_UPDATE.split_at(8).0;

/// A change of a subscription, the body of `PATCH /subscriptions/{id}`.
pub(crate) const SUBSCRIPTION_UPDATE: &[&str] = &[
    "name",
    "url",
    "events",
    "enabled",
    "secret",
    "description",
    "metadata",
    "disabledReason",
    "ifRevision",
];

/// A query of `GET /subscriptions`.
pub(crate) const LIST_QUERY: &[&str] =
    &["enabled", "nameContains", "eventType", "metadata", "after", "limit"];

pub(crate) const ROTATION: &[&str] = &["secret", "overlapSeconds"];

/// A catalog, the answer of `GET /event-types`.
pub(crate) const CATALOG: &[&str] = &["eventTypes"];

pub(crate) const EVENT_TYPE: &[&str] = &["name", "description", "jsonSchema"];

pub(crate) const EXPORT: [&str; 3] = ["formatVersion", "eventTypes", "subscriptions"];

pub(crate) const EXPORTED_SUBSCRIPTION: &[&str] = &[
    "subscriptionId",
    "name",
    "url",
    "events",
    "enabled",
    "createdAt",
    "updatedAt",
    "revision",
    "secrets",
    "description",
    "metadata",
    "owner",
    "disabledReason",
    "disabledAt",
];

pub(crate) const EXPORTED_SECRET: &[&str] = &["secret", "createdAt", "expiresAt"];

/// A changed field in the history.
pub(crate) const FIELD_CHANGE: &[&str] = &["name", "before", "after"];
