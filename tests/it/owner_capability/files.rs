//! Two files: one where other owners hold the same names, the same patterns and more ids than acme,
//! and a control file that only acme has used.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rusqlite::Connection;
use tempfile::TempDir;
use webhook_registry::{
    Durability, ListQuery, NewSubscription, Registry, Rotation, SubscriptionId, SubscriptionUpdate,
};

use crate::support::Clock;

pub(super) const OWNER: &str = "acme";

pub(super) const CATALOG: [&str; 6] = [
    "order.created",
    "order.paid",
    "order.refunded",
    "user.created",
    "user.deleted",
    "vault.opened",
];

/// The names that acme, another owner and nobody use.
pub(super) const NAMES: [&str; 6] = ["orders", "crm", "bi", "vault", "hidden", "nobody's"];

const START: u64 = 1_800_000_000_000;
/// When the calls under test are made.
const NOW: u64 = START + 3_600_000;

/// Returns a valid secret with a number.
pub(super) fn secret(number: usize) -> String {
    format!("{number:0>43}=")
}

fn create(registry: &Registry, name: &str, events: &[&str], number: usize) {
    let new = NewSubscription::new(name, format!("https://example.com/{name}"), events)
        .secret(secret(number))
        .metadata("tier", if number.is_multiple_of(2) { "gold" } else { "tin" })
        .enabled(name != "bi")
        .allow_unknown_events(true);
    registry.create(new).unwrap();
}

fn change(registry: &Registry, name: &str, update: SubscriptionUpdate) {
    let id = registry.get_by_name(name).unwrap().unwrap().id();
    registry.update(id, update).unwrap();
}

fn rotate(registry: &Registry, name: &str, number: usize) {
    let id = registry.get_by_name(name).unwrap().unwrap().id();
    registry.rotate_secret(id, Rotation::new().secret(secret(number))).unwrap();
}

/// A call, and the owner for whom it is made. No owner is the empty text.
type Step = (&'static str, fn(&Registry));

const STEPS: [Step; 18] = [
    ("globex", |it| create(it, "orders", &["order.*"], 0)),
    ("", |it| create(it, "orders", &["order.*"], 1)),
    (OWNER, |it| create(it, "orders", &["order.*", "user.created"], 2)),
    ("globex", |it| create(it, "crm", &["order.created", "user.*"], 3)),
    ("globex", |it| create(it, "vault", &["*", "vault.*", "order.?aid"], 4)),
    (OWNER, |it| create(it, "crm", &["order.created", "user.*"], 5)),
    ("", |it| create(it, "hidden", &["*", "[ou]*"], 6)),
    ("", |it| create(it, "crm", &["order.p*"], 7)),
    ("globex", |it| create(it, "bi", &["*"], 8)),
    (OWNER, |it| create(it, "bi", &["*", "order.paid"], 9)),
    ("initech", |it| create(it, "bi", &["*", "?rder.paid"], 10)),
    ("globex", |it| rotate(it, "orders", 11)),
    (OWNER, |it| rotate(it, "orders", 12)),
    ("globex", |it| change(it, "crm", SubscriptionUpdate::new().description("globex's"))),
    (OWNER, |it| change(it, "crm", SubscriptionUpdate::new().description("acme's"))),
    ("", |it| change(it, "crm", SubscriptionUpdate::new().enabled(false))),
    ("globex", |it| change(it, "bi", SubscriptionUpdate::new().enabled(true))),
    ("globex", |it| create(it, "last", &["order.paid"], 13)),
];

/// Returns the handle for an owner, where the empty text is no owner.
pub(super) fn handle(registry: &Registry, owner: &str) -> Registry {
    if owner.is_empty() { registry.clone() } else { registry.for_owner(owner).unwrap() }
}

/// The bytes of a file, with the ids of its subscriptions.
pub(super) struct Template {
    bytes: Vec<u8>,
    own: BTreeMap<String, SubscriptionId>,
    pub(super) others: Vec<SubscriptionId>,
}

impl Template {
    /// Builds a file. `crowded` adds the other owners, and `emptied` deletes acme's subscriptions.
    pub(super) fn new(crowded: bool, emptied: bool) -> Template {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.db");
        let clock = Clock::at(START);
        let registry = clock.options().durability(Durability::Relaxed).open(&path).unwrap();
        registry.register_event_types(CATALOG).unwrap();
        let steps = STEPS.iter().zip(1..).filter(|((owner, _), _)| crowded || *owner == OWNER);
        for ((owner, step), at) in steps {
            clock.set(START + at * 1_000);
            step(&handle(&registry, owner));
        }
        let every = registry.for_every_owner().unwrap();
        let all: Vec<_> = every.iter(ListQuery::new()).map(Result::unwrap).collect();
        let (own, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|one| one.owner() == Some(OWNER));
        clock.set(START + 60_000);
        if emptied {
            assert_eq!(registry.for_owner(OWNER).unwrap().delete_all().unwrap(), 3);
        }
        drop((registry, every));
        Template {
            bytes: std::fs::read(path).unwrap(),
            own: own.iter().map(|one| (one.name().to_owned(), one.id())).collect(),
            others: others.iter().map(|one| one.id()).collect(),
        }
    }

    /// Returns a copy of the file after executing SQL, without its constraints.
    pub(super) fn damaged(&self, sql: &str) -> Template {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.db");
        std::fs::write(&path, &self.bytes).unwrap();
        let conn = Connection::open(&path).unwrap();
        let begin = "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;";
        conn.execute_batch(begin).unwrap();
        conn.execute_batch(sql).unwrap();
        assert!(conn.changes() > 0, "{sql} changed nothing");
        drop(conn);
        let bytes = std::fs::read(path).unwrap();
        Template { bytes, own: self.own.clone(), others: self.others.clone() }
    }

    /// Opens a copy of the file. `others` are the ids with which the calls under test ask for
    /// subscriptions of others; in the control file no subscription has one of them.
    pub(super) fn open(&self, others: &[SubscriptionId]) -> World {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.db");
        std::fs::write(&path, &self.bytes).unwrap();
        let options = Clock::at(NOW).options().durability(Durability::Relaxed);
        let registry = options.open(&path).unwrap();
        let acme = registry.for_owner(OWNER).unwrap();
        let sql = "SELECT coalesce(max(id), -1) FROM _webhook_registry_owner WHERE name = ?1";
        let conn = Connection::open(&path).unwrap();
        let row = conn.query_row(sql, [OWNER], |row| row.get(0)).unwrap();
        World { folder, path, row, registry, acme, own: self.own.clone(), others: others.to_vec() }
    }
}

/// An open copy of one of the files.
pub(super) struct World {
    folder: TempDir,
    path: PathBuf,
    /// The row of acme when the file was opened, or -1.
    row: i64,
    pub(super) registry: Registry,
    pub(super) acme: Registry,
    own: BTreeMap<String, SubscriptionId>,
    pub(super) others: Vec<SubscriptionId>,
}

impl World {
    /// Returns the id of a subscription of acme's.
    pub(super) fn own(&self, name: &str) -> SubscriptionId {
        self.own[name]
    }

    /// Returns ids with labels: acme's, those of others, and one that never existed.
    pub(super) fn ids(&self) -> Vec<(String, SubscriptionId)> {
        let own = self.own.iter().map(|(name, id)| (name.clone(), *id));
        let others = self.others.iter().enumerate().map(|(at, id)| (format!("other {at}"), *id));
        let never = ("never".to_owned(), "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap());
        own.chain(others).chain([never]).collect()
    }

    /// Returns a path beside the file.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Fills the cache with the answers of other handles, and then of acme's.
    pub(super) fn warm(&self) {
        for owner in ["globex", "", "initech", OWNER] {
            for event_type in CATALOG {
                let _ = handle(&self.registry, owner).subscribers(event_type);
            }
        }
        let _ = self.registry.for_every_owner().unwrap().subscribers(CATALOG[0]);
    }

    /// Replaces what differs between two files: ids, and the path.
    pub(super) fn normalize(&self, text: &str) -> String {
        let labels: BTreeMap<SubscriptionId, String> =
            self.ids().into_iter().map(|(label, id)| (id, label)).collect();
        let mut new: Vec<SubscriptionId> = Vec::new();
        let text = text.replace(self.folder.path().to_str().unwrap(), "<folder>");
        let is_inner = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
        let mut normal = String::new();
        for run in text.split_inclusive(|c| !is_inner(c)) {
            let word = run.trim_end_matches(|c| !is_inner(c));
            match word.parse::<SubscriptionId>() {
                Err(_) => normal += run,
                Ok(id) => {
                    let label = labels.get(&id).cloned().unwrap_or_else(|| {
                        let at = new.iter().position(|one| *one == id).unwrap_or_else(|| {
                            new.push(id);
                            new.len() - 1
                        });
                        format!("new {at}")
                    });
                    normal += &format!("<{label}>{}", &run[word.len()..]);
                }
            }
        }
        normal
    }

    /// Returns every row of the private tables that is not acme's.
    pub(super) fn rows_of_others(&self) -> BTreeSet<String> {
        let conn = Connection::open(&self.path).unwrap();
        let texts = |sql: &str| -> Vec<String> {
            let mut statement = conn.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get(0)).unwrap();
            rows.map(Result::unwrap).collect()
        };
        // The row of acme may go and come back with another number.
        let now = format!("SELECT id FROM _webhook_registry_owner WHERE name = '{OWNER}'");
        let own = format!("({}, coalesce(({now}), -1))", self.row);
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' \
                      AND name LIKE '\\_webhook\\_registry\\_%' ESCAPE '\\' ORDER BY 1";
        let mut all = BTreeSet::new();
        for table in texts(tables) {
            let columns = texts(&format!("SELECT name FROM pragma_table_info('{table}')"));
            let has = |name: &str| columns.iter().any(|column| column == name);
            let condition = match table.trim_start_matches("_webhook_registry_") {
                // A new id and a new change are told to everybody, and an unused pattern goes.
                "meta" | "pattern" | "expansion" => continue,
                "change" => format!("owner IS NOT '{OWNER}'"),
                "owner" => format!("name IS NOT '{OWNER}'"),
                _ if has("owner") => format!("owner NOT IN {own}"),
                _ if has("subscription") => format!(
                    "subscription NOT IN (SELECT seq FROM _webhook_registry_subscription \
                     WHERE owner IN {own})"
                ),
                _ => "1".to_owned(),
            };
            let cells: Vec<String> =
                columns.iter().map(|column| format!("'{column}=' || hex({column})")).collect();
            let cells = cells.join(" || ' ' || ");
            let sql = format!("SELECT '{table} ' || {cells} FROM {table} WHERE {condition}");
            all.extend(texts(&sql));
        }
        all
    }
}
