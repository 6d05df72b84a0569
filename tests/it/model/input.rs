//! The input of creations and updates, as plain data.

use webhook_registry::{NewSubscription, SubscriptionUpdate};

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
