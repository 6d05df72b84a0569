use std::collections::HashSet;

use super::Registry;
use crate::change::{self, ChangeKind};
use crate::error::{Error, ErrorKind, Problem, Result, quoted};
use crate::event_type::EventType;
use crate::pattern::EventPattern;
use crate::store::Write;
use crate::time::Millis;

/// How many subscriptions a refusal names before it counts the rest.
const NAMED: u8 = 10;

/// # The catalog of event types
impl Registry {
    /// Adds an event type, or replaces description and schema of the one with the same name: one registered without a
    /// description has none, whatever it had.
    ///
    /// One whose description or schema is damaged in the file is mended by this.
    ///
    /// A new type is expanded at once into every subscription whose wildcard covers it, in the same transaction.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly); [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on
    /// `name`, `description` or `jsonSchema`, by the [limits](EventType#limits).
    pub fn register_event_type(&self, event_type: impl Into<EventType>) -> Result<()> {
        let event_type = event_type.into();
        self.write(|tx| {
            let (schema, problems) = event_type.validate();
            if !problems.is_empty() {
                return Err(Error::invalid(problems));
            }
            register(tx, self.inner.clock.now(), &event_type, schema.as_deref(), &tx.wildcards()?)
        })
    }

    /// Adds or replaces many event types in one transaction, all or nothing. A name twice in one call: the later
    /// counts.
    ///
    /// # Errors
    ///
    /// As [`register_event_type`](Registry::register_event_type), with problems under `[7].name`.
    pub fn register_event_types(
        &self,
        event_types: impl IntoIterator<Item = impl Into<EventType>>,
    ) -> Result<()> {
        let event_types: Vec<EventType> = event_types.into_iter().map(Into::into).collect();
        self.write(|tx| {
            let schemas = check_all(&event_types).map_err(Error::invalid)?;
            let now = self.inner.clock.now();
            let wildcards = tx.wildcards()?;
            let mut later = HashSet::new();
            let mut counting: Vec<_> = event_types.iter().zip(&schemas).rev().collect();
            counting.retain(|(event_type, _)| later.insert(event_type.name()));
            counting.into_iter().rev().try_for_each(|(event_type, schema)| {
                register(tx, now, event_type, schema.as_deref(), &wildcards)
            })
        })
    }

    /// The event type of this name; none also for a text that is no name.
    ///
    /// # Errors
    ///
    /// Those of [every call](Registry).
    pub fn event_type(&self, name: &str) -> Result<Option<EventType>> {
        self.read_autocommit(|read| read.event_type(name))
    }

    /// Every event type, ordered by name, byte for byte.
    ///
    /// # Errors
    ///
    /// Those of [every call](Registry).
    pub fn event_types(&self) -> Result<Vec<EventType>> {
        self.read_autocommit(|read| read.event_types())
    }

    /// Takes an event type out of the catalog, and out of the wildcards that cover it. A wildcard may then cover
    /// nothing.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): there is no such event type.
    /// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) on `name`: a subscription names it literally. At most ten
    ///   are named, the others counted.
    pub fn remove_event_type(&self, name: &str) -> Result<()> {
        self.write_or_suggest(|tx| {
            let Some(event_type) = tx.event_type(name)? else {
                return Err(Error::no_event_type(name));
            };
            refuse_named(tx, name)?;
            tx.remove_event_type(name)?;
            tx.record(self.inner.clock.now(), ChangeKind::EventTypeRemoved, name, || {
                change::of_event_type(Some(&event_type), None)
            })
        })
    }

    /// The names of the event types that a pattern covers now, ordered byte for byte; there may be none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `pattern`, by the [syntax](EventPattern#syntax).
    ///
    /// # Examples
    ///
    /// ```
    /// # let registry = webhook_registry::Registry::in_memory()?;
    /// registry.register_event_types(["channel.held.v1", "channel.held.v2", "agent.presencechanged.v1"])?;
    /// assert_eq!(registry.expand("channel.*")?, ["channel.held.v1", "channel.held.v2"]);
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn expand(&self, pattern: &str) -> Result<Vec<String>> {
        let pattern: EventPattern = pattern.parse()?;
        self.read_autocommit(|read| read.expand(&pattern))
    }
}

/// Judges every event type of a list; the texts of their schemas.
pub(super) fn check_all(event_types: &[EventType]) -> Result<Vec<Option<String>>, Vec<Problem>> {
    let (mut schemas, mut problems) = (Vec::with_capacity(event_types.len()), Vec::new());
    for (index, event_type) in event_types.iter().enumerate() {
        let (schema, faults) = event_type.validate();
        problems.extend(faults.into_iter().map(|fault| fault.within(index)));
        schemas.push(schema);
    }
    if problems.is_empty() { Ok(schemas) } else { Err(problems) }
}

/// Adds an event type that keeps every rule, or replaces what differs.
pub(super) fn register(
    tx: &Write<'_>,
    now: Millis,
    event_type: &EventType,
    schema: Option<&str>,
    wildcards: &[(i64, EventPattern)],
) -> Result<()> {
    // One that is damaged has nothing to compare or to tell, and is mended.
    let (known, before) = match tx.event_type(event_type.name()) {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            (tx.knows_event_type(event_type.name())?, None)
        }
        found => found.map(|before| (before.is_some(), before))?,
    };
    let kind = match &before {
        Some(before) if before == event_type => return Ok(()),
        _ if known => {
            tx.replace_event_type(event_type, schema)?;
            ChangeKind::EventTypeReplaced
        }
        _ => {
            tx.add_event_type(event_type, schema, wildcards)?;
            ChangeKind::EventTypeRegistered
        }
    };
    tx.record(now, kind, event_type.name(), || {
        change::of_event_type(before.as_ref(), Some(event_type))
    })
}

fn refuse_named(tx: &Write<'_>, name: &str) -> Result<()> {
    let (namers, count) = tx.namers(name, NAMED)?;
    if namers.is_empty() {
        return Ok(());
    }
    let mut who: Vec<String> =
        namers.iter().map(|(id, name)| format!("{} ({id})", quoted(name))).collect();
    let more = count.saturating_sub(u64::try_from(namers.len()).unwrap_or(count));
    if more > 0 {
        who.push(format!("and {more} more"));
    }
    let named = format!("still named by {}", who.join(", "));
    let problem = Problem::new("name", format!("{name:?} is {named}"));
    Err(Error::conflict_with_message(format!("event type {name:?} is {named}"), problem))
}
