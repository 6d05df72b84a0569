//! The file in the hands of a program that replicates it. Guards against a checkpoint that takes changes from under that
//! program, also the one that SQLite makes on closing, and against a reader that goes on answering from a file whose
//! place another has taken.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use webhook_registry::{ErrorKind, ListQuery, Registry, RegistryOptions, SubscriptionUpdate};

use crate::support::child::{self, Peer};
use crate::support::{learn, new, refused, size};

const EVENT: &str = "agent.presencechanged.v1";

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    (folder, path)
}

fn wal(path: &Path) -> u64 {
    fs::metadata(format!("{}-wal", path.display())).map_or(0, |found| found.len())
}

fn without_auto_checkpoint() -> RegistryOptions {
    Registry::options().auto_checkpoint(false)
}

fn reading() -> RegistryOptions {
    Registry::options().read_only(true)
}

/// More changes than SQLite leaves in a `-wal` of its own accord: 1,000 pages.
fn write_much(registry: &Registry) {
    for n in 0..150 {
        let fat = (0..20).fold(new(&format!("n{n}")), |new, key| {
            new.metadata(key.to_string(), "v".repeat(1_000))
        });
        registry.create(fat).unwrap();
    }
}

/// A registry with one subscription, closed: nothing is beside it.
fn make(path: &Path, name: &str) {
    let registry = Registry::open(path).unwrap();
    learn(&registry);
    registry.create(new(name)).unwrap();
    drop(registry);
    assert_eq!(wal(path), 0);
}

#[test]
fn a_registry_without_auto_checkpoint_makes_no_checkpoint_even_when_it_is_closed() {
    let (folder, path) = folder();
    make(&path, "one");
    let file = fs::read(&path).unwrap();
    let reader = reading().open(&path).unwrap();
    {
        let registry = without_auto_checkpoint().open(&path).unwrap();
        write_much(&registry);
        assert!(wal(&path) > 2 * 1_000 * 4_096, "too little to prove anything: {}", wal(&path));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(registry.subscribers(EVENT).unwrap().len(), 151));
            }
        });
        registry.backup(folder.path().join("copy.db")).unwrap();
        assert_eq!(wal(&folder.path().join("copy.db")), 0, "a copy stands by itself");
    }
    assert!(fs::read(&path).unwrap() == file, "a checkpoint was made");
    // Last to close are a reader, and then another registry without checkpoints.
    assert_eq!(reader.len().unwrap(), 151);
    drop(reader);
    assert!(fs::read(&path).unwrap() == file, "a reader made a checkpoint");
    drop(without_auto_checkpoint().open(&path).unwrap());
    assert!(fs::read(&path).unwrap() == file, "a checkpoint was made on closing");
    assert!(wal(&path) > 2 * 1_000 * 4_096);

    // It is not kept in the file.
    let registry = Registry::open(&path).unwrap();
    assert_eq!(registry.len().unwrap(), 151);
    drop(registry);
    assert_eq!(wal(&path), 0);
    assert!(fs::read(&path).unwrap() != file);
}

#[test]
fn auto_checkpoint_cannot_be_turned_off_where_no_other_program_can_checkpoint() {
    let (_folder, path) = folder();
    refused(without_auto_checkpoint().in_memory(), ErrorKind::Invalid, &["auto_checkpoint"]);
    refused(
        without_auto_checkpoint().exclusive(true).open(&path),
        ErrorKind::Invalid,
        &["auto_checkpoint"],
    );
    assert!(!path.exists());
    // A registry that only reads makes none anyhow.
    make(&path, "one");
    assert_eq!(without_auto_checkpoint().read_only(true).open(&path).unwrap().len().unwrap(), 1);
}

/// Names of whom an event goes to, by the memo, and of all, by the file.
fn seen(registry: &Registry) -> (Vec<String>, Vec<String>) {
    let told =
        registry.subscribers(EVENT).unwrap().iter().map(|one| one.name().to_owned()).collect();
    let all = registry.iter(ListQuery::new()).map(|one| one.unwrap().name().to_owned()).collect();
    (told, all)
}

/// Puts a registry with this one subscription in the place of the file.
fn replace(path: &Path, name: &str) {
    let next = path.with_extension("next");
    make(&next, name);
    fs::rename(next, path).unwrap();
}

#[test]
fn a_reader_follows_a_file_whose_place_another_takes() {
    let (_folder, path) = folder();
    make(&path, "first");
    let reader = reading().open(&path).unwrap();
    let mut peer = Peer::spawn(&mut child::command("checkpoints::child_reads", &path, &[]));
    peer.expect("ready");
    for round in 0..20 {
        let name = format!("n{round}");
        replace(&path, &name);
        let one = vec![name.clone()];
        if round % 2 == 0 {
            assert_eq!(seen(&reader), (one.clone(), one));
        } else {
            assert_eq!(
                reader.get_by_name(&name).unwrap().unwrap().revision(),
                1,
                "a call of another kind"
            );
        }
        peer.say("look");
        peer.expect(&format!("{name} {name}"));
    }
    // And what then happens to that file.
    let writer = Registry::open(&path).unwrap();
    writer.create(new("more")).unwrap();
    assert_eq!(reader.subscribers(EVENT).unwrap().len(), 2);
    peer.say("look");
    peer.expect("n19,more n19,more");
    let id = writer.get_by_name("n19").unwrap().unwrap().id();
    writer.update(id, SubscriptionUpdate::new().enabled(false)).unwrap();
    assert_eq!(reader.subscribers(EVENT).unwrap().len(), 1);
    peer.say("look");
    peer.expect("more n19,more");
    assert!(peer.finish().is_empty());
}

#[test]
fn child_reads() {
    let Some((path, _)) = child::role() else { return };
    let registry = reading().open(path).unwrap();
    child::tell("ready");
    while child::await_word() == "look" {
        let (told, all) = seen(&registry);
        child::tell(format!("{} {}", told.join(","), all.join(",")));
    }
}

#[test]
fn readers_on_many_threads_see_the_one_file_or_the_other() {
    let (_folder, path) = folder();
    make(&path, "n0");
    let reader = reading().open(&path).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let number = |names: &[String]| names[0][1..].parse::<usize>().unwrap();
                let mut last = 0;
                loop {
                    let ended = done.load(Ordering::SeqCst);
                    let (told, all) = seen(&reader);
                    assert_eq!((told.len(), all.len()), (1, 1));
                    assert!(
                        last <= number(&told) && number(&told) <= number(&all),
                        "{told:?} {all:?} {last}"
                    );
                    last = number(&all);
                    if ended {
                        assert_eq!(number(&told), 30);
                        break;
                    }
                }
            });
        }
        for round in 1..=30 {
            replace(&path, &format!("n{round}"));
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_reader_says_so_where_nothing_it_can_read_takes_the_files_place() {
    let (folder, path) = folder();
    make(&path, "one");
    let reader = reading().open(&path).unwrap();
    assert_eq!(reader.subscribers(EVENT).unwrap().len(), 1);
    let aside = folder.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    let gone = refused(reader.subscribers(EVENT), ErrorKind::Storage, &[]);
    assert!(gone.to_string().contains("no longer the file that was opened"), "{gone}");
    refused(reader.get_by_name("one"), ErrorKind::Storage, &[]);
    fs::write(
        &path,
        "a text file of another program, and not a short one either: one hundred bytes and more of it",
    )
    .unwrap();
    refused(reader.subscribers(EVENT), ErrorKind::Incompatible, &[]);
    refused(reader.len(), ErrorKind::Incompatible, &[]);
    // Nothing is lost by it.
    fs::rename(&aside, &path).unwrap();
    assert_eq!(reader.subscribers(EVENT).unwrap().len(), 1);
    replace(&path, "two");
    assert_eq!(seen(&reader), (vec!["two".to_owned()], vec!["two".to_owned()]));
}

#[cfg(feature = "encryption")]
#[test]
fn a_reader_reads_the_other_files_secrets_with_its_key() {
    let (_folder, path) = folder();
    let sealed = |path: &Path, key: u8, name: &str| {
        let registry = Registry::options().encryption_key([key; 32]).open(path).unwrap();
        learn(&registry);
        let made = registry.create(new(name)).unwrap();
        made.secret().expose().to_owned()
    };
    sealed(&path, 7, "one");
    let reader = reading().encryption_key([7; 32]).open(&path).unwrap();
    assert_eq!(reader.subscribers(EVENT).unwrap().len(), 1);
    for key in [7, 8, 7] {
        let next = path.with_extension("next");
        let secret = sealed(&next, key, "two");
        fs::rename(next, &path).unwrap();
        if key == 7 {
            let told = reader.subscribers(EVENT).unwrap();
            assert_eq!(told[0].secrets().next().unwrap().expose(), secret);
        } else {
            refused(reader.subscribers(EVENT), ErrorKind::Incompatible, &[]);
        }
    }
}

/// Nothing is written through SQLite on a replica of LiteFS. Pages go straight into the file, and then the head of the
/// index of the `-wal` is written anew with a higher count of changes, by which SQLite knows that what it has read is old.
#[cfg(target_endian = "little")]
#[test]
fn a_reader_follows_a_file_whose_pages_are_written_from_underneath() {
    let (folder, path) = folder();
    make(&path, "n0");
    let source = folder.path().join("source.db");
    fs::copy(&path, &source).unwrap();
    let reader = reading().open(&path).unwrap();
    assert_eq!(seen(&reader).0, ["n0"]);
    let mut peer = Peer::spawn(&mut child::command("checkpoints::child_applies_pages", &path, &[]));
    peer.expect("ready");
    for round in 1..=size(20, 300) {
        let writer = Registry::open(&source).unwrap();
        writer.create(new(&format!("n{round}"))).unwrap();
        drop(writer);
        peer.say("apply");
        peer.expect("applied");
        assert_eq!(reader.subscribers(EVENT).unwrap().len(), round + 1);
        assert_eq!(reader.get_by_name(&format!("n{round}")).unwrap().unwrap().revision(), 1);
    }
    assert!(reader.check().unwrap().is_sound());
    assert!(peer.finish().is_empty());
}

#[test]
fn child_applies_pages() {
    let Some((path, _)) = child::role() else { return };
    child::tell("ready");
    while child::await_word() == "apply" {
        let pages = fs::read(path.with_file_name("source.db")).unwrap();
        let write = |path: &Path, bytes: &[u8]| {
            let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
            std::io::Write::write_all(&mut file, bytes).unwrap();
        };
        write(&path, &pages);
        let index = PathBuf::from(format!("{}-shm", path.display()));
        let old = fs::read(&index).unwrap();
        let word = |at: usize| u32::from_le_bytes(old[at * 4..][..4].try_into().unwrap());
        let page = u32::from(u16::from_be_bytes(pages[16..18].try_into().unwrap()));
        // Version, unused, changes, flags and page size, frames, pages, the last frame's checksum, salt.
        let mut head: Vec<u32> = (0..10).map(word).collect();
        (head[0], head[2], head[3]) = (3_007_000, word(2) + 1, 1 | page << 16);
        (head[4], head[5]) = (0, u32::try_from(pages.len()).unwrap() / page);
        let (mut one, mut two) = (0_u32, 0_u32);
        for pair in head.chunks(2) {
            one = one.wrapping_add(pair[0]).wrapping_add(two);
            two = two.wrapping_add(pair[1]).wrapping_add(one);
        }
        head.extend([one, two]);
        // Twice, and then how far the `-wal` is in the file, and how far each reader reads.
        let twice =
            [&head[..], &head[..], &[0, 0, u32::MAX, u32::MAX, u32::MAX, u32::MAX]].concat();
        write(&index, &twice.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>());
        child::tell("applied");
    }
}
