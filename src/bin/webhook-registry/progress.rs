//! The progress bar of long commands.

use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};
use webhook_registry::{Progress, RegistryOptions};

/// Lets long calls draw a bar on stderr, if that is a terminal.
pub(crate) fn with_bar(options: RegistryOptions) -> RegistryOptions {
    // The bar of the call that is in progress.
    let current = Mutex::new(None);
    options.progress(move |progress| {
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = current.get_or_insert_with(|| new_bar(progress));
        bar.set_position(progress.done());
        if progress.done() >= progress.total() {
            // A bar that goes out of use is cleared.
            *current = None;
        }
    })
}

fn new_bar(progress: &Progress) -> ProgressBar {
    let job = if progress.job() == "create_all" { "create" } else { progress.job() };
    let bar = ProgressBar::with_draw_target(Some(progress.total()), ProgressDrawTarget::stderr())
        .with_finish(ProgressFinish::AndClear)
        .with_message(job);
    match ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} %, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
