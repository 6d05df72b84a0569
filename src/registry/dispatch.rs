use super::handle::{Inner, Registry, require_event_type};
use crate::dispatch::{
    Explanation, Question, Revalidated, Revalidation, Subscriber, Subscribers, read_subscriber,
};
use crate::error::Result;
use crate::id::SubscriptionId;
use crate::store::{Effort, Read};

/// # Dispatch
impl Registry {
    /// Returns the enabled subscriptions that receive an event, in the order of creation. There may
    /// be none.
    ///
    /// Each subscription is returned once, no matter how many of its patterns match.
    ///
    /// Answers are cached until any process changes the file. Every call checks for a change: in
    /// memory and with [`exclusive(true)`](crate::RegistryOptions::exclusive) by reading a counter,
    /// else by SQLite's `PRAGMA data_version`, which takes about 1 µs. The cache holds about 96
    /// MiB at most and is emptied when it is full.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): the event type is not in the catalog.
    ///   The message suggests a similar name.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::{NewSubscription, Registry};
    ///
    /// let registry = Registry::in_memory()?;
    /// registry.register_event_type("agent.presencechanged.v1")?;
    /// registry.create(NewSubscription::new("crm", "https://example.com/hook", ["agent.*"]))?;
    /// for subscriber in &registry.subscribers("agent.presencechanged.v1")? {
    ///     let key = subscriber.secrets().next().map(|secret| secret.key());
    ///     // … sign with the key and deliver to subscriber.url() …
    /// #   assert_eq!(subscriber.url(), "https://example.com/hook");
    /// #   assert_eq!(key.map(<[u8]>::len), Some(64));
    /// }
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn subscribers(&self, event_type: &str) -> Result<Subscribers> {
        let Inner { store, cache, clock, .. } = &*self.inner;
        let scope = &self.scope;
        let mut few = None;
        let version = store.version_and_read(scope, |read, version| {
            // Made again below: a question that the closure borrows has to be in memory, which
            // costs a cached look-up half its time.
            let question = Question { scope, event_type };
            let revalidation = Revalidation::new(cache, version, question);
            few = revalidation.read(read, event_type, Effort::Few, clock)?;
            Ok(few.is_some())
        })?;
        let question = Question { scope, event_type };
        if few.is_none()
            && let Some(answer) = cache.get(version, question)
        {
            return Ok(answer);
        }
        self.read_and_cache(version, question, few)
    }

    /// Returns the subscription of an id with the data that a delivery needs, also a disabled one.
    /// `None` where there is none.
    ///
    /// A worker that delivers what an outbox has enqueued, a test ping and a redelivery ask here.
    /// The answer does not depend on the catalog: an event type that was removed meanwhile, or a
    /// pattern that was taken away, does not stop a delivery that was enqueued before.
    ///
    /// # Errors
    ///
    /// Those of [every call](Registry#errors).
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::{NewSubscription, Registry};
    ///
    /// let registry = Registry::in_memory()?;
    /// registry.register_event_type("agent.presencechanged.v1")?;
    /// let new = NewSubscription::new("crm", "https://example.com/hook", ["agent.*"]);
    /// let id = registry.create(new)?.subscription().id();
    ///
    /// registry.remove_event_type("agent.presencechanged.v1")?;
    /// let subscriber = registry.subscriber(id)?;
    /// assert_eq!(subscriber.as_ref().map(|found| found.url()), Some("https://example.com/hook"));
    /// assert!(subscriber.is_some_and(|found| found.enabled()));
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn subscriber(&self, id: SubscriptionId) -> Result<Option<Subscriber>> {
        self.read_autocommit(|read| read_subscriber(read, id, &self.inner.clock))
    }

    /// Answers a question that the cache cannot answer for this version.
    fn read_and_cache(
        &self,
        version: u64,
        question: Question<'_>,
        few: Option<Revalidated>,
    ) -> Result<Subscribers> {
        let (Inner { store, cache, .. }, event_type) = (&*self.inner, question.event_type);
        let Revalidated { list, shares } = match few {
            Some(few) if !few.list.is_empty() => few,
            few => {
                let revalidation = Revalidation::new(cache, version, question);
                self.read_subscribers(event_type, &revalidation, few.is_some())?
            }
        };
        // The subscribers of other answers were read earlier. The file said the same at that moment
        // and at this one, unless its version has changed since. Then this answer would mix two
        // snapshots: it is read again from one, and not cached.
        if shares && store.version()? != version {
            let uncached = Revalidation::without_cache();
            let Revalidated { list, .. } = self.read_subscribers(event_type, &uncached, false)?;
            return Ok(Subscribers::new(list.into()));
        }
        Ok(cache.insert(version, question, list))
    }

    /// Reads the subscribers of an event type. A short look-up is left out where one has already
    /// found nobody.
    fn read_subscribers(
        &self,
        event_type: &str,
        revalidation: &Revalidation<'_>,
        has_found_nobody: bool,
    ) -> Result<Revalidated> {
        let clock = &self.inner.clock;
        let read = |read: &Read<'_>, effort| revalidation.read(read, event_type, effort, clock);
        let found = if has_found_nobody {
            None
        } else {
            self.read_autocommit(|tx| read(tx, Effort::Short))?
        };
        if let Some(answer) = found.filter(|found| !found.list.is_empty()) {
            return Ok(answer);
        }
        // Either nobody subscribes, or the catalog does not have the event type, or there was more
        // to read than a short look-up does. All of this has to be asked of one snapshot.
        self.read_or_suggest(|tx| {
            require_event_type(tx, event_type)?;
            Ok(read(tx, Effort::Thorough)?.unwrap_or_default())
        })
    }

    /// Explains the dispatch of an event: returns every subscription with a pattern that matches
    /// it, also the disabled ones, in the order of creation, each with those patterns.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): the event type is not in the catalog.
    ///   The message suggests a similar name.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::{NewSubscription, Registry};
    ///
    /// let registry = Registry::in_memory()?;
    /// registry.register_event_type("agent.presencechanged.v1")?;
    /// registry.create(NewSubscription::new("crm", "https://example.com/", ["agent.*", "*.v1"]))?;
    /// registry.create(NewSubscription::new("old", "https://example.org/", ["*"]).enabled(false))?;
    /// assert_eq!(
    ///     registry.explain("agent.presencechanged.v1")?.to_string(),
    ///     "agent.presencechanged.v1\n  crm  enabled   agent.*, *.v1\n  old  disabled  *",
    /// );
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn explain(&self, event_type: &str) -> Result<Explanation> {
        self.read_or_suggest(|tx| {
            require_event_type(tx, event_type)?;
            Ok(Explanation::new(event_type, tx.routes(event_type)?))
        })
    }
}
