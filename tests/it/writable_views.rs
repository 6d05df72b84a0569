//! Tests that a change of the view `webhook_registry_subscriptions` does what the corresponding
//! call does, and that every other statement on it is an error and changes nothing.

use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;
use webhook_registry::{
    ListQuery, NewSubscription, Registry, Subscription, SubscriptionId, SubscriptionUpdate,
};

use crate::guest::{EVENT, FILES, dump_registry, guest, make_application};
use crate::opening::folder;
use crate::support::{Random, learn, new, size};

const OWNERS: [&str; 3] = ["acme", "ümlaut \"and\" 'quotes'", "\u{1f980}"];

/// Returns the handle of an owner, or the one for subscriptions without an owner.
fn handle(registry: &Registry, owner: Option<&str>) -> Registry {
    match owner {
        Some(owner) => registry.for_owner(owner).unwrap(),
        None => registry.clone(),
    }
}

pub(crate) fn fill(registry: &Registry) {
    learn(registry);
    registry.register_event_types(["a.v1", "b.v1"]).unwrap();
    for owner in OWNERS.into_iter().map(Some).chain([None]) {
        let registry = handle(registry, owner);
        let one = |at: usize| {
            let events: &[&str] = [&["*"][..], &["a.v1", "*.v1"], &["agent.*", "b.*"]][at % 3];
            let made = NewSubscription::new(format!("näme {at}"), "https://x/?a=\"b\"&c", events);
            let made = if at.is_multiple_of(2) {
                made.description("tab\t \u{1}\u{7f}\\ \n€")
            } else {
                made
            };
            let made = if at.is_multiple_of(3) {
                made.metadata("k\"", "{}").metadata("ä", "")
            } else {
                made
            };
            match at % 4 {
                0 => made.enabled(false).disabled_reason("410 Gone"),
                1 => made.enabled(false),
                _ => made,
            }
        };
        registry.create_all((0..6).map(one)).unwrap();
    }
}

/// Returns an answer without times, which are those of two clocks.
fn timeless(mut value: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(object) => {
                for (key, value) in object.iter_mut() {
                    if key == "updatedAt" || key == "disabledAt" || key == "at" {
                        *value = Value::Bool(true);
                    } else {
                        strip(value);
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut value);
    value
}

/// Returns every answer of the registry that can depend on its subscriptions.
fn answers(registry: &Registry) -> Vec<Value> {
    let json = |value: Value| timeless(value);
    let mut all = vec![json(serde_json::to_value(registry.export().unwrap()).unwrap())];
    let report = registry.check().unwrap();
    assert!(report.is_sound(), "{:?}", report.findings());
    let last = registry.last_change().unwrap();
    all.push(last.into());
    let begins = (0..=last).find(|after| registry.changes(*after, 1).is_ok()).unwrap();
    all.push(begins.into());
    let changes = registry.changes(begins, 1_000).unwrap();
    all.push(json(serde_json::to_value(changes).unwrap()));
    all.push(serde_json::to_value(registry.owners(None, 1_000).unwrap()).unwrap());
    for owner in OWNERS.into_iter().map(Some).chain([None]) {
        let handle = handle(registry, owner);
        all.push(handle.len().unwrap().into());
        all.push(json(serde_json::to_value(handle.list(ListQuery::new()).unwrap()).unwrap()));
        for event in [EVENT, "a.v1", "b.v1"] {
            let ids: Vec<_> =
                handle.subscribers(event).unwrap().iter().map(|one| one.id()).collect();
            all.push(serde_json::to_value(ids).unwrap());
            all.push(handle.explain(event).unwrap().to_string().into());
        }
    }
    let every = registry.for_every_owner().unwrap();
    all.push(every.subscribers("a.v1").unwrap().names().collect::<String>().into());
    all
}

/// A change, and the subscriptions to which it is made.
#[derive(Clone, Debug)]
enum Change {
    Delete,
    Enable,
    Disable,
    DisableFor(Option<String>),
    Reason(Option<String>),
}

impl Change {
    fn random(random: &mut Random) -> Change {
        let reason = |random: &mut Random| match random.below(5) {
            0 => None,
            1 => Some("410 Gone".to_owned()),
            2 => Some("€".repeat(1 + random.below(341))),
            3 => Some("\u{fffe}\u{ffff}\u{fffd}\u{feff}x".to_owned()),
            _ => Some(format!("tab\t \"quoted\" \\ \u{1} {}", random.below(3))),
        };
        match random.below(8) {
            0 => Change::Delete,
            1 | 2 => Change::Enable,
            3 => Change::Disable,
            4 | 5 => Change::DisableFor(reason(random)),
            _ => Change::Reason(reason(random)),
        }
    }

    /// Returns the call that makes the change, if it is valid.
    fn call(&self, registry: &Registry, one: &Subscription) -> Result<(), webhook_registry::Error> {
        let with = |update: SubscriptionUpdate, reason: &Option<String>| match reason {
            Some(reason) => update.disabled_reason(reason.clone()),
            None => update.clear_disabled_reason(),
        };
        let update = match self {
            Change::Delete => return registry.delete(one.id()),
            Change::Enable => SubscriptionUpdate::new().enabled(true),
            Change::Disable => SubscriptionUpdate::new().enabled(false),
            Change::DisableFor(reason) => with(SubscriptionUpdate::new().enabled(false), reason),
            Change::Reason(reason) => with(SubscriptionUpdate::new(), reason),
        };
        registry.update(one.id(), update).map(drop)
    }

    /// Makes the change by SQL.
    fn run(&self, conn: &Connection, conflict: &str, rows: &str) -> rusqlite::Result<usize> {
        let view = "webhook_registry_subscriptions";
        match self {
            Change::Delete => conn.execute(&format!("DELETE FROM {view} WHERE {rows}"), []),
            Change::Enable | Change::Disable => {
                let enabled = matches!(self, Change::Enable);
                conn.execute(
                    &format!("UPDATE {conflict} {view} SET enabled = ?1 WHERE {rows}"),
                    [enabled],
                )
            }
            Change::DisableFor(reason) => conn.execute(
                &format!(
                    "UPDATE {conflict} {view} SET enabled = 0, disabled_reason = ?1 WHERE {rows}"
                ),
                [reason],
            ),
            Change::Reason(reason) => conn.execute(
                &format!("UPDATE {conflict} {view} SET disabled_reason = ?1 WHERE {rows}"),
                [reason],
            ),
        }
    }
}

/// Opens a client that is not this crate, with some settings.
fn client(path: &Path, random: &mut Random) -> Connection {
    let conn = Connection::open(path).unwrap();
    for setting in ["foreign_keys", "recursive_triggers", "ignore_check_constraints"] {
        conn.pragma_update(None, setting, random.chance(50)).unwrap();
    }
    conn
}

fn compare(random: &mut Random, keep: u64, settings: Option<&str>) {
    let (_folder, path) = folder();
    if let Some(settings) = settings {
        make_application(&path, settings);
    }
    let options = guest().guest(settings.is_some()).keep_changes(keep);
    let by_sql = options.open(&path).unwrap();
    fill(&by_sql);
    let copy = path.with_extension("copy");
    by_sql.backup(&copy).unwrap();
    let by_call = options.open(&copy).unwrap();
    let every = by_call.for_every_owner().unwrap();
    for step in 0..size(12, 60) {
        let all: Vec<Subscription> = every.iter(ListQuery::new()).map(|one| one.unwrap()).collect();
        if all.is_empty() {
            break;
        }
        let chosen = random.pick(&all).clone();
        type Chosen<'c> = (String, Box<dyn Fn(&Subscription) -> bool + 'c>);
        let (rows, is_chosen): Chosen<'_> = match random.below(4) {
            0 => match chosen.owner() {
                Some(owner) => (
                    format!("owner = '{}'", owner.replace('\'', "''")),
                    Box::new(|one| one.owner() == chosen.owner()),
                ),
                None => ("owner IS NULL".to_owned(), Box::new(|one| one.owner().is_none())),
            },
            1 => (
                format!("name = '{}' AND enabled", chosen.name()),
                Box::new(|one| one.name() == chosen.name() && one.enabled()),
            ),
            _ => (format!("id = '{}'", chosen.id()), Box::new(|one| one.id() == chosen.id())),
        };
        let change = Change::random(random);
        let conflict = ["", "OR IGNORE", "OR REPLACE", "OR ABORT", "OR FAIL", "OR ROLLBACK"];
        let conflict = *random.pick(&conflict);
        let conn = client(&path, random);
        let last = by_sql.last_change().unwrap();
        let what = format!("step {step}: {change:?} {conflict} WHERE {rows}");
        let affected = all.iter().filter(|one| is_chosen(one)).collect::<Vec<_>>();
        let is_refused = |one: &&&Subscription| {
            matches!(&change, Change::Reason(Some(reason)) if one.enabled()
                && one.disabled_reason() != Some(reason.as_str()))
        };
        let done = change.run(&conn, conflict, &rows);
        if affected.iter().any(|one| is_refused(&one)) {
            done.unwrap_err();
            assert_eq!(by_sql.last_change().unwrap(), last, "{what}");
        } else {
            done.unwrap_or_else(|cause| panic!("{cause}: {what}"));
            // The calls are made in the order of the rows, which SQLite chooses.
            let order = |id: SubscriptionId| {
                let sql = "SELECT max(sequence) FROM webhook_registry_changes WHERE subject = ?1";
                let last =
                    conn.query_row(sql, [id.to_string()], |row| row.get::<_, Option<i64>>(0));
                last.unwrap()
            };
            let mut affected = affected;
            affected.sort_by_key(|one| order(one.id()));
            for one in affected {
                change.call(&every, one).unwrap();
            }
        }
        for (at, (sql, call)) in answers(&by_sql).into_iter().zip(answers(&by_call)).enumerate() {
            assert_eq!(sql, call, "answer {at} after {what}");
        }
    }
    let next = by_sql.create(new("next")).unwrap();
    let ids = |registry: &Registry| -> Vec<SubscriptionId> {
        let every = registry.for_every_owner().unwrap();
        every.iter(ListQuery::new()).map(|one| one.unwrap().id()).collect()
    };
    assert_eq!(ids(&by_sql).last(), Some(&next.subscription().id()));
}

#[test]
fn random_changes_by_sql_and_by_calls_give_the_same_answers() {
    let mut random = Random::new();
    for round in 0..size(8, 200) {
        let keep = [10_000, 0, 3, 70][round % 4];
        let settings = (round % 3 > 0).then(|| FILES[round % FILES.len()]);
        compare(&mut random, keep, settings);
    }
}

/// Statements that are refused, with words of their errors.
const REFUSED: [(&str, &str); 22] = [
    ("SET id = 'x'", "SQL can only delete subscriptions, or change"),
    ("SET name = 'x'", "SQL can only delete subscriptions, or change"),
    ("SET url = 'https://x/'", "SQL can only delete subscriptions, or change"),
    ("SET events = '[]'", "SQL can only delete subscriptions, or change"),
    ("SET description = 'x'", "SQL can only delete subscriptions, or change"),
    ("SET metadata = '{\"a\":\"b\"}'", "SQL can only delete subscriptions, or change"),
    ("SET created_at = 1", "SQL can only delete subscriptions, or change"),
    ("SET updated_at = NULL", "SQL can only delete subscriptions, or change"),
    ("SET revision = revision + 1", "SQL can only delete subscriptions, or change"),
    ("SET owner = 'other'", "SQL can only delete subscriptions, or change"),
    ("SET disabled_at = 1", "SQL can only delete subscriptions, or change"),
    ("SET enabled = 0, name = 'x'", "SQL can only delete subscriptions, or change"),
    ("SET enabled = 2", "0 or 1"),
    ("SET enabled = NULL", "0 or 1"),
    ("SET enabled = 'yes'", "0 or 1"),
    ("SET enabled = 1, disabled_reason = 'x'", "only a disabled subscription"),
    ("SET enabled = 0, disabled_reason = ''", "1 to 1,024 bytes"),
    ("SET enabled = 0, disabled_reason = X'41'", "1 to 1,024 bytes"),
    ("SET enabled = 0, disabled_reason = 'a' || char(0) || 'b'", "1 to 1,024 bytes"),
    ("SET enabled = 0, disabled_reason = hex(zeroblob(512)) || 'x'", "1 to 1,024 bytes"),
    (
        "SET enabled = 0, disabled_reason = replace(hex(zeroblob(171)), '0', '€')",
        "1 to 1,024 bytes",
    ),
    ("SET disabled_reason = 'x' WHERE enabled", "only a disabled subscription"),
];

#[test]
fn a_refused_statement_says_what_is_allowed_and_changes_nothing() {
    let mut random = Random::new();
    for settings in [FILES[0], FILES[1], FILES[2], FILES[3]] {
        let (_folder, path) = folder();
        make_application(&path, settings);
        let registry = guest().open(&path).unwrap();
        fill(&registry);
        let before = dump_registry(&path);
        for (statement, says) in REFUSED {
            for conflict in ["", "OR IGNORE", "OR REPLACE", "OR FAIL", "OR ROLLBACK"] {
                let conn = client(&path, &mut random);
                let sql = format!("UPDATE {conflict} webhook_registry_subscriptions {statement}");
                let error = conn.execute(&sql, []).unwrap_err().to_string();
                assert!(error.contains(says), "{sql}: {error}");
                assert!(dump_registry(&path) == before, "{settings}: {sql}");
            }
        }
        for conflict in ["", "OR IGNORE", "OR REPLACE"] {
            let conn = client(&path, &mut random);
            let sql = format!(
                "INSERT {conflict} INTO webhook_registry_subscriptions (id, name) VALUES ('a', 'b')"
            );
            let error = conn.execute(&sql, []).unwrap_err().to_string();
            assert!(error.contains("SQL can only delete subscriptions, or change"), "{error}");
        }
        assert!(dump_registry(&path) == before, "{settings}");
    }
}

/// The bytes of a text that is no UTF-8, and of others that only look like it.
#[test]
fn a_reason_has_to_be_text_of_characters() {
    let (_folder, path) = folder();
    let registry = Registry::open(&path).unwrap();
    learn(&registry);
    let id = registry.create(new("one")).unwrap().subscription().id();
    let conn = Connection::open(&path).unwrap();
    let set = |bytes: &[u8]| {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        conn.execute(
            &format!(
                "UPDATE webhook_registry_subscriptions \
                    SET enabled = 0, disabled_reason = CAST(X'{hex}' AS TEXT)"
            ),
            [],
        )
    };
    let mut random = Random::new();
    let judge = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok();
        let valid = text.filter(|text| (1..=1_024).contains(&text.len()) && !text.contains('\0'));
        assert_eq!(set(bytes).is_ok(), valid.is_some(), "{bytes:X?}");
        let found = registry.get(id).unwrap().unwrap();
        if let Some(valid) = valid {
            assert_eq!(found.disabled_reason(), Some(valid));
        }
    };
    for bytes in [
        &b"\xFF"[..],
        b"\xC0\x80",
        b"\xE2\x82",
        b"\xE2\x82A",
        b"\xED\xA0\x80",
        b"\xF4\x90\x80\x80",
        b"\x80",
        b"a\xC3",
        b"\xF8\x88\x80\x80\x80",
        b"\xEF\xBF\xBE",
        b"\xEF\xBF\xBF",
        b"\xEF\xBF\xBD",
        b"\xEF\xBB\xBFx",
        b"\xC1\xBF",
        b"\xE0\x80\xAF",
        b"\xF0\x80\x80\xAF",
        b"\xC3\xA4\x80",
        b"a\0",
        b"\0",
        b"",
    ] {
        judge(bytes);
    }
    for _ in 0..size(300, 20_000) {
        let length = 1 + random.below(6);
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                *random
                    .pick(&[0x41, 0x7F, 0x80, 0xBF, 0xC2, 0xC3, 0xE0, 0xE2, 0xED, 0xEF, 0xF0, 0xF4])
            })
            .collect();
        judge(&bytes);
    }
}

/// In such a file a text can be no text in another way: by half of a pair.
#[test]
fn a_reason_in_a_utf_16_file_can_be_read_whenever_it_is_taken() {
    for settings in &FILES[2..4] {
        let (_folder, path) = folder();
        let conn = make_application(&path, settings);
        let registry = guest().open(&path).unwrap();
        learn(&registry);
        let id = registry.create(new("one")).unwrap().subscription().id();
        let mut random = Random::new();
        let mut refused = 0;
        for _ in 0..size(300, 5_000) {
            let units = [0x41_u16, 0xE4, 0x20AC, 0xD83E, 0xDD80, 0xDBFF, 0xFFFE, 0xFEFF];
            let units: Vec<u16> = (0..1 + random.below(4)).map(|_| *random.pick(&units)).collect();
            let bytes = |unit: &u16| {
                let is_little = settings.contains("16le");
                if is_little { unit.to_le_bytes() } else { unit.to_be_bytes() }
            };
            let hex: String =
                units.iter().flat_map(bytes).map(|byte| format!("{byte:02X}")).collect();
            let set = conn.execute(
                &format!(
                    "UPDATE webhook_registry_subscriptions \
                        SET enabled = 0, disabled_reason = CAST(X'{hex}' AS TEXT)"
                ),
                [],
            );
            let found = registry.get(id).unwrap().unwrap();
            match (set, String::from_utf16(&units)) {
                (Ok(_), Ok(text)) => assert_eq!(found.disabled_reason(), Some(text.as_str())),
                // SQLite itself replaces this character where it converts a text.
                (Err(_), Ok(text)) => assert!(text.contains('\u{fffe}'), "{units:X?}"),
                (Ok(_), Err(_)) => panic!("{units:X?} is taken"),
                (Err(_), Err(_)) => refused += 1,
            }
            registry.changes(0, 1_000).unwrap();
        }
        assert!(refused > 50, "{refused}");
        assert!(registry.check().unwrap().is_sound());
    }
}
