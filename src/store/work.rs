//! Lets tests count the work that SQLite does instead of timing it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Store;

impl Store {
    /// Does a job on a store in memory, and returns how many instructions of SQLite's virtual machine it took.
    pub(crate) fn steps<T>(&self, job: impl FnOnce() -> T) -> (T, u64) {
        assert!(self.shared.is_none(), "another connection can have done the work");
        let steps = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&steps);
        let count = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            false
        };
        self.main.lock().unwrap().progress_handler(1, Some(count)).unwrap();
        let result = job();
        self.main.lock().unwrap().progress_handler(0, None::<fn() -> bool>).unwrap();
        (result, steps.load(Ordering::Relaxed))
    }
}
