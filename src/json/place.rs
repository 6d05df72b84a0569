//! Positions in a document, and the errors about them.

use std::fmt;

use serde::de::Error;

use super::faults::{BODY, Faults};
use crate::error::{Problem, key_name, quoted_key};

/// The position of a value in a document: `enabled`, `subscriptions[3].events[2]`. Empty for the
/// document itself.
///
/// A reader either ends at the first fault, with an error of serde's, or collects the faults and
/// goes on. The positions of a document know which.
pub(crate) struct Key<'a> {
    /// The object that has the name. None for the document itself.
    object: Option<&'a Key<'a>>,
    name: &'a str,
    within: Option<Within<'a>>,
    /// None where the first fault ends the reading.
    faults: Option<&'a Faults>,
}

enum Within<'a> {
    Index(usize),
    Entry(&'a str),
}

impl<'a> Key<'a> {
    /// Returns the position of the whole document. Its first fault ends the reading.
    pub(crate) fn root() -> Key<'a> {
        Key { object: None, name: "", within: None, faults: None }
    }

    /// Returns the position of the whole document, whose faults are collected in `faults`.
    pub(super) fn collecting(faults: &'a Faults) -> Key<'a> {
        Key { faults: Some(faults), ..Key::root() }
    }

    /// Returns the position of a key of this object.
    pub(crate) fn key(&'a self, name: &'a str) -> Key<'a> {
        Key { object: Some(self), name, within: None, faults: self.faults }
    }

    /// Returns the position of an item of this array.
    pub(super) fn item(&self, index: usize) -> Key<'a> {
        self.inside(Within::Index(index))
    }

    /// Returns the position of an entry of this object, whose keys are data.
    pub(super) fn entry<'k>(&self, key: &'k str) -> Key<'k>
    where
        'a: 'k,
    {
        self.inside(Within::Entry(key))
    }

    fn inside<'k>(&self, within: Within<'k>) -> Key<'k>
    where
        'a: 'k,
    {
        Key { object: self.object, name: self.name, within: Some(within), faults: self.faults }
    }

    /// Returns true if the reading goes on after a fault.
    pub(crate) fn is_collecting(&self) -> bool {
        self.faults.is_some()
    }

    /// Returns the number of faults collected so far.
    pub(super) fn fault_count(&self) -> u64 {
        self.faults.map_or(0, Faults::count)
    }

    fn is_root(&self) -> bool {
        self.object.is_none() && self.within.is_none()
    }

    fn path(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(object) = self.object.filter(|object| !object.is_root()) {
            object.path(f)?;
            f.write_str(".")?;
        }
        match self.within {
            None => f.write_str(self.name),
            Some(Within::Index(index)) => write!(f, "{}[{index}]", self.name),
            Some(Within::Entry(entry)) => write!(f, "{}[{}]", self.name, quoted_key(entry)),
        }
    }

    /// The entries of an object whose keys are data have no field of their own.
    fn problem(&self, message: fmt::Arguments<'_>) -> Problem {
        match self.within {
            _ if self.is_root() => Problem::new(BODY, message.to_string()),
            Some(Within::Entry(entry)) => {
                let object =
                    Key { object: self.object, name: self.name, within: None, faults: None };
                let message = format!("{}: {message}", quoted_key(entry));
                Problem::new(object.field(), message)
            }
            _ => Problem::new(self.field(), message.to_string()),
        }
    }

    fn field(&self) -> String {
        let shown = self.to_string();
        shown.strip_suffix(": ").unwrap_or(&shown).to_owned()
    }

    /// Collects a fault of the value at this position.
    pub(super) fn collect(&self, message: fmt::Arguments<'_>) {
        if let Some(faults) = self.faults {
            faults.push(|| self.problem(message));
        }
    }

    /// Collects a fault of a key of this object.
    fn collect_about(&self, name: &str, message: impl FnOnce() -> String) {
        if let Some(faults) = self.faults {
            faults.push(|| {
                let name = key_name(name);
                let field = if self.is_root() { name } else { format!("{}.{name}", self.field()) };
                Problem::new(field, message())
            });
        }
    }

    /// Collects a fault of the value at this position, or returns the error if faults are not
    /// collected.
    pub(super) fn reject<E: Error>(&self, message: fmt::Arguments<'_>) -> Result<(), E> {
        self.collect(message);
        if self.is_collecting() { Ok(()) } else { Err(E::custom(format_args!("{self}{message}"))) }
    }

    pub(crate) fn mismatch<E: Error>(&self, expected: &str, found: &str) -> E {
        E::custom(format_args!("{self}expected {expected}, found {found}"))
    }

    /// Returns the error for required keys that are absent. Collects a fault for each.
    pub(crate) fn missing<E: Error>(&self, keys: &[&str]) -> E {
        for key in keys {
            self.collect_about(key, || format!("missing key {}", quoted_key(key)));
        }
        let plural = if keys.len() == 1 { "key" } else { "keys" };
        let keys: Vec<String> = keys.iter().map(|key| quoted_key(key)).collect();
        E::custom(format_args!("{self}missing {plural} {}", keys.join(", ")))
    }

    /// Returns the error for a key that is not one of the known `keys`.
    pub(crate) fn unknown<E: Error>(&self, name: &str, keys: &[&str]) -> E {
        E::custom(format_args!("{self}{}", unknown(name, keys)))
    }

    /// Collects an unknown key, or returns the error if faults are not collected.
    pub(super) fn reject_unknown<E: Error>(&self, name: &str, keys: &[&str]) -> Result<(), E> {
        self.collect_about(name, || unknown(name, keys));
        if self.is_collecting() { Ok(()) } else { Err(self.unknown(name, keys)) }
    }

    /// Returns the error for a key that appears more than once.
    pub(crate) fn twice<E: Error>(&self, name: &str) -> E {
        E::custom(format_args!("{self}{}", twice(name)))
    }

    /// Collects a repeated key, or returns the error if faults are not collected.
    pub(super) fn reject_twice<E: Error>(&self, name: &str) -> Result<(), E> {
        self.collect_about(name, || twice(name));
        if self.is_collecting() { Ok(()) } else { Err(self.twice(name)) }
    }
}

fn unknown(name: &str, keys: &[&str]) -> String {
    format!("unknown key {}; the keys are {}", quoted_key(name), keys.join(", "))
}

fn twice(name: &str) -> String {
    format!("the key {} appears twice", quoted_key(name))
}

/// Displays the position and a colon, or nothing for the document itself.
impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return Ok(());
        }
        self.path(f)?;
        f.write_str(": ")
    }
}
