//! One integration binary, so that SQLite is linked once. A file a theme.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a test says what it expects, and fails where that does not hold"
)]

mod backup;
mod beset;
mod catalogs;
mod changes;
mod check;
mod child;
mod crash;
mod damage;
mod damaged_rows;
mod declared;
mod disk_full;
mod documents;
#[cfg(feature = "encryption")]
mod encryption;
mod errors;
mod export;
#[cfg(target_os = "linux")]
mod faulty_disk;
mod fixture;
mod history;
mod import;
mod input;
mod json;
mod kept_changes;
mod limits;
mod listing;
#[cfg(unix)]
mod litestream;
mod model;
mod opening;
mod oracle;
mod others;
mod own_rules;
mod patterns;
mod permissions;
mod plans;
mod races;
mod refusals;
mod registry;
#[cfg(feature = "encryption")]
mod rekey;
mod remedies;
mod remembered;
mod replay;
#[cfg(unix)]
mod replicated;
mod rotation;
mod rotation_races;
mod secrecy;
mod shapes;
#[cfg(feature = "signing")]
mod signing;
mod strangers;
mod suggestions;
mod support;
#[cfg(feature = "test-util")]
mod test_util;
mod threads;
mod time;
#[cfg(unix)]
mod unopenable_paths;
mod url_policy;
mod views;
mod wanted;
