use std::sync::Arc;

use super::handle::Registry;
use super::writer::SubscriptionWriter;
use crate::error::{Error, ErrorKind, Result};
use crate::id::SubscriptionId;
use crate::random::RandomBuffer;
use crate::secret::{GENERATED_KEY, IssuedSecret, SigningSecret};
use crate::store::{CatalogLookup, Write};
use crate::subscription::{
    Created, Draft, ListProblems, NewSubscription, Rejection, Rules, Subscription,
};
use crate::time::Millis;

/// # Creating subscriptions
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
        self.tracked("create_all", |progress| {
            self.write_or_suggest(|tx| {
                let mut catalog = CatalogLookup::new(tx);
                let drafts = validate_all(&mut catalog, &self.inner.rules, list)?;
                let now = self.inner.clock.now();
                let mut last_id = tx.last_id()?;
                tx.expect_changes(drafts.len());
                progress.begin_entries(drafts.len());
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
                            taken
                                .extend(error.problems().iter().map(|it| it.clone().within(index)));
                        }
                        inserted => inserted?,
                    }
                    all.push(created);
                    progress.advance();
                }
                if !taken.is_empty() {
                    return Err(Error::conflict(taken));
                }
                if !all.is_empty() {
                    self.require_room(tx)?;
                }
                progress.complete()?;
                Ok(all)
            })
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
        RandomBuffer::new(self.inner.store.random(), subscriptions.saturating_mul(each))
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
