//! What repeats on each run of a deterministic registry: its randomness, and its time unless the caller has a clock.
//! Both move only with calls that changed something.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng as _, SeedableRng as _};

use crate::time::{Clock, Millis};

/// Where time begins.
const BEGINNING: &str = "2026-01-01T00:00:00.000Z";
const STEP: Duration = Duration::from_millis(1);

/// Cloning it shares it.
#[derive(Clone)]
pub(crate) struct SeededState(Arc<Mutex<State>>);

#[derive(Clone)]
struct State {
    /// One of rand's named generators, whose values are the same on every platform and in every release.
    generator: Xoshiro256PlusPlus,
    /// None where the caller has a clock.
    now: Option<Millis>,
}

impl SeededState {
    pub(crate) fn new(seed: u64, own_time: bool) -> SeededState {
        let generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        let beginning =
            humantime::parse_rfc3339(BEGINNING).map_or_else(|_| Millis::ZERO, Millis::from);
        SeededState::at(State { generator, now: own_time.then_some(beginning) })
    }

    /// One that goes on from here by itself.
    pub(crate) fn fork(&self) -> SeededState {
        SeededState::at(self.state().clone())
    }

    pub(crate) fn fill(&self, bytes: &mut [u8]) {
        self.state().generator.fill_bytes(bytes);
    }

    /// Its time, unless the caller has a clock.
    pub(crate) fn clock(&self) -> Option<Clock> {
        self.state().now.map(|beginning| {
            let script = self.clone();
            Clock::new(move || script.state().now.unwrap_or(beginning).into())
        })
    }

    /// A call begins that writes. It gives back what it drew, unless it [ends](RollbackGuard::end) well.
    pub(crate) fn turn(&self) -> RollbackGuard<'_> {
        RollbackGuard { script: self, before: Some(self.state().clone()) }
    }

    fn at(state: State) -> SeededState {
        SeededState(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call that writes.
pub(crate) struct RollbackGuard<'s> {
    script: &'s SeededState,
    before: Option<State>,
}

impl RollbackGuard<'_> {
    /// The call ends well, and time passes if it changed anything.
    pub(crate) fn end(mut self, changed: bool) {
        self.before = None;
        let mut state = self.script.state();
        if changed {
            state.now = state.now.map(|now| now.plus(STEP));
        }
    }
}

impl Drop for RollbackGuard<'_> {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            *self.script.state() = before;
        }
    }
}
