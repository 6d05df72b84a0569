use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::panic::AssertUnwindSafe;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::escape::visible_owned;
pub(crate) use crate::escape::{key_name, quoted, quoted_key, visible};

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

impl ErrorKind {
    /// Returns the HTTP status that fits a refusal of this kind.
    ///
    /// | kind | status |
    /// |---|---:|
    /// | `Invalid` | 422 |
    /// | `NotFound` | 404 |
    /// | `Conflict` | 409 |
    /// | `Gone` | 410 |
    /// | `ReadOnly` | 403 |
    /// | `Busy` | 503 |
    /// | `Incompatible`, `Corrupt`, `Storage` | 500 |
    pub fn http_status(self) -> u16 {
        match self {
            ErrorKind::Invalid => 422,
            ErrorKind::NotFound => 404,
            ErrorKind::Conflict => 409,
            ErrorKind::Gone => 410,
            ErrorKind::ReadOnly => 403,
            ErrorKind::Busy => 503,
            ErrorKind::Incompatible | ErrorKind::Corrupt | ErrorKind::Storage => 500,
        }
    }

    /// The `title` of a problem document: the same for every error of a kind, as RFC 9457 asks.
    fn title(self) -> &'static str {
        match self {
            ErrorKind::Invalid => "Invalid input",
            ErrorKind::NotFound => "Not found",
            ErrorKind::Conflict => "Conflict",
            ErrorKind::Gone => "No longer available",
            ErrorKind::ReadOnly => "Read-only",
            ErrorKind::Busy => "Temporarily unavailable",
            ErrorKind::Incompatible | ErrorKind::Corrupt | ErrorKind::Storage => {
                "Internal server error"
            }
        }
    }
}

/// One field of the input that is at fault, or that something stands against.
///
/// Serializes to `{"field": …, "message": …}`, ready for the body of a `400` answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Problem {
    field: String,
    message: String,
    /// The text that the message says is not known, until the suggestion for it is in the message.
    misspelt: Option<Misspelt>,
}

/// A text that names no event type, and what of a name is to be compared with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Misspelt {
    Name(Box<str>),
    /// The literal start of a pattern, and the rest of the pattern.
    Start(Box<str>, Box<str>),
    /// The literal end of a pattern, and the rest of the pattern.
    End(Box<str>, Box<str>),
}

impl Misspelt {
    /// Where in the order of names those that are near are most likely to stand. An end tells nothing of that.
    pub(crate) fn place(&self) -> &str {
        match self {
            Misspelt::Name(text) | Misspelt::Start(text, _) => text,
            Misspelt::End(..) => "",
        }
    }
}

impl Problem {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { field: field.into(), message: visible_owned(message.into()), misspelt: None }
    }

    /// The same problem with a text for which a suggestion is still to be found.
    pub(crate) fn with_misspelt(mut self, misspelt: Misspelt) -> Problem {
        self.misspelt = Some(misspelt);
        self
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

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { field, message, misspelt: _ } = self;
        f.debug_struct("Problem").field("field", field).field("message", message).finish()
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

    /// The fields at fault; filled for [`ErrorKind::Invalid`], [`ErrorKind::Conflict`] and
    /// [`ErrorKind::NotFound`], whose one problem names what was not found: `subscriptionId`,
    /// `eventType` or `path`.
    pub fn problems(&self) -> &[Problem] {
        &self.0.problems
    }

    /// Returns the body of an `application/problem+json` response
    /// ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).
    ///
    /// The members are `title` (fixed for each [`ErrorKind`]), `status`
    /// ([`ErrorKind::http_status`]), `detail` (the message; absent for status 500) and `errors`,
    /// the [problems](Error::problems) as `{"field", "message"}`, where there are any. No path of
    /// the machine and no message of SQLite is in it.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::{NewSubscription, Registry};
    ///
    /// let registry = Registry::in_memory()?;
    /// let error = registry.create(NewSubscription::new("crm", "ftp://x", ["*"])).unwrap_err();
    /// let body = error.to_problem();
    /// assert_eq!(body["status"], error.kind().http_status());
    /// assert_eq!(body["errors"][0]["field"], "url");
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn to_problem(&self) -> serde_json::Value {
        let kind = self.kind();
        let status = kind.http_status();
        // Its message names a file of this machine. The kind says enough to whoever asked.
        let on_path = self.problems().iter().any(|problem| problem.field == "path");
        let path_message = if kind == ErrorKind::NotFound {
            "there is no registry at the path"
        } else {
            "there is a file at the path already"
        };
        let mut body = serde_json::Map::new();
        body.insert("title".to_owned(), kind.title().into());
        body.insert("status".to_owned(), status.into());
        if status != 500 {
            let detail = match kind {
                _ if on_path => path_message.to_owned(),
                // SQLite's own words may follow in the message.
                ErrorKind::Busy => {
                    "the registry is locked by another process; try again later".to_owned()
                }
                _ => self.to_string(),
            };
            body.insert("detail".to_owned(), detail.into());
            if !self.problems().is_empty() {
                let errors = self.problems().iter().map(|problem| {
                    let message =
                        if problem.field == "path" { path_message } else { &problem.message };
                    serde_json::json!({"field": problem.field, "message": message})
                });
                body.insert("errors".to_owned(), errors.collect());
            }
        }
        serde_json::Value::Object(body)
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Error {
        let message = match message.into() {
            Cow::Owned(text) => Cow::Owned(visible_owned(text)),
            ours => ours,
        };
        Error::with(kind, message, Vec::new())
    }

    pub(crate) fn invalid(problems: Vec<Problem>) -> Error {
        Error::with(ErrorKind::Invalid, Cow::Borrowed(""), problems)
    }

    pub(crate) fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Error {
        Error::invalid(vec![Problem::new(field, message)])
    }

    /// A conflict whose message is its problems': each reads as a sentence that begins with its field.
    pub(crate) fn conflict(problems: Vec<Problem>) -> Error {
        Error::with(ErrorKind::Conflict, Cow::Borrowed(""), problems)
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

    fn with(kind: ErrorKind, message: Cow<'static, str>, problems: Vec<Problem>) -> Error {
        Error(Box::new(Repr { kind, message, problems, source: None }))
    }

    /// No event type of this name, for which a suggestion is still to be found.
    pub(crate) fn no_event_type(name: &str) -> Error {
        let mut error = Error::not_found("eventType", format!("no event type {}", quoted(name)));
        for problem in &mut error.0.problems {
            problem.misspelt = Some(Misspelt::Name(name.into()));
        }
        error
    }

    /// Returns the texts for which a suggestion is still to be found.
    pub(crate) fn misspelt(&self) -> impl Iterator<Item = &Misspelt> {
        self.0.problems.iter().filter_map(|problem| problem.misspelt.as_ref())
    }

    /// Adds a suggestion, or nothing, to the end of each message about such a text.
    pub(crate) fn with_hints(mut self, mut hint: impl FnMut(&Misspelt) -> String) -> Error {
        let Repr { message: whole, problems, .. } = &mut *self.0;
        for Problem { message, misspelt, .. } in problems {
            if let Some(misspelt) = misspelt.take() {
                let hint = hint(&misspelt);
                // The message of an error with one problem can be the problem's.
                if *whole == *message {
                    whole.to_mut().push_str(&hint);
                }
                message.push_str(&hint);
            }
        }
        self
    }

    pub(crate) fn no_subscription(id: impl fmt::Display) -> Error {
        Error::not_found("subscriptionId", format!("no subscription {id}"))
    }

    /// `field` says what kind of thing was not found.
    pub(crate) fn not_found(field: &'static str, message: impl Into<String>) -> Error {
        let message = message.into();
        let mut error = Error::new(ErrorKind::NotFound, message.clone());
        error.0.problems = vec![Problem::new(field, message)];
        error
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
