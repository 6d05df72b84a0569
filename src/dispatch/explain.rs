use std::fmt;

use crate::error::visible;
use crate::id::SubscriptionId;
use crate::pattern::EventPattern;
use crate::store::RouteRow;

/// Why an event goes where it goes: the answer of [`Registry::explain`](crate::Registry::explain).
///
/// `Display` is a short table: name, enabled or disabled, and the patterns that cover the event. Invisible characters of
/// a name are escaped, so that each entry has one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    event_type: String,
    entries: Vec<ExplanationEntry>,
}

/// One subscription with a pattern that covers the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplanationEntry {
    subscription_id: SubscriptionId,
    name: String,
    enabled: bool,
    patterns: Vec<EventPattern>,
}

impl Explanation {
    pub(crate) fn new(event_type: &str, routes: Vec<RouteRow>) -> Explanation {
        let entry = |row| {
            let RouteRow { id, name, enabled, patterns } = row;
            ExplanationEntry { subscription_id: id, name, enabled, patterns }
        };
        Explanation {
            event_type: event_type.to_owned(),
            entries: routes.into_iter().map(entry).collect(),
        }
    }

    /// The event type that was asked about.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Every subscription with a pattern that covers it, also the disabled ones, in the order of creation.
    pub fn entries(&self) -> &[ExplanationEntry] {
        &self.entries
    }
}

impl ExplanationEntry {
    /// The subscription's identity.
    pub fn subscription_id(&self) -> SubscriptionId {
        self.subscription_id
    }

    /// The subscription's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it gets the event, or only would.
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Those of its patterns that cover the event, in their order.
    pub fn patterns(&self) -> &[EventPattern] {
        &self.patterns
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation { event_type, entries } = self;
        let event_type = visible(event_type);
        if entries.is_empty() {
            return write!(f, "no subscription has a pattern that covers {event_type}");
        }
        write!(f, "{event_type}")?;
        let names: Vec<_> = entries.iter().map(|entry| visible(&entry.name)).collect();
        let widest = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        for (entry, name) in entries.iter().zip(names) {
            let ExplanationEntry { subscription_id: _, name: _, enabled, patterns } = entry;
            let state = if *enabled { "enabled" } else { "disabled" };
            let patterns: Vec<&str> = patterns.iter().map(EventPattern::as_str).collect();
            write!(f, "\n  {name:widest$}  {state:8}  {}", patterns.join(", "))?;
        }
        Ok(())
    }
}
