//! Deserializing an [`Export`].

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess};

use super::document::{Export, Exported, ExportedSecret, FORMAT};
use crate::json::key_names::EXPORT;
use crate::json::{self, Json, JsonObject, JsonType, Key, key_names};

/// The value of a key of the document.
enum Part<T> {
    /// The document has no such key, or it has not been read yet.
    Absent,
    /// The key came before the format was known, so the value has not been interpreted.
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

    /// Returns the interpreted value, or `None` if it is absent.
    fn finish<E: Error>(self, key: &Key<'_>) -> Result<Option<T>, E> {
        match self {
            Part::Absent => Ok(None),
            Part::Unread(json) => json.replay(key).map(Some),
            Part::Read(value) => Ok(Some(value)),
        }
    }
}

/// JSON keys have no order, and the keys and types of another format are unknown. So nothing is
/// rejected before `formatVersion` is read: a value that comes before it is kept as JSON, and the
/// first wrong key is remembered. Documents that a registry writes begin with `formatVersion` and
/// need no intermediate value.
impl JsonType for Export {
    const EXPECTED: &'static str = "an object";

    fn object<'de, A: MapAccess<'de>>(
        document: &Key<'_>,
        mut entries: A,
    ) -> Result<Export, A::Error> {
        let mut version: Option<u64> = None;
        let (mut event_types, mut subscriptions) = (Part::Absent, Part::Absent);
        // The first wrong key. It is no error if the document has another format.
        let mut fault: Option<A::Error> = None;
        while let Some(name) = entries.next_key_seed(document.read::<String>())? {
            let known = version == Some(FORMAT);
            let key = document.key(&name);
            match name.as_str() {
                "formatVersion" if version.is_some() => return Err(document.twice(&name)),
                "formatVersion" => version = Some(entries.next_value_seed(key.read::<u64>())?),
                "eventTypes" if event_types.is_absent() && (known || version.is_none()) => {
                    event_types.take::<A>(&key, known, &mut entries)?;
                }
                "subscriptions" if subscriptions.is_absent() && (known || version.is_none()) => {
                    subscriptions.take::<A>(&key, known, &mut entries)?;
                }
                _ => {
                    let wrong = || {
                        if EXPORT.contains(&name.as_str()) {
                            document.twice(&name)
                        } else {
                            document.unknown(&name, &EXPORT)
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
        let event_types = event_types.finish(&document.key("eventTypes"))?;
        let subscriptions = subscriptions.finish(&document.key("subscriptions"))?;
        let absent = [version.is_none(), event_types.is_none(), subscriptions.is_none()];
        let (Some(format_version), Some(event_types), Some(subscriptions)) =
            (version, event_types, subscriptions)
        else {
            let absent =
                EXPORT.into_iter().zip(absent).filter_map(|(key, absent)| absent.then_some(key));
            return Err(document.missing(&absent.collect::<Vec<_>>()));
        };
        Ok(Export { format_version, event_types, subscriptions })
    }
}

impl<'de> Deserialize<'de> for Export {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Export, D::Error> {
        json::read(deserializer)
    }
}

impl JsonObject for Exported {
    const KEYS: &'static [&'static str] = key_names::EXPORTED_SUBSCRIPTION;
    const REQUIRED: usize = 9;
    const DENY_UNKNOWN_FIELDS: bool = true;

    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        value: json::Value<'_, A>,
    ) -> Result<(), A::Error> {
        match key {
            "subscriptionId" => self.id = value.read()?,
            "name" => self.fields.name = value.read()?,
            "url" => self.fields.url = value.read()?,
            "events" => self.fields.events = value.read()?,
            "enabled" => self.fields.enabled = value.read()?,
            "createdAt" => self.created_at = value.read()?,
            "updatedAt" => self.updated_at = value.read()?,
            "revision" => self.revision = value.read()?,
            "secrets" => self.secrets = value.read()?,
            "description" => self.fields.description = value.nullable()?,
            "metadata" => self.fields.metadata = value.nullable()?.unwrap_or_default(),
            "owner" => self.owner = value.nullable()?,
            "disabledReason" => self.fields.disabled_reason = value.nullable()?,
            _ => self.disabled_at = value.nullable()?,
        }
        Ok(())
    }
}

impl JsonObject for ExportedSecret {
    const KEYS: &'static [&'static str] = key_names::EXPORTED_SECRET;
    const REQUIRED: usize = 2;
    const DENY_UNKNOWN_FIELDS: bool = true;

    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        value: json::Value<'_, A>,
    ) -> Result<(), A::Error> {
        match key {
            "secret" => self.secret = value.read()?,
            "createdAt" => self.created_at = value.read()?,
            _ => self.expires_at = value.nullable()?,
        }
        Ok(())
    }
}
