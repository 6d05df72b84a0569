use std::fmt;

use crate::error::{quoted, visible};
use crate::id::SubscriptionId;

/// What [`Registry::check`](crate::Registry::check) found.
///
/// `Display` has one line for each finding and each piece of advice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    findings: Vec<Finding>,
    advice: Vec<Finding>,
}

impl Report {
    /// Whether nothing breaks a promise. Advice does not count.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// What breaks a promise of the registry: damage, or a change by another program.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What is legal but looks wrong.
    pub fn advice(&self) -> &[Finding] {
        &self.advice
    }

    pub(crate) fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub(crate) fn advise(&mut self, advice: Finding) {
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

/// One thing that a [`Report`] tells.
///
/// The message begins with the subscription, by name and id, where it is about one, and ends with what to do. It shows no
/// secret and no URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    subscription_id: Option<SubscriptionId>,
    message: String,
}

impl Finding {
    /// The subscription that it is about. None for the file as a whole, and where the id itself is damaged.
    pub fn subscription_id(&self) -> Option<SubscriptionId> {
        self.subscription_id
    }

    /// The whole of it, for the person.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// About the file as a whole.
    pub(crate) fn of_file(message: impl Into<String>) -> Finding {
        Finding { subscription_id: None, message: visible(&message.into()).into_owned() }
    }

    pub(crate) fn of(who: &SubscriptionLabel, message: impl fmt::Display) -> Finding {
        Finding {
            subscription_id: who.id,
            message: visible(&format!("{who}: {message}")).into_owned(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.message)
    }
}

/// A subscription as far as it can be told who it is.
#[derive(Clone, Debug)]
pub(crate) struct SubscriptionLabel {
    id: Option<SubscriptionId>,
    /// The id's text, as it lies in the file.
    text: String,
    name: String,
}

impl SubscriptionLabel {
    pub(crate) fn new(text: String, name: String) -> SubscriptionLabel {
        let id = SubscriptionId::from_stored(&text);
        SubscriptionLabel { id, text, name }
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
            None => write!(f, "(of the id {})", quoted(&self.text)),
        }
    }
}
