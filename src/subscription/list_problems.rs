use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use super::validation::{Rejection, Validated};
use crate::error::{Error, Problem, Result, quoted};

/// The problems of a list whose entries have names that must differ.
pub(crate) struct ListProblems {
    /// By the index of the entry that repeats a name.
    repeated_names: HashMap<usize, Problem>,
    found: Vec<Problem>,
}

impl ListProblems {
    /// Finds the names that stand twice in the list.
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> ListProblems {
        ListProblems::within(names.map(|name| ((), name)))
    }

    /// Finds the names that stand twice in a part of the list, such as the entries of one owner.
    /// Each entry is given by its part and its name.
    pub(crate) fn within<'a, P: Hash + Eq>(
        names: impl Iterator<Item = (P, &'a str)>,
    ) -> ListProblems {
        let mut first = HashMap::new();
        let repeated = names.enumerate().filter_map(|(index, name)| match first.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(index);
                None
            }
            Entry::Occupied(entry) => {
                let ((_, name), first) = (entry.key(), entry.get());
                let name = quoted(name);
                let why = format!("{name} stands in this list already, at [{first}]");
                Some((index, Problem::new("name", why)))
            }
        });
        ListProblems { repeated_names: repeated.collect(), found: Vec::new() }
    }

    /// Adds the problems of one entry, and returns the entry if it has none of its own.
    ///
    /// A field has one problem: a repeated name with a problem of its own is not reported as
    /// repeated.
    pub(crate) fn validate<T>(&mut self, index: usize, entry: Validated<T>) -> Result<Option<T>> {
        let (entry, mut problems) = match entry {
            Ok(entry) => (Some(entry), Vec::new()),
            Err(Rejection::Problems(problems)) => (None, problems),
            Err(Rejection::Failed(error)) => return Err(error),
        };
        if !problems.iter().any(|problem| problem.field() == "name") {
            problems.extend(self.repeated_names.remove(&index));
        }
        self.found.extend(problems.into_iter().map(|problem| problem.within(index)));
        Ok(entry)
    }

    /// Returns an `Invalid` error if there are problems.
    pub(crate) fn into_result(self) -> Result<()> {
        if self.found.is_empty() { Ok(()) } else { Err(Error::invalid(self.found)) }
    }

    /// Returns every problem of the entries that were validated, in their order.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.found
    }
}
