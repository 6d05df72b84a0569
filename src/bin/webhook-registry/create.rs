//! `create`: new subscriptions, from arguments or a document.

use std::path::PathBuf;

use clap::Args;
use webhook_registry::{Created, NewSubscription};

use crate::failure::{Failure, Outcome};
use crate::input::{self, Documents};
use crate::output::{Field, Output, Tone, note};
use crate::session::Session;

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Name of the subscription
    #[arg(required_unless_present = "from")]
    name: Option<String>,
    /// Where deliveries go
    #[arg(required_unless_present = "from")]
    url: Option<String>,
    /// Event types, or patterns such as `order.*`
    #[arg(required_unless_present = "from", value_name = "EVENT")]
    events: Vec<String>,

    /// Read a JSON document instead, or an array of documents; `-` is stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "name", "url", "events", "description", "metadata", "secret_file", "disabled",
    ])]
    from: Option<PathBuf>,
    /// A description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// One entry of the metadata (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    metadata: Vec<(String, String)>,
    /// Read the secret from a file, or from stdin for `-`
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Create the subscription disabled
    #[arg(long)]
    disabled: bool,
    /// Why it is disabled
    #[arg(long, value_name = "TEXT", requires = "disabled")]
    reason: Option<String>,
    /// Accept event types that the catalog does not have yet
    #[arg(long)]
    allow_unknown_events: bool,
    /// With --json, write the secret too
    #[arg(long)]
    reveal: bool,
}

/// Parses `KEY=VALUE`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(crate) fn create(
    session: &Session,
    args: CreateArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let CreateArgs { reveal, .. } = args;
    let created = match args.subscriptions()? {
        Documents::One(new) => {
            let created = session.registry.create(*new)?;
            if out.json() {
                write_one(&created, reveal, out)?;
                return Ok(Outcome::Done);
            }
            vec![created]
        }
        Documents::Many(new) => session.registry.create_all(new)?,
    };
    if out.json() && reveal {
        out.document(&created)?;
    } else if out.json() {
        let subscriptions: Vec<_> = created.iter().map(Created::subscription).collect();
        out.document(&subscriptions)?;
        if !subscriptions.is_empty() {
            note_hidden_secrets();
        }
    } else {
        let record = |created: &Created| {
            let subscription = created.subscription();
            [
                Field::whole(subscription.id().to_string()),
                Field::new(subscription.name()),
                Field::whole(created.secret().expose()).colored(Tone::Secret),
            ]
        };
        out.records(["ID", "NAME", "SECRET"], created.iter().map(record))?;
    }
    Ok(Outcome::Done)
}

fn write_one(created: &Created, reveal: bool, out: &mut Output) -> Result<(), Failure> {
    if reveal {
        out.document(created)?;
    } else {
        out.document(created.subscription())?;
        note_hidden_secrets();
    }
    Ok(())
}

/// Says where the secrets are that a JSON document leaves out.
pub(crate) fn note_hidden_secrets() {
    note("the secret is left out: --reveal writes it, and `secret NAME --reveal` later");
}

impl CreateArgs {
    fn subscriptions(self) -> Result<Documents, Failure> {
        let allow = self.allow_unknown_events;
        if let Some(path) = &self.from {
            let permit = |new: NewSubscription| new.allow_unknown_events(allow);
            return Ok(match input::subscriptions(path)? {
                Documents::One(new) => Documents::One(Box::new(permit(*new))),
                Documents::Many(new) => Documents::Many(new.into_iter().map(permit).collect()),
            });
        }
        let (name, url) = (self.name.unwrap_or_default(), self.url.unwrap_or_default());
        let mut new = NewSubscription::new(name, url, self.events).allow_unknown_events(allow);
        if let Some(text) = self.description {
            new = new.description(text);
        }
        for (key, value) in self.metadata {
            new = new.metadata(key, value);
        }
        if let Some(path) = &self.secret_file {
            new = new.secret(input::secret(path)?);
        }
        if self.disabled {
            new = new.enabled(false);
        }
        if let Some(reason) = self.reason {
            new = new.disabled_reason(reason);
        }
        Ok(Documents::One(Box::new(new)))
    }
}
