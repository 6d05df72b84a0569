//! Brings the schema of a file to the current version.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::content::{APPLICATION, Content, Found};
use super::error::MapSqliteErr as _;
use super::schema::{MARKS, STEPS, STEPS_IN_MEMORY};
use super::stored_secret::SecretCodec;
use crate::error::Result;
use crate::secret::EncryptionKey;

/// Brings the file to the current schema, in one transaction. A new file gets the key. `check` runs
/// inside the transaction, before anything is written.
pub(super) fn migrate(
    conn: &mut Connection,
    key: Option<&EncryptionKey>,
    guest: bool,
    check: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let tx = begin(conn)?;
    check()?;
    migrate_in(tx, STEPS.iter().copied(), key, guest)
}

/// Makes a registry in a database in memory.
pub(super) fn make_in_memory(conn: &mut Connection) -> Result<()> {
    migrate_by(STEPS_IN_MEMORY.into_iter(), conn, None, false)
}

fn migrate_by<'s>(
    steps: impl ExactSizeIterator<Item = &'s str>,
    conn: &mut Connection,
    key: Option<&EncryptionKey>,
    guest: bool,
) -> Result<()> {
    migrate_in(begin(conn)?, steps, key, guest)
}

fn begin(conn: &mut Connection) -> Result<Transaction<'_>> {
    conn.transaction_with_behavior(TransactionBehavior::Immediate).map_sqlite_err()
}

/// Determines the content again inside the transaction, because another process may have migrated
/// the file meanwhile.
fn migrate_in<'s>(
    tx: Transaction<'_>,
    steps: impl ExactSizeIterator<Item = &'s str>,
    key: Option<&EncryptionKey>,
    guest: bool,
) -> Result<()> {
    let newest = steps.len();
    let Found { content, guest } = Found::among(newest, &tx, guest).map_sqlite_err()?;
    let done = match content.admit()? {
        Content::Older(version) => version,
        Content::Nothing | Content::Application => 0,
        _ => return Ok(()),
    };
    for step in steps.skip(done) {
        tx.execute_batch(step).map_sqlite_err()?;
    }
    tx.execute_batch(&format!("UPDATE _webhook_registry_meta SET schema_version = {newest}"))
        .map_sqlite_err()?;
    if guest && done == 0 {
        tx.execute_batch(MARKS).map_sqlite_err()?;
    }
    if guest {
        tx.execute_batch("UPDATE _webhook_registry_meta SET guest = 1").map_sqlite_err()?;
    } else {
        tx.execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {newest}"
        ))
        .map_sqlite_err()?;
    }
    if done == 0 && key.is_some() {
        SecretCodec::set_key(&tx, key)?;
    }
    tx.commit().map_sqlite_err()
}

/// Guards against a file that was brought half-way to a later schema. There is one version yet, so
/// the later ones are made up here.
#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::sync::Barrier;
    use std::thread;
    use std::time::Duration;

    use super::super::Durability;
    use super::{APPLICATION, Content, Found, STEPS, migrate_by};
    use crate::error::{ErrorKind, Result};
    use crate::registry::Registry;
    use crate::subscription::NewSubscription;
    use rusqlite::Connection;
    use rusqlite::types::ValueRef;

    /// Two later versions, as such steps are: new columns and tables, filled from the old ones.
    const LATER: [&[&str]; 2] = [
        &[
            "ALTER TABLE _webhook_registry_subscription ADD COLUMN note TEXT;",
            "UPDATE _webhook_registry_subscription SET note = name || ' ' || hex(zeroblob(2000));",
            "CREATE TABLE owner (name TEXT NOT NULL PRIMARY KEY) STRICT;",
            "INSERT INTO owner SELECT name || '!' FROM _webhook_registry_subscription;",
        ],
        &[
            "CREATE INDEX by_note ON _webhook_registry_subscription (note);",
            "ALTER TABLE owner RENAME TO owners;",
            "UPDATE _webhook_registry_subscription SET note = note || note;",
            "DROP VIEW webhook_registry_event_types;",
        ],
    ];
    const NEWEST: usize = 3;
    const CHILD: &str = "WEBHOOK_REGISTRY_MIGRATES";

    /// The steps from the first version to the newest; with a fault before statement `faulty` of
    /// the later ones.
    fn steps(faulty: Option<usize>) -> Vec<String> {
        let mut number = 0..;
        let later = LATER.iter().map(|statements| {
            let fault = |at| if faulty == Some(at) { "SELECT nothing_of_that_name;" } else { "" };
            statements
                .iter()
                .map(|it| number.next().map_or("", fault).to_owned() + it)
                .collect::<String>()
        });
        STEPS.iter().map(|&first| first.to_owned()).chain(later).collect()
    }

    fn run(steps: &[String], conn: &mut Connection) -> Result<()> {
        migrate_by(steps.iter().map(String::as_str), conn, None, false)
    }

    fn content_among(newest: usize, conn: &Connection) -> Content {
        Found::among(newest, conn, false).unwrap().content
    }

    fn make(path: &Path) {
        let registry = Registry::options().durability(Durability::Relaxed).open(path).unwrap();
        registry.register_event_types(["a.v1", "a.v2"]).unwrap();
        let new =
            |number| NewSubscription::new(format!("s{number}"), "https://example.com/", ["a.*"]);
        registry.create_all((0..100).map(new)).unwrap();
    }

    /// All that is in the file.
    fn dump(conn: &Connection) -> Vec<String> {
        let text = |sql: &str| -> Vec<String> {
            let mut statement = conn.prepare(sql).unwrap();
            let columns = statement.column_count();
            let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
                let shown = |at| {
                    row.get_ref(at).map(|value| match value {
                        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned() + "\n",
                        other => format!("{other:?}\n"),
                    })
                };
                (0..columns).map(shown).collect()
            };
            statement.query_map([], row).unwrap().map(rusqlite::Result::unwrap).collect()
        };
        let mut all = text("SELECT type, name, sql FROM sqlite_master ORDER BY name");
        assert_eq!(text("PRAGMA integrity_check"), ["ok\n"]);
        all.extend(text("PRAGMA user_version"));
        let tables = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
        let mut tables = conn.prepare(tables).unwrap();
        for table in tables.query_map([], |row| row.get::<_, String>(0)).unwrap() {
            all.extend(text(&format!("SELECT * FROM {}", table.unwrap())));
        }
        all
    }

    #[test]
    fn a_registry_of_no_version_is_nobodys() {
        let conn = Connection::open_in_memory().unwrap();
        let content = |version| {
            conn.execute_batch(&format!(
                "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {version}"
            ))
            .unwrap();
            content_among(2, &conn)
        };
        assert_eq!(content(-1), Content::Foreign);
        assert_eq!(content(0), Content::Foreign);
        assert_eq!(content(1), Content::Older(1));
        assert_eq!(content(2), Content::Current);
        assert_eq!(content(3), Content::Newer(3));
    }

    #[test]
    fn a_step_that_fails_anywhere_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.db");
        make(&path);
        let mut conn = Connection::open(&path).unwrap();
        let before = dump(&conn);
        for faulty in 0..LATER.concat().len() {
            run(&steps(Some(faulty)), &mut conn).unwrap_err();
            assert!(dump(&conn) == before, "after a fault at statement {faulty}");
            assert_eq!(content_among(NEWEST, &conn), Content::Older(1));
        }
        run(&steps(None), &mut conn).unwrap();
        let after = dump(&conn);
        assert!(after != before);
        assert_eq!(content_among(NEWEST, &conn), Content::Current);
        // Once there, nothing is run again, not even what would fail.
        run(&steps(Some(0)), &mut conn).unwrap();
        assert!(dump(&conn) == after);
        // To the version of today it is a file from the future.
        assert_eq!(Found::read(&conn, false).unwrap().content, Content::Newer(3));
        drop(conn);
        assert_eq!(Registry::open(&path).unwrap_err().kind(), ErrorKind::Incompatible);
    }

    /// Else a plain file would be taken for one whose secrets are encrypted.
    #[cfg(feature = "encryption")]
    #[test]
    fn only_a_new_file_gets_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let key = crate::secret::EncryptionKey::new([7; 32]);
        let has_key = |mut conn: Connection| -> bool {
            migrate_by(steps(None).iter().map(String::as_str), &mut conn, Some(&key), false)
                .unwrap();
            conn.query_row("SELECT key_check IS NOT NULL FROM _webhook_registry_meta", [], |row| {
                row.get(0)
            })
            .unwrap()
        };
        assert!(has_key(Connection::open_in_memory().unwrap()));
        let path = folder.path().join("registry.db");
        make(&path);
        assert!(!has_key(Connection::open(&path).unwrap()));
    }

    #[test]
    fn a_new_file_goes_through_every_step() {
        let mut conn = Connection::open_in_memory().unwrap();
        run(&steps(None), &mut conn).unwrap();
        assert_eq!(content_among(NEWEST, &conn), Content::Current);
    }

    #[test]
    fn of_two_that_migrate_at_once_one_finds_it_done() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..10 {
            let path = folder.path().join(format!("{round}.db"));
            make(&path);
            let start = Barrier::new(2);
            let migrate = || {
                let mut conn = Connection::open(&path).unwrap();
                start.wait();
                run(&steps(None), &mut conn).unwrap();
                dump(&conn)
            };
            let found = thread::scope(|scope| {
                let other = scope.spawn(migrate);
                [migrate(), other.join().unwrap()]
            });
            assert!(found[0] == found[1]);
        }
    }

    /// Runs each statement as a step, prints its number, and stops before the given one.
    #[test]
    fn child_migrates() {
        let Some(path) = std::env::var_os(CHILD) else { return };
        let stop = std::env::var("WEBHOOK_REGISTRY_STOP").unwrap();
        let mut conn = Connection::open(path).unwrap();
        // Next to nothing stays in memory, so that what is not committed reaches the `-wal`.
        conn.execute_batch("PRAGMA cache_size = 2").unwrap();
        let statements = STEPS.iter().copied().chain(LATER.concat());
        let statements: Vec<(usize, &str)> = statements.enumerate().collect();
        let watched = statements.iter().map(|&(number, statement)| {
            eprintln!("@{number}");
            while number.to_string() == stop {
                thread::park();
            }
            statement
        });
        migrate_by(watched, &mut conn, None, false).unwrap();
    }

    #[test]
    fn a_killed_migration_is_whole_or_did_not_happen() {
        let full = std::env::var_os("WEBHOOK_REGISTRY_FULL").is_some_and(|value| value == "1");
        let (rounds, last) = (if full { 100 } else { 16 }, LATER.concat().len());
        let folder = tempfile::tempdir().unwrap();
        let (mut old, mut new) = (0, 0);
        for round in 0..rounds {
            let path = folder.path().join(format!("{round}.db"));
            make(&path);
            let before = dump(&Connection::open(&path).unwrap());
            // Half of them where they stand still, half of them while they run on.
            let (at, stands) = (1 + round / 2 % last, round % 2 == 0);
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["store::migrate::tests::child_migrates", "--exact", "--nocapture"])
                .env(CHILD, &path)
                .env("WEBHOOK_REGISTRY_STOP", if stands { at.to_string() } else { String::new() })
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let heard = BufReader::new(child.stderr.take().unwrap()).lines();
            let mut heard =
                heard.map(|line| line.unwrap()).skip_while(|line| *line != format!("@{at}"));
            assert!(heard.next().is_some(), "it was to reach statement {at}");
            if !stands {
                thread::sleep(Duration::from_micros(97 * u64::try_from(round).unwrap() % 3_000));
            }
            child.kill().unwrap();
            child.wait().unwrap();
            if stands && at > 2 {
                // A column was filled, and some of that lies there.
                let written = std::fs::metadata(path.with_extension("db-wal")).unwrap().len();
                assert!(written > 100_000, "{written} bytes in the -wal at statement {at}");
            }
            let mut conn = Connection::open(&path).unwrap();
            match content_among(1 + last, &conn) {
                Content::Current => new += 1,
                found => {
                    assert_eq!(
                        (found, dump(&conn) == before),
                        (Content::Older(1), true),
                        "killed at {at}"
                    );
                    old += 1;
                }
            }
            assert!(!stands || dump(&conn) == before, "killed before {at}");
            let all: Vec<&str> = STEPS.iter().copied().chain(LATER.concat()).collect();
            migrate_by(all.into_iter(), &mut conn, None, false).unwrap();
            let noted = "SELECT count(*) FROM _webhook_registry_subscription s JOIN owners o ON \
                        o.name = s.name || \
                '!' \
                WHERE note LIKE s.name || ' 00%' || s.name || ' 00%'";
            let found: i64 = conn.query_row(noted, [], |row| row.get(0)).unwrap();
            assert_eq!(found, 100);
        }
        println!("{rounds} kills: {old} left the file as it was, {new} came after the commit");
        assert!(old >= rounds / 2);
    }
}
