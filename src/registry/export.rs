use super::Registry;
use super::event_types;
use super::subscriptions::{at, names_twice, record_created, unless_name_taken};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::event_type::{EventType, is_name};
use crate::export::{Export, Exported, ExportedSecret, FORMAT};
use crate::id::SubscriptionId;
use crate::secret::{IssuedSecret, MAX_OLD, SigningSecret};
use crate::store::{CatalogLookup, Write};
use crate::subscription::{Draft, NewSubscription, Subscription};
use crate::time::Millis;

/// Revisions rise, and SQLite has to be able to count those that follow.
const MAX_REVISION: u64 = 1 << 62;

/// # Export and import
impl Registry {
    /// Everything that the registry holds, as one document: **with every live secret as text**. The history of changes is
    /// not in it. Works in memory and read-only too. All of it is in memory at once, up to twice the size of the file.
    ///
    /// # Errors
    ///
    /// Those of [every call](Registry).
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
        self.read(|tx| {
            let mut subscriptions = Vec::new();
            tx.everything(|subscription, mut secrets| {
                secrets.retain(|secret| secret.is_live(now));
                subscriptions.push(Exported::new(subscription, secrets));
            })?;
            Ok(Export { format_version: FORMAT, event_types: tx.event_types()?, subscriptions })
        })
    }

    /// Takes in a document, whole or not at all, into a registry that holds nothing. Order, ids, times, revisions, secrets
    /// and metadata are kept.
    ///
    /// This registry's [`url_policy`](crate::RegistryOptions::url_policy) and
    /// [`min_secret_bytes`](crate::RegistryOptions::min_secret_bytes) apply; event types that the document does not know
    /// pass. The history begins as if the event types had been registered and the subscriptions created.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly)
    /// - [`ErrorKind::Invalid`](crate::ErrorKind::Invalid): one problem for every field that breaks a rule, as
    ///   `subscriptions[3].url`. Ids have to rise, and names are unique; a fault is the later's. A revision is at most
    ///   2<sup>62</sup>, and an id is not of the last two milliseconds that an id can carry, so that both can be followed.
    /// - [`ErrorKind::Incompatible`](crate::ErrorKind::Incompatible): a format of a newer version, whatever else is in the
    ///   document.
    /// - [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) on `registry`: it holds something already.
    pub fn import(&self, document: Export) -> Result<()> {
        self.write(|tx| {
            let Export { format_version, event_types, subscriptions } = document;
            if format_version != FORMAT {
                let what = format!(
                    "the document's format is {format_version}; the one that is known is {FORMAT}"
                );
                return Err(Error::new(ErrorKind::Incompatible, what));
            }
            let (schemas, mut problems) = match event_types::check_all(&event_types) {
                Ok(schemas) => (schemas, Vec::new()),
                Err(faults) => (
                    Vec::new(),
                    faults.into_iter().map(|fault| fault.under("eventTypes")).collect(),
                ),
            };
            // Of names that are none it was told already.
            let mut twice = names_twice(event_types.iter().map(EventType::name));
            twice.retain(|index, _| {
                event_types.get(*index).is_some_and(|event_type| is_name(event_type.name()))
            });
            problems.extend(
                twice.into_iter().map(|(index, fault)| fault.within(index).under("eventTypes")),
            );
            let imported = self.check_imported(tx, subscriptions, &mut problems)?;
            if !problems.is_empty() {
                return Err(Error::invalid(problems));
            }
            if !tx.is_empty()? || !tx.event_type_names()?.is_empty() {
                return Err(Error::conflict_field(
                    "registry",
                    "holds something already; import needs an empty one",
                ));
            }
            let now = self.inner.clock.now();
            tx.expect_changes(event_types.len().saturating_add(imported.len()));
            let wildcards = tx.wildcards()?;
            for (event_type, schema) in event_types.iter().zip(&schemas) {
                event_types::register(tx, now, event_type, schema.as_deref(), &wildcards)?;
            }
            let mut inserter = tx.inserter(None)?;
            for (subscription, secrets) in &imported {
                unless_name_taken(&subscription.name, inserter.insert(subscription, secrets)?)?;
                record_created(tx, subscription, now)?;
            }
            // They may have been here before.
            tx.forget_deleted()
        })
    }

    fn check_imported(
        &self,
        tx: &Write<'_>,
        subscriptions: Vec<Exported>,
        problems: &mut Vec<Problem>,
    ) -> Result<Vec<(Subscription, Vec<IssuedSecret>)>> {
        let mut twice = names_twice(subscriptions.iter().map(|exported| exported.name.as_str()));
        let knowledge = &mut CatalogLookup::new(tx);
        let (mut imported, mut last) = (Vec::with_capacity(subscriptions.len()), None);
        for (index, exported) in subscriptions.into_iter().enumerate() {
            let mut faults = Vec::new();
            let checked = self.check_one(exported, &mut last, knowledge, &mut faults)?;
            problems.extend(
                at(index, faults, &mut twice).into_iter().map(|fault| fault.under("subscriptions")),
            );
            imported.extend(checked);
        }
        Ok(imported)
    }

    /// None where there are faults.
    fn check_one(
        &self,
        exported: Exported,
        last: &mut Option<SubscriptionId>,
        knowledge: &mut CatalogLookup<'_>,
        faults: &mut Vec<Problem>,
    ) -> Result<Option<(Subscription, Vec<IssuedSecret>)>> {
        let Exported {
            id,
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            created_at,
            updated_at,
            revision,
            secrets,
        } = exported;
        let id = match id.parse::<SubscriptionId>() {
            Ok(id) if last.is_some_and(|last| id <= last) => {
                faults.push(Problem::new(
                    "subscriptionId",
                    "ids rise, and this one does not follow the one before",
                ));
                None
            }
            Ok(id) if !id.can_be_followed() => {
                faults.push(Problem::new(
                    "subscriptionId",
                    "ids rise, and after this one too few are left",
                ));
                None
            }
            Ok(id) => Some(*last.insert(id)),
            Err(error) => {
                faults.extend_from_slice(error.problems());
                None
            }
        };
        let new = NewSubscription::imported(name, url, events, enabled, description, metadata);
        let draft =
            new.check(&self.inner.rules, knowledge)?.map_err(|wrong| faults.extend(wrong)).ok();
        let created_at = time("createdAt", &created_at, faults);
        let updated_at = time("updatedAt", &updated_at, faults);
        if !(1..=MAX_REVISION).contains(&revision) {
            let why = format!("a revision is a whole number from 1 to {MAX_REVISION}");
            faults.push(Problem::new("revision", why));
        }
        let secrets = check_secrets(secrets, self.inner.rules.min_secret_bytes, faults);
        let (Some(id), Some(draft), Some(created_at), Some(updated_at), true) =
            (id, draft, created_at, updated_at, faults.is_empty())
        else {
            return Ok(None);
        };
        let Draft { name, url, events, enabled, secret: _, description, metadata } = draft;
        let subscription = Subscription {
            id,
            name,
            url,
            events,
            enabled,
            description,
            metadata,
            created_at,
            updated_at,
            revision,
        };
        Ok(Some((subscription, secrets)))
    }
}

fn time(field: &str, text: &str, faults: &mut Vec<Problem>) -> Option<Millis> {
    let time = Millis::parse(text);
    if time.is_none() {
        faults.push(Problem::new(
            field,
            "a time is as RFC 3339 writes it, in UTC with Z, from 1970 to 9999",
        ));
    }
    time
}

fn check_secrets(
    secrets: Vec<ExportedSecret>,
    least_key: usize,
    faults: &mut Vec<Problem>,
) -> Vec<IssuedSecret> {
    if secrets.is_empty() || secrets.len() > MAX_OLD.saturating_add(1) {
        let why = format!("a subscription has from 1 to {} secrets", MAX_OLD.saturating_add(1));
        faults.push(Problem::new("secrets", why));
    }
    let mut issued: Vec<IssuedSecret> = Vec::with_capacity(secrets.len());
    for (index, exported) in secrets.into_iter().enumerate() {
        let ExportedSecret { secret, created_at, expires_at } = exported;
        let at = |field: &str| format!("secrets[{index}].{field}");
        let secret = match SigningSecret::read_at_least(secret.as_str(), least_key) {
            Ok(secret) if issued.iter().any(|other| other.secret.has_key_of(&secret)) => {
                faults.push(Problem::new(at("secret"), "stands among the secrets already"));
                None
            }
            Ok(secret) => Some(secret),
            Err(why) => {
                faults.push(Problem::new(at("secret"), why));
                None
            }
        };
        let created_at = time(&at("createdAt"), &created_at, faults);
        let until = match expires_at {
            Some(until) if index > 0 => time(&at("expiresAt"), &until, faults),
            None if index == 0 => None,
            _ => {
                let why = "the newest secret does not expire, and every other does";
                faults.push(Problem::new(at("expiresAt"), why));
                None
            }
        };
        if let (Some(secret), Some(created_at)) = (secret, created_at) {
            issued.push(IssuedSecret { secret, created_at, expires_at: until });
        }
    }
    issued
}
