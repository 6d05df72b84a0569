//! Tests that a plan does exactly what it shows, and is rejected if the registry has changed since,
//! if it is applied to another registry, or if one of its steps fails.

use webhook_registry::{
    ErrorKind, ListQuery, NewSubscription, Plan, Prune, Registry, Rotation, StepKind,
    SubscriptionUpdate, UrlPolicy,
};

use crate::support::child::{self, Peer};
use crate::support::{SEED_SECRET, contact_center, learn, new, refused};

const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjU";

/// Returns the content of a registry with the number of its last change.
fn contents(registry: &Registry) -> (webhook_registry::Export, u64) {
    (registry.export().unwrap(), registry.last_change().unwrap())
}

fn names(registry: &Registry) -> Vec<String> {
    registry.iter(ListQuery::new()).map(|found| found.unwrap().name().to_owned()).collect()
}

/// Asserts that applying the plan is a conflict with this reason and changes nothing.
#[track_caller]
fn assert_conflict(registry: &Registry, plan: Plan, why: &str) {
    let before = contents(registry);
    let error = refused(registry.apply(plan), ErrorKind::Conflict, &["plan"]);
    assert_eq!(error.to_string(), format!("plan {why}"));
    assert_eq!(contents(registry), before);
}

const OUT_OF_DATE: &str = "is out of date: the registry has changed since it was made";
const ANOTHER: &str = "was made on another file";

#[test]
fn a_plan_shows_its_steps_applies_them_and_is_then_empty() {
    let registry = contact_center();
    for name in ["old", "crm", "bi", "older"] {
        registry.create(new(name).description("d")).unwrap();
    }
    let before = contents(&registry);
    let declared = || {
        [
            new("new").secret(SEED_SECRET),
            new("bi").description("e").metadata("k", "v").secret(OTHER).enabled(false),
            new("crm").description("d"),
            NewSubscription::new("second", "https://example.com/", ["channel.*"]),
        ]
    };
    let plan = registry.plan(declared(), Prune::Delete).unwrap();
    assert_eq!(contents(&registry), before, "a plan must not change the registry");
    assert!(!plan.is_empty());
    let shown = "+ create new\n~ update bi (enabled, description, metadata, secret)\n\
                 + create second\n- delete old\n- delete older";
    assert_eq!(plan.to_string(), shown);
    let steps: Vec<String> = plan.steps().iter().map(ToString::to_string).collect();
    assert_eq!(steps.join("\n"), shown);
    let kinds: Vec<_> = plan.steps().iter().map(|step| (step.kind(), step.name())).collect();
    use StepKind::{Create, Delete, Update};
    let expected =
        [(Create, "new"), (Update, "bi"), (Create, "second"), (Delete, "old"), (Delete, "older")];
    assert_eq!(kinds, expected);
    let fields: Vec<usize> = plan.steps().iter().map(|step| step.fields().len()).collect();
    assert_eq!(fields, [0, 4, 0, 0, 0]);

    let gone = ["old", "older"].map(|name| registry.get_by_name(name).unwrap().unwrap().id());
    let applied = registry.apply(plan).unwrap();
    assert_eq!(applied.deleted(), gone);
    let made: Vec<_> = applied.created().iter().map(|it| it.subscription().name()).collect();
    assert_eq!(
        (made.as_slice(), applied.created()[0].secret().expose()),
        (&["new", "second"][..], SEED_SECRET)
    );
    assert_eq!(applied.created()[1].secret().key().len(), 64);
    let [bi] = applied.updated() else { panic!("{applied:?}") };
    assert_eq!(Some(bi), registry.get_by_name("bi").unwrap().as_ref());
    assert_eq!((bi.revision(), bi.enabled(), bi.description()), (2, false, Some("e")));
    assert_eq!(registry.secret(bi.id()).unwrap().expose(), OTHER);
    assert_eq!(names(&registry), ["crm", "bi", "new", "second"]);
    assert_eq!(registry.get_by_name("crm").unwrap().unwrap().revision(), 1);

    let before = contents(&registry);
    let plan = registry.plan(declared(), Prune::Delete).unwrap();
    assert!(plan.is_empty() && plan.steps().is_empty());
    assert_eq!(plan.to_string(), "nothing to do");
    for _ in 0..2 {
        let applied = registry.apply(plan.clone()).unwrap();
        assert_eq!(applied, Default::default());
    }
    assert_eq!(contents(&registry), before, "an empty plan must not change the registry");
}

#[test]
fn undeclared_subscriptions_are_kept_or_deleted_as_the_prune_mode_says() {
    let registry = contact_center();
    registry.create_all([new("a"), new("b"), new("c").enabled(false)]).unwrap();
    assert!(registry.plan([new("b")], Prune::Keep).unwrap().is_empty());
    assert!(registry.plan([], Prune::Keep).unwrap().is_empty());
    let plan = registry.plan([new("b")], Prune::Delete).unwrap();
    assert_eq!(plan.to_string(), "- delete a\n- delete c");
    registry.apply(plan).unwrap();
    assert_eq!(names(&registry), ["b"]);
    assert_eq!(
        registry.event_types().unwrap().len(),
        contact_center().event_types().unwrap().len()
    );
    let applied = registry.apply(registry.plan([], Prune::Delete).unwrap()).unwrap();
    assert_eq!((applied.deleted().len(), registry.is_empty().unwrap()), (1, true));
    assert!(registry.plan([], Prune::Delete).unwrap().is_empty());
}

#[test]
fn a_plan_compares_enabled_and_secret_only_if_stated() {
    let registry = contact_center();
    let id = registry.create(new("crm").enabled(false).secret(OTHER)).unwrap().subscription().id();
    let plan = |declared| registry.plan([declared], Prune::Delete).unwrap().to_string();
    assert_eq!(plan(new("crm")), "nothing to do");
    assert_eq!(plan(new("crm").enabled(false).secret(OTHER)), "nothing to do");
    assert_eq!(plan(new("crm").enabled(true)), "~ update crm (enabled)");
    assert_eq!(plan(new("crm").secret(SEED_SECRET)), "~ update crm (secret)");
    // Only the newest secret is compared; the others will expire.
    registry.rotate_secret(id, Rotation::new().secret(SEED_SECRET)).unwrap();
    assert_eq!(plan(new("crm").secret(SEED_SECRET)), "nothing to do");
    assert_eq!(plan(new("crm").secret(OTHER)), "~ update crm (secret)");
    assert_eq!(plan(new("crm").with_url("https://b.com/")), "~ update crm (url)");
}

/// Returns the subscription with another URL.
trait WithUrl {
    fn with_url(self, url: &str) -> NewSubscription;
}

impl WithUrl for NewSubscription {
    fn with_url(self, url: &str) -> NewSubscription {
        NewSubscription::new(self.name(), url, self.events())
    }
}

#[test]
fn a_plan_shows_that_a_secret_changes_but_not_its_value() {
    let registry = contact_center();
    registry.create(new("crm").secret(SEED_SECRET)).unwrap();
    let plan =
        registry.plan([new("crm").secret(OTHER), new("bi").secret(OTHER)], Prune::Keep).unwrap();
    let mut shown = format!("{plan} {plan:?} {plan:#?} {:?}", plan.steps());
    assert!(shown.contains("~ update crm (secret)"), "{shown}");
    shown += &format!("{:?}", registry.apply(plan).unwrap());
    assert!(!shown.contains(&SEED_SECRET[..8]) && !shown.contains(&OTHER[6..14]), "{shown}");
}

#[test]
fn a_plan_reports_every_problem_of_every_entry_with_its_position() {
    let registry = contact_center();
    registry.create(new("there")).unwrap();
    let before = contents(&registry);
    let list = [
        new("ok"),
        new("there").with_url("ftp://x"),
        new("ok"),
        NewSubscription::new("", "https://example.com/", ["agent.hold.v1", "*"]).secret("c2hvcnQ="),
        new("").metadata("", ""),
        new("there"),
    ];
    let fields = [
        "[1].url",
        "[2].name",
        "[3].name",
        "[3].events[0]",
        "[3].secret",
        "[4].name",
        "[4].metadata",
        "[5].name",
    ];
    for prune in [Prune::Keep, Prune::Delete] {
        let error = refused(registry.plan(list.clone(), prune), ErrorKind::Invalid, &fields);
        let said = |at: usize| error.problems()[at].message().to_owned();
        assert_eq!(said(1), r#""ok" stands in this list already, at [0]"#);
        assert_eq!(said(7), r#""there" stands in this list already, at [1]"#);
        assert!(said(3).starts_with(r#"no event type "agent.hold.v1""#), "{error}");
        assert!(!error.to_string().contains("c2hvcnQ="));
    }
    assert_eq!(contents(&registry), before);
}

#[test]
fn a_plan_validates_only_what_differs_from_existing_subscriptions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let lax = Registry::options().min_secret_bytes(1).open(&path).unwrap();
    learn(&lax);
    let there = || NewSubscription::new("crm", "http://localhost/", ["gone.*"]).secret("c2hvcnQ=");
    lax.create(there().allow_unknown_events(true)).unwrap();
    let strict = Registry::options().url_policy(UrlPolicy::https_only()).open(&path).unwrap();
    assert!(strict.plan([there()], Prune::Keep).unwrap().is_empty());
    let plan = strict.plan([there().description("d")], Prune::Keep).unwrap();
    strict.apply(plan).unwrap();
    let other = NewSubscription::new("crm", "http://localhost/2", ["gone.?"]).secret("c2hvcnQ2");
    let fields = ["[0].url", "[0].events[0]", "[0].secret"];
    refused(strict.plan([other.clone()], Prune::Keep), ErrorKind::Invalid, &fields);
    // Input that is valid for the planning registry is validated again by the applying one,
    // completely, and nothing is applied.
    let list = [
        new("first"),
        other.clone().allow_unknown_events(true),
        new("2").with_url("http://a.com/"),
    ];
    let plan = lax.plan(list, Prune::Delete).unwrap();
    assert_eq!(
        plan.to_string(),
        "+ create first\n~ update crm (url, events, description, secret)\n+ create 2"
    );
    let before = contents(&lax);
    let fields = ["[1].url", "[1].secret", "[2].url"];
    refused(strict.apply(plan.clone()), ErrorKind::Invalid, &fields);
    assert_eq!(contents(&lax), before);
    assert_eq!(lax.apply(plan).unwrap().created().len(), 2);
}

#[test]
fn any_change_since_the_plan_is_a_conflict() {
    let registry = contact_center();
    let id = registry.create(new("crm")).unwrap().subscription().id();
    registry.rotate_secret(id, Rotation::new()).unwrap();
    registry.register_event_type("plain.v1").unwrap();
    let edit = SubscriptionUpdate::new;
    type Call<'a> = &'a dyn Fn(&Registry);
    let calls: [(&str, Call<'_>); 12] = [
        ("a creation", &|it| drop(it.create(new("a")).unwrap())),
        ("several", &|it| drop(it.create_all([new("b"), new("c")]).unwrap())),
        ("an update", &|it| drop(it.update(id, edit().description("d")).unwrap())),
        ("there and back", &|it| {
            it.update(id, edit().enabled(false)).unwrap();
            it.update(id, edit().enabled(true)).unwrap();
        }),
        ("a deletion", &|it| it.delete(it.get_by_name("a").unwrap().unwrap().id()).unwrap()),
        ("a revocation", &|it| it.revoke_old_secrets(id).unwrap()),
        ("a rotation", &|it| drop(it.rotate_secret(id, Rotation::new()).unwrap())),
        ("a new event type", &|it| it.register_event_type("new.v1").unwrap()),
        ("a description", &|it| {
            let described = webhook_registry::EventType::new("plain.v1").with_description("d");
            it.register_event_type(described).unwrap();
        }),
        ("an event type less", &|it| it.remove_event_type("plain.v1").unwrap()),
        ("ensure", &|it| drop(it.ensure(new("d")).unwrap())),
        ("another plan", &|it| {
            drop(it.apply(it.plan([new("e")], Prune::Keep).unwrap()).unwrap());
        }),
    ];
    for (what, call) in calls {
        let plan =
            registry.plan([new("planned"), new("crm").description("x")], Prune::Delete).unwrap();
        let nothing = registry.plan([], Prune::Keep).unwrap();
        call(&registry);
        println!("{what}");
        assert_conflict(&registry, plan, OUT_OF_DATE);
        assert_conflict(&registry, nothing, OUT_OF_DATE);
    }
    // A new plan of the same list succeeds; applying the old plan twice does not.
    let plan = registry.plan([new("planned")], Prune::Keep).unwrap();
    registry.apply(plan.clone()).unwrap();
    assert_conflict(&registry, plan, OUT_OF_DATE);
}

#[test]
fn calls_without_effect_do_not_invalidate_a_plan() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = Registry::open(&path).unwrap();
    learn(&registry);
    let id = registry.create(new("crm")).unwrap().subscription().id();
    let plan = registry.plan([new("planned")], Prune::Delete).unwrap();
    registry.update(id, SubscriptionUpdate::new().name("crm")).unwrap();
    registry.ensure(new("crm")).unwrap();
    registry.revoke_old_secrets(id).unwrap();
    learn(&registry);
    registry.create_all([]).unwrap();
    refused(registry.create(new("crm")), ErrorKind::Conflict, &["name"]);
    refused(registry.create(new("")), ErrorKind::Invalid, &["name"]);
    registry.check().unwrap();
    registry.backup(folder.path().join("copy.db")).unwrap();
    drop(Registry::options().keep_changes(0).open(&path).unwrap());
    assert_eq!(registry.apply(plan).unwrap().created().len(), 1);
}

#[test]
fn a_plan_detects_changes_also_without_a_history() {
    let registry = Registry::options().keep_changes(0).in_memory().unwrap();
    learn(&registry);
    let plan = registry.plan([new("crm")], Prune::Keep).unwrap();
    registry.create(new("other")).unwrap();
    assert_conflict(&registry, plan, OUT_OF_DATE);
}

#[test]
fn any_handle_of_the_same_file_can_apply_a_plan_and_detects_changes_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let one = Registry::open(&path).unwrap();
    learn(&one);
    let two = Registry::open(&path).unwrap();
    let reader = Registry::options().read_only(true).open(&path).unwrap();
    for (round, (maker, taker)) in
        [(&one, &two), (&two, &one), (&reader, &one), (&one, &one.clone())].into_iter().enumerate()
    {
        let plan = maker.plan([new(&round.to_string())], Prune::Delete).unwrap();
        refused(reader.apply(plan.clone()), ErrorKind::ReadOnly, &[]);
        taker.apply(plan).unwrap();
        assert_eq!(names(maker), [round.to_string()]);
    }
    // `ReadOnly` precedes the conflict of an outdated plan.
    let plan = one.plan([], Prune::Delete).unwrap();
    two.create(new("meanwhile")).unwrap();
    refused(reader.apply(plan.clone()), ErrorKind::ReadOnly, &[]);
    assert_conflict(&one, plan.clone(), OUT_OF_DATE);
    drop((one, two, reader));
    assert_conflict(&Registry::open(&path).unwrap(), plan, OUT_OF_DATE);
    let exclusive = Registry::options().exclusive(true).open(&path).unwrap();
    let plan = exclusive.plan([], Prune::Delete).unwrap();
    drop(exclusive);
    assert_eq!(Registry::open(&path).unwrap().apply(plan).unwrap().deleted().len(), 2);
}

#[test]
fn a_change_by_another_process_invalidates_a_plan() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let registry = Registry::open(&path).unwrap();
    learn(&registry);
    let mut peer = Peer::spawn(&mut child::command("plans::child_applies", &path, &[]));
    peer.expect("ready");
    for round in 0..5 {
        let plan =
            registry.plan([new("mine").description(round.to_string())], Prune::Keep).unwrap();
        peer.say("apply");
        peer.expect("applied");
        assert_conflict(&registry, plan, OUT_OF_DATE);
        let again =
            registry.plan([new("mine").description(round.to_string())], Prune::Keep).unwrap();
        registry.apply(again).unwrap();
    }
    assert!(peer.finish().is_empty());
}

#[test]
fn child_applies() {
    let Some((path, _)) = child::role() else {
        return;
    };
    let registry = Registry::open(path).unwrap();
    child::tell("ready");
    while child::await_word() == "apply" {
        let last = registry.last_change().unwrap();
        let declared = new("theirs").metadata("last", last.to_string());
        registry.apply(registry.plan([declared], Prune::Keep).unwrap()).unwrap();
        child::tell("applied");
    }
}

/// Copies that reached the change number of their origin by another change.
#[test]
fn a_plan_is_rejected_by_another_file_even_if_it_is_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let registry = Registry::open(path("webhooks.db")).unwrap();
    learn(&registry);
    registry.backup(path("copy.db")).unwrap();
    let copy = Registry::open(path("copy.db")).unwrap();
    copy.backup(path("second.db")).unwrap();
    let mut others = vec![
        (copy, "a copy"),
        (Registry::open(path("second.db")).unwrap(), "the copy of a copy"),
        (contact_center(), "one that was made alike"),
    ];
    registry.backup(path("third.db")).unwrap();
    others.push((Registry::open(path("third.db")).unwrap(), "another copy"));
    #[cfg(feature = "test-util")]
    others.extend([
        (registry.fork().unwrap(), "a fork"),
        (registry.fork().unwrap().fork().unwrap(), "the fork of a fork"),
    ]);
    let id = registry.create(new("crm")).unwrap().subscription().id();
    for (other, what) in &others {
        println!("{what}");
        other.create(new("theirs").secret(SEED_SECRET)).unwrap();
        assert_eq!(other.last_change().unwrap(), registry.last_change().unwrap());
        assert_conflict(other, registry.plan([new("planned")], Prune::Delete).unwrap(), ANOTHER);
        assert_conflict(&registry, other.plan([new("planned")], Prune::Delete).unwrap(), ANOTHER);
        assert!(other.check().unwrap().is_sound());
    }
    for pair in others.windows(2) {
        assert_conflict(&pair[0].0, pair[1].0.plan([], Prune::Keep).unwrap(), ANOTHER);
    }
    assert!(registry.get(id).unwrap().is_some());
}

#[cfg(feature = "encryption")]
#[test]
fn a_plan_is_rejected_by_a_copy_of_an_encrypted_file_with_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let options = Registry::options().encryption_key([7; 32]);
    let registry = options.open(path("webhooks.db")).unwrap();
    learn(&registry);
    let id = registry.create(new("crm").secret(SEED_SECRET)).unwrap().subscription().id();
    registry.backup(path("copy.db")).unwrap();
    let copy = options.open(path("copy.db")).unwrap();
    assert_eq!(copy.secret(id).unwrap().expose(), SEED_SECRET);
    assert_conflict(&copy, registry.plan([], Prune::Delete).unwrap(), ANOTHER);
    copy.rotate_secret(id, Rotation::new().secret(OTHER)).unwrap();
    copy.rekey(Some([8; 32])).unwrap();
    drop(copy);
    let copy = Registry::options().encryption_key([8; 32]).open(path("copy.db")).unwrap();
    let live = copy.secrets(id).unwrap();
    let live: Vec<&str> = live.iter().map(|issued| issued.secret().expose()).collect();
    assert_eq!(live, [OTHER, SEED_SECRET]);
    assert_conflict(&copy, registry.plan([], Prune::Delete).unwrap(), ANOTHER);
    assert!(copy.check().unwrap().is_sound());
}
