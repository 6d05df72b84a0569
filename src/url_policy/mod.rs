//! The rules for URLs, and policies that restrict them further.

mod policy;
mod public_host;
mod rules;
mod special_use_addresses;

pub use policy::UrlPolicy;
pub(crate) use rules::{MAX_LENGTH, check_stored, check_stored_syntax, normalized, redacted};
