//! Encodes secrets for the file: as text, or encrypted with a key that is not in the file.

use rusqlite::Connection;

use super::encryption::Cipher;
use super::registry_row;
use crate::error::{Error, ErrorKind, Result};
use crate::id::SubscriptionId;
use crate::random::RandomSource;
use crate::secret::{EncryptionKey, SigningSecret};
use crate::time::Millis;

/// The number of random bytes that identify a new file.
pub(super) const FILE_ID: usize = 16;

/// The associated data of the file's key check.
const KEY_CHECK: &[u8] = b"key check";

/// Encodes and decodes the secrets of one file.
#[derive(Clone)]
pub(super) struct SecretCodec {
    /// None where secrets are stored as text.
    cipher: Option<Cipher>,
    /// The key check of the file when the key was compared with it.
    check: Option<Vec<u8>>,
}

/// The associated data of an encrypted secret. In another row, or with another time, it does not
/// decrypt.
pub(super) struct SecretBinding {
    pub(super) id: SubscriptionId,
    pub(super) serial: i64,
    pub(super) created_at: Millis,
    pub(super) expires_at: Option<Millis>,
}

impl SecretBinding {
    fn bytes(&self) -> Vec<u8> {
        let SecretBinding { id, serial, created_at, expires_at } = self;
        let until = expires_at.map_or(u64::MAX, Millis::get);
        format!("secret {id} {serial} {} {until}", created_at.get()).into_bytes()
    }
}

impl SecretCodec {
    /// Returns the codec of an open file, if the key fits it. None fits a file whose secrets are
    /// text.
    pub(super) fn load(conn: &Connection, key: Option<&EncryptionKey>) -> Result<SecretCodec> {
        let check = registry_row::key_check(conn)?;
        let refuse = |why: &'static str| Err(Error::new(ErrorKind::Incompatible, why));
        match (key, check) {
            (None, None) => Ok(SecretCodec { cipher: None, check: None }),
            (None, Some(_)) => refuse("the file is encrypted, and no key was given"),
            (Some(_), None) => refuse(
                "a key was given, but the file is not encrypted; open it without one, then \
                 `rekey` it",
            ),
            (Some(key), Some(check)) => {
                let cipher = Cipher::fitting(key, binding_id(conn)?, KEY_CHECK, &check);
                if cipher.is_none() {
                    refuse("the file is encrypted with another key")
                } else {
                    Ok(SecretCodec { cipher, check: Some(check) })
                }
            }
        }
    }

    /// Rejects a file whose key has changed since it was compared with this one.
    pub(super) fn check_current(&self, conn: &Connection) -> Result<()> {
        if registry_row::key_check(conn)? == self.check || self.fits(conn)? {
            return Ok(());
        }
        Err(other_key())
    }

    /// Returns whether the codec fits the open file.
    pub(super) fn fits(&self, conn: &Connection) -> Result<bool> {
        let check = registry_row::key_check(conn)?;
        Ok(match (&self.cipher, check) {
            (None, None) => true,
            (Some(cipher), Some(check)) => cipher.open(KEY_CHECK, &check).is_some(),
            _ => false,
        })
    }

    /// Sets or removes the file's key, in the open transaction. The caller rewrites the secrets.
    pub(super) fn set_key(conn: &Connection, key: Option<&EncryptionKey>) -> Result<SecretCodec> {
        let cipher = key.map(|key| Ok(Cipher::new(key, binding_id(conn)?))).transpose()?;
        let check = cipher.as_ref().map(|cipher| cipher.seal(KEY_CHECK, b"")).transpose()?;
        registry_row::set_key_check(conn, check.as_deref())?;
        Ok(SecretCodec { cipher, check })
    }

    /// Returns the two columns of a secret: its text, or its ciphertext.
    pub(super) fn seal<'s>(
        &self,
        secret: &'s SigningSecret,
        binding: &SecretBinding,
    ) -> Result<(Option<&'s str>, Option<Vec<u8>>)> {
        match &self.cipher {
            None => Ok((Some(secret.expose()), None)),
            Some(cipher) => {
                Ok((None, Some(cipher.seal(&binding.bytes(), secret.expose().as_bytes())?)))
            }
        }
    }

    /// Returns the secret of the two columns. In an encrypted file a secret as text is rejected.
    pub(super) fn open(
        &self,
        text: Option<&str>,
        sealed: Option<&[u8]>,
        binding: &SecretBinding,
    ) -> Result<SigningSecret> {
        let secret = match (&self.cipher, text, sealed) {
            (None, Some(text), None) => SigningSecret::read(text).ok(),
            (Some(cipher), None, Some(sealed)) => cipher
                .open(&binding.bytes(), sealed)
                .and_then(|text| SigningSecret::read(std::str::from_utf8(&text).ok()?).ok()),
            _ => None,
        };
        secret.ok_or_else(|| {
            Error::corrupt(format_args!(
                "a secret of subscription {} cannot be decoded",
                binding.id
            ))
        })
    }
}

/// The file has another key than the one that it was opened with.
pub(super) fn other_key() -> Error {
    Error::new(ErrorKind::Incompatible, "the file was given another key; open it anew")
}

/// Returns the part of the file's identity that secrets are bound to. A copy has it from its
/// original, so that they decrypt there too.
fn binding_id(conn: &Connection) -> Result<Vec<u8>> {
    let mut id = registry_row::file_id(conn)?;
    id.truncate(FILE_ID);
    Ok(id)
}

/// Gives a copy an identity of its own, by appending random bytes to the part that secrets are
/// bound to.
pub(super) fn set_new_file_id(copy: &Connection) -> Result<()> {
    let mut own = [0; FILE_ID];
    RandomSource::System.fill(&mut own)?;
    let id = [binding_id(copy)?.as_slice(), &own].concat();
    registry_row::set_file_id(copy, &id)
}
