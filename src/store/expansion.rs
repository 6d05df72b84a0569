//! The statements for the tables `pattern` and `expansion`: which event types each pattern matches.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, params};

use super::catalog::decode_name;
use super::catalog_names;
use super::error::MapSqliteErr as _;
use super::rows::decode_pattern;
use super::transaction::{Read, Write};
use crate::error::Result;
use crate::pattern::EventPattern;

impl Read<'_> {
    /// Passes each event type that the pattern matches to `each`, by name, until `each` returns
    /// false.
    pub(super) fn each_matching(
        &self,
        pattern: &EventPattern,
        mut each: impl FnMut(&str) -> Result<bool>,
    ) -> Result<()> {
        if pattern.is_wildcard()
            && let Some(names) = self.names.all(|| self.catalog_names())?
        {
            return catalog_names::each_match(&names, pattern, each);
        }
        // Every name with the pattern's prefix, also an invalid one, so that damage is reported.
        let from = if pattern.is_wildcard() { pattern.literal_prefix() } else { pattern.as_str() };
        let sql = "SELECT name FROM _webhook_registry_event_type INDEXED BY \
                   sqlite_autoindex__webhook_registry_event_type_1 \
                   WHERE name >= ?1 AND name < ?2 ORDER BY name";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query(params![from, after_prefix(from)]).map_sqlite_err()?;
        while let Some(row) = rows.next().map_sqlite_err()? {
            self.names.count();
            let name = decode_name(row, 0)?;
            let go_on = !pattern.matches(name) || each(name)?;
            // The name itself sorts before every name that begins with it.
            if !go_on || !pattern.is_wildcard() {
                break;
            }
        }
        Ok(())
    }

    /// Returns the name of every event type, in order.
    fn catalog_names(&self) -> Result<Vec<String>> {
        let sql = "SELECT name FROM _webhook_registry_event_type INDEXED BY \
                   sqlite_autoindex__webhook_registry_event_type_1 \
                   ORDER BY name";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([]).map_sqlite_err()?;
        let mut names = Vec::new();
        while let Some(row) = rows.next().map_sqlite_err()? {
            names.push(decode_name(row, 0)?.to_owned());
        }
        Ok(names)
    }

    /// Returns the row of a pattern that is in use and matches an event type. This is faster than
    /// comparing names.
    pub(super) fn expanded(&self, pattern: &EventPattern) -> Result<Option<i64>> {
        // Not with EXISTS: SQLite can turn that into a join, and start at the other end of it.
        let sql = "SELECT id FROM _webhook_registry_pattern AS p WHERE text = ?1 AND \
                   (SELECT 1 FROM _webhook_registry_expansion e INDEXED BY \
                   _webhook_registry_expansion_pattern \
                     WHERE e.pattern = p.id AND (SELECT 1 FROM _webhook_registry_event_type \
                                                  WHERE name = e.event_type))";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        statement.query_row([pattern.as_str()], |row| row.get(0)).optional().map_sqlite_err()
    }

    pub(crate) fn expand(&self, pattern: &EventPattern) -> Result<Vec<String>> {
        let mut names = Vec::new();
        self.each_matching(pattern, |name| {
            names.push(name.to_owned());
            Ok(true)
        })?;
        Ok(names)
    }
}

impl Write<'_> {
    /// Expands into a new event type every pattern that matches it. A row that is there already was
    /// left behind when another program removed the event type.
    pub(super) fn expand_event_type(&self, name: &str) -> Result<()> {
        self.execute(
            "INSERT OR IGNORE INTO _webhook_registry_expansion (event_type, pattern) \
             SELECT ?1, id FROM _webhook_registry_pattern WHERE text = ?1 AND prefix IS NULL",
            params![name],
        )?;
        for pattern in self.matching_wildcards(name)? {
            self.expand_into(name, pattern)?;
        }
        Ok(())
    }

    /// Returns the rows of the wildcards that match a name. Only those are decoded with whose
    /// literal prefix the name begins.
    fn matching_wildcards(&self, name: &str) -> Result<Vec<i64>> {
        let sql = "WITH RECURSIVE start (text) AS ( \
                       VALUES (?1) \
                       UNION ALL \
                       SELECT substr(text, 1, length(text) - 1) FROM start WHERE text <> '' \
                   ) \
                   SELECT p.id, p.text FROM start CROSS JOIN _webhook_registry_pattern p \
                   INDEXED BY _webhook_registry_pattern_prefix ON p.prefix = start.text";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([name]).map_sqlite_err()?;
        let mut matching = Vec::new();
        while let Some(row) = rows.next().map_sqlite_err()? {
            if decode_pattern(row, 1)?.matches(name) {
                matching.push(row.get(0).map_sqlite_err()?);
            }
        }
        Ok(matching)
    }

    /// Returns the row of a pattern. A new pattern is inserted and expanded.
    pub(super) fn intern(&self, pattern: &EventPattern) -> Result<i64> {
        let mut statement = self
            .conn
            .prepare_cached(
                "SELECT id FROM _webhook_registry_pattern WHERE text = \
                        ?1",
            )
            .map_sqlite_err()?;
        if let Some(id) =
            statement.query_row([pattern.as_str()], |row| row.get(0)).optional().map_sqlite_err()?
        {
            return Ok(id);
        }
        let mut insert = self
            .conn
            .prepare_cached("INSERT INTO _webhook_registry_pattern (text, prefix) VALUES (?1, ?2)")
            .map_sqlite_err()?;
        let prefix = pattern.is_wildcard().then(|| pattern.literal_prefix());
        let id = insert.insert(params![pattern.as_str(), prefix]).map_sqlite_err()?;
        self.each_matching(pattern, |event_type| self.expand_into(event_type, id).map(|()| true))?;
        Ok(id)
    }

    fn expand_into(&self, event_type: &str, pattern: i64) -> Result<()> {
        self.execute(
            "INSERT OR IGNORE INTO _webhook_registry_expansion (event_type, pattern) \
             VALUES (?1, ?2)",
            params![event_type, pattern],
        )
    }
}

/// Returns a value that sorts after every text with this prefix.
fn after_prefix(prefix: &str) -> Value {
    let mut text = prefix.to_owned();
    match text.pop().and_then(|last| char::from_u32(u32::from(last).saturating_add(1))) {
        Some(next) => {
            text.push(next);
            Value::Text(text)
        }
        // Every blob sorts after every text.
        None => Value::Blob(Vec::new()),
    }
}
