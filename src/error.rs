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
        Problem { field: field.into(), message: message.into() }
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
        write!(f, "{}: {}", self.field, self.message)
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
        Error(Box::new(Repr { kind, message: message.into(), problems: Vec::new(), source: None }))
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
        error.0.message = Cow::Owned(message);
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
            write!(f, "{}{separator}{}", problem.field, problem.message)?;
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

/// Shows a text that came from outside in a message: quoted, control characters escaped, and never longer than a
/// line can bear.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 256;
    if text.chars().nth(LONGEST).is_none() {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{start:?}…")
}
