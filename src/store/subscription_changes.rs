//! The statements that change and delete subscriptions.

use std::sync::Arc;

use rusqlite::{ToSql, params};

use super::error::{MapSqliteErr as _, is_taken};
use super::owners::{in_scope, owner_name, owner_row};
use super::registry_row;
use super::rows::{decode_id, decode_owner, encode_events, encode_metadata, integer, millis};
use super::secrets::SecretColumns;
use super::subscriptions::Current;
use super::transaction::Write;
use crate::error::Result;
use crate::id::SubscriptionId;
use crate::scope::Scope;
use crate::secret::IssuedSecret;
use crate::subscription::{Subscription, SubscriptionFields};

/// Inserts a row, whose `seq` SQLite chooses.
pub(super) const INSERT_SUBSCRIPTION: &str = "INSERT INTO _webhook_registry_subscription \
     (id, owner, name, url, enabled, description, metadata, created_at, updated_at, revision, \
      disabled_reason, disabled_at, secret, secret_created_at, replaced_secrets, events) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

/// The column that is not unique where a name is taken, as SQLite's message ends.
pub(super) const UNIQUE_NAME: &str = "_webhook_registry_subscription.name";

/// The subscription that already has the name.
pub(crate) struct NameTaken(pub(crate) SubscriptionId);

/// A subscription that was deleted without being decoded.
pub(crate) struct Undecoded {
    /// None where there is no owner, or its name cannot be read.
    pub(crate) owner: Option<Arc<str>>,
}

/// A statement that writes the columns of a subscription that differ.
struct Update<'v> {
    sql: String,
    values: Vec<&'v dyn ToSql>,
}

impl<'v> Update<'v> {
    fn new(seq: &'v i64, updated_at: &'v i64, revision: &'v i64) -> Update<'v> {
        let sql = "UPDATE _webhook_registry_subscription SET updated_at=?2,revision=?3".to_owned();
        Update { sql, values: vec![seq, updated_at, revision] }
    }

    fn set_if(&mut self, differs: bool, column: &str, value: &'v dyn ToSql) {
        if differs {
            self.sql.push_str(column);
            self.values.push(value);
        }
    }
}

impl Write<'_> {
    /// Updates a subscription. `secrets` is None where they do not change. Only the columns that
    /// change are written.
    pub(crate) fn replace(
        &self,
        current: &Current,
        after: &Subscription,
        secrets: Option<&[IssuedSecret]>,
    ) -> Result<Result<(), NameTaken>> {
        let Current { seq, subscription: before, .. } = current;
        let Subscription { id, owner, fields, disabled_at, created_at, updated_at, revision } =
            after;
        let SubscriptionFields {
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            disabled_reason,
        } = fields;
        if events != before.events() || *enabled != before.enabled() {
            // Before the row: what is left to do then is done by a trigger, less well.
            let row = self.intern_owner(owner.as_ref())?;
            if events == before.events() {
                self.set_patterns_enabled(row, *seq, *enabled)?;
            } else {
                self.replace_patterns(row, *seq, events, *enabled)?;
            }
        }
        let encoded = encode_metadata(metadata)?;
        let patterns = encode_events(events);
        let (updated_at, revision) = (millis(*updated_at)?, integer(*revision)?);
        let since = disabled_at.map(millis).transpose()?;
        let columns =
            secrets.map(|secrets| self.secret_columns(*id, *created_at, secrets)).transpose()?;
        let mut update = Update::new(seq, &updated_at, &revision);
        let fields = &before.fields;
        update.set_if(*name != fields.name, ",name=?", name);
        update.set_if(*url != fields.url, ",url=?", url);
        update.set_if(*events != fields.events, ",events=?", &patterns);
        update.set_if(*enabled != fields.enabled, ",enabled=?", enabled);
        update.set_if(*description != fields.description, ",description=?", description);
        update.set_if(*metadata != fields.metadata, ",metadata=?", &encoded);
        let reason = *disabled_reason != fields.disabled_reason;
        update.set_if(reason, ",disabled_reason=?", disabled_reason);
        update.set_if(*disabled_at != before.disabled_at, ",disabled_at=?", &since);
        if let Some(SecretColumns { secret, created_at, replaced }) = &columns {
            update.set_if(true, ",secret=?", secret);
            update.set_if(true, ",secret_created_at=?", created_at);
            update.set_if(true, ",replaced_secrets=?", replaced);
        }
        let sql = update.sql + " WHERE seq=?1";
        let mut statement = self.conn.prepare_cached(&sql).map_sqlite_err()?;
        match statement.execute(&*update.values) {
            Err(cause) if is_taken(&cause, UNIQUE_NAME) => {
                let row = self.intern_owner(owner.as_ref())?;
                return Ok(Err(self.holder(row, name)?));
            }
            result => result.map_sqlite_err()?,
        };
        if let Some(secrets) = secrets {
            self.set_replaced(*seq, *id, secrets)?;
        }
        Ok(Ok(()))
    }

    /// Replaces the secrets of a subscription, newest first, and leaves its row alone.
    pub(crate) fn overwrite_secrets(
        &self,
        current: &Current,
        secrets: &[IssuedSecret],
    ) -> Result<()> {
        self.set_secrets(current.seq, current.subscription.id, secrets)
    }

    /// Deletes a subscription with everything that belongs to it, and stores its id if it was the
    /// greatest.
    pub(crate) fn delete(&self, current: &Current) -> Result<()> {
        let owner = self.intern_owner(current.subscription.owner.as_ref())?;
        self.delete_row(owner, current.seq)
    }

    /// Deletes a subscription of the scope that does not decode. Returns None where no row has the
    /// id.
    pub(crate) fn delete_unread(&self, id: SubscriptionId) -> Result<Option<Undecoded>> {
        // A damaged index alone must not decide which row is deleted.
        let sql = concat!(
            "SELECT s.seq, s.owner, ",
            owner_name!(),
            " FROM _webhook_registry_subscription s \
             WHERE s.seq = (SELECT seq FROM _webhook_registry_subscription WHERE id = ?3) \
               AND +s.id = ?3 AND ",
            in_scope!()
        );
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let key = params![self.owner_param(), self.every_param(), id.to_string()];
        let mut rows = statement.query(key).map_sqlite_err()?;
        let Some(row) = rows.next().map_sqlite_err()? else {
            return Ok(None);
        };
        let (seq, owner_row) = (row.get(0).map_sqlite_err()?, row.get(1).map_sqlite_err()?);
        let owner = if owner_row == 0 { None } else { decode_owner(row, 2).ok().map(Arc::from) };
        drop(rows);
        self.delete_row(owner_row, seq)?;
        Ok(Some(Undecoded { owner }))
    }

    fn delete_row(&self, owner: i64, seq: i64) -> Result<()> {
        self.write_counts()?;
        self.delete_patterns(owner, seq)?;
        self.execute("DELETE FROM _webhook_registry_subscription WHERE seq = ?1", params![seq])
    }

    /// Deletes every subscription of the scope's owner with everything that belongs to it. Some may
    /// not decode.
    pub(crate) fn delete_all(&self) -> Result<()> {
        debug_assert!(*self.scope != Scope::Every, "refused before");
        self.write_counts()?;
        let Some(owner) = self.owner_row()? else {
            return Ok(());
        };
        self.execute(
            "DELETE FROM _webhook_registry_subscription_pattern \
             INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1 \
             WHERE owner = ?1",
            params![owner],
        )?;
        self.execute(
            "DELETE FROM _webhook_registry_subscription \
             INDEXED BY _webhook_registry_subscription_owner WHERE owner = ?1",
            params![owner],
        )
    }

    /// Clears the stored id of a deleted subscription, where a subscription has an id that is as
    /// great.
    pub(crate) fn forget_deleted(&self) -> Result<()> {
        registry_row::forget_deleted_id(self.conn)
    }

    /// Returns the subscription of an owner's row that has a name.
    pub(super) fn holder(&self, owner: i64, name: &str) -> Result<NameTaken> {
        let sql = "SELECT id FROM _webhook_registry_subscription WHERE owner = ?1 AND name = ?2";
        let mut holder = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let id: String =
            holder.query_row(params![owner, name], |row| row.get(0)).map_sqlite_err()?;
        decode_id(&id).map(NameTaken)
    }
}
