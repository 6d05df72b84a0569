//! The join of dispatch: an event type, the patterns that match it, and the subscriptions that have
//! them.

use std::collections::BTreeMap;
use std::sync::Arc;

// The trait that has `Rows::get`. rusqlite re-exports it only since 0.33.
use fallible_streaming_iterator::FallibleStreamingIterator as _;
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Row, Rows, params};

use super::dispatch_sql;
use super::error::MapSqliteErr as _;
use super::rows::{
    breaks_a_rule, decode_flag, decode_pattern, id_of, metadata_of, name_of, owner_of, text_of,
    valid_position, valid_reason,
};
use super::secrets::has_secret;
use super::transaction::Read;
use crate::error::{Error, Problem, Result};
use crate::id::SubscriptionId;
use crate::pattern::EventPattern;
use crate::scope::Scope;
use crate::secret::IssuedSecret;

/// The greatest number of expected subscribers for which [`SELECT_FEW`] is used.
const FEW: usize = 1_000;

/// The first column of a secret in the rows of subscribers.
const SECRET: usize = 5;
/// The column behind those of the secret.
const ENABLED: usize = 10;
const OWNER: usize = 11;

/// The statement that reads the rows of subscribers.
pub(crate) struct SubscriberQuery<'r> {
    read: &'r Read<'r>,
    statement: CachedStatement<'r>,
    /// True if the statement returns the rows of a subscription once for each of its patterns.
    repeats: bool,
    /// True if the key of the rows is an id.
    by_id: bool,
}

/// A cursor over the rows of subscribers, in the order of their positions. Each subscriber has one
/// row for each of its secrets, newest first.
pub(crate) struct SubscriberRows<'q> {
    read: &'q Read<'q>,
    rows: Rows<'q>,
    repeats: bool,
    /// The position and the secret's serial number of the last row.
    last: Option<(i64, Option<i64>)>,
}

/// A view of the row that a cursor stands on.
///
/// The values are decoded on demand, because most rows are only compared with what is known.
pub(crate) struct SubscriberRow<'q> {
    read: &'q Read<'q>,
    row: &'q Row<'q>,
    position: i64,
}

/// A subscription with the patterns that match an event type.
pub(crate) struct RouteRow {
    pub(crate) id: SubscriptionId,
    pub(crate) owner: Option<Arc<str>>,
    pub(crate) name: String,
    pub(crate) enabled: bool,
    pub(crate) disabled_reason: Option<String>,
    pub(crate) patterns: Vec<EventPattern>,
}

impl Read<'_> {
    /// Prepares the statement for about this many subscribers; 0 where nothing is known.
    pub(crate) fn subscriber_query(&self, expected: usize) -> Result<SubscriberQuery<'_>> {
        let repeats = (1..=FEW).contains(&expected);
        let sql = dispatch_sql::subscribers(self.scope, repeats);
        let statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        Ok(SubscriberQuery { read: self, statement, repeats, by_id: false })
    }

    /// Prepares the statement for one subscription of the scope. Its rows are those of an id.
    pub(crate) fn subscriber_query_by_id(&self) -> Result<SubscriberQuery<'_>> {
        let statement = self.conn.prepare_cached(dispatch_sql::SELECT_ONE).map_sqlite_err()?;
        Ok(SubscriberQuery { read: self, statement, repeats: false, by_id: true })
    }

    /// Returns every subscription of the scope with a pattern that matches this event type, in the
    /// order of ids, with those patterns in their order.
    pub(crate) fn routes(&self, event_type: &str) -> Result<Vec<RouteRow>> {
        let starts_with_event =
            *self.scope == Scope::Every || self.starts_with_event(event_type)?;
        let sql = dispatch_sql::routes(self.scope, starts_with_event);
        let mut statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        let given = params![self.owner_param(), event_type];
        let mut rows = statement.query(given).map_sqlite_err()?;
        let mut routes: Vec<RouteRow> = Vec::new();
        while let Some(row) = rows.next().map_sqlite_err()? {
            valid_position(row.get(0).map_sqlite_err()?)?;
            let id = id_of(row, 1)?;
            let pattern = decode_pattern(row, 4)?;
            match routes.last_mut().filter(|route| route.id == id) {
                Some(route) => route.patterns.push(pattern),
                None => {
                    let enabled = decode_flag(row, 3)?;
                    routes.push(RouteRow {
                        id,
                        owner: owner_of(row, 6, id)?.map(Into::into),
                        name: name_of(row, 2, id)?.to_owned(),
                        enabled,
                        disabled_reason: valid_reason(row, 5, id, enabled)?.map(str::to_owned),
                        patterns: vec![pattern],
                    });
                }
            }
        }
        Ok(routes)
    }
}

impl SubscriberQuery<'_> {
    /// Starts reading the subscriptions with this key: the event type that they get, or the id of
    /// the one. There are no rows where nothing has the key.
    pub(crate) fn rows(&mut self, key: &str) -> Result<SubscriberRows<'_>> {
        let read = self.read;
        let rows = match read.scope {
            _ if self.by_id => {
                self.statement.query(params![read.owner_param(), read.every_param(), key])
            }
            Scope::Owner(owner) => self.statement.query([key, owner]),
            Scope::NoOwner | Scope::Every => self.statement.query([key]),
        };
        let rows = rows.map_sqlite_err()?;
        Ok(SubscriberRows { read: self.read, rows, repeats: self.repeats, last: None })
    }
}

impl SubscriberRows<'_> {
    /// Advances to the next row.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<SubscriberRow<'_>>> {
        let position = loop {
            self.rows.advance().map_sqlite_err()?;
            let Some(row) = self.rows.get() else {
                return Ok(None);
            };
            let position = valid_position(row.get(0).map_sqlite_err()?)?;
            if !self.repeats {
                break position;
            }
            let this = Some((position, row.get(SECRET).map_sqlite_err()?));
            if self.last != this {
                self.last = this;
                break position;
            }
        };
        Ok(self.rows.get().map(|row| SubscriberRow { read: self.read, row, position }))
    }
}

impl<'q> SubscriberRow<'q> {
    /// Returns the key of the subscription's row. It increases with the id.
    #[inline]
    pub(crate) fn position(&self) -> i64 {
        self.position
    }

    #[inline]
    pub(crate) fn id(&self) -> Result<SubscriptionId> {
        id_of(self.row, 1)
    }

    /// Returns the owner of the subscription.
    pub(crate) fn owner(&self, id: SubscriptionId) -> Result<Option<Arc<str>>> {
        match self.read.scope {
            Scope::Every => Ok(owner_of(self.row, OWNER, id)?.map(Into::into)),
            Scope::NoOwner | Scope::Owner(_) => Ok(self.read.scope.owner().cloned()),
        }
    }

    /// Returns whether the owner is exactly this.
    #[inline]
    pub(crate) fn has_owner(&self, owner: Option<&str>) -> Result<bool> {
        match self.read.scope {
            Scope::Every => Ok(self.row.get_ref(OWNER).map_sqlite_err()?
                == owner.map_or(ValueRef::Integer(0), |owner| ValueRef::Text(owner.as_bytes()))),
            Scope::NoOwner | Scope::Owner(_) => Ok(self.read.owner_param() == owner),
        }
    }

    pub(crate) fn name(&self, id: SubscriptionId) -> Result<&'q str> {
        text_of(self.row, 2, "name", id)
    }

    pub(crate) fn url(&self, id: SubscriptionId) -> Result<&'q str> {
        text_of(self.row, 3, "url", id)
    }

    /// Returns the metadata, which can break a rule.
    #[inline]
    pub(crate) fn metadata(&self, id: SubscriptionId) -> Result<BTreeMap<String, String>> {
        metadata_of(self.row, 4, id)
    }

    /// Returns whether the subscription's own row is enabled.
    #[inline]
    pub(crate) fn enabled(&self) -> Result<bool> {
        decode_flag(self.row, ENABLED)
    }

    /// Decrypts the secret of this row.
    pub(crate) fn secret(&self, id: SubscriptionId) -> Result<IssuedSecret> {
        self.read.issued(self.row, SECRET, id)
    }

    /// Returns whether the name is exactly this.
    #[inline]
    pub(crate) fn has_name(&self, name: &str) -> Result<bool> {
        self.has_text(2, name)
    }

    /// Returns whether the URL is exactly this.
    #[inline]
    pub(crate) fn has_url(&self, url: &str) -> Result<bool> {
        self.has_text(3, url)
    }

    /// Returns whether this row holds exactly this secret, unencrypted.
    #[inline]
    pub(crate) fn has_secret(&self, secret: Option<&IssuedSecret>) -> Result<bool> {
        has_secret(self.row, SECRET, secret)
    }

    /// Returns the error for a row that breaks a rule of the registry.
    pub(crate) fn corrupt(&self, id: SubscriptionId, problem: &Problem) -> Error {
        breaks_a_rule(id, problem)
    }

    #[inline]
    fn has_text(&self, column: usize, text: &str) -> Result<bool> {
        Ok(self.row.get_ref(column).map_sqlite_err()? == ValueRef::Text(text.as_bytes()))
    }
}
