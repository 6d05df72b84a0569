//! A naive implementation of a registry with plain lists and linear scans, as the reference for
//! comparison.

use std::collections::{BTreeMap, BTreeSet};

use webhook_registry::{ErrorKind, SubscriptionId};

use super::input::{Edit, Wish, is_bad};
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

/// The subscriptions that a handle is limited to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    NoOwner,
    Owner(&'static str),
    Every,
}

pub(crate) const OWNERS: [&str; 3] = ["a", "A", "b c"];

pub(crate) const SCOPES: [Scope; 5] = [
    Scope::NoOwner,
    Scope::Owner(OWNERS[0]),
    Scope::Owner(OWNERS[1]),
    Scope::Owner(OWNERS[2]),
    Scope::Every,
];

impl Scope {
    /// Returns the owner of a subscription that is created in this scope.
    pub(crate) fn owner(self) -> Option<&'static str> {
        if let Scope::Owner(owner) = self { Some(owner) } else { None }
    }

    pub(crate) fn has(self, sub: &Sub) -> bool {
        self == Scope::Every || self.owner() == sub.owner.as_deref()
    }

    /// Rejects a call that needs one owner, or the subscriptions without an owner.
    pub(crate) fn require_one(self) -> Result<(), Refusal> {
        if self == Scope::Every { Scope::reject() } else { Ok(()) }
    }

    /// Rejects a call on the whole file.
    pub(crate) fn require_file(self) -> Result<(), Refusal> {
        if matches!(self, Scope::Owner(_)) { Scope::reject() } else { Ok(()) }
    }

    fn reject() -> Result<(), Refusal> {
        refusal(ErrorKind::Invalid, ["owner".to_owned()])
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sub {
    pub(crate) id: Option<SubscriptionId>,
    pub(crate) owner: Option<String>,
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

    /// Returns the subscriptions of a scope.
    pub(crate) fn scoped(&self, scope: Scope) -> impl Iterator<Item = &Sub> {
        self.subs.iter().filter(move |sub| scope.has(sub))
    }

    pub(crate) fn find(&self, scope: Scope, id: SubscriptionId) -> Option<&Sub> {
        self.scoped(scope).find(|sub| sub.id == Some(id))
    }

    /// Returns the owners with a subscription, after a position.
    pub(crate) fn owners(&self, after: Option<&str>) -> Vec<String> {
        let owners: BTreeSet<&String> =
            self.subs.iter().filter_map(|sub| sub.owner.as_ref()).collect();
        owners
            .into_iter()
            .filter(|owner| after.is_none_or(|after| owner.as_str() > after))
            .cloned()
            .collect()
    }

    /// Rejects so many new subscriptions where the scope would have more than the limit.
    fn fit(&self, scope: Scope, new: usize, limit: Option<u64>) -> Result<(), Refusal> {
        let after = (self.scoped(scope).count() + new) as u64;
        if new > 0 && limit.is_some_and(|limit| after > limit) {
            return refusal(ErrorKind::LimitReached, []);
        }
        Ok(())
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
    fn judge(&self, scope: Scope, wish: &Wish, now: u64) -> (Sub, Vec<String>) {
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
            owner: scope.owner().map(str::to_owned),
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

    fn is_taken(&self, owner: Option<&str>, name: &str, but: Option<SubscriptionId>) -> bool {
        let mut owned = self.subs.iter().filter(|sub| sub.owner.as_deref() == owner);
        owned.any(|sub| sub.name == name && (but.is_none() || sub.id != but))
    }

    /// Returns the subscription to create, without its id and a generated secret.
    pub(crate) fn create(
        &self,
        scope: Scope,
        limit: Option<u64>,
        wish: &Wish,
        now: u64,
    ) -> Result<Sub, Refusal> {
        scope.require_one()?;
        let (sub, faults) = self.judge(scope, wish, now);
        if !faults.is_empty() {
            return refusal(ErrorKind::Invalid, faults);
        }
        if self.is_taken(scope.owner(), &wish.name, None) {
            return refusal(ErrorKind::Conflict, ["name".to_owned()]);
        }
        self.fit(scope, 1, limit)?;
        Ok(sub)
    }

    pub(crate) fn create_all(
        &self,
        scope: Scope,
        limit: Option<u64>,
        wishes: &[Wish],
        now: u64,
    ) -> Result<Vec<Sub>, Refusal> {
        scope.require_one()?;
        let (mut invalid, mut taken, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for (index, wish) in wishes.iter().enumerate() {
            let (sub, mut faults) = self.judge(scope, wish, now);
            if wishes[..index].iter().any(|earlier| earlier.name == wish.name) {
                faults.push("name".to_owned());
            }
            invalid.extend(faults.iter().map(|field| format!("[{index}].{field}")));
            if self.is_taken(scope.owner(), &wish.name, None) {
                taken.push(format!("[{index}].name"));
            }
            all.push(sub);
        }
        if !invalid.is_empty() {
            return refusal(ErrorKind::Invalid, invalid);
        }
        if !taken.is_empty() {
            return refusal(ErrorKind::Conflict, taken);
        }
        self.fit(scope, all.len(), limit)?;
        Ok(all)
    }

    /// Returns the subscription after the call. It has no id if it is to be created.
    pub(crate) fn ensure(
        &self,
        scope: Scope,
        limit: Option<u64>,
        wish: &Wish,
        now: u64,
    ) -> Result<Sub, Refusal> {
        scope.require_one()?;
        let Some(before) = self.scoped(scope).find(|sub| sub.name == wish.name) else {
            return self.create(scope, limit, wish, now);
        };
        let mut edits = vec![
            Edit::Url(wish.url.clone()),
            Edit::Events(wish.events.clone()),
            Edit::Description(wish.description.clone()),
            Edit::ClearMetadata,
            Edit::Allow(wish.allow),
        ];
        edits.extend(wish.enabled.map(Edit::Enabled));
        edits.extend(wish.secret.clone().map(Edit::Secret));
        let metadata = wish.metadata.iter().cloned();
        edits.extend(metadata.map(|(key, value)| Edit::Metadata(key, Some(value))));
        let (id, reason) = (before.id.unwrap(), Edit::Reason(wish.reason.clone()));
        let with_reason: Vec<Edit> = edits.iter().cloned().chain([reason]).collect();
        match wish.enabled {
            // Where it is stated that the subscription is disabled, the reason becomes as given.
            Some(false) => self.update(scope, id, &with_reason, now),
            // Else a reason is only validated.
            _ if wish.reason.is_some() => self
                .update(scope, id, &with_reason, now)
                .and_then(|_| self.update(scope, id, &edits, now)),
            _ => self.update(scope, id, &edits, now),
        }
    }

    pub(crate) fn update(
        &self,
        scope: Scope,
        id: SubscriptionId,
        edits: &[Edit],
        now: u64,
    ) -> Result<Sub, Refusal> {
        let Some(before) = self.find(scope, id) else {
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
        if self.is_taken(after.owner.as_deref(), &after.name, Some(id)) {
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
        scope: Scope,
        id: SubscriptionId,
        expected: Option<u64>,
    ) -> Result<(), Refusal> {
        let Some(sub) = self.find(scope, id) else {
            return refusal(ErrorKind::NotFound, ["subscriptionId".to_owned()]);
        };
        if expected.is_some_and(|expected| expected != sub.revision) {
            return refusal(ErrorKind::Conflict, ["ifRevision".to_owned()]);
        }
        self.subs.retain(|sub| sub.id != Some(id));
        Ok(())
    }

    pub(crate) fn delete_all(&mut self, scope: Scope) -> Result<u64, Refusal> {
        scope.require_one()?;
        let deleted = self.scoped(scope).count() as u64;
        self.subs.retain(|sub| !scope.has(sub));
        Ok(deleted)
    }

    pub(crate) fn register(
        &mut self,
        scope: Scope,
        given: &[(String, Option<String>)],
    ) -> Result<(), Refusal> {
        scope.require_file()?;
        let bad = (0..given.len()).filter(|&index| !oracle::is_name(&given[index].0));
        let bad: Vec<String> = bad.map(|index| format!("[{index}].name")).collect();
        if !bad.is_empty() {
            return refusal(ErrorKind::Invalid, bad);
        }
        self.types.extend(given.iter().cloned());
        Ok(())
    }

    pub(crate) fn remove(&mut self, scope: Scope, name: &str) -> Result<(), Refusal> {
        scope.require_file()?;
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
