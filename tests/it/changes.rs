//! Tests that every change writes exactly one history entry with the values before and after, that
//! a failed call writes none, and that no entry contains a secret.

use serde_json::{Value, json};
use webhook_registry::{
    Change, ChangeKind, ErrorKind, EventType, Export, ListQuery, NewSubscription, Prune, Registry,
    Rotation, SubscriptionId, SubscriptionUpdate,
};

use crate::history_replay::Follower;
use crate::support::{Clock, contact_center, new, refused, time};

const SECRET: &str = "c2VjcmV0IHRoYXQgbm8gaGlzdG9yeSBtYXkga2VlcCE=";
const OTHER: &str = "b3RoZXIgb25lIHRoYXQgbm8gaGlzdG9yeSBtYXkga2VlcA==";

/// Formats a change as `Updated url: "a" → "b"`, with `-` for an absent value.
fn line(change: &Change) -> String {
    let value = |value: Option<&Value>| value.map_or("-".to_owned(), Value::to_string);
    let fields: Vec<String> = change
        .fields()
        .iter()
        .map(|field| {
            format!("{}: {} → {}", field.name(), value(field.before()), value(field.after()))
        })
        .collect();
    format!("{:?} {}", change.kind(), fields.join(", "))
}

struct History {
    registry: Registry,
    follower: Follower,
    id: SubscriptionId,
}

impl History {
    fn new() -> History {
        let registry = Registry::in_memory().unwrap();
        registry.register_event_types(["agent.a.v1", "agent.b.v1"]).unwrap();
        let id = registry.create(new("crm").secret(SECRET)).unwrap().subscription().id();
        let seen = registry.last_change().unwrap();
        History { registry, follower: Follower { seen }, id }
    }

    /// Asserts that the changes since the last call are these, all of this subject.
    #[track_caller]
    fn expect(&mut self, subject: &str, expected: &[&str]) {
        let changes = self.follower.read_all(&self.registry, 1_000);
        assert_eq!(changes.iter().map(line).collect::<Vec<_>>(), expected);
        assert!(changes.iter().all(|change| change.subject() == subject), "{changes:?}");
        assert_eq!(self.registry.last_change().unwrap(), self.follower.seen);
    }

    /// Asserts the changes that an update of the subscription records.
    #[track_caller]
    fn update(&mut self, update: SubscriptionUpdate, expected: &[&str]) {
        self.registry.update(self.id, update).unwrap();
        self.expect(&self.id.to_string(), expected);
    }
}

#[test]
fn a_creation_or_deletion_is_recorded_with_every_field() {
    let mut history = History::new();
    let new = NewSubscription::new("bi", "https://example.com/", ["agent.*", "*.v1", "agent.*"])
        .enabled(false)
        .secret(OTHER)
        .description("d")
        .metadata("k", "v")
        .metadata("a", "b");
    let id = history.registry.create(new).unwrap().subscription().id();
    history.expect(
        &id.to_string(),
        &[concat!(
            r#"Created name: - → "bi", url: - → "https://example.com/", "#,
            r#"events: - → ["agent.*","*.v1"], enabled: - → false, description: - → "d", "#,
            r#"metadata: - → {"a":"b","k":"v"}, secret: - → -"#
        )],
    );
    history.registry.delete(id).unwrap();
    history.expect(
        &id.to_string(),
        &[concat!(
            r#"Deleted name: "bi" → -, url: "https://example.com/" → -, "#,
            r#"events: ["agent.*","*.v1"] → -, enabled: false → -, description: "d" → -, "#,
            r#"metadata: {"a":"b","k":"v"} → -, secret: - → -"#
        )],
    );
    // Absent fields are not listed.
    history.registry.delete_if_revision(history.id, 1).unwrap();
    let all = concat!(
        r#"Deleted name: "crm" → -, url: "https://example.com/hook" → -, "#,
        r#"events: ["agent.*"] → -, enabled: true → -, secret: - → -"#
    );
    history.expect(&history.id.to_string(), &[all]);
}

#[test]
fn an_update_is_recorded_with_the_changed_fields_only() {
    let mut history = History::new();
    let edit = SubscriptionUpdate::new;
    history.update(edit().name("crm2"), &[r#"Updated name: "crm" → "crm2""#]);
    history.update(
        edit().url("https://b.com/").events(["*.v1", "agent.*"]),
        &[concat!(
            r#"Updated url: "https://example.com/hook" → "https://b.com/", "#,
            r#"events: ["agent.*"] → ["*.v1","agent.*"]"#
        )],
    );
    history.update(
        edit().events(["agent.*", "*.v1"]),
        &[r#"Updated events: ["*.v1","agent.*"] → ["agent.*","*.v1"]"#],
    );
    history.update(edit().description(""), &[r#"Updated description: - → """#]);
    history.update(edit().clear_description(), &[r#"Updated description: "" → -"#]);
    history.update(edit().metadata("a", "1"), &[r#"Updated metadata: - → {"a":"1"}"#]);
    let both = r#"Updated metadata: {"a":"1"} → {"a":"1","b":"2"}"#;
    history.update(edit().metadata("b", "2"), &[both]);
    history.update(
        edit().remove_metadata("a"),
        &[r#"Updated metadata: {"a":"1","b":"2"} → {"b":"2"}"#],
    );
    history.update(edit().clear_metadata(), &[r#"Updated metadata: {"b":"2"} → -"#]);
    // Setting a field to its current value records no change.
    history.update(edit(), &[]);
    let same = edit().name("crm2").url("https://b.com/").events(["agent.*", "*.v1"]).enabled(true);
    history.update(same.clear_description().clear_metadata().secret(SECRET), &[]);
    assert_eq!(history.registry.get(history.id).unwrap().unwrap().revision(), 10);
}

#[test]
fn changes_of_enabled_alone_or_the_secret_alone_have_their_own_kinds() {
    let mut history = History::new();
    let edit = SubscriptionUpdate::new;
    history.update(edit().enabled(false), &["Disabled enabled: true → false"]);
    history.update(edit().enabled(false), &[]);
    history.update(edit().enabled(true), &["Enabled enabled: false → true"]);
    let url =
        r#"Updated url: "https://example.com/hook" → "https://b.com/", enabled: true → false"#;
    history.update(edit().enabled(false).url("https://b.com/"), &[url]);
    history.update(edit().secret(OTHER), &["SecretRotated secret: - → -"]);
    history.update(edit().secret(OTHER), &[]);
    history.update(
        edit().secret(SECRET).enabled(true),
        &["Updated enabled: false → true, secret: - → -"],
    );

    let (id, text) = (history.id, history.id.to_string());
    history.registry.revoke_old_secrets(id).unwrap();
    history.expect(&text, &[]);
    history.registry.rotate_secret(id, Rotation::new().secret(OTHER)).unwrap();
    history.expect(&text, &["SecretRotated secret: - → -"]);
    history.registry.revoke_old_secrets(id).unwrap();
    history.expect(&text, &["SecretsRevoked secret: - → -"]);
    history.registry.rotate_secret(id, Rotation::new().overlap(std::time::Duration::ZERO)).unwrap();
    history.expect(&text, &["SecretRotated secret: - → -"]);
    // Setting the current secret again ends the overlap of the others.
    for (also, expected) in [
        (edit(), "SecretsRevoked secret: - → -"),
        (edit().description("d"), r#"Updated description: - → "d", secret: - → -"#),
        (edit().enabled(false), "Updated enabled: true → false, secret: - → -"),
    ] {
        let current = history.registry.rotate_secret(id, Rotation::new()).unwrap();
        history.expect(&text, &["SecretRotated secret: - → -"]);
        history.update(also.secret(current.expose()), &[expected]);
    }
}

#[test]
fn changes_of_the_catalog_are_recorded() {
    let mut history = History::new();
    let schema = json!({"type": "object"});
    let registry = history.registry.clone();
    registry.register_event_type("queue.v1").unwrap();
    history.expect("queue.v1", &[r#"EventTypeRegistered name: - → "queue.v1""#]);
    let described = EventType::new("queue.v1").with_description("d");
    registry.register_event_type(described.clone()).unwrap();
    history.expect("queue.v1", &[r#"EventTypeReplaced description: - → "d""#]);
    registry.register_event_types([described.clone(), described]).unwrap();
    history.expect("queue.v1", &[]);
    registry
        .register_event_type(EventType::new("queue.v1").with_json_schema(schema.clone()))
        .unwrap();
    history.expect(
        "queue.v1",
        &[r#"EventTypeReplaced description: "d" → -, jsonSchema: - → {"type":"object"}"#],
    );
    registry.remove_event_type("queue.v1").unwrap();
    history.expect(
        "queue.v1",
        &[r#"EventTypeRemoved name: "queue.v1" → -, jsonSchema: {"type":"object"} → -"#],
    );
    // If one call has a name twice, the later entry applies, and one change is recorded.
    let full = EventType::new("queue.v1").with_description("d").with_json_schema(schema);
    registry.register_event_types([EventType::new("queue.v1"), full]).unwrap();
    let all = concat!(
        r#"EventTypeRegistered name: - → "queue.v1", description: - → "d", "#,
        r#"jsonSchema: - → {"type":"object"}"#
    );
    history.expect("queue.v1", &[all]);
    // A null schema counts as absent.
    registry.register_event_type(EventType::new("queue.v1").with_json_schema(Value::Null)).unwrap();
    let gone = r#"EventTypeReplaced description: "d" → -, jsonSchema: {"type":"object"} → -"#;
    history.expect("queue.v1", &[gone]);
    assert_eq!(registry.event_type("queue.v1").unwrap().unwrap().json_schema(), None);
}

#[test]
fn a_call_for_many_subscriptions_records_one_change_each_in_order() {
    let mut history = History::new();
    let registry = history.registry.clone();
    let kinds = |changes: Vec<Change>| -> Vec<(ChangeKind, String)> {
        changes.iter().map(|change| (change.kind(), change.subject().to_owned())).collect()
    };
    registry.register_event_types(["z.v1", "a.v1", "z.v1"]).unwrap();
    let registered = kinds(history.follower.read_all(&registry, 9));
    let both =
        [(ChangeKind::EventTypeRegistered, "a.v1"), (ChangeKind::EventTypeRegistered, "z.v1")];
    assert_eq!(registered, both.map(|(kind, name)| (kind, name.to_owned())));

    let made = registry.create_all([new("one"), new("two")]).unwrap();
    let ids: Vec<String> = made.iter().map(|made| made.subscription().id().to_string()).collect();
    let expected = ids.iter().map(|id| (ChangeKind::Created, id.clone())).collect::<Vec<_>>();
    assert_eq!(kinds(history.follower.read_all(&registry, 9)), expected);

    let declared =
        [new("two").enabled(false), new("crm"), new("three"), new("one").description("d")];
    let plan = registry.plan(declared, Prune::Delete).unwrap();
    assert!(
        history.follower.read_all(&registry, 9).is_empty(),
        "a plan must not change the registry"
    );
    let applied = registry.apply(plan).unwrap();
    let three = applied.created()[0].subscription().id().to_string();
    let expected = [
        (ChangeKind::Disabled, ids[1].clone()),
        (ChangeKind::Created, three),
        (ChangeKind::Updated, ids[0].clone()),
    ];
    assert_eq!(kinds(history.follower.read_all(&registry, 9)), expected);

    registry.ensure(new("crm")).unwrap();
    assert!(history.follower.read_all(&registry, 9).is_empty());
    registry.ensure(new("crm").secret(OTHER)).unwrap();
    history.expect(&history.id.to_string(), &["SecretRotated secret: - → -"]);
    registry.apply(registry.plan([], Prune::Delete).unwrap()).unwrap();
    assert_eq!(history.follower.read_all(&registry, 9).len(), 4);
}

#[test]
fn an_import_is_recorded_like_the_creations_of_its_content() {
    let (registry, other) = (contact_center(), Registry::in_memory().unwrap());
    registry.create_all([new("one").secret(SECRET), new("two").description("d")]).unwrap();
    // Earlier changes, which an import neither copies nor alters.
    other.register_event_type("x.v1").unwrap();
    other.remove_event_type("x.v1").unwrap();
    other.import(registry.export().unwrap()).unwrap();
    let mut follower = Follower { seen: 2 };
    let lines = |changes: Vec<Change>| {
        changes.iter().map(|it| (line(it), it.subject().to_owned())).collect()
    };
    let told: Vec<(String, String)> = lines(follower.read_all(&other, 1_000));
    let mut expected: Vec<(String, String)> = lines(registry.changes(0, 1_000).unwrap());
    // The document lists event types by name.
    let types = registry.event_types().unwrap().len();
    expected[..types].sort();
    let mut sorted = told.clone();
    sorted[..types].sort();
    assert_eq!(sorted, expected);
    assert!(told[..types].is_sorted_by_key(|(_, subject)| subject), "{told:?}");
}

#[test]
fn a_change_is_recorded_with_the_time_of_its_call() {
    let clock = Clock::at(1_000);
    let registry = clock.options().in_memory().unwrap();
    registry.register_event_type("agent.a.v1").unwrap();
    clock.set(3_000);
    let id = registry.create(new("crm")).unwrap().subscription().id();
    // The clock may step back; the numbers still increase.
    clock.set(2_000);
    registry.delete(id).unwrap();
    let times: Vec<_> =
        registry.changes(0, 9).unwrap().iter().map(|it| (it.sequence(), it.at())).collect();
    assert_eq!(times, [(1, time(1_000)), (2, time(3_000)), (3, time(2_000))]);
}

#[test]
fn a_failed_call_records_nothing_even_if_some_of_its_parts_were_valid() {
    let History { registry, id, .. } = History::new();
    let whole =
        |registry: &Registry| (registry.changes(0, 1_000).unwrap(), registry.export().unwrap());
    let before = whole(&registry);
    let bad = || NewSubscription::new("bad", "ftp://x", ["nothing.*"]);
    let document: Export = registry.export().unwrap();
    let stale = registry.plan([new("new"), bad().allow_unknown_events(true)], Prune::Keep);
    refused(stale, ErrorKind::Invalid, &["[1].url"]);
    refused(registry.create(new("crm")), ErrorKind::Conflict, &["name"]);
    refused(registry.create(bad()), ErrorKind::Invalid, &["url", "events[0]"]);
    refused(
        registry.create_all([new("a"), new("b"), new("crm")]),
        ErrorKind::Conflict,
        &["[2].name"],
    );
    refused(registry.create_all([new("a"), new("a")]), ErrorKind::Invalid, &["[1].name"]);
    refused(registry.ensure(bad()), ErrorKind::Invalid, &["url", "events[0]"]);
    let update = SubscriptionUpdate::new().url("https://b.com/").if_revision(7);
    refused(registry.update(id, update), ErrorKind::Conflict, &["ifRevision"]);
    refused(registry.delete_if_revision(id, 7), ErrorKind::Conflict, &["ifRevision"]);
    refused(
        registry.rotate_secret(id, Rotation::new().secret(SECRET)),
        ErrorKind::Invalid,
        &["secret"],
    );
    refused(registry.register_event_types(["ok.v1", "not ok"]), ErrorKind::Invalid, &["[1].name"]);
    refused(registry.remove_event_type("nobody.v1"), ErrorKind::NotFound, &["eventType"]);
    refused(registry.import(document), ErrorKind::Conflict, &["registry"]);
    assert_eq!(whole(&registry), before);
    // The next change gets the next number.
    registry.delete(id).unwrap();
    assert_eq!(registry.last_change().unwrap(), before.0.len() as u64 + 1);
}

#[test]
fn neither_a_change_nor_the_change_table_contains_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = Registry::open(&path).unwrap();
    registry.register_event_type("agent.a.v1").unwrap();
    let created = registry.create(new("crm").secret(SECRET)).unwrap();
    let id = created.subscription().id();
    let mut secrets = vec![SECRET.to_owned(), OTHER.to_owned()];
    let mut generated =
        |secret: &webhook_registry::SigningSecret| secrets.push(secret.expose().to_owned());
    generated(registry.create(new("bi")).unwrap().secret());
    registry.update(id, SubscriptionUpdate::new().secret(OTHER).enabled(false)).unwrap();
    generated(&registry.rotate_secret(id, Rotation::new()).unwrap());
    registry.ensure(new("crm").secret(SECRET)).unwrap();
    let plan = registry
        .plan([new("crm").secret(OTHER), new("new").secret(SECRET)], Prune::Delete)
        .unwrap();
    registry.apply(plan).unwrap();
    registry.delete(id).unwrap();
    let told = format!("{:?}", registry.changes(0, 1_000).unwrap());
    drop(registry);
    let conn = rusqlite::Connection::open(&path).unwrap();
    let sql = "SELECT group_concat(sequence || kind || subject || fields, char(10)) FROM \
               _webhook_registry_change";
    let kept: String = conn.query_row(sql, [], |row| row.get(0)).unwrap();
    assert!(told.contains("crm") && kept.contains("crm"));
    for secret in secrets {
        let part = &secret[..12];
        assert!(!told.contains(part) && !kept.contains(part), "{part}");
    }
}

#[test]
fn the_limit_of_changes_is_1_to_1000_and_every_limit_reads_the_same_history() {
    let registry = contact_center();
    registry.create_all((0..1_200).map(|n| new(&format!("n{n}")))).unwrap();
    let last = registry.last_change().unwrap();
    let whole = Follower { seen: 0 }.read_all(&registry, 1_000);
    assert_eq!(whole.len() as u64, last);
    for limit in [1, 2, 3, 7, 64, 999] {
        let mut follower = Follower { seen: 0 };
        assert!(follower.read_all(&registry, limit) == whole, "{limit}");
        assert_eq!(follower.seen, last);
        let middle = registry.changes(last / 2, limit).unwrap();
        assert!(middle.iter().eq(whole.iter().skip(last as usize / 2).take(limit)), "{limit}");
    }
    assert_eq!(registry.changes(0, 1_000).unwrap().len(), 1_000);
    for limit in [0, 1_001, usize::MAX] {
        let error = refused(registry.changes(0, limit), ErrorKind::Invalid, &["limit"]);
        assert_eq!(error.to_string(), format!("limit: a limit is from 1 to 1000, not {limit}"));
        // The limit is validated even if there is nothing to read.
        refused(registry.changes(last + 1, limit), ErrorKind::Invalid, &["limit"]);
    }
}

#[test]
fn a_fresh_registry_has_no_changes_and_reading_records_none() {
    let registry = Registry::in_memory().unwrap();
    assert_eq!((registry.last_change().unwrap(), registry.changes(0, 1).unwrap()), (0, vec![]));
    registry.list(ListQuery::new()).unwrap();
    registry.check().unwrap();
    registry.export().unwrap();
    assert!(registry.plan([], Prune::Delete).unwrap().is_empty());
    assert_eq!(registry.last_change().unwrap(), 0);
}
