//! Tests the limited history: a reader that fell behind gets an error, concurrent writers and large
//! calls leave no gap, and every handle knows the limit.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use webhook_registry::{
    ChangeKind, Durability, ErrorKind, NewSubscription, Registry, RegistryOptions,
    SubscriptionUpdate,
};

use crate::history_replay::Follower;
use crate::support::child::{self, Peer};
use crate::support::{End, Random, new, patient, refused, size};

fn options_keeping(keep: u64) -> RegistryOptions {
    Registry::options().keep_changes(keep).durability(Durability::Relaxed)
}

/// Makes this many changes, one per call.
fn change(registry: &Registry, count: usize) {
    for _ in 0..count {
        let next = registry.last_change().unwrap() + 1;
        registry.register_event_type(format!("x.v{next}").as_str()).unwrap();
    }
}

/// Makes this many changes with one call.
fn change_at_once(registry: &Registry, count: usize) {
    let next = registry.last_change().unwrap() as usize + 1;
    registry.register_event_types((next..next + count).map(|n| format!("x.v{n}"))).unwrap();
}

/// Asserts that the history is readable from this number on, and not before.
#[track_caller]
fn assert_begins_at(registry: &Registry, begins: u64) {
    let last = registry.last_change().unwrap();
    for after in (begins..=last).rev().take(9).chain([begins]) {
        let changes = registry.changes(after, 1_000).unwrap();
        let numbers = changes.iter().map(|change| change.sequence());
        assert!(numbers.eq((after + 1..=last).take(1_000)), "after {after}");
        for change in changes {
            assert_eq!(change.subject(), format!("x.v{}", change.sequence()));
        }
    }
    for after in (0..begins).rev().take(9).chain((begins > 0).then_some(0)) {
        let error = refused(registry.changes(after, 10), ErrorKind::Gone, &[]);
        let message = format!(
            "the changes after {after} are no longer kept; the history begins after {begins}"
        );
        assert_eq!(error.to_string(), message);
    }
    for beyond in [last + 1, last + 1_000, u64::MAX] {
        let error = refused(registry.changes(beyond, 10), ErrorKind::Gone, &[]);
        let message = format!(
            "the history ends at {last}; {beyond} is another file's, or one's before a restore"
        );
        assert_eq!(error.to_string(), message);
    }
    assert!(registry.check().unwrap().is_sound(), "{}", registry.check().unwrap());
}

#[test]
fn the_newest_changes_are_kept_and_a_late_reader_learns_where_the_history_begins() {
    for keep in size(&[1, 9, 64, 100][..], &[1, 2, 9, 63, 64, 65, 100][..]).iter().copied() {
        let registry = options_keeping(keep).in_memory().unwrap();
        assert_begins_at(&registry, 0);
        for _ in 0..size(25, 50) {
            change(&registry, 9);
            let last = registry.last_change().unwrap();
            assert_begins_at(&registry, last.saturating_sub(keep));
        }
    }
}

#[test]
fn trimmed_changes_take_no_space_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    for keep in [0, 1, 63, 64, 100, 10_000] {
        let path = folder.path().join(format!("{keep}.db"));
        let registry = options_keeping(keep).open(&path).unwrap();
        let conn = rusqlite::Connection::open(&path).unwrap();
        let number = |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        change_at_once(&registry, 500);
        change(&registry, 70);
        if keep < 64 {
            assert_eq!(number("SELECT count(*) FROM _webhook_registry_change"), keep as i64);
        }
        change_at_once(&registry, 200);
        let rows = number("SELECT count(*) FROM _webhook_registry_change");
        let least = keep.min(770) as i64;
        assert!((least..=least + 64).contains(&rows), "{rows} rows, of which {keep} are kept");
        assert_begins_at(&registry, 770_u64.saturating_sub(keep));
    }
}

#[test]
fn changes_beyond_the_limit_of_one_call_are_never_written() {
    let folder = tempfile::tempdir().unwrap();
    for keep in [0, 1, 100] {
        let path = folder.path().join(format!("{keep}.db"));
        let registry = options_keeping(keep).open(&path).unwrap();
        registry
            .create_all((0..500).map(|n| new(&format!("n{n}")).allow_unknown_events(true)))
            .unwrap();
        let conn = rusqlite::Connection::open(&path).unwrap();
        let free: i64 = conn.query_row("PRAGMA freelist_count", [], |row| row.get(0)).unwrap();
        assert_eq!(free, 0, "pages were written and freed again");
    }
}

#[test]
fn ten_thousand_changes_are_kept_by_default() {
    let registry = Registry::in_memory().unwrap();
    change_at_once(&registry, 10_003);
    assert_begins_at(&registry, 3);
}

#[test]
fn with_a_limit_of_zero_no_change_is_kept_and_numbers_continue() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = options_keeping(0).open(&path).unwrap();
    assert_begins_at(&registry, 0);
    change(&registry, 3);
    assert_begins_at(&registry, 3);
    drop(registry);
    let registry = Registry::open(&path).unwrap();
    change_at_once(&registry, 4);
    assert_begins_at(&registry, 7);
    // Changes are kept again from there on.
    let registry = options_keeping(10).open(&path).unwrap();
    assert_begins_at(&registry, 7);
    change(&registry, 2);
    assert_begins_at(&registry, 7);
    change(&registry, 9);
    assert_begins_at(&registry, 8);
}

#[test]
fn raising_the_limit_does_not_restore_trimmed_changes() {
    for (lower, upper) in
        [(2, 100), (0, 1), (0, 100), (1, 2), (64, 65), (100, u64::MAX), (3, 10_000)]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("webhooks.db");
        let registry = Registry::options().durability(Durability::Relaxed).open(&path).unwrap();
        change(&registry, 150);
        options_keeping(lower).open(&path).unwrap();
        assert_begins_at(&registry, 150 - lower);
        options_keeping(upper).open(&path).unwrap();
        assert_begins_at(&registry, 150 - lower);
        change(&registry, 5);
        assert_begins_at(&registry, (150 - lower).max(155_u64.saturating_sub(upper)));
    }
}

#[test]
fn a_call_with_more_changes_than_the_limit_leaves_no_gap() {
    for &keep in size(&[1, 64, 100][..], &[1, 5, 63, 64, 65, 100, 128, 200][..]) {
        for at_once in [keep - 1, keep, keep + 1, keep + 63, keep + 64] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("webhooks.db");
            let registry = options_keeping(keep).open(&path).unwrap();
            change(&registry, 5);
            // Event types are written one by one; the number of subscriptions is known in advance.
            let all = (0..at_once).map(|n| new(&format!("n{n}")).allow_unknown_events(true));
            registry.create_all(all).unwrap();
            let last = 5 + at_once;
            let begins = last.saturating_sub(keep);
            assert_eq!(registry.last_change().unwrap(), last);
            assert_eq!(registry.changes(begins, 1_000).unwrap().len() as u64, keep.min(last));
            if begins > 0 {
                refused(registry.changes(begins - 1, 1_000), ErrorKind::Gone, &[]);
            }
            let report = registry.check().unwrap();
            assert!(report.is_sound(), "limit {keep}, {at_once} changes at once: {report}");
            // A gap would show once the limit is raised.
            let more = options_keeping(10_000).open(&path).unwrap();
            for after in (0..=last).step_by(size(7, 1)) {
                match more.changes(after, 1_000) {
                    Ok(changes) => assert_eq!(changes.len() as u64, last - after),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Gone, "{after}: {error}"),
                }
            }
        }
    }
}

#[test]
fn the_limit_is_stored_in_the_file_and_applies_to_every_handle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let (one, reader) =
        (options_keeping(5).open(&path).unwrap(), Registry::options().read_only(true));
    change(&one, 20);
    let (two, reader) = (Registry::open(&path).unwrap(), reader.open(&path).unwrap());
    for registry in [&one, &two, &reader] {
        assert_begins_at(registry, 15);
    }
    change(&two, 20);
    for registry in [&one, &two, &reader] {
        assert_begins_at(registry, 35);
    }
    // The last opener that states a limit sets it.
    let three = options_keeping(8).open(&path).unwrap();
    change(&one, 20);
    for registry in [&one, &two, &three, &reader] {
        assert_begins_at(registry, 52);
    }
    drop((one, two, three, reader));
    let again = Registry::open(&path).unwrap();
    change(&again, 1);
    assert_begins_at(&again, 53);
}

#[test]
fn a_read_only_registry_cannot_set_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    drop(Registry::open(&path).unwrap());
    let error = options_keeping(5).read_only(true).open(&path);
    let error = refused(error, ErrorKind::Invalid, &["keep_changes"]);
    assert!(error.to_string().contains("cannot change"), "{error}");
}

#[test]
fn a_damaged_history_is_corrupt_and_never_a_silent_gap() {
    for (sql, after) in [
        ("DELETE FROM _webhook_registry_change WHERE sequence = 7", 0),
        ("DELETE FROM _webhook_registry_change WHERE sequence = 7", 6),
        ("UPDATE _webhook_registry_meta SET last_change = 30", 0),
        ("UPDATE _webhook_registry_meta SET last_change = 30", 20),
        ("UPDATE _webhook_registry_change SET kind = 'none' WHERE sequence = 7", 6),
        ("UPDATE _webhook_registry_change SET fields = '{}' WHERE sequence = 7", 6),
        ("UPDATE _webhook_registry_change SET fields = '[{}]' WHERE sequence = 7", 6),
        ("UPDATE _webhook_registry_change SET fields = '[' WHERE sequence = 7", 6),
        ("UPDATE _webhook_registry_change SET at = -1 WHERE sequence = 7", 6),
        ("UPDATE _webhook_registry_meta SET keep_changes = -1", 0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("webhooks.db");
        let registry = Registry::open(&path).unwrap();
        change(&registry, 20);
        let conn = rusqlite::Connection::open(&path).unwrap();
        conn.execute_batch(&format!("PRAGMA ignore_check_constraints = ON; {sql}")).unwrap();
        let error = refused(registry.changes(after, 1_000), ErrorKind::Corrupt, &[]);
        assert!(error.to_string().starts_with("the file is damaged: "), "{sql}: {error}");
        assert!(!registry.check().unwrap().is_sound(), "{sql}");
        // Undamaged changes can be read.
        if sql.ends_with("= 7") {
            assert_eq!(registry.changes(10, 1_000).unwrap().len(), 10, "{sql}");
            assert_eq!(registry.changes(0, 6).unwrap().len(), 6, "{sql}");
        }
    }
}

/// Creates, updates and deletes this many subscriptions as one of many writers, three changes each.
fn write_subscriptions(registry: &Registry, who: &str, rounds: usize) {
    for round in 0..rounds {
        let new = NewSubscription::new(format!("{who} {round}"), "https://example.com/", ["x"]);
        let id = registry.create(new.allow_unknown_events(true)).unwrap().subscription().id();
        registry.update(id, SubscriptionUpdate::new().enabled(false)).unwrap();
        registry.delete(id).unwrap();
    }
}

/// Follows the history of a file until all writers are done.
fn follow(registry: &Registry, over: &AtomicBool) -> BTreeMap<String, Vec<ChangeKind>> {
    let (mut follower, mut random) = (Follower { seen: 0 }, Random(7));
    let mut told: BTreeMap<String, Vec<ChangeKind>> = BTreeMap::new();
    loop {
        let last_round = over.load(Ordering::SeqCst);
        for change in follower.read_all(registry, 1 + random.below(20)) {
            told.entry(change.subject().to_owned()).or_default().push(change.kind());
        }
        if last_round {
            return told;
        }
    }
}

#[test]
fn a_reader_can_follow_the_history_of_many_threads_and_processes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = patient().open(&path).unwrap();
    let rounds = size(15, 300);
    let mut peers: Vec<Peer> = (0..2)
        .map(|n| {
            let arguments = [n.to_string(), rounds.to_string()];
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            Peer::spawn(&mut child::command("history_limit::child_writes", &path, &arguments))
        })
        .collect();
    peers.iter_mut().for_each(|peer| peer.expect("ready"));
    let over = AtomicBool::new(false);
    let told = thread::scope(|scope| {
        let followers = [
            scope.spawn(|| follow(&registry, &over)),
            scope
                .spawn(|| follow(&Registry::options().read_only(true).open(&path).unwrap(), &over)),
        ];
        // Set even if a writer fails, so that the followers end.
        let end = End(&over);
        peers.iter_mut().for_each(|peer| peer.say("go"));
        thread::scope(|scope| {
            for n in 0..3 {
                let own = if n == 0 { registry.clone() } else { patient().open(&path).unwrap() };
                scope.spawn(move || write_subscriptions(&own, &format!("thread {n}"), rounds));
            }
        });
        for peer in peers {
            assert!(peer.finish().is_empty());
        }
        drop(end);
        followers.map(|follower| follower.join().unwrap())
    });
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].len(), 5 * rounds);
    let expected = [ChangeKind::Created, ChangeKind::Disabled, ChangeKind::Deleted];
    assert!(told[0].values().all(|kinds| *kinds == expected), "{told:?}");
    assert_eq!(registry.last_change().unwrap(), 15 * rounds as u64);
}

#[test]
fn child_writes() {
    let Some((path, arguments)) = child::role() else {
        return;
    };
    let registry = patient().open(path).unwrap();
    child::tell("ready");
    child::await_word();
    write_subscriptions(
        &registry,
        &format!("process {}", arguments[0]),
        arguments[1].parse().unwrap(),
    );
}

#[test]
fn a_visible_effect_implies_a_visible_change() {
    let folder = tempfile::tempdir().unwrap();
    let path: &Path = &folder.path().join("webhooks.db");
    let (writer, reader) = (patient().open(path).unwrap(), patient().open(path).unwrap());
    let rounds = size(100, 2_000);
    thread::scope(|scope| {
        let writing = scope.spawn(move || {
            for n in 0..rounds {
                writer.create(new(&n.to_string()).allow_unknown_events(true)).unwrap();
            }
        });
        for n in 0..rounds {
            let found = loop {
                let over = writing.is_finished();
                match reader.get_by_name(&n.to_string()).unwrap() {
                    Some(found) => break found,
                    None => assert!(!over, "{n} was never made"),
                }
                thread::yield_now();
            };
            let told = reader.changes(n, 1).unwrap();
            assert_eq!(told[0].subject(), found.id().to_string());
        }
    });
}

#[test]
fn opening_with_an_unchanged_limit_writes_nothing() {
    for keep in [0, 10, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("webhooks.db");
        drop(options_keeping(keep).open(&path).unwrap());
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let impatient = Registry::options().busy_timeout(Duration::ZERO);
        impatient.clone().keep_changes(keep).open(&path).unwrap();
        impatient.open(&path).unwrap();
        let another_number = impatient.keep_changes(keep.wrapping_add(2) / 2 + 5).open(&path);
        refused(another_number.map(drop), ErrorKind::Busy, &[]);
    }
}
