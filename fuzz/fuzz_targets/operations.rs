//! Guards against an answer that is wrong only after a certain history. The model of `tests/it/model`, with the input in
//! place of chance: it picks the calls and what they are given.
#![no_main]
#![allow(dead_code, unused_imports, reason = "what the tests alone use of the shared files")]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/it/model/mod.rs"]
mod model;

/// What the model takes from the support of the tests.
#[path = "."]
mod support {
    #[path = "../../tests/it/support/oracle.rs"]
    pub(crate) mod oracle;

    pub(crate) fn size<T>(small: T, _: T) -> T {
        small
    }

    /// Bytes to choose by, then zeros.
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
            // A byte is no hundred: what is rare stays rare, and what is below one in a hundred can be had too.
            self.below(256) * 100 < percent * 256
        }

        pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
            &from[self.below(from.len())]
        }
    }
}

/// The longest history that is followed.
const STEPS: usize = 60;

fuzz_target!(|bytes: Vec<u8>| {
    let mut world = model::World::new(support::Random(bytes.into_iter()), None);
    for _ in 0..STEPS {
        if world.random.0.len() == 0 {
            break;
        }
        world.step();
        // The questions are chosen by the same bytes, which the calls must not lack for it.
        let calls = world.random.clone();
        world.compare_all();
        world.random = calls;
    }
});
