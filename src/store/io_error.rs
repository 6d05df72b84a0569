//! Words the reason for which the operating system refuses a call on a file.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use crate::error::{Error, ErrorKind};

/// The codes of "too many open files": in this process, and in the whole system.
#[cfg(unix)]
const EMFILE: i32 = 24;
#[cfg(unix)]
const ENFILE: i32 = 23;

/// The codes of "too many open files" on Windows, which has one for both.
#[cfg(not(unix))]
const EMFILE: i32 = 4;
#[cfg(not(unix))]
const ENFILE: i32 = EMFILE;

/// Returns an error that names the path and the reason.
pub(super) fn cannot(path: &Path, what: &str, cause: io::Error) -> Error {
    let what = format!("{} cannot {what}: {}", path.display(), reason(&cause));
    Error::new(ErrorKind::Storage, what).with_source(cause)
}

/// Returns the reason in words that do not repeat the text of the cause, which `source()` carries.
/// Of a rare cause it is that text, so that the message alone says what is wrong.
pub(super) fn reason(cause: &io::Error) -> Cow<'static, str> {
    if is_too_many_files(cause) {
        return "no file descriptor is left; raise the limit of open files, or close some".into();
    }
    match cause.kind() {
        io::ErrorKind::PermissionDenied => "this user lacks the permission for it".into(),
        io::ErrorKind::ReadOnlyFilesystem => "its file system is read-only".into(),
        io::ErrorKind::StorageFull => "the disk is full".into(),
        io::ErrorKind::QuotaExceeded => "the quota of this user is used up".into(),
        io::ErrorKind::NotFound => "it, or a folder in its path, does not exist".into(),
        io::ErrorKind::NotADirectory => "a part of its path is a file, not a folder".into(),
        _ => cause.to_string().into(),
    }
}

/// Returns whether the operating system allows no further open file for now.
pub(super) fn is_too_many_files(cause: &io::Error) -> bool {
    matches!(cause.raw_os_error(), Some(EMFILE | ENFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_reason_does_not_repeat_the_text_of_its_cause_and_a_rare_one_does() {
        for code in [EMFILE, ENFILE, 2, 13] {
            let cause = io::Error::from_raw_os_error(code);
            let text = cause.to_string().to_lowercase();
            let start = text.split(" (").next().unwrap_or_default().to_owned();
            let error = cannot(Path::new("/a/b.db"), "be opened", cause);
            let message = error.to_string().to_lowercase();
            assert!(message.starts_with("/a/b.db cannot be opened: "), "{message}");
            assert!(!message.contains(&start), "{message} repeats {text}");
        }
        let rare = io::Error::other("the tape is torn");
        assert_eq!(reason(&rare), "the tape is torn");
    }
}
