//! Encodes secrets for the file: as text, or encrypted with a key that is not in the file.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};

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
pub(super) enum SecretBinding {
    Current { id: SubscriptionId, created_at: Millis },
    Replaced { id: SubscriptionId, serial: i64, created_at: Millis, expires_at: Millis },
}

impl SecretBinding {
    fn bytes(&self) -> Vec<u8> {
        match self {
            SecretBinding::Current { id, created_at } => {
                format!("secret {id} current {}", created_at.get())
            }
            SecretBinding::Replaced { id, serial, created_at, expires_at } => {
                format!("secret {id} {serial} {} {}", created_at.get(), expires_at.get())
            }
        }
        .into_bytes()
    }

    fn id(&self) -> SubscriptionId {
        match self {
            SecretBinding::Current { id, .. } | SecretBinding::Replaced { id, .. } => *id,
        }
    }

    /// Returns when the secret became the current one, and when it expires.
    pub(super) fn times(&self) -> (Millis, Option<Millis>) {
        match *self {
            SecretBinding::Current { created_at, .. } => (created_at, None),
            SecretBinding::Replaced { created_at, expires_at, .. } => {
                (created_at, Some(expires_at))
            }
        }
    }
}

/// The stored form of a secret: its text, or its ciphertext.
pub(super) enum StoredSecret<'s> {
    Text(&'s str),
    Encrypted(Vec<u8>),
}

impl ToSql for StoredSecret<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            StoredSecret::Text(text) => text.to_sql(),
            StoredSecret::Encrypted(ciphertext) => ciphertext.to_sql(),
        }
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
            (Some(cipher), Some(check)) => cipher.decrypt(KEY_CHECK, &check).is_some(),
            _ => false,
        })
    }

    /// Sets or removes the file's key, in the open transaction. The caller rewrites the secrets.
    pub(super) fn set_key(conn: &Connection, key: Option<&EncryptionKey>) -> Result<SecretCodec> {
        let cipher = key.map(|key| Ok(Cipher::new(key, binding_id(conn)?))).transpose()?;
        let check = cipher.as_ref().map(|cipher| cipher.encrypt(KEY_CHECK, b"")).transpose()?;
        registry_row::set_key_check(conn, check.as_deref())?;
        Ok(SecretCodec { cipher, check })
    }

    /// Returns the stored form of a secret.
    pub(super) fn encode<'s>(
        &self,
        secret: &'s SigningSecret,
        binding: &SecretBinding,
    ) -> Result<StoredSecret<'s>> {
        match &self.cipher {
            None => Ok(StoredSecret::Text(secret.expose())),
            Some(cipher) => {
                let text = secret.expose().as_bytes();
                Ok(StoredSecret::Encrypted(cipher.encrypt(&binding.bytes(), text)?))
            }
        }
    }

    /// Returns the secret of a stored form. In an encrypted file a secret as text is rejected.
    pub(super) fn decode(
        &self,
        stored: ValueRef<'_>,
        binding: &SecretBinding,
    ) -> Result<SigningSecret> {
        let read = |text: &[u8]| SigningSecret::read(std::str::from_utf8(text).ok()?).ok();
        let secret = match (&self.cipher, stored) {
            (None, ValueRef::Text(text)) => read(text),
            (Some(cipher), ValueRef::Blob(ciphertext)) => {
                cipher.decrypt(&binding.bytes(), ciphertext).and_then(|text| read(&text))
            }
            _ => None,
        };
        secret.ok_or_else(|| {
            Error::corrupt(format_args!(
                "a secret of subscription {} cannot be decoded",
                binding.id()
            ))
        })
    }
}

/// The file has another key than the one that it was opened with.
pub(super) fn other_key() -> Error {
    Error::new(ErrorKind::Incompatible, "the file was given another key; open the registry again")
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
