//! The document of an export, written and read by hand: serde's derive, serde_json and the
//! baseline.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use ulid::Ulid;

use super::Baseline;
use super::rows::{CreatedRow, SubscriptionRow, unix_millis};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    format_version: u64,
    event_types: Vec<EventType>,
    subscriptions: Vec<Subscription>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventType {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<Value>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subscription {
    subscription_id: String,
    name: String,
    url: String,
    events: Vec<String>,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    created_at: String,
    updated_at: String,
    revision: i64,
    secrets: Vec<Secret>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    secret: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

impl Document {
    pub(crate) fn parse(document: &str) -> Document {
        serde_json::from_str(document).unwrap()
    }

    /// Returns the document without the subscription of this name.
    pub(crate) fn without(mut self, name: &str) -> Document {
        self.subscriptions.retain(|subscription| subscription.name != name);
        self
    }
}

pub(crate) fn export(baseline: &Baseline) -> String {
    let (event_types, all) = baseline.read(|| (baseline.event_types(), baseline.all()));
    let event_types = event_types.into_iter().map(|(name, description, schema)| EventType {
        name,
        description,
        json_schema: schema.map(|schema| serde_json::from_str(&schema).unwrap()),
    });
    let subscriptions = all.into_iter().map(|CreatedRow { subscription: row, secret }| {
        let created_at = text(row.created_at);
        Subscription {
            subscription_id: Ulid::from_bytes(row.id).to_string(),
            name: row.name,
            url: row.url,
            events: row.events,
            enabled: row.enabled,
            description: row.description,
            metadata: row.metadata,
            created_at: created_at.clone(),
            updated_at: text(row.updated_at),
            revision: row.revision,
            secrets: vec![Secret { secret, created_at, expires_at: None }],
        }
    });
    let document = Document {
        format_version: 1,
        event_types: event_types.collect(),
        subscriptions: subscriptions.collect(),
    };
    serde_json::to_string(&document).unwrap()
}

/// Reads a document into an empty database.
pub(crate) fn import(baseline: &Baseline, document: &str) {
    let Document { format_version: _, event_types, subscriptions } = Document::parse(document);
    let rows = subscriptions.into_iter().map(|one| {
        let [secret] = <[Secret; 1]>::try_from(one.secrets).unwrap();
        let subscription = SubscriptionRow {
            id: one.subscription_id.parse::<Ulid>().unwrap().to_bytes(),
            name: one.name,
            url: one.url,
            events: one.events,
            enabled: one.enabled,
            description: one.description,
            metadata: one.metadata,
            created_at: millis(&one.created_at),
            updated_at: millis(&one.updated_at),
            revision: one.revision,
        };
        CreatedRow { subscription, secret: secret.secret }
    });
    let rows: Vec<CreatedRow> = rows.collect();
    baseline.write(|| {
        for EventType { name, description, json_schema } in event_types {
            let schema = json_schema.map(|schema| schema.to_string());
            baseline.register_in(&name, description.as_deref(), schema.as_deref());
        }
        baseline.insert(&rows);
    });
}

fn text(millis: i64) -> String {
    humantime::format_rfc3339_millis(at(millis)).to_string()
}

fn at(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap())
}

fn millis(text: &str) -> i64 {
    unix_millis(humantime::parse_rfc3339(text).unwrap())
}
