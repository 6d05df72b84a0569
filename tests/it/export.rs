//! Tests that an export holds the whole registry: every live secret, exact times and ids, and the
//! same dispatch answers after an import elsewhere.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use webhook_registry::{
    Durability, Ensured, ErrorKind, EventType, Export, ListQuery, NewSubscription, Prune, Registry,
    Rotation, SubscriptionUpdate,
};

use crate::support::{
    Clock, End, Random, SEED_SECRET, contact_center, learn, new, refused, size, time,
};

const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjU";
const START: u64 = 1_800_000_000_000;
const EVENT: &str = "agent.presencechanged.v1";

fn text(registry: &Registry) -> String {
    serde_json::to_string(&registry.export().unwrap()).unwrap()
}

fn read(document: &str) -> Export {
    serde_json::from_str(document).unwrap()
}

/// Returns every answer of the registry, including dispatch.
fn answers(registry: &Registry) -> String {
    let mut all = format!("{:?}\n", registry.event_types().unwrap());
    for found in registry.iter(ListQuery::new()) {
        let found = found.unwrap();
        all += &format!("{}\n", serde_json::to_string(&found).unwrap());
        for issued in registry.secrets(found.id()).unwrap() {
            let (from, until) = (issued.created_at(), issued.expires_at());
            all += &format!(" {} {from:?} {until:?}\n", issued.secret().expose());
        }
    }
    for event_type in registry.event_types().unwrap() {
        all += &registry.explain(event_type.name()).unwrap().to_string();
        for subscriber in &registry.subscribers(event_type.name()).unwrap() {
            let secrets: Vec<&str> = subscriber.secrets().map(|secret| secret.expose()).collect();
            let (id, metadata) = (subscriber.id(), subscriber.metadata());
            all += &format!(
                "{id} {} {} {metadata:?} {secrets:?}\n",
                subscriber.name(),
                subscriber.url()
            );
        }
    }
    all
}

/// Creates varied content: names that need escaping, overlapping and expired secrets, wildcards
/// without matches, and gaps from deletions.
fn fill(registry: &Registry, clock: &Clock) {
    clock.set(START);
    learn(registry);
    let schema = serde_json::json!({
        "z": 1, "a": [1.5e-7, -3, 18446744073709551615_u64, {"b": null}], "é": "\u{1}\"",
    });
    let described =
        EventType::new("z.\u{2d}x").with_description("\u{7f} \n\"é").with_json_schema(schema);
    registry
        .register_event_types([described, EventType::new("a:/b").with_json_schema(false.into())])
        .unwrap();
    let url = "HTTPS://Example.com:443/a?b=%20é";
    let full = NewSubscription::new("full \"name\" é", url, ["agent.*", "none.?", "*"])
        .description("")
        .metadata("k\"\u{1f}", "\u{1f600}")
        .secret(SEED_SECRET)
        .allow_unknown_events(true);
    let id = registry.create(full).unwrap().subscription().id();
    clock.set(START + 1);
    let off = registry.create(new("off").enabled(false).secret(OTHER)).unwrap().into_parts().0;
    registry.create(new("gone")).unwrap();
    let events =
        NewSubscription::new("wide", "http://localhost/", ["*", "none.?", "agent.*", EVENT]);
    registry.create(events.allow_unknown_events(true).description("d")).unwrap();
    // Three secrets, one of which expires before the others.
    let minutes = |minutes: u64| Rotation::new().overlap(Duration::from_secs(60 * minutes));
    clock.set(START + 2);
    registry.disable(off.id(), "410 \"Gone\"\n").unwrap();
    registry.rotate_secret(id, minutes(1)).unwrap();
    registry.rotate_secret(id, minutes(60)).unwrap();
    registry.rotate_secret(id, minutes(10).secret(OTHER)).unwrap();
    registry.update(id, SubscriptionUpdate::new().name("renamed")).unwrap();
    registry.delete(registry.get_by_name("gone").unwrap().unwrap().id()).unwrap();
    clock.set(START + 2 + 60_000);
    assert_eq!(registry.secrets(id).unwrap().len(), 3);
}

#[test]
fn an_export_is_exactly_this_document() {
    let clock = Clock::at(START);
    let registry = clock.options().in_memory().unwrap();
    assert_eq!(text(&registry), r#"{"formatVersion":1,"eventTypes":[],"subscriptions":[]}"#);
    let described = EventType::new("b.v1")
        .with_description("d")
        .with_json_schema(serde_json::json!({"type": "object"}));
    registry.register_event_types([described, EventType::new("a.v1")]).unwrap();
    let crm =
        NewSubscription::new("crm", "https://example.com/", ["b.*", "a.v1"]).secret(SEED_SECRET);
    let crm = registry.create(crm.description("d").metadata("k", "v")).unwrap().subscription().id();
    let plain =
        NewSubscription::new("a", "https://example.com/", ["*"]).enabled(false).secret(OTHER);
    let plain = registry.create(plain.disabled_reason("410")).unwrap().subscription().id();
    clock.set(START + 1);
    registry
        .rotate_secret(crm, Rotation::new().secret(OTHER).overlap(Duration::from_secs(1)))
        .unwrap();
    let expected = [
        r#"{"formatVersion":1,"eventTypes":[{"name":"a.v1"},"#,
        r#"{"name":"b.v1","description":"d","jsonSchema":{"type":"object"}}],"subscriptions":["#,
        &format!(r#"{{"subscriptionId":"{crm}","name":"crm","url":"https://example.com/","#),
        r#""events":["b.*","a.v1"],"enabled":true,"description":"d","metadata":{"k":"v"},"#,
        r#""createdAt":"2027-01-15T08:00:00.000Z","#,
        r#""updatedAt":"2027-01-15T08:00:00.001Z","revision":2,"secrets":["#,
        &format!(r#"{{"secret":"{OTHER}","createdAt":"2027-01-15T08:00:00.001Z"}},"#),
        &format!(r#"{{"secret":"{SEED_SECRET}","createdAt":"2027-01-15T08:00:00.000Z","#),
        r#""expiresAt":"2027-01-15T08:00:01.001Z"}]},"#,
        &format!(r#"{{"subscriptionId":"{plain}","name":"a","url":"https://example.com/","#),
        r#""events":["*"],"enabled":false,"disabledReason":"410","#,
        r#""disabledAt":"2027-01-15T08:00:00.000Z","createdAt":"2027-01-15T08:00:00.000Z","#,
        r#""updatedAt":"2027-01-15T08:00:00.000Z","revision":1,"secrets":["#,
        &format!(r#"{{"secret":"{OTHER}","createdAt":"2027-01-15T08:00:00.000Z"}}]}}]}}"#),
    ];
    assert_eq!(text(&registry), expected.concat());
    // An expired secret is not exported.
    clock.set(START + 1_001);
    assert!(!text(&registry).contains(SEED_SECRET));
}

#[test]
fn an_export_survives_a_round_trip_through_every_kind_of_registry() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::at(START);
    let options = clock.options();
    let open = |name: &str| options.open(folder.path().join(name)).unwrap();
    let origin = options.in_memory().unwrap();
    fill(&origin, &clock);
    let (document, expected) = (text(&origin), answers(&origin));
    let others = [
        ("memory", options.in_memory().unwrap()),
        ("a file", open("one.db")),
        (
            "relaxed",
            options
                .clone()
                .durability(Durability::Relaxed)
                .open(folder.path().join("two.db"))
                .unwrap(),
        ),
        (
            "exclusive",
            options.clone().exclusive(true).open(folder.path().join("three.db")).unwrap(),
        ),
        ("no history", options.clone().keep_changes(0).in_memory().unwrap()),
        #[cfg(feature = "encryption")]
        (
            "encrypted",
            options.clone().encryption_key([7; 32]).open(folder.path().join("keyed.db")).unwrap(),
        ),
        #[cfg(feature = "test-util")]
        ("deterministic", clock.options().deterministic(1).in_memory().unwrap()),
    ];
    for (what, other) in &others {
        other.import(read(&document)).unwrap();
        assert_eq!(text(other), document, "{what}");
        assert_eq!(answers(other), expected, "{what}");
        let report = other.check().unwrap();
        assert!(report.is_sound(), "{what}: {report}");
    }
    let changes = others[0].1.changes(0, 1_000).unwrap();
    let kept = origin.event_types().unwrap().len() + origin.len().unwrap() as usize;
    assert_eq!((changes.len(), others[4].1.last_change().unwrap()), (kept, kept as u64));
    // Exporting each again, also read-only, gives the same document.
    let reader = options.clone().read_only(true).open(folder.path().join("one.db")).unwrap();
    for from in others.iter().map(|(_, other)| other).chain([&reader]) {
        let again = options.in_memory().unwrap();
        again.import(from.export().unwrap()).unwrap();
        assert_eq!(text(&again), document);
    }
    #[cfg(feature = "encryption")]
    for name in ["keyed.db", "keyed.db-wal"] {
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        let shows = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!shows(OTHER) && !shows(SEED_SECRET), "{name} shows a secret");
    }
}

#[test]
fn the_same_content_gives_the_same_document_whatever_its_history() {
    let clock = Clock::at(START);
    let (one, two) = (clock.options().in_memory().unwrap(), clock.options().in_memory().unwrap());
    fill(&one, &clock);
    // The same content in another way: at once, partly replaced, partly created and deleted again.
    two.register_event_types(["first.v1", EVENT]).unwrap();
    two.create(new("first")).unwrap();
    two.apply(two.plan([], Prune::Delete).unwrap()).unwrap();
    for event_type in two.event_types().unwrap() {
        two.remove_event_type(event_type.name()).unwrap();
    }
    two.import(one.export().unwrap()).unwrap();
    assert_eq!(one.export().unwrap(), two.export().unwrap());
    assert_eq!(text(&one), text(&two));
    assert_eq!(text(&one), text(&one.clone()));
    let pretty = serde_json::to_string_pretty(&one.export().unwrap()).unwrap();
    let value = serde_json::to_value(one.export().unwrap()).unwrap();
    assert_eq!(read(&pretty), one.export().unwrap());
    assert_eq!(serde_json::from_value::<Export>(value).unwrap(), one.export().unwrap());
}

#[test]
fn an_imported_registry_continues_like_its_origin() {
    let clock = Clock::at(START);
    let origin = clock.options().in_memory().unwrap();
    fill(&origin, &clock);
    let registry = clock.options().in_memory().unwrap();
    registry.import(origin.export().unwrap()).unwrap();
    // Secrets expire at the same millisecond.
    let id = registry.get_by_name("renamed").unwrap().unwrap().id();
    for millis in [599_999, 600_000, 3_599_999, 3_600_000] {
        clock.set(START + 2 + millis);
        assert_eq!(registry.secrets(id).unwrap(), origin.secrets(id).unwrap());
        assert_eq!(answers(&registry), answers(&origin));
    }
    assert_eq!(registry.secrets(id).unwrap().len(), 1);
    // Wildcards match later event types, including wildcards without matches so far.
    for registry in [&registry, &origin] {
        registry.register_event_types(["none.x", "agent.later.v1"]).unwrap();
    }
    assert_eq!(answers(&registry), answers(&origin));
    assert_eq!(registry.subscribers("none.x").unwrap().len(), 2);
    // Names are taken, and revisions continue.
    refused(registry.create(new("renamed")), ErrorKind::Conflict, &["name"]);
    let after = registry.update(id, SubscriptionUpdate::new().description("d")).unwrap();
    assert_eq!((after.revision(), after.created_at()), (6, time(START)));
    assert!(matches!(
        registry.ensure(NewSubscription::from(&after)).unwrap(),
        Ensured::Unchanged(_)
    ));
}

#[test]
fn new_ids_are_greater_than_imported_ids() {
    let clock = Clock::at(START + 1_000_000_000);
    let origin = clock.options().in_memory().unwrap();
    learn(&origin);
    let ids = [new("a"), new("b")].map(|new| origin.create(new).unwrap().subscription().id());
    // Created with a clock far ahead of this one.
    clock.set(START);
    let registry = clock.options().in_memory().unwrap();
    registry.import(origin.export().unwrap()).unwrap();
    let next = registry.create(new("c")).unwrap().subscription().id();
    assert!(next > ids[1], "{next} after {ids:?}");
    registry.delete(next).unwrap();
    assert!(registry.create(new("d")).unwrap().subscription().id() > next);
    // New ids are also greater than ids deleted here before.
    let registry = clock.options().in_memory().unwrap();
    clock.set(START + 2_000_000_000);
    let gone = registry.create(new("x").allow_unknown_events(true)).unwrap().subscription().id();
    registry.delete(gone).unwrap();
    clock.set(START);
    registry.import(origin.export().unwrap()).unwrap();
    assert!(registry.create(new("c")).unwrap().subscription().id() > gone);
    assert!(registry.check().unwrap().is_sound());
}

#[test]
fn an_emptied_registry_imports_its_own_export() {
    let registry = contact_center();
    registry.create_all([new("a"), new("b")]).unwrap();
    let document = text(&registry);
    registry.apply(registry.plan([], Prune::Delete).unwrap()).unwrap();
    refused(registry.import(read(&document)), ErrorKind::Conflict, &["registry"]);
    for event_type in registry.event_types().unwrap() {
        registry.remove_event_type(event_type.name()).unwrap();
    }
    let last = registry.last_change().unwrap();
    registry.import(read(&document)).unwrap();
    assert_eq!(text(&registry), document);
    let report = registry.check().unwrap();
    assert!(report.is_sound(), "a deleted id is used again: {report}");
    assert!(registry.last_change().unwrap() > last, "the change numbers must continue");
    let greatest = registry.get_by_name("b").unwrap().unwrap().id();
    registry.delete(greatest).unwrap();
    assert!(registry.create(new("c")).unwrap().subscription().id() > greatest);
    assert!(registry.check().unwrap().is_sound());
}

#[test]
fn debug_of_an_export_contains_no_secret() {
    let registry = contact_center();
    registry.create(new("crm").secret(SEED_SECRET)).unwrap();
    let export = registry.export().unwrap();
    for shown in [format!("{export:?}"), format!("{export:#?}"), format!("{:?}", Some(&export))] {
        assert!(
            shown.contains("subscriptions: 1") && !shown.contains(&SEED_SECRET[..8]),
            "{shown}"
        );
    }
    assert!(text(&registry).contains(SEED_SECRET), "the export itself has the secrets");
}

#[test]
fn a_corrupt_registry_is_reported_and_not_partially_exported() {
    let folder = tempfile::tempdir().unwrap();
    for (n, sql) in [
        "UPDATE _webhook_registry_subscription SET metadata = '[' WHERE name = 'b'",
        "UPDATE _webhook_registry_subscription SET secret = '*' WHERE seq = 2",
        "UPDATE _webhook_registry_subscription SET secret_created_at = -1 WHERE seq = 2",
        "UPDATE _webhook_registry_subscription SET events = '' WHERE seq = 2",
        "UPDATE _webhook_registry_subscription SET events = '**' WHERE seq = 2",
        "UPDATE _webhook_registry_event_type SET json_schema = '{' WHERE rowid = 3",
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(format!("{n}.db"));
        let registry = Registry::open(&path).unwrap();
        learn(&registry);
        registry.create_all([new("a"), new("b"), new("c")]).unwrap();
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        refused(registry.export(), ErrorKind::Corrupt, &[]);
    }
}

#[test]
fn an_export_reads_one_snapshot_while_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().join("webhooks.db")).unwrap();
    learn(&registry);
    thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for round in 0..size(30, 400) {
                // Calls create pairs, so an odd number is half a call.
                let names = ["a", "b"]
                    .map(|half| new(&format!("{round} {half}")).metadata("r", round.to_string()));
                let made = registry.create_all(names).unwrap();
                registry.rotate_secret(made[0].subscription().id(), Rotation::new()).unwrap();
            }
        });
        while !writing.is_finished() {
            let export = registry.export().unwrap();
            let other = Registry::in_memory().unwrap();
            other.import(export).unwrap();
            assert!(other.len().unwrap().is_multiple_of(2));
            assert!(other.check().unwrap().is_sound());
        }
    });
}

#[test]
fn a_large_export_never_contains_a_subscription_without_its_event_type() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::options()
        .durability(Durability::Relaxed)
        .open(folder.path().join("webhooks.db"))
        .unwrap();
    // Large, so that many changes fall between the first and the last read.
    registry.register_event_types((0..3_000).map(|n| format!("much.{n}.v1"))).unwrap();
    registry.register_event_type("there.0.v1").unwrap();
    let new = NewSubscription::new("s", "https://example.com/", ["there.0.v1"]);
    let id = registry.create(new).unwrap().subscription().id();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = End(&done);
        scope.spawn(|| {
            // Always present, and its event type changes often.
            for n in (1..).take_while(|_| !done.load(Ordering::SeqCst)) {
                let name = format!("there.{n}.v1");
                registry.register_event_type(name.as_str()).unwrap();
                registry.update(id, SubscriptionUpdate::new().events([name])).unwrap();
                registry.remove_event_type(&format!("there.{}.v1", n - 1)).unwrap();
            }
        });
        for _ in 0..size(30, 500) {
            let export = serde_json::to_value(registry.export().unwrap()).unwrap();
            let event = &export["subscriptions"][0]["events"][0];
            let known = export["eventTypes"].as_array().unwrap();
            let is_known = known.iter().any(|event_type| event_type["name"] == *event);
            assert!(is_known, "{event} is not in the catalog of the same moment");
        }
    });
}

#[test]
fn random_content_survives_a_round_trip_with_equal_dispatch() {
    let mut random = Random::new();
    for _ in 0..size(60, 1_000) {
        let clock = Clock::at(START);
        let registry = clock.options().min_secret_bytes(1).in_memory().unwrap();
        for step in 0..30 {
            clock.set(START + step * 1_000);
            random_operation(&registry, &mut random);
        }
        let other = clock.options().min_secret_bytes(1).in_memory().unwrap();
        let document = text(&registry);
        other.import(read(&document)).unwrap();
        assert_eq!(text(&other), document);
        for step in [30, 31, 40, 70] {
            clock.set(START + step * 1_000);
            assert_eq!(answers(&other), answers(&registry));
            assert_eq!(text(&other), text(&registry));
        }
        assert!(other.check().unwrap().is_sound());
    }
}

/// Performs a random operation, which may fail.
fn random_operation(registry: &Registry, random: &mut Random) {
    const TYPES: [&str; 5] = ["agent.a.v1", "agent.b.v2", "queue.a.v1", "x", "queue/1:2"];
    const PATTERNS: [&str; 7] = ["agent.*", "*.v[12]", "x", "*", "none.?", "queue/1:2", "q*"];
    const TEXTS: [&str; 5] = ["", "\"", "é\u{1f600}", "a\\u0000", "\u{1}\n"];
    let name = format!("n{}", random.below(5));
    let events: Vec<&str> = (0..1 + random.below(3)).map(|_| *random.pick(&PATTERNS)).collect();
    let mut new = NewSubscription::new(&name, format!("http://{}.com/", random.below(9)), events)
        .allow_unknown_events(true)
        .enabled(random.chance(70));
    for _ in 0..random.below(3) {
        new = new.metadata(format!("k{}", random.below(9)), *random.pick(&TEXTS));
    }
    if random.chance(30) {
        new = new.description(*random.pick(&TEXTS)).secret(*random.pick(&[
            SEED_SECRET,
            "YQ==",
            "whsec_YQ",
        ]));
    }
    let mut event_type = EventType::new(*random.pick(&TYPES));
    if random.chance(50) {
        let number = f64::from_bits(random.next());
        event_type =
            event_type.with_description(*random.pick(&TEXTS)).with_json_schema(number.into());
    }
    let id = registry.get_by_name(&name).unwrap().map(|found| found.id());
    let overlap = Duration::from_millis(random.below(60_000) as u64);
    let _ = match (random.below(6), id) {
        (0, _) => registry.register_event_type(event_type),
        (1, _) => registry.remove_event_type(event_type.name()),
        (2 | 3, _) => registry.ensure(new).map(drop),
        (4, Some(id)) if random.chance(30) => registry.delete(id),
        (_, Some(id)) => registry.rotate_secret(id, Rotation::new().overlap(overlap)).map(drop),
        _ => Ok(()),
    };
}
