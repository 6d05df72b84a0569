//! What each public method of a registry answers through a handle that is limited to acme.

use webhook_registry::{Ensured, Error, IssuedSecret, ListQuery, NewSubscription, Prune, Rotation};

use super::answers::{
    Log, applied, changes, created, declared, empty_document, new, plan_text, queries, subscriber,
    updates,
};
use super::files::{CATALOG, NAMES, World, secret};

fn create(world: &World, log: &mut Log) {
    for one in declared() {
        let made = world.acme.create(one).map(|made| created(&made));
        log.add("create", made);
    }
    // The first of the new ones is there now.
    log.add("create", world.acme.create(new("vault")).map(|made| created(&made)));
}

fn create_all(world: &World, log: &mut Log) {
    let all = |log: &mut Log, list: Vec<NewSubscription>| {
        let made = world.acme.create_all(list);
        log.add("create_all", made.map(|made| made.iter().map(created).collect::<Vec<_>>()));
    };
    all(log, declared());
    all(log, NAMES.iter().map(|name| new(name)).collect());
    all(log, vec![new("vault"), new("hidden"), new("last")]);
    all(log, vec![new("vault"), new("vault")]);
    all(log, Vec::new());
}

fn ensure(world: &World, log: &mut Log) {
    for one in declared().into_iter().chain(declared()) {
        let ensured = world.acme.ensure(one);
        let text = ensured.map(|ensured| match ensured {
            Ensured::Created(made) => format!("created {:?}", created(&made)),
            other => format!("{other:?}"),
        });
        log.add("ensure", text);
    }
}

fn plan(world: &World, log: &mut Log) {
    for prune in [Prune::Keep, Prune::Delete] {
        let good: Vec<_> = NAMES.iter().map(|name| new(name)).collect();
        for list in [declared(), good, vec![new("vault")], vec![new("crm"), new("crm")], vec![]] {
            log.add("plan", world.acme.plan(list, prune).map(|plan| plan_text(&plan)));
        }
    }
}

fn apply(world: &World, log: &mut Log) {
    let stale = world.acme.plan([new("stale")], Prune::Keep).unwrap();
    for (names, prune) in [
        (&["orders", "vault"][..], Prune::Keep),
        (&["hidden", "orders"][..], Prune::Delete),
        (&[][..], Prune::Delete),
    ] {
        let plan = world.acme.plan(names.iter().map(|name| new(name)), prune).unwrap();
        log.add("apply", world.acme.apply(plan).map(|done| applied(&done)));
    }
    log.add("apply stale", world.acme.apply(stale).map(|done| applied(&done)));
}

fn get(world: &World, log: &mut Log) {
    for (label, id) in world.ids() {
        log.add(&format!("get {label}"), world.acme.get(id));
    }
}

fn get_by_name(world: &World, log: &mut Log) {
    for name in NAMES.into_iter().chain(["", "last"]) {
        log.add(&format!("get_by_name {name}"), world.acme.get_by_name(name));
    }
}

fn list(world: &World, log: &mut Log) {
    for query in queries(world) {
        let page = world.acme.list(query.clone());
        let page = page.map(|page| (serde_json::to_string(&page).unwrap(), page));
        log.add(&format!("list {query:?}"), page);
    }
}

fn iter(world: &World, log: &mut Log) {
    for query in queries(world) {
        let all: Result<Vec<_>, Error> = world.acme.iter(query.clone()).collect();
        log.add(&format!("iter {query:?}"), all);
    }
}

fn count(world: &World, log: &mut Log) {
    for query in queries(world) {
        log.add(&format!("count {query:?}"), world.acme.count(query));
    }
}

fn len(world: &World, log: &mut Log) {
    log.add("len", world.acme.len());
}

fn is_empty(world: &World, log: &mut Log) {
    log.add("is_empty", world.acme.is_empty());
}

fn update(world: &World, log: &mut Log) {
    for (label, id) in world.ids() {
        for update in updates() {
            log.add(&format!("update {label}"), world.acme.update(id, update));
        }
    }
}

fn disable(world: &World, log: &mut Log) {
    for (label, id) in world.ids() {
        for reason in ["410 Gone", "", "410 Gone", "another"] {
            log.add(&format!("disable {label}"), world.acme.disable(id, reason));
        }
    }
}

fn delete(world: &World, log: &mut Log) {
    for (label, id) in world.ids() {
        log.add(&format!("delete {label}"), world.acme.delete(id));
        log.add(&format!("delete {label} again"), world.acme.delete(id));
    }
}

fn delete_if_revision(world: &World, log: &mut Log) {
    for (label, id) in world.ids() {
        for revision in [9, 1, 2] {
            let deleted = world.acme.delete_if_revision(id, revision);
            log.add(&format!("delete_if_revision {label}"), deleted);
        }
    }
}

fn delete_all(world: &World, log: &mut Log) {
    log.add("delete_all", world.acme.delete_all());
    log.add("delete_all", world.acme.delete_all());
    log.add("then", world.acme.list(ListQuery::new()));
}

fn subscribers(world: &World, log: &mut Log) {
    for event_type in CATALOG.into_iter().chain(["order.cretaed", "vault.closed", "no type"]) {
        let found = world.acme.subscribers(event_type).map(|all| {
            let names: Vec<&str> = all.names().collect();
            format!("{names:?} {:?}", all.iter().map(subscriber).collect::<Vec<_>>())
        });
        log.add(&format!("subscribers {event_type}"), found);
    }
}

fn one_subscriber(world: &World, log: &mut Log) {
    for (label, id) in world.ids() {
        let found = world.acme.subscriber(id).map(|found| found.as_ref().map(subscriber));
        log.add(&format!("subscriber {label}"), found);
    }
}

fn explain(world: &World, log: &mut Log) {
    for event_type in CATALOG.into_iter().chain(["order.cretaed", "vault.closed", "no type"]) {
        let found = world.acme.explain(event_type).map(|explanation| {
            let json = serde_json::to_string(&explanation).unwrap();
            (explanation.to_string(), json, explanation)
        });
        log.add(&format!("explain {event_type}"), found);
    }
}

fn one_secret(world: &World, log: &mut Log) {
    for (label, id) in world.ids() {
        let secret = world.acme.secret(id).map(|secret| secret.expose().to_owned());
        log.add(&format!("secret {label}"), secret);
    }
}

fn secrets(world: &World, log: &mut Log) {
    for (label, id) in world.ids() {
        let secrets = world.acme.secrets(id).map(|all| {
            let secret = |one: &IssuedSecret| {
                (one.secret().expose().to_owned(), one.created_at(), one.expires_at())
            };
            all.iter().map(secret).collect::<Vec<_>>()
        });
        log.add(&format!("secrets {label}"), secrets);
    }
}

fn rotate_secret(world: &World, log: &mut Log) {
    for (label, id) in world.ids() {
        // The first is no secret, the second another's, the third acme's, and the last new.
        for text in ["?".to_owned(), secret(0), secret(2), secret(30)] {
            let rotated = world.acme.rotate_secret(id, Rotation::new().secret(text));
            let rotated = rotated.map(|secret| secret.expose().to_owned());
            log.add(&format!("rotate_secret {label}"), rotated);
        }
    }
}

fn revoke_old_secrets(world: &World, log: &mut Log) {
    for (label, id) in world.ids() {
        log.add(&format!("revoke_old_secrets {label}"), world.acme.revoke_old_secrets(id));
    }
    secrets(world, log);
}

fn history(world: &World, log: &mut Log) {
    let acme = &world.acme;
    let all = acme.changes(0, 1_000).unwrap();
    log.line("changes", changes(&all));
    for limit in [1, 2, 3] {
        let (mut after, mut walk) = (0, Vec::new());
        loop {
            let page = acme.changes(after, limit).unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() == limit || last == all.last().unwrap(), "a page is full");
            after = last.sequence();
            walk.extend(changes(&page));
        }
        log.line("changes by pages", walk);
    }
    for limit in [0, 1_001] {
        log.add("changes", acme.changes(0, limit));
    }
    // The numbers are the file's.
    let last = acme.last_change().unwrap();
    assert_eq!(last, world.registry.last_change().unwrap());
    log.line("changes at the end", acme.changes(last, 10).unwrap());
    let beyond = acme.changes(last + 1, 10).unwrap_err();
    let digits = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "0");
    log.line("changes beyond the end", (beyond.kind(), digits(&beyond.to_string()).len() > 9));
    log.line("subject", all.iter().map(|one| one.subject()).collect::<Vec<_>>());
}

fn last_change(world: &World, log: &mut Log) {
    let before = world.acme.last_change().unwrap();
    world.acme.create(new("one more")).unwrap();
    log.line("last_change", world.acme.last_change().unwrap() - before);
}

fn event_type(world: &World, log: &mut Log) {
    for name in CATALOG.into_iter().chain(["vault.closed", "no type"]) {
        log.add("event_type", world.acme.event_type(name));
    }
}

fn event_types(world: &World, log: &mut Log) {
    log.add("event_types", world.acme.event_types());
}

fn expand(world: &World, log: &mut Log) {
    for pattern in ["*", "vault.*", "order.?aid", "order.paid", "nothing", "**"] {
        log.add("expand", world.acme.expand(pattern));
    }
}

fn path(world: &World, log: &mut Log) {
    log.line("path", world.acme.path());
    log.line("Debug", &world.acme);
}

fn register_event_type(world: &World, log: &mut Log) {
    for name in ["vault.closed", "vault.opened", "no type"] {
        log.add("register_event_type", world.acme.register_event_type(name));
    }
}

fn register_event_types(world: &World, log: &mut Log) {
    log.add("register_event_types", world.acme.register_event_types(["vault.closed"]));
    log.add("register_event_types", world.acme.register_event_types(["no type"]));
    log.add("register_event_types", world.acme.register_event_types([""; 0]));
}

fn remove_event_type(world: &World, log: &mut Log) {
    // The first is a name in a pattern of acme's, and the second matches one of another owner.
    for name in ["order.paid", "vault.opened", "vault.closed", "no type"] {
        log.add("remove_event_type", world.acme.remove_event_type(name));
    }
}

fn backup(world: &World, log: &mut Log) {
    let path = world.beside("copy.db");
    log.add("backup", world.acme.backup(&path));
    assert!(!path.exists());
    log.add("backup to the file itself", world.acme.backup(world.beside("registry.db")));
    log.add("backup to nowhere", world.acme.backup(""));
}

fn export(world: &World, log: &mut Log) {
    log.add("export", world.acme.export());
}

fn import(world: &World, log: &mut Log) {
    log.add("import", world.acme.import(empty_document()));
}

fn check(world: &World, log: &mut Log) {
    log.add("check", world.acme.check());
}

#[cfg(feature = "test-util")]
fn fork(world: &World, log: &mut Log) {
    log.add("fork", world.acme.fork());
}

#[cfg(feature = "encryption")]
fn rekey(world: &World, log: &mut Log) {
    for key in [None, Some([1; 32])] {
        log.add("rekey", world.acme.rekey(key));
    }
}

fn owners(world: &World, log: &mut Log) {
    for (after, limit) in [(None, 10), (Some("acme"), 1), (Some(""), 0)] {
        log.add("owners", world.acme.owners(after, limit));
    }
}

fn for_owner(world: &World, log: &mut Log) {
    for owner in ["acme", "globex", "nobody", "", " "] {
        log.add("for_owner", world.acme.for_owner(owner));
    }
}

fn for_every_owner(world: &World, log: &mut Log) {
    log.add("for_every_owner", world.acme.for_every_owner());
}

/// The functions that make a registry. No handle is limited before.
pub(super) const WITHOUT_A_HANDLE: [&str; 3] = ["open", "in_memory", "options"];

/// The methods that only some features have.
pub(super) const WITH_A_FEATURE: [(&str, bool); 2] =
    [("fork", cfg!(feature = "test-util")), ("rekey", cfg!(feature = "encryption"))];

/// The methods of which every call is rejected through a handle that is limited to an owner.
pub(super) const REJECTED: [&str; 12] = [
    "register_event_type",
    "register_event_types",
    "remove_event_type",
    "backup",
    "export",
    "import",
    "check",
    "fork",
    "rekey",
    "owners",
    "for_owner",
    "for_every_owner",
];

/// A method, and the calls of it.
pub(super) type Row = (&'static str, fn(&World, &mut Log));

/// Every method of a registry.
pub(super) const TABLE: &[Row] = &[
    ("apply", apply),
    ("backup", backup),
    ("changes", history),
    ("check", check),
    ("count", count),
    ("create", create),
    ("create_all", create_all),
    ("delete", delete),
    ("delete_all", delete_all),
    ("delete_if_revision", delete_if_revision),
    ("disable", disable),
    ("ensure", ensure),
    ("event_type", event_type),
    ("event_types", event_types),
    ("expand", expand),
    ("explain", explain),
    ("export", export),
    ("for_every_owner", for_every_owner),
    ("for_owner", for_owner),
    #[cfg(feature = "test-util")]
    ("fork", fork),
    ("get", get),
    ("get_by_name", get_by_name),
    ("import", import),
    ("is_empty", is_empty),
    ("iter", iter),
    ("last_change", last_change),
    ("len", len),
    ("list", list),
    ("owners", owners),
    ("path", path),
    ("plan", plan),
    ("register_event_type", register_event_type),
    ("register_event_types", register_event_types),
    #[cfg(feature = "encryption")]
    ("rekey", rekey),
    ("remove_event_type", remove_event_type),
    ("revoke_old_secrets", revoke_old_secrets),
    ("rotate_secret", rotate_secret),
    ("secret", one_secret),
    ("secrets", secrets),
    ("subscriber", one_subscriber),
    ("subscribers", subscribers),
    ("update", update),
];
