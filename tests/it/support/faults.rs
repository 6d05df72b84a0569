//! The library that makes system calls of a child process fail. `faults.c` says how it is
//! controlled.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the library in this folder, for `LD_PRELOAD`. None where no library can be preloaded, or
/// without a C compiler.
pub(crate) fn library(folder: &Path) -> Option<PathBuf> {
    let library = folder.join("faults.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library);
    compiler.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults.c")).arg("-ldl");
    match compiler.status() {
        Ok(_) if cfg!(not(target_os = "linux")) => None,
        Ok(status) => {
            assert!(status.success());
            Some(library)
        }
        Err(cause) => {
            println!("skipped: no C compiler ({cause})");
            None
        }
    }
}
