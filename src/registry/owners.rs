use super::handle::Registry;
use super::writer::SubscriptionWriter;
use crate::error::{Error, ErrorKind, Result};
use crate::scope::Scope;
use crate::store::Write;
use crate::subscription::{check_limit, check_owner};

/// # Owners
///
/// A subscription can belong to an *owner*: a customer, a user, a project, or whatever else the
/// application has. The owner is a text of the application's. Each handle of a registry has a
/// scope:
///
/// - The registry itself, as it is opened, works on the subscriptions without an owner.
/// - [`for_owner`](Registry::for_owner) returns a handle that is limited to one owner. Through it
///   nothing of another owner can be read, changed, counted or inferred from an error. An id of
///   another owner's subscription answers exactly like an id that does not exist.
/// - [`for_every_owner`](Registry::for_every_owner) returns a handle that sees all subscriptions,
///   those without an owner included.
///
/// Scopes never mix: the subscribers of an event for one owner are that owner's subscriptions only.
/// A host whose own subscriptions shall get the event too asks twice.
///
/// Names are unique within an owner. The catalog of event types is shared by all. Handles of one
/// registry share its file, its locks and its cache. The cost of a call does not grow with the
/// number of other owners, or with their subscriptions and patterns, except that a larger file has
/// deeper trees.
impl Registry {
    /// Returns a handle that is limited to the subscriptions of this owner.
    ///
    /// The owner need not have a subscription. What `create` makes through the handle belongs to
    /// the owner. The text follows the rules of [names](crate::NewSubscription#rules).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`] on `owner`: the text breaks a rule, or this handle is limited to an
    ///   owner itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::{NewSubscription, Registry};
    ///
    /// let registry = Registry::in_memory()?;
    /// registry.register_event_type("order.paid.v1")?;
    /// let acme = registry.for_owner("acme")?;
    /// let new = NewSubscription::new("erp", "https://acme.example/hook", ["order.*"]);
    /// let created = acme.create(new)?;
    /// assert_eq!(created.subscription().owner(), Some("acme"));
    ///
    /// assert_eq!(acme.subscribers("order.paid.v1")?.len(), 1);
    /// assert!(registry.for_owner("bolt")?.subscribers("order.paid.v1")?.is_empty());
    /// assert!(registry.subscribers("order.paid.v1")?.is_empty());
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn for_owner(&self, owner: impl Into<String>) -> Result<Registry> {
        self.require_whole_file()?;
        let owner = owner.into();
        check_owner(&owner).map_err(|why| Error::invalid_field("owner", why))?;
        Ok(self.with_scope(Scope::Owner(owner.into())))
    }

    /// Returns a handle that sees all subscriptions, of every owner and without one.
    ///
    /// It finds and changes subscriptions by their ids, and its
    /// [`subscribers`](Registry::subscribers) are a broadcast. Calls that create a subscription or
    /// look for a name are [`ErrorKind::Invalid`] on `owner`, because they need to know an owner.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`] on `owner`: this handle is limited to an owner.
    pub fn for_every_owner(&self) -> Result<Registry> {
        self.require_whole_file()?;
        Ok(self.with_scope(Scope::Every))
    }

    fn with_scope(&self, scope: Scope) -> Registry {
        Registry { inner: self.inner.clone(), scope }
    }

    /// Returns the owners that have a subscription, ordered by their bytes: at most `limit` of them
    /// (1 to 1,000), after the position `after`. The position need not be an owner.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`] on `owner`: this handle is limited to an owner.
    /// - [`ErrorKind::Invalid`] on `limit`: it is not from 1 to 1,000.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::{NewSubscription, Registry};
    ///
    /// let registry = Registry::in_memory()?;
    /// registry.register_event_type("order.paid.v1")?;
    /// for owner in ["bolt", "acme", "cobalt"] {
    ///     let new = NewSubscription::new("erp", "https://example.com/", ["order.*"]);
    ///     registry.for_owner(owner)?.create(new)?;
    /// }
    /// assert_eq!(registry.owners(None, 2)?, ["acme", "bolt"]);
    /// assert_eq!(registry.owners(Some("bolt"), 2)?, ["cobalt"]);
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn owners(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.require_whole_file()?;
        let limit = check_limit(limit)?;
        self.read_autocommit(|read| read.owners(after, limit))
    }

    /// Deletes every subscription of the handle's owner, or every one without an owner, in one
    /// transaction. Returns how many there were.
    ///
    /// A subscription whose row is damaged is deleted too, and the history lists no fields for it,
    /// as by [`delete`](Registry::delete).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`]
    /// - [`ErrorKind::Invalid`] on `owner`: the handle is that of every owner.
    pub fn delete_all(&self) -> Result<u64> {
        self.require_writable()?;
        self.require_one_owner()?;
        self.write(|tx| SubscriptionWriter::new(tx, self.inner.clock.now()).delete_all())
    }

    /// Rejects what a call that has created subscriptions would leave, if that is more than
    /// [`max_subscriptions`](crate::RegistryOptions::max_subscriptions).
    pub(super) fn require_room(&self, tx: &Write<'_>) -> Result<()> {
        let Some(most) = self.inner.rules.max_subscriptions else {
            return Ok(());
        };
        let left = tx.count_written()?;
        if left <= most {
            return Ok(());
        }
        let whose = match self.scope {
            Scope::Owner(_) => "of one owner",
            Scope::NoOwner | Scope::Every => "without an owner",
        };
        let message = format!(
            "the limit is {most} subscriptions {whose}, and this call would leave {left}; \
             delete one, or raise max_subscriptions"
        );
        Err(Error::new(ErrorKind::LimitReached, message))
    }
}
