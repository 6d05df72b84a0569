//! What can be said of subscriptions that were read back: what is legal but looks wrong. Pure functions of "now" and of
//! what each pattern covers.

use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry};
use std::time::Duration;

use crate::pattern::EventPattern;
use crate::report::{Finding, Report, SubscriptionLabel};
use crate::secret::IssuedSecret;
use crate::subscription::Subscription;
use crate::time::Millis;
use crate::url_policy;

const OLD: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Which event types each pattern covers, by the patterns themselves.
#[derive(Debug)]
pub(crate) struct PatternMatches {
    /// In order, byte for byte.
    names: Vec<String>,
    places: HashMap<String, usize>,
    patterns: Vec<Covered>,
}

/// One pattern, and the places in [`PatternMatches::names`] that it covers, in order.
#[derive(Debug)]
struct Covered {
    pattern: EventPattern,
    names: Vec<usize>,
}

impl PatternMatches {
    pub(crate) fn new(mut names: Vec<String>) -> PatternMatches {
        names.sort_unstable();
        PatternMatches { names, places: HashMap::new(), patterns: Vec::new() }
    }

    /// Adds a pattern, and answers the names that it covers.
    pub(crate) fn add(&mut self, pattern: EventPattern) -> impl Iterator<Item = &str> {
        let prefix = pattern.literal_prefix();
        let from = self.names.partition_point(|name| name.as_str() < prefix);
        let near = self
            .names
            .iter()
            .enumerate()
            .skip(from)
            .take_while(|(_, name)| name.starts_with(prefix));
        let covered: Vec<usize> =
            near.filter(|(_, name)| pattern.matches(name)).map(|(place, _)| place).collect();
        self.places.insert(pattern.as_str().to_owned(), self.patterns.len());
        self.patterns.push(Covered { pattern, names: covered.clone() });
        covered.into_iter().filter_map(|place| self.names.get(place).map(String::as_str))
    }

    fn of(&self, place: usize) -> &[usize] {
        self.patterns.get(place).map(|covered| covered.names.as_slice()).unwrap_or_default()
    }

    /// Whether each of the two is there, and what the first covers adds nothing to what the second does. Of two that cover
    /// the same, it is the name, or the later, that adds nothing.
    fn adds_nothing(&self, (one, first): (usize, usize), (other, second): (usize, usize)) -> bool {
        let (Some(a), Some(b)) = (self.patterns.get(first), self.patterns.get(second)) else {
            return false;
        };
        if one == other || a.names.is_empty() || a.names.len() > b.names.len() {
            return false;
        }
        if a.names.len() == b.names.len() {
            let spare = (a.pattern.is_wildcard(), std::cmp::Reverse(one));
            if spare > (b.pattern.is_wildcard(), std::cmp::Reverse(other)) {
                return false;
            }
        }
        a.names.iter().all(|place| b.names.binary_search(place).is_ok())
    }
}

/// Sees one subscription after the other, in the order of creation.
pub(crate) struct Diagnostics<'c> {
    covers: &'c PatternMatches,
    now: Millis,
    /// The enabled ones, by where they point.
    pointing: BTreeMap<String, Vec<UrlGroupMember>>,
}

/// An enabled subscription, with the places of its patterns.
struct UrlGroupMember {
    who: SubscriptionLabel,
    patterns: Vec<usize>,
}

impl<'c> Diagnostics<'c> {
    pub(crate) fn new(covers: &'c PatternMatches, now: Millis) -> Diagnostics<'c> {
        Diagnostics { covers, now, pointing: BTreeMap::new() }
    }

    /// `secrets` are newest first, and none where they could not be read.
    pub(crate) fn see(
        &mut self,
        report: &mut Report,
        who: &SubscriptionLabel,
        subscription: &Subscription,
        secrets: &[IssuedSecret],
    ) {
        let address = url_policy::normal(&subscription.url);
        if address.starts_with("http:") {
            let message = "its URL is plain http, which anybody on the way can read and change; move it to https";
            report.advise(Finding::of(who, message));
        }
        self.secrets(report, who, secrets);
        let place = |pattern: &EventPattern| self.covers.places.get(pattern.as_str()).copied();
        let patterns: Vec<usize> = subscription.events.iter().filter_map(place).collect();
        self.patterns(report, who, &patterns);
        if subscription.enabled {
            self.pointing
                .entry(address)
                .or_default()
                .push(UrlGroupMember { who: who.clone(), patterns });
        }
    }

    fn secrets(&self, report: &mut Report, who: &SubscriptionLabel, secrets: &[IssuedSecret]) {
        if let Some(secret) =
            secrets.first().filter(|secret| secret.created_at.plus(OLD) < self.now)
        {
            let since = secret.created_at;
            let message = format!(
                "its secret is more than a year old (since {since}); give it another with rotate_secret"
            );
            report.advise(Finding::of(who, message));
        }
        if let Some(secret) = secrets.first().map(IssuedSecret::secret)
            && secret.looks_hexadecimal()
        {
            let message = format!(
                "its secret is written in hexadecimal digits, but is read as base64 of {} bytes; if \
                 hexadecimal is meant, write the same bytes in base64 with rotate_secret",
                secret.key().len()
            );
            report.advise(Finding::of(who, message));
        }
    }

    fn patterns(&self, report: &mut Report, who: &SubscriptionLabel, patterns: &[usize]) {
        for one @ (_, place) in patterns.iter().copied().enumerate() {
            let Some(Covered { pattern, names }) = self.covers.patterns.get(place) else {
                continue;
            };
            if names.is_empty() {
                let message = format!(
                    "its pattern \"{pattern}\" covers no event type today; register one that it covers, or take it out"
                );
                report.advise(Finding::of(who, message));
            }
            let others = patterns.iter().copied().enumerate();
            if let Some(more) = others
                .filter(|other| self.covers.adds_nothing(one, *other))
                .find_map(|(_, place)| self.covers.patterns.get(place))
            {
                let message = format!(
                    "its pattern \"{pattern}\" covers nothing today that its \"{}\" does not; take one of them out",
                    more.pattern
                );
                report.advise(Finding::of(who, message));
            }
        }
    }

    /// Tells which of those seen get the same event at the same URL: each with the first of those before it.
    pub(crate) fn finish(self, report: &mut Report) {
        let Diagnostics { covers, now: _, pointing } = self;
        for group in pointing.into_values().filter(|group| group.len() > 1) {
            // Each pattern is gone through once, however many have it.
            let (mut patterns, mut names) = (BTreeMap::new(), BTreeMap::new());
            for (own, UrlGroupMember { who, patterns: places }) in group.iter().enumerate() {
                let mut twice: Option<(usize, &str)> = None;
                for &place in places {
                    let mut met = |before: usize, what: Option<&'c str>| {
                        if before != own && twice.is_none_or(|(first, _)| before < first) {
                            twice = what.map(|what| (before, what)).or(twice);
                        }
                    };
                    match patterns.entry(place) {
                        Entry::Occupied(before) => {
                            let name =
                                covers.of(place).first().and_then(|&name| covers.names.get(name));
                            let pattern = || {
                                covers.patterns.get(place).map(|covered| covered.pattern.as_str())
                            };
                            met(*before.get(), name.map(String::as_str).or_else(pattern));
                        }
                        Entry::Vacant(vacant) => {
                            vacant.insert(own);
                            for &name in covers.of(place) {
                                let before = *names.entry(name).or_insert(own);
                                met(before, covers.names.get(name).map(String::as_str));
                            }
                        }
                    }
                }
                if let Some((other, what)) =
                    twice.and_then(|(first, what)| Some((group.get(first)?, what)))
                {
                    let message = format!(
                        "it has the URL of {}, and both want \"{what}\", which is delivered there twice; disable one, \
                         or take the event out of one",
                        other.who
                    );
                    report.advise(Finding::of(who, message));
                }
            }
        }
    }
}
