//! The shared steps of these programs, so that they differ only in the library that they use beside
//! the registry.
#![allow(dead_code, reason = "not every program uses all of it")]

use std::error::Error;
use std::path::PathBuf;

use tempfile::TempDir;
use webhook_registry::{NewSubscription, Registry, SubscriptionUpdate};

pub type Result<T = (), E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

pub const EVENT: &str = "channel.held.v1";

/// The SQL for the own file of the program, run through the library.
pub const TABLE: &str = "CREATE TABLE outbox (subscription TEXT NOT NULL, url TEXT NOT NULL)";
pub const ENQUEUE: &str = "INSERT INTO outbox (subscription, url) VALUES (?1, ?2)";
pub const OUTBOX: &str = "SELECT subscription, url FROM outbox ORDER BY subscription";
/// The SQL for the file of the registry, also run through the library.
pub const VIEW: &str = "SELECT id, url FROM webhook_registry_subscribers WHERE event_type = ?1 \
                        ORDER BY id";

/// The subscription id and the URL of a delivery.
pub type Row = (String, String);

/// The table that the migrations of the program add to its own file, beside [`TABLE`].
pub const ORDERS: &str = "CREATE TABLE orders (id INTEGER PRIMARY KEY)";
/// A later migration, after the registry has moved in.
pub const LATER: &str = "ALTER TABLE orders ADD COLUMN due INTEGER";

/// The statements of a transaction on a file that the program and a registry share, run through the
/// library.
pub const TRANSACTION: [&str; 4] = [
    "INSERT INTO orders (id) VALUES (7)",
    "INSERT INTO outbox (subscription, url) \
     SELECT id, url FROM webhook_registry_owner_subscribers \
      WHERE owner = 'acme' AND event_type = 'channel.held.v1'",
    "UPDATE webhook_registry_subscriptions SET enabled = 0, disabled_reason = '410 Gone' \
      WHERE owner = 'acme' AND name = 'broken'",
    "DELETE FROM webhook_registry_subscriptions WHERE owner = 'former'",
];

/// A registry that is a guest in the own file of the program.
pub struct Guest {
    registry: Registry,
}

impl Guest {
    pub fn open(path: PathBuf) -> Result<Guest> {
        let registry = Registry::options().guest(true).open(path)?;
        registry.register_event_type(EVENT)?;
        for owner in ["acme", "former"] {
            let to = |name: &str| NewSubscription::new(name, "https://x.example/", ["channel.*"]);
            registry.for_owner(owner)?.create_all([to("crm"), to("broken")])?;
        }
        Ok(Guest { registry })
    }

    /// Returns an error unless the registry is as it was before the transaction.
    pub fn is_unchanged(&self) -> Result {
        self.has(&["crm", "broken"], &["acme", "former"])
    }

    /// Returns an error unless the transaction has changed the registry, and its file is sound.
    pub fn is_changed(&self) -> Result {
        self.has(&["crm"], &["acme"])
    }

    fn has(&self, names: &[&str], owners: &[&str]) -> Result {
        let found = self.registry.for_owner("acme")?.subscribers(EVENT)?;
        let found: Vec<&str> = found.names().collect();
        let report = self.registry.check()?;
        if found == names && self.registry.owners(None, 10)? == owners && report.is_sound() {
            Ok(())
        } else {
            Err(format!("{found:?} is not {names:?}, or {:?}", report.findings()).into())
        }
    }
}

pub struct Program {
    pub registry: Registry,
    folder: TempDir,
}

impl Program {
    pub fn new() -> Result<Program> {
        let folder = tempfile::tempdir()?;
        let registry = Registry::open(folder.path().join("webhooks.db"))?;
        registry.register_event_types([
            "channel.held.v1",
            "channel.ended.v1",
            "agent.paused.v1",
        ])?;
        let to = |name: &str, pattern| {
            NewSubscription::new(name, format!("https://{name}.example/"), [pattern])
        };
        registry.create_all([
            to("crm", "channel.*"),
            to("bi", "*.v1"),
            to("wfm", "agent.*"),
            to("off", "*").enabled(false),
        ])?;
        Ok(Program { registry, folder })
    }

    /// Returns the path of the own file of the program.
    pub fn own(&self) -> PathBuf {
        self.folder.path().join("own.db")
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("webhooks.db")
    }

    /// Returns the deliveries of the event for the outbox.
    pub fn deliveries(&self) -> Result<Vec<Row>> {
        let row = |one: &webhook_registry::Subscriber| (one.id().to_string(), one.url().to_owned());
        Ok(self.registry.subscribers(EVENT)?.iter().map(row).collect())
    }

    /// Returns an error unless the rows that the library read equal the answer of the registry.
    pub fn agrees(&self, rows: &[Row]) -> Result {
        let expected = self.deliveries()?;
        if rows == expected && !rows.is_empty() {
            Ok(())
        } else {
            Err(format!("{rows:?} is not {expected:?}").into())
        }
    }

    /// Makes a change that the library has to see the next time it reads the view.
    pub fn change(&self) -> Result {
        let crm = self.registry.get_by_name("crm")?.ok_or("no crm")?;
        self.registry.update(crm.id(), SubscriptionUpdate::new().enabled(false))?;
        if self.deliveries()?.len() == 1 {
            Ok(())
        } else {
            Err("the registry does not see its own change".into())
        }
    }

    /// Checks that the registry still works and its file is sound after the library closed its
    /// connections.
    pub fn finish(self, beside: &str) -> Result {
        self.registry.create(NewSubscription::new("late", "https://late.example/", [EVENT]))?;
        if Registry::open(self.file())?.subscribers(EVENT)?.len() != 2 {
            return Err("another opener does not see the last change".into());
        }
        let report = self.registry.check()?;
        if !report.is_sound() {
            return Err(format!("{:?}", report.findings()).into());
        }
        println!("beside {beside}: ok");
        Ok(())
    }
}
