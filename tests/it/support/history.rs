//! A deterministic history: step `n` always does the same, and the state after it is known. So a
//! test can tell whether a crash left a prefix of it, and which one.

use std::collections::BTreeMap;
use std::path::Path;

use webhook_registry::{ListQuery, Registry, SubscriptionUpdate};

use crate::support::new;

/// By name: the revision, and the step that created it.
pub(crate) type State = BTreeMap<String, (u64, String)>;

/// Returns the name of a subscription of step `n`.
fn name(step: usize) -> String {
    format!("name-{step}")
}

/// Prepares a fresh file, before the history begins.
pub(crate) fn begin(registry: &Registry) {
    registry.register_event_types(["agent.v1", "agent.v2"]).unwrap();
}

/// Takes step `n`: two creations, an update of the second, and a deletion of the first of every
/// other four.
pub(crate) fn take(registry: &Registry, step: usize) -> webhook_registry::Result<()> {
    let id = |name: &str| Ok(registry.get_by_name(name)?.expect("the step created it").id());
    match step % 4 {
        0 | 1 => {
            let filler = "x".repeat(step * 37 % 900);
            let new =
                new(&name(step)).metadata("step", step.to_string()).metadata("filler", filler);
            registry.create(new).map(drop)
        }
        2 => {
            let update = SubscriptionUpdate::new()
                .events(["agent.v1", "*.v2"])
                .metadata("step", step.to_string())
                .remove_metadata("filler");
            registry.update(id(&name(step - 1))?, update).map(drop)
        }
        _ if step % 8 == 7 => registry.delete(id(&name(step - 3))?),
        _ => registry.register_event_type(format!("agent.step{step}").as_str()),
    }
}

/// Returns the state after the first `steps` steps.
pub(crate) fn after(steps: usize) -> State {
    let mut state = State::new();
    for step in 0..steps {
        match step % 4 {
            0 | 1 => drop(state.insert(name(step), (1, step.to_string()))),
            2 => drop(state.insert(name(step - 1), (2, step.to_string()))),
            _ if step % 8 == 7 => drop(state.remove(&name(step - 3))),
            _ => drop(state.insert(format!("agent.step{step}"), (0, String::new()))),
        }
    }
    state
}

/// Returns the state of the registry, and asserts that all answers agree.
pub(crate) fn state(registry: &Registry) -> webhook_registry::Result<State> {
    let mut state = State::new();
    let mut ids = Vec::new();
    for found in registry.iter(ListQuery::new().limit(1_000)) {
        let found = found?;
        ids.push(found.id());
        state.insert(found.name().to_owned(), (found.revision(), found.metadata()["step"].clone()));
    }
    let getting: Vec<_> = registry.subscribers("agent.v1")?.iter().map(|one| one.id()).collect();
    assert_eq!(getting, ids, "every subscription receives agent.v1");
    for found in registry.event_types()? {
        if found.name().starts_with("agent.step") {
            state.insert(found.name().to_owned(), (0, String::new()));
        }
    }
    Ok(state)
}

/// Asserts that SQLite finds the file intact.
#[track_caller]
pub(crate) fn assert_whole(path: &Path) {
    let conn = crate::guest::application(path);
    let text = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    // A row of the application's belongs to nothing from the beginning.
    let of_others = "SELECT count(*) || '' FROM pragma_foreign_key_check \
         WHERE \"table\" LIKE '\\_%' \
                     ESCAPE '\\'";
    assert_eq!(text(of_others), "0");
}
