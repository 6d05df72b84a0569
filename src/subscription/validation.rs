//! The rules for the parts of a subscription. Each answers with the reason alone, or with the problems it found.

use std::collections::{BTreeMap, HashSet};

use super::Subscription;
use crate::did_you_mean;
use crate::error::{Problem, Result, quoted, quoted_key};
use crate::event_type::check_description;
use crate::pattern::EventPattern;
use crate::secret::MIN_KEY;
use crate::url_policy::UrlPolicy;

const MAX_NAME: usize = 128;
const MAX_EVENTS: usize = 256;
const MAX_METADATA: usize = 50;
const MAX_KEY: usize = 128;
const MAX_VALUE: usize = 1_024;

/// The rules that each registry sets for itself. They judge what is new or changed, never what is in the file.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) url_policy: UrlPolicy,
    pub(crate) min_secret_bytes: usize,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { url_policy: UrlPolicy::any(), min_secret_bytes: MIN_KEY }
    }
}

/// What a subscription that was read back breaks of the rules that every registry has.
pub(crate) fn faults(subscription: &Subscription) -> Vec<Problem> {
    let Subscription { name, url, events, description, metadata, .. } = subscription;
    let mut problems = Vec::new();
    problems.extend(check_name(name).err().map(|why| Problem::new("name", why)));
    problems.extend(UrlPolicy::any().judge(url).err().map(|why| Problem::new("url", why)));
    if events.len() > MAX_EVENTS {
        problems.push(Problem::new("events", format!("more than {MAX_EVENTS} of them")));
    }
    let description = description.as_deref().and_then(|text| check_description(text).err());
    problems.extend(description.map(|why| Problem::new("description", why)));
    problems.extend(check_metadata(&BTreeMap::new(), metadata).err());
    problems
}

pub(crate) fn check_name(name: &str) -> Result<(), String> {
    // Counted no further than needed: the text can be any length.
    if name.chars().nth(MAX_NAME).is_some() {
        return Err(format!(
            "a name has at most {MAX_NAME} characters, not {}",
            name.chars().count()
        ));
    }
    if name.is_empty() {
        return Err("a subscription needs a name".to_owned());
    }
    if let Some(c) = name.chars().find(|c| c.is_control()) {
        return Err(format!("a name cannot hold control characters: {c:?} in {}", quoted(name)));
    }
    if name.trim().len() != name.len() {
        return Err(format!("a name cannot begin or end with white space: {}", quoted(name)));
    }
    Ok(())
}

/// Judges the keys that are new or changed, and the number of all. Every fault is told, in one problem.
pub(crate) fn check_metadata(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Result<(), Problem> {
    const SHOWN: usize = 5;
    let mut faults = Vec::new();
    if after.len() > MAX_METADATA && after.len() > before.len() {
        faults.push(format!("at most {MAX_METADATA} keys are kept, not {}", after.len()));
    }
    let changed = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    faults.extend(changed.filter_map(|(key, value)| check_entry(key, value).err()).take(SHOWN));
    if faults.is_empty() { Ok(()) } else { Err(Problem::new("metadata", faults.join("; "))) }
}

fn check_entry(key: &str, value: &str) -> Result<(), String> {
    if key.is_empty() {
        Err("a key cannot be empty".to_owned())
    } else if key.len() > MAX_KEY {
        Err(format!("a key has at most {MAX_KEY} bytes, not {}", key.len()))
    } else if value.len() > MAX_VALUE {
        Err(format!(
            "a value has at most {MAX_VALUE} bytes, not {} (of {})",
            value.len(),
            quoted_key(key)
        ))
    } else if key.contains('\0') || value.contains('\0') {
        Err(format!("neither key nor value can hold U+0000 (at {})", quoted_key(key)))
    } else {
        Ok(())
    }
}

/// What the rules ask of the catalog.
pub(crate) trait EventCatalog {
    /// Whether the pattern covers a known event type.
    fn covers(&mut self, pattern: &EventPattern) -> Result<bool>;

    /// Every known name, for a suggestion.
    fn names(&mut self) -> Result<&[String]>;
}

/// Judges the patterns of a subscription as given, and answers those to keep: in order, without repeats.
///
/// What is in `known` already belongs to the subscription, and is not asked of the catalog.
pub(crate) fn check_events(
    given: &[String],
    known: &[EventPattern],
    catalog: Option<&mut dyn EventCatalog>,
) -> Result<(Vec<EventPattern>, Vec<Problem>)> {
    let refuse = |why: String| Ok((Vec::new(), vec![Problem::new("events", why)]));
    if given.is_empty() {
        return refuse("a subscription needs at least one event".to_owned());
    }
    if given.len() > MAX_EVENTS {
        return refuse(format!(
            "a subscription has at most {MAX_EVENTS} events, not {}",
            given.len()
        ));
    }
    let mut catalog = catalog;
    let mut seen = HashSet::new();
    let (mut patterns, mut problems) = (Vec::with_capacity(given.len()), Vec::new());
    for (index, text) in given.iter().enumerate() {
        let at = || format!("events[{index}]");
        let pattern = match EventPattern::compile(text) {
            Ok(pattern) => pattern,
            Err(why) => {
                problems.push(Problem::new(at(), why));
                continue;
            }
        };
        if let Some(catalog) = catalog.as_deref_mut()
            && !known.contains(&pattern)
            && !catalog.covers(&pattern)?
        {
            let names = if problems.len() < did_you_mean::MOST { catalog.names()? } else { &[] };
            problems.push(Problem::new(at(), unknown_event(&pattern, names)));
        }
        if seen.insert(text.as_str()) {
            patterns.push(pattern);
        }
    }
    Ok((patterns, problems))
}

fn unknown_event(pattern: &EventPattern, names: &[String]) -> String {
    let text = pattern.as_str();
    if pattern.is_wildcard() {
        format!("{text:?} covers no event type{}", did_you_mean::for_wildcard(pattern, names))
    } else {
        format!("no event type {text:?}{}", did_you_mean::for_name(text, names))
    }
}
