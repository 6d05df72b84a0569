//! Waiting for another process's lock.
//!
//! SQLite's own handler sleeps ever longer, up to 100 ms, so that a writer in a tight loop starves the others, and some
//! things answer busy without asking it. So it is switched off, and what can meet a lock is tried again here: within a
//! few milliseconds, at random moments, until the timeout. (A handler of our own would need SQLite 3.44: rusqlite 0.41
//! keeps it by `sqlite3_set_clientdata`.)

use std::hash::{BuildHasher as _, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{ErrorKind, Result};

const FIRST_PAUSE: Duration = Duration::from_micros(50);
const MAX_PAUSE: Duration = Duration::from_millis(3);
/// Whoever has waited this long asks more often than all who came later, and so is the likeliest to find the gap between
/// two of their changes.
const LONG: Duration = Duration::from_millis(200);
const PAUSE_AFTER_LONG: Duration = Duration::from_micros(200);

/// Calls again while the answer is `Busy`, until the timeout. The call has to leave nothing behind when it fails.
pub(super) fn retry_while_busy<T>(
    timeout: Duration,
    mut call: impl FnMut() -> Result<T>,
) -> Result<T> {
    let mut result = call();
    if !is_busy(&result) {
        return result;
    }
    let since = Instant::now();
    let mut longest = FIRST_PAUSE;
    while is_busy(&result) {
        let Some(left) = timeout.checked_sub(since.elapsed()).filter(|left| !left.is_zero()) else {
            break;
        };
        thread::sleep(longest.mul_f64(random()).min(left));
        longest = longer(longest, since.elapsed());
        result = call();
    }
    result
}

/// The longest that the next pause may be, after one of this length.
fn longer(pause: Duration, waited: Duration) -> Duration {
    let most = if waited < LONG { MAX_PAUSE } else { PAUSE_AFTER_LONG };
    pause.saturating_mul(2).min(most)
}

fn is_busy<T>(result: &Result<T>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Busy)
}

/// From ½ to 1.
fn random() -> f64 {
    let [first, ..] = RandomState::new().hash_one(()).to_le_bytes();
    0.5 + f64::from(first) / 512.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_are_short_after_a_long_wait() {
        let almost = LONG - Duration::from_nanos(1);
        let [two, three] = [2, 3].map(Duration::from_millis);
        assert_eq!(longer(FIRST_PAUSE, Duration::ZERO), Duration::from_micros(100));
        assert_eq!(longer(two, almost), three);
        assert_eq!(longer(three, almost), three);
        assert_eq!(longer(three, LONG), PAUSE_AFTER_LONG);
    }

    #[test]
    fn those_who_wait_together_do_not_ask_together() {
        let draws: Vec<f64> = (0..1_000).map(|_| random()).collect();
        assert!(draws.iter().all(|draw| (0.5..1.0).contains(draw)), "{draws:?}");
        assert!(draws.iter().any(|draw| draw != &draws[0]));
    }
}
