use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::panic::AssertUnwindSafe;

use serde::ser::{Serialize, SerializeStruct, Serializer};

/// What every fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How many problems `Display` spells out before it counts the rest.
const SHOWN: usize = 10;

/// Why a call was refused or failed: a [kind](Error::kind) to branch on, a message for the person, and for bad input
/// one [`Problem`] for every field that is at fault.
///
/// One word wide, `Send`, `Sync` and `'static`. No message holds a secret.
///
/// ```
/// use webhook_registry::{ErrorKind, NewSubscription, Registry};
///
/// let registry = Registry::in_memory()?;
/// let error = registry.create(NewSubscription::new("", "ftp://example.com", ["a"])).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Invalid);
/// let fields: Vec<&str> = error.problems().iter().map(|problem| problem.field()).collect();
/// assert_eq!(fields, ["name", "url", "events[0]"]);
/// # Ok::<(), webhook_registry::Error>(())
/// ```
pub struct Error(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    message: Cow<'static, str>,
    problems: Vec<Problem>,
    /// Only ever shown, so that a panic cannot leave it in the middle of a change.
    source: Option<AssertUnwindSafe<Box<dyn StdError + Send + Sync>>>,
}

/// What sort of failure an [`Error`] is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Input breaks a rule. [`Error::problems`] has one entry for every field that does, not only the first.
    Invalid,
    /// There is no such subscription, event type or file.
    NotFound,
    /// The name is taken, the event type is still named by a subscription, the revision has moved on, or something
    /// else stands in the way.
    Conflict,
    /// Another process kept the lock past the busy timeout.
    Busy,
    /// A change was asked of a registry that was opened read-only.
    ReadOnly,
    /// The file is not a registry, or was written by a newer version.
    Incompatible,
    /// The file is damaged.
    Corrupt,
    /// The disk is full, permission is missing, or input and output failed.
    Storage,
    /// The history asked for is no longer kept, or never was this file's.
    Gone,
}

/// One field of the input that is at fault, or that something stands against.
///
/// Serializes to `{"field": …, "message": …}`, ready for the body of a `400` answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    field: String,
    message: String,
}

impl Problem {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { field: field.into(), message: visible_owned(message.into()) }
    }

    /// The JSON key at fault: `url`, `events[2]`, `name`, `ifRevision`; in a list `[7].name`.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong with it, for the person who gave it.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same problem as part of a list under this key.
    pub(crate) fn of(mut self, list: &str) -> Problem {
        self.field = format!("{list}{}", self.field);
        self
    }

    /// The same problem as part of the entry at `index` of a list.
    pub(crate) fn within(mut self, index: usize) -> Problem {
        self.field = format!("[{index}].{}", self.field);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", visible(&self.field), self.message)
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Problem", 2)?;
        object.serialize_field("field", &self.field)?;
        object.serialize_field("message", &self.message)?;
        object.end()
    }
}

impl Error {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The fields at fault; filled for [`ErrorKind::Invalid`] and [`ErrorKind::Conflict`].
    pub fn problems(&self) -> &[Problem] {
        &self.0.problems
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Error {
        let message = match message.into() {
            Cow::Owned(text) => Cow::Owned(visible_owned(text)),
            ours => ours,
        };
        Error(Box::new(Repr { kind, message, problems: Vec::new(), source: None }))
    }

    pub(crate) fn invalid(problems: Vec<Problem>) -> Error {
        Error(Box::new(Repr {
            kind: ErrorKind::Invalid,
            message: Cow::Borrowed(""),
            problems,
            source: None,
        }))
    }

    pub(crate) fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Error {
        Error::invalid(vec![Problem::new(field, message)])
    }

    /// A conflict whose message is its problems': each reads as a sentence that begins with its field.
    pub(crate) fn conflict(problems: Vec<Problem>) -> Error {
        Error(Box::new(Repr {
            kind: ErrorKind::Conflict,
            message: Cow::Borrowed(""),
            problems,
            source: None,
        }))
    }

    pub(crate) fn conflict_field(field: impl Into<String>, message: impl Into<String>) -> Error {
        Error::conflict(vec![Problem::new(field, message)])
    }

    /// A conflict that one sentence of its own says better than field and message would.
    pub(crate) fn conflict_saying(message: String, problem: Problem) -> Error {
        let mut error = Error::conflict(vec![problem]);
        error.0.message = Cow::Owned(visible_owned(message));
        error
    }

    pub(crate) fn no_subscription(id: impl fmt::Display) -> Error {
        Error::new(ErrorKind::NotFound, format!("no subscription {id}"))
    }

    pub(crate) fn read_only() -> Error {
        Error::new(ErrorKind::ReadOnly, "the registry is open read-only")
    }

    pub(crate) fn corrupt(what: impl fmt::Display) -> Error {
        Error::new(ErrorKind::Corrupt, format!("the file is damaged: {what}"))
    }

    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Error {
        self.0.source = Some(AssertUnwindSafe(source.into()));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.message.is_empty() {
            return f.write_str(&self.0.message);
        }
        let separator = if self.0.kind == ErrorKind::Conflict { " " } else { ": " };
        for (position, problem) in self.0.problems.iter().take(SHOWN).enumerate() {
            if position > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{}{separator}{}", visible(&problem.field), problem.message)?;
        }
        match self.0.problems.len().checked_sub(SHOWN) {
            Some(more) if more > 0 => write!(f, "; and {more} more"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Error");
        shown.field("kind", &self.0.kind).field("message", &self.to_string());
        if let Some(source) = &self.0.source {
            shown.field("source", &source.0);
        }
        shown.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| {
            let source: &(dyn StdError + 'static) = &*source.0;
            source
        })
    }
}

/// Quotes a text that came from outside for a message: what is invisible is escaped, and a long text is cut.
pub(crate) fn quoted(text: &str) -> String {
    const MAX_CHARS: usize = 256;
    let quoted = if text.chars().nth(MAX_CHARS).is_none() {
        format!("{text:?}")
    } else {
        let start: String = text.chars().take(MAX_CHARS).collect();
        format!("{start:?}…")
    };
    visible_owned(quoted)
}

/// Quotes the key of a JSON object from outside. A secret can stand there by mistake, so a key that looks like one is
/// counted only, and of a key longer than any that has a meaning the beginning is shown.
pub(crate) fn quoted_key(key: &str) -> String {
    const MAX_BYTES: usize = 64;
    const START: usize = 16;
    if looks_secret(key) {
        format!("({} bytes, not shown because it could be a secret)", key.len())
    } else if key.len() > MAX_BYTES {
        let start: String = key.chars().take(START).collect();
        format!("{}…", quoted(&start))
    } else {
        quoted(key)
    }
}

/// Whether a text holds what could be base64 or hexadecimal of a key: the prefix of Standard Webhooks, padding, or a run
/// of their characters that is longer than words are.
fn looks_secret(text: &str) -> bool {
    /// Of 16 random bytes, the shortest key that anybody makes, base64 has 22 characters. Two in a hundred runs of so many
    /// have no digit.
    const RUN: usize = 20;
    const RUN_WITHOUT_DIGIT: usize = 32;
    let is_digit_of_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    let mut runs = text.split(|c| !is_digit_of_key(c));
    text.to_ascii_lowercase().contains("whsec_")
        || text.contains('=')
        || runs.any(|run| {
            run.len() >= RUN_WITHOUT_DIGIT
                || (run.len() >= RUN && run.contains(|c: char| c.is_ascii_digit()))
        })
}

/// Escapes the characters of a text from outside that are invisible, break the line or reorder the text around them, as
/// `\u{2028}`: everything that `Display` shows passes through here. Other characters stay, a backslash too.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |(at, c): (usize, char)| is_hidden(c, at == 0);
    if !text.char_indices().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len().saturating_add(16));
    for (at, c) in text.char_indices() {
        match c {
            c if is_blank(c) => escaped.extend(c.escape_unicode()),
            c if is_hidden((at, c)) => escaped.extend(c.escape_debug()),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

fn visible_owned(text: String) -> String {
    match visible(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(escaped) => escaped,
    }
}

/// What `str::escape_debug` calls not printable (the categories Cc, Cf, Zl, Zp, Zs other than the space, and what is not
/// assigned), a combining mark at the beginning, and the blank letters and marks that it lets pass.
fn is_hidden(c: char, first: bool) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    // The escape of a single character also covers every combining mark, which belongs to the character before it.
    is_blank(c)
        || (c.escape_debug().len() > 1
            && (first || format!("a{c}").escape_debug().nth(1) == Some('\\')))
}

/// Letters, marks and symbols that are drawn as nothing: Unicode's default-ignorable characters outside of Cf, and the
/// blank braille pattern.
fn is_blank(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}
