use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::subscriber::Subscriber;

/// The subscriptions that get an event, in the order of creation. Returned by
/// [`Registry::subscribers`](crate::Registry::subscribers).
///
/// The list is a snapshot: later changes do not appear in it. But a secret whose expiry was known
/// at that moment expires in the list too. Cloning the list copies a pointer.
#[derive(Clone)]
pub struct Subscribers(Arc<List>);

/// A list that several threads can share.
///
/// The second pointer is there for speed. Two threads that count references of the same list slow
/// each other down, so each thread clones an `Arc<List>` of its own.
struct List(Arc<[Subscriber]>);

impl Subscribers {
    /// Wraps a list.
    pub(crate) fn new(list: Arc<[Subscriber]>) -> Subscribers {
        Subscribers(Arc::new(List(list)))
    }

    /// Returns the names of the subscriptions, in the order of creation.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(Subscriber::name)
    }

    /// Returns whether both are clones of one value.
    #[cfg(test)]
    pub(super) fn is_clone_of(&self, other: &Subscribers) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for Subscribers {
    type Target = [Subscriber];

    fn deref(&self) -> &[Subscriber] {
        &self.0.0
    }
}

impl<'a> IntoIterator for &'a Subscribers {
    type Item = &'a Subscriber;
    type IntoIter = std::slice::Iter<'a, Subscriber>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.0.iter()
    }
}

impl fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}
