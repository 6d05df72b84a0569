//! What the benchmarks stand on: the data, and the plain program to compare with.

pub(crate) mod data;
pub(crate) mod document;
mod plain;
pub(crate) mod rows;

pub(crate) use data::{Crowd, New};
pub(crate) use plain::Plain;

use std::path::Path;

use webhook_registry::{Durability, Registry};

/// How a program was started.
pub(crate) struct Run {
    /// Whether every function runs once, on little data, only to show that it works.
    pub(crate) small: bool,
    filter: Option<String>,
}

impl Run {
    /// As criterion reads the arguments: what `cargo bench` did not start is a test.
    pub(crate) fn from_args() -> Run {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
        Run { small: given("--test") || !given("--bench"), filter: filter(&arguments) }
    }

    /// Whether any function of this group is asked for, so that no data is made for one that is not. Criterion judges
    /// each function by itself.
    pub(crate) fn wants(&self, group: &str) -> bool {
        let Some(filter) = &self.filter else { return true };
        filter.contains(|c| "^$*+?()[]{}|\\".contains(c))
            || filter.contains(group)
            || group.contains(filter.as_str())
    }

    /// A number of rows, or of the few that a trial gets.
    pub(crate) fn scaled(&self, full: usize) -> usize {
        if self.small { (full / 200).clamp(200, 2_000) } else { full }
    }
}

/// The argument that belongs to no option.
fn filter(arguments: &[String]) -> Option<String> {
    const FLAGS: [&str; 8] =
        ["--bench", "--test", "--list", "--exact", "--quick", "--quiet", "--verbose", "--noplot"];
    let mut before = "";
    for argument in arguments {
        if !argument.starts_with('-') && (!before.starts_with('-') || FLAGS.contains(&before)) {
            return Some(argument.clone());
        }
        before = argument;
    }
    None
}

/// Makes the file of a crowd: the types first, then its subscriptions, a transaction each of at most 100,000.
pub(crate) fn build(path: &Path, crowd: &Crowd) {
    let registry = relaxed(path);
    fill(&registry, crowd);
}

/// A registry in memory that holds a crowd.
pub(crate) fn in_memory(crowd: &Crowd) -> Registry {
    let registry = Registry::in_memory().unwrap();
    fill(&registry, crowd);
    registry
}

/// Teaches a registry the types of a crowd, and creates its subscriptions.
pub(crate) fn fill(registry: &Registry, crowd: &Crowd) {
    registry.register_event_types(crowd.event_types()).unwrap();
    let mut requests = crowd.subscriptions().map(|new| new.request()).peekable();
    while requests.peek().is_some() {
        registry.create_all(requests.by_ref().take(100_000)).unwrap();
    }
}

/// A registry that does not wait for the disk, for what is measured beside it.
pub(crate) fn relaxed(path: &Path) -> Registry {
    Registry::options().durability(Durability::Relaxed).open(path).unwrap()
}
