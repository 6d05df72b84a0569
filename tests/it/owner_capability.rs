//! Tests that a handle limited to an owner is a capability: through it nothing of another owner can
//! be read, changed, counted, or inferred from an error. Every call is made in a file that other
//! owners use too, and in one that they have never used; the answers are the same to the byte.

mod answers;
mod calls;
mod files;

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;
use webhook_registry::{
    ErrorKind, EventType, ListQuery, NewSubscription, Prune, Registry, Rotation, SubscriptionUpdate,
};

use self::answers::{Log, empty_document};
use self::calls::{REJECTED, TABLE, WITH_A_FEATURE, WITHOUT_A_HANDLE};
use self::files::{CATALOG, OWNER, Template, World};
use crate::support::{new, refused};

/// Returns the names of the public methods in every `impl Registry` of a folder.
fn methods(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(methods(&path));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let mut is_registry = false;
        for line in text.lines() {
            match line {
                "impl Registry {" => is_registry = true,
                "}" => is_registry = false,
                _ if line.starts_with("impl") && line.ends_with(" Registry {") => {
                    assert!(line.contains(" for Registry {"), "{path:?}: {line}");
                }
                _ => {}
            }
            let is_other_function = !line.starts_with("    pub fn ")
                && line.starts_with("    pub ")
                && line.contains(" fn ");
            assert!(!is_registry || !is_other_function, "{path:?}: {line}");
            if let Some(rest) = line.strip_prefix("    pub fn ").filter(|_| is_registry) {
                let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap();
                assert!(found.insert(rest[..end].to_owned()), "{line} twice");
            }
        }
    }
    found
}

#[test]
fn every_public_method_of_a_registry_is_in_the_table() {
    let mut methods = methods(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(methods.len() > 40, "{methods:?}");
    for (name, is_compiled) in WITH_A_FEATURE {
        assert!(methods.contains(name), "{name}");
        if !is_compiled {
            methods.remove(name);
        }
    }
    let table: BTreeSet<String> =
        TABLE.iter().map(|(name, _)| *name).chain(WITHOUT_A_HANDLE).map(str::to_owned).collect();
    assert_eq!(table.len(), TABLE.len() + WITHOUT_A_HANDLE.len(), "a row is repeated");
    assert_eq!(methods, table);
}

/// Makes the calls of a row through acme's handle, and asserts that nothing of others changes.
fn answers(world: &World, calls: fn(&World, &mut Log)) -> String {
    let before = world.rows_of_others();
    let mut log = Log::default();
    calls(world, &mut log);
    assert!(!log.0.is_empty());
    let after = world.rows_of_others();
    let changed: BTreeSet<&String> = before.symmetric_difference(&after).collect();
    assert!(changed.is_empty(), "rows of others changed: {changed:#?}");
    world.normalize(&log.0)
}

/// The answers of the calls of each row, in a file of acme's alone.
fn control_answers(control: &Template, crowded: &Template, is_warm: bool) -> Vec<String> {
    let answers = |world: World, calls| {
        if is_warm {
            world.warm();
        }
        answers(&world, calls)
    };
    TABLE.iter().map(|(_, calls)| answers(control.open(&crowded.others), *calls)).collect()
}

/// Asserts that acme is told the same in a file that others use.
fn assert_same(crowded: &Template, control: &[String], is_warm: bool) {
    for ((name, calls), control) in TABLE.iter().zip(control) {
        let world = crowded.open(&crowded.others);
        if is_warm {
            world.warm();
        }
        let crowded = answers(&world, *calls);
        for (crowded, control) in crowded.lines().zip(control.lines()) {
            assert_eq!(crowded, control, "{name}, warm: {is_warm}");
        }
        assert_eq!(crowded.lines().count(), control.lines().count(), "{name}");
    }
}

#[test]
fn no_call_tells_an_owner_anything_of_the_subscriptions_of_others() {
    for emptied in [false, true] {
        let [crowded, control] = [true, false].map(|crowded| Template::new(crowded, emptied));
        assert!(crowded.others.len() == 9 && control.others.is_empty());
        for is_warm in [false, true] {
            let control = control_answers(&control, &crowded, is_warm);
            assert_same(&crowded, &control, is_warm);
        }
    }
}

#[test]
fn no_call_tells_an_owner_that_rows_of_others_are_damaged() {
    let others = "owner IS NOT (SELECT id FROM _webhook_registry_owner WHERE name = 'acme')";
    let bad = "CAST(x'FF' AS TEXT)";
    let crowded = Template::new(true, false);
    let control = control_answers(&Template::new(false, false), &crowded, false);
    for sql in [
        format!(
            "UPDATE _webhook_registry_subscription SET url = '', description = {bad}, \
             metadata = '?', created_at = -5, updated_at = -5 WHERE {others}"
        ),
        format!("UPDATE _webhook_registry_subscription SET name = seq || {bad} WHERE {others}"),
        // Not the last: a new id has to exceed the greatest of the file, whoever's it is.
        format!(
            "UPDATE _webhook_registry_subscription SET id = substr(id, 1, 25) || '!' \
             WHERE {others} AND name <> 'last'"
        ),
        format!("UPDATE _webhook_registry_subscription SET revision = -1 WHERE {others}"),
        format!("UPDATE _webhook_registry_subscription SET secret = '?' WHERE {others}"),
        format!("DELETE FROM _webhook_registry_subscription_pattern WHERE {others}"),
        format!(
            "UPDATE _webhook_registry_subscription_pattern SET pattern = pattern + 300 \
             WHERE {others}"
        ),
        format!("UPDATE _webhook_registry_subscription SET events = '' WHERE {others}"),
        format!("UPDATE _webhook_registry_subscription SET events = {bad} WHERE {others}"),
        format!(
            "UPDATE _webhook_registry_pattern SET text = id || {bad} \
             WHERE text IN ('vault.*', 'order.?aid', '[ou]*', 'order.p*', '?rder.paid')"
        ),
        format!("UPDATE _webhook_registry_subscription SET owner = 999 + seq WHERE {others}"),
        format!("UPDATE _webhook_registry_owner SET name = id || {bad} WHERE name <> 'acme'"),
        "UPDATE _webhook_registry_owner SET subscriptions = -7, last_change = -7 \
         WHERE name IS NOT 'acme'"
            .to_owned(),
        "UPDATE _webhook_registry_change SET at = -1, kind = '?', fields = '?' \
         WHERE owner IS NOT 'acme'"
            .to_owned(),
    ] {
        println!("{sql}");
        assert_same(&crowded.damaged(&sql), &control, false);
    }
}

#[test]
fn a_pattern_row_that_names_the_wrong_owner_gives_no_subscription_away() {
    let acme = "(SELECT id FROM _webhook_registry_owner WHERE name = 'acme')";
    let crowded = Template::new(true, false).damaged(&format!(
        "UPDATE _webhook_registry_subscription_pattern SET enabled = 1, owner = {acme} \
         WHERE owner IS NOT {acme}"
    ));
    let control = Template::new(false, false);
    let mut corrupt = BTreeSet::new();
    for (name, calls) in TABLE {
        let told = answers(&crowded.open(&crowded.others), *calls);
        let expected = answers(&control.open(&crowded.others), *calls);
        for (told, expected) in told.lines().zip(expected.lines()) {
            // The rows that say that they are acme's count as damaged.
            if told.contains("the file is damaged: ") {
                corrupt.insert(*name);
            } else {
                assert_eq!(told, expected, "{name}");
            }
        }
    }
    assert!(!corrupt.contains("get") && !corrupt.contains("create"), "{corrupt:?}");
}

#[test]
fn the_damaged_row_of_an_owner_is_corrupt_through_that_owners_handle() {
    let acme = "(SELECT id FROM _webhook_registry_owner WHERE name = 'acme')";
    for column in [
        "url = ''",
        "metadata = '?'",
        "created_at = -5",
        "url = CAST(x'FF' AS TEXT)",
        "events = ''",
    ] {
        let sql = format!(
            "UPDATE _webhook_registry_subscription SET {column} WHERE owner = {acme} \
             AND name = 'orders'"
        );
        let file = Template::new(true, false).damaged(&sql);
        let World { registry, acme, .. } = &file.open(&file.others);
        let id = file.open(&[]).own("orders");
        let update = SubscriptionUpdate::new;
        let every = registry.for_every_owner().unwrap();
        for owned in [acme, &every] {
            refused(owned.get(id), ErrorKind::Corrupt, &[]);
            refused(owned.list(ListQuery::new()), ErrorKind::Corrupt, &[]);
            refused(owned.update(id, update().description("d")), ErrorKind::Corrupt, &[]);
            let all: Result<Vec<_>, _> = owned.iter(ListQuery::new()).collect();
            refused(all, ErrorKind::Corrupt, &[]);
        }
        refused(acme.get_by_name("orders"), ErrorKind::Corrupt, &[]);
        refused(registry.export(), ErrorKind::Corrupt, &[]);
        if column.starts_with("url") || column.starts_with("metadata") {
            refused(acme.subscribers("order.paid"), ErrorKind::Corrupt, &[]);
            refused(every.subscribers("order.paid"), ErrorKind::Corrupt, &[]);
            refused(acme.subscriber(id), ErrorKind::Corrupt, &[]);
        }
        let report = registry.check().unwrap();
        assert!(report.findings().iter().any(|one| one.subscription_id() == Some(id)), "{report}");
        for other in [registry.clone(), registry.for_owner("globex").unwrap()] {
            assert_eq!(other.get(id).unwrap(), None, "{column}");
            assert!(other.get_by_name("orders").unwrap().is_some(), "{column}");
            assert!(other.list(ListQuery::new()).unwrap().subscriptions().len() > 2, "{column}");
            assert!(!other.subscribers("order.paid").unwrap().is_empty(), "{column}");
            let changed = other.update(id, update().description("d"));
            refused(changed, ErrorKind::NotFound, &["subscriptionId"]);
        }
        // All of acme's can be deleted nevertheless, and nothing of others goes with them.
        let before = every.len().unwrap();
        assert_eq!((acme.delete_all().unwrap(), every.len().unwrap()), (3, before - 3));
        assert!(registry.check().unwrap().is_sound());
    }
}

#[test]
fn calls_on_the_whole_file_are_rejected_through_a_handle_of_one_owner() {
    let file = Template::new(true, false);
    for (name, calls) in TABLE {
        let log = answers(&file.open(&file.others), *calls);
        let is_rejected = |line: &str| line.contains(": ((Invalid, ") && line.contains("owner");
        if REJECTED.contains(name) {
            assert!(log.lines().all(is_rejected), "{name}: {log}");
        } else {
            assert!(!log.lines().all(|line| line.contains(": ((Invalid, ")), "{name}: {log}");
        }
    }
}

#[test]
fn a_read_only_handle_of_an_owner_is_rejected_as_read_only_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let registry = Registry::open(&path).unwrap();
    registry.register_event_type("agent.v1").unwrap();
    registry.create(new("one")).unwrap();
    let reader = Registry::options().read_only(true).open(&path).unwrap();
    let [acme, every] = [reader.for_owner(OWNER).unwrap(), reader.for_every_owner().unwrap()];
    let read_only = ErrorKind::ReadOnly;
    refused(acme.register_event_type("x"), read_only, &[]);
    refused(acme.register_event_types(["x"]), read_only, &[]);
    refused(acme.remove_event_type("agent.v1"), read_only, &[]);
    refused(acme.import(empty_document()), read_only, &[]);
    refused(every.create(new("two")), read_only, &[]);
    refused(every.create_all([new("two")]), read_only, &[]);
    refused(every.ensure(new("two")), read_only, &[]);
    refused(every.delete_all(), read_only, &[]);
    refused(acme.delete_all(), read_only, &[]);
    // What only reads is rejected for its scope.
    refused(acme.export(), ErrorKind::Invalid, &["owner"]);
    refused(acme.check(), ErrorKind::Invalid, &["owner"]);
    refused(every.plan([new("two")], Prune::Keep), ErrorKind::Invalid, &["owner"]);
    refused(every.get_by_name("one"), ErrorKind::Invalid, &["owner"]);
    assert_eq!(every.len().unwrap(), 1);
    assert_eq!(acme.len().unwrap(), 0);
}

#[test]
fn the_handle_of_every_owner_rejects_what_needs_one_owner() {
    let file = Template::new(true, false);
    let World { registry, .. } = &file.open(&[]);
    let every = registry.for_every_owner().unwrap();
    let before = registry.export().unwrap();
    let owner = &["owner"];
    // The scope is judged before the input, before names that are taken and before nothing to do.
    for declared in [new("orders"), new(""), NewSubscription::new("x", "x", ["**"])] {
        refused(every.create(declared.clone()), ErrorKind::Invalid, owner);
        refused(every.create_all([declared.clone()]), ErrorKind::Invalid, owner);
        refused(every.ensure(declared.clone()), ErrorKind::Invalid, owner);
        refused(every.plan([declared], Prune::Delete), ErrorKind::Invalid, owner);
    }
    refused(every.create_all([]), ErrorKind::Invalid, owner);
    refused(every.plan([], Prune::Keep), ErrorKind::Invalid, owner);
    refused(every.delete_all(), ErrorKind::Invalid, owner);
    refused(every.get_by_name(""), ErrorKind::Invalid, owner);
    let plan = registry.plan([], Prune::Delete).unwrap();
    refused(every.apply(plan), ErrorKind::Invalid, owner);
    assert_eq!(registry.export().unwrap(), before);
    // And gives out what it is for.
    let again = every.for_every_owner().unwrap();
    let document = serde_json::to_value(registry.export().unwrap()).unwrap();
    let all = document["subscriptions"].as_array().unwrap().len();
    assert_eq!(again.len().unwrap(), all as u64);
    assert_eq!(every.for_owner(OWNER).unwrap().len().unwrap(), 3);
    assert_eq!(every.owners(None, 10).unwrap(), [OWNER, "globex", "initech"]);
    every.register_event_type("by.every.owner").unwrap();
    every.remove_event_type("by.every.owner").unwrap();
    assert!(every.check().unwrap().is_sound());
}

#[test]
fn an_owner_in_a_document_is_an_unknown_key() {
    let create = json!({"name": "n", "url": "https://example.com/", "events": ["*"],
                        "owner": "globex"});
    let patch = json!({"owner": "globex"});
    let null = json!({"owner": null});
    for document in [&create, &patch, &null] {
        let bytes = document.to_string().into_bytes();
        let text = std::str::from_utf8(&bytes).unwrap();
        let fields = |error: webhook_registry::Error| -> Vec<String> {
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(!error.to_string().contains("globex"), "{error}");
            error.problems().iter().map(|one| one.field().to_owned()).collect()
        };
        let owner = "owner".to_owned();
        assert!(fields(NewSubscription::from_json(&bytes).unwrap_err()).contains(&owner));
        assert!(fields(SubscriptionUpdate::from_json(&bytes).unwrap_err()).contains(&owner));
        assert!(fields(ListQuery::from_json(&bytes).unwrap_err()).contains(&owner));
        assert!(fields(Rotation::from_json(&bytes).unwrap_err()).contains(&owner));
        for message in [
            serde_json::from_str::<NewSubscription>(text).unwrap_err().to_string(),
            serde_json::from_str::<SubscriptionUpdate>(text).unwrap_err().to_string(),
            serde_json::from_str::<ListQuery>(text).unwrap_err().to_string(),
        ] {
            assert!(!message.contains("globex"), "{message}");
        }
    }
    let update = serde_json::from_value::<SubscriptionUpdate>(patch).unwrap_err().to_string();
    assert!(update.starts_with(r#"unknown key "owner""#), "{update}");
    let query = serde_urlencoded::from_str::<ListQuery>("owner=globex").unwrap_err().to_string();
    assert!(query.starts_with(r#"unknown key "owner""#), "{query}");
    // An event type is a document of another system, of which other keys are ignored.
    let event_type = json!({"name": "agent.v1", "owner": "globex"});
    assert!(serde_json::from_value::<EventType>(event_type).is_ok());
    for schema in [
        NewSubscription::json_schema(),
        SubscriptionUpdate::json_schema(),
        ListQuery::json_schema(),
    ] {
        assert!(schema["properties"].is_object(), "{schema}");
        assert!(schema["properties"].get("owner").is_none(), "{schema}");
    }
}

#[test]
fn the_owner_of_a_new_subscription_is_the_one_of_the_handle() {
    let file = Template::new(true, false);
    let World { registry, acme, .. } = &file.open(&[]);
    let globex = registry.for_owner("globex").unwrap();
    // A copy of a subscription carries no owner with it.
    let vault = NewSubscription::from(&globex.get_by_name("vault").unwrap().unwrap());
    let made = acme.create(vault.allow_unknown_events(true)).unwrap();
    assert_eq!(made.subscription().owner(), Some(OWNER));
    let hidden = NewSubscription::from(&registry.get_by_name("hidden").unwrap().unwrap());
    assert_eq!(acme.create(hidden).unwrap().subscription().owner(), Some(OWNER));
    let mine = NewSubscription::from(&made.into_parts().0).allow_unknown_events(true);
    assert_eq!(registry.create(mine).unwrap().subscription().owner(), None);
    assert_eq!(globex.count(ListQuery::new().name_contains("hidden")).unwrap(), 0);
}

#[test]
fn a_subscription_shows_its_owner_after_its_metadata() {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(CATALOG).unwrap();
    let acme = registry.for_owner(OWNER).unwrap();
    let new = |name| {
        NewSubscription::new(name, "https://example.com/", ["*"])
            .secret(files::secret(1))
            .metadata("k", "v")
    };
    let keys = |json: &str| -> String {
        let tail = &json[json.find("\"metadata\"").unwrap()..json.find("\"createdAt\"").unwrap()];
        tail.to_owned()
    };
    let made = acme.create(new("one")).unwrap();
    let owned = r#""metadata":{"k":"v"},"owner":"acme","#;
    assert_eq!(keys(&serde_json::to_string(&made).unwrap()), owned);
    assert_eq!(keys(&serde_json::to_string(made.subscription()).unwrap()), owned);
    let page = acme.list(ListQuery::new()).unwrap();
    assert_eq!(keys(&serde_json::to_string(&page).unwrap()), owned);
    let made = registry.create(new("one")).unwrap();
    assert_eq!(keys(&serde_json::to_string(&made).unwrap()), r#""metadata":{"k":"v"},"#);
}
