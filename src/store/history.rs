//! The statements for the table `change`, which a change writes to in its own transaction.

use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Row, params};
use serde::de::MapAccess;
use serde_json::Value;

use super::change_recorder::HistoryRange;
use super::error::{MapSqliteErr as _, sqlite_error};
use super::registry_row;
use super::rows::{counted, integer, millis, natural, rising};
use super::transaction::{Read, Write};
use crate::change::{Change, ChangeKind, FieldChange};
use crate::error::{Error, ErrorKind, Result};
use crate::id::SubscriptionId;
use crate::json::{self, JsonObject, key_names};
use crate::scope::Scope;
use crate::time::Millis;

/// The number of changes that are deleted at once. Deleting one with each change would write
/// another page each time.
const BATCH: u64 = 64;

/// Selects changes, in the order in which [`decode`] reads the columns.
macro_rules! change_columns {
    () => {
        "SELECT sequence, at, kind, subject, owner, fields FROM _webhook_registry_change"
    };
}

impl Read<'_> {
    fn range(&self) -> Result<HistoryRange> {
        let sql = "SELECT keep_changes, max(last_change, coalesce((SELECT max(sequence) FROM \
            _webhook_registry_change), 0)), \
                          (SELECT min(sequence) FROM _webhook_registry_change) FROM \
                        _webhook_registry_meta";
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let (keep, last, first): (i64, i64, Option<i64>) =
            statement.query_row([], row).map_sqlite_err()?;
        let first = match first.map(natural).transpose()? {
            // Every reader begins after 0, and would pass it over.
            Some(0) => return Err(Error::corrupt("a change has the number 0")),
            first => first.unwrap_or_default(),
        };
        Ok(HistoryRange { keep: natural(keep)?, first, last: counted(last)? })
    }

    /// Returns whether the file already keeps this number of changes.
    pub(crate) fn keeps_changes(&self, keep: u64) -> Result<bool> {
        Ok(self.range()?.keep == storable(keep))
    }

    /// Returns the sequence number of the last change; 0 when there was none.
    pub(crate) fn last_change(&self) -> Result<u64> {
        Ok(self.range()?.last)
    }

    /// Returns the random bytes that identify the file.
    pub(crate) fn file_id(&self) -> Result<Vec<u8>> {
        registry_row::file_id(self.conn)
    }

    /// Returns the changes after a sequence number, at most `limit`.
    pub(crate) fn changes(&self, after: u64, limit: usize) -> Result<Vec<Change>> {
        let range = self.range()?;
        let (begins, last) = (range.begins(), range.last);
        let gone = |why: String| Err(Error::new(ErrorKind::Gone, why));
        if after > last {
            return gone(format!(
                "the history ends at {last}; {after} is another file's, or one's before a restore"
            ));
        }
        if after < begins {
            return gone(format!(
                "the changes after {after} are no longer kept; the history begins after {begins}"
            ));
        }
        if let Scope::Owner(owner) = self.scope {
            return self.changes_of(owner, after, limit);
        }
        // One by one: for a range, SQLite scans the table where statistics say that it is small.
        let sql = concat!(change_columns!(), " WHERE sequence = ?1");
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let until = after.saturating_add(u64::try_from(limit).unwrap_or(u64::MAX)).min(last);
        let mut changes = Vec::new();
        for sequence in after.saturating_add(1)..=until {
            let mut rows = statement.query([integer(sequence)?]).map_sqlite_err()?;
            let change = rows.next().map_sqlite_err()?.map(decode).transpose()?;
            changes.push(change.filter(|change| change.sequence == sequence).ok_or_else(|| {
                Error::corrupt(format_args!("change {sequence} is missing from the history"))
            })?);
        }
        Ok(changes)
    }

    /// Returns the changes of one owner after a sequence number, at most `limit`. Those of others
    /// are not decoded.
    fn changes_of(&self, owner: &str, after: u64, limit: usize) -> Result<Vec<Change>> {
        let sql = concat!(
            change_columns!(),
            " INDEXED BY _webhook_registry_change_owner \
             WHERE owner = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3"
        );
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![owner, integer(after)?, limit]).map_sqlite_err()?;
        let (mut changes, mut last): (Vec<Change>, u64) = (Vec::new(), after);
        while let Some(row) = rows.next().map_sqlite_err()? {
            let change = decode(row)?;
            last = rising(last, change.sequence)?;
            changes.push(change);
        }
        Ok(changes)
    }

    /// Passes the error of each change that does not decode to `tell`.
    pub(super) fn decode_changes(&self, mut tell: impl FnMut(Error)) -> Result<()> {
        let sql = concat!(change_columns!(), " ORDER BY sequence");
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let mut rows = statement.query([]).map_sqlite_err()?;
        while let Some(row) = rows.next().map_sqlite_err()? {
            match decode(row) {
                Err(error) if error.kind() == ErrorKind::Corrupt => tell(error),
                decoded => drop(decoded?),
            }
        }
        Ok(())
    }
}

impl Write<'_> {
    /// Announces that exactly this number of changes will be recorded.
    pub(crate) fn expect_changes(&self, count: usize) {
        self.recorder.expected.set(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Adds a change of an event type to the history. Its fields are computed only if it is kept.
    pub(crate) fn record_event_type(
        &self,
        now: Millis,
        kind: ChangeKind,
        name: &str,
        fields: impl FnOnce() -> Vec<FieldChange>,
    ) -> Result<()> {
        let sequence = self.record(now, kind, name, None, fields)?;
        self.recorder.catalog_changed(sequence);
        Ok(())
    }

    /// Adds a change of a subscription to the history. Its fields are computed only if it is kept.
    pub(crate) fn record_subscription(
        &self,
        now: Millis,
        kind: ChangeKind,
        id: SubscriptionId,
        owner: Option<&Arc<str>>,
        fields: impl FnOnce() -> Vec<FieldChange>,
    ) -> Result<()> {
        let sequence =
            self.record(now, kind, &id.to_string(), owner.map(|owner| &**owner), fields)?;
        self.recorder.changed(owner, sequence);
        Ok(())
    }

    fn record(
        &self,
        now: Millis,
        kind: ChangeKind,
        subject: &str,
        owner: Option<&str>,
        fields: impl FnOnce() -> Vec<FieldChange>,
    ) -> Result<u64> {
        let range = match self.recorder.range.get() {
            Some(range) => range,
            None => self.range()?,
        };
        let sequence = range.last.saturating_add(1);
        self.recorder.range.set(Some(HistoryRange { last: sequence, ..range }));
        let to_come = self.recorder.expected.get().saturating_sub(1);
        self.recorder.expected.set(to_come);
        if to_come >= range.keep {
            self.recorder.skipped.set(true);
            return Ok(sequence);
        }
        self.execute(
            "INSERT INTO _webhook_registry_change (sequence, at, kind, subject, owner, fields) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                integer(sequence)?,
                millis(now)?,
                kind.as_str(),
                subject,
                owner,
                encode(&fields())?
            ],
        )?;
        Ok(sequence)
    }

    /// Completes what the transaction has recorded. Called before the commit.
    pub(super) fn finish(&self) -> Result<()> {
        self.finish_owners()?;
        self.finish_history()
    }

    /// Deletes changes that are no longer kept, once enough of them have accumulated.
    fn finish_history(&self) -> Result<()> {
        let Some(HistoryRange { keep, first, last }) = self.recorder.range.get() else {
            return Ok(());
        };
        if keep == 0 {
            // The table is empty: lowering the limit to 0 has deleted everything.
            return registry_row::set_last_change(self.conn, last);
        }
        let surplus = last.saturating_sub(keep).saturating_add(1).saturating_sub(first);
        let due = surplus >= BATCH || keep < BATCH || self.recorder.skipped.get();
        if due { self.trim(last, keep) } else { Ok(()) }
    }

    fn trim(&self, last: u64, keep: u64) -> Result<()> {
        self.execute(
            "DELETE FROM _webhook_registry_change WHERE sequence <= ?1",
            params![integer(last.saturating_sub(keep))?],
        )
    }

    /// Sets how many changes the file keeps.
    pub(crate) fn keep_changes(&self, keep: u64) -> Result<()> {
        let HistoryRange { keep: before, first: _, last } = self.range()?;
        let keep = storable(keep);
        if keep == before {
            return Ok(());
        }
        registry_row::set_history_limit(self.conn, keep, last)?;
        self.trim(last, keep)
    }
}

/// Returns the limit that the file can store. A number past SQLite's greatest integer keeps every
/// change.
fn storable(keep: u64) -> u64 {
    keep.min(i64::MAX.unsigned_abs())
}

/// A field that is being read from its stored form.
#[derive(Default)]
struct Draft {
    name: String,
    before: Option<Value>,
    after: Option<Value>,
}

impl JsonObject for Draft {
    const KEYS: &'static [&'static str] = key_names::FIELD_CHANGE;
    const REQUIRED: usize = 1;
    const DENY_UNKNOWN_FIELDS: bool = true;

    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        value: json::Value<'_, A>,
    ) -> Result<(), A::Error> {
        match key {
            "name" => self.name = value.read()?,
            "before" => self.before = Some(value.json()?.into()),
            _ => self.after = Some(value.json()?.into()),
        }
        Ok(())
    }
}

fn encode(fields: &[FieldChange]) -> Result<String> {
    serde_json::to_string(fields)
        .map_err(|cause| Error::corrupt("a change that is no JSON").with_source(cause))
}

fn decode(row: &Row<'_>) -> Result<Change> {
    let sequence = row.get(0).map_err(sqlite_error).and_then(counted)?;
    let damaged = || {
        Error::corrupt(format_args!("change {sequence} of the history is not as it was written"))
    };
    let text = |column| row.get_ref(column).map_sqlite_err()?.as_str().map_err(|_| damaged());
    let (kind, fields) = (text(2)?, text(5)?);
    let owner = match row.get_ref(4).map_sqlite_err()? {
        ValueRef::Null => None,
        _ => Some(text(4)?.into()),
    };
    let change = Change {
        sequence,
        at: row.get(1).map_sqlite_err().map(Millis::from_stored)?.ok_or_else(damaged)?,
        kind: ChangeKind::from_stored(kind).ok_or_else(damaged)?,
        subject: text(3)?.to_owned(),
        owner,
        fields: decode_fields(fields).ok_or_else(damaged)?,
    };
    if sequence > 0 && change.keeps_rules() { Ok(change) } else { Err(damaged()) }
}

fn decode_fields(text: &str) -> Option<Vec<FieldChange>> {
    let fields: Vec<Draft> = json::parse(text).ok()?;
    let field = |Draft { name, before, after }| FieldChange { name, before, after };
    Some(fields.into_iter().map(field).collect())
}
