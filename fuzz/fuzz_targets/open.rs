//! Tests that no file makes the crate panic, hang or return an answer that differs from the file.
//!
//! The input is `0` and the file itself, or `1` and changes of six bytes each to a valid file (`2`:
//! also to its `-wal`).
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use webhook_registry::{
    ErrorKind, ListQuery, NewSubscription, Registry, Result, Rotation, Subscription,
    SubscriptionId, SubscriptionUpdate,
};

#[allow(dead_code, reason = "the tests use the rest of it")]
#[path = "../../tests/it/support/oracle.rs"]
mod oracle;

const TYPES: [&str; 3] = ["agent.presencechanged.v1", "channel.held.v1", "a"];

fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// A valid file, and a `-wal` with changes that are not in the file yet.
static GOOD: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let folder = scratch();
    let path = folder.path().join("registry.db");
    let registry = Registry::open(&path).unwrap();
    registry.register_event_types(TYPES).unwrap();
    let mut ids = Vec::new();
    for (name, events) in
        [("one", ["agent.*", "a"]), ("two", ["*", "*.v1"]), ("three", ["channel.[a-z]*", "a"])]
    {
        let new = NewSubscription::new(name, "https://example.com/", events).metadata("k", name);
        ids.push(registry.create(new.secret("QUFB".repeat(12))).unwrap().subscription().id());
    }
    drop(registry);
    let file = fs::read(&path).unwrap();
    let registry = Registry::open(&path).unwrap();
    registry.rotate_secret(ids[0], Rotation::new().secret("QkJC".repeat(12))).unwrap();
    registry.disable(ids[1], "410 Gone").unwrap();
    // Reading the file releases the locks of SQLite, but no later code opens it.
    let wal = fs::read(path.with_extension("db-wal")).unwrap();
    (file, wal)
});

/// Applies a change of six bytes: two for the operation, three for the position, and a value.
fn change(bytes: &mut Vec<u8>, [what, how, a, b, c, byte]: [u8; 6]) {
    if bytes.is_empty() {
        return;
    }
    let at = u32::from_be_bytes([0, a, b, c]) as usize % bytes.len();
    let end = (at + usize::from(how)).min(bytes.len());
    match what % 6 {
        0 => bytes[at] = byte,
        1 => bytes[at] ^= 1 << (byte % 8),
        2 => bytes[at..end].fill(byte),
        3 => bytes.truncate(at),
        4 => {
            let from = usize::from(byte) * 4096 % bytes.len();
            let until = (from + (end - at)).min(bytes.len());
            let piece = bytes[from..until].to_vec();
            bytes[at..at + piece.len()].copy_from_slice(&piece);
        }
        _ => drop(bytes.splice(at..at, std::iter::repeat_n(byte, usize::from(how)))),
    }
}

/// Calls every read call, and asserts that each error reports the file as its cause.
fn read(registry: &Registry) {
    fn checked<T>(result: Result<T>) -> Option<T> {
        result
            .map_err(|error| {
                let kinds = [ErrorKind::Corrupt, ErrorKind::NotFound, ErrorKind::Gone];
                assert!(kinds.contains(&error.kind()), "{error:?}");
            })
            .ok()
    }
    checked(registry.len());
    checked(registry.count(ListQuery::new().metadata("k", "one")));
    checked(registry.get_by_name("one"));
    checked(registry.list(ListQuery::new().event_type("a").name_contains("o")));
    checked(registry.expand("*.v1"));
    checked(registry.changes(0, 1_000));
    checked(registry.last_change());
    checked(registry.export());
    let types = checked(registry.event_types());
    let all = checked(
        registry.iter(ListQuery::new().limit(2)).take(100).collect::<Result<Vec<Subscription>>>(),
    );
    for one in all.iter().flatten() {
        checked(registry.get(one.id()));
        checked(registry.secrets(one.id()));
    }
    let sound = checked(registry.check()).is_some_and(|report| report.is_sound());
    let types = types.iter().flatten().take(20).map(|one| one.name().to_owned());
    for name in types.chain(TYPES.map(str::to_owned)) {
        checked(registry.explain(&name));
        let found = checked(registry.subscribers(&name));
        if let (true, Some(found), Some(all)) = (sound, found, &all) {
            let matching = all.iter().filter(|one| one.enabled());
            let matching = matching
                .filter(|one| one.events().iter().any(|it| oracle::matches(it.as_str(), &name)));
            let expected: Vec<SubscriptionId> = matching.map(Subscription::id).collect();
            assert_eq!(found.iter().map(|one| one.id()).collect::<Vec<_>>(), expected, "{name}");
        }
    }
}

fn write(registry: &Registry) {
    let outcome = |kind: ErrorKind| {
        let kinds =
            [ErrorKind::Corrupt, ErrorKind::NotFound, ErrorKind::Conflict, ErrorKind::Invalid];
        assert!(kinds.contains(&kind), "{kind:?}");
    };
    let made = registry.create(NewSubscription::new("another", "https://example.com/", ["*", "a"]));
    made.as_ref().map_or_else(|error| outcome(error.kind()), |_| ());
    let id = made.map(|made| made.subscription().id()).ok();
    let id = id.or_else(|| registry.iter(ListQuery::new()).next()?.ok().map(|one| one.id()));
    let Some(id) = id else { return };
    let update = SubscriptionUpdate::new().events(["*.v1"]).metadata("k", "9");
    let results = [
        registry.update(id, update).map(drop),
        registry.disable(id, "410 Gone").map(drop),
        registry.rotate_secret(id, Rotation::new()).map(drop),
        registry.register_event_type("channel.new.v1"),
        registry.remove_event_type("channel.new.v1"),
        registry.delete(id),
    ];
    results.into_iter().filter_map(Result::err).for_each(|error| outcome(error.kind()));
}

fn open(path: &Path, read_only: bool) -> Option<Registry> {
    let options = Registry::options().read_only(read_only).busy_timeout(Duration::from_millis(100));
    match options.open(path) {
        Ok(registry) => Some(registry),
        Err(error) => {
            let kinds = [ErrorKind::Corrupt, ErrorKind::Incompatible, ErrorKind::NotFound];
            assert!(kinds.contains(&error.kind()), "{error:?}");
            assert!(read_only || error.kind() != ErrorKind::NotFound, "{error:?}");
            None
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((how, rest)) = bytes.split_first() else { return };
    let (mut file, mut wal) = (rest.to_vec(), Vec::new());
    if how % 3 > 0 {
        (file, wal) = GOOD.clone();
        if how % 3 == 1 {
            wal.clear();
        }
        for (index, piece) in rest.chunks_exact(6).take(64).enumerate() {
            let bytes = if how % 3 == 2 && index % 2 == 1 { &mut wal } else { &mut file };
            change(bytes, piece.try_into().unwrap());
        }
    }
    let folder = scratch();
    let path = folder.path().join("registry.db");
    fs::write(&path, &file).unwrap();
    if !wal.is_empty() {
        fs::write(path.with_extension("db-wal"), &wal).unwrap();
    }
    if let Some(reader) = open(&path, true) {
        read(&reader);
    }
    if let Some(registry) = open(&path, false) {
        read(&registry);
        write(&registry);
        read(&registry);
    }
});
