//! Look-ups while another process writes every 10 ms.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use webhook_registry::Registry;

use crate::common::Plain;
use crate::common::data::{FOR_ONE, ONE};
use crate::common::rows::Recipient;
use crate::{Bench, told};

const WRITE: &str = "--write-on";

/// The file to write on, where this process was started for that.
pub(crate) fn asked_to_write() -> Option<PathBuf> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next()? == WRITE).then(|| arguments.next().unwrap().into())
}

/// Moves a subscription to the next URL every 10 ms, and says which number it has, until nobody listens any more.
pub(crate) fn write_on(path: &Path) {
    thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let plain = Plain::open(path, "NORMAL");
    for number in 1_u64.. {
        plain.move_to(ONE, &url(number));
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

/// A process that writes, and the number of its last change that was certainly made.
struct Writer {
    process: Child,
    written: Arc<AtomicU64>,
}

impl Writer {
    fn start(path: &Path) -> Writer {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg(WRITE)
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let written = Arc::new(AtomicU64::new(0));
        let told = Arc::clone(&written);
        thread::spawn(move || {
            lines.for_each(|line| told.store(line.unwrap().parse().unwrap(), Ordering::Release))
        });
        while written.load(Ordering::Acquire) == 0 {
            assert!(process.try_wait().unwrap().is_none(), "the writer has ended");
            thread::sleep(Duration::from_millis(1));
        }
        Writer { process, written }
    }

    /// Makes a look-up, and asserts that it saw the last change before it.
    fn checked<T>(&self, look_up: impl FnOnce() -> T, url: impl FnOnce(&T) -> &str) -> T {
        let written = self.written.load(Ordering::Acquire);
        let answer = look_up();
        let seen = number(url(&answer));
        assert!(seen >= written, "change {written} was made, and the answer is of change {seen}");
        answer
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

type Answers = HashMap<String, Arc<[Recipient]>>;

/// The plain program with a memo of its own.
struct DispatchCache {
    plain: Plain,
    known: RefCell<(i64, Answers)>,
}

impl DispatchCache {
    fn recipients(&self, event_type: &str) -> Arc<[Recipient]> {
        let (version, answers) = &mut *self.known.borrow_mut();
        let now = self.plain.data_version();
        if *version == now
            && let Some(answer) = answers.get(event_type)
        {
            return Arc::clone(answer);
        }
        // Read in the transaction that the answer comes from, or the answer could be newer than its version.
        self.plain.conn.prepare_cached("BEGIN").unwrap().execute([]).unwrap();
        let now = self.plain.data_version();
        if *version != now {
            answers.clear();
            *version = now;
        }
        let answer: Arc<[Recipient]> = self.plain.recipients(event_type).into();
        self.plain.conn.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
        answers.insert(event_type.to_owned(), Arc::clone(&answer));
        answer
    }
}

pub(crate) fn all(bench: &mut Bench) {
    const GROUP: &str = "dispatch/beside_writer";
    if !bench.run.wants(GROUP) {
        return;
    }
    let path = bench.mixed_file("100k", 100_000);
    let registry = Registry::open(&path).unwrap();
    let memo = DispatchCache { plain: Plain::reader(&path), known: RefCell::default() };
    assert_eq!(told(&registry.subscribers(FOR_ONE).unwrap()), memo.recipients(FOR_ONE).to_vec());
    let writer = Writer::start(&path);
    let mut group = bench.group(GROUP);
    group.bench_function("registry", |bencher| {
        bencher.iter(|| {
            writer.checked(|| registry.subscribers(FOR_ONE).unwrap(), |answer| answer[0].url())
        });
    });
    group.bench_function("memo", |bencher| {
        bencher.iter(|| writer.checked(|| memo.recipients(FOR_ONE), |answer| &answer[0].url));
    });
}
