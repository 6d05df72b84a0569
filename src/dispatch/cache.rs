//! Answers that were given before, each good for one version of the file.
//!
//! A thread reads a shard of its own, because one lock or one count of references pulled to and fro between two threads
//! makes both slower than one. A shard holds no more than a pointer an answer: the lists, and the subscribers in them,
//! stand in the pool once for all shards and all answers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::{Subscriber, Subscribers};
use crate::store::Made as _;

/// The most that is kept, in bytes as counted here. What would go beyond it empties the memo first.
const MOST: usize = 96 << 20;

/// What an answer takes besides its list: its keys and counts in the pool and in a shard.
const ANSWER: usize = 256;

const SHARDS: usize = 16;

pub(crate) struct DispatchCache {
    shards: [RwLock<Shard>; SHARDS],
    pool: Mutex<Pool>,
    most: usize,
}

/// What one thread of `SHARDS` reads, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    version: u64,
    answers: HashMap<Arc<str>, Subscribers>,
}

/// Everything that is known of one version of the file.
#[derive(Default)]
struct Pool {
    version: u64,
    answers: HashMap<Arc<str>, Arc<[Subscriber]>>,
    /// By their place in the file.
    subscribers: HashMap<i64, Subscriber>,
    weight: usize,
    /// The answers of the last version before that gave any: what the next are made of, where the file still says it.
    before: Before,
}

#[derive(Default)]
struct Before {
    answers: HashMap<Arc<str>, Arc<[Subscriber]>>,
    weight: usize,
}

impl DispatchCache {
    pub(crate) fn new() -> DispatchCache {
        DispatchCache { shards: Default::default(), pool: Mutex::default(), most: MOST }
    }

    /// The answer of this very version, if it was given before.
    pub(crate) fn get(&self, version: u64, event_type: &str) -> Option<Subscribers> {
        {
            let shard = self.shard()?.read().unwrap_or_else(PoisonError::into_inner);
            if shard.version == version
                && let Some(answer) = shard.answers.get(event_type)
            {
                return Some(answer.clone());
            }
        }
        let pool = self.pool();
        if pool.version != version {
            return None;
        }
        let (name, list) = pool.answers.get_key_value(event_type)?;
        Some(self.put(version, name.clone(), list.clone()))
    }

    /// Whether a look for a [subscriber](DispatchCache::subscriber) of this version can find any.
    pub(crate) fn knows_subscribers(&self, version: u64) -> bool {
        let pool = self.pool();
        pool.version == version && !pool.subscribers.is_empty()
    }

    /// A subscriber that an answer of this version holds already.
    pub(crate) fn subscriber(&self, version: u64, place: i64) -> Option<Subscriber> {
        let pool = self.pool();
        if pool.version == version { pool.subscribers.get(&place).cloned() } else { None }
    }

    /// What the answer was before this version. Nothing in it is true until the file has said so again.
    pub(crate) fn before(&self, version: u64, event_type: &str) -> Option<Arc<[Subscriber]>> {
        let pool = self.pool();
        let answers = if pool.version < version { &pool.answers } else { &pool.before.answers };
        answers.get(event_type).cloned()
    }

    /// Keeps an answer that was read no earlier than `version` was the file's.
    pub(crate) fn keep(
        &self,
        version: u64,
        event_type: &str,
        list: Vec<Subscriber>,
    ) -> Subscribers {
        let (name, answer): (Arc<str>, Arc<[Subscriber]>) = (event_type.into(), list.into());
        // Dropped last, when nobody waits: it can be as large as the memo.
        let mut old = Vec::new();
        let mut pool = self.pool();
        if pool.version > version {
            return Subscribers::new(answer);
        }
        if pool.version < version {
            self.empty_shards();
            old.push(pool.turn_to(version));
        }
        pool.add(&name, &answer);
        if pool.whole_weight() > self.most {
            old.push(pool.forget_before());
        }
        if pool.whole_weight() > self.most {
            self.empty_shards();
            old.push(pool.empty());
            pool.add(&name, &answer);
        }
        if pool.whole_weight() > self.most {
            old.push(pool.empty());
            return Subscribers::new(answer);
        }
        let kept = self.put(version, name, answer);
        drop(pool);
        kept
    }

    /// Puts a pool's answer into the thread's shard. The pool is locked meanwhile, so that no older one can follow.
    fn put(&self, version: u64, name: Arc<str>, list: Arc<[Subscriber]>) -> Subscribers {
        let answer = Subscribers::new(list);
        if let Some(shard) = self.shard() {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            if shard.version != version {
                shard.answers.clear();
                shard.version = version;
            }
            shard.answers.insert(name, answer.clone());
        }
        answer
    }

    fn empty_shards(&self) {
        for shard in &self.shards {
            // A reader of another thread holds it for no longer than a look-up.
            shard.write().unwrap_or_else(PoisonError::into_inner).answers.clear();
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self) -> Option<&RwLock<Shard>> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
        }
        // None only while the thread is being torn down; it goes on without.
        THREAD.try_with(|thread| self.shards.get(*thread)).ok().flatten()
    }
}

impl Pool {
    /// Begins a version with nothing but what the one before answered, and hands over what is of no use any more.
    fn turn_to(&mut self, version: u64) -> Pool {
        let old = mem::replace(self, Pool { version, ..Pool::default() });
        self.before = Before { answers: old.answers, weight: old.weight };
        Pool { subscribers: old.subscribers, before: old.before, ..Pool::default() }
    }

    /// Leaves nothing but the version, and hands over the rest.
    fn empty(&mut self) -> Pool {
        let version = self.version;
        mem::replace(self, Pool { version, ..Pool::default() })
    }

    fn forget_before(&mut self) -> Pool {
        Pool { before: mem::take(&mut self.before), ..Pool::default() }
    }

    fn add(&mut self, name: &Arc<str>, answer: &Arc<[Subscriber]>) {
        self.answers.insert(name.clone(), answer.clone());
        let mut weight = [ANSWER, name.len(), size_of_val(&**answer)].iter().sum::<usize>();
        self.subscribers.reserve(answer.len());
        for subscriber in &**answer {
            if let Entry::Vacant(free) = self.subscribers.entry(subscriber.of().place) {
                weight = weight.saturating_add(subscriber.weight());
                free.insert(subscriber.clone());
            }
        }
        self.weight = self.weight.saturating_add(weight);
    }

    fn whole_weight(&self) -> usize {
        self.weight.saturating_add(self.before.weight)
    }
}

impl fmt::Debug for DispatchCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pool = self.pool();
        f.debug_struct("DispatchCache")
            .field("answers", &pool.answers.len())
            .field("weight", &pool.weight)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SubscriptionId;
    use crate::secret::{IssuedSecret, SigningSecret};
    use crate::store::Recipient;
    use crate::time::Clock;

    fn subscriber(place: i64) -> Subscriber {
        let recipient = Recipient {
            place,
            id: "01K9V3T0Z2B4C6D8E0F2G4H6J8".parse::<SubscriptionId>().unwrap(),
            name: format!("s{place}"),
            url: "https://example.com/".to_owned(),
            metadata: Default::default(),
            secrets: vec![IssuedSecret::current(
                SigningSecret::generate().unwrap(),
                Clock::default().now(),
            )],
        };
        Subscriber::new(recipient, Clock::default())
    }

    fn names(answer: Option<Subscribers>) -> Option<Vec<String>> {
        answer.map(|answer| answer.iter().map(|subscriber| subscriber.name().to_owned()).collect())
    }

    fn elsewhere(memo: &DispatchCache, version: u64, event_type: &str) -> Option<Subscribers> {
        std::thread::scope(|scope| scope.spawn(|| memo.get(version, event_type)).join().unwrap())
    }

    #[test]
    fn an_answer_is_good_for_its_version_only() {
        let memo = DispatchCache::new();
        memo.keep(1, "a", vec![subscriber(1)]);
        assert_eq!(names(memo.get(1, "a")), Some(vec!["s1".to_owned()]));
        assert_eq!(names(memo.get(0, "a")), None);
        assert_eq!(names(memo.get(2, "a")), None);
        memo.keep(2, "b", vec![subscriber(2)]);
        assert_eq!(names(memo.get(1, "a")), None);
        assert_eq!(names(memo.get(2, "a")), None);
        assert_eq!(names(memo.get(2, "b")), Some(vec!["s2".to_owned()]));
    }

    #[test]
    fn an_answer_that_comes_late_is_not_kept() {
        let memo = DispatchCache::new();
        memo.keep(2, "a", vec![subscriber(2)]);
        assert_eq!(
            names(Some(memo.keep(1, "a", vec![subscriber(1)]))),
            Some(vec!["s1".to_owned()])
        );
        assert_eq!(names(memo.get(1, "a")), None);
        assert_eq!(names(memo.get(2, "a")), Some(vec!["s2".to_owned()]));
    }

    #[test]
    fn another_thread_gets_the_same_list_and_not_a_copy() {
        let memo = DispatchCache::new();
        let here = memo.keep(1, "a", vec![subscriber(1)]);
        let there = elsewhere(&memo, 1, "a").unwrap();
        assert!(std::ptr::eq(&raw const *here, &raw const *there));
        assert!(
            Arc::ptr_eq(&here.0, &memo.get(1, "a").unwrap().0),
            "the pointer is made once for a thread"
        );
    }

    /// A list of whom each carries this much text four times.
    fn heavy(places: std::ops::Range<i64>, text: usize) -> Vec<Subscriber> {
        let heavy = |place: i64| {
            let recipient = Recipient {
                place,
                id: "01K9V3T0Z2B4C6D8E0F2G4H6J8".parse::<SubscriptionId>().unwrap(),
                name: "n".repeat(text),
                url: "u".repeat(text),
                metadata: [("k".repeat(text), "v".repeat(text))].into(),
                secrets: Vec::new(),
            };
            Subscriber::new(recipient, Clock::default())
        };
        places.map(heavy).collect()
    }

    #[test]
    fn what_is_kept_weighs_its_text_each_subscriber_once_and_a_pointer_for_each_answer() {
        let memo = DispatchCache::new();
        let weigh = |event_type: &str, list| {
            let before = memo.pool().weight;
            memo.keep(1, event_type, list);
            memo.pool().weight - before
        };
        let (none, some) = (weigh("a", heavy(1..2, 0)), weigh("b", heavy(2..3, 10_000)));
        assert_eq!(some - none, 40_000);
        assert_eq!(weigh("c", heavy(1..3, 10_000)), ANSWER + 1 + 2 * size_of::<Subscriber>());
        assert_eq!(weigh("dddd", heavy(1..2, 0)), ANSWER + 4 + size_of::<Subscriber>());
        let secret = subscriber(3);
        let keys = secret
            .secrets()
            .map(|secret| secret.expose().len() + secret.key().len())
            .sum::<usize>();
        assert!((keys..keys + 500).contains(&(secret.weight() - heavy(4..5, 0)[0].weight())));
        // Another version begins with nothing.
        memo.keep(2, "a", heavy(1..2, 0));
        assert_eq!(memo.pool().weight, none);
    }

    #[test]
    fn a_subscriber_is_known_at_its_place_in_its_version_only() {
        let memo = DispatchCache::new();
        assert!(!memo.knows_subscribers(0));
        memo.keep(1, "a", vec![subscriber(1), subscriber(2)]);
        assert_eq!([0, 1, 2].map(|version| memo.knows_subscribers(version)), [false, true, false]);
        let known =
            |version, place| memo.subscriber(version, place).map(|found| found.name().to_owned());
        assert_eq!(known(1, 2), Some("s2".to_owned()));
        assert_eq!(known(1, 3), None);
        assert_eq!(known(0, 2), None);
        assert_eq!(known(2, 2), None);
        // The one that is there stays, so that all answers hold the same.
        let first = memo.subscriber(1, 1).unwrap();
        memo.keep(1, "b", vec![subscriber(1)]);
        assert!(Arc::ptr_eq(&memo.subscriber(1, 1).unwrap().0, &first.0));
        memo.keep(2, "b", vec![subscriber(1)]);
        assert_eq!(known(1, 2), None);
        assert_eq!(known(2, 2), None);
    }

    #[test]
    fn what_was_answered_in_the_version_before_is_there_to_be_made_use_of_and_no_longer() {
        let memo = DispatchCache::new();
        let before =
            |version, event_type: &str| memo.before(version, event_type).map(|list| list.len());
        memo.keep(1, "a", vec![subscriber(1)]);
        assert_eq!(before(1, "a"), None, "it is of this version");
        assert_eq!(before(2, "a"), Some(1));
        memo.keep(2, "b", vec![subscriber(1), subscriber(2)]);
        assert_eq!((before(2, "a"), before(2, "b")), (Some(1), None));
        memo.keep(5, "c", vec![subscriber(1)]);
        assert_eq!((before(5, "a"), before(5, "b")), (None, Some(2)));
    }

    #[test]
    fn what_is_of_no_use_any_more_is_handed_over_to_be_dropped_when_nobody_waits() {
        let memo = DispatchCache::new();
        memo.keep(1, "a", vec![subscriber(1)]);
        memo.keep(2, "b", vec![subscriber(2), subscriber(3)]);
        let old = memo.pool().turn_to(3);
        assert_eq!((old.subscribers.len(), old.before.answers.len()), (2, 1));
    }

    #[test]
    fn what_was_answered_before_counts_and_goes_first() {
        let measured = DispatchCache::new();
        measured.keep(1, "a", vec![subscriber(1)]);
        let weight = measured.pool().weight;
        let memo = DispatchCache { most: 2 * weight, ..DispatchCache::new() };
        memo.keep(1, "a", vec![subscriber(1)]);
        memo.keep(2, "b", vec![subscriber(2)]);
        assert_eq!(memo.pool().whole_weight(), 2 * weight);
        assert!(memo.before(2, "a").is_some() && memo.get(2, "b").is_some());
        memo.keep(2, "c", vec![subscriber(3)]);
        assert!(memo.before(2, "a").is_none());
        assert!(memo.get(2, "b").is_some() && memo.get(2, "c").is_some());
        assert_eq!(memo.pool().whole_weight(), 2 * weight);
    }

    #[test]
    fn what_goes_beyond_the_bound_empties_the_memo_and_what_is_larger_is_not_kept() {
        let one = subscriber(1);
        let weight = one.weight() + size_of::<Subscriber>() + ANSWER + 1;
        let memo = DispatchCache { most: 2 * weight, ..DispatchCache::new() };
        memo.keep(1, "a", vec![one]);
        memo.keep(1, "b", vec![subscriber(2)]);
        assert!(memo.get(1, "a").is_some() && memo.get(1, "b").is_some());
        memo.keep(1, "c", vec![subscriber(3)]);
        assert!(memo.get(1, "a").is_none() && memo.get(1, "b").is_none());
        assert!(memo.get(1, "c").is_some());
        assert!(elsewhere(&memo, 1, "c").is_some() && elsewhere(&memo, 0, "c").is_none());
        let large = memo.keep(1, "d", (10..20).map(subscriber).collect());
        assert_eq!(large.len(), 10);
        assert!(memo.get(1, "d").is_none());
        assert!(memo.pool().weight <= memo.most);
        assert_eq!(format!("{memo:?}"), "DispatchCache { answers: 0, weight: 0 }");
        // What just fits is kept, also where it has to have the memo to itself.
        let measured = DispatchCache::new();
        measured.keep(1, "a", vec![subscriber(1)]);
        let memo = DispatchCache { most: measured.pool().weight, ..DispatchCache::new() };
        memo.keep(1, "a", vec![subscriber(1)]);
        assert!(memo.get(1, "a").is_some());
        memo.keep(1, "b", vec![subscriber(2)]);
        assert!(memo.get(1, "a").is_none() && memo.get(1, "b").is_some());
    }
}
