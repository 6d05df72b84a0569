//! A webhook API for several customers: axum in front, the registry and an outbox in the
//! application's own SQLite file, and a worker that signs and delivers.

pub mod api;
pub mod glue;
pub mod outbox;
