//! Tests the lifetime of a secret. One that expires a millisecond early rejects deliveries in
//! flight; one that expires a millisecond late accepts signatures of whoever has stolen it.

use std::time::{Duration, SystemTime};

use webhook_registry::{
    ErrorKind, NewSubscription, Registry, Rotation, SigningSecret, Subscribers, SubscriptionId,
    SubscriptionUpdate,
};

use crate::support::{Clock, learn, new, refused, time};

pub(crate) const START: u64 = 1_800_000_000_000;
pub(crate) const DAY: u64 = 24 * 60 * 60 * 1_000;
pub(crate) const EVENT: &str = "agent.presencechanged.v1";

/// A registry at `START` with one subscription, whose secret is `first`.
pub(crate) struct Case {
    pub(crate) registry: Registry,
    pub(crate) clock: Clock,
    pub(crate) id: SubscriptionId,
    pub(crate) first: String,
}

impl Case {
    pub(crate) fn in_memory() -> Case {
        let clock = Clock::at(START);
        Case::begin(clock.options().in_memory().unwrap(), clock)
    }

    fn begin(registry: Registry, clock: Clock) -> Case {
        learn(&registry);
        let created = registry.create(new("crm")).unwrap();
        let first = created.secret().expose().to_owned();
        Case { registry, clock, id: created.subscription().id(), first }
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
        let clock = Clock::at(START);
        for registry in [clock.options().in_memory().unwrap(), clock.options().open(&path).unwrap()]
        {
            clock.set(START);
            let case = Case::begin(registry, clock.clone());
            let before = case.registry.subscribers(EVENT).unwrap();
            let next =
                case.registry.rotate_secret(case.id, rotation.clone()).unwrap().expose().to_owned();
            let both = [next.clone(), case.first.clone()];
            assert_eq!(case.live(), both, "{overlap} ms");
            let end = START + overlap;
            assert_eq!(case.times(), [(time(START), None), (time(START), Some(time(end)))]);

            let fetched = case.registry.subscribers(EVENT).unwrap();
            let cloned = fetched[0].clone();
            for (now, expected) in
                [(START, &both[..]), (end - 1, &both), (end, &both[..1]), (end + 1, &both[..1])]
            {
                clock.set(now);
                assert_eq!(live_in(&fetched), expected, "{overlap} ms, at {now}");
                assert_eq!(cloned.secrets().count(), expected.len());
                assert_eq!(case.live(), expected, "{overlap} ms, at {now}");
            }
            // An answer from before the rotation does not include it.
            assert_eq!(live_in(&before), std::slice::from_ref(&case.first));
        }
        // Another handle, whose cache is empty, uses the same clock.
        let other = clock.options().open(&path).unwrap();
        for (now, count) in [(START + overlap - 1, 2), (START + overlap, 1)] {
            clock.set(now);
            assert_eq!(live_in(&other.subscribers(EVENT).unwrap()).len(), count);
        }
    }
}

#[test]
fn a_rotation_without_overlap_drops_the_current_secret_and_keeps_earlier_ones_until_they_expire() {
    let case = Case::in_memory();
    let second = case.rotate(millis(1_000));
    let fetched = case.registry.subscribers(EVENT).unwrap();
    let third = case.rotate(Duration::ZERO);
    assert_eq!(
        case.live(),
        [third.clone(), case.first.clone()],
        "the second is gone, the first is not"
    );
    assert_eq!(
        live_in(&fetched),
        [second, case.first.clone()],
        "the answer from before the change"
    );
    case.clock.set(START + 999);
    assert_eq!(case.live(), [third.clone(), case.first.clone()]);
    case.clock.set(START + 1_000);
    assert_eq!(case.live(), [third]);
    // After repeated rotations without overlap there is only the newest.
    for _ in 0..20 {
        let newest = case.rotate(Duration::ZERO);
        assert_eq!(case.live(), [newest]);
    }
    case.assert_at(23, START + 1_000);
}

#[test]
fn an_overlap_of_more_than_30_days_is_rejected() {
    let case = Case::in_memory();
    let most = millis(30 * DAY);
    for overlap in [most + Duration::from_nanos(1), most + millis(1), 2 * most, Duration::MAX] {
        let rotated = case.registry.rotate_secret(case.id, Rotation::new().overlap(overlap));
        let error = refused(rotated, ErrorKind::Invalid, &["overlap"]);
        assert_eq!(error.to_string(), "overlap: the overlap is at most 30 days");
    }
    let faulty = Rotation::new().overlap(Duration::MAX).secret("not base64!");
    refused(
        case.registry.rotate_secret(case.id, faulty),
        ErrorKind::Invalid,
        &["secret", "overlap"],
    );
    assert_eq!(case.live(), std::slice::from_ref(&case.first));
    case.assert_at(1, START);
    case.rotate(most);
    assert_eq!(case.live().len(), 2);
}

#[test]
fn an_eleventh_replaced_secret_is_rejected_with_the_time_when_one_expires() {
    let case = Case::in_memory();
    let mut expected = vec![case.first.clone()];
    for number in 0..10 {
        case.clock.set(START + number);
        // The third replaced secret is the first to expire.
        expected.insert(0, case.rotate(millis(if number == 2 { 5_000 } else { 10_000 })));
    }
    assert_eq!((case.live(), expected.len()), (expected.clone(), 11));
    let now = START + 1_000;
    case.clock.set(now);
    // Even with a short overlap: the rejected secret is not among the live ones.
    for overlap in [millis(1), millis(DAY), millis(30 * DAY)] {
        let rotated = case.registry.rotate_secret(case.id, Rotation::new().overlap(overlap));
        let error = refused(rotated, ErrorKind::Conflict, &["secret"]);
        let message = error.to_string();
        assert!(message.ends_with("the next one expires at 2027-01-15T08:00:05.002Z"), "{message}");
        assert!(message.contains("10 replaced secrets, the most allowed"), "{message}");
    }
    assert_eq!(case.live(), expected);
    case.assert_at(11, START + 9);

    // A rotation that keeps the number is accepted.
    let newest = case.rotate(Duration::ZERO);
    expected[0] = newest;
    assert_eq!(case.live(), expected);

    case.clock.set(START + 5_001);
    refused(
        case.registry.rotate_secret(case.id, Rotation::new()),
        ErrorKind::Conflict,
        &["secret"],
    );
    case.clock.set(START + 5_002);
    let newest = case.rotate(millis(DAY));
    let gone = expected.remove(expected.len() - 3);
    expected.insert(0, newest);
    assert_eq!(case.live(), expected);
    assert!(!expected.contains(&gone));
    refused(
        case.registry.rotate_secret(case.id, Rotation::new()),
        ErrorKind::Conflict,
        &["secret"],
    );
}

#[test]
fn an_invalid_rotation_is_reported_before_the_limit_of_secrets() {
    let case = Case::in_memory();
    for _ in 0..10 {
        case.rotate(millis(DAY));
    }
    refused(case.rotate_to(&secret_of_digit('a')), ErrorKind::Conflict, &["secret"]);
    refused(case.rotate_to("short"), ErrorKind::Invalid, &["secret"]);
    refused(case.rotate_to(&case.first), ErrorKind::Invalid, &["secret"]);
    let long = Rotation::new().overlap(Duration::MAX);
    refused(case.registry.rotate_secret(case.id, long), ErrorKind::Invalid, &["overlap"]);
}

#[test]
fn a_live_secret_is_rejected_as_a_new_one_and_an_expired_one_is_accepted() {
    let case = Case::in_memory();
    let a = case.rotate_to(&secret_of_digit('a')).unwrap();
    assert_eq!((a.expose(), a.key().len()), (&*secret_of_digit('a'), 64));
    case.clock.set(START + 1);
    case.rotate_to(&secret_of_digit('b')).unwrap();
    for live in [secret_of_digit('b'), secret_of_digit('a'), case.first.clone()] {
        let error = refused(case.rotate_to(&live), ErrorKind::Invalid, &["secret"]);
        assert_eq!(error.to_string(), "secret: a secret that is still valid cannot replace itself");
    }
    case.clock.set(START + DAY - 1);
    refused(case.rotate_to(&case.first), ErrorKind::Invalid, &["secret"]);
    case.assert_at(3, START + 1);
    case.clock.set(START + DAY + 1);
    case.rotate_to(&case.first).unwrap();
    assert_eq!(
        case.live(),
        [case.first.clone(), secret_of_digit('b')],
        "the first again, and `a` has expired"
    );
    refused(case.rotate_to(&secret_of_digit('b')), ErrorKind::Invalid, &["secret"]);
    case.rotate_to(&secret_of_digit('a')).unwrap();
    let (before, now, end) =
        (time(START + 1), time(START + DAY + 1), Some(time(START + 2 * DAY + 1)));
    assert_eq!(case.times(), [(now, None), (now, end), (before, end)]);
}

#[test]
fn each_secret_has_the_time_when_it_became_current_and_when_it_expires() {
    let case = Case::in_memory();
    assert_eq!(case.times(), [(time(START), None)]);
    case.clock.set(START + 5);
    case.rotate(millis(100));
    assert_eq!(case.times(), [(time(START + 5), None), (time(START), Some(time(START + 105)))]);
    case.assert_at(2, START + 5);
    case.clock.set(START + 8);
    case.rotate(millis(10));
    let table = [
        (time(START + 8), None),
        (time(START + 5), Some(time(START + 18))),
        (time(START), Some(time(START + 105))),
    ];
    assert_eq!(case.times(), table);
    // The second was replaced later, and expires sooner.
    case.clock.set(START + 18);
    assert_eq!(case.times(), [table[0], table[2]]);
    case.assert_at(3, START + 8);
    // Other changes, including `enabled`, do not affect them.
    case.registry.update(case.id, SubscriptionUpdate::new().enabled(false).name("crm 2")).unwrap();
    assert_eq!(case.times(), [table[0], table[2]]);
    case.registry.rotate_secret(case.id, Rotation::new()).unwrap();
    case.assert_at(5, START + 18);
}

#[test]
fn an_overlap_is_cut_at_the_greatest_time() {
    let case = Case::in_memory();
    let last = 253_402_300_799_999;
    case.clock.set(last - 1_000);
    let second = case.rotate(millis(DAY));
    assert_eq!(case.times()[1].1, Some(time(last)));
    case.clock.set(last - 1);
    assert_eq!(case.live(), [second.clone(), case.first.clone()]);
    case.clock.set(last + DAY);
    assert_eq!(case.live(), [second]);
}

#[test]
fn no_secret_is_lost_when_the_clock_steps_back() {
    let case = Case::in_memory();
    let second = case.rotate(millis(1_000));
    case.clock.set(START + 1_000);
    assert_eq!(case.live(), std::slice::from_ref(&second));
    case.clock.set(START + 999);
    assert_eq!(
        case.live(),
        [second.clone(), case.first.clone()],
        "by the clock, the secret has not expired"
    );
    // Replaced before its creation time: its overlap still starts now, and the order is that of the
    // calls.
    case.clock.set(START - 5_000);
    let third = case.rotate(millis(10));
    assert_eq!(case.live(), [third.clone(), second.clone(), case.first.clone()]);
    assert_eq!(case.times()[1], (time(START), Some(time(START - 4_990))));
    case.assert_at(3, START - 5_000);
    case.clock.set(START - 4_990);
    assert_eq!(case.live(), [third.clone(), case.first.clone()]);
    // At 1970, to which the clock is clamped.
    case.clock.set(0);
    let fourth = case.rotate(millis(10));
    assert_eq!(case.live()[..2], [fourth, third]);
}

#[test]
fn a_given_secret_is_validated_with_the_rules_of_the_registry() {
    let clock = Clock::at(START);
    for (least, options) in [(32, clock.options()), (24, clock.options().min_secret_bytes(24))] {
        let case = Case::begin(options.in_memory().unwrap(), clock.clone());
        // Four characters are three bytes: 24 bytes are 32 characters, 33 bytes are 44.
        let table = [
            ("", false),
            ("not base64!", false),
            (&"a".repeat(30), false),
            (&"b".repeat(257), false),
        ];
        for (text, _) in table {
            refused(case.rotate_to(text), ErrorKind::Invalid, &["secret"]);
        }
        let of_24 = "c".repeat(32);
        if least == 24 {
            assert_eq!(case.rotate_to(&of_24).unwrap().key().len(), 24);
            case.assert_at(2, START);
        } else {
            let error = refused(case.rotate_to(&of_24), ErrorKind::Invalid, &["secret"]);
            assert_eq!(
                error.to_string(),
                "secret: a secret has at least 32 bytes once decoded, not 24"
            );
            case.assert_at(1, START);
        }
        let verbatim = format!("whsec_{}==", secret_of_digit('d'));
        assert_eq!(case.rotate_to(&verbatim).unwrap().expose(), verbatim);
        assert_eq!(case.live()[0], verbatim);
    }
}

#[test]
fn rotation_errors_follow_the_documented_precedence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("webhooks.db");
    let case = Case::begin(Registry::open(&path).unwrap(), Clock::at(START));
    let other =
        case.registry.create(NewSubscription::new("other", "https://example.com/", ["*"])).unwrap();
    let gone = other.subscription().id();
    case.registry.delete(gone).unwrap();
    let faulty = || Rotation::new().secret("short").overlap(Duration::MAX);
    let registry = &case.registry;
    let error = refused(registry.secret(gone), ErrorKind::NotFound, &["subscriptionId"]);
    assert_eq!(error.to_string(), format!("no subscription {gone}"));
    refused(registry.secrets(gone), ErrorKind::NotFound, &["subscriptionId"]);
    refused(registry.revoke_old_secrets(gone), ErrorKind::NotFound, &["subscriptionId"]);
    refused(registry.rotate_secret(gone, faulty()), ErrorKind::NotFound, &["subscriptionId"]);

    let reader = Registry::options().read_only(true).open(&path).unwrap();
    assert_eq!(reader.secret(case.id).unwrap().expose(), case.first);
    refused(reader.rotate_secret(case.id, Rotation::new()), ErrorKind::ReadOnly, &[]);
    refused(reader.rotate_secret(gone, faulty()), ErrorKind::ReadOnly, &[]);
    refused(reader.revoke_old_secrets(gone), ErrorKind::ReadOnly, &[]);
    refused(reader.secrets(gone), ErrorKind::NotFound, &["subscriptionId"]);
    let second = registry.rotate_secret(case.id, Rotation::new()).unwrap();
    let issued = reader.secrets(case.id).unwrap();
    let seen: Vec<&SigningSecret> = issued.iter().map(|issued| issued.secret()).collect();
    assert_eq!((seen.len(), seen[0]), (2, &second), "a reader sees the rotation on its next call");
}
