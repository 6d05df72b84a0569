#![doc = "placeholder"]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod dispatch;
mod endpoint;
mod entropy;
mod error;
mod event_type;
mod id;
mod options;
mod pattern;
mod registry;
mod secret;
mod store;
mod subscription;
mod suggest;
mod time;
mod wire;

pub use dispatch::{Explanation, ExplanationEntry, Subscriber, Subscribers};
pub use error::{Error, ErrorKind, Problem, Result};
pub use event_type::{Catalog, EventType};
pub use id::SubscriptionId;
pub use options::RegistryOptions;
pub use pattern::EventPattern;
pub use registry::Registry;
pub use secret::SigningSecret;
pub use store::Durability;
pub use subscription::{Created, ListQuery, NewSubscription, Page, Subscription, SubscriptionUpdate};
