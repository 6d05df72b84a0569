//! Finds the reason for which the operating system refuses to open a file. SQLite reports most
//! reasons alike: "unable to open database file".

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::io_error::is_too_many_files;
use super::paths::{FileId, file_id};
use super::settings::Access;

/// Returns the error of the operating system if it allows no further open file for now.
///
/// A folder is opened, because closing a descriptor of the file would drop SQLite's locks.
pub(super) fn too_many_files(path: &Path) -> Option<io::Error> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new("."))).err().filter(is_too_many_files)
}

/// Returns the error with which the operating system refuses to open a file that SQLite could not
/// open. None if the operating system does not refuse it any more.
pub(super) fn refusal(path: &Path, access: Access) -> Option<io::Error> {
    /// The files of which a descriptor is kept.
    ///
    /// Where the file can be opened after all, the descriptor is never closed: that would drop the
    /// locks that SQLite may hold on the file through another connection of this process. One
    /// descriptor is kept for each file at most.
    static KEPT: Mutex<BTreeSet<FileId>> = Mutex::new(BTreeSet::new());
    if let Some(cause) = too_many_files(path) {
        return Some(cause);
    }
    let mut options = fs::OpenOptions::new();
    options.read(true).write(access == Access::Write);
    // Elsewhere than on Unix no file has an identity, and closing a file drops no lock of another.
    let Some(id) = file_id(path) else {
        return options.open(path).err();
    };
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.contains(&id) {
        return None;
    }
    match options.open(path) {
        Ok(file) => {
            std::mem::forget(file);
            kept.insert(id);
            None
        }
        Err(cause) => Some(cause),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_can_be_opened_after_all_costs_one_descriptor() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || {
            let descriptors = fs::read_dir("/dev/fd").unwrap();
            let led = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
            led.filter(|to| to == file.path()).count()
        };
        let before = open();
        for _ in 0..3 {
            assert!(refusal(file.path(), Access::Write).is_none());
            assert_eq!(open(), before + 1);
        }
        let missing = refusal(&file.path().with_extension("none"), Access::Read).unwrap();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
