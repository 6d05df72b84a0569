//! Asks a connection whether the registry has changed since it was asked last.
//!
//! # The hazard
//!
//! SQLite's `PRAGMA data_version` returns a number that differs from the last one of the same
//! connection if another connection has committed in between. A cached answer is valid only if the
//! number is asked for after the call began: a number from before could hide a commit that the
//! caller already knows of.
//!
//! In an application's file the number also moves when the application commits to its own tables.
//! So where it has moved there, the [`Mark`] is read, which moves with the registry alone. The mark
//! is read after the number: a commit in between can then only make the next check read it again.
//!
//! # After a change by this store
//!
//! `main`, the connection that writes, has the new pages in memory. So after a commit of its own it
//! is asked in place of the probe, and the answer is read through it. The probe then finds that
//! commit, and would call it a change once more. So `main` is asked again: if nobody has committed
//! since, the probe has found nothing new.

use std::ops::Deref;

use rusqlite::Connection;

use super::disk;
use super::error::MapSqliteErr as _;
use super::mark::Mark;
use crate::error::Result;

/// The connections of a store by which a version can be found.
pub(super) trait Connections {
    /// Opens a connection for the probe.
    fn connect(&self) -> Result<Connection>;

    /// Returns a number that increases with each commit of `main`, the connection that writes.
    fn commits(&self) -> u64;

    /// Locks `main`. None where it is in use, or others than registries write to the file.
    fn main(&self) -> Option<impl Deref<Target = Connection>>;
}

/// The connection that found a new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoundBy {
    Probe,
    Main,
}

/// The probe's connection, and the state of the last version.
#[derive(Default)]
pub(super) struct VersionProbe {
    conn: Option<Connection>,
    number: Option<i64>,
    mark: Option<Mark>,
    /// The commits of `main` that the last version includes.
    known_commits: Option<u64>,
    /// The number of `main`, if it found the last version.
    main_number: Option<i64>,
}

impl VersionProbe {
    /// Calls `changed` if the registry has changed since the last check, in a registry's own file
    /// while the snapshot in which that was found is still open. The first check finds a change.
    pub(super) fn check(
        &mut self,
        guest: bool,
        connections: &impl Connections,
        changed: impl FnOnce(&Connection, FoundBy),
    ) -> Result<()> {
        // Read before the number, which then includes these commits.
        let commits = connections.commits();
        if self.known_commits != Some(commits)
            && let Some(main) = connections.main()
        {
            // None can follow while it is locked.
            let commits = connections.commits();
            return with_data_version(&main, |found| {
                (self.main_number, self.known_commits) = (found, Some(commits));
                changed(&main, FoundBy::Main);
                Ok(())
            });
        }
        let conn = match &mut self.conn {
            Some(conn) => conn,
            none => none.insert(connections.connect()?),
        };
        if guest {
            // With rusqlite 0.32 and its SQLite 3.46, a statement of the mark fails with
            // `SQLITE_LOCKED` while that of the number is open.
            let found = with_data_version(conn, Ok)?;
            if found.is_some() && self.number == found {
                return Ok(());
            }
            let mark = Mark::read(conn, self.mark.as_ref())
                .map_err(|error| disk::diagnose(conn, error))?;
            let is_same = mark.is_some() && mark == self.mark;
            (self.number, self.mark) = (found, mark);
            if !is_same {
                changed(conn, FoundBy::Probe);
            }
            return Ok(());
        }
        with_data_version(conn, |found| {
            let is_same = (found.is_some() && self.number == found)
                || is_known(self.main_number, self.known_commits, connections);
            self.number = found;
            if !is_same {
                (self.main_number, self.known_commits) = (None, Some(commits));
                changed(conn, FoundBy::Probe);
            }
            Ok(())
        })
    }
}

/// Returns whether `main` found the last version, and nobody has committed since.
fn is_known(number: Option<i64>, commits: Option<u64>, connections: &impl Connections) -> bool {
    let (Some(number), Some(commits)) = (number, commits) else {
        return false;
    };
    connections.main().is_some_and(|main| {
        connections.commits() == commits
            && with_data_version(&main, |found| Ok(found == Some(number))).is_ok_and(|same| same)
    })
}

/// Passes the number of `PRAGMA data_version` to `then`, and keeps its snapshot open meanwhile.
fn with_data_version<T>(
    conn: &Connection,
    then: impl FnOnce(Option<i64>) -> Result<T>,
) -> Result<T> {
    let mut statement = conn
        .prepare_cached("PRAGMA data_version")
        .map_sqlite_err()
        .map_err(|error| disk::diagnose(conn, error))?;
    let mut rows = statement.query([]).map_sqlite_err()?;
    let found = rows
        .next()
        .map_sqlite_err()
        .and_then(|row| row.map(|row| row.get::<_, i64>(0)).transpose().map_sqlite_err());
    then(found.map_err(|error| disk::diagnose(conn, error))?)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Mutex;

    use super::*;
    use crate::store::schema::{Parts, newest_schema};

    /// The connections to a file, of which `main` makes the given number of commits.
    struct Given<'g, C: Fn() -> Result<Connection>> {
        connect: C,
        main: Option<&'g Mutex<Connection>>,
        /// The number that the first call returns, and that of later calls.
        commits: Cell<(u64, u64)>,
    }

    impl<C: Fn() -> Result<Connection>> Connections for Given<'_, C> {
        fn connect(&self) -> Result<Connection> {
            (self.connect)()
        }

        fn commits(&self) -> u64 {
            let (first, after) = self.commits.get();
            self.commits.set((after, after));
            first
        }

        fn main(&self) -> Option<impl Deref<Target = Connection>> {
            self.main.and_then(|main| main.try_lock().ok())
        }
    }

    #[test]
    fn a_commit_of_the_store_is_found_by_its_connection_and_not_again_by_the_probe() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        let connect = || Connection::open(&path).map_sqlite_err();
        let (main, other) = (Mutex::new(connect().unwrap()), connect().unwrap());
        other.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").unwrap();
        let mut probe = VersionProbe::default();
        let mut found_during = |commits, main: Option<&Mutex<Connection>>| {
            let given = Given { connect, main, commits: Cell::new(commits) };
            let mut by = None;
            probe.check(false, &given, |_, found_by| by = Some(found_by)).unwrap();
            by
        };
        let mut found_by = |commits, main| found_during((commits, commits), main);
        let commit = |conn: &Connection| conn.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        let (by_main, by_probe) = (Some(FoundBy::Main), Some(FoundBy::Probe));
        assert_eq!(found_by(0, Some(&main)), by_main, "the first check finds a change");
        assert_eq!(found_by(0, Some(&main)), None);
        commit(&main.lock().unwrap());
        assert_eq!(found_by(1, Some(&main)), by_main);
        assert_eq!(found_by(1, Some(&main)), None, "the probe finds what is known");
        commit(&other);
        assert_eq!(found_by(1, Some(&main)), by_probe);
        assert_eq!(found_by(1, Some(&main)), None);
        // Commits of both, in either order.
        for first in [true, false] {
            let commits = if first { 2 } else { 3 };
            if first {
                commit(&other);
            }
            commit(&main.lock().unwrap());
            assert_eq!(found_by(commits, Some(&main)), by_main);
            if !first {
                commit(&other);
                assert_eq!(found_by(commits, Some(&main)), by_probe);
            }
            assert_eq!(found_by(commits, Some(&main)), None);
        }
        // While the store writes, the probe alone decides.
        commit(&main.lock().unwrap());
        assert_eq!(found_by(4, None), by_probe);
        assert_eq!(found_by(4, Some(&main)), None, "the probe has found the commit");
        commit(&main.lock().unwrap());
        assert_eq!(found_by(5, Some(&main)), by_main);
        commit(&main.lock().unwrap());
        assert_eq!(found_by(6, None), by_probe, "what is known is older than the commit");
        assert_eq!(found_by(6, Some(&main)), None);
        commit(&main.lock().unwrap());
        assert_eq!(found_by(7, Some(&main)), by_main);
        commit(&main.lock().unwrap());
        let during = found_during((7, 8), Some(&main));
        assert_eq!(during, by_probe, "the store committed after the check began");
    }

    #[test]
    fn a_version_of_an_applications_file_stays_until_another_connection_changes_the_registry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        newest_schema(Parts::Guest).unwrap().execute("VACUUM INTO ?1", [path.to_str()]).unwrap();
        let connect = || Connection::open(&path).map_sqlite_err();
        let other = connect().unwrap();
        other
            .execute_batch(
                "UPDATE _webhook_registry_meta SET guest = 1; CREATE TABLE application (a)",
            )
            .unwrap();
        let given = Given { connect, main: None, commits: Cell::default() };
        let mut probe = VersionProbe::default();
        let mut moves = |statement: &str| {
            other.execute_batch(statement).unwrap();
            let [mut first, mut second] = [false; 2];
            probe.check(true, &given, |_, _| first = true).unwrap();
            probe.check(true, &given, |_, _| second = true).unwrap();
            assert!(!second, "nothing has changed");
            first
        };
        assert!(moves("SELECT 1"), "the first check reports a change");
        assert!(!moves("INSERT INTO application VALUES (1)"));
        assert!(moves("INSERT INTO _webhook_registry_event_type (name) VALUES ('a.v1')"));
        assert!(!moves("DELETE FROM application"));
        assert!(moves("DELETE FROM _webhook_registry_event_type"));
        assert!(moves("UPDATE _webhook_registry_meta SET key_check = x'00'"));
        // Nothing would report a change any more.
        assert!(moves("DROP TRIGGER _webhook_registry_mark_event_type_delete"));
        assert!(moves("INSERT INTO application VALUES (1)"));
    }
}
