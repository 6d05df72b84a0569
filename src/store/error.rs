//! Maps SQLite's errors to the crate's.

use std::error::Error as _;
use std::iter;

use rusqlite::{Error as SqlError, ErrorCode, ffi};

use crate::error::{Error, ErrorKind, Result};

/// Maps the error of a call of SQLite.
pub(super) trait MapSqliteErr<T> {
    /// Maps SQLite's error to the crate's.
    fn map_sqlite_err(self) -> Result<T>;
}

impl<T> MapSqliteErr<T> for rusqlite::Result<T> {
    fn map_sqlite_err(self) -> Result<T> {
        self.map_err(sqlite_error)
    }
}

pub(super) fn sqlite_error(cause: SqlError) -> Error {
    let kind = kind(&cause);
    let what = match (kind, cause.sqlite_error_code()) {
        (ErrorKind::Busy, _) => "another process kept the file locked past the busy timeout".into(),
        // Only the cause says what is damaged.
        (ErrorKind::Corrupt, _) => format!("the file is damaged: {cause}"),
        (_, code) => match code.and_then(reason) {
            Some(reason) => format!("the file could not be read or written: {reason}"),
            None => format!("the file could not be read or written: {cause}"),
        },
    };
    Error::new(kind, what).with_source(cause)
}

/// Returns the reason in words that do not repeat SQLite's message, which `source()` carries. None
/// for a rare one, of which only that message says what is wrong.
fn reason(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::DiskFull => Some("the disk is full"),
        ErrorCode::SystemIoFailure => Some("the disk or the file system failed"),
        ErrorCode::OutOfMemory => Some("memory ran out"),
        ErrorCode::ReadOnly => Some("it, or a file beside it, does not allow writing"),
        ErrorCode::CannotOpen => Some("a file beside it does not open"),
        _ => None,
    }
}

fn kind(cause: &SqlError) -> ErrorKind {
    let SqlError::SqliteFailure(failure, _) = cause else {
        // Anything else is a row, or a schema, that is not as this crate writes it.
        return ErrorKind::Corrupt;
    };
    match failure.code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => ErrorKind::Busy,
        ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::ConstraintViolation
        | ErrorCode::TypeMismatch
        | ErrorCode::Unknown => ErrorKind::Corrupt,
        ErrorCode::SystemIoFailure if is_short(failure.extended_code) => ErrorKind::Corrupt,
        _ => ErrorKind::Storage,
    }
}

/// Returns whether the file ends before it should, or a checksum of it is wrong.
/// `SQLITE_IOERR_CORRUPTFS` is neither: it is SQLite's code for a read that failed with `EIO`.
fn is_short(code: i32) -> bool {
    matches!(code, ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_DATA)
}

/// Returns whether this code says that input or output failed, not that the file is damaged.
pub(super) fn is_io_code(code: i32) -> bool {
    code & 0xff == ffi::SQLITE_IOERR && !is_short(code)
}

/// Returns whether a statement failed because this column has to be unique.
pub(super) fn is_taken(cause: &SqlError, column: &str) -> bool {
    matches!(
        cause,
        SqlError::SqliteFailure(failure, Some(message))
            if failure.extended_code == ffi::SQLITE_CONSTRAINT_UNIQUE && message.ends_with(column)
    )
}

/// Returns whether an error has this code.
pub(super) fn is(cause: &SqlError, code: ErrorCode) -> bool {
    cause.sqlite_error_code() == Some(code)
}

/// Returns whether a connection that only reads has met the rollback journal of another program.
/// That program was killed, or is about to remove it.
pub(super) fn is_recovering(error: &Error) -> bool {
    sql_code(error) == Some(ffi::SQLITE_READONLY_ROLLBACK)
}

/// Returns whether SQLite refused to write, because of the file or of one beside it.
pub(super) fn is_read_only(error: &Error) -> bool {
    sql_code(error).is_some_and(|code| code & 0xff == ffi::SQLITE_READONLY)
}

/// Returns whether SQLite could not open a file beside the one that it has open. Where it could not
/// open the file itself, `connect` has named that file, and SQLite's error is not the direct cause.
pub(super) fn is_unopened_beside(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<SqlError>());
    cause.is_some_and(|cause| is(cause, ErrorCode::CannotOpen))
}

/// Returns SQLite's extended code behind an error.
pub(super) fn sql_code(error: &Error) -> Option<i32> {
    failures(error).next().map(|(failure, _)| failure.extended_code)
}

/// Returns whether SQLite read the schema of the file and could not parse it.
pub(super) fn is_malformed_schema(error: &Error) -> bool {
    failures(error).any(|(_, message)| message.starts_with("malformed database schema"))
}

/// Returns SQLite's failures behind an error, with their messages.
fn failures(error: &Error) -> impl Iterator<Item = (&ffi::Error, &str)> {
    let causes = iter::successors(error.source(), |&cause| cause.source());
    causes.filter_map(|cause| match cause.downcast_ref::<SqlError>() {
        Some(SqlError::SqliteFailure(failure, message)) => {
            Some((failure, message.as_deref().unwrap_or_default()))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_answers_short_or_wrong_is_damage_and_one_that_fails_or_is_read_only_is_not() {
        for (code, expected) in [
            (ffi::SQLITE_IOERR_SHORT_READ, ErrorKind::Corrupt),
            (ffi::SQLITE_IOERR_DATA, ErrorKind::Corrupt),
            (ffi::SQLITE_IOERR_CORRUPTFS, ErrorKind::Storage),
            (ffi::SQLITE_IOERR_READ, ErrorKind::Storage),
            (ffi::SQLITE_IOERR_FSYNC, ErrorKind::Storage),
            (ffi::SQLITE_READONLY, ErrorKind::Storage),
            (ffi::SQLITE_READONLY_RECOVERY, ErrorKind::Storage),
            (ffi::SQLITE_READONLY_CANTINIT, ErrorKind::Storage),
            (ffi::SQLITE_READONLY_ROLLBACK, ErrorKind::Storage),
        ] {
            let failure = SqlError::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(sqlite_error(failure).kind(), expected, "{code}");
        }
    }

    #[test]
    fn a_message_repeats_its_source_only_where_that_alone_says_what_is_wrong() {
        let own = "another process kept the file locked past the busy timeout";
        for (code, text, expected) in [
            (ffi::SQLITE_BUSY, "database is locked", own),
            (
                ffi::SQLITE_FULL,
                "database or disk is full",
                "the file could not be read or written: the disk is full",
            ),
            (
                ffi::SQLITE_IOERR_WRITE,
                "disk I/O error",
                "the file could not be read or written: the disk or the file system failed",
            ),
            (
                ffi::SQLITE_CORRUPT,
                "database disk image is malformed",
                "the file is damaged: database disk image is malformed",
            ),
            (
                ffi::SQLITE_AUTH,
                "not authorized",
                "the file could not be read or written: not authorized",
            ),
        ] {
            let failure = SqlError::SqliteFailure(ffi::Error::new(code), Some(text.to_owned()));
            let error = sqlite_error(failure);
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.source().map(ToString::to_string).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_schema_that_cannot_be_parsed_is_told_from_a_page_that_cannot_be_read() {
        let corrupt = ffi::Error::new(ffi::SQLITE_CORRUPT);
        let error = |message: &str| {
            sqlite_error(SqlError::SqliteFailure(corrupt, Some(message.to_owned())))
        };
        let malformed = "malformed database schema (subscription) - no such column: revision";
        assert!(is_malformed_schema(&error(malformed)));
        assert!(!is_malformed_schema(&error("database disk image is malformed")));
    }
}
