//! Objects whose keys are known.

use serde::de::{IgnoredAny, MapAccess};

use super::place::Key;
use super::types::{JsonType, Nullable, Typed};
use super::value::Json;

/// An object whose keys are known.
pub(crate) trait JsonObject: Default {
    const KEYS: &'static [&'static str];
    /// The number of keys, from the first, that must not be absent.
    const REQUIRED: usize = 0;
    /// False where the document belongs to another system, which can add keys to it.
    const DENY_UNKNOWN_FIELDS: bool;

    /// Takes the value of one of the [keys](Self::KEYS).
    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        value: Value<'_, A>,
    ) -> Result<(), A::Error>;
}

/// The value of a key of an object, before it is read.
pub(crate) struct Value<'a, A> {
    object: &'a Key<'a>,
    key: &'static str,
    entries: &'a mut A,
}

impl<'de, A: MapAccess<'de>> Value<'_, A> {
    pub(crate) fn read<T: JsonType>(self) -> Result<T, A::Error> {
        self.entries.next_value_seed(Typed::new(&self.object.key(self.key)))
    }

    /// Reads a value that can be null.
    pub(crate) fn nullable<T: JsonType>(self) -> Result<Option<T>, A::Error> {
        self.read::<Nullable<T>>().map(|value| value.0)
    }

    /// Reads a value that can be null. A reader that ends at the first fault also accepts the text
    /// of a query string, of which an empty one is null.
    pub(crate) fn nullable_or_text<T: JsonType>(self) -> Result<Option<T>, A::Error> {
        if self.object.is_collecting() {
            self.nullable()
        } else {
            self.read::<Nullable<T, true>>().map(|value| value.0)
        }
    }

    /// Reads a text as [`nullable_or_text`](Self::nullable_or_text) does, and parses it.
    pub(crate) fn parsed<T>(
        self,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, A::Error> {
        let Value { object, key, entries } = self;
        let faults = object.fault_count();
        let text = Value { object, key, entries }.nullable_or_text::<String>()?;
        // After a fault the text only stands in for a value of another type.
        let Some(text) = text.filter(|_| object.fault_count() == faults) else {
            return Ok(None);
        };
        match parse(&text) {
            Ok(value) => Ok(Some(value)),
            Err(why) => object.key(key).reject(format_args!("{why}")).map(|()| None),
        }
    }

    /// Reads any JSON value.
    pub(crate) fn json(self) -> Result<Json, A::Error> {
        self.entries.next_value()
    }
}

impl<T: JsonObject> JsonType for T {
    const EXPECTED: &'static str = "an object";

    fn object<'de, A: MapAccess<'de>>(place: &Key<'_>, entries: A) -> Result<T, A::Error> {
        document(place, entries)
    }
}

/// Reads an object key by key.
pub(crate) fn document<'de, T: JsonObject, A: MapAccess<'de>>(
    place: &Key<'_>,
    mut entries: A,
) -> Result<T, A::Error> {
    let mut document = T::default();
    let mut seen: Vec<(&'static str, bool)> = Vec::new();
    while let Some(name) = entries.next_key_seed(Typed::<String>::new(place))? {
        let Some(&key) = T::KEYS.iter().find(|&&key| key == name) else {
            if T::DENY_UNKNOWN_FIELDS {
                place.reject_unknown(&name, T::KEYS)?;
            }
            entries.next_value::<IgnoredAny>()?;
            continue;
        };
        match seen.iter_mut().find(|(earlier, _)| *earlier == key) {
            None => seen.push((key, false)),
            Some((_, reported)) => {
                if !*reported {
                    place.reject_twice(key)?;
                }
                *reported = true;
            }
        }
        document.take(key, Value { object: place, key, entries: &mut entries })?;
    }
    let is_absent = |key: &&str| !seen.iter().any(|(present, _)| present == key);
    let absent: Vec<&str> = T::KEYS.iter().take(T::REQUIRED).copied().filter(is_absent).collect();
    if absent.is_empty() { Ok(document) } else { Err(place.missing(&absent)) }
}
