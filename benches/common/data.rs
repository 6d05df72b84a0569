//! Deterministic data with up to a million subscriptions: Stripe's event types, repeated under
//! prefixes.

use std::collections::BTreeMap;

use webhook_registry::NewSubscription;

use super::rows::{Id, SubscriptionRow};

const STRIPE: &str = include_str!("../../tests/fixtures/stripe-event-types.txt");

/// An event type with exactly one subscriber.
pub(crate) const FOR_ONE: &str = "one.invoice.paid";
/// An event type with exactly ten subscribers, which were created one after the other.
pub(crate) const FOR_TEN: &str = "ten.invoice.paid";
/// An event type with ten subscribers that are spread over the whole file: each is on pages of its
/// own.
pub(crate) const FOR_TEN_APART: &str = "apart.invoice.paid";
const PROBES: [&str; 3] = [FOR_ONE, FOR_TEN, FOR_TEN_APART];
/// The name of the subscription that gets [`FOR_ONE`].
pub(crate) const ONE: &str = "customer-0000000";

/// The wildcards under one prefix. Three in ten of the patterns of a mixed dataset are of these.
const WILDCARDS: [&str; 8] = [
    "*",
    "*.created",
    "*.updated",
    "*.deleted",
    "charge.*",
    "customer.*",
    "invoice.*",
    "treasury.*.created",
];

/// The names of Stripe's events.
pub(crate) fn stripe() -> impl Iterator<Item = &'static str> + Clone {
    STRIPE.lines().filter(|line| !line.is_empty())
}

pub(crate) fn is_wildcard(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

/// A subscription to create.
#[derive(Clone)]
pub(crate) struct New {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) events: Vec<String>,
    pub(crate) enabled: bool,
    pub(crate) description: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl New {
    /// Returns a subscription without description and metadata.
    pub(crate) fn plain(number: usize, events: Vec<String>) -> New {
        New {
            name: format!("customer-{number:07}"),
            url: format!("https://hooks.example.com/customers/{number:07}/events"),
            events,
            enabled: true,
            description: None,
            metadata: BTreeMap::new(),
        }
    }

    pub(crate) fn request(&self) -> NewSubscription {
        let New { name, url, events, enabled, description, metadata } = self;
        let mut request = NewSubscription::new(name, url, events).enabled(*enabled);
        if let Some(text) = description {
            request = request.description(text);
        }
        metadata.iter().fold(request, |request, (key, value)| request.metadata(key, value))
    }

    /// Returns the first revision of the subscription.
    pub(crate) fn into_row(self, id: Id, now: i64) -> SubscriptionRow {
        let New { name, url, events, enabled, description, metadata } = self;
        SubscriptionRow {
            id,
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            created_at: now,
            updated_at: now,
            revision: 1,
        }
    }
}

/// Many subscriptions that share few patterns.
pub(crate) enum Dataset {
    /// Patterns with and without wildcards, one subscription in twenty disabled, one in four with
    /// metadata, one in ten with a description, and the probes.
    Mixed { subscriptions: usize, types: usize, patterns: usize },
    /// All have the pattern of the only event type.
    Fans(usize),
    /// Groups of subscriptions; each subscription has the wildcard of its group.
    Groups { groups: usize, types: usize, subscriptions: usize },
}

impl Dataset {
    pub(crate) fn event_types(&self) -> Vec<String> {
        match *self {
            Dataset::Mixed { types, .. } => {
                let others = (0..)
                    .flat_map(|prefix| stripe().map(move |name| format!("t{prefix:02}.{name}")));
                let probes = PROBES.map(str::to_owned);
                probes.into_iter().chain(others).take(types).collect()
            }
            Dataset::Fans(_) => vec![FOR_ONE.to_owned()],
            Dataset::Groups { groups, types, .. } => (0..groups)
                .flat_map(|group| {
                    stripe().take(types).map(move |name| format!("g{group:04}.{name}"))
                })
                .collect(),
        }
    }

    /// Returns the distinct patterns without those of the probes.
    fn patterns(&self) -> Vec<String> {
        match *self {
            Dataset::Mixed { types, patterns, .. } => {
                let names = stripe().count();
                let prefixes = (types - PROBES.len()) / names;
                let wildcards = (0..prefixes)
                    .flat_map(|prefix| WILDCARDS.map(|pattern| format!("t{prefix:02}.{pattern}")))
                    .take(patterns * 3 / 10);
                let mut all: Vec<String> = wildcards.collect();
                let literals = patterns - PROBES.len() - all.len();
                let types = self.event_types().split_off(PROBES.len());
                all.extend((0..literals).map(|n| types[n * types.len() / literals].clone()));
                // Neighbours in this list are similar, and subscriptions take the patterns in turn.
                Random::new(7).shuffle(&mut all);
                all
            }
            Dataset::Fans(_) => vec![FOR_ONE.to_owned()],
            Dataset::Groups { groups, .. } => {
                (0..groups).map(|group| format!("g{group:04}.*")).collect()
            }
        }
    }

    pub(crate) fn subscriptions(&self) -> Box<dyn Iterator<Item = New> + '_> {
        let patterns = self.patterns();
        match *self {
            Dataset::Mixed { subscriptions, .. } => {
                let mut random = Random::new(1);
                let apart = subscriptions / 11;
                Box::new((0..subscriptions).map(move |number| {
                    let probe = match (number / apart, number % apart) {
                        (0, 0) => Some(FOR_ONE),
                        (1..11, 0) => Some(FOR_TEN_APART),
                        (1, 1..11) => Some(FOR_TEN),
                        _ => None,
                    };
                    if let Some(event) = probe {
                        return New::plain(number, vec![event.to_owned()]);
                    }
                    let mut events = vec![patterns[number % patterns.len()].clone()];
                    let second = &patterns[random.below(patterns.len())];
                    if random.below(3) == 0 && *second != events[0] {
                        events.push(second.clone());
                    }
                    let mut new = New::plain(number, events);
                    new.enabled = random.below(20) > 0;
                    if random.below(10) == 0 {
                        new.description =
                            Some(format!("Orders of customer {number}, to their own system"));
                    }
                    if random.below(4) == 0 {
                        new.metadata
                            .insert("tenant".to_owned(), format!("tenant-{}", random.below(5_000)));
                    }
                    new
                }))
            }
            Dataset::Fans(subscriptions) | Dataset::Groups { subscriptions, .. } => {
                Box::new((0..subscriptions).map(move |number| {
                    New::plain(number, vec![patterns[number % patterns.len()].clone()])
                }))
            }
        }
    }
}

/// SplitMix64: the same numbers on every platform.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}
