use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use ulid::Ulid;

use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::time::Millis;

/// The id of a subscription: a [ULID](https://github.com/ulid/spec), written as 26 characters of
/// Crockford's base 32.
///
/// Ids of a file increase strictly, also after deletions, so their order is the order of creation.
/// Parsing accepts upper and lower case. `Display` writes upper case.
///
/// ```
/// use webhook_registry::SubscriptionId;
///
/// let id: SubscriptionId = "01K9V3T0Z2B4C6D8E0F2G4H6J8".parse()?;
/// assert_eq!(id.to_string(), "01K9V3T0Z2B4C6D8E0F2G4H6J8");
/// # Ok::<(), webhook_registry::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(Ulid);

impl SubscriptionId {
    /// Returns the time of creation, by the registry's clock. If the clock had stepped back, this
    /// is the time of the previous id, because ids increase.
    pub fn timestamp(&self) -> SystemTime {
        std::time::UNIX_EPOCH
            .checked_add(std::time::Duration::from_millis(self.0.timestamp_ms()))
            .unwrap_or(std::time::UNIX_EPOCH)
    }

    /// Parses an id as the file stores it. An id in lower case is none, because no look-up would
    /// find its row.
    pub(crate) fn from_stored(text: &str) -> Option<SubscriptionId> {
        let lower = text.bytes().fold(false, |lower, byte| lower | byte.is_ascii_lowercase());
        if lower { None } else { text.parse().ok() }
    }

    /// The number of characters of an id.
    pub(crate) const LENGTH: usize = ulid::ULID_LEN;

    /// Returns the id as the file stores it.
    pub(crate) fn text(self, buffer: &mut [u8; SubscriptionId::LENGTH]) -> &str {
        self.0.array_to_str(buffer)
    }

    /// The number of random bytes in a new id.
    pub(crate) const RANDOM: usize = 10;

    /// The greatest time of an id, in milliseconds since 1970. It is in the year 10889.
    const LAST_MILLISECOND: u64 = (1 << 48) - 1;

    /// Returns whether the id has the last millisecond. No registry creates such an id, and
    /// possibly none could follow it.
    pub(crate) fn is_reserved(self) -> bool {
        self.0.timestamp_ms() == SubscriptionId::LAST_MILLISECOND
    }

    /// Returns whether at least 2^80 ids, those of a whole millisecond, lie between this id and the
    /// [reserved](Self::is_reserved) ones.
    pub(crate) fn can_be_followed(self) -> bool {
        self.0.timestamp_ms().saturating_add(1) < SubscriptionId::LAST_MILLISECOND
    }

    /// Returns a new id, or the successor of `last` if that is greater. So ids increase also when
    /// the clock steps back.
    pub(crate) fn next(
        now: Millis,
        random: [u8; SubscriptionId::RANDOM],
        last: Option<SubscriptionId>,
    ) -> Result<SubscriptionId> {
        let mut low = [0; 16];
        low[6..].copy_from_slice(&random);
        let new = Ulid::from_parts(now.get(), u128::from_be_bytes(low));
        let Some(SubscriptionId(last)) = last else {
            return Ok(SubscriptionId(new));
        };
        let after = last.0.checked_add(1).map(Ulid).ok_or_else(|| {
            Error::new(
                ErrorKind::Conflict,
                format!("no id can follow {last}, the greatest possible id"),
            )
        })?;
        Ok(SubscriptionId(new.max(after)))
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text(&mut [0; SubscriptionId::LENGTH]))
    }
}

impl fmt::Debug for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubscriptionId({self})")
    }
}

impl FromStr for SubscriptionId {
    type Err = Error;

    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] on `subscriptionId` if the text is no ULID.
    fn from_str(text: &str) -> Result<SubscriptionId> {
        let invalid = |why: String| Err(Error::invalid_field("subscriptionId", why));
        if text.len() != SubscriptionId::LENGTH {
            let length = text.chars().count();
            return invalid(format!(
                "a subscription id has {} characters, not {length}",
                SubscriptionId::LENGTH
            ));
        }
        // The ulid crate wraps around where the number exceeds 128 bits.
        if text.bytes().next().is_some_and(|first| first > b'7') {
            return invalid("a subscription id begins with a digit from 0 to 7".to_owned());
        }
        match Ulid::from_string(text) {
            Ok(ulid) => Ok(SubscriptionId(ulid)),
            Err(_) => invalid(
                "a subscription id is made of digits and letters other than I, L, O and U"
                    .to_owned(),
            ),
        }
    }
}

impl Serialize for SubscriptionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SubscriptionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SubscriptionId, D::Error> {
        json::read::<String, D>(deserializer)?.parse().map_err(de::Error::custom)
    }
}
