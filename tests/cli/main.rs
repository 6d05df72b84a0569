//! Tests of the program `webhook-registry`: its answers, its refusals, and its life beside other
//! processes.
//!
//! `SNAPSHOTS=overwrite cargo test --all-features --test cli` renews the snapshots.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a failed expectation in a test panics"
)]

mod catalog;
mod changes;
mod create;
mod explain;
mod guest;
mod matrix;
mod measured;
mod owners;
mod page;
mod pipes;
mod reconcile;
mod refusals;
mod secrets;
mod subscriptions;
mod support;
#[cfg(unix)]
mod terminal;
mod transfer;
