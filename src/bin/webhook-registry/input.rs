//! What commands read from files and from stdin.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::Value;
use webhook_registry::{Catalog, ErrorKind, EventType, NewSubscription};

use crate::failure::{Failure, Refusal};

/// Reads a file, or stdin for `-`.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes);
        read.map_err(|error| Failure::file("read", Path::new("stdin"), &error))?;
        Ok(bytes)
    } else {
        fs::read(path).map_err(|error| Failure::file("read", path, &error))
    }
}

/// Reads a secret: the text of a file without the white space around it.
pub(crate) fn secret(path: &Path) -> Result<String, Failure> {
    let text = String::from_utf8(read(path)?)
        .map_err(|_| Failure::invalid("secret", "the file with the secret is not UTF-8"))?;
    Ok(text.trim().to_owned())
}

/// Reads an encryption key.
pub(crate) fn key(path: &Path) -> Result<[u8; 32], Failure> {
    let bytes = read(path)?;
    let key = std::str::from_utf8(&bytes).ok().map(str::trim).and_then(decode_key);
    key.ok_or_else(|| {
        let message =
            "a key is 32 bytes in hexadecimal or base64, as `openssl rand -hex 32` prints";
        Failure::invalid("keyFile", message)
    })
}

fn decode_key(text: &str) -> Option<[u8; 32]> {
    if text.len() == 64 && text.is_ascii() {
        let digits: Vec<char> = text.chars().collect();
        let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).ok();
        // `from_str_radix` takes a sign.
        let all_digits = digits.iter().all(char::is_ascii_hexdigit);
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
        return bytes.filter(|_| all_digits)?.try_into().ok();
    }
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// The content of a file with subscriptions.
#[derive(Debug)]
pub(crate) enum Documents {
    One(Box<NewSubscription>),
    /// An array.
    Many(Vec<NewSubscription>),
}

impl Documents {
    pub(crate) fn into_list(self) -> Vec<NewSubscription> {
        match self {
            Documents::One(new) => vec![*new],
            Documents::Many(list) => list,
        }
    }
}

/// Reads subscriptions: one document, or an array of them.
pub(crate) fn subscriptions(path: &Path) -> Result<Documents, Failure> {
    let bytes = read(path)?;
    let is_array = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if !is_array {
        return Ok(Documents::One(Box::new(NewSubscription::from_json(&bytes)?)));
    }
    let faulty = match serde_json::from_slice(&bytes) {
        Ok(subscriptions) => return Ok(Documents::Many(subscriptions)),
        Err(error) => error,
    };
    // The array is read again, one document at a time, to report every fault of every document.
    let problems: Vec<(String, String)> = serde_json::from_slice::<Vec<Value>>(&bytes)
        .unwrap_or_default()
        .into_iter()
        .enumerate()
        .flat_map(|(position, document)| faults(position, &document))
        .collect();
    if problems.is_empty() {
        return Err(Failure::invalid("file", faulty.to_string()));
    }
    let message = format!("{} problems", problems.len());
    Err(Failure::Refused(Refusal { kind: ErrorKind::Invalid, message, problems }))
}

fn faults(position: usize, document: &Value) -> Vec<(String, String)> {
    let read = NewSubscription::from_json(document.to_string().as_bytes());
    let problem = |problem: &webhook_registry::Problem| {
        let field = problem.field();
        let field = if field.is_empty() { String::new() } else { format!(".{field}") };
        (format!("[{position}]{field}"), problem.message().to_owned())
    };
    read.err().map(|error| error.problems().iter().map(problem).collect()).unwrap_or_default()
}

/// Reads event types: a catalog, an array of event types or names, or one name a line.
pub(crate) fn event_types(path: &Path) -> Result<Vec<EventType>, Failure> {
    let bytes = read(path)?;
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Ok(document::<Catalog>(&bytes)?.event_types),
        Some(b'[') => {
            if let Ok(names) = serde_json::from_slice::<Vec<String>>(&bytes) {
                return Ok(names.into_iter().map(EventType::new).collect());
            }
            document(&bytes)
        }
        _ => {
            let text = String::from_utf8(bytes)
                .map_err(|_| Failure::invalid("types", "the file is not UTF-8"))?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            Ok(lines.map(EventType::new).collect())
        }
    }
}

/// Reads a JSON document, whose faults the library reports without values.
pub(crate) fn document<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| Failure::invalid("file", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::decode_key;

    #[test]
    fn a_key_is_32_bytes_in_hexadecimal_or_base64() {
        assert_eq!(decode_key(&"a5".repeat(32)), Some([0xa5; 32]));
        assert_eq!(decode_key("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), Some([0; 32]));
        for refused in ["", "a5", &"+5".repeat(32), &"é".repeat(32), &"a5".repeat(33)] {
            assert_eq!(decode_key(refused), None, "{refused:?}");
        }
    }
}
