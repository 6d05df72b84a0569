//! The join that everything is for: event type, the patterns that cover it, the subscriptions that have them.

use std::collections::BTreeMap;

use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::error::MapSqliteErr as _;
use super::rows::{
    breaks_a_rule, decode_flag, decode_pattern, id_of, metadata_of, name_of, text_of,
};
use super::secrets::{is_still, secret_columns};
use super::transaction::Read;
use crate::error::Result;
use crate::id::SubscriptionId;
use crate::pattern::EventPattern;
use crate::secret::IssuedSecret;
use crate::subscription::check_recipient;

macro_rules! ask {
    ($($from:literal),*) => {
        concat!(
            "SELECT s.seq, s.id, s.name, s.url, s.metadata, ",
            secret_columns!(),
            $($from,)*
            " ORDER BY s.seq, k.serial DESC"
        )
    };
}

/// `x.pattern = x.pattern` is a 1 that depends on `x`. Compared with a constant, some statistics make SQLite read the whole
/// index first, for a Bloom filter.
///
/// The set of an IN is kept sorted, so the subscriptions come in order and once each.
const ASK_MANY: &str = ask!(
    " FROM subscription s INDEXED BY subscription_seq \
     LEFT JOIN secret k INDEXED BY sqlite_autoindex_secret_1 ON k.subscription = s.seq \
     WHERE s.seq IN (SELECT r.subscription \
                       FROM expansion x INDEXED BY sqlite_autoindex_expansion_1 \
                       CROSS JOIN subscription_pattern r INDEXED BY subscription_pattern_route \
                         ON r.pattern = x.pattern AND r.enabled = (x.pattern = x.pattern) \
                      WHERE x.event_type = (SELECT id FROM event_type WHERE name = ?1))"
);
/// For a few a sort of the rows takes less than that set. A subscription comes once for each of its patterns.
const ASK_FEW: &str = ask!(
    " FROM expansion x INDEXED BY sqlite_autoindex_expansion_1 \
     CROSS JOIN subscription_pattern r INDEXED BY subscription_pattern_route \
       ON r.pattern = x.pattern AND r.enabled = (x.pattern = x.pattern) \
     CROSS JOIN subscription s INDEXED BY subscription_seq ON s.seq = r.subscription \
     LEFT JOIN secret k INDEXED BY sqlite_autoindex_secret_1 ON k.subscription = s.seq \
     WHERE x.event_type = (SELECT id FROM event_type WHERE name = ?1)"
);
/// How many subscribers an answer had when the next is asked for as one of a few.
const FEW: usize = 1_000;

/// The first column of a secret, in what is asked of recipients.
const SECRET: usize = 5;

/// One enabled subscription that gets an event.
pub(crate) struct Recipient {
    /// Where it lies in the file. It rises with the id.
    pub(crate) place: i64,
    pub(crate) id: SubscriptionId,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) metadata: BTreeMap<String, String>,
    /// Newest first, also those that have expired.
    pub(crate) secrets: Vec<IssuedSecret>,
}

/// What is made of a recipient, and kept.
pub(crate) trait Made: Clone {
    fn of(&self) -> &Recipient;
}

/// One subscription with the patterns by which it gets an event, or would if it were enabled.
pub(crate) struct Routed {
    pub(crate) id: SubscriptionId,
    pub(crate) name: String,
    pub(crate) enabled: bool,
    pub(crate) patterns: Vec<EventPattern>,
}

impl Read<'_> {
    /// Who gets this event, in id order. Empty also where the catalog does not know it.
    ///
    /// What `known` has for a place is taken instead of the row. What was answered `before` is taken where the rows say
    /// the same still: that spares the making of a hundred thousand when one has changed.
    pub(crate) fn recipients<T: Made>(
        &self,
        event_type: &str,
        known: impl Fn(i64) -> Option<T>,
        before: &[T],
        make: impl Fn(Recipient) -> T,
    ) -> Result<Vec<T>> {
        let few = (1..=FEW).contains(&before.len());
        let mut statement =
            self.conn.prepare_cached(if few { ASK_FEW } else { ASK_MANY }).map_sqlite_err()?;
        let mut rows = statement.query([event_type]).map_sqlite_err()?;
        let mut last = None;
        let mut before = before.iter().peekable();
        let mut list: Vec<T> = Vec::with_capacity(before.len());
        let mut begun: Option<Begun<'_, T>> = None;
        while let Some(row) = rows.next().map_sqlite_err()? {
            let place: i64 = row.get(0).map_sqlite_err()?;
            if few {
                // By another pattern of the same subscription.
                let this = Some((place, row.get::<_, Option<i64>>(SECRET).map_sqlite_err()?));
                if last == this {
                    continue;
                }
                last = this;
            }
            match begun.take() {
                Some(same) if same.place() == place => {
                    begun = Some(same.and(self, row)?);
                    continue;
                }
                other => list.extend(other.map(|other| other.end(&make))),
            }
            if list.last().is_some_and(|last| last.of().place == place) {
                continue;
            }
            if let Some(known) = known(place) {
                list.push(known);
                continue;
            }
            while before.next_if(|earlier| earlier.of().place < place).is_some() {}
            let earlier = before.next_if(|earlier| earlier.of().place == place);
            begun = Some(match earlier {
                Some(earlier) if still_says(earlier.of(), row)? => Begun::Unchanged(earlier, 1),
                _ => Begun::New(self.recipient(place, row)?),
            });
        }
        list.extend(begun.map(|begun| begun.end(&make)));
        Ok(list)
    }

    /// The first row of a recipient, with its newest secret.
    fn recipient(&self, place: i64, row: &Row<'_>) -> Result<Recipient> {
        let id = id_of(row, 1)?;
        let (name, url) = (text_of(row, 2, "name", id)?, text_of(row, 3, "url", id)?);
        let metadata = metadata_of(row, 4, id)?;
        check_recipient(name, url, &metadata).map_err(|problem| breaks_a_rule(id, &problem))?;
        Ok(Recipient {
            place,
            id,
            name: name.to_owned(),
            url: url.to_owned(),
            metadata,
            secrets: vec![self.issued(row, SECRET, id)?],
        })
    }

    /// Every subscription with a pattern that covers this event, in id order, with those patterns in theirs.
    pub(crate) fn routes(&self, event_type: &str) -> Result<Vec<Routed>> {
        let mut statement = self
            .conn
            .prepare_cached(
                "SELECT s.id, s.name, s.enabled, (SELECT text FROM pattern WHERE id = r.pattern) \
                   FROM expansion x INDEXED BY sqlite_autoindex_expansion_1 \
                   CROSS JOIN subscription_pattern r INDEXED BY subscription_pattern_route ON r.pattern = x.pattern \
                   CROSS JOIN subscription s INDEXED BY subscription_seq ON s.seq = r.subscription \
                  WHERE x.event_type = (SELECT id FROM event_type WHERE name = ?1) \
                  ORDER BY s.seq, r.position",
            )
            .map_sqlite_err()?;
        let mut rows = statement.query([event_type]).map_sqlite_err()?;
        let mut routes: Vec<Routed> = Vec::new();
        while let Some(row) = rows.next().map_sqlite_err()? {
            let id = id_of(row, 0)?;
            let pattern = decode_pattern(row, 3)?;
            match routes.last_mut().filter(|routed| routed.id == id) {
                Some(routed) => routed.patterns.push(pattern),
                None => routes.push(Routed {
                    id,
                    name: name_of(row, 1, id)?.to_owned(),
                    enabled: decode_flag(row, 2)?,
                    patterns: vec![pattern],
                }),
            }
        }
        Ok(routes)
    }
}

/// A recipient of which some rows were read, one a secret.
enum Begun<'b, T> {
    New(Recipient),
    /// As far as so many secrets it is what it was.
    Unchanged(&'b T, usize),
}

impl<T: Made> Begun<'_, T> {
    fn place(&self) -> i64 {
        match self {
            Begun::New(recipient) => recipient.place,
            Begun::Unchanged(earlier, _) => earlier.of().place,
        }
    }

    /// With the secret of one more row.
    fn and(self, read: &Read<'_>, row: &Row<'_>) -> Result<Self> {
        match self {
            Begun::Unchanged(earlier, secrets)
                if is_still(row, SECRET, earlier.of().secrets.get(secrets))? =>
            {
                Ok(Begun::Unchanged(earlier, secrets.saturating_add(1)))
            }
            changed => {
                let mut recipient = changed.recipient();
                recipient.secrets.push(read.issued(row, SECRET, recipient.id)?);
                Ok(Begun::New(recipient))
            }
        }
    }

    fn end(self, make: impl Fn(Recipient) -> T) -> T {
        match self {
            Begun::Unchanged(earlier, secrets) if secrets == earlier.of().secrets.len() => {
                earlier.clone()
            }
            changed => make(changed.recipient()),
        }
    }

    fn recipient(self) -> Recipient {
        match self {
            Begun::New(recipient) => recipient,
            Begun::Unchanged(earlier, secrets) => {
                let Recipient { place, id, name, url, metadata, secrets: all } = earlier.of();
                Recipient {
                    place: *place,
                    id: *id,
                    name: name.clone(),
                    url: url.clone(),
                    metadata: metadata.clone(),
                    secrets: all.iter().take(secrets).cloned().collect(),
                }
            }
        }
    }
}

/// Whether the first row of a recipient says what it said before.
fn still_says(earlier: &Recipient, row: &Row<'_>) -> Result<bool> {
    let Recipient { place: _, id, name, url, metadata, secrets } = earlier;
    let same = |column, text: &str| {
        Ok(row.get_ref(column).map_sqlite_err()? == ValueRef::Text(text.as_bytes()))
    };
    Ok(same(2, name)?
        && same(3, url)?
        && is_still(row, SECRET, secrets.first())?
        && id_of(row, 1)? == *id
        && metadata_of(row, 4, *id)? == *metadata)
}
