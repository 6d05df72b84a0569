//! Signing secrets: their text and key, their rotation, and the key that encrypts them in a file.

mod encryption_key;
mod expiry;
mod rotation;
mod signing_secret;

pub(crate) use encryption_key::EncryptionKey;
pub use expiry::IssuedSecret;
pub use rotation::Rotation;
pub(crate) use rotation::{MAX_OLD, MAX_OVERLAP};
pub use signing_secret::SigningSecret;
pub(crate) use signing_secret::{GENERATED_KEY, MAX_KEY, MAX_TEXT, MIN_KEY, SecretText};
