//! How secrets lie in the file: as text, or sealed with a key that is not in it.

use rusqlite::Connection;

use super::encryption::Cipher;
use super::registry_row;
use crate::error::{Error, ErrorKind, Result};
use crate::id::SubscriptionId;
use crate::random::RandomSource;
use crate::secret::{EncryptionKey, SigningSecret};
use crate::time::Millis;

/// How many random bytes a file begins with that tell it from others.
pub(super) const FILE_ID: usize = 16;

/// What the file's key check is bound to.
const KEY_CHECK: &[u8] = b"key check";

/// What seals and opens the secrets of one file.
#[derive(Clone)]
pub(super) struct SecretCodec {
    /// None where they lie as text.
    cipher: Option<Cipher>,
}

/// What a sealed secret is bound to: elsewhere, or with another time, it does not open.
pub(super) struct Place {
    pub(super) id: SubscriptionId,
    pub(super) serial: i64,
    pub(super) created_at: Millis,
    pub(super) expires_at: Option<Millis>,
}

impl Place {
    fn bytes(&self) -> Vec<u8> {
        let Place { id, serial, created_at, expires_at } = self;
        let until = expires_at.map_or(u64::MAX, Millis::get);
        format!("secret {id} {serial} {} {until}", created_at.get()).into_bytes()
    }
}

impl SecretCodec {
    /// The vault of the file that is open, if the key (or that there is none) fits it.
    pub(super) fn load(conn: &Connection, key: Option<&EncryptionKey>) -> Result<SecretCodec> {
        let check = registry_row::key_check(conn)?;
        let refuse = |why: &'static str| Err(Error::new(ErrorKind::Incompatible, why));
        match (key, check) {
            (None, None) => Ok(SecretCodec { cipher: None }),
            (None, Some(_)) => refuse("the file is encrypted, and no key was given"),
            (Some(_), None) => refuse(
                "a key was given, but the file is not encrypted; open it without one, then `rekey` it",
            ),
            (Some(key), Some(check)) => {
                let cipher = Cipher::fitting(key, sealed_to(conn)?, KEY_CHECK, &check);
                if cipher.is_none() {
                    refuse("the file is encrypted with another key")
                } else {
                    Ok(SecretCodec { cipher })
                }
            }
        }
    }

    /// Whether this is the vault of the file that is open.
    #[cfg(feature = "encryption")]
    pub(super) fn fits(&self, conn: &Connection) -> Result<bool> {
        let check = registry_row::key_check(conn)?;
        Ok(match (&self.cipher, check) {
            (None, None) => true,
            (Some(cipher), Some(check)) => cipher.open(KEY_CHECK, &check).is_some(),
            _ => false,
        })
    }

    /// Gives the file a key, or takes it away: in a transaction that is open. The secrets are the caller's to rewrite.
    pub(super) fn set_key(conn: &Connection, key: Option<&EncryptionKey>) -> Result<SecretCodec> {
        let cipher = key.map(|key| Ok(Cipher::new(key, sealed_to(conn)?))).transpose()?;
        let check = cipher.as_ref().map(|cipher| cipher.seal(KEY_CHECK, b"")).transpose()?;
        registry_row::set_key_check(conn, check.as_deref())?;
        Ok(SecretCodec { cipher })
    }

    /// The two columns of a secret: its text, or what it is sealed to.
    pub(super) fn seal<'s>(
        &self,
        secret: &'s SigningSecret,
        place: &Place,
    ) -> Result<(Option<&'s str>, Option<Vec<u8>>)> {
        match &self.cipher {
            None => Ok((Some(secret.expose()), None)),
            Some(cipher) => {
                Ok((None, Some(cipher.seal(&place.bytes(), secret.expose().as_bytes())?)))
            }
        }
    }

    /// The secret of the two columns. Text in a file that is encrypted does not pass for a secret.
    pub(super) fn open(
        &self,
        text: Option<&str>,
        sealed: Option<&[u8]>,
        place: &Place,
    ) -> Result<SigningSecret> {
        let secret = match (&self.cipher, text, sealed) {
            (None, Some(text), None) => SigningSecret::read(text).ok(),
            (Some(cipher), None, Some(sealed)) => cipher
                .open(&place.bytes(), sealed)
                .and_then(|text| SigningSecret::read(std::str::from_utf8(&text).ok()?).ok()),
            _ => None,
        };
        secret.ok_or_else(|| {
            Error::corrupt(format_args!("a secret of subscription {} is none", place.id))
        })
    }
}

/// What the secrets of the file that is open are bound to. A copy has it from its origin, so that they open there too.
fn sealed_to(conn: &Connection) -> Result<Vec<u8>> {
    let mut id = registry_row::file_id(conn)?;
    id.truncate(FILE_ID);
    Ok(id)
}

/// Makes a copy another file than its origin, by as many random bytes more behind what its secrets are bound to.
pub(super) fn set_apart(copy: &Connection) -> Result<()> {
    let mut own = [0; FILE_ID];
    RandomSource::System.fill(&mut own)?;
    let id = [sealed_to(copy)?.as_slice(), &own].concat();
    registry_row::set_file_id(copy, &id)
}
