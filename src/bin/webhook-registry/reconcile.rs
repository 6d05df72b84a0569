//! `plan` and `apply`: the subscriptions as a declared list.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use webhook_registry::{Applied, Created, Prune, Step, StepKind, Subscription, SubscriptionId};

use crate::create::note_hidden_secrets;
use crate::failure::{Failure, Outcome};
use crate::input;
use crate::output::{Field, Output, Tone, note};
use crate::session::Session;
use crate::text::joined;

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    declared: DeclaredArgs,
    /// Exit with 1 if there is something to do
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    declared: DeclaredArgs,
    /// With --json, write the secrets of new subscriptions too
    #[arg(long)]
    reveal: bool,
}

#[derive(Debug, Args)]
struct DeclaredArgs {
    /// A JSON array of subscriptions, as `create --from` reads it; `-` is stdin
    file: PathBuf,
    /// Delete the subscriptions that the file does not declare
    #[arg(long)]
    prune: bool,
}

impl DeclaredArgs {
    fn plan(&self, session: &Session) -> Result<webhook_registry::Plan, Failure> {
        let declared = input::subscriptions(&self.file)?.into_list();
        let prune = if self.prune { Prune::Delete } else { Prune::Keep };
        Ok(session.registry.plan(declared, prune)?)
    }
}

/// The JSON of `Applied` without the secrets.
#[derive(Serialize)]
struct Hidden<'a> {
    created: Vec<&'a Subscription>,
    updated: &'a [Subscription],
    deleted: &'a [SubscriptionId],
}

impl<'a> From<&'a Applied> for Hidden<'a> {
    fn from(applied: &'a Applied) -> Hidden<'a> {
        let created = applied.created().iter().map(Created::subscription).collect();
        Hidden { created, updated: applied.updated(), deleted: applied.deleted() }
    }
}

pub(crate) fn plan(
    session: &Session,
    args: &PlanArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let plan = args.declared.plan(session)?;
    if out.json() {
        out.document(&plan)?;
    } else if plan.is_empty() {
        note("nothing to do");
    } else {
        let record = |step: &Step| {
            let action = match step.kind() {
                StepKind::Create => Field::new("create").colored(Tone::Good),
                StepKind::Delete => Field::new("delete").colored(Tone::Bad),
                _ => Field::new("update").colored(Tone::Warning),
            };
            [action, Field::new(step.name()).bold(), Field::new(joined(step.fields()))]
        };
        out.records(["ACTION", "NAME", "FIELDS"], plan.steps().iter().map(record))?;
    }
    let differs = args.check && !plan.is_empty();
    Ok(if differs { Outcome::Negative } else { Outcome::Done })
}

pub(crate) fn apply(
    session: &Session,
    args: &ApplyArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let plan = args.declared.plan(session)?;
    let applied = session.registry.apply(plan)?;
    if out.json() && args.reveal {
        out.document(&applied)?;
    } else if out.json() {
        out.document(&Hidden::from(&applied))?;
        if !applied.created().is_empty() {
            note_hidden_secrets();
        }
    } else {
        let row = |action: Field, id: String, name: &str, secret: &str| {
            [action, id.into(), Field::new(name).bold(), Field::new(secret).colored(Tone::Secret)]
        };
        let created = applied.created().iter().map(|created| {
            let subscription = created.subscription();
            let action = Field::new("created").colored(Tone::Good);
            let secret = created.secret().expose();
            row(action, subscription.id().to_string(), subscription.name(), secret)
        });
        let updated = applied.updated().iter().map(|subscription| {
            let action = Field::new("updated").colored(Tone::Warning);
            row(action, subscription.id().to_string(), subscription.name(), "")
        });
        let deleted = applied
            .deleted()
            .iter()
            .map(|id| row(Field::new("deleted").colored(Tone::Bad), id.to_string(), "", ""));
        let rows: Vec<_> = created.chain(updated).chain(deleted).collect();
        if rows.is_empty() {
            note("nothing to do");
        } else {
            out.records(["DONE", "ID", "NAME", "SECRET"], rows)?;
        }
    }
    Ok(Outcome::Done)
}
