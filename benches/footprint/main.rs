//! The space that a registry takes in memory and on the disk. `benches/report.py` reads the sizes
//! of the files from `footprint.json`, beside the results of criterion.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a benchmark fails where what it expects does not hold"
)]
#![allow(
    dead_code,
    reason = "the registry's benchmarks share the modules in common, and use more of them"
)]

#[path = "../common/mod.rs"]
mod common;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use webhook_registry::Registry;

use common::data::{FOR_TEN, ONE, Random};
use common::{Baseline, Dataset, Files, New, Run, Synchronous, fill, relaxed};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [job, path, small @ ..] = &arguments[..]
        && let Some(job) = job.strip_prefix("--child-")
    {
        child(job, Path::new(path), !small.is_empty());
        return;
    }
    let run = Run::from_args();
    if run.wants("footprint") {
        one_file(&run);
        cache(&run);
    }
    if run.wants("tenants") {
        tenants(&run);
    }
}

/// A million subscriptions, in a file of the registry and in one of the baseline.
fn one_file(run: &Run) {
    let subscriptions = run.scaled(1_000_000);
    let dataset = Dataset::Mixed {
        subscriptions,
        types: if run.small { 300 } else { 10_000 },
        patterns: if run.small { 50 } else { 1_000 },
    };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let files = Files {
        registry: folder.path().join("registry.db"),
        baseline: folder.path().join("baseline.db"),
    };
    files.fill(&dataset);

    let text: usize = dataset.subscriptions().map(|new| text_of(&new)).sum();
    let per_subscription = |bytes: u64| bytes as f64 / subscriptions as f64;
    let size = |path: &Path| per_subscription(std::fs::metadata(path).unwrap().len());
    let (registry, baseline) = (size(&files.registry), size(&files.baseline));
    println!(
        "footprint/file: {registry:.0} bytes a subscription, the baseline {baseline:.0}; its own \
         text has {:.0}",
        per_subscription(text as u64)
    );
    if !run.small {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("criterion");
        std::fs::create_dir_all(&folder).unwrap();
        let sizes = serde_json::json!({ "registry": registry, "baseline": baseline });
        std::fs::write(folder.join("footprint.json"), sizes.to_string()).unwrap();
    }

    let registry = measure("registry", &files.registry, run);
    let baseline = measure("baseline", &files.baseline, run);
    let more = registry as i64 - baseline as i64;
    println!(
        "footprint/idle: at most {registry} KiB, the baseline {baseline} KiB, {more} KiB more \
         (bound 8192)"
    );
    if !run.small {
        assert!(more <= 8_192, "an idle registry takes more than 8 MiB over the baseline");
    }
}

/// Creates the file of a registry that holds a dataset.
fn build(path: &Path, dataset: &Dataset) {
    fill(&relaxed(path), dataset, |_| ());
}

/// A cache of 50,000 answers of 100 subscribers each.
fn cache(run: &Run) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("groups.db");
    build(&path, &groups(run.small));
    let more = measure("cache", &path, run);
    println!(
        "footprint/cache: {} answers take {more} KiB (bound 131072)",
        groups(run.small).event_types().len()
    );
}

fn groups(small: bool) -> Dataset {
    if small {
        Dataset::Groups { groups: 10, types: 10, subscriptions: 100 }
    } else {
        Dataset::Groups { groups: 1_000, types: 50, subscriptions: 100_000 }
    }
}

/// Returns the length of a subscription's texts, with its id and its secret.
fn text_of(new: &New) -> usize {
    let New { name, url, events, enabled: _, description, metadata } = new;
    let metadata = serde_json::to_string(metadata).unwrap().len();
    let events: usize = events.iter().map(String::len).sum();
    26 + 88
        + name.len()
        + url.len()
        + events
        + description.as_ref().map_or(0, String::len)
        + metadata
}

/// A file for each of 1,000 tenants: all open in one process, then each opened for one answer.
fn tenants(run: &Run) {
    let tenants = if run.small { 20 } else { 1_000 };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let first = folder.path().join("0.db");
    build(&first, &Dataset::Groups { groups: 10, types: 5, subscriptions: 100 });
    for tenant in 1..tenants {
        std::fs::copy(&first, folder.path().join(format!("{tenant}.db"))).unwrap();
    }
    for job in ["tenants", "tenants-read-only", "tenants-exclusive"] {
        let [open, answer, idle, asked, files] = printed(job, folder.path(), run)[..] else {
            panic!()
        };
        println!(
            "footprint/{job}: {tenants} files, each {open} µs to open and {answer} µs for a first \
             answer; {idle} KiB each when open, {asked} KiB after that answer, {files} descriptors"
        );
    }
    let [open, answer, more] = printed("tenants-in-turn", folder.path(), run)[..] else { panic!() };
    println!(
        "footprint/tenants-in-turn: {tenants} files, each {open} µs to open and close, {answer} µs \
         with an answer; {more} KiB more after all"
    );
}

/// Returns the KiB that a child process prints.
fn measure(job: &str, path: &Path, run: &Run) -> u64 {
    printed(job, path, run)[0]
}

/// Runs a child process and returns the numbers that it prints.
fn printed(job: &str, path: &Path, run: &Run) -> Vec<u64> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(format!("--child-{job}")).arg(path);
    if run.small {
        command.arg("small");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    printed.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

fn child(job: &str, path: &Path, small: bool) {
    let kib = match job {
        "baseline" => {
            let baseline = Baseline::open(path, Synchronous::Full);
            assert!(baseline.by_name(ONE).is_some());
            assert_eq!(baseline.subscribers(FOR_TEN).unwrap().len(), 10);
            status("VmHWM")
        }
        "registry" => {
            let registry = Registry::open(path).unwrap();
            assert!(registry.get_by_name(ONE).unwrap().is_some());
            assert_eq!(registry.subscribers(FOR_TEN).unwrap().len(), 10);
            status("VmHWM")
        }
        "cache" => {
            let registry = Registry::open(path).unwrap();
            let mut names = groups(small).event_types();
            Random::new(5).shuffle(&mut names);
            registry.subscribers(&names[0]).unwrap();
            let before = status("VmRSS");
            for name in &names {
                assert!(!registry.subscribers(name).unwrap().is_empty());
            }
            status("VmHWM").saturating_sub(before)
        }
        "tenants" | "tenants-read-only" | "tenants-exclusive" | "tenants-in-turn" => {
            hold_tenants(job, path);
            return;
        }
        other => panic!("no job {other}"),
    };
    println!("{kib}");
}

/// Opens every file of the folder and asks each once: with all of them open, or one after the
/// other.
fn hold_tenants(job: &str, folder: &Path) {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    }
    let files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let files: Vec<_> =
        files.iter().filter(|path| path.extension().is_some_and(|end| end == "db")).collect();
    let event =
        Dataset::Groups { groups: 10, types: 5, subscriptions: 100 }.event_types().remove(0);
    let options = Registry::options()
        .read_only(job == "tenants-read-only")
        .exclusive(job == "tenants-exclusive");
    let ask = |registry: &Registry| assert_eq!(registry.subscribers(&event).unwrap().len(), 10);
    // The first one allocates what the process needs only once.
    ask(&options.open(files[0]).unwrap());
    let each = |total: u64| total / files.len() as u64;
    let micros = |since: Instant| each(since.elapsed().as_micros() as u64);
    let (before, open_before) = (status("VmRSS"), descriptors());
    let begun = Instant::now();
    if job == "tenants-in-turn" {
        files.iter().for_each(|path| drop(options.open(path).unwrap()));
        let open = micros(begun);
        let begun = Instant::now();
        files.iter().for_each(|path| ask(&options.open(path).unwrap()));
        let answer = micros(begun);
        println!("{open} {answer} {}", status("VmRSS").saturating_sub(before));
        return;
    }
    let all: Vec<Registry> = files.iter().map(|path| options.open(path).unwrap()).collect();
    let (open, idle) = (micros(begun), each(status("VmRSS").saturating_sub(before)));
    let begun = Instant::now();
    all.iter().for_each(ask);
    let (answer, asked) = (micros(begun), each(status("VmRSS").saturating_sub(before)));
    println!("{open} {answer} {idle} {asked} {}", each(descriptors().saturating_sub(open_before)));
}

/// Returns how many files this process has open, or 0 if the platform has no `/proc`.
fn descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() as u64)
}

/// Returns a line of `/proc/self/status` in KiB, or 0 if the platform has no `/proc`.
fn status(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse().unwrap())
}
