//! Subscriptions by the million, the same in every run: Stripe's event types, repeated under prefixes.

use std::collections::BTreeMap;

use webhook_registry::NewSubscription;

const STRIPE: &str = include_str!("../../tests/fixtures/stripe-event-types.txt");

/// An event type that exactly one subscription of a crowd gets.
pub(crate) const FOR_ONE: &str = "one.invoice.paid";
/// An event type that exactly ten subscriptions of a crowd get, made one after the other.
pub(crate) const FOR_TEN: &str = "ten.invoice.paid";
/// One that ten others get, which lie as far apart as the file allows: each costs pages of its own.
pub(crate) const FOR_TEN_APART: &str = "apart.invoice.paid";
const PROBES: [&str; 3] = [FOR_ONE, FOR_TEN, FOR_TEN_APART];
/// The name of the subscription that gets [`FOR_ONE`].
pub(crate) const ONE: &str = "customer-0000000";

/// The wildcards under one prefix. Three in ten of the patterns of a crowd are of these.
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

/// A subscription to be.
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
}

/// Many subscriptions that share few patterns.
pub(crate) enum Crowd {
    /// What a file holds in practice: patterns of one type and of many, one subscription in twenty disabled, one in four
    /// with metadata, one in ten with a description; and the probes.
    Mixed { subscriptions: usize, types: usize, patterns: usize },
    /// All get the one type that there is.
    Fans(usize),
    /// Groups of subscriptions, each of which gets all types of the group.
    Groups { groups: usize, types: usize, subscriptions: usize },
}

impl Crowd {
    pub(crate) fn event_types(&self) -> Vec<String> {
        match *self {
            Crowd::Mixed { types, .. } => {
                let crowd = (0..)
                    .flat_map(|prefix| stripe().map(move |name| format!("t{prefix:02}.{name}")));
                let probes = PROBES.map(str::to_owned);
                probes.into_iter().chain(crowd).take(types).collect()
            }
            Crowd::Fans(_) => vec![FOR_ONE.to_owned()],
            Crowd::Groups { groups, types, .. } => (0..groups)
                .flat_map(|group| {
                    stripe().take(types).map(move |name| format!("g{group:04}.{name}"))
                })
                .collect(),
        }
    }

    /// The distinct patterns, but for those of the probes.
    fn patterns(&self) -> Vec<String> {
        match *self {
            Crowd::Mixed { types, patterns, .. } => {
                let names = stripe().count();
                let prefixes = (types - PROBES.len()) / names;
                let wildcards = (0..prefixes)
                    .flat_map(|prefix| WILDCARDS.map(|pattern| format!("t{prefix:02}.{pattern}")))
                    .take(patterns * 3 / 10);
                let mut all: Vec<String> = wildcards.collect();
                let literals = patterns - PROBES.len() - all.len();
                let crowd = self.event_types().split_off(PROBES.len());
                all.extend((0..literals).map(|n| crowd[n * crowd.len() / literals].clone()));
                // Neighbours in this list are of one kind; the subscriptions take turns.
                Random::new(7).shuffle(&mut all);
                all
            }
            Crowd::Fans(_) => vec![FOR_ONE.to_owned()],
            Crowd::Groups { groups, .. } => {
                (0..groups).map(|group| format!("g{group:04}.*")).collect()
            }
        }
    }

    pub(crate) fn subscriptions(&self) -> Box<dyn Iterator<Item = New> + '_> {
        let patterns = self.patterns();
        match *self {
            Crowd::Mixed { subscriptions, .. } => {
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
            Crowd::Fans(subscriptions) | Crowd::Groups { subscriptions, .. } => {
                Box::new((0..subscriptions).map(move |number| {
                    New::plain(number, vec![patterns[number % patterns.len()].clone()])
                }))
            }
        }
    }
}

/// SplitMix64: the same numbers everywhere, for ever.
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
