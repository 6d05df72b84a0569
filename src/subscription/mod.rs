//! Subscriptions: the values that callers pass and receive, and the rules for them.

mod created;
mod draft;
mod fields;
mod list_problems;
mod new;
mod query;
mod stored;
mod update;
mod validation;

pub use created::Created;
pub(crate) use draft::Draft;
pub(crate) use fields::SubscriptionFields;
pub(crate) use list_problems::ListProblems;
pub use new::NewSubscription;
pub use query::{ListQuery, Page};
pub(crate) use query::{MAX_LIMIT, check_limit};
pub use stored::Subscription;
pub use update::SubscriptionUpdate;
pub(crate) use update::Updated;
pub(crate) use validation::{
    EventCatalog, MAX_EVENTS, MAX_KEY, MAX_METADATA, MAX_NAME, MAX_REASON, MAX_VALUE, Rejection,
    Rules, StoredParts, Validated, check_disabled_at, check_disabled_reason, check_metadata,
    check_owner, check_recipient,
};
