use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::OnceLock;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::error::{Error, Result, visible};
use crate::event_type::{is_name, is_name_byte};
use crate::json;

pub(crate) const MAX_LENGTH: usize = 256;

/// A pattern of a subscription: the name of an event type, or a name with wildcards.
///
/// # Syntax
///
/// A pattern is matched by the [`glob`](https://docs.rs/glob) crate. Matching is case-sensitive,
/// and the pattern has to match the **whole** name. A pattern has at most 256 bytes.
///
/// | part | matches |
/// |---|---|
/// | `*` | any number of characters, also none, also dots |
/// | `?` | one character |
/// | `[abc]`, `[a-z]` | one character of a set |
/// | `[!abc]` | one character that is not in a set |
/// | a letter, a digit, `_ - . : /` | itself |
///
/// So `agent.*` matches `agent.presencechanged.v1`, `*.v1` matches every first version, and `*`
/// matches all.
///
/// A set contains characters of names, and ranges whose end is greater than their start. `!` can
/// only be its first character. A literal `-` can only be the first one (also after `!`) or the
/// last. All other syntax is rejected: `**` (one `*` already crosses dots), `[^a]`, `[*]`, `[]]`,
/// `[z-a]`, `[a-a]`, `[]`, and a `]` without a `[`.
///
/// ```
/// use webhook_registry::EventPattern;
///
/// let pattern: EventPattern = "channel.*.v[12]".parse()?;
/// assert!(pattern.matches("channel.held.v1"));
/// assert!(!pattern.matches("channel.held.v3"));
/// assert_eq!(pattern, "channel.*.v[12]");
/// # Ok::<(), webhook_registry::Error>(())
/// ```
#[derive(Clone)]
pub struct EventPattern {
    text: Box<str>,
    /// None for a name. A pattern from the file is compiled at its first match, because a list of
    /// subscriptions only shows its patterns.
    wildcard: Option<OnceLock<Box<glob::Pattern>>>,
}

impl EventPattern {
    /// Returns the pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the pattern matches an event type. A text that is no valid name of an event
    /// type never matches.
    pub fn matches(&self, event_type: &str) -> bool {
        match &self.wildcard {
            None => *self.text == *event_type,
            // Every valid pattern compiles. The default pattern, which is empty, would match
            // nothing.
            Some(glob) => {
                is_name(event_type)
                    && glob
                        .get_or_init(|| {
                            Box::new(glob::Pattern::new(&self.text).unwrap_or_default())
                        })
                        .matches(event_type)
            }
        }
    }

    /// Returns whether the pattern has wildcards, and is not only a name.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard.is_some()
    }

    /// Returns the part before the first wildcard. Every matched name begins with it.
    pub(crate) fn literal_prefix(&self) -> &str {
        self.text.split(['*', '?', '[']).next().unwrap_or_default()
    }

    /// Returns the part after the last wildcard. Every matched name ends with it.
    pub(crate) fn literal_suffix(&self) -> &str {
        self.text.rsplit(['*', '?', ']']).next().unwrap_or_default()
    }

    /// Returns the longest part without wildcards, outside of sets. Every matched name contains it.
    pub(crate) fn longest_literal(&self) -> &str {
        let (before, after) = match (self.text.split_once('['), self.text.rsplit_once(']')) {
            (Some((before, _)), Some((_, after))) => (before, after),
            _ => (&*self.text, ""),
        };
        let parts = before.split(['*', '?']).chain(after.split(['*', '?']));
        parts.max_by_key(|part| part.len()).unwrap_or_default()
    }

    /// Parses and compiles a pattern. The error is the reason without the field, which the caller
    /// knows.
    pub(crate) fn compile(text: &str) -> Result<EventPattern, String> {
        let pattern = EventPattern::stored(text)?;
        if let Some(wildcard) = &pattern.wildcard {
            let glob = glob::Pattern::new(text)
                .map_err(|cause| format!("not a pattern: {}", cause.msg))?;
            // The cell is new, so setting it cannot fail.
            let _ = wildcard.set(Box::new(glob));
        }
        Ok(pattern)
    }

    /// Parses a pattern that is stored in the file. It was compiled before it was stored.
    pub(crate) fn stored(text: &str) -> Result<EventPattern, String> {
        Ok(EventPattern { wildcard: parse(text)?.then(OnceLock::new), text: text.into() })
    }

    /// Parses patterns that are stored in one text, with a space between two.
    pub(crate) fn stored_list(text: &str) -> Result<Vec<EventPattern>, String> {
        let spaces = text.bytes().filter(|byte| *byte == b' ').count();
        let mut patterns = Vec::with_capacity(spaces.saturating_add(1));
        let mut rest = text;
        loop {
            let name = rest.bytes().take_while(|byte| is_name_byte(*byte)).count();
            let after = rest.as_bytes().get(name..).unwrap_or_default();
            let end = after.iter().position(|byte| *byte == b' ');
            let end = end.map_or(rest.len(), |end| name.saturating_add(end));
            let (first, after) = rest.split_at_checked(end).unwrap_or_default();
            patterns.push(if end == name && (1..=MAX_LENGTH).contains(&name) {
                EventPattern { wildcard: None, text: first.into() }
            } else {
                EventPattern::stored(first)?
            });
            match after.get(1..) {
                Some(after) => rest = after,
                None => return Ok(patterns),
            }
        }
    }
}

/// Validates the syntax. Returns true if there is a wildcard.
///
/// The rules are stricter than those of the `glob` crate. It accepts some texts with another
/// meaning than SQL's `GLOB` or a shell.
fn parse(text: &str) -> Result<bool, String> {
    if text.is_empty() {
        return Err("a pattern cannot be empty".to_owned());
    }
    if text.len() > MAX_LENGTH {
        return Err(format!("a pattern has at most {MAX_LENGTH} bytes, not {}", text.len()));
    }
    let mut wildcard = false;
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let at = text.len().saturating_sub(rest.len());
        rest = after;
        match first {
            &byte if is_name_byte(byte) => {}
            b'*' if after.first() == Some(&b'*') => {
                return Err(format!("\"**\" at byte {at}: one * already crosses dots"));
            }
            b'*' | b'?' => wildcard = true,
            b'[' => {
                rest = parse_set(after).map_err(|why| format!("the set at byte {at} {why}"))?;
                wildcard = true;
            }
            b']' => return Err(format!("the ] at byte {at} closes no set")),
            _ => {
                let c = text.get(at..).and_then(|tail| tail.chars().next()).unwrap_or_default();
                if let Some(why) = several_entries(text, c, at) {
                    return Err(why);
                }
                return Err(format!(
                    "a pattern cannot contain {c:?} (at byte {at}), only letters, digits, \
                     _ - . : / and the wildcards * ? [ ]"
                ));
            }
        }
    }
    Ok(wildcard)
}

/// Returns the message for a list of patterns in one text, as a form field can have it.
fn several_entries(text: &str, separator: char, at: usize) -> Option<String> {
    if !matches!(separator, ',' | ';' | ' ' | '\n' | '|') {
        return None;
    }
    let entries: Vec<&str> = text.split(separator).map(str::trim).collect();
    // Each is a pattern, so that the advice is right.
    if entries.len() < 2 || entries.iter().any(|entry| parse(entry).is_err()) {
        return None;
    }
    let quoted: Vec<String> = entries.iter().map(|entry| format!("{entry:?}")).collect();
    Some(format!(
        "{separator:?} at byte {at} cannot be in a pattern: these are {} entries, {}",
        entries.len(),
        quoted.join(", ")
    ))
}

/// Validates a set, from behind its `[`. Returns the rest of the pattern, from behind its `]`.
fn parse_set(inside: &[u8]) -> Result<&[u8], &'static str> {
    let Some(end) = inside.iter().position(|&byte| byte == b']') else {
        return Err("is not closed");
    };
    let (members, rest) = inside.split_at(end);
    check_members(members.strip_prefix(b"!").unwrap_or(members))?;
    Ok(rest.get(1..).unwrap_or_default())
}

/// Validates the text between the brackets of a set, without its `!`.
fn check_members(members: &[u8]) -> Result<(), &'static str> {
    if members.is_empty() {
        return Err("is empty");
    }
    // A literal `-` anywhere else has different meanings in different programs.
    let mut rest = members.strip_prefix(b"-").unwrap_or(members);
    loop {
        rest = match rest {
            [] | [b'-'] => return Ok(()),
            [b'-', ..] => {
                return Err("contains a - that is neither first, nor last, nor part of a range");
            }
            [b'^', ..] => {
                return Err("contains a ^; negate a set with ! as its first character");
            }
            [from, b'-', to, after @ ..] if is_name_byte(*from) && is_name_byte(*to) => {
                if from >= to {
                    return Err("contains a range whose end is not greater than its start");
                }
                after
            }
            [one, after @ ..] if is_name_byte(*one) => after,
            _ => {
                return Err("can contain only letters, digits and _ - . : /");
            }
        }
    }
}

impl FromStr for EventPattern {
    type Err = Error;

    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `pattern` if the syntax is invalid.
    fn from_str(text: &str) -> Result<EventPattern> {
        EventPattern::compile(text).map_err(|why| Error::invalid_field("pattern", why))
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventPattern({:?})", self.text)
    }
}

impl PartialEq for EventPattern {
    fn eq(&self, other: &EventPattern) -> bool {
        self.text == other.text
    }
}

impl Eq for EventPattern {}

impl PartialOrd for EventPattern {
    fn partial_cmp(&self, other: &EventPattern) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EventPattern {
    fn cmp(&self, other: &EventPattern) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for EventPattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl AsRef<str> for EventPattern {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl PartialEq<str> for EventPattern {
    fn eq(&self, other: &str) -> bool {
        *self.text == *other
    }
}

impl PartialEq<&str> for EventPattern {
    fn eq(&self, other: &&str) -> bool {
        *self.text == **other
    }
}

impl Serialize for EventPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for EventPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EventPattern, D::Error> {
        let text = json::read::<String, D>(deserializer)?;
        EventPattern::compile(&text).map_err(|why| de::Error::custom(visible(&why)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stored_in_one_text_are_parsed_as_each_by_itself() {
        let long = ["a".repeat(MAX_LENGTH), "a".repeat(MAX_LENGTH + 1)];
        let parts = ["", "a", "order.paid", "a.*", "*", "?b", "[a-c]d", "**", "[", "a,b", "\u{e9}"];
        let parts: Vec<&str> = parts.into_iter().chain(long.iter().map(String::as_str)).collect();
        for first in &parts {
            for second in &parts {
                for third in &parts {
                    let list = [*first, *second, *third];
                    let each: Result<Vec<_>, _> =
                        list.into_iter().map(EventPattern::stored).collect();
                    let all = EventPattern::stored_list(&list.join(" "));
                    let kinds = |list: &[EventPattern]| -> Vec<bool> {
                        list.iter().map(EventPattern::is_wildcard).collect()
                    };
                    assert_eq!(all.as_deref().map(kinds), each.as_deref().map(kinds), "{list:?}");
                    assert_eq!(all, each);
                }
            }
        }
        assert!(EventPattern::stored_list("").is_err());
    }
}
