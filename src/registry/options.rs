use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Registry;
#[cfg(feature = "test-util")]
use crate::deterministic::SeededState;
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::random::RandomSource;
use crate::secret::{EncryptionKey, MAX_KEY};
use crate::store::{Durability, Settings, Store};
use crate::subscription::Rules;
use crate::time::Clock;
use crate::url_policy::UrlPolicy;

/// How to open a registry; from [`Registry::options`].
///
/// ```
/// use std::time::Duration;
/// use webhook_registry::{Durability, Registry};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("webhooks.db");
/// let registry = Registry::options()
///     .durability(Durability::Relaxed)
///     .busy_timeout(Duration::from_secs(1))
///     .open(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RegistryOptions {
    read_only: bool,
    create: bool,
    exclusive: bool,
    durability: Durability,
    busy_timeout: Duration,
    /// None: the operating system's.
    clock: Option<Clock>,
    rules: Rules,
    key: Option<EncryptionKey>,
    keep_changes: Option<u64>,
    auto_checkpoint: bool,
    #[cfg(feature = "test-util")]
    seed: Option<u64>,
}

impl RegistryOptions {
    pub(crate) fn new() -> RegistryOptions {
        RegistryOptions {
            read_only: false,
            create: true,
            exclusive: false,
            durability: Durability::default(),
            busy_timeout: Duration::from_secs(5),
            clock: None,
            rules: Rules::default(),
            key: None,
            keep_changes: None,
            auto_checkpoint: true,
            #[cfg(feature = "test-util")]
            seed: None,
        }
    }

    /// Only reads: every change is [`ErrorKind::ReadOnly`], and the file is never changed. Default: `false`.
    ///
    /// A missing or empty file is [`ErrorKind::NotFound`], an older schema [`ErrorKind::Incompatible`]. SQLite may
    /// leave `-wal` and `-shm` beside the file. Where those cannot be made, as in a folder that cannot be written to,
    /// the file is copied into memory as it stands at open, and later changes are **not** seen; if a `-wal` with
    /// content lies there, that is [`ErrorKind::Storage`], never an older answer.
    ///
    /// On Unix, a file that takes the place of this one (a copy was restored, and moved to its name) is what the next call
    /// reads. Where none lies there, or none that can be read, each call says so until one does.
    pub fn read_only(mut self, read_only: bool) -> RegistryOptions {
        self.read_only = read_only;
        self
    }

    /// Whether a missing or empty file becomes a registry. Default: `true`; else it is [`ErrorKind::NotFound`].
    pub fn create(mut self, create: bool) -> RegistryOptions {
        self.create = create;
        self
    }

    /// Whether this registry, with its clones, alone has the file. Default: `false`.
    ///
    /// With `true`, opening is [`ErrorKind::Busy`] while anybody else has the file open, and so it is for whoever comes
    /// later. In return [`subscribers`](Registry::subscribers) makes no call of SQLite for an answer that it remembers.
    pub fn exclusive(mut self, exclusive: bool) -> RegistryOptions {
        self.exclusive = exclusive;
        self
    }

    /// What a returned call has survived. Default: [`Durability::Full`].
    pub fn durability(mut self, durability: Durability) -> RegistryOptions {
        self.durability = durability;
        self
    }

    /// How long a call waits for another process's lock before it is [`ErrorKind::Busy`]. Default: 5 seconds.
    pub fn busy_timeout(mut self, timeout: Duration) -> RegistryOptions {
        self.busy_timeout = timeout;
        self
    }

    /// Where "now" comes from: for times, for ids, and for what has expired. Default: [`SystemTime::now`].
    ///
    /// What it answers is cut to whole milliseconds from 1970 to 9999. It is called while the registry holds its lock,
    /// so it must not call the registry.
    pub fn clock(
        mut self,
        now: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> RegistryOptions {
        self.clock = Some(Clock::new(now));
        self
    }

    /// Where a webhook may point. Default: [`UrlPolicy::any`].
    ///
    /// It judges URLs that are new or changed, and is not kept in the file: a URL from before stays, and its subscription
    /// can be changed in everything else. [`UrlPolicy::check`] finds those.
    pub fn url_policy(mut self, policy: UrlPolicy) -> RegistryOptions {
        self.rules.url_policy = policy;
        self
    }

    /// How many bytes a given secret has at least, once decoded: from 1 to 128. Default: 32.
    ///
    /// 24 admits secrets made by other systems: it is the least that
    /// [Standard Webhooks](https://www.standardwebhooks.com) takes. It judges secrets that are new or changed, and is
    /// not kept in the file. A generated secret has 64 bytes whatever stands here.
    pub fn min_secret_bytes(mut self, bytes: usize) -> RegistryOptions {
        self.rules.min_secret_bytes = bytes;
        self
    }

    /// How many changes [`changes`](Registry::changes) can read back. Kept in the file when stated; unstated, the file's own
    /// number holds, at first 10,000. Zero keeps none, and the numbers go on.
    pub fn keep_changes(mut self, keep: u64) -> RegistryOptions {
        self.keep_changes = Some(keep);
        self
    }

    /// Lets SQLite checkpoint the `-wal` into the file: now and then, and when the last connection
    /// closes. Default: `true`.
    ///
    /// With `false`, this registry makes no checkpoints. A program that replicates the file, such as
    /// Litestream, then finds every change in the `-wal` and makes the checkpoints itself. **While no
    /// such program runs, the `-wal` grows with every change**, and reads get slower. The option is
    /// not stored in the file: every process that changes the file has to set it.
    /// [`rekey`](Registry::rekey) makes checkpoints in any case.
    pub fn auto_checkpoint(mut self, auto: bool) -> RegistryOptions {
        self.auto_checkpoint = auto;
        self
    }

    /// Seals the secrets in the file with this key, by XChaCha20-Poly1305. A new file is sealed from the start. Default:
    /// none, and secrets lie in the file as text.
    ///
    /// Names, URLs and the rest stay readable. A key that does not fit the file, and one for a file that is not
    /// encrypted (open it without, then [`rekey`](Registry::rekey)), is [`ErrorKind::Incompatible`]. The key is zeroed in
    /// memory when the last that has it is dropped.
    #[cfg(feature = "encryption")]
    #[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
    pub fn encryption_key(mut self, key: [u8; 32]) -> RegistryOptions {
        self.key = Some(EncryptionKey::new(key));
        self
    }

    /// Makes a registry in memory that repeats on each run: the same calls give the same ids, generated secrets and times,
    /// on every platform, so that snapshots hold. For tests: **whoever knows the seed knows the secrets**. Default: none,
    /// and ids and secrets come from the operating system's generator.
    ///
    /// Without a [`clock`](RegistryOptions::clock), time begins at 2026-01-01T00:00:00.000Z and gains a millisecond with
    /// each writing call that changed something; a call that failed draws nothing. Each registry that is opened with
    /// these options begins anew. What repeats holds within a minor version of this crate; a
    /// [fork](Registry::fork) goes on from where it was taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::{NewSubscription, Registry};
    ///
    /// let registry = Registry::options().deterministic(7).in_memory()?;
    /// registry.register_event_type("agent.presencechanged.v1")?;
    /// let created = registry.create(NewSubscription::new("crm", "https://example.com/", ["agent.*"]))?;
    /// assert_eq!(created.subscription().id().to_string(), "01KDVDNA017P8TWAG038P0W54Y");
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    #[cfg(feature = "test-util")]
    #[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
    pub fn deterministic(mut self, seed: u64) -> RegistryOptions {
        self.seed = Some(seed);
        self
    }

    /// Opens the file at `path`, or creates it.
    ///
    /// # Errors
    ///
    /// As [`Registry::open`], [`ErrorKind::Invalid`] for `read_only` with `exclusive` or `keep_changes`, for `exclusive`
    /// with `auto_checkpoint(false)`, for a `min_secret_bytes` that is not from 1 to 128 and for a `deterministic` registry
    /// (feature `test-util`), and [`ErrorKind::NotFound`] for a missing or empty file with `create(false)` or
    /// `read_only(true)`.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Registry> {
        let mut problems = Vec::new();
        if self.read_only && self.exclusive {
            problems.push(Problem::new(
                "exclusive",
                "a registry that only reads cannot have the file for itself: read_only excludes it",
            ));
        }
        if !self.auto_checkpoint && self.exclusive {
            problems.push(Problem::new(
                "auto_checkpoint",
                "false cannot be combined with exclusive: no other program could make the checkpoints",
            ));
        }
        if self.read_only && self.keep_changes.is_some() {
            problems.push(Problem::new(
                "keep_changes",
                "the number is kept in the file, which a registry that only reads cannot change",
            ));
        }
        #[cfg(feature = "test-util")]
        if self.seed.is_some() {
            problems.push(Problem::new(
                "deterministic",
                "a registry in a file cannot repeat: open it in memory",
            ));
        }
        problems.extend(self.least_secret());
        if !problems.is_empty() {
            return Err(Error::invalid(problems));
        }
        let path = absolute(path.as_ref())?;
        Ok(self.registry(Store::open(path, &self.settings())?))
    }

    /// Opens a new registry in memory.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] together with `read_only(true)`, `create(false)`, `exclusive(true)`,
    /// `auto_checkpoint(false)` or an encryption key, and for a `min_secret_bytes` that is not from 1 to 128.
    /// [`ErrorKind::Storage`] when memory runs out.
    pub fn in_memory(&self) -> Result<Registry> {
        let mut problems = Vec::new();
        if self.read_only {
            problems.push(Problem::new(
                "read_only",
                "a registry in memory begins empty, so it cannot be read-only",
            ));
        }
        if !self.create {
            problems.push(Problem::new("create", "a registry in memory is always created"));
        }
        if self.exclusive {
            problems.push(Problem::new(
                "exclusive",
                "a registry in memory has no file to keep others from",
            ));
        }
        if !self.auto_checkpoint {
            problems.push(Problem::new(
                "auto_checkpoint",
                "a registry in memory has no file to make checkpoints of",
            ));
        }
        if self.key.is_some() {
            problems.push(Problem::new(
                "encryption_key",
                "a registry in memory has no file to encrypt",
            ));
        }
        problems.extend(self.least_secret());
        if !problems.is_empty() {
            return Err(Error::invalid(problems));
        }
        Ok(self.registry(Store::in_memory(&self.settings())?))
    }

    /// What is wrong with `min_secret_bytes`.
    fn least_secret(&self) -> Option<Problem> {
        let bytes = self.rules.min_secret_bytes;
        (!(1..=MAX_KEY).contains(&bytes)).then(|| {
            Problem::new("min_secret_bytes", format!("has to be from 1 to {MAX_KEY}, not {bytes}"))
        })
    }

    fn settings(&self) -> Settings {
        let &RegistryOptions {
            read_only,
            create,
            exclusive,
            durability,
            busy_timeout,
            ref key,
            keep_changes,
            auto_checkpoint,
            clock: _,
            rules: _,
            #[cfg(feature = "test-util")]
                seed: _,
        } = self;
        let (key, entropy) = (key.clone(), self.entropy());
        Settings {
            read_only,
            create,
            exclusive,
            durability,
            busy_timeout,
            key,
            keep_changes,
            auto_checkpoint,
            entropy,
        }
    }

    fn registry(&self, store: Store) -> Registry {
        Registry::new(store, self.clock.clone().unwrap_or_default(), self.rules.clone())
    }

    /// A script begins anew with each registry that is opened.
    fn entropy(&self) -> RandomSource {
        #[cfg(feature = "test-util")]
        if let Some(seed) = self.seed {
            return RandomSource::Scripted(SeededState::new(seed, self.clock.is_none()));
        }
        RandomSource::System
    }
}

/// A path is always a file's name, also `:memory:` and `file:x?mode=memory`: SQLite gives no meaning to an absolute one.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|cause| {
        let message = format!("{:?} is no path of a file: {cause}", path.display().to_string());
        Error::new(ErrorKind::Storage, message).with_source(cause)
    })
}
