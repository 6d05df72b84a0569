use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::panic::AssertUnwindSafe;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::escape::visible_owned;
pub(crate) use crate::escape::{key_name, quoted, quoted_key, visible};

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The number of problems that `Display` writes. It counts the rest.
const MAX_SHOWN: usize = 10;

/// The error of every call: a [kind](Error::kind) to branch on, a message for people, and for
/// invalid input one [`Problem`] for each field.
///
/// | kind | when | HTTP |
/// |---|---|---:|
/// | [Invalid] | the input breaks a rule | 422 |
/// | [NotFound] | nothing has that id or name | 404 |
/// | [Conflict] | the state forbids the change | 409 |
/// | [LimitReached] | too many subscriptions | 409 |
/// | [Gone] | the history starts later | 410 |
/// | [ReadOnly] | opened only for reading | 403 |
/// | [Busy] | locked past the timeout | 503 |
/// | [Incompatible] | another file, version or key | 500 |
/// | [Corrupt] | the file is damaged | 500 |
/// | [Storage] | disk, permission or I/O | 500 |
///
/// [LimitReached]: ErrorKind::LimitReached
/// [Invalid]: ErrorKind::Invalid
/// [NotFound]: ErrorKind::NotFound
/// [Conflict]: ErrorKind::Conflict
/// [Gone]: ErrorKind::Gone
/// [ReadOnly]: ErrorKind::ReadOnly
/// [Busy]: ErrorKind::Busy
/// [Incompatible]: ErrorKind::Incompatible
/// [Corrupt]: ErrorKind::Corrupt
/// [Storage]: ErrorKind::Storage
///
/// [`ErrorKind::http_status`] returns the status, and [`Error::to_problem`] the body of a response.
///
/// An `Error` has the size of a pointer, and is `Send`, `Sync` and `'static`. No message contains a
/// secret. Where a message gives the reason in words of its own, [`source`](StdError::source) has
/// the error of the operating system or of SQLite.
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
    /// Never changed after its creation, so a panic cannot leave it half changed. That makes
    /// `AssertUnwindSafe` sound.
    source: Option<AssertUnwindSafe<Box<dyn StdError + Send + Sync>>>,
}

/// The kind of an [`Error`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The input is invalid. [`Error::problems`] lists every invalid field, not only the first.
    Invalid,
    /// The subscription, event type or file does not exist.
    NotFound,
    /// The call conflicts with the current state. For example, the name is taken, a subscription
    /// still names the event type, or the subscription has another revision.
    Conflict,
    /// Another connection held the lock for longer than the busy timeout.
    Busy,
    /// The registry was opened read-only, and the call would change it.
    ReadOnly,
    /// The file is not a registry, was written by a newer version, needs another key or none, or
    /// is an application's and was opened without [`guest`](crate::RegistryOptions::guest).
    Incompatible,
    /// The file is damaged.
    Corrupt,
    /// The disk is full, a permission is missing, or another input or output error occurred.
    Storage,
    /// The requested part of the history was removed, or never belonged to this file.
    Gone,
    /// The call would leave more subscriptions than
    /// [`max_subscriptions`](crate::RegistryOptions::max_subscriptions) allows.
    LimitReached,
}

impl ErrorKind {
    /// Returns the HTTP status for an error of this kind, as the table of [`Error`] lists it.
    pub fn http_status(self) -> u16 {
        match self {
            ErrorKind::Invalid => 422,
            ErrorKind::NotFound => 404,
            ErrorKind::Conflict | ErrorKind::LimitReached => 409,
            ErrorKind::Gone => 410,
            ErrorKind::ReadOnly => 403,
            ErrorKind::Busy => 503,
            ErrorKind::Incompatible | ErrorKind::Corrupt | ErrorKind::Storage => 500,
        }
    }

    /// Returns the `title` of a problem document. RFC 9457 requires the same title for every error
    /// of a type.
    fn title(self) -> &'static str {
        match self {
            ErrorKind::Invalid => "Invalid input",
            ErrorKind::NotFound => "Not found",
            ErrorKind::Conflict => "Conflict",
            ErrorKind::LimitReached => "Limit reached",
            ErrorKind::Gone => "No longer available",
            ErrorKind::ReadOnly => "Read-only",
            ErrorKind::Busy => "Temporarily unavailable",
            ErrorKind::Incompatible | ErrorKind::Corrupt | ErrorKind::Storage => {
                "Internal server error"
            }
        }
    }
}

/// One invalid or conflicting field of the input, with the reason.
///
/// It serializes to `{"field": …, "message": …}`, for the body of a response.
#[derive(Clone, PartialEq, Eq)]
pub struct Problem {
    field: String,
    message: String,
    /// The unknown text that the message is about, until a suggestion is added to the message.
    misspelt: Option<Misspelt>,
}

/// A text that matches no event type, and the part of a name to compare it with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Misspelt {
    /// A whole name.
    Name(Box<str>),
    /// The literal start of a pattern, and the rest of the pattern.
    Start(Box<str>, Box<str>),
    /// The literal end of a pattern, and the rest of the pattern.
    End(Box<str>, Box<str>),
}

impl Misspelt {
    /// Returns the text near which, in the order of names, similar names are most likely. It is
    /// empty for the end of a name, which says nothing about the order.
    pub(crate) fn sort_key(&self) -> &str {
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

    /// Attaches an unknown text, for which a suggestion is added later.
    pub(crate) fn with_misspelt(mut self, misspelt: Misspelt) -> Problem {
        self.misspelt = Some(misspelt);
        self
    }

    /// Returns the JSON key of the field: `url`, `events[2]`, `name`, `ifRevision`; in a list
    /// `[7].name`.
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Returns the reason, for the person who provided the input.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Moves the problem under the key of a list.
    pub(crate) fn under(mut self, list: &str) -> Problem {
        self.field = format!("{list}{}", self.field);
        self
    }

    /// Moves the problem under the entry at `index` of a list.
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
    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the invalid or conflicting fields.
    ///
    /// The kinds [`ErrorKind::Invalid`], [`ErrorKind::Conflict`] and [`ErrorKind::NotFound`] have
    /// problems. `NotFound` has one, for the field `subscriptionId`, `eventType` or `path`.
    pub fn problems(&self) -> &[Problem] {
        &self.0.problems
    }

    /// Returns the body of an `application/problem+json` response
    /// ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).
    ///
    /// The members are `title` (fixed for each [`ErrorKind`]), `status`
    /// ([`ErrorKind::http_status`]), `detail` (the message; absent for status 500) and `errors`,
    /// the [problems](Error::problems) as `{"field", "message"}`, if there are any. The body
    /// contains no path of the server and no message of SQLite.
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
        // The message contains a path of the server, which the client must not see.
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
                // The message can contain a message of SQLite.
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

    /// Creates a conflict without a message of its own. `Display` writes each problem as a sentence
    /// that begins with the field.
    pub(crate) fn conflict(problems: Vec<Problem>) -> Error {
        Error::with(ErrorKind::Conflict, Cow::Borrowed(""), problems)
    }

    pub(crate) fn conflict_field(field: impl Into<String>, message: impl Into<String>) -> Error {
        Error::conflict(vec![Problem::new(field, message)])
    }

    /// Creates a conflict with a message of its own, for a problem that does not read well as a
    /// sentence that begins with the field.
    pub(crate) fn conflict_with_message(message: String, problem: Problem) -> Error {
        let mut error = Error::conflict(vec![problem]);
        error.0.message = Cow::Owned(visible_owned(message));
        error
    }

    fn with(kind: ErrorKind, message: Cow<'static, str>, problems: Vec<Problem>) -> Error {
        Error(Box::new(Repr { kind, message, problems, source: None }))
    }

    /// Creates the error for an unknown event type. A suggestion is added later.
    pub(crate) fn no_event_type(name: &str) -> Error {
        let mut error = Error::not_found("eventType", format!("no event type {}", quoted(name)));
        for problem in &mut error.0.problems {
            problem.misspelt = Some(Misspelt::Name(name.into()));
        }
        error
    }

    /// Returns the texts for which a suggestion is to be added.
    pub(crate) fn misspelt(&self) -> impl Iterator<Item = &Misspelt> {
        self.0.problems.iter().filter_map(|problem| problem.misspelt.as_ref())
    }

    /// Appends the result of `hint` to each message about an unknown text. The result can be empty.
    pub(crate) fn with_hints(mut self, mut hint: impl FnMut(&Misspelt) -> String) -> Error {
        let Repr { message: whole, problems, .. } = &mut *self.0;
        for Problem { message, misspelt, .. } in problems {
            if let Some(misspelt) = misspelt.take() {
                let hint = hint(&misspelt);
                // An error with one problem can repeat its message.
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

    /// Creates the error for a subscription without a current secret, which no call leaves behind.
    pub(crate) fn no_secret(id: impl fmt::Display) -> Error {
        Error::corrupt(format_args!("subscription {id} has no secret"))
    }

    /// Creates the error for a missing `subscriptionId`, `eventType` or `path`.
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
        for (position, problem) in self.0.problems.iter().take(MAX_SHOWN).enumerate() {
            if position > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{}{separator}{}", visible(&problem.field), problem.message)?;
        }
        match self.0.problems.len().checked_sub(MAX_SHOWN) {
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
