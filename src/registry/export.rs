//! Exports and imports a whole registry.
//!
//! An import must leave nothing half done. One write transaction validates the document, finds the
//! registry empty and inserts everything. A guest's triggers can be off meanwhile (`Write::bulk`),
//! so nothing may be deleted in it. Ids that were deleted from this file can return, so the
//! greatest of them is forgotten last.

use super::event_types;
use super::handle::Registry;
use super::writer::SubscriptionWriter;
use crate::error::{Error, Result};
use crate::export::{Export, Exported, FORMAT, Import, ImportedEventType, ImportedSubscription};

/// # Export and import
impl Registry {
    /// Returns everything that the registry contains as one document, **with every live secret as
    /// text**.
    ///
    /// It contains the subscriptions of every owner. The history of changes is not part of it. The
    /// call also works in memory and read-only. The document is built in memory, where it takes up
    /// to twice the size of the file.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `owner`: the handle is limited to an
    ///   owner.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::{NewSubscription, Registry};
    ///
    /// let registry = Registry::in_memory()?;
    /// registry.register_event_type("agent.presencechanged.v1")?;
    /// registry.create(NewSubscription::new("crm", "https://example.com/", ["agent.*"]))?;
    ///
    /// let document = serde_json::to_string(&registry.export()?)?;
    /// let other = Registry::in_memory()?;
    /// other.import(serde_json::from_str(&document)?)?;
    /// assert_eq!(serde_json::to_string(&other.export()?)?, document);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn export(&self) -> Result<Export> {
        let now = self.inner.clock.now();
        self.tracked("export", |progress| {
            self.read_file(|tx| {
                if progress.is_active() {
                    progress.begin(tx.len()?);
                }
                let mut subscriptions = Vec::new();
                tx.everything(|subscription, mut secrets| {
                    secrets.retain(|secret| secret.is_live(now));
                    subscriptions.push(Exported::new(subscription, secrets));
                    progress.advance();
                })?;
                let event_types = tx.event_types()?;
                progress.complete()?;
                Ok(Export { format_version: FORMAT, event_types, subscriptions })
            })
        })
    }

    /// Imports a document into an empty registry, all or nothing.
    ///
    /// Order, ids, owners, times, revisions, secrets and metadata are preserved. A disabled
    /// subscription without `disabledAt` gets its `updatedAt`. This registry's
    /// [`url_policy`](crate::RegistryOptions::url_policy) and
    /// [`min_secret_bytes`](crate::RegistryOptions::min_secret_bytes) apply. Patterns may name
    /// event types that the document does not contain. The history begins as if the event types had
    /// been registered and the subscriptions created.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `owner`: the handle is limited to an
    ///   owner.
    /// - [`ErrorKind::Incompatible`](crate::ErrorKind::Incompatible): the document has the format
    ///   of a newer version, whatever else it contains.
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): one problem for each field that breaks
    ///   a rule, as `subscriptions[3].url`. An enabled subscription with `disabledReason` or
    ///   `disabledAt` breaks one. Ids have to increase and names have to be unique for each owner;
    ///   the later entry has the problem. A revision is at most 2<sup>62</sup>, and an id must not
    ///   be from the last two milliseconds that an id can express, so that further revisions and
    ///   ids can follow.
    /// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) on `registry`: it is not empty.
    pub fn import(&self, document: Export) -> Result<()> {
        self.tracked("import", |progress| {
            self.write_file(|tx| {
                let Import { event_types, subscriptions } = document.validate(&self.inner.rules)?;
                if !tx.is_empty()? || !tx.event_type_names()?.is_empty() {
                    return Err(Error::conflict_field(
                        "registry",
                        "holds something already; import needs an empty one",
                    ));
                }
                let now = self.inner.clock.now();
                let entries = event_types.len().saturating_add(subscriptions.len());
                tx.expect_changes(entries);
                progress.begin_entries(entries);
                for ImportedEventType { event_type, schema } in &event_types {
                    event_types::register(tx, now, event_type, schema.as_deref())?;
                    progress.advance();
                }
                let _bulk = tx.bulk(subscriptions.len())?;
                let (writer, mut inserter) = (SubscriptionWriter::new(tx, now), tx.inserter(None)?);
                for ImportedSubscription { subscription, secrets } in &subscriptions {
                    writer.insert(&mut inserter, subscription, secrets)?;
                    progress.advance();
                }
                // A document can bring back ids that were deleted from this file.
                tx.forget_deleted()?;
                progress.complete()
            })
        })
    }
}
