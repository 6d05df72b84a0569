//! Decodes rows into values, and encodes values. A value that does not decode is damage, never a
//! default.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Row, Rows};

use super::error::{MapSqliteErr as _, sqlite_error};
use crate::error::{Error, Problem, Result};
use crate::id::SubscriptionId;
use crate::json;
use crate::pattern::EventPattern;
use crate::subscription::{
    StoredParts, Subscription, SubscriptionFields, check_disabled_reason, check_metadata,
    check_owner,
};
use crate::time::Millis;

/// The greatest length of a page, and one more, by which the caller knows that there is a next
/// page.
const PAGE: usize = 1_001;

/// Decodes subscriptions from rows, whose positions have to rise.
pub(super) struct Decoder<'r> {
    rows: Rows<'r>,
    /// The position of the last row. None before the first.
    last_seq: Option<i64>,
    /// True if a subscription that breaks a rule is damage.
    validates: bool,
    /// The owner of all rows. None where the last column has the name of each row's owner.
    owner: Option<Option<Arc<str>>>,
}

impl<'r> Decoder<'r> {
    pub(super) fn new(rows: Rows<'r>) -> Decoder<'r> {
        Decoder { rows, last_seq: None, validates: true, owner: None }
    }

    /// Creates a decoder for the rows of one owner, which have no column for its name.
    pub(super) fn of_owner(rows: Rows<'r>, owner: Option<&Arc<str>>) -> Decoder<'r> {
        Decoder { owner: Some(owner.cloned()), ..Decoder::new(rows) }
    }

    /// Creates a decoder that returns subscriptions even if they break a rule.
    pub(super) fn without_rules(rows: Rows<'r>) -> Decoder<'r> {
        Decoder { validates: false, ..Decoder::new(rows) }
    }

    pub(super) fn next(&mut self) -> Result<Option<(i64, Subscription)>> {
        let Some((seq, row)) = step(&mut self.rows, &mut self.last_seq)? else {
            return Ok(None);
        };
        let subscription = decode(row, self.owner.as_ref())?;
        if self.validates {
            valid_position(seq)?;
            validate(&subscription)?;
        }
        Ok(Some((seq, subscription)))
    }

    /// Returns at most `most` of the next subscriptions that are `wanted`.
    pub(super) fn page(
        mut self,
        most: usize,
        wanted: impl Fn(&Subscription) -> bool,
    ) -> Result<Vec<Subscription>> {
        // Not `most`, which can be the number of all subscriptions.
        let mut page = Vec::with_capacity(most.min(PAGE));
        while page.len() < most {
            let Some((seq, row)) = step(&mut self.rows, &mut self.last_seq)? else {
                break;
            };
            // It is validated in the vector, because the struct is too large to be moved for
            // nothing.
            page.push(decode(row, self.owner.as_ref())?);
            valid_position(seq)?;
            page.last().map_or(Ok(()), validate)?;
            page.pop_if(|last| !wanted(last));
        }
        Ok(page)
    }
}

/// Returns the next row with its position, which has to be greater than the last one.
#[inline]
fn step<'a>(
    rows: &'a mut Rows<'_>,
    last_seq: &mut Option<i64>,
) -> Result<Option<(i64, &'a Row<'a>)>> {
    let Some(row) = rows.next().map_sqlite_err()? else {
        return Ok(None);
    };
    let seq = row.get(0).map_sqlite_err()?;
    if let Some(last) = last_seq.replace(seq) {
        rising(last, seq)?;
    }
    Ok(Some((seq, row)))
}

/// Rejects a subscription that no call would have accepted.
fn validate(subscription: &Subscription) -> Result<()> {
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

/// Rejects a position below 1, which SQLite gives the first row. Pages begin after 0, so a walk
/// would pass such a row over.
#[inline]
pub(super) fn valid_position(position: i64) -> Result<i64> {
    if position >= 1 {
        Ok(position)
    } else {
        Err(Error::corrupt(format_args!("the row of a subscription has the number {position}")))
    }
}

/// Rejects a key that is not greater than the one before it.
///
/// SQLite seeks by binary search and then takes the rows in the order of the pages. In a damaged
/// file, the rows after a key can start or continue before that key, and a caller that reads page
/// by page would never reach the end.
pub(super) fn rising<K: PartialOrd>(before: K, key: K) -> Result<K> {
    if key > before {
        Ok(key)
    } else {
        Err(Error::corrupt("rows that are not in the order of their keys"))
    }
}

#[inline]
fn decode(row: &Row<'_>, owner: Option<&Option<Arc<str>>>) -> Result<Subscription> {
    let id = id_of(row, 1)?;
    let text = |column, what| Ok::<_, Error>(text_of(row, column, what, id)?.to_owned());
    let damaged = |what| Error::corrupt(format_args!("subscription {id} has {what}"));
    let decode_time = |stored| {
        Millis::from_stored(stored).ok_or_else(|| damaged("a time that no registry writes"))
    };
    let time = |column| decode_time(row.get(column).map_sqlite_err()?);
    let disabled_at: Option<i64> = row.get(12).map_sqlite_err()?;
    Ok(Subscription {
        id,
        owner: match owner {
            Some(owner) => owner.clone(),
            None => owner_of(row, 13, id)?.map(Into::into),
        },
        fields: SubscriptionFields {
            name: text(2, "name")?,
            url: text(3, "url")?,
            events: events_of(row, 10, id)?,
            enabled: decode_flag(row, 4)?,
            description: description_of(row, 5, id)?.map(str::to_owned),
            metadata: metadata_of(row, 6, id)?,
            disabled_reason: disabled_reason_of(row, 11, id)?.map(str::to_owned),
        },
        disabled_at: disabled_at.map(decode_time).transpose()?,
        created_at: time(7)?,
        updated_at: time(8)?,
        revision: match row.get(9).map_err(sqlite_error).and_then(counted)? {
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

/// Decodes the patterns of a subscription, which can break a rule. There is at least one.
pub(super) fn events_of(
    row: &Row<'_>,
    column: usize,
    id: SubscriptionId,
) -> Result<Vec<EventPattern>> {
    let text = text_of(row, column, "events", id)?;
    if text.is_empty() {
        return Err(Error::corrupt(format_args!("subscription {id} has no pattern")));
    }
    EventPattern::stored_list(text).map_err(|why| {
        Error::corrupt(format_args!("subscription {id} has a pattern that is none: {why}"))
    })
}

/// Encodes patterns, none of which has a space.
pub(super) fn encode_events(events: &[EventPattern]) -> String {
    let length = events.iter().map(|event| event.as_str().len().saturating_add(1)).sum();
    let mut text = String::with_capacity(length);
    for event in events {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(event.as_str());
    }
    text
}

/// Decodes 0 or 1. rusqlite would decode every other number as true.
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
    if id.is_reserved() {
        return Err(Error::corrupt(format_args!(
            "the subscription id {id}, which no registry gives out"
        )));
    }
    Ok(id)
}

/// Decodes the id of a subscription.
pub(super) fn id_of(row: &Row<'_>, column: usize) -> Result<SubscriptionId> {
    decode_id(row.get_ref(column).and_then(|id| Ok(id.as_str()?)).map_sqlite_err()?)
}

/// Decodes the owner of a subscription, which is 0 where there is none.
pub(super) fn owner_of<'r>(
    row: &'r Row<'_>,
    column: usize,
    id: SubscriptionId,
) -> Result<Option<&'r str>> {
    match row.get_ref(column).map_sqlite_err()? {
        ValueRef::Integer(0) => Ok(None),
        ValueRef::Text(_) => decode_owner(row, column).map(Some),
        _ => Err(Error::corrupt(format_args!("the owner of subscription {id} is missing"))),
    }
}

/// Decodes the name of an owner.
pub(super) fn decode_owner<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str> {
    check_owner_name(row.get_ref(column).and_then(|name| Ok(name.as_str()?)).map_sqlite_err()?)
}

/// Rejects the name of an owner that no registry takes.
pub(super) fn check_owner_name(name: &str) -> Result<&str> {
    check_owner(name)
        .map_err(|why| Error::corrupt(format_args!("an owner that no registry takes: {why}")))?;
    Ok(name)
}

/// Decodes a text of a subscription.
pub(super) fn text_of<'r>(
    row: &'r Row<'_>,
    column: usize,
    what: &str,
    id: SubscriptionId,
) -> Result<&'r str> {
    text_in(row.get_ref(column).map_sqlite_err()?, what, id)
}

fn text_in<'r>(value: ValueRef<'r>, what: &str, id: SubscriptionId) -> Result<&'r str> {
    value.as_str().map_err(|cause| {
        Error::corrupt(format_args!("the {what} of subscription {id} is no text"))
            .with_source(cause)
    })
}

/// Decodes and validates the name of a subscription, where only the name is read.
pub(super) fn name_of<'r>(row: &'r Row<'_>, column: usize, id: SubscriptionId) -> Result<&'r str> {
    let name = text_of(row, column, "name", id)?;
    let parts = StoredParts { name: Some(name), ..StoredParts::default() };
    parts.faults().first().map_or(Ok(name), |problem| Err(breaks_a_rule(id, problem)))
}

/// Decodes the description of a subscription, if it has one.
pub(super) fn description_of<'r>(
    row: &'r Row<'_>,
    column: usize,
    id: SubscriptionId,
) -> Result<Option<&'r str>> {
    optional_text_of(row, column, "description", id)
}

/// Decodes and validates the reason of a subscription, where its other fields are not read.
pub(super) fn valid_reason<'r>(
    row: &'r Row<'_>,
    column: usize,
    id: SubscriptionId,
    enabled: bool,
) -> Result<Option<&'r str>> {
    let reason = disabled_reason_of(row, column, id)?;
    let fault = reason.and_then(|reason| check_disabled_reason(reason, enabled).err());
    fault.map_or(Ok(reason), |why| Err(breaks_a_rule(id, &Problem::new("disabledReason", why))))
}

/// Decodes the reason why a subscription is disabled, if it has one.
pub(super) fn disabled_reason_of<'r>(
    row: &'r Row<'_>,
    column: usize,
    id: SubscriptionId,
) -> Result<Option<&'r str>> {
    optional_text_of(row, column, "disabledReason", id)
}

fn optional_text_of<'r>(
    row: &'r Row<'_>,
    column: usize,
    what: &str,
    id: SubscriptionId,
) -> Result<Option<&'r str>> {
    match row.get_ref(column).map_sqlite_err()? {
        ValueRef::Null => Ok(None),
        value => text_in(value, what, id).map(Some),
    }
}

/// Decodes the metadata of a subscription, which can break a rule.
pub(super) fn metadata_of(
    row: &Row<'_>,
    column: usize,
    id: SubscriptionId,
) -> Result<BTreeMap<String, String>> {
    let text = match row.get_ref(column).map_sqlite_err()? {
        ValueRef::Null => return Ok(BTreeMap::new()),
        value => text_in(value, "metadata", id)?,
    };
    decode_metadata(text).ok_or_else(|| {
        Error::corrupt(format_args!("subscription {id} has metadata that is no object of strings"))
    })
}

/// Decodes and validates metadata, where nothing else of a subscription is read.
pub(super) fn metadata_in(row: &Row<'_>, column: usize) -> Result<BTreeMap<String, String>> {
    let text = row.get_ref(column).and_then(|text| Ok(text.as_str_or_null()?));
    let Some(text) = text.map_sqlite_err()? else {
        return Ok(BTreeMap::new());
    };
    let metadata = decode_metadata(text)
        .ok_or_else(|| Error::corrupt("metadata that is no object of strings"))?;
    check_metadata(&metadata).map_err(|problem| {
        Error::corrupt(format_args!("metadata that no registry takes: {}", problem.message()))
    })?;
    Ok(metadata)
}

fn decode_metadata(text: &str) -> Option<BTreeMap<String, String>> {
    json::parse(text).ok()
}

/// Encodes metadata. None where there is none, as for most subscriptions.
pub(super) fn encode_metadata(metadata: &BTreeMap<String, String>) -> Result<Option<String>> {
    if metadata.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(metadata)
        .map(Some)
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

/// A number that no registry reaches by counting revisions, changes or rows. SQLite can still count
/// on from it, so that every number below it has a successor.
pub(super) const UNREACHED: i64 = 3 << 61;

/// Decodes a number of a counter.
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
