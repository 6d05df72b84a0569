use std::collections::HashSet;

use super::handle::Registry;
use crate::change::{self, ChangeKind};
use crate::error::{Error, ErrorKind, Problem, Result, quoted};
use crate::event_type::EventType;
use crate::pattern::EventPattern;
use crate::store::Write;
use crate::time::Millis;

/// The number of subscriptions that a refusal names before it counts the rest.
const MAX_NAMED: u8 = 10;

/// # The catalog of event types
impl Registry {
    /// Adds an event type, or replaces the description and the schema of an existing one.
    ///
    /// Without a description, the event type has none afterwards. The same holds for the schema.
    /// Registering an event type also repairs a description or schema that is damaged in the file.
    ///
    /// In the same transaction, a new event type is added to every subscription with a wildcard
    /// that matches it.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `owner`: the handle is limited to an
    ///   owner.
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `name`, `description` or
    ///   `jsonSchema`: it is outside the [limits](EventType#limits).
    pub fn register_event_type(&self, event_type: impl Into<EventType>) -> Result<()> {
        let event_type = event_type.into();
        self.write_file(|tx| {
            let (schema, problems) = event_type.validate();
            if !problems.is_empty() {
                return Err(Error::invalid(problems));
            }
            register(tx, self.inner.clock.now(), &event_type, schema.as_deref())
        })
    }

    /// Adds or replaces many event types in one transaction, all or nothing.
    ///
    /// If a name occurs twice in one call, the later entry counts.
    ///
    /// # Errors
    ///
    /// Those of [`register_event_type`](Registry::register_event_type), with problems under
    /// `[7].name`.
    pub fn register_event_types(
        &self,
        event_types: impl IntoIterator<Item = impl Into<EventType>>,
    ) -> Result<()> {
        let event_types: Vec<EventType> = event_types.into_iter().map(Into::into).collect();
        self.write_file(|tx| {
            let schemas = validate_all(&event_types)?;
            let now = self.inner.clock.now();
            let mut later_names = HashSet::new();
            let mut last_of_each: Vec<_> = event_types.iter().zip(&schemas).rev().collect();
            last_of_each.retain(|(event_type, _)| later_names.insert(event_type.name()));
            last_of_each.into_iter().rev().try_for_each(|(event_type, schema)| {
                register(tx, now, event_type, schema.as_deref())
            })
        })
    }

    /// Returns the event type with this name. `None` also if the text is not a valid name.
    ///
    /// # Errors
    ///
    /// Those of [every call](Registry#errors).
    pub fn event_type(&self, name: &str) -> Result<Option<EventType>> {
        self.read_autocommit(|read| read.event_type(name))
    }

    /// Returns every event type, ordered by the bytes of the name.
    ///
    /// # Errors
    ///
    /// Those of [every call](Registry#errors).
    pub fn event_types(&self) -> Result<Vec<EventType>> {
        self.read_autocommit(|read| read.event_types())
    }

    /// Removes an event type from the catalog and from the wildcards that match it.
    ///
    /// A wildcard may match nothing afterwards.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `owner`: the handle is limited to an
    ///   owner.
    /// - [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): the catalog has no such event type.
    /// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) on `name`: subscriptions name the
    ///   event type literally. The message names at most ten of them and counts the others.
    pub fn remove_event_type(&self, name: &str) -> Result<()> {
        self.write_file_or_suggest(|tx| {
            let Some(event_type) = tx.event_type(name)? else {
                return Err(Error::no_event_type(name));
            };
            refuse_named(tx, name)?;
            tx.remove_event_type(name)?;
            tx.record_event_type(self.inner.clock.now(), ChangeKind::EventTypeRemoved, name, || {
                change::diff_event_type(Some(&event_type), None)
            })
        })
    }

    /// Returns the names of the event types that a pattern matches now, ordered by their bytes.
    /// There may be none.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `pattern`: it breaks the
    ///   [syntax](EventPattern#syntax).
    ///
    /// # Examples
    ///
    /// ```
    /// # let registry = webhook_registry::Registry::in_memory()?;
    /// let names = ["channel.held.v1", "channel.held.v2", "agent.presencechanged.v1"];
    /// registry.register_event_types(names)?;
    /// assert_eq!(registry.expand("channel.*")?, ["channel.held.v1", "channel.held.v2"]);
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn expand(&self, pattern: &str) -> Result<Vec<String>> {
        let pattern: EventPattern = pattern.parse()?;
        self.read_autocommit(|read| read.expand(&pattern))
    }
}

/// Validates every event type of a list, and returns the texts of their schemas.
fn validate_all(event_types: &[EventType]) -> Result<Vec<Option<String>>> {
    let (mut schemas, mut problems) = (Vec::with_capacity(event_types.len()), Vec::new());
    for (index, event_type) in event_types.iter().enumerate() {
        let (schema, faults) = event_type.validate();
        problems.extend(faults.into_iter().map(|fault| fault.within(index)));
        schemas.push(schema);
    }
    if problems.is_empty() { Ok(schemas) } else { Err(Error::invalid(problems)) }
}

/// Adds a valid event type, or replaces the existing one if it differs.
pub(super) fn register(
    tx: &Write<'_>,
    now: Millis,
    event_type: &EventType,
    schema: Option<&str>,
) -> Result<()> {
    // A damaged event type cannot be compared or put into the history. It is replaced.
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
            tx.add_event_type(event_type, schema)?;
            ChangeKind::EventTypeRegistered
        }
    };
    tx.record_event_type(now, kind, event_type.name(), || {
        change::diff_event_type(before.as_ref(), Some(event_type))
    })
}

fn refuse_named(tx: &Write<'_>, name: &str) -> Result<()> {
    let (namers, count) = tx.namers(name, MAX_NAMED)?;
    if namers.is_empty() {
        return Ok(());
    }
    let mut names: Vec<String> =
        namers.iter().map(|(id, name)| format!("{} ({id})", quoted(name))).collect();
    let more = count.saturating_sub(u64::try_from(namers.len()).unwrap_or(count));
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    let named = format!("still named by {}", names.join(", "));
    let problem = Problem::new("name", format!("{name:?} is {named}"));
    Err(Error::conflict_with_message(format!("event type {name:?} is {named}"), problem))
}
