//! Tests a read-only registry whose file is replaced while it is open: it follows the new file. The
//! main hazard is an answer that mixes both files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use webhook_registry::{ErrorKind, ListQuery, Registry, SubscriptionUpdate};

use crate::checkpoints::{EVENT, create_closed, folder, read_only};
use crate::support::child::{self, Peer};
use crate::support::{new, refused, size};

/// Returns the names of the subscribers from the cache, and of all subscriptions from the file.
fn visible_names(registry: &Registry) -> (Vec<String>, Vec<String>) {
    let told =
        registry.subscribers(EVENT).unwrap().iter().map(|one| one.name().to_owned()).collect();
    let all = registry.iter(ListQuery::new()).map(|one| one.unwrap().name().to_owned()).collect();
    (told, all)
}

/// Replaces the file with a registry that has this one subscription.
fn replace(path: &Path, name: &str) {
    let next = path.with_extension("next");
    create_closed(&next, name);
    fs::rename(next, path).unwrap();
}

#[test]
fn a_reader_follows_a_replaced_file() {
    let (_folder, path) = folder();
    create_closed(&path, "first");
    let reader = read_only().open(&path).unwrap();
    let mut peer =
        Peer::spawn(&mut child::command("read_only_replaced_file::child_reads", &path, &[]));
    peer.expect("ready");
    for round in 0..20 {
        let name = format!("n{round}");
        replace(&path, &name);
        let one = vec![name.clone()];
        if round % 2 == 0 {
            assert_eq!(visible_names(&reader), (one.clone(), one));
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
    // Later changes of that file are visible, too.
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
    let registry = read_only().open(path).unwrap();
    child::tell("ready");
    while child::await_word() == "look" {
        let (told, all) = visible_names(&registry);
        child::tell(format!("{} {}", told.join(","), all.join(",")));
    }
}

#[test]
fn concurrent_readers_of_a_replaced_file_see_either_file_and_never_a_mixture() {
    let (_folder, path) = folder();
    create_closed(&path, "n0");
    let reader = read_only().open(&path).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let number = |names: &[String]| names[0][1..].parse::<usize>().unwrap();
                let mut last = 0;
                loop {
                    let ended = done.load(Ordering::SeqCst);
                    let (told, all) = visible_names(&reader);
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
fn a_reader_returns_an_error_if_the_replacement_is_missing_or_unreadable() {
    let (folder, path) = folder();
    create_closed(&path, "one");
    let reader = read_only().open(&path).unwrap();
    assert_eq!(reader.subscribers(EVENT).unwrap().len(), 1);
    let aside = folder.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    let gone = refused(reader.subscribers(EVENT), ErrorKind::Storage, &[]);
    assert!(gone.to_string().contains("no longer the file that was opened"), "{gone}");
    refused(reader.get_by_name("one"), ErrorKind::Storage, &[]);
    fs::write(
        &path,
        "a text file of another program, and not a short one either: one hundred bytes and more of \
         it",
    )
    .unwrap();
    refused(reader.subscribers(EVENT), ErrorKind::Incompatible, &[]);
    refused(reader.len(), ErrorKind::Incompatible, &[]);
    // The error loses nothing.
    fs::rename(&aside, &path).unwrap();
    assert_eq!(reader.subscribers(EVENT).unwrap().len(), 1);
    replace(&path, "two");
    assert_eq!(visible_names(&reader), (vec!["two".to_owned()], vec!["two".to_owned()]));
}

#[test]
fn a_reader_does_not_follow_from_its_own_file_to_an_applications_or_back() {
    let (folder, path) = folder();
    let (own, guest) = (folder.path().join("own"), folder.path().join("guest"));
    create_closed(&own, "own");
    let options = Registry::options().guest(true);
    let registry = options.open(&guest).unwrap();
    crate::support::learn(&registry);
    registry.create(new("guest")).unwrap();
    drop(registry);
    let names = |of: &Path| vec![of.file_name().unwrap().to_str().unwrap().to_owned()];
    for (first, second) in [(&own, &guest), (&guest, &own)] {
        let put = |file: &Path| {
            let next = path.with_extension("next");
            fs::copy(file, &next).unwrap();
            fs::rename(next, &path).unwrap();
        };
        put(first);
        let reader = read_only().guest(true).open(&path).unwrap();
        assert_eq!(visible_names(&reader), (names(first), names(first)));
        put(second);
        let told = refused(reader.subscribers(EVENT), ErrorKind::Incompatible, &[]);
        assert!(told.to_string().contains("no longer the file that was opened"), "{told}");
        let cause = std::error::Error::source(&told).unwrap().to_string();
        assert!(cause.contains("open the registry again"), "{cause}");
        refused(reader.len(), ErrorKind::Incompatible, &[]);
        put(first);
        assert_eq!(visible_names(&reader), (names(first), names(first)));
        put(second);
        let anew = read_only().guest(true).open(&path).unwrap();
        assert_eq!(visible_names(&anew), (names(second), names(second)));
    }
}

#[cfg(feature = "encryption")]
#[test]
fn a_reader_decrypts_the_secrets_of_a_replaced_file_with_its_key() {
    let (_folder, path) = folder();
    let encrypted = |path: &Path, key: u8, name: &str| {
        let registry = Registry::options().encryption_key([key; 32]).open(path).unwrap();
        crate::support::learn(&registry);
        let made = registry.create(new(name)).unwrap();
        made.secret().expose().to_owned()
    };
    encrypted(&path, 7, "one");
    let reader = read_only().encryption_key([7; 32]).open(&path).unwrap();
    assert_eq!(reader.subscribers(EVENT).unwrap().len(), 1);
    for key in [7, 8, 7] {
        let next = path.with_extension("next");
        let secret = encrypted(&next, key, "two");
        fs::rename(next, &path).unwrap();
        if key == 7 {
            let told = reader.subscribers(EVENT).unwrap();
            assert_eq!(told[0].secrets().next().unwrap().expose(), secret);
        } else {
            refused(reader.subscribers(EVENT), ErrorKind::Incompatible, &[]);
        }
    }
}

/// A LiteFS replica is not written through SQLite. Pages are written into the file, and then the
/// header of the `-shm` with a higher change counter, from which SQLite knows that its cached pages
/// are stale.
#[cfg(target_endian = "little")]
#[test]
fn a_reader_sees_pages_that_were_written_without_sqlite() {
    let (folder, path) = folder();
    create_closed(&path, "n0");
    let source = folder.path().join("source.db");
    fs::copy(&path, &source).unwrap();
    let reader = read_only().open(&path).unwrap();
    assert_eq!(visible_names(&reader).0, ["n0"]);
    let mut peer = Peer::spawn(&mut child::command(
        "read_only_replaced_file::child_applies_pages",
        &path,
        &[],
    ));
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
        // Version, unused, change counter, flags and page size, frames, pages, checksum of the last
        // frame, salt.
        let mut head: Vec<u32> = (0..10).map(word).collect();
        (head[0], head[2], head[3]) = (3_007_000, word(2) + 1, 1 | page << 16);
        (head[4], head[5]) = (0, u32::try_from(pages.len()).unwrap() / page);
        let (mut one, mut two) = (0_u32, 0_u32);
        for pair in head.chunks(2) {
            one = one.wrapping_add(pair[0]).wrapping_add(two);
            two = two.wrapping_add(pair[1]).wrapping_add(one);
        }
        head.extend([one, two]);
        // Two copies, followed by the checkpointed frames of the `-wal` and the read marks.
        let twice =
            [&head[..], &head[..], &[0, 0, u32::MAX, u32::MAX, u32::MAX, u32::MAX]].concat();
        write(&index, &twice.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>());
        child::tell("applied");
    }
}
