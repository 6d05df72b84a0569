//! The file. This folder is the only place that names rusqlite. It applies no rule of the registry:
//! it stores values, and rejects stored values that no registry can have written.

mod backup;
mod calls;
mod catalog;
mod catalog_names;
mod change_recorder;
mod check;
mod check_catalog;
mod check_owners;
mod check_schema;
mod checkpoint;
mod connection;
mod content;
mod copy;
mod count;
mod data_version;
mod disk;
mod dispatch;
mod dispatch_sql;
mod encryption;
mod error;
mod expansion;
mod export;
mod findings;
mod handle;
mod history;
mod insert;
mod io_error;
mod lock_wait;
mod mark;
mod matching_subscriptions;
mod migrate;
mod open;
mod owners;
mod paths;
#[cfg(feature = "encryption")]
mod pending_rekey;
mod reader_pool;
mod refusal;
mod registry_row;
#[cfg(feature = "encryption")]
mod rekey;
mod reopen;
mod rows;
mod schema;
mod secrets;
mod settings;
mod stored_secret;
mod subscription_changes;
mod subscription_patterns;
mod subscriptions;
mod transaction;
mod version_probe;
#[cfg(test)]
mod work;
mod writer;

pub(crate) use catalog::CatalogLookup;
pub(crate) use dispatch::{Effort, MAX_FEW, RouteRow, SubscriberRow, SubscriberSink};
pub(crate) use handle::Store;
pub(crate) use insert::Inserter;
pub use settings::Durability;
pub(crate) use settings::Settings;
pub(crate) use subscription_changes::{NameTaken, Undecoded};
pub(crate) use subscriptions::{Current, wrong_index};
pub(crate) use transaction::{Read, Write};
