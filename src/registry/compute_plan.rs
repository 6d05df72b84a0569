use std::collections::{HashMap, HashSet};

use super::handle::Registry;
use super::subscriptions::current;
use super::writer::{SubscriptionWriter, secrets_after_update};
use crate::change::{self, SecretChange};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Action, Applied, Basis, Ensured, Plan, Prune, Step, StepKind};
use crate::store::{CatalogLookup, Read, Write};
use crate::subscription::{
    ListProblems, ListQuery, NewSubscription, Rejection, Subscription, Updated, Validated,
};

/// # Declared subscriptions
impl Registry {
    /// Reconciles one subscription with its declaration: creates it, updates the fields that
    /// differ, or changes nothing. The name identifies the subscription.
    ///
    /// Only subscriptions of the handle's owner, or those without an owner, are compared.
    ///
    /// URL, events, description and metadata become as declared; an absent description or absent
    /// metadata is cleared. `enabled` and the secret are compared and changed only if they are
    /// stated, so that a restart does not enable a subscription that an operator has disabled.
    ///
    /// The reason belongs to `enabled`: where `enabled(false)` is stated, the reason becomes as
    /// declared, and an absent one is cleared. Where `enabled` is not stated, the reason of an
    /// existing subscription is left alone. A reason that is declared all the same is validated, so
    /// it is rejected unless the subscription is disabled already.
    ///
    /// The key of a stated secret is compared with the key of the newest secret, so another
    /// spelling of the same key changes nothing. A different key replaces it as
    /// [`update`](Registry::update) does.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `owner`: the handle is that of every
    ///   owner.
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): one problem for each field that breaks
    ///   a [rule](NewSubscription#rules). Of an existing subscription, only the fields that differ
    ///   are validated.
    /// - [`ErrorKind::LimitReached`](crate::ErrorKind::LimitReached): one more than
    ///   [`max_subscriptions`](crate::RegistryOptions::max_subscriptions) would be created.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::{Ensured, NewSubscription, Registry};
    ///
    /// let registry = Registry::in_memory()?;
    /// registry.register_event_type("agent.presencechanged.v1")?;
    /// let declared = NewSubscription::new("crm", "https://example.com/hook", ["agent.*"]);
    /// assert!(matches!(registry.ensure(declared.clone())?, Ensured::Created(_)));
    /// assert!(matches!(registry.ensure(declared)?, Ensured::Unchanged(_)));
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn ensure(&self, declared: NewSubscription) -> Result<Ensured> {
        self.require_writable()?;
        self.require_one_owner()?;
        if !declared.states_secret()
            && let Some(found) =
                self.read_autocommit(|read| read.subscription_by_name(declared.name()))?
            && declared.equals(&found)
        {
            // The usual case needs no write lock.
            return Ok(Ensured::Unchanged(found));
        }
        self.write_or_suggest(|tx| {
            let ensured = self.declare(tx, declared, &mut CatalogLookup::new(tx))?;
            if matches!(ensured, Ensured::Created(_)) {
                self.require_room(tx)?;
            }
            Ok(ensured)
        })
    }

    fn declare(
        &self,
        tx: &Write<'_>,
        declared: NewSubscription,
        catalog: &mut CatalogLookup<'_>,
    ) -> Result<Ensured> {
        let now = self.inner.clock.now();
        let Some(current) = tx.current_by_name(declared.name())? else {
            let draft = declared.validate(&self.inner.rules, catalog);
            let draft = draft.map_err(Rejection::into_error)?;
            // Without the catalog: an earlier step of the same plan may have dropped patterns
            // since.
            return self.add(tx, draft, now, None).map(Ensured::Created);
        };
        let newest = &current.secret()?.secret;
        let update = declared.into_update();
        let updated =
            update.validate(&current.subscription.fields, newest, &self.inner.rules, catalog);
        let Updated { fields, secret } = updated.map_err(Rejection::into_error)?;
        let secret = secret.filter(|secret| !secret.has_key_of(newest));
        let secrets = secrets_after_update(&current, secret, now)?;
        let updated = SubscriptionWriter::new(tx, now).update(&current, fields, secrets)?;
        Ok(updated.map_or(Ensured::Unchanged(current.subscription), Ensured::Updated))
    }

    /// Computes the steps that reconcile the subscriptions of the handle's owner, or those without
    /// an owner, with a declared list. It changes nothing.
    ///
    /// The plan is empty if the registry is as declared. Each subscription is compared as
    /// [`ensure`](Registry::ensure) does.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): one problem for each field that breaks
    ///   a [rule](NewSubscription#rules), under `[3].url`, and for each name that occurs twice, on
    ///   the later entry.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::{NewSubscription, Prune, Registry};
    ///
    /// let registry = Registry::in_memory()?;
    /// registry.register_event_type("agent.presencechanged.v1")?;
    /// registry.create(NewSubscription::new("old", "https://example.com/", ["agent.*"]))?;
    /// registry.create(NewSubscription::new("crm", "https://example.com/", ["agent.*"]))?;
    ///
    /// let declared = [
    ///     NewSubscription::new("bi", "https://example.com/", ["agent.*"]),
    ///     NewSubscription::new("crm", "https://example.com/hook", ["agent.*"]),
    /// ];
    /// let plan = registry.plan(declared.clone(), Prune::Delete)?;
    /// assert_eq!(plan.to_string(), "+ create bi\n~ update crm (url)\n- delete old");
    /// registry.apply(plan)?;
    /// assert!(registry.plan(declared, Prune::Delete)?.is_empty());
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn plan(
        &self,
        declared: impl IntoIterator<Item = NewSubscription>,
        prune: Prune,
    ) -> Result<Plan> {
        let declared: Vec<NewSubscription> = declared.into_iter().collect();
        self.require_one_owner()?;
        self.read_or_suggest(|tx| self.plan_on(tx, &declared, prune))
    }

    fn plan_on(&self, tx: &Read<'_>, declared: &[NewSubscription], prune: Prune) -> Result<Plan> {
        let (mut steps, mut actions) = (Vec::new(), Vec::new());
        let mut problems = ListProblems::new(declared.iter().map(NewSubscription::name));
        let catalog = &mut CatalogLookup::new(tx);
        let existing = Existing::read(tx, declared, prune)?;
        for (index, new) in declared.iter().enumerate() {
            let step = self.step(tx, new, existing.get(tx, new.name())?, catalog);
            if let Some(step) = problems.validate(index, step)?.flatten() {
                steps.push(step);
                actions.push(Action::Declare(Box::new(new.clone())));
            }
        }
        problems.into_result()?;
        if prune == Prune::Delete {
            let kept: HashSet<&str> = declared.iter().map(NewSubscription::name).collect();
            for surplus in existing.listed().filter(|found| !kept.contains(found.name())) {
                steps.push(Step {
                    kind: StepKind::Delete,
                    name: surplus.name().to_owned(),
                    fields: Vec::new(),
                });
                actions.push(Action::Delete(surplus.id));
            }
        }
        let basis = Basis {
            file: tx.file_id()?,
            scope: self.scope.clone(),
            last_change: tx.last_change()?,
            owner_change: tx.owner_change()?,
            catalog_change: tx.catalog_change()?,
        };
        Ok(Plan { basis, steps, actions })
    }

    /// Returns the step for one declared subscription, or `None` if it is as declared.
    fn step(
        &self,
        tx: &Read<'_>,
        new: &NewSubscription,
        found: Option<Subscription>,
        catalog: &mut CatalogLookup<'_>,
    ) -> Validated<Option<Step>> {
        let step = |kind, fields| Some(Step { kind, name: new.name().to_owned(), fields });
        let Some(found) = found else {
            new.clone().validate(&self.inner.rules, catalog)?;
            return Ok(step(StepKind::Create, Vec::new()));
        };
        if !new.states_secret() && new.equals(&found) {
            return Ok(None);
        }
        let newest = current(tx, found.id, None)?.secret()?.secret.clone();
        let update = new.clone().into_update();
        let Updated { fields, secret } =
            update.validate(&found.fields, &newest, &self.inner.rules, catalog)?;
        let replaced = secret.is_some_and(|secret| !secret.has_key_of(&newest));
        let secret = replaced.then_some(SecretChange::Replaced);
        let (_, changes) = change::diff_subscription(&found.fields, &fields, secret);
        let keys: Vec<String> = changes.into_iter().map(|field| field.name).collect();
        Ok(if keys.is_empty() { None } else { step(StepKind::Update, keys) })
    }

    /// Applies a plan in one transaction, by any handle of the file and the owner that the plan was
    /// made for.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): the rules of this handle are stricter
    ///   than the rules of the handle that made the plan. One problem for each field, under
    ///   `[3].url`, where the index is that of the [step](Plan::steps).
    /// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) on `plan`: a subscription of the
    ///   handle's owner or the catalog has changed since, or the plan was made for another file or
    ///   through a handle of another owner. Make a new plan.
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `owner`: the handle is that of every
    ///   owner.
    /// - [`ErrorKind::LimitReached`](crate::ErrorKind::LimitReached): the plan creates something
    ///   and would leave more than
    ///   [`max_subscriptions`](crate::RegistryOptions::max_subscriptions). A plan that creates
    ///   nothing is never rejected.
    pub fn apply(&self, plan: Plan) -> Result<Applied> {
        self.require_writable()?;
        self.require_one_owner()?;
        self.tracked("apply", |progress| {
            self.write_or_suggest(|tx| {
                let Plan { basis, steps: _, actions } = plan;
                let refuse = |why: &str| Err(Error::conflict_field("plan", why));
                if basis.file != tx.file_id()? {
                    return refuse("was made on another file");
                }
                if basis.scope != self.scope {
                    return refuse("was made through a handle of another scope");
                }
                if is_outdated(tx, &basis)? {
                    return refuse("is out of date: the registry has changed since it was made");
                }
                tx.expect_changes(actions.len());
                progress.begin_entries(actions.len());
                let catalog = &mut CatalogLookup::new(tx);
                let (mut applied, mut problems) = (Applied::default(), Vec::new());
                for (index, action) in actions.into_iter().enumerate() {
                    match action {
                        Action::Declare(declared) => match self.declare(tx, *declared, catalog) {
                            Ok(Ensured::Created(created)) => applied.created.push(created),
                            Ok(Ensured::Updated(subscription)) => {
                                applied.updated.push(subscription)
                            }
                            Ok(Ensured::Unchanged(_)) => {}
                            Err(error) if error.kind() == ErrorKind::Invalid => {
                                problems.extend(
                                    error
                                        .problems()
                                        .iter()
                                        .map(|fault| fault.clone().within(index)),
                                );
                            }
                            Err(error) => return Err(error),
                        },
                        Action::Delete(id) => {
                            let writer = SubscriptionWriter::new(tx, self.inner.clock.now());
                            writer.delete(&current(tx, id, None)?)?;
                            applied.deleted.push(id);
                        }
                    }
                    progress.advance();
                }
                if !problems.is_empty() {
                    return Err(Error::invalid(problems));
                }
                if !applied.created.is_empty() {
                    self.require_room(tx)?;
                }
                progress.complete()?;
                Ok(applied)
            })
        })
    }
}

/// Returns whether the catalog or a subscription of the scope has changed since a plan was made.
fn is_outdated(tx: &Read<'_>, basis: &Basis) -> Result<bool> {
    let now = tx.owner_change()?;
    Ok(basis.catalog_change != tx.catalog_change()?
        || basis.owner_change != now
        // Subscriptions may have come and gone.
        || (now.is_none() && tx.owner_changed_after(basis.last_change)?))
}

/// The subscriptions that a plan is compared with.
enum Existing {
    /// All subscriptions in order, read by one statement because many are needed.
    All { list: Vec<Subscription>, by_name: HashMap<String, usize> },
    /// Each subscription is looked up by its name.
    Few,
}

impl Existing {
    fn read(tx: &Read<'_>, declared: &[NewSubscription], prune: Prune) -> Result<Existing> {
        // A look-up takes about as long as reading four rows in order.
        let many = u64::try_from(declared.len()).unwrap_or(u64::MAX).saturating_mul(4);
        if prune == Prune::Keep && many < tx.len()? {
            return Ok(Existing::Few);
        }
        let list = tx.list(&ListQuery::new(), usize::MAX)?;
        let by_name =
            list.iter().enumerate().map(|(at, found)| (found.name().to_owned(), at)).collect();
        Ok(Existing::All { list, by_name })
    }

    fn get(&self, tx: &Read<'_>, name: &str) -> Result<Option<Subscription>> {
        match self {
            Existing::All { list, by_name } => {
                Ok(by_name.get(name).and_then(|at| list.get(*at)).cloned())
            }
            Existing::Few => tx.subscription_by_name(name),
        }
    }

    fn listed(&self) -> impl Iterator<Item = &Subscription> {
        match self {
            Existing::All { list, .. } => list.iter(),
            Existing::Few => [].iter(),
        }
    }
}
