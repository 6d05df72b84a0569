//! Tests concurrent threads and processes: two openers that create the schema, unique names, lost
//! rows, `Busy` without reason, and answers from before a change that was already acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use webhook_registry::{
    ErrorKind, ListQuery, Registry, Rotation, SubscriptionId, SubscriptionUpdate,
};

use crate::support::child::{self, Peer};
use crate::support::{Random, learn, new, size};

#[test]
fn two_threads_that_open_a_fresh_file_both_succeed() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..200 {
        let path = folder.path().join(format!("{round}.db"));
        if round % 4 == 3 {
            std::fs::write(&path, "").unwrap();
        }
        let start = Barrier::new(2);
        thread::scope(|scope| {
            for name in ["one", "two"] {
                let (path, start) = (&path, &start);
                scope.spawn(move || {
                    start.wait();
                    let registry = Registry::open(path).unwrap();
                    registry.register_event_type("agent.v1").unwrap();
                    registry.create(new(name)).unwrap();
                    registry.get_by_name(name).unwrap().expect("a handle must see its own change");
                });
            }
        });
        assert_eq!(Registry::open(&path).unwrap().len().unwrap(), 2, "round {round}");
        assert_sound(&path);
    }
}

fn assert_sound(path: &Path) {
    let conn = rusqlite::Connection::open(path).unwrap();
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let verdict: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    assert_eq!(number("SELECT count(*) FROM pragma_foreign_key_check"), 0);
    let unroutable = "SELECT count(*) FROM _webhook_registry_subscription s WHERE 0 IN ( \
        (SELECT replaced_secrets = count(*) FROM _webhook_registry_replaced_secret \
            WHERE subscription = s.seq), \
        (SELECT count(*) FROM _webhook_registry_subscription_pattern p \
            WHERE p.subscription = s.seq AND p.enabled = s.enabled))";
    assert_eq!(number(unroutable), 0);
}

#[test]
fn two_processes_that_open_a_fresh_file_both_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let rounds = size(25, 200);
    let arguments = rounds.to_string();
    let mut peers: Vec<Peer> = (0..2)
        .map(|_| {
            Peer::spawn(&mut child::command(
                "multi_process::child_opens_files",
                folder.path(),
                &[&arguments],
            ))
        })
        .collect();
    for round in 0..rounds {
        peers.iter_mut().for_each(|peer| peer.say("open"));
        peers.iter_mut().for_each(|peer| peer.expect("opened"));
        let path = folder.path().join(format!("{round}.db"));
        assert_eq!(Registry::open(&path).unwrap().len().unwrap(), 2, "round {round}");
        assert_sound(&path);
    }
    for peer in peers {
        assert!(peer.finish().is_empty());
    }
}

#[test]
fn child_opens_files() {
    let Some((folder, arguments)) = child::role() else {
        return;
    };
    for round in 0..arguments[0].parse().unwrap() {
        child::await_word();
        let registry = Registry::open(folder.join(format!("{round}.db"))).unwrap();
        registry.register_event_type("agent.v1").unwrap();
        registry.create(new(&std::process::id().to_string())).unwrap();
        child::tell("opened");
    }
}

#[test]
fn another_process_sees_a_change_on_its_next_call() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let registry = Registry::open(&path).unwrap();
    registry.register_event_types(["agent.v1", "queue.v1"]).unwrap();
    let mut peer = Peer::spawn(&mut child::command("multi_process::child_watches", &path, &[]));
    peer.expect("ready");
    let mut ask = |what: &str, expected: String| {
        peer.say(what);
        assert_eq!(peer.hear(), Some(expected), "{what}");
    };
    for round in 0..size(50, 2_000) {
        let made = registry.create(new("one")).unwrap();
        let id = made.subscription().id();
        ask("agent.v1", format!("{id} 1"));
        let update = SubscriptionUpdate::new().events(["queue.*"]);
        registry.update(id, update).unwrap();
        ask("agent.v1", String::new());
        ask("queue.v1", format!("{id} 2"));
        registry.update(id, SubscriptionUpdate::new().enabled(false)).unwrap();
        ask("queue.v1", String::new());
        registry.update(id, SubscriptionUpdate::new().enabled(true)).unwrap();
        ask("queue.v1", format!("{id} 4"));
        let name = format!("queue.new{round}");
        registry.register_event_type(name.as_str()).unwrap();
        ask(&name, format!("{id} 4"));
        registry.remove_event_type(&name).unwrap();
        ask(&name, "NotFound".to_owned());
        registry.delete(id).unwrap();
        ask("queue.v1", String::new());
    }
    assert!(peer.finish().is_empty());
}

#[test]
fn child_watches() {
    let Some((path, _)) = child::role() else { return };
    let registry = Registry::open(path).unwrap();
    child::tell("ready");
    loop {
        let event_type = child::await_word();
        if event_type.is_empty() {
            return;
        }
        match registry.subscribers(&event_type) {
            Err(error) => child::tell(format!("{:?}", error.kind())),
            Ok(all) => {
                let one = |id: SubscriptionId| {
                    format!("{id} {}", registry.get(id).unwrap().unwrap().revision())
                };
                let all: Vec<String> = all.iter().map(|subscriber| one(subscriber.id())).collect();
                child::tell(all.join(","));
            }
        }
    }
}

const PROCESSES: usize = 4;
const THREADS: usize = 4;

#[test]
fn many_processes_share_one_file_and_each_name_is_created_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let registry = Registry::open(&path).unwrap();
    learn(&registry);
    let (creates, names) = size((640, 160), (10_000, 2_000));
    let began = std::time::Instant::now();
    let arguments = [&*(creates / PROCESSES / THREADS).to_string(), &*names.to_string()];
    let peers: Vec<Peer> = (0..PROCESSES)
        .map(|_| {
            Peer::spawn(&mut child::command("multi_process::child_creates", &path, &arguments))
        })
        .collect();
    let mut won: BTreeMap<String, String> = BTreeMap::new();
    let (mut conflicts, mut updates, mut deleted) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let mut rotated: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // The output of all is read concurrently: a child with a full pipe would block.
    let ears: Vec<_> = peers
        .into_iter()
        .map(|mut peer| {
            let registry = registry.clone();
            thread::spawn(move || {
                let mut heard = Vec::new();
                while let Some(line) = peer.hear() {
                    assert_visible(&registry, &line, heard.len() % 16 == 0);
                    heard.push(line);
                }
                peer.finish();
                heard
            })
        })
        .collect();
    for line in ears.into_iter().flat_map(|ear| ear.join().unwrap()) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match words[0].as_str() {
            "won" => {
                assert_eq!(won.insert(words[2].clone(), words[1].clone()), None, "{line} twice")
            }
            "lost" => conflicts.push((words[2].clone(), words[1].clone())),
            "updated" => {
                assert!(updates.insert((words[1].clone(), words[2].clone())), "{line} twice")
            }
            "rotated" => {
                let secrets = rotated.entry(words[1].clone()).or_default();
                assert!(secrets.insert(words[2].clone()), "{line} twice");
            }
            _ => assert!(deleted.insert(words[1].clone()), "{line} twice"),
        }
    }
    println!(
        "{creates} creates over {names} names: {} won, {} lost, {} updates, {} deletes, {} \
         rotations in {:?}",
        won.len(),
        conflicts.len(),
        updates.len(),
        deleted.len(),
        rotated.values().map(BTreeSet::len).sum::<usize>(),
        began.elapsed()
    );
    assert_eq!(won.len() + conflicts.len(), creates);
    assert!(
        !conflicts.is_empty() && !updates.is_empty() && !deleted.is_empty() && !rotated.is_empty()
    );
    for (holder, name) in &conflicts {
        assert_eq!(won.get(holder), Some(name), "{holder} never held {name}");
    }
    let lasting: Vec<&String> = won.values().filter(|name| !is_temporary(name)).collect();
    let once: BTreeSet<&String> = lasting.iter().copied().collect();
    assert_eq!(lasting.len(), once.len(), "a name was won twice");
    let mut left = BTreeSet::new();
    for found in registry.iter(ListQuery::new().limit(1_000)) {
        let found = found.unwrap();
        let id = found.id().to_string();
        assert_eq!(won.get(&id).map(String::as_str), Some(found.name()));
        let updates = updates.iter().filter(|(of, _)| *of == id).count();
        let none = BTreeSet::new();
        let returned = rotated.get(&id).unwrap_or(&none);
        assert_eq!(
            found.revision(),
            (1 + updates + returned.len()) as u64,
            "a change of {id} is lost"
        );
        let live = registry.secrets(found.id()).unwrap();
        let given =
            |issued: &webhook_registry::IssuedSecret| returned.contains(issued.secret().expose());
        let (current, old) = live.split_first().unwrap();
        assert_eq!(
            given(current),
            !returned.is_empty(),
            "the current secret of {id} is one that was returned"
        );
        assert!(
            old.iter().rev().skip(1).all(given),
            "only the oldest secret of {id} can be the first"
        );
        left.insert(id);
    }
    let expected: BTreeSet<String> = won.into_keys().filter(|id| !deleted.contains(id)).collect();
    assert_eq!(left, expected, "rows are lost or duplicated");
    drop(registry);
    assert_sound(&path);
}

/// Asserts that this process sees a change that another process has reported.
fn assert_visible(registry: &Registry, line: &str, dispatched: bool) {
    let words: Vec<&str> = line.split(' ').collect();
    let (id, name) = match words[..] {
        ["won" | "lost", name, id] => (id, Some(name)),
        [_, id, ..] => (id, None),
        _ => panic!("{line}"),
    };
    let id: SubscriptionId = id.parse().unwrap();
    let found = registry.get(id).unwrap();
    let gets =
        |event_type| registry.subscribers(event_type).unwrap().iter().any(|one| one.id() == id);
    match (words[0], found) {
        ("deleted", found) => {
            assert_eq!(found, None, "{line}");
            assert!(!dispatched || !gets("agent.presencechanged.v1"), "{line}");
        }
        (_, None) => assert!(name.is_none_or(is_temporary), "{line}: the subscription is missing"),
        (what, Some(found)) => {
            assert!(name.is_none_or(|name| name == found.name()), "{line}");
            assert!(what != "updated" || found.revision() >= words[2].parse().unwrap(), "{line}");
            assert!(
                !dispatched || is_temporary(found.name()) || gets("agent.presencechanged.v1"),
                "{line}"
            );
        }
    }
}

/// Returns true for the tenth of the names that are deleted again, and so can be created again.
fn is_temporary(name: &str) -> bool {
    name.ends_with('7')
}

/// Returns the id of the holder from the message of a conflict.
fn holder(message: &str) -> String {
    message.rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn child_creates() {
    let Some((path, arguments)) = child::role() else {
        return;
    };
    let creates: usize = arguments[0].parse().unwrap();
    let names: usize = arguments[1].parse().unwrap();
    let registry = Registry::open(path).unwrap();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let (registry, mut random) = (registry.clone(), Random::new());
            scope.spawn(move || {
                for _ in 0..creates {
                    let name = format!("name-{}", random.below(names));
                    let wanted = new(&name).metadata("process", std::process::id().to_string());
                    let id = match registry.create(wanted) {
                        Ok(made) => {
                            let id = made.subscription().id();
                            child::tell(format!("won {name} {id}"));
                            // Another process may have changed or deleted it by now.
                            let found = registry.get(id).unwrap();
                            assert!(
                                is_temporary(&name)
                                    || found.is_some_and(|found| found.name() == name)
                            );
                            id
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
                            let holder = holder(&error.to_string());
                            child::tell(format!("lost {name} {holder}"));
                            holder.parse().unwrap()
                        }
                    };
                    if is_temporary(&name) {
                        match registry.delete(id) {
                            Ok(()) => child::tell(format!("deleted {id}")),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
                        }
                    } else {
                        change_by_name(&registry, id, &mut random);
                    }
                }
            });
        }
    });
}

/// Changes the subscription with this name; the change must not be lost.
fn change_by_name(registry: &Registry, id: SubscriptionId, random: &mut Random) {
    match random.below(5) {
        0 => {
            let seen = registry.get(id).unwrap().expect("no process deletes it");
            let update = SubscriptionUpdate::new()
                .metadata("by", random.next().to_string())
                .if_revision(seen.revision());
            match registry.update(id, update) {
                Ok(after) => {
                    assert_eq!(after.revision(), seen.revision() + 1);
                    child::tell(format!("updated {id} {}", after.revision()));
                }
                Err(error) => assert_eq!(error.problems()[0].field(), "ifRevision", "{error}"),
            }
        }
        1 => {
            let after = registry
                .update(id, SubscriptionUpdate::new().metadata("by", random.next().to_string()));
            child::tell(format!("updated {id} {}", after.unwrap().revision()));
        }
        2 => {
            let overlap = Duration::from_secs(if random.chance(70) { 0 } else { 3_600 });
            match registry.rotate_secret(id, Rotation::new().overlap(overlap)) {
                Ok(secret) => {
                    child::tell(format!("rotated {id} {}", secret.expose()));
                    // Another process may have rotated it by now, which increments the revision.
                    let newest = registry.secret(id).unwrap();
                    assert!(newest == secret || registry.get(id).unwrap().unwrap().revision() > 2);
                }
                Err(error) => assert_eq!(error.problems()[0].field(), "secret", "{error}"),
            }
        }
        _ => {}
    }
}
