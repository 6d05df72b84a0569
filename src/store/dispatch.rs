//! The join that everything is for: event type, the patterns that cover it, the subscriptions that have them.

use std::collections::BTreeMap;

use rusqlite::Row;

use super::Read;
use super::fault::OrFault as _;
use super::rows::{decode_flag, decode_id, decode_pattern, metadata_of};
use super::secrets::secret_columns;
use crate::error::Result;
use crate::id::SubscriptionId;
use crate::pattern::EventPattern;
use crate::secret::IssuedSecret;

/// One enabled subscription that gets an event.
pub(crate) struct Recipient {
    pub(crate) id: SubscriptionId,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) metadata: BTreeMap<String, String>,
    /// Newest first, also those that have expired.
    pub(crate) secrets: Vec<IssuedSecret>,
}

/// One subscription with the patterns by which it gets an event, or would if it were enabled.
pub(crate) struct Routed {
    pub(crate) id: SubscriptionId,
    pub(crate) name: String,
    pub(crate) enabled: bool,
    pub(crate) patterns: Vec<EventPattern>,
}

impl Read<'_> {
    /// Who gets this event, in id order, each with its place in the file. Empty also where the catalog does not know it.
    ///
    /// What `known` has for a place is taken instead of the row.
    pub(crate) fn recipients<T>(
        &self,
        event_type: &str,
        known: impl Fn(i64) -> Option<T>,
        make: impl Fn(Recipient) -> T,
    ) -> Result<Vec<(i64, T)>> {
        // The set of an IN is kept sorted, so the subscriptions come in order and once each.
        let mut statement = self
            .conn
            .prepare_cached(concat!(
                "SELECT s.seq, s.id, s.name, s.url, s.metadata, ",
                secret_columns!(),
                " \
                   FROM subscription s LEFT JOIN secret k ON k.subscription = s.seq \
                  WHERE s.seq IN (SELECT r.subscription \
                                    FROM expansion x \
                                    JOIN subscription_pattern r ON r.pattern = x.pattern AND r.enabled = 1 \
                                   WHERE x.event_type = (SELECT id FROM event_type WHERE name = ?1)) \
                  ORDER BY s.seq, k.serial DESC"
            ))
            .or_fault()?;
        let mut rows = statement.query([event_type]).or_fault()?;
        let mut list = Vec::new();
        let mut begun: Option<(i64, Recipient)> = None;
        while let Some(row) = rows.next().or_fault()? {
            let place: i64 = row.get(0).or_fault()?;
            match &mut begun {
                Some((same, recipient)) if *same == place => {
                    recipient.secrets.push(self.issued(row, 5, recipient.id)?);
                    continue;
                }
                begun => list.extend(begun.take().map(|(place, recipient)| (place, make(recipient)))),
            }
            if list.last().is_some_and(|(last, _)| *last == place) {
                continue;
            }
            match known(place) {
                Some(known) => list.push((place, known)),
                None => begun = Some((place, self.recipient(row)?)),
            }
        }
        list.extend(begun.map(|(place, recipient)| (place, make(recipient))));
        Ok(list)
    }

    /// The first row of a recipient, with its newest secret.
    fn recipient(&self, row: &Row<'_>) -> Result<Recipient> {
        let id = decode_id(&row.get::<_, String>(1).or_fault()?)?;
        Ok(Recipient {
            id,
            name: row.get(2).or_fault()?,
            url: row.get(3).or_fault()?,
            metadata: metadata_of(row, 4, id)?,
            secrets: vec![self.issued(row, 5, id)?],
        })
    }

    /// Every subscription with a pattern that covers this event, in id order, with those patterns in theirs.
    pub(crate) fn routes(&self, event_type: &str) -> Result<Vec<Routed>> {
        let mut statement = self
            .conn
            .prepare_cached(
                "SELECT s.id, s.name, s.enabled, p.text \
                   FROM expansion x JOIN subscription_pattern r ON r.pattern = x.pattern \
                   JOIN subscription s ON s.seq = r.subscription LEFT JOIN pattern p ON p.id = r.pattern \
                  WHERE x.event_type = (SELECT id FROM event_type WHERE name = ?1) \
                  ORDER BY s.seq, r.position",
            )
            .or_fault()?;
        let mut rows = statement.query([event_type]).or_fault()?;
        let mut routes: Vec<Routed> = Vec::new();
        while let Some(row) = rows.next().or_fault()? {
            let id = decode_id(&row.get::<_, String>(0).or_fault()?)?;
            let pattern = decode_pattern(row, 3)?;
            match routes.last_mut().filter(|routed| routed.id == id) {
                Some(routed) => routed.patterns.push(pattern),
                None => routes.push(Routed {
                    id,
                    name: row.get(1).or_fault()?,
                    enabled: decode_flag(row, 2)?,
                    patterns: vec![pattern],
                }),
            }
        }
        Ok(routes)
    }
}
