//! The data of the benchmarks, and the baseline to compare with.

pub(crate) mod baseline;
pub(crate) mod data;
pub(crate) mod document;
pub(crate) mod owner_baseline;
pub(crate) mod rows;

pub(crate) use baseline::{Baseline, Synchronous};
pub(crate) use data::{Dataset, New};

use std::path::{Path, PathBuf};

use webhook_registry::{Created, Durability, Registry};

use rows::CreatedRow;

/// The arguments of a benchmark program.
pub(crate) struct Run {
    /// Whether every function runs once on little data, to test that it works.
    pub(crate) small: bool,
    filter: Option<String>,
}

impl Run {
    /// Reads the arguments as criterion does: without `--bench`, the program runs as a test.
    pub(crate) fn from_args() -> Run {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
        Run { small: given("--test") || !given("--bench"), filter: filter(&arguments) }
    }

    /// Returns whether the filter may select a function of this group. Criterion applies the filter
    /// to each function, but the data of a group that is not asked for need not be made.
    pub(crate) fn wants(&self, group: &str) -> bool {
        let Some(filter) = &self.filter else { return true };
        filter.contains(|c| "^$*+?()[]{}|\\".contains(c))
            || filter.contains(group)
            || group.contains(filter.as_str())
    }

    /// Returns a number of rows, reduced if the program runs as a test.
    pub(crate) fn scaled(&self, full: usize) -> usize {
        if self.small { (full / 200).clamp(200, 2_000) } else { full }
    }
}

/// Returns the first argument that is neither an option nor the value of one.
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

/// A registry and a baseline that hold the same subscriptions, with the same ids, secrets and
/// times.
pub(crate) struct Pair {
    pub(crate) registry: Registry,
    pub(crate) baseline: Baseline,
}

impl Pair {
    pub(crate) fn in_memory(dataset: &Dataset) -> Pair {
        let pair =
            Pair { registry: Registry::in_memory().unwrap(), baseline: Baseline::in_memory() };
        pair.fill(dataset);
        pair
    }

    /// Stores a dataset: the event types first, then the subscriptions in transactions of at most
    /// 100,000.
    fn fill(&self, dataset: &Dataset) {
        self.baseline.register(&dataset.event_types());
        fill(&self.registry, dataset, |created| {
            self.baseline.store(&created.iter().map(CreatedRow::from).collect::<Vec<_>>());
        });
    }
}

/// The paths of two files that hold the same subscriptions, with the same ids, secrets and times.
#[derive(Clone)]
pub(crate) struct Files {
    pub(crate) registry: PathBuf,
    pub(crate) baseline: PathBuf,
}

impl Files {
    /// Opens both files, without waiting for the disk.
    pub(crate) fn open_relaxed(&self) -> Pair {
        Pair {
            registry: relaxed(&self.registry),
            baseline: Baseline::open(&self.baseline, Synchronous::Normal),
        }
    }

    /// Opens both files so that a commit survives a power loss.
    pub(crate) fn open(&self) -> Pair {
        Pair {
            registry: Registry::open(&self.registry).unwrap(),
            baseline: Baseline::open(&self.baseline, Synchronous::Full),
        }
    }

    pub(crate) fn fill(&self, dataset: &Dataset) {
        self.open_relaxed().fill(dataset);
    }
}

/// Returns a registry in memory that holds a dataset.
pub(crate) fn in_memory(dataset: &Dataset) -> Registry {
    let registry = Registry::in_memory().unwrap();
    fill(&registry, dataset, |_| ());
    registry
}

/// Registers the event types of a dataset, creates its subscriptions, and passes them on as they
/// are created.
pub(crate) fn fill(registry: &Registry, dataset: &Dataset, mut created: impl FnMut(&[Created])) {
    registry.register_event_types(dataset.event_types()).unwrap();
    let mut requests = dataset.subscriptions().map(|new| new.request()).peekable();
    while requests.peek().is_some() {
        created(&registry.create_all(requests.by_ref().take(100_000)).unwrap());
    }
}

/// Opens a registry that does not wait for the disk. It stands for another program that changes the
/// file.
pub(crate) fn relaxed(path: &Path) -> Registry {
    Registry::options().durability(Durability::Relaxed).open(path).unwrap()
}
