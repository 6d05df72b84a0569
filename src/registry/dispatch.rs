use std::cell::Cell;

use super::handle::{Inner, Registry, require_event_type};
use crate::dispatch::{Explanation, Subscriber, Subscribers};
use crate::error::Result;
use crate::store::Read;

/// # Dispatch
impl Registry {
    /// Returns the enabled subscriptions that receive an event, in the order of creation. There may
    /// be none.
    ///
    /// Each subscription is returned once, no matter how many of its patterns match.
    ///
    /// Answers are cached until any process changes the file. Every call checks for a change: in
    /// memory and with [`exclusive(true)`](crate::RegistryOptions::exclusive) by reading a counter,
    /// else by SQLite's `PRAGMA data_version`, which takes about 2 µs. The cache holds at most 96
    /// MiB and is emptied when it is full.
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
        let Inner { store, memo, clock, .. } = &*self.inner;
        let version = store.version()?;
        if let Some(answer) = memo.get(version, event_type) {
            return Ok(answer);
        }
        let make = |recipient| Subscriber::new(recipient, clock.clone());
        let before = memo.before(version, event_type).unwrap_or_default();
        let (any, shared) = (memo.knows_subscribers(version), Cell::new(false));
        let known = |place| {
            let known = if any { memo.subscriber(version, place) } else { None };
            known.inspect(|_| shared.set(true))
        };
        let list =
            self.recipients(event_type, |read| read.recipients(event_type, known, &before, make))?;
        // Subscribers shared with other answers were read by an earlier transaction. If the file
        // has changed since, the list would mix two states of it. Then it is read again as a whole,
        // and not cached.
        if shared.get() && store.version()? != version {
            let list = self
                .recipients(event_type, |read| read.recipients(event_type, |_| None, &[], make))?;
            return Ok(Subscribers::of(list));
        }
        Ok(memo.keep(version, event_type, list))
    }

    fn recipients(
        &self,
        event_type: &str,
        recipients: impl Fn(&Read<'_>) -> Result<Vec<Subscriber>>,
    ) -> Result<Vec<Subscriber>> {
        let list = self.read_autocommit(&recipients)?;
        if !list.is_empty() {
            return Ok(list);
        }
        // An empty list can mean an unknown event type. One transaction tells the two apart.
        self.read_or_suggest(|tx| {
            require_event_type(tx, event_type)?;
            recipients(tx)
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
