//! `update`, `enable`, `disable` and `delete`.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use webhook_registry::{ErrorKind, Subscription, SubscriptionId, SubscriptionUpdate};

use crate::create::key_value;
use crate::failure::{Failure, Outcome};
use crate::input;
use crate::output::Output;
use crate::session::{Session, TargetArgs};
use crate::text::visible;

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Name or id of the subscription
    name_or_id: String,
    #[command(flatten)]
    fields: UpdateFields,
    /// Read a JSON document instead, as for PATCH; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with = "UpdateFields")]
    from: Option<PathBuf>,
    /// Accept event types that the catalog does not have yet
    #[arg(long)]
    allow_unknown_events: bool,
    /// Refuse unless the subscription has this revision
    #[arg(long, value_name = "N", conflicts_with = "from")]
    if_revision: Option<u64>,
}

#[derive(Debug, Args)]
#[group(multiple = true)]
pub(crate) struct UpdateFields {
    /// A new name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A new URL
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// All of the patterns from now on (repeatable)
    #[arg(long, value_name = "EVENT", conflicts_with_all = ["add_event", "remove_event"])]
    event: Vec<String>,
    /// One more pattern (repeatable)
    #[arg(long, value_name = "EVENT")]
    add_event: Vec<String>,
    /// A pattern to remove (repeatable)
    #[arg(long, value_name = "EVENT")]
    remove_event: Vec<String>,
    /// A new description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Remove the description
    #[arg(long, conflicts_with = "description")]
    clear_description: bool,
    /// One entry of the metadata (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    metadata: Vec<(String, String)>,
    /// A key of the metadata to remove (repeatable)
    #[arg(long, value_name = "KEY")]
    remove_metadata: Vec<String>,
    /// Remove the other metadata
    #[arg(long)]
    clear_metadata: bool,
    /// Replace the secret at once, with that of a file or of stdin (`-`)
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DisableArgs {
    /// Name or id of the subscription
    name_or_id: String,
    /// Why, for those who ask later; without it, an earlier reason stays
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Names or ids of the subscriptions
    #[arg(required_unless_present = "all", value_name = "NAME_OR_ID")]
    names_or_ids: Vec<String>,
    /// Delete every subscription of the owner, or every one without an owner
    #[arg(long, conflicts_with_all = ["names_or_ids", "if_revision"])]
    all: bool,
    /// Do not ask; needed where there is no terminal
    #[arg(long, short)]
    yes: bool,
    /// Refuse unless the subscription has this revision
    #[arg(long, value_name = "N")]
    if_revision: Option<u64>,
}

pub(crate) fn update(
    session: &Session,
    args: UpdateArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let subscription = session.find(&args.name_or_id)?;
    let mut update = match &args.from {
        Some(path) => SubscriptionUpdate::from_json(&input::read(path)?)?,
        None => args.fields.update(&subscription)?,
    };
    update = update.allow_unknown_events(args.allow_unknown_events);
    if let Some(revision) = args.if_revision {
        update = update.if_revision(revision);
    }
    let updated = session.registry.update(subscription.id(), update)?;
    changed(&subscription, &updated, "updated", out)
}

pub(crate) fn enable(
    session: &Session,
    args: &TargetArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let subscription = session.find(&args.name_or_id)?;
    let update = SubscriptionUpdate::new().enabled(true);
    let updated = session.registry.update(subscription.id(), update)?;
    changed(&subscription, &updated, "enabled", out)
}

pub(crate) fn disable(
    session: &Session,
    args: &DisableArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let subscription = session.find(&args.name_or_id)?;
    let (registry, id) = (&session.registry, subscription.id());
    let updated = match &args.reason {
        Some(reason) => registry.disable(id, reason)?,
        None => registry.update(id, SubscriptionUpdate::new().enabled(false))?,
    };
    changed(&subscription, &updated, "disabled", out)
}

/// Answers with the subscription after a change.
fn changed(
    before: &Subscription,
    after: &Subscription,
    verb: &str,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    if out.json() {
        out.document(after)?;
    } else {
        let verb = if before.revision() == after.revision() { "unchanged" } else { verb };
        out.line(format!("{verb} {} {}", after.id(), after.name()))?;
    }
    Ok(Outcome::Done)
}

pub(crate) fn delete(
    session: &Session,
    args: &DeleteArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    if args.all {
        return delete_all(session, args, out);
    }
    if args.if_revision.is_some() && args.names_or_ids.len() > 1 {
        return Err(Failure::invalid("ifRevision", "one revision is of one subscription"));
    }
    let mut targets: Vec<(SubscriptionId, String)> = Vec::new();
    for name_or_id in &args.names_or_ids {
        let target = target(session, name_or_id)?;
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    let names: Vec<_> = targets.iter().map(|(_, name)| visible(name)).collect();
    if !args.yes && !confirmed(&format!("delete {}?", names.join(", ")))? {
        return Err(Failure::invalid("yes", "not confirmed; nothing is deleted"));
    }
    let mut deleted = Vec::new();
    for (id, name) in &targets {
        match args.if_revision {
            Some(revision) => session.registry.delete_if_revision(*id, revision)?,
            None => session.registry.delete(*id)?,
        }
        deleted.push(id);
        if !out.json() {
            out.line(format!("deleted {id} {name}"))?;
        }
    }
    if out.json() {
        out.document(&json!({"deleted": deleted}))?;
    }
    Ok(Outcome::Done)
}

/// Returns the id and the name of a subscription to delete. One with a damaged row can be deleted
/// too, by its id.
fn target(session: &Session, name_or_id: &str) -> Result<(SubscriptionId, String), Failure> {
    match (session.find(name_or_id), name_or_id.parse()) {
        (Ok(subscription), _) => Ok((subscription.id(), subscription.name().to_owned())),
        (Err(Failure::Registry(error)), Ok(id)) if error.kind() == ErrorKind::Corrupt => {
            Ok((id, format!("{id} (damaged)")))
        }
        (Err(failure), _) => Err(failure),
    }
}

fn delete_all(session: &Session, args: &DeleteArgs, out: &mut Output) -> Result<Outcome, Failure> {
    let count = session.registry.len()?;
    if !args.yes && !confirmed(&format!("delete {count} subscriptions?"))? {
        return Err(Failure::invalid("yes", "not confirmed; nothing is deleted"));
    }
    let count = session.registry.delete_all()?;
    if out.json() {
        out.document(&json!({"count": count}))?;
    } else {
        out.line(format!("deleted {count} subscriptions"))?;
    }
    Ok(Outcome::Done)
}

/// Asks a question on the terminal. Without a terminal nobody can answer, so that is a refusal.
fn confirmed(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::invalid("yes", "there is no terminal to ask on; give --yes"));
    }
    let mut stderr = anstream::stderr();
    let mut answer = String::new();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

impl UpdateFields {
    fn update(self, before: &Subscription) -> Result<SubscriptionUpdate, Failure> {
        let mut update = SubscriptionUpdate::new();
        if let Some(name) = self.name {
            update = update.name(name);
        }
        if let Some(url) = self.url {
            update = update.url(url);
        }
        if !self.event.is_empty() {
            update = update.events(self.event);
        } else if !self.add_event.is_empty() || !self.remove_event.is_empty() {
            let mut events: Vec<String> =
                before.events().iter().map(|pattern| pattern.as_str().to_owned()).collect();
            for removed in &self.remove_event {
                if !events.contains(removed) {
                    let message = format!("the subscription has no pattern {removed:?}");
                    return Err(Failure::invalid("removeEvent", message));
                }
                events.retain(|event| event != removed);
            }
            events.extend(self.add_event);
            // The new list depends on the one that was read.
            update = update.events(events).if_revision(before.revision());
        }
        if self.clear_description {
            update = update.clear_description();
        }
        if let Some(text) = self.description {
            update = update.description(text);
        }
        if self.clear_metadata {
            update = update.clear_metadata();
        }
        for key in self.remove_metadata {
            update = update.remove_metadata(key);
        }
        for (key, value) in self.metadata {
            update = update.metadata(key, value);
        }
        if let Some(path) = &self.secret_file {
            update = update.secret(input::secret(path)?);
        }
        Ok(update)
    }
}
