//! Advice about valid subscriptions that are probably not intended.
//!
//! The functions are pure. The current time and the matches of each pattern are arguments.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry};
use std::sync::Arc;
use std::time::Duration;

use crate::pattern::EventPattern;
use crate::report::{Finding, Report, SubscriptionLabel};
use crate::secret::{IssuedSecret, MIN_KEY};
use crate::subscription::Subscription;
use crate::time::Millis;
use crate::url_policy;

/// The age from which a secret is reported as old.
const OLD: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The event types that each pattern matches, computed from the text of the pattern and not from
/// the stored expansion.
#[derive(Debug)]
pub(crate) struct PatternMatches {
    /// The names of all event types, ordered byte for byte.
    names: Vec<String>,
    patterns: Vec<MatchedPattern>,
    /// The position in `patterns` of each pattern's text.
    positions: HashMap<String, usize>,
}

/// A pattern, and the positions in [`PatternMatches::names`] that it matches, in ascending order.
#[derive(Debug)]
struct MatchedPattern {
    pattern: EventPattern,
    names: Vec<usize>,
}

impl PatternMatches {
    /// Creates the matches of no pattern, for the event types with these names.
    pub(crate) fn new(mut names: Vec<String>) -> PatternMatches {
        names.sort_unstable();
        names.dedup();
        PatternMatches { names, patterns: Vec::new(), positions: HashMap::new() }
    }

    /// Adds a pattern, and returns the names that it matches.
    pub(crate) fn add(&mut self, pattern: EventPattern) -> impl Iterator<Item = &str> {
        let prefix = pattern.literal_prefix();
        let from = self.names.partition_point(|name| name.as_str() < prefix);
        let candidates = self
            .names
            .iter()
            .enumerate()
            .skip(from)
            .take_while(|(_, name)| name.starts_with(prefix));
        let matched: Vec<usize> = candidates
            .filter(|(_, name)| pattern.matches(name))
            .map(|(position, _)| position)
            .collect();
        self.positions.insert(pattern.as_str().to_owned(), self.patterns.len());
        self.patterns.push(MatchedPattern { pattern, names: matched.clone() });
        matched.into_iter().filter_map(|position| self.name(position))
    }

    fn name(&self, position: usize) -> Option<&str> {
        self.names.get(position).map(String::as_str)
    }

    /// Returns the positions of the names that a pattern matches.
    fn matched(&self, pattern: usize) -> &[usize] {
        self.patterns.get(pattern).map(|matched| matched.names.as_slice()).unwrap_or_default()
    }

    /// Returns whether the second pattern matches every event type that the first one matches.
    ///
    /// Each pattern is given by its index in the subscription and its position in `patterns`. Of
    /// two patterns with the same matches only one is redundant: the name rather than the wildcard,
    /// and otherwise the later one.
    fn is_redundant(
        &self,
        (index, pattern): (usize, usize),
        (other_index, other): (usize, usize),
    ) -> bool {
        let (Some(pattern), Some(other)) = (self.patterns.get(pattern), self.patterns.get(other))
        else {
            return false;
        };
        if index == other_index
            || pattern.names.is_empty()
            || pattern.names.len() > other.names.len()
        {
            return false;
        }
        if pattern.names.len() == other.names.len() {
            let order = (pattern.pattern.is_wildcard(), Reverse(index));
            if order > (other.pattern.is_wildcard(), Reverse(other_index)) {
                return false;
            }
        }
        pattern.names.iter().all(|name| other.names.binary_search(name).is_ok())
    }
}

/// Collects advice about subscriptions, which are visited in the order of their creation.
pub(crate) struct Diagnostics<'m> {
    matches: &'m PatternMatches,
    now: Millis,
    /// The enabled subscriptions by their owner and their normalized URL.
    url_groups: BTreeMap<(Option<Arc<str>>, String), Vec<UrlGroupMember>>,
}

/// An enabled subscription, and the positions of its patterns in [`PatternMatches`].
struct UrlGroupMember {
    label: SubscriptionLabel,
    patterns: Vec<usize>,
}

impl<'m> Diagnostics<'m> {
    /// Creates the diagnostics of no subscription.
    pub(crate) fn new(matches: &'m PatternMatches, now: Millis) -> Diagnostics<'m> {
        Diagnostics { matches, now, url_groups: BTreeMap::new() }
    }

    /// Adds the advice about one subscription. The secrets are newest first, and empty if they
    /// could not be read.
    pub(crate) fn visit(
        &mut self,
        report: &mut Report,
        label: &SubscriptionLabel,
        subscription: &Subscription,
        secrets: &[IssuedSecret],
    ) {
        let url = url_policy::normalized(subscription.url());
        if url.starts_with("http:") {
            let message = "its URL is plain http, which the network can read and change; use https";
            report.push_advice(Finding::new(label, message));
        }
        self.check_secret(report, label, secrets);
        let position = |pattern: &EventPattern| self.matches.positions.get(pattern.as_str());
        let patterns: Vec<usize> =
            subscription.events().iter().filter_map(position).copied().collect();
        self.check_patterns(report, label, &patterns);
        if subscription.enabled() {
            let member = UrlGroupMember { label: label.clone(), patterns };
            let owner = subscription.owner.clone();
            self.url_groups.entry((owner, url)).or_default().push(member);
        }
    }

    /// Adds the advice about the current secret, which is the newest.
    fn check_secret(
        &self,
        report: &mut Report,
        label: &SubscriptionLabel,
        secrets: &[IssuedSecret],
    ) {
        let Some(IssuedSecret { secret, created_at, expires_at: _ }) = secrets.first() else {
            return;
        };
        if created_at.plus(OLD) < self.now {
            let message = format!(
                "its secret is more than a year old (since {created_at}); replace it with \
                 rotate_secret"
            );
            report.push_advice(Finding::new(label, message));
        }
        let length = secret.key_len();
        if length < MIN_KEY {
            let message = format!(
                "its secret has {length} bytes, fewer than {MIN_KEY}, which are easier to guess; \
                 replace it with rotate_secret"
            );
            report.push_advice(Finding::new(label, message));
        }
        if secret.looks_hexadecimal() {
            let message = format!(
                "its secret is written in hexadecimal digits, but is read as base64 of {length} \
                 bytes; if hexadecimal is meant, write the same bytes in base64 with rotate_secret"
            );
            report.push_advice(Finding::new(label, message));
        }
    }

    fn check_patterns(&self, report: &mut Report, label: &SubscriptionLabel, patterns: &[usize]) {
        for one @ (_, position) in patterns.iter().copied().enumerate() {
            let Some(MatchedPattern { pattern, names }) = self.matches.patterns.get(position)
            else {
                continue;
            };
            if names.is_empty() {
                let message = format!(
                    "its pattern \"{pattern}\" matches no event type today; register a matching \
                     one, or remove the pattern"
                );
                report.push_advice(Finding::new(label, message));
            }
            let others = patterns.iter().copied().enumerate();
            if let Some(other) = others
                .filter(|other| self.matches.is_redundant(one, *other))
                .find_map(|(_, position)| self.matches.patterns.get(position))
            {
                let message = format!(
                    "its pattern \"{pattern}\" today matches only event types that its pattern \
                     \"{}\" matches too; remove one of them",
                    other.pattern
                );
                report.push_advice(Finding::new(label, message));
            }
        }
    }

    /// Adds the advice about enabled subscriptions of one owner that get the same event at the same
    /// URL. An event is delivered to one owner, so others do not matter. Each is
    /// reported once, together with the earliest subscription that it shares an event with.
    pub(crate) fn finish(self, report: &mut Report) {
        let Diagnostics { matches, now: _, url_groups } = self;
        for group in url_groups.into_values().filter(|group| group.len() > 1) {
            // The index of the first member with each pattern and with each name. The names of a
            // pattern are only visited for its first member. The work therefore grows with the
            // number of distinct patterns, and not with that of the members times their names.
            let (mut first_by_pattern, mut first_by_name) = (BTreeMap::new(), BTreeMap::new());
            for (index, UrlGroupMember { label, patterns }) in group.iter().enumerate() {
                let mut shared: Option<(usize, &str)> = None;
                for &pattern in patterns {
                    let mut found = |earlier: usize, event: Option<&'m str>| {
                        if earlier != index && shared.is_none_or(|(first, _)| earlier < first) {
                            shared = event.map(|event| (earlier, event)).or(shared);
                        }
                    };
                    match first_by_pattern.entry(pattern) {
                        Entry::Occupied(earlier) => {
                            // A shared pattern counts also while it matches nothing.
                            let name = matches.matched(pattern).first();
                            let name = name.and_then(|&name| matches.name(name));
                            let text = || Some(matches.patterns.get(pattern)?.pattern.as_str());
                            found(*earlier.get(), name.or_else(text));
                        }
                        Entry::Vacant(vacant) => {
                            vacant.insert(index);
                            for &name in matches.matched(pattern) {
                                let earlier = *first_by_name.entry(name).or_insert(index);
                                found(earlier, matches.name(name));
                            }
                        }
                    }
                }
                if let Some((earlier, event)) =
                    shared.and_then(|(earlier, event)| Some((group.get(earlier)?, event)))
                {
                    let message = format!(
                        "it has the same URL as {}, and both match \"{event}\", which is delivered \
                         there twice; disable one, or remove the event from one",
                        earlier.label
                    );
                    report.push_advice(Finding::new(label, message));
                }
            }
        }
    }
}
