use super::handle::Registry;
use crate::diagnostics::Diagnostics;
use crate::error::Result;
use crate::report::Report;

/// # Checking
impl Registry {
    /// Goes through the whole file, of one moment of it, and tells what is wrong and what looks wrong. It changes nothing.
    ///
    /// [Findings](Report::findings) break a promise, by damage or by another program's hand:
    ///
    /// - a table, index, view or trigger of the registry's that is missing, or is not as this crate writes it;
    /// - what SQLite's `integrity_check` and `foreign_key_check` say, and pages that belong to nothing;
    /// - a pattern that is not expanded into what it covers, or that no subscription has;
    /// - a subscription without a pattern, without a secret that opens, with no current secret or with two, or enabled in one
    ///   table and not in another;
    /// - ids that do not rise, a history with gaps, rows that do not decode, values that break a [rule](crate::NewSubscription#rules),
    ///   also those of the history.
    ///
    /// [Advice](Report::advice) is legal:
    ///
    /// - two enabled subscriptions that get the same event at the same URL;
    /// - a pattern that covers nothing today, or nothing that another of the same subscription does not;
    /// - plain `http`;
    /// - a trigger, index, view or foreign key of another program's that works on the registry's tables;
    /// - a secret that is more than a year old, by the registry's clock.
    ///
    /// Damage that can still be read is a finding, not an error. It reads every page several times, so on a large file it
    /// takes a while; nobody who writes waits for it, but in memory and with
    /// [`exclusive(true)`](crate::RegistryOptions::exclusive) the other threads do.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) where not even the list of tables can be read.
    /// - [`ErrorKind::Storage`](crate::ErrorKind::Storage) where the disk cannot be read, which is no
    ///   finding: restoring a backup would not help.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::{NewSubscription, Registry};
    ///
    /// let registry = Registry::in_memory()?;
    /// registry.register_event_type("agent.presencechanged.v1")?;
    /// registry.create(NewSubscription::new("crm", "http://example.com/hook", ["agent.*"]))?;
    ///
    /// let report = registry.check()?;
    /// assert!(report.is_sound());
    /// for advice in report.advice() {
    ///     println!("{advice}"); // subscription "crm" (01K…): its URL is plain http, …
    /// }
    /// # assert_eq!(report.advice().len(), 1);
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn check(&self) -> Result<Report> {
        let now = self.inner.clock.now();
        self.read(|tx| {
            let mut report = Report::default();
            tx.check_file(&mut report)?;
            let covers = tx.check_catalog(&mut report)?;
            let mut review = Diagnostics::new(&covers, now);
            tx.check_subscriptions(&mut report, |report, who, subscription, secrets| {
                review.see(report, who, subscription, secrets);
            })?;
            review.finish(&mut report);
            Ok(report)
        })
    }
}
