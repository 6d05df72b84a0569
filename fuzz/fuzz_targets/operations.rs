//! Compares a registry with the model of `tests/it/model` after operations that the input selects,
//! to find answers that are wrong only after a certain history.
//!
//! The input selects the calls and their arguments.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the tests use more of the shared files")]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/model/mod.rs"]
mod model;

/// The parts of the test support that the model uses.
#[path = "."]
mod support {
    #[path = "../../tests/it/support/oracle.rs"]
    pub(crate) mod oracle;

    pub(crate) fn size<T>(small: T, _: T) -> T {
        small
    }

    /// Choices from the bytes of the input, followed by zeros.
    #[derive(Clone, Debug)]
    pub(crate) struct Random(pub(crate) std::vec::IntoIter<u8>);

    impl Random {
        pub(crate) fn new() -> Random {
            Random(Vec::new().into_iter())
        }

        pub(crate) fn below(&mut self, bound: usize) -> usize {
            let byte = usize::from(self.0.next().unwrap_or_default());
            if bound > 256 { byte * 256 + self.below(256) } else { byte }
                .checked_rem(bound)
                .unwrap()
        }

        pub(crate) fn chance(&mut self, percent: usize) -> bool {
            // Scales the byte to percent, so that rare choices stay rare and possible.
            self.below(256) * 100 < percent * 256
        }

        pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
            &from[self.below(from.len())]
        }
    }
}

/// The maximum number of operations.
const STEPS: usize = 60;

fuzz_target!(|bytes: Vec<u8>| {
    let mut world = model::World::new(support::Random(bytes.into_iter()), None);
    for _ in 0..STEPS {
        if world.random.0.len() == 0 {
            break;
        }
        world.step();
        // The comparison draws from the same bytes, and must not consume those of later calls.
        let calls = world.random.clone();
        world.compare_all();
        world.random = calls;
    }
});
