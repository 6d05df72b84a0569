//! Tests that revoking and updating secrets end the overlap of replaced ones.

use webhook_registry::SubscriptionUpdate;

use crate::rotation::{DAY, EVENT, Fixture, START, live_in, millis, secret_of_digit};
use crate::support::time;

#[test]
fn revoking_keeps_the_current_secret_and_increments_the_revision_only_if_one_was_live() {
    let life = Fixture::in_memory();
    let revoke = || life.registry.revoke_old_secrets(life.id).unwrap();
    life.hands.set(START + 1);
    revoke();
    assert_eq!(life.live(), std::slice::from_ref(&life.first));
    life.assert_at(1, START);

    life.rotate(millis(50));
    let third = life.rotate(millis(100));
    let fetched = life.registry.subscribers(EVENT).unwrap();
    life.hands.set(START + 51);
    assert_eq!(life.live().len(), 2);
    revoke();
    assert_eq!(life.live(), std::slice::from_ref(&third));
    life.assert_at(4, START + 51);
    assert_eq!(live_in(&fetched).len(), 2, "the answer from before the change");
    life.hands.set(START + 52);
    revoke();
    life.assert_at(4, START + 51);

    // An expired secret does not count as live.
    let fourth = life.rotate(millis(10));
    life.hands.set(START + 62);
    revoke();
    assert_eq!(life.live(), [fourth]);
    life.assert_at(5, START + 52);
    // A revoked secret stays revoked, even if the clock steps back.
    life.hands.set(START);
    assert_eq!(life.live().len(), 1);
    // Ten more can be replaced again.
    for _ in 0..10 {
        life.rotate(millis(DAY));
    }
    revoke();
    for _ in 0..10 {
        life.rotate(millis(DAY));
    }
}

#[test]
fn an_updated_secret_replaces_every_live_secret_at_once() {
    let life = Fixture::in_memory();
    let update =
        |text: &str| life.registry.update(life.id, SubscriptionUpdate::new().secret(text)).unwrap();
    life.rotate(millis(DAY));
    life.rotate(millis(DAY));
    life.hands.set(START + 7);
    assert_eq!(update(&secret_of_digit('a')).revision(), 4);
    assert_eq!(life.live(), [secret_of_digit('a')]);
    assert_eq!(life.times(), [(time(START + 7), None)]);

    // Setting the current secret again drops the older ones; without older ones, nothing changes.
    life.rotate_to(&secret_of_digit('b')).unwrap();
    life.hands.set(START + 8);
    assert_eq!(update(&secret_of_digit('b')).revision(), 6);
    assert_eq!(life.live(), [secret_of_digit('b')]);
    assert_eq!(life.times(), [(time(START + 7), None)], "current since the rotation");
    life.assert_at(6, START + 8);
    life.hands.set(START + 9);
    assert_eq!(update(&secret_of_digit('b')).revision(), 6);
    life.rotate(millis(10));
    let current = life.live()[0].clone();
    life.hands.set(START + 19);
    assert_eq!(update(&current).revision(), 7, "the replaced secret has expired");
    life.assert_at(7, START + 9);

    // An older secret becomes the current and only one.
    life.rotate_to(&secret_of_digit('c')).unwrap();
    assert_eq!(update(&current).revision(), 9);
    assert_eq!(life.live(), [current]);
}
