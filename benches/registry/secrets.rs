//! Signing, and reading secrets that are encrypted.

use crate::Bench;

pub(crate) fn all(bench: &mut Bench) {
    #[cfg(feature = "signing")]
    signing::all(bench);
    #[cfg(feature = "encryption")]
    encrypted::all(bench);
    #[cfg(not(any(feature = "signing", feature = "encryption")))]
    let _ = bench;
}

#[cfg(feature = "signing")]
mod signing {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use sha2::Sha256;
    use webhook_registry::Subscriber;

    use crate::Bench;
    use crate::common::data::FOR_ONE;
    use crate::common::{Dataset, in_memory};

    pub(super) fn all(bench: &mut Bench) {
        const GROUP: &str = "sign/1kB";
        if !bench.run.wants(GROUP) {
            return;
        }
        let registry = in_memory(&Dataset::Fans(1));
        let subscribers = registry.subscribers(FOR_ONE).unwrap();
        let subscriber = &subscribers[0];
        let (id, at, payload) = (
            "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
            UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            [b'x'; 1_000],
        );
        let ours = || subscriber.sign(id, at, &payload).unwrap().headers();
        assert_eq!(ours(), bare(subscriber, id, at, &payload));
        let mut group = bench.group(GROUP);
        group.bench_function("registry", |bencher| bencher.iter(ours));
        group.bench_function("hmac", |bencher| bencher.iter(|| bare(subscriber, id, at, &payload)));
    }

    /// Returns the three headers, for a subscriber with one secret.
    fn bare(
        subscriber: &Subscriber,
        id: &str,
        at: SystemTime,
        payload: &[u8],
    ) -> [(&'static str, String); 3] {
        let seconds = at.duration_since(UNIX_EPOCH).unwrap().as_secs().to_string();
        let mut mac =
            Hmac::<Sha256>::new_from_slice(subscriber.secrets().next().unwrap().key()).unwrap();
        for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", payload] {
            mac.update(part);
        }
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", seconds),
            ("webhook-signature", signature),
        ]
    }
}

#[cfg(feature = "encryption")]
mod encrypted {
    use webhook_registry::{Durability, Registry};

    use crate::cold::Mover;
    use crate::common::data::{FOR_ONE, ONE};
    use crate::common::{fill, relaxed};
    use crate::{Bench, Job, in_turns, timed};

    /// The look-up of `dispatch/cold`, in an encrypted file and in a plain one.
    pub(super) fn all(bench: &mut Bench) {
        const GROUP: &str = "dispatch/cold_encrypted";
        if !bench.run.wants(GROUP) {
            return;
        }
        let options =
            || Registry::options().encryption_key([7; 32]).durability(Durability::Relaxed);
        let path = bench.fresh("encrypted");
        fill(&options().open(&path).unwrap(), &bench.mixed(100_000), |_| ());
        let encrypted = (options().open(&path).unwrap(), options().open(&path).unwrap());
        let path = bench.mixed_files("100k", 100_000).registry;
        let plain = (Registry::open(&path).unwrap(), relaxed(&path));
        let [encrypted, plain] = [encrypted, plain].map(|(registry, other)| {
            let mover = Mover::new(other);
            mover.change();
            let answer = registry.subscribers(FOR_ONE).unwrap();
            assert_eq!((answer.len(), answer[0].name()), (1, ONE));
            move || {
                mover.change();
                timed(|| registry.subscribers(FOR_ONE).unwrap())
            }
        });
        let mut group = bench.group(GROUP);
        let jobs: [Job<'_>; 2] = [("registry", &mut || encrypted()), ("cold", &mut || plain())];
        in_turns(&mut group, jobs);
    }
}
