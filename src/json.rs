//! Reading JSON by hand, because serde's own messages repeat the value that did not fit, and that value can be a
//! secret under the wrong key. A wrong type is told by its key and the two types, nothing else.

mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::quoted_key;
pub(crate) use value::Json;

/// One JSON value of a certain type. Everything that a type does not override is "not this type".
pub(crate) trait JsonType: Sized {
    /// How the type is called in a message: `a string`.
    const EXPECTED: &'static str;
    /// The same where `null` may stand instead.
    const OR_NULL: &'static str = Self::EXPECTED;

    fn text(_: String) -> Option<Self> {
        None
    }

    fn flag(_: bool) -> Option<Self> {
        None
    }

    /// A whole number from 0.
    fn number(_: u64) -> Option<Self> {
        None
    }

    fn null() -> Option<Self> {
        None
    }

    fn list<'de, A: SeqAccess<'de>>(key: &Key<'_>, _: A) -> Result<Self, A::Error> {
        Err(key.mismatch(Self::EXPECTED, "an array"))
    }

    fn object<'de, A: MapAccess<'de>>(key: &Key<'_>, _: A) -> Result<Self, A::Error> {
        Err(key.mismatch(Self::EXPECTED, "an object"))
    }
}

/// Where in the document a value stands: `enabled`, `subscriptions[3].events[2]`. Empty for the document itself.
pub(crate) struct Key<'a> {
    /// The object that has the name; none for the document itself.
    of: Option<&'a Key<'a>>,
    name: &'a str,
    within: Option<Within<'a>>,
}

enum Within<'a> {
    Index(usize),
    Entry(&'a str),
}

impl<'a> Key<'a> {
    /// The whole document.
    pub(crate) fn root() -> Key<'a> {
        Key { of: None, name: "", within: None }
    }

    fn inside(&self, within: Within<'a>) -> Key<'a> {
        Key { of: self.of, name: self.name, within: Some(within) }
    }

    fn is_root(&self) -> bool {
        self.of.is_none() && self.within.is_none()
    }

    fn path(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(of) = self.of.filter(|of| !of.is_root()) {
            of.path(f)?;
            f.write_str(".")?;
        }
        match self.within {
            None => f.write_str(self.name),
            Some(Within::Index(index)) => write!(f, "{}[{index}]", self.name),
            Some(Within::Entry(entry)) => write!(f, "{}[{}]", self.name, quoted_key(entry)),
        }
    }

    pub(crate) fn mismatch<E: Error>(&self, expected: &str, found: &str) -> E {
        E::custom(format_args!("{self}expected {expected}, found {found}"))
    }

    /// The error for required keys that are not there, all of them at once.
    pub(crate) fn missing<E: Error>(&self, keys: &[&str]) -> E {
        let plural = if keys.len() == 1 { "key" } else { "keys" };
        E::custom(format_args!("{self}missing {plural} {}", keys.join(", ")))
    }

    /// The same for keys of which some are there.
    pub(crate) fn missing_of<E: Error>(&self, absent: &[(&str, bool)]) -> E {
        let absent: Vec<&str> =
            absent.iter().filter_map(|(key, absent)| absent.then_some(*key)).collect();
        self.missing(&absent)
    }

    /// The error for a key that is none of those that are known.
    pub(crate) fn unknown<E: Error>(&self, name: &str, keys: &[&str]) -> E {
        E::custom(format_args!(
            "{self}unknown key {}; the keys are {}",
            quoted_key(name),
            keys.join(", ")
        ))
    }

    /// The error for a key that stands twice.
    pub(crate) fn twice<E: Error>(&self, name: &str) -> E {
        E::custom(format_args!("{self}the key {name} stands twice"))
    }

    /// The place of a key of this object.
    pub(crate) fn of(&'a self, name: &'a str) -> Key<'a> {
        Key { of: Some(self), name, within: None }
    }

    /// Reads a value of the shape `T` that stands here.
    pub(crate) fn read<T: JsonType>(&self) -> Typed<'_, T> {
        Typed { key: self, shape: PhantomData }
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return Ok(());
        }
        self.path(f)?;
        f.write_str(": ")
    }
}

/// Reads one value of the shape `T`; both the seed that serde wants and the visitor.
pub(crate) struct Typed<'k, T> {
    key: &'k Key<'k>,
    shape: PhantomData<T>,
}

impl<T: JsonType> Typed<'_, T> {
    fn judge<E: Error>(&self, value: Option<T>, found: &str) -> Result<T, E> {
        value.ok_or_else(|| self.key.mismatch(T::EXPECTED, found))
    }
}

impl<'de, T: JsonType> DeserializeSeed<'de> for Typed<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: JsonType> Visitor<'de> for Typed<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.key, T::EXPECTED)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        self.judge(T::flag(value), "a boolean")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        self.judge(u64::try_from(value).ok().and_then(T::number), "a number")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        self.judge(T::number(value), "a number")
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
        self.judge(None, "a number")
    }

    // serde's own messages for these two repeat the number.

    fn visit_i128<E: Error>(self, value: i128) -> Result<T, E> {
        self.judge(u64::try_from(value).ok().and_then(T::number), "a number")
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<T, E> {
        self.judge(u64::try_from(value).ok().and_then(T::number), "a number")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<T, E> {
        self.judge(T::text(value.to_owned()), "a string")
    }

    fn visit_string<E: Error>(self, value: String) -> Result<T, E> {
        self.judge(T::text(value), "a string")
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<T, E> {
        self.judge(None, "bytes")
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        self.judge(T::null(), "null")
    }

    fn visit_none<E: Error>(self) -> Result<T, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<T, A::Error> {
        T::list(self.key, items)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<T, A::Error> {
        self.object_or_number(entries)
    }
}

impl JsonType for String {
    const EXPECTED: &'static str = "a string";
    const OR_NULL: &'static str = "a string or null";

    fn text(value: String) -> Option<String> {
        Some(value)
    }
}

impl JsonType for bool {
    const EXPECTED: &'static str = "a boolean";
    const OR_NULL: &'static str = "a boolean or null";

    fn flag(value: bool) -> Option<bool> {
        Some(value)
    }
}

impl JsonType for u64 {
    const EXPECTED: &'static str = "a whole number from 0";
    const OR_NULL: &'static str = "a whole number from 0 or null";

    fn number(value: u64) -> Option<u64> {
        Some(value)
    }
}

impl<T: JsonType> JsonType for Vec<T> {
    const EXPECTED: &'static str = "an array";
    const OR_NULL: &'static str = "an array or null";

    fn list<'de, A: SeqAccess<'de>>(key: &Key<'_>, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        loop {
            let place = key.inside(Within::Index(list.len()));
            match items.next_element_seed(place.read::<T>())? {
                Some(item) => list.push(item),
                None => return Ok(list),
            }
        }
    }
}

/// An object of any keys and values of one shape. A key that stands twice is refused: one of the two values would be
/// lost.
impl<T: JsonType> JsonType for BTreeMap<String, T> {
    const EXPECTED: &'static str = "an object";
    const OR_NULL: &'static str = "an object or null";

    fn object<'de, A: MapAccess<'de>>(key: &Key<'_>, mut entries: A) -> Result<Self, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(name) = entries.next_key_seed(key.read::<String>())? {
            let place = key.inside(Within::Entry(&name));
            let value = entries.next_value_seed(place.read::<T>())?;
            if map.contains_key(&name) {
                return Err(A::Error::custom(format_args!("{place}the key stands twice")));
            }
            map.insert(name, value);
        }
        Ok(map)
    }
}

/// A value for which `null` is a statement of its own.
pub(crate) struct Nullable<T>(pub(crate) Option<T>);

impl<T: JsonType> JsonType for Nullable<T> {
    const EXPECTED: &'static str = T::OR_NULL;

    fn text(value: String) -> Option<Self> {
        T::text(value).map(|value| Nullable(Some(value)))
    }

    fn flag(value: bool) -> Option<Self> {
        T::flag(value).map(|value| Nullable(Some(value)))
    }

    fn number(value: u64) -> Option<Self> {
        T::number(value).map(|value| Nullable(Some(value)))
    }

    fn null() -> Option<Self> {
        Some(Nullable(None))
    }

    fn list<'de, A: SeqAccess<'de>>(key: &Key<'_>, items: A) -> Result<Self, A::Error> {
        T::list(key, items).map(|value| Nullable(Some(value)))
    }

    fn object<'de, A: MapAccess<'de>>(key: &Key<'_>, entries: A) -> Result<Self, A::Error> {
        T::object(key, entries).map(|value| Nullable(Some(value)))
    }
}

/// An object whose keys are known.
pub(crate) trait JsonObject: Default {
    const KEYS: &'static [&'static str];
    /// Whether other keys are refused. They are ignored where the document is another system's.
    const DENY_UNKNOWN_FIELDS: bool;

    /// Takes the value of one of the [keys](Self::KEYS).
    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        value: Value<'_, A>,
    ) -> Result<(), A::Error>;
}

/// The value of a document's key, not read yet.
pub(crate) struct Value<'a, A> {
    of: &'a Key<'a>,
    key: &'static str,
    entries: &'a mut A,
}

impl<'de, A: MapAccess<'de>> Value<'_, A> {
    pub(crate) fn read<T: JsonType>(self) -> Result<T, A::Error> {
        self.entries.next_value_seed(self.of.of(self.key).read::<T>())
    }

    pub(crate) fn nullable<T: JsonType>(self) -> Result<Option<T>, A::Error> {
        self.read::<Nullable<T>>().map(|value| value.0)
    }

    /// Any JSON value.
    pub(crate) fn json(self) -> Result<Json, A::Error> {
        self.entries.next_value()
    }
}

/// Reads an object as a document, key by key.
pub(crate) fn document<'de, T: JsonObject, A: MapAccess<'de>>(
    place: &Key<'_>,
    mut entries: A,
) -> Result<T, A::Error> {
    let mut document = T::default();
    let mut seen = Vec::new();
    while let Some(name) = entries.next_key_seed(place.read::<String>())? {
        let Some(&key) = T::KEYS.iter().find(|&&key| key == name) else {
            if T::DENY_UNKNOWN_FIELDS {
                return Err(place.unknown(&name, T::KEYS));
            }
            entries.next_value::<IgnoredAny>()?;
            continue;
        };
        if seen.contains(&key) {
            return Err(place.twice(key));
        }
        seen.push(key);
        document.take(key, Value { of: place, key, entries: &mut entries })?;
    }
    Ok(document)
}

/// Reads a whole value of the shape `T`.
pub(crate) fn read<'de, T: JsonType, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Key::root().read::<T>().deserialize(deserializer)
}

/// Reads a text that is a whole value of the shape `T`.
pub(crate) fn parse<T: JsonType>(text: &str) -> Result<T, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = read(&mut deserializer)?;
    deserializer.end().map(|()| value)
}
