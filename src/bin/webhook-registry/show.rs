//! `show`: one subscription, the event types that it gets, and its last changes.

use std::collections::BTreeSet;

use clap::Args;
use serde::Serialize;
use webhook_registry::{Change, Subscription};

use crate::failure::{Failure, Outcome};
use crate::history;
use crate::output::{Field, Output, state};
use crate::session::Session;
use crate::text::{joined, metadata, time};

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Name or id of the subscription
    name_or_id: String,
    /// How many of its changes to show
    #[arg(long, value_name = "N", default_value_t = 5)]
    changes: usize,
}

/// A subscription with two keys more.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    #[serde(flatten)]
    subscription: &'a Subscription,
    event_types: &'a [String],
    changes: &'a [Change],
}

pub(crate) fn show(
    session: &Session,
    args: &ShowArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let subscription = session.find(&args.name_or_id)?;
    let event_types = event_types(session, &subscription)?;
    let changes = history::last_of(session, &subscription.id().to_string(), args.changes)?;
    if out.json() {
        let (subscription, event_types, changes) = (&subscription, &event_types, &changes);
        out.document(&Shown { subscription, event_types, changes })?;
    } else {
        write_subscription(&subscription, &event_types, out)?;
        if !changes.is_empty() {
            out.line("")?;
            history::records(&changes, out)?;
        }
    }
    Ok(Outcome::Done)
}

/// Returns the names of the event types that the patterns match, each once.
fn event_types(session: &Session, subscription: &Subscription) -> Result<Vec<String>, Failure> {
    let mut names = BTreeSet::new();
    for pattern in subscription.events() {
        names.extend(session.registry.expand(pattern.as_str())?);
    }
    Ok(names.into_iter().collect())
}

fn write_subscription(
    subscription: &Subscription,
    event_types: &[String],
    out: &mut Output,
) -> Result<(), Failure> {
    let mut fields = vec![
        ("id", Field::whole(subscription.id().to_string())),
        ("name", Field::new(subscription.name())),
        ("state", state(subscription.enabled())),
        ("url", Field::new(subscription.url())),
        ("patterns", Field::new(joined(subscription.events()))),
        ("event types", Field::new(joined(event_types))),
    ];
    if let Some(owner) = subscription.owner() {
        fields.insert(2, ("owner", Field::new(owner)));
    }
    if let Some(reason) = subscription.disabled_reason() {
        fields.push(("reason", Field::new(reason)));
    }
    if let Some(at) = subscription.disabled_at() {
        fields.push(("disabled since", Field::whole(time(at))));
    }
    if let Some(text) = subscription.description() {
        fields.push(("description", Field::new(text)));
    }
    if !subscription.metadata().is_empty() {
        fields.push(("metadata", Field::new(metadata(subscription.metadata()))));
    }
    fields.extend([
        ("created", Field::whole(time(subscription.created_at()))),
        ("updated", Field::whole(time(subscription.updated_at()))),
        ("revision", Field::new(subscription.revision().to_string())),
    ]);
    out.fields(fields)?;
    Ok(())
}
