//! The state of the history and of the owners during one write transaction.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Result;

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

/// A number for each owner, with None for "no owner".
type ByOwner = RefCell<BTreeMap<Option<Arc<str>>, u64>>;

/// The changes that one transaction adds to the history.
#[derive(Default)]
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
    /// The numbers of inserted subscriptions that are not in the rows of the owners yet.
    inserted: ByOwner,
    /// The sequence numbers of the newest changes of subscriptions.
    changed: ByOwner,
    catalog: Cell<Option<u64>>,
}

impl ChangeRecorder {
    /// Returns whether a change was recorded, kept or not.
    #[cfg(feature = "test-util")]
    pub(super) fn has_entries(&self) -> bool {
        self.range.get().is_some()
    }

    pub(super) fn inserted(&self, owner: Option<&Arc<str>>) {
        add(&self.inserted, owner, |count| count.saturating_add(1));
    }

    pub(super) fn changed(&self, owner: Option<&Arc<str>>, sequence: u64) {
        add(&self.changed, owner, |_| sequence);
    }

    pub(super) fn catalog_changed(&self, sequence: u64) {
        self.catalog.set(Some(sequence));
    }

    /// Returns the sequence number of the newest change of an event type, if there was one.
    pub(super) fn catalog_change(&self) -> Option<u64> {
        self.catalog.get()
    }

    /// Passes the numbers of inserted subscriptions to `write`, and forgets them.
    pub(super) fn take_inserted(
        &self,
        write: impl FnMut(Option<&str>, u64) -> Result<()>,
    ) -> Result<()> {
        take(&self.inserted, write)
    }

    /// Passes the sequence numbers of the newest changes to `write`, and forgets them.
    pub(super) fn take_changed(
        &self,
        write: impl FnMut(Option<&str>, u64) -> Result<()>,
    ) -> Result<()> {
        take(&self.changed, write)
    }
}

fn add(numbers: &ByOwner, owner: Option<&Arc<str>>, change: impl FnOnce(u64) -> u64) {
    let mut numbers = numbers.borrow_mut();
    let number = numbers.entry(owner.cloned()).or_default();
    *number = change(*number);
}

fn take(numbers: &ByOwner, mut write: impl FnMut(Option<&str>, u64) -> Result<()>) -> Result<()> {
    let numbers = numbers.take();
    numbers.iter().try_for_each(|(owner, number)| write(owner.as_deref(), *number))
}
