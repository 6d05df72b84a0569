//! The process that reads the answer.

use std::thread;
use std::time::Duration;

use crate::failure::Failure;

/// Waits, and fails as soon as the reader of stdout has gone.
///
/// Without this, `changes --follow | head -1` would end at the next change only.
pub(crate) fn wait(time: Duration) -> Result<(), Failure> {
    match has_gone_within(time) {
        Some(true) => Err(Failure::BrokenPipe),
        Some(false) => Ok(()),
        None => {
            thread::sleep(time);
            Ok(())
        }
    }
}

/// Waits until the reader has gone, and returns whether it has. `None` means that the system cannot
/// tell.
#[cfg(unix)]
fn has_gone_within(time: Duration) -> Option<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec};

    let stdout = std::io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    rustix::event::poll(&mut polled, Some(&Timespec::try_from(time).ok()?)).ok()?;
    let [stdout] = &polled;
    let events = stdout.revents();
    if events.contains(PollFlags::NVAL) {
        return None;
    }
    Some(events.intersects(PollFlags::ERR | PollFlags::HUP))
}

#[cfg(not(unix))]
fn has_gone_within(_time: Duration) -> Option<bool> {
    None
}
