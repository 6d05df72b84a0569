//! Reports how far a long call is.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};

/// The time before the first report of a call, and between two reports.
const INTERVAL: Duration = Duration::from_millis(100);

/// A report on a call that takes long, as [`RegistryOptions::progress`] passes it on.
///
/// [`RegistryOptions::progress`]: crate::RegistryOptions::progress
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    job: &'static str,
    done: u64,
    total: u64,
}

impl Progress {
    /// Returns the name of the call: `check`, `backup`, `export`, `import`, `create_all`, `apply`,
    /// `rekey` or `fork`.
    pub fn job(&self) -> &'static str {
        self.job
    }

    /// Returns the number of steps that are done. It never falls during a call.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Returns the number of all steps. A step is a subscription, an event type, an entry of a
    /// list, or a page of the file, whichever the call goes through.
    pub fn total(&self) -> u64 {
        self.total
    }
}

/// The closure of the caller.
///
/// A panic of the closure makes the call fail before it has changed anything, and leaves no state
/// of the registry half changed. Asserting unwind safety is therefore sound.
#[derive(Clone)]
pub(crate) struct ProgressCallback(
    Arc<dyn Fn(&Progress) + Send + Sync + UnwindSafe + RefUnwindSafe>,
);

impl ProgressCallback {
    pub(crate) fn new(report: impl Fn(&Progress) + Send + Sync + 'static) -> ProgressCallback {
        let report = AssertUnwindSafe(report);
        ProgressCallback(Arc::new(move |progress: &Progress| {
            // Captures the whole wrapper: see `Clock`.
            let report = &report;
            report.0(progress);
        }))
    }
}

impl fmt::Debug for ProgressCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgressCallback")
    }
}

/// Counts the steps of one call, and reports them at most every [`INTERVAL`].
///
/// A panic of the callback must not unwind through a call that has the file half changed. So the
/// tracker keeps the panic, [`complete`](Tracker::complete) makes the call fail in its usual way,
/// and [`finish`](Tracker::finish) continues the panic.
pub(crate) struct Tracker {
    callback: Option<ProgressCallback>,
    job: &'static str,
    /// The time of the next report.
    due: Cell<Instant>,
    done: Cell<u64>,
    total: Cell<u64>,
    /// The greatest number that was reported. A job that runs again after a lock begins anew, and
    /// reports nothing before it gets further.
    reported: Cell<u64>,
    panic: RefCell<Option<Box<dyn std::any::Any + Send>>>,
}

impl Tracker {
    /// Begins to track a call. Without a callback nothing is tracked.
    pub(crate) fn new(job: &'static str, callback: Option<ProgressCallback>) -> Tracker {
        let now = Instant::now();
        Tracker {
            callback,
            job,
            due: Cell::new(now.checked_add(INTERVAL).unwrap_or(now)),
            done: Cell::new(0),
            total: Cell::new(0),
            reported: Cell::new(0),
            panic: RefCell::new(None),
        }
    }

    /// Returns whether anything is reported, so that the steps have to be counted.
    pub(crate) fn is_active(&self) -> bool {
        self.callback.is_some()
    }

    /// Sets the number of all steps, none of which is done yet.
    pub(crate) fn begin(&self, total: u64) {
        self.total.set(total);
        self.done.set(0);
    }

    /// Sets the number of all steps to the length of a list.
    pub(crate) fn begin_entries(&self, entries: usize) {
        self.begin(u64::try_from(entries).unwrap_or(u64::MAX));
    }

    /// Adds one step that is done.
    pub(crate) fn advance(&self) {
        self.advance_to(self.done.get().saturating_add(1));
    }

    /// Sets the number of steps that are done.
    pub(crate) fn advance_to(&self, done: u64) {
        self.done.set(done);
        if self.callback.is_some() {
            let now = Instant::now();
            // The last step is reported by `complete`.
            if now >= self.due.get() && done < self.total.get() {
                self.report(now, done);
            }
        }
    }

    /// Reports that every step is done, if the call has taken long. Called before the call commits.
    ///
    /// The error says that the callback has panicked, so that nothing is committed.
    pub(crate) fn complete(&self) -> Result<()> {
        let now = Instant::now();
        // A call that has reported something reports its end too, without waiting any longer.
        if self.callback.is_some() && (self.reported.get() > 0 || now >= self.due.get()) {
            self.report(now, self.total.get());
        }
        if self.panic.borrow().is_some() {
            return Err(Error::new(ErrorKind::Storage, "the progress callback has panicked"));
        }
        Ok(())
    }

    fn report(&self, now: Instant, done: u64) {
        let Some(ProgressCallback(callback)) = &self.callback else { return };
        let total = self.total.get();
        if done <= self.reported.get() || self.panic.borrow().is_some() {
            return;
        }
        self.due.set(now.checked_add(INTERVAL).unwrap_or(now));
        self.reported.set(done);
        let progress = Progress { job: self.job, done, total };
        if let Err(panic) = catch_unwind(|| callback(&progress)) {
            *self.panic.borrow_mut() = Some(panic);
        }
    }

    /// Returns the result of the call, or continues the panic of the callback.
    ///
    /// A call that has become long only since its last step, because a commit waits for the disk,
    /// reports its end here.
    pub(crate) fn finish<T>(self, result: Result<T>) -> Result<T> {
        let now = Instant::now();
        if result.is_ok() && self.reported.get() == 0 && now >= self.due.get() {
            self.report(now, self.total.get());
        }
        match self.panic.into_inner() {
            Some(panic) => resume_unwind(panic),
            None => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Tracks a call whose steps take so long, and returns its reports.
    fn reports(steps: usize, each: Duration) -> Vec<(u64, u64, Instant)> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::clone(&heard);
        let callback = ProgressCallback::new(move |progress| {
            assert_eq!(progress.job(), "check");
            said.lock().unwrap().push((progress.done(), progress.total(), Instant::now()));
        });
        let tracker = Tracker::new("check", Some(callback));
        tracker.begin_entries(steps);
        for _ in 0..steps {
            std::thread::sleep(each);
            tracker.advance();
        }
        let result = tracker.complete();
        tracker.finish(result).unwrap();
        std::mem::take(&mut *heard.lock().unwrap())
    }

    #[test]
    fn a_call_of_less_than_the_interval_reports_nothing() {
        assert_eq!(reports(1_000, Duration::ZERO), []);
    }

    #[test]
    fn a_long_call_reports_at_most_every_interval_and_ends_with_the_total() {
        let begun = Instant::now();
        let heard = reports(60, Duration::from_millis(10));
        let took = begun.elapsed();
        let most = u32::try_from(heard.len() - 1).unwrap();
        assert!(most >= 1 && INTERVAL * most <= took, "{heard:?}");
        assert!(heard[0].2 - begun >= INTERVAL);
        assert!(heard.is_sorted_by(|one, next| one.0 < next.0), "{heard:?}");
        let all_but_last = &heard[..heard.len() - 1];
        // The callback takes its time a little later than the tracker.
        let apart = INTERVAL / 2;
        assert!(all_but_last.is_sorted_by(|one, next| next.2 - one.2 >= apart), "{heard:?}");
        assert!(heard.iter().all(|(_, total, _)| *total == 60));
        assert_eq!(heard[heard.len() - 1].0, 60);
    }

    #[test]
    fn a_job_that_runs_again_never_reports_less_than_before() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let said = Arc::clone(&heard);
        let callback =
            ProgressCallback::new(move |progress| said.lock().unwrap().push(progress.done()));
        let tracker = Tracker::new("export", Some(callback));
        for steps in [3, 5] {
            tracker.begin(10);
            for _ in 0..steps {
                std::thread::sleep(INTERVAL);
                tracker.advance();
            }
        }
        tracker.complete().unwrap();
        assert_eq!(*heard.lock().unwrap(), [1, 2, 3, 4, 5, 10]);
    }

    #[test]
    fn a_panic_of_the_callback_fails_the_call_and_then_continues() {
        let tracker = Tracker::new("apply", Some(ProgressCallback::new(|_| panic!("by intent"))));
        tracker.begin(2);
        std::thread::sleep(INTERVAL);
        tracker.advance();
        tracker.advance();
        assert_eq!(tracker.complete().unwrap_err().kind(), ErrorKind::Storage);
        let panic = catch_unwind(AssertUnwindSafe(|| tracker.finish(Ok(())))).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"by intent"));
    }
}
