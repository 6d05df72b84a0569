//! The cost of the program beside the library. `docs/benchmarks.md` has the figures.
//!
//! `WEBHOOK_REGISTRY_FULL=1 cargo test --release --all-features --test cli measured -- --nocapture
//! --test-threads=1`

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use webhook_registry::{Durability, NewSubscription, Registry};

use crate::support::{Scratch, installed};

/// Returns whether the sizes are those of the figures, and whether the limits have to hold.
fn full() -> bool {
    std::env::var_os("WEBHOOK_REGISTRY_FULL").is_some_and(|value| value == "1")
}

/// Makes a registry in which each event type has ten subscribers.
fn fill(scratch: &Scratch, count: usize) -> Registry {
    let options = Registry::options().durability(Durability::Relaxed);
    let registry = options.open(scratch.path("reg.db")).unwrap();
    let types = (0..count / 10).map(|n| format!("type.{n}"));
    registry.register_event_types(types).unwrap();
    let all: Vec<usize> = (0..count).collect();
    for chunk in all.chunks(100_000) {
        let new = |n: &usize| {
            let event = format!("type.{}", n % (count / 10));
            let url = format!("https://example.com/hooks/{n}");
            NewSubscription::new(format!("subscription-{n}"), url, [event]).metadata("team", "a")
        };
        registry.create_all(chunk.iter().map(new)).unwrap();
    }
    registry
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Writes the list as the program does, with the library alone.
fn list(path: &Path, to: &Path) {
    let registry = Registry::options().create(false).open(path).unwrap();
    let mut out = BufWriter::with_capacity(1 << 16, File::create(to).unwrap());
    let query = webhook_registry::ListQuery::new().limit(1000);
    for (subscription, position) in registry.iter(query).zip(0_usize..) {
        out.write_all(if position == 0 { b"[" } else { b",\n" }).unwrap();
        serde_json::to_writer(&mut out, &subscription.unwrap()).unwrap();
    }
    out.write_all(b"]\n").unwrap();
    out.flush().unwrap();
}

#[test]
fn a_list_takes_as_long_as_with_the_library() {
    let scratch = Scratch::empty();
    drop(fill(&scratch, if full() { 100_000 } else { 1_000 }));
    let (mut program, mut library) = (Vec::new(), Vec::new());
    for _ in 0..if full() { 15 } else { 1 } {
        let begun = Instant::now();
        list(&scratch.path("reg.db"), &scratch.path("library.json"));
        library.push(begun.elapsed());
        let begun = Instant::now();
        let to = File::create(scratch.path("program.json")).unwrap();
        assert!(scratch.command(["list", "--json"]).stdout(to).status().unwrap().success());
        program.push(begun.elapsed());
    }
    let read = |name: &str| fs::read(scratch.path(name)).unwrap();
    assert!(read("program.json") == read("library.json"));
    let (program, library) = (median(program), median(library));
    let ratio = program.as_secs_f64() / library.as_secs_f64();
    println!("list --json: {program:?} ÷ {library:?} = {ratio:.2}");
    assert!(!full() || ratio <= 1.1, "{ratio}");
}

#[test]
fn the_first_answer_comes_at_once_from_a_large_file() {
    let scratch = Scratch::empty();
    let count = if full() { 1_000_000 } else { 1_000 };
    drop(fill(&scratch, count));
    let event = format!("type.{}", count / 20);
    let mut times = Vec::new();
    for _ in 0..if full() { 25 } else { 1 } {
        let begun = Instant::now();
        let mut command = scratch.command(["subscribers", &event]);
        let output = command.stdin(Stdio::null()).output().unwrap();
        times.push(begun.elapsed());
        assert_eq!(output.stdout.split(|byte| *byte == b'\n').count(), 11);
    }
    let time = median(times);
    println!("subscribers of {count}: {time:?}");
    assert!(!full() || time <= Duration::from_millis(10), "{time:?}");
}

#[test]
fn the_program_is_small() {
    if !full() {
        return;
    }
    let Some(strip) = installed(&["strip"]) else { return };
    let scratch = Scratch::empty();
    let copy = scratch.path("program");
    fs::copy(env!("CARGO_BIN_EXE_webhook-registry"), &copy).unwrap();
    assert!(Command::new(strip).arg(&copy).status().unwrap().success());
    let bytes = fs::metadata(&copy).unwrap().len();
    println!("the program: {:.1} MB", bytes as f64 / 1e6);
    assert!(bytes <= 8_000_000, "{bytes}");
}
