//! A registry that only reads goes on with the file that takes the place of the one it opened: a copy that was restored,
//! for one.

use std::path::Path;
use std::sync::PoisonError;

use super::handle::{Shared, Store};
use super::open::{self, Opened};
use super::paths::file_id;
use super::retry;
use super::secret_codec::SecretCodec;
use super::settings::Settings;
use crate::error::{Error, ErrorKind, Result};

impl Store {
    /// Calls on the file that lies at the path now. A call that fails because another took its place is made again on that.
    pub(super) fn on_current_file<T>(&self, call: impl Fn() -> Result<T>) -> Result<T> {
        let Some((shared, path, how)) = self.followed() else {
            return call();
        };
        loop {
            if shared.readers.file() != file_id(path) {
                self.open_again(shared, path, how)?;
            }
            let opened = shared.readers.file();
            let result = call();
            // Another thread may have opened the new file since, so that the two agree again.
            if result.is_ok() || (shared.readers.file() == opened && opened == file_id(path)) {
                return result;
            }
        }
    }

    /// What it takes to open the file anew; none for a registry that writes, or that has a copy of its own.
    fn followed(&self) -> Option<(&Shared, &Path, &Settings)> {
        let shared = self.shared.as_ref()?;
        Some((shared, self.path.as_deref()?, shared.reopen.as_ref()?))
    }

    fn open_again(&self, shared: &Shared, path: &Path, how: &Settings) -> Result<()> {
        // In this order, as everywhere: no reader of this store is under way, and none begins.
        let mut codec = self.codec.write().unwrap_or_else(PoisonError::into_inner);
        let _probe = shared.data_version.stop();
        let mut main = self.lock()?;
        // Before it is opened: what was opened in between is then told from it at the next call.
        let file = file_id(path);
        if shared.readers.file() == file {
            return Ok(());
        }
        let gone = |cause: Error| {
            let what = format!("{} is no longer the file that was opened: {cause}", path.display());
            // To a caller, what is not found is a subscription or an event type.
            let kind =
                if cause.kind() == ErrorKind::NotFound { ErrorKind::Storage } else { cause.kind() };
            Error::new(kind, what).with_source(cause)
        };
        let Opened { conn, reader: _, sees_changes } = open::file(path, how).map_err(gone)?;
        if !sees_changes {
            let what =
                "nothing can be written beside it, so that it could only be read as it stands now";
            return Err(gone(Error::new(ErrorKind::Storage, what)));
        }
        *codec = retry::retry_while_busy(how.busy_timeout, || {
            SecretCodec::load(&conn, how.key.as_ref())
        })
        .map_err(gone)?;
        *main = conn;
        shared.readers.begin_anew(file);
        Ok(())
    }
}
