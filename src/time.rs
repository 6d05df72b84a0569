//! Whole milliseconds since 1970, the only time that the crate keeps.

use std::fmt;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::ser::{Serialize, Serializer};

/// Where "now" comes from.
///
/// Unwind safe: a panic in the closure ends that call alone and leaves nothing of the registry half changed, and later
/// calls ask the closure nothing but the time.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync + UnwindSafe + RefUnwindSafe>);

impl Clock {
    pub(crate) fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Clock {
        let now = AssertUnwindSafe(now);
        Clock(Arc::new(move || {
            // Named whole: a closure captures the fields that it names, and the one inside is not asserted.
            let now = &now;
            now.0()
        }))
    }

    pub(crate) fn now(&self) -> Millis {
        Millis::from((self.0)())
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new(SystemTime::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Milliseconds since 1970-01-01, never beyond the year 9999: what RFC 3339 can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Millis(u64);

impl Millis {
    /// 1970-01-01T00:00:00.000Z
    #[cfg(feature = "test-util")]
    pub(crate) const ZERO: Millis = Millis(0);
    /// 9999-12-31T23:59:59.999Z
    const LAST: u64 = 253_402_300_799_999;

    /// None for what no registry writes.
    pub(crate) fn from_stored(millis: i64) -> Option<Millis> {
        u64::try_from(millis).ok().filter(|&millis| millis <= Millis::LAST).map(Millis)
    }

    /// What RFC 3339 writes for UTC with `Z`.
    pub(crate) fn parse(text: &str) -> Option<Millis> {
        humantime::parse_rfc3339(text).ok().filter(|time| *time >= UNIX_EPOCH).map(Millis::from)
    }

    /// A part of a millisecond counts as one.
    #[must_use]
    pub(crate) fn plus(self, duration: Duration) -> Millis {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        let millis = u64::try_from(millis).unwrap_or(Millis::LAST);
        Millis(self.0.saturating_add(millis).min(Millis::LAST))
    }

    pub(crate) fn get(self) -> u64 {
        self.0
    }
}

impl From<SystemTime> for Millis {
    fn from(time: SystemTime) -> Millis {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Millis(u64::try_from(since.as_millis()).unwrap_or(Millis::LAST).min(Millis::LAST))
    }
}

impl From<Millis> for SystemTime {
    fn from(millis: Millis) -> SystemTime {
        // Every `Millis` lies within what a `SystemTime` can hold on the platforms that SQLite runs on.
        UNIX_EPOCH.checked_add(Duration::from_millis(millis.0)).unwrap_or(UNIX_EPOCH)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_millis(SystemTime::from(*self)).fmt(f)
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
