//! Serves the webhook API of two customers on 127.0.0.1:8080, and delivers every second.
//!
//! `curl -H 'Authorization: Bearer acme-key' 127.0.0.1:8080/event-types`

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use webhook_registry::{Registry, UrlPolicy};
use webhook_registry_axum::api::{App, router};
use webhook_registry_axum::outbox;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = Connection::open("shop.db")?;
    database.execute_batch(outbox::TABLES)?;
    let policy = UrlPolicy::public_https();
    let registry = Registry::options()
        .guest(true)
        .url_policy(policy.clone())
        .max_subscriptions(20)
        .open("shop.db")?;
    registry.register_event_types(["order.paid", "order.refunded"])?;

    let every_owner = registry.for_every_owner()?;
    std::thread::spawn(move || {
        loop {
            if let Err(error) = outbox::deliver(&database, &every_owner, &policy) {
                eprintln!("delivery: {error}");
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    });

    let customers = [("acme-key", "acme"), ("globex-key", "globex")];
    let customers = customers.map(|(key, name)| (key.to_owned(), name.to_owned())).into();
    let app = App { registry, customers: Arc::new(customers) };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    Ok(axum::serve(listener, router(app)).await?)
}
