//! The calls of a [`Registry`]: the order of their checks and the boundaries of their transactions.
//! This folder contains no SQL and parses nothing.

mod handle;
mod options;
mod suggestions;
#[cfg(test)]
mod work;
mod writer;

// The documentation of `Registry` lists the methods in the order of these files. The blank lines
// keep rustfmt from sorting them.
mod open;

mod owners;

mod subscriptions;

mod dispatch;

mod event_types;

mod secrets;

mod plan;

mod history;

mod export;

mod backup;

mod check;

pub use handle::Registry;
pub use options::RegistryOptions;
