//! `list`: the subscriptions, with filters.

use clap::Args;
use webhook_registry::{ListQuery, Subscription, SubscriptionId};

use crate::create::key_value;
use crate::failure::{Failure, Outcome};
use crate::output::{Field, Output, state, with_owner};
use crate::session::Session;
use crate::text::joined;

/// The number of subscriptions that one call of the library reads.
const PAGE: usize = 1000;

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only enabled ones
    #[arg(long, conflicts_with = "disabled")]
    enabled: bool,
    /// Only disabled ones
    #[arg(long)]
    disabled: bool,
    /// Only those with a pattern that matches this event type
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// Only those with this text in their name
    #[arg(long, value_name = "TEXT")]
    name_contains: Option<String>,
    /// Only those with this entry in their metadata (repeatable)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    metadata: Vec<(String, String)>,
    /// Only those after this id
    #[arg(long, value_name = "ID")]
    after: Option<SubscriptionId>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

pub(crate) fn list(
    session: &Session,
    args: ListArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let limit = args.limit.unwrap_or(usize::MAX);
    let all = session.registry.iter(args.query());
    let mut subscriptions = all.take(limit).map(|read| read.map_err(Failure::from));
    if out.json() {
        out.array(subscriptions)?;
        return Ok(Outcome::Done);
    }
    let record = |subscription: &Subscription| {
        with_owner(record(subscription), subscription.owner(), session)
    };
    let heading = ["ID", "NAME", "STATE", "URL", "EVENTS", "REASON"];
    if out.tables() {
        // The widths of the columns need all of them.
        let all: Vec<Subscription> = subscriptions.collect::<Result<_, _>>()?;
        out.owned_records(heading, session, all.iter().map(record))?;
        return Ok(Outcome::Done);
    }
    loop {
        let page: Vec<Subscription> =
            subscriptions.by_ref().take(PAGE).collect::<Result<_, _>>()?;
        if page.is_empty() {
            return Ok(Outcome::Done);
        }
        out.owned_records(heading, session, page.iter().map(record))?;
    }
}

fn record(subscription: &Subscription) -> [Field; 6] {
    [
        Field::whole(subscription.id().to_string()),
        Field::new(subscription.name()).bold(),
        state(subscription.enabled()),
        Field::new(subscription.url()),
        Field::new(joined(subscription.events())),
        Field::new(subscription.disabled_reason().unwrap_or_default()),
    ]
}

impl ListArgs {
    fn query(self) -> ListQuery {
        let mut query =
            ListQuery::new().limit(self.limit.map_or(PAGE, |limit| limit.clamp(1, PAGE)));
        if self.enabled || self.disabled {
            query = query.enabled(self.enabled);
        }
        if let Some(event) = self.event {
            query = query.event_type(event);
        }
        if let Some(text) = self.name_contains {
            query = query.name_contains(text);
        }
        for (key, value) in self.metadata {
            query = query.metadata(key, value);
        }
        if let Some(id) = self.after {
            query = query.after(id);
        }
        query
    }
}
