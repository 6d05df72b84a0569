//! Tests that concurrent rotations lose no returned secret, and that a replaced secret leaves the
//! file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use webhook_registry::{
    Durability, ErrorKind, ListQuery, Prune, Registry, Rotation, SubscriptionId, SubscriptionUpdate,
};

use crate::support::child::{self, Peer};
use crate::support::{Clock, files_with, learn, new, refused, size};

/// Two callers that rotate this often leave one current and ten replaced secrets, the maximum.
const EACH: usize = 5;

/// Asserts that every returned secret is live exactly once, and beside them only the first.
#[track_caller]
fn assert_none_lost(registry: &Registry, id: SubscriptionId, returned: &BTreeSet<String>) {
    let issued = registry.secrets(id).unwrap();
    let live: BTreeSet<String> =
        issued.iter().map(|issued| issued.secret().expose().to_owned()).collect();
    assert_eq!((returned.len(), live.len(), issued.len()), (2 * EACH, 2 * EACH + 1, 2 * EACH + 1));
    assert!(live.is_superset(returned), "a returned secret is lost");
    assert!(
        !returned.contains(issued.last().unwrap().secret().expose()),
        "the oldest is the first"
    );
    let current: Vec<bool> = issued.iter().map(|issued| issued.expires_at().is_none()).collect();
    assert_eq!(current.iter().filter(|current| **current).count(), 1);
    assert!(current[0] && issued.is_sorted_by_key(|issued| std::cmp::Reverse(issued.created_at())));
    assert_eq!(registry.get(id).unwrap().unwrap().revision(), 1 + 2 * EACH as u64);
    refused(registry.rotate_secret(id, Rotation::new()), ErrorKind::Conflict, &["secret"]);
}

#[test]
fn concurrent_rotations_by_threads_lose_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let shared = Registry::options().durability(Durability::Relaxed).open(&path).unwrap();
    learn(&shared);
    for round in 0..size(10, 100) {
        let id = shared.create(new(&format!("s{round}"))).unwrap().subscription().id();
        // Through one shared handle, and through separate handles.
        let second = if round % 2 == 0 { shared.clone() } else { Registry::open(&path).unwrap() };
        let start = Barrier::new(2);
        let rotate = |registry: &Registry| {
            start.wait();
            let made = (0..EACH).map(|_| registry.rotate_secret(id, Rotation::new()).unwrap());
            made.map(|secret| secret.expose().to_owned()).collect::<Vec<_>>()
        };
        let returned = thread::scope(|scope| {
            let other = scope.spawn(|| rotate(&second));
            [rotate(&shared), other.join().unwrap()].concat()
        });
        assert_none_lost(&shared, id, &returned.into_iter().collect());
    }
}

#[test]
fn one_of_two_threads_that_rotate_to_the_same_secret_is_rejected() {
    let registry = Registry::in_memory().unwrap();
    learn(&registry);
    let id = registry.create(new("crm")).unwrap().subscription().id();
    for round in 0..50_u64 {
        // The counter is in front, because the last of 86 characters has unused bits.
        let secret = format!("{round:02}{}", "0".repeat(84));
        let start = Barrier::new(2);
        let rotate = || {
            start.wait();
            registry.rotate_secret(id, Rotation::new().secret(&*secret).overlap(Duration::ZERO))
        };
        let results = thread::scope(|scope| {
            let other = scope.spawn(rotate);
            [rotate(), other.join().unwrap()]
        });
        let lost: Vec<ErrorKind> =
            results.iter().filter_map(|result| Some(result.as_ref().err()?.kind())).collect();
        assert_eq!(lost, [ErrorKind::Invalid]);
        assert_eq!(registry.secret(id).unwrap().expose(), secret);
        assert_eq!(registry.get(id).unwrap().unwrap().revision(), 2 + round);
    }
}

#[test]
fn child_rotates() {
    let Some((path, _)) = child::role() else { return };
    let registry = Registry::options().durability(Durability::Relaxed).open(path).unwrap();
    let ids: Vec<SubscriptionId> =
        registry.iter(ListQuery::new()).map(|found| found.unwrap().id()).collect();
    child::tell("ready");
    child::await_word();
    for id in ids {
        for _ in 0..EACH {
            let secret = registry.rotate_secret(id, Rotation::new()).unwrap();
            let issued = registry.secrets(id).unwrap();
            assert!(
                issued.iter().any(|issued| *issued.secret() == secret),
                "the new secret is not live at once"
            );
            child::tell(format!("{id} {}", secret.expose()));
        }
    }
}

#[test]
fn concurrent_rotations_by_processes_lose_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let registry = Registry::open(&path).unwrap();
    learn(&registry);
    let subscriptions = size(20, 200);
    registry.create_all((0..subscriptions).map(|number| new(&format!("s{number}")))).unwrap();
    let mut peers: Vec<Peer> = (0..2)
        .map(|_| Peer::spawn(&mut child::command("concurrent_rotation::child_rotates", &path, &[])))
        .collect();
    peers.iter_mut().for_each(|peer| peer.expect("ready"));
    peers.iter_mut().for_each(|peer| peer.say("go"));
    let mut returned: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let ears: Vec<_> = peers.into_iter().map(|peer| thread::spawn(|| peer.finish())).collect();
    let told: Vec<Vec<String>> = ears.into_iter().map(|ear| ear.join().unwrap()).collect();
    for line in told.iter().flatten() {
        let (id, secret) = line.split_once(' ').unwrap();
        assert!(
            returned.entry(id.to_owned()).or_default().insert(secret.to_owned()),
            "{line} twice"
        );
    }
    assert_eq!(returned.len(), subscriptions);
    for (id, returned) in &returned {
        assert_none_lost(&registry, id.parse().unwrap(), returned);
    }
}

/// Makes a checkpoint, as SQLite does on its own sooner or later.
fn checkpoint(path: &Path) {
    let conn = rusqlite::Connection::open(path).unwrap();
    let busy: i64 =
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
    assert_eq!(busy, 0);
}

#[test]
fn a_dropped_secret_is_absent_from_the_raw_bytes_after_a_checkpoint() {
    type Act = fn(&Registry, SubscriptionId, &Clock);
    let table: [(&str, Act); 6] = [
        ("expired, and another rotation", |registry, id, clock| {
            clock.set(2_000);
            registry.rotate_secret(id, Rotation::new().secret("c".repeat(86))).unwrap();
        }),
        ("expired, and a rotation without overlap", |registry, id, clock| {
            clock.set(2_000);
            registry.rotate_secret(id, Rotation::new().overlap(Duration::ZERO)).unwrap();
        }),
        ("revoked", |registry, id, _| registry.revoke_old_secrets(id).unwrap()),
        ("expired, and revoked", |registry, id, clock| {
            clock.set(2_000);
            registry.revoke_old_secrets(id).unwrap();
        }),
        ("updated", |registry, id, _| {
            registry
                .update(id, SubscriptionUpdate::new().secret("c".repeat(86)))
                .map(drop)
                .unwrap();
        }),
        ("deleted", |registry, id, _| registry.delete(id).unwrap()),
    ];
    for (how, act) in table {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.db");
        let clock = Clock::at(1_000);
        let registry = clock.options().open(&path).unwrap();
        learn(&registry);
        let (first, second) = ("Sought/First+".repeat(7), "Sought/Second".repeat(7));
        let created = registry.create(new("crm").secret(&*first)).unwrap();
        registry.create(new("other")).unwrap();
        let id = created.subscription().id();
        registry
            .rotate_secret(
                id,
                Rotation::new().secret(&*second).overlap(Duration::from_millis(1_000)),
            )
            .unwrap();
        checkpoint(&path);
        let found = || files_with(folder.path(), b"Sought/First");
        assert_eq!(found(), ["registry.db"], "the search does not find a present secret");
        act(&registry, id, &clock);
        assert!(found().contains(&"registry.db".to_owned()), "{how}: only the -wal has the change");
        checkpoint(&path);
        assert_eq!(found(), [""; 0], "{how}");
        // The newest secret is present if the call was to keep it.
        let stays = registry
            .secrets(id)
            .is_ok_and(|issued| issued.iter().any(|issued| issued.secret().expose() == second));
        assert_eq!(files_with(folder.path(), b"Sought/Second").len(), usize::from(stays), "{how}");
    }
}

#[test]
fn a_change_to_secrets_alone_writes_no_other_column_but_revision_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let registry = Registry::open(&path).unwrap();
    learn(&registry);
    let id = registry.create(new("crm")).unwrap().subscription().id();
    let trigger = "CREATE TRIGGER guard BEFORE UPDATE OF \
                   id, name, url, enabled, description, metadata, created_at ON \
                   _webhook_registry_subscription \
                   BEGIN SELECT RAISE(ABORT, 'rewritten'); END";
    rusqlite::Connection::open(&path).unwrap().execute_batch(trigger).unwrap();
    let disable = SubscriptionUpdate::new().enabled(false);
    assert!(registry.update(id, disable).is_err(), "the trigger proves nothing");

    registry.rotate_secret(id, Rotation::new()).unwrap();
    registry.revoke_old_secrets(id).unwrap();
    let replaced = |text: &str| SubscriptionUpdate::new().secret(text.repeat(43));
    registry.update(id, replaced("A")).unwrap();
    registry.ensure(new("crm").secret("B".repeat(43))).unwrap();
    let plan = registry.plan([new("crm").secret("C".repeat(43))], Prune::Keep).unwrap();
    registry.apply(plan).unwrap();
    assert_eq!(registry.secret(id).unwrap().expose(), "C".repeat(43));
    assert_eq!(registry.get(id).unwrap().unwrap().revision(), 6);
}
