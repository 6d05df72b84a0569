//! Where randomness comes from: the operating system's generator, which can fail, and then that is an error; or, in users'
//! tests, a script.

use rand::TryRng as _;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

#[cfg(feature = "test-util")]
use crate::deterministic::SeededState;
use crate::error::{Error, ErrorKind, Result};

#[derive(Clone)]
pub(crate) enum RandomSource {
    System,
    #[cfg(feature = "test-util")]
    Scripted(SeededState),
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
            RandomSource::Scripted(script) => {
                script.fill(bytes);
                Ok(())
            }
        }
    }

    #[cfg(feature = "test-util")]
    pub(crate) fn script(&self) -> Option<&SeededState> {
        match self {
            RandomSource::System => None,
            RandomSource::Scripted(script) => Some(script),
        }
    }

    /// A script goes on by itself.
    #[cfg(feature = "test-util")]
    pub(crate) fn fork(&self) -> RandomSource {
        match self {
            RandomSource::System => RandomSource::System,
            RandomSource::Scripted(script) => RandomSource::Scripted(script.fork()),
        }
    }
}

/// The randomness of one call, fetched from the operating system by the page: asked for a few bytes, it takes as long as a
/// row does.
pub(crate) struct RandomBuffer<'e> {
    entropy: &'e RandomSource,
    page: Zeroizing<Vec<u8>>,
    used: usize,
}

impl RandomBuffer<'_> {
    const PAGE: usize = 4_096;

    /// `expected` is how many bytes will be drawn, as far as that is known.
    pub(crate) fn new(entropy: &RandomSource, expected: usize) -> RandomBuffer<'_> {
        let page = match entropy {
            RandomSource::System => Zeroizing::new(vec![0; expected.min(RandomBuffer::PAGE)]),
            #[cfg(feature = "test-util")]
            RandomSource::Scripted(_) => Zeroizing::default(),
        };
        let used = page.len();
        RandomBuffer { entropy, page, used }
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        if bytes.len() > self.page.len() {
            return self.entropy.fill(bytes);
        }
        if bytes.len() > self.page.len().saturating_sub(self.used) {
            self.entropy.fill(&mut self.page)?;
            self.used = 0;
        }
        let end = self.used.saturating_add(bytes.len());
        if let Some(drawn) = self.page.get_mut(self.used..end) {
            bytes.copy_from_slice(drawn);
            // Given out once, and not kept.
            drawn.fill(0);
        }
        self.used = end;
        Ok(())
    }
}
