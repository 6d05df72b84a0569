//! Inserts subscriptions: one, or a hundred thousand in one transaction.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{CachedStatement, params};

use super::catalog::CatalogLookup;
use super::error::{MapSqliteErr as _, is_taken};
use super::rows::{encode_events, encode_metadata, integer, millis};
use super::subscription_changes::{INSERT_SUBSCRIPTION, NameTaken, UNIQUE_NAME};
use super::subscription_patterns::INSERT_PATTERN;
use super::transaction::Write;
use crate::error::Result;
use crate::pattern::EventPattern;
use crate::secret::IssuedSecret;
use crate::subscription::{Subscription, SubscriptionFields};

/// The statements for inserting many subscriptions, and the rows of the patterns and owners that
/// they share. No subscription may be deleted while an inserter exists.
pub(crate) struct Inserter<'w> {
    write: &'w Write<'w>,
    lookup: Option<&'w CatalogLookup<'w>>,
    subscription: CachedStatement<'w>,
    event: CachedStatement<'w>,
    patterns: HashMap<Box<str>, i64>,
    owners: HashMap<Arc<str>, i64>,
}

impl Write<'_> {
    /// Creates an inserter. The rows that the lookup has found are not looked up again, so no
    /// pattern may have been deleted since.
    pub(crate) fn inserter<'w>(
        &'w self,
        lookup: Option<&'w CatalogLookup<'w>>,
    ) -> Result<Inserter<'w>> {
        let prepare = |sql| self.conn.prepare_cached(sql).map_sqlite_err();
        let subscription = prepare(INSERT_SUBSCRIPTION)?;
        let event = prepare(INSERT_PATTERN)?;
        Ok(Inserter {
            write: self,
            lookup,
            subscription,
            event,
            patterns: HashMap::new(),
            owners: HashMap::new(),
        })
    }
}

impl Inserter<'_> {
    /// Inserts a subscription, unless its name is taken, which the unique index decides.
    pub(crate) fn insert(
        &mut self,
        subscription: &Subscription,
        secrets: &[IssuedSecret],
    ) -> Result<Result<(), NameTaken>> {
        let Subscription { id, owner, fields, disabled_at, created_at, updated_at, revision } =
            subscription;
        let SubscriptionFields {
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            disabled_reason,
        } = fields;
        let owner_row = self.owner(owner.as_ref())?;
        let columns = self.write.secret_columns(*id, *created_at, secrets)?;
        let row = params![
            id.to_string(),
            owner_row,
            name,
            url,
            enabled,
            description,
            encode_metadata(metadata)?,
            millis(*created_at)?,
            millis(*updated_at)?,
            integer(*revision)?,
            disabled_reason,
            disabled_at.map(millis).transpose()?,
            columns.secret,
            columns.created_at,
            columns.replaced,
            encode_events(events),
        ];
        let seq = match self.subscription.insert(row) {
            Err(cause) if is_taken(&cause, UNIQUE_NAME) => {
                return self.write.holder(owner_row, name).map(Err);
            }
            result => result.map_sqlite_err()?,
        };
        for pattern in events {
            let row = self.row(pattern)?;
            self.event.execute(params![owner_row, seq, row, enabled]).map_sqlite_err()?;
        }
        self.write.add_to_replaced(seq, *id, secrets)?;
        self.write.count_inserted(owner.as_ref());
        Ok(Ok(()))
    }

    fn owner(&mut self, owner: Option<&Arc<str>>) -> Result<i64> {
        if let Some(row) = owner.and_then(|owner| self.owners.get(owner)) {
            return Ok(*row);
        }
        let row = self.write.intern_owner(owner)?;
        if let Some(owner) = owner {
            self.owners.insert(owner.clone(), row);
        }
        Ok(row)
    }

    fn row(&mut self, pattern: &EventPattern) -> Result<i64> {
        let found = || self.lookup?.row(pattern);
        if let Some(row) = found().or_else(|| self.patterns.get(pattern.as_str()).copied()) {
            return Ok(row);
        }
        let row = self.write.intern(pattern)?;
        self.patterns.insert(pattern.as_str().into(), row);
        Ok(row)
    }
}
