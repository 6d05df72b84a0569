//! Registers a catalog, creates subscriptions, dispatches an event, and shows two errors.
//!
//! `cargo run --example quickstart [FILE]`; without a file it works in a temporary folder.

use std::error::Error;
use std::path::PathBuf;

use webhook_registry::{Catalog, NewSubscription, Registry};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path =
        std::env::args_os().nth(1).map_or_else(|| folder.path().join("webhooks.db"), PathBuf::from);
    let registry = Registry::open(&path)?;
    println!("registry: {}", path.display());

    // The response of `GET /event-types` of the contact center API.
    let catalog: Catalog =
        serde_json::from_str(include_str!("../tests/fixtures/contact-center-event-types.json"))?;
    registry.register_event_types(catalog)?;
    println!("catalog:  {} event types", registry.event_types()?.len());

    // A file of an earlier run already has these subscriptions.
    for name in ["WebhookTest1", "Wallboard"] {
        if let Some(old) = registry.get_by_name(name)? {
            registry.delete(old.id())?;
        }
    }

    println!("\n# The response to the body of POST /subscriptions");
    let request: NewSubscription =
        serde_json::from_str(include_str!("../tests/fixtures/seed-create.json"))?;
    let created = registry.create(request.clone())?;
    println!("{}", serde_json::to_string_pretty(&created)?);

    println!("\n# A subscription with wildcards, and the event types that one matches now");
    let wallboard = NewSubscription::new(
        "Wallboard",
        "https://wallboard.example/events",
        ["channel.*", "*presence*"],
    )
    .metadata("team", "support");
    registry.create(wallboard)?;
    println!("channel.* matches {:#?}", registry.expand("channel.*")?);

    println!("\n# The subscribers of agent.presencechanged.v1");
    for subscriber in &registry.subscribers("agent.presencechanged.v1")? {
        let secrets = subscriber.secrets().count();
        println!("{} at {}, signed with {secrets} secret(s)", subscriber.name(), subscriber.url());
    }

    println!("\n# The patterns by which they match");
    println!("{}", registry.explain("agent.presencechanged.v1")?);

    println!("\n# Two errors");
    let misspelt =
        NewSubscription::new("Reports", "https://reports.example/", ["agent.presencechange.v1"]);
    for result in [registry.create(request), registry.create(misspelt)] {
        match result {
            Ok(created) => println!("created {}", created.subscription().name()),
            Err(error) => println!("{:?}: {error}", error.kind()),
        }
    }
    Ok(())
}
