use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::time::Millis;

/// A clock for tests of expiry, which moves only when the test moves it. A clone shares its time.
/// Requires the feature `test-util`.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use webhook_registry::{ManualClock, NewSubscription, Registry, Rotation};
///
/// let clock = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
/// let time = clock.clone();
/// let registry = Registry::options().clock(move || time.now()).in_memory()?;
/// registry.register_event_type("agent.presencechanged.v1")?;
/// let request = NewSubscription::new("crm", "https://example.com/", ["agent.*"]);
/// let created = registry.create(request)?;
///
/// let id = created.subscription().id();
/// registry.rotate_secret(id, Rotation::new().overlap(Duration::from_secs(60)))?;
/// assert_eq!(registry.secrets(id)?.len(), 2);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(registry.secrets(id)?.len(), 1);
/// # Ok::<(), webhook_registry::Error>(())
/// ```
#[derive(Clone)]
pub struct ManualClock(Arc<Mutex<SystemTime>>);

impl ManualClock {
    /// Creates a clock that shows this time.
    pub fn new(time: SystemTime) -> ManualClock {
        ManualClock(Arc::new(Mutex::new(time)))
    }

    /// Returns the time of the clock.
    pub fn now(&self) -> SystemTime {
        *self.time()
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, time: SystemTime) {
        *self.time() = time;
    }

    /// Moves the clock forward. The time stays as it is if a [`SystemTime`] cannot represent the
    /// sum.
    pub fn advance(&self, by: Duration) {
        let mut time = self.time();
        *time = time.checked_add(by).unwrap_or(*time);
    }

    fn time(&self) -> MutexGuard<'_, SystemTime> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManualClock({})", Millis::from(self.now()))
    }
}
