//! Writing subscriptions. Every call that changes a subscription does so here, so that no change is
//! missing from the history.

use crate::change::{self, ChangeKind, SecretChange};
use crate::error::{Error, ErrorKind, Problem, Result, quoted};
use crate::id::SubscriptionId;
use crate::secret::{IssuedSecret, SigningSecret};
use crate::store::{Current, Inserter, NameTaken, Undecoded, Write, wrong_index};
use crate::subscription::{Subscription, SubscriptionFields};
use crate::time::Millis;

/// Writes subscriptions and their history in one transaction.
pub(super) struct SubscriptionWriter<'w> {
    tx: &'w Write<'w>,
    now: Millis,
}

/// The secrets that replace those of a subscription, newest first.
pub(super) struct NewSecrets {
    pub(super) secrets: Vec<IssuedSecret>,
    pub(super) change: SecretChange,
}

impl<'w> SubscriptionWriter<'w> {
    /// Returns a writer whose changes have the time `now`.
    pub(super) fn new(tx: &'w Write<'w>, now: Millis) -> SubscriptionWriter<'w> {
        SubscriptionWriter { tx, now }
    }

    /// Adds a subscription with its secrets, newest first.
    ///
    /// The error is `Conflict` on `name` if the name is taken.
    pub(super) fn insert(
        &self,
        inserter: &mut Inserter<'_>,
        subscription: &Subscription,
        secrets: &[IssuedSecret],
    ) -> Result<()> {
        let fields = &subscription.fields;
        refuse_taken(&fields.name, inserter.insert(subscription, secrets)?)?;
        self.record(subscription, ChangeKind::Created, || change::created_fields(fields))
    }

    /// Gives a subscription these fields and, if there are any, these secrets. Returns its next
    /// revision, or `None` if nothing differs.
    ///
    /// The error is `Conflict` on `name` if the name is taken.
    pub(super) fn update(
        &self,
        current: &Current,
        fields: SubscriptionFields,
        secrets: Option<NewSecrets>,
    ) -> Result<Option<Subscription>> {
        let before = &current.subscription;
        if fields == before.fields {
            return secrets.map(|secrets| self.replace_secrets(current, &secrets)).transpose();
        }
        let after = before.next_revision(fields, self.now);
        let (secrets, change) =
            secrets.map(|NewSecrets { secrets, change }| (secrets, change)).unzip();
        let written = self.tx.replace(current, &after, secrets.as_deref())?;
        refuse_taken(&after.fields.name, written)?;
        let (kind, changes) = change::diff_subscription(&before.fields, &after.fields, change);
        self.record(&after, kind, || changes)?;
        Ok(Some(after))
    }

    /// Replaces the secrets of a subscription, and nothing else but its revision and its time.
    /// Returns its next revision.
    pub(super) fn replace_secrets(
        &self,
        current: &Current,
        NewSecrets { secrets, change }: &NewSecrets,
    ) -> Result<Subscription> {
        let fields = current.subscription.fields.clone();
        let after = current.subscription.next_revision(fields, self.now);
        let written = self.tx.replace(current, &after, Some(secrets))?;
        refuse_taken(&after.fields.name, written)?;
        let (kind, changes) = change::secrets_only(*change);
        self.record(&after, kind, || changes)?;
        Ok(after)
    }

    /// Overwrites expired secrets. This is no change, so the history does not list it.
    pub(super) fn drop_expired(&self, current: &Current, live: &[IssuedSecret]) -> Result<()> {
        self.tx.overwrite_secrets(current, live)
    }

    /// Deletes a subscription.
    pub(super) fn delete(&self, current: &Current) -> Result<()> {
        self.tx.delete(current)?;
        self.record_deleted(&current.subscription)
    }

    /// Deletes a subscription whose row does not decode. Returns false if no row has the id.
    pub(super) fn delete_undecodable(&self, id: SubscriptionId) -> Result<bool> {
        let Some(Undecoded { owner }) = self.tx.delete_unread(id)? else {
            return Ok(false);
        };
        self.tx.record_subscription(self.now, ChangeKind::Deleted, id, owner.as_ref(), Vec::new)?;
        Ok(true)
    }

    /// Deletes every subscription of the handle's owner, and returns their number. Those that do
    /// not decode are deleted too.
    pub(super) fn delete_all(&self) -> Result<u64> {
        let ids = self.tx.ids()?;
        self.tx.expect_changes(ids.len());
        for id in &ids {
            match self.tx.subscription(*id).map_err(|error| self.tx.diagnose(error)) {
                Ok(Some(subscription)) => self.record_deleted(&subscription)?,
                Ok(None) => return Err(wrong_index()),
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    let owner = self.tx.owner();
                    let deleted = ChangeKind::Deleted;
                    self.tx.record_subscription(self.now, deleted, *id, owner, Vec::new)?;
                }
                Err(error) => return Err(error),
            }
        }
        self.tx.delete_all()?;
        Ok(u64::try_from(ids.len()).unwrap_or(u64::MAX))
    }

    fn record_deleted(&self, deleted: &Subscription) -> Result<()> {
        self.record(deleted, ChangeKind::Deleted, || change::deleted_fields(&deleted.fields))
    }

    fn record(
        &self,
        Subscription { id, owner, .. }: &Subscription,
        kind: ChangeKind,
        fields: impl FnOnce() -> Vec<change::FieldChange>,
    ) -> Result<()> {
        self.tx.record_subscription(self.now, kind, *id, owner.as_ref(), fields)
    }
}

fn refuse_taken(name: &str, written: Result<(), NameTaken>) -> Result<()> {
    written.map_err(|NameTaken(holder)| {
        let why = format!("{} is taken by subscription {holder}", quoted(name));
        Error::conflict(vec![Problem::new("name", why)])
    })
}

/// Returns the secrets of a subscription after an update that states a secret. `None` if they stay
/// as they are.
pub(super) fn secrets_after_update(
    current: &Current,
    stated: Option<SigningSecret>,
    now: Millis,
) -> Result<Option<NewSecrets>> {
    let newest = current.secret()?;
    let (secret, change) = match stated {
        // Another spelling of the current key is stored as given, but the key is current since the
        // same time as before.
        Some(secret) if secret.has_key_of(&newest.secret) && secret != newest.secret => {
            (IssuedSecret { secret, ..newest.clone() }, SecretChange::Replaced)
        }
        Some(secret) if newest.secret != secret => {
            (IssuedSecret::current(secret, now), SecretChange::Replaced)
        }
        // The current secret, stated again, ends the overlap of the replaced ones.
        Some(_) if current.has_old(now) => (newest.clone(), SecretChange::Revoked),
        _ => return Ok(None),
    };
    Ok(Some(NewSecrets { secrets: vec![secret], change }))
}
