//! The document of an export, written and read as one would by hand: serde's derive, serde_json, plain SQL.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use rusqlite::{Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plain::intern;
use super::{New, Plain};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    format_version: u64,
    event_types: Vec<EventType>,
    subscriptions: Vec<Subscription>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventType {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<Value>,
}

#[derive(Serialize, Deserialize)]
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

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    secret: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

/// A field of a change in the history.
#[derive(Serialize)]
pub(super) struct Field<'n> {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<After<'n>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum After<'n> {
    Text(&'n str),
    List(&'n [String]),
    Flag(bool),
    Map(&'n BTreeMap<String, String>),
}

/// What the history tells of a subscription that was created.
pub(super) fn created(new: &New) -> Vec<Field<'_>> {
    let field = |name, after| Field { name, after: Some(after) };
    let mut fields = vec![
        field("name", After::Text(&new.name)),
        field("url", After::Text(&new.url)),
        field("events", After::List(&new.events)),
        field("enabled", After::Flag(new.enabled)),
    ];
    fields.extend(new.description.as_deref().map(|text| field("description", After::Text(text))));
    fields.extend((!new.metadata.is_empty()).then(|| field("metadata", After::Map(&new.metadata))));
    fields.push(Field { name: "secret", after: None });
    fields
}

pub(crate) fn export(plain: &Plain) -> String {
    let tx = Transaction::new_unchecked(&plain.conn, TransactionBehavior::Deferred).unwrap();
    let mut statement = tx
        .prepare_cached("SELECT name, description, json_schema FROM event_type ORDER BY name")
        .unwrap();
    let event_types = statement.query_map([], |row| {
        let json_schema: Option<String> = row.get(2)?;
        let json_schema = json_schema.map(|text| serde_json::from_str(&text).unwrap());
        Ok(EventType { name: row.get(0)?, description: row.get(1)?, json_schema })
    });
    let event_types = event_types.unwrap().collect::<Result<_, _>>().unwrap();
    let mut secrets = tx
        .prepare_cached("SELECT subscription, text, created_at, expires_at FROM secret ORDER BY subscription, serial DESC")
        .unwrap();
    let secrets = secrets.query_map([], |row| {
        let secret = Secret {
            secret: row.get(1)?,
            created_at: text(row.get(2)?),
            expires_at: row.get::<_, Option<i64>>(3)?.map(text),
        };
        Ok((row.get::<_, i64>(0)?, secret))
    });
    let mut secrets = secrets.unwrap().map(Result::unwrap).peekable();
    let subscriptions = plain.page(0, usize::MAX);
    let mut seqs = tx.prepare_cached("SELECT seq FROM subscription ORDER BY seq").unwrap();
    let mut seqs = seqs.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    let subscriptions = subscriptions.into_iter().map(|found| {
        let seq = seqs.next().unwrap().unwrap();
        let mut issued = Vec::with_capacity(1);
        while let Some((_, secret)) = secrets.next_if(|(of, _)| *of == seq) {
            issued.push(secret);
        }
        Subscription {
            subscription_id: found.id,
            name: found.name,
            url: found.url,
            events: found.events,
            enabled: found.enabled,
            description: found.description,
            metadata: found.metadata,
            created_at: text(found.created_at),
            updated_at: text(found.updated_at),
            revision: found.revision,
            secrets: issued,
        }
    });
    let subscriptions = subscriptions.collect();
    serde_json::to_string(&Document { format_version: 1, event_types, subscriptions }).unwrap()
}

/// Into an empty file. It checks nothing but what the database does.
pub(crate) fn import(plain: &Plain, document: &str) {
    let Document { format_version: _, event_types, subscriptions } =
        serde_json::from_str(document).unwrap();
    let tx = Transaction::new_unchecked(&plain.conn, TransactionBehavior::Immediate).unwrap();
    let prepare = |sql| plain.conn.prepare_cached(sql).unwrap();
    let mut insert =
        prepare("INSERT INTO event_type (name, description, json_schema) VALUES (?1, ?2, ?3)");
    for EventType { name, description, json_schema } in event_types {
        insert
            .execute(params![name, description, json_schema.map(|schema| schema.to_string())])
            .unwrap();
    }
    let mut insert = prepare(
        "INSERT INTO subscription (id, name, url, enabled, description, metadata, created_at, updated_at, revision) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    );
    let mut route = prepare(
        "INSERT INTO subscription_pattern (subscription, position, pattern, enabled) VALUES (?1, ?2, ?3, ?4)",
    );
    let mut issue = prepare(
        "INSERT INTO secret (subscription, serial, text, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    );
    let mut known = std::collections::HashMap::new();
    for one in subscriptions {
        let metadata = if one.metadata.is_empty() {
            "{}".to_owned()
        } else {
            serde_json::to_string(&one.metadata).unwrap()
        };
        let seq = insert
            .insert(params![
                one.subscription_id,
                one.name,
                one.url,
                one.enabled,
                one.description,
                metadata,
                millis(&one.created_at),
                millis(&one.updated_at),
                one.revision
            ])
            .unwrap();
        for (position, event) in one.events.into_iter().enumerate() {
            let pattern = match known.get(&event) {
                Some(&pattern) => pattern,
                None => {
                    let pattern = intern(&tx, &event);
                    known.insert(event, pattern);
                    pattern
                }
            };
            route.execute(params![seq, position as i64, pattern, one.enabled]).unwrap();
        }
        for (serial, secret) in one.secrets.into_iter().rev().enumerate() {
            let until = secret.expires_at.as_deref().map(millis);
            issue
                .execute(params![
                    seq,
                    serial as i64 + 1,
                    secret.secret,
                    millis(&secret.created_at),
                    until
                ])
                .unwrap();
        }
    }
    drop((insert, route, issue));
    tx.commit().unwrap();
}

fn text(millis: i64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(millis as u64)).to_string()
}

fn millis(text: &str) -> i64 {
    humantime::parse_rfc3339(text).unwrap().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}
