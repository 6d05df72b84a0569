//! A naive implementation of a registry with plain lists and linear scans, as the reference for
//! comparison.

use std::collections::{BTreeMap, BTreeSet};

use webhook_registry::{ErrorKind, NewSubscription, SubscriptionId, SubscriptionUpdate};

use crate::support::oracle;

/// An error kind and the invalid fields, sorted and deduplicated.
pub(crate) type Refusal = (ErrorKind, Vec<String>);

pub(crate) fn refusal<T>(
    kind: ErrorKind,
    fields: impl IntoIterator<Item = String>,
) -> Result<T, Refusal> {
    let fields: BTreeSet<String> = fields.into_iter().collect();
    Err((kind, fields.into_iter().collect()))
}

pub(crate) const URLS: [&str; 3] =
    ["https://example.com/a", "http://b.example", "HTTPS://example.com:1/c?d"];
pub(crate) const SECRETS: [&str; 3] = [
    "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=",
    "whsec_QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI",
    "Q0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0M=",
];

/// Returns true for an invalid text of the tests: empty, or with this prefix. The rules are tested
/// elsewhere.
pub(crate) fn is_bad(text: &str) -> bool {
    text.is_empty() || text.starts_with([' ', '\0', '\u{1}'])
}

/// Why the endpoint is off. Tests of the rules are elsewhere.
pub(crate) const REASONS: [&str; 2] = ["410 Gone", "paused \"by\" é"];

/// The input of a creation.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) events: Vec<String>,
    pub(crate) enabled: Option<bool>,
    pub(crate) secret: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) reason: Option<String>,
    pub(crate) allow: bool,
}

impl Wish {
    pub(crate) fn to_new(&self) -> NewSubscription {
        let Wish { name, url, events, enabled, secret, description, metadata, reason, allow } =
            self.clone();
        let mut new = NewSubscription::new(name, url, events).allow_unknown_events(allow);
        if let Some(enabled) = enabled {
            new = new.enabled(enabled);
        }
        if let Some(secret) = secret {
            new = new.secret(secret);
        }
        if let Some(description) = description {
            new = new.description(description);
        }
        if let Some(reason) = reason {
            new = new.disabled_reason(reason);
        }
        metadata.into_iter().fold(new, |new, (key, value)| new.metadata(key, value))
    }
}

/// One setter of an update.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Name(String),
    Url(String),
    Events(Vec<String>),
    Enabled(bool),
    Secret(String),
    Description(Option<String>),
    Reason(Option<String>),
    Metadata(String, Option<String>),
    ClearMetadata,
    Allow(bool),
    IfRevision(u64),
}

pub(crate) fn to_update(edits: &[Edit]) -> SubscriptionUpdate {
    edits.iter().cloned().fold(SubscriptionUpdate::new(), |update, edit| match edit {
        Edit::Name(name) => update.name(name),
        Edit::Url(url) => update.url(url),
        Edit::Events(events) => update.events(events),
        Edit::Enabled(enabled) => update.enabled(enabled),
        Edit::Secret(secret) => update.secret(secret),
        Edit::Description(Some(text)) => update.description(text),
        Edit::Description(None) => update.clear_description(),
        Edit::Reason(Some(text)) => update.disabled_reason(text),
        Edit::Reason(None) => update.clear_disabled_reason(),
        Edit::Metadata(key, Some(value)) => update.metadata(key, value),
        Edit::Metadata(key, None) => update.remove_metadata(key),
        Edit::ClearMetadata => update.clear_metadata(),
        Edit::Allow(allow) => update.allow_unknown_events(allow),
        Edit::IfRevision(revision) => update.if_revision(revision),
    })
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sub {
    pub(crate) id: Option<SubscriptionId>,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) events: Vec<String>,
    pub(crate) enabled: bool,
    pub(crate) secret: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) reason: Option<String>,
    pub(crate) disabled: Option<u64>,
    pub(crate) created: u64,
    pub(crate) updated: u64,
    pub(crate) revision: u64,
}

impl Sub {
    pub(crate) fn matches(&self, event_type: &str) -> bool {
        self.events.iter().any(|pattern| oracle::matches(pattern, event_type))
    }
}

/// The complete state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naive {
    pub(crate) types: BTreeMap<String, Option<String>>,
    pub(crate) subs: Vec<Sub>,
    /// Every id that was ever assigned, in order.
    pub(crate) ids: Vec<SubscriptionId>,
}

impl Naive {
    pub(crate) fn expand(&self, pattern: &str) -> Vec<&str> {
        self.types
            .keys()
            .map(String::as_str)
            .filter(|name| oracle::matches(pattern, name))
            .collect()
    }

    pub(crate) fn find(&self, id: SubscriptionId) -> Option<&Sub> {
        self.subs.iter().find(|sub| sub.id == Some(id))
    }

    fn events(
        &self,
        given: &[String],
        known: &[String],
        allow: bool,
        faults: &mut Vec<String>,
    ) -> Vec<String> {
        if given.is_empty() || given.len() > 256 {
            faults.push("events".to_owned());
        } else {
            let bad = |text: &String| {
                !oracle::accepts(text)
                    || (!allow && !known.contains(text) && self.expand(text).is_empty())
            };
            let indices = (0..given.len()).filter(|&index| bad(&given[index]));
            faults.extend(indices.map(|index| format!("events[{index}]")));
        }
        let mut kept: Vec<String> = Vec::new();
        for text in given {
            if !kept.contains(text) {
                kept.push(text.clone());
            }
        }
        kept
    }

    /// Returns the subscription for this input, and the invalid fields.
    fn judge(&self, wish: &Wish, now: u64) -> (Sub, Vec<String>) {
        let mut faults = Vec::new();
        let mut fault = |bad: bool, field: &str| faults.extend(bad.then(|| field.to_owned()));
        fault(is_bad(&wish.name), "name");
        fault(is_bad(&wish.url), "url");
        fault(wish.secret.as_deref().is_some_and(is_bad), "secret");
        fault(wish.description.as_deref().is_some_and(is_bad), "description");
        fault(wish.metadata.iter().any(|(key, _)| is_bad(key)), "metadata");
        let enabled = wish.enabled.unwrap_or(true);
        fault(wish.reason.as_deref().is_some_and(|text| enabled || is_bad(text)), "disabledReason");
        let events = self.events(&wish.events, &[], wish.allow, &mut faults);
        let sub = Sub {
            id: None,
            name: wish.name.clone(),
            url: wish.url.clone(),
            events,
            enabled,
            secret: wish.secret.clone(),
            description: wish.description.clone(),
            metadata: wish.metadata.iter().cloned().collect(),
            reason: wish.reason.clone(),
            disabled: (!enabled).then_some(now),
            created: now,
            updated: now,
            revision: 1,
        };
        (sub, faults)
    }

    fn is_taken(&self, name: &str, but: Option<SubscriptionId>) -> bool {
        self.subs.iter().any(|sub| sub.name == name && (but.is_none() || sub.id != but))
    }

    /// Returns the subscriptions to create, without ids and generated secrets.
    pub(crate) fn create(&self, wish: &Wish, now: u64) -> Result<Sub, Refusal> {
        let (sub, faults) = self.judge(wish, now);
        if !faults.is_empty() {
            return refusal(ErrorKind::Invalid, faults);
        }
        if self.is_taken(&wish.name, None) {
            return refusal(ErrorKind::Conflict, ["name".to_owned()]);
        }
        Ok(sub)
    }

    pub(crate) fn create_all(&self, wishes: &[Wish], now: u64) -> Result<Vec<Sub>, Refusal> {
        let (mut invalid, mut taken, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for (index, wish) in wishes.iter().enumerate() {
            let (sub, mut faults) = self.judge(wish, now);
            if wishes[..index].iter().any(|earlier| earlier.name == wish.name) {
                faults.push("name".to_owned());
            }
            invalid.extend(faults.iter().map(|field| format!("[{index}].{field}")));
            if self.is_taken(&wish.name, None) {
                taken.push(format!("[{index}].name"));
            }
            all.push(sub);
        }
        if !invalid.is_empty() {
            refusal(ErrorKind::Invalid, invalid)
        } else if !taken.is_empty() {
            refusal(ErrorKind::Conflict, taken)
        } else {
            Ok(all)
        }
    }

    pub(crate) fn update(
        &self,
        id: SubscriptionId,
        edits: &[Edit],
        now: u64,
    ) -> Result<Sub, Refusal> {
        let Some(before) = self.find(id) else {
            return refusal(ErrorKind::NotFound, ["subscriptionId".to_owned()]);
        };
        let (mut after, mut allow, mut events) = (before.clone(), false, None);
        let mut expected = before.revision;
        let mut reason = None;
        for edit in edits.iter().cloned() {
            match edit {
                Edit::Name(name) => after.name = name,
                Edit::Url(url) => after.url = url,
                Edit::Events(given) => events = Some(given),
                Edit::Enabled(enabled) => after.enabled = enabled,
                Edit::Secret(secret) => after.secret = Some(secret),
                Edit::Description(description) => after.description = description,
                Edit::Reason(given) => reason = Some(given),
                Edit::Metadata(key, Some(value)) => drop(after.metadata.insert(key, value)),
                Edit::Metadata(key, None) => drop(after.metadata.remove(&key)),
                Edit::ClearMetadata => after.metadata.clear(),
                Edit::Allow(given) => allow = given,
                Edit::IfRevision(revision) => expected = revision,
            }
        }
        if expected != before.revision {
            return refusal(ErrorKind::Conflict, ["ifRevision".to_owned()]);
        }
        let mut faults = Vec::new();
        if let Some(given) = events {
            after.events = self.events(&given, &before.events, allow, &mut faults);
        }
        // No invalid value is ever stored, so an invalid value is a change.
        let mut fault = |bad: bool, field: &str| faults.extend(bad.then(|| field.to_owned()));
        fault(is_bad(&after.name), "name");
        fault(is_bad(&after.url), "url");
        fault(after.secret.as_deref().is_some_and(is_bad), "secret");
        fault(after.description.as_deref().is_some_and(is_bad), "description");
        fault(after.metadata.keys().any(|key| is_bad(key)), "metadata");
        let stated = reason.as_ref().and_then(Option::as_deref);
        fault(stated.is_some_and(|text| after.enabled || is_bad(text)), "disabledReason");
        after.reason = if after.enabled { None } else { reason.unwrap_or(after.reason) };
        after.disabled = match (after.enabled, before.enabled) {
            (true, _) => None,
            (false, true) => Some(now),
            (false, false) => before.disabled,
        };
        if !faults.is_empty() {
            return refusal(ErrorKind::Invalid, faults);
        }
        if self.is_taken(&after.name, Some(id)) {
            return refusal(ErrorKind::Conflict, ["name".to_owned()]);
        }
        if after != *before {
            after.updated = now;
            after.revision += 1;
        }
        Ok(after)
    }

    pub(crate) fn delete(
        &mut self,
        id: SubscriptionId,
        expected: Option<u64>,
    ) -> Result<(), Refusal> {
        let Some(sub) = self.find(id) else {
            return refusal(ErrorKind::NotFound, ["subscriptionId".to_owned()]);
        };
        if expected.is_some_and(|expected| expected != sub.revision) {
            return refusal(ErrorKind::Conflict, ["ifRevision".to_owned()]);
        }
        self.subs.retain(|sub| sub.id != Some(id));
        Ok(())
    }

    pub(crate) fn register(&mut self, given: &[(String, Option<String>)]) -> Result<(), Refusal> {
        let bad = (0..given.len()).filter(|&index| !oracle::is_name(&given[index].0));
        let bad: Vec<String> = bad.map(|index| format!("[{index}].name")).collect();
        if !bad.is_empty() {
            return refusal(ErrorKind::Invalid, bad);
        }
        self.types.extend(given.iter().cloned());
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<(), Refusal> {
        if !self.types.contains_key(name) {
            return refusal(ErrorKind::NotFound, ["eventType".to_owned()]);
        }
        if self.subs.iter().any(|sub| sub.events.iter().any(|pattern| pattern == name)) {
            return refusal(ErrorKind::Conflict, ["name".to_owned()]);
        }
        self.types.remove(name);
        Ok(())
    }
}
