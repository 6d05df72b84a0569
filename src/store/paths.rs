//! Checks what lies at a path and beside it, before anything is created there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::io_error::{cannot, reason};
use crate::error::{Error, ErrorKind, Result};

/// The suffixes of the files that SQLite can create beside a database.
pub(super) const BESIDE: [&str; 3] = ["-journal", "-wal", "-shm"];

/// The longest path, with `-journal` at its end, that SQLite opens on Unix: its own constant.
#[cfg(unix)]
const MAX_PATH_BYTES: usize = 512;

/// The identity of a file: device and inode.
pub(super) type FileId = (u64, u64);

/// Creates the file if there is none. Returns whether the file may have content.
///
/// Its mode is 0600 from the first moment. SQLite gives `-wal` and `-shm` the mode of the file.
///
/// A file that was created stays where a later step fails: another process may have opened it by
/// then. So whatever can be checked is checked first.
pub(super) fn prepare(path: &Path, create: bool) -> Result<bool> {
    // Closing a second descriptor of a file drops the process's locks on it, and with them
    // SQLite's. So no thread may hand a file to SQLite while another still has the descriptor that
    // made it.
    static CREATING: Mutex<()> = Mutex::new(());
    let _creating = CREATING.lock().unwrap_or_else(PoisonError::into_inner);
    match size(path)? {
        Some(size) => {
            check_existing(path)?;
            Ok(size > 0)
        }
        None if !create => Err(nothing_at(path)),
        None => {
            fits(path)?;
            match create_private(path) {
                Ok(()) => Ok(false),
                // Another was quicker, and may have written to it since.
                Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(true),
                Err(cause) => Err(cannot(path, "be created", cause)),
            }
        }
    }
}

/// Creates a new file of mode 0600, and closes it again.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Returns the file's size, or None where there is no file. Rejects whatever SQLite would mistake
/// for a database or an empty file.
pub(super) fn size(path: &Path) -> Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            Err(Error::new(ErrorKind::Storage, format!("{} is a directory", path.display())))
        }
        // SQLite would create a journal beside a device, a pipe or a socket.
        Ok(found) if !found.is_file() => {
            Err(Error::new(ErrorKind::Storage, format!("{} is not a regular file", path.display())))
        }
        // SQLite takes one byte for empty, and writes over it.
        Ok(found) if found.len() == 1 => Err(not_a_registry(path)),
        Ok(found) => Ok(Some(found.len())),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cannot(path, "be looked at", cause)),
    }
}

/// Rejects a path that SQLite could not open: the names of the files beside it have to fit too.
fn fits(path: &Path) -> Result<()> {
    for suffix in BESIDE {
        let beside = with(path, suffix);
        match is_usable(&beside) {
            Ok(true) => {}
            Ok(false) => return Err(unusable(path, "be created", &beside)),
            Err(cause) => {
                let what = format!(
                    "{} cannot be created, because its `{suffix}` could not be: {}",
                    path.display(),
                    reason(&cause)
                );
                return Err(Error::new(ErrorKind::Storage, what).with_source(cause));
            }
        }
    }
    check_length(path, "be created")
}

/// Rejects an existing file that SQLite could not open because of its path or of what lies beside
/// it. SQLite would name neither, and would wait for a pipe.
pub(super) fn check_existing(path: &Path) -> Result<()> {
    check_length(path, "be opened")?;
    let file = beside(path, "")?;
    for suffix in BESIDE {
        let beside = with(&file, suffix);
        // A file whose name leaves no room for `-journal` may still have a `-wal`, so a failed look
        // is left to SQLite.
        if matches!(is_usable(&beside), Ok(false)) {
            return Err(unusable(path, "be opened", &beside));
        }
    }
    Ok(())
}

/// Returns whether SQLite can use this path for a file beside a database: there is a regular file,
/// or nothing. SQLite follows no link there.
fn is_usable(beside: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(beside) {
        Ok(found) => Ok(found.is_file()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(cause) => Err(cause),
    }
}

fn unusable(path: &Path, what: &str, beside: &Path) -> Error {
    let what =
        format!("{} cannot {what}: {} is not a regular file", path.display(), beside.display());
    Error::new(ErrorKind::Storage, what)
}

/// Rejects a path that is too long for SQLite.
pub(super) fn check_length(path: &Path, what: &str) -> Result<()> {
    #[cfg(unix)]
    if is_too_long(path) {
        let what = format!(
            "{} cannot {what}: with `-journal` at its end the path has more than {MAX_PATH_BYTES} \
             bytes, and SQLite opens no longer one",
            path.display()
        );
        return Err(Error::new(ErrorKind::Storage, what));
    }
    #[cfg(not(unix))]
    let _ = (path, what);
    Ok(())
}

/// Returns whether the path, with `-journal` at its end, is longer than SQLite opens.
#[cfg(unix)]
fn is_too_long(path: &Path) -> bool {
    // SQLite resolves links before it measures the path. A missing folder is reported when the
    // file is created.
    let resolved = fs::canonicalize(path).unwrap_or_else(|_| {
        let folder = path.parent().and_then(|folder| fs::canonicalize(folder).ok());
        folder.map_or_else(
            || path.to_owned(),
            |folder| folder.join(path.file_name().unwrap_or_default()),
        )
    });
    BESIDE.iter().any(|suffix| with(&resolved, suffix).as_os_str().len() > MAX_PATH_BYTES)
}

/// Returns the paths that the copy of a change of key can have, the preferred one first.
///
/// The second is for a file whose own name is almost as long as names can be. It is derived from a
/// digest of that name, so that the copies of two files in a folder differ.
pub(super) fn rekey_copies(path: &Path) -> Result<[PathBuf; 2]> {
    let file = beside(path, "")?;
    let name = file.file_name().unwrap_or_default();
    let digest: String = Sha256::digest(name.as_encoded_bytes())
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let derived = file.with_file_name(format!(".{digest}-rekey"));
    Ok([with(&file, "-rekey"), derived])
}

/// Returns the path for the copy of a change of key. SQLite creates a `-journal` beside that copy.
#[cfg(feature = "encryption")]
pub(super) fn rekey_copy(path: &Path) -> Result<PathBuf> {
    let has_room = |copy: &PathBuf| {
        #[cfg(unix)]
        if is_too_long(copy) {
            return false;
        }
        is_usable(&with(copy, "-journal")).unwrap_or(false)
    };
    rekey_copies(path)?.into_iter().find(has_room).ok_or_else(|| {
        let what = format!(
            "the key of {} cannot be changed: no copy can be made beside it, because with \
             `-journal` at its end the copy's name or path would be too long; move the registry to \
             a shorter path",
            path.display()
        );
        Error::new(ErrorKind::Storage, what)
    })
}

/// Returns the size of a file beside this one, or 0 where there is none.
///
/// A failure is no 0: a `-wal` that cannot be looked at may hold the newest changes.
pub(super) fn size_beside(path: &Path, suffix: &str) -> Result<u64> {
    let beside = beside(path, suffix)?;
    length(&beside)
}

/// Returns the size of a file, or 0 where there is none.
pub(super) fn length(path: &Path) -> Result<u64> {
    match fs::metadata(path) {
        Ok(found) => Ok(found.len()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(cause) => Err(cannot(path, "be looked at", cause)),
    }
}

/// Returns the path of `-wal` and the like, which SQLite puts beside the file that links lead to.
pub(super) fn beside(path: &Path, suffix: &str) -> Result<PathBuf> {
    match fs::canonicalize(path) {
        Ok(path) => Ok(with(&path, suffix)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(with(path, suffix)),
        Err(cause) => Err(cannot(path, "be looked at", cause)),
    }
}

/// Returns the path with this suffix.
pub(super) fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(super) fn nothing_at(path: &Path) -> Error {
    Error::not_found("path", format!("no registry at {}", path.display()))
}

pub(super) fn not_a_registry(path: &Path) -> Error {
    let what = format!("{} is not an SQLite file, or an encrypted one", path.display());
    Error::new(ErrorKind::Incompatible, what)
}

/// Returns an error that names the `-journal` or `-wal`, if it cannot be opened for writing.
///
/// The `-shm` is not tried: closing its descriptor would drop the locks of this process. SQLite has
/// no locks on the two others.
pub(super) fn unwritable_journal(path: &Path) -> Result<Option<Error>> {
    for suffix in ["-journal", "-wal"] {
        let journal = beside(path, suffix)?;
        match fs::OpenOptions::new().append(true).open(&journal) {
            Ok(_) => {}
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            // Only its name is too long, and SQLite works without this file.
            Err(_) if suffix == "-journal" && !journal.exists() => {}
            Err(cause) => {
                let why = match cause.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "; give this user the right to, or, if it is empty and nobody has the \
                         registry open, remove it"
                            .into()
                    }
                    _ => format!(": {}", reason(&cause)),
                };
                let what = format!("{} cannot be written to{why}", journal.display());
                return Ok(Some(Error::new(ErrorKind::Storage, what).with_source(cause)));
            }
        }
    }
    Ok(None)
}

/// Returns an error that names what is left to blame once both journals can be written to.
pub(super) fn unwritable_shm(path: &Path) -> Result<Error> {
    let (wal, shm) = (beside(path, "-wal")?, beside(path, "-shm")?);
    // Nothing is lost with the `-shm`: SQLite rebuilds it from the `-wal`.
    let what_to_do =
        "give this user the right to, or, once nobody has the registry open, remove it";
    let created = |file: &Path| {
        format!(
            "{} cannot be created, and a registry that writes needs it; give this user the right \
             to create files in its folder",
            file.display()
        )
    };
    let what = match (wal.exists(), shm.exists()) {
        (true, true) => format!("{} cannot be written to; {what_to_do}", shm.display()),
        // SQLite creates the `-wal` first, and may have removed it again.
        (false, true) => format!(
            "{} cannot be created, or {} cannot be written to; {what_to_do}",
            wal.display(),
            shm.display()
        ),
        (true, false) => created(&shm),
        (false, false) => created(&wal),
    };
    Ok(Error::new(ErrorKind::Storage, what))
}

/// Rejects a path that leads elsewhere since it was opened: two connections of one registry must
/// not read two files, and a change of a file that is gone would be lost.
pub(super) fn check_same_file(path: &Path, opened: Option<FileId>) -> Result<()> {
    if file_id(path) == opened {
        return Ok(());
    }
    let what = format!(
        "{} was replaced or removed since it was opened; open the registry again",
        path.display()
    );
    Err(Error::new(ErrorKind::Storage, what))
}

/// Returns the identity of the file that the path leads to.
///
/// Elsewhere than on Unix it is always `None`, which equals itself, so no file counts as replaced.
/// Windows lets nobody replace a file that SQLite has open.
pub(super) fn file_id(path: &Path) -> Option<FileId> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}
