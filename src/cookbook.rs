//! Recipes: whole programs for what one comes here to do.
//!
//! - [Declare subscriptions at start-up](#declare-subscriptions-at-start-up)
//! - [Register new event types from a plug-in](#register-new-event-types-from-a-plug-in)
//! - [Why did this not fire?](#why-did-this-not-fire)
//! - [Rotate a secret without losing a delivery](#rotate-a-secret-without-losing-a-delivery)
//! - [Outbox: match and enqueue](#outbox-match-and-enqueue)
//! - [Use it in tests](#use-it-in-tests)
//! - [Move from a JSON file, or from Svix's endpoints](#move-from-a-json-file-or-from-svixs-endpoints)
//! - [Several tenants](#several-tenants)
//! - [Back up](#back-up)
//! - [Watch for changes of another process](#watch-for-changes-of-another-process)
//!
//! # Declare subscriptions at start-up
//!
//! A list in the program, or in its configuration, is made true at every start. [`ensure`](crate::Registry::ensure) does it
//! for one; [`plan`](crate::Registry::plan) and [`apply`](crate::Registry::apply) do it for all in one transaction, and show
//! first what they would do. `enabled` and the secret are left alone where the list does not state them, so a restart does not
//! undo what an operator has disabled.
//!
//! ```
//! use webhook_registry::{ErrorKind, NewSubscription, Prune, Registry};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("webhooks.db");
//! let declared = r#"[
//!     {"name": "crm", "url": "https://crm.example.com/hook", "events": ["agent.*"]},
//!     {"name": "bi", "url": "https://bi.example.com/in", "events": ["channel.held.v1"]}
//! ]"#;
//! let registry = Registry::open(path)?;
//! registry.register_event_types(["agent.presencechanged.v1", "channel.held.v1"])?;
//!
//! let declared: Vec<NewSubscription> = serde_json::from_str(declared)?;
//! loop {
//!     let plan = registry.plan(declared.clone(), Prune::Keep)?;
//!     if plan.is_empty() {
//!         break;
//!     }
//!     println!("{plan}"); // + create crm …
//!     match registry.apply(plan) {
//!         Ok(applied) => {
//!             for created in applied.created() {
//!                 println!("the key of {}: {}", created.subscription().name(), created.secret().expose());
//!             }
//!         }
//!         // Another process was faster: plan again.
//!         Err(error) if error.kind() == ErrorKind::Conflict => continue,
//!         Err(error) => return Err(error.into()),
//!     }
//! }
//! # assert_eq!(registry.len()?, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Register new event types from a plug-in
//!
//! Whoever adds events says so when it is loaded; doing it again changes nothing. Every wildcard that covers a new type
//! takes it in at once, so subscribers of `billing.*` hear of a plug-in that they have never heard of.
//!
//! ```
//! use webhook_registry::{EventType, NewSubscription, Registry};
//!
//! # let registry = Registry::in_memory()?;
//! # registry.register_event_type("billing.paid.v1")?;
//! registry.create(NewSubscription::new("ledger", "https://ledger.example.com/", ["billing.*"]))?;
//!
//! registry.register_event_types([
//!     EventType::new("billing.refunded.v1").with_description("A payment was given back."),
//!     EventType::new("billing.disputed.v1"),
//! ])?;
//! assert_eq!(registry.subscribers("billing.refunded.v1")?[0].name(), "ledger");
//! # Ok::<(), webhook_registry::Error>(())
//! ```
//!
//! # Why did this not fire?
//!
//! [`explain`](crate::Registry::explain) shows everybody who would get an event, also the disabled, with the patterns that
//! say so. What is not in it has no pattern that covers the event; a misspelt event is an error with a suggestion.
//! [`check`](crate::Registry::check) finds what looks wrong without being asked for one event.
//!
//! ```
//! use webhook_registry::{ErrorKind, NewSubscription, Registry};
//!
//! # let registry = Registry::in_memory()?;
//! # registry.register_event_types(["channel.held.v1", "channel.held.v2"])?;
//! registry.create(NewSubscription::new("crm", "https://crm.example.com/", ["channel.*"]).enabled(false))?;
//! registry.create(NewSubscription::new("bi", "https://bi.example.com/", ["*.v2"]))?;
//!
//! let why = registry.explain("channel.held.v1")?;
//! assert_eq!(why.to_string(), "channel.held.v1\n  crm  disabled  channel.*");
//! assert_eq!(registry.expand("*.v2")?, ["channel.held.v2"]); // so that is what `bi` hears
//!
//! let error = registry.explain("channel.hold.v1").unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::NotFound);
//! assert!(error.to_string().contains("channel.held.v1"), "did you mean");
//!
//! for advice in registry.check()?.advice() {
//!     println!("{advice}");
//! }
//! # Ok::<(), webhook_registry::Error>(())
//! ```
//!
//! # Rotate a secret without losing a delivery
//!
//! During the overlap every delivery is signed with both secrets, so it does not matter when the receiver changes over.
//! Nothing has to be cleaned up: a secret ends by the clock, also in an answer that was fetched before.
//!
//! ```
//! use std::time::Duration;
//! use webhook_registry::{NewSubscription, Registry, Rotation};
//!
//! # let registry = Registry::in_memory()?;
//! # registry.register_event_type("agent.presencechanged.v1")?;
//! let request = NewSubscription::new("crm", "https://crm.example.com/", ["agent.*"]);
//! let id = registry.create(request)?.subscription().id();
//!
//! let three_days = Rotation::new().overlap(Duration::from_secs(3 * 24 * 60 * 60));
//! let new = registry.rotate_secret(id, three_days)?;
//! println!("tell the receiver: {}", new.expose());
//! assert_eq!(registry.subscribers("agent.presencechanged.v1")?[0].secrets().count(), 2);
//!
//! // Once the receiver says that it has changed over, or if the old one has leaked:
//! registry.revoke_old_secrets(id)?;
//! assert_eq!(registry.subscribers("agent.presencechanged.v1")?[0].secrets().count(), 1);
//! # Ok::<(), webhook_registry::Error>(())
//! ```
//!
//! With the feature `signing`, `Subscriber::sign` makes the headers, one signature for each secret that lives.
//!
//! # Outbox: match and enqueue
//!
//! Deliveries belong into your own database, in the transaction of what they tell of: then an event is told if, and only
//! if, it has happened. Keep the URL out of the queue and look it up when you deliver, so that a change of it acts on
//! deliveries that wait.
//!
//! ```
//! use webhook_registry::{NewSubscription, Registry};
//!
//! # let registry = Registry::in_memory()?;
//! # registry.register_event_type("order.paid")?;
//! # registry.create(NewSubscription::new("crm", "https://crm.example.com/", ["order.*"]))?;
//! let mut shop = rusqlite::Connection::open_in_memory()?; // your database, by any library
//! shop.execute_batch(
//!     "CREATE TABLE paid (id INTEGER PRIMARY KEY);
//!      CREATE TABLE outbox (id INTEGER PRIMARY KEY, subscription TEXT NOT NULL, event TEXT NOT NULL,
//!                           payload TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0);",
//! )?;
//!
//! let tx = shop.transaction()?;
//! tx.execute("INSERT INTO paid (id) VALUES (7)", [])?;
//! for subscriber in &registry.subscribers("order.paid")? {
//!     tx.execute(
//!         "INSERT INTO outbox (subscription, event, payload) VALUES (?1, 'order.paid', ?2)",
//!         [subscriber.id().to_string(), r#"{"order": 7}"#.to_owned()],
//!     )?;
//! }
//! tx.commit()?;
//!
//! // The worker:
//! let mut waiting = shop.prepare("SELECT subscription, event, payload FROM outbox ORDER BY id")?;
//! let mut waiting = waiting.query([])?;
//! while let Some(row) = waiting.next()? {
//!     let (to, event): (String, String) = (row.get(0)?, row.get(1)?);
//!     let subscribers = registry.subscribers(&event)?;
//!     match subscribers.iter().find(|subscriber| subscriber.id().to_string() == to) {
//!         Some(subscriber) => println!("POST to {}", subscriber.url()),
//!         None => println!("disabled, deleted, or no longer interested: drop it"),
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Use it in tests
//!
//! In memory a registry takes half a millisecond. With the feature `test-util` ids, secrets and times are the same in each
//! run, so that a snapshot of the JSON holds; time stands still until the test moves it; and a
//! fork of one that took long to fill costs little.
//!
//! ```
//! # #[cfg(feature = "test-util")] {
//! use std::time::{Duration, UNIX_EPOCH};
//! use webhook_registry::{ManualClock, NewSubscription, Registry, Rotation};
//!
//! let clock = ManualClock::new(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
//! let hands = clock.clone();
//! let registry = Registry::options().deterministic(7).clock(move || hands.now()).in_memory()?;
//! registry.register_event_type("agent.presencechanged.v1")?;
//! let created = registry.create(NewSubscription::new("crm", "https://example.com/", ["agent.*"]))?;
//! let id = created.subscription().id();
//! assert_eq!(id, registry.fork()?.get_by_name("crm")?.unwrap().id());
//!
//! registry.rotate_secret(id, Rotation::new().overlap(Duration::from_secs(60)))?;
//! let subscribers = registry.subscribers("agent.presencechanged.v1")?;
//! assert_eq!(subscribers[0].secrets().count(), 2);
//! clock.advance(Duration::from_secs(60));
//! assert_eq!(subscribers[0].secrets().count(), 1, "a minute later the old one is dead");
//! # }
//! # Ok::<(), webhook_registry::Error>(())
//! ```
//!
//! # Move from a JSON file, or from Svix's endpoints
//!
//! A file of your own is a list of [`NewSubscription`](crate::NewSubscription)s once its keys have the names of the JSON
//! here; [`create_all`](crate::Registry::create_all) takes it whole or not at all, and tells every fault with its place.
//! An endpoint as Svix lists it maps like this; its secret comes from Svix's own call for it, `whsec_` and all.
//!
//! ```
//! use webhook_registry::{NewSubscription, Registry};
//!
//! # let registry = Registry::in_memory()?;
//! # registry.register_event_types(["invoice.paid", "invoice.voided"])?;
//! let listed: serde_json::Value = serde_json::from_str(
//!     r#"{"data": [
//!         {"id": "ep_1", "uid": "crm", "url": "https://crm.example.com/", "description": "the CRM",
//!          "filterTypes": ["invoice.paid"], "disabled": false, "metadata": {"team": "sales"}},
//!         {"id": "ep_2", "url": "https://bi.example.com/", "description": "",
//!          "filterTypes": null, "disabled": true, "metadata": {}}
//!     ], "done": true}"#,
//! )?;
//! let text = |endpoint: &serde_json::Value, key: &str| endpoint[key].as_str().map(str::to_owned);
//! let requests = listed["data"].as_array().into_iter().flatten().map(|endpoint| {
//!     let name = text(endpoint, "uid").or_else(|| text(endpoint, "id")).unwrap_or_default();
//!     // No filter is every event.
//!     let events = match endpoint["filterTypes"].as_array() {
//!         Some(types) => types.iter().filter_map(|name| name.as_str()).map(str::to_owned).collect(),
//!         None => vec!["*".to_owned()],
//!     };
//!     let mut request = NewSubscription::new(name, text(endpoint, "url").unwrap_or_default(), events)
//!         .enabled(endpoint["disabled"] != true);
//!     if let Some(description) = text(endpoint, "description").filter(|text| !text.is_empty()) {
//!         request = request.description(description);
//!     }
//!     for (key, value) in endpoint["metadata"].as_object().into_iter().flatten() {
//!         request = request.metadata(key, value.as_str().unwrap_or_default());
//!     }
//!     request
//! });
//! let created = registry.create_all(requests)?;
//! assert_eq!(created[1].subscription().name(), "ep_2");
//! assert!(!created[1].subscription().enabled());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! From another registry, [`export`](crate::Registry::export) and [`import`](crate::Registry::import) keep everything: ids,
//! times, revisions and secrets.
//!
//! # Several tenants
//!
//! One file a tenant: nothing of one can show up in an answer for another, one is backed up, moved and deleted by itself,
//! and writers of two never wait for each other. A file that is open costs a few hundred kilobytes and two descriptors at
//! least, so keep those open that are in use.
//!
//! ```
//! use std::collections::HashMap;
//! use std::path::PathBuf;
//! use webhook_registry::{Registry, Result};
//!
//! struct Tenants {
//!     folder: PathBuf,
//!     open: HashMap<u32, Registry>,
//! }
//!
//! impl Tenants {
//!     // By a number of yours: a name that a tenant has chosen can be `../../etc`.
//!     fn of(&mut self, tenant: u32) -> Result<Registry> {
//!         if let Some(registry) = self.open.get(&tenant) {
//!             return Ok(registry.clone());
//!         }
//!         let registry = Registry::open(self.folder.join(format!("{tenant}.db")))?;
//!         self.open.insert(tenant, registry.clone());
//!         Ok(registry)
//!     }
//! }
//!
//! # let folder = tempfile::tempdir()?;
//! let mut tenants = Tenants { folder: folder.path().to_owned(), open: HashMap::new() };
//! tenants.of(7)?.register_event_type("order.paid")?;
//! assert!(tenants.of(8)?.event_types()?.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In one file a tenant can be a key of the metadata, and [`ListQuery::metadata`](crate::ListQuery::metadata) asks for it; but
//! [`subscribers`](crate::Registry::subscribers) answers for all, and telling them apart is then yours.
//!
//! # Back up
//!
//! [`backup`](crate::Registry::backup) makes a file that is whole and of one moment, while others write. To go back, close
//! every handle and put the copy in the place of the file, its `-wal` and `-shm` removed. Copying the file with other means
//! loses what is in the `-wal`.
//!
//! ```
//! use webhook_registry::{ErrorKind, Registry};
//!
//! # let folder = tempfile::tempdir()?;
//! # let (path, copy) = (folder.path().join("webhooks.db"), folder.path().join("monday.db"));
//! let registry = Registry::open(&path)?;
//! registry.register_event_type("order.paid")?;
//! registry.backup(&copy)?;
//! assert!(Registry::options().read_only(true).open(&copy)?.check()?.is_sound());
//!
//! // Nothing is ever written over: a copy of another day needs another name.
//! assert_eq!(registry.backup(&copy).unwrap_err().kind(), ErrorKind::Conflict);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Watch for changes of another process
//!
//! Answers need no watching: the next call sees every change. Who has to do something about one reads the history from
//! where it stopped; a look while nothing has happened is one short query. `Gone` says that it has been away for longer than
//! the history goes back: then it reads everything anew.
//!
//! ```
//! use webhook_registry::{ErrorKind, NewSubscription, Registry};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("webhooks.db");
//! # let another_process = Registry::open(&path)?;
//! # another_process.register_event_type("order.paid")?;
//! let registry = Registry::open(&path)?;
//! let mut after = registry.last_change()?; // from now on; keep it where it survives a restart
//! # another_process.create(NewSubscription::new("crm", "https://example.com/", ["order.*"]))?;
//!
//! // Every few seconds:
//! # let mut seen = Vec::new();
//! match registry.changes(after, 100) {
//!     Ok(changes) => {
//!         for change in changes {
//!             println!("{:?} {}", change.kind(), change.subject());
//!             after = change.sequence();
//! #           seen.push(change.kind());
//!         }
//!     }
//!     Err(error) if error.kind() == ErrorKind::Gone => {
//!         after = registry.last_change()?; // before the list: what comes between is told again
//!         for subscription in registry.iter(Default::default()) {
//!             println!("{}", subscription?.name());
//!         }
//!     }
//!     Err(error) => return Err(error.into()),
//! }
//! # assert_eq!(seen, [webhook_registry::ChangeKind::Created]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
