//! The state of a deterministic registry: its random numbers, and its time unless the caller
//! provides a clock. Both advance only with calls that commit a change, so each run of a test gets
//! the same.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng as _, SeedableRng as _};

use crate::time::{Clock, Millis};

/// The time of the first call.
const START: &str = "2026-01-01T00:00:00.000Z";
/// The time that passes with each change.
const STEP: Duration = Duration::from_millis(1);

/// The shared state of a deterministic registry. A clone shares it.
#[derive(Clone)]
pub(crate) struct SeededState(Arc<Mutex<State>>);

#[derive(Clone)]
struct State {
    /// A generator that rand names, so its values are the same on every platform and in every
    /// release.
    generator: Xoshiro256PlusPlus,
    /// None if the caller provides a clock.
    now: Option<Millis>,
}

impl SeededState {
    pub(crate) fn new(seed: u64, with_time: bool) -> SeededState {
        let generator = Xoshiro256PlusPlus::seed_from_u64(seed);
        let start = humantime::parse_rfc3339(START).map_or_else(|_| Millis::ZERO, Millis::from);
        SeededState::from_state(State { generator, now: with_time.then_some(start) })
    }

    /// Returns a copy that continues independently.
    pub(crate) fn fork(&self) -> SeededState {
        SeededState::from_state(self.state().clone())
    }

    pub(crate) fn fill(&self, bytes: &mut [u8]) {
        self.state().generator.fill_bytes(bytes);
    }

    /// Returns a clock of this state's time. None if the caller provides a clock.
    pub(crate) fn clock(&self) -> Option<Clock> {
        self.state().now.map(|start| {
            let shared = self.clone();
            Clock::new(move || shared.state().now.unwrap_or(start).into())
        })
    }

    /// Begins a writing call. Unless the guard is [kept](RollbackGuard::keep), the state is rolled
    /// back, so that a failed call uses up no random numbers.
    pub(crate) fn begin(&self) -> RollbackGuard<'_> {
        RollbackGuard { shared: self, before: Some(self.state().clone()) }
    }

    fn from_state(state: State) -> SeededState {
        SeededState(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A guard for one writing call. It restores the state when it is dropped without being kept.
pub(crate) struct RollbackGuard<'s> {
    shared: &'s SeededState,
    before: Option<State>,
}

impl RollbackGuard<'_> {
    /// Keeps the new state. Time advances if the call changed anything.
    pub(crate) fn keep(mut self, changed: bool) {
        self.before = None;
        let mut state = self.shared.state();
        if changed {
            state.now = state.now.map(|now| now.plus(STEP));
        }
    }
}

impl Drop for RollbackGuard<'_> {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            *self.shared.state() = before;
        }
    }
}
