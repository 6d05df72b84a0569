//! Uses the registry in an async program: many tasks look up the subscribers of an event while
//! another task changes them.
//!
//! A call that may wait for the file belongs in `spawn_blocking`. A look-up with a cached answer
//! takes microseconds and can be made in the task itself. An answer is cached after the first
//! look-up of an event, until something changes.

#[path = "../../shared.rs"]
mod shared;

use shared::{EVENT, Program, Result};
use tokio::task::{JoinSet, spawn_blocking};
use webhook_registry::{Registry, SubscriptionUpdate};

const TASKS: usize = 200;

/// Looks up an event in a task, where the call may wait for a lock.
async fn look_up(registry: Registry, task: usize) -> Result {
    let event = [EVENT, "channel.ended.v1", "agent.paused.v1"][task % 3];
    let answer = spawn_blocking(move || registry.subscribers(event)).await??;
    // `crm` is enabled and disabled meanwhile; the others stay enabled.
    let names: Vec<&str> =
        answer.iter().map(|one| one.name()).filter(|name| *name != "crm").collect();
    let expected: &[&str] = if task % 3 == 2 { &["bi", "wfm"] } else { &["bi"] };
    if names == expected { Ok(()) } else { Err(format!("{event}: {names:?}").into()) }
}

#[tokio::main]
async fn main() -> Result {
    let program = Program::new()?;
    let registry = &program.registry;

    // Look-ups through `spawn_blocking` while the registry changes, cached or not.
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        tasks.spawn(look_up(registry.clone(), task));
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

    // Cached look-ups in the tasks themselves; a look-up after a change sees it.
    let before = registry.subscribers(EVENT)?.len();
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let registry = registry.clone();
        tasks.spawn(async move { registry.subscribers(EVENT).map(|answer| answer.len()) });
    }
    while let Some(task) = tasks.join_next().await {
        if task?? != before {
            return Err("a cached answer differs".into());
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
