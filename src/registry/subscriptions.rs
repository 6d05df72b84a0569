use super::handle::{Registry, require_event_type};
use super::writer::{SubscriptionWriter, secrets_after_update};
use crate::error::{Error, ErrorKind, Result};
use crate::id::SubscriptionId;
use crate::store::{CatalogLookup, Current, Read};
use crate::subscription::{ListQuery, Page, Rejection, Subscription, SubscriptionUpdate, Updated};

/// # Reading and changing subscriptions
impl Registry {
    /// Returns the subscription with this id, if it exists in the [scope](Registry#owners) of the
    /// handle.
    ///
    /// # Errors
    ///
    /// Those of [every call](Registry#errors).
    pub fn get(&self, id: SubscriptionId) -> Result<Option<Subscription>> {
        self.read_autocommit(|read| read.subscription(id))
    }

    /// Returns the subscription of the handle's owner, or without an owner, with this name. Names
    /// are compared byte for byte.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `owner`: the handle is that of every
    ///   owner, and names are unique within one owner only.
    pub fn get_by_name(&self, name: &str) -> Result<Option<Subscription>> {
        self.require_one_owner()?;
        self.read_autocommit(|read| read.subscription_by_name(name))
    }

    /// Returns one page of the subscriptions in the [scope](Registry#owners) of the handle that
    /// match the query, in the order of creation.
    ///
    /// Finding a page does not read the pages before it. Conditions on the name and the metadata
    /// are checked row by row, so a page with few matches in a large file takes longer.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): the event type is not in the catalog.
    ///   The message suggests a similar name.
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `limit`: it is not from 1 to 1,000.
    pub fn list(&self, query: ListQuery) -> Result<Page> {
        self.read_or_suggest(|tx| {
            if let Some(event_type) = &query.event_type {
                require_event_type(tx, event_type)?;
            }
            let limit = query.checked_limit()?;
            let mut subscriptions = tx.list(&query, limit.saturating_add(1))?;
            let more = subscriptions.len() > limit;
            subscriptions.truncate(limit);
            Ok(Page { subscriptions, more })
        })
    }

    /// Returns an iterator over all subscriptions in the [scope](Registry#owners) of the handle
    /// that match the query, in the order of creation.
    ///
    /// The iterator reads page by page, each page in one transaction. It ends after an error.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::{ListQuery, Registry};
    ///
    /// # let registry = Registry::in_memory()?;
    /// for subscription in registry.iter(ListQuery::new().enabled(false)) {
    ///     println!("{} is disabled", subscription?.name());
    /// }
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn iter(
        &self,
        query: ListQuery,
    ) -> impl Iterator<Item = Result<Subscription>> + Send + use<> {
        Iter { registry: self.clone(), next: Some(query), page: Vec::new().into_iter() }
    }

    /// Counts the subscriptions in the [scope](Registry#owners) of the handle that match the query.
    /// Its `limit` and `after` are ignored.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): the event type is not in the catalog.
    ///   The message suggests a similar name.
    pub fn count(&self, query: ListQuery) -> Result<u64> {
        self.read_or_suggest(|tx| {
            if let Some(event_type) = &query.event_type {
                require_event_type(tx, event_type)?;
            }
            tx.count(&query)
        })
    }

    /// Returns the number of subscriptions in the [scope](Registry#owners) of the handle.
    ///
    /// # Errors
    ///
    /// Those of [every call](Registry#errors).
    pub fn len(&self) -> Result<u64> {
        self.read_autocommit(|read| read.len())
    }

    /// Returns whether there are no subscriptions in the [scope](Registry#owners) of the handle.
    ///
    /// # Errors
    ///
    /// Those of [every call](Registry#errors).
    pub fn is_empty(&self) -> Result<bool> {
        self.read_autocommit(|read| read.is_empty())
    }

    /// Changes a subscription and returns its new state.
    ///
    /// An update without effect leaves the revision and the time of the last change alone.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): no subscription has this id.
    /// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) on `ifRevision`: the subscription is
    ///   at another revision.
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): one problem for each changed field that
    ///   breaks a [rule](crate::NewSubscription#rules).
    /// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) on `name`: the name is taken.
    pub fn update(&self, id: SubscriptionId, update: SubscriptionUpdate) -> Result<Subscription> {
        self.write_or_suggest(|tx| {
            let current = current(tx, id, update.expected_revision())?;
            let now = self.inner.clock.now();
            let updated = update.validate(
                &current.subscription.fields,
                &current.secret()?.secret,
                &self.inner.rules,
                &mut CatalogLookup::new(tx),
            );
            let Updated { fields, secret } = updated.map_err(Rejection::into_error)?;
            let secrets = secrets_after_update(&current, secret, now)?;
            let updated = SubscriptionWriter::new(tx, now).update(&current, fields, secrets)?;
            Ok(updated.unwrap_or(current.subscription))
        })
    }

    /// Disables a subscription and states why, or replaces the reason of a disabled one. Returns
    /// its new state.
    ///
    /// [`disabled_at`](Subscription::disabled_at) is the time of the call that disabled the
    /// subscription. A later reason does not change it. A call that states the same reason again
    /// has no effect. An [`update`](Registry::update) with `enabled(true)` clears both.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): no subscription has this id.
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `disabledReason`: the reason is
    ///   empty, longer than 1,024 bytes, or contains U+0000.
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
    /// let disabled = registry.disable(id, "410 Gone")?;
    /// assert_eq!(disabled.disabled_reason(), Some("410 Gone"));
    /// assert_eq!(disabled.disabled_at(), Some(disabled.updated_at()));
    /// assert_eq!(
    ///     registry.explain("agent.presencechanged.v1")?.to_string(),
    ///     "agent.presencechanged.v1\n  crm  disabled (410 Gone)  agent.*",
    /// );
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn disable(&self, id: SubscriptionId, reason: impl Into<String>) -> Result<Subscription> {
        self.update(id, SubscriptionUpdate::new().enabled(false).disabled_reason(reason))
    }

    /// Deletes a subscription with its secrets.
    ///
    /// A subscription whose row is damaged, as [`check`](Registry::check) reports, can be deleted
    /// too, so that the rest of the file can be used and exported. The history then lists no fields
    /// for it.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): no subscription has this id.
    pub fn delete(&self, id: SubscriptionId) -> Result<()> {
        self.write(|tx| {
            let writer = SubscriptionWriter::new(tx, self.inner.clock.now());
            match current(tx, id, None).map_err(|error| tx.diagnose(error)) {
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    if writer.delete_undecodable(id)? { Ok(()) } else { Err(error) }
                }
                found => writer.delete(&found?),
            }
        })
    }

    /// Deletes a subscription if it is at this revision.
    ///
    /// # Errors
    ///
    /// Those of [`delete`](Registry::delete), and:
    ///
    /// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) on `ifRevision`: the subscription is
    ///   at another revision.
    /// - [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt): the row of the subscription is damaged.
    pub fn delete_if_revision(&self, id: SubscriptionId, revision: u64) -> Result<()> {
        self.write(|tx| {
            let current = current(tx, id, Some(revision))?;
            SubscriptionWriter::new(tx, self.inner.clock.now()).delete(&current)
        })
    }
}

/// Returns the subscription to change, if it exists and is at the expected revision.
pub(super) fn current(tx: &Read<'_>, id: SubscriptionId, expected: Option<u64>) -> Result<Current> {
    let current = tx.current(id)?.ok_or_else(|| Error::no_subscription(id))?;
    let actual = current.subscription.revision;
    match expected {
        Some(expected) if expected != actual => Err(Error::conflict_field(
            "ifRevision",
            format!("{expected} does not fit: subscription {id} is at revision {actual}"),
        )),
        _ => Ok(current),
    }
}

/// The iterator of [`Registry::iter`].
struct Iter {
    registry: Registry,
    /// The query for the next page. `None` after the last page and after an error.
    next: Option<ListQuery>,
    page: std::vec::IntoIter<Subscription>,
}

impl Iterator for Iter {
    type Item = Result<Subscription>;

    fn next(&mut self) -> Option<Result<Subscription>> {
        if let Some(subscription) = self.page.next() {
            return Some(Ok(subscription));
        }
        let query = self.next.take()?;
        match self.registry.list(query.clone()) {
            Ok(page) => {
                self.next = page.next_cursor().map(|cursor| query.after(cursor));
                self.page = page.into_iter();
                self.page.next().map(Ok)
            }
            Err(error) => Some(Err(error)),
        }
    }
}
