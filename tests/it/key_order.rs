//! Tests damaged files whose keys do not increase: a walk page by page must end and report
//! `Corrupt`. The tests change bytes of the file directly, so that no index follows.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use webhook_registry::{
    Durability, ErrorKind, ListQuery, NewSubscription, Prune, Registry, SubscriptionId,
};

use crate::support::refused;
use crate::undecodable_rows::Call::{
    ByName, Changes, Create, Explain, Export, Get, Iter, List, ListByEvent, Register, Subscribers,
    Update,
};
use crate::undecodable_rows::{Damaged, assert_corrupt};

const EVENT: &str = "agent.v1";
const COUNT: usize = 6;

/// The file of a closed registry with a few subscriptions.
struct File {
    _folder: TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
    ids: Vec<SubscriptionId>,
}

impl File {
    fn new() -> File {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.db");
        let registry = open(&path);
        registry.register_event_types([EVENT, "queue.v1"]).unwrap();
        let new = |n: usize| {
            let events = [&["agent.*", "*"][..], &["*.v1"], &["agent.v1", "*"]][n % 3];
            NewSubscription::new(name(n), "https://example.com/", events.iter().copied())
                .metadata("k", "1")
        };
        let created = registry.create_all((0..COUNT).map(new)).unwrap();
        let ids: Vec<_> = created.iter().map(|created| created.subscription().id()).collect();
        drop(registry);
        let bytes = std::fs::read(&path).unwrap();
        File { _folder: folder, path, bytes, ids }
    }

    /// Returns the position of this text, which must occur once in the file.
    fn find(&self, text: &str) -> usize {
        let places: Vec<_> = self.bytes.windows(text.len()).enumerate().collect();
        let mut places = places.iter().filter(|(_, bytes)| *bytes == text.as_bytes());
        let (place, _) = places.next().unwrap_or_else(|| panic!("{text} is not in the file"));
        assert!(places.next().is_none(), "{text} is in the file more than once");
        *place
    }

    /// Writes another id into the row of a subscription, but into no index.
    fn set_id(&mut self, n: usize, id: &str) {
        let at = self.find(&format!("{}{}", self.ids[n], name(n)));
        self.bytes[at..at + id.len()].copy_from_slice(id.as_bytes());
    }

    /// Swaps the last two rows of the page with this text, so that their keys no longer increase.
    fn swap_last_rows(&mut self, text: &str) {
        let page_size = usize::from(u16::from_be_bytes([self.bytes[16], self.bytes[17]]));
        let page = self.find(text) / page_size * page_size;
        let (kind, cells) = (self.bytes[page], usize::from(self.bytes[page + 4]));
        assert_eq!(
            (kind, self.bytes[page + 3]),
            (0x0D, 0),
            "not a leaf page of a table with few rows"
        );
        assert!(cells >= 2);
        let last = page + 8 + 2 * (cells - 1);
        self.bytes.swap(last, last - 2);
        self.bytes.swap(last + 1, last - 1);
    }

    fn open(&self) -> Registry {
        std::fs::write(&self.path, &self.bytes).unwrap();
        open(&self.path)
    }
}

fn open(path: &Path) -> Registry {
    Registry::options().durability(Durability::Relaxed).open(path).unwrap()
}

fn name(n: usize) -> String {
    format!("the name of number {n}")
}

/// Returns every kind of query that matches all subscriptions.
fn queries() -> [ListQuery; 5] {
    let query = ListQuery::new;
    [
        query(),
        query().event_type(EVENT),
        query().name_contains("name of"),
        query().metadata("k", "1"),
        query().enabled(true).event_type(EVENT).name_contains("number").metadata("k", "1"),
    ]
}

/// Asserts that iterating ends, and returns true if it ends with `Corrupt`.
#[track_caller]
fn walk(registry: &Registry, query: ListQuery, what: &str) -> bool {
    let walked: Vec<_> = registry.iter(query.clone()).take(10 * COUNT).collect();
    assert!(walked.len() <= COUNT + 1, "{what}: a walk of {} and more, {query:?}", walked.len());
    let mut seen = HashSet::new();
    let mut damaged = false;
    for one in walked {
        assert!(!damaged, "{what}: a walk goes on after an error, {query:?}");
        match one {
            Ok(one) => {
                assert!(seen.insert(one.id()), "{what}: {} comes twice, {query:?}", one.id())
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
                damaged = true;
            }
        }
    }
    assert!(damaged || seen.len() == COUNT, "{what}: {} and no error, {query:?}", seen.len());
    damaged
}

#[test]
fn a_walk_ends_with_corrupt_if_an_id_differs_between_row_and_index() {
    let sound = File::new();
    for n in 0..COUNT {
        let others = sound.ids.iter().enumerate().filter(|(other, _)| *other != n);
        let others = others.map(|(_, id)| id.to_string());
        let far = ["00000000000000000000000000", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"].map(str::to_owned);
        for id in others.chain(far) {
            let mut file = File::new();
            let rises = {
                let mut ids: Vec<_> = file.ids.iter().map(ToString::to_string).collect();
                ids[n].clone_from(&id);
                ids.is_sorted_by(|before, after| before < after)
            };
            file.set_id(n, &id);
            let registry = file.open();
            let what = format!("number {n} has the id {id}");
            for query in queries() {
                for limit in 1..=COUNT + 1 {
                    let damaged = walk(&registry, query.clone().limit(limit), &what);
                    // If the ids still increase, only a walk that continues from that row detects
                    // it.
                    assert!(
                        damaged || rises && limit > 1 || rises && n == COUNT - 1,
                        "{what}: limit {limit}"
                    );
                }
            }
        }
    }
}

#[test]
fn an_index_entry_that_leads_to_another_row_is_corrupt() {
    let mut file = File::new();
    let other = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ";
    file.set_id(2, other);
    let at = file.find(&format!("{}{}", file.ids[4], name(4))) + file.ids[4].to_string().len();
    file.bytes[at] = b'T';
    let registry = file.open();
    refused(registry.get(file.ids[2]), ErrorKind::Corrupt, &[]);
    refused(registry.list(ListQuery::new().after(file.ids[2])), ErrorKind::Corrupt, &[]);
    refused(
        registry.rotate_secret(file.ids[2], webhook_registry::Rotation::new()),
        ErrorKind::Corrupt,
        &[],
    );
    // The owner of the row is ambiguous, so neither is deleted.
    refused(registry.delete(file.ids[2]), ErrorKind::Corrupt, &[]);
    assert_eq!(registry.get(other.parse().unwrap()).unwrap(), None);
    refused(registry.get_by_name(&name(4)), ErrorKind::Corrupt, &[]);
    assert_eq!(registry.len().unwrap(), COUNT as u64);
    assert!(registry.get(file.ids[1]).unwrap().is_some());
}

#[test]
fn rows_out_of_key_order_are_corrupt() {
    let mut file = File::new();
    file.swap_last_rows(&format!("{}{}", file.ids[COUNT - 1], name(COUNT - 1)));
    let registry = file.open();
    for query in queries() {
        for limit in 1..=COUNT + 1 {
            assert!(
                walk(&registry, query.clone().limit(limit), "swapped rows"),
                "limit {limit}, {query:?}"
            );
        }
    }
    refused(registry.export(), ErrorKind::Corrupt, &[]);
    refused(registry.plan([], Prune::Delete), ErrorKind::Corrupt, &[]);
    assert!(!registry.check().unwrap().is_sound());
}

#[cfg(feature = "encryption")]
#[test]
fn changing_the_encryption_key_is_corrupt_if_rows_are_out_of_order() {
    let mut file = File::new();
    file.swap_last_rows(&format!("{}{}", file.ids[COUNT - 1], name(COUNT - 1)));
    let registry = file.open();
    refused(registry.rekey(Some([7; 32])), ErrorKind::Corrupt, &[]);
    // `None` does not change the secrets, so a row that is read twice still decodes.
    refused(registry.rekey(None), ErrorKind::Corrupt, &[]);
}

#[test]
fn following_a_history_whose_numbers_do_not_increase_reports_corrupt() {
    let mut file = File::new();
    file.swap_last_rows(&format!("created{}", file.ids[COUNT - 1]));
    let registry = file.open();
    let last = registry.last_change().unwrap();
    for limit in [1, 2, 3, 1_000] {
        let mut seen = 0;
        let error = loop {
            match registry.changes(seen, limit) {
                Err(error) => break error,
                Ok(changes) => {
                    let next =
                        changes.last().expect("the end of the history is undamaged").sequence();
                    assert!(seen < next && next <= last, "{seen}, {next}");
                    seen = next;
                }
            }
        };
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

/// Pages begin after 0, those of `rekey` too. They would pass such a row over, with its secret.
#[test]
fn a_row_with_a_number_below_1_is_corrupt() {
    for number in [0, -9, i64::MIN] {
        let sql = format!(
            "UPDATE _webhook_registry_subscription_pattern SET subscription = {number} WHERE \
             subscription = 2;
             UPDATE _webhook_registry_replaced_secret SET subscription = {number}
             WHERE subscription = 2;
             UPDATE _webhook_registry_subscription SET seq = {number} WHERE seq = 2"
        );
        assert_corrupt(
            &sql,
            &[Get, ByName, List, ListByEvent, Update, Iter, Export, Subscribers, Explain],
        );
        let Damaged { registry, id, .. } = &Damaged::new(&sql, false);
        refused(registry.list(ListQuery::new().event_type("queue.v1")), ErrorKind::Corrupt, &[]);
        refused(registry.list(ListQuery::new().name_contains("d")), ErrorKind::Corrupt, &[]);
        refused(registry.secret(*id), ErrorKind::Corrupt, &[]);
        #[cfg(feature = "encryption")]
        refused(registry.rekey(Some([1; 32])), ErrorKind::Corrupt, &[]);
        // As the finding says, it can still be deleted.
        registry.delete(*id).unwrap();
        assert!(registry.check().unwrap().is_sound());
        assert_eq!(registry.list(ListQuery::new()).unwrap().subscriptions().len(), 1);
        let sql = format!(
            "UPDATE _webhook_registry_change SET sequence = {number} WHERE sequence \
                        = 1"
        );
        assert_corrupt(&sql, &[Changes, Create, Register, Update]);
    }
}
