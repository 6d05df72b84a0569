//! Tests the advice of `check` about valid subscriptions: duplicate deliveries, patterns without
//! effect, plain HTTP, and secrets that are old or short.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use webhook_registry::{Registry, Rotation, SubscriptionId, SubscriptionUpdate};

use crate::check::create;
use crate::support::{contact_center, learn, new, size};

/// Asserts that there is one piece of advice, with this message and subscription.
#[track_caller]
fn assert_advised(registry: &Registry, about: SubscriptionId, message: &str) {
    let report = registry.check().unwrap();
    assert!(report.is_sound(), "{report}");
    let [advice] = report.advice() else { panic!("not exactly one piece of advice: {report}") };
    assert_eq!((advice.message(), advice.subscription_id()), (message, Some(about)));
    assert_eq!(report.to_string(), format!("advice: {message}"));
}

#[test]
fn two_subscriptions_that_receive_an_event_at_the_same_url_are_advised() {
    let registry = contact_center();
    let url = "https://example.com/hook";
    let first = create(&registry, "first", url, &["agent.*"]);
    let other =
        create(&registry, "other", "https://EXAMPLE.com:443/hook", &["agent.presencechanged.v1"]);
    let message = format!(
        "subscription \"other\" ({other}): it has the same URL as subscription \"first\" \
         ({first}), and both match \"agent.presencechanged.v1\", which is delivered there twice; \
         disable one, or remove the event from one"
    );
    assert_advised(&registry, other, &message);
    // No advice if one is disabled, has another URL, or subscribes to other events.
    let quiet = |update: SubscriptionUpdate| {
        registry.update(other, update).unwrap();
        let report = registry.check().unwrap();
        assert!(report.is_sound() && report.advice().is_empty(), "{report}");
    };
    quiet(SubscriptionUpdate::new().enabled(false));
    quiet(SubscriptionUpdate::new().enabled(true).url("https://example.com/hook2"));
    quiet(SubscriptionUpdate::new().url(url).events(["channel.*"]));
    // An equal pattern counts even if it matches no event type yet.
    let update = SubscriptionUpdate::new().events(["agent.*", "x.y"]).allow_unknown_events(true);
    registry.update(first, update).unwrap();
    registry
        .update(other, SubscriptionUpdate::new().events(["x.y"]).allow_unknown_events(true))
        .unwrap();
    let advice = registry.check().unwrap();
    assert!(
        advice.advice().iter().any(|advice| advice.message().contains(r#"both match "x.y""#)),
        "{advice}"
    );
}

#[test]
fn each_duplicate_at_one_url_is_reported_with_the_first_subscription_before_it() {
    let registry = contact_center();
    let url = "https://example.com/hook";
    let patterns = ["agent.*", "channel.*", "agent.presencechanged.v1", "*"];
    let ids: Vec<_> =
        patterns.iter().map(|pattern| create(&registry, pattern, url, &[pattern])).collect();
    let report = registry.check().unwrap();
    let pairs: Vec<_> = report
        .advice()
        .iter()
        .map(|advice| (advice.subscription_id().unwrap(), advice.message()))
        .collect();
    assert_eq!(pairs.len(), 2, "{report}");
    for (pair, id) in pairs.iter().zip([ids[2], ids[3]]) {
        assert_eq!(pair.0, id);
        assert!(
            pair.1.contains(&format!("the same URL as subscription \"agent.*\" ({})", ids[0])),
            "{}",
            pair.1
        );
    }
}

#[test]
fn duplicate_advice_names_the_first_subscription_and_the_first_shared_event_in_any_pattern_order() {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(["a", "b", "c"]).unwrap();
    let url = "https://example.com/hook";
    let first = create(&registry, "first", url, &["b", "c"]);
    create(&registry, "second", url, &["a"]);
    let third = create(&registry, "third", url, &["a", "b", "c"]);
    let report = registry.check().unwrap();
    let [advice] = report.advice() else { panic!("not exactly one piece of advice: {report}") };
    assert_eq!(advice.subscription_id(), Some(third));
    let said = format!("the same URL as subscription \"first\" ({first}), and both match \"b\"");
    assert!(advice.message().contains(&said), "{advice}");
}

#[test]
fn checking_many_subscriptions_at_one_url_does_not_compare_every_pair() {
    let registry = contact_center();
    let count = size(3_000, 100_000);
    registry.create_all((0..count).map(|n| new(&format!("n{n}")))).unwrap();
    let report = registry.check().unwrap();
    assert!(report.is_sound());
    assert_eq!(report.advice().len(), count - 1);
}

#[test]
fn a_redundant_pattern_is_advised() {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(["a.x.v1", "a.y.v1", "b.x.v1"]).unwrap();
    /// The patterns, and the redundant one with the pattern that includes it.
    type Case = (&'static [&'static str], Option<(&'static str, &'static str)>);
    let table: [Case; 9] = [
        (&["a.x.v1", "a.*"], Some(("a.x.v1", "a.*"))),
        (&["a.*", "a.x.v1"], Some(("a.x.v1", "a.*"))),
        (&["a.*", "*"], Some(("a.*", "*"))),
        // Equal expansions today: the literal name or the later pattern is redundant.
        (&["b.*", "b.x.v1"], Some(("b.x.v1", "b.*"))),
        (&["b.x.v1", "b.*"], Some(("b.x.v1", "b.*"))),
        (&["a.*", "a.*.v1"], Some(("a.*.v1", "a.*"))),
        (&["a.*", "b.*"], None),
        (&["a.*", "*.x.v1"], None),
        (&["a.x.v1", "a.y.v1"], None),
    ];
    for (events, expected) in table {
        let id = create(&registry, "s", "https://example.com/", events);
        match expected {
            Some((one, other)) => {
                let message = format!(
                    "subscription \"s\" ({id}): its pattern \"{one}\" today matches only event \
                     types that its pattern \"{other}\" matches too; remove one of them"
                );
                assert_advised(&registry, id, &message);
            }
            None => {
                assert_eq!(registry.check().unwrap().to_string(), "nothing found", "{events:?}")
            }
        }
        registry.delete(id).unwrap();
    }
}

#[test]
fn a_pattern_without_matching_event_types_is_advised_also_after_their_removal() {
    let registry = Registry::in_memory().unwrap();
    registry.register_event_types(["a.x.v1", "b.x.v1"]).unwrap();
    let id = create(&registry, "s", "https://example.com/", &["b.*", "a.*"]);
    assert!(registry.check().unwrap().advice().is_empty());
    registry.remove_event_type("a.x.v1").unwrap();
    let message = format!(
        "subscription \"s\" ({id}): its pattern \"a.*\" matches no event type today; register a \
         matching one, or remove the pattern"
    );
    assert_advised(&registry, id, &message);
    registry.delete(id).unwrap();
    let id = create(&registry, "s", "https://example.com/", &["not.yet.v1"]);
    assert_advised(
        &registry,
        id,
        &message.replace("a.*", "not.yet.v1").replace(&message[18..44], &id.to_string()),
    );
}

#[test]
fn a_plain_http_url_is_advised() {
    for url in ["http://example.com/", "HTTP://example.com/"] {
        let registry = contact_center();
        let id = create(&registry, "s", url, &["agent.*"]);
        let message = format!(
            "subscription \"s\" ({id}): its URL is plain http, which the network can read and \
             change; use https"
        );
        assert_advised(&registry, id, &message);
    }
}

#[test]
fn a_secret_older_than_a_year_by_the_registrys_clock_is_advised() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    let days = Arc::new(AtomicU64::new(0));
    let registry = Registry::options()
        .clock({
            let days = Arc::clone(&days);
            move || time(days.load(Ordering::SeqCst))
        })
        .in_memory()
        .unwrap();
    learn(&registry);
    let id = create(&registry, "s", "https://example.com/", &["agent.*"]);
    for quiet in [0, 1, 365] {
        days.store(quiet, Ordering::SeqCst);
        assert!(registry.check().unwrap().advice().is_empty());
    }
    days.store(366, Ordering::SeqCst);
    let message = format!(
        "subscription \"s\" ({id}): its secret is more than a year old \
         (since 2026-01-01T00:00:00.000Z); replace it with rotate_secret"
    );
    assert_advised(&registry, id, &message);
    registry.rotate_secret(id, Rotation::new()).unwrap();
    assert!(registry.check().unwrap().advice().is_empty(), "the replaced secret expires");
}

#[test]
fn a_current_secret_of_fewer_than_32_bytes_is_advised() {
    let registry = Registry::options().min_secret_bytes(24).in_memory().unwrap();
    learn(&registry);
    let secret_of = |bytes: usize| "A".repeat((bytes * 4).div_ceil(3));
    for bytes in [24, 31] {
        let name = format!("s{bytes}");
        let created = registry.create(new(&name).secret(secret_of(bytes))).unwrap();
        let id = created.subscription().id();
        let message = format!(
            "subscription \"{name}\" ({id}): its secret has {bytes} bytes, fewer than 32, which \
             are easier to guess; replace it with rotate_secret"
        );
        assert_advised(&registry, id, &message);
        // The short secret still signs, but it expires.
        registry.rotate_secret(id, Rotation::new()).unwrap();
        assert!(registry.check().unwrap().advice().is_empty());
        registry.delete(id).unwrap();
    }
    registry.create(new("long").secret(secret_of(32))).unwrap();
    assert!(registry.check().unwrap().advice().is_empty());
}

fn time(days: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_225_600 + days * 86_400)
}
