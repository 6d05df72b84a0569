//! The subscriptions that a handle of a registry reaches.

use std::sync::Arc;

/// The scope of a handle. The owner of a subscription is the owner of the handle that creates it. A
/// document never sets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Subscriptions without an owner: the scope of the registry itself.
    #[default]
    NoOwner,
    /// Subscriptions of one owner.
    Owner(Arc<str>),
    /// All subscriptions, with and without an owner.
    Every,
}
