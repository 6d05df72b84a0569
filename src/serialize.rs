//! JSON of what a registry reports: plans, changes, explanations and checks.
//!
//! The keys are the names of the accessors in camel case. A key whose value would be `None` is left
//! out. Secrets are only in a `Created`, which is part of `Ensured` and `Applied`.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::change::{Change, ChangeKind, FieldChange};
use crate::dispatch::{Explanation, ExplanationEntry};
use crate::plan::{Applied, Ensured, Plan, Step, StepKind};
use crate::report::{Finding, Report};

/// # JSON
///
/// `{"eventType": …, "entries": […]}`.
impl Serialize for Explanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(2))?;
        object.serialize_entry("eventType", self.event_type())?;
        object.serialize_entry("entries", self.entries())?;
        object.end()
    }
}

/// # JSON
///
/// `{"subscriptionId": …, "name": …, "enabled": …, "owner": …, "disabledReason": …,
/// "patterns": […]}`, without the owner and the reason where there is none.
impl Serialize for ExplanationEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("subscriptionId", &self.subscription_id())?;
        object.serialize_entry("name", self.name())?;
        object.serialize_entry("enabled", &self.enabled())?;
        if let Some(owner) = self.owner() {
            object.serialize_entry("owner", owner)?;
        }
        if let Some(reason) = self.disabled_reason() {
            object.serialize_entry("disabledReason", reason)?;
        }
        object.serialize_entry("patterns", self.patterns())?;
        object.end()
    }
}

/// # JSON
///
/// `{"sequence": …, "at": …, "kind": …, "subject": …, "owner": …, "fields": […]}`, with
/// the time in RFC 3339.
impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Change { sequence, at, kind, subject, owner, fields } = self;
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("sequence", sequence)?;
        object.serialize_entry("at", at)?;
        object.serialize_entry("kind", kind)?;
        object.serialize_entry("subject", subject)?;
        if let Some(owner) = owner {
            object.serialize_entry("owner", owner.as_ref())?;
        }
        object.serialize_entry("fields", fields)?;
        object.end()
    }
}

/// # JSON
///
/// `created`, `secretRotated`, `eventTypeRegistered` and so on.
impl Serialize for ChangeKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// # JSON
///
/// `{"name": …, "before": …, "after": …}`. An absent value is left out.
impl Serialize for FieldChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let FieldChange { name, before, after } = self;
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("name", name)?;
        if let Some(before) = before {
            object.serialize_entry("before", before)?;
        }
        if let Some(after) = after {
            object.serialize_entry("after", after)?;
        }
        object.end()
    }
}

/// # JSON
///
/// `{"findings": […], "advice": […]}`.
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(2))?;
        object.serialize_entry("findings", self.findings())?;
        object.serialize_entry("advice", self.advice())?;
        object.end()
    }
}

/// # JSON
///
/// `{"subscriptionId": …, "message": …}`, without the id where the finding is about the file.
impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        if let Some(id) = self.subscription_id() {
            object.serialize_entry("subscriptionId", &id)?;
        }
        object.serialize_entry("message", self.message())?;
        object.end()
    }
}

/// # JSON
///
/// `{"steps": […]}`. What the steps need to be applied is not in it.
impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(1))?;
        object.serialize_entry("steps", self.steps())?;
        object.end()
    }
}

/// # JSON
///
/// `{"kind": …, "name": …, "fields": […]}`.
impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Step { kind, name, fields } = self;
        let mut object = serializer.serialize_map(Some(3))?;
        object.serialize_entry("kind", kind)?;
        object.serialize_entry("name", name)?;
        object.serialize_entry("fields", fields)?;
        object.end()
    }
}

/// # JSON
///
/// `create`, `update` or `delete`.
impl Serialize for StepKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            StepKind::Create => "create",
            StepKind::Update => "update",
            StepKind::Delete => "delete",
        })
    }
}

/// # JSON
///
/// `{"created": […], "updated": […], "deleted": […]}`. Each created subscription has its
/// secret.
impl Serialize for Applied {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Applied { created, updated, deleted } = self;
        let mut object = serializer.serialize_map(Some(3))?;
        object.serialize_entry("created", created)?;
        object.serialize_entry("updated", updated)?;
        object.serialize_entry("deleted", deleted)?;
        object.end()
    }
}

/// # JSON
///
/// `{"created": …}` with the secret, `{"updated": …}` or `{"unchanged": …}`.
impl Serialize for Ensured {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(1))?;
        match self {
            Ensured::Created(created) => object.serialize_entry("created", created)?,
            Ensured::Updated(subscription) => object.serialize_entry("updated", subscription)?,
            Ensured::Unchanged(subscription) => {
                object.serialize_entry("unchanged", subscription)?;
            }
        }
        object.end()
    }
}
