use std::collections::BTreeMap;
use std::fmt;
use std::iter;
use std::sync::Arc;

use crate::id::SubscriptionId;
use crate::secret::{IssuedSecret, SigningSecret};
use crate::time::Clock;
use crate::url_policy;

/// A subscription with the data that a delivery needs: one that gets an event, or the one of an id
/// ([`Registry::subscriber`](crate::Registry::subscriber)). Cloning it copies a pointer.
#[derive(Clone)]
pub struct Subscriber(Arc<Inner>);

struct Inner {
    fields: SubscriberFields,
    clock: Clock,
}

/// The values of a subscriber's rows.
#[derive(Clone)]
pub(super) struct SubscriberFields {
    /// The key of the subscription's row. It increases with the id.
    pub(super) position: i64,
    /// The row of the owner. It decides which scopes may share the subscriber.
    pub(super) owner_row: i64,
    pub(super) id: SubscriptionId,
    pub(super) owner: Option<Arc<str>>,
    pub(super) name: String,
    pub(super) url: String,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) enabled: bool,
    pub(super) secret: IssuedSecret,
    /// The secrets that were replaced, newest first, also those that have expired.
    pub(super) replaced_secrets: Vec<IssuedSecret>,
}

impl Subscriber {
    pub(super) fn new(fields: SubscriberFields, clock: Clock) -> Subscriber {
        Subscriber(Arc::new(Inner { fields, clock }))
    }

    pub(super) fn fields(&self) -> &SubscriberFields {
        &self.0.fields
    }

    /// Returns about how many bytes the subscriber takes in memory.
    pub(super) fn bytes(&self) -> usize {
        // What an allocator adds to each text and each table.
        const EACH: usize = 24;
        let SubscriberFields {
            position: _,
            owner_row: _,
            id: _,
            owner,
            name,
            url,
            metadata,
            enabled: _,
            secret,
            replaced_secrets,
        } = self.fields();
        let entry = |(key, value): (&String, &String)| -> usize {
            [key.len(), value.len(), 4 * EACH].iter().sum()
        };
        let metadata: usize = metadata.iter().map(entry).sum();
        let bytes = |IssuedSecret { secret, .. }: &IssuedSecret| -> usize {
            [secret.expose().len(), secret.key_len(), 2 * EACH].iter().sum()
        };
        let entry_of = |secret| bytes(secret).saturating_add(size_of::<IssuedSecret>());
        let replaced: usize = replaced_secrets.iter().map(entry_of).sum();
        let owner = owner.as_ref().map_or(0, |owner| owner.len());
        let texts = [name.len(), url.len(), metadata, bytes(secret), replaced];
        [size_of::<Inner>(), 4 * EACH, owner].iter().chain(&texts).sum()
    }

    /// Returns whether both are clones of one value.
    #[cfg(test)]
    pub(super) fn is_clone_of(&self, other: &Subscriber) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns the subscription's id.
    pub fn id(&self) -> SubscriptionId {
        self.fields().id
    }

    /// Returns the subscription's owner, if it has one.
    pub fn owner(&self) -> Option<&str> {
        self.fields().owner.as_deref()
    }

    /// Returns the subscription's name.
    pub fn name(&self) -> &str {
        &self.fields().name
    }

    /// Returns the URL to deliver to, exactly as it was given.
    pub fn url(&self) -> &str {
        &self.fields().url
    }

    /// Returns the metadata that the application keeps with the subscription.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.fields().metadata
    }

    /// Returns whether the subscription is enabled. Always true in an answer of
    /// [`Registry::subscribers`](crate::Registry::subscribers).
    pub fn enabled(&self) -> bool {
        self.fields().enabled
    }

    /// Returns the secrets to sign with, newest first. A secret that has expired by the registry's
    /// clock at the moment of this call is left out.
    pub fn secrets(&self) -> impl Iterator<Item = &SigningSecret> {
        let now = self.0.clock.now();
        self.issued_secrets().filter(move |issued| issued.is_live(now)).map(IssuedSecret::secret)
    }

    /// Returns every secret, newest first, also those that have expired.
    fn issued_secrets(&self) -> impl Iterator<Item = &IssuedSecret> + Clone {
        let SubscriberFields { secret, replaced_secrets, .. } = self.fields();
        iter::once(secret).chain(replaced_secrets)
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SubscriberFields {
            position: _,
            owner_row: _,
            id,
            owner,
            name,
            url,
            metadata,
            enabled,
            secret: _,
            replaced_secrets: _,
        } = self.fields();
        let secrets: Vec<&IssuedSecret> = self.issued_secrets().collect();
        f.debug_struct("Subscriber")
            .field("id", id)
            .field("name", name)
            .field("url", &url_policy::redacted(url))
            .field("metadata", metadata)
            .field("enabled", enabled)
            .field("owner", owner)
            .field("secrets", &secrets)
            .finish()
    }
}
