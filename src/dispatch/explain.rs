use std::fmt;
use std::sync::Arc;

use crate::error::visible;
use crate::id::SubscriptionId;
use crate::pattern::EventPattern;
use crate::store::RouteRow;

/// The subscriptions whose patterns match an event type, with those patterns. Returned by
/// [`Registry::explain`](crate::Registry::explain).
///
/// `Display` writes a short table: the name, `enabled` or `disabled` with its reason in
/// parentheses, and the matching patterns. Invisible characters of a name and of a reason are
/// escaped, so that each entry has one line. A reason does not widen the column of the other lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    event_type: String,
    entries: Vec<ExplanationEntry>,
}

/// One subscription with a pattern that matches the event type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplanationEntry {
    subscription_id: SubscriptionId,
    name: String,
    enabled: bool,
    owner: Option<Arc<str>>,
    disabled_reason: Option<String>,
    patterns: Vec<EventPattern>,
}

impl Explanation {
    pub(crate) fn new(event_type: &str, routes: Vec<RouteRow>) -> Explanation {
        let entry = |row| {
            let RouteRow { id, name, enabled, owner, disabled_reason, patterns } = row;
            ExplanationEntry {
                subscription_id: id,
                name,
                enabled,
                owner,
                disabled_reason,
                patterns,
            }
        };
        Explanation {
            event_type: event_type.to_owned(),
            entries: routes.into_iter().map(entry).collect(),
        }
    }

    /// Returns the event type.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Returns every subscription with a matching pattern, including disabled ones, in the order of
    /// creation.
    pub fn entries(&self) -> &[ExplanationEntry] {
        &self.entries
    }
}

impl ExplanationEntry {
    /// Returns the subscription's id.
    pub fn subscription_id(&self) -> SubscriptionId {
        self.subscription_id
    }

    /// Returns the subscription's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the subscription is enabled, and therefore gets the event.
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Returns the subscription's owner, if it has one.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Returns the reason why the subscription is disabled, if it is and one was given.
    pub fn disabled_reason(&self) -> Option<&str> {
        self.disabled_reason.as_deref()
    }

    /// Returns the subscription's matching patterns, in their order.
    pub fn patterns(&self) -> &[EventPattern] {
        &self.patterns
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation { event_type, entries } = self;
        let event_type = visible(event_type);
        if entries.is_empty() {
            return write!(f, "no subscription has a pattern that matches {event_type}");
        }
        write!(f, "{event_type}")?;
        let names: Vec<_> = entries.iter().map(|entry| visible(&entry.name)).collect();
        let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        for (entry, name) in entries.iter().zip(names) {
            let ExplanationEntry {
                subscription_id: _,
                name: _,
                enabled,
                owner: _,
                disabled_reason,
                patterns,
            } = entry;
            let state = if *enabled { "enabled" } else { "disabled" };
            write!(f, "\n  {name:widest$}  {state:8}")?;
            if let Some(reason) = disabled_reason {
                write!(f, " ({})", visible(reason))?;
            }
            let patterns: Vec<&str> = patterns.iter().map(EventPattern::as_str).collect();
            write!(f, "  {}", patterns.join(", "))?;
        }
        Ok(())
    }
}
