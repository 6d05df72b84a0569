//! From rows to values and back. What does not decode is damage, never a default.

use std::collections::BTreeMap;

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
use rusqlite::types::ValueRef;
use rusqlite::{Row, Rows};

use super::error::{MapSqliteErr as _, fault};
use crate::error::{Error, Problem, Result};
use crate::id::SubscriptionId;
use crate::json;
use crate::pattern::EventPattern;
use crate::subscription::{StoredParts, Subscription, SubscriptionFields, check_metadata};
use crate::time::Millis;

/// What the longest page of a list takes, and one more, which tells that there is a next.
const PAGE: usize = 1_001;

/// Turns rows, one a pattern, into subscriptions.
pub(super) struct Decoder<'r> {
    rows: Rows<'r>,
    /// The place of the subscription that the current row begins. None behind the last.
    begins: Option<i64>,
    /// Whether a subscription that breaks a rule is damage.
    judges: bool,
}

impl<'r> Decoder<'r> {
    pub(super) fn new(rows: Rows<'r>) -> Result<Decoder<'r>> {
        let mut decoder = Decoder { rows, begins: None, judges: true };
        decoder.begins = decoder.rows.next().map_sqlite_err()?.map(place).transpose()?;
        Ok(decoder)
    }

    /// Leaves the rules to the caller, who tells of each that is broken.
    pub(super) fn without_rules(rows: Rows<'r>) -> Result<Decoder<'r>> {
        Ok(Decoder { judges: false, ..Decoder::new(rows)? })
    }

    pub(super) fn next(&mut self) -> Result<Option<(i64, Subscription)>> {
        let Some((seq, mut subscription)) = self.begun()? else {
            return Ok(None);
        };
        self.go_on(seq, &mut subscription)?;
        Ok(Some((seq, subscription)))
    }

    /// At most `most` of the next that are `wanted`.
    pub(super) fn page(
        mut self,
        most: usize,
        wanted: impl Fn(&Subscription) -> bool,
    ) -> Result<Vec<Subscription>> {
        // A page's worth: `most` can be all that there are.
        let mut page = Vec::with_capacity(most.min(PAGE));
        while page.len() < most {
            let Some((seq, subscription)) = self.begun()? else {
                break;
            };
            // Its patterns are added where it stays: it is too large to be handed on for nothing.
            page.push(subscription);
            if let Some(last) = page.last_mut() {
                self.go_on(seq, last)?;
            }
            page.pop_if(|last| !wanted(last));
        }
        Ok(page)
    }

    /// The subscription that the current row begins, with its first pattern.
    fn begun(&self) -> Result<Option<(i64, Subscription)>> {
        let row = self.begins.and_then(|seq| Some((seq, self.rows.get()?)));
        row.map(|(seq, row)| Ok((seq, decode(row)?))).transpose()
    }

    /// Adds the patterns of the rows that follow, as far as they belong to it.
    fn go_on(&mut self, seq: i64, subscription: &mut Subscription) -> Result<()> {
        self.begins = None;
        while let Some(row) = self.rows.next().map_sqlite_err()? {
            let of = place(row)?;
            if of != seq {
                self.begins = Some(rising(seq, of)?);
                break;
            }
            subscription.fields.events.push(decode_pattern(row, 10)?);
        }
        if self.judges { judge(subscription) } else { Ok(()) }
    }
}

/// Nothing leaves the file that no call would have let in.
fn judge(subscription: &Subscription) -> Result<()> {
    match StoredParts::from(subscription).faults().as_slice() {
        [] => Ok(()),
        [first, ..] => Err(breaks_a_rule(subscription.id, first)),
    }
}

pub(super) fn breaks_a_rule(id: SubscriptionId, problem: &Problem) -> Error {
    let (field, why) = (problem.field(), problem.message());
    Error::corrupt(format_args!(
        "the {field} of subscription {id} is none that a registry takes: {why}"
    ))
}

fn place(row: &Row<'_>) -> Result<i64> {
    row.get(0).map_sqlite_err()
}

/// Rejects a key that does not follow on the one before it.
///
/// SQLite seeks by binary search and then takes rows as they come. In a damaged file, what it returns as the rows after a
/// key can begin or go on before that key, and whoever reads page by page would never reach the end.
pub(super) fn rising<K: PartialOrd>(before: K, key: K) -> Result<K> {
    if key > before {
        Ok(key)
    } else {
        Err(Error::corrupt("rows that are not in the order of their keys"))
    }
}

/// The first row of a subscription, with its first pattern.
fn decode(row: &Row<'_>) -> Result<Subscription> {
    let id = id_of(row, 1)?;
    let text = |column, what| text_of(row, column, what, id).map(str::to_owned);
    let damaged = |what| Error::corrupt(format_args!("subscription {id} has {what}"));
    let time = |column| {
        let stored = row.get(column).map_sqlite_err()?;
        Millis::from_stored(stored).ok_or_else(|| damaged("a time that no registry writes"))
    };
    Ok(Subscription {
        id,
        fields: SubscriptionFields {
            name: text(2, "name")?,
            url: text(3, "url")?,
            events: vec![decode_pattern(row, 10)?],
            enabled: decode_flag(row, 4)?,
            description: description_of(row, 5, id)?.map(str::to_owned),
            metadata: metadata_of(row, 6, id)?,
        },
        created_at: time(7)?,
        updated_at: time(8)?,
        revision: match row.get(9).map_err(fault).and_then(counted)? {
            0 => return Err(damaged("the revision 0")),
            revision => revision,
        },
    })
}

pub(super) fn decode_pattern(row: &Row<'_>, column: usize) -> Result<EventPattern> {
    let text = row.get_ref(column).and_then(|text| Ok(text.as_str()?)).map_sqlite_err()?;
    EventPattern::stored(text)
        .map_err(|why| Error::corrupt(format_args!("a pattern that is none: {why}")))
}

/// rusqlite takes every number other than 0 for true.
pub(super) fn decode_flag(row: &Row<'_>, column: usize) -> Result<bool> {
    match row.get::<_, i64>(column).map_sqlite_err()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Error::corrupt(format_args!("{other} where 0 or 1 has to be"))),
    }
}

pub(super) fn decode_id(text: &str) -> Result<SubscriptionId> {
    let id = SubscriptionId::from_stored(text)
        .ok_or_else(|| Error::corrupt("a subscription id that is none"))?;
    if id.is_unreached() {
        return Err(Error::corrupt(format_args!(
            "the subscription id {id}, which no registry gives out"
        )));
    }
    Ok(id)
}

/// The id of a subscription.
pub(super) fn id_of(row: &Row<'_>, column: usize) -> Result<SubscriptionId> {
    decode_id(row.get_ref(column).and_then(|id| Ok(id.as_str()?)).map_sqlite_err()?)
}

/// A text of a subscription.
pub(super) fn text_of<'r>(
    row: &'r Row<'_>,
    column: usize,
    what: &str,
    id: SubscriptionId,
) -> Result<&'r str> {
    let not_text = |cause| {
        Error::corrupt(format_args!("the {what} of subscription {id} is no text"))
            .with_source(cause)
    };
    row.get_ref(column).map_sqlite_err()?.as_str().map_err(not_text)
}

/// The name of a subscription, where it alone is read.
pub(super) fn name_of<'r>(row: &'r Row<'_>, column: usize, id: SubscriptionId) -> Result<&'r str> {
    let name = text_of(row, column, "name", id)?;
    let parts = StoredParts { name: Some(name), ..StoredParts::default() };
    parts.faults().first().map_or(Ok(name), |problem| Err(breaks_a_rule(id, problem)))
}

/// The description of a subscription, where it has one.
pub(super) fn description_of<'r>(
    row: &'r Row<'_>,
    column: usize,
    id: SubscriptionId,
) -> Result<Option<&'r str>> {
    match row.get_ref(column).map_sqlite_err()? {
        ValueRef::Null => Ok(None),
        _ => text_of(row, column, "description", id).map(Some),
    }
}

/// The metadata of a subscription, which may break a rule.
pub(super) fn metadata_of(
    row: &Row<'_>,
    column: usize,
    id: SubscriptionId,
) -> Result<BTreeMap<String, String>> {
    let metadata = decode_metadata(text_of(row, column, "metadata", id)?);
    metadata.ok_or_else(|| {
        Error::corrupt(format_args!("subscription {id} has metadata that is no object of strings"))
    })
}

/// Metadata that keeps the rules.
pub(super) fn judged_metadata(text: &str) -> Result<BTreeMap<String, String>> {
    let metadata = decode_metadata(text)
        .ok_or_else(|| Error::corrupt("metadata that is no object of strings"))?;
    check_metadata(&metadata).map_err(|problem| {
        Error::corrupt(format_args!("metadata that no registry takes: {}", problem.message()))
    })?;
    Ok(metadata)
}

fn decode_metadata(text: &str) -> Option<BTreeMap<String, String>> {
    // Most have none.
    if text == "{}" { Some(BTreeMap::new()) } else { json::parse(text).ok() }
}

pub(super) fn encode_metadata(metadata: &BTreeMap<String, String>) -> Result<String> {
    serde_json::to_string(metadata)
        .map_err(|cause| Error::corrupt("metadata that is no JSON").with_source(cause))
}

pub(super) fn holds(
    metadata: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) -> bool {
    wanted.iter().all(|(key, value)| metadata.get(key) == Some(value))
}

pub(super) fn millis(time: Millis) -> Result<i64> {
    integer(time.get())
}

pub(super) fn integer(number: u64) -> Result<i64> {
    i64::try_from(number)
        .map_err(|cause| Error::corrupt("a number past SQLite's greatest").with_source(cause))
}

/// What no registry counts to: revisions, changes, rows. It leaves what SQLite can still count, so that a number which is
/// read can be followed by the next.
pub(super) const UNREACHED: i64 = 3 << 61;

/// A number that counts up.
pub(super) fn counted(stored: i64) -> Result<u64> {
    if stored < UNREACHED {
        natural(stored)
    } else {
        Err(Error::corrupt(format_args!("the number {stored}, to which no registry counts")))
    }
}

pub(super) fn natural(stored: i64) -> Result<u64> {
    u64::try_from(stored)
        .map_err(|cause| Error::corrupt("a negative number where none can be").with_source(cause))
}
