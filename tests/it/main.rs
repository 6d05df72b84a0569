//! The integration tests: one binary, so that SQLite is linked only once, with one file for each
//! topic.
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

mod application_transaction;
mod backup;
mod changes;
mod changes_by_sql;
mod check;
mod check_advice;
mod check_pages;
mod check_rows;
mod check_schema;
mod check_soundness;
mod check_subscription_advice;
mod check_values;
#[cfg(unix)]
mod checkpoints;
mod concurrent_rotation;
mod corruption;
mod crash;
mod disabled_reason;
mod disabled_reason_files;
mod disk_full;
mod dispatch_cache;
#[cfg(feature = "encryption")]
mod encryption;
mod ensure;
mod error_precedence;
mod errors;
mod escaping;
mod event_limit;
mod event_types;
mod export;
#[cfg(all(unix, feature = "encryption"))]
mod failed_rekey;
mod failure_atomicity;
#[cfg(target_os = "linux")]
mod faulty_disk;
mod format_compat;
mod from_json;
mod guest;
mod guest_cache;
mod guest_locks;
mod history_limit;
mod history_replay;
mod import;
mod import_malformed;
mod json;
mod json_features;
mod json_schema;
mod json_type_errors;
mod key_order;
mod lists_and_ids;
#[cfg(unix)]
mod litestream;
mod locked_and_replaced_files;
mod messages;
mod model;
#[cfg(feature = "encryption")]
mod moved_ciphertexts;
mod multi_process;
#[cfg(target_os = "linux")]
mod open_errors;
mod opening;
mod opening_after_kill;
mod operations;
mod oversized_input;
mod owner_cache;
mod owner_capability;
mod owner_damage;
mod owner_deletion;
mod owner_files;
mod owner_limits;
mod owner_plans;
mod owners;
mod patterns;
mod permissions;
mod plan_equivalence;
mod plans;
mod progress;
mod query_string;
#[cfg(unix)]
mod read_only_replaced_file;
mod redaction;
mod registry;
mod registry_policies;
#[cfg(feature = "encryption")]
mod rekey;
#[cfg(feature = "encryption")]
mod rekey_crash;
mod rotation;
mod secret_revocation;
mod serialize;
#[cfg(feature = "signing")]
mod signature_verification;
#[cfg(feature = "signing")]
mod signing;
mod signing_secret;
mod spellings;
mod sql_clients;
mod suggestions;
mod support;
#[cfg(feature = "test-util")]
mod test_util;
mod threads;
mod time;
mod trait_bounds;
mod undecodable_catalog_and_history;
mod undecodable_deletion;
mod undecodable_patterns;
mod undecodable_rows;
#[cfg(unix)]
mod unopenable_paths;
mod unwind_safety;
mod url_policy;
mod validation;
mod views;
mod working_directory;
mod writable_views;
