//! Writing subscriptions. Every call that changes a subscription does so here, so that no change is
//! missing from the history.

use crate::change::{self, ChangeKind, SecretChange};
use crate::error::{Error, Problem, Result, quoted};
use crate::id::SubscriptionId;
use crate::secret::{IssuedSecret, SigningSecret};
use crate::store::{Current, Inserter, NameTaken, Write};
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
        let Subscription { id, fields, .. } = subscription;
        refuse_taken(&fields.name, inserter.insert(subscription, secrets)?)?;
        self.record(*id, ChangeKind::Created, || change::created_fields(fields))
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
        self.record(after.id, kind, || changes)?;
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
        self.tx.replace_secrets(current, &after, secrets)?;
        let (kind, changes) = change::secrets_only(*change);
        self.record(after.id, kind, || changes)?;
        Ok(after)
    }

    /// Overwrites expired secrets. This is no change, so the history does not list it.
    pub(super) fn drop_expired(&self, current: &Current, live: &[IssuedSecret]) -> Result<()> {
        self.tx.overwrite_secrets(current, live)
    }

    /// Deletes a subscription.
    pub(super) fn delete(&self, current: &Current) -> Result<()> {
        self.tx.delete(current)?;
        let Subscription { id, fields, .. } = &current.subscription;
        self.record(*id, ChangeKind::Deleted, || change::deleted_fields(fields))
    }

    /// Deletes a subscription whose row does not decode. Returns false if no row has the id.
    pub(super) fn delete_undecodable(&self, id: SubscriptionId) -> Result<bool> {
        let deleted = self.tx.delete_unread(id)?;
        if deleted {
            self.record(id, ChangeKind::Deleted, Vec::new)?;
        }
        Ok(deleted)
    }

    fn record(
        &self,
        id: SubscriptionId,
        kind: ChangeKind,
        fields: impl FnOnce() -> Vec<change::FieldChange>,
    ) -> Result<()> {
        self.tx.record(self.now, kind, &id.to_string(), fields)
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
