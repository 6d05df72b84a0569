//! JSON readers. The messages of serde repeat the value that does not fit, and that value can be a
//! secret under the wrong key. These readers name the key and the two types.

mod faults;
mod first_key;
pub(crate) mod key_names;
mod object;
mod place;
mod read;
mod types;
mod value;

pub(crate) use object::{JsonObject, Value, document};
pub(crate) use place::Key;
pub(crate) use read::{from_slice, parse, read};
pub(crate) use types::{JsonType, Nullable};
pub(crate) use value::Json;
