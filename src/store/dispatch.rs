//! The join of dispatch: an event type, the patterns that match it, and the subscriptions that have
//! them.

use std::collections::BTreeMap;
use std::sync::Arc;

// The trait that has `Rows::get`. rusqlite re-exports it only since 0.33.
use fallible_streaming_iterator::FallibleStreamingIterator as _;
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Row, Rows, params};

use super::error::MapSqliteErr as _;
use super::owners::{in_scope, owner_name, owner_row, owner_row_beside};
use super::rows::{
    breaks_a_rule, decode_flag, decode_pattern, id_of, metadata_of, name_of, owner_of, text_of,
    valid_position,
};
use super::secrets::{has_secret, secret_columns};
use super::transaction::Read;
use crate::error::{Error, Problem, Result};
use crate::id::SubscriptionId;
use crate::pattern::EventPattern;
use crate::scope::Scope;
use crate::secret::IssuedSecret;

/// The row of the event type `?1`.
macro_rules! event_type {
    () => {
        "(SELECT id FROM _webhook_registry_event_type WHERE name = ?1)"
    };
}

/// How many subscriptions of an owner are tested in about the time of one look-up by a pattern:
/// the literal of `PATTERNS_PER_LOOKUP`.
///
/// The statement itself decides where it starts, so that it needs no transaction around it. It is
/// true where the patterns that match the event are few beside the subscriptions of the owner.
macro_rules! starts_with_event {
    ($few:expr) => {
        concat!(
            "(SELECT count(*) FROM (SELECT 1 FROM _webhook_registry_expansion \
              INDEXED BY sqlite_autoindex__webhook_registry_expansion_1 \
              WHERE event_type = ",
            event_type!(),
            " LIMIT ",
            $few,
            ")) < ",
            $few
        )
    };
}

/// The positions of an owner's subscriptions that get the event. They are found from the patterns
/// of the event, or by testing each pattern of the owner, so that the subscriptions and the
/// patterns of other owners cost nothing.
///
/// `x.pattern = x.pattern` is a 1 that depends on `x`. With a constant instead, some statistics
/// make SQLite read the whole index first, to build a Bloom filter.
macro_rules! positions {
    ($owner:expr, $few:expr) => {
        concat!(
            "SELECT r.subscription AS seq FROM (SELECT 1 WHERE ",
            starts_with_event!($few),
            ") \
             CROSS JOIN _webhook_registry_expansion x \
             INDEXED BY sqlite_autoindex__webhook_registry_expansion_1 \
             CROSS JOIN _webhook_registry_subscription_pattern r \
             INDEXED BY _webhook_registry_subscription_pattern_route \
             ON r.pattern = x.pattern AND r.owner = ",
            $owner,
            " \
             AND r.enabled = (x.pattern = x.pattern) \
             WHERE x.event_type = ",
            event_type!(),
            " \
             UNION ALL \
             SELECT r.subscription FROM (SELECT 1 WHERE NOT ",
            starts_with_event!($few),
            ") \
             CROSS JOIN _webhook_registry_subscription_pattern r \
             INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1 \
             WHERE r.owner = ",
            $owner,
            " AND r.enabled = 1 AND \
                   (SELECT 1 FROM _webhook_registry_expansion \
                     WHERE event_type = ",
            event_type!(),
            " AND pattern = r.pattern)"
        )
    };
    () => {
        concat!(
            "SELECT r.subscription AS seq FROM _webhook_registry_expansion x \
             INDEXED BY sqlite_autoindex__webhook_registry_expansion_1 \
             CROSS JOIN _webhook_registry_subscription_pattern r \
             INDEXED BY _webhook_registry_subscription_pattern_route \
             ON r.pattern = x.pattern AND r.enabled = (x.pattern = x.pattern) \
             WHERE x.event_type = ",
            event_type!()
        )
    };
}

macro_rules! no_owner_positions {
    () => {
        positions!(
            "0",
            "(SELECT max(subscriptions, 0) / 8 FROM _webhook_registry_owner WHERE id = 0)"
        )
    };
}

macro_rules! owner_positions {
    () => {
        positions!(
            "(SELECT id FROM _webhook_registry_owner WHERE name = ?2)",
            "coalesce((SELECT max(subscriptions, 0) / 8 FROM _webhook_registry_owner \
                        WHERE name = ?2), 0)"
        )
    };
}

/// The columns of the rows of subscribers, and the tables of a subscription and its secrets.
macro_rules! subscribers_from {
    ($owner:expr, $from:expr) => {
        concat!(
            "SELECT s.seq, s.id, s.name, s.url, s.metadata, ",
            secret_columns!(),
            ", s.enabled, ",
            $owner,
            " FROM ",
            $from,
            "_webhook_registry_subscription s \
             INDEXED BY _webhook_registry_subscription_seq"
        )
    };
}

macro_rules! with_secrets {
    () => {
        " LEFT JOIN _webhook_registry_secret k \
         INDEXED BY sqlite_autoindex__webhook_registry_secret_1 ON k.subscription = s.seq"
    };
}

/// Selects many subscribers. SQLite keeps the set of an IN sorted, so each subscription appears
/// once and in order.
macro_rules! select_many {
    ($owner:expr, $positions:expr, $condition:expr) => {
        concat!(
            subscribers_from!($owner, ""),
            with_secrets!(),
            " WHERE s.seq IN (",
            $positions,
            ")",
            $condition,
            " ORDER BY s.seq, k.serial DESC"
        )
    };
}

/// For a few subscribers, sorting the rows is faster than building that set. A subscription appears
/// once for each of its patterns.
macro_rules! select_few {
    ($owner:expr, $positions:expr, $condition:expr) => {
        concat!(
            subscribers_from!($owner, concat!("(", $positions, ") AS m CROSS JOIN ")),
            " ON s.seq = m.seq",
            with_secrets!(),
            " WHERE TRUE",
            $condition,
            " ORDER BY s.seq, k.serial DESC"
        )
    };
}

/// Picks the statement for a scope. A row whose owner was edited by hand in one place only is not
/// read.
macro_rules! for_scope {
    ($scope:expr, $select:ident) => {
        match $scope {
            Scope::NoOwner => $select!("0", no_owner_positions!(), " AND s.owner = 0"),
            Scope::Owner(_) => $select!(
                "0",
                owner_positions!(),
                " AND s.owner = (SELECT id FROM _webhook_registry_owner WHERE name = ?2)"
            ),
            Scope::Every => $select!(owner_name!(), positions!(), ""),
        }
    };
}

/// Selects one subscription by its id, whatever its patterns are.
const SELECT_ONE: &str = concat!(
    subscribers_from!(owner_name!(), ""),
    with_secrets!(),
    " WHERE s.seq = (SELECT seq FROM _webhook_registry_subscription WHERE id = ?3) AND ",
    in_scope!(),
    " ORDER BY k.serial DESC"
);

/// Selects the patterns of subscriptions by which they get an event, or would get it if they were
/// enabled.
macro_rules! routes {
    ($from:expr, $conditions:expr) => {
        concat!(
            "SELECT s.seq, s.id, s.name, s.enabled, \
                    (SELECT text FROM _webhook_registry_pattern WHERE id = r.pattern), ",
            owner_name!(),
            " FROM ",
            $from,
            " CROSS JOIN _webhook_registry_subscription s \
             INDEXED BY _webhook_registry_subscription_seq ON s.seq = r.subscription \
             WHERE ",
            $conditions,
            " ORDER BY s.seq, r.position"
        )
    };
}

/// The patterns that match the event, and the subscriptions that have them.
macro_rules! followed {
    () => {
        "_webhook_registry_expansion x INDEXED BY sqlite_autoindex__webhook_registry_expansion_1 \
         CROSS JOIN _webhook_registry_subscription_pattern r \
         INDEXED BY _webhook_registry_subscription_pattern_route ON r.pattern = x.pattern"
    };
}

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
    pub(crate) patterns: Vec<EventPattern>,
}

impl Read<'_> {
    /// Prepares the statement for about this many subscribers; 0 where nothing is known.
    pub(crate) fn subscriber_query(&self, expected: usize) -> Result<SubscriberQuery<'_>> {
        let repeats = (1..=FEW).contains(&expected);
        let sql = if repeats {
            for_scope!(self.scope, select_few)
        } else {
            for_scope!(self.scope, select_many)
        };
        let statement = self.conn.prepare_cached(sql).map_sqlite_err()?;
        Ok(SubscriberQuery { read: self, statement, repeats, by_id: false })
    }

    /// Prepares the statement for one subscription of the scope. Its rows are those of an id.
    pub(crate) fn subscriber_query_by_id(&self) -> Result<SubscriberQuery<'_>> {
        let statement = self.conn.prepare_cached(SELECT_ONE).map_sqlite_err()?;
        Ok(SubscriberQuery { read: self, statement, repeats: false, by_id: true })
    }

    /// Returns every subscription of the scope with a pattern that matches this event type, in the
    /// order of ids, with those patterns in their order.
    pub(crate) fn routes(&self, event_type: &str) -> Result<Vec<RouteRow>> {
        let sql = if *self.scope == Scope::Every {
            routes!(
                followed!(),
                "?1 IS NULL AND x.event_type = (SELECT id FROM \
                _webhook_registry_event_type WHERE name = ?2)"
            )
        } else if self.starts_with_event(event_type)? {
            routes!(
                followed!(),
                concat!(
                    "x.event_type = (SELECT id FROM _webhook_registry_event_type WHERE name = ?2) \
                 AND r.owner = ",
                    owner_row_beside!(),
                    " AND s.owner = r.owner"
                )
            )
        } else {
            routes!(
                "_webhook_registry_subscription_pattern r \
                 INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1",
                concat!(
                    "r.owner = ",
                    owner_row!(),
                    " AND s.owner = r.owner AND \
                     (SELECT 1 FROM _webhook_registry_expansion WHERE event_type = \
                      (SELECT id FROM _webhook_registry_event_type WHERE name = ?2) \
                      AND pattern = r.pattern)"
                )
            )
        };
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
                None => routes.push(RouteRow {
                    id,
                    owner: owner_of(row, 5, id)?.map(Into::into),
                    name: name_of(row, 2, id)?.to_owned(),
                    enabled: decode_flag(row, 3)?,
                    patterns: vec![pattern],
                }),
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
