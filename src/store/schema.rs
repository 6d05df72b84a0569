//! The schema of a registry's tables and views.

use rusqlite::Connection;

use super::error::MapSqliteErr as _;
use crate::error::Result;

/// The step from each version to the next. Append only, because files of every released version
/// exist.
pub(super) const STEPS: [&str; 1] = [concat!(
    include_str!("schema.sql"),
    include_str!("views.sql"),
    include_str!("writable_views.sql")
)];

/// The steps for a registry in memory, which makes none of the [`VIEWS`].
pub(super) const STEPS_IN_MEMORY: [&str; STEPS.len()] = [include_str!("schema.sql")];

/// The views of the newest schema, and their triggers.
pub(super) const VIEWS: &str =
    concat!(include_str!("views.sql"), include_str!("writable_views.sql"));

/// The triggers that only a guest has. They are made when a registry is, after all steps.
pub(super) const MARKS: &str = include_str!("marks.sql");

/// The parts of the schema that a registry has. A copy in memory has those of its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parts {
    /// The tables without the views: a registry that began in memory.
    Tables,
    /// A registry in a file of its own.
    Own,
    /// A registry in an application's file.
    Guest,
}

/// Returns the version of the newest schema.
pub(super) const fn newest() -> usize {
    STEPS.len()
}

/// The number of triggers that change the mark: three for each table that dispatch reads.
pub(super) const MARK_TRIGGERS: i64 = 18;

/// Returns a database in memory with the newest schema and no rows.
pub(super) fn newest_schema(parts: Parts) -> Result<Connection> {
    let conn = Connection::open_in_memory().map_sqlite_err()?;
    let steps = if parts == Parts::Tables { STEPS_IN_MEMORY } else { STEPS };
    let marks = (parts == Parts::Guest).then_some(MARKS);
    steps
        .into_iter()
        .chain(marks)
        .try_for_each(|step| conn.execute_batch(step))
        .map_sqlite_err()?;
    Ok(conn)
}

/// Returns the names of the registry's tables that the file has.
pub(super) fn own_tables(conn: &Connection) -> Result<Vec<String>> {
    let names = |conn: &Connection| -> Result<Vec<String>> {
        let sql = "SELECT name FROM sqlite_master \
            WHERE type = 'table' AND name NOT GLOB 'sqlite_*' ORDER BY name";
        let mut statement = conn.prepare(sql).map_sqlite_err()?;
        let mut rows = statement.query([]).map_sqlite_err()?;
        let mut names = Vec::new();
        while let Some(row) = rows.next().map_sqlite_err()? {
            // A name that is no UTF-8 is another program's.
            names.extend(row.get_ref(0).map_sqlite_err()?.as_str().map(str::to_owned));
        }
        Ok(names)
    };
    let found = names(conn)?;
    Ok(names(&newest_schema(Parts::Tables)?)?
        .into_iter()
        .filter(|name| found.contains(name))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trigger_that_changes_the_mark_is_counted() {
        let conn = newest_schema(Parts::Guest).unwrap();
        let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND sql LIKE '%mark%'";
        let count: i64 = conn.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(count, MARK_TRIGGERS);
    }
}
