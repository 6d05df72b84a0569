//! The secrets of subscriptions. The current one stands in the row of its subscription, so that
//! dispatch reads it from there. Replaced ones are in a table of their own, which is read only for
//! the few subscriptions that have any.

use std::iter;

use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension as _, Row, params};

use super::error::MapSqliteErr as _;
use super::rows::{counted, integer, millis};
use super::stored_secret::{SecretBinding, StoredSecret};
use super::transaction::{Read, Write};
use crate::error::{Error, Result};
use crate::id::SubscriptionId;
use crate::secret::IssuedSecret;
use crate::time::Millis;

/// The columns of a subscription's secrets, in the order in which [`Read::secrets_of`] decodes
/// them.
macro_rules! secret_columns {
    () => {
        "s.secret,ifnull(s.secret_created_at,s.created_at)secret_created_at,s.replaced_secrets"
    };
}
pub(super) use secret_columns;

/// The values of the columns of the current secret, and the number of those that it replaced.
pub(super) struct SecretColumns<'s> {
    pub(super) secret: StoredSecret<'s>,
    /// None where the secret is as old as the subscription.
    pub(super) created_at: Option<i64>,
    pub(super) replaced: i64,
}

impl Read<'_> {
    /// Returns every secret of a subscription, newest first, also those that have expired.
    pub(super) fn secrets(&self, seq: i64, id: SubscriptionId) -> Result<Vec<IssuedSecret>> {
        let sql = concat!(
            "SELECT ",
            secret_columns!(),
            " FROM _webhook_registry_subscription s WHERE s.seq = ?1"
        );
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([seq]).map_sqlite_err()?;
        match rows.next().map_sqlite_err()? {
            Some(row) => {
                let (current, replaced) = self.secrets_of(row, 0, seq, id)?;
                Ok(iter::once(current).chain(replaced).collect())
            }
            None => Err(Error::no_secret(id)),
        }
    }

    /// Decodes the current secret in the [columns](secret_columns) that begin at `first`, and reads
    /// those that were replaced, newest first.
    pub(super) fn secrets_of(
        &self,
        row: &Row<'_>,
        first: usize,
        seq: i64,
        id: SubscriptionId,
    ) -> Result<(IssuedSecret, Vec<IssuedSecret>)> {
        let created_at = time(stored_time(row, first)?, id)?;
        let current = self.issued(row, first, &SecretBinding::Current { id, created_at })?;
        let has_replaced = has_replaced(row, first)?;
        Ok((current, if has_replaced { self.replaced(seq, id)? } else { Vec::new() }))
    }

    fn replaced(&self, seq: i64, id: SubscriptionId) -> Result<Vec<IssuedSecret>> {
        let sql = "SELECT secret, serial, created_at, expires_at \
                   FROM _webhook_registry_replaced_secret \
                   INDEXED BY sqlite_autoindex__webhook_registry_replaced_secret_1 \
                   WHERE subscription = ?1 ORDER BY serial DESC";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([seq]).map_sqlite_err()?;
        let mut secrets = Vec::new();
        while let Some(row) = rows.next().map_sqlite_err()? {
            let binding = SecretBinding::Replaced {
                id,
                serial: row.get(1).map_sqlite_err()?,
                created_at: time(row.get(2).map_sqlite_err()?, id)?,
                expires_at: time(row.get(3).map_sqlite_err()?, id)?,
            };
            secrets.push(self.issued(row, 0, &binding)?);
        }
        // A cached subscriber keeps the list, and counts what is in it.
        secrets.shrink_to_fit();
        Ok(secrets)
    }

    fn issued(
        &self,
        row: &Row<'_>,
        column: usize,
        binding: &SecretBinding,
    ) -> Result<IssuedSecret> {
        let secret = self.codec.decode(row.get_ref(column).map_sqlite_err()?, binding)?;
        let (created_at, expires_at) = binding.times();
        Ok(IssuedSecret { secret, created_at, expires_at })
    }
}

impl Write<'_> {
    /// Returns the columns of these secrets, newest first.
    pub(super) fn secret_columns<'s>(
        &self,
        id: SubscriptionId,
        created_at: Millis,
        secrets: &'s [IssuedSecret],
    ) -> Result<SecretColumns<'s>> {
        let (current, replaced) = secrets.split_first().ok_or_else(|| Error::no_secret(id))?;
        let binding = SecretBinding::Current { id, created_at: current.created_at };
        let differs = (current.created_at != created_at).then_some(current.created_at);
        Ok(SecretColumns {
            secret: self.codec.encode(&current.secret, &binding)?,
            created_at: differs.map(millis).transpose()?,
            replaced: integer(u64::try_from(replaced.len()).unwrap_or(u64::MAX))?,
        })
    }

    /// Replaces the secrets of a subscription by these, newest first, and leaves the rest of its
    /// row alone. The old ones are overwritten.
    pub(super) fn set_secrets(
        &self,
        seq: i64,
        id: SubscriptionId,
        secrets: &[IssuedSecret],
    ) -> Result<()> {
        let sql = "SELECT created_at FROM _webhook_registry_subscription WHERE seq = ?1";
        let mut created = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let created: Option<i64> =
            created.query_row([seq], |row| row.get(0)).optional().map_sqlite_err()?;
        let created_at = time(created.ok_or_else(|| Error::no_secret(id))?, id)?;
        let columns = self.secret_columns(id, created_at, secrets)?;
        self.execute(
            "UPDATE _webhook_registry_subscription \
             SET secret = ?2, secret_created_at = ?3, replaced_secrets = ?4 WHERE seq = ?1",
            params![seq, columns.secret, columns.created_at, columns.replaced],
        )?;
        self.set_replaced(seq, id, secrets)
    }

    /// Replaces the replaced secrets of a subscription by all but the first of these.
    pub(super) fn set_replaced(
        &self,
        seq: i64,
        id: SubscriptionId,
        secrets: &[IssuedSecret],
    ) -> Result<()> {
        self.execute(
            "DELETE FROM _webhook_registry_replaced_secret \
             INDEXED BY sqlite_autoindex__webhook_registry_replaced_secret_1 \
             WHERE subscription = ?1",
            params![seq],
        )?;
        self.add_to_replaced(seq, id, secrets)
    }

    /// Adds all but the first of these secrets, newest first, to a subscription that has no
    /// replaced ones.
    pub(super) fn add_to_replaced(
        &self,
        seq: i64,
        id: SubscriptionId,
        secrets: &[IssuedSecret],
    ) -> Result<()> {
        for (serial, issued) in (1_i64..).zip(secrets.iter().skip(1).rev()) {
            let &IssuedSecret { ref secret, created_at, expires_at } = issued;
            let expires_at = expires_at.ok_or_else(|| {
                Error::corrupt(format_args!("a replaced secret of {id} does not expire"))
            })?;
            let binding = SecretBinding::Replaced { id, serial, created_at, expires_at };
            let stored = self.codec.encode(secret, &binding)?;
            self.execute(
                "INSERT INTO _webhook_registry_replaced_secret \
                 (subscription, serial, secret, created_at, expires_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![seq, serial, stored, millis(created_at)?, millis(expires_at)?],
            )?;
        }
        Ok(())
    }
}

fn time(stored: i64, id: SubscriptionId) -> Result<Millis> {
    Millis::from_stored(stored).ok_or_else(|| {
        Error::corrupt(format_args!("a secret of {id} has a time that no registry writes"))
    })
}

/// Returns the time in the [columns](secret_columns) from `first` on.
fn stored_time(row: &Row<'_>, first: usize) -> Result<i64> {
    row.get(first.saturating_add(1)).map_sqlite_err()
}

/// Returns whether the [columns](secret_columns) from `first` on tell of replaced secrets.
fn has_replaced(row: &Row<'_>, first: usize) -> Result<bool> {
    let replaced = row.get(first.saturating_add(2)).map_sqlite_err()?;
    Ok(counted(replaced)? > 0)
}

/// Returns whether the [columns](secret_columns) from `first` on hold exactly this secret as text,
/// which replaced none.
///
/// It returns false for an encrypted secret. That one has to be decrypted again, because only
/// decryption proves that it is intact and belongs to this row.
pub(super) fn has_only_secret(row: &Row<'_>, first: usize, issued: &IssuedSecret) -> Result<bool> {
    let IssuedSecret { secret, created_at, expires_at } = issued;
    let stored = row.get_ref(first).map_sqlite_err()?;
    Ok(expires_at.is_none()
        && stored == ValueRef::Text(secret.expose().as_bytes())
        && stored_time(row, first)? == millis(*created_at)?
        && !has_replaced(row, first)?)
}
