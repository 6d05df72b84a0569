//! What an answer of dispatch is asked for, and answers by that.

use std::collections::HashMap;
use std::sync::Arc;

use crate::scope::Scope;

/// What an answer is asked for: the subscribers of an event type in a scope.
#[derive(Clone, Copy)]
pub(crate) struct Question<'q> {
    pub(crate) scope: &'q Scope,
    pub(crate) event_type: &'q str,
}

/// Answers by event type, and those of an event type by scope. So a look-up without an owner
/// hashes and compares no more than the event type.
pub(super) struct Answers<T>(HashMap<Arc<str>, AnswersByScope<T>>);

struct AnswersByScope<T> {
    no_owner: Option<T>,
    every: Option<T>,
    owners: HashMap<Arc<str>, T>,
}

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

    /// Inserts the answer for an event type in a scope.
    pub(super) fn insert(&mut self, event_type: Arc<str>, scope: &Scope, answer: T) {
        let answers = self.0.entry(event_type).or_default();
        match scope {
            Scope::NoOwner => answers.no_owner = Some(answer),
            Scope::Every => answers.every = Some(answer),
            Scope::Owner(owner) => {
                answers.owners.insert(owner.clone(), answer);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
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
        Answers(HashMap::new())
    }
}

impl<T> Default for AnswersByScope<T> {
    fn default() -> AnswersByScope<T> {
        AnswersByScope { no_owner: None, every: None, owners: HashMap::new() }
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
            answers.insert("a.v1".into(), scope, count);
        }
        let found = scopes
            .each_ref()
            .map(|scope| answers.get(Question { scope, event_type: "a.v1" }).copied());
        assert_eq!(found, [0, 1, 2, 3].map(Some));
        assert_eq!(answers.get(Question { scope: &Scope::NoOwner, event_type: "b.v1" }), None);
        assert_eq!(answers.event_type("a.v1").map(|name| &**name), Some("a.v1"));
        answers.clear();
        assert_eq!((answers.len(), answers.event_type("a.v1")), (0, None));
    }
}
