//! Turns damage that a check meets into findings, and goes on reading.

use rusqlite::Connection;

use super::disk;
use crate::error::{Error, ErrorKind, Result};
use crate::report::{Finding, Report, SubscriptionLabel};

/// The remedy for a damaged file.
pub(super) const RESTORE: &str =
    "restore a backup, or, if it can still be exported, import that into a new file";
/// The remedy for a subscription that does not decode.
pub(super) const DELETE: &str = "restore a backup, or delete it by its id and create it anew";
/// The remedy for wrong rows that are derived from others.
pub(super) const REBUILD: &str =
    "export the registry and import it into a new file, which derives it anew";

/// The number of names that a finding lists before it counts the rest.
const NAMED: usize = 5;

/// Reports damage of the file as a finding, and returns None for it.
pub(super) fn tolerant<T>(
    conn: &Connection,
    report: &mut Report,
    read: impl FnOnce(&mut Report) -> Result<T>,
) -> Result<Option<T>> {
    let result = read(report);
    unless_damaged(conn, result, |error| {
        report.push_finding(Finding::for_file(format!("{error}; {RESTORE}")))
    })
}

/// Reports damage of one subscription as a finding, and returns None for it.
pub(super) fn tolerant_of<T>(
    conn: &Connection,
    report: &mut Report,
    who: &SubscriptionLabel,
    read: impl FnOnce() -> Result<T>,
) -> Result<Option<T>> {
    unless_damaged(conn, read(), |error| {
        let what_to_do = if who.id().is_some() { DELETE } else { RESTORE };
        report.push_finding(Finding::new(who, format_args!("{error}; {what_to_do}")));
    })
}

/// Passes damage to `tell`, and returns None for it. Every other error ends the check.
pub(super) fn unless_damaged<T>(
    conn: &Connection,
    result: Result<T>,
    tell: impl FnOnce(Error),
) -> Result<Option<T>> {
    match result.map_err(|error| disk::diagnose(conn, error)) {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            tell(error);
            Ok(None)
        }
        result => result.map(Some),
    }
}

/// Returns names for a finding, with the number of those that would make it too long.
pub(super) fn listed(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(NAMED) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_alone_is_a_finding() {
        let mut told = Vec::new();
        let conn = Connection::open_in_memory().unwrap();
        let mut judge = |result: Result<i32>| {
            unless_damaged(&conn, result, |error| told.push(error.to_string()))
        };
        assert_eq!(judge(Ok(1)).unwrap(), Some(1));
        assert_eq!(judge(Err(Error::corrupt("a row"))).unwrap(), None);
        let other = judge(Err(Error::new(ErrorKind::Storage, "no such disk"))).unwrap_err();
        assert_eq!(
            (other.kind(), other.to_string()),
            (ErrorKind::Storage, "no such disk".to_owned())
        );
        assert_eq!(told, ["the file is damaged: a row"]);
    }
}
