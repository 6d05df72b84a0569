use std::collections::{HashMap, HashSet};

use super::Registry;
use super::subscriptions::{at, current, delete, names_twice, settle_secret, write_changed};
use crate::change::{self, SecretChange};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::plan::{Action, Applied, Basis, Ensured, Plan, Prune, Step, StepKind};
use crate::store::{CatalogLookup, Read, Write};
use crate::subscription::{ListQuery, NewSubscription, Subscription, Updated};

/// # Declared subscriptions
impl Registry {
    /// Makes the subscription of this name as declared: creates it, changes what differs, or leaves it.
    ///
    /// URL, events, description and metadata become as given (absent: none). `enabled` and the secret are compared and
    /// changed only when stated, so that a restart does not undo an operator's "disabled". The key of a
    /// secret is compared with that of the newest, so another spelling of the same key changes nothing; a differing one is
    /// replaced as by [`update`](Registry::update).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly); [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): one problem
    /// for every field that breaks a [rule](NewSubscription#rules); of a subscription that is there only what differs is
    /// checked.
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
        if self.inner.store.is_read_only() {
            return Err(Error::read_only());
        }
        if !declared.states_secret()
            && let Some(found) =
                self.read_autocommit(|read| read.subscription_by_name(declared.name()))?
            && declared.is(&found)
        {
            // As nearly always: without waiting for the lock.
            return Ok(Ensured::Unchanged(found));
        }
        self.write_or_suggest(|tx| self.declare(tx, declared, &mut CatalogLookup::new(tx)))
    }

    fn declare(
        &self,
        tx: &Write<'_>,
        declared: NewSubscription,
        knowledge: &mut CatalogLookup<'_>,
    ) -> Result<Ensured> {
        let now = self.inner.clock.now();
        let Some(current) = tx.current_by_name(declared.name())? else {
            let draft = declared.check(&self.inner.rules, knowledge)?.map_err(Error::invalid)?;
            // Not with what is known: steps of the same plan may have dropped patterns since.
            return self.add(tx, draft, now, None).map(Ensured::Created);
        };
        let newest = &current.secret()?.secret;
        let Updated { subscription: after, secret } = declared
            .into_update()
            .check(&current.subscription, newest, &self.inner.rules, knowledge)?
            .map_err(Error::invalid)?;
        let secret = secret.filter(|secret| !secret.has_key_of(newest));
        let (secrets, change) = settle_secret(&current, secret, now)?;
        if after == current.subscription && change == SecretChange::Kept {
            return Ok(Ensured::Unchanged(after));
        }
        write_changed(tx, &current, after, secrets.as_deref(), change, now).map(Ensured::Updated)
    }

    /// What it would take to make the registry as declared, and nothing is changed by it. Empty when everything is.
    ///
    /// Each declared subscription is compared as by [`ensure`](Registry::ensure).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): one problem for every field that breaks a
    /// [rule](NewSubscription#rules), under `[3].url`, and for the same name twice on the later.
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
        self.read_or_suggest(|tx| self.plan_on(tx, &declared, prune))
    }

    fn plan_on(&self, tx: &Read<'_>, declared: &[NewSubscription], prune: Prune) -> Result<Plan> {
        let (mut steps, mut actions, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        let mut twice = names_twice(declared.iter().map(NewSubscription::name));
        let knowledge = &mut CatalogLookup::new(tx);
        let there = Existing::read(tx, declared, prune)?;
        for (index, new) in declared.iter().enumerate() {
            let step = self.step(tx, new, there.get(tx, new.name())?, knowledge)?;
            let faults = step.map(|step| {
                if let Some(step) = step {
                    steps.push(step);
                    actions.push(Action::Declare(Box::new(new.clone())));
                }
            });
            problems.extend(at(index, faults.err().unwrap_or_default(), &mut twice));
        }
        if !problems.is_empty() {
            return Err(Error::invalid(problems));
        }
        if prune == Prune::Delete {
            let kept: HashSet<&str> = declared.iter().map(NewSubscription::name).collect();
            for gone in there.listed().filter(|there| !kept.contains(there.name())) {
                steps.push(Step {
                    kind: StepKind::Delete,
                    name: gone.name.clone(),
                    fields: Vec::new(),
                });
                actions.push(Action::Delete(gone.id));
            }
        }
        let basis = Basis { file: tx.file_id()?, last_change: tx.last_change()? };
        Ok(Plan { basis, steps, actions })
    }

    /// The step that one declared subscription takes, if any, or what is wrong with it.
    fn step(
        &self,
        tx: &Read<'_>,
        new: &NewSubscription,
        found: Option<Subscription>,
        knowledge: &mut CatalogLookup<'_>,
    ) -> Result<Result<Option<Step>, Vec<Problem>>> {
        let step = |kind, fields| Some(Step { kind, name: new.name().to_owned(), fields });
        let Some(found) = found else {
            let checked = new.clone().check(&self.inner.rules, knowledge)?;
            return Ok(checked.map(|_| step(StepKind::Create, Vec::new())));
        };
        if !new.states_secret() && new.is(&found) {
            return Ok(Ok(None));
        }
        let newest = current(tx, found.id, None)?.secret()?.secret.clone();
        let checked =
            new.clone().into_update().check(&found, &newest, &self.inner.rules, knowledge)?;
        Ok(checked.map(|Updated { subscription: after, secret }| {
            let replaced = secret.is_some_and(|secret| !secret.has_key_of(&newest));
            let secret = if replaced { SecretChange::Replaced } else { SecretChange::Kept };
            let (_, fields) = change::of_update(&found, &after, secret);
            let fields: Vec<String> = fields.into_iter().map(|field| field.name).collect();
            if fields.is_empty() { None } else { step(StepKind::Update, fields) }
        }))
    }

    /// Does what a plan says, in one transaction, by any handle of the file that it was made on.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): the rules of this handle are stricter than those of the one
    ///   that made the plan; one problem for every field, under `[3].url`, by the place of the [step](Plan::steps).
    /// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) on `plan`: anything has changed since, the catalog too, or
    ///   this is another file. Make a new plan.
    pub fn apply(&self, plan: Plan) -> Result<Applied> {
        self.write_or_suggest(|tx| {
            let Plan { basis, steps: _, actions } = plan;
            let refuse = |why: &str| Err(Error::conflict_field("plan", why));
            if basis.file != tx.file_id()? {
                return refuse("was made on another file");
            }
            if basis.last_change != tx.last_change()? {
                return refuse("is out of date: the registry has changed since it was made");
            }
            tx.expect_changes(actions.len());
            let knowledge = &mut CatalogLookup::new(tx);
            let (mut applied, mut problems) = (Applied::default(), Vec::new());
            for (index, action) in actions.into_iter().enumerate() {
                match action {
                    Action::Declare(declared) => match self.declare(tx, *declared, knowledge) {
                        Ok(Ensured::Created(created)) => applied.created.push(created),
                        Ok(Ensured::Updated(subscription)) => applied.updated.push(subscription),
                        Ok(Ensured::Unchanged(_)) => {}
                        Err(error) if error.kind() == ErrorKind::Invalid => {
                            problems.extend(
                                error.problems().iter().map(|fault| fault.clone().within(index)),
                            );
                        }
                        Err(error) => return Err(error),
                    },
                    Action::Delete(id) => {
                        delete(tx, &current(tx, id, None)?, self.inner.clock.now())?;
                        applied.deleted.push(id);
                    }
                }
            }
            if problems.is_empty() { Ok(applied) } else { Err(Error::invalid(problems)) }
        })
    }
}

/// The subscriptions that a plan compares with.
enum Existing {
    /// Every one, in order: read in one go where many are needed.
    All { list: Vec<Subscription>, by_name: HashMap<String, usize> },
    /// Looked up one by one.
    Few,
}

impl Existing {
    fn read(tx: &Read<'_>, declared: &[NewSubscription], prune: Prune) -> Result<Existing> {
        // A look-up costs about what four rows in a row do.
        let many = u64::try_from(declared.len()).unwrap_or(u64::MAX).saturating_mul(4);
        if prune == Prune::Keep && many < tx.len()? {
            return Ok(Existing::Few);
        }
        let list = tx.list(&ListQuery::new(), usize::MAX)?;
        let by_name = list.iter().enumerate().map(|(at, there)| (there.name.clone(), at)).collect();
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
