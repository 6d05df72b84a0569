//! What else one would do to find who gets an event.

use std::collections::HashMap;

use glob::Pattern;
use globset::{Glob, GlobSet, GlobSetBuilder};
use rusqlite::{Connection, params};

use crate::common::data::FOR_TEN;
use crate::common::rows::Recipient;
use crate::common::{New, Plain, in_memory};
use crate::{Bench, told};

pub(crate) fn all(bench: &mut Bench) {
    const GROUP: &str = "dispatch/peers";
    if !bench.run.wants(GROUP) {
        return;
    }
    let crowd = bench.mixed(100_000);
    let registry = in_memory(&crowd);
    // Ids and secrets to go with the subscriptions.
    let list: Vec<New> = crowd.subscriptions().collect();
    let plain = Plain::memory();
    plain.learn(&crowd.event_types());
    let made = plain.create(&list);
    let endpoints: Vec<Endpoint> = list.iter().zip(made).map(Endpoint::new).collect();

    let expected = plain.recipients(FOR_TEN);
    let (sql, globs) = (Globbed::new(&endpoints), Indexed::new(&endpoints));
    let mut matched = Vec::new();
    assert_eq!(expected.len(), 10);
    let ours = told(&registry.subscribers(FOR_TEN).unwrap());
    assert!(ours.iter().map(|ours| &ours.name).eq(expected.iter().map(|theirs| &theirs.name)));
    assert_eq!(linear_scan(&endpoints, FOR_TEN), expected);
    assert_eq!(sql.recipients(FOR_TEN), expected);
    assert!(globs.recipients(FOR_TEN, &mut matched).into_iter().eq(&expected));

    let mut group = bench.group(GROUP);
    group.bench_function("registry", |bencher| {
        bencher.iter(|| registry.subscribers(FOR_TEN).unwrap())
    });
    group
        .bench_function("linear_scan", |bencher| bencher.iter(|| linear_scan(&endpoints, FOR_TEN)));
    group.bench_function("sql_glob", |bencher| bencher.iter(|| sql.recipients(FOR_TEN)));
    group.bench_function("globset", |bencher| {
        bencher.iter(|| globs.recipients(FOR_TEN, &mut matched).len())
    });
}

/// An endpoint with the set of what it wants.
struct Endpoint {
    wants: Vec<Wanted>,
    patterns: Vec<String>,
    enabled: bool,
    recipient: Recipient,
}

enum Wanted {
    Name(String),
    Like(Pattern),
}

impl Endpoint {
    fn new((new, (id, secret)): (&New, (String, String))) -> Endpoint {
        let wanted = |event: &String| {
            if event.contains('*') {
                Wanted::Like(Pattern::new(event).unwrap())
            } else {
                Wanted::Name(event.clone())
            }
        };
        Endpoint {
            wants: new.events.iter().map(wanted).collect(),
            patterns: new.events.clone(),
            enabled: new.enabled,
            recipient: Recipient {
                id,
                name: new.name.clone(),
                url: new.url.clone(),
                metadata: new.metadata.clone(),
                secrets: vec![(secret, None)],
            },
        }
    }

    fn wants(&self, event_type: &str) -> bool {
        self.enabled
            && self.wants.iter().any(|wanted| match wanted {
                Wanted::Name(name) => name == event_type,
                Wanted::Like(pattern) => pattern.matches(event_type),
            })
    }
}

fn linear_scan(endpoints: &[Endpoint], event_type: &str) -> Vec<Recipient> {
    let hits = endpoints.iter().filter(|endpoint| endpoint.wants(event_type));
    hits.map(|endpoint| endpoint.recipient.clone()).collect()
}

/// A table of endpoints, and a table of what each wants.
struct Globbed(Connection);

impl Globbed {
    fn new(endpoints: &[Endpoint]) -> Globbed {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(
            "BEGIN;
             CREATE TABLE endpoint (seq INTEGER PRIMARY KEY, id TEXT, name TEXT, url TEXT, metadata TEXT, secret TEXT,
                                    enabled INTEGER) STRICT;
             CREATE TABLE wanted (endpoint INTEGER, pattern TEXT, PRIMARY KEY (endpoint, pattern)) STRICT, WITHOUT ROWID;",
        )
        .unwrap();
        for (seq, endpoint) in (1_i64..).zip(endpoints) {
            let Recipient { id, name, url, metadata, secrets } = &endpoint.recipient;
            let metadata = serde_json::to_string(metadata).unwrap();
            conn.prepare_cached("INSERT INTO endpoint VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")
                .unwrap()
                .execute(params![seq, id, name, url, metadata, secrets[0].0, endpoint.enabled])
                .unwrap();
            for pattern in &endpoint.patterns {
                let mut insert = conn.prepare_cached("INSERT INTO wanted VALUES (?1, ?2)").unwrap();
                insert.execute(params![seq, pattern]).unwrap();
            }
        }
        conn.execute_batch("COMMIT").unwrap();
        Globbed(conn)
    }

    fn recipients(&self, event_type: &str) -> Vec<Recipient> {
        let sql = "SELECT id, name, url, metadata, secret, NULL FROM endpoint \
                    WHERE enabled = 1 AND seq IN (SELECT endpoint FROM wanted WHERE ?1 GLOB pattern) ORDER BY seq";
        let mut statement = self.0.prepare_cached(sql).unwrap();
        let rows = statement.query_map([event_type], |row| Recipient::from_row(row, 0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}

/// One set of all distinct patterns, and who has each.
struct Indexed<'e> {
    set: GlobSet,
    holders: Vec<Vec<(usize, &'e Recipient)>>,
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
                holders[at].push((number, &endpoint.recipient));
            }
        }
        Indexed { set: set.build().unwrap(), holders }
    }

    fn recipients(&self, event_type: &str, matched: &mut Vec<usize>) -> Vec<&'e Recipient> {
        self.set.matches_into(event_type, matched);
        let mut hits: Vec<_> =
            matched.iter().flat_map(|&pattern| &self.holders[pattern]).copied().collect();
        hits.sort_unstable_by_key(|&(number, _)| number);
        hits.dedup_by_key(|&mut (number, _)| number);
        hits.into_iter().map(|(_, recipient)| recipient).collect()
    }
}
