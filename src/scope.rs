//! Which subscriptions a handle of a registry reaches.

use std::sync::Arc;

/// The subscriptions of one handle. The owner of a subscription is decided by the handle that
/// creates it and never by a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those without an owner: the scope of the registry itself.
    #[default]
    NoOwner,
    /// Those of one owner.
    Owner(Arc<str>),
    /// Those of every owner, and those without one.
    Every,
}
