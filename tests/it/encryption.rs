//! Tests encrypted secrets: no file contains one in plain text, a ciphertext decrypts only in its
//! own place, and a file that is opened with the wrong key stays unchanged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use webhook_registry::{
    Error, ErrorKind, Registry, RegistryOptions, Rotation, SigningSecret, SubscriptionId,
    SubscriptionUpdate,
};

use crate::support::{Clock, files_with, learn, new, refused};

pub(crate) const KEY: [u8; 32] = [7; 32];
const OTHER: [u8; 32] = *b"another key of thirty-two bytes!";
pub(crate) const EVENT: &str = "agent.presencechanged.v1";
const START: u64 = 1_800_000_000_000;

/// Base64 of `SealedInTheFileAndReadableNowhere` and one more character.
pub(crate) const SECRET: &str = "U2VhbGVkSW5UaGVGaWxlQW5kUmVhZGFibGVOb3doZXJl";
const DECODED: &[u8] = b"SealedInTheFileAndReadableNowhere";

pub(crate) fn options_with(key: [u8; 32]) -> RegistryOptions {
    Registry::options().encryption_key(key)
}

fn secret_of(number: usize) -> String {
    format!("{SECRET}{number:04}")
}

/// A file encrypted with `KEY`, with two subscriptions that each have a current and two replaced
/// secrets.
pub(crate) struct EncryptedFile {
    folder: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) ids: [SubscriptionId; 2],
}

impl EncryptedFile {
    pub(crate) fn new() -> EncryptedFile {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.db");
        let clock = Clock::at(START);
        let registry = clock.options().encryption_key(KEY).open(&path).unwrap();
        learn(&registry);
        let ids = [0, 10].map(|first| {
            let id = registry
                .create(new(&format!("s{first}")).secret(secret_of(first)))
                .unwrap()
                .subscription()
                .id();
            for number in [1, 2] {
                clock.set(START + number);
                let rotation = Rotation::new()
                    .secret(secret_of(first + number as usize))
                    .overlap(Duration::from_secs(60));
                registry.rotate_secret(id, rotation).unwrap();
            }
            clock.set(START);
            id
        });
        drop(registry);
        EncryptedFile { folder, path, ids }
    }

    pub(crate) fn open(&self) -> Registry {
        Clock::at(START + 10).options().encryption_key(KEY).open(&self.path).unwrap()
    }

    /// Executes SQL on the file as another program does.
    #[track_caller]
    pub(crate) fn tamper(&self, sql: &str) {
        let conn = Connection::open(&self.path).unwrap();
        conn.execute_batch(sql).unwrap();
        assert!(conn.changes() > 0, "{sql} changed nothing");
    }

    /// Asserts that every call that reads a secret of the first subscription returns `Corrupt`, and
    /// that the second is intact.
    #[track_caller]
    pub(crate) fn assert_first_is_corrupt(&self, how: &str) {
        let registry = self.open();
        let [first, second] = self.ids;
        #[track_caller]
        fn corrupt<T: std::fmt::Debug>(result: Result<T, Error>, how: &str) {
            let error = result.expect_err(how);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{how}: {error}");
            assert!(!format!("{error} {error:?}").contains("U2Vh"), "{error:?}");
        }
        corrupt(registry.secret(first), how);
        corrupt(registry.secrets(first), how);
        corrupt(registry.subscribers(EVENT), how);
        corrupt(registry.rotate_secret(first, Rotation::new()), how);
        corrupt(registry.revoke_old_secrets(first), how);
        corrupt(registry.rekey(Some(OTHER)), how);
        corrupt(registry.rekey(None), how);
        assert_eq!(registry.secrets(second).unwrap().len(), 3, "{how}");
        assert_eq!(registry.get(first).unwrap().unwrap().revision(), 3, "{how}");
        drop(registry);
        // The key is unchanged.
        self.open();
    }
}

#[test]
fn no_file_contains_a_plain_secret_at_any_time() {
    assert_eq!(SigningSecret::parse(SECRET).unwrap().key(), DECODED);
    for exclusive in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.db");
        let readable = || {
            [files_with(folder.path(), b"U2VhbGVk"), files_with(folder.path(), b"SealedIn")]
                .concat()
        };
        let registry = options_with(KEY).exclusive(exclusive).open(&path).unwrap();
        learn(&registry);
        let created = registry.create(new("SealedOut").secret(SECRET)).unwrap();
        assert_eq!(
            files_with(folder.path(), b"SealedOut"),
            ["registry.db-wal"],
            "the search does not find a present secret"
        );
        assert_eq!(readable(), [""; 0]);
        let id = created.subscription().id();
        let generated = registry.rotate_secret(id, Rotation::new()).unwrap();
        registry.update(id, SubscriptionUpdate::new().secret(secret_of(1))).unwrap();
        registry.rotate_secret(id, Rotation::new().secret(secret_of(2))).unwrap();
        registry
            .create_all((0..50).map(|number| new(&number.to_string()).secret(secret_of(number))))
            .unwrap();
        assert_eq!(readable(), [""; 0]);
        let dispatched = registry.subscribers(EVENT).unwrap();
        let live: Vec<&str> = dispatched[0].secrets().map(|secret| secret.expose()).collect();
        assert_eq!(live, [secret_of(2), secret_of(1)]);
        // The search finds the secret in an unencrypted file.
        fs::write(folder.path().join("leak"), secret_of(3)).unwrap();
        assert_eq!(readable(), ["leak"]);
        fs::remove_file(folder.path().join("leak")).unwrap();
        drop(registry);
        assert_eq!(readable(), [""; 0]);
        for sought in [generated.expose().as_bytes(), generated.key(), &KEY] {
            assert_eq!(files_with(folder.path(), sought), [""; 0]);
        }
        let registry = options_with(KEY).open(&path).unwrap();
        assert_eq!(registry.secret(id).unwrap().expose(), secret_of(2));
        assert_eq!(registry.subscribers(EVENT).unwrap().len(), 51);
    }
}

#[test]
fn encrypting_one_secret_twice_gives_different_ciphertexts() {
    let encrypted = EncryptedFile::new();
    let registry = encrypted.open();
    registry
        .create_all((0..20).map(|number| new(&format!("same {number}")).secret(SECRET)))
        .unwrap();
    let values = || -> Vec<Vec<u8>> {
        let conn = Connection::open(&encrypted.path).unwrap();
        let mut statement = conn
            .prepare(
                "SELECT secret FROM _webhook_registry_subscription UNION ALL SELECT secret FROM \
                   _webhook_registry_replaced_secret",
            )
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let mut all = values();
    registry.rekey(Some(KEY)).unwrap();
    all.extend(values());
    let nonces: std::collections::HashSet<&[u8]> =
        all.iter().map(|encrypted| &encrypted[..24]).collect();
    let whole: std::collections::HashSet<&Vec<u8>> = all.iter().collect();
    assert_eq!((all.len(), nonces.len(), whole.len()), (52, 52, 52));
    // A nonce of 24 bytes, the text, and a tag of 16 bytes.
    assert!(all.iter().any(|encrypted| encrypted.len() == 24 + SECRET.len() + 16));
}

/// Returns the bytes of the file and its `-wal`.
fn bytes(path: &Path) -> [Vec<u8>; 2] {
    ["", "-wal"].map(|end| fs::read(format!("{}{end}", path.display())).unwrap_or_default())
}

/// Returns a copy of the files that a killed process leaves: the file, and a `-wal` with the last
/// changes.
pub(crate) fn copy_with_wal(key: Option<[u8; 32]>) -> (TempDir, PathBuf) {
    let from = tempfile::tempdir().unwrap();
    let (source, folder) = (from.path().join("registry.db"), tempfile::tempdir().unwrap());
    let options = key.map_or_else(Registry::options, options_with);
    let registry = options.open(&source).unwrap();
    learn(&registry);
    registry.create(new("one").secret(SECRET)).unwrap();
    let path = folder.path().join("registry.db");
    for end in ["", "-wal"] {
        fs::copy(format!("{}{end}", source.display()), format!("{}{end}", path.display())).unwrap();
    }
    assert!(bytes(&path).iter().all(|bytes| !bytes.is_empty()));
    (folder, path)
}

#[test]
fn a_file_is_rejected_and_unchanged_if_the_key_is_wrong() {
    let table = [
        (Some(KEY), Some(OTHER), "the file is encrypted with another key"),
        (Some(KEY), None, "the file is encrypted, and no key was given"),
        (
            None,
            Some(KEY),
            "a key was given, but the file is not encrypted; open it without one, then `rekey` it",
        ),
    ];
    for (kept, given, message) in table {
        let (_folder, path) = copy_with_wal(kept);
        let before = bytes(&path);
        let given = given.map_or_else(Registry::options, options_with);
        let ways = [
            given.clone(),
            given.clone().read_only(true),
            given.clone().create(false),
            given.clone().exclusive(true),
            given.clone().busy_timeout(Duration::ZERO),
        ];
        for options in &ways {
            let error = refused(options.open(&path), ErrorKind::Incompatible, &[]);
            assert_eq!(error.to_string(), message);
            assert_eq!(bytes(&path), before, "{message}");
        }
        // The same holds while another handle has the file open and its -wal grows.
        let fitting = kept.map_or_else(Registry::options, options_with);
        let registry = fitting.open(&path).unwrap();
        for options in &ways[..3] {
            registry
                .update(
                    registry.get_by_name("one").unwrap().unwrap().id(),
                    SubscriptionUpdate::new().description(format!("{options:p}")),
                )
                .unwrap();
            let before = bytes(&path);
            let error = refused(options.open(&path), ErrorKind::Incompatible, &[]);
            assert_eq!(error.to_string(), message);
            assert_eq!(bytes(&path), before);
        }
        let subscribers = registry.subscribers(EVENT).unwrap();
        assert_eq!(subscribers[0].secrets().next().unwrap().expose(), SECRET);
    }
}

#[test]
fn the_first_opener_of_a_new_file_determines_its_encryption() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.db");
    fs::write(&empty, "").unwrap();
    for path in [folder.path().join("new.db"), empty] {
        let first = options_with(KEY).open(&path).unwrap();
        for options in [Registry::options(), options_with(OTHER)] {
            refused(options.open(&path), ErrorKind::Incompatible, &[]);
        }
        options_with(KEY).open(&path).unwrap();
        options_with(KEY).read_only(true).open(&path).unwrap();
        drop(first);
        refused(Registry::open(&path), ErrorKind::Incompatible, &[]);
    }
    // Opening a file that is not a registry with a key does not change it.
    let text = folder.path().join("notes.txt");
    fs::write(&text, "not a registry at all").unwrap();
    refused(options_with(KEY).open(&text), ErrorKind::Incompatible, &[]);
    assert_eq!(fs::read(&text).unwrap(), b"not a registry at all");
    refused(
        options_with(KEY).create(false).open(folder.path().join("none.db")),
        ErrorKind::NotFound,
        &["path"],
    );
}

#[test]
fn one_of_two_concurrent_openers_with_different_keys_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..40 {
        let path = folder.path().join(format!("{round}.db"));
        let start = std::sync::Barrier::new(2);
        let open = |key: Option<[u8; 32]>| {
            start.wait();
            key.map_or_else(Registry::options, options_with).open(&path)
        };
        let second = if round % 2 == 0 { None } else { Some(OTHER) };
        let results = std::thread::scope(|scope| {
            let other = scope.spawn(|| open(second));
            [open(Some(KEY)), other.join().unwrap()]
        });
        let won: Vec<bool> = results.iter().map(Result::is_ok).collect();
        assert!(won[0] != won[1], "round {round}: {won:?}");
        for error in results.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
        }
    }
}

#[test]
fn names_and_urls_stay_in_plain_text_and_debug_redacts_the_key() {
    let encrypted = EncryptedFile::new();
    assert_eq!(files_with(encrypted.folder.path(), b"https://example.com/hook"), ["registry.db"]);
    let conn = Connection::open(&encrypted.path).unwrap();
    let name: String = conn
        .query_row("SELECT name FROM webhook_registry_subscriptions", [], |row| row.get(0))
        .unwrap();
    assert_eq!(name, "s0");
    let options = options_with(*b"TheKeyThatMustNotBeShownAnywhere");
    for shown in
        [format!("{options:?}"), format!("{options:#?}"), format!("{:?}", encrypted.open())]
    {
        let shown = shown.to_lowercase();
        assert!(
            !shown.contains("thekey") && !shown.contains("84, 104") && !shown.contains("546865"),
            "{shown}"
        );
    }
    assert!(format!("{options:?}").contains("EncryptionKey(redacted)"));
}
