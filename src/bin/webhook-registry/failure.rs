//! How a command ends: its exit status, and the report of a failure.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};
use webhook_registry::{Error, ErrorKind};

use crate::text::visible;

const LABEL: Style = AnsiColor::Red.on_default().bold();

/// The end of a command that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Findings, differences or nobody: what the command was asked to test does not hold.
    Negative,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> ExitCode {
        match outcome {
            Outcome::Done => ExitCode::SUCCESS,
            Outcome::Negative => ExitCode::from(1),
        }
    }
}

/// The end of a command that was refused.
#[derive(Debug)]
pub(crate) enum Failure {
    Registry(Error),
    /// A refusal of the program itself.
    Refused(Refusal),
    /// The reader of the answer has gone, as in `| head`. That is no error.
    BrokenPipe,
}

/// A refusal with the same parts as an [`Error`], which only the library can create.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    /// Fields and messages.
    pub(crate) problems: Vec<(String, String)>,
}

impl Failure {
    /// Creates a failure for arguments or input that the program rejects.
    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Failure {
        Failure::on(ErrorKind::Invalid, field, message)
    }

    pub(crate) fn on(kind: ErrorKind, field: &str, message: impl Into<String>) -> Failure {
        let message = message.into();
        let problems = vec![(field.to_owned(), message.clone())];
        Failure::Refused(Refusal { kind, message, problems })
    }

    /// Creates a failure for a file that cannot be read or written.
    pub(crate) fn file(verb: &str, path: &Path, error: &io::Error) -> Failure {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => ErrorKind::Conflict,
            _ => ErrorKind::Storage,
        };
        let message = format!("cannot {verb} {}: {error}", path.display());
        Failure::Refused(Refusal { kind, message, problems: Vec::new() })
    }

    /// Writes the failure to stderr, and returns the exit status.
    pub(crate) fn report(self, json: bool) -> Result<Outcome, ExitCode> {
        let text = match self {
            Failure::BrokenPipe => return Ok(Outcome::Done),
            Failure::Registry(error) if json => document(&error).to_string(),
            Failure::Registry(error) => plain(&Refusal::from(&error)),
            Failure::Refused(refusal) if json => refusal.document().to_string(),
            Failure::Refused(refusal) => plain(&refusal),
        };
        // Nothing can be done about a stderr that cannot be written to.
        let _ = writeln!(anstream::stderr(), "{text}");
        Err(ExitCode::from(2))
    }
}

/// Returns the problem document of an error, with the whole message.
///
/// `to_problem` leaves paths and the messages of SQLite out, because it is written for clients. The
/// person at the file needs them.
fn document(error: &Error) -> Value {
    let whole = Refusal::from(error).document();
    let mut body = error.to_problem();
    if let (Value::Object(body), Value::Object(whole)) = (&mut body, whole) {
        body.extend(whole.into_iter().filter(|(key, _)| key != "title"));
    }
    body
}

/// Returns the lines for a person: the message, and every problem with its field.
fn plain(refusal: &Refusal) -> String {
    let Refusal { kind: _, message, problems } = refusal;
    let line = |(field, text): &(String, String)| format!("{}: {}", visible(field), visible(text));
    let (first, rest) = match problems.as_slice() {
        [] => (visible(message).into_owned(), problems.as_slice()),
        [only] if message.contains(&only.1) => (line(only), Default::default()),
        [_] => (visible(message).into_owned(), problems.as_slice()),
        all if all.iter().any(|problem| message.contains(&problem.1)) => {
            (format!("{} problems", all.len()), all)
        }
        all => (visible(message).into_owned(), all),
    };
    let mut text = format!("{LABEL}error:{LABEL:#} {first}");
    for problem in rest {
        text.push_str("\n  ");
        text.push_str(&line(problem));
    }
    text
}

impl Refusal {
    /// Returns the document that `Error::to_problem` would make.
    fn document(&self) -> Value {
        let Refusal { kind, message, problems } = self;
        let title = match kind {
            ErrorKind::Invalid => "Invalid input",
            ErrorKind::NotFound => "Not found",
            ErrorKind::Conflict => "Conflict",
            _ => "Internal server error",
        };
        let status = kind.http_status();
        let errors: Vec<Value> = problems
            .iter()
            .map(|(field, message)| json!({"field": field, "message": message}))
            .collect();
        let mut body = json!({"title": title, "status": status, "detail": message});
        if let (Value::Object(body), false) = (&mut body, errors.is_empty()) {
            body.insert("errors".to_owned(), errors.into());
        }
        body
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Refusal {
        let mut message = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        let problems: Vec<_> = error
            .problems()
            .iter()
            .map(|problem| (problem.field().to_owned(), problem.message().to_owned()))
            .collect();
        Refusal { kind: error.kind(), message, problems }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Registry(error)
    }
}

/// An error of writing the answer. Files have [`Failure::file`].
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure::BrokenPipe;
        }
        let message = format!("cannot write the answer: {error}");
        Failure::Refused(Refusal { kind: ErrorKind::Storage, message, problems: Vec::new() })
    }
}
