//! Transactions of calls that suggest a similar name for an unknown event type.

use std::cell::RefCell;

use super::handle::Registry;
use crate::did_you_mean;
use crate::error::{Error, Misspelt, Result};
use crate::scope::Scope;
use crate::store::{Read, Write};

impl Registry {
    /// Reads in one transaction, and adds a suggestion to an error about an unknown event type.
    ///
    /// The transaction only reads the names. Comparing them takes many times as long, and meanwhile
    /// it would block every other call of a registry in memory.
    pub(super) fn read_or_suggest<T>(&self, job: impl Fn(&Read<'_>) -> Result<T>) -> Result<T> {
        let names = RefCell::default();
        let result = self.read(|tx| {
            let result = job(tx);
            names.replace(names_for(tx, &result)?);
            result
        });
        result.map_err(|error| complete(error, &names.into_inner()))
    }

    /// Writes in one transaction, and adds a suggestion to an error about an unknown event type.
    ///
    /// The names are compared without the write lock, so that other processes can write meanwhile.
    pub(super) fn write_or_suggest<T>(
        &self,
        job: impl FnOnce(&Write<'_>) -> Result<T>,
    ) -> Result<T> {
        self.suggesting(&self.scope, job)
    }

    /// Does the same for a call that concerns the whole file.
    pub(super) fn write_file_or_suggest<T>(
        &self,
        job: impl FnOnce(&Write<'_>) -> Result<T>,
    ) -> Result<T> {
        self.require_writable()?;
        self.require_whole_file()?;
        self.suggesting(&Scope::Every, job)
    }

    fn suggesting<T>(&self, scope: &Scope, job: impl FnOnce(&Write<'_>) -> Result<T>) -> Result<T> {
        let mut names = Vec::new();
        let result = self.inner.store.write(scope, |tx| {
            let result = job(tx);
            names = names_for(tx, &result)?;
            result
        });
        result.map_err(|error| complete(error, &names))
    }
}

/// Returns the names to compare with the unknown names of an error.
fn names_for<T>(read: &Read<'_>, result: &Result<T>) -> Result<Vec<String>> {
    let Err(error) = result else {
        return Ok(Vec::new());
    };
    let texts: Vec<&str> =
        error.misspelt().take(did_you_mean::MAX_SUGGESTIONS).map(Misspelt::sort_key).collect();
    if texts.is_empty() { Ok(Vec::new()) } else { read.names_near(texts.into_iter()) }
}

fn complete(error: Error, names: &[String]) -> Error {
    #[cfg(test)]
    tests::between();
    did_you_mean::complete(error, names)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::plan::Prune;
    use crate::subscription::{ListQuery, NewSubscription, SubscriptionUpdate};

    thread_local! {
        static BETWEEN: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
    }

    /// Runs the job of a test before the names are compared.
    pub(super) fn between() {
        BETWEEN.with_borrow_mut(|between| {
            if let Some(between) = between {
                between();
            }
        });
    }

    fn new(name: &str, event: &str) -> NewSubscription {
        NewSubscription::new(name, "https://example.com/", [event])
    }

    /// Makes every call that can fail for an unknown name, and returns their messages.
    fn refusals(registry: &Registry) -> Vec<String> {
        registry.register_event_type("agent.held.v1").unwrap();
        let id = registry.create(new("crm", "agent.*")).unwrap().subscription().id();
        let (name, wildcard) = ("agent.hold.v1", "agnt.*");
        let query = || ListQuery::new().event_type(name);
        let update = SubscriptionUpdate::new().events([name]);
        [
            registry.create(new("new", name)).map(drop),
            registry.create(new("new", wildcard)).map(drop),
            registry.create_all([new("new", name), new("newer", wildcard)]).map(drop),
            registry.update(id, update).map(drop),
            registry.ensure(new("new", name)).map(drop),
            registry.ensure(new("crm", wildcard)).map(drop),
            registry.plan([new("new", name), new("crm", wildcard)], Prune::Keep).map(drop),
            registry.subscribers(name).map(drop),
            registry.explain(name).map(drop),
            registry.list(query()).map(drop),
            registry.iter(query()).next().unwrap().map(drop),
            registry.count(query()).map(drop),
            registry.remove_event_type(name),
        ]
        .map(|result| result.unwrap_err().to_string())
        .into()
    }

    /// Makes the calls, and runs `write` before each of their suggestions is computed.
    fn assert_nobody_waits(registry: &Registry, mut write: impl FnMut(String) + 'static) {
        let (done, writes) = mpsc::channel();
        BETWEEN.set(Some(Box::new(move || {
            write("written.meanwhile".to_owned());
            done.send(()).unwrap();
        })));
        let messages = refusals(registry);
        BETWEEN.set(None);
        assert!(registry.event_type("written.meanwhile").unwrap().is_some());
        assert_eq!(writes.iter().count(), messages.len(), "once for each");
        for message in messages {
            let suggested = if message.contains(".*") { "agent.*" } else { "agent.held.v1" };
            assert!(message.ends_with(&format!("did you mean {suggested:?}?")), "{message}");
        }
    }

    #[test]
    fn another_process_can_write_while_a_suggestion_is_computed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("webhooks.db");
        let registry = Registry::open(&path).unwrap();
        // The other registry does not wait for locks.
        let other = Registry::options().busy_timeout(Duration::ZERO).open(&path).unwrap();
        assert_nobody_waits(&registry, move |name| other.register_event_type(name).unwrap());
    }

    #[test]
    fn another_thread_can_use_a_registry_in_memory_while_a_suggestion_is_computed() {
        let registry = Registry::in_memory().unwrap();
        let other = registry.clone();
        assert_nobody_waits(&registry, move |name| {
            let other = other.clone();
            let (done, written) = mpsc::channel();
            thread::spawn(move || done.send(other.register_event_type(name)));
            // While the lock is held, this would never arrive.
            written.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
        });
    }
}
