use std::fmt;

use crate::error::{quoted, visible};
use crate::id::SubscriptionId;

/// The result of [`Registry::check`](crate::Registry::check).
///
/// `Display` writes one line for each finding and each piece of advice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    findings: Vec<Finding>,
    advice: Vec<Finding>,
}

impl Report {
    /// Returns whether there is no finding. Advice does not count.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Returns the findings. A finding is damage, or a change by another program that breaks a
    /// promise of the registry.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Returns the advice, about valid data that is probably not intended.
    pub fn advice(&self) -> &[Finding] {
        &self.advice
    }

    /// Adds a finding.
    pub(crate) fn push_finding(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Adds a piece of advice.
    pub(crate) fn push_advice(&mut self, advice: Finding) {
        self.advice.push(advice);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() && self.advice.is_empty() {
            return f.write_str("nothing found");
        }
        let findings = self.findings.iter().map(|finding| ("finding", finding));
        let lines = findings.chain(self.advice.iter().map(|advice| ("advice", advice)));
        for (position, (what, line)) in lines.enumerate() {
            let start = if position > 0 { "\n" } else { "" };
            write!(f, "{start}{what}: {line}")?;
        }
        Ok(())
    }
}

/// One finding or one piece of advice of a [`Report`].
///
/// The message begins with the name and the id of the subscription, if it is about one, and ends
/// with the action to take. It contains no secret and no URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    subscription_id: Option<SubscriptionId>,
    message: String,
}

impl Finding {
    /// Returns the id of the subscription. None if the finding is about the whole file, or if the
    /// id itself is damaged.
    pub fn subscription_id(&self) -> Option<SubscriptionId> {
        self.subscription_id
    }

    /// Returns the message for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Creates a finding about the whole file.
    pub(crate) fn for_file(message: impl Into<String>) -> Finding {
        Finding { subscription_id: None, message: visible(&message.into()).into_owned() }
    }

    /// Creates a finding about a subscription.
    pub(crate) fn new(label: &SubscriptionLabel, message: impl fmt::Display) -> Finding {
        Finding {
            subscription_id: label.id,
            message: visible(&format!("{label}: {message}")).into_owned(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.message)
    }
}

/// The name and the id of a subscription whose row may be damaged.
#[derive(Clone, Debug)]
pub(crate) struct SubscriptionLabel {
    id: Option<SubscriptionId>,
    /// The id as the file stores it.
    stored_id: String,
    name: String,
}

impl SubscriptionLabel {
    pub(crate) fn new(stored_id: String, name: String) -> SubscriptionLabel {
        let id = SubscriptionId::from_stored(&stored_id);
        SubscriptionLabel { id, stored_id, name }
    }

    pub(crate) fn id(&self) -> Option<SubscriptionId> {
        self.id
    }
}

impl fmt::Display for SubscriptionLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subscription {} ", quoted(&self.name))?;
        match self.id {
            Some(id) => write!(f, "({id})"),
            None => write!(f, "(id {})", quoted(&self.stored_id)),
        }
    }
}
