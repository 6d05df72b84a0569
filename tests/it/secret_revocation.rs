//! Tests that revoking and updating secrets end the overlap of replaced ones.

use webhook_registry::SubscriptionUpdate;

use crate::rotation::{Case, DAY, EVENT, START, live_in, millis, secret_of_digit};
use crate::support::time;

#[test]
fn revoking_keeps_the_current_secret_and_increments_the_revision_only_if_one_was_live() {
    let case = Case::in_memory();
    let revoke = || case.registry.revoke_old_secrets(case.id).unwrap();
    case.clock.set(START + 1);
    revoke();
    assert_eq!(case.live(), std::slice::from_ref(&case.first));
    case.assert_at(1, START);

    case.rotate(millis(50));
    let third = case.rotate(millis(100));
    let fetched = case.registry.subscribers(EVENT).unwrap();
    case.clock.set(START + 51);
    assert_eq!(case.live().len(), 2);
    revoke();
    assert_eq!(case.live(), std::slice::from_ref(&third));
    case.assert_at(4, START + 51);
    assert_eq!(live_in(&fetched).len(), 2, "the answer from before the change");
    case.clock.set(START + 52);
    revoke();
    case.assert_at(4, START + 51);

    // An expired secret does not count as live.
    let fourth = case.rotate(millis(10));
    case.clock.set(START + 62);
    revoke();
    assert_eq!(case.live(), [fourth]);
    case.assert_at(5, START + 52);
    // A revoked secret stays revoked, even if the clock steps back.
    case.clock.set(START);
    assert_eq!(case.live().len(), 1);
    // Ten more can be replaced again.
    for _ in 0..10 {
        case.rotate(millis(DAY));
    }
    revoke();
    for _ in 0..10 {
        case.rotate(millis(DAY));
    }
}

#[test]
fn an_updated_secret_replaces_every_live_secret_at_once() {
    let case = Case::in_memory();
    let update =
        |text: &str| case.registry.update(case.id, SubscriptionUpdate::new().secret(text)).unwrap();
    case.rotate(millis(DAY));
    case.rotate(millis(DAY));
    case.clock.set(START + 7);
    assert_eq!(update(&secret_of_digit('a')).revision(), 4);
    assert_eq!(case.live(), [secret_of_digit('a')]);
    assert_eq!(case.times(), [(time(START + 7), None)]);

    // Setting the current secret again drops the older ones; without older ones, nothing changes.
    case.rotate_to(&secret_of_digit('b')).unwrap();
    case.clock.set(START + 8);
    assert_eq!(update(&secret_of_digit('b')).revision(), 6);
    assert_eq!(case.live(), [secret_of_digit('b')]);
    assert_eq!(case.times(), [(time(START + 7), None)], "current since the rotation");
    case.assert_at(6, START + 8);
    case.clock.set(START + 9);
    assert_eq!(update(&secret_of_digit('b')).revision(), 6);
    case.rotate(millis(10));
    let current = case.live()[0].clone();
    case.clock.set(START + 19);
    assert_eq!(update(&current).revision(), 7, "the replaced secret has expired");
    case.assert_at(7, START + 9);

    // An older secret becomes the current and only one.
    case.rotate_to(&secret_of_digit('c')).unwrap();
    assert_eq!(update(&current).revision(), 9);
    assert_eq!(case.live(), [current]);
}
