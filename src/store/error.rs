//! What SQLite says, in the crate's own kinds.

use rusqlite::{Error as SqlError, ErrorCode, ffi};

use crate::error::{Error, ErrorKind, Result};

pub(super) trait MapSqliteErr<T> {
    /// Turns SQLite's error into the crate's.
    fn map_sqlite_err(self) -> Result<T>;
}

impl<T> MapSqliteErr<T> for rusqlite::Result<T> {
    fn map_sqlite_err(self) -> Result<T> {
        self.map_err(fault)
    }
}

pub(super) fn fault(cause: SqlError) -> Error {
    let kind = kind(&cause);
    let what = match kind {
        ErrorKind::Busy => "another process kept the file locked past the busy timeout",
        ErrorKind::Corrupt => "the file is damaged",
        _ => "the file could not be read or written",
    };
    Error::new(kind, format!("{what}: {cause}")).with_source(cause)
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
        // What may not be written to is told at open. Later only a header says so, and no registry's does.
        ErrorCode::ReadOnly if failure.extended_code == ffi::SQLITE_READONLY => ErrorKind::Corrupt,
        ErrorCode::SystemIoFailure if is_short(failure.extended_code) => ErrorKind::Corrupt,
        _ => ErrorKind::Storage,
    }
}

/// The file ends before it should, or its file system says that it is damaged.
fn is_short(code: i32) -> bool {
    matches!(
        code,
        ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_DATA | ffi::SQLITE_IOERR_CORRUPTFS
    )
}

/// Whether a statement failed because this column has to be unique.
pub(super) fn is_taken(cause: &SqlError, column: &str) -> bool {
    matches!(
        cause,
        SqlError::SqliteFailure(failure, Some(message))
            if failure.extended_code == ffi::SQLITE_CONSTRAINT_UNIQUE && message.ends_with(column)
    )
}

pub(super) fn is(cause: &SqlError, code: ErrorCode) -> bool {
    cause.sqlite_error_code() == Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What no disk at hand does.
    #[test]
    fn a_disk_that_answers_short_or_wrong_is_damage_and_one_that_fails_is_not() {
        for (code, expected) in [
            (ffi::SQLITE_IOERR_SHORT_READ, ErrorKind::Corrupt),
            (ffi::SQLITE_IOERR_DATA, ErrorKind::Corrupt),
            (ffi::SQLITE_IOERR_CORRUPTFS, ErrorKind::Corrupt),
            (ffi::SQLITE_IOERR_READ, ErrorKind::Storage),
            (ffi::SQLITE_IOERR_FSYNC, ErrorKind::Storage),
        ] {
            let failure = SqlError::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(fault(failure).kind(), expected, "{code}");
        }
    }
}
