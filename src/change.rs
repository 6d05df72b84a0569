use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::Value;

use crate::event_type::{EventType, is_name};
use crate::id::SubscriptionId;
use crate::pattern::EventPattern;
use crate::subscription::{StoredParts, Subscription};
use crate::time::Millis;

/// One entry of the history: what a call has changed of one subscription or event type. From
/// [`Registry::changes`](crate::Registry::changes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub(crate) sequence: u64,
    pub(crate) at: Millis,
    pub(crate) kind: ChangeKind,
    pub(crate) subject: String,
    pub(crate) fields: Vec<FieldChange>,
}

impl Change {
    /// Its number: from 1 on, without gaps.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// When it was made, in whole milliseconds by the registry's clock.
    pub fn at(&self) -> SystemTime {
        self.at.into()
    }

    /// What was done.
    pub fn kind(&self) -> ChangeKind {
        self.kind
    }

    /// To what: the text of a subscription's id, or the name of an event type.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What differs, by JSON key. `Created` and `Deleted`, and the first and the last of an event type, list every field
    /// that has a value, but `Deleted` none of one that was damaged. Times and revision are not listed; a secret is
    /// listed without values.
    pub fn fields(&self) -> &[FieldChange] {
        &self.fields
    }

    /// Whether subject and fields of a change that was read back keep the rules that judged them when they were new.
    pub(crate) fn keeps_rules(&self) -> bool {
        let Change { sequence: _, at: _, kind, subject, fields } = self;
        let names_subject = if kind.is_of_event_type() {
            is_name(subject)
        } else {
            SubscriptionId::from_stored(subject).is_some()
        };
        let once = |(at, field): (usize, &FieldChange)| {
            fields.iter().take(at).all(|f| f.name != field.name)
        };
        names_subject
            && fields.iter().enumerate().all(once)
            && fields.iter().all(|field| field.keeps_rules(kind.is_of_event_type()))
    }
}

/// What a [`Change`] has done.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A subscription was created.
    Created,
    /// Some of its fields were changed.
    Updated,
    /// It was enabled, and nothing else.
    Enabled,
    /// It was disabled, and nothing else.
    Disabled,
    /// Its secret was replaced, and nothing else, with or without overlap.
    SecretRotated,
    /// The overlap of its replaced secrets was ended, and nothing else.
    SecretsRevoked,
    /// It was deleted.
    Deleted,
    /// An event type was added to the catalog.
    EventTypeRegistered,
    /// Its description or schema was replaced.
    EventTypeReplaced,
    /// It was taken out of the catalog.
    EventTypeRemoved,
}

impl ChangeKind {
    const ALL: [(ChangeKind, &'static str); 10] = [
        (ChangeKind::Created, "created"),
        (ChangeKind::Updated, "updated"),
        (ChangeKind::Enabled, "enabled"),
        (ChangeKind::Disabled, "disabled"),
        (ChangeKind::SecretRotated, "secretRotated"),
        (ChangeKind::SecretsRevoked, "secretsRevoked"),
        (ChangeKind::Deleted, "deleted"),
        (ChangeKind::EventTypeRegistered, "eventTypeRegistered"),
        (ChangeKind::EventTypeReplaced, "eventTypeReplaced"),
        (ChangeKind::EventTypeRemoved, "eventTypeRemoved"),
    ];

    /// As the file keeps it.
    pub(crate) fn as_str(self) -> &'static str {
        ChangeKind::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, text)| text)
    }

    fn is_of_event_type(self) -> bool {
        matches!(
            self,
            ChangeKind::EventTypeRegistered
                | ChangeKind::EventTypeReplaced
                | ChangeKind::EventTypeRemoved
        )
    }

    pub(crate) fn from_stored(text: &str) -> Option<ChangeKind> {
        ChangeKind::ALL.iter().find(|(_, stored)| *stored == text).map(|(kind, _)| *kind)
    }
}

/// One field of a [`Change`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    pub(crate) name: String,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

impl FieldChange {
    /// The JSON key: `name`, `url`, `events`, `enabled`, `secret`, `description`, `metadata`, `jsonSchema`. Metadata is one
    /// field, whole before and after.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it was. None where there was nothing, and for a secret.
    pub fn before(&self) -> Option<&Value> {
        self.before.as_ref()
    }

    /// What it has become. None where there is nothing, and for a secret.
    pub fn after(&self) -> Option<&Value> {
        self.after.as_ref()
    }

    fn keeps_rules(&self, of_event_type: bool) -> bool {
        let FieldChange { name, before, after } = self;
        let mut values = before.iter().chain(after);
        if name == "secret" {
            return !of_event_type && values.next().is_none();
        }
        let keeps = if of_event_type { event_type_value } else { subscription_value };
        values.all(|value| keeps(name, value).unwrap_or(false))
    }

    fn secret() -> FieldChange {
        FieldChange { name: "secret".to_owned(), before: None, after: None }
    }
}

/// Whether this is a value that a field of a subscription can have; none where it has another type, and for an unknown
/// field.
fn subscription_value(field: &str, value: &Value) -> Option<bool> {
    let (events, metadata);
    let mut parts = StoredParts::default();
    match field {
        "name" => parts.name = Some(value.as_str()?),
        "url" => parts.url = Some(value.as_str()?),
        "events" => {
            let pattern = |value: &Value| EventPattern::stored(value.as_str()?).ok();
            events = value.as_array()?.iter().map(pattern).collect::<Option<Vec<_>>>()?;
            parts.events = Some(&events);
        }
        "enabled" => return Some(value.is_boolean()),
        "description" => parts.description = Some(value.as_str()?),
        "metadata" => {
            let entry =
                |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
            metadata = value.as_object()?.iter().map(entry).collect::<Option<BTreeMap<_, _>>>()?;
            parts.metadata = Some(&metadata);
        }
        _ => return None,
    }
    Some(parts.faults().is_empty())
}

/// The same of an event type.
fn event_type_value(field: &str, value: &Value) -> Option<bool> {
    let mut event_type = EventType::new("any");
    match field {
        "name" => value.as_str()?.clone_into(&mut event_type.name),
        "description" => event_type.description = Some(value.as_str()?.to_owned()),
        "jsonSchema" => event_type.json_schema = Some(value.clone()),
        _ => return None,
    }
    Some(event_type.stored_problems().is_empty())
}

/// What becomes of the secrets by a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretChange {
    Kept,
    Replaced,
    /// Those that were replaced before are no longer valid.
    Revoked,
}

/// What a call has changed of a subscription: the kind and the fields.
pub(crate) fn of_update(
    before: &Subscription,
    after: &Subscription,
    secret: SecretChange,
) -> (ChangeKind, Vec<FieldChange>) {
    let mut fields = differing(subscription(before), subscription(after));
    let kind = match (fields.as_slice(), secret) {
        ([], SecretChange::Revoked) => ChangeKind::SecretsRevoked,
        ([], _) => ChangeKind::SecretRotated,
        ([only], SecretChange::Kept) if only.name == "enabled" => {
            if after.enabled {
                ChangeKind::Enabled
            } else {
                ChangeKind::Disabled
            }
        }
        _ => ChangeKind::Updated,
    };
    if secret != SecretChange::Kept {
        fields.push(FieldChange::secret());
    }
    (kind, fields)
}

/// Every field of a subscription that came to be.
pub(crate) fn of_created(created: &Subscription) -> Vec<FieldChange> {
    let mut fields = differing(Vec::new(), subscription(created));
    fields.push(FieldChange::secret());
    fields
}

/// Every field of a subscription that is no more.
pub(crate) fn of_deleted(deleted: &Subscription) -> Vec<FieldChange> {
    let mut fields = differing(subscription(deleted), Vec::new());
    fields.push(FieldChange::secret());
    fields
}

/// What a call has changed of an event type; none where it was not there, or is no more.
pub(crate) fn of_event_type(
    before: Option<&EventType>,
    after: Option<&EventType>,
) -> Vec<FieldChange> {
    differing(before.map(event_type).unwrap_or_default(), after.map(event_type).unwrap_or_default())
}

type Values = Vec<(&'static str, Value)>;

fn subscription(subscription: &Subscription) -> Values {
    let Subscription {
        id: _,
        name,
        url,
        events,
        enabled,
        description,
        metadata,
        created_at: _,
        updated_at: _,
        revision: _,
    } = subscription;
    let events = events.iter().map(|pattern| pattern.as_str().into()).collect();
    let mut values: Values = vec![
        ("name", name.as_str().into()),
        ("url", url.as_str().into()),
        ("events", Value::Array(events)),
        ("enabled", Value::Bool(*enabled)),
    ];
    values.extend(description.as_deref().map(|text| ("description", text.into())));
    if !metadata.is_empty() {
        let entries = metadata.iter().map(|(key, value)| (key.clone(), value.as_str().into()));
        values.push(("metadata", Value::Object(entries.collect())));
    }
    values
}

fn event_type(event_type: &EventType) -> Values {
    let EventType { name, description, json_schema } = event_type;
    let mut values: Values = vec![("name", name.as_str().into())];
    values.extend(description.as_deref().map(|text| ("description", text.into())));
    values.extend(json_schema.clone().map(|schema| ("jsonSchema", schema)));
    values
}

/// The values that are on one side only, or differ.
fn differing(mut before: Values, mut after: Values) -> Vec<FieldChange> {
    const KEYS: [&str; 7] =
        ["name", "url", "events", "enabled", "description", "metadata", "jsonSchema"];
    let take = |values: &mut Values, key| {
        values.iter_mut().find(|(name, _)| *name == key).map(|(_, value)| value.take())
    };
    KEYS.into_iter()
        .map(|key| FieldChange {
            name: key.to_owned(),
            before: take(&mut before, key),
            after: take(&mut after, key),
        })
        .filter(|field| field.before != field.after)
        .collect()
}
