use serde::de::{Deserialize, Deserializer, MapAccess};
use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

use crate::error::Problem;
use crate::json::{self, JsonObject, JsonType, Key, key_names};

pub(crate) const MAX_NAME: usize = 256;
pub(crate) const MAX_DESCRIPTION: usize = 4_096;
const MAX_SCHEMA: usize = 256 * 1_024;
const MAX_SCHEMA_DEPTH: usize = 124;

/// A type of event, such as `agent.presencechanged.v1`: a name, an optional description for people,
/// and an optional JSON schema of the payload.
///
/// # Limits
///
/// A name has 1 to 256 bytes: ASCII letters, digits and `_ - . : /`. A description has at most
/// 4,096 bytes. A schema has at most 256 KiB serialized and at most 124 levels. Creating an
/// `EventType` cannot fail; registering validates it.
///
/// # JSON
///
/// `{"name": …, "description": …, "jsonSchema": …}`. Serializing omits what is absent.
/// Deserializing ignores unknown keys, because the document comes from another system.
///
/// ```
/// use webhook_registry::EventType;
///
/// let event_type = EventType::new("channel.held.v1").with_description("A call was put on hold");
/// assert_eq!(
///     serde_json::to_string(&event_type)?,
///     r#"{"name":"channel.held.v1","description":"A call was put on hold"}"#,
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) json_schema: Option<serde_json::Value>,
}

impl EventType {
    /// Creates an event type without a description and without a schema.
    pub fn new(name: impl Into<String>) -> EventType {
        EventType { name: name.into(), description: None, json_schema: None }
    }

    /// Sets the description.
    #[must_use]
    pub fn with_description(mut self, text: impl Into<String>) -> EventType {
        self.description = Some(text.into());
        self
    }

    /// Sets the JSON schema of the payload. The schema is stored, and no payload is validated
    /// against it. `null` means no schema, as in JSON.
    ///
    /// Levels deeper than 128 are dropped at once. Such a schema is too deep to be registered, and
    /// handling it would overflow the stack.
    #[must_use]
    pub fn with_json_schema(mut self, mut schema: serde_json::Value) -> EventType {
        drop_deep_levels(&mut schema);
        self.json_schema = Some(schema).filter(|schema| !schema.is_null());
        self
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the description for people.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Returns the JSON schema of the payload.
    pub fn json_schema(&self) -> Option<&serde_json::Value> {
        self.json_schema.as_ref()
    }

    /// Validates an event type that was read from the file, and returns every problem.
    pub(crate) fn stored_problems(&self) -> Vec<Problem> {
        let (_, mut problems) = self.validate();
        // The builder turns `null` into no schema, so no registry writes it.
        if self.json_schema.as_ref().is_some_and(serde_json::Value::is_null) {
            problems.push(Problem::new("jsonSchema", "null is not a schema"));
        }
        problems
    }

    /// Validates the event type. Returns the text of its schema, and every problem.
    pub(crate) fn validate(&self) -> (Option<String>, Vec<Problem>) {
        let mut problems = Vec::new();
        if let Err(why) = check_name(&self.name) {
            problems.push(Problem::new("name", why));
        }
        if let Some(Err(why)) = self.description.as_deref().map(check_description) {
            problems.push(Problem::new("description", why));
        }
        let schema = match self.json_schema.as_ref().map(schema_text).transpose() {
            Ok(schema) => schema,
            Err(why) => {
                problems.push(Problem::new("jsonSchema", why));
                None
            }
        };
        (schema, problems)
    }
}

impl From<&str> for EventType {
    fn from(name: &str) -> EventType {
        EventType::new(name)
    }
}

impl From<String> for EventType {
    fn from(name: String) -> EventType {
        EventType::new(name)
    }
}

/// Returns whether the name of an event type can contain this byte.
#[inline]
pub(crate) fn is_name_byte(byte: u8) -> bool {
    // A table, because a list tests each byte of its patterns.
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let (mut rest, mut byte) = (table.as_mut_slice(), 0_u8);
        while let [first, after @ ..] = rest {
            *first =
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':' | b'/');
            (rest, byte) = (after, byte.wrapping_add(1));
        }
        table
    };
    TABLE.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Returns whether a text is a valid name of an event type.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_name_byte)
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("an event type needs a name".to_owned());
    }
    if name.len() > MAX_NAME {
        return Err(format!("a name has at most {MAX_NAME} bytes, not {}", name.len()));
    }
    match name.char_indices().find(|(_, c)| !u8::try_from(*c).is_ok_and(is_name_byte)) {
        None => Ok(()),
        Some((at, c)) => Err(format!(
            "a name cannot contain {c:?} (at byte {at}), only letters, digits and _ - . : /"
        )),
    }
}

/// Validates the description of an event type or of a subscription.
pub(crate) fn check_description(text: &str) -> Result<(), String> {
    if text.len() > MAX_DESCRIPTION {
        Err(format!("a description has at most {MAX_DESCRIPTION} bytes, not {}", text.len()))
    } else if text.contains('\0') {
        Err("a description cannot contain U+0000".to_owned())
    } else {
        Ok(())
    }
}

/// Validates a schema, and returns its text.
fn schema_text(schema: &serde_json::Value) -> Result<String, String> {
    // Serializing recurses, so the depth is validated first.
    check_schema(schema)?;
    let text = serde_json::to_string(schema).map_err(|cause| format!("not JSON: {cause}"))?;
    if text.len() > MAX_SCHEMA {
        return Err(format!(
            "a schema has at most {MAX_SCHEMA} bytes serialized, not {}",
            text.len()
        ));
    }
    Ok(text)
}

/// Drops the levels of a schema that are too deep, without recursion.
///
/// A program with serde_json's feature `unbounded_depth` can parse values of any depth. Cloning,
/// comparing and dropping a value recurse, so a deep one overflows the stack.
fn drop_deep_levels(schema: &mut serde_json::Value) {
    use serde_json::Value;
    let mut level = vec![schema];
    for _ in 0..MAX_SCHEMA_DEPTH.saturating_add(4) {
        let mut next = Vec::new();
        for value in level {
            match value {
                Value::Array(items) => next.extend(items),
                Value::Object(entries) => next.extend(entries.values_mut()),
                _ => {}
            }
        }
        level = next;
    }
    let mut dropped: Vec<Value> = level.into_iter().map(Value::take).collect();
    while let Some(value) = dropped.pop() {
        match value {
            Value::Array(items) => dropped.extend(items),
            Value::Object(entries) => dropped.extend(entries.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
}

/// Validates that serde_json can parse the schema again in every program.
///
/// Its parser accepts 127 levels, of which the documents around a schema ([`Catalog`],
/// [`Export`](crate::Export), the history) need three. Numbers greater than an `f64` exist only in
/// programs with its feature `arbitrary_precision`.
fn check_schema(schema: &serde_json::Value) -> Result<(), String> {
    use serde_json::Value;
    let mut level = vec![schema];
    for _ in 0..=MAX_SCHEMA_DEPTH {
        let mut next = Vec::new();
        for value in level {
            match value {
                Value::Array(items) => next.extend(items),
                Value::Object(entries) => next.extend(entries.values()),
                Value::Number(number) if number.as_f64().is_none() => {
                    return Err(
                        "a number in a schema has to fit in a 64-bit float, up to about 1.8e308"
                            .to_owned(),
                    );
                }
                _ => {}
            }
        }
        if next.is_empty() {
            return Ok(());
        }
        level = next;
    }
    Err(format!("a schema is at most {MAX_SCHEMA_DEPTH} levels deep"))
}

impl Serialize for EventType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let EventType { name, description, json_schema } = self;
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("name", name)?;
        if let Some(description) = description {
            object.serialize_entry("description", description)?;
        }
        if let Some(schema) = json_schema {
            object.serialize_entry("jsonSchema", schema)?;
        }
        object.end()
    }
}

#[derive(Default)]
struct Draft {
    name: String,
    description: Option<String>,
    json_schema: Option<serde_json::Value>,
}

impl JsonObject for Draft {
    const KEYS: &'static [&'static str] = key_names::EVENT_TYPE;
    const REQUIRED: usize = 1;
    const DENY_UNKNOWN_FIELDS: bool = false;

    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        value: json::Value<'_, A>,
    ) -> Result<(), A::Error> {
        match key {
            "name" => self.name = value.read()?,
            "description" => self.description = value.nullable()?,
            _ => self.json_schema = value.json()?.into_value(),
        }
        Ok(())
    }
}

impl JsonType for EventType {
    const EXPECTED: &'static str = "an object";

    fn object<'de, A: MapAccess<'de>>(place: &Key<'_>, entries: A) -> Result<EventType, A::Error> {
        let Draft { name, description, json_schema } = json::document(place, entries)?;
        Ok(EventType { name, description, json_schema })
    }
}

impl<'de> Deserialize<'de> for EventType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EventType, D::Error> {
        json::read(deserializer)
    }
}

/// A document of event types, `{"eventTypes": […]}`, as a webhook API returns it from
/// `GET /event-types`.
///
/// Deserializing ignores unknown keys.
///
/// ```
/// use webhook_registry::{Catalog, Registry};
///
/// let body = r#"{"eventTypes": [{"name": "channel.held.v1"}]}"#;
/// let catalog: Catalog = serde_json::from_str(body)?;
/// let registry = Registry::in_memory()?;
/// registry.register_event_types(catalog)?;
/// assert_eq!(registry.expand("channel.*")?, ["channel.held.v1"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// The event types, in the order of the document.
    pub event_types: Vec<EventType>,
}

impl From<Vec<EventType>> for Catalog {
    fn from(event_types: Vec<EventType>) -> Catalog {
        Catalog { event_types }
    }
}

impl IntoIterator for Catalog {
    type Item = EventType;
    type IntoIter = std::vec::IntoIter<EventType>;

    fn into_iter(self) -> Self::IntoIter {
        self.event_types.into_iter()
    }
}

impl Serialize for Catalog {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Catalog { event_types } = self;
        let mut object = serializer.serialize_struct("Catalog", 1)?;
        object.serialize_field("eventTypes", event_types)?;
        object.end()
    }
}

impl JsonObject for Catalog {
    const KEYS: &'static [&'static str] = key_names::CATALOG;
    const REQUIRED: usize = 1;
    const DENY_UNKNOWN_FIELDS: bool = false;

    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        _: &'static str,
        value: json::Value<'_, A>,
    ) -> Result<(), A::Error> {
        self.event_types = value.read()?;
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Catalog {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Catalog, D::Error> {
        json::read(deserializer)
    }
}
