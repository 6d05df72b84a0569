use std::fmt;

use crate::error::visible;
use crate::id::SubscriptionId;
use crate::subscription::{Created, NewSubscription, Subscription};

/// What [`Registry::ensure`](crate::Registry::ensure) has found or done.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// There was none of this name.
    Created(Created),
    /// It was there and differed.
    Updated(Subscription),
    /// It was there as declared.
    Unchanged(Subscription),
}

impl Ensured {
    /// The subscription as it is now.
    pub fn subscription(&self) -> &Subscription {
        match self {
            Ensured::Created(created) => created.subscription(),
            Ensured::Updated(subscription) | Ensured::Unchanged(subscription) => subscription,
        }
    }
}

/// What becomes of subscriptions that a list of declared ones does not name.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Prune {
    /// They stay.
    Keep,
    /// They are deleted.
    Delete,
}

/// What it takes to make a registry as declared: from [`Registry::plan`](crate::Registry::plan), for
/// [`Registry::apply`](crate::Registry::apply).
///
/// `Display` is one line a step: `+ create`, `~ update` with the fields, `- delete`. Invisible characters of a name are
/// escaped. Neither it nor `Debug` shows a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Plan {
    pub(crate) basis: Basis,
    pub(crate) steps: Vec<Step>,
    pub(crate) actions: Vec<Action>,
}

/// What a plan was made on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Basis {
    pub(crate) file: Vec<u8>,
    pub(crate) last_change: u64,
}

/// What to do for a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make the subscription of this name as declared.
    Declare(Box<NewSubscription>),
    Delete(SubscriptionId),
}

impl Plan {
    /// What would be done, in the order of doing it.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether everything is as declared already.
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

/// What would be done to one subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub(crate) kind: StepKind,
    pub(crate) name: String,
    pub(crate) fields: Vec<String>,
}

/// What a [`Step`] does.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepKind {
    /// There is none of this name.
    Create,
    /// Some fields differ.
    Update,
    /// It was not declared.
    Delete,
}

impl Step {
    /// What it does.
    pub fn kind(&self) -> StepKind {
        self.kind
    }

    /// The name of the subscription.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The JSON keys that differ, of an update. A secret is only named.
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

/// What [`Registry::apply`](crate::Registry::apply) has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub(crate) created: Vec<Created>,
    pub(crate) updated: Vec<Subscription>,
    pub(crate) deleted: Vec<SubscriptionId>,
}

impl Applied {
    /// What was created, with the secrets, in the order declared.
    pub fn created(&self) -> &[Created] {
        &self.created
    }

    /// What was changed, in the order declared.
    pub fn updated(&self) -> &[Subscription] {
        &self.updated
    }

    /// What was deleted, in the order of creation.
    pub fn deleted(&self) -> &[SubscriptionId] {
        &self.deleted
    }
}
