//! Waits for the lock of another process.
//!
//! SQLite's own busy handler is switched off, for two reasons. It sleeps longer each time, up to
//! 100 ms, so that a writer in a tight loop starves the others. And some operations, such as the
//! change into WAL mode, return `SQLITE_BUSY` without calling it. So every call that can meet a
//! lock is repeated here at random intervals of a few milliseconds, until the timeout. A lock in
//! the file has no queue; the random intervals keep two processes from asking in step.
//!
//! A busy handler of our own would need SQLite 3.44: rusqlite 0.41 registers it by
//! `sqlite3_set_clientdata`.

use std::hash::{BuildHasher as _, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};

const FIRST_PAUSE: Duration = Duration::from_micros(50);
const MAX_PAUSE: Duration = Duration::from_millis(3);
/// After this wait a caller asks more often than those that came later. So it is the likeliest to
/// find the gap between two of their changes.
const LONG_WAIT: Duration = Duration::from_millis(200);
const MAX_PAUSE_AFTER_LONG_WAIT: Duration = Duration::from_micros(200);

/// Repeats a call while it returns `Busy`, until the timeout. A call that fails must leave nothing
/// behind.
pub(super) fn retry_while_busy<T>(timeout: Duration, call: impl FnMut() -> Result<T>) -> Result<T> {
    retry_while(timeout, is_busy, call)
}

/// Repeats a call while it returns such an error, until the timeout.
pub(super) fn retry_while<T>(
    timeout: Duration,
    is_transient: impl Fn(&Error) -> bool,
    mut call: impl FnMut() -> Result<T>,
) -> Result<T> {
    let is_transient = |result: &Result<T>| result.as_ref().is_err_and(&is_transient);
    let mut result = call();
    if !is_transient(&result) {
        return result;
    }
    let since = Instant::now();
    let mut pause = FIRST_PAUSE;
    while is_transient(&result) {
        let Some(left) = timeout.checked_sub(since.elapsed()).filter(|left| !left.is_zero()) else {
            break;
        };
        thread::sleep(pause.mul_f64(random()).min(left));
        pause = next_pause(pause, since.elapsed());
        result = call();
    }
    result
}

/// Returns the maximum of the next pause, after one with this maximum.
fn next_pause(pause: Duration, waited: Duration) -> Duration {
    let most = if waited < LONG_WAIT { MAX_PAUSE } else { MAX_PAUSE_AFTER_LONG_WAIT };
    pause.saturating_mul(2).min(most)
}

pub(super) fn is_busy(error: &Error) -> bool {
    error.kind() == ErrorKind::Busy
}

/// Returns a random number from ½ to 1.
fn random() -> f64 {
    let [first, ..] = RandomState::new().hash_one(()).to_le_bytes();
    0.5 + f64::from(first) / 512.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_are_short_after_a_long_wait() {
        let almost = LONG_WAIT - Duration::from_nanos(1);
        let [two, three] = [2, 3].map(Duration::from_millis);
        assert_eq!(next_pause(FIRST_PAUSE, Duration::ZERO), Duration::from_micros(100));
        assert_eq!(next_pause(two, almost), three);
        assert_eq!(next_pause(three, almost), three);
        assert_eq!(next_pause(three, LONG_WAIT), MAX_PAUSE_AFTER_LONG_WAIT);
    }

    #[test]
    fn the_pauses_of_two_callers_differ() {
        let draws: Vec<f64> = (0..1_000).map(|_| random()).collect();
        assert!(draws.iter().all(|draw| (0.5..1.0).contains(draw)), "{draws:?}");
        assert!(draws.iter().any(|draw| draw != &draws[0]));
    }
}
