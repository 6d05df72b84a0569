//! Compares a registry with a naive model under random calls. After each call, every answer of
//! every handle is compared. This finds answers that are wrong only after a certain history: a
//! wildcard that lost an event type when another pattern was removed, a filter that ignores
//! disabled subscriptions, a cursor that skips a row, an id that decreases.

mod compare;
mod handle;
mod input;
mod naive;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use webhook_registry::{
    Ensured, Error, ErrorKind, EventType, Registry, RegistryOptions, Subscription, SubscriptionId,
};

use self::handle::Handle;
use self::input::{Edit, REASONS, SECRETS, URLS, Wish, to_update};
use self::naive::{Naive, Refusal, SCOPES, Scope, Sub, refusal};
use crate::support::{Random, size};

const NAMES: [&str; 9] = ["a", "b", "A", "ab", "a b", "é", "%", "_", "x\"'y"];
const TYPES: [&str; 8] = ["a", "a.b", "a.b.v1", "a.c", "a.b-c", "B:c/d", "z_1", "a.b.v2"];
const PATTERNS: [&str; 16] = [
    "*",
    "a*",
    "a.*",
    "*.v1",
    "a.b.v[12]",
    "a.?",
    "[!a]*",
    "a",
    "a.b",
    "a.b.v1",
    "z_1",
    "*b*",
    "?",
    "B:c/d",
    "nothing",
    "q*",
];
const KEYS: [&str; 3] = ["tenant", "k", "é"];
const LAST: i64 = 253_402_300_799_999;

pub(crate) struct World {
    pub(crate) random: Random,
    naive: Naive,
    clock: Arc<AtomicI64>,
    path: Option<PathBuf>,
    handles: Vec<Handle>,
    steps: usize,
}

/// Prints the step of a failure.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed after step {} with the model at {:#?}", self.steps, self.naive);
        }
    }
}

fn time(millis: i64) -> SystemTime {
    match u64::try_from(millis) {
        Ok(after) => UNIX_EPOCH + Duration::from_millis(after),
        Err(_) => UNIX_EPOCH - Duration::from_millis(millis.unsigned_abs()),
    }
}

fn flat(subscription: &Subscription, secret: Option<&str>) -> Sub {
    let millis = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    Sub {
        id: Some(subscription.id()),
        owner: subscription.owner().map(str::to_owned),
        name: subscription.name().to_owned(),
        url: subscription.url().to_owned(),
        events: subscription.events().iter().map(ToString::to_string).collect(),
        enabled: subscription.enabled(),
        secret: secret.map(str::to_owned),
        description: subscription.description().map(str::to_owned),
        metadata: subscription.metadata().clone(),
        reason: subscription.disabled_reason().map(str::to_owned),
        disabled: subscription.disabled_at().map(millis),
        created: millis(subscription.created_at()),
        updated: millis(subscription.updated_at()),
        revision: subscription.revision(),
    }
}

fn plain<T>(result: Result<T, Error>) -> Result<T, Refusal> {
    result.or_else(|error| {
        refusal(error.kind(), error.problems().iter().map(|problem| problem.field().to_owned()))
    })
}

impl World {
    /// Creates two handles on an empty registry.
    pub(crate) fn new(random: Random, path: Option<PathBuf>) -> World {
        let mut world = World {
            random,
            naive: Naive::default(),
            clock: Arc::new(AtomicI64::new(1_700_000_000_000)),
            path,
            handles: Vec::new(),
            steps: 0,
        };
        for _ in 0..2 {
            let handle = world.open();
            world.handles.push(handle);
        }
        world
    }

    fn options(&self) -> RegistryOptions {
        let clock = self.clock.clone();
        Registry::options().clock(move || time(clock.load(Ordering::Relaxed)))
    }

    /// Opens the file with a limit, mostly none. In memory, all handles are one registry.
    fn open(&mut self) -> Handle {
        let limit = *self.random.pick(&[None, None, None, Some(2), Some(3), Some(0)]);
        let options = match limit {
            Some(limit) => self.options().max_subscriptions(limit),
            None => self.options(),
        };
        match (&self.path, self.handles.first()) {
            (Some(path), _) => Handle::new(options.open(path).unwrap(), limit),
            (None, Some(first)) => first.clone(),
            // Not zero: no subscription could ever be created.
            (None, None) => {
                let limit = limit.filter(|limit| *limit > 0);
                let options = match limit {
                    Some(limit) => self.options().max_subscriptions(limit),
                    None => self.options(),
                };
                Handle::new(options.in_memory().unwrap(), limit)
            }
        }
    }

    fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed).clamp(0, LAST) as u64
    }

    fn text(&mut self, good: &[&str]) -> String {
        if self.random.chance(4) {
            (*self.random.pick(&["", " x", "\u{1}x"])).to_owned()
        } else {
            (*self.random.pick(good)).to_owned()
        }
    }

    fn description(&mut self) -> String {
        let good = !self.random.chance(5);
        (*self.random.pick(if good { &["text", "é\n"] } else { &["\0", "\0x"] })).to_owned()
    }

    fn reason(&mut self) -> String {
        let good = !self.random.chance(5);
        (*self.random.pick(if good { &REASONS } else { &["", "\0x"] })).to_owned()
    }

    fn secret(&mut self) -> String {
        self.text(&SECRETS)
    }

    fn events(&mut self) -> Vec<String> {
        if self.random.chance(2) {
            let many = if self.random.chance(50) { 0 } else { 257 };
            return vec!["*".to_owned(); many];
        }
        let count = 1 + self.random.below(4);
        let mut event = || {
            if self.random.chance(3) {
                "a**".to_owned()
            } else {
                (*self.random.pick(&PATTERNS)).to_owned()
            }
        };
        (0..count).map(|_| event()).collect()
    }

    fn wish(&mut self) -> Wish {
        let enabled = self.random.chance(40).then(|| self.random.chance(50));
        // Every reason for an enabled subscription is rejected.
        let reason = if enabled == Some(false) { 60 } else { 3 };
        Wish {
            name: self.text(&NAMES),
            url: self.text(&URLS),
            events: self.events(),
            enabled,
            reason: self.random.chance(reason).then(|| self.reason()),
            secret: self.random.chance(30).then(|| self.secret()),
            description: self.random.chance(30).then(|| self.description()),
            metadata: (0..self.random.below(3)).map(|_| self.entry()).collect(),
            allow: self.random.chance(50),
        }
    }

    fn entry(&mut self) -> (String, String) {
        let key = if self.random.chance(3) { "" } else { *self.random.pick(&KEYS) };
        (key.to_owned(), (*self.random.pick(&["1", "2", ""])).to_owned())
    }

    fn edits(&mut self, revision: u64) -> Vec<Edit> {
        (0..self.random.below(4))
            .map(|_| match self.random.below(12) {
                0 => Edit::Name(self.text(&NAMES)),
                1 => Edit::Url(self.text(&URLS)),
                2 | 3 => Edit::Events(self.events()),
                4 => Edit::Enabled(self.random.chance(50)),
                5 => Edit::Secret(self.secret()),
                6 => Edit::Description(self.random.chance(60).then(|| self.description())),
                7 => {
                    let (key, value) = self.entry();
                    Edit::Metadata(key, self.random.chance(70).then_some(value))
                }
                8 => Edit::ClearMetadata,
                9 => Edit::Allow(self.random.chance(80)),
                10 => Edit::Reason(self.random.chance(70).then(|| self.reason())),
                _ => Edit::IfRevision(revision + u64::from(self.random.chance(30))),
            })
            .collect()
    }

    /// Returns an id, mostly of an existing subscription.
    fn id(&mut self) -> SubscriptionId {
        let living: Vec<_> = self.naive.subs.iter().filter_map(|sub| sub.id).collect();
        if !living.is_empty() && self.random.chance(90) {
            *self.random.pick(&living)
        } else if !self.naive.ids.is_empty() && self.random.chance(80) {
            *self.random.pick(&self.naive.ids)
        } else {
            "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap()
        }
    }

    /// Asserts that every handle returns the answers of the model.
    pub(crate) fn compare_all(&mut self) {
        for handle in self.handles.clone() {
            self.compare_scopes(&handle);
        }
    }

    fn made(&mut self, mut sub: Sub, created: &webhook_registry::Created) {
        let subscription = created.subscription();
        assert!(self.naive.ids.last() < Some(&subscription.id()), "ids must increase");
        self.naive.ids.push(subscription.id());
        sub.id = Some(subscription.id());
        sub.secret.get_or_insert_with(|| created.secret().expose().to_owned());
        assert_eq!(flat(subscription, Some(created.secret().expose())), sub);
        self.naive.subs.push(sub);
    }

    fn replace(&mut self, after: Sub) {
        let before = self.naive.subs.iter_mut().find(|sub| sub.id == after.id);
        *before.unwrap() = after;
    }

    /// Asserts that a call returned the expected subscription or error, and updates the model.
    #[track_caller]
    fn changed(&mut self, found: Result<Subscription, Refusal>, expected: Result<Sub, Refusal>) {
        let secret = expected.as_ref().ok().and_then(|sub| sub.secret.clone());
        let found = found.map(|subscription| flat(&subscription, secret.as_deref()));
        assert_eq!(found, expected);
        if let Ok(after) = expected {
            self.replace(after);
        }
    }

    fn ensured(&mut self, scope: Scope, sub: Sub, ensured: &Ensured) {
        let Some(id) = sub.id else {
            let Ensured::Created(created) = ensured else { panic!("{ensured:?}") };
            return self.made(sub, created);
        };
        let before = self.naive.find(scope, id).unwrap().revision;
        let is_unchanged = matches!(ensured, Ensured::Unchanged(_));
        assert_eq!(is_unchanged, before == sub.revision, "{ensured:?}");
        assert_eq!(flat(ensured.subscription(), sub.secret.as_deref()), sub);
        self.replace(sub);
    }

    pub(crate) fn step(&mut self) {
        self.steps += 1;
        let handle = self.random.below(self.handles.len());
        let limit = self.handles[handle].limit;
        let mut scope = *self.random.pick(&SCOPES);
        let now = self.now();
        let choice = self.random.below(24);
        // Only some handles may change the catalog. A call through the others is mostly a waste.
        if matches!(choice, 13..=17) && self.random.chance(80) {
            scope = if self.random.chance(50) { Scope::NoOwner } else { Scope::Every };
        }
        let registry = self.handles[handle].scoped(scope);
        match choice {
            0..=4 => {
                let wish = self.wish();
                let expected = self.naive.create(scope, limit, &wish, now);
                let found = plain(registry.create(wish.to_new()));
                assert_eq!(found.as_ref().err(), expected.as_ref().err(), "{wish:?}");
                if let (Ok(created), Ok(sub)) = (found, expected) {
                    self.made(sub, &created);
                }
            }
            5 => {
                let wishes: Vec<Wish> = (0..self.random.below(4)).map(|_| self.wish()).collect();
                let expected = self.naive.create_all(scope, limit, &wishes, now);
                let found = plain(registry.create_all(wishes.iter().map(Wish::to_new)));
                assert_eq!(found.as_ref().err(), expected.as_ref().err(), "{wishes:?}");
                for (created, sub) in
                    found.into_iter().flatten().zip(expected.into_iter().flatten())
                {
                    self.made(sub, &created);
                }
            }
            6..=10 => {
                let id = self.id();
                let revision = self.naive.find(scope, id).map_or(1, |sub| sub.revision);
                let edits = self.edits(revision);
                let expected = self.naive.update(scope, id, &edits, now);
                let found = plain(registry.update(id, to_update(&edits)));
                self.changed(found, expected);
            }
            11 | 12 => {
                let id = self.id();
                let expected = self.random.chance(40).then(|| 1 + self.random.below(3) as u64);
                let found = match expected {
                    Some(revision) => registry.delete_if_revision(id, revision),
                    None => registry.delete(id),
                };
                assert_eq!(plain(found), self.naive.delete(scope, id, expected));
            }
            13..=15 => {
                let given: Vec<(String, Option<String>)> = (0..self.random.below(4))
                    .map(|_| {
                        let name = if self.random.chance(4) {
                            "no name"
                        } else {
                            *self.random.pick(&TYPES)
                        };
                        (name.to_owned(), self.random.chance(50).then(|| self.steps.to_string()))
                    })
                    .collect();
                let event_types = given.iter().map(|(name, description)| match description {
                    Some(text) => EventType::new(name.as_str()).with_description(text.as_str()),
                    None => EventType::new(name.as_str()),
                });
                let found = plain(registry.register_event_types(event_types));
                assert_eq!(found, self.naive.register(scope, &given), "{given:?}");
            }
            16 | 17 => {
                let name =
                    *self.random.pick(&["a", "a.b", "a.c", "z_1", "B:c/d", "*", "", "no name"]);
                assert_eq!(plain(registry.remove_event_type(name)), self.naive.remove(scope, name));
            }
            18 => {
                let steps = [0, 1, -1, 3_600_000, -3_600_000, 86_400_000];
                let jumps = [-5, 0, 1_700_000_000_000, LAST, LAST + 1];
                if self.random.chance(20) {
                    self.clock.store(*self.random.pick(&jumps), Ordering::Relaxed);
                } else {
                    self.clock.fetch_add(*self.random.pick(&steps), Ordering::Relaxed);
                }
            }
            19 | 20 => {
                let wish = self.wish();
                let expected = self.naive.ensure(scope, limit, &wish, now);
                let found = plain(registry.ensure(wish.to_new()));
                assert_eq!(found.as_ref().err(), expected.as_ref().err(), "{wish:?}");
                if let (Ok(ensured), Ok(sub)) = (found, expected) {
                    self.ensured(scope, sub, &ensured);
                }
            }
            21 => {
                // Mostly none, so that the registries fill.
                if self.random.chance(30) {
                    let deleted = plain(registry.delete_all());
                    assert_eq!(deleted, self.naive.delete_all(scope), "{scope:?}");
                }
            }
            22 => {
                let (id, reason) = (self.id(), self.reason());
                let edits = [Edit::Enabled(false), Edit::Reason(Some(reason.clone()))];
                let expected = self.naive.update(scope, id, &edits, now);
                self.changed(plain(registry.disable(id, reason)), expected);
            }
            _ => {
                drop(registry);
                if self.path.is_some() && self.random.chance(30) {
                    // The last handle to close checkpoints the -wal.
                    self.handles.clear();
                } else {
                    self.handles.remove(handle);
                }
                while self.handles.len() < 2 {
                    let handle = self.open();
                    self.handles.push(handle);
                }
            }
        }
    }
}

fn run(path: Option<PathBuf>, steps: usize) {
    let mut world = World::new(Random::new(), path);
    let (mut most, mut seen) = (0, BTreeSet::new());
    for step in 0.. {
        // Runs until every event type was known and four subscriptions existed at once.
        if step >= steps && most >= 4 && seen.len() == TYPES.len() {
            break;
        }
        assert!(step < 20 * steps, "a history too poor to prove anything: {most}, {seen:?}");
        world.step();
        world.compare_all();
        if let Some(path) = world.path.clone().filter(|_| world.steps.is_multiple_of(8)) {
            let reader = world.options().read_only(true).open(path).unwrap();
            assert_eq!(reader.delete(world.id()).unwrap_err().kind(), ErrorKind::ReadOnly);
            world.compare_scopes(&Handle::new(reader, None));
        }
        most = most.max(world.naive.subs.len());
        seen.extend(world.naive.types.keys().cloned());
    }
    if let Some(path) = &world.path {
        world.handles.clear();
        compare::audit(path, &world.naive);
    }
}

#[test]
fn a_file_registry_equals_the_model_after_random_operations() {
    for _ in 0..size(1, 20) {
        let folder = tempfile::tempdir().unwrap();
        run(Some(folder.path().join("registry.db")), size(150, 400));
    }
}

#[test]
fn an_in_memory_registry_equals_the_model_after_random_operations() {
    for _ in 0..size(2, 20) {
        run(None, size(150, 400));
    }
}
