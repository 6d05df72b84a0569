use super::handle::Registry;
use super::subscriptions::current;
use super::writer::{NewSecrets, SubscriptionWriter};
use crate::change::SecretChange;
use crate::error::{Error, Result};
use crate::id::SubscriptionId;
#[cfg(feature = "encryption")]
use crate::secret::EncryptionKey;
use crate::secret::{IssuedSecret, Rotation, SigningSecret};

/// # Secrets over time
impl Registry {
    /// Returns the current secret of a subscription.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): no subscription has this id.
    pub fn secret(&self, id: SubscriptionId) -> Result<SigningSecret> {
        newest(self.secrets(id)?, id)
    }

    /// Returns the live secrets of a subscription, newest first: the current secret, and the
    /// replaced secrets whose overlap has not ended.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): no subscription has this id.
    pub fn secrets(&self, id: SubscriptionId) -> Result<Vec<IssuedSecret>> {
        let mut secrets = self.read(|tx| Ok(current(tx, id, None)?.secrets))?;
        let now = self.inner.clock.now();
        secrets.retain(|secret| secret.is_live(now));
        Ok(secrets)
    }

    /// Replaces the secret of a subscription and returns the new one.
    ///
    /// The replaced secret stays valid for the [overlap](Rotation::overlap), so that receivers can
    /// still verify deliveries under way.
    ///
    /// Expiry needs no background task: it is checked when secrets are read, also by a
    /// [`Subscriber`](crate::Subscriber) that was fetched before. The next rotation overwrites
    /// expired secrets in the file.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): no subscription has this id.
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `secret`: it breaks a
    ///   [rule](crate::NewSubscription#rules), or its key is still live, in any spelling.
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `overlap`: it is more than 30 days.
    /// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict): ten replaced secrets are live
    ///   already. The message says when the next of them expires.
    pub fn rotate_secret(&self, id: SubscriptionId, rotation: Rotation) -> Result<SigningSecret> {
        self.write(|tx| {
            let current = current(tx, id, None)?;
            let now = self.inner.clock.now();
            let least = self.inner.rules.min_secret_bytes;
            let secrets =
                rotation.apply_to(&current.secrets, least, self.inner.store.random(), now)?;
            let new = NewSecrets { secrets, change: SecretChange::Replaced };
            SubscriptionWriter::new(tx, now).replace_secrets(&current, &new)?;
            newest(new.secrets, id)
        })
    }

    /// Ends the overlap of every replaced secret at once, so that only the current secret is valid.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): no subscription has this id.
    pub fn revoke_old_secrets(&self, id: SubscriptionId) -> Result<()> {
        self.write(|tx| {
            let current = current(tx, id, None)?;
            let now = self.inner.clock.now();
            let writer = SubscriptionWriter::new(tx, now);
            let newest = std::slice::from_ref(current.secret()?);
            if current.has_old(now) {
                let new = NewSecrets { secrets: newest.to_vec(), change: SecretChange::Revoked };
                writer.replace_secrets(&current, &new).map(drop)
            } else if current.secrets.len() > 1 {
                writer.drop_expired(&current, newest)
            } else {
                Ok(())
            }
        })
    }

    /// Encrypts every secret in the file with this key, or decrypts them with `None`. Requires the
    /// feature `encryption`.
    ///
    /// The file can be plain or encrypted before. Clones of this registry use the new key from then
    /// on.
    ///
    /// The secrets are rewritten in one transaction, and then the whole file, so that neither it
    /// nor its `-wal` contains an earlier form of a secret. That takes time, and space for two more
    /// copies of the file: its `-wal`, and a copy with `-rekey` at the end of its name and mode
    /// 0600 (where that name would be too long: `.`, 16 hexadecimal digits and `-rekey`). Memory is
    /// bounded, whatever the size of the file. After a kill, the file has the old or the new key
    /// and may still contain earlier forms, and the copy may be left until the next
    /// [`open`](Registry::open): call `rekey` again. Deleted and overwritten blocks that the disk
    /// itself keeps are out of reach.
    ///
    /// A call that fails leaves the file unlocked and with its old key, with two exceptions that
    /// their messages name: clearing the file of its earlier content can fail once the new key
    /// holds; and on a disk that fails so badly that nothing can be undone, the file may have its
    /// new key. This registry then finds out by itself which key the file has. With
    /// [`exclusive(true)`](crate::RegistryOptions::exclusive), a call that fails gives up the file
    /// for a moment.
    ///
    /// A [guest](crate::RegistryOptions::guest) takes the write lock only, so that the application
    /// goes on meanwhile. The secrets are rewritten in one transaction, and the file is not: the
    /// `-wal` holds earlier forms until it is checkpointed and written anew, and pages of the file
    /// may hold some. Other handles with the former key get
    /// [`ErrorKind::Incompatible`](crate::ErrorKind::Incompatible) from their next call on.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `owner`: the handle is limited to an
    ///   owner.
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `encryption_key`: the registry is in
    ///   memory.
    /// - [`ErrorKind::Busy`](crate::ErrorKind::Busy): another handle or program has the file open,
    ///   or, as a guest, holds the write lock.
    /// - [`ErrorKind::Storage`](crate::ErrorKind::Storage): a full or failing disk, or a path of
    ///   more than 498 bytes in a folder whose own path has more than 480, so that no copy can be
    ///   made beside the file. Such a path is rejected before anything is changed.
    #[cfg(feature = "encryption")]
    #[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
    pub fn rekey(&self, key: Option<[u8; 32]>) -> Result<()> {
        self.require_writable()?;
        self.require_whole_file()?;
        if self.path().is_none() {
            return Err(Error::invalid_field(
                "encryption_key",
                "a registry in memory has no file to encrypt",
            ));
        }
        let store = &self.inner.store;
        let key = key.map(EncryptionKey::new);
        self.tracked("rekey", |progress| store.diagnosed(store.rekey(key.as_ref(), progress)))
    }
}

/// Returns the first of the secrets of a subscription, which are newest first.
fn newest(secrets: Vec<IssuedSecret>, id: SubscriptionId) -> Result<SigningSecret> {
    let newest = secrets.into_iter().next().map(|issued| issued.secret);
    newest.ok_or_else(|| Error::no_secret(id))
}
