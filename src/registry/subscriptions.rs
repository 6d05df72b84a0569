use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::slice;

use super::{Registry, known_event_type};
use crate::change::{self, ChangeKind, SecretChange};
use crate::error::{Error, ErrorKind, Problem, Result, quoted};
use crate::id::SubscriptionId;
use crate::random::RandomBuffer;
use crate::secret::{GENERATED_KEY, IssuedSecret, SigningSecret};
use crate::store::{CatalogLookup, Current, Inserter, NameTaken, Read, Write};
use crate::subscription::{
    Created, Draft, ListQuery, NewSubscription, Page, Rules, Subscription, SubscriptionUpdate,
    Updated,
};
use crate::time::Millis;

/// # Subscriptions
impl Registry {
    /// Creates a subscription, and generates its secret unless one is given.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): one problem for every field that breaks a
    ///   [rule](NewSubscription#rules).
    /// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) on `name`: it is taken, and the message says by which id.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::{NewSubscription, Registry};
    ///
    /// let registry = Registry::in_memory()?;
    /// registry.register_event_type("agent.presencechanged.v1")?;
    /// let created = registry.create(NewSubscription::new("crm", "https://example.com/", ["agent.*"]))?;
    /// println!("{}", created.secret().expose());
    ///
    /// let error = registry.create(NewSubscription::new("crm", "https://example.org/", ["*"])).unwrap_err();
    /// let holder = created.subscription().id();
    /// assert_eq!(error.to_string(), format!(r#"name "crm" is taken by subscription {holder}"#));
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn create(&self, new: NewSubscription) -> Result<Created> {
        self.write_or_suggest(|tx| {
            let mut knowledge = CatalogLookup::new(tx);
            let draft = new.check(&self.inner.rules, &mut knowledge)?.map_err(Error::invalid)?;
            self.add(tx, draft, self.inner.clock.now(), Some(&knowledge))
        })
    }

    /// Creates many subscriptions in one transaction, all or nothing, in the order given.
    ///
    /// # Errors
    ///
    /// As [`create`](Registry::create), with problems under `[2].name`. The same name twice in one call is
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on the later.
    pub fn create_all(
        &self,
        list: impl IntoIterator<Item = NewSubscription>,
    ) -> Result<Vec<Created>> {
        let list: Vec<NewSubscription> = list.into_iter().collect();
        self.write_or_suggest(|tx| {
            let mut knowledge = CatalogLookup::new(tx);
            let drafts = check_all(&mut knowledge, &self.inner.rules, list)?;
            let now = self.inner.clock.now();
            let mut last = tx.last_id()?;
            tx.expect_changes(drafts.len());
            let mut draws = self.draws(drafts.len());
            let mut inserter = tx.inserter(Some(&knowledge))?;
            let (mut all, mut taken) = (Vec::with_capacity(drafts.len()), Vec::new());
            for (index, draft) in drafts.into_iter().enumerate() {
                let created = make(draft, now, last, &mut draws)?;
                last = Some(created.subscription.id);
                match insert(&mut inserter, &created)? {
                    Ok(()) => record_created(tx, &created.subscription, now)?,
                    Err(holder) => {
                        taken.push(name_taken(&created.subscription.name, &holder).within(index))
                    }
                }
                all.push(created);
            }
            if taken.is_empty() { Ok(all) } else { Err(Error::conflict(taken)) }
        })
    }

    /// Makes a subscription of a draft and adds it, with what is known of the catalog if no pattern was dropped since.
    pub(super) fn add(
        &self,
        tx: &Write<'_>,
        draft: Draft,
        now: Millis,
        knowledge: Option<&CatalogLookup<'_>>,
    ) -> Result<Created> {
        let created = make(draft, now, tx.last_id()?, &mut self.draws(1))?;
        unless_name_taken(
            &created.subscription.name,
            insert(&mut tx.inserter(knowledge)?, &created)?,
        )?;
        record_created(tx, &created.subscription, now)?;
        Ok(created)
    }

    /// The randomness for so many new subscriptions.
    fn draws(&self, subscriptions: usize) -> RandomBuffer<'_> {
        let each = SubscriptionId::RANDOM.saturating_add(GENERATED_KEY);
        RandomBuffer::new(self.inner.store.entropy(), subscriptions.saturating_mul(each))
    }

    /// The subscription of this id.
    ///
    /// # Errors
    ///
    /// Those of [every call](Registry).
    pub fn get(&self, id: SubscriptionId) -> Result<Option<Subscription>> {
        self.read_autocommit(|read| read.subscription(id))
    }

    /// The subscription of this name, compared byte for byte.
    ///
    /// # Errors
    ///
    /// Those of [every call](Registry).
    pub fn get_by_name(&self, name: &str) -> Result<Option<Subscription>> {
        self.read_autocommit(|read| read.subscription_by_name(name))
    }

    /// One page of the subscriptions that the query asks for, in the order of creation.
    ///
    /// A page is found without reading what comes before it. Conditions on the name or the metadata are judged row by
    /// row, though, so a page of few hits in a large file takes a while.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), with a suggestion, for an event type outside the catalog;
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `limit` for one that is not from 1 to 1,000.
    pub fn list(&self, query: ListQuery) -> Result<Page> {
        self.read_or_suggest(|tx| {
            if let Some(event_type) = &query.event_type {
                known_event_type(tx, event_type)?;
            }
            let limit = query.checked_limit()?;
            let mut subscriptions = tx.list(&query, limit.saturating_add(1))?;
            let more = subscriptions.len() > limit;
            subscriptions.truncate(limit);
            Ok(Page { subscriptions, more })
        })
    }

    /// Every subscription that the query asks for, in the order of creation, fetched page by page: each page is one
    /// moment of the file. Ends after an error.
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

    /// How many subscriptions the query asks for; its `limit` and `after` are ignored.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), with a suggestion, for an event type outside the catalog.
    pub fn count(&self, query: ListQuery) -> Result<u64> {
        self.read_or_suggest(|tx| {
            if let Some(event_type) = &query.event_type {
                known_event_type(tx, event_type)?;
            }
            tx.count(&query)
        })
    }

    /// How many subscriptions there are.
    ///
    /// # Errors
    ///
    /// Those of [every call](Registry).
    pub fn len(&self) -> Result<u64> {
        self.read_autocommit(|read| read.len())
    }

    /// Whether there is no subscription.
    ///
    /// # Errors
    ///
    /// Those of [every call](Registry).
    pub fn is_empty(&self) -> Result<bool> {
        self.read_autocommit(|read| read.is_empty())
    }

    /// Changes a subscription, and answers what it has become. What changes nothing leaves revision and time alone.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): there is no such subscription.
    /// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) on `ifRevision`: it is at another revision.
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): one problem for every changed field that breaks a
    ///   [rule](NewSubscription#rules).
    /// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) on `name`: it is taken.
    pub fn update(&self, id: SubscriptionId, update: SubscriptionUpdate) -> Result<Subscription> {
        self.write_or_suggest(|tx| {
            let current = current(tx, id, update.expected_revision())?;
            let now = self.inner.clock.now();
            let knowledge = &mut CatalogLookup::new(tx);
            let Updated { subscription: after, secret } = update
                .check(
                    &current.subscription,
                    &current.secret()?.secret,
                    &self.inner.rules,
                    knowledge,
                )?
                .map_err(Error::invalid)?;
            let (secrets, change) = settle_secret(&current, secret, now)?;
            if after == current.subscription && change == SecretChange::Kept {
                return Ok(after);
            }
            write_changed(tx, &current, after, secrets.as_deref(), change, now)
        })
    }

    /// Deletes a subscription, with its secrets. Also one whose row is damaged, as [`check`](Registry::check) tells, so that
    /// the rest of the file can be used and exported; the history then says of it only that it is gone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly); [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when
    /// there is none.
    pub fn delete(&self, id: SubscriptionId) -> Result<()> {
        self.write(|tx| {
            let now = self.inner.clock.now();
            match current(tx, id, None).map_err(|error| tx.diagnose(error)) {
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    if tx.delete_unread(id)? {
                        tx.record(now, ChangeKind::Deleted, &id.to_string(), Vec::new)
                    } else {
                        Err(error)
                    }
                }
                found => delete(tx, &found?, now),
            }
        })
    }

    /// Deletes a subscription if it is at this revision.
    ///
    /// # Errors
    ///
    /// As [`delete`](Registry::delete), [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) on `ifRevision` when it is at
    /// another revision, and [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) when its row is damaged.
    pub fn delete_if_revision(&self, id: SubscriptionId, revision: u64) -> Result<()> {
        self.write(|tx| delete(tx, &current(tx, id, Some(revision))?, self.inner.clock.now()))
    }
}

/// The subscription to change, if it is there and at the revision that the caller expects.
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

/// Judges every subscription of a list, and that no name stands twice in it.
fn check_all(
    knowledge: &mut CatalogLookup<'_>,
    rules: &Rules,
    list: Vec<NewSubscription>,
) -> Result<Vec<Draft>> {
    let mut twice = names_twice(list.iter().map(NewSubscription::name));
    let (mut drafts, mut problems) = (Vec::with_capacity(list.len()), Vec::new());
    for (index, new) in list.into_iter().enumerate() {
        let faults = match new.check(rules, knowledge)? {
            Ok(draft) => {
                drafts.push(draft);
                Vec::new()
            }
            Err(faults) => faults,
        };
        problems.extend(at(index, faults, &mut twice));
    }
    if problems.is_empty() { Ok(drafts) } else { Err(Error::invalid(problems)) }
}

/// The names that stand in a list already, by where they stand again.
pub(super) fn names_twice<'a>(names: impl Iterator<Item = &'a str>) -> HashMap<usize, Problem> {
    let mut first = HashMap::new();
    let twice = names.enumerate().filter_map(|(index, name)| match first.entry(name) {
        Entry::Vacant(entry) => {
            entry.insert(index);
            None
        }
        Entry::Occupied(entry) => {
            let why = format!(
                "{} stands in this list already, at [{}]",
                quoted(entry.key()),
                entry.get()
            );
            Some((index, Problem::new("name", why)))
        }
    });
    twice.collect()
}

/// The faults of one entry of a list. One a field: a name that stands twice is not told when it has a fault of its own.
pub(super) fn at(
    index: usize,
    mut faults: Vec<Problem>,
    twice: &mut HashMap<usize, Problem>,
) -> Vec<Problem> {
    if !faults.iter().any(|fault| fault.field() == "name") {
        faults.extend(twice.remove(&index));
    }
    faults.into_iter().map(|fault| fault.within(index)).collect()
}

/// What the secrets become where one was stated: the only one.
pub(super) fn settle_secret(
    current: &Current,
    stated: Option<SigningSecret>,
    now: Millis,
) -> Result<(Option<Vec<IssuedSecret>>, SecretChange)> {
    let newest = current.secret()?;
    Ok(match stated {
        // A new spelling is kept as given, and the key keeps the time since which it is the current one.
        Some(secret) if secret.has_key_of(&newest.secret) && secret != newest.secret => {
            (Some(vec![IssuedSecret { secret, ..newest.clone() }]), SecretChange::Replaced)
        }
        Some(secret) if newest.secret != secret => {
            (Some(vec![IssuedSecret::current(secret, now)]), SecretChange::Replaced)
        }
        // Stated again, the current one ends the overlap of the others.
        Some(_) if current.has_old(now) => (Some(vec![newest.clone()]), SecretChange::Revoked),
        _ => (None, SecretChange::Kept),
    })
}

/// Writes what a subscription becomes by a call that changes it, and adds it to the history.
pub(super) fn write_changed(
    tx: &Write<'_>,
    current: &Current,
    after: Subscription,
    secrets: Option<&[IssuedSecret]>,
    secret: SecretChange,
    now: Millis,
) -> Result<Subscription> {
    let after = after.changed(now);
    unless_name_taken(&after.name, tx.replace(current, &after, secrets)?)?;
    let (kind, fields) = change::of_update(&current.subscription, &after, secret);
    tx.record(now, kind, &after.id.to_string(), || fields)?;
    Ok(after)
}

fn make(
    draft: Draft,
    now: Millis,
    last: Option<SubscriptionId>,
    draws: &mut RandomBuffer<'_>,
) -> Result<Created> {
    let Draft { name, url, events, enabled, secret, description, metadata } = draft;
    let mut random = [0; SubscriptionId::RANDOM];
    draws.fill(&mut random)?;
    let subscription = Subscription {
        id: SubscriptionId::next(now, random, last)?,
        name,
        url,
        events,
        enabled,
        description,
        metadata,
        created_at: now,
        updated_at: now,
        revision: 1,
    };
    let secret = secret.map_or_else(|| SigningSecret::generate_with(draws), Ok)?;
    Ok(Created { subscription, secret: IssuedSecret::current(secret, now) })
}

fn insert(inserter: &mut Inserter<'_>, created: &Created) -> Result<Result<(), NameTaken>> {
    inserter.insert(&created.subscription, slice::from_ref(&created.secret))
}

pub(super) fn record_created(tx: &Write<'_>, created: &Subscription, now: Millis) -> Result<()> {
    let subject = created.id.to_string();
    tx.record(now, ChangeKind::Created, &subject, || change::of_created(created))
}

pub(super) fn delete(tx: &Write<'_>, current: &Current, now: Millis) -> Result<()> {
    tx.delete(current)?;
    let deleted = &current.subscription;
    tx.record(now, ChangeKind::Deleted, &deleted.id.to_string(), || change::of_deleted(deleted))
}

pub(super) fn unless_name_taken(name: &str, written: Result<(), NameTaken>) -> Result<()> {
    written.map_err(|taken| Error::conflict(vec![name_taken(name, &taken)]))
}

fn name_taken(name: &str, NameTaken(holder): &NameTaken) -> Problem {
    Problem::new("name", format!("{} is taken by subscription {holder}", quoted(name)))
}

/// What [`Registry::iter`] goes through.
struct Iter {
    registry: Registry,
    /// The query of the next page; none after the last, and after an error.
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
