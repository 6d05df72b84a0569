//! Tests that a cached answer outlives the application's own changes, and no change of the
//! registry, whoever makes it.

use std::path::Path;

use rusqlite::Connection;
use webhook_registry::{Registry, Subscribers};

use crate::guest::{EVENT, FILES, guest, make_application};
use crate::opening::folder;
use crate::support::{learn, new};

/// Returns a registry in an application's file with three subscriptions, two of which receive the
/// event.
fn registry(path: &Path) -> Registry {
    let registry = guest().open(path).unwrap();
    learn(&registry);
    registry.create_all([new("one"), new("two"), new("off").enabled(false)]).unwrap();
    registry
}

fn is_same(a: &Subscribers, b: &Subscribers) -> bool {
    std::ptr::eq(&raw const **a, &raw const **b)
}

#[test]
fn the_applications_own_changes_do_not_make_an_answer_cold() {
    for settings in FILES {
        let (_folder, path) = folder();
        let conn = make_application(&path, settings);
        let registry = registry(&path);
        let answer = registry.subscribers(EVENT).unwrap();
        for statement in [
            "INSERT INTO webhooks VALUES ('new', '')",
            "UPDATE subscription SET enabled = 0",
            "DELETE FROM pattern",
            "PRAGMA user_version = 9",
        ] {
            conn.execute_batch(statement).unwrap();
            let next = registry.subscribers(EVENT).unwrap();
            assert!(is_same(&answer, &next), "{settings}: {statement}");
        }
        registry.create(new("three")).unwrap();
        let next = registry.subscribers(EVENT).unwrap();
        assert_eq!((answer.len(), next.len()), (2, 3));
    }
}

/// Statements by hand on the private tables, and how many subscribers are left after each. Most of
/// them change one row in one place only.
const BY_HAND: [(&str, Result<usize, ()>); 14] = [
    ("UPDATE _webhook_registry_subscription SET enabled = 0 WHERE name = 'one'", Ok(1)),
    ("UPDATE _webhook_registry_subscription_pattern SET enabled = 0 WHERE subscription = 1", Ok(1)),
    ("DELETE FROM _webhook_registry_subscription WHERE name = 'one'", Ok(1)),
    ("DELETE FROM _webhook_registry_subscription_pattern WHERE subscription = 2", Ok(1)),
    ("DELETE FROM _webhook_registry_subscription", Ok(0)),
    ("DELETE FROM _webhook_registry_subscription_pattern", Ok(0)),
    ("DELETE FROM _webhook_registry_expansion", Ok(0)),
    ("DELETE FROM _webhook_registry_event_type", Err(())),
    ("UPDATE _webhook_registry_event_type SET name = name || 'x'", Err(())),
    ("UPDATE _webhook_registry_subscription SET secret = '' WHERE seq = 2", Err(())),
    ("UPDATE _webhook_registry_subscription SET secret = 'x'", Err(())),
    ("UPDATE OR REPLACE _webhook_registry_subscription SET name = 'two' WHERE name = 'one'", Ok(1)),
    (
        "REPLACE INTO _webhook_registry_subscription_pattern \
         SELECT owner, subscription, pattern, 0 \
           FROM _webhook_registry_subscription_pattern",
        Ok(0),
    ),
    (
        "UPDATE _webhook_registry_subscription_pattern SET enabled = 1; \
         UPDATE _webhook_registry_subscription SET enabled = 1",
        Ok(3),
    ),
];

#[test]
fn a_change_by_hand_acts_on_the_next_call_of_every_process() {
    for (statement, expected) in BY_HAND {
        for settings in ["", "PRAGMA recursive_triggers = ON; PRAGMA foreign_keys = ON"] {
            let (_folder, path) = folder();
            let conn = make_application(&path, FILES[1]);
            let (registry, other) = (registry(&path), guest().open(&path).unwrap());
            let reader = guest().read_only(true).open(&path).unwrap();
            let all = [&registry, &other, &reader];
            for handle in all {
                assert_eq!(handle.subscribers(EVENT).unwrap().len(), 2);
            }
            conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
            conn.execute_batch(settings).unwrap();
            conn.execute_batch(statement).unwrap();
            for handle in all {
                let found = handle.subscribers(EVENT).map(|answer| answer.len());
                assert_eq!(found.map_err(drop), expected, "{settings}: {statement}");
            }
        }
    }
}

#[test]
fn an_answer_is_read_anew_where_a_trigger_is_missing_that_would_tell_of_changes() {
    let (_folder, path) = folder();
    let conn = make_application(&path, FILES[0]);
    let registry = registry(&path);
    conn.execute_batch(
        "DROP TRIGGER _webhook_registry_mark_subscription_pattern_update; \
         DROP TRIGGER _webhook_registry_mark_subscription_update",
    )
    .unwrap();
    assert_eq!(registry.subscribers(EVENT).unwrap().len(), 2);
    conn.execute_batch(
        "UPDATE _webhook_registry_subscription SET enabled = 0; \
         UPDATE _webhook_registry_subscription_pattern SET enabled = 0",
    )
    .unwrap();
    assert!(registry.subscribers(EVENT).unwrap().is_empty());
    assert!(!registry.check().unwrap().is_sound());
}

#[test]
fn an_answer_is_not_that_of_a_state_which_a_restore_in_place_has_replaced() {
    let (_folder, path) = folder();
    let conn = make_application(&path, FILES[0]);
    let registry = registry(&path);
    let old = path.with_extension("old");
    conn.execute("VACUUM INTO ?1", [old.to_str()]).unwrap();
    let restore = |from: &Path| {
        let from = Connection::open(from).unwrap();
        let mut to = Connection::open(&path).unwrap();
        rusqlite::backup::Backup::new(&from, &mut to).unwrap().step(-1).unwrap();
    };
    // As many changes on both sides, so that a counter would stand at the same number.
    let one = registry.get_by_name("one").unwrap().unwrap().id();
    registry.delete(one).unwrap();
    assert_eq!(registry.subscribers(EVENT).unwrap().len(), 1);
    restore(&old);
    assert_eq!(registry.subscribers(EVENT).unwrap().len(), 2);
    let two = registry.get_by_name("two").unwrap().unwrap().id();
    registry.delete(two).unwrap();
    assert_eq!(registry.subscribers(EVENT).unwrap()[0].name(), "one");
}

#[test]
fn many_subscriptions_in_one_call_change_the_mark_too() {
    let (_folder, path) = folder();
    make_application(&path, FILES[0]);
    let (registry, other) = (registry(&path), guest().open(&path).unwrap());
    for (round, count) in [499_usize, 500, 2_000].into_iter().enumerate() {
        let before = other.subscribers(EVENT).unwrap().len();
        let all = (0..count).map(|at| new(&format!("{round} {at}")));
        let created = registry.create_all(all).unwrap();
        assert_eq!(other.subscribers(EVENT).unwrap().len(), before + count);
        // The triggers run again.
        registry.delete(created[0].subscription().id()).unwrap();
        assert_eq!(other.subscribers(EVENT).unwrap().len(), before + count - 1);
        assert!(registry.check().unwrap().is_sound());
    }
}
