//! The faults of one document, collected while the document is read.

use std::cell::{Cell, RefCell};

use crate::error::{Error, Problem};

/// The most faults that are listed. A hostile document can have millions.
const MAX_LISTED: usize = 1_000;

/// The field of a fault that belongs to no key.
pub(super) const BODY: &str = "body";

/// The faults found so far: the first 1,000 as problems, the rest as a number.
#[derive(Default)]
pub(crate) struct Faults {
    listed: RefCell<Vec<Problem>>,
    more: Cell<u64>,
}

impl Faults {
    /// Adds a fault. The problem is made only when it is listed.
    pub(super) fn push(&self, problem: impl FnOnce() -> Problem) {
        let mut listed = self.listed.borrow_mut();
        if listed.len() < MAX_LISTED {
            listed.push(problem());
        } else {
            self.more.set(self.more.get().saturating_add(1));
        }
    }

    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.listed.borrow().len())
            .unwrap_or(u64::MAX)
            .saturating_add(self.more.get())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.listed.borrow().is_empty()
    }

    pub(super) fn into_error(self) -> Error {
        let mut problems = self.listed.into_inner();
        match self.more.get() {
            0 => {}
            1 => problems.push(Problem::new(BODY, "1 more problem")),
            more => problems.push(Problem::new(BODY, format!("{more} more problems"))),
        }
        Error::invalid(problems)
    }
}
