//! Other ways to find the subscribers of an event.

use std::collections::HashMap;

use glob::Pattern;
use globset::{Glob, GlobSet, GlobSetBuilder};
use rusqlite::{Connection, params};
use webhook_registry::{Created, Registry};

use crate::common::data::{FOR_TEN, is_wildcard};
use crate::common::fill;
use crate::common::rows::{CreatedRow, SubscriberRow};
use crate::{Bench, rows};

pub(crate) fn all(bench: &mut Bench) {
    const GROUP: &str = "dispatch/peers";
    if !bench.run.wants(GROUP) {
        return;
    }
    let dataset = bench.mixed(100_000);
    let registry = Registry::in_memory().unwrap();
    let mut endpoints: Vec<Endpoint> = Vec::new();
    fill(&registry, &dataset, |created| endpoints.extend(created.iter().map(Endpoint::new)));

    let expected = rows(&registry.subscribers(FOR_TEN).unwrap());
    let (sql, globs) = (Globbed::new(&endpoints), Indexed::new(&endpoints));
    let mut matched = Vec::new();
    assert_eq!(expected.len(), 10);
    assert_eq!(linear_scan(&endpoints, FOR_TEN), expected);
    assert_eq!(sql.subscribers(FOR_TEN), expected);
    assert!(globs.subscribers(FOR_TEN, &mut matched).into_iter().eq(&expected));

    let mut group = bench.group(GROUP);
    group.bench_function("registry", |bencher| {
        bencher.iter(|| registry.subscribers(FOR_TEN).unwrap())
    });
    group
        .bench_function("linear_scan", |bencher| bencher.iter(|| linear_scan(&endpoints, FOR_TEN)));
    group.bench_function("sql_glob", |bencher| bencher.iter(|| sql.subscribers(FOR_TEN)));
    group.bench_function("globset", |bencher| {
        bencher.iter(|| globs.subscribers(FOR_TEN, &mut matched).len())
    });
}

/// An endpoint with its compiled patterns.
struct Endpoint {
    matchers: Vec<Matcher>,
    patterns: Vec<String>,
    enabled: bool,
    subscriber: SubscriberRow,
}

enum Matcher {
    Name(String),
    Wildcard(Pattern),
}

impl Endpoint {
    fn new(created: &Created) -> Endpoint {
        let CreatedRow { subscription: row, secret } = created.into();
        let matcher = |event: &String| {
            if is_wildcard(event) {
                Matcher::Wildcard(Pattern::new(event).unwrap())
            } else {
                Matcher::Name(event.clone())
            }
        };
        Endpoint {
            matchers: row.events.iter().map(matcher).collect(),
            patterns: row.events,
            enabled: row.enabled,
            subscriber: SubscriberRow {
                id: row.id,
                name: row.name,
                url: row.url,
                metadata: row.metadata,
                secret,
            },
        }
    }

    fn matches(&self, event_type: &str) -> bool {
        self.enabled
            && self.matchers.iter().any(|matcher| match matcher {
                Matcher::Name(name) => name == event_type,
                Matcher::Wildcard(pattern) => pattern.matches(event_type),
            })
    }
}

fn linear_scan(endpoints: &[Endpoint], event_type: &str) -> Vec<SubscriberRow> {
    let hits = endpoints.iter().filter(|endpoint| endpoint.matches(event_type));
    hits.map(|endpoint| endpoint.subscriber.clone()).collect()
}

/// A table of endpoints, and a table of their patterns.
struct Globbed(Connection);

impl Globbed {
    fn new(endpoints: &[Endpoint]) -> Globbed {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(
            "BEGIN;
             CREATE TABLE endpoint (seq INTEGER PRIMARY KEY, id BLOB, name TEXT, url TEXT, \
             metadata TEXT, secret TEXT,
                                    enabled INTEGER) STRICT;
             CREATE TABLE matcher (endpoint INTEGER, pattern TEXT, \
             PRIMARY KEY (endpoint, pattern)) STRICT, WITHOUT ROWID;",
        )
        .unwrap();
        for (seq, endpoint) in (1_i64..).zip(endpoints) {
            let SubscriberRow { id, name, url, metadata, secret } = &endpoint.subscriber;
            let metadata = serde_json::to_string(metadata).unwrap();
            conn.prepare_cached("INSERT INTO endpoint VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
                .unwrap()
                .execute(params![seq, id, name, url, metadata, secret, endpoint.enabled])
                .unwrap();
            for pattern in &endpoint.patterns {
                let mut insert =
                    conn.prepare_cached("INSERT INTO matcher VALUES (?1, ?2)").unwrap();
                insert.execute(params![seq, pattern]).unwrap();
            }
        }
        conn.execute_batch("COMMIT").unwrap();
        Globbed(conn)
    }

    fn subscribers(&self, event_type: &str) -> Vec<SubscriberRow> {
        let sql = "SELECT id, name, url, metadata, secret FROM endpoint \
                    WHERE enabled = 1 \
                    AND seq IN (SELECT endpoint FROM matcher WHERE ?1 GLOB pattern) ORDER BY seq";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        let rows = statement.query_map([event_type], |row| {
            let metadata: String = row.get(3)?;
            Ok(SubscriberRow {
                id: row.get(0)?,
                name: row.get(1)?,
                url: row.get(2)?,
                metadata: serde_json::from_str(&metadata).unwrap(),
                secret: row.get(4)?,
            })
        });
        rows.unwrap().map(Result::unwrap).collect()
    }
}

/// One set of all distinct patterns, and the subscribers of each.
struct Indexed<'e> {
    set: GlobSet,
    holders: Vec<Vec<(usize, &'e SubscriberRow)>>,
}

impl<'e> Indexed<'e> {
    fn new(endpoints: &'e [Endpoint]) -> Indexed<'e> {
        let mut set = GlobSetBuilder::new();
        let mut holders: Vec<Vec<_>> = Vec::new();
        let mut known = HashMap::new();
        for (number, endpoint) in
            endpoints.iter().enumerate().filter(|(_, endpoint)| endpoint.enabled)
        {
            for pattern in &endpoint.patterns {
                let at = *known.entry(pattern).or_insert_with(|| {
                    set.add(Glob::new(pattern).unwrap());
                    holders.push(Vec::new());
                    holders.len() - 1
                });
                holders[at].push((number, &endpoint.subscriber));
            }
        }
        Indexed { set: set.build().unwrap(), holders }
    }

    fn subscribers(&self, event_type: &str, matched: &mut Vec<usize>) -> Vec<&'e SubscriberRow> {
        self.set.matches_into(event_type, matched);
        let mut hits: Vec<_> =
            matched.iter().flat_map(|&pattern| &self.holders[pattern]).copied().collect();
        hits.sort_unstable_by_key(|&(number, _)| number);
        hits.dedup_by_key(|&mut (number, _)| number);
        hits.into_iter().map(|(_, subscriber)| subscriber).collect()
    }
}
