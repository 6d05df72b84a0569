//! The input of the calls, and their answers as text.

use std::fmt::{Debug, Write as _};

use webhook_registry::{
    Applied, Change, Created, Error, Export, ListQuery, NewSubscription, Plan, Subscriber,
    SubscriptionUpdate,
};

use super::files::{CATALOG, NAMES, World, secret};
use crate::support::causes;

/// The answers of the calls.
#[derive(Default)]
pub(super) struct Log(pub(super) String);

impl Log {
    pub(super) fn line(&mut self, call: &str, answer: impl Debug) {
        writeln!(self.0, "{call}: {answer:?}").unwrap();
    }

    /// Writes an answer, or everything that an error tells.
    pub(super) fn add<T: Debug>(&mut self, call: &str, result: Result<T, Error>) {
        match result {
            Ok(answer) => self.line(call, answer),
            Err(error) => {
                let causes: Vec<String> = causes(&error).map(ToString::to_string).collect();
                let told = (error.kind(), error.to_string(), error.problems(), causes);
                self.line(call, (told, error.to_problem(), &error));
            }
        }
    }
}

pub(super) fn created(created: &Created) -> (String, String) {
    let subscription = created.subscription();
    (serde_json::to_string(created).unwrap(), format!("{subscription:?}"))
}

pub(super) fn subscriber(one: &Subscriber) -> String {
    let secrets: Vec<&str> = one.secrets().map(|secret| secret.expose()).collect();
    format!(
        "{one:?} {} {} {:?} {:?} {secrets:?}",
        one.name(),
        one.url(),
        one.metadata(),
        one.owner()
    )
}

/// A change without its number, which is the file's.
pub(super) fn changes(page: &[Change]) -> Vec<String> {
    assert!(page.is_sorted_by(|a, b| a.sequence() < b.sequence()));
    let one = |it: &Change| {
        format!("{:?} {:?} {} {:?} {:?}", it.at(), it.kind(), it.subject(), it.owner(), it.fields())
    };
    page.iter().map(one).collect()
}

pub(super) fn applied(applied: &Applied) -> (Vec<(String, String)>, String) {
    let made = applied.created().iter().map(created).collect();
    (made, format!("{:?} {:?}", applied.updated(), applied.deleted()))
}

pub(super) fn plan_text(plan: &Plan) -> (String, String) {
    (plan.to_string(), serde_json::to_string(plan).unwrap())
}

pub(super) fn new(name: &str) -> NewSubscription {
    NewSubscription::new(name, "https://example.com/new", ["order.*"]).secret(secret(20))
}

/// Subscriptions that a caller may declare: for each name a good one, and bad ones.
pub(super) fn declared() -> Vec<NewSubscription> {
    let url = "https://example.com/declared";
    let mut all: Vec<NewSubscription> = NAMES.iter().map(|name| new(name)).collect();
    all.extend([
        NewSubscription::new("", "nowhere", ["**"]),
        NewSubscription::new("near", url, ["order.creatd"]),
        // Others have these patterns, with which no event type is known.
        NewSubscription::new("unknown", url, ["vault.closed.*", "vault.closed"]),
        NewSubscription::new("as others have it", url, ["vault.*", "order.?aid"]).secret(secret(4)),
    ]);
    all
}

pub(super) fn queries(world: &World) -> Vec<ListQuery> {
    let all = ListQuery::new;
    let mut queries = vec![
        all(),
        all().limit(1),
        all().limit(2),
        all().limit(3),
        all().limit(0),
        all().enabled(true),
        all().enabled(false),
        all().metadata("tier", "gold"),
        all().metadata("tier", "tin").limit(1),
        all().name_contains("r"),
        all().name_contains("vault"),
        all().event_type("order.cretaed"),
        all().event_type("no type"),
    ];
    for event_type in CATALOG {
        queries.push(all().event_type(event_type));
        queries.push(all().event_type(event_type).enabled(false).limit(1));
        queries.push(all().event_type(event_type).name_contains("b").metadata("tier", "tin"));
    }
    for (_, id) in world.ids() {
        queries.push(all().after(id));
        queries.push(all().after(id).limit(1));
        queries.push(all().after(id).event_type("order.paid").limit(1));
    }
    queries
}

pub(super) fn updates() -> Vec<SubscriptionUpdate> {
    let update = SubscriptionUpdate::new;
    let mut updates: Vec<_> = NAMES.iter().map(|name| update().name(*name)).collect();
    updates.extend([
        update(),
        update().if_revision(9),
        update().url("nowhere").name(" "),
        update().events(["order.creatd"]),
        update().events(["vault.*", "order.?aid"]),
        update().secret(secret(0)),
        update().enabled(true).metadata("by", "acme"),
    ]);
    updates
}

/// Returns the document of a registry that holds nothing.
pub(crate) fn empty_document() -> Export {
    let document = r#"{"formatVersion": 1, "eventTypes": [], "subscriptions": []}"#;
    serde_json::from_str(document).unwrap()
}
