//! Lets a read-only store continue with the file that takes the place of the one it opened, for
//! example a backup that was restored.
//!
//! The hazard is to mix two files in one answer: SQLite keeps reading the replaced file through the
//! open connections, and opens the new one for the next connection. So each call compares the
//! identity of the file at the path with that of the file that is open, before the call and, where
//! the call fails, after it. To change over, this thread holds the codec for writing, so that no
//! other call is under way, and replaces every connection and the codec together.
//!
//! A file of the other kind (an application's, or a registry's own) is not followed: the call is
//! `Incompatible`.

use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::handle::{Shared, Store};
use super::lock_wait;
use super::open::{self, Opened};
use super::paths::file_id;
use super::settings::Settings;
use super::stored_secret::SecretCodec;
use crate::error::{Error, ErrorKind, Result};

impl Store {
    /// Makes a call on the file that is at the path now. Where the call fails because another file
    /// took its place, it is made again on that file.
    pub(super) fn on_current_file<T>(&self, mut call: impl FnMut() -> Result<T>) -> Result<T> {
        let Some((shared, path, how)) = self.reopenable() else {
            return call();
        };
        loop {
            if shared.readers.file() != file_id(path) {
                self.reopen(shared, path, how)?;
            }
            let opened = shared.readers.file();
            let result = call();
            // Another thread may have opened the new file meanwhile, so that the identities agree
            // again.
            if result.is_ok() || (shared.readers.file() == opened && opened == file_id(path)) {
                return result;
            }
        }
    }

    /// Returns what is needed to open the file again. None for a store that writes, or that reads a
    /// copy in memory.
    fn reopenable(&self) -> Option<(&Shared, &Path, &Settings)> {
        let shared = self.shared.as_ref()?;
        Some((shared, self.path.as_deref()?, shared.reopen.as_ref()?))
    }

    fn reopen(&self, shared: &Shared, path: &Path, how: &Settings) -> Result<()> {
        // In the order of handle.rs. No call of this store is under way now, and none begins.
        let mut codec = self.codec.write().unwrap_or_else(PoisonError::into_inner);
        let _probe = shared.data_version.stop();
        let mut main = self.lock()?;
        if shared.readers.file() == file_id(path) {
            return Ok(());
        }
        let gone = |cause: Error| {
            let what = format!(
                "{} is no longer the file that was opened, and what is there now cannot be read",
                path.display()
            );
            // `NotFound` would tell the caller that a subscription or an event type does not exist.
            let kind =
                if cause.kind() == ErrorKind::NotFound { ErrorKind::Storage } else { cause.kind() };
            Error::new(kind, what).with_source(cause)
        };
        let Opened { conn, reader: _, sees_changes, guest, file } =
            open::file(path, how).map_err(gone)?;
        if guest != self.guest {
            // The version, the retries and the check of the key depend on the kind of the file.
            let what = if guest {
                "the file belongs to an application, and the former one did not; open the registry \
                 again"
            } else {
                "the former file belonged to an application, and this one does not; open the \
                 registry again"
            };
            return Err(gone(Error::new(ErrorKind::Incompatible, what)));
        }
        if !sees_changes {
            let what =
                "nothing can be written beside it, so that later changes of it would not be seen";
            return Err(gone(Error::new(ErrorKind::Storage, what)));
        }
        *codec = lock_wait::retry_while_busy(how.busy_timeout, || {
            SecretCodec::load(&conn, how.key.as_ref())
        })
        .map_err(gone)?;
        *main = conn;
        shared.main_is_fresh.store(true, Ordering::Relaxed);
        shared.readers.reset(file);
        Ok(())
    }
}
