//! Tests that `delete_all` takes everything of an owner in one transaction, and nothing of others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rusqlite::Connection;
use webhook_registry::{
    Change, ChangeKind, Durability, ErrorKind, ListQuery, NewSubscription, Registry, Rotation,
};

use crate::support::{End, new, refused};

/// Returns how many rows of the private tables belong to nothing, by table.
fn orphans(path: &std::path::Path) -> Vec<(String, i64)> {
    let conn = Connection::open(path).unwrap();
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let texts = |sql: &str| -> Vec<String> {
        let mut statement = conn.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let subscriptions = "SELECT seq FROM _webhook_registry_subscription";
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' \
                  AND name LIKE '\\_webhook\\_registry\\_%' ESCAPE '\\'";
    let mut found = Vec::new();
    for table in texts(tables) {
        let has = |name: &str| {
            let columns =
                format!("SELECT count(*) FROM pragma_table_info('{table}') WHERE name = ");
            number(&format!("{columns}'{name}'")) == 1
        };
        if has("subscription") {
            let sql = format!("SELECT count(*) FROM {table} WHERE subscription NOT IN");
            found.push((table.clone(), number(&format!("{sql} ({subscriptions})"))));
        }
    }
    // The tables that refer to subscriptions: their patterns, and their secrets.
    assert!(found.len() >= 2, "{found:?}");
    for (table, condition) in [
        ("pattern", "id NOT IN (SELECT pattern FROM _webhook_registry_subscription_pattern)"),
        ("expansion", "pattern NOT IN (SELECT id FROM _webhook_registry_pattern)"),
        ("expansion", "event_type NOT IN (SELECT name FROM _webhook_registry_event_type)"),
        ("owner", "id <> 0 AND id NOT IN (SELECT owner FROM _webhook_registry_subscription)"),
    ] {
        let sql = format!("SELECT count(*) FROM _webhook_registry_{table} WHERE {condition}");
        found.push((format!("{table}: {condition}"), number(&sql)));
    }
    found
}

#[track_caller]
fn assert_no_orphans(path: &std::path::Path) {
    for (table, count) in orphans(path) {
        assert_eq!(count, 0, "{table}");
    }
}

/// Returns all that a handle tells of its subscriptions.
fn answers(registry: &Registry) -> String {
    let mut all = String::new();
    for found in registry.iter(ListQuery::new().limit(1_000)) {
        let found = found.unwrap();
        all += &format!("{found:?} {:?}\n", registry.secrets(found.id()).unwrap());
    }
    for name in ["order.created", "order.paid"] {
        all += &format!(
            "{:?}\n{}",
            registry.subscribers(name).unwrap(),
            registry.explain(name).unwrap()
        );
    }
    all
}

const MANY: usize = 10_000;

#[test]
fn an_owner_with_ten_thousand_subscriptions_is_deleted_in_one_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let options = Registry::options().durability(Durability::Relaxed).keep_changes(20_000);
    let registry = options.open(&path).unwrap();
    registry.register_event_types(["order.created", "order.paid"]).unwrap();
    let new = |owner: &str, number: usize| {
        // One pattern is shared by all, one is this owner's, and one the subscription's own.
        let events = ["order.*".to_owned(), format!("*{owner}*"), format!("{owner}.{number}.*")];
        NewSubscription::new(format!("name {number}"), "https://example.com/", events)
            .allow_unknown_events(true)
            .enabled(!number.is_multiple_of(3))
    };
    let others = ["", "acm", "acme ltd", "globex"].map(|owner| {
        let it =
            if owner.is_empty() { registry.clone() } else { registry.for_owner(owner).unwrap() };
        it.create_all((0..20).map(|number| new("o", number))).unwrap();
        it
    });
    let acme = registry.for_owner("acme").unwrap();
    let made = acme.create_all((0..MANY).map(|number| new("acme", number))).unwrap();
    for made in made.iter().step_by(500) {
        acme.rotate_secret(made.subscription().id(), Rotation::new()).unwrap();
    }
    let before = others.each_ref().map(answers);
    let history = registry.last_change().unwrap();
    assert_eq!(acme.len().unwrap(), MANY as u64);

    let deleted = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = options.open(&path).unwrap().for_owner("acme").unwrap();
        let deleted = &deleted;
        let watching = scope.spawn(move || {
            let mut seen = vec![];
            while !deleted.load(Ordering::SeqCst) {
                seen.push(watcher.len().unwrap());
            }
            seen.push(watcher.len().unwrap());
            seen
        });
        let end = End(deleted);
        assert_eq!(acme.delete_all().unwrap(), MANY as u64);
        drop(end);
        let mut seen = watching.join().unwrap();
        seen.dedup();
        assert!(matches!(seen[..], [_, 0] | [0]), "a part of the deletion was seen: {seen:?}");
    });

    assert_eq!((acme.len().unwrap(), acme.is_empty().unwrap()), (0, true));
    assert!(acme.subscribers("order.paid").unwrap().is_empty());
    assert_eq!(registry.owners(None, 10).unwrap(), ["acm", "acme ltd", "globex"]);
    // One change for each, with all that was there.
    assert_eq!(registry.last_change().unwrap() - history, MANY as u64);
    let (mut after, mut subjects) = (history, Vec::new());
    let mut times = Vec::new();
    loop {
        let page = acme.changes(after, 1_000).unwrap();
        let Some(last) = page.last() else { break };
        after = last.sequence();
        let is_deletion = |it: &Change| {
            it.kind() == ChangeKind::Deleted && it.owner() == Some("acme") && it.fields().len() > 3
        };
        assert!(page.iter().all(is_deletion));
        times.extend(page.iter().map(|it| it.at()));
        subjects.extend(page.into_iter().map(|it| it.subject().to_owned()));
    }
    let ids: Vec<String> = made.iter().map(|made| made.subscription().id().to_string()).collect();
    assert_eq!(subjects, ids);
    times.dedup();
    assert_eq!(times.len(), 1);
    assert_eq!(others.each_ref().map(answers), before);
    assert_no_orphans(&path);
    assert!(registry.check().unwrap().is_sound());
    // An id is not given out again.
    let next = acme.create(new("acme", 0)).unwrap();
    assert!(made.last().unwrap().subscription().id() < next.subscription().id());
}

#[test]
fn each_scope_deletes_its_own_subscriptions_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let registry = Registry::open(&path).unwrap();
    registry.register_event_types(["agent.v1", "order.created", "order.paid"]).unwrap();
    let [acme, globex] = ["acme", "globex"].map(|owner| registry.for_owner(owner).unwrap());
    let all = [&acme, &globex, &registry];
    for deleting in all {
        for scoped in all {
            scoped.create_all([new("one"), new("two")]).unwrap();
        }
        let before = all.map(answers);
        let last = registry.last_change().unwrap();
        assert_eq!(deleting.delete_all().unwrap(), 2);
        assert_eq!(registry.last_change().unwrap(), last + 2);
        // Where nothing is left, nothing is changed.
        assert_eq!(deleting.delete_all().unwrap(), 0);
        assert_eq!(registry.last_change().unwrap(), last + 2);
        for (scoped, before) in all.into_iter().zip(before) {
            let is_deleted = std::ptr::eq(scoped, deleting);
            assert_eq!(scoped.len().unwrap(), if is_deleted { 0 } else { 2 });
            assert!(is_deleted || answers(scoped) == before);
        }
        assert_no_orphans(&path);
        for scoped in all {
            scoped.delete_all().unwrap();
        }
    }
    let every = registry.for_every_owner().unwrap();
    refused(every.delete_all(), ErrorKind::Invalid, &["owner"]);
    assert!(every.is_empty().unwrap());
    assert!(registry.owners(None, 10).unwrap().is_empty());
}

#[test]
fn an_owner_leaves_with_the_last_subscription_however_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let registry = Registry::open(&path).unwrap();
    registry.register_event_type("agent.v1").unwrap();
    let acme = registry.for_owner("acme").unwrap();
    let id = |acme: &Registry| acme.get_by_name("one").unwrap().unwrap().id();
    type Delete = fn(&Registry, webhook_registry::SubscriptionId);
    let ways: [Delete; 4] = [
        |acme, id| acme.delete(id).unwrap(),
        |acme, id| acme.delete_if_revision(id, 1).unwrap(),
        |acme, _| assert_eq!(acme.delete_all().unwrap(), 1),
        |acme, _| {
            let plan = acme.plan([], webhook_registry::Prune::Delete).unwrap();
            assert_eq!(acme.apply(plan).unwrap().deleted().len(), 1);
        },
    ];
    for way in ways {
        acme.create(new("one")).unwrap();
        assert_eq!(registry.owners(None, 10).unwrap(), ["acme"]);
        way(&acme, id(&acme));
        assert!(registry.owners(None, 10).unwrap().is_empty());
        assert_no_orphans(&path);
    }
    // Through the handle of every owner too.
    acme.create(new("one")).unwrap();
    registry.for_every_owner().unwrap().delete(id(&acme)).unwrap();
    assert!(registry.owners(None, 10).unwrap().is_empty());
    assert_no_orphans(&path);
}

#[test]
fn owners_are_listed_in_the_order_of_their_bytes() {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_type("agent.v1").unwrap();
    let names = ["b", "a", "é", "B", "a b", "aa", "ab", "10", "9", "\u{1F600}", "\u{FFFD}"];
    for owner in names {
        registry.for_owner(owner).unwrap().create(new("one")).unwrap();
    }
    registry.create(new("one")).unwrap();
    registry.for_owner("unused").unwrap();
    let mut sorted = names.map(str::to_owned).to_vec();
    sorted.sort();
    assert_eq!(registry.owners(None, 1_000).unwrap(), sorted);
    let mut walked: Vec<String> = Vec::new();
    loop {
        let page = registry.owners(walked.last().map(String::as_str), 3).unwrap();
        assert!(page.len() <= 3);
        if page.is_empty() {
            break;
        }
        walked.extend(page);
    }
    assert_eq!(walked, sorted);
    // A position need not be an owner, nor a text that an owner could be.
    for after in ["", " ", "A", "a\u{0}", "zzz", "\u{10FFFF}", "ac"] {
        let expected: Vec<_> = sorted.iter().filter(|name| &***name > after).collect();
        let found = registry.owners(Some(after), 1_000).unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{after:?}");
    }
    for limit in [0, 1_001, usize::MAX] {
        refused(registry.owners(None, limit), ErrorKind::Invalid, &["limit"]);
    }
    for bad in ["", " a", "a ", "a\u{0}b", "a\nb", "\u{3000}a", &"x".repeat(129)] {
        refused(registry.for_owner(bad), ErrorKind::Invalid, &["owner"]);
    }
    for good in [&*"x".repeat(128), &"é".repeat(128), "a  b", "*", "%"] {
        assert_eq!(registry.for_owner(good).unwrap().len().unwrap(), 0);
    }
}
