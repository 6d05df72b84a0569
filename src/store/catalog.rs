//! The statements for the table `event_type`.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Row, params};

use super::error::MapSqliteErr as _;
use super::rows::{id_of, name_of};
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
        let sql = "SELECT name, description, json_schema FROM _webhook_registry_event_type WHERE \
                   name = ?1";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([name]).map_sqlite_err()?;
        rows.next().map_sqlite_err()?.map(decode).transpose()
    }

    pub(crate) fn event_types(&self) -> Result<Vec<EventType>> {
        let sql = "SELECT name, description, json_schema FROM _webhook_registry_event_type ORDER \
                   BY name";
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
            .prepare_cached("SELECT name FROM _webhook_registry_event_type ORDER BY name")
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
        let from = "SELECT name FROM _webhook_registry_event_type WHERE name >= ?1 ORDER BY name \
                    LIMIT ?2";
        let all = ask(from, "", MAX_NAMES.saturating_add(1))?;
        if all.len() <= MAX_NAMES {
            return Ok(all);
        }
        let before = "SELECT name FROM _webhook_registry_event_type WHERE name < ?1 ORDER BY name \
                      DESC LIMIT ?2";
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
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM _webhook_registry_event_type WHERE name \
                        = ?1)",
            )
            .and_then(|mut statement| statement.query_row([name], |row| row.get(0)))
            .map_sqlite_err()
    }

    /// Returns at most `most` subscriptions with exactly this pattern, by id and name, and their
    /// number.
    pub(crate) fn namers(
        &self,
        pattern: &str,
        most: u8,
    ) -> Result<(Vec<(SubscriptionId, String)>, u64)> {
        let count = self.pattern_uses(pattern)?;
        let sql = "SELECT subscription FROM _webhook_registry_subscription_pattern \
                   INDEXED BY _webhook_registry_subscription_pattern_route \
                   WHERE pattern = (SELECT id FROM _webhook_registry_pattern WHERE text = ?1) \
                   ORDER BY subscription LIMIT ?2";
        let mut positions = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut positions = positions.query(params![pattern, most]).map_sqlite_err()?;
        let sql = "SELECT id, name FROM _webhook_registry_subscription WHERE seq = ?1";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut namers = Vec::new();
        while let Some(position) = positions.next().map_sqlite_err()? {
            let position: i64 = position.get(0).map_sqlite_err()?;
            let mut rows = statement.query([position]).map_sqlite_err()?;
            if let Some(row) = rows.next().map_sqlite_err()? {
                let id = id_of(row, 0)?;
                namers.push((id, name_of(row, 1, id)?.to_owned()));
            }
        }
        Ok((namers, u64::try_from(count).unwrap_or_default()))
    }
}

impl Write<'_> {
    /// Adds an event type to the catalog, and expands into it every pattern that matches.
    pub(crate) fn add_event_type(
        &self,
        event_type: &EventType,
        schema: Option<&str>,
    ) -> Result<()> {
        let EventType { name, description, json_schema: _ } = event_type;
        let sql = "INSERT INTO _webhook_registry_event_type (name, description, json_schema) \
                   VALUES (?1, ?2, ?3)";
        let mut insert = self.conn.prepare_cached(sql).map_sqlite_err()?;
        self.names.clear();
        insert.execute(params![name, description, schema]).map_sqlite_err()?;
        self.expand_event_type(name)
    }

    /// Replaces the description and the schema of an event type.
    pub(crate) fn replace_event_type(
        &self,
        event_type: &EventType,
        schema: Option<&str>,
    ) -> Result<()> {
        let EventType { name, description, json_schema: _ } = event_type;
        self.execute(
            "UPDATE _webhook_registry_event_type SET description = ?2, json_schema = ?3 WHERE \
             name = ?1",
            params![name, description, schema],
        )
    }

    /// Removes an event type from the catalog and from every expansion.
    pub(crate) fn remove_event_type(&self, name: &str) -> Result<()> {
        self.names.clear();
        self.execute("DELETE FROM _webhook_registry_event_type WHERE name = ?1", params![name])
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

/// Decodes the name of an event type.
pub(super) fn decode_name<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str> {
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
    matches: bool,
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
            return Ok(cached.matches);
        }
        let row = self.read.expanded(pattern)?;
        let mut matches = row.is_some();
        if !matches {
            self.read.each_matching(pattern, |_| {
                matches = true;
                Ok(false)
            })?;
        }
        self.cached.insert(pattern.clone(), CachedMatch { matches, row });
        Ok(matches)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::random::RandomSource;
    use crate::scope::Scope;
    use crate::store::{Durability, Settings, Store};

    #[test]
    fn the_lookup_returns_the_row_of_a_pattern_that_is_in_use_and_matches() {
        let settings = Settings {
            read_only: false,
            create: true,
            guest: false,
            exclusive: false,
            durability: Durability::Full,
            busy_timeout: Duration::ZERO,
            key: None,
            keep_changes: None,
            auto_checkpoint: true,
            random: RandomSource::System,
        };
        let pattern = |text| EventPattern::compile(text).unwrap();
        let store = Store::in_memory(&settings).unwrap();
        let (row, met) = store
            .write(&Scope::NoOwner, |tx| {
                tx.add_event_type(&EventType::new("agent.created.v1"), None)?;
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
