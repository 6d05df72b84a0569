//! The registry in an async program: many tasks ask whom an event goes to, while another changes it.
//!
//! A call that may wait for the file belongs into `spawn_blocking`. One whose answer is remembered takes microseconds, and
//! can be made from the task itself: that of an event that was asked for before, unless something has changed since.

#[path = "../../shared.rs"]
mod shared;

use shared::{EVENT, Program, Result};
use tokio::task::{JoinSet, spawn_blocking};
use webhook_registry::{Registry, SubscriptionUpdate};

const TASKS: usize = 200;

/// One task's question, whatever lock it may have to wait for.
async fn ask(registry: Registry, task: usize) -> Result {
    let event = [EVENT, "channel.ended.v1", "agent.paused.v1"][task % 3];
    let answer = spawn_blocking(move || registry.subscribers(event)).await??;
    // `crm` comes and goes; the others stay.
    let names: Vec<&str> =
        answer.iter().map(|one| one.name()).filter(|name| *name != "crm").collect();
    let expected: &[&str] = if task % 3 == 2 { &["bi", "wfm"] } else { &["bi"] };
    if names == expected { Ok(()) } else { Err(format!("{event}: {names:?}").into()) }
}

#[tokio::main]
async fn main() -> Result {
    let program = Program::new()?;
    let registry = &program.registry;

    // Cold or not, through `spawn_blocking`; meanwhile the registry changes.
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        tasks.spawn(ask(registry.clone(), task));
    }
    let writer = registry.clone();
    let crm = registry.get_by_name("crm")?.ok_or("no crm")?.id();
    let changes = spawn_blocking(move || {
        (0..50).try_for_each(|n| {
            writer.update(crm, SubscriptionUpdate::new().enabled(n % 2 == 1)).map(drop)
        })
    });
    let mut done = 0;
    while let Some(task) = tasks.join_next().await {
        task??;
        done += 1;
    }
    changes.await??;

    // Warm, from the tasks themselves; a change is seen by whoever asks after it.
    let before = registry.subscribers(EVENT)?.len();
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let registry = registry.clone();
        tasks.spawn(async move { registry.subscribers(EVENT).map(|answer| answer.len()) });
    }
    while let Some(task) = tasks.join_next().await {
        if task?? != before {
            return Err("a warm answer differs".into());
        }
        done += 1;
    }
    program.change()?;
    let after = tokio::spawn({
        let registry = registry.clone();
        async move { registry.subscribers(EVENT).map(|answer| answer.len()) }
    });
    if (done, before, after.await??) != (2 * TASKS, 2, 1) {
        return Err("tasks are missing, or a change was not seen".into());
    }
    program.finish("tokio")
}
