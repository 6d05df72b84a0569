use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, MapAccess};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::stored::Subscription;
use crate::error::{Error, Result};
use crate::id::SubscriptionId;
use crate::json::{self, JsonObject, key_names};

const DEFAULT_LIMIT: usize = 100;
pub(crate) const MAX_LIMIT: usize = 1_000;

/// A filter for subscriptions, with the position and the size of a page. All conditions have to
/// hold.
///
/// # JSON
///
/// The keys are `enabled`, `nameContains`, `eventType`, `metadata` (an object, all of whose entries
/// must match), `after` and `limit`. `null` equals absent. An unknown key is rejected.
/// [`from_json`](ListQuery::from_json) reports every fault, and `Deserialize` only the first.
///
/// `Deserialize` also reads the texts of a query string, such as `enabled=true&limit=10`. There an
/// empty text equals absent, and `metadata` cannot be given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct ListQuery {
    pub(crate) enabled: Option<bool>,
    pub(crate) name_contains: Option<String>,
    pub(crate) event_type: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) after: Option<SubscriptionId>,
    limit: Option<usize>,
}

impl ListQuery {
    /// Returns a query for all subscriptions, in pages of 100.
    pub fn new() -> ListQuery {
        ListQuery::default()
    }

    /// Reads a JSON document and reports every fault of its shape.
    ///
    /// A fault is a wrong type, a missing, unknown or repeated key, a document that is not an
    /// object, or text that is not JSON. The field of a [`Problem`](crate::Problem) is the key, or
    /// `body` for the last two. At most 1,000 problems are listed, and one more counts the rest. No
    /// message repeats a value. The values are validated by
    /// the call that takes them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) with a problem for each fault.
    pub fn from_json(document: &[u8]) -> Result<ListQuery> {
        json::from_slice(document)
    }

    /// Selects enabled subscriptions, or disabled ones.
    pub fn enabled(mut self, enabled: bool) -> ListQuery {
        self.enabled = Some(enabled);
        self
    }

    /// Selects subscriptions whose name contains this text, compared byte for byte. `%` and `_`
    /// have no special meaning.
    pub fn name_contains(mut self, text: impl Into<String>) -> ListQuery {
        self.name_contains = Some(text.into());
        self
    }

    /// Selects subscriptions with a pattern that matches this event type, also disabled ones. A
    /// name outside the catalog is [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub fn event_type(mut self, name: impl Into<String>) -> ListQuery {
        self.event_type = Some(name.into());
        self
    }

    /// Selects subscriptions with this entry in their metadata.
    ///
    /// Several calls select subscriptions with all of the entries. A later value for the same key
    /// replaces the earlier one.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> ListQuery {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Starts the page after this id, for example the [`next_cursor`](Page::next_cursor) of a page.
    /// The id need not exist any more.
    pub fn after(mut self, id: SubscriptionId) -> ListQuery {
        self.after = Some(id);
        self
    }

    /// Sets the maximum number of subscriptions in a page, 1 to 1,000. Default: 100.
    pub fn limit(mut self, limit: usize) -> ListQuery {
        self.limit = Some(limit);
        self
    }

    /// Returns the limit, or an `Invalid` error if it is out of range.
    pub(crate) fn checked_limit(&self) -> Result<usize> {
        check_limit(self.limit.unwrap_or(DEFAULT_LIMIT))
    }
}

/// Returns the limit of a page, of subscriptions or of changes, or an `Invalid` error if it is out
/// of range.
pub(crate) fn check_limit(limit: usize) -> Result<usize> {
    match limit {
        1..=MAX_LIMIT => Ok(limit),
        _ => Err(Error::invalid_field(
            "limit",
            format!("a limit is from 1 to {MAX_LIMIT}, not {limit}"),
        )),
    }
}

impl JsonObject for ListQuery {
    const KEYS: &'static [&'static str] = key_names::LIST_QUERY;
    const DENY_UNKNOWN_FIELDS: bool = true;

    fn take<'de, A: MapAccess<'de>>(
        &mut self,
        key: &'static str,
        value: json::Value<'_, A>,
    ) -> Result<(), A::Error> {
        match key {
            "enabled" => self.enabled = value.nullable_or_text()?,
            "nameContains" => self.name_contains = value.nullable_or_text()?,
            "eventType" => self.event_type = value.nullable_or_text()?,
            "metadata" => {
                let metadata: Option<BTreeMap<String, String>> = value.nullable_or_text()?;
                self.metadata = metadata.unwrap_or_default();
            }
            "after" => self.after = value.parsed(parse_id)?,
            _ => {
                self.limit = value
                    .nullable_or_text::<u64>()?
                    .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
            }
        }
        Ok(())
    }
}

fn parse_id(text: &str) -> Result<SubscriptionId, String> {
    text.parse()
        .map_err(|error: Error| error.problems().iter().map(|problem| problem.message()).collect())
}

impl<'de> Deserialize<'de> for ListQuery {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ListQuery, D::Error> {
        json::read(deserializer)
    }
}

/// A page of subscriptions, in the order of creation.
///
/// # JSON
///
/// `{"subscriptions": […]}`, and `next` if there are more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) more: bool,
}

impl Page {
    /// Returns the subscriptions of this page.
    pub fn subscriptions(&self) -> &[Subscription] {
        &self.subscriptions
    }

    /// Returns the cursor of the next page, for [`ListQuery::after`]. `None` on the last page.
    pub fn next_cursor(&self) -> Option<SubscriptionId> {
        self.subscriptions.last().filter(|_| self.more).map(Subscription::id)
    }
}

impl IntoIterator for Page {
    type Item = Subscription;
    type IntoIter = std::vec::IntoIter<Subscription>;

    fn into_iter(self) -> Self::IntoIter {
        self.subscriptions.into_iter()
    }
}

impl<'a> IntoIterator for &'a Page {
    type Item = &'a Subscription;
    type IntoIter = std::slice::Iter<'a, Subscription>;

    fn into_iter(self) -> Self::IntoIter {
        self.subscriptions.iter()
    }
}

impl Serialize for Page {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("subscriptions", &self.subscriptions)?;
        if let Some(next) = self.next_cursor() {
            object.serialize_entry("next", &next)?;
        }
        object.end()
    }
}
