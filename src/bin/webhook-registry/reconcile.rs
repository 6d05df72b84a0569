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
    /// Write the secrets of new subscriptions too
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
    // `Applied` has the ids of what is deleted, in the order of these steps.
    let deleted: Vec<String> = plan
        .steps()
        .iter()
        .filter(|step| step.kind() == StepKind::Delete)
        .map(|step| step.name().to_owned())
        .collect();
    let applied = session.registry.apply(plan)?;
    if out.json() && args.reveal {
        out.document(&applied)?;
    } else if out.json() {
        out.document(&Hidden::from(&applied))?;
    } else {
        write_applied(&applied, &deleted, args.reveal, out)?;
    }
    if !args.reveal && !applied.created().is_empty() {
        note_hidden_secrets();
    }
    Ok(Outcome::Done)
}

fn write_applied(
    applied: &Applied,
    deleted: &[String],
    reveal: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let row = |action: &str, tone, id: SubscriptionId, name: &str, secret: &str| {
        let mut row = vec![
            Field::new(action).colored(tone),
            Field::whole(id.to_string()),
            Field::new(name).bold(),
        ];
        if reveal {
            row.push(Field::new(secret).colored(Tone::Secret));
        }
        row
    };
    let created = applied.created().iter().map(|created| {
        let (subscription, secret) = (created.subscription(), created.secret().expose());
        row("created", Tone::Good, subscription.id(), subscription.name(), secret)
    });
    let updated = applied.updated().iter().map(|subscription| {
        row("updated", Tone::Warning, subscription.id(), subscription.name(), "")
    });
    let deleted = applied.deleted().iter().zip(deleted);
    let deleted = deleted.map(|(id, name)| row("deleted", Tone::Bad, *id, name, ""));
    let rows: Vec<_> = created.chain(updated).chain(deleted).collect();
    if rows.is_empty() {
        note("nothing to do");
        return Ok(());
    }
    let mut heading = vec!["DONE", "ID", "NAME"];
    if reveal {
        heading.push("SECRET");
    }
    let heading = heading.into_iter().map(|name| Field::new(name).bold()).collect();
    out.rows(Some(heading), rows)?;
    Ok(())
}
