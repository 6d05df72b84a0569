//! `subscribers`, `explain`, `expand` and `check`: who gets an event, and why.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use webhook_registry::{ExplanationEntry, Finding, Subscriber, SubscriptionId};

use crate::failure::{Failure, Outcome};
use crate::output::{Field, Output, Tone, note, state, with_owner};
use crate::session::Session;
use crate::text::joined;
use crate::verdict;

#[derive(Debug, Args)]
pub(crate) struct SubscribersArgs {
    /// An event type of the catalog
    event: String,
    /// Exit with 1 if nobody gets the event
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// An event type of the catalog
    event: String,
    /// Explain only whether this subscription gets the event, and why not
    name_or_id: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ExpandArgs {
    /// An event type, or a pattern such as `order.*`
    pattern: String,
}

pub(crate) fn subscribers(
    session: &Session,
    args: &SubscribersArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let subscribers = session.registry.subscribers(&args.event)?;
    if out.json() {
        out.array(subscribers.iter().map(|each| Ok::<_, Failure>(Document::from(each))))?;
    } else {
        let record = |subscriber: &Subscriber| {
            let record = [
                Field::whole(subscriber.id().to_string()),
                Field::new(subscriber.name()).bold(),
                Field::new(subscriber.url()),
            ];
            with_owner(record, subscriber.owner(), session)
        };
        if subscribers.is_empty() {
            note(&format!("nobody gets {}", args.event));
        } else {
            let records = subscribers.iter().map(record);
            out.owned_records(["ID", "NAME", "URL"], session, records)?;
        }
    }
    let failed = args.check && subscribers.is_empty();
    Ok(if failed { Outcome::Negative } else { Outcome::Done })
}

/// A subscriber with the keys of a subscription, without its secrets.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    subscription_id: SubscriptionId,
    name: &'a str,
    url: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
}

impl<'a> From<&'a Subscriber> for Document<'a> {
    fn from(subscriber: &'a Subscriber) -> Document<'a> {
        Document {
            subscription_id: subscriber.id(),
            name: subscriber.name(),
            url: subscriber.url(),
            metadata: subscriber.metadata(),
            owner: subscriber.owner(),
        }
    }
}

pub(crate) fn explain(
    session: &Session,
    args: &ExplainArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    if let Some(name_or_id) = &args.name_or_id {
        return verdict::explain(session, &args.event, name_or_id, out);
    }
    let explanation = session.registry.explain(&args.event)?;
    if out.json() {
        out.document(&explanation)?;
    } else if explanation.entries().is_empty() {
        note(&format!("no subscription has a pattern that matches {}", args.event));
    } else {
        let record = |entry: &ExplanationEntry| {
            let record = [
                Field::whole(entry.subscription_id().to_string()),
                Field::new(entry.name()).bold(),
                state(entry.enabled()),
                Field::new(joined(entry.patterns())),
                Field::new(entry.disabled_reason().unwrap_or_default()),
            ];
            with_owner(record, entry.owner(), session)
        };
        let heading = ["ID", "NAME", "STATE", "MATCHING PATTERNS", "REASON"];
        out.owned_records(heading, session, explanation.entries().iter().map(record))?;
    }
    Ok(Outcome::Done)
}

pub(crate) fn expand(
    session: &Session,
    args: &ExpandArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let names = session.registry.expand(&args.pattern)?;
    if out.json() {
        out.document(&names)?;
    } else {
        for name in names {
            out.line(name)?;
        }
    }
    Ok(Outcome::Done)
}

pub(crate) fn check(session: &Session, out: &mut Output) -> Result<Outcome, Failure> {
    let report = session.registry.check()?;
    if out.json() {
        out.document(&report)?;
    } else if report.is_sound() && report.advice().is_empty() {
        note("nothing found");
    } else {
        let record = |label: &str, tone, finding: &Finding| {
            [Field::new(label).colored(tone), Field::new(finding.message())]
        };
        let findings = report.findings().iter();
        let findings = findings.map(|finding| record("finding", Tone::Bad, finding));
        let advice = report.advice().iter();
        let advice = advice.map(|finding| record("advice", Tone::Warning, finding));
        out.records(["KIND", "MESSAGE"], findings.chain(advice))?;
    }
    Ok(if report.is_sound() { Outcome::Done } else { Outcome::Negative })
}
