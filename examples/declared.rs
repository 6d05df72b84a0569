//! Reconciles a registry with the subscriptions that a JSON file declares, after showing the
//! differences.
//!
//! `cargo run --example declared [FILE]`; without a file it reads `examples/declared.json`.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use webhook_registry::{ErrorKind, NewSubscription, Prune, Registry};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let default = || concat!(env!("CARGO_MANIFEST_DIR"), "/examples/declared.json").into();
    let path: PathBuf = std::env::args_os().nth(1).map_or_else(default, PathBuf::from);
    let declared: Vec<NewSubscription> = serde_json::from_slice(&fs::read(&path)?)?;
    println!("{} declares {} subscriptions", path.display(), declared.len());

    // A registry that differs: `crm` has another URL, and `reports` is not declared.
    let registry = Registry::in_memory()?;
    registry.register_event_types(["agent.presencechanged.v1", "channel.held.v1"])?;
    registry
        .create(NewSubscription::new("crm", "https://old.example/", ["agent.*"]).enabled(false))?;
    registry.create(NewSubscription::new("reports", "https://reports.example/", ["*"]))?;

    println!("\n# The steps of the plan");
    let keep = registry.plan(declared.clone(), Prune::Keep)?;
    println!("with Prune::Keep:\n{keep}");
    let delete = registry.plan(declared.clone(), Prune::Delete)?;
    println!("with Prune::Delete:\n{delete}");

    println!("\n# Applied in one transaction");
    reconcile(&registry, &declared)?;
    for subscription in registry.iter(Default::default()) {
        let subscription = subscription?;
        // The file does not state `enabled`, so `crm` keeps the value that an operator has set.
        let state = if subscription.enabled() { "enabled" } else { "disabled" };
        println!("{}: {}, {state}", subscription.name(), subscription.url());
    }

    println!("\n# A second plan");
    println!("{}", registry.plan(declared.clone(), Prune::Delete)?);

    println!("\n# A file with two invalid entries: both are reported, and there is no plan");
    let mistaken = serde_json::from_str::<Vec<NewSubscription>>(
        r#"[{"name": "crm", "url": "crm.example/hook", "events": ["agent.*"]},
            {"name": "bi", "url": "https://bi.example/", "events": ["chanel.held.v1"]}]"#,
    )?;
    match registry.plan(mistaken, Prune::Keep) {
        Ok(plan) => println!("{plan}"),
        Err(error) => error.problems().iter().for_each(|problem| println!("{problem}")),
    }
    Ok(())
}

/// Plans and applies until the registry equals the declaration.
fn reconcile(registry: &Registry, declared: &[NewSubscription]) -> Result<()> {
    loop {
        let plan = registry.plan(declared.to_vec(), Prune::Delete)?;
        if plan.is_empty() {
            return Ok(());
        }
        match registry.apply(plan) {
            Ok(applied) => {
                for created in applied.created() {
                    let key = created.secret().fingerprint();
                    let name = created.subscription().name();
                    println!("{name} has a new secret, {key}: give it to the receiver");
                }
            }
            // This or another process has changed the registry since the plan was made.
            Err(error) if error.kind() == ErrorKind::Conflict => {
                println!("planning again: {error}")
            }
            Err(error) => return Err(error.into()),
        }
    }
}
