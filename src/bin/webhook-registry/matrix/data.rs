//! The event types and subscriptions of a matrix.

use std::borrow::Cow;
use std::collections::BTreeMap;

use webhook_registry::{Explanation, SubscriptionId};

use crate::failure::Failure;

/// The mark of an enabled subscription that gets the event.
pub(super) const ENABLED: &str = "●";
/// The mark of a disabled subscription with a matching pattern.
pub(super) const DISABLED: &str = "○";

/// A subscription with a pattern that matches one of the event types.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) enabled: bool,
    pub(super) owner: Option<String>,
    /// Why it is disabled, or empty.
    pub(super) reason: String,
}

impl Column {
    /// Returns the name, behind that of the owner.
    pub(super) fn full_name(&self) -> Cow<'_, str> {
        match &self.owner {
            Some(owner) => Cow::Owned(format!("{owner} / {}", self.name)),
            None => Cow::Borrowed(&self.name),
        }
    }

    /// Returns the name, with the reason for being disabled.
    pub(super) fn label(&self) -> String {
        let name = self.full_name();
        match (self.enabled, self.reason.as_str()) {
            (true, _) => name.into_owned(),
            (false, "") => format!("{name} (disabled)"),
            (false, reason) => format!("{name} (disabled: {reason})"),
        }
    }
}

pub(super) struct Matrix {
    /// In the order of creation.
    pub(super) columns: BTreeMap<SubscriptionId, Column>,
    pub(super) rows: Vec<Explanation>,
}

impl Matrix {
    pub(super) fn new(
        rows: impl Iterator<Item = Result<Explanation, Failure>>,
    ) -> Result<Matrix, Failure> {
        let rows: Vec<Explanation> = rows.collect::<Result<_, _>>()?;
        let mut columns = BTreeMap::new();
        for entry in rows.iter().flat_map(Explanation::entries) {
            columns.entry(entry.subscription_id()).or_insert_with(|| Column {
                name: entry.name().to_owned(),
                enabled: entry.enabled(),
                owner: entry.owner().map(str::to_owned),
                reason: entry.disabled_reason().unwrap_or_default().to_owned(),
            });
        }
        Ok(Matrix { columns, rows })
    }
}
