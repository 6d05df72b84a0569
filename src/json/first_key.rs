//! The first key of an object, which tells an object from a number.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, Visitor};

use super::place::Key;

/// The key under which serde_json passes a number that only `arbitrary_precision` can hold.
pub(super) const NUMBER: &str = "$serde_json::private::Number";

/// The JSON type of a key.
const EXPECTED: &str = "a string";

/// The beginning of an object.
pub(super) enum First {
    /// The beginning of a number.
    Number,
    /// The first key of an object.
    Key {
        name: String,
        /// True if serde lends the text for the lifetime of the document.
        borrowed: bool,
    },
}

/// Reads the first key of an object. Every key of a document passes through `visit_newtype_struct`.
/// The key by which serde_json marks a number does not.
pub(super) struct FirstKey<'k> {
    key: &'k Key<'k>,
    in_document: bool,
}

impl<'k> FirstKey<'k> {
    pub(super) fn new(key: &'k Key<'k>) -> FirstKey<'k> {
        FirstKey { key, in_document: false }
    }

    fn mismatch<T, E: Error>(&self, found: &str) -> Result<T, E> {
        Err(self.key.mismatch(EXPECTED, found))
    }
}

impl<'de> DeserializeSeed<'de> for FirstKey<'_> {
    type Value = First;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<First, D::Error> {
        deserializer.deserialize_newtype_struct("Key", self)
    }
}

impl<'de> Visitor<'de> for FirstKey<'_> {
    type Value = First;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.key, EXPECTED)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<First, D::Error> {
        deserializer.deserialize_any(FirstKey { in_document: true, ..self })
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<First, E> {
        if name == NUMBER && !self.in_document {
            return Ok(First::Number);
        }
        Ok(First::Key { name: name.to_owned(), borrowed: true })
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<First, E> {
        Ok(First::Key { name: name.to_owned(), borrowed: false })
    }

    fn visit_string<E: Error>(self, name: String) -> Result<First, E> {
        Ok(First::Key { name, borrowed: false })
    }

    // Keys of other formats. The messages of serde would repeat them.

    fn visit_bool<E: Error>(self, _: bool) -> Result<First, E> {
        self.mismatch("a boolean")
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<First, E> {
        self.mismatch("a number")
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<First, E> {
        self.mismatch("a number")
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<First, E> {
        self.mismatch("a number")
    }
}

/// The entries of an object of which the first key is already read.
pub(super) struct Entries<A> {
    first: Option<String>,
    rest: A,
}

impl<A> Entries<A> {
    pub(super) fn new(first: String, rest: A) -> Entries<A> {
        Entries { first: Some(first), rest }
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        match self.first.take() {
            Some(name) => seed.deserialize(name.into_deserializer()).map(Some),
            None => self.rest.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.rest.next_value_seed(seed)
    }
}
