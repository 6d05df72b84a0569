//! The statements for the tables `event_type`, `pattern` and `expansion`.

use std::collections::{BTreeSet, HashMap};

use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, Row, params};

use super::catalog_names;
use super::error::MapSqliteErr as _;
use super::rows::{decode_pattern, id_of, name_of};
use super::transaction::{Read, Write};
use crate::error::{Error, Result};
use crate::event_type::{EventType, is_name};
use crate::id::SubscriptionId;
use crate::json::Json;
use crate::pattern::EventPattern;
use crate::subscription::EventCatalog;

/// The maximum number of names that are read for the suggestions of one call.
const MAX_NAMES: usize = 2_000;

impl Read<'_> {
    pub(crate) fn event_type(&self, name: &str) -> Result<Option<EventType>> {
        let sql = "SELECT name, description, json_schema FROM event_type WHERE name = ?1";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([name]).map_sqlite_err()?;
        rows.next().map_sqlite_err()?.map(decode).transpose()
    }

    pub(crate) fn event_types(&self) -> Result<Vec<EventType>> {
        let sql = "SELECT name, description, json_schema FROM event_type ORDER BY name";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([]).map_sqlite_err()?;
        let mut event_types = Vec::new();
        while let Some(row) = rows.next().map_sqlite_err()? {
            event_types.push(decode(row)?);
        }
        Ok(event_types)
    }

    pub(crate) fn event_type_names(&self) -> Result<Vec<String>> {
        let mut statement = self
            .conn
            .prepare_cached("SELECT name FROM event_type ORDER BY name")
            .map_sqlite_err()?;
        let mut rows = statement.query([]).map_sqlite_err()?;
        let mut names = Vec::new();
        while let Some(row) = rows.next().map_sqlite_err()? {
            names.push(decode_name(row, 0)?.to_owned());
        }
        Ok(names)
    }

    /// Returns the names to compare with these texts. Of a large catalog these are the neighbours
    /// of each text in byte order, so that a call reads a bounded number of names.
    pub(crate) fn names_near<'t>(
        &self,
        texts: impl ExactSizeIterator<Item = &'t str>,
    ) -> Result<Vec<String>> {
        let ask = |sql: &str, text: &str, most: usize| {
            let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let mut rows = statement.query(params![text, most]).map_sqlite_err()?;
            let mut names = Vec::new();
            while let Some(row) = rows.next().map_sqlite_err()? {
                names.push(decode_name(row, 0)?.to_owned());
            }
            Ok::<_, Error>(names)
        };
        let from = "SELECT name FROM event_type WHERE name >= ?1 ORDER BY name LIMIT ?2";
        let all = ask(from, "", MAX_NAMES.saturating_add(1))?;
        if all.len() <= MAX_NAMES {
            return Ok(all);
        }
        let before = "SELECT name FROM event_type WHERE name < ?1 ORDER BY name DESC LIMIT ?2";
        let each = MAX_NAMES.checked_div(texts.len().saturating_mul(2)).unwrap_or_default();
        let mut near = BTreeSet::new();
        for text in texts {
            near.extend(ask(before, text, each)?);
            near.extend(ask(from, text, each)?);
        }
        Ok(near.into_iter().collect())
    }

    pub(crate) fn knows_event_type(&self, name: &str) -> Result<bool> {
        self.conn
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM event_type WHERE name = ?1)")
            .and_then(|mut statement| statement.query_row([name], |row| row.get(0)))
            .map_sqlite_err()
    }

    /// Passes each event type that the pattern matches to `each`, by name, until `each` returns
    /// false.
    fn each_matching(
        &self,
        pattern: &EventPattern,
        mut each: impl FnMut(i64, &str) -> Result<bool>,
    ) -> Result<()> {
        if pattern.is_wildcard()
            && let Some(names) = self.names.all(|| self.catalog_names())?
        {
            return catalog_names::each_match(&names, pattern, each);
        }
        // Every name with the pattern's prefix, also an invalid one, so that damage is reported.
        let from = if pattern.is_wildcard() { pattern.literal_prefix() } else { pattern.as_str() };
        let sql = "SELECT id, name FROM event_type INDEXED BY sqlite_autoindex_event_type_1 \
                   WHERE name >= ?1 AND name < ?2 ORDER BY name";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query(params![from, after_prefix(from)]).map_sqlite_err()?;
        while let Some(row) = rows.next().map_sqlite_err()? {
            self.names.count();
            let name = decode_name(row, 1)?;
            let go_on = !pattern.matches(name) || each(row.get(0).map_sqlite_err()?, name)?;
            // The name itself sorts before every name that begins with it.
            if !go_on || !pattern.is_wildcard() {
                break;
            }
        }
        Ok(())
    }

    /// Returns every event type by its row and name, in the order of names.
    fn catalog_names(&self) -> Result<Vec<(i64, String)>> {
        let sql = "SELECT id, name FROM event_type INDEXED BY sqlite_autoindex_event_type_1 \
                   ORDER BY name";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([]).map_sqlite_err()?;
        let mut names = Vec::new();
        while let Some(row) = rows.next().map_sqlite_err()? {
            names.push((row.get(0).map_sqlite_err()?, decode_name(row, 1)?.to_owned()));
        }
        Ok(names)
    }

    /// Returns the row of a pattern that is in use and matches an event type. This is faster than
    /// comparing names.
    fn expanded(&self, pattern: &EventPattern) -> Result<Option<i64>> {
        // Not with EXISTS: SQLite can turn that into a join, and start at the other end of it.
        let sql = "SELECT id FROM pattern AS p WHERE text = ?1 AND \
                   (SELECT 1 FROM expansion e INDEXED BY expansion_pattern \
                     WHERE e.pattern = p.id AND (SELECT 1 FROM event_type WHERE id = \
                     e.event_type))";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        statement.query_row([pattern.as_str()], |row| row.get(0)).optional().map_sqlite_err()
    }

    pub(crate) fn expand(&self, pattern: &EventPattern) -> Result<Vec<String>> {
        let mut names = Vec::new();
        self.each_matching(pattern, |_, name| {
            names.push(name.to_owned());
            Ok(true)
        })?;
        Ok(names)
    }

    /// Returns at most `most` subscriptions with exactly this pattern, by id and name, and their
    /// number.
    pub(crate) fn namers(
        &self,
        pattern: &str,
        most: u8,
    ) -> Result<(Vec<(SubscriptionId, String)>, u64)> {
        let count = self.pattern_uses(pattern)?;
        let mut statement = self
            .conn
            .prepare_cached(
                "SELECT s.id, s.name FROM subscription_pattern sp INDEXED BY \
                 subscription_pattern_route \
                 CROSS JOIN subscription s INDEXED BY subscription_seq ON s.seq = sp.subscription \
                 WHERE sp.pattern = (SELECT id FROM pattern WHERE text = ?1) ORDER BY s.seq \
                 LIMIT ?2",
            )
            .map_sqlite_err()?;
        let mut rows = statement.query(params![pattern, most]).map_sqlite_err()?;
        let mut namers = Vec::new();
        while let Some(row) = rows.next().map_sqlite_err()? {
            let id = id_of(row, 0)?;
            namers.push((id, name_of(row, 1, id)?.to_owned()));
        }
        Ok((namers, u64::try_from(count).unwrap_or_default()))
    }
}

impl Write<'_> {
    /// Adds an event type to the catalog, and expands into it every pattern that matches.
    ///
    /// `wildcards` are all [wildcards](Write::wildcards) of the file.
    pub(crate) fn add_event_type(
        &self,
        event_type: &EventType,
        schema: Option<&str>,
        wildcards: &[(i64, EventPattern)],
    ) -> Result<()> {
        let EventType { name, description, json_schema: _ } = event_type;
        let sql = "INSERT INTO event_type (name, description, json_schema) VALUES (?1, ?2, ?3)";
        let mut insert = self.conn.prepare_cached(sql).map_sqlite_err()?;
        self.names.clear();
        let id = insert.insert(params![name, description, schema]).map_sqlite_err()?;
        self.execute(
            "INSERT INTO expansion (event_type, pattern) SELECT ?1, id FROM pattern WHERE text = \
             ?2",
            params![id, name],
        )?;
        for (pattern, _) in wildcards.iter().filter(|(_, pattern)| pattern.matches(name)) {
            self.expand_into(id, *pattern)?;
        }
        Ok(())
    }

    /// Replaces the description and the schema of an event type.
    pub(crate) fn replace_event_type(
        &self,
        event_type: &EventType,
        schema: Option<&str>,
    ) -> Result<()> {
        let EventType { name, description, json_schema: _ } = event_type;
        self.execute(
            "UPDATE event_type SET description = ?2, json_schema = ?3 WHERE name = ?1",
            params![name, description, schema],
        )
    }

    /// Returns every wildcard of the file, parsed.
    pub(crate) fn wildcards(&self) -> Result<Vec<(i64, EventPattern)>> {
        let mut statement = self
            .conn
            .prepare_cached(
                "SELECT id, text FROM pattern INDEXED BY pattern_wildcard WHERE wildcard = 1 \
                 ORDER BY text",
            )
            .map_sqlite_err()?;
        let mut rows = statement.query([]).map_sqlite_err()?;
        let mut wildcards = Vec::new();
        while let Some(row) = rows.next().map_sqlite_err()? {
            wildcards.push((row.get(0).map_sqlite_err()?, decode_pattern(row, 1)?));
        }
        Ok(wildcards)
    }

    /// Removes an event type from the catalog and from every expansion.
    pub(crate) fn remove_event_type(&self, name: &str) -> Result<()> {
        self.names.clear();
        self.execute("DELETE FROM event_type WHERE name = ?1", params![name])
    }

    /// Returns the row of a pattern. A new pattern is inserted and expanded.
    pub(super) fn intern(&self, pattern: &EventPattern) -> Result<i64> {
        let mut statement =
            self.conn.prepare_cached("SELECT id FROM pattern WHERE text = ?1").map_sqlite_err()?;
        if let Some(id) =
            statement.query_row([pattern.as_str()], |row| row.get(0)).optional().map_sqlite_err()?
        {
            return Ok(id);
        }
        let mut insert = self
            .conn
            .prepare_cached("INSERT INTO pattern (text, wildcard) VALUES (?1, ?2)")
            .map_sqlite_err()?;
        let id =
            insert.insert(params![pattern.as_str(), pattern.is_wildcard()]).map_sqlite_err()?;
        self.each_matching(pattern, |event_type, _| {
            self.expand_into(event_type, id).map(|()| true)
        })?;
        Ok(id)
    }

    fn expand_into(&self, event_type: i64, pattern: i64) -> Result<()> {
        self.execute(
            "INSERT INTO expansion (event_type, pattern) VALUES (?1, ?2)",
            params![event_type, pattern],
        )
    }

    /// Deletes those of the patterns that no subscription has any more.
    pub(super) fn drop_unused(&self, patterns: &[i64]) -> Result<()> {
        patterns.iter().try_for_each(|pattern| {
            self.execute(
                "DELETE FROM pattern WHERE id = ?1 \
                 AND NOT EXISTS (SELECT 1 FROM subscription_pattern INDEXED BY \
                 subscription_pattern_route WHERE pattern = ?1)",
                params![pattern],
            )
        })
    }
}

fn decode(row: &Row<'_>) -> Result<EventType> {
    let schema = row.get_ref(2).and_then(|text| Ok(text.as_str_or_null()?)).map_sqlite_err()?;
    let name = decode_name(row, 0)?.to_owned();
    let json_schema = schema.map(serde_json::from_str::<Json>).transpose().map_err(|_| {
        Error::corrupt(format_args!("the schema of event type {name:?} is no JSON"))
    })?;
    let event_type = EventType {
        name,
        description: row.get(1).map_sqlite_err()?,
        json_schema: json_schema.map(serde_json::Value::from),
    };
    match event_type.stored_problems().first() {
        None => Ok(event_type),
        Some(problem) => Err(Error::corrupt(format_args!(
            "the {} of event type {:?} is none that a registry takes: {}",
            problem.field(),
            event_type.name,
            problem.message()
        ))),
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

/// Decodes the name of an event type.
fn decode_name<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str> {
    let name = row.get_ref(column).map_sqlite_err()?.as_str().ok().filter(|name| is_name(name));
    name.ok_or_else(|| Error::corrupt("an event type has a name that is none"))
}

/// Answers the questions of the validation about the catalog, during one call.
pub(crate) struct CatalogLookup<'a> {
    read: &'a Read<'a>,
    /// The earlier answers, because many subscriptions share few patterns.
    cached: HashMap<EventPattern, CachedMatch>,
}

#[derive(Clone, Copy)]
struct CachedMatch {
    covers: bool,
    /// The row of the pattern, where it was looked up.
    row: Option<i64>,
}

impl<'a> CatalogLookup<'a> {
    pub(crate) fn new(read: &'a Read<'a>) -> CatalogLookup<'a> {
        CatalogLookup { read, cached: HashMap::new() }
    }

    /// Returns the row of a pattern, where it was looked up. It is valid until patterns are
    /// deleted.
    pub(super) fn row(&self, pattern: &EventPattern) -> Option<i64> {
        self.cached.get(pattern)?.row
    }
}

impl EventCatalog for CatalogLookup<'_> {
    fn has_match(&mut self, pattern: &EventPattern) -> Result<bool> {
        if let Some(cached) = self.cached.get(pattern) {
            return Ok(cached.covers);
        }
        let row = self.read.expanded(pattern)?;
        let mut covers = row.is_some();
        if !covers {
            self.read.each_matching(pattern, |_, _| {
                covers = true;
                Ok(false)
            })?;
        }
        self.cached.insert(pattern.clone(), CachedMatch { covers, row });
        Ok(covers)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::random::RandomSource;
    use crate::store::{Durability, Settings, Store};

    #[test]
    fn the_lookup_returns_the_row_of_a_pattern_that_is_in_use_and_matches() {
        let settings = Settings {
            read_only: false,
            create: true,
            exclusive: false,
            durability: Durability::Full,
            busy_timeout: Duration::ZERO,
            key: None,
            keep_changes: None,
            auto_checkpoint: true,
            entropy: RandomSource::System,
        };
        let pattern = |text| EventPattern::compile(text).unwrap();
        let store = Store::in_memory(&settings).unwrap();
        let (row, met) = store
            .write(|tx| {
                tx.add_event_type(&EventType::new("agent.created.v1"), None, &[])?;
                tx.intern(&pattern("order.*"))?;
                let row = tx.intern(&pattern("agent.*"))?;
                let mut lookup = CatalogLookup::new(tx);
                let mut ask =
                    |text| Ok((lookup.has_match(&pattern(text))?, lookup.row(&pattern(text))));
                Ok((row, [ask("agent.*")?, ask("agent.*")?, ask("*.v1")?, ask("order.*")?]))
            })
            .unwrap();
        assert_eq!(met, [(true, Some(row)), (true, Some(row)), (true, None), (false, None)]);
    }
}
