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

const LONGEST: usize = 256;

/// What a subscription wants to hear about: the name of an event type, or a name with wildcards.
///
/// # Syntax
///
/// A pattern is compiled by the [`glob`](https://docs.rs/glob) crate, is case-sensitive, and has to match the
/// **whole** name. It has at most 256 bytes.
///
/// | part | covers |
/// |---|---|
/// | `*` | any run of characters, also across dots and also an empty one |
/// | `?` | one character |
/// | `[abc]`, `[a-z]` | one character of a set |
/// | `[!abc]` | one character outside a set |
/// | a letter, a digit, `_ - . : /` | itself |
///
/// So `agent.*` covers `agent.presencechanged.v1`, `*.v1` covers every first version, and `*` covers all. In a class
/// stand the characters of names and ranges that rise; `!` stands only first, a literal `-` only first (also after
/// `!`) or last. Everything else is refused: `**` (one `*` already crosses dots), `[^a]`, `[*]`, `[]]`, `[z-a]`,
/// `[a-a]`, `[]`, a lone `]`.
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
    /// None for a name. What comes from the file is compiled when it is first asked: a page of subscriptions only shows
    /// its patterns.
    wildcard: Option<OnceLock<Box<glob::Pattern>>>,
}

impl EventPattern {
    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern covers this event type. False for a text that is no name of an event type.
    pub fn matches(&self, event_type: &str) -> bool {
        match &self.wildcard {
            None => *self.text == *event_type,
            // What keeps the syntax compiles; if it did not, it would cover nothing.
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

    /// Whether this is more than a name.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard.is_some()
    }

    /// The part before the first wildcard; every name that is covered begins with it.
    pub(crate) fn literal_prefix(&self) -> &str {
        self.text.split(['*', '?', '[']).next().unwrap_or_default()
    }

    /// The part after the last wildcard; every name that is covered ends with it.
    pub(crate) fn literal_suffix(&self) -> &str {
        self.text.rsplit(['*', '?', ']']).next().unwrap_or_default()
    }

    /// Parses; the error is the reason alone, for whoever knows the field.
    pub(crate) fn compile(text: &str) -> Result<EventPattern, String> {
        let pattern = EventPattern::stored(text)?;
        if let Some(wildcard) = &pattern.wildcard {
            let glob = glob::Pattern::new(text)
                .map_err(|cause| format!("not a pattern: {}", cause.msg))?;
            // It is new, so nobody has set it.
            let _ = wildcard.set(Box::new(glob));
        }
        Ok(pattern)
    }

    /// Parses what was compiled before it was stored.
    pub(crate) fn stored(text: &str) -> Result<EventPattern, String> {
        Ok(EventPattern { wildcard: check(text)?.then(OnceLock::new), text: text.into() })
    }
}

/// Judges the syntax; true where there is a wildcard. Stricter than the `glob` crate, which gives some of what is
/// refused here a meaning that SQL's `GLOB` or a shell does not.
fn check(text: &str) -> Result<bool, String> {
    if text.is_empty() {
        return Err("a pattern cannot be empty".to_owned());
    }
    if text.len() > LONGEST {
        return Err(format!("a pattern has at most {LONGEST} bytes, not {}", text.len()));
    }
    let mut wildcard = false;
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let at = text.len().saturating_sub(rest.len());
        rest = after;
        match first {
            b'*' if after.first() == Some(&b'*') => {
                return Err(format!("\"**\" at byte {at}: one * already crosses dots"));
            }
            b'*' | b'?' => wildcard = true,
            b'[' => {
                rest = check_class(after).map_err(|why| format!("the class at byte {at} {why}"))?;
                wildcard = true;
            }
            b']' => return Err(format!("the ] at byte {at} closes no class")),
            &byte if is_name_byte(byte) => {}
            _ => {
                let c = text.get(at..).and_then(|tail| tail.chars().next()).unwrap_or_default();
                if let Some(why) = several_entries(text, c, at) {
                    return Err(why);
                }
                return Err(format!(
                    "{c:?} at byte {at} cannot stand in a pattern: letters, digits, _ - . : / and the wildcards \
                     * ? [ ] can"
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
    if entries.len() < 2 || entries.iter().any(|entry| check(entry).is_err()) {
        return None;
    }
    let quoted: Vec<String> = entries.iter().map(|entry| format!("{entry:?}")).collect();
    Some(format!(
        "{separator:?} at byte {at} cannot stand in a pattern: these are {} entries, {}",
        entries.len(),
        quoted.join(", ")
    ))
}

/// Judges what stands behind a `[`, and answers what stands behind its `]`.
fn check_class(inside: &[u8]) -> Result<&[u8], &'static str> {
    let Some(end) = inside.iter().position(|&byte| byte == b']') else {
        return Err("is not closed");
    };
    let (members, rest) = inside.split_at(end);
    check_members(members.strip_prefix(b"!").unwrap_or(members))?;
    Ok(rest.get(1..).unwrap_or_default())
}

fn check_members(members: &[u8]) -> Result<(), &'static str> {
    if members.is_empty() {
        return Err("is empty");
    }
    // A literal `-` stands first or last; anywhere else it would be one thing to one program and another to the next.
    let mut rest = members.strip_prefix(b"-").unwrap_or(members);
    loop {
        rest = match rest {
            [] | [b'-'] => return Ok(()),
            [b'-', ..] => {
                return Err("holds a - that is neither first nor last nor within a range");
            }
            [b'^', ..] => {
                return Err("holds a ^; a set is turned round with ! as its first character");
            }
            [from, b'-', to, after @ ..] if is_name_byte(*from) && is_name_byte(*to) => {
                if from >= to {
                    return Err("holds a range that does not rise");
                }
                after
            }
            [one, after @ ..] if is_name_byte(*one) => after,
            _ => {
                return Err(
                    "holds what no name can; letters, digits and _ - . : / can stand in it",
                );
            }
        }
    }
}

impl FromStr for EventPattern {
    type Err = Error;

    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `pattern` for what the syntax does not allow.
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
