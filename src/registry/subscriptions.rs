use std::sync::Arc;

use super::handle::{Registry, require_event_type};
use super::writer::{SubscriptionWriter, secrets_after_update};
use crate::error::{Error, ErrorKind, Result};
use crate::id::SubscriptionId;
use crate::random::RandomBuffer;
use crate::secret::{GENERATED_KEY, IssuedSecret, SigningSecret};
use crate::store::{CatalogLookup, Current, Read, Write};
use crate::subscription::{
    Created, Draft, ListProblems, ListQuery, NewSubscription, Page, Rejection, Rules, Subscription,
    SubscriptionUpdate, Updated,
};
use crate::time::Millis;

/// # Subscriptions
impl Registry {
    /// Creates a subscription, and generates its secret unless one is given.
    ///
    /// Its owner is that of the handle. The registry itself creates subscriptions without an owner.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `owner`: the handle is that of every
    ///   owner.
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): one problem for each field that breaks
    ///   a [rule](NewSubscription#rules).
    /// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) on `name`: the name is taken. The
    ///   message has the id of the other subscription.
    /// - [`ErrorKind::LimitReached`](crate::ErrorKind::LimitReached): more than
    ///   [`max_subscriptions`](crate::RegistryOptions::max_subscriptions).
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::{NewSubscription, Registry};
    ///
    /// let registry = Registry::in_memory()?;
    /// registry.register_event_type("agent.presencechanged.v1")?;
    /// let new = NewSubscription::new("crm", "https://example.com/", ["agent.*"]);
    /// let created = registry.create(new)?;
    /// println!("{}", created.secret().expose());
    ///
    /// let same_name = NewSubscription::new("crm", "https://example.org/", ["*"]);
    /// let error = registry.create(same_name).unwrap_err();
    /// let holder = created.subscription().id();
    /// assert_eq!(error.to_string(), format!(r#"name "crm" is taken by subscription {holder}"#));
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn create(&self, new: NewSubscription) -> Result<Created> {
        self.require_writable()?;
        self.require_one_owner()?;
        self.write_or_suggest(|tx| {
            let mut catalog = CatalogLookup::new(tx);
            let draft =
                new.validate(&self.inner.rules, &mut catalog).map_err(Rejection::into_error)?;
            let created = self.add(tx, draft, self.inner.clock.now(), Some(&catalog))?;
            self.require_room(tx)?;
            Ok(created)
        })
    }

    /// Creates many subscriptions in one transaction, all or nothing, in the order given.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Registry::create), with problems under `[2].name`. A name that occurs
    /// twice in one call is [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on the later entry.
    pub fn create_all(
        &self,
        list: impl IntoIterator<Item = NewSubscription>,
    ) -> Result<Vec<Created>> {
        let list: Vec<NewSubscription> = list.into_iter().collect();
        self.require_writable()?;
        self.require_one_owner()?;
        self.write_or_suggest(|tx| {
            let mut catalog = CatalogLookup::new(tx);
            let drafts = validate_all(&mut catalog, &self.inner.rules, list)?;
            let now = self.inner.clock.now();
            let mut last_id = tx.last_id()?;
            tx.expect_changes(drafts.len());
            let mut random = self.random_buffer(drafts.len());
            let _bulk = tx.bulk(drafts.len())?;
            let (writer, mut inserter) =
                (SubscriptionWriter::new(tx, now), tx.inserter(Some(&catalog))?);
            let (mut all, mut taken) = (Vec::with_capacity(drafts.len()), Vec::new());
            for (index, draft) in drafts.into_iter().enumerate() {
                let created = build(draft, tx.owner(), now, last_id, &mut random)?;
                last_id = Some(created.subscription.id);
                let secrets = std::slice::from_ref(&created.secret);
                match writer.insert(&mut inserter, &created.subscription, secrets) {
                    Err(error) if error.kind() == ErrorKind::Conflict => {
                        taken.extend(error.problems().iter().map(|it| it.clone().within(index)));
                    }
                    inserted => inserted?,
                }
                all.push(created);
            }
            if !taken.is_empty() {
                return Err(Error::conflict(taken));
            }
            if !all.is_empty() {
                self.require_room(tx)?;
            }
            Ok(all)
        })
    }

    /// Adds a subscription from a draft. `catalog` may only be given if no pattern was dropped
    /// since it was filled.
    pub(super) fn add(
        &self,
        tx: &Write<'_>,
        draft: Draft,
        now: Millis,
        catalog: Option<&CatalogLookup<'_>>,
    ) -> Result<Created> {
        let created = build(draft, tx.owner(), now, tx.last_id()?, &mut self.random_buffer(1))?;
        let (mut inserter, secrets) =
            (tx.inserter(catalog)?, std::slice::from_ref(&created.secret));
        SubscriptionWriter::new(tx, now).insert(&mut inserter, &created.subscription, secrets)?;
        Ok(created)
    }

    /// Returns the random bytes for the ids and secrets of so many new subscriptions.
    fn random_buffer(&self, subscriptions: usize) -> RandomBuffer<'_> {
        let each = SubscriptionId::RANDOM.saturating_add(GENERATED_KEY);
        RandomBuffer::new(self.inner.store.entropy(), subscriptions.saturating_mul(each))
    }

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
    ///   breaks a [rule](NewSubscription#rules).
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

/// Validates every subscription of a list. No name may occur twice.
fn validate_all(
    catalog: &mut CatalogLookup<'_>,
    rules: &Rules,
    list: Vec<NewSubscription>,
) -> Result<Vec<Draft>> {
    let mut problems = ListProblems::new(list.iter().map(NewSubscription::name));
    let mut drafts = Vec::with_capacity(list.len());
    for (index, new) in list.into_iter().enumerate() {
        drafts.extend(problems.validate(index, new.validate(rules, catalog))?);
    }
    problems.into_result()?;
    Ok(drafts)
}

/// Gives a draft its id, its times and its secret. `last_id` is the greatest id in the file.
fn build(
    draft: Draft,
    owner: Option<&Arc<str>>,
    now: Millis,
    last_id: Option<SubscriptionId>,
    random: &mut RandomBuffer<'_>,
) -> Result<Created> {
    let Draft { fields, secret } = draft;
    let mut bytes = [0; SubscriptionId::RANDOM];
    random.fill(&mut bytes)?;
    let id = SubscriptionId::next(now, bytes, last_id)?;
    let disabled_at = if fields.enabled { None } else { Some(now) };
    let subscription = Subscription {
        id,
        owner: owner.cloned(),
        fields,
        disabled_at,
        created_at: now,
        updated_at: now,
        revision: 1,
    };
    let secret = secret.map_or_else(|| SigningSecret::generate_with(random), Ok)?;
    Ok(Created { subscription, secret: IssuedSecret::current(secret, now) })
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
