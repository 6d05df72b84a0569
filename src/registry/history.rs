use super::handle::Registry;
use crate::change::Change;
use crate::error::Result;
use crate::subscription::check_limit;

/// # The history of changes
impl Registry {
    /// Returns the changes after a sequence number, oldest first, at most `limit` of them (1 to
    /// 1,000).
    ///
    /// A handle that is limited to an owner returns the changes of its subscriptions only, so their
    /// numbers may skip. Every other handle returns the whole history.
    ///
    /// A change is committed together with its history entry, so a process that sees its effect can
    /// read it here. Sequence numbers have no gaps. A call adds at most one change for each
    /// subscription or event type, and none if it changes nothing. The file keeps the newest
    /// [`keep_changes`](crate::RegistryOptions::keep_changes) changes.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `limit`: it is not from 1 to 1,000.
    /// - [`ErrorKind::Gone`](crate::ErrorKind::Gone): changes after that number are no longer kept,
    ///   or the number is beyond the last, as after a restore. Call
    ///   [`last_change`](Registry::last_change), then read everything again, and continue from
    ///   there.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::{ChangeKind, NewSubscription, Registry};
    ///
    /// let registry = Registry::in_memory()?;
    /// let mut seen = registry.last_change()?;
    /// registry.register_event_type("agent.presencechanged.v1")?;
    /// registry.create(NewSubscription::new("crm", "https://example.com/", ["agent.*"]))?;
    /// for change in registry.changes(seen, 100)? {
    ///     println!("{:?} {}", change.kind(), change.subject());
    ///     seen = change.sequence();
    /// }
    /// assert_eq!(seen, 2);
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn changes(&self, after: u64, limit: usize) -> Result<Vec<Change>> {
        let limit = check_limit(limit)?;
        self.read(|tx| tx.changes(after, limit))
    }

    /// Returns the sequence number of the last change, or 0 if there is none.
    ///
    /// Changes that are made from now on come after this number.
    ///
    /// # Errors
    ///
    /// Those of [every call](Registry#errors).
    pub fn last_change(&self) -> Result<u64> {
        self.read_autocommit(|read| read.last_change())
    }
}
