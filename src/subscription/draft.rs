use super::fields::SubscriptionFields;
use super::validation::{self, EventCatalog, Rejection, Rules, Validated};
use crate::error::Problem;
use crate::event_type::check_description;
use crate::secret::{SecretText, SigningSecret};

/// A new subscription that meets every rule, except that its name may be taken.
pub(crate) struct Draft {
    pub(crate) fields: SubscriptionFields,
    /// None where a secret is to be generated.
    pub(crate) secret: Option<SigningSecret>,
}

impl Draft {
    /// Validates the fields of a new subscription. Only the database can tell whether the name is
    /// taken.
    ///
    /// Without a catalog, a pattern does not have to match a known event type.
    pub(crate) fn validate(
        fields: SubscriptionFields<String>,
        secret: Option<SecretText>,
        rules: &Rules,
        catalog: Option<&mut dyn EventCatalog>,
    ) -> Validated<Draft> {
        let SubscriptionFields {
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            disabled_reason,
        } = fields;
        let mut problems = Vec::new();
        if let Err(why) = validation::check_name(&name) {
            problems.push(Problem::new("name", why));
        }
        if let Err(why) = rules.url_policy.validate(&url) {
            problems.push(Problem::new("url", why));
        }
        let (events, found) = validation::check_events(&events, &[], catalog)?;
        problems.extend(found);
        let secret =
            secret.map(|text| SigningSecret::read_at_least(text.as_str(), rules.min_secret_bytes));
        let secret = secret.transpose().unwrap_or_else(|why| {
            problems.push(Problem::new("secret", why));
            None
        });
        if let Some(Err(why)) = description.as_deref().map(check_description) {
            problems.push(Problem::new("description", why));
        }
        problems.extend(validation::check_metadata(&metadata).err());
        if let Some(reason) = &disabled_reason {
            let fault = validation::check_disabled_reason(reason, enabled).err();
            problems.extend(fault.map(|why| Problem::new("disabledReason", why)));
        }
        if !problems.is_empty() {
            return Err(Rejection::Problems(problems));
        }
        let fields = SubscriptionFields {
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            disabled_reason,
        };
        Ok(Draft { fields, secret })
    }
}
