//! The answers of one version of the file, and those of the version before.

use std::collections::hash_map::Entry;
use std::mem;
use std::sync::Arc;

use super::question::{Answers, Map, Question};
use super::subscriber::Subscriber;

/// The size of an answer without its list and its entries in maps: its counts, and what an
/// allocator adds.
pub(super) const ANSWER_BYTES: usize = 48;

/// Every cached answer of one version of the file.
#[derive(Default)]
pub(super) struct Pool {
    pub(super) version: u64,
    pub(super) answers: Answers<Arc<[Subscriber]>>,
    /// The subscribers of all answers by their positions, but for those of `unindexed`.
    subscribers: Map<i64, Subscriber>,
    /// The first answer of the version, until another one can share its subscribers. Where each
    /// answer follows on a change, none does, and an index of a long answer takes long.
    unindexed: Option<Arc<[Subscriber]>>,
    /// The size of the answers and the subscribers.
    pub(super) bytes: usize,
    /// The size of all shards.
    pub(super) shard_bytes: usize,
    pub(super) previous: PreviousAnswers,
}

/// The answers of the last earlier version that had any. New answers are built from them, after
/// each subscriber has been compared with the file.
#[derive(Default)]
pub(super) struct PreviousAnswers {
    pub(super) answers: Answers<Arc<[Subscriber]>>,
    pub(super) bytes: usize,
}

impl Pool {
    /// Starts a version that has only the previous answers. Returns what is no longer needed.
    pub(super) fn start_version(&mut self, version: u64) -> Pool {
        let old = mem::replace(self, Pool { version, ..Pool::default() });
        self.previous = PreviousAnswers { answers: old.answers, bytes: old.bytes };
        Pool {
            subscribers: old.subscribers,
            unindexed: old.unindexed,
            previous: old.previous,
            ..Pool::default()
        }
    }

    /// Removes everything but the version, and returns it.
    pub(super) fn empty(&mut self) -> Pool {
        let version = self.version;
        mem::replace(self, Pool { version, ..Pool::default() })
    }

    pub(super) fn remove_previous(&mut self) -> Pool {
        Pool { previous: mem::take(&mut self.previous), ..Pool::default() }
    }

    /// Adds an answer, and returns the name of its event type for other maps to share.
    pub(super) fn add(&mut self, question: Question<'_>, answer: &Arc<[Subscriber]>) -> Arc<str> {
        let Question { scope, event_type } = question;
        let shared = self.answers.event_type(event_type).cloned();
        let shared = shared.unwrap_or_else(|| event_type.into());
        let entries = self.answers.insert(shared.clone(), scope, answer.clone());
        let owner = scope.owner().map_or(0, |owner| owner.len());
        let mut bytes = [ANSWER_BYTES, entries, event_type.len(), owner, size_of_val(&**answer)]
            .iter()
            .sum::<usize>();
        if self.has_subscribers() {
            self.index_first_answer();
            bytes = bytes.saturating_add(self.index(answer));
        } else {
            bytes = bytes.saturating_add(answer.iter().map(Subscriber::bytes).sum());
            self.unindexed = Some(answer.clone());
        }
        self.bytes = self.bytes.saturating_add(bytes);
        shared
    }

    /// Returns whether any answer holds a subscriber.
    pub(super) fn has_subscribers(&self) -> bool {
        !self.subscribers.is_empty() || self.unindexed.as_ref().is_some_and(|list| !list.is_empty())
    }

    /// Returns the subscriber at a position, if any answer holds it.
    pub(super) fn subscriber(&mut self, position: i64) -> Option<&Subscriber> {
        self.index_first_answer();
        self.subscribers.get(&position)
    }

    fn index_first_answer(&mut self) {
        if let Some(first) = self.unindexed.take() {
            self.index(&first);
        }
    }

    /// Indexes the subscribers of an answer, and returns the size of those that are new.
    fn index(&mut self, answer: &[Subscriber]) -> usize {
        let mut bytes = 0_usize;
        self.subscribers.reserve(answer.len());
        for subscriber in answer {
            if let Entry::Vacant(free) = self.subscribers.entry(subscriber.fields().position) {
                bytes = bytes.saturating_add(subscriber.bytes());
                free.insert(subscriber.clone());
            }
        }
        bytes
    }

    pub(super) fn total_bytes(&self) -> usize {
        [self.bytes, self.shard_bytes, self.previous.bytes].iter().sum()
    }
}
