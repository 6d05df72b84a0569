//! The calls of a [`Registry`]: the order of their checks and the boundaries of their transactions.
//! This folder contains no SQL and parses nothing.

mod backup;
mod check;
mod dispatch;
mod event_types;
mod export;
mod handle;
mod history;
mod open;
mod options;
mod owners;
mod plan;
mod secrets;
mod subscriptions;
mod suggestions;
#[cfg(test)]
mod work;
mod writer;

pub use handle::Registry;
pub use options::RegistryOptions;
