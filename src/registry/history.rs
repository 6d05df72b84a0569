use super::handle::Registry;
use crate::change::Change;
use crate::error::{Error, Result};

const MAX_LIMIT: usize = 1_000;

/// # The history of changes
impl Registry {
    /// The changes after a sequence number, oldest first, at most `limit` of them (1 to 1,000).
    ///
    /// A change is written in the transaction that makes it, so whoever sees its effect sees it here too, in every
    /// process. Numbers have no gaps. A call makes at most one change a subscription or event type, and none where it
    /// changes nothing. The newest [`keep_changes`](crate::RegistryOptions::keep_changes) are kept.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `limit`.
    /// - [`ErrorKind::Gone`](crate::ErrorKind::Gone): changes after that number are no longer kept, or the number lies
    ///   beyond the end, as in another file or a restored one. Then read everything anew, and go on from
    ///   [`last_change`](Registry::last_change), asked first.
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
        if !(1..=MAX_LIMIT).contains(&limit) {
            let why = format!("a limit is from 1 to {MAX_LIMIT}, not {limit}");
            return Err(Error::invalid_field("limit", why));
        }
        self.read(|tx| tx.changes(after, limit))
    }

    /// The number of the last change; 0 when there was none. Where "from now on" begins.
    ///
    /// # Errors
    ///
    /// Those of [every call](Registry#errors).
    pub fn last_change(&self) -> Result<u64> {
        self.read_autocommit(|read| read.last_change())
    }
}
