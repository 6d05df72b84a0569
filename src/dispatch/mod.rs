mod cache;
mod explain;
mod pool;
mod question;
mod revalidation;
#[cfg(feature = "signing")]
mod signature;
mod subscriber;
mod subscribers;

pub(crate) use cache::DispatchCache;
pub use explain::{Explanation, ExplanationEntry};
pub(crate) use question::Question;
pub(crate) use revalidation::{Revalidated, Revalidation, read_subscriber};
#[cfg(feature = "signing")]
pub use signature::Signature;
pub use subscriber::Subscriber;
pub use subscribers::Subscribers;
