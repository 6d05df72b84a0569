//! Validation of an [`Export`] before it is imported.

use super::document::{Export, Exported, ExportedSecret, FORMAT};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::event_type::EventType;
use crate::id::SubscriptionId;
use crate::secret::{IssuedSecret, MAX_OLD, SigningSecret};
use crate::subscription::{
    Draft, ListProblems, Rejection, Rules, Subscription, Validated, check_disabled_at, check_owner,
};
use crate::time::Millis;

/// The highest revision of an imported subscription. SQLite's integers have to hold those that
/// follow.
const MAX_REVISION: u64 = 1 << 62;

/// A document that meets every rule.
pub(crate) struct Import {
    pub(crate) event_types: Vec<ImportedEventType>,
    pub(crate) subscriptions: Vec<ImportedSubscription>,
}

/// An event type, and the text of its schema.
pub(crate) struct ImportedEventType {
    pub(crate) event_type: EventType,
    pub(crate) schema: Option<String>,
}

/// A subscription, and its secrets, newest first.
pub(crate) struct ImportedSubscription {
    pub(crate) subscription: Subscription,
    pub(crate) secrets: Vec<IssuedSecret>,
}

impl Export {
    /// Validates the document by these rules.
    ///
    /// Errors are `Incompatible` for another format, else `Invalid` with every problem.
    pub(crate) fn validate(self, rules: &Rules) -> Result<Import> {
        let Export { format_version, event_types, subscriptions } = self;
        if format_version != FORMAT {
            let what = format!(
                "the document's format is {format_version}; the one that is known is {FORMAT}"
            );
            return Err(Error::new(ErrorKind::Incompatible, what));
        }
        let mut problems = ListProblems::new(event_types.iter().map(EventType::name));
        let mut valid_types = Vec::with_capacity(event_types.len());
        for (index, event_type) in event_types.into_iter().enumerate() {
            let valid = problems.validate(index, validate_event_type(event_type))?;
            valid_types.extend(valid);
        }
        let mut found: Vec<Problem> = in_list("eventTypes", problems).collect();

        let names = subscriptions
            .iter()
            .map(|exported| (exported.owner.as_deref(), exported.fields.name.as_str()));
        let mut problems = ListProblems::within(names);
        let (mut valid_subscriptions, mut last_id) =
            (Vec::with_capacity(subscriptions.len()), None);
        for (index, exported) in subscriptions.into_iter().enumerate() {
            let valid = problems.validate(index, exported.validate(&mut last_id, rules))?;
            valid_subscriptions.extend(valid);
        }
        found.extend(in_list("subscriptions", problems));

        if found.is_empty() {
            Ok(Import { event_types: valid_types, subscriptions: valid_subscriptions })
        } else {
            Err(Error::invalid(found))
        }
    }
}

fn in_list(key: &'static str, problems: ListProblems) -> impl Iterator<Item = Problem> {
    problems.into_problems().into_iter().map(move |problem| problem.under(key))
}

fn validate_event_type(event_type: EventType) -> Validated<ImportedEventType> {
    let (schema, problems) = event_type.validate();
    if problems.is_empty() {
        Ok(ImportedEventType { event_type, schema })
    } else {
        Err(Rejection::Problems(problems))
    }
}

impl Exported {
    /// Validates one entry. `last_id` is the greatest id of the entries before it.
    fn validate(
        self,
        last_id: &mut Option<SubscriptionId>,
        rules: &Rules,
    ) -> Validated<ImportedSubscription> {
        let Exported { id, owner, fields, disabled_at, created_at, updated_at, revision, secrets } =
            self;
        let enabled = fields.enabled;
        let mut problems = Vec::new();
        let id = validate_id(&id, last_id, &mut problems);
        // Without a catalog: an exported subscription can name event types that are not registered.
        let fields = match Draft::validate(fields, None, rules, None) {
            Ok(draft) => Some(draft.fields),
            Err(Rejection::Problems(found)) => {
                problems.extend(found);
                None
            }
            Err(failed) => return Err(failed),
        };
        if let Some(Err(why)) = owner.as_deref().map(check_owner) {
            problems.push(Problem::new("owner", why));
        }
        let disabled_at = validate_disabled_at(disabled_at, enabled, &mut problems);
        let created_at = validate_time("createdAt", &created_at, &mut problems);
        let updated_at = validate_time("updatedAt", &updated_at, &mut problems);
        if !(1..=MAX_REVISION).contains(&revision) {
            let why = format!("a revision is a whole number from 1 to {MAX_REVISION}");
            problems.push(Problem::new("revision", why));
        }
        let secrets = validate_secrets(secrets, rules.min_secret_bytes, &mut problems);
        match (id, fields, created_at, updated_at) {
            (Some(id), Some(fields), Some(created_at), Some(updated_at)) if problems.is_empty() => {
                let owner = owner.map(Into::into);
                let disabled_at =
                    if enabled { None } else { Some(disabled_at.unwrap_or(updated_at)) };
                let subscription = Subscription {
                    id,
                    owner,
                    fields,
                    disabled_at,
                    created_at,
                    updated_at,
                    revision,
                };
                Ok(ImportedSubscription { subscription, secrets })
            }
            _ => Err(Rejection::Problems(problems)),
        }
    }
}

fn validate_id(
    text: &str,
    last: &mut Option<SubscriptionId>,
    problems: &mut Vec<Problem>,
) -> Option<SubscriptionId> {
    let why = match text.parse::<SubscriptionId>() {
        Ok(id) if last.is_some_and(|last| id <= last) => {
            "ids rise, and this one does not follow the one before"
        }
        Ok(id) if !id.can_be_followed() => "ids rise, and after this one too few are left",
        Ok(id) => return Some(*last.insert(id)),
        Err(error) => {
            problems.extend_from_slice(error.problems());
            return None;
        }
    };
    problems.push(Problem::new("subscriptionId", why));
    None
}

fn validate_time(field: &str, text: &str, problems: &mut Vec<Problem>) -> Option<Millis> {
    let time = Millis::parse(text);
    if time.is_none() {
        problems.push(Problem::new(
            field,
            "a time is as RFC 3339 writes it, in UTC with Z, from 1970 to 9999",
        ));
    }
    time
}

/// Validates the time since when a subscription is disabled, if the document states it. An enabled
/// one has none.
fn validate_disabled_at(
    stated: Option<String>,
    enabled: bool,
    problems: &mut Vec<Problem>,
) -> Option<Millis> {
    let text = stated?;
    if let Err(why) = check_disabled_at(Some(&text), enabled) {
        problems.push(Problem::new("disabledAt", why));
        return None;
    }
    validate_time("disabledAt", &text, problems)
}

/// Validates the secrets of one entry, and returns those without a problem.
fn validate_secrets(
    secrets: Vec<ExportedSecret>,
    min_bytes: usize,
    problems: &mut Vec<Problem>,
) -> Vec<IssuedSecret> {
    const MAX_SECRETS: usize = MAX_OLD + 1;
    if !(1..=MAX_SECRETS).contains(&secrets.len()) {
        let why = format!("a subscription has from 1 to {MAX_SECRETS} secrets");
        problems.push(Problem::new("secrets", why));
    }
    let mut issued: Vec<IssuedSecret> = Vec::with_capacity(secrets.len());
    for (index, exported) in secrets.into_iter().enumerate() {
        let ExportedSecret { secret, created_at, expires_at } = exported;
        let at = |field: &str| format!("secrets[{index}].{field}");
        let secret = match SigningSecret::read_at_least(secret.as_str(), min_bytes) {
            Ok(secret) if issued.iter().any(|other| other.secret.has_key_of(&secret)) => {
                problems.push(Problem::new(at("secret"), "stands among the secrets already"));
                None
            }
            Ok(secret) => Some(secret),
            Err(why) => {
                problems.push(Problem::new(at("secret"), why));
                None
            }
        };
        let created_at = validate_time(&at("createdAt"), &created_at, problems);
        let expires_at = match expires_at {
            Some(text) if index > 0 => validate_time(&at("expiresAt"), &text, problems),
            None if index == 0 => None,
            _ => {
                let why = "the newest secret does not expire, and every other does";
                problems.push(Problem::new(at("expiresAt"), why));
                None
            }
        };
        if let (Some(secret), Some(created_at)) = (secret, created_at) {
            issued.push(IssuedSecret { secret, created_at, expires_at });
        }
    }
    issued
}
