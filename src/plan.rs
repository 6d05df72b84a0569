use std::fmt;

use crate::error::visible;
use crate::id::SubscriptionId;
use crate::scope::Scope;
use crate::subscription::{Created, NewSubscription, Subscription};

/// The result of [`Registry::ensure`](crate::Registry::ensure).
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// No subscription had this name, so one was created.
    Created(Created),
    /// The subscription existed and differed.
    Updated(Subscription),
    /// The subscription existed as declared.
    Unchanged(Subscription),
}

impl Ensured {
    /// Returns the subscription after the call.
    pub fn subscription(&self) -> &Subscription {
        match self {
            Ensured::Created(created) => created.subscription(),
            Ensured::Updated(subscription) | Ensured::Unchanged(subscription) => subscription,
        }
    }
}

/// The treatment of subscriptions that a declared list does not name.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prune {
    /// Keep them.
    Keep,
    /// Delete them.
    Delete,
}

/// The steps that reconcile a registry with a declared list.
///
/// [`Registry::plan`](crate::Registry::plan) returns it, and
/// [`Registry::apply`](crate::Registry::apply) carries it out.
///
/// `Display` writes one line for each step: `+ create`, `~ update` with the fields, `- delete`.
/// Invisible characters of a name are escaped. Neither `Display` nor `Debug` shows a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Plan {
    pub(crate) basis: Basis,
    pub(crate) steps: Vec<Step>,
    pub(crate) actions: Vec<Action>,
}

/// The state of the file that a plan was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Basis {
    pub(crate) file: Vec<u8>,
    pub(crate) scope: Scope,
    /// The newest change of the file.
    pub(crate) last_change: u64,
    /// The newest change of a subscription of the scope. None where there was no subscription.
    pub(crate) owner_change: Option<u64>,
    /// The newest change of an event type.
    pub(crate) catalog_change: u64,
}

/// The change that a step makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Creates or updates the subscription of this name.
    Declare(Box<NewSubscription>),
    Delete(SubscriptionId),
}

impl Plan {
    /// Returns the steps in the order in which they are applied.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns whether the registry is as declared already.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return f.write_str("nothing to do");
        }
        for (position, step) in self.steps.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            step.fmt(f)?;
        }
        Ok(())
    }
}

/// The planned change to one subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub(crate) kind: StepKind,
    pub(crate) name: String,
    pub(crate) fields: Vec<String>,
}

/// The kind of a [`Step`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// No subscription has this name.
    Create,
    /// Some fields differ.
    Update,
    /// The subscription is not declared.
    Delete,
}

impl Step {
    /// Returns its kind.
    pub fn kind(&self) -> StepKind {
        self.kind
    }

    /// Returns the name of the subscription.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the JSON keys of the fields that an update changes, without their values.
    pub fn fields(&self) -> &[String] {
        &self.fields
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Step { kind, name, fields } = self;
        let name = visible(name);
        match kind {
            StepKind::Create => write!(f, "+ create {name}"),
            StepKind::Update => write!(f, "~ update {name} ({})", fields.join(", ")),
            StepKind::Delete => write!(f, "- delete {name}"),
        }
    }
}

/// The result of [`Registry::apply`](crate::Registry::apply).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub(crate) created: Vec<Created>,
    pub(crate) updated: Vec<Subscription>,
    pub(crate) deleted: Vec<SubscriptionId>,
}

impl Applied {
    /// Returns the created subscriptions with their secrets, in the order declared.
    pub fn created(&self) -> &[Created] {
        &self.created
    }

    /// Returns the updated subscriptions, in the order declared.
    pub fn updated(&self) -> &[Subscription] {
        &self.updated
    }

    /// Returns the ids of the deleted subscriptions, in the order of creation.
    pub fn deleted(&self) -> &[SubscriptionId] {
        &self.deleted
    }
}
