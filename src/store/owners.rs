//! The statements for the table `owner`, and the limits that a scope sets to other statements.

use std::sync::Arc;

use rusqlite::{OptionalExtension as _, Row, params};

use super::error::{MapSqliteErr as _, sqlite_error};
use super::registry_row;
use super::rows::{counted, decode_owner, integer, natural};
use super::transaction::{Read, Write};
use crate::error::Result;
use crate::scope::Scope;

/// The row of the owner whose name is the parameter `?1`, or row 0 where that is NULL. NULL where
/// the owner has no row, and so no subscription.
macro_rules! owner_row {
    () => {
        "iif(?1 IS NULL, 0, (SELECT id FROM _webhook_registry_owner WHERE name = ?1))"
    };
}
pub(super) use owner_row;

/// The same, in a way that depends on the row `x` of an expansion. With a value that does not, some
/// statistics make SQLite read a whole index first, to build a Bloom filter.
macro_rules! owner_row_beside {
    () => {
        concat!("iif(x.pattern = x.pattern, ", owner_row!(), ", NULL)")
    };
}
pub(super) use owner_row_beside;

/// A condition on the column `s.owner`: the subscription belongs to the scope. The parameters are
/// `?1` as in [`owner_row`], and `?2`, which is true for every owner.
macro_rules! in_scope {
    () => {
        concat!("(?2 OR s.owner = ", owner_row!(), ")")
    };
}
pub(super) use in_scope;

/// The name of the owner of `s`: 0 where the subscription has no owner, and NULL where the owner
/// has no row.
macro_rules! owner_name {
    () => {
        "iif(s.owner = 0, 0, (SELECT name FROM _webhook_registry_owner WHERE id = s.owner))"
    };
}
pub(super) use owner_name;

/// How many subscriptions of an owner are tested in about the time of one look-up by a pattern.
/// Those of an owner lie together, and each look-up reads another page.
const PATTERNS_PER_LOOKUP: u64 = 8;

impl Read<'_> {
    /// Returns the name of the scope's owner, as the parameter of a statement.
    pub(super) fn owner_param(&self) -> Option<&str> {
        self.scope.owner().map(|owner| &**owner)
    }

    /// Returns whether the scope is every owner, as the parameter of a statement.
    pub(super) fn every_param(&self) -> bool {
        *self.scope == Scope::Every
    }

    /// Returns the owner to which the scope is limited.
    pub(crate) fn owner(&self) -> Option<&Arc<str>> {
        self.scope.owner()
    }

    /// Returns the row of the owner of the scope, if it has one. Every owner has no row.
    pub(super) fn owner_row(&self) -> Result<Option<i64>> {
        match self.scope {
            Scope::NoOwner => Ok(Some(0)),
            Scope::Owner(owner) => self.row_of_owner(owner),
            Scope::Every => Ok(None),
        }
    }

    fn row_of_owner(&self, owner: &str) -> Result<Option<i64>> {
        let sql = "SELECT id FROM _webhook_registry_owner WHERE name = ?1";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        statement.query_row([owner], |row| row.get(0)).optional().map_sqlite_err()
    }

    /// Returns the names of at most `limit` owners after a position, in the order of their bytes.
    pub(crate) fn owners(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        // SQLite compares the bytes of the file's encoding, which an application chose.
        let encoding = "SELECT count(*) FROM pragma_encoding WHERE encoding = 'UTF-8'";
        if self.number(encoding)? == 0 {
            return self.owners_sorted(after, limit);
        }
        // No name is empty.
        let sql = "SELECT name FROM _webhook_registry_owner \
                   INDEXED BY sqlite_autoindex__webhook_registry_owner_1 \
                   WHERE name > ?1 ORDER BY name LIMIT ?2";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows =
            statement.query(params![after.unwrap_or_default(), limit]).map_sqlite_err()?;
        let mut owners = Vec::new();
        while let Some(row) = rows.next().map_sqlite_err()? {
            owners.push(decode_owner(row, 0)?.to_owned());
        }
        Ok(owners)
    }

    /// Returns the same from a file of another encoding, by reading every name.
    fn owners_sorted(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let sql = "SELECT name FROM _webhook_registry_owner WHERE id <> 0";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([]).map_sqlite_err()?;
        let mut owners = Vec::new();
        while let Some(row) = rows.next().map_sqlite_err()? {
            owners.push(decode_owner(row, 0)?.to_owned());
        }
        owners.retain(|owner| after.is_none_or(|after| owner.as_str() > after));
        owners.sort_unstable();
        owners.truncate(limit);
        Ok(owners)
    }

    /// Returns whether a statement should look for the subscribers of an event among the
    /// subscriptions that have a pattern which matches, and not among those of the owner.
    ///
    /// Either way, the cost must not grow with the subscriptions and the patterns of other owners.
    /// So the patterns of the event are followed only if they are few beside what the owner has.
    pub(super) fn starts_with_event(&self, event_type: &str) -> Result<bool> {
        let few = self.len()?.checked_div(PATTERNS_PER_LOOKUP).unwrap_or_default();
        let sql = "SELECT count(*) FROM (SELECT 1 FROM _webhook_registry_expansion \
                   INDEXED BY sqlite_autoindex__webhook_registry_expansion_1 \
                   WHERE event_type = ?1 LIMIT ?2)";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let patterns = statement.query_row(params![event_type, integer(few)?], |row| row.get(0));
        Ok(natural(patterns.map_sqlite_err()?)? < few)
    }

    /// Returns the number of subscriptions in the scope.
    pub(crate) fn len(&self) -> Result<u64> {
        let sql = match self.scope {
            Scope::NoOwner => "SELECT subscriptions FROM _webhook_registry_owner WHERE id = 0",
            Scope::Owner(_) => {
                "SELECT coalesce((SELECT subscriptions FROM _webhook_registry_owner \
                                   WHERE name = ?1), 0)"
            }
            Scope::Every => "SELECT count(*) FROM _webhook_registry_subscription",
        };
        let mut count = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let row = |row: &Row<'_>| row.get(0);
        let found = match self.owner_param() {
            Some(owner) => count.query_row([owner], row),
            None => count.query_row([], row),
        };
        found.map_err(sqlite_error).and_then(natural)
    }

    /// Returns whether the scope has no subscription.
    pub(crate) fn is_empty(&self) -> Result<bool> {
        let sql = match self.scope {
            Scope::Every => "SELECT NOT EXISTS (SELECT 1 FROM _webhook_registry_subscription)",
            Scope::NoOwner | Scope::Owner(_) => return Ok(self.len()? == 0),
        };
        let mut any = self.conn.prepare_cached(sql).map_sqlite_err()?;
        any.query_row([], |row| row.get(0)).map_sqlite_err()
    }

    /// Returns the sequence number of the newest change of a subscription of the scope's owner.
    /// None where the owner has no subscription, and for every owner.
    pub(crate) fn owner_change(&self) -> Result<Option<u64>> {
        let Some(row) = self.owner_row()? else {
            return Ok(None);
        };
        let sql = "SELECT last_change FROM _webhook_registry_owner WHERE id = ?1";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let last = statement.query_row([row], |row| row.get(0)).map_err(sqlite_error)?;
        counted(last).map(Some)
    }

    /// Returns whether the history holds a change of the scope's owner after a sequence number.
    pub(crate) fn owner_changed_after(&self, sequence: u64) -> Result<bool> {
        let sql = "SELECT EXISTS (SELECT 1 FROM _webhook_registry_change \
                   INDEXED BY _webhook_registry_change_owner \
                   WHERE owner = ?1 AND sequence > ?2)";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let params = params![self.owner_param(), integer(sequence)?];
        statement.query_row(params, |row| row.get(0)).map_sqlite_err()
    }

    /// Returns the sequence number of the newest change of an event type.
    pub(crate) fn catalog_change(&self) -> Result<u64> {
        registry_row::catalog_change(self.conn)
    }
}

impl Write<'_> {
    /// Returns the row of an owner, for a new subscription. A new owner gets one.
    pub(super) fn intern_owner(&self, owner: Option<&Arc<str>>) -> Result<i64> {
        let Some(owner) = owner else {
            return Ok(0);
        };
        if let Some(row) = self.row_of_owner(owner)? {
            return Ok(row);
        }
        let sql = "INSERT INTO _webhook_registry_owner (name, subscriptions, last_change) \
                   VALUES (?1, 0, 0)";
        let mut insert = self.conn.prepare_cached(sql).map_sqlite_err()?;
        insert.insert([&**owner]).map_sqlite_err()
    }

    /// Counts a subscription that was inserted.
    pub(super) fn count_inserted(&self, owner: Option<&Arc<str>>) {
        self.recorder.inserted(owner);
    }

    /// Returns the number of subscriptions in the scope, with those that this transaction has
    /// inserted.
    pub(crate) fn count_written(&self) -> Result<u64> {
        self.write_counts()?;
        self.len()
    }

    /// Writes the numbers of new subscriptions into the rows of their owners. A deletion has to
    /// find them there, because a row that counts none is deleted.
    pub(super) fn write_counts(&self) -> Result<()> {
        self.recorder.take_inserted(|owner, inserted| {
            self.update_owner(
                "UPDATE _webhook_registry_owner SET subscriptions = subscriptions + ?1 \
                 WHERE id = 0",
                "UPDATE _webhook_registry_owner SET subscriptions = subscriptions + ?1 \
                 WHERE name = ?2",
                owner,
                inserted,
            )
        })
    }

    /// Writes the numbers of the newest changes. Called before the commit.
    pub(super) fn finish_owners(&self) -> Result<()> {
        self.write_counts()?;
        self.recorder.take_changed(|owner, sequence| {
            self.update_owner(
                "UPDATE _webhook_registry_owner SET last_change = ?1 WHERE id = 0",
                "UPDATE _webhook_registry_owner SET last_change = ?1 WHERE name = ?2",
                owner,
                sequence,
            )
        })?;
        match self.recorder.catalog_change() {
            Some(sequence) => registry_row::set_catalog_change(self.conn, sequence),
            None => Ok(()),
        }
    }

    fn update_owner(
        &self,
        no_owner: &str,
        by_name: &str,
        owner: Option<&str>,
        number: u64,
    ) -> Result<()> {
        let number = integer(number)?;
        match owner {
            None => self.execute(no_owner, params![number]),
            Some(owner) => self.execute(by_name, params![number, owner]),
        }
    }
}
