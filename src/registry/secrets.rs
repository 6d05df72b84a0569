use super::Registry;
use super::subscriptions::{current, unless_name_taken, write_changed};
use crate::change::SecretChange;
use crate::error::{Error, Result};
use crate::id::SubscriptionId;
#[cfg(feature = "encryption")]
use crate::secret::EncryptionKey;
use crate::secret::{IssuedSecret, Rotation, SigningSecret};

/// # Secrets over time
impl Registry {
    /// The current secret of a subscription.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): there is no such subscription.
    pub fn secret(&self, id: SubscriptionId) -> Result<SigningSecret> {
        newest(self.secrets(id)?, id)
    }

    /// The live secrets of a subscription, newest first: the current one, and those replaced whose overlap is not over.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): there is no such subscription.
    pub fn secrets(&self, id: SubscriptionId) -> Result<Vec<IssuedSecret>> {
        let mut secrets = self.read(|tx| Ok(current(tx, id, None)?.secrets))?;
        let now = self.inner.clock.now();
        secrets.retain(|secret| secret.is_live(now));
        Ok(secrets)
    }

    /// Gives a subscription a new secret, and keeps the one before valid for the
    /// [overlap](Rotation::overlap), so that no delivery on its way fails. Answers the new one.
    ///
    /// Expiry needs no sweeper: it is judged whenever secrets are read, also by a
    /// [`Subscriber`](crate::Subscriber) that was fetched before. What has expired is overwritten in the file at the next
    /// rotation.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): there is no such subscription.
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `secret` for one that breaks a
    ///   [rule](crate::NewSubscription#rules) or whose key is still live, in whichever spelling, and on `overlap` for more than 30 days.
    /// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict): ten replaced secrets live already; the message says when the
    ///   next of them expires.
    pub fn rotate_secret(&self, id: SubscriptionId, rotation: Rotation) -> Result<SigningSecret> {
        self.write(|tx| {
            let current = current(tx, id, None)?;
            let now = self.inner.clock.now();
            let least = self.inner.rules.min_secret_bytes;
            let secrets =
                rotation.apply_to(&current.secrets, least, self.inner.store.entropy(), now)?;
            let same = current.subscription.clone();
            write_changed(tx, &current, same, Some(&secrets), SecretChange::Replaced, now)?;
            newest(secrets, id)
        })
    }

    /// Ends the overlap of every replaced secret at once: only the current one stays.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly); [`ErrorKind::NotFound`](crate::ErrorKind::NotFound): there is
    /// no such subscription.
    pub fn revoke_old_secrets(&self, id: SubscriptionId) -> Result<()> {
        self.write(|tx| {
            let current = current(tx, id, None)?;
            let now = self.inner.clock.now();
            let (kept, same) = (current.secrets.get(..1), current.subscription.clone());
            if current.has_old(now) {
                write_changed(tx, &current, same, kept, SecretChange::Revoked, now).map(drop)
            } else if current.secrets.len() == 1 {
                Ok(())
            } else {
                // What has expired goes all the same, but nothing has changed by it.
                unless_name_taken(&same.name, tx.replace(&current, &same, kept)?)
            }
        })
    }

    /// Seals every secret in the file with this key, or lays them open with `None`; also the first encryption of a file
    /// that has none. Clones of this registry go on with the new key.
    ///
    /// The secrets are rewritten in one transaction, and then the whole file, so that nothing that was readable before is
    /// left in it or in its `-wal`. Killed on the way, the file is as before or as after, and may still hold what was about
    /// to be cleared: call this again. It takes time, and space for two more copies of the file: its `-wal`, and a copy
    /// named as the file with `-rekey` behind it, of mode 0600, which a kill can leave and the next
    /// [`open`](Registry::open) removes. Memory is bounded, whatever the file's size. What the disk keeps of deleted and
    /// overwritten blocks is out of reach.
    ///
    /// A call that fails leaves the file with the key that it had, and unlocked. There are two exceptions, and their
    /// messages say so: the last step, which clears the file of what lay there before, can fail once the new key holds; and
    /// where a disk fails so badly that nothing can be undone, the file may have its new key. This registry finds out by
    /// itself which of the two it is. With [`exclusive(true)`](crate::RegistryOptions::exclusive) a call that fails gives up
    /// the lock for a moment; if another program takes it, calls are `Busy` until it is free.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `encryption_key` in memory.
    /// - [`ErrorKind::Busy`](crate::ErrorKind::Busy), and nothing is changed, while any other handle or program has the
    ///   file open.
    /// - [`ErrorKind::Storage`](crate::ErrorKind::Storage): a full or failing disk.
    #[cfg(feature = "encryption")]
    #[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
    pub fn rekey(&self, key: Option<[u8; 32]>) -> Result<()> {
        if self.path().is_none() {
            return Err(Error::invalid_field(
                "encryption_key",
                "a registry in memory has no file to encrypt",
            ));
        }
        let store = &self.inner.store;
        store.diagnosed(store.rekey(key.map(EncryptionKey::new).as_ref()))
    }
}

/// The first of the secrets of a subscription, which are newest first.
fn newest(secrets: Vec<IssuedSecret>, id: SubscriptionId) -> Result<SigningSecret> {
    let newest = secrets.into_iter().next().map(|issued| issued.secret);
    newest.ok_or_else(|| Error::corrupt(format_args!("subscription {id} has no secret")))
}
