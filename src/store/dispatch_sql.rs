//! The SQL of dispatch: which subscriptions get an event, for each scope.
//!
//! The texts are as short as they can be, because the cache of statements hashes them at each call.

use crate::scope::Scope;

/// The ways in which the positions of subscribers are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the patterns that match the event to the subscriptions that have them.
    FromEvent,
    /// From the subscriptions of the owner, by testing each of their patterns.
    FromOwner,
}

/// The patterns that match the event `?1`, and the rows of the subscriptions that have them.
///
/// Every condition on `r` depends on `x`: `x.pattern = x.pattern` is a 1, and `<>` a 0. With a
/// condition on `r` alone, some statistics make SQLite read the whole index first, to build a Bloom
/// filter.
macro_rules! from_event {
    ($join:literal $(, $owner:literal)?) => {
        concat!(
            "FROM _webhook_registry_expansion x \
             INDEXED BY sqlite_autoindex__webhook_registry_expansion_1 ",
            $join,
            " JOIN _webhook_registry_subscription_pattern r \
             INDEXED BY _webhook_registry_subscription_pattern_route ON r.pattern=x.pattern",
            $(" AND r.owner=", $owner,)?
            " AND r.enabled=(x.pattern=x.pattern) WHERE x.event_type=?1 AND ?2"
        )
    };
}

/// The condition that a pattern of the row `r` is enabled and matches the event `?1`. The argument
/// is a 1.
macro_rules! matches_event {
    ($one:literal) => {
        concat!(
            "r.enabled=",
            $one,
            " AND (SELECT 1 FROM _webhook_registry_expansion WHERE event_type=?1 \
             AND pattern=r.pattern)"
        )
    };
}

/// A last row without values. While it has been read and the statement is still open, the snapshot
/// of the positions holds for the rows that are looked up next.
macro_rules! end {
    () => {
        " UNION ALL SELECT NULL,NULL"
    };
}

/// Returns the statement that selects the positions and owners of the subscriptions of a scope that
/// get the event `?1`. The owner is `?3`, for a scope of one.
///
/// From the owner, it finds nothing if the owner has `?2` subscriptions or more. From the event and
/// without an owner, each pattern that only others have gives a row without a position, so that the
/// caller can count these.
pub(super) fn positions(scope: &Scope, way: Way) -> &'static str {
    match (scope, way) {
        (Scope::Every, _) => {
            concat!("SELECT r.subscription,r.owner ", from_event!("CROSS"), end!())
        }
        (Scope::NoOwner, Way::FromEvent) => concat!(
            "SELECT r.subscription,0 ",
            from_event!("LEFT", "(x.pattern<>x.pattern)"),
            end!()
        ),
        (Scope::NoOwner, Way::FromOwner) => concat!(
            "SELECT r.subscription,0 FROM _webhook_registry_subscription_pattern r \
             INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1 \
             WHERE r.owner=0 AND ?2 AND ",
            matches_event!("1"),
            end!()
        ),
        (Scope::Owner(_), Way::FromEvent) => concat!(
            "SELECT r.subscription,r.owner ",
            from_event!(
                "CROSS",
                "iif(x.pattern=x.pattern,(SELECT id FROM _webhook_registry_owner WHERE name=?3),0)"
            ),
            end!()
        ),
        (Scope::Owner(_), Way::FromOwner) => concat!(
            "SELECT r.subscription,r.owner FROM _webhook_registry_owner o \
             INDEXED BY sqlite_autoindex__webhook_registry_owner_1 \
             CROSS JOIN _webhook_registry_subscription_pattern r \
             INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1 \
             ON r.owner=o.id WHERE o.name=?3 AND o.subscriptions<?2 AND ",
            matches_event!("(o.id=o.id)"),
            end!()
        ),
    }
}

/// Selects the values of the subscribers that a condition names.
macro_rules! subscriber {
    ($from:literal, $where:literal) => {
        concat!(
            "SELECT s.seq,s.id,s.owner,s.name,s.url,s.enabled,s.metadata,",
            secret_columns!(),
            " FROM _webhook_registry_subscription s ",
            $from,
            "WHERE s.seq",
            $where
        )
    };
    ($seq:literal) => {
        subscriber!("", $seq)
    };
}

/// Repeats the selection of a subscriber by its position.
///
/// A look-up by a single position needs no index by name: whatever the statistics are, SQLite goes
/// to the row. In a join it can scan the table instead.
macro_rules! subscribers {
    ($($seq:literal)*) => {
        concat!(subscriber!("=?1"), $(" UNION ALL ", subscriber!($seq)),*)
    };
}

use super::secrets::secret_columns;

/// Selects one subscriber by its position.
pub(super) const ONE: &str = subscriber!("=?1");

/// Selects every subscription from a position on, in the order of the table. Some statistics make
/// SQLite begin at the first row. With an `ORDER BY`, they would make older versions sort.
pub(super) const FROM: &str = subscriber!("NOT INDEXED ", ">=?1");

/// Selects one subscriber by its id.
pub(super) const BY_ID: &str =
    subscriber!("=(SELECT seq FROM _webhook_registry_subscription WHERE id=?1)");

/// The number of positions of [`SEVERAL`].
pub(super) const BATCH: usize = 16;

/// Selects several subscribers by their positions, in the order of the parameters.
pub(super) const SEVERAL: &str = subscribers!(
    "=?2" "=?3" "=?4" "=?5" "=?6" "=?7" "=?8" "=?9" "=?10" "=?11" "=?12" "=?13" "=?14" "=?15" "=?16"
);

/// Selects the patterns by which subscriptions get an event, or would get it if they were enabled:
/// the subscription, its owner and the pattern. The parameters are the event `?1` and the owner
/// `?2`.
pub(super) fn routes(scope: &Scope, way: Way) -> &'static str {
    macro_rules! routes {
        ($($from:expr),*) => {
            concat!(
                "SELECT r.subscription,r.owner,\
                 (SELECT text FROM _webhook_registry_pattern WHERE id=r.pattern) FROM ",
                $($from),*
            )
        };
    }
    macro_rules! followed {
        ($owner:expr) => {
            concat!(
                "_webhook_registry_expansion x \
                 INDEXED BY sqlite_autoindex__webhook_registry_expansion_1 \
                 CROSS JOIN _webhook_registry_subscription_pattern r \
                 INDEXED BY _webhook_registry_subscription_pattern_route ON r.pattern=x.pattern \
                 AND ",
                $owner,
                " WHERE x.event_type=?1"
            )
        };
    }
    match (scope, way) {
        (Scope::Every, _) => routes!(followed!("?2 IS NULL")),
        (Scope::NoOwner, Way::FromEvent) => {
            routes!(followed!("r.owner=iif(x.pattern=x.pattern,0,?2)"))
        }
        (Scope::Owner(_), Way::FromEvent) => routes!(followed!(
            "r.owner=iif(x.pattern=x.pattern,\
             (SELECT id FROM _webhook_registry_owner WHERE name=?2),0)"
        )),
        (Scope::NoOwner | Scope::Owner(_), Way::FromOwner) => routes!(
            "_webhook_registry_subscription_pattern r \
             INDEXED BY sqlite_autoindex__webhook_registry_subscription_pattern_1 \
             WHERE r.owner=\
             iif(?2 IS NULL,0,(SELECT id FROM _webhook_registry_owner WHERE name=?2)) \
             AND (SELECT 1 FROM _webhook_registry_expansion WHERE event_type=?1 \
             AND pattern=r.pattern)"
        ),
    }
}
