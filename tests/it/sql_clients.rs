//! Tests the views with SQL clients of other programs, the `sqlite3` shell and Python's `sqlite3`,
//! each in a process of its own while a registry writes. They must be able to read every view, see
//! each change with the next query, and never see half of a change in a join with their own tables.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, TryRecvError};
use std::thread;

use webhook_registry::{EventType, NewSubscription, Registry, SubscriptionUpdate};

use crate::support::{learn, size};

/// Where the queries stand, to the letter.
const COOKBOOK: &str = include_str!("../../src/cookbook/operate.md");
const CRATE_DOCS: &str = include_str!("../../src/lib.rs");
const README: &str = include_str!("../../README.md");

const WHO: &str = "SELECT name, url FROM webhook_registry_subscribers \
                   WHERE event_type = 'channel.held.v1' ORDER BY id;";
const PATTERNS: &str = "SELECT s.name, e.value FROM webhook_registry_subscriptions s, \
                        json_each(s.events) e \
    WHERE s.enabled ORDER BY s.id, e.key;";
const NOBODY: &str = "SELECT name FROM webhook_registry_event_types WHERE name NOT IN \
    (SELECT event_type FROM webhook_registry_subscribers) ORDER BY name;";
const ATTACH: &str = "ATTACH 'webhooks.db' AS hooks;";
const ENQUEUE: &str = "INSERT INTO outbox (event, subscription, url) \
    SELECT event.id, s.id, s.url FROM event JOIN hooks.webhook_registry_subscribers s ON \
    s.event_type = event.type;";

/// Prints like the shell: one line per row, `|` between the columns.
const PYTHON: &str = r#"
import sqlite3, sys
own = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in sys.stdin:
    if line.startswith(".print "):
        print(line[7:], end="", flush=True)
        continue
    for row in own.execute(line):
        print("|".join("" if cell is None else str(cell) for cell in row))
"#;

/// Another program with an open database, killed when dropped.
struct SqlClient {
    name: &'static str,
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl SqlClient {
    /// Starts the installed programs, each in this folder and with this file open.
    fn all(folder: &Path, file: &str) -> Vec<SqlClient> {
        let mut shell = Command::new("sqlite3");
        let nothing = if cfg!(windows) { "NUL" } else { "/dev/null" };
        shell.args(["-batch", "-bail", "-init", nothing, file]);
        let mut python = Command::new("python3");
        python.args(["-c", PYTHON, file]);
        let start = |(name, mut command): (&'static str, Command)| {
            let started =
                command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
            let mut child = match started {
                Err(cause) if cause.kind() == ErrorKind::NotFound => {
                    println!("{name} is not installed: skipped");
                    return None;
                }
                started => started.unwrap(),
            };
            let answers = BufReader::new(child.stdout.take().unwrap());
            let mut other = SqlClient { name, child, answers };
            let version = other.query("SELECT sqlite_version();").remove(0);
            let number = version.split('.').take(2).map(|part| part.parse::<u32>().unwrap());
            if number.lt([3, 38]) {
                println!("{name} has SQLite {version}, and the views need 3.38: skipped");
                return None;
            }
            println!("{name} has SQLite {version}");
            Some(other)
        };
        [("sqlite3", shell), ("python3", python)].into_iter().filter_map(start).collect()
    }

    /// Returns the rows of an answer, with `|` between the columns.
    #[track_caller]
    fn query(&mut self, sql: &str) -> Vec<String> {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(format!("{sql}\n.print @end\n").as_bytes()).unwrap();
        stdin.flush().unwrap();
        let mut rows = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(
                self.answers.read_line(&mut line).unwrap(),
                0,
                "{} failed at {sql}",
                self.name
            );
            match line.trim_end_matches(['\n', '\r']) {
                "@end" => return rows,
                row => rows.push(row.to_owned()),
            }
        }
    }
}

impl Drop for SqlClient {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn subscription(name: &str, patterns: &[&str]) -> NewSubscription {
    NewSubscription::new(name, format!("https://{name}.example/ü?a=b"), patterns)
}

fn filled(folder: &Path) -> Registry {
    let registry = Registry::open(folder.join("webhooks.db")).unwrap();
    learn(&registry);
    registry.register_event_type(EventType::new("lonely")).unwrap();
    let all = [
        subscription("crm", &["channel.*", "agent.*.v1"]),
        subscription("bi", &["*.v1"]),
        subscription("off", &["*"]).enabled(false),
    ];
    registry.create_all(all).unwrap();
    registry
}

/// Changes the registry continuously while the job runs, in rows that no query here selects.
fn while_writing(registry: &Registry, job: impl FnOnce()) {
    let off = registry.get_by_name("off").unwrap().unwrap().id();
    let (begun, writes) = mpsc::channel();
    // Dropped at the end of the job, even if it panics.
    let (job_runs, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            for change in 0.. {
                let update = SubscriptionUpdate::new().description(change.to_string());
                registry.update(off, update).unwrap();
                let _ = begun.send(());
                if ended.try_recv() == Err(TryRecvError::Disconnected) {
                    break;
                }
            }
        });
        writes.recv().expect("the writer must write");
        let _job_runs = job_runs;
        job();
    });
}

#[test]
fn the_tested_queries_are_those_of_the_documentation() {
    let in_one_line = |text: &str| {
        let lines = text.lines().map(|line| line.trim_start_matches("//!").trim());
        lines.collect::<Vec<_>>().join(" ")
    };
    let text = in_one_line(COOKBOOK);
    for query in [WHO, PATTERNS, NOBODY, ATTACH, ENQUEUE] {
        assert!(text.contains(query), "{query}");
    }
    assert!(in_one_line(CRATE_DOCS).contains(WHO), "{WHO}");
    assert!(in_one_line(README).contains(WHO.trim_end_matches(';')), "{WHO}");
}

#[test]
fn other_programs_run_the_documented_queries_while_a_registry_writes() {
    let folder = tempfile::tempdir().unwrap();
    let registry = filled(folder.path());
    for mut other in SqlClient::all(folder.path(), "webhooks.db") {
        while_writing(&registry, || {
            for _ in 0..size(20, 500) {
                let who = ["crm|https://crm.example/ü?a=b", "bi|https://bi.example/ü?a=b"];
                assert_eq!(other.query(WHO), who, "{}", other.name);
                assert_eq!(other.query(PATTERNS), ["crm|channel.*", "crm|agent.*.v1", "bi|*.v1"]);
                assert_eq!(other.query(NOBODY), ["lonely"]);
            }
        });
    }
}

#[test]
fn other_programs_see_a_change_with_their_next_query() {
    let folder = tempfile::tempdir().unwrap();
    let registry = filled(folder.path());
    let bi = registry.get_by_name("bi").unwrap().unwrap().id();
    for mut other in SqlClient::all(folder.path(), "webhooks.db") {
        while_writing(&registry, || {
            let mut who = ["crm|https://crm.example/ü?a=b", "bi|"].map(str::to_owned);
            for round in 0..size(20, 500) {
                let url = format!("https://bi.example/{round}");
                who[1] = format!("bi|{url}");
                registry.update(bi, SubscriptionUpdate::new().url(url).enabled(true)).unwrap();
                assert_eq!(other.query(WHO), who);
                registry.update(bi, SubscriptionUpdate::new().enabled(false)).unwrap();
                assert_eq!(other.query(WHO), who[..1]);
            }
        });
        registry.update(bi, SubscriptionUpdate::new().enabled(true)).unwrap();
    }
}

#[test]
fn other_programs_join_the_views_with_their_own_tables() {
    let folder = tempfile::tempdir().unwrap();
    let registry = filled(folder.path());
    for mut other in SqlClient::all(folder.path(), "own.db") {
        other.query("DROP TABLE IF EXISTS event;");
        other.query("DROP TABLE IF EXISTS outbox;");
        other.query("CREATE TABLE event (id INTEGER PRIMARY KEY, type TEXT NOT NULL);");
        other.query(
            "CREATE TABLE outbox (event INTEGER NOT NULL, subscription TEXT NOT NULL, \
             url TEXT NOT NULL);",
        );
        other.query(
            "INSERT INTO event (type) VALUES ('channel.held.v1'), ('lonely'), \
             ('agent.presencechanged.v1');",
        );
        assert!(other.query(ATTACH).is_empty());
        let names = "SELECT event, name FROM outbox o JOIN hooks.webhook_registry_subscriptions s \
                      ON s.id = o.subscription WHERE o.url = s.url ORDER BY event, s.id;";
        while_writing(&registry, || {
            for _ in 0..size(10, 200) {
                other.query("DELETE FROM outbox;");
                other.query(ENQUEUE);
                assert_eq!(
                    other.query(names),
                    ["1|crm", "1|bi", "3|crm", "3|bi"],
                    "{}",
                    other.name
                );
            }
        });
    }
}

#[test]
fn other_programs_see_a_change_completely_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let registry = filled(folder.path());
    for mut other in SqlClient::all(folder.path(), "webhooks.db") {
        let count = "SELECT count(*), (SELECT count(*) FROM webhook_registry_subscriptions WHERE \
                     name LIKE 'pair%') \
                       FROM webhook_registry_subscribers WHERE event_type = 'lonely' AND name \
                       LIKE 'pair%';";
        let name = other.name;
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for n in 0..size(100, 2_000) {
                    let pair = ["a", "b"]
                        .map(|half| subscription(&format!("pair-{name}-{n}-{half}"), &["lonely"]));
                    registry.create_all(pair).unwrap();
                }
            });
            loop {
                let ended = writer.is_finished();
                let [row] = <[String; 1]>::try_from(other.query(count)).unwrap();
                let (told, kept) = row.split_once('|').unwrap();
                assert_eq!(told, kept, "the two views must read one snapshot");
                assert!(told.parse::<u32>().unwrap().is_multiple_of(2), "half of a change: {told}");
                if ended {
                    break;
                }
            }
        });
    }
}
