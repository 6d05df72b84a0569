//! Tests that a damaged file is never trusted: reading it does not panic, hang or return a wrong
//! answer, such as "no subscribers". Whichever bytes are damaged, the answer is right or the error
//! is `Corrupt` (`Incompatible` if the file no longer looks like a registry). There is one limit:
//! SQLite keeps checksums in the `-wal` but not in the file, so a flipped bit inside a text yields
//! another text. Such answers are counted, and everything else about them must hold.
//! `undecodable_rows.rs` tests rows that no registry writes.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use webhook_registry::{Error, ErrorKind, ListQuery, Registry, SubscriptionUpdate};

use crate::support::{FILES, Random, learn, new, options_for, prepare, size};

/// Returns every answer of the registry as text.
fn answers(registry: &Registry) -> Vec<Result<String, Error>> {
    let mut all = vec![
        registry.len().map(|len| len.to_string()),
        registry.list(ListQuery::new()).map(|page| format!("{page:?}")),
        registry.count(ListQuery::new().metadata("k", "1")).map(|count| count.to_string()),
        registry
            .list(ListQuery::new().event_type("agent.presencechanged.v1"))
            .map(|page| format!("{page:?}")),
        registry.event_types().map(|all| format!("{all:?}")),
        registry.expand("*.v1").map(|all| format!("{all:?}")),
    ];
    for number in 0..8 {
        all.push(registry.get_by_name(&format!("s{number}")).map(|found| format!("{found:?}")));
    }
    for name in ["agent.presencechanged.v1", "channel.connected.v1", "no.such.v1"] {
        all.push(registry.subscribers(name).map(|all| {
            let secrets = |one: &webhook_registry::Subscriber| {
                one.secrets().map(|secret| secret.expose().to_owned()).collect::<Vec<_>>()
            };
            all.iter().map(|one| format!("{one:?} {:?}", secrets(one))).collect::<String>()
        }));
        all.push(registry.explain(name).map(|explanation| explanation.to_string()));
    }
    all
}

fn fill(registry: &Registry) {
    learn(registry);
    for number in 0..8 {
        let events = [["agent.*", "*.v1"], ["*", "agent.presencechanged.v1"]][number % 2];
        let new = webhook_registry::NewSubscription::new(
            format!("s{number}"),
            "https://example.com/",
            events,
        )
        .metadata("k", (number % 3).to_string())
        .description("d".repeat(number * 200))
        .enabled(number % 4 != 3);
        registry.create(new).unwrap();
    }
}

/// A small file, its `-wal` if requested, and the right answers.
struct SoundFile {
    name: &'static str,
    file: Vec<u8>,
    wal: Vec<u8>,
    expected: Vec<Result<String, ErrorKind>>,
    /// The answers without the content of the `-wal`.
    earlier: Vec<Result<String, ErrorKind>>,
}

fn kinds(answers: Vec<Result<String, Error>>) -> Vec<Result<String, ErrorKind>> {
    answers.into_iter().map(|answer| answer.map_err(|error| error.kind())).collect()
}

impl SoundFile {
    fn make(name: &'static str) -> SoundFile {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        prepare(&path);
        let registry = options_for(&path).open(&path).unwrap();
        fill(&registry);
        let earlier = kinds(answers(&registry));
        drop(registry);
        let before = fs::read(&path).unwrap();
        let registry = options_for(&path).open(&path).unwrap();
        let id = registry.get_by_name("s0").unwrap().unwrap().id();
        registry
            .update(id, SubscriptionUpdate::new().events(["channel.*"]).metadata("k", "9"))
            .unwrap();
        let expected = kinds(answers(&registry));
        // Copied while it is open, so that the -wal has content. This process opens no file after
        // that.
        let wal = wal_path(&path);
        let wal = if wal.exists() { copy_by_another_process(&wal) } else { Vec::new() };
        drop(registry);
        SoundFile { name, file: before, wal, expected, earlier }
    }
}

/// Reads a file that SQLite has open. On Unix another process copies it first, because closing a
/// second descriptor would drop SQLite's locks.
fn copy_by_another_process(path: &Path) -> Vec<u8> {
    if cfg!(unix) {
        let copy = path.with_extension("copy");
        assert!(std::process::Command::new("cp").args([path, &copy]).status().unwrap().success());
        return fs::read(copy).unwrap();
    }
    fs::read(path).unwrap()
}

fn wal_path(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

/// Creates a folder, in memory if possible: the test creates and deletes thousands of files.
fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

type Answers = [Result<String, ErrorKind>];

#[derive(Default, Debug)]
struct Tally {
    right: usize,
    errors_at_open: usize,
    errors_of_calls: usize,
}

/// Opens a damaged file, calls every read call and one write, and checks each answer.
///
/// `allowed` are the right answers. If it is empty, answers may contain other text.
fn assert_answers(
    name: &str,
    file: &[u8],
    wal: &[u8],
    allowed: &[&Answers],
    what: &str,
    tally: &mut Tally,
) {
    let folder = scratch();
    let path = folder.path().join(name);
    fs::write(&path, file).unwrap();
    if !wal.is_empty() {
        fs::write(wal_path(&path), wal).unwrap();
    }
    let began = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let registry = match options_for(&path).open(&path) {
            Ok(registry) => registry,
            Err(error) => {
                let told = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Incompatible);
                assert!(told, "at open: {error:?}");
                return (false, None);
            }
        };
        let found = answers(&registry);
        // A change may succeed or fail; it must not panic, and later calls must return an answer.
        let change = registry.create(new("another"));
        if let Err(error) = change {
            let told = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Invalid);
            assert!(told, "creating: {error:?}");
        }
        (true, Some(found))
    }));
    let Ok((opened, found)) = outcome else { panic!("the calls panicked: {what}") };
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "it hung, for {:?}: {what}",
        began.elapsed()
    );
    let Some(found) = found else {
        assert!(!opened);
        tally.errors_at_open += 1;
        return;
    };
    let mut told = false;
    for (index, answer) in found.iter().enumerate() {
        match answer {
            Err(error) if error.kind() == ErrorKind::Corrupt => told = true,
            answer => {
                let plain = answer.as_ref().map_err(|error| error.kind()).cloned();
                let right = allowed.iter().any(|answers| answers[index] == plain);
                assert!(
                    right || allowed.is_empty(),
                    "answer {index} is wrong after {what}: {answer:?}"
                );
                if let Err(kind) = plain {
                    assert_eq!(
                        kind,
                        ErrorKind::NotFound,
                        "answer {index} after {what}: {answer:?}"
                    );
                }
            }
        }
    }
    if told {
        tally.errors_of_calls += 1;
    } else {
        tally.right += 1;
    }
}

const PAGE: usize = 4_096;

#[test]
fn a_missing_page_is_reported_as_corrupt() {
    for name in FILES {
        let (sound, mut random, mut tally) =
            (SoundFile::make(name), Random::new(), Tally::default());
        let pages = sound.file.len() / PAGE;
        assert!(pages > 15, "{pages}");
        for page in 0..pages {
            let mut file = sound.file.clone();
            file[page * PAGE..(page + 1) * PAGE].fill(0);
            assert_answers(
                sound.name,
                &file,
                &[],
                &[&sound.earlier],
                &format!("page {page} zeroed"),
                &mut tally,
            );
            for _ in 0..size(2, 60) {
                file[page * PAGE..(page + 1) * PAGE].fill_with(|| random.next() as u8);
                assert_answers(
                    sound.name,
                    &file,
                    &[],
                    &[&sound.earlier],
                    &format!("page {page} overwritten"),
                    &mut tally,
                );
            }
            let other = random.below(pages);
            file[page * PAGE..(page + 1) * PAGE]
                .copy_from_slice(&sound.file[other * PAGE..(other + 1) * PAGE]);
            // Another page in its place can be valid, such as an older root of the same table.
            assert_answers(
                sound.name,
                &file,
                &[],
                &[],
                &format!("page {other} instead of {page}"),
                &mut tally,
            );
        }
        println!("{tally:?}");
        assert!(tally.errors_at_open > 0 && tally.errors_of_calls > pages / 2, "{tally:?}");
    }
}

#[test]
fn a_truncated_file_is_reported_as_corrupt() {
    for name in FILES {
        let (sound, mut tally) = (SoundFile::make(name), Tally::default());
        for length in (PAGE..sound.file.len()).step_by(PAGE) {
            assert_answers(
                sound.name,
                &sound.file[..length],
                &[],
                &[&sound.earlier],
                &format!("cut at {length}"),
                &mut tally,
            );
            let within = length + PAGE / 2;
            assert_answers(
                sound.name,
                &sound.file[..within],
                &[],
                &[&sound.earlier],
                &format!("cut at {within}"),
                &mut tally,
            );
        }
        for length in [1, 2, 15, 16, 99, 100, 101, 512, 4_095] {
            assert_answers(
                sound.name,
                &sound.file[..length],
                &[],
                &[&sound.earlier],
                &format!("cut at {length}"),
                &mut tally,
            );
        }
        println!("{tally:?}");
        assert_eq!(tally.right, 0, "the last page is in use");
    }
}

#[test]
fn damaged_bytes_cause_no_panic_and_no_hang() {
    for name in FILES {
        let (sound, mut random, mut tally) =
            (SoundFile::make(name), Random::new(), Tally::default());
        let pages = sound.file.len() / PAGE;
        for page in 0..pages {
            for _ in 0..size(8, 400) {
                let mut file = sound.file.clone();
                let what = damage_page(&mut file[page * PAGE..(page + 1) * PAGE], &mut random);
                assert_answers(
                    sound.name,
                    &file,
                    &[],
                    &[],
                    &format!("page {page}: {what}"),
                    &mut tally,
                );
            }
        }
        println!("{tally:?}");
        assert!(tally.right > 0 && tally.errors_of_calls > 0, "{tally:?}");
    }
}

#[test]
fn every_damaged_header_byte_is_reported_or_harmless() {
    for name in FILES {
        let (sound, mut random, mut tally) =
            (SoundFile::make(name), Random::new(), Tally::default());
        for at in 0..100 {
            for _ in 0..size(2, 255) {
                let mut file = sound.file.clone();
                file[at] ^= 1 + random.below(255) as u8;
                assert_answers(
                    sound.name,
                    &file,
                    &[],
                    &[&sound.earlier],
                    &format!("byte {at} is {}", file[at]),
                    &mut tally,
                );
            }
        }
        println!("{tally:?}");
    }
}

#[test]
fn a_damaged_wal_is_read_up_to_the_last_intact_commit() {
    for name in FILES.into_iter().take(2) {
        let (sound, mut random, mut tally) =
            (SoundFile::make(name), Random::new(), Tally::default());
        let allowed: [&Answers; 2] = [&sound.expected, &sound.earlier];
        assert_answers(sound.name, &sound.file, &sound.wal, &allowed[..1], "nothing", &mut tally);
        for _ in 0..size(60, 5_000) {
            let mut wal = sound.wal.clone();
            let from = random.below(wal.len());
            let to = wal.len().min(from + [1, 8, 24, 512, 4_120][random.below(5)]);
            let what = match random.below(3) {
                0 => {
                    wal[from..to].fill(0);
                    "zeroed"
                }
                1 => {
                    wal[from] ^= 1 << random.below(8);
                    "a bit flipped"
                }
                _ => {
                    wal.truncate(from);
                    "cut"
                }
            };
            assert_answers(
                sound.name,
                &sound.file,
                &wal,
                &allowed,
                &format!("-wal at {from}: {what}"),
                &mut tally,
            );
        }
        for at in 0..32 {
            let mut wal = sound.wal.clone();
            wal[at] ^= 0xFF;
            assert_answers(
                sound.name,
                &sound.file,
                &wal,
                &allowed,
                &format!("-wal header at {at}"),
                &mut tally,
            );
        }
        println!("{tally:?}");
    }
}

/// Damages a page of SQLite at a random place, and returns how.
fn damage_page(page: &mut [u8], random: &mut Random) -> &'static str {
    match random.below(5) {
        0 => {
            page.fill(0);
            "zeroed"
        }
        1 => {
            let from = random.below(page.len());
            let to = page.len().min(from + 512);
            page[from..to].fill(0);
            "a sector zeroed"
        }
        2 => {
            for _ in 0..8 {
                let at = random.below(page.len());
                page[at] ^= 1 << random.below(8);
            }
            "eight bits flipped"
        }
        3 => {
            // Header, cell pointers.
            let at = random.below(64.min(page.len()));
            page[at] = random.next() as u8;
            "a byte of the header overwritten"
        }
        _ => {
            page.fill_with(|| random.next() as u8);
            "overwritten with rubbish"
        }
    }
}
