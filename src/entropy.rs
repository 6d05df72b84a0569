//! Where randomness comes from: the operating system's generator, which can fail, and then that is an error; or, in users'
//! tests, a script.

use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "test-util")]
use crate::script::Script;

#[derive(Clone, Debug)]
pub(crate) enum Entropy {
    System,
    #[cfg(feature = "test-util")]
    Scripted(Script),
}

impl Entropy {
    pub(crate) fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        match self {
            Entropy::System => SysRng.try_fill_bytes(bytes).map_err(|cause| {
                Error::new(ErrorKind::Storage, "the operating system's random number generator failed")
                    .because(cause)
            }),
            #[cfg(feature = "test-util")]
            Entropy::Scripted(script) => {
                script.fill(bytes);
                Ok(())
            }
        }
    }

    #[cfg(feature = "test-util")]
    pub(crate) fn script(&self) -> Option<&Script> {
        match self {
            Entropy::System => None,
            Entropy::Scripted(script) => Some(script),
        }
    }

    /// A script goes on by itself.
    #[cfg(feature = "test-util")]
    pub(crate) fn fork(&self) -> Entropy {
        match self {
            Entropy::System => Entropy::System,
            Entropy::Scripted(script) => Entropy::Scripted(script.fork()),
        }
    }
}
