//! What a change of key that failed has left to do.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::stored_secret::SecretCodec;

/// Nothing is left to do.
pub(super) const DONE: u8 = 0;
/// The file has to be brought back into WAL mode before the next change.
pub(super) const ENTER_WAL: u8 = 1;
/// Before anything else it has to be determined which key the file has. Then follows [`ENTER_WAL`].
pub(super) const DETERMINE_KEY: u8 = 2;

/// The steps that a failed change of key has left to do.
///
/// Every call reads the step, so it is an atomic and not behind a lock. A call reads it while it
/// holds the store's codec for reading, and a change of key stores it while it holds the codec for
/// writing. So no call can miss a step that was set before it began.
#[derive(Default)]
pub(super) struct PendingRekey {
    step: AtomicU8,
    /// The codec of the other key that the file can have.
    other: Mutex<Option<SecretCodec>>,
}

impl PendingRekey {
    /// Returns whether something has to be done before anything is read, or before anything is
    /// written.
    pub(super) fn blocks(&self, writing: bool) -> bool {
        self.step.load(Ordering::Acquire) > if writing { DONE } else { ENTER_WAL }
    }

    pub(super) fn set(&self, step: u8) {
        self.step.store(step, Ordering::Release);
    }

    pub(super) fn other(&self) -> MutexGuard<'_, Option<SecretCodec>> {
        self.other.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
