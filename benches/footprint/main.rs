//! What a registry costs in memory and on the disk. No ratios of time, so without criterion.
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
    reason = "the plain program is shared with the other benchmarks, which use more of it"
)]

#[path = "../common/mod.rs"]
mod common;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use webhook_registry::Registry;

use common::data::{FOR_TEN, ONE, Random};
use common::{Crowd, New, Plain, Run, build};

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
        memo(&run);
    }
    if run.wants("tenants") {
        tenants(&run);
    }
}

/// The file of a million subscriptions.
fn one_file(run: &Run) {
    let subscriptions = run.scaled(1_000_000);
    let crowd = Crowd::Mixed {
        subscriptions,
        types: if run.small { 300 } else { 10_000 },
        patterns: if run.small { 50 } else { 1_000 },
    };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("registry.db");
    let begun = Instant::now();
    build(&path, &crowd);
    let seconds = begun.elapsed().as_secs_f64();
    println!("footprint/build: {subscriptions} subscriptions in {seconds:.1} s");

    let text: usize = crowd.subscriptions().map(|new| text_of(&new)).sum();
    let per = |bytes: u64| bytes as f64 / subscriptions as f64;
    let size = std::fs::metadata(&path).unwrap().len();
    println!(
        "footprint/file: {:.0} bytes a subscription, {:.0} of them its own text",
        per(size),
        per(text as u64)
    );

    let (plain, registry) = (measure("plain", &path, run), measure("registry", &path, run));
    let more = registry as i64 - plain as i64;
    println!(
        "footprint/idle: at most {registry} KiB, the plain program {plain} KiB, {more} KiB more (bound 8192)"
    );
    if !run.small {
        assert!(more <= 8_192, "an idle registry takes more than 8 MiB over the plain program");
    }
}

/// The memo of 50,000 answers of 100 subscribers each.
fn memo(run: &Run) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("groups.db");
    build(&path, &groups(run.small));
    let more = measure("memo", &path, run);
    println!(
        "footprint/memo: {} answers take {more} KiB (bound 131072)",
        groups(run.small).event_types().len()
    );
}

fn groups(small: bool) -> Crowd {
    if small {
        Crowd::Groups { groups: 10, types: 10, subscriptions: 100 }
    } else {
        Crowd::Groups { groups: 1_000, types: 50, subscriptions: 100_000 }
    }
}

/// The letters that a subscription cannot do without: its id and secret among them.
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

/// A file for each of 1,000 tenants, all open in one process, and each opened for one answer.
fn tenants(run: &Run) {
    let tenants = if run.small { 20 } else { 1_000 };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let first = folder.path().join("0.db");
    build(&first, &Crowd::Groups { groups: 10, types: 5, subscriptions: 100 });
    for tenant in 1..tenants {
        std::fs::copy(&first, folder.path().join(format!("{tenant}.db"))).unwrap();
    }
    for job in ["tenants", "tenants-read-only", "tenants-exclusive"] {
        let [open, answer, idle, told, files] = told(job, folder.path(), run)[..] else { panic!() };
        println!(
            "footprint/{job}: {tenants} files, each {open} µs to open and {answer} µs for a first answer; \
             {idle} KiB each when open, {told} KiB after that answer, {files} descriptors"
        );
    }
    let [open, answer, more] = told("tenants-in-turn", folder.path(), run)[..] else { panic!() };
    println!(
        "footprint/tenants-in-turn: {tenants} files, each {open} µs to open and close, {answer} µs with an answer; \
         {more} KiB more after all"
    );
}

/// What a child process answers: KiB.
fn measure(job: &str, path: &Path, run: &Run) -> u64 {
    told(job, path, run)[0]
}

fn told(job: &str, path: &Path, run: &Run) -> Vec<u64> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(format!("--child-{job}")).arg(path);
    if run.small {
        command.arg("small");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap();
    told.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

fn child(job: &str, path: &Path, small: bool) {
    let kib = match job {
        "plain" => {
            let plain = Plain::open(path, "FULL");
            assert!(plain.by_name(ONE).is_some());
            assert_eq!(plain.recipients(FOR_TEN).len(), 10);
            status("VmHWM")
        }
        "registry" => {
            let registry = Registry::open(path).unwrap();
            assert!(registry.get_by_name(ONE).unwrap().is_some());
            assert_eq!(registry.subscribers(FOR_TEN).unwrap().len(), 10);
            status("VmHWM")
        }
        "memo" => {
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

/// Opens every file of the folder and asks each once: all at the same time, or one after the other.
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
    let event = Crowd::Groups { groups: 10, types: 5, subscriptions: 100 }.event_types().remove(0);
    let options = Registry::options()
        .read_only(job == "tenants-read-only")
        .exclusive(job == "tenants-exclusive");
    let ask = |registry: &Registry| assert_eq!(registry.subscribers(&event).unwrap().len(), 10);
    // What the first takes once for the process is not the price of a file.
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
    let (answer, told) = (micros(begun), each(status("VmRSS").saturating_sub(before)));
    println!("{open} {answer} {idle} {told} {}", each(descriptors().saturating_sub(open_before)));
}

/// How many files this process has open; 0 where the platform does not tell.
fn descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() as u64)
}

/// A line of what Linux tells of this process, in KiB; 0 elsewhere.
fn status(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.map_or(0, |line| line.trim().trim_end_matches(" kB").parse().unwrap())
}
