use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use ulid::Ulid;

use crate::error::{Error, ErrorKind, Result};
use crate::json;
use crate::time::Millis;

/// The identity of a subscription: a [ULID](https://github.com/ulid/spec), 26 characters of Crockford's base 32.
///
/// Ids rise strictly within a file for ever, so their order is the order of creation. They are read in upper and lower
/// case and written in upper case.
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
    /// The time that the id carries: that of its making, by the registry's clock. When the clock had stepped back, it
    /// is the time of the id before, because ids rise.
    pub fn timestamp(&self) -> SystemTime {
        std::time::UNIX_EPOCH
            .checked_add(std::time::Duration::from_millis(self.0.timestamp_ms()))
            .unwrap_or(std::time::UNIX_EPOCH)
    }

    /// An id as the file keeps it; none for one in another writing, which no look-up by that id would find.
    pub(crate) fn from_stored(text: &str) -> Option<SubscriptionId> {
        let lower = text.bytes().fold(false, |lower, byte| lower | byte.is_ascii_lowercase());
        if lower { None } else { text.parse().ok() }
    }

    /// How many random bytes a fresh id takes.
    pub(crate) const RANDOM: usize = 10;

    /// The last millisecond that an id can carry, in the year 10889.
    const LAST_MILLISECOND: u64 = (1 << 48) - 1;

    /// Whether no registry gives it out, and no id may be left after it: it is of the last millisecond.
    pub(crate) fn is_unreached(self) -> bool {
        self.0.timestamp_ms() == SubscriptionId::LAST_MILLISECOND
    }

    /// Whether at least a whole millisecond's ids, 2^80, lie between it and those that are [unreached](Self::is_unreached).
    pub(crate) fn can_be_followed(self) -> bool {
        self.0.timestamp_ms().saturating_add(1) < SubscriptionId::LAST_MILLISECOND
    }

    /// The greater of a fresh id and the one after `last`, so that ids rise also when the clock steps back.
    pub(crate) fn next(
        now: Millis,
        random: [u8; SubscriptionId::RANDOM],
        last: Option<SubscriptionId>,
    ) -> Result<SubscriptionId> {
        let mut low = [0; 16];
        low[6..].copy_from_slice(&random);
        let fresh = Ulid::from_parts(now.get(), u128::from_be_bytes(low));
        let Some(SubscriptionId(last)) = last else {
            return Ok(SubscriptionId(fresh));
        };
        let after = last.0.checked_add(1).map(Ulid).ok_or_else(|| {
            Error::new(
                ErrorKind::Conflict,
                format!("no id is left after {last}, the greatest that there is"),
            )
        })?;
        Ok(SubscriptionId(fresh.max(after)))
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.array_to_str(&mut [0; ulid::ULID_LEN]))
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
    /// [`ErrorKind::Invalid`] on `subscriptionId` for what is no ULID.
    fn from_str(text: &str) -> Result<SubscriptionId> {
        let refuse = |why: String| Err(Error::invalid_field("subscriptionId", why));
        if text.len() != ulid::ULID_LEN {
            let length = text.chars().count();
            return refuse(format!(
                "a subscription id has {} characters, not {length}",
                ulid::ULID_LEN
            ));
        }
        // The ulid crate wraps round on what 128 bits cannot hold.
        if text.bytes().next().is_some_and(|first| first > b'7') {
            return refuse("a subscription id begins with a digit from 0 to 7".to_owned());
        }
        match Ulid::from_string(text) {
            Ok(ulid) => Ok(SubscriptionId(ulid)),
            Err(_) => refuse(
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
