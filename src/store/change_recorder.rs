//! The state of the history during one write transaction.

use std::cell::Cell;

/// The sequence numbers that the history holds.
#[derive(Clone, Copy)]
pub(super) struct HistoryRange {
    pub(super) keep: u64,
    /// The first change that is stored; 0 where none is.
    pub(super) first: u64,
    pub(super) last: u64,
}

impl HistoryRange {
    /// Returns the sequence number after which the history can be read back.
    pub(super) fn begins(self) -> u64 {
        // The file holds fewer changes than `keep` where fewer were kept before.
        let stored = if self.first == 0 { self.last } else { self.first.saturating_sub(1) };
        self.last.saturating_sub(self.keep).max(stored)
    }
}

/// The changes that one transaction adds to the history.
pub(super) struct ChangeRecorder {
    /// The range that the transaction found, with the sequence number of its own last change. None
    /// before the first change.
    pub(super) range: Cell<Option<HistoryRange>>,
    /// The number of changes still to come, where the caller has announced them. A change that will
    /// be out of the kept range at the end of the transaction is counted and not written.
    pub(super) expected: Cell<u64>,
    /// True if a change was counted and not written. Then the earlier changes are deleted at once,
    /// because there is a gap after them.
    pub(super) skipped: Cell<bool>,
}

impl ChangeRecorder {
    pub(super) fn new() -> ChangeRecorder {
        ChangeRecorder { range: Cell::new(None), expected: Cell::new(0), skipped: Cell::new(false) }
    }

    /// Returns whether a change was recorded, kept or not.
    #[cfg(feature = "test-util")]
    pub(super) fn has_entries(&self) -> bool {
        self.range.get().is_some()
    }
}
