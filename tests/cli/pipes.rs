//! Readers that go, and interrupts.

use std::io::{BufRead, BufReader};
#[cfg(unix)]
use std::time::{Duration, Instant};

use webhook_registry::NewSubscription;

use crate::support::Scratch;

fn many(count: usize) -> impl Iterator<Item = NewSubscription> {
    (0..count).map(|n| NewSubscription::new(format!("s{n}"), "https://a.example/", ["*"]))
}

#[test]
fn a_reader_that_goes_ends_the_program_quietly() {
    let scratch = Scratch::new();
    scratch.registry().create_all(many(5_000)).unwrap();
    for command in [
        "list",
        "list --json",
        "list --color always",
        "changes",
        "changes --json",
        "subscribers order.paid",
        "explain order.paid --json",
        "matrix",
        "matrix --json",
        "matrix --html -",
        "matrix --mermaid",
        "export --reveal",
    ] {
        let mut child = scratch.spawn(command);
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut byte = [0];
        std::io::Read::read_exact(&mut reader, &mut byte).unwrap();
        assert!(!reader.fill_buf().unwrap().is_empty());
        drop(reader);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{command}: {:?}", output.status);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{command}");
    }
}

#[cfg(unix)]
#[test]
fn a_failed_write_is_a_refusal() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let scratch = Scratch::new();
    for command in ["list", "list --json", "list --color always", "changes", "matrix --html -"] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut program = scratch.command(command.split_whitespace());
        let output = program.stdout(full).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command}: {stderr}");
        assert!(stderr.contains("cannot write the answer: "), "{command}: {stderr}");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_during_an_import_leaves_the_file_whole() {
    use std::os::unix::process::ExitStatusExt;

    use rustix::process::{Pid, Signal, kill_process};

    const COUNT: usize = 10_000;
    let scratch = Scratch::new();
    scratch.registry().create_all(many(COUNT)).unwrap();
    scratch.run("export --output all.json").code(0);
    let begun = Instant::now();
    scratch.run("init --db whole.db").code(0);
    scratch.run("import all.json --db whole.db").code(0);
    let whole = begun.elapsed();
    let mut interrupted = 0;
    for part in 1..=6_u32 {
        let db = format!("part{part}.db");
        scratch.run(&format!("init --db {db}")).code(0);
        let mut child = scratch.spawn(&format!("import all.json --db {db}"));
        let wait: Duration = whole * part / 7;
        std::thread::sleep(wait);
        // In the background of a shell SIGINT is ignored. The program handles neither signal.
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let signal = Some(Signal::TERM.as_raw());
        interrupted += usize::from(child.wait().unwrap().signal() == signal);
        scratch.run(&format!("check --db {db}")).code(0);
        let left = scratch.json(&format!("list --db {db}")).as_array().unwrap().len();
        assert!(left == 0 || left == COUNT + 2, "{left} subscriptions are left");
    }
    assert!(interrupted > 0);
}
