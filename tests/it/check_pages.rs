//! Tests that `check` reports damaged and lost pages of the database file.

use std::path::Path;

use webhook_registry::{ErrorKind, ListQuery, Registry, SubscriptionId, SubscriptionUpdate};

use crate::check::{check, execute, file, finds};
use crate::support::{new, refused, size};

/// Returns the root page of a table or an index, and the page size.
fn root_page(path: &Path, name: &str) -> (u64, u64) {
    let conn = rusqlite::Connection::open(path).unwrap();
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64;
    (
        number(&format!("SELECT rootpage FROM sqlite_master WHERE name = '{name}'")),
        number("PRAGMA page_size"),
    )
}

fn overwrite(path: &Path, (page, size): (u64, u64), byte: u8) {
    use std::io::{Seek as _, Write as _};
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(std::io::SeekFrom::Start((page - 1) * size)).unwrap();
    file.write_all(&vec![byte; size as usize]).unwrap();
}

#[test]
fn check_finds_a_garbage_page_in_any_table_or_index_and_reads_the_rest() {
    let names = [
        "_webhook_registry_event_type",
        "_webhook_registry_pattern",
        "_webhook_registry_pattern_prefix",
        "_webhook_registry_expansion",
        "_webhook_registry_expansion_pattern",
        "_webhook_registry_subscription",
        "_webhook_registry_subscription_pattern",
        "_webhook_registry_subscription_pattern_route",
        "_webhook_registry_replaced_secret",
        "sqlite_autoindex__webhook_registry_event_type_1",
        "sqlite_autoindex__webhook_registry_pattern_1",
        "sqlite_autoindex__webhook_registry_subscription_1",
        "sqlite_autoindex__webhook_registry_subscription_2",
    ];
    for name in names {
        for byte in [0, 0xAA] {
            let file = file();
            overwrite(&file.path, root_page(&file.path, name), byte);
            println!("{name} {byte}");
            let report = check(&file.path);
            assert!(!report.is_sound(), "{name}");
            if name == "_webhook_registry_subscription_pattern" {
                let lost =
                    report.findings().iter().filter(|finding| finding.subscription_id().is_some());
                assert!(lost.count() >= 3, "{report}");
            }
        }
    }
    // If one table is missing, the others are still checked.
    let file = file();
    execute(
        &file.path,
        "DROP VIEW webhook_registry_subscriptions; DROP VIEW \
                        webhook_registry_subscribers; DROP TABLE _webhook_registry_expansion",
    );
    let report = check(&file.path);
    assert!(
        report
            .findings()
            .iter()
            .any(|finding| finding.message().contains("_webhook_registry_expansion")),
        "{report}"
    );
}

/// Returns the file once for each entry of an index that fills one page. The header of that entry
/// seems to have no columns.
fn with_empty_headers(file: &[u8], (page, size): (u64, u64)) -> Vec<Vec<u8>> {
    let start = ((page - 1) * size) as usize;
    let two = |at: usize| usize::from(u16::from_be_bytes([file[start + at], file[start + at + 1]]));
    assert_eq!(file[start], 10, "a leaf of an index");
    let damaged = |entry: usize| {
        let mut file = file.to_vec();
        let header = &mut file[start + two(8 + 2 * entry) + 1];
        assert!(*header > 1);
        *header = 1;
        file
    };
    (0..two(3)).map(damaged).collect()
}

#[test]
fn an_entry_without_columns_in_any_index_is_damage_for_check_and_for_calls() {
    // SQLite 3.40's integrity check finds nothing in some of these files. A call that only looks up
    // a key passes over the entry, and meets no damage.
    for (index, meets) in [
        ("_webhook_registry_change_owner", false),
        ("_webhook_registry_pattern_prefix", true),
        ("_webhook_registry_expansion_pattern", true),
        ("_webhook_registry_subscription_owner", true),
        ("_webhook_registry_subscription_pattern_route", true),
        ("sqlite_autoindex__webhook_registry_event_type_1", true),
        ("sqlite_autoindex__webhook_registry_owner_1", false),
        ("sqlite_autoindex__webhook_registry_pattern_1", false),
        ("sqlite_autoindex__webhook_registry_subscription_1", true),
        ("sqlite_autoindex__webhook_registry_subscription_2", true),
    ] {
        let file = file();
        let registry = Registry::open(&file.path).unwrap();
        registry.for_owner("acme").unwrap().create(new("theirs")).unwrap();
        drop(registry);
        let sound = std::fs::read(&file.path).unwrap();
        let damaged = with_empty_headers(&sound, root_page(&file.path, index));
        let mut errors = 0;
        for (number, damaged) in damaged.iter().enumerate() {
            // Each at a path of its own, because damage of a path is remembered.
            let path = file.path.with_extension(format!("{index}-{number}"));
            std::fs::write(&path, damaged).unwrap();
            errors += errors_of_damage(&path, &file.ids, index);
            let path = path.with_extension("checked");
            std::fs::write(&path, damaged).unwrap();
            assert!(!check(&path).is_sound(), "{index}");
        }
        assert_eq!(errors > 0, meets, "{index}: {errors}");
    }
}

/// Returns how many calls fail, after asserting that none takes the damage for a disk that could
/// not be read.
fn errors_of_damage(path: &Path, ids: &[SubscriptionId], index: &str) -> usize {
    let registry = Registry::open(path).unwrap();
    let acme = registry.for_owner("acme").unwrap();
    let errors = [
        registry.list(ListQuery::new()).err(),
        registry.subscribers("channel.b.v2").err(),
        registry.explain("agent.a.v1").err(),
        registry.get_by_name("off").err(),
        acme.list(ListQuery::new()).err(),
        acme.changes(0, 100).err(),
        registry.update(ids[0], SubscriptionUpdate::new().name("other")).err(),
        registry.register_event_types(["agent.c.v1"]).err(),
        registry.create(new("another")).err(),
        registry.delete(ids[2]).err(),
    ];
    let errors = errors.into_iter().flatten();
    errors
        .inspect(|error| assert_ne!(error.kind(), ErrorKind::Storage, "{index}: {error:?}"))
        .count()
}

#[test]
fn the_text_of_another_programs_index_is_not_executed() {
    let file = file();
    // A registry's name in the name of the index, and a query without end in its text.
    execute(
        &file.path,
        "CREATE INDEX \"a_webhook_registry_b JOIN (WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL \
         SELECT x FROM c) SELECT x FROM c)\" ON _webhook_registry_subscription (url); \
         CREATE INDEX c_webhook_registry_d ON _webhook_registry_subscription \
         (url || 'WHERE 1 AND (WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x FROM c) \
         SELECT count(*) FROM c) --')",
    );
    assert!(check(&file.path).is_sound());
}

#[test]
fn check_finds_pages_that_belong_to_no_table() {
    let conn = rusqlite::Connection::open_in_memory().unwrap();
    let known: i64 = conn
        .query_row("SELECT count(*) FROM pragma_module_list WHERE name = 'dbstat'", [], |row| {
            row.get(0)
        })
        .unwrap();
    if known == 0 {
        println!("skipped: this SQLite has no dbstat");
        return;
    }
    finds(
        "CREATE TABLE lost (x); INSERT INTO lost VALUES (zeroblob(9000)); \
         PRAGMA writable_schema = ON; \
         DELETE FROM sqlite_master WHERE name = 'lost'",
        "pages belong to nothing (3)",
        None,
    );
    // Free pages and tables of other programs are not lost pages.
    let file = file();
    execute(
        &file.path,
        "CREATE TABLE mine (x); INSERT INTO mine VALUES (zeroblob(90000)); DELETE FROM mine; \
         ANALYZE",
    );
    assert!(check(&file.path).is_sound());
    // Pointer-map pages, which exist if another program enabled auto-vacuum, are not lost either.
    execute(&file.path, "PRAGMA auto_vacuum = FULL; VACUUM");
    assert!(check(&file.path).is_sound());
}

#[test]
fn the_page_of_the_lock_bytes_is_not_reported_as_lost() {
    if !size(false, true) {
        println!("skipped: the test needs a file of one gigabyte");
        return;
    }
    const BEFORE: i64 = (1 << 30) / 4_096;
    let file = file();
    let conn = rusqlite::Connection::open(&file.path).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF; CREATE TABLE mine (x)",
    )
    .unwrap();
    let pages = || conn.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0)).unwrap();
    // A single value would exceed the length limit of SQLite.
    let half = (BEFORE - 40 - pages()) / 2 * 4_092;
    conn.execute("INSERT INTO mine VALUES (zeroblob(?1)), (zeroblob(?1))", [half]).unwrap();
    // The page of the lock bytes counts only once a page follows it.
    for expected in [BEFORE, BEFORE + 2] {
        while pages() < expected {
            conn.execute("INSERT INTO mine VALUES (zeroblob(4000))", []).unwrap();
        }
        assert_eq!(pages(), expected);
        conn.execute_batch("PRAGMA journal_mode = WAL").unwrap();
        let report = check(&file.path);
        assert!(report.is_sound(), "{expected}: {report}");
        conn.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    }
}

#[test]
fn checking_an_unreadable_file_returns_an_error_or_findings() {
    let file = file();
    let registry = Registry::options().read_only(true).open(&file.path).unwrap();
    drop(Registry::open(&file.path).unwrap());
    overwrite(&file.path, (1, 4_096), 0xAA);
    match registry.check() {
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Storage), "{error}")
        }
        Ok(report) => assert!(!report.is_sound(), "{report}"),
    }
    refused(Registry::open(&file.path), ErrorKind::Incompatible, &[]);
}

#[test]
fn check_advises_of_a_linked_sqlite_with_the_wal_reset_bug_for_a_file() {
    let file = file();
    let affected = match rusqlite::version_number() {
        3_044_006..3_045_000 | 3_050_007..3_051_000 => false,
        version => version < 3_051_003,
    };
    for registry in
        [Registry::open(&file.path), Registry::options().read_only(true).open(&file.path)]
    {
        let report = registry.unwrap().check().unwrap();
        let messages: Vec<&str> = report.advice().iter().map(|advice| advice.message()).collect();
        let version = format!("this program links SQLite {}, ", rusqlite::version());
        assert_eq!(
            messages.iter().filter(|message| message.starts_with(&version)).count(),
            usize::from(affected)
        );
    }
    // In memory there is no `-wal`.
    let report = Registry::in_memory().unwrap().check().unwrap();
    assert_eq!(report.to_string(), "nothing found");
}
