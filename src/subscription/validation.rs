//! The rules for the fields of a subscription.

use std::collections::{BTreeMap, HashSet};

use super::fields::SubscriptionFields;
use super::stored::Subscription;
use crate::error::{Error, Misspelt, Problem, Result, quoted, quoted_key};
use crate::event_type::check_description;
use crate::pattern::EventPattern;
use crate::secret::MIN_KEY;
use crate::time::Millis;
use crate::url_policy::{self, UrlPolicy};

pub(crate) const MAX_NAME: usize = 128;
pub(crate) const MAX_EVENTS: usize = 256;
pub(crate) const MAX_METADATA: usize = 50;
pub(crate) const MAX_KEY: usize = 128;
pub(crate) const MAX_VALUE: usize = 1_024;
pub(crate) const MAX_REASON: usize = 1_024;

/// A value that meets every rule, or the reason why there is none.
pub(crate) type Validated<T> = Result<T, Rejection>;

/// The reason why a value was not validated.
pub(crate) enum Rejection {
    /// Every problem of the value.
    Problems(Vec<Problem>),
    /// The catalog could not be read.
    Failed(Error),
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Rejection {
        Rejection::Failed(error)
    }
}

impl Rejection {
    /// Returns the error of a call for this value alone.
    ///
    /// There is no `From` for this direction, because it would make the error type of many closures
    /// ambiguous.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Rejection::Problems(problems) => Error::invalid(problems),
            Rejection::Failed(error) => error,
        }
    }
}

/// The rules that differ between registries. They apply to new and changed values, never to values
/// that the file already contains.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) url_policy: UrlPolicy,
    pub(crate) min_secret_bytes: usize,
    /// The most subscriptions of an owner. None where there is no limit.
    pub(crate) max_subscriptions: Option<u64>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { url_policy: UrlPolicy::any(), min_secret_bytes: MIN_KEY, max_subscriptions: None }
    }
}

/// The fields of a subscription that was read back. `None` for a field that is absent or does not
/// decode.
#[derive(Clone, Copy, Default)]
pub(crate) struct StoredParts<'s> {
    pub(crate) name: Option<&'s str>,
    pub(crate) url: Option<&'s str>,
    pub(crate) events: Option<&'s [EventPattern]>,
    pub(crate) description: Option<&'s str>,
    pub(crate) metadata: Option<&'s BTreeMap<String, String>>,
    pub(crate) disabled_reason: Option<&'s str>,
    /// Where this is `None`, it is not judged whether a reason and a time may exist.
    pub(crate) enabled: Option<bool>,
    pub(crate) disabled_at: Option<Millis>,
}

impl<'s> From<&'s Subscription> for StoredParts<'s> {
    fn from(subscription: &'s Subscription) -> StoredParts<'s> {
        let SubscriptionFields {
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            disabled_reason,
        } = &subscription.fields;
        StoredParts {
            name: Some(name),
            url: Some(url),
            events: Some(events),
            description: description.as_deref(),
            metadata: Some(metadata),
            disabled_reason: disabled_reason.as_deref(),
            enabled: Some(*enabled),
            disabled_at: subscription.disabled_at,
        }
    }
}

impl StoredParts<'_> {
    /// Returns the problems with these fields, by the rules that all registries share.
    pub(crate) fn faults(self) -> Vec<Problem> {
        let StoredParts {
            name,
            url,
            events,
            description,
            metadata,
            disabled_reason,
            enabled,
            disabled_at,
        } = self;
        let mut problems = Vec::new();
        let name = name.and_then(|name| check_name(name).err());
        problems.extend(name.map(|why| Problem::new("name", why)));
        let url = url.and_then(|url| url_policy::check_stored(url).err());
        problems.extend(url.map(|why| Problem::new("url", why)));
        problems.extend(events.and_then(|events| check_kept_events(events).err()));
        let description = description.and_then(|text| check_description(text).err());
        problems.extend(description.map(|why| Problem::new("description", why)));
        problems.extend(metadata.and_then(|metadata| check_metadata(metadata).err()));
        let reason = disabled_reason
            .and_then(|text| check_disabled_reason(text, enabled.unwrap_or(false)).err());
        problems.extend(reason.map(|why| Problem::new("disabledReason", why)));
        let time = enabled.and_then(|enabled| check_disabled_at(disabled_at, enabled).err());
        problems.extend(time.map(|why| Problem::new("disabledAt", why)));
        problems
    }
}

/// Checks the fields that dispatch reads. The URL is not parsed, because that takes too long for
/// each subscriber.
pub(crate) fn check_recipient(
    name: &str,
    url: &str,
    metadata: &BTreeMap<String, String>,
) -> Result<(), Problem> {
    check_name(name).map_err(|why| Problem::new("name", why))?;
    url_policy::check_stored_syntax(url).map_err(|why| Problem::new("url", why))?;
    check_metadata(metadata)
}

/// Checks the number of stored patterns, and that none repeats. Decoding has checked their syntax.
fn check_kept_events(events: &[EventPattern]) -> Result<(), Problem> {
    if !(1..=MAX_EVENTS).contains(&events.len()) {
        let why = format!("a subscription has 1 to {MAX_EVENTS} of them, not {}", events.len());
        return Err(Problem::new("events", why));
    }
    let mut rest = events;
    while let [first, after @ ..] = rest {
        if after.contains(first) {
            return Err(Problem::new("events", format!("\"{first}\" is there twice")));
        }
        rest = after;
    }
    Ok(())
}

pub(crate) fn check_name(name: &str) -> Result<(), String> {
    check_label("a name", name)
}

/// Checks the name of an owner, by the rules of the names of subscriptions.
pub(crate) fn check_owner(owner: &str) -> Result<(), String> {
    check_label("an owner", owner)
}

fn check_label(what: &str, name: &str) -> Result<(), String> {
    // Dispatch checks every name that it reads, and most names are short and visible ASCII.
    let (first, last) = (name.bytes().next(), name.bytes().next_back());
    if (1..=MAX_NAME).contains(&name.len())
        && ![first, last].contains(&Some(b' '))
        && name.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'))
    {
        return Ok(());
    }
    // The text can have any length, so counting stops after the limit.
    if name.chars().nth(MAX_NAME).is_some() {
        return Err(format!(
            "{what} has at most {MAX_NAME} characters, not {}",
            name.chars().count()
        ));
    }
    if name.is_empty() {
        return Err(if what == "a name" {
            "a subscription needs a name".to_owned()
        } else {
            format!("{what} cannot be empty")
        });
    }
    if let Some(c) = name.chars().find(|c| c.is_control()) {
        return Err(format!("{what} cannot hold control characters: {c:?} in {}", quoted(name)));
    }
    if name.trim().len() != name.len() {
        return Err(format!("{what} cannot begin or end with white space: {}", quoted(name)));
    }
    Ok(())
}

/// Checks the reason of a subscription that is enabled or not.
pub(crate) fn check_disabled_reason(reason: &str, enabled: bool) -> Result<(), String> {
    if enabled {
        Err("only a disabled subscription has a reason, and this one is enabled".to_owned())
    } else if reason.is_empty() {
        Err("a reason cannot be empty; leave it out where there is none".to_owned())
    } else if reason.len() > MAX_REASON {
        Err(format!("a reason has at most {MAX_REASON} bytes, not {}", reason.len()))
    } else if reason.contains('\0') {
        Err("a reason cannot hold U+0000".to_owned())
    } else {
        Ok(())
    }
}

/// Checks that a disabled subscription has the time since when, and that an enabled one has none.
pub(crate) fn check_disabled_at<T>(
    disabled_at: Option<T>,
    enabled: bool,
) -> Result<(), &'static str> {
    match (disabled_at, enabled) {
        (Some(_), true) => Err("only a disabled subscription has this time"),
        (None, false) => Err("a disabled subscription has this time"),
        _ => Ok(()),
    }
}

/// Checks the number of keys and each entry. One problem lists the faults, at most five of them for
/// entries.
pub(crate) fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), Problem> {
    const SHOWN: usize = 5;
    let mut found = Vec::new();
    if metadata.len() > MAX_METADATA {
        found.push(format!("at most {MAX_METADATA} keys are kept, not {}", metadata.len()));
    }
    found.extend(
        metadata.iter().filter_map(|(key, value)| check_entry(key, value).err()).take(SHOWN),
    );
    if found.is_empty() { Ok(()) } else { Err(Problem::new("metadata", found.join("; "))) }
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

/// The catalog of event types, as validation needs it.
pub(crate) trait EventCatalog {
    /// Returns whether the pattern matches a known event type.
    fn has_match(&mut self, pattern: &EventPattern) -> Result<bool>;
}

/// Validates the patterns of a subscription. Returns them in order and without repeats, with the
/// problems that were found.
///
/// The subscription already has the patterns in `known`, so they are not looked up in the catalog.
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
            && !catalog.has_match(&pattern)?
        {
            problems.push(unknown_event(at(), &pattern));
        }
        if seen.insert(text.as_str()) {
            patterns.push(pattern);
        }
    }
    Ok((patterns, problems))
}

fn unknown_event(field: String, pattern: &EventPattern) -> Problem {
    let text = pattern.as_str();
    if !pattern.is_wildcard() {
        let misspelt = Misspelt::Name(text.into());
        return Problem::new(field, format!("no event type {text:?}")).with_misspelt(misspelt);
    }
    // The longer literal end tells more about what was meant.
    let (prefix, suffix) = (pattern.literal_prefix(), pattern.literal_suffix());
    let misspelt = if prefix.len() >= suffix.len() {
        Misspelt::Start(prefix.into(), text.get(prefix.len()..).unwrap_or_default().into())
    } else {
        Misspelt::End(suffix.into(), text.strip_suffix(suffix).unwrap_or_default().into())
    };
    Problem::new(field, format!("{text:?} matches no event type")).with_misspelt(misspelt)
}
