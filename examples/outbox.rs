//! Writes an order and its deliveries in one transaction (the outbox pattern), and signs and sends
//! them in a worker. The shop and the registry live in one file.
//!
//! `cargo run --example outbox --features signing`

use std::error::Error;
use std::time::SystemTime;

use rusqlite::{Connection, TransactionBehavior, params};
use webhook_registry::{NewSubscription, Registry, Subscriber};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("shop.db");
    let mut shop = Connection::open(&file)?;
    shop.execute_batch(
        "PRAGMA journal_mode = WAL;
         CREATE TABLE orders (id INTEGER PRIMARY KEY, cents INTEGER NOT NULL CHECK (cents > 0));
         CREATE TABLE outbox (
             -- Part of the message id. AUTOINCREMENT never reuses the id of a deleted row.
             id INTEGER PRIMARY KEY AUTOINCREMENT, subscription TEXT NOT NULL,
             event TEXT NOT NULL, payload TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0
         );",
    )?;

    // The registry adds its tables to the database of the shop.
    let registry = Registry::options().guest(true).open(&file)?;
    registry.register_event_types(["order.paid", "order.refunded"])?;
    registry.create(NewSubscription::new("crm", "https://crm.example/hook", ["order.*"]))?;
    let ledger = NewSubscription::new("ledger", "https://ledger.example/in", ["order.paid"]);
    let ledger = registry.create(ledger)?.subscription().id();

    println!("# Two orders");
    for (order, cents) in [(7, 1_250), (8, -1)] {
        match pay(&mut shop, order, cents) {
            Ok(queued) => println!("order {order} is paid, {queued} deliveries are queued"),
            Err(error) => println!("order {order} fails, no delivery is queued: {error}"),
        }
    }

    println!("\n# The worker's first pass, while the CRM is down");
    work(&shop, &registry, |subscriber| subscriber.name() != "crm")?;

    println!("\n# Order 9, and then the ledger unsubscribes, and order.paid is retired");
    pay(&mut shop, 9, 300)?;
    unsubscribe(&mut shop, &ledger.to_string())?;
    registry.remove_event_type("order.paid")?;

    println!("\n# The second pass");
    work(&shop, &registry, |_| true)?;
    let left: u32 = shop.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))?;
    println!("{left} deliveries are left");
    Ok(())
}

/// Writes an order and a delivery for each subscriber, and returns the number of deliveries.
///
/// All of them are written, or none. The outbox stores the id of the subscription and not its URL,
/// so that a waiting delivery follows a change of the URL.
fn pay(shop: &mut Connection, order: u32, cents: i64) -> Result<usize> {
    // A transaction that reads before it writes could meet a change of the registry in between.
    let transaction = shop.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // The deliveries come first only to show that a later failure rolls them back.
    let queued = transaction.execute(
        "INSERT INTO outbox (subscription, event, payload)
         SELECT id, event_type, ?1 FROM webhook_registry_subscribers
         WHERE event_type = 'order.paid'",
        [format!(r#"{{"order": {order}}}"#)],
    )?;
    transaction.execute("INSERT INTO orders (id, cents) VALUES (?1, ?2)", params![order, cents])?;
    transaction.commit()?;
    Ok(queued)
}

/// Deletes a subscription and what waits for it, in one transaction.
fn unsubscribe(shop: &mut Connection, subscription: &str) -> Result<()> {
    let transaction = shop.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction
        .execute("DELETE FROM webhook_registry_subscriptions WHERE id = ?1", [subscription])?;
    let dropped =
        transaction.execute("DELETE FROM outbox WHERE subscription = ?1", [subscription])?;
    transaction.commit()?;
    println!("{subscription} is deleted, {dropped} deliveries are dropped");
    Ok(())
}

/// Tries each delivery of the outbox once. `is_up` returns true if the receiver is available.
fn work(shop: &Connection, registry: &Registry, is_up: impl Fn(&Subscriber) -> bool) -> Result<()> {
    let mut select = shop.prepare("SELECT id, subscription, payload FROM outbox ORDER BY id")?;
    let waiting: Vec<(i64, String, String)> = select
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (id, subscription, payload) in waiting {
        // By id, and not by event type: the type can be gone from the catalog by now.
        let found = registry.subscriber(subscription.parse()?)?;
        let Some(subscriber) = found.filter(Subscriber::enabled) else {
            println!("delivery {id}: {subscription} is disabled or deleted: dropped");
            shop.execute("DELETE FROM outbox WHERE id = ?1", [id])?;
            continue;
        };
        // Every attempt has the same message id, so that the receiver can detect a duplicate.
        let signature =
            subscriber.sign(&format!("msg_{id}"), SystemTime::now(), payload.as_bytes())?;
        if is_up(&subscriber) {
            println!("delivery {id}: POST {} {payload}", subscriber.url());
            for (name, value) in signature.headers() {
                println!("    {name}: {value}");
            }
            shop.execute("DELETE FROM outbox WHERE id = ?1", [id])?;
        } else {
            println!("delivery {id}: {} does not answer, it stays in the outbox", subscriber.url());
            shop.execute("UPDATE outbox SET attempts = attempts + 1 WHERE id = ?1", [id])?;
        }
    }
    Ok(())
}
