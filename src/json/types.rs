//! Values of a known JSON type.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::first_key::{Entries, First, FirstKey};
use super::place::Key;

/// A JSON value of a known type. Each method that a type does not override rejects its JSON type.
pub(crate) trait JsonType: Sized {
    /// The name of the type in a message: `a string`.
    const EXPECTED: &'static str;
    /// The name of the type where `null` is accepted too.
    const OR_NULL: &'static str = Self::EXPECTED;
    /// The name of a string that is rejected.
    const OTHER_TEXT: &'static str = "a string";
    const IS_LIST: bool = false;
    const IS_OBJECT: bool = false;

    /// Returns a value with which reading goes on after a value of another type. None if the
    /// reading has to end.
    fn placeholder() -> Option<Self> {
        None
    }

    fn text(_: String) -> Option<Self> {
        None
    }

    fn flag(_: bool) -> Option<Self> {
        None
    }

    /// Takes a whole number from 0.
    fn number(_: u64) -> Option<Self> {
        None
    }

    fn null() -> Option<Self> {
        None
    }

    /// Takes the text that a query string has for a value of this type.
    fn query_text(_: String) -> Option<Self> {
        None
    }

    fn list<'de, A: SeqAccess<'de>>(key: &Key<'_>, items: A) -> Result<Self, A::Error> {
        reject_list(key, items)
    }

    fn object<'de, A: MapAccess<'de>>(key: &Key<'_>, entries: A) -> Result<Self, A::Error> {
        reject_object(key, entries)
    }
}

fn reject_list<'de, T: JsonType, A: SeqAccess<'de>>(
    key: &Key<'_>,
    mut items: A,
) -> Result<T, A::Error> {
    while key.is_collecting() && items.next_element::<IgnoredAny>()?.is_some() {}
    reject(key, "an array")
}

fn reject_object<'de, T: JsonType, A: MapAccess<'de>>(
    key: &Key<'_>,
    mut entries: A,
) -> Result<T, A::Error> {
    while key.is_collecting() && entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    reject(key, "an object")
}

/// Rejects a value of another type. If faults are collected, the reading goes on with a
/// placeholder.
fn reject<T: JsonType, E: Error>(key: &Key<'_>, found: &str) -> Result<T, E> {
    key.collect(format_args!("expected {}, found {found}", T::EXPECTED));
    match T::placeholder().filter(|_| key.is_collecting()) {
        Some(placeholder) => Ok(placeholder),
        None => Err(key.mismatch(T::EXPECTED, found)),
    }
}

impl<'k> Key<'k> {
    /// Returns the seed that reads a value of the type `T` at this position.
    pub(crate) fn read<T: JsonType>(&'k self) -> Typed<'k, T> {
        Typed::new(self)
    }
}

/// Reads one value of the type `T`. Both the seed that serde needs and the visitor.
pub(crate) struct Typed<'k, T> {
    key: &'k Key<'k>,
    value: PhantomData<T>,
}

impl<'k, T: JsonType> Typed<'k, T> {
    pub(super) fn new(key: &'k Key<'k>) -> Typed<'k, T> {
        Typed { key, value: PhantomData }
    }

    fn accept<E: Error>(&self, value: Option<T>, found: &str) -> Result<T, E> {
        value.map_or_else(|| reject(self.key, found), Ok)
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
        self.accept(T::flag(value), "a boolean")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        self.accept(u64::try_from(value).ok().and_then(T::number), "a number")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        self.accept(T::number(value), "a number")
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
        self.accept(None, "a number")
    }

    // The messages of serde for these two repeat the number.

    fn visit_i128<E: Error>(self, value: i128) -> Result<T, E> {
        self.accept(u64::try_from(value).ok().and_then(T::number), "a number")
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<T, E> {
        self.accept(u64::try_from(value).ok().and_then(T::number), "a number")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<T, E> {
        self.accept(T::text(value.to_owned()), T::OTHER_TEXT)
    }

    fn visit_string<E: Error>(self, value: String) -> Result<T, E> {
        self.accept(T::text(value), T::OTHER_TEXT)
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<T, E> {
        self.accept(None, "bytes")
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        self.accept(T::null(), "null")
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

    /// With `arbitrary_precision`, a number can arrive as an object too.
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<T, A::Error> {
        match entries.next_key_seed(FirstKey::new(self.key))? {
            None => T::object(self.key, MapDeserializer::new(std::iter::empty::<(String, bool)>())),
            Some(First::Number) => {
                entries.next_value::<IgnoredAny>()?;
                self.accept(None, "a number")
            }
            Some(First::Key { name, borrowed: _ }) => {
                T::object(self.key, Entries::new(name, entries))
            }
        }
    }
}

impl JsonType for String {
    const EXPECTED: &'static str = "a string";
    const OR_NULL: &'static str = "a string or null";

    fn placeholder() -> Option<String> {
        Some(String::new())
    }

    fn text(value: String) -> Option<String> {
        Some(value)
    }

    fn query_text(text: String) -> Option<String> {
        Some(text)
    }
}

impl JsonType for bool {
    const EXPECTED: &'static str = "a boolean";
    const OR_NULL: &'static str = "a boolean or null";

    fn placeholder() -> Option<bool> {
        Some(false)
    }

    fn flag(value: bool) -> Option<bool> {
        Some(value)
    }

    fn query_text(text: String) -> Option<bool> {
        text.parse().ok()
    }
}

impl JsonType for u64 {
    const EXPECTED: &'static str = "a whole number from 0";
    const OR_NULL: &'static str = "a whole number from 0 or null";

    fn placeholder() -> Option<u64> {
        Some(0)
    }

    fn number(value: u64) -> Option<u64> {
        Some(value)
    }

    fn query_text(text: String) -> Option<u64> {
        // `parse` alone would accept a `+` too.
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
    }
}

impl<T: JsonType> JsonType for Vec<T> {
    const EXPECTED: &'static str = "an array";
    const OR_NULL: &'static str = "an array or null";
    const IS_LIST: bool = true;

    fn placeholder() -> Option<Vec<T>> {
        Some(Vec::new())
    }

    fn list<'de, A: SeqAccess<'de>>(key: &Key<'_>, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        for index in 0.. {
            let Some(item) = items.next_element_seed(Typed::<T>::new(&key.item(index)))? else {
                break;
            };
            // A document with a fault is rejected. Its items need no memory.
            if key.fault_count() == 0 {
                list.push(item);
            }
        }
        Ok(list)
    }
}

/// An object with any keys and values of one type. A repeated key is rejected, because one of the
/// two values would be lost.
impl<T: JsonType> JsonType for BTreeMap<String, T> {
    const EXPECTED: &'static str = "an object";
    const OR_NULL: &'static str = "an object or null";
    const IS_OBJECT: bool = true;

    fn placeholder() -> Option<Self> {
        Some(BTreeMap::new())
    }

    fn object<'de, A: MapAccess<'de>>(key: &Key<'_>, mut entries: A) -> Result<Self, A::Error> {
        let mut map = BTreeMap::new();
        let mut repeated = BTreeSet::new();
        while let Some(name) = entries.next_key_seed(Typed::<String>::new(key))? {
            let place = key.entry(&name);
            let value = entries.next_value_seed(Typed::<T>::new(&place))?;
            if map.contains_key(&name) {
                if repeated.insert(name.clone()) {
                    place.reject(format_args!("the key appears twice"))?;
                }
                continue;
            }
            map.insert(name, value);
        }
        Ok(map)
    }
}

/// A value that can be `null`, which has a meaning of its own.
///
/// `FROM_QUERY`: or the text of a query string, of which an empty one is `null`.
pub(crate) struct Nullable<T, const FROM_QUERY: bool = false>(pub(crate) Option<T>);

impl<T: JsonType, const FROM_QUERY: bool> JsonType for Nullable<T, FROM_QUERY> {
    const EXPECTED: &'static str = T::OR_NULL;
    const OTHER_TEXT: &'static str =
        if FROM_QUERY { "a string that is not one" } else { "a string" };

    fn placeholder() -> Option<Self> {
        Some(Nullable(None))
    }

    fn text(value: String) -> Option<Self> {
        if !FROM_QUERY {
            return T::text(value).map(|value| Nullable(Some(value)));
        }
        if value.is_empty() {
            return Some(Nullable(None));
        }
        T::query_text(value).map(|value| Nullable(Some(value)))
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
        if !T::IS_LIST {
            return reject_list(key, items);
        }
        T::list(key, items).map(|value| Nullable(Some(value)))
    }

    fn object<'de, A: MapAccess<'de>>(key: &Key<'_>, entries: A) -> Result<Self, A::Error> {
        if !T::IS_OBJECT {
            return reject_object(key, entries);
        }
        T::object(key, entries).map(|value| Nullable(Some(value)))
    }
}
