//! Answers in a form that both sides can be brought to, to assert that they are the same.

use std::collections::BTreeMap;

use rusqlite::{Result, Row};
use webhook_registry::{Subscriber, Subscription};

/// Who gets an event: what the plain program answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipient {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) metadata: BTreeMap<String, String>,
    /// Newest first, each until when it lives.
    pub(crate) secrets: Vec<(String, Option<i64>)>,
}

impl Recipient {
    /// From the columns `id, name, url, metadata, text, expires_at`, beginning at `first`.
    pub(crate) fn from_row(row: &Row<'_>, first: usize) -> Result<Recipient> {
        Ok(Recipient {
            id: row.get(first)?,
            name: row.get(first + 1)?,
            url: row.get(first + 2)?,
            metadata: metadata(row.get_ref(first + 3)?.as_str()?),
            secrets: vec![(row.get(first + 4)?, row.get(first + 5)?)],
        })
    }
}

impl From<&Subscriber> for Recipient {
    fn from(subscriber: &Subscriber) -> Recipient {
        Recipient {
            id: subscriber.id().to_string(),
            name: subscriber.name().to_owned(),
            url: subscriber.url().to_owned(),
            metadata: subscriber.metadata().clone(),
            secrets: subscriber
                .secrets()
                .map(|secret| (secret.expose().to_owned(), None))
                .collect(),
        }
    }
}

/// A subscription: what the plain program answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) id: String,
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

impl Endpoint {
    /// From the columns `id, name, url, enabled, description, metadata, created_at, updated_at, revision, pattern`,
    /// beginning at `first`.
    pub(crate) fn from_row(row: &Row<'_>, first: usize) -> Result<Endpoint> {
        Ok(Endpoint {
            id: row.get(first)?,
            name: row.get(first + 1)?,
            url: row.get(first + 2)?,
            enabled: row.get(first + 3)?,
            description: row.get(first + 4)?,
            metadata: metadata(row.get_ref(first + 5)?.as_str()?),
            created_at: row.get(first + 6)?,
            updated_at: row.get(first + 7)?,
            revision: row.get(first + 8)?,
            events: vec![row.get(first + 9)?],
        })
    }
}

impl From<&Subscription> for Endpoint {
    fn from(subscription: &Subscription) -> Endpoint {
        let millis = |time: std::time::SystemTime| {
            time.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
        };
        Endpoint {
            id: subscription.id().to_string(),
            name: subscription.name().to_owned(),
            url: subscription.url().to_owned(),
            events: subscription.events().iter().map(ToString::to_string).collect(),
            enabled: subscription.enabled(),
            description: subscription.description().map(str::to_owned),
            metadata: subscription.metadata().clone(),
            created_at: millis(subscription.created_at()),
            updated_at: millis(subscription.updated_at()),
            revision: subscription.revision() as i64,
        }
    }
}

fn metadata(text: &str) -> BTreeMap<String, String> {
    // Most have none.
    if text == "{}" { BTreeMap::new() } else { serde_json::from_str(text).unwrap() }
}
