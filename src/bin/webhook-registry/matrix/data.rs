//! The event types and subscriptions of a matrix.

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
    /// Why it is disabled, or empty.
    pub(super) reason: String,
}

impl Column {
    /// Returns the name, with the reason for being disabled.
    pub(super) fn label(&self) -> String {
        match (self.enabled, self.reason.as_str()) {
            (true, _) => self.name.clone(),
            (false, "") => format!("{} (disabled)", self.name),
            (false, reason) => format!("{} (disabled: {reason})", self.name),
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
                reason: entry.disabled_reason().unwrap_or_default().to_owned(),
            });
        }
        Ok(Matrix { columns, rows })
    }
}
