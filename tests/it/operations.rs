//! Runs every statement of `docs/operations.md` by the `sqlite3` shell, on a file of a registry's own
//! and on an application's, and asserts what each of them shows or does.

use std::path::Path;
use std::process::Command;

use webhook_registry::{EventType, Registry};

use crate::opening::folder;
use crate::support::{FILES, learn, new, options_for, prepare};

const PAGE: &str = include_str!("../../docs/operations.md");

/// Returns the statements of the page, in order, without their comments.
fn statements() -> Vec<String> {
    let blocks = PAGE.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap());
    let text: String = blocks
        .flat_map(str::lines)
        .filter(|line| !line.trim_start().starts_with("--"))
        .map(|line| line.to_owned() + "\n")
        .collect();
    let all = text.split(";\n").map(str::trim).filter(|statement| !statement.is_empty());
    all.map(|statement| statement.to_owned() + ";").collect()
}

/// Returns the output of a statement, or None where the shell is not installed or too old.
fn shell(path: &Path, statement: &str) -> Option<String> {
    let mut shell = Command::new("sqlite3");
    shell.args(["-batch", "-bail", "-cmd", ".timeout 5000"]).arg(path).arg(statement);
    let done = shell.output().ok()?;
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{statement}: {said}");
    Some(String::from_utf8(done.stdout).unwrap())
}

/// Returns whether the shell is installed and knows what the views use.
fn is_usable(path: &Path) -> bool {
    let version = shell(path, "SELECT sqlite_version()").unwrap_or_default();
    let number: Vec<u32> = version.trim().split('.').map_while(|part| part.parse().ok()).collect();
    number >= vec![3, 38]
}

fn registry(path: &Path) -> Registry {
    prepare(path);
    let registry = options_for(path).open(path).unwrap();
    learn(&registry);
    registry
        .register_event_type(EventType::new("channel.held.v1").with_description("on hold"))
        .unwrap();
    let to = |name: &str| {
        webhook_registry::NewSubscription::new(name, "https://example.com/", ["channel.*", "*.v1"])
    };
    registry.create(to("crm")).unwrap();
    registry.for_owner("acme").unwrap().create_all([to("erp"), to("broken")]).unwrap();
    let former = registry.for_owner("former").unwrap();
    former.create_all([to("a"), to("b"), new("c").enabled(false)]).unwrap();
    registry
}

#[test]
fn the_shell_runs_every_statement_of_the_page_on_operations() {
    for name in FILES {
        let (folder, _) = folder();
        let path = folder.path().join(name);
        let registry = registry(&path);
        if !is_usable(&path) {
            println!("sqlite3 is not installed, or older than 3.38: skipped");
            return;
        }
        let (acme, former) =
            (registry.for_owner("acme").unwrap(), registry.for_owner("former").unwrap());
        let count = |handle: &Registry| handle.subscribers("channel.held.v1").unwrap().len();
        let ids = |handle: &Registry| -> Vec<String> {
            let found = handle.subscribers("channel.held.v1").unwrap();
            found.iter().map(|one| one.id().to_string()).collect()
        };
        let (of_nobody, of_acme) = (ids(&registry), ids(&acme));
        let mut run = statements().into_iter();
        let mut next = || {
            let statement = run.next().expect("a statement of the page");
            println!("{statement}");
            shell(&path, &statement).unwrap()
        };
        let first = |text: &str| -> Vec<String> {
            text.lines().map(|line| line.split('|').next().unwrap().to_owned()).collect()
        };
        // Who gets this event?
        assert_eq!(first(&next()), of_nobody);
        assert_eq!(first(&next()), of_acme);
        // Why does a subscription not get it?
        assert_eq!(next(), "channel.held.v1|on hold\n");
        assert_eq!(next().lines().count(), 2);
        assert!(next().contains(r#"|1|||["channel.*","*.v1"]"#));
        assert!(next().lines().any(|line| line == "channel.held.v1"));
        // Disable and enable.
        assert_eq!(next(), "");
        assert_eq!(count(&acme), 1);
        assert_eq!(next(), "");
        assert_eq!(count(&former), 0);
        assert_eq!(next(), "");
        assert_eq!(count(&former), 2);
        let disabled = next();
        assert!(disabled.contains("acme|broken|") && disabled.contains("|410 Gone since Monday"));
        assert_eq!(disabled.lines().count(), 2);
        // Delete.
        assert_eq!(next(), "");
        assert!(acme.get_by_name("broken").unwrap().is_none());
        assert_eq!(next(), "");
        assert!(former.is_empty().unwrap());
        // What happened lately?
        let lately = next();
        assert!(lately.lines().count() > 10);
        assert!(lately.starts_with(&registry.last_change().unwrap().to_string()), "{lately}");
        assert_eq!(next().lines().count(), 4);
        let history = next();
        assert!(
            history.contains(r#"|disabled|disabledReason||"410 Gone since Monday""#),
            "{history}"
        );
        assert!(history.contains(r#"|deleted|name|"broken"|"#), "{history}");
        assert!(run.next().is_none(), "every statement is looked at");
        assert!(registry.check().unwrap().is_sound());
    }
}
