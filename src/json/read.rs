//! Whole documents.

use std::str::Utf8Error;

use serde::de::{DeserializeSeed as _, Deserializer};

use super::faults::{BODY, Faults};
use super::place::Key;
use super::types::{JsonType, Typed};
use crate::error::Error;

/// Reads a whole value of the type `T`.
pub(crate) fn read<'de, T: JsonType, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Typed::new(&Key::root()).deserialize(deserializer)
}

/// Reads a text that is a whole value of the type `T`.
pub(crate) fn parse<T: JsonType>(text: &str) -> Result<T, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = read(&mut deserializer)?;
    deserializer.end().map(|()| value)
}

/// Reads a document of the type `T` and reports every fault of its shape.
///
/// The document is read once, and values under unknown keys or of a wrong type are skipped, not
/// kept. A text that is not JSON has no shape, so its syntax error is the only problem.
pub(crate) fn from_slice<T: JsonType>(document: &[u8]) -> Result<T, Error> {
    let faults = Faults::default();
    let document = std::str::from_utf8(document).map_err(|error| not_utf8(document, error))?;
    let mut deserializer = serde_json::Deserializer::from_str(document);
    let value = Typed::new(&Key::collecting(&faults)).deserialize(&mut deserializer);
    let not_json = match &value {
        Err(error) if error.is_syntax() || error.is_eof() => Some(error.to_string()),
        _ => deserializer.end().err().map(|error| error.to_string()),
    };
    // The messages of serde_json about syntax are fixed texts with a position.
    if let Some(message) = not_json {
        return Err(Error::invalid_field(BODY, format!("not JSON: {message}")));
    }
    match value {
        Ok(value) if faults.is_empty() => Ok(value),
        Err(_) if faults.is_empty() => Err(Error::invalid_field(BODY, "cannot be read")),
        _ => Err(faults.into_error()),
    }
}

fn not_utf8(document: &[u8], error: Utf8Error) -> Error {
    let valid = document.get(..error.valid_up_to()).unwrap_or_default();
    let line = valid.split(|&byte| byte == b'\n').count();
    let before = valid.rsplit(|&byte| byte == b'\n').next().map_or(0, <[u8]>::len);
    let column = before.saturating_add(1);
    let message = format!("not JSON: text that is not UTF-8 at line {line} column {column}");
    Error::invalid_field(BODY, message)
}
