//! Waiting for another process's lock.
//!
//! SQLite's own handler sleeps ever longer, up to 100 ms, so a writer that works in a tight loop starves the others.
//! This one asks again within a few milliseconds, at random moments, until the deadline.

use std::cell::Cell;
use std::hash::{BuildHasher as _, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Error as SqlError, ErrorCode};

use super::fault::{OrFault as _, is};
use crate::error::Result;

const LONGEST_PAUSE: Duration = Duration::from_millis(3);
const FIRST_PAUSE: Duration = Duration::from_micros(50);

// SQLite calls the handler on the thread that made the call, and the oldest rusqlite supported takes a plain function.
thread_local! {
    static TIMEOUT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// How long this thread's next statements wait.
pub(super) fn set_timeout(timeout: Duration) {
    TIMEOUT.set(timeout);
}

pub(super) fn install(conn: &mut Connection) -> Result<()> {
    let handler: fn(i32) -> bool = wait;
    conn.busy_handler(Some(handler)).or_fault()
}

fn wait(asked: i32) -> bool {
    let now = Instant::now();
    if asked == 0 {
        SINCE.set(Some(now));
    }
    let waited = SINCE
        .get()
        .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
    let Some(left) = TIMEOUT.get().checked_sub(waited).filter(|left| !left.is_zero()) else {
        return false;
    };
    let doublings = u32::try_from(asked).unwrap_or(0).min(6);
    let longest = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    thread::sleep(longest.mul_f64(random()).min(left));
    true
}

/// From ½ to 1.
fn random() -> f64 {
    let [first, ..] = RandomState::new().hash_one(()).to_le_bytes();
    0.5 + f64::from(first) / 512.0
}

/// Repeats what can answer busy without asking the handler, such as switching a fresh file to WAL.
pub(super) fn retry<T>(mut call: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let mut asked = 0;
    loop {
        match call() {
            Err(cause) if is_busy(&cause) && wait(asked) => asked = 1,
            result => return result,
        }
    }
}

fn is_busy(cause: &SqlError) -> bool {
    is(cause, ErrorCode::DatabaseBusy) || is(cause, ErrorCode::DatabaseLocked)
}
