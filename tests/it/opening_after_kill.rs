//! Tests opening files whose writer was killed in the middle of a write: hot journals, a partial
//! first page, a partial last page.

use std::fs;

use rusqlite::Connection;
use webhook_registry::{ErrorKind, Registry};

use crate::opening::{contents, folder, ways};
use crate::support::{new, refused};

/// Returns the header of a hot journal: the magic, the record count, the checksum seed, the
/// previous number of pages, sectors of 512 bytes and pages of 4,096 bytes.
fn journal_header(checksum: u32, pages: u32) -> Vec<u8> {
    let mut header = vec![0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    header.extend(
        [u32::MAX, checksum, pages, 512, 4_096].iter().flat_map(|number| number.to_be_bytes()),
    );
    header
}

#[test]
fn a_hot_journal_of_another_program_is_not_rolled_back_even_if_the_file_looks_empty() {
    let (folder, path) = folder();
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch(
            "PRAGMA page_size = 4096; PRAGMA journal_mode = PERSIST; CREATE TABLE notes (text); \
             INSERT INTO notes VALUES ('kept'); DROP TABLE notes",
        )
        .unwrap();
    // As if the program was killed just before its commit cleared the header of the journal.
    let mut journal = fs::read(folder.path().join("registry.db-journal")).unwrap();
    let page = &journal[516..516 + 4_096];
    let sum: u32 = (1..=20).map(|step| u32::from(page[4_096 - 200 * step])).sum();
    let stored = u32::from_be_bytes(journal[516 + 4_096..][..4].try_into().unwrap());
    journal[..28].copy_from_slice(&journal_header(stored.wrapping_sub(sum), 2));
    let to = tempfile::tempdir_in(folder.path()).unwrap();
    let left = to.path().join("left.db");
    fs::copy(&path, &left).unwrap();
    fs::write(to.path().join("left.db-journal"), journal).unwrap();
    let before = contents(to.path());
    for (way, options) in ways() {
        options.open(&left).unwrap_err();
        assert!(contents(to.path()) == before, "opening {way} changed the folder");
    }
    // The journal was hot: the program itself recovers its table.
    let kept: String = Connection::open(&left)
        .unwrap()
        .query_row("SELECT text FROM notes", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kept, "kept");
}

#[test]
fn a_file_with_only_a_partially_written_first_page_is_initialized_again() {
    for wal in [false, true] {
        let (folder, path) = folder();
        let killed = Connection::open(&path).unwrap();
        killed
            .execute_batch("PRAGMA page_size = 4096; CREATE TABLE t (a); DROP TABLE t; VACUUM")
            .unwrap();
        drop(killed);
        assert_eq!(fs::metadata(&path).unwrap().len(), 4_096);
        let mut journal = journal_header(4_711, 0);
        journal.resize(512, 0);
        fs::write(folder.path().join("registry.db-journal"), journal).unwrap();
        if wal {
            fs::write(folder.path().join("registry.db-wal"), []).unwrap();
        }
        let registry = Registry::open(&path).unwrap();
        assert!(registry.is_empty().unwrap() && registry.check().unwrap().is_sound());
        drop(registry);
        assert_eq!(contents(folder.path()).into_keys().collect::<Vec<_>>(), [path]);
    }
}

#[test]
fn a_file_that_ends_within_a_page_after_a_killed_checkpoint_is_readable() {
    let (folder, path) = folder();
    let registry = Registry::open(&path).unwrap();
    registry.create_all((0..50).map(|n| new(&format!("n{n}")).allow_unknown_events(true))).unwrap();
    let wal = fs::read(folder.path().join("registry.db-wal")).unwrap();
    drop(registry);
    // The file now holds everything except for the end of the last page.
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 100]).unwrap();
    refused(Registry::open(&path), ErrorKind::Corrupt, &[]);
    for options in [Registry::options(), Registry::options().read_only(true)] {
        fs::write(&path, &whole[..whole.len() - 100]).unwrap();
        fs::write(folder.path().join("registry.db-wal"), &wal).unwrap();
        let registry = options.open(&path).unwrap();
        assert_eq!(registry.len().unwrap(), 50);
        assert!(registry.check().unwrap().is_sound());
    }
}
