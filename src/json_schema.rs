//! JSON Schemas of the documents that a registry reads and writes.
//!
//! A schema accepts every document that the crate accepts. It cannot express all rules, so a
//! document that it accepts can still be rejected: lengths in bytes are limits in characters here,
//! and the catalog is not in it. A property test compares what a schema and the crate accept.

use serde_json::{Map, Value, json};

use crate::event_type::{self, Catalog};
use crate::secret::{self, Rotation};
use crate::subscription::{
    self, Created, ListQuery, NewSubscription, Page, Subscription, SubscriptionUpdate,
};
use crate::{pattern, url_policy};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

impl NewSubscription {
    /// Returns the [JSON Schema](https://json-schema.org/draft/2020-12) of the documents that
    /// [`from_json`](NewSubscription::from_json) reads.
    ///
    /// The schema accepts every document that the crate accepts. It contains the keys, types,
    /// lengths, counts and ranges. Other rules are validated by the call only.
    pub fn json_schema() -> Value {
        let properties = json!({
            "name": name(),
            "url": url(),
            "events": events(),
            "enabled": nullable(json!({"type": "boolean"})),
            "secret": nullable(secret()),
            "description": nullable(description()),
            "metadata": nullable(metadata()),
            "disabledReason": nullable(disabled_reason()),
        });
        root("NewSubscription", object(&properties, &["name", "url", "events"]))
    }
}

impl SubscriptionUpdate {
    /// Returns the [JSON Schema](https://json-schema.org/draft/2020-12) of the documents that
    /// [`from_json`](SubscriptionUpdate::from_json) reads.
    ///
    /// The schema accepts every document that the crate accepts. It contains the keys, types,
    /// lengths, counts and ranges. Other rules are validated by the call only.
    pub fn json_schema() -> Value {
        let properties = json!({
            "name": name(),
            "url": url(),
            "events": events(),
            "enabled": {"type": "boolean"},
            "secret": secret(),
            "description": nullable(description()),
            // A null removes a key, whatever the key is. So neither keys nor their number is
            // limited.
            "metadata": {
                "type": ["object", "null"],
                "additionalProperties": nullable(metadata_value()),
            },
            "disabledReason": nullable(disabled_reason()),
            "ifRevision": {"type": "integer", "minimum": 0, "maximum": u64::MAX},
        });
        root("SubscriptionUpdate", object(&properties, &[]))
    }
}

impl ListQuery {
    /// Returns the [JSON Schema](https://json-schema.org/draft/2020-12) of the documents that
    /// [`from_json`](ListQuery::from_json) reads, for [`list`](crate::Registry::list).
    ///
    /// The schema accepts every document that the crate accepts. It contains the keys, types,
    /// lengths, counts and ranges. The texts of a query string are not in it.
    pub fn json_schema() -> Value {
        let limit = json!({"type": "integer", "minimum": 1, "maximum": subscription::MAX_LIMIT});
        let properties = json!({
            "enabled": nullable(json!({"type": "boolean"})),
            "nameContains": nullable(json!({"type": "string"})),
            "eventType": nullable(event_type_name()),
            "metadata": {
                "type": ["object", "null"],
                "additionalProperties": {"type": "string"},
            },
            "after": nullable(id()),
            "limit": nullable(limit),
        });
        root("ListQuery", object(&properties, &[]))
    }
}

impl Rotation {
    /// Returns the [JSON Schema](https://json-schema.org/draft/2020-12) of the documents that
    /// [`from_json`](Rotation::from_json) reads.
    ///
    /// The schema accepts every document that the crate accepts. It contains the keys, types,
    /// lengths and ranges. Other rules are validated by the call only.
    pub fn json_schema() -> Value {
        let overlap =
            json!({"type": "integer", "minimum": 0, "maximum": secret::MAX_OVERLAP.as_secs()});
        let properties = json!({
            "secret": nullable(secret()),
            "overlapSeconds": nullable(overlap),
        });
        root("Rotation", object(&properties, &[]))
    }
}

impl Catalog {
    /// Returns the [JSON Schema](https://json-schema.org/draft/2020-12) of the documents that a
    /// catalog is read from and written as.
    ///
    /// The schema accepts every document that the crate accepts, so it allows unknown keys. The
    /// limits of a payload's schema (256 KiB and 124 levels) are not in it.
    pub fn json_schema() -> Value {
        let event_type = json!({
            "type": "object",
            "properties": {
                "name": event_type_name(),
                "description": nullable(description()),
                "jsonSchema": true,
            },
            "required": ["name"],
        });
        let catalog = json!({
            "type": "object",
            "properties": {"eventTypes": {"type": "array", "items": event_type}},
            "required": ["eventTypes"],
        });
        root("Catalog", catalog)
    }
}

impl Subscription {
    /// Returns the [JSON Schema](https://json-schema.org/draft/2020-12) of a serialized
    /// subscription.
    pub fn json_schema() -> Value {
        root("Subscription", subscription(None))
    }
}

impl Created {
    /// Returns the [JSON Schema](https://json-schema.org/draft/2020-12) of a serialized answer to a
    /// creation.
    pub fn json_schema() -> Value {
        root("Created", subscription(Some(secret())))
    }
}

impl Page {
    /// Returns the [JSON Schema](https://json-schema.org/draft/2020-12) of a serialized page.
    pub fn json_schema() -> Value {
        let subscriptions = json!({
            "type": "array",
            "items": subscription(None),
            "maxItems": subscription::MAX_LIMIT,
        });
        let properties = json!({"subscriptions": subscriptions, "next": id()});
        root("Page", object(&properties, &["subscriptions"]))
    }
}

/// Returns the schema of a whole document.
fn root(title: &str, schema: Value) -> Value {
    let mut root = Map::new();
    root.insert("$schema".to_owned(), DIALECT.into());
    root.insert("title".to_owned(), title.into());
    if let Value::Object(schema) = schema {
        root.extend(schema);
    }
    Value::Object(root)
}

/// Returns the schema of an object without other keys.
fn object(properties: &Value, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Returns the schema that also accepts null.
fn nullable(mut schema: Value) -> Value {
    if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind.take(), "null"]);
    }
    schema
}

fn subscription(secret: Option<Value>) -> Value {
    let mut properties = json!({
        "subscriptionId": id(),
        "name": name(),
        "url": url(),
        "events": events(),
        "enabled": {"type": "boolean"},
        "description": description(),
        "metadata": metadata(),
        "owner": name(),
        "disabledReason": disabled_reason(),
        "disabledAt": time(),
        "createdAt": time(),
        "updatedAt": time(),
        "revision": {"type": "integer", "minimum": 1, "maximum": u64::MAX},
    });
    let mut required = vec![
        "subscriptionId",
        "name",
        "url",
        "events",
        "enabled",
        "createdAt",
        "updatedAt",
        "revision",
    ];
    if let (Some(secret), Value::Object(properties)) = (secret, &mut properties) {
        properties.insert("secret".to_owned(), secret);
        required.push("secret");
    }
    object(&properties, &required)
}

/// Without control characters.
fn name() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": subscription::MAX_NAME,
        "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$",
    })
}

/// With a scheme and a host, and without a backslash or a fragment. International host names are
/// accepted, so the format is not `uri`.
fn url() -> Value {
    json!({
        "type": "string",
        "maxLength": url_policy::MAX_LENGTH,
        "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@\\][^#\\]*$",
    })
}

fn events() -> Value {
    json!({
        "type": "array",
        "minItems": 1,
        "maxItems": subscription::MAX_EVENTS,
        "items": {
            "type": "string",
            "minLength": 1,
            "maxLength": pattern::MAX_LENGTH,
            "pattern": r"^[A-Za-z0-9_.:/*?\[\]!-]+$",
        },
    })
}

fn event_type_name() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": event_type::MAX_NAME,
        "pattern": "^[A-Za-z0-9_.:/-]+$",
    })
}

/// A registry's `min_secret_bytes` is not known here.
fn secret() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": secret::MAX_TEXT,
        "pattern": "^(whsec_)?[A-Za-z0-9+/]+=*$",
    })
}

fn description() -> Value {
    json!({"type": "string", "maxLength": event_type::MAX_DESCRIPTION, "pattern": NO_NUL})
}

fn metadata() -> Value {
    json!({
        "type": "object",
        "maxProperties": subscription::MAX_METADATA,
        "propertyNames": {"minLength": 1, "maxLength": subscription::MAX_KEY, "pattern": NO_NUL},
        "additionalProperties": metadata_value(),
    })
}

fn metadata_value() -> Value {
    json!({"type": "string", "maxLength": subscription::MAX_VALUE, "pattern": NO_NUL})
}

fn disabled_reason() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": subscription::MAX_REASON,
        "pattern": NO_NUL,
    })
}

const NO_NUL: &str = r"^[^\u0000]*$";

/// A ULID, in upper or lower case.
fn id() -> Value {
    json!({"type": "string", "pattern": "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"})
}

fn time() -> Value {
    json!({
        "type": "string",
        "format": "date-time",
        "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
    })
}
