//! The baseline's answers, and conversions of the registry's answers for comparing the two.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use ulid::Ulid;
use webhook_registry::{Created, Subscriber, Subscription, SubscriptionId};

/// The 16 bytes of a ULID.
pub(crate) type Id = [u8; 16];

/// A subscriber of an event, as the baseline returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubscriberRow {
    pub(crate) id: Id,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) secret: String,
}

impl From<&Subscriber> for SubscriberRow {
    fn from(subscriber: &Subscriber) -> SubscriberRow {
        let mut secrets = subscriber.secrets();
        let secret = secrets.next().unwrap().expose().to_owned();
        assert!(secrets.next().is_none(), "no benchmark rotates a secret");
        SubscriberRow {
            id: id_bytes(subscriber.id()),
            name: subscriber.name().to_owned(),
            url: subscriber.url().to_owned(),
            metadata: subscriber.metadata().clone(),
            secret,
        }
    }
}

/// A subscription, as the baseline returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubscriptionRow {
    pub(crate) id: Id,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) events: Vec<String>,
    pub(crate) enabled: bool,
    pub(crate) description: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) revision: i64,
}

impl SubscriptionRow {
    /// Returns the row without what differs between two databases that were filled independently.
    pub(crate) fn without_id_and_times(self) -> SubscriptionRow {
        SubscriptionRow { id: Id::default(), created_at: 0, updated_at: 0, ..self }
    }
}

impl From<&Subscription> for SubscriptionRow {
    fn from(subscription: &Subscription) -> SubscriptionRow {
        SubscriptionRow {
            id: id_bytes(subscription.id()),
            name: subscription.name().to_owned(),
            url: subscription.url().to_owned(),
            events: subscription.events().iter().map(ToString::to_string).collect(),
            enabled: subscription.enabled(),
            description: subscription.description().map(str::to_owned),
            metadata: subscription.metadata().clone(),
            created_at: unix_millis(subscription.created_at()),
            updated_at: unix_millis(subscription.updated_at()),
            revision: i64::try_from(subscription.revision()).unwrap(),
        }
    }
}

/// A subscription that was just created, with its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CreatedRow {
    pub(crate) subscription: SubscriptionRow,
    pub(crate) secret: String,
}

impl From<&Created> for CreatedRow {
    fn from(created: &Created) -> CreatedRow {
        CreatedRow {
            subscription: created.subscription().into(),
            secret: created.secret().expose().to_owned(),
        }
    }
}

pub(crate) fn id_bytes(id: SubscriptionId) -> Id {
    id.to_string().parse::<Ulid>().unwrap().to_bytes()
}

pub(crate) fn unix_millis(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}
