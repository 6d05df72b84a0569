//! The keys of cached answers: a scope and an event type.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::scope::Scope;

/// What an answer is asked for: the subscribers of an event type in a scope.
#[derive(Clone, Copy)]
pub(crate) struct Question<'q> {
    pub(crate) scope: &'q Scope,
    pub(crate) event_type: &'q str,
}

/// A question that a cache keeps. The pool and the shards share one text.
#[derive(Clone)]
pub(super) struct SharedKey(Arc<Kept>);

struct Kept {
    scope: Scope,
    event_type: Box<str>,
}

/// A key by which an answer is found. A look-up needs a trait object, because a map of owned keys
/// can only be asked by what every such key borrows as, and no key holds a [`Question`].
pub(super) trait AsQuestion {
    fn question(&self) -> Question<'_>;
}

impl<'q> Question<'q> {
    pub(super) fn as_key<'k>(&'k self) -> &'k (dyn AsQuestion + 'k)
    where
        'q: 'k,
    {
        self
    }
}

impl SharedKey {
    pub(super) fn new(question: Question<'_>) -> SharedKey {
        let Question { scope, event_type } = question;
        SharedKey(Arc::new(Kept { scope: scope.clone(), event_type: event_type.into() }))
    }

    /// Returns the length of the texts.
    pub(super) fn len(&self) -> usize {
        let owner = self.0.scope.owner().map_or(0, |owner| owner.len());
        self.0.event_type.len().saturating_add(owner)
    }
}

impl AsQuestion for Question<'_> {
    fn question(&self) -> Question<'_> {
        *self
    }
}

impl AsQuestion for SharedKey {
    fn question(&self) -> Question<'_> {
        Question { scope: &self.0.scope, event_type: &self.0.event_type }
    }
}

impl<'k> Borrow<dyn AsQuestion + 'k> for SharedKey {
    fn borrow(&self) -> &(dyn AsQuestion + 'k) {
        self
    }
}

impl Hash for dyn AsQuestion + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Question { scope, event_type } = self.question();
        event_type.hash(state);
        match scope {
            Scope::NoOwner => {}
            Scope::Owner(owner) => owner.hash(state),
            Scope::Every => state.write_u8(0),
        }
    }
}

impl PartialEq for dyn AsQuestion + '_ {
    fn eq(&self, other: &Self) -> bool {
        let (this, other) = (self.question(), other.question());
        this.event_type == other.event_type && this.scope == other.scope
    }
}

impl Eq for dyn AsQuestion + '_ {}

impl Hash for SharedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let key: &dyn AsQuestion = self;
        key.hash(state);
    }
}

impl PartialEq for SharedKey {
    fn eq(&self, other: &SharedKey) -> bool {
        let (this, other): (&dyn AsQuestion, &dyn AsQuestion) = (self, other);
        this == other
    }
}

impl Eq for SharedKey {}
