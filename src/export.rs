use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess};
use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

use crate::error::Result;
use crate::event_type::EventType;
use crate::json::{self, Json, JsonObject, JsonType, Key};
use crate::secret::{IssuedSecret, SecretText};
use crate::subscription::Subscription;

/// The format that this version writes, and the only one that it reads.
pub(crate) const FORMAT: u64 = 1;

/// Everything that a registry holds, as one JSON document: from [`Registry::export`](crate::Registry::export), for
/// [`Registry::import`](crate::Registry::import).
///
/// **It holds every live secret as text**, also when the registry is encrypted; its `Debug` shows none.
///
/// # JSON
///
/// `{"formatVersion": 1, "eventTypes": […], "subscriptions": […]}`. Event types stand by name, subscriptions in the order of
/// creation, each as a [`Subscription`] and with `secrets`, newest first: `{"secret", "createdAt", "expiresAt"}`, the last
/// only of those that were replaced. The same registry gives the same document.
///
/// When it is read, unknown keys are refused, but for those of an [`EventType`]. Of a document whose `formatVersion` is
/// another, only that is read, wherever it stands, and importing it tells so.
#[derive(Clone, PartialEq, Eq)]
pub struct Export {
    pub(crate) format_version: u64,
    pub(crate) event_types: Vec<EventType>,
    pub(crate) subscriptions: Vec<Exported>,
}

/// One subscription of the document, not judged yet.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Exported {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) events: Vec<String>,
    pub(crate) enabled: bool,
    pub(crate) description: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
    pub(crate) revision: u64,
    pub(crate) secrets: Vec<ExportedSecret>,
}

/// One secret of the document, not judged yet.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct ExportedSecret {
    pub(crate) secret: SecretText,
    pub(crate) created_at: String,
    pub(crate) expires_at: Option<String>,
}

impl Exported {
    pub(crate) fn new(subscription: Subscription, secrets: Vec<IssuedSecret>) -> Exported {
        let Subscription {
            id,
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            created_at,
            updated_at,
            revision,
        } = subscription;
        Exported {
            id: id.to_string(),
            name,
            url,
            events: events.iter().map(ToString::to_string).collect(),
            enabled,
            description,
            metadata,
            created_at: created_at.to_string(),
            updated_at: updated_at.to_string(),
            revision,
            secrets: secrets.into_iter().map(ExportedSecret::new).collect(),
        }
    }
}

impl ExportedSecret {
    fn new(issued: IssuedSecret) -> ExportedSecret {
        let IssuedSecret { secret, created_at, expires_at } = issued;
        ExportedSecret {
            secret: SecretText::from(secret.expose().to_owned()),
            created_at: created_at.to_string(),
            expires_at: expires_at.map(|until| until.to_string()),
        }
    }
}

impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Export { format_version, event_types, subscriptions } = self;
        f.debug_struct("Export")
            .field("format_version", format_version)
            .field("event_types", &event_types.len())
            .field("subscriptions", &subscriptions.len())
            .finish_non_exhaustive()
    }
}

impl Serialize for Export {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Export { format_version, event_types, subscriptions } = self;
        let mut object = serializer.serialize_struct("Export", 3)?;
        object.serialize_field("formatVersion", format_version)?;
        object.serialize_field("eventTypes", event_types)?;
        object.serialize_field("subscriptions", subscriptions)?;
        object.end()
    }
}

impl Serialize for Exported {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Exported {
            id,
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            created_at,
            updated_at,
            revision,
            secrets,
        } = self;
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("subscriptionId", id)?;
        object.serialize_entry("name", name)?;
        object.serialize_entry("url", url)?;
        object.serialize_entry("events", events)?;
        object.serialize_entry("enabled", enabled)?;
        if let Some(description) = description {
            object.serialize_entry("description", description)?;
        }
        if !metadata.is_empty() {
            object.serialize_entry("metadata", metadata)?;
        }
        object.serialize_entry("createdAt", created_at)?;
        object.serialize_entry("updatedAt", updated_at)?;
        object.serialize_entry("revision", revision)?;
        object.serialize_entry("secrets", secrets)?;
        object.end()
    }
}

impl Serialize for ExportedSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ExportedSecret { secret, created_at, expires_at } = self;
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("secret", secret.as_str())?;
        object.serialize_entry("createdAt", created_at)?;
        if let Some(until) = expires_at {
            object.serialize_entry("expiresAt", until)?;
        }
        object.end()
    }
}

const KEYS: [&str; 3] = ["formatVersion", "eventTypes", "subscriptions"];

/// What a key of the document holds.
enum Part<T> {
    /// Nothing: the key was not met.
    Absent,
    /// Kept as it was met, before the format was known.
    Unread(Json),
    Read(T),
}

impl<T: JsonType> Part<T> {
    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: &Key<'_>,
        known: bool,
        entries: &mut A,
    ) -> Result<(), A::Error> {
        *self = if known {
            Part::Read(entries.next_value_seed(key.read::<T>())?)
        } else {
            Part::Unread(entries.next_value()?)
        };
        Ok(())
    }

    fn is_absent(&self) -> bool {
        matches!(self, Part::Absent)
    }

    /// None where it is absent.
    fn settle<E: Error>(self, key: &Key<'_>) -> Result<Option<T>, E> {
        match self {
            Part::Absent => Ok(None),
            Part::Unread(json) => json.replay(key).map(Some),
            Part::Read(value) => Ok(Some(value)),
        }
    }
}

/// Keys have no order, and of another format nothing is known: not which keys there are, nor of what types. So nothing is
/// judged before `formatVersion` was met. What a registry writes begins with it, and is read without a detour.
impl JsonType for Export {
    const EXPECTED: &'static str = "an object";

    fn object<'de, A: MapAccess<'de>>(place: &Key<'_>, mut entries: A) -> Result<Export, A::Error> {
        let mut version: Option<u64> = None;
        let (mut event_types, mut subscriptions) = (Part::Absent, Part::Absent);
        // The first of those that could belong to another format.
        let mut fault: Option<A::Error> = None;
        while let Some(name) = entries.next_key_seed(place.read::<String>())? {
            let known = version == Some(FORMAT);
            let key = place.of(&name);
            match name.as_str() {
                "formatVersion" if version.is_some() => return Err(place.twice(&name)),
                "formatVersion" => version = Some(entries.next_value_seed(key.read::<u64>())?),
                "eventTypes" if event_types.is_absent() && (known || version.is_none()) => {
                    event_types.take::<A>(&key, known, &mut entries)?;
                }
                "subscriptions" if subscriptions.is_absent() && (known || version.is_none()) => {
                    subscriptions.take::<A>(&key, known, &mut entries)?;
                }
                _ => {
                    let wrong = || {
                        if KEYS.contains(&name.as_str()) {
                            place.twice(&name)
                        } else {
                            place.unknown(&name, &KEYS)
                        }
                    };
                    fault.get_or_insert_with(wrong);
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        if let Some(format_version) = version.filter(|version| *version != FORMAT) {
            return Ok(Export {
                format_version,
                event_types: Vec::new(),
                subscriptions: Vec::new(),
            });
        }
        if let Some(fault) = fault {
            return Err(fault);
        }
        let event_types = event_types.settle(&place.of("eventTypes"))?;
        let subscriptions = subscriptions.settle(&place.of("subscriptions"))?;
        let absent = [
            ("formatVersion", version.is_none()),
            ("eventTypes", event_types.is_none()),
            ("subscriptions", subscriptions.is_none()),
        ];
        let (Some(format_version), Some(event_types), Some(subscriptions)) =
            (version, event_types, subscriptions)
        else {
            return Err(place.missing_of(&absent));
        };
        Ok(Export { format_version, event_types, subscriptions })
    }
}

impl<'de> Deserialize<'de> for Export {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Export, D::Error> {
        json::read(deserializer)
    }
}

/// Which of the required keys were there.
#[derive(Default)]
struct Seen<T> {
    value: T,
    keys: Vec<&'static str>,
}

impl JsonObject for Seen<Exported> {
    const KEYS: &'static [&'static str] = &[
        "subscriptionId",
        "name",
        "url",
        "events",
        "enabled",
        "createdAt",
        "updatedAt",
        "revision",
        "secrets",
        "description",
        "metadata",
    ];
    const DENY_UNKNOWN_FIELDS: bool = true;

    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        value: json::Value<'_, A>,
    ) -> Result<(), A::Error> {
        let Seen { value: subscription, keys } = self;
        keys.push(key);
        match key {
            "subscriptionId" => subscription.id = value.read()?,
            "name" => subscription.name = value.read()?,
            "url" => subscription.url = value.read()?,
            "events" => subscription.events = value.read()?,
            "enabled" => subscription.enabled = value.read()?,
            "createdAt" => subscription.created_at = value.read()?,
            "updatedAt" => subscription.updated_at = value.read()?,
            "revision" => subscription.revision = value.read()?,
            "secrets" => subscription.secrets = value.read()?,
            "description" => subscription.description = value.nullable()?,
            _ => subscription.metadata = value.nullable()?.unwrap_or_default(),
        }
        Ok(())
    }
}

impl JsonObject for Seen<ExportedSecret> {
    const KEYS: &'static [&'static str] = &["secret", "createdAt", "expiresAt"];
    const DENY_UNKNOWN_FIELDS: bool = true;

    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        value: json::Value<'_, A>,
    ) -> Result<(), A::Error> {
        let Seen { value: secret, keys } = self;
        keys.push(key);
        match key {
            "secret" => secret.secret = value.read()?,
            "createdAt" => secret.created_at = value.read()?,
            _ => secret.expires_at = value.nullable()?,
        }
        Ok(())
    }
}

/// Reads a document all of whose first `required` keys have to be there.
fn whole<'de, T, A>(place: &Key<'_>, entries: A, required: usize) -> Result<T, A::Error>
where
    T: Default,
    Seen<T>: JsonObject,
    A: MapAccess<'de>,
{
    let Seen { value, keys } = json::document::<Seen<T>, A>(place, entries)?;
    let absent: Vec<_> =
        Seen::<T>::KEYS.iter().take(required).map(|key| (*key, !keys.contains(key))).collect();
    if absent.iter().any(|(_, absent)| *absent) {
        Err(place.missing_of(&absent))
    } else {
        Ok(value)
    }
}

impl JsonType for Exported {
    const EXPECTED: &'static str = "an object";

    fn object<'de, A: MapAccess<'de>>(place: &Key<'_>, entries: A) -> Result<Exported, A::Error> {
        whole(place, entries, 9)
    }
}

impl JsonType for ExportedSecret {
    const EXPECTED: &'static str = "an object";

    fn object<'de, A: MapAccess<'de>>(
        place: &Key<'_>,
        entries: A,
    ) -> Result<ExportedSecret, A::Error> {
        whole(place, entries, 2)
    }
}
