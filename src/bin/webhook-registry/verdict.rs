//! `explain EVENT NAME_OR_ID`: whether one subscription gets an event, and why not.

use serde::Serialize;
use webhook_registry::{EventPattern, Subscription, SubscriptionId};

use crate::closest::distance;
use crate::failure::{Failure, Outcome};
use crate::output::{Field, Output, Tone, note};
use crate::session::{Scope, Session};
use crate::text::{joined, time};

/// The number of patterns that are shown when none matches.
const CLOSEST: usize = 3;

pub(crate) fn explain(
    session: &Session,
    event: &str,
    name_or_id: &str,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let (subscription, elsewhere) = match session.find(name_or_id) {
        Ok(subscription) => (subscription, false),
        Err(failure) => match session.find_elsewhere(name_or_id)? {
            // An answer to the question of one owner does not describe another's subscription.
            Some(found) if session.scope == Scope::Owner => return foreign(&found, event, out),
            Some(found) => (found, true),
            None => return Err(failure),
        },
    };
    let mut verdict = Verdict::new(&subscription, event);
    if elsewhere {
        verdict.receives = false;
        verdict.reasons.insert(0, Reason::OtherOwner);
    }
    if session.registry.event_type(event)?.is_none() {
        if !verdict.patterns.is_empty() {
            let patterns = joined(&verdict.patterns);
            let name = subscription.name();
            note(&format!("{name} has a matching pattern ({patterns}), for when it is registered"));
        }
        // The refusal of the library suggests a name.
        session.registry.explain(event)?;
    }
    if out.json() {
        out.document(&verdict)?;
    } else {
        out.fields(verdict.fields())?;
    }
    Ok(Outcome::Done)
}

/// Answers that a subscription belongs to another owner, and nothing else about it.
fn foreign(
    subscription: &Subscription,
    event_type: &str,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let subscription_id = subscription.id();
    if out.json() {
        let (receives, reasons) = (false, [Reason::OtherOwner]);
        out.document(&Foreign { event_type, subscription_id, receives, reasons })?;
    } else {
        out.fields(vec![
            ("event", Field::new(event_type)),
            ("id", Field::new(subscription_id.to_string())),
            ("receives", Field::new("no").colored(Tone::Bad)),
            ("why", Field::new("the subscription belongs to another owner")),
        ])?;
    }
    Ok(Outcome::Done)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Foreign<'a> {
    event_type: &'a str,
    subscription_id: SubscriptionId,
    receives: bool,
    reasons: [Reason; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict<'a> {
    event_type: &'a str,
    subscription_id: SubscriptionId,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_at: Option<String>,
    receives: bool,
    /// Why it does not receive the event.
    reasons: Vec<Reason>,
    /// Those that match.
    patterns: Vec<&'a EventPattern>,
    /// If none matches.
    closest: Vec<Close<'a>>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Reason {
    OtherOwner,
    Disabled,
    NoMatchingPattern,
}

#[derive(Debug, Serialize)]
struct Close<'a> {
    pattern: &'a EventPattern,
    distance: usize,
}

impl<'a> Verdict<'a> {
    fn new(subscription: &'a Subscription, event_type: &'a str) -> Verdict<'a> {
        let all = subscription.events();
        let patterns: Vec<_> = all.iter().filter(|pattern| pattern.matches(event_type)).collect();
        let mut closest = Vec::new();
        let mut reasons = Vec::new();
        if !subscription.enabled() {
            reasons.push(Reason::Disabled);
        }
        if patterns.is_empty() {
            reasons.push(Reason::NoMatchingPattern);
            let close = |pattern| Close { pattern, distance: distance(pattern, event_type) };
            closest.extend(all.iter().map(close));
            closest.sort_by_key(|close| close.distance);
            closest.truncate(CLOSEST);
        }
        Verdict {
            event_type,
            subscription_id: subscription.id(),
            name: subscription.name(),
            owner: subscription.owner(),
            enabled: subscription.enabled(),
            disabled_reason: subscription.disabled_reason(),
            disabled_at: subscription.disabled_at().map(time),
            receives: reasons.is_empty(),
            reasons,
            patterns,
            closest,
        }
    }

    /// Returns since when it is disabled, and the reason.
    fn disabled(&self) -> String {
        let mut text = "disabled".to_owned();
        if let Some(at) = &self.disabled_at {
            text.push_str(" since ");
            text.push_str(at);
        }
        if let Some(reason) = self.disabled_reason {
            text.push_str(": ");
            text.push_str(reason);
        }
        text
    }

    fn fields(&self) -> Vec<(&'static str, Field)> {
        let receives = if self.receives {
            Field::new("yes").colored(Tone::Good)
        } else {
            Field::new("no").colored(Tone::Bad)
        };
        let mut fields = vec![
            ("event", Field::new(self.event_type)),
            ("subscription", Field::new(self.name)),
            ("id", Field::new(self.subscription_id.to_string())),
            ("receives", receives),
        ];
        for reason in &self.reasons {
            let why = match reason {
                Reason::OtherOwner => {
                    Field::new(format!("belongs to the owner {:?}", self.owner.unwrap_or_default()))
                }
                Reason::Disabled => Field::new(self.disabled()).colored(Tone::Warning),
                Reason::NoMatchingPattern => Field::new("no pattern matches"),
            };
            fields.push(("why", why));
        }
        if !self.patterns.is_empty() {
            fields.push(("matching", Field::new(joined(&self.patterns))));
        }
        for Close { pattern, distance } in &self.closest {
            let unit = if *distance == 1 { "character differs" } else { "characters differ" };
            fields.push(("closest", Field::new(format!("{pattern} ({distance} {unit})"))));
        }
        fields
    }
}
