//! Compares every read call of a registry with the model.

use webhook_registry::{Error, ErrorKind, ListQuery, Registry, Subscription};

use super::naive::{Naive, Refusal, Sub, refusal};
use super::{KEYS, NAMES, PATTERNS, TYPES, World, flat, plain};
use crate::support::oracle;

impl World {
    fn query(&mut self) -> (ListQuery, Result<Vec<Sub>, Refusal>) {
        let (mut query, mut subs) = (ListQuery::new().limit(1_000), self.naive.subs.clone());
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

    fn compare_lists(&mut self, registry: &Registry) {
        for _ in 0..4 {
            let (query, expected) = self.query();
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

    pub(super) fn compare(&mut self, registry: &Registry) {
        let naive = self.naive.clone();
        assert_eq!(registry.len().unwrap(), naive.subs.len() as u64);
        assert_eq!(registry.is_empty().unwrap(), naive.subs.is_empty());
        for id in naive.ids.iter().rev().take(12) {
            let found = registry.get(*id).unwrap().map(|found| flat(&found, None));
            let expected = naive.find(*id).cloned().map(|sub| Sub { secret: None, ..sub });
            assert_eq!(found, expected);
        }
        for name in NAMES {
            let found = registry.get_by_name(name).unwrap().map(|found| found.id());
            assert_eq!(
                found,
                naive.subs.iter().find(|sub| sub.name == name).and_then(|sub| sub.id)
            );
        }
        let types = registry.event_types().unwrap();
        let types: Vec<_> = types.iter().map(|it| (it.name(), it.description())).collect();
        let expected: Vec<_> =
            naive.types.iter().map(|(name, text)| (name.as_str(), text.as_deref())).collect();
        assert_eq!(types, expected);
        for pattern in PATTERNS {
            assert_eq!(registry.expand(pattern).unwrap(), naive.expand(pattern), "{pattern}");
        }
        for name in TYPES {
            compare_dispatch(registry, &naive, name);
        }
        self.compare_lists(registry);
    }
}

fn compare_dispatch(registry: &Registry, naive: &Naive, name: &str) {
    let matching = || naive.subs.iter().filter(|sub| sub.matches(name));
    let known = naive.types.contains_key(name);
    assert_eq!(registry.event_type(name).unwrap().is_some(), known);
    let found = plain(registry.subscribers(name)).map(|all| {
        let one = |it: &webhook_registry::Subscriber| {
            let secrets: Vec<String> =
                it.secrets().map(|secret| secret.expose().to_owned()).collect();
            (
                Some(it.id()),
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
        (sub.id, sub.name.clone(), sub.url.clone(), sub.metadata.clone(), secrets)
    };
    let expected: Vec<_> = matching().filter(|sub| sub.enabled).map(one).collect();
    assert_eq!(
        found,
        if known { Ok(expected) } else { refusal(ErrorKind::NotFound, ["eventType".to_owned()]) },
        "{name}"
    );
    let found = plain(registry.explain(name)).map(|explanation| {
        let one = |it: &webhook_registry::ExplanationEntry| {
            let patterns: Vec<String> = it.patterns().iter().map(ToString::to_string).collect();
            let reason = it.disabled_reason().map(str::to_owned);
            (Some(it.subscription_id()), it.name().to_owned(), it.enabled(), reason, patterns)
        };
        explanation.entries().iter().map(one).collect::<Vec<_>>()
    });
    let one = |sub: &Sub| {
        let patterns: Vec<String> =
            sub.events.iter().filter(|pattern| oracle::matches(pattern, name)).cloned().collect();
        (sub.id, sub.name.clone(), sub.enabled, sub.reason.clone(), patterns)
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
    let mut statement = conn
        .prepare(
            "SELECT event_type || ' ' || id FROM webhook_registry_subscribers ORDER BY \
                      1",
        )
        .unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut expected: Vec<String> = Vec::new();
    for name in naive.types.keys() {
        let getting = naive.subs.iter().filter(|sub| sub.enabled && sub.matches(name));
        expected.extend(getting.map(|sub| format!("{name} {}", sub.id.unwrap())));
    }
    expected.sort();
    assert_eq!(rows.map(Result::unwrap).collect::<Vec<_>>(), expected, "the view of subscribers");
}
