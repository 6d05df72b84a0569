use super::handle::Registry;
use crate::diagnostics::Diagnostics;
use crate::error::Result;
use crate::report::{Finding, Report};

/// # Checking
impl Registry {
    /// Checks the whole file in one transaction, and reports damage and questionable settings. It
    /// changes nothing.
    ///
    /// [Findings](Report::findings) are damage, or changes that another program has made:
    ///
    /// - a table, index, view or trigger of the registry is missing, or differs from the one that
    ///   this crate creates;
    /// - the results of SQLite's `integrity_check`, a table that cannot be read by one of its
    ///   indexes, the results of `foreign_key_check` for the registry's own tables, and pages that
    ///   belong to no table or index;
    /// - a pattern that is not expanded into the event types that it matches, or that no
    ///   subscription has;
    /// - a subscription without a pattern, without a secret that can be decrypted, with no current
    ///   secret or with two, or enabled in one table and disabled in another;
    /// - ids that do not increase, a history with gaps, rows that do not decode, and values that
    ///   break a [rule](crate::NewSubscription#rules), including those in the history.
    ///
    /// [Advice](Report::advice) is about valid data:
    ///
    /// - two enabled subscriptions of one owner, or without an owner, receive the same event at the
    ///   same URL;
    /// - a pattern matches no event type today, or none that another pattern of its subscription
    ///   does not match;
    /// - a URL is plain `http`;
    /// - a trigger, index, view or foreign key of another program acts on the registry's tables;
    /// - a current secret is more than a year old by the registry's clock, has fewer than 32 bytes,
    ///   or is written in hexadecimal digits, which are read as base64;
    /// - the registry has a file, and the linked SQLite has the WAL-reset bug (3.7.0 to 3.51.2,
    ///   except 3.44.6 and later 3.44, and 3.50.7 and later 3.50). The registry's own checkpoints
    ///   avoid the bug.
    ///
    /// Damage that can still be read is a finding, not an error. The check reads every page several
    /// times, so it takes long on a large file, and about 700 bytes of memory for each
    /// subscription. Writers do not wait for it, except the other threads of a registry in memory
    /// or with [`exclusive(true)`](crate::RegistryOptions::exclusive).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) on `owner`: the handle is limited to an
    ///   owner.
    /// - [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt): even the list of tables cannot be read.
    /// - [`ErrorKind::Storage`](crate::ErrorKind::Storage): the disk cannot be read. This is no
    ///   finding, because restoring a backup would not help.
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
        self.tracked("check", |progress| {
            self.read_file(|tx| {
                let mut report = Report::default();
                if progress.is_active() {
                    // Two parts come before the subscriptions. A failed count is a finding later.
                    progress.begin(tx.len().unwrap_or(0).saturating_add(2));
                }
                self.inner.store.check_file(tx, &mut report)?;
                progress.advance();
                let matches = tx.check_catalog(&mut report)?;
                progress.advance();
                let mut diagnostics = Diagnostics::new(&matches, now);
                tx.check_subscriptions(&mut report, |report, who, subscription, secrets| {
                    diagnostics.visit(report, who, subscription, secrets);
                    progress.advance();
                })?;
                diagnostics.finish(&mut report);
                if let Some(advice) = self.inner.store.sqlite_advice() {
                    report.push_advice(Finding::for_file(advice));
                }
                progress.complete()?;
                Ok(report)
            })
        })
    }
}
