//! The key of a cached answer, and the maps from keys to answers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::scope::Scope;

/// A map with a faster hash function than the standard one. It promises no resistance to keys that
/// are chosen to collide. But its seed differs between processes, nothing shows the order of the
/// entries, and the cache is limited.
pub(super) type Map<K, V> = HashMap<K, V, RandomState>;

/// The event type and the scope of a look-up.
#[derive(Clone, Copy)]
pub(crate) struct Question<'q> {
    pub(crate) scope: &'q Scope,
    pub(crate) event_type: &'q str,
}

/// Answers by event type, and those of an event type by scope. So a look-up without an owner
/// hashes and compares no more than the event type.
pub(super) struct Answers<T>(Map<Arc<str>, AnswersByScope<T>>);

struct AnswersByScope<T> {
    no_owner: Option<T>,
    every: Option<T>,
    owners: Map<Arc<str>, T>,
}

/// The number of event types for which a cleared map keeps its table.
const MAX_KEPT_EVENT_TYPES: usize = 64;

impl<T> Answers<T> {
    /// Returns the answer to a question.
    #[inline]
    pub(super) fn get(&self, question: Question<'_>) -> Option<&T> {
        let answers = self.0.get(question.event_type)?;
        match question.scope {
            Scope::NoOwner => answers.no_owner.as_ref(),
            Scope::Every => answers.every.as_ref(),
            Scope::Owner(owner) => answers.owners.get(owner),
        }
    }

    /// Returns the name of an event type that has an answer, for other maps to share.
    pub(super) fn event_type(&self, name: &str) -> Option<&Arc<str>> {
        self.0.get_key_value(name).map(|(shared, _)| shared)
    }

    /// Inserts the answer for an event type in a scope. Returns about how many bytes the maps have
    /// grown by.
    pub(super) fn insert(&mut self, event_type: Arc<str>, scope: &Scope, answer: T) -> usize {
        // A map has between 8/7 and 16/7 buckets for each entry, and at least 4.
        let (mut event_types, mut owners) = (0_usize, 0_usize);
        let answers = match self.0.entry(event_type) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => {
                event_types = 2;
                free.insert(AnswersByScope::default())
            }
        };
        match scope {
            Scope::NoOwner => answers.no_owner = Some(answer),
            Scope::Every => answers.every = Some(answer),
            Scope::Owner(owner) => {
                let buckets = if answers.owners.is_empty() { 4 } else { 2 };
                if answers.owners.insert(owner.clone(), answer).is_none() {
                    owners = buckets;
                }
            }
        }
        event_types
            .saturating_mul(size_of::<(Arc<str>, AnswersByScope<T>)>())
            .saturating_add(owners.saturating_mul(size_of::<(Arc<str>, T)>()))
    }

    /// Removes all answers, and frees all but a small table.
    pub(super) fn clear(&mut self) {
        self.0.clear();
        self.0.shrink_to(MAX_KEPT_EVENT_TYPES);
    }

    /// Returns the number of answers.
    pub(super) fn len(&self) -> usize {
        let count = |answers: &AnswersByScope<T>| {
            [answers.no_owner.iter().len(), answers.every.iter().len(), answers.owners.len()]
                .iter()
                .sum::<usize>()
        };
        self.0.values().map(count).sum()
    }
}

impl<T> Default for Answers<T> {
    fn default() -> Answers<T> {
        Answers(Map::default())
    }
}

impl<T> Default for AnswersByScope<T> {
    fn default() -> AnswersByScope<T> {
        AnswersByScope { no_owner: None, every: None, owners: Map::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_has_answers_of_its_own_and_shares_the_name_of_the_event_type() {
        let scopes = [
            Scope::NoOwner,
            Scope::Every,
            Scope::Owner("acme".into()),
            Scope::Owner("globex".into()),
        ];
        let mut answers = Answers::default();
        for (count, scope) in scopes.iter().enumerate() {
            assert_eq!(answers.get(Question { scope, event_type: "a.v1" }), None);
            assert_eq!(answers.len(), count);
            let grown = answers.insert("a.v1".into(), scope, count);
            assert_eq!(grown > 0, scope.owner().is_some() || count == 0, "{scope:?}");
            assert_eq!(answers.insert("a.v1".into(), scope, count), 0, "nothing is new");
        }
        let found = scopes
            .each_ref()
            .map(|scope| answers.get(Question { scope, event_type: "a.v1" }).copied());
        assert_eq!(found, [0, 1, 2, 3].map(Some));
        assert_eq!(answers.get(Question { scope: &Scope::NoOwner, event_type: "b.v1" }), None);
        assert_eq!(answers.event_type("a.v1").map(|name| &**name), Some("a.v1"));
        answers.clear();
        assert_eq!((answers.len(), answers.event_type("a.v1")), (0, None));
        for number in 0..10 * MAX_KEPT_EVENT_TYPES {
            answers.insert(format!("type{number}").into(), &Scope::NoOwner, number);
        }
        answers.clear();
        assert!(
            (1..4 * MAX_KEPT_EVENT_TYPES).contains(&answers.0.capacity()),
            "a large table is freed"
        );
    }
}
