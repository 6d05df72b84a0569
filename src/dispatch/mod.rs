mod cache;
mod explain;
#[cfg(feature = "signing")]
mod signature;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::id::SubscriptionId;
use crate::secret::{IssuedSecret, SigningSecret};
use crate::store::{Made, Recipient};
use crate::time::Clock;
use crate::url_policy;

pub(crate) use cache::DispatchCache;
pub use explain::{Explanation, ExplanationEntry};
#[cfg(feature = "signing")]
pub use signature::Signature;

/// Who gets an event: the answer of [`Registry::subscribers`](crate::Registry::subscribers), in the order of creation.
///
/// It is the answer of its moment. Later changes are not seen in it, but the expiries of secrets that were known then
/// do act. Cloning it copies a pointer.
#[derive(Clone)]
pub struct Subscribers(Arc<List>);

/// The list itself can be another's too: the pointer to it is what a thread clones, and has to be the thread's own.
struct List(Arc<[Subscriber]>);

impl Subscribers {
    /// An answer that nothing else shares.
    pub(crate) fn of(list: Vec<Subscriber>) -> Subscribers {
        Subscribers::new(list.into())
    }

    fn new(list: Arc<[Subscriber]>) -> Subscribers {
        Subscribers(Arc::new(List(list)))
    }
}

impl Subscribers {
    /// Returns the names of the subscriptions, in the order of creation.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(Subscriber::name)
    }
}

impl Deref for Subscribers {
    type Target = [Subscriber];

    fn deref(&self) -> &[Subscriber] {
        &self.0.0
    }
}

impl<'a> IntoIterator for &'a Subscribers {
    type Item = &'a Subscriber;
    type IntoIter = std::slice::Iter<'a, Subscriber>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.0.iter()
    }
}

impl fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

/// One enabled subscription that gets an event, with what a delivery needs. Cloning it copies a pointer.
#[derive(Clone)]
pub struct Subscriber(Arc<Inner>);

struct Inner {
    recipient: Recipient,
    clock: Clock,
}

impl Subscriber {
    pub(crate) fn new(recipient: Recipient, clock: Clock) -> Subscriber {
        Subscriber(Arc::new(Inner { recipient, clock }))
    }

    /// About how many bytes it takes in memory.
    fn weight(&self) -> usize {
        // What an allocator adds to each text and table.
        const EACH: usize = 24;
        let Recipient { place: _, id: _, name, url, metadata, secrets } = self.of();
        let entry = |(key, value): (&String, &String)| -> usize {
            [key.len(), value.len(), 4 * EACH].iter().sum()
        };
        let metadata: usize = metadata.iter().map(entry).sum();
        let secret = |IssuedSecret { secret, .. }: &IssuedSecret| -> usize {
            [secret.expose().len(), secret.key().len(), 4 * EACH].iter().sum()
        };
        let secrets: usize = secrets.iter().map(secret).sum();
        [size_of::<Inner>(), 4 * EACH, name.len(), url.len(), metadata, secrets].iter().sum()
    }

    /// The subscription's identity.
    pub fn id(&self) -> SubscriptionId {
        self.of().id
    }

    /// The subscription's name.
    pub fn name(&self) -> &str {
        &self.of().name
    }

    /// Where to deliver to, as it was given.
    pub fn url(&self) -> &str {
        &self.of().url
    }

    /// Returns true if the subscription is enabled. Always true in an answer of
    /// [`Registry::subscribers`](crate::Registry::subscribers), which leaves out disabled ones.
    pub fn enabled(&self) -> bool {
        // No other call returns a `Subscriber`.
        true
    }

    /// What the application keeps with the subscription.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.of().metadata
    }

    /// The secrets to sign with, newest first: those that have not expired by the registry's clock at this very call.
    pub fn secrets(&self) -> impl Iterator<Item = &SigningSecret> {
        let now = self.0.clock.now();
        self.of().secrets.iter().filter(move |issued| issued.is_live(now)).map(IssuedSecret::secret)
    }
}

impl Made for Subscriber {
    fn of(&self) -> &Recipient {
        &self.0.recipient
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recipient { place: _, id, name, url, metadata, secrets } = self.of();
        f.debug_struct("Subscriber")
            .field("id", id)
            .field("name", name)
            .field("url", &url_policy::redacted(url))
            .field("metadata", metadata)
            .field("secrets", secrets)
            .finish()
    }
}
