//! Statements and the row decoder for secrets.

use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement, params};

use super::error::MapSqliteErr as _;
use super::rows::millis;
use super::secret_codec::SecretBinding;
use super::transaction::{Read, Write};
use crate::error::{Error, Result};
use crate::id::SubscriptionId;
use crate::secret::IssuedSecret;
use crate::time::Millis;

/// The columns of a secret, in the order in which [`Read::issued`] decodes them.
macro_rules! secret_columns {
    () => {
        "k.serial, k.text, k.sealed, k.created_at, k.expires_at"
    };
}
pub(super) use secret_columns;

pub(super) const INSERT_SECRET: &str = "INSERT INTO _webhook_registry_secret (subscription, \
                        serial, text, sealed, \
    created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

impl Read<'_> {
    /// Returns every secret of a subscription, newest first, also those that have expired.
    pub(super) fn secrets(&self, seq: i64, id: SubscriptionId) -> Result<Vec<IssuedSecret>> {
        let sql = concat!(
            "SELECT ",
            secret_columns!(),
            " FROM _webhook_registry_secret k INDEXED BY \
             sqlite_autoindex__webhook_registry_secret_1 WHERE k.subscription = ?1 ORDER \
             BY k.serial DESC"
        );
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([seq]).map_sqlite_err()?;
        let mut secrets = Vec::with_capacity(1);
        while let Some(row) = rows.next().map_sqlite_err()? {
            secrets.push(self.issued(row, 0, id)?);
        }
        if secrets.is_empty() { Err(Error::no_secret(id)) } else { Ok(secrets) }
    }

    /// Decodes the [columns](secret_columns) that begin at `first`.
    pub(super) fn issued(
        &self,
        row: &Row<'_>,
        first: usize,
        id: SubscriptionId,
    ) -> Result<IssuedSecret> {
        let column = |at: usize| first.saturating_add(at);
        let serial: Option<i64> = row.get(column(0)).map_sqlite_err()?;
        let time = |stored| {
            Millis::from_stored(stored).ok_or_else(|| {
                Error::corrupt(format_args!("a secret of {id} has a time that no registry writes"))
            })
        };
        let binding = SecretBinding {
            id,
            serial: serial.ok_or_else(|| Error::no_secret(id))?,
            created_at: time(row.get(column(3)).map_sqlite_err()?)?,
            expires_at: row
                .get::<_, Option<i64>>(column(4))
                .map_sqlite_err()?
                .map(time)
                .transpose()?,
        };
        let text =
            row.get_ref(column(1)).and_then(|text| Ok(text.as_str_or_null()?)).map_sqlite_err()?;
        let sealed = row
            .get_ref(column(2))
            .and_then(|sealed| Ok(sealed.as_blob_or_null()?))
            .map_sqlite_err()?;
        let secret = self.codec.open(text, sealed, &binding)?;
        let SecretBinding { id: _, serial: _, created_at, expires_at } = binding;
        Ok(IssuedSecret { secret, created_at, expires_at })
    }
}

impl Write<'_> {
    /// Replaces the secrets of a subscription by these, newest first. The old ones are overwritten.
    pub(super) fn set_secrets(
        &self,
        seq: i64,
        id: SubscriptionId,
        secrets: &[IssuedSecret],
    ) -> Result<()> {
        self.execute(
            "DELETE FROM _webhook_registry_secret INDEXED BY \
             sqlite_autoindex__webhook_registry_secret_1 WHERE subscription = ?1",
            params![seq],
        )?;
        let mut insert = self.conn.prepare_cached(INSERT_SECRET).map_sqlite_err()?;
        self.add_secrets(&mut insert, seq, id, secrets)
    }

    /// Adds these secrets, newest first, to a subscription that has none, by [`INSERT_SECRET`].
    pub(super) fn add_secrets(
        &self,
        insert: &mut Statement<'_>,
        seq: i64,
        id: SubscriptionId,
        secrets: &[IssuedSecret],
    ) -> Result<()> {
        for (serial, issued) in (1_i64..).zip(secrets.iter().rev()) {
            let &IssuedSecret { ref secret, created_at, expires_at } = issued;
            let (text, sealed) =
                self.codec.seal(secret, &SecretBinding { id, serial, created_at, expires_at })?;
            let until = expires_at.map(millis).transpose()?;
            insert
                .execute(params![seq, serial, text, sealed, millis(created_at)?, until])
                .map_sqlite_err()?;
        }
        Ok(())
    }
}

/// Returns whether the [columns](secret_columns) from `first` on hold exactly this secret as text.
///
/// It returns false for an encrypted secret. That one has to be decrypted again, because only
/// decryption proves that it is intact and belongs to this row.
pub(super) fn has_secret(
    row: &Row<'_>,
    first: usize,
    secret: Option<&IssuedSecret>,
) -> Result<bool> {
    let Some(IssuedSecret { secret, created_at, expires_at }) = secret else {
        return Ok(false);
    };
    let says = [
        ValueRef::Text(secret.expose().as_bytes()),
        ValueRef::Null,
        ValueRef::Integer(millis(*created_at)?),
        expires_at.map(millis).transpose()?.map_or(ValueRef::Null, ValueRef::Integer),
    ];
    for (column, value) in (first.saturating_add(1)..).zip(says) {
        if row.get_ref(column).map_sqlite_err()? != value {
            return Ok(false);
        }
    }
    Ok(true)
}
