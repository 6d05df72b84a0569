//! An embedded registry of webhook subscriptions in one SQLite file: who wants to hear about what.
//!
//! ```
//! use webhook_registry::{NewSubscription, Registry};
//!
//! let registry = Registry::in_memory()?; // or Registry::open("webhooks.db")?
//! registry.register_event_types(["agent.presencechanged.v1", "channel.held.v1"])?;
//!
//! let request = NewSubscription::new("crm", "https://example.com/hook", ["agent.*"]);
//! let created = registry.create(request)?;
//! assert_eq!(created.secret().key().len(), 64); // generated, because none was given
//!
//! let subscribers = registry.subscribers("agent.presencechanged.v1")?;
//! assert_eq!(subscribers[0].url(), "https://example.com/hook");
//! assert!(registry.subscribers("channel.held.v1")?.is_empty());
//! # Ok::<(), webhook_registry::Error>(())
//! ```
//!
//! A [`Registry`] keeps subscriptions and a catalog of [event types](EventType). [`Registry::create`] takes a
//! [`NewSubscription`], from Rust or from JSON; [`Registry::subscribers`] answers which enabled subscriptions get an
//! event, and [`Registry::explain`] why.
//!
//! # Patterns
//!
//! A subscription names event types literally or with wildcards, matched against the **whole** name, case-sensitive:
//!
//! | part | covers |
//! |---|---|
//! | `*` | any run of characters, also across dots and also an empty one |
//! | `?` | one character |
//! | `[abc]`, `[a-z]` | one character of a set |
//! | `[!abc]` | one character outside a set |
//! | a letter, a digit, `_ - . : /` | itself |
//!
//! So `agent.*` covers `agent.presencechanged.v1`, `*.v1` every first version, and `*` all. [`EventPattern`] has the
//! syntax in full. A pattern is expanded when it is stored, and again whenever the catalog learns or loses a type.
//!
//! # Durability
//!
//! A call that has returned survives a power loss, unless [`Durability::Relaxed`] is chosen, which survives a crash of
//! the process. A call that failed has changed nothing, in the file and in memory. The one exception is an I/O error
//! while a change was being committed: its outcome is certain only once the file is opened again.
//!
//! # Locking
//!
//! Any number of threads and processes can have a file open. Readers wait for nobody; a writer waits for another until
//! the [busy timeout](RegistryOptions::busy_timeout). A change is seen by the next call of every thread and every
//! process. With [`exclusive(true)`](RegistryOptions::exclusive) one registry has the file for itself.
//!
//! The file needs a local file system (SQLite's WAL mode shares memory between processes), and must not be carried
//! through a `fork` without `exec`. When it is deleted or replaced while it is open, changes are
//! [`ErrorKind::Storage`], and reads go on with the file that was opened or say so too. Replace a file only while nobody
//! writes to it, and its `-wal` with it. A registry that was opened
//! [`read_only`](RegistryOptions::read_only) goes on with the file that took the place of the one it opened.
//!
//! # Secrets
//!
//! A secret is generated from the operating system's generator, or given, and kept exactly as given. It is returned
//! where it is made ([`Created`]) and to whoever delivers ([`Subscriber::secrets`]). No other reading call, no JSON of a
//! [`Subscription`], no `Debug`, no message and no view of the file shows one. In the file, which has mode 0600, it lies
//! as text.
//!
//! # The file is an interface too
//!
//! Three views are stable from 0.1 on (columns may be added at the end), for any program that reads SQLite 3.38 or later
//! and runs as the file's user:
//!
//! | view | columns |
//! |---|---|
//! | `subscriptions` | `id`, `name`, `url`, `enabled` (0 or 1), `events` (a JSON array, in order), `description`, `metadata` (a JSON object, `{}` when none), `created_at`, `updated_at` (ms since 1970, UTC), `revision` |
//! | `event_types` | `name`, `description`, `json_schema` |
//! | `subscribers` | `event_type`, `id`, `name`, `url`: exactly what [`Registry::subscribers`] answers |
//!
//! ```sql
//! -- Who gets an event?
//! SELECT name, url FROM subscribers WHERE event_type = 'channel.held.v1' ORDER BY id;
//! -- What do they ask for?
//! SELECT s.name, e.value FROM subscriptions s, json_each(s.events) e WHERE s.enabled ORDER BY s.id, e.key;
//! -- Which events go to nobody?
//! SELECT name FROM event_types WHERE name NOT IN (SELECT event_type FROM subscribers) ORDER BY name;
//!
//! -- From a database of your own, with an outbox in it:
//! ATTACH 'webhooks.db' AS hooks;
//! INSERT INTO outbox (event, subscription, url)
//!     SELECT event.id, s.id, s.url FROM event JOIN hooks.subscribers s ON s.event_type = event.type;
//! ```
//!
//! A reader needs a folder that it can write to, or
//! a writer that is running: SQLite's WAL mode keeps its index beside the file.
//!
//! # Compatibility
//!
//! A file of any released version is opened and brought up to date by every later one, in one transaction; a file of a
//! newer version is [`ErrorKind::Incompatible`] and left as it was. No type of another crate is in the public API but
//! serde's traits and `serde_json::Value`, so the SQLite underneath can change its version.
//!
//! # More
//!
//! [`cookbook`] has whole programs: declared subscriptions, an outbox, rotation, tenants, tests, backups.
//!
//! # What it is not
//!
//! It delivers nothing, opens no socket and resolves no name. There is no server, no queue and no retry.
//!
//! # Features
//!
//! - `bundled` (default) compiles SQLite into the program; without it the system's (3.38 or later) is linked.
//! - `signing` gives `Subscriber::sign`, the headers of [Standard Webhooks](https://www.standardwebhooks.com).
//! - `encryption` seals the secrets in the file: `RegistryOptions::encryption_key` and `Registry::rekey`.
//! - `test-util`, for the tests of an application: `RegistryOptions::deterministic`, [`Registry`]`::fork` and
//!   `ManualClock`.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod change;
pub mod cookbook;
#[cfg(feature = "test-util")]
mod deterministic;
mod diagnostics;
mod did_you_mean;
mod dispatch;
mod error;
mod escape;
mod event_type;
mod export;
mod id;
mod json;
mod json_schema;
#[cfg(feature = "test-util")]
mod manual_clock;
mod pattern;
mod plan;
mod random;
mod registry;
mod report;
mod scope;
mod secret;
mod serialize;
mod store;
mod subscription;
mod time;
mod url_policy;

pub use change::{Change, ChangeKind, FieldChange};
#[cfg(feature = "signing")]
#[cfg_attr(docsrs, doc(cfg(feature = "signing")))]
pub use dispatch::Signature;
pub use dispatch::{Explanation, ExplanationEntry, Subscriber, Subscribers};
pub use error::{Error, ErrorKind, Problem, Result};
pub use event_type::{Catalog, EventType};
pub use export::Export;
pub use id::SubscriptionId;
#[cfg(feature = "test-util")]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub use manual_clock::ManualClock;
pub use pattern::EventPattern;
pub use plan::{Applied, Ensured, Plan, Prune, Step, StepKind};
pub use registry::{Registry, RegistryOptions};
pub use report::{Finding, Report};
pub use secret::{IssuedSecret, Rotation, SigningSecret};
pub use store::Durability;
pub use subscription::{
    Created, ListQuery, NewSubscription, Page, Subscription, SubscriptionUpdate,
};
pub use url_policy::UrlPolicy;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
