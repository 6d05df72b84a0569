use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::id::SubscriptionId;
use crate::pattern::EventPattern;
use crate::secret::SigningSecret;
use crate::store::{Recipient, Routed};
use crate::time::{Clock, Millis};

/// Who gets an event: the answer of [`Registry::subscribers`](crate::Registry::subscribers), in the order of creation.
///
/// It is the answer of its moment. Later changes are not seen in it, but the expiries of secrets that were known then
/// do act. Cloning it copies a pointer.
#[derive(Clone)]
pub struct Subscribers(Arc<[Subscriber]>);

impl Subscribers {
    pub(crate) fn new(recipients: Vec<Recipient>, clock: &Clock) -> Subscribers {
        Subscribers(
            recipients
                .into_iter()
                .map(|recipient| Subscriber::new(recipient, clock.clone()))
                .collect(),
        )
    }
}

impl Deref for Subscribers {
    type Target = [Subscriber];

    fn deref(&self) -> &[Subscriber] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Subscribers {
    type Item = &'a Subscriber;
    type IntoIter = std::slice::Iter<'a, Subscriber>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// One enabled subscription that gets an event, with what a delivery needs. Cloning it copies a pointer.
#[derive(Clone)]
pub struct Subscriber(Arc<Inner>);

struct Inner {
    id: SubscriptionId,
    name: String,
    url: String,
    metadata: BTreeMap<String, String>,
    secrets: Vec<(SigningSecret, Option<Millis>)>,
    clock: Clock,
}

impl Subscriber {
    fn new(recipient: Recipient, clock: Clock) -> Subscriber {
        let Recipient {
            id,
            name,
            url,
            metadata,
            secrets,
        } = recipient;
        Subscriber(Arc::new(Inner {
            id,
            name,
            url,
            metadata,
            secrets,
            clock,
        }))
    }

    /// The subscription's identity.
    pub fn id(&self) -> SubscriptionId {
        self.0.id
    }

    /// The subscription's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Where to deliver to, as it was given.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// What the application keeps with the subscription.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.0.metadata
    }

    /// The secrets to sign with, newest first: those that have not expired by the registry's clock at this very call.
    pub fn secrets(&self) -> impl Iterator<Item = &SigningSecret> {
        let now = self.0.clock.now();
        self.0
            .secrets
            .iter()
            .filter(move |(_, until)| until.is_none_or(|until| now < until))
            .map(|(secret, _)| secret)
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            id,
            name,
            url,
            metadata,
            secrets,
            clock: _,
        } = &*self.0;
        f.debug_struct("Subscriber")
            .field("id", id)
            .field("name", name)
            .field("url", url)
            .field("metadata", metadata)
            .field(
                "secrets",
                &secrets.iter().map(|(secret, _)| secret).collect::<Vec<_>>(),
            )
            .finish()
    }
}

/// Why an event goes where it goes: the answer of [`Registry::explain`](crate::Registry::explain).
///
/// `Display` is a short table: name, enabled or disabled, and the patterns that cover the event.
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
    pub(crate) fn new(event_type: &str, routes: Vec<Routed>) -> Explanation {
        let entry = |routed| {
            let Routed {
                id,
                name,
                enabled,
                patterns,
            } = routed;
            ExplanationEntry {
                subscription_id: id,
                name,
                enabled,
                patterns,
            }
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
        if entries.is_empty() {
            return write!(f, "no subscription has a pattern that covers {event_type}");
        }
        write!(f, "{event_type}")?;
        let widest = entries
            .iter()
            .map(|entry| entry.name.chars().count())
            .max()
            .unwrap_or_default();
        for ExplanationEntry {
            subscription_id: _,
            name,
            enabled,
            patterns,
        } in entries
        {
            let state = if *enabled { "enabled" } else { "disabled" };
            let patterns: Vec<&str> = patterns.iter().map(EventPattern::as_str).collect();
            write!(f, "\n  {name:widest$}  {state:8}  {}", patterns.join(", "))?;
        }
        Ok(())
    }
}
