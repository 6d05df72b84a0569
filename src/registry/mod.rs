//! The calls of a [`Registry`]: the order of their checks and the boundaries of their transactions.
//! This folder contains no SQL and parses nothing.

mod options;
#[cfg(test)]
mod owner_work;
mod suggestions;
#[cfg(test)]
mod work;
mod writer;

// The documentation of `Registry` lists the methods in the order of these files. The blank lines
// keep rustfmt from sorting them.
mod open;

mod create;

mod dispatch;

mod subscriptions;

mod handle;

mod owners;

mod event_types;

mod secrets;

mod compute_plan;

mod history;

mod export;

mod backup;

mod check;

pub use handle::Registry;
pub use options::RegistryOptions;
