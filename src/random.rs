//! Random bytes from the operating system's generator, or from a seeded generator for tests of
//! applications. A failure of the system's generator is an error, not a panic.

use rand::TryRng as _;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

#[cfg(feature = "test-util")]
use crate::deterministic::SeededState;
use crate::error::{Error, ErrorKind, Result};

/// A source of random bytes.
#[derive(Clone)]
pub(crate) enum RandomSource {
    /// The operating system's generator.
    System,
    #[cfg(feature = "test-util")]
    Seeded(SeededState),
}

impl RandomSource {
    pub(crate) fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        match self {
            RandomSource::System => SysRng.try_fill_bytes(bytes).map_err(|cause| {
                Error::new(
                    ErrorKind::Storage,
                    "the operating system's random number generator failed",
                )
                .with_source(cause)
            }),
            #[cfg(feature = "test-util")]
            RandomSource::Seeded(state) => {
                state.fill(bytes);
                Ok(())
            }
        }
    }

    /// Returns the state of a deterministic registry.
    #[cfg(feature = "test-util")]
    pub(crate) fn seeded_state(&self) -> Option<&SeededState> {
        match self {
            RandomSource::System => None,
            RandomSource::Seeded(state) => Some(state),
        }
    }

    /// Copies the source. A copy of a seeded source continues independently.
    #[cfg(feature = "test-util")]
    pub(crate) fn fork(&self) -> RandomSource {
        match self {
            RandomSource::System => RandomSource::System,
            RandomSource::Seeded(state) => RandomSource::Seeded(state.fork()),
        }
    }
}

/// The random bytes of one call, read from the source a page at a time. A system call for a few
/// bytes takes as long as inserting a row.
pub(crate) struct RandomBuffer<'s> {
    source: &'s RandomSource,
    page: Zeroizing<Vec<u8>>,
    /// The number of bytes of the page that were returned.
    used: usize,
}

impl RandomBuffer<'_> {
    const MAX_PAGE: usize = 4_096;

    /// Creates a buffer for a call that needs about `expected` bytes.
    pub(crate) fn new(source: &RandomSource, expected: usize) -> RandomBuffer<'_> {
        let page = match source {
            RandomSource::System => Zeroizing::new(vec![0; expected.min(RandomBuffer::MAX_PAGE)]),
            #[cfg(feature = "test-util")]
            RandomSource::Seeded(_) => Zeroizing::default(),
        };
        let used = page.len();
        RandomBuffer { source, page, used }
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        if bytes.len() > self.page.len() {
            return self.source.fill(bytes);
        }
        if bytes.len() > self.page.len().saturating_sub(self.used) {
            self.source.fill(&mut self.page)?;
            self.used = 0;
        }
        let end = self.used.saturating_add(bytes.len());
        if let Some(drawn) = self.page.get_mut(self.used..end) {
            bytes.copy_from_slice(drawn);
            // The bytes can become a secret, so no copy stays in memory.
            drawn.fill(0);
        }
        self.used = end;
        Ok(())
    }
}
