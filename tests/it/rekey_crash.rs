//! Tests that a file whose process was killed during a change of the encryption key opens with
//! exactly one key and holds every secret.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use webhook_registry::{Durability, ErrorKind};

use crate::rekey::{KEY, OTHER, assert_intact, options, prepared, readable_in};
use crate::support::child::{self, Peer};
use crate::support::{Random, size};

/// Cycles through the keys until it is killed, and reports each change.
#[test]
fn child_changes_the_key() {
    let Some((path, arguments)) = child::role() else { return };
    let circle = key_cycle(&arguments[0]);
    let registry = options(circle[0]).durability(Durability::Relaxed).open(path).unwrap();
    for at in 1.. {
        registry.rekey(circle[at % circle.len()]).unwrap();
        child::tell(at);
    }
}

/// Waits until the -wal or the -journal has content, but no longer than many changes take.
fn await_a_change_in_flight(path: &Path) {
    let since = Instant::now();
    let in_flight =
        |end| fs::metadata(format!("{}{end}", path.display())).is_ok_and(|found| found.len() > 0);
    while !in_flight("-wal") && !in_flight("-journal") && since.elapsed() < Duration::from_secs(1) {
    }
}

fn key_cycle(name: &str) -> Vec<Option<[u8; 32]>> {
    if name == "encrypted" {
        vec![Some(KEY), Some(OTHER)]
    } else {
        vec![None, Some(KEY), Some(OTHER)]
    }
}

#[test]
fn a_file_killed_during_a_key_change_opens_with_one_key_and_has_every_secret() {
    const SUBSCRIPTIONS: usize = 60;
    let mut random = Random::new();
    let (mut in_flight, mut unfinished) = (0, 0);
    let mut round = 0;
    while round < size(10, 100) || (unfinished == 0 && round < 500) {
        let name = ["encrypted", "plain"][round % 2];
        let circle = key_cycle(name);
        let (folder, path) = prepared(circle[0], SUBSCRIPTIONS);
        let mut peer =
            Peer::spawn(&mut child::command("rekey_crash::child_changes_the_key", &path, &[name]));
        let (mut done, mut took) = (0_usize, Duration::ZERO);
        for _ in 0..2 + random.below(4) {
            let since = Instant::now();
            done = peer.hear().expect("it changes the key until it is killed").parse().unwrap();
            took = since.elapsed();
        }
        if round % 4 < 2 {
            // A random moment of the next change, assuming that it takes as long as the last.
            thread::sleep(took.mul_f64(random.below(1_000) as f64 / 1_000.0));
        } else {
            // During the write, which is too short to be hit often by chance.
            await_a_change_in_flight(&path);
        }
        peer.kill();
        done += std::iter::from_fn(|| peer.hear()).count();
        // A missing file equals an empty one, which SQLite may add.
        let files = || {
            ["", "-wal", "-journal"]
                .map(|end| fs::read(format!("{}{end}", path.display())).unwrap_or_default())
        };
        let left = files();
        unfinished += usize::from(left[1..].iter().any(|left| !left.is_empty()));
        if name == "encrypted" {
            assert_eq!(
                readable_in(folder.path()),
                [""; 0],
                "encrypted with either key, nothing is ever readable"
            );
        }

        let mut fitting = Vec::new();
        for key in [None, Some(KEY), Some(OTHER)] {
            // A reader cannot roll back a partial header, and returns an error until a writer has.
            let readable = files()[2].is_empty();
            match options(key).read_only(true).open(&path) {
                Ok(reader) => assert_intact(&reader, SUBSCRIPTIONS),
                Err(error) if readable => {
                    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}")
                }
                Err(error) => {
                    assert!(
                        matches!(error.kind(), ErrorKind::Storage | ErrorKind::Incompatible),
                        "{error}"
                    );
                }
            }
            match options(key).open(&path) {
                Ok(registry) => {
                    fitting.push(key);
                    assert_intact(&registry, SUBSCRIPTIONS);
                    assert_intact(
                        &options(key).read_only(true).open(&path).unwrap(),
                        SUBSCRIPTIONS,
                    );
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
                    assert!(
                        fitting.len() == 1 || files()[..2] == left[..2],
                        "opening with a wrong key changed the file"
                    );
                }
            }
        }
        assert_eq!(fitting.len(), 1, "round {round}, after {done} changes: {fitting:?}");
        let expected = [done, done + 1].map(|at| circle[at % circle.len()]);
        assert!(expected.contains(&fitting[0]), "the key is neither the old nor the new one");
        in_flight += usize::from(fitting[0] == expected[1]);
        // The key can be changed again, which removes what the killed process may have left.
        let registry = options(fitting[0]).open(&path).unwrap();
        registry.rekey(Some([9; 32])).unwrap();
        assert_intact(&registry, SUBSCRIPTIONS);
        assert_eq!(readable_in(folder.path()), [""; 0]);
        drop(registry);
        let conn = rusqlite::Connection::open(&path).unwrap();
        let verdict: String =
            conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
        round += 1;
    }
    println!(
        "{unfinished} of {round} kills left a -wal or a -journal, {in_flight} came between the \
         commit and its report"
    );
    assert!(unfinished > 0, "no kill interrupted an operation");
}
