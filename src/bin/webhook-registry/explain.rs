//! `subscribers`, `explain`, `expand` and `check`: who gets an event, and why.

use clap::Args;
use serde_json::{Map, Value, json};
use webhook_registry::{EventPattern, ExplanationEntry, Finding, Subscriber, Subscription};

use crate::closest::distance;
use crate::failure::{Failure, Outcome};
use crate::output::{Field, Output, Tone, note, state};
use crate::session::Session;
use crate::text::joined;

/// The number of patterns that are shown when none matches.
const CLOSEST: usize = 3;

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
        out.array(subscribers.iter().map(|subscriber| Ok::<_, Failure>(document(subscriber))))?;
    } else {
        let record = |subscriber: &Subscriber| {
            [
                Field::new(subscriber.id().to_string()),
                Field::new(subscriber.name()).bold(),
                Field::new(subscriber.url()),
            ]
        };
        if subscribers.is_empty() {
            note(&format!("nobody gets {}", args.event));
        } else {
            out.records(["ID", "NAME", "URL"], subscribers.iter().map(record))?;
        }
    }
    let failed = args.check && subscribers.is_empty();
    Ok(if failed { Outcome::Negative } else { Outcome::Done })
}

/// Returns a subscriber with the keys of a subscription, without its secrets.
fn document(subscriber: &Subscriber) -> Value {
    let mut document = Map::new();
    document.insert("subscriptionId".to_owned(), json!(subscriber.id()));
    document.insert("name".to_owned(), subscriber.name().into());
    document.insert("url".to_owned(), subscriber.url().into());
    if !subscriber.metadata().is_empty() {
        document.insert("metadata".to_owned(), json!(subscriber.metadata()));
    }
    Value::Object(document)
}

pub(crate) fn explain(
    session: &Session,
    args: &ExplainArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    if let Some(name_or_id) = &args.name_or_id {
        return explain_one(session, &args.event, name_or_id, out);
    }
    let explanation = session.registry.explain(&args.event)?;
    if out.json() {
        out.document(&explanation)?;
    } else if explanation.entries().is_empty() {
        note(&format!("no subscription has a pattern that matches {}", args.event));
    } else {
        let record = |entry: &ExplanationEntry| {
            [
                Field::new(entry.subscription_id().to_string()),
                Field::new(entry.name()).bold(),
                state(entry.enabled()),
                Field::new(joined(entry.patterns())),
            ]
        };
        let records = explanation.entries().iter().map(record);
        out.records(["ID", "NAME", "STATE", "MATCHING PATTERNS"], records)?;
    }
    Ok(Outcome::Done)
}

/// Explains whether one subscription gets an event.
fn explain_one(
    session: &Session,
    event: &str,
    name_or_id: &str,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let subscription = session.find(name_or_id)?;
    let verdict = Verdict::new(&subscription, event);
    if session.registry.event_type(event)?.is_none() {
        if !verdict.matching.is_empty() {
            let patterns = joined(&verdict.matching);
            note(&format!("{} waits for this event type ({patterns})", subscription.name()));
        }
        // The refusal of the library suggests a name.
        session.registry.explain(event)?;
    }
    if out.json() {
        out.document(&verdict.document(&subscription, event))?;
    } else {
        out.fields(verdict.fields(&subscription, event))?;
    }
    Ok(Outcome::Done)
}

/// Why a subscription gets an event, or not.
struct Verdict<'a> {
    matching: Vec<&'a EventPattern>,
    /// If none matches: the closest patterns with their distances.
    closest: Vec<(&'a EventPattern, usize)>,
    reasons: Vec<&'static str>,
}

impl<'a> Verdict<'a> {
    fn new(subscription: &'a Subscription, event: &str) -> Verdict<'a> {
        let patterns = subscription.events();
        let matching: Vec<_> = patterns.iter().filter(|pattern| pattern.matches(event)).collect();
        let mut closest = Vec::new();
        let mut reasons = Vec::new();
        if !subscription.enabled() {
            reasons.push("disabled");
        }
        if matching.is_empty() {
            reasons.push("noMatchingPattern");
            closest.extend(patterns.iter().map(|pattern| (pattern, distance(pattern, event))));
            closest.sort_by_key(|&(_, distance)| distance);
            closest.truncate(CLOSEST);
        }
        Verdict { matching, closest, reasons }
    }

    fn document(&self, subscription: &Subscription, event: &str) -> Value {
        let closest: Vec<Value> = self
            .closest
            .iter()
            .map(|(pattern, distance)| json!({"pattern": pattern, "distance": distance}))
            .collect();
        json!({
            "eventType": event,
            "subscriptionId": subscription.id(),
            "name": subscription.name(),
            "receives": self.reasons.is_empty(),
            "reasons": self.reasons,
            "enabled": subscription.enabled(),
            "patterns": self.matching,
            "closest": closest,
        })
    }

    fn fields(&self, subscription: &Subscription, event: &str) -> Vec<(&'static str, Field)> {
        let receives = if self.reasons.is_empty() {
            Field::new("yes").colored(Tone::Good)
        } else {
            Field::new("no").colored(Tone::Bad)
        };
        let mut fields = vec![
            ("event", Field::new(event)),
            ("subscription", Field::new(subscription.name())),
            ("id", Field::new(subscription.id().to_string())),
            ("receives", receives),
            ("state", state(subscription.enabled())),
        ];
        if self.matching.is_empty() {
            fields.push(("why", Field::new("no pattern matches")));
        } else {
            fields.push(("matching", Field::new(joined(&self.matching))));
        }
        for (pattern, distance) in &self.closest {
            let unit = if *distance == 1 { "character differs" } else { "characters differ" };
            fields.push(("closest", Field::new(format!("{pattern} ({distance} {unit})"))));
        }
        fields
    }
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
