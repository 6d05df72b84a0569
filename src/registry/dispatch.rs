use super::{Registry, known_event_type};
use crate::dispatch::{Explanation, Subscribers};
use crate::error::Result;

/// # Dispatch
impl Registry {
    /// Which enabled subscriptions get this event: each once, however many of its patterns cover it, in the order of
    /// creation. There may be none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), with a suggestion, for a name outside the catalog.
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
    /// #   assert_eq!((subscriber.url(), key.map(<[u8]>::len)), ("https://example.com/hook", Some(64)));
    /// }
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn subscribers(&self, event_type: &str) -> Result<Subscribers> {
        self.0.store.read(|tx| {
            let recipients = tx.recipients(event_type)?;
            if recipients.is_empty() {
                known_event_type(tx, event_type)?;
            }
            Ok(Subscribers::new(recipients, &self.0.clock))
        })
    }

    /// Why an event goes where it goes: every subscription with a pattern that covers it, also the disabled ones, in the
    /// order of creation, each with those patterns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), with a suggestion, for a name outside the catalog.
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
        self.0.store.read(|tx| {
            known_event_type(tx, event_type)?;
            Ok(Explanation::new(event_type, tx.routes(event_type)?))
        })
    }
}
