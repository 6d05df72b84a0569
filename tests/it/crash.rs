//! Tests that an acknowledged change survives a kill at any moment, a power loss that kept only the
//! beginning of the `-wal`, and a kill while the schema is created. The registry must hold a prefix
//! of the history with every acknowledged step and at most the one in flight, never a mixture.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

#[cfg(unix)]
use tempfile::TempDir;
use webhook_registry::Durability;

use crate::support::child::{self, Peer};
use crate::support::history;
use crate::support::{FILES, Random, options_for, prepare, size};

/// Takes the steps of the history from `arguments[0]` on, and reports each with the length of the
/// `-wal`.
#[test]
fn child_takes_steps() {
    let Some((path, arguments)) = child::role() else {
        return;
    };
    let registry = options_for(&path)
        .durability(if arguments[1] == "full" { Durability::Full } else { Durability::Relaxed })
        .open(&path)
        .unwrap();
    history::begin(&registry);
    child::tell("ready");
    for step in arguments[0].parse().unwrap().. {
        history::take(&registry, step).unwrap();
        // The file is not opened: closing a second descriptor would release the locks of SQLite.
        child::tell(fs::metadata(beside(&path, "-wal")).map_or(0, |wal| wal.len()));
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn writer(path: &Path, from: usize, durability: &str) -> Peer {
    let mut peer = Peer::spawn(&mut child::command(
        "crash::child_takes_steps",
        path,
        &[&from.to_string(), durability],
    ));
    peer.expect("ready");
    peer
}

#[test]
fn acknowledged_changes_survive_a_kill() {
    let mut random = Random::new();
    let (mut folder, mut steps, mut killed, mut in_flight) =
        (tempfile::tempdir().unwrap(), 0, 0, 0);
    for round in 0..size(15, 300) {
        if round % 15 == 0 {
            folder = tempfile::tempdir().unwrap();
        }
        let path = folder.path().join(FILES[round / 5 % FILES.len()]);
        if round % 5 == 0 {
            steps = 0;
            prepare(&path);
        }
        let mut peer = writer(&path, steps, if round % 3 == 2 { "relaxed" } else { "full" });
        let before = steps;
        for _ in 0..1 + random.below(60) {
            peer.hear().expect("the child writes until it is killed");
            steps += 1;
        }
        thread::sleep(Duration::from_micros(random.next() % 3_000));
        peer.kill();
        steps += std::iter::from_fn(|| peer.hear()).count();
        assert!(steps > before, "the child had not written");
        killed += 1;
        let registry = options_for(&path).open(&path).unwrap();
        let found = history::state(&registry).unwrap();
        if found != history::after(steps) {
            steps += 1;
            in_flight += 1;
            assert_eq!(found, history::after(steps), "round {round}");
        }
        drop(registry);
        history::assert_whole(&path);
    }
    println!("{killed} kills, {in_flight} of them with a committed change in flight");
}

/// Creates a folder for thousands of short-lived files, in memory if possible.
#[cfg(unix)]
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// The files at one moment, and the length of the `-wal` at each earlier acknowledgement.
#[cfg(unix)]
struct Moment {
    name: &'static str,
    file: Vec<u8>,
    wal: Vec<u8>,
    acknowledged: Vec<usize>,
}

#[cfg(unix)]
impl Moment {
    fn from_writer(name: &'static str, steps: usize) -> Moment {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        prepare(&path);
        let mut peer = writer(&path, 0, "full");
        let heard = (0..steps).map(|_| peer.hear().unwrap()).collect::<Vec<_>>();
        // The child is stopped while both files are copied.
        peer.stop();
        let file = fs::read(&path).unwrap();
        let wal = fs::read(beside(&path, "-wal")).unwrap();
        peer.kill();
        let heard = heard.into_iter().chain(std::iter::from_fn(|| peer.hear()));
        let acknowledged = heard.map(|length| length.parse().unwrap()).collect();
        Moment { name, file, wal, acknowledged }
    }

    /// Returns the state of the registry with this `-wal`.
    fn state_with(&self, wal: &[u8]) -> history::State {
        let folder = scratch();
        let path = folder.path().join(self.name);
        fs::write(&path, &self.file).unwrap();
        fs::write(beside(&path, "-wal"), wal).unwrap();
        let registry = options_for(&path).open(&path).unwrap();
        // If the cut is before the first commit, the file lacks the beginning of the history.
        if registry.event_type("agent.v1").unwrap().is_none() {
            return history::State::new();
        }
        history::state(&registry).unwrap()
    }

    /// Returns the number of steps in the first `length` bytes.
    fn steps_within(&self, length: usize) -> usize {
        self.acknowledged.iter().filter(|end| **end <= length).count()
    }

    /// Asserts that a `-wal` cut here holds what was committed, also with garbage behind the cut,
    /// as if blocks had not reached the disk.
    fn assert_cut_at(&self, length: usize, random: &mut Random) {
        let steps = self.steps_within(length);
        let expected = |found: history::State, how: &str| {
            let all = steps == self.acknowledged.len();
            let fits =
                found == history::after(steps) || (all && found == history::after(steps + 1));
            assert!(
                fits,
                "cut at {length} of {}, {how}: not the state after {steps}",
                self.wal.len()
            );
        };
        let cut = &self.wal[..length];
        expected(self.state_with(cut), "cut");
        let rest = self.wal.len() - length;
        match random.below(3) {
            0 => expected(self.state_with(&[cut, &vec![0; rest]].concat()), "zeros after the cut"),
            1 => {
                // No byte equals the original: a random byte would do so once in 256.
                let other = |byte: &u8| byte ^ (1 + random.below(255) as u8);
                let rubbish: Vec<u8> = self.wal[length..].iter().map(other).collect();
                expected(self.state_with(&[cut, &rubbish].concat()), "garbage after the cut");
            }
            _ => {}
        }
    }
}

#[cfg(unix)]
#[test]
fn after_a_power_loss_the_registry_is_a_prefix_of_the_history_with_all_acknowledged_changes() {
    for name in &FILES[..2] {
        cut(&Moment::from_writer(name, 40));
    }
}

#[cfg(unix)]
fn cut(moment: &Moment) {
    let mut random = Random::new();
    let ends = &moment.acknowledged;
    assert!(
        ends.windows(2).all(|pair| pair[0] < pair[1]),
        "no checkpoint was to come in between: {ends:?}"
    );
    let (last, end) = (ends[ends.len() - 1], moment.wal.len());
    // From the last acknowledged commit on, and within that commit, as if it were in flight.
    let from = ends[ends.len() - 2];
    let mut cuts = 0;
    for length in
        (from..=end).step_by(size(331, 1)).chain([last - 1, last, (last + 1).min(end), end])
    {
        moment.assert_cut_at(length, &mut random);
        cuts += 1;
    }
    for _ in 0..size(60, 500) {
        moment.assert_cut_at(random.below(from), &mut random);
        cuts += 1;
    }
    println!("{cuts} cuts of {end} bytes, {} steps acknowledged", ends.len());
}

#[cfg(unix)]
#[test]
fn a_power_loss_during_a_checkpoint_loses_no_acknowledged_change() {
    let mut random = Random::new();
    for round in 0..size(2, 40) {
        let moment = Moment::from_writer(FILES[round % 2], 180 + random.below(200));
        let steps = moment.acknowledged.len();
        assert!(moment.file.len() > 8_192, "no checkpoint was made");
        let found = moment.state_with(&moment.wal);
        assert!(
            found == history::after(steps) || found == history::after(steps + 1),
            "after {steps}"
        );
    }
}

#[test]
fn child_creates_files() {
    let Some((folder, arguments)) = child::role() else { return };
    child::tell("ready");
    for number in 0.. {
        let path = folder.join(arguments[0].replace(".db", &format!("-{number}.db")));
        prepare(&path);
        let registry = options_for(&path).open(&path).unwrap();
        child::tell(number);
        history::begin(&registry);
    }
}

#[test]
fn a_file_whose_creation_was_killed_opens_complete_or_empty() {
    let mut random = Random::new();
    let (mut unfinished, mut empty, mut rounds) = (0, 0, 0);
    // 15 random kills may all miss the middle of a creation; hundreds do not.
    while rounds < size(15, 300) || (unfinished == 0 && rounds < 500) {
        let name = FILES[rounds % FILES.len()];
        rounds += 1;
        let folder = tempfile::tempdir().unwrap();
        let mut peer =
            Peer::spawn(&mut child::command("crash::child_creates_files", folder.path(), &[name]));
        peer.expect("ready");
        thread::sleep(Duration::from_micros(random.next() % 20_000));
        peer.kill();
        let made = std::iter::from_fn(|| peer.hear()).count();
        for number in 0..=made {
            let path = folder.path().join(name.replace(".db", &format!("-{number}.db")));
            let length = fs::metadata(&path).map(|found| found.len());
            unfinished += usize::from(number == made && length.is_ok());
            empty += usize::from(length.is_ok_and(|length| length == 0));
            let registry = options_for(&path).open(&path).unwrap();
            assert!(registry.is_empty().unwrap());
            history::begin(&registry);
            history::take(&registry, 0).unwrap();
            assert_eq!(history::state(&registry).unwrap(), history::after(1));
            drop(registry);
            history::assert_whole(&path);
        }
    }
    println!("{unfinished} of {rounds} were unfinished, {empty} of them empty");
    assert!(unfinished > 0, "no kill interrupted an operation");
}
