//! Compares the file's schema with the one that this crate writes, and finds what other programs
//! have added to it.

use std::collections::{BTreeMap, HashSet};

use rusqlite::Connection;

use super::error::MapSqliteErr as _;
use super::findings::{REBUILD, RESTORE};
use super::schema::{self, Parts};
use super::transaction::Read;
use crate::error::{Result, quoted};
use crate::report::{Finding, Report};

/// One row of `sqlite_schema`, without its place: type and name.
type Key = (String, String);

/// The table that it belongs to, and its SQL as it was written; none for what SQLite makes by
/// itself.
type Definition = (String, Option<String>);

impl Read<'_> {
    /// Compares what is there with a schema that was made for the purpose, text by text: a comment
    /// that differs is a statement that this crate has not run. Only quotes around the names of
    /// tables do not count, because SQLite adds them to whatever names a table that is renamed,
    /// also when it gets its name back.
    pub(super) fn check_schema(&self, parts: Parts, report: &mut Report) -> Result<()> {
        let written = definitions(&schema::newest_schema(parts)?)?;
        let mut found = definitions(self.conn)?;
        let unquoted = |(table, sql): &Definition| {
            let plain = |sql: String, (_, name): &Key| sql.replace(&format!("\"{name}\""), name);
            (table.clone(), sql.clone().map(|sql| written.keys().fold(sql, plain)))
        };
        for (key @ (kind, name), definition) in &written {
            let what = match found.remove(key) {
                None => "is missing",
                Some(other) if unquoted(&other) == unquoted(definition) => continue,
                Some(_) => "is not as this crate writes it: another program has changed it",
            };
            // What a table held is not made anew, and nothing else holds anything.
            let what_to_do = if kind == "table" { RESTORE } else { REBUILD };
            report
                .push_finding(Finding::for_file(format!("the {kind} {name} {what}; {what_to_do}")));
        }
        let names = |wanted: &[&str]| -> HashSet<String> {
            let wanted = written.keys().filter(|(kind, _)| wanted.contains(&kind.as_str()));
            wanted.map(|(_, name)| name.to_ascii_lowercase()).collect()
        };
        let (tables, all) = (names(&["table"]), names(&["table", "view"]));
        // SQLite's own are named so, and nobody else's can be.
        for ((kind, name), (on, sql)) in
            found.iter().filter(|((_, name), _)| !name.starts_with("sqlite_"))
        {
            let uses = || uses_any(sql.as_deref().unwrap_or_default(), &tables);
            let on_ours = all.contains(&on.to_ascii_lowercase());
            let why = match kind.as_str() {
                "trigger" if on_ours => format!("runs inside every change of {on}"),
                "trigger" if uses() => {
                    "uses the registry's tables, whose rules it does not know".to_owned()
                }
                "index" if on_ours => {
                    format!("takes part in every change of {on}, and may refuse it")
                }
                "view" if uses() => {
                    "reads the registry's tables, which change between versions; the views \
                     webhook_registry_* do not"
                        .to_owned()
                }
                "table" => match self.parent_among(name, &tables)? {
                    Some(parent) => {
                        format!("has a foreign key to {parent}, which may refuse a change of it")
                    }
                    None => continue,
                },
                _ => continue,
            };
            let name = quoted(name);
            let message = format!(
                "the {kind} {name} is another program's and {why}; drop it if nobody needs it"
            );
            report.push_advice(Finding::for_file(message));
        }
        Ok(())
    }

    /// Returns the first of these tables that a foreign key of another table refers to.
    fn parent_among(&self, table: &str, tables: &HashSet<String>) -> Result<Option<String>> {
        let sql = "SELECT \"table\" FROM pragma_foreign_key_list(?1) ORDER BY id, seq";
        let mut statement = self.conn.prepare(sql).map_sqlite_err()?;
        let mut rows = statement.query([table]).map_sqlite_err()?;
        while let Some(row) = rows.next().map_sqlite_err()? {
            let parent: String = row.get(0).map_sqlite_err()?;
            if tables.contains(&parent.to_ascii_lowercase()) {
                return Ok(Some(parent));
            }
        }
        Ok(None)
    }
}

fn definitions(conn: &Connection) -> Result<BTreeMap<Key, Definition>> {
    let sql = "SELECT type, name, tbl_name, sql FROM sqlite_master";
    let mut statement = conn.prepare(sql).map_sqlite_err()?;
    let mut rows = statement.query([]).map_sqlite_err()?;
    let mut definitions = BTreeMap::new();
    while let Some(row) = rows.next().map_sqlite_err()? {
        // Also what is no UTF-8 is there, and differs.
        let text = |column| {
            let bytes =
                row.get_ref(column).map_sqlite_err()?.as_bytes_or_null().unwrap_or_default();
            Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
        };
        let named = |column| text(column).map(Option::unwrap_or_default);
        definitions.insert((named(0)?, named(1)?), (named(2)?, text(3)?));
    }
    Ok(definitions)
}

/// Returns whether a statement names one of these tables. Their names begin with a prefix that no
/// other object has.
fn uses_any(sql: &str, tables: &HashSet<String>) -> bool {
    sql.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|word| tables.contains(&word.to_ascii_lowercase()))
}
