//! The SQL of dispatch, put together from parts: for each scope, and for few or many subscribers.

use super::owners::{in_scope, owner_name, owner_row, owner_row_beside};
use super::secrets::secret_columns;
use crate::scope::Scope;

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
pub(super) const SELECT_ONE: &str = concat!(
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
                    (SELECT text FROM _webhook_registry_pattern WHERE id = r.pattern), \
                    s.disabled_reason, ",
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

/// Returns the statement that selects the subscribers of an event in a scope, for few of them or
/// for many.
pub(super) fn subscribers(scope: &Scope, few: bool) -> &'static str {
    if few { for_scope!(scope, select_few) } else { for_scope!(scope, select_many) }
}

/// Returns the statement that selects the patterns by which subscriptions of a scope get an event.
pub(super) fn routes(scope: &Scope, starts_with_event: bool) -> &'static str {
    match (scope, starts_with_event) {
        (Scope::Every, _) => routes!(
            followed!(),
            "?1 IS NULL AND x.event_type = \
             (SELECT id FROM _webhook_registry_event_type WHERE name = ?2)"
        ),
        (Scope::NoOwner | Scope::Owner(_), true) => routes!(
            followed!(),
            concat!(
                "x.event_type = (SELECT id FROM _webhook_registry_event_type WHERE name = ?2) \
                 AND r.owner = ",
                owner_row_beside!(),
                " AND s.owner = r.owner"
            )
        ),
        (Scope::NoOwner | Scope::Owner(_), false) => routes!(
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
        ),
    }
}
