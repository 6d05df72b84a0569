//! Caches the answers of dispatch, each for one version of the file.
//!
//! # The hazard
//!
//! An answer must never be older than the last commit of any process. So every answer belongs to a
//! version of the file, and a call asks for the version before it looks here. A thread can be
//! delayed between its read and [`DispatchCache::insert`], while others go on to a later version.
//! So the cache only moves forward: it rejects an answer of an earlier version, and an answer of a
//! later version removes all others.
//!
//! # Locks
//!
//! The pool holds every answer of one version, and a `Mutex` protects it. A look-up in it would
//! make two threads slower than one: they would pass the cache line of the lock, and that of the
//! list's reference count, to and fro. So each thread first looks into a shard of its own. A shard
//! holds one pointer for each answer, and the lists and subscribers in them are in the pool once.
//! A shard is a `RwLock` because the thread that moves the cache to a later version empties the
//! shards of the others. Its own thread nearly always finds it free.
//!
//! The pool is locked before a shard, never the other way round. While a thread copies an answer
//! from the pool to its shard, it keeps the pool locked: otherwise another thread could empty the
//! shards in between, and an old answer would get into a shard that has just been emptied.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::pool::{ANSWER_BYTES, Pool};
use super::question::{Answers, Question};
use super::subscriber::Subscriber;
use super::subscribers::Subscribers;
use crate::scope::Scope;

/// The limit of the cache in bytes, with all shards, as [`Pool::total_bytes`] counts them. An
/// answer that would exceed it empties the cache first. A shard takes nothing from the pool where
/// the limit is reached: each of many threads can hold a pointer for each answer.
const MAX_BYTES: usize = 96 << 20;

const SHARDS: usize = 16;

pub(crate) struct DispatchCache {
    shards: [Shard; SHARDS],
    pool: Mutex<Pool>,
    max_bytes: usize,
}

/// The answers that one of `SHARDS` threads reads, on cache lines of their own.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    /// True if there may be answers. It changes while the pool is locked, and tells which shards
    /// have to be locked to empty them all.
    filled: AtomicBool,
    kept: RwLock<ShardAnswers>,
}

#[derive(Default)]
struct ShardAnswers {
    version: u64,
    answers: Answers<Subscribers>,
}

impl DispatchCache {
    pub(crate) fn new() -> DispatchCache {
        DispatchCache { shards: Default::default(), pool: Mutex::default(), max_bytes: MAX_BYTES }
    }

    /// Returns the answer of exactly this version, if it is cached.
    pub(crate) fn get(&self, version: u64, question: Question<'_>) -> Option<Subscribers> {
        if let Some(shard) = self.shard() {
            let shard = shard.kept.read().unwrap_or_else(PoisonError::into_inner);
            if shard.version == version
                && let Some(answer) = shard.answers.get(question)
            {
                return Some(answer.clone());
            }
        }
        let mut pool = self.pool();
        if pool.version != version {
            return None;
        }
        let answer = pool.answers.get(question)?.clone();
        let event_type = pool.answers.event_type(question.event_type)?.clone();
        Some(self.insert_into_shard(&mut pool, event_type, question.scope, answer))
    }

    /// Returns the subscriber at a position, if any answer of this version holds it and its owner
    /// has this row.
    ///
    /// In a damaged file, a pattern can lead to a subscription of another owner. Nobody else may
    /// get that one, also where an answer for its owner holds it.
    pub(super) fn subscriber(
        &self,
        version: u64,
        position: i64,
        owner_row: i64,
    ) -> Option<Subscriber> {
        let mut pool = self.pool();
        let found = if pool.version == version { pool.subscriber(position) } else { None };
        found.filter(|found| found.fields().owner_row == owner_row).cloned()
    }

    /// Returns the previous answer, whose entries must be revalidated before use, and whether any
    /// answer of this version holds a [subscriber](DispatchCache::subscriber).
    pub(super) fn reusable(
        &self,
        version: u64,
        question: Question<'_>,
    ) -> (Option<Arc<[Subscriber]>>, bool) {
        let pool = self.pool();
        let answers = if pool.version < version { &pool.answers } else { &pool.previous.answers };
        let has_subscribers = pool.version == version && pool.has_subscribers();
        (answers.get(question).cloned(), has_subscribers)
    }

    /// Caches an answer that was read after the file had this version, and returns it.
    pub(crate) fn insert(
        &self,
        version: u64,
        question: Question<'_>,
        list: Vec<Subscriber>,
    ) -> Subscribers {
        let answer: Arc<[Subscriber]> = list.into();
        // Declared before the lock, so that it is dropped after it: freeing a whole cache takes
        // long, and nobody has to wait for that.
        let mut removed = Vec::new();
        let mut pool = self.pool();
        if pool.version > version {
            return Subscribers::new(answer);
        }
        if pool.version < version {
            self.empty_shards();
            removed.push(pool.start_version(version));
        }
        let mut event_type = pool.add(question, &answer);
        if pool.total_bytes() > self.max_bytes {
            removed.push(pool.remove_previous());
        }
        if pool.total_bytes() > self.max_bytes {
            self.empty_shards();
            removed.push(pool.empty());
            event_type = pool.add(question, &answer);
        }
        if pool.total_bytes() > self.max_bytes {
            removed.push(pool.empty());
            return Subscribers::new(answer);
        }
        let cached = self.insert_into_shard(&mut pool, event_type, question.scope, answer);
        drop(pool);
        cached
    }

    /// Inserts an answer of the pool into the thread's shard, unless the cache is full.
    fn insert_into_shard(
        &self,
        pool: &mut Pool,
        event_type: Arc<str>,
        scope: &Scope,
        list: Arc<[Subscriber]>,
    ) -> Subscribers {
        let answer = Subscribers::new(list);
        if let Some(shard) = self.shard()
            && pool.total_bytes() < self.max_bytes
        {
            shard.filled.store(true, Ordering::Relaxed);
            let mut shard = shard.kept.write().unwrap_or_else(PoisonError::into_inner);
            if shard.version != pool.version {
                shard.answers.clear();
                shard.version = pool.version;
            }
            let entries = shard.answers.insert(event_type, scope, answer.clone());
            pool.shard_bytes = [pool.shard_bytes, ANSWER_BYTES, entries].iter().sum();
        }
        answer
    }

    /// Empties every shard. The caller holds the lock of the pool.
    fn empty_shards(&self) {
        for shard in &self.shards {
            if shard.filled.load(Ordering::Relaxed) {
                shard.filled.store(false, Ordering::Relaxed);
                // Another thread holds the lock of its shard only for the time of a look-up.
                shard.kept.write().unwrap_or_else(PoisonError::into_inner).answers.clear();
            }
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self) -> Option<&Shard> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
        }
        // None only while the thread is being torn down. The call then goes on without a shard.
        THREAD.try_with(|thread| self.shards.get(*thread)).ok().flatten()
    }
}

impl fmt::Debug for DispatchCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pool = self.pool();
        f.debug_struct("DispatchCache")
            .field("answers", &pool.answers.len())
            .field("bytes", &pool.total_bytes())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::subscriber::SubscriberFields;
    use crate::id::SubscriptionId;
    use crate::scope::Scope;
    use crate::secret::{IssuedSecret, SigningSecret};
    use crate::time::Clock;

    fn ask(event_type: &str) -> Question<'_> {
        Question { scope: &Scope::NoOwner, event_type }
    }

    fn issued() -> IssuedSecret {
        IssuedSecret::current(SigningSecret::generate().unwrap(), Clock::default().now())
    }

    fn fields(position: i64) -> SubscriberFields {
        SubscriberFields {
            position,
            owner_row: 0,
            owner: None,
            id: "01K9V3T0Z2B4C6D8E0F2G4H6J8".parse::<SubscriptionId>().unwrap(),
            name: format!("s{position}"),
            url: "https://example.com/".to_owned(),
            metadata: Default::default(),
            enabled: true,
            secret: issued(),
            replaced_secrets: Vec::new(),
        }
    }

    fn subscriber(position: i64) -> Subscriber {
        Subscriber::new(fields(position), Clock::default())
    }

    fn names(answer: Option<Subscribers>) -> Option<Vec<String>> {
        answer.map(|answer| answer.iter().map(|subscriber| subscriber.name().to_owned()).collect())
    }

    fn get_from_another_thread(
        cache: &DispatchCache,
        version: u64,
        event_type: &str,
    ) -> Option<Subscribers> {
        std::thread::scope(|scope| {
            scope.spawn(|| cache.get(version, ask(event_type))).join().unwrap()
        })
    }

    #[test]
    fn an_answer_is_returned_for_its_version_only() {
        let cache = DispatchCache::new();
        cache.insert(1, ask("a"), vec![subscriber(1)]);
        assert_eq!(names(cache.get(1, ask("a"))), Some(vec!["s1".to_owned()]));
        assert_eq!(names(cache.get(0, ask("a"))), None);
        assert_eq!(names(cache.get(2, ask("a"))), None);
        cache.insert(2, ask("b"), vec![subscriber(2)]);
        assert_eq!(names(cache.get(1, ask("a"))), None);
        assert_eq!(names(cache.get(2, ask("a"))), None);
        assert_eq!(names(cache.get(2, ask("b"))), Some(vec!["s2".to_owned()]));
    }

    #[test]
    fn a_late_answer_of_an_earlier_version_is_not_cached() {
        let cache = DispatchCache::new();
        cache.insert(2, ask("a"), vec![subscriber(2)]);
        assert_eq!(
            names(Some(cache.insert(1, ask("a"), vec![subscriber(1)]))),
            Some(vec!["s1".to_owned()])
        );
        assert_eq!(names(cache.get(1, ask("a"))), None);
        assert_eq!(names(cache.get(2, ask("a"))), Some(vec!["s2".to_owned()]));
    }

    #[test]
    fn another_thread_gets_the_same_list_and_not_a_copy() {
        let cache = DispatchCache::new();
        let here = cache.insert(1, ask("a"), vec![subscriber(1)]);
        let there = get_from_another_thread(&cache, 1, "a").unwrap();
        assert!(std::ptr::eq(&raw const *here, &raw const *there));
        assert!(
            here.is_clone_of(&cache.get(1, ask("a")).unwrap()),
            "the pointer is made once for a thread"
        );
    }

    /// Returns a list of subscribers that each hold this much text four times.
    fn heavy(positions: std::ops::Range<i64>, text: usize) -> Vec<Subscriber> {
        let heavy = |position: i64| {
            let (name, url) = ("n".repeat(text), "u".repeat(text));
            let metadata = [("k".repeat(text), "v".repeat(text))].into();
            let fields = SubscriberFields { name, url, metadata, ..fields(position) };
            Subscriber::new(fields, Clock::default())
        };
        positions.map(heavy).collect()
    }

    #[test]
    fn each_subscriber_is_counted_once_and_each_answer_adds_a_pointer() {
        let cache = DispatchCache::new();
        let bytes_of = |event_type: &str, list| {
            let before = cache.pool().bytes;
            cache.insert(1, ask(event_type), list);
            cache.pool().bytes - before
        };
        let (none, some) = (bytes_of("a", heavy(1..2, 0)), bytes_of("b", heavy(2..3, 10_000)));
        assert_eq!(some - none, 40_000);
        let empty = bytes_of("c", Vec::new());
        assert_eq!(bytes_of("d", heavy(1..3, 10_000)), empty + 2 * size_of::<Subscriber>());
        assert_eq!(bytes_of("eeee", heavy(1..2, 0)), empty + 3 + size_of::<Subscriber>());
        let replaced = issued();
        let keys = replaced.secret.expose().len() + replaced.secret.key().len();
        let fields = SubscriberFields { replaced_secrets: vec![replaced], ..fields(3) };
        let more = Subscriber::new(fields, Clock::default()).bytes() - subscriber(3).bytes();
        assert!((keys..keys + 500).contains(&more));
        // Another version starts with nothing.
        cache.insert(2, ask("a"), heavy(1..2, 0));
        assert_eq!(cache.pool().bytes, none);
    }

    #[test]
    fn a_subscriber_is_found_by_its_position_in_its_version_only() {
        let cache = DispatchCache::new();
        let has_subscribers = |version| cache.reusable(version, ask("a")).1;
        assert!(!has_subscribers(0));
        cache.insert(1, ask("a"), vec![subscriber(1), subscriber(2)]);
        assert_eq!([0, 1, 2].map(has_subscribers), [false, true, false]);
        let known = |version, position| {
            cache.subscriber(version, position, 0).map(|found| found.name().to_owned())
        };
        assert_eq!(known(1, 2), Some("s2".to_owned()));
        assert_eq!(known(1, 3), None);
        assert_eq!(known(0, 2), None);
        assert_eq!(known(2, 2), None);
        assert!(cache.subscriber(1, 2, 1).is_none(), "it has another owner");
        // The first one stays, so that all answers share it.
        let first = cache.subscriber(1, 1, 0).unwrap();
        cache.insert(1, ask("b"), vec![subscriber(1)]);
        assert!(cache.subscriber(1, 1, 0).unwrap().is_clone_of(&first));
        cache.insert(2, ask("b"), vec![subscriber(1)]);
        assert_eq!(known(1, 2), None);
        assert_eq!(known(2, 2), None);
    }

    #[test]
    fn only_the_answers_of_the_last_version_are_previous_answers() {
        let cache = DispatchCache::new();
        let previous = |version, event_type: &str| {
            cache.reusable(version, ask(event_type)).0.map(|list| list.len())
        };
        cache.insert(1, ask("a"), vec![subscriber(1)]);
        assert_eq!(previous(1, "a"), None, "it is of this version");
        assert_eq!(previous(2, "a"), Some(1));
        cache.insert(2, ask("b"), vec![subscriber(1), subscriber(2)]);
        assert_eq!((previous(2, "a"), previous(2, "b")), (Some(1), None));
        cache.insert(5, ask("c"), vec![subscriber(1)]);
        assert_eq!((previous(5, "a"), previous(5, "b")), (None, Some(2)));
    }

    #[test]
    fn what_a_new_version_removes_is_returned_so_that_it_is_freed_without_the_lock() {
        let cache = DispatchCache::new();
        cache.insert(1, ask("a"), vec![subscriber(1)]);
        cache.insert(2, ask("b"), vec![subscriber(2), subscriber(3)]);
        let old = cache.pool().start_version(3);
        assert_eq!((old.has_subscribers(), old.previous.answers.len()), (true, 1));
    }

    #[test]
    fn previous_answers_count_and_are_removed_first() {
        let measured = DispatchCache::new();
        measured.insert(1, ask("a"), vec![subscriber(1)]);
        let bytes = measured.pool().bytes;
        let max_bytes = bytes + measured.pool().total_bytes();
        let cache = DispatchCache { max_bytes, ..DispatchCache::new() };
        cache.insert(1, ask("a"), vec![subscriber(1)]);
        cache.insert(2, ask("b"), vec![subscriber(2)]);
        assert_eq!(cache.pool().total_bytes(), max_bytes);
        assert!(cache.reusable(2, ask("a")).0.is_some() && cache.get(2, ask("b")).is_some());
        cache.insert(2, ask("c"), vec![subscriber(3)]);
        assert!(cache.reusable(2, ask("a")).0.is_none());
        assert!(cache.get(2, ask("b")).is_some() && cache.get(2, ask("c")).is_some());
        assert_eq!(cache.pool().total_bytes(), max_bytes);
    }

    #[test]
    fn an_answer_over_the_limit_empties_the_cache_and_a_larger_one_is_not_cached() {
        let measured = DispatchCache::new();
        measured.insert(1, ask("a"), vec![subscriber(1)]);
        let max_bytes = 2 * measured.pool().total_bytes();
        let cache = DispatchCache { max_bytes, ..DispatchCache::new() };
        cache.insert(1, ask("a"), vec![subscriber(1)]);
        cache.insert(1, ask("b"), vec![subscriber(2)]);
        assert!(cache.get(1, ask("a")).is_some() && cache.get(1, ask("b")).is_some());
        cache.insert(1, ask("c"), vec![subscriber(3)]);
        assert!(cache.get(1, ask("a")).is_none() && cache.get(1, ask("b")).is_none());
        assert!(cache.get(1, ask("c")).is_some());
        assert!(
            get_from_another_thread(&cache, 1, "c").is_some()
                && get_from_another_thread(&cache, 0, "c").is_none()
        );
        let large = cache.insert(1, ask("d"), (10..20).map(subscriber).collect());
        assert_eq!(large.len(), 10);
        assert!(cache.get(1, ask("d")).is_none());
        assert_eq!(format!("{cache:?}"), "DispatchCache { answers: 0, bytes: 0 }");
        // An answer that just fits is cached, also where everything else has to go.
        let cache = DispatchCache { max_bytes: measured.pool().bytes, ..DispatchCache::new() };
        cache.insert(1, ask("a"), vec![subscriber(1)]);
        assert!(cache.get(1, ask("a")).is_some());
        cache.insert(1, ask("b"), vec![subscriber(2)]);
        assert!(cache.get(1, ask("a")).is_none() && cache.get(1, ask("b")).is_some());
    }

    #[test]
    fn the_shards_of_many_threads_count_and_take_nothing_beyond_the_limit() {
        let cache = DispatchCache::new();
        cache.insert(1, ask("a"), vec![subscriber(1)]);
        let pool = cache.pool().bytes;
        let one = cache.pool().shard_bytes;
        // Each thread has the next shard, unless another test starts a thread in between.
        while cache.pool().shard_bytes == one {
            assert!(get_from_another_thread(&cache, 1, "a").is_some());
        }
        assert_eq!(cache.pool().total_bytes(), pool + 2 * one);
        let cache = DispatchCache { max_bytes: pool + 2 * one, ..DispatchCache::new() };
        cache.insert(1, ask("a"), vec![subscriber(1)]);
        for _ in 0..3 * SHARDS {
            assert!(get_from_another_thread(&cache, 1, "a").is_some(), "the pool answers");
        }
        assert_eq!(cache.pool().total_bytes(), cache.max_bytes);
        cache.insert(2, ask("b"), Vec::new());
        assert!(cache.pool().shard_bytes <= one, "emptied shards do not count");
    }
}
