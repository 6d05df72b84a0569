//! The outbox: an order and its deliveries are written in one transaction, and a worker signs and
//! sends them.

use std::time::SystemTime;

use rusqlite::{Connection, params};
use webhook_registry::{Registry, Subscriber, SubscriptionId, UrlPolicy};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

pub const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS outbox (
        -- Part of the message id: AUTOINCREMENT never reuses the id of a deleted row.
        id INTEGER PRIMARY KEY AUTOINCREMENT, subscription TEXT NOT NULL, payload TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0
    );";

/// Writes an order, and a delivery for each subscriber of the customer. Returns their number.
pub fn pay(database: &mut Connection, customer: &str, order: u32) -> Result<usize> {
    let transaction = database.transaction()?;
    transaction.execute("INSERT INTO orders VALUES (?1, ?2)", params![order, customer])?;
    let deliveries = transaction.execute(
        "INSERT INTO outbox (subscription, payload)
         SELECT id, ?2 FROM webhook_registry_owner_subscribers
          WHERE owner = ?1 AND event_type = 'order.paid'",
        params![customer, format!(r#"{{"order":{order}}}"#)],
    )?;
    transaction.commit()?;
    Ok(deliveries)
}

/// Tries each waiting delivery once. `registry` is the handle for every owner.
pub fn deliver(database: &Connection, registry: &Registry, policy: &UrlPolicy) -> Result<()> {
    let mut waiting = database.prepare("SELECT id, subscription, payload FROM outbox")?;
    let rows = waiting.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    for (id, subscription, payload) in rows.collect::<rusqlite::Result<Vec<_>>>()? {
        let (id, subscription, payload): (i64, String, String) = (id, subscription, payload);
        let subscription: SubscriptionId = subscription.parse()?;
        let found = registry.subscriber(subscription)?.filter(Subscriber::enabled);
        let status = match &found {
            Some(subscriber) => post(subscriber, policy, id, &payload)?,
            None => 410, // Disabled or deleted since.
        };
        if (200..300).contains(&status) || status == 410 {
            database.execute("DELETE FROM outbox WHERE id = ?1", [id])?;
        } else {
            database.execute("UPDATE outbox SET attempts = attempts + 1 WHERE id = ?1", [id])?;
        }
        if status == 410 && found.is_some() {
            registry.disable(subscription, "410 Gone")?;
        }
    }
    Ok(())
}

/// Sends one delivery and returns the status of the answer, 0 where there is none.
fn post(subscriber: &Subscriber, policy: &UrlPolicy, id: i64, payload: &str) -> Result<u16> {
    policy.check(subscriber.url())?;
    let config = ureq::config::Config::builder().http_status_as_error(false).build();
    let mut request = ureq::Agent::new_with_config(config).post(subscriber.url());
    // Each attempt has the same message id, so that the receiver detects a repeat.
    let now = SystemTime::now();
    for (name, value) in subscriber.sign(&format!("msg_{id}"), now, payload.as_bytes())?.headers() {
        request = request.header(name, value);
    }
    Ok(request.send(payload).map_or(0, |answer| answer.status().as_u16()))
}
