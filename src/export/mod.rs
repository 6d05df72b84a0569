//! The document of [`Registry::export`](crate::Registry::export): writing, parsing and validation.

mod document;
mod parse;
mod validation;

pub use document::Export;
pub(crate) use document::{Exported, FORMAT};
pub(crate) use validation::{Import, ImportedEventType, ImportedSubscription};
