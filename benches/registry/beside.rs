//! Look-ups while another process writes every 10 ms.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::cold::Mover;
use crate::common::data::{FOR_ONE, ONE};
use crate::common::rows::SubscriberRow;
use crate::common::{Baseline, Files, Pair};
use crate::{Bench, rows};

const WRITE: &str = "--write-on";

/// Returns the files to write to, if this process was started as a writer.
pub(crate) fn asked_to_write() -> Option<Files> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next()? == WRITE).then(|| {
        let mut path = || PathBuf::from(arguments.next().unwrap());
        Files { registry: path(), baseline: path() }
    })
}

/// Sets a subscription's URL every 10 ms and prints the number of the URL, until standard input or
/// output is closed.
pub(crate) fn write_on(files: &Files) {
    thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let Pair { registry, baseline } = files.open_relaxed();
    let id = baseline.by_name(ONE).unwrap().id;
    let registry = Mover::new(registry);
    for number in 1_u64.. {
        registry.set_url(&url(number));
        baseline.set_url(id, &url(number));
        let mut out = std::io::stdout().lock();
        if writeln!(out, "{number}").and_then(|()| out.flush()).is_err() {
            return;
        }
        drop(out);
        thread::sleep(Duration::from_millis(10));
    }
}

fn url(number: u64) -> String {
    format!("https://hooks.example.com/{number}")
}

fn number(url: &str) -> u64 {
    url.rsplit('/').next().unwrap().parse().unwrap()
}

/// A process that writes, and the number of the last change that it has reported.
struct Writer {
    process: Child,
    written: Arc<AtomicU64>,
}

impl Writer {
    fn start(files: &Files) -> Writer {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg(WRITE)
            .args([&files.registry, &files.baseline])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let written = Arc::new(AtomicU64::new(0));
        let printed = Arc::clone(&written);
        thread::spawn(move || {
            lines.for_each(|line| printed.store(line.unwrap().parse().unwrap(), Ordering::Release))
        });
        while written.load(Ordering::Acquire) == 0 {
            assert!(process.try_wait().unwrap().is_none(), "the writer has ended");
            thread::sleep(Duration::from_millis(1));
        }
        Writer { process, written }
    }

    /// Makes a look-up and asserts that it sees the last change that was reported before.
    fn checked<T>(&self, look_up: impl FnOnce() -> T, url: impl FnOnce(&T) -> &str) -> T {
        let written = self.written.load(Ordering::Acquire);
        let answer = look_up();
        let seen = number(url(&answer));
        assert!(seen >= written, "change {written} is committed, and the answer has change {seen}");
        answer
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

type Answers = HashMap<String, Arc<[SubscriberRow]>>;

/// The baseline with a cache of its answers.
struct CachedBaseline {
    baseline: Baseline,
    known: RefCell<(i64, Answers)>,
}

impl CachedBaseline {
    fn subscribers(&self, event_type: &str) -> Arc<[SubscriberRow]> {
        let (version, answers) = &mut *self.known.borrow_mut();
        let now = self.baseline.data_version();
        if *version == now
            && let Some(answer) = answers.get(event_type)
        {
            return Arc::clone(answer);
        }
        // In one transaction, or the answer could be newer than its version.
        self.baseline.read(|| {
            let now = self.baseline.data_version();
            if *version != now {
                answers.clear();
                *version = now;
            }
            let answer: Arc<_> = self.baseline.subscribers(event_type).unwrap().into();
            answers.insert(event_type.to_owned(), Arc::clone(&answer));
            answer
        })
    }
}

pub(crate) fn all(bench: &mut Bench) {
    const GROUP: &str = "dispatch/beside_writer";
    if !bench.run.wants(GROUP) {
        return;
    }
    let files = bench.mixed_files("100k", 100_000);
    let writer = Writer::start(&files);
    let Pair { registry, baseline } = files.open();
    let cached = CachedBaseline { baseline, known: RefCell::default() };
    let without_url = |mut row: SubscriberRow| {
        row.url.clear();
        row
    };
    let ours = rows(&registry.subscribers(FOR_ONE).unwrap()).into_iter().map(without_url);
    let theirs = cached.subscribers(FOR_ONE).to_vec().into_iter().map(without_url);
    assert!(ours.eq(theirs));
    let mut group = bench.group(GROUP);
    group.bench_function("registry", |bencher| {
        bencher.iter(|| {
            writer.checked(|| registry.subscribers(FOR_ONE).unwrap(), |answer| answer[0].url())
        });
    });
    group.bench_function("cached_baseline", |bencher| {
        bencher.iter(|| writer.checked(|| cached.subscribers(FOR_ONE), |answer| &answer[0].url));
    });
}
