//! Compares every read call of a registry with the model.

use webhook_registry::{Change, Error, ErrorKind, ListQuery, Registry, Subscription};

use super::handle::Handle;
use super::naive::{Naive, OWNERS, Refusal, SCOPES, Scope, Sub, refusal};
use super::{KEYS, NAMES, PATTERNS, TYPES, World, flat, plain};
use crate::support::oracle;

impl World {
    fn query(&mut self, scope: Scope) -> (ListQuery, Result<Vec<Sub>, Refusal>) {
        let mut query = ListQuery::new().limit(1_000);
        let mut subs: Vec<Sub> = self.naive.scoped(scope).cloned().collect();
        let mut known = true;
        if self.random.chance(30) {
            let enabled = self.random.chance(50);
            query = query.enabled(enabled);
            subs.retain(|sub| sub.enabled == enabled);
        }
        if self.random.chance(30) {
            let text = *self.random.pick(&["a", "b", "%", "_", "", "é", "\""]);
            query = query.name_contains(text);
            subs.retain(|sub| sub.name.contains(text));
        }
        if self.random.chance(30) {
            let name = *self.random.pick(&TYPES);
            query = query.event_type(name);
            known = self.naive.types.contains_key(name);
            subs.retain(|sub| sub.matches(name));
        }
        if self.random.chance(30) {
            let (key, value) = (*self.random.pick(&KEYS), *self.random.pick(&["1", "2", ""]));
            query = query.metadata(key, value);
            subs.retain(|sub| sub.metadata.get(key).is_some_and(|found| found == value));
        }
        let expected =
            if known { Ok(subs) } else { refusal(ErrorKind::NotFound, ["eventType".to_owned()]) };
        (query, expected)
    }

    fn compare_lists(&mut self, registry: &Registry, scope: Scope) {
        for _ in 0..2 {
            let (query, expected) = self.query(scope);
            let count = plain(registry.count(query.clone()));
            assert_eq!(count, expected.clone().map(|subs| subs.len() as u64), "{query:?}");
            let limit = 1 + self.random.below(3);
            let pages: Result<Vec<Subscription>, Error> =
                registry.iter(query.clone().limit(limit)).collect();
            let flat_all = |all: &[Subscription]| -> Vec<Sub> {
                all.iter().map(|found| flat(found, None)).collect()
            };
            let blank = |subs: &[Sub]| -> Vec<Sub> {
                subs.iter().map(|sub| Sub { secret: None, ..sub.clone() }).collect()
            };
            assert_eq!(
                plain(pages).map(|all| flat_all(&all)),
                expected.clone().map(|subs| blank(&subs)),
                "{query:?}"
            );
            let after = self.id();
            let page = plain(registry.list(query.clone().after(after).limit(2)));
            let rest = expected.map(|mut subs| {
                subs.retain(|sub| sub.id > Some(after));
                (blank(&subs[..subs.len().min(2)]), if subs.len() > 2 { subs[1].id } else { None })
            });
            let page = page.map(|page| (flat_all(page.subscriptions()), page.next_cursor()));
            assert_eq!(page, rest, "{query:?} after {after}");
        }
    }

    pub(super) fn compare(&mut self, registry: &Registry, scope: Scope) {
        let naive = self.naive.clone();
        let scoped = || naive.scoped(scope);
        assert_eq!(registry.len().unwrap(), scoped().count() as u64);
        assert_eq!(registry.is_empty().unwrap(), scoped().next().is_none());
        for id in naive.ids.iter().rev().take(12) {
            let found = registry.get(*id).unwrap().map(|found| flat(&found, None));
            let expected = naive.find(scope, *id).cloned();
            let secret = expected.as_ref().and_then(|sub| sub.secret.clone());
            assert_eq!(found, expected.map(|sub| Sub { secret: None, ..sub }), "{scope:?}");
            let found = plain(registry.secret(*id)).map(|secret| secret.expose().to_owned());
            let missing = (ErrorKind::NotFound, vec!["subscriptionId".to_owned()]);
            assert_eq!(found, secret.ok_or(missing), "{scope:?}");
            let found = registry.subscriber(*id).unwrap().map(|one| one.id());
            assert_eq!(found, naive.find(scope, *id).and_then(|sub| sub.id), "{scope:?}");
        }
        for name in NAMES {
            let found =
                plain(registry.get_by_name(name)).map(|found| found.map(|found| found.id()));
            let expected = scoped().find(|sub| sub.name == name).and_then(|sub| sub.id);
            assert_eq!(found, scope.require_one().map(|()| expected), "{scope:?} {name}");
        }
        for name in TYPES {
            compare_dispatch(registry, scope, &naive, name);
        }
        self.compare_lists(registry, scope);
        for after in [None, Some(""), Some("b"), Some(OWNERS[0])] {
            let limit = 1 + self.random.below(4);
            let mut expected = naive.owners(after);
            expected.truncate(limit);
            let found = plain(registry.owners(after, limit));
            assert_eq!(found, scope.require_file().map(|()| expected), "{scope:?} {after:?}");
        }
    }

    /// Asserts that a handle, and the handles of other scopes made from it, return the answers of
    /// the model.
    pub(super) fn compare_scopes(&mut self, handle: &Handle) {
        for scope in SCOPES {
            self.compare(&handle.scoped(scope), scope);
        }
        // All scopes share the catalog.
        let scope = *self.random.pick(&SCOPES);
        compare_catalog(&handle.scoped(scope), &self.naive);
        compare_histories(handle);
    }
}

/// Returns the history that a handle can see.
fn history(registry: &Registry) -> Vec<Change> {
    let mut all: Vec<Change> = Vec::new();
    loop {
        let after = all.last().map_or(0, Change::sequence);
        let page = registry.changes(after, 1_000).unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Asserts that the history of an owner has the changes of that owner's subscriptions, and no
/// other.
fn compare_histories(handle: &Handle) {
    let whole = handle.scoped(Scope::NoOwner);
    let all = history(&whole);
    assert_eq!(history(&handle.scoped(Scope::Every)), all);
    for owner in OWNERS {
        let scoped = handle.scoped(Scope::Owner(owner));
        let owned: Vec<_> = all.iter().filter(|it| it.owner() == Some(owner)).cloned().collect();
        let middle = all.get(all.len() / 2).map_or(0, |change| change.sequence());
        let later: Vec<_> =
            owned.iter().filter(|it| it.sequence() > middle).take(3).cloned().collect();
        assert_eq!(scoped.changes(middle, 3).unwrap(), later, "{owner} after {middle}");
        assert_eq!(history(&scoped), owned, "{owner}");
        assert_eq!(scoped.last_change().unwrap(), whole.last_change().unwrap());
    }
}

fn compare_catalog(registry: &Registry, naive: &Naive) {
    let types = registry.event_types().unwrap();
    let types: Vec<_> = types.iter().map(|it| (it.name(), it.description())).collect();
    let expected: Vec<_> =
        naive.types.iter().map(|(name, text)| (name.as_str(), text.as_deref())).collect();
    assert_eq!(types, expected);
    for pattern in PATTERNS {
        assert_eq!(registry.expand(pattern).unwrap(), naive.expand(pattern), "{pattern}");
    }
}

fn compare_dispatch(registry: &Registry, scope: Scope, naive: &Naive, name: &str) {
    let matching = || naive.scoped(scope).filter(|sub| sub.matches(name));
    let known = naive.types.contains_key(name);
    assert_eq!(registry.event_type(name).unwrap().is_some(), known);
    let found = plain(registry.subscribers(name)).map(|all| {
        let one = |it: &webhook_registry::Subscriber| {
            let secrets: Vec<String> =
                it.secrets().map(|secret| secret.expose().to_owned()).collect();
            (
                Some(it.id()),
                it.owner().map(str::to_owned),
                it.name().to_owned(),
                it.url().to_owned(),
                it.metadata().clone(),
                secrets,
            )
        };
        all.iter().map(one).collect::<Vec<_>>()
    });
    let one = |sub: &Sub| {
        let secrets = vec![sub.secret.clone().unwrap()];
        (
            sub.id,
            sub.owner.clone(),
            sub.name.clone(),
            sub.url.clone(),
            sub.metadata.clone(),
            secrets,
        )
    };
    let expected: Vec<_> = matching().filter(|sub| sub.enabled).map(one).collect();
    assert_eq!(
        found,
        if known { Ok(expected) } else { refusal(ErrorKind::NotFound, ["eventType".to_owned()]) },
        "{scope:?} {name}"
    );
    let found = plain(registry.explain(name)).map(|explanation| {
        let one = |it: &webhook_registry::ExplanationEntry| {
            let patterns: Vec<String> = it.patterns().iter().map(ToString::to_string).collect();
            let (owner, reason) = (it.owner().map(str::to_owned), it.disabled_reason());
            let reason = reason.map(str::to_owned);
            let (id, name) = (Some(it.subscription_id()), it.name().to_owned());
            (id, owner, name, it.enabled(), reason, patterns)
        };
        explanation.entries().iter().map(one).collect::<Vec<_>>()
    });
    let one = |sub: &Sub| {
        let patterns: Vec<String> =
            sub.events.iter().filter(|pattern| oracle::matches(pattern, name)).cloned().collect();
        let (owner, reason) = (sub.owner.clone(), sub.reason.clone());
        (sub.id, owner, sub.name.clone(), sub.enabled, reason, patterns)
    };
    let expected: Vec<_> = matching().map(one).collect();
    assert_eq!(
        found,
        if known { Ok(expected) } else { refusal(ErrorKind::NotFound, ["eventType".to_owned()]) },
        "{name}"
    );
}

/// Asserts that the content of the file, read by a plain connection, equals the model.
pub(super) fn audit(path: &std::path::Path, naive: &Naive) {
    let conn = rusqlite::Connection::open(path).unwrap();
    let text = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    assert_eq!(text("SELECT count(*) || '' FROM pragma_foreign_key_check"), "0");
    let orphans = "SELECT count(*) || '' FROM _webhook_registry_pattern WHERE id NOT IN \
        (SELECT pattern FROM _webhook_registry_subscription_pattern)";
    assert_eq!(text(orphans), "0", "unused patterns remain");
    let owners = "SELECT count(*) || '' FROM _webhook_registry_owner WHERE id <> 0 AND id NOT IN \
        (SELECT owner FROM _webhook_registry_subscription)";
    assert_eq!(text(owners), "0", "owners without a subscription remain");
    let rows = |sql: &str| -> Vec<String> {
        let mut statement = conn.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let expected = |is_owned: bool| {
        let mut all: Vec<String> = Vec::new();
        for name in naive.types.keys() {
            let getting = naive.subs.iter().filter(|sub| sub.enabled && sub.matches(name));
            let getting = getting.filter(|sub| sub.owner.is_some() == is_owned);
            all.extend(getting.map(|sub| {
                let owner = sub.owner.as_ref().map(|owner| format!("{owner} ")).unwrap_or_default();
                format!("{owner}{name} {}", sub.id.unwrap())
            }));
        }
        all.sort();
        all
    };
    let view = "SELECT event_type || ' ' || id FROM webhook_registry_subscribers ORDER BY 1";
    assert_eq!(rows(view), expected(false), "the view of subscribers without an owner");
    let view = "SELECT owner || ' ' || event_type || ' ' || id \
                FROM webhook_registry_owner_subscribers ORDER BY 1";
    assert_eq!(rows(view), expected(true), "the view of the owners' subscribers");
}
