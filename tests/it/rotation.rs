//! Tests the lifetime of a secret. One that expires a millisecond early rejects deliveries in
//! flight; one that expires a millisecond late accepts signatures of whoever has stolen it.

use std::time::{Duration, SystemTime};

use webhook_registry::{
    ErrorKind, NewSubscription, Registry, Rotation, SigningSecret, Subscribers, SubscriptionId,
    SubscriptionUpdate,
};

use crate::support::{Hands, learn, new, refused, time};

pub(crate) const START: u64 = 1_800_000_000_000;
pub(crate) const DAY: u64 = 24 * 60 * 60 * 1_000;
pub(crate) const EVENT: &str = "agent.presencechanged.v1";

/// A registry at `START` with one subscription, whose secret is `first`.
pub(crate) struct Fixture {
    pub(crate) registry: Registry,
    pub(crate) hands: Hands,
    pub(crate) id: SubscriptionId,
    pub(crate) first: String,
}

impl Fixture {
    pub(crate) fn in_memory() -> Fixture {
        let hands = Hands::at(START);
        Fixture::begin(hands.options().in_memory().unwrap(), hands)
    }

    fn begin(registry: Registry, hands: Hands) -> Fixture {
        learn(&registry);
        let created = registry.create(new("crm")).unwrap();
        let first = created.secret().expose().to_owned();
        Fixture { registry, hands, id: created.subscription().id(), first }
    }

    #[track_caller]
    pub(crate) fn rotate(&self, overlap: Duration) -> String {
        let secret =
            self.registry.rotate_secret(self.id, Rotation::new().overlap(overlap)).unwrap();
        secret.expose().to_owned()
    }

    pub(crate) fn rotate_to(&self, secret: &str) -> webhook_registry::Result<SigningSecret> {
        self.registry.rotate_secret(self.id, Rotation::new().secret(secret))
    }

    /// Returns the live secrets, and asserts that all three ways to read them agree.
    #[track_caller]
    pub(crate) fn live(&self) -> Vec<String> {
        let issued = self.registry.secrets(self.id).unwrap();
        let live: Vec<String> =
            issued.iter().map(|issued| issued.secret().expose().to_owned()).collect();
        assert_eq!(self.registry.secret(self.id).unwrap().expose(), live[0]);
        assert_eq!(live_in(&self.registry.subscribers(EVENT).unwrap()), live);
        let current = issued.iter().filter(|issued| issued.expires_at().is_none()).count();
        assert_eq!((current, issued[0].expires_at()), (1, None));
        live
    }

    /// Returns the creation and expiry times of the secrets, newest first.
    pub(crate) fn times(&self) -> Vec<(SystemTime, Option<SystemTime>)> {
        let issued = self.registry.secrets(self.id).unwrap();
        issued.iter().map(|issued| (issued.created_at(), issued.expires_at())).collect()
    }

    #[track_caller]
    pub(crate) fn assert_at(&self, revision: u64, updated_at: u64) {
        let found = self.registry.get(self.id).unwrap().unwrap();
        assert_eq!((found.revision(), found.updated_at()), (revision, time(updated_at)));
        assert_eq!(found.created_at(), time(START));
    }
}

pub(crate) fn live_in(subscribers: &Subscribers) -> Vec<String> {
    subscribers[0].secrets().map(|secret| secret.expose().to_owned()).collect()
}

pub(crate) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Returns base64 of 64 bytes that consists of this digit.
pub(crate) fn secret_of_digit(digit: char) -> String {
    digit.to_string().repeat(86)
}

#[test]
fn a_replaced_secret_expires_exactly_at_the_end_of_its_overlap() {
    let folder = tempfile::tempdir().unwrap();
    let table = [
        (Rotation::new(), DAY),
        (Rotation::default(), DAY),
        (Rotation::new().overlap(millis(1)), 1),
        (Rotation::new().overlap(millis(2)), 2),
        (Rotation::new().overlap(Duration::from_secs(3_600)), 3_600_000),
        (Rotation::new().overlap(millis(30 * DAY)), 30 * DAY),
        // A fraction of a millisecond is rounded up.
        (Rotation::new().overlap(Duration::from_nanos(1)), 1),
        (Rotation::new().overlap(Duration::from_nanos(1_000_001)), 2),
    ];
    for (number, (rotation, overlap)) in table.into_iter().enumerate() {
        let path = folder.path().join(format!("{number}.db"));
        let hands = Hands::at(START);
        for registry in [hands.options().in_memory().unwrap(), hands.options().open(&path).unwrap()]
        {
            hands.set(START);
            let life = Fixture::begin(registry, hands.clone());
            let before = life.registry.subscribers(EVENT).unwrap();
            let next =
                life.registry.rotate_secret(life.id, rotation.clone()).unwrap().expose().to_owned();
            let both = [next.clone(), life.first.clone()];
            assert_eq!(life.live(), both, "{overlap} ms");
            let end = START + overlap;
            assert_eq!(life.times(), [(time(START), None), (time(START), Some(time(end)))]);

            let fetched = life.registry.subscribers(EVENT).unwrap();
            let cloned = fetched[0].clone();
            for (now, expected) in
                [(START, &both[..]), (end - 1, &both), (end, &both[..1]), (end + 1, &both[..1])]
            {
                hands.set(now);
                assert_eq!(live_in(&fetched), expected, "{overlap} ms, at {now}");
                assert_eq!(cloned.secrets().count(), expected.len());
                assert_eq!(life.live(), expected, "{overlap} ms, at {now}");
            }
            // An answer from before the rotation does not include it.
            assert_eq!(live_in(&before), std::slice::from_ref(&life.first));
        }
        // Another handle, whose cache is empty, uses the same clock.
        let other = hands.options().open(&path).unwrap();
        for (now, count) in [(START + overlap - 1, 2), (START + overlap, 1)] {
            hands.set(now);
            assert_eq!(live_in(&other.subscribers(EVENT).unwrap()).len(), count);
        }
    }
}

#[test]
fn a_rotation_without_overlap_drops_the_current_secret_and_keeps_earlier_ones_until_they_expire() {
    let life = Fixture::in_memory();
    let second = life.rotate(millis(1_000));
    let fetched = life.registry.subscribers(EVENT).unwrap();
    let third = life.rotate(Duration::ZERO);
    assert_eq!(
        life.live(),
        [third.clone(), life.first.clone()],
        "the second is gone, the first is not"
    );
    assert_eq!(
        live_in(&fetched),
        [second, life.first.clone()],
        "the answer from before the change"
    );
    life.hands.set(START + 999);
    assert_eq!(life.live(), [third.clone(), life.first.clone()]);
    life.hands.set(START + 1_000);
    assert_eq!(life.live(), [third]);
    // After repeated rotations without overlap there is only the newest.
    for _ in 0..20 {
        let newest = life.rotate(Duration::ZERO);
        assert_eq!(life.live(), [newest]);
    }
    life.assert_at(23, START + 1_000);
}

#[test]
fn an_overlap_of_more_than_30_days_is_rejected() {
    let life = Fixture::in_memory();
    let most = millis(30 * DAY);
    for overlap in [most + Duration::from_nanos(1), most + millis(1), 2 * most, Duration::MAX] {
        let rotated = life.registry.rotate_secret(life.id, Rotation::new().overlap(overlap));
        let error = refused(rotated, ErrorKind::Invalid, &["overlap"]);
        assert_eq!(error.to_string(), "overlap: the overlap is at most 30 days");
    }
    let faulty = Rotation::new().overlap(Duration::MAX).secret("not base64!");
    refused(
        life.registry.rotate_secret(life.id, faulty),
        ErrorKind::Invalid,
        &["secret", "overlap"],
    );
    assert_eq!(life.live(), std::slice::from_ref(&life.first));
    life.assert_at(1, START);
    life.rotate(most);
    assert_eq!(life.live().len(), 2);
}

#[test]
fn an_eleventh_replaced_secret_is_rejected_with_the_time_when_one_expires() {
    let life = Fixture::in_memory();
    let mut expected = vec![life.first.clone()];
    for number in 0..10 {
        life.hands.set(START + number);
        // The third replaced secret is the first to expire.
        expected.insert(0, life.rotate(millis(if number == 2 { 5_000 } else { 10_000 })));
    }
    assert_eq!((life.live(), expected.len()), (expected.clone(), 11));
    let now = START + 1_000;
    life.hands.set(now);
    // Even with a short overlap: the rejected secret is not among the live ones.
    for overlap in [millis(1), millis(DAY), millis(30 * DAY)] {
        let rotated = life.registry.rotate_secret(life.id, Rotation::new().overlap(overlap));
        let error = refused(rotated, ErrorKind::Conflict, &["secret"]);
        let message = error.to_string();
        assert!(
            message.ends_with("the next of them expires at 2027-01-15T08:00:05.002Z"),
            "{message}"
        );
        assert!(message.contains("10 replaced secrets live already"), "{message}");
    }
    assert_eq!(life.live(), expected);
    life.assert_at(11, START + 9);

    // A rotation that keeps the number is accepted.
    let newest = life.rotate(Duration::ZERO);
    expected[0] = newest;
    assert_eq!(life.live(), expected);

    life.hands.set(START + 5_001);
    refused(
        life.registry.rotate_secret(life.id, Rotation::new()),
        ErrorKind::Conflict,
        &["secret"],
    );
    life.hands.set(START + 5_002);
    let newest = life.rotate(millis(DAY));
    let gone = expected.remove(expected.len() - 3);
    expected.insert(0, newest);
    assert_eq!(life.live(), expected);
    assert!(!expected.contains(&gone));
    refused(
        life.registry.rotate_secret(life.id, Rotation::new()),
        ErrorKind::Conflict,
        &["secret"],
    );
}

#[test]
fn an_invalid_rotation_is_reported_before_the_limit_of_secrets() {
    let life = Fixture::in_memory();
    for _ in 0..10 {
        life.rotate(millis(DAY));
    }
    refused(life.rotate_to(&secret_of_digit('a')), ErrorKind::Conflict, &["secret"]);
    refused(life.rotate_to("short"), ErrorKind::Invalid, &["secret"]);
    refused(life.rotate_to(&life.first), ErrorKind::Invalid, &["secret"]);
    let long = Rotation::new().overlap(Duration::MAX);
    refused(life.registry.rotate_secret(life.id, long), ErrorKind::Invalid, &["overlap"]);
}

#[test]
fn a_live_secret_is_rejected_as_a_new_one_and_an_expired_one_is_accepted() {
    let life = Fixture::in_memory();
    let a = life.rotate_to(&secret_of_digit('a')).unwrap();
    assert_eq!((a.expose(), a.key().len()), (&*secret_of_digit('a'), 64));
    life.hands.set(START + 1);
    life.rotate_to(&secret_of_digit('b')).unwrap();
    for live in [secret_of_digit('b'), secret_of_digit('a'), life.first.clone()] {
        let error = refused(life.rotate_to(&live), ErrorKind::Invalid, &["secret"]);
        assert_eq!(
            error.to_string(),
            "secret: a secret that is still live cannot take its own place"
        );
    }
    life.hands.set(START + DAY - 1);
    refused(life.rotate_to(&life.first), ErrorKind::Invalid, &["secret"]);
    life.assert_at(3, START + 1);
    life.hands.set(START + DAY + 1);
    life.rotate_to(&life.first).unwrap();
    assert_eq!(
        life.live(),
        [life.first.clone(), secret_of_digit('b')],
        "the first again, and `a` has expired"
    );
    refused(life.rotate_to(&secret_of_digit('b')), ErrorKind::Invalid, &["secret"]);
    life.rotate_to(&secret_of_digit('a')).unwrap();
    let (before, now, end) =
        (time(START + 1), time(START + DAY + 1), Some(time(START + 2 * DAY + 1)));
    assert_eq!(life.times(), [(now, None), (now, end), (before, end)]);
}

#[test]
fn each_secret_has_the_time_when_it_became_current_and_when_it_expires() {
    let life = Fixture::in_memory();
    assert_eq!(life.times(), [(time(START), None)]);
    life.hands.set(START + 5);
    life.rotate(millis(100));
    assert_eq!(life.times(), [(time(START + 5), None), (time(START), Some(time(START + 105)))]);
    life.assert_at(2, START + 5);
    life.hands.set(START + 8);
    life.rotate(millis(10));
    let table = [
        (time(START + 8), None),
        (time(START + 5), Some(time(START + 18))),
        (time(START), Some(time(START + 105))),
    ];
    assert_eq!(life.times(), table);
    // The second was replaced later, and expires sooner.
    life.hands.set(START + 18);
    assert_eq!(life.times(), [table[0], table[2]]);
    life.assert_at(3, START + 8);
    // Other changes, including `enabled`, do not affect them.
    life.registry.update(life.id, SubscriptionUpdate::new().enabled(false).name("crm 2")).unwrap();
    assert_eq!(life.times(), [table[0], table[2]]);
    life.registry.rotate_secret(life.id, Rotation::new()).unwrap();
    life.assert_at(5, START + 18);
}

#[test]
fn an_overlap_is_cut_at_the_greatest_time() {
    let life = Fixture::in_memory();
    let last = 253_402_300_799_999;
    life.hands.set(last - 1_000);
    let second = life.rotate(millis(DAY));
    assert_eq!(life.times()[1].1, Some(time(last)));
    life.hands.set(last - 1);
    assert_eq!(life.live(), [second.clone(), life.first.clone()]);
    life.hands.set(last + DAY);
    assert_eq!(life.live(), [second]);
}

#[test]
fn no_secret_is_lost_when_the_clock_steps_back() {
    let life = Fixture::in_memory();
    let second = life.rotate(millis(1_000));
    life.hands.set(START + 1_000);
    assert_eq!(life.live(), std::slice::from_ref(&second));
    life.hands.set(START + 999);
    assert_eq!(
        life.live(),
        [second.clone(), life.first.clone()],
        "by the clock, the secret has not expired"
    );
    // Replaced before its creation time: its overlap still starts now, and the order is that of the
    // calls.
    life.hands.set(START - 5_000);
    let third = life.rotate(millis(10));
    assert_eq!(life.live(), [third.clone(), second.clone(), life.first.clone()]);
    assert_eq!(life.times()[1], (time(START), Some(time(START - 4_990))));
    life.assert_at(3, START - 5_000);
    life.hands.set(START - 4_990);
    assert_eq!(life.live(), [third.clone(), life.first.clone()]);
    // At 1970, to which the clock is clamped.
    life.hands.set(0);
    let fourth = life.rotate(millis(10));
    assert_eq!(life.live()[..2], [fourth, third]);
}

#[test]
fn a_given_secret_is_validated_with_the_rules_of_the_registry() {
    let hands = Hands::at(START);
    for (least, options) in [(32, hands.options()), (24, hands.options().min_secret_bytes(24))] {
        let life = Fixture::begin(options.in_memory().unwrap(), hands.clone());
        // Four characters are three bytes: 24 bytes are 32 characters, 33 bytes are 44.
        let table = [
            ("", false),
            ("not base64!", false),
            (&"a".repeat(30), false),
            (&"b".repeat(257), false),
        ];
        for (text, _) in table {
            refused(life.rotate_to(text), ErrorKind::Invalid, &["secret"]);
        }
        let of_24 = "c".repeat(32);
        if least == 24 {
            assert_eq!(life.rotate_to(&of_24).unwrap().key().len(), 24);
            life.assert_at(2, START);
        } else {
            let error = refused(life.rotate_to(&of_24), ErrorKind::Invalid, &["secret"]);
            assert_eq!(
                error.to_string(),
                "secret: a secret has at least 32 bytes once decoded, not 24"
            );
            life.assert_at(1, START);
        }
        let verbatim = format!("whsec_{}==", secret_of_digit('d'));
        assert_eq!(life.rotate_to(&verbatim).unwrap().expose(), verbatim);
        assert_eq!(life.live()[0], verbatim);
    }
}

#[test]
fn rotation_errors_follow_the_documented_precedence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let life = Fixture::begin(Registry::open(&path).unwrap(), Hands::at(START));
    let other =
        life.registry.create(NewSubscription::new("other", "https://example.com/", ["*"])).unwrap();
    let gone = other.subscription().id();
    life.registry.delete(gone).unwrap();
    let faulty = || Rotation::new().secret("short").overlap(Duration::MAX);
    let registry = &life.registry;
    let error = refused(registry.secret(gone), ErrorKind::NotFound, &["subscriptionId"]);
    assert_eq!(error.to_string(), format!("no subscription {gone}"));
    refused(registry.secrets(gone), ErrorKind::NotFound, &["subscriptionId"]);
    refused(registry.revoke_old_secrets(gone), ErrorKind::NotFound, &["subscriptionId"]);
    refused(registry.rotate_secret(gone, faulty()), ErrorKind::NotFound, &["subscriptionId"]);

    let reader = Registry::options().read_only(true).open(&path).unwrap();
    assert_eq!(reader.secret(life.id).unwrap().expose(), life.first);
    refused(reader.rotate_secret(life.id, Rotation::new()), ErrorKind::ReadOnly, &[]);
    refused(reader.rotate_secret(gone, faulty()), ErrorKind::ReadOnly, &[]);
    refused(reader.revoke_old_secrets(gone), ErrorKind::ReadOnly, &[]);
    refused(reader.secrets(gone), ErrorKind::NotFound, &["subscriptionId"]);
    let second = registry.rotate_secret(life.id, Rotation::new()).unwrap();
    let issued = reader.secrets(life.id).unwrap();
    let seen: Vec<&SigningSecret> = issued.iter().map(|issued| issued.secret()).collect();
    assert_eq!((seen.len(), seen[0]), (2, &second), "a reader sees the rotation on its next call");
}
