//! Look-ups of a guest while its application writes 100 rows a second to a table of its own.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use webhook_registry::{Durability, Registry};

use crate::Bench;
use crate::common::{Dataset, data::FOR_ONE, fill};

const WRITE: &str = "--write-beside";

/// Returns the file to write to, if this process was started as the application.
pub(crate) fn asked_to_write() -> Option<PathBuf> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next()? == WRITE).then(|| PathBuf::from(arguments.next().unwrap()))
}

/// Inserts a row every 10 ms until standard input is closed.
pub(crate) fn write_on(path: &Path) {
    thread::spawn(|| {
        let _ = std::io::Read::read(&mut std::io::stdin(), &mut [0]);
        std::process::exit(0);
    });
    let conn = connect(path);
    loop {
        conn.execute("INSERT INTO application (text) VALUES ('a row')", []).unwrap();
        thread::sleep(Duration::from_millis(10));
    }
}

fn connect(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.busy_timeout(Duration::from_secs(5)).unwrap();
    conn.pragma_update(None, "synchronous", "NORMAL").unwrap();
    conn
}

struct Application(Child);

impl Application {
    /// Starts the application, and returns once it has written.
    fn start(path: &Path) -> Application {
        let conn = connect(path);
        let count = || {
            let sql = "SELECT count(*) FROM application";
            conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
        };
        let before = count();
        let mut command = Command::new(std::env::current_exe().unwrap());
        let process = command.arg(WRITE).arg(path).stdin(Stdio::piped()).spawn().unwrap();
        let application = Application(process);
        while count() == before {
            thread::sleep(Duration::from_millis(1));
        }
        application
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Returns how long each of so many look-ups took, the shortest first.
fn sorted_times(registry: &Registry, rounds: u64) -> Vec<Duration> {
    let look_up = |_| {
        let begun = Instant::now();
        black_box(registry.subscribers(FOR_ONE).unwrap());
        begun.elapsed()
    };
    let mut times: Vec<Duration> = (0..rounds).map(look_up).collect();
    times.sort_unstable();
    times
}

pub(crate) fn all(bench: &mut Bench) {
    // The second group shows the 99th percentile as if it were the time of each look-up.
    for (group, percent) in
        [("dispatch/beside_application", 50), ("dispatch/beside_application_p99", 99)]
    {
        if bench.run.wants(group) {
            time(bench, group, percent);
        }
    }
}

fn time(bench: &mut Bench, name: &str, percent: usize) {
    let dataset: Dataset = bench.mixed(10_000);
    let path = bench.fresh(&format!("application-{percent}"));
    let options = Registry::options().guest(true).durability(Durability::Relaxed);
    connect(&path)
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE application (id INTEGER PRIMARY KEY, text)",
        )
        .unwrap();
    let registry = options.open(&path).unwrap();
    fill(&registry, &dataset, |_| ());
    let mut group = bench.group(name);
    let mut function = |name: &str| {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let times = sorted_times(&registry, rounds.max(100));
                let chosen = times[(times.len() * percent / 100).min(times.len() - 1)];
                chosen * u32::try_from(rounds).unwrap()
            });
        });
    };
    function("alone");
    let answer = registry.subscribers(FOR_ONE).unwrap();
    let application = Application::start(&path);
    function("beside");
    let still = registry.subscribers(FOR_ONE).unwrap();
    assert!(std::ptr::eq(&raw const *answer, &raw const *still), "the answer is the cached one");
    drop(application);
}
