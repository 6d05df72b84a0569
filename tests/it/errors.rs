//! Tests that an error message contains what is needed to fix the problem: separate and counted
//! problems, and a cause that `source()` returns.

use std::error::Error as _;
use std::time::Duration;

use serde_json::{Value, json};
use webhook_registry::{ErrorKind, NewSubscription, Registry};

use crate::support::causes;

#[test]
fn problems_are_listed_separately_and_counted_past_ten() {
    let registry = Registry::in_memory().unwrap();
    let message = |count: usize| {
        let all =
            (0..count).map(|_| NewSubscription::new("", "https://example.com/", ["agent.v1"]));
        let error = registry.create_all(all.map(|new| new.allow_unknown_events(true))).unwrap_err();
        assert_eq!(error.problems().len(), count);
        error.to_string()
    };
    assert_eq!(message(1), "[0].name: a subscription needs a name");
    assert_eq!(
        message(2),
        "[0].name: a subscription needs a name; [1].name: a subscription needs a name"
    );
    let ten = (0..10)
        .map(|at| format!("[{at}].name: a subscription needs a name"))
        .collect::<Vec<_>>()
        .join("; ");
    assert_eq!(message(10), ten);
    assert_eq!(message(11), format!("{ten}; and 1 more"));
    assert_eq!(message(30), format!("{ten}; and 20 more"));
}

#[test]
fn the_system_error_is_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let error = Registry::open(folder.path().join("missing").join("webhooks.db")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    let causes: Vec<String> = causes(&error).map(ToString::to_string).collect();
    assert!(
        causes.iter().any(|cause| cause.contains("No such file or directory")),
        "{error}: {causes:?}"
    );
}

#[test]
fn opening_a_directory_says_that_it_is_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    for options in [Registry::options(), Registry::options().read_only(true)] {
        let error = options.open(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert_eq!(error.to_string(), format!("{} is a directory", folder.path().display()));
    }
}

#[test]
fn a_lock_timeout_is_reported_as_busy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = Registry::options().busy_timeout(Duration::from_millis(5)).open(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = registry.register_event_type("agent.v1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    let what = "another process kept the file locked past the busy timeout";
    assert_eq!(error.to_string(), what);
    assert_eq!(error.source().unwrap().to_string(), "database is locked");
}

/// Returns the problem document of an error, and asserts its kind.
fn problem_of<T: std::fmt::Debug>(result: webhook_registry::Result<T>, kind: ErrorKind) -> Value {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(error.to_problem()["status"], error.kind().http_status());
    error.to_problem()
}

#[test]
fn a_problem_document_has_a_title_a_status_the_message_and_every_field() {
    let registry = Registry::in_memory().unwrap();
    let new = NewSubscription::new("", "ftp://example.com/", ["*"]).allow_unknown_events(true);
    let found = problem_of(registry.create(new), ErrorKind::Invalid);
    assert_eq!((&found["title"], &found["status"]), (&json!("Invalid input"), &json!(422)));
    let fields: Vec<&Value> =
        found["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["name", "url"]);
    assert!(found["detail"].as_str().unwrap().starts_with("name: a subscription needs a name"));

    let found = problem_of(registry.subscribers("order.paid"), ErrorKind::NotFound);
    assert_eq!((&found["title"], &found["status"]), (&json!("Not found"), &json!(404)));
    assert_eq!(found["errors"][0]["field"], "eventType");
}

#[test]
fn a_problem_document_contains_no_path_and_no_sqlite_message() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let missing = Registry::options().create(false).open(&path);
    let mut all = vec![problem_of(missing, ErrorKind::NotFound)];
    let registry = Registry::options().busy_timeout(Duration::from_millis(5)).open(&path).unwrap();
    all.push(problem_of(registry.backup(&path), ErrorKind::Conflict));
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    all.push(problem_of(registry.register_event_type("agent.v1"), ErrorKind::Busy));
    all.push(problem_of(Registry::open(folder.path()), ErrorKind::Storage));
    for found in &all {
        let text = found.to_string();
        let name = folder.path().file_name().unwrap().to_str().unwrap();
        assert!(!text.contains(name), "{text}");
        assert!(!text.contains("database is locked"), "{text}");
    }
    let fields: Vec<&Value> = all.iter().map(|found| &found["errors"][0]["field"]).collect();
    assert_eq!(fields, [&json!("path"), &json!("path"), &Value::Null, &Value::Null]);
    assert_eq!(all[3].get("detail"), None, "a server error has no detail");
}
