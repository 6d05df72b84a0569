//! The names of the catalog, held in memory while a call compares many patterns with them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::error::Result;
use crate::pattern::EventPattern;

/// The number of names that a call reads from the file before it reads all names into memory.
///
/// One pattern often finds its first match soon, or has a prefix that few names have. Many patterns
/// without a prefix would read the whole catalog once each, inside the write transaction.
const MAX_READ: usize = 2_000;

/// The names of the event types of the file, in order.
type Names = Rc<[String]>;

/// The names that a transaction has read.
#[derive(Default)]
pub(super) struct CatalogNames {
    read: Cell<usize>,
    all: RefCell<Option<Names>>,
}

impl CatalogNames {
    /// Counts one name that was read from the file.
    pub(super) fn count(&self) {
        self.read.set(self.read.get().saturating_add(1));
    }

    /// Returns every name, once so many were read that this costs less. `read` reads them.
    pub(super) fn all(&self, read: impl FnOnce() -> Result<Vec<String>>) -> Result<Option<Names>> {
        if self.read.get() < MAX_READ {
            return Ok(None);
        }
        let mut all = self.all.borrow_mut();
        if all.is_none() {
            *all = Some(read()?.into());
        }
        Ok(all.clone())
    }

    /// Forgets every name, because the catalog changes.
    pub(super) fn clear(&self) {
        self.read.set(0);
        self.all.replace(None);
    }
}

/// Passes each of these names that the pattern matches to `each`, until `each` returns false.
pub(super) fn each_match(
    names: &[String],
    pattern: &EventPattern,
    mut each: impl FnMut(&str) -> Result<bool>,
) -> Result<()> {
    let (prefix, part) = (pattern.literal_prefix(), pattern.longest_literal());
    let first = names.partition_point(|name| name.as_str() < prefix);
    let begin_so = names.iter().skip(first).take_while(|name| name.starts_with(prefix));
    // Searching for a text is many times as fast as matching.
    for name in begin_so.filter(|name| name.contains(part)) {
        if pattern.matches(name) && !each(name)? {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_memory_are_matched_as_each_pattern_says() {
        let mut names: Vec<String> = Vec::new();
        for a in ["agent", "agenda", "a", "queue"] {
            for b in ["v1", "v2.held", "x-1", "v1.v1"] {
                names.push(format!("{a}.{b}"));
            }
        }
        names.sort();
        let mut matched = 0;
        for text in [
            "*",
            "agen*",
            "*.v1",
            "*v?",
            "a*.v1*",
            "[aq]*.v[12]*",
            "*[!1]",
            "agent.v1",
            "?.*",
            "*e*.v[1].v?",
            "age[nm]t.*",
            "z*",
            "*z*",
            "[!a-m]*.x-?",
            "*-*",
            "agent.v1*",
        ] {
            let pattern = EventPattern::compile(text).unwrap();
            let mut found = Vec::new();
            each_match(&names, &pattern, |name| {
                found.push(name.to_owned());
                Ok(true)
            })
            .unwrap();
            let wanted: Vec<_> =
                names.iter().filter(|name| pattern.matches(name)).cloned().collect();
            assert_eq!(found, wanted, "{text}");
            matched += found.len();
            let mut calls = 0;
            each_match(&names, &pattern, |_| {
                calls += 1;
                Ok(false)
            })
            .unwrap();
            assert_eq!(calls, wanted.len().min(1), "{text}: it stops when it is told to");
        }
        assert!(matched > 50, "{matched}");
    }

    #[test]
    fn all_names_are_read_once_after_many_single_ones_and_again_after_a_change() {
        let names = CatalogNames::default();
        let all = |text: &str| {
            let read = || Ok(vec![text.to_owned()]);
            names.all(read).unwrap().map(|names| names[0].clone())
        };
        (1..MAX_READ).for_each(|_| names.count());
        assert_eq!(all("early"), None);
        names.count();
        assert_eq!(all("first").as_deref(), Some("first"));
        assert_eq!(all("second").as_deref(), Some("first"));
        names.clear();
        assert_eq!(all("third"), None);
        (0..MAX_READ).for_each(|_| names.count());
        assert_eq!(all("fourth").as_deref(), Some("fourth"));
    }
}
