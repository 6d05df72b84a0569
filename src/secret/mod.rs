//! Signing secrets: their text and key, their rotation, and the key that encrypts them in a file.

mod encryption_key;
mod rotation;
mod signing_secret;

pub(crate) use encryption_key::EncryptionKey;
pub(crate) use rotation::MAX_OLD;
pub use rotation::{IssuedSecret, Rotation};
pub use signing_secret::SigningSecret;
pub(crate) use signing_secret::{GENERATED_KEY, MAX_KEY, MIN_KEY, SecretText};
