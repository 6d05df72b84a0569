//! JSON of any type: schemas, the values of the history, and values that wait for a later key.
//!
//! `serde_json::Value` does not read JSON the same way in every program. Cargo unifies features, so
//! another crate of the program can turn on `raw_value` or `arbitrary_precision`. Then an object
//! whose first key is `$serde_json::private::RawValue` or `$serde_json::private::Number` is read as
//! another value, or is rejected. With `arbitrary_precision`, a number also arrives as such an
//! object. This reader distinguishes the two and keeps every key.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Number, Value};

use super::first_key::{First, FirstKey, NUMBER};
use super::place::Key;
use super::types::{JsonType, Typed};

/// The maximum depth of serde_json's parser. With `unbounded_depth` a program can lift that limit,
/// but the stack does not grow.
const MAX_DEPTH: u8 = 127;

/// A JSON value of any type. Objects keep every key in order, also repeated ones.
#[derive(Debug)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Returns the value, or None for `null`.
    pub(crate) fn into_value(self) -> Option<Value> {
        match self {
            Json::Null => None,
            json => Some(json.into()),
        }
    }

    /// Reads this value as a `T` at the position `key` of the document.
    pub(crate) fn replay<T: JsonType, E: Error>(self, key: &Key<'_>) -> Result<T, E> {
        Typed::<T>::new(key).deserialize(self.into_deserializer())
    }
}

/// The last value of a repeated key wins, as in serde_json.
impl From<Json> for Value {
    fn from(json: Json) -> Value {
        match json {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Bool(flag),
            Json::Number(number) => Value::Number(number),
            Json::Text(text) => Value::String(text),
            Json::List(items) => Value::Array(items.into_iter().map(Value::from).collect()),
            Json::Object(entries) => {
                Value::Object(entries.into_iter().map(|(key, value)| (key, value.into())).collect())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        Reader { levels: MAX_DEPTH, borrowed: None }.deserialize(deserializer)
    }
}

/// Reads a [`Json`]. Both the seed that serde needs and the visitor.
#[derive(Clone, Copy)]
struct Reader<'c> {
    /// The number of levels that may still be opened.
    levels: u8,
    /// Set to true by a text that lives as long as the document.
    borrowed: Option<&'c Cell<bool>>,
}

impl Reader<'_> {
    fn inner<E: Error>(self) -> Result<Reader<'static>, E> {
        match self.levels.checked_sub(1) {
            Some(levels) => Ok(Reader { levels, borrowed: None }),
            None => Err(E::custom(format_args!("nested more than {MAX_DEPTH} levels deep"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Json, E> {
        number(&value.to_string())
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Json, E> {
        number(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Json, E> {
        if let Some(borrowed) = self.borrowed {
            borrowed.set(true);
        }
        self.visit_str(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let inner = self.inner()?;
        // serde tells the length of what it has buffered, and serde_json's parser does not know it.
        let buffered = entries.size_hint().is_some();
        let mut object = Vec::new();
        match entries.next_key_seed(FirstKey::new(&Key::root()))? {
            None => return Ok(Json::Object(object)),
            Some(First::Number) => return number(&entries.next_value::<String>()?),
            Some(First::Key { name, borrowed: key_borrowed }) => {
                let borrowed = Cell::new(false);
                let value =
                    entries.next_value_seed(Reader { borrowed: Some(&borrowed), ..inner })?;
                // A number that serde has buffered, for `flatten` or an untagged enum. Its key is
                // borrowed and its text is not. Of an object that is buffered both are, or neither,
                // unless the text is escaped, and digits need not be.
                if has_arbitrary_precision()
                    && buffered
                    && key_borrowed
                    && !borrowed.get()
                    && name == NUMBER
                    && let Json::Text(text) = &value
                    && let Ok(number) = text.parse()
                {
                    return Ok(Json::Number(number));
                }
                object.push((name, value));
            }
        }
        while let Some(name) = entries.next_key_seed(Typed::<String>::new(&Key::root()))? {
            object.push((name, entries.next_value_seed(inner)?));
        }
        Ok(Json::Object(object))
    }
}

/// Returns whether this program's serde_json keeps the digits of a number as they were written.
fn has_arbitrary_precision() -> bool {
    "1.00".parse::<Number>().is_ok_and(|number| number.to_string() == "1.00")
}

/// As precise as this program's serde_json is.
fn number<E: Error>(text: &str) -> Result<Json, E> {
    text.parse().map(Json::Number).map_err(|_| E::custom("a number that cannot be read"))
}

/// Passes a [`Json`] to a visitor like the deserializer that it was read from.
pub(crate) struct Replay<E> {
    json: Json,
    error: PhantomData<E>,
}

impl<'de, E: Error> IntoDeserializer<'de, E> for Json {
    type Deserializer = Replay<E>;

    fn into_deserializer(self) -> Replay<E> {
        Replay { json: self, error: PhantomData }
    }
}

impl<'de, E: Error> Deserializer<'de> for Replay<E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        match self.json {
            Json::Null => visitor.visit_unit(),
            Json::Bool(flag) => visitor.visit_bool(flag),
            Json::Number(number) => number.deserialize_any(visitor).map_err(E::custom),
            Json::Text(text) => visitor.visit_string(text),
            Json::List(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter())),
            Json::Object(entries) => visitor.visit_map(MapDeserializer::new(entries.into_iter())),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}
