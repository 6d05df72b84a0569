use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

use crate::event_type::{EventType, is_name};
use crate::id::SubscriptionId;
use crate::pattern::EventPattern;
use crate::subscription::{StoredParts, SubscriptionFields, check_owner};
use crate::time::Millis;

/// One entry of the history: a call's change to one subscription or event type.
///
/// [`Registry::changes`](crate::Registry::changes) returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub(crate) sequence: u64,
    pub(crate) at: Millis,
    pub(crate) kind: ChangeKind,
    pub(crate) subject: String,
    pub(crate) owner: Option<Arc<str>>,
    pub(crate) fields: Vec<FieldChange>,
}

impl Change {
    /// Returns its sequence number. Numbers start at 1 and have no gaps.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns its time, in whole milliseconds by the registry's clock.
    pub fn at(&self) -> SystemTime {
        self.at.into()
    }

    /// Returns its kind.
    pub fn kind(&self) -> ChangeKind {
        self.kind
    }

    /// Returns the text of the subscription's id, or the name of the event type.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns the owner of the subscription. `None` if it has none, and for an event type.
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// Returns the fields that differ, by JSON key.
    ///
    /// A change that creates, deletes, registers or removes lists every field that has a value. The
    /// deletion of a damaged row lists no field. Times and revision are not listed. A secret is
    /// listed without values.
    pub fn fields(&self) -> &[FieldChange] {
        &self.fields
    }

    /// Returns whether the subject and the fields of a stored change meet the rules for new values.
    pub(crate) fn keeps_rules(&self) -> bool {
        let Change { sequence: _, at: _, kind, subject, owner, fields } = self;
        let names_subject = if kind.is_of_event_type() {
            is_name(subject)
        } else {
            SubscriptionId::from_stored(subject).is_some()
        };
        let once = |(at, field): (usize, &FieldChange)| {
            fields.iter().take(at).all(|f| f.name != field.name)
        };
        let names_owner = owner
            .as_deref()
            .is_none_or(|owner| !kind.is_of_event_type() && check_owner(owner).is_ok());
        names_subject
            && names_owner
            && fields.iter().enumerate().all(once)
            && fields.iter().all(|field| field.keeps_rules(kind.is_of_event_type()))
    }
}

/// The kind of a [`Change`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A subscription was created.
    Created,
    /// Fields of a subscription were changed.
    Updated,
    /// A subscription was enabled, and nothing else changed but the reason, which was cleared.
    Enabled,
    /// A subscription was disabled, with or without a reason, or the reason of a disabled one was
    /// changed. Nothing else changed.
    Disabled,
    /// The secret of a subscription was replaced, with or without overlap, and nothing else
    /// changed.
    SecretRotated,
    /// The overlap of replaced secrets was ended, and nothing else changed.
    SecretsRevoked,
    /// A subscription was deleted.
    Deleted,
    /// An event type was added to the catalog.
    EventTypeRegistered,
    /// The description or the schema of an event type was replaced.
    EventTypeReplaced,
    /// An event type was removed from the catalog.
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

    /// Returns the text that the file stores.
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
    /// Returns the JSON key: `name`, `url`, `events`, `enabled`, `secret`, `description`,
    /// `metadata`, `disabledReason` or `jsonSchema`. The values of `metadata` are whole objects.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the value before the change, if there was one. `None` for a secret.
    pub fn before(&self) -> Option<&Value> {
        self.before.as_ref()
    }

    /// Returns the value after the change, if there is one. `None` for a secret.
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

/// Returns whether a field of a subscription can have this value. `None` if the value has another
/// type or the field is unknown.
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
        "disabledReason" => parts.disabled_reason = Some(value.as_str()?),
        _ => return None,
    }
    Some(parts.faults().is_empty())
}

/// Returns the same for a field of an event type.
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

/// A change to the secrets of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretChange {
    /// Another secret is the current one.
    Replaced,
    /// The replaced secrets are no longer valid.
    Revoked,
}

/// Returns the kind and the fields of a change to a subscription.
pub(crate) fn diff_subscription(
    before: &SubscriptionFields,
    after: &SubscriptionFields,
    secret: Option<SecretChange>,
) -> (ChangeKind, Vec<FieldChange>) {
    let mut fields = differing(subscription_values(before), subscription_values(after));
    let only_state = fields.iter().all(|it| ["enabled", "disabledReason"].contains(&&*it.name));
    let kind = match (fields.as_slice(), secret) {
        ([], Some(secret)) => return secrets_only(secret),
        ([_, ..], None) if only_state && after.enabled => ChangeKind::Enabled,
        ([_, ..], None) if only_state => ChangeKind::Disabled,
        _ => ChangeKind::Updated,
    };
    fields.extend(secret.map(|_| FieldChange::secret()));
    (kind, fields)
}

/// Returns the kind and the fields of a change to nothing but the secrets.
pub(crate) fn secrets_only(secret: SecretChange) -> (ChangeKind, Vec<FieldChange>) {
    let kind = match secret {
        SecretChange::Replaced => ChangeKind::SecretRotated,
        SecretChange::Revoked => ChangeKind::SecretsRevoked,
    };
    (kind, vec![FieldChange::secret()])
}

/// Returns every field of a subscription that was created.
pub(crate) fn created_fields(created: &SubscriptionFields) -> Vec<FieldChange> {
    let mut fields = differing(Vec::new(), subscription_values(created));
    fields.push(FieldChange::secret());
    fields
}

/// Returns every field of a subscription that was deleted.
pub(crate) fn deleted_fields(deleted: &SubscriptionFields) -> Vec<FieldChange> {
    let mut fields = differing(subscription_values(deleted), Vec::new());
    fields.push(FieldChange::secret());
    fields
}

/// Returns the fields of a change to an event type. `None` stands for an event type that is not in
/// the catalog.
pub(crate) fn diff_event_type(
    before: Option<&EventType>,
    after: Option<&EventType>,
) -> Vec<FieldChange> {
    let values = |side: Option<&EventType>| side.map(event_type_values).unwrap_or_default();
    differing(values(before), values(after))
}

type Values = Vec<(&'static str, Value)>;

fn subscription_values(fields: &SubscriptionFields) -> Values {
    let SubscriptionFields { name, url, events, enabled, description, metadata, disabled_reason } =
        fields;
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
    values.extend(disabled_reason.as_deref().map(|text| ("disabledReason", text.into())));
    values
}

fn event_type_values(event_type: &EventType) -> Values {
    let EventType { name, description, json_schema } = event_type;
    let mut values: Values = vec![("name", name.as_str().into())];
    values.extend(description.as_deref().map(|text| ("description", text.into())));
    values.extend(json_schema.clone().map(|schema| ("jsonSchema", schema)));
    values
}

/// Returns the values that differ or stand on one side only.
fn differing(mut before: Values, mut after: Values) -> Vec<FieldChange> {
    const KEYS: [&str; 8] = [
        "name",
        "url",
        "events",
        "enabled",
        "description",
        "metadata",
        "disabledReason",
        "jsonSchema",
    ];
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
