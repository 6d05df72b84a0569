//! The subscriptions that a handle of a registry can see.

use std::sync::Arc;

/// The owners to whose subscriptions a call is limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Subscriptions without an owner.
    NoOwner,
    /// The subscriptions of one owner.
    Owner(Arc<str>),
    /// All subscriptions.
    Every,
}

impl Scope {
    /// Returns the owner of a subscription that is created in this scope.
    pub(crate) fn owner(&self) -> Option<&Arc<str>> {
        match self {
            Scope::Owner(owner) => Some(owner),
            Scope::NoOwner | Scope::Every => None,
        }
    }
}
