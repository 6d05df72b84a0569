//! The operating system's generator, which can fail, and then that is an error.

use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::error::{Error, ErrorKind, Result};

pub(crate) fn fill(bytes: &mut [u8]) -> Result<()> {
    SysRng.try_fill_bytes(bytes).map_err(|cause| {
        Error::new(ErrorKind::Storage, "the operating system's random number generator failed").because(cause)
    })
}
