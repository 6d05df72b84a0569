//! The clock, and times in whole milliseconds since 1970.

use std::fmt;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::ser::{Serialize, Serializer};

/// The source of the current time: the system's clock, or a closure of the caller.
///
/// A panic of the closure aborts only the call that needed the time, and leaves no state of the
/// registry half changed. Asserting unwind safety is therefore sound.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync + UnwindSafe + RefUnwindSafe>);

impl Clock {
    pub(crate) fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Clock {
        let now = AssertUnwindSafe(now);
        Clock(Arc::new(move || {
            // A closure captures only the fields that it names. Naming the whole wrapper captures
            // `AssertUnwindSafe` and not the bare closure inside.
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

/// Milliseconds since 1970-01-01 UTC, up to the end of the year 9999, the last that RFC 3339 can
/// represent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Millis(u64);

impl Millis {
    /// 1970-01-01T00:00:00.000Z
    #[cfg(feature = "test-util")]
    pub(crate) const ZERO: Millis = Millis(0);
    /// 9999-12-31T23:59:59.999Z
    const MAX: u64 = 253_402_300_799_999;

    /// Returns none for a number that no registry writes: negative, or after the year 9999.
    pub(crate) fn from_stored(millis: i64) -> Option<Millis> {
        u64::try_from(millis).ok().filter(|&millis| millis <= Millis::MAX).map(Millis)
    }

    /// Parses RFC 3339 in UTC, with the suffix `Z`.
    pub(crate) fn parse(text: &str) -> Option<Millis> {
        humantime::parse_rfc3339(text).ok().filter(|time| *time >= UNIX_EPOCH).map(Millis::from)
    }

    /// Adds a duration, rounded up to whole milliseconds.
    #[must_use]
    pub(crate) fn plus(self, duration: Duration) -> Millis {
        let millis = duration.as_nanos().div_ceil(1_000_000);
        let millis = u64::try_from(millis).unwrap_or(Millis::MAX);
        Millis(self.0.saturating_add(millis).min(Millis::MAX))
    }

    pub(crate) fn get(self) -> u64 {
        self.0
    }
}

impl From<SystemTime> for Millis {
    fn from(time: SystemTime) -> Millis {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Millis(u64::try_from(since.as_millis()).unwrap_or(Millis::MAX).min(Millis::MAX))
    }
}

impl From<Millis> for SystemTime {
    fn from(millis: Millis) -> SystemTime {
        // A `SystemTime` can represent every `Millis` on the platforms that SQLite supports.
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
