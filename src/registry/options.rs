use std::time::{Duration, SystemTime};

#[cfg(feature = "test-util")]
use crate::deterministic::SeededState;
use crate::error::Problem;
use crate::progress::{Progress, ProgressCallback};
use crate::random::RandomSource;
use crate::secret::{EncryptionKey, MAX_KEY};
use crate::store::{Durability, Settings};
use crate::subscription::Rules;
use crate::time::Clock;
use crate::url_policy::UrlPolicy;

/// The options for opening a registry.
///
/// [`Registry::options`](crate::Registry::options) returns the defaults.
///
/// ```
/// use std::time::Duration;
/// use webhook_registry::{Registry, UrlPolicy};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("webhooks.db");
/// # drop(Registry::open(&path)?);
/// let registry = Registry::options()
///     .create(false) // a wrong path is an error, not a new registry
///     .url_policy(UrlPolicy::public_https()) // no customer can name a host of this network
///     .busy_timeout(Duration::from_secs(2)) // a request does not wait longer
///     .open(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The defaults are already the careful ones where safety costs nothing but time: a change that
/// [returned](Durability::Full) survives a power loss, and secrets have at least 32 bytes.
#[derive(Clone, Debug)]
#[must_use]
pub struct RegistryOptions {
    read_only: bool,
    create: bool,
    guest: bool,
    exclusive: bool,
    durability: Durability,
    busy_timeout: Duration,
    /// `None` for the clock of the operating system.
    clock: Option<Clock>,
    rules: Rules,
    key: Option<EncryptionKey>,
    keep_changes: Option<u64>,
    auto_checkpoint: bool,
    progress: Option<ProgressCallback>,
    #[cfg(feature = "test-util")]
    seed: Option<u64>,
}

impl RegistryOptions {
    pub(super) fn new() -> RegistryOptions {
        RegistryOptions {
            read_only: false,
            create: true,
            guest: false,
            exclusive: false,
            durability: Durability::default(),
            busy_timeout: Duration::from_secs(5),
            clock: None,
            rules: Rules::default(),
            key: None,
            keep_changes: None,
            auto_checkpoint: true,
            progress: None,
            #[cfg(feature = "test-util")]
            seed: None,
        }
    }

    /// Opens the file for reading only. Default: `false`.
    ///
    /// Every change is [`ErrorKind::ReadOnly`](crate::ErrorKind::ReadOnly), and the file is never
    /// changed. A missing or empty file is [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), an
    /// older schema [`ErrorKind::Incompatible`](crate::ErrorKind::Incompatible). SQLite may leave
    /// `-wal` and `-shm` beside the file.
    ///
    /// In a folder that cannot be written to, `-wal` and `-shm` cannot be created. The registry
    /// then copies the file into memory when it is opened, and does **not** see later changes. If
    /// there is a `-wal` with content that cannot be read, opening is
    /// [`ErrorKind::Storage`](crate::ErrorKind::Storage).
    ///
    /// On Unix, if another file takes the place of this one (for example a restored backup, moved
    /// to its name), the next call reads the other file. While there is no readable file, each call
    /// fails. With [`guest(true)`](Self::guest), each call also fails while one of the two files
    /// belongs to an application and the other does not.
    pub fn read_only(mut self, read_only: bool) -> RegistryOptions {
        self.read_only = read_only;
        self
    }

    /// Lets a missing or empty file become a registry. Default: `true`.
    ///
    /// With `false`, such a file is [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub fn create(mut self, create: bool) -> RegistryOptions {
        self.create = create;
        self
    }

    /// Lets the registry live in the database of the application: as a guest. Default: `false`.
    ///
    /// One file is then backed up and replicated, and the application changes its own rows and the
    /// registry in one transaction: see the [cookbook](crate::cookbook).
    ///
    /// With `true`, a file without a registry gets the registry's tables, in one transaction. Their
    /// names begin with `_webhook_registry_`, those of the views with `webhook_registry_`. No other
    /// table, view or index of the application may be named so; otherwise opening is
    /// [`ErrorKind::Incompatible`](crate::ErrorKind::Incompatible). With `read_only(true)` or
    /// `create(false)`, such a file is [`ErrorKind::NotFound`](crate::ErrorKind::NotFound). A
    /// missing or empty file becomes a database in WAL mode.
    ///
    /// The file stays the application's. The registry uses neither `user_version` nor
    /// `application_id`, keeps the journal mode, page size, encoding and every other setting that
    /// is stored in the file, and never runs `VACUUM` or `ANALYZE`.
    /// [`backup`](crate::Registry::backup) and [`fork`](crate::Registry::fork) copy the whole file.
    ///
    /// An existing file keeps its mode. Whoever can read the application's database can read the
    /// secrets in it, unless they are encrypted.
    ///
    /// A file remembers that the registry in it is a guest. Without `guest(true)` it is
    /// [`ErrorKind::Incompatible`](crate::ErrorKind::Incompatible). A file of a registry's own can
    /// be opened with `true` too, and stays its own.
    ///
    /// A call that changes the registry takes SQLite's write lock. So it must not be made by a
    /// thread that has a write transaction of the application open: that call would wait for
    /// itself, and is [`ErrorKind::Busy`](crate::ErrorKind::Busy) after the
    /// [timeout](RegistryOptions::busy_timeout). Reading calls return the committed state
    /// meanwhile.
    pub fn guest(mut self, guest: bool) -> RegistryOptions {
        self.guest = guest;
        self
    }

    /// Locks the file for this registry and its clones. Default: `false`.
    ///
    /// With `true`, opening is [`ErrorKind::Busy`](crate::ErrorKind::Busy) while another connection
    /// has the file open, and later openers get [`ErrorKind::Busy`](crate::ErrorKind::Busy). In
    /// return, [`subscribers`](crate::Registry::subscribers) makes no call to SQLite for a cached
    /// answer.
    pub fn exclusive(mut self, exclusive: bool) -> RegistryOptions {
        self.exclusive = exclusive;
        self
    }

    /// Sets how durable a committed change is. Default: [`Durability::Full`].
    pub fn durability(mut self, durability: Durability) -> RegistryOptions {
        self.durability = durability;
        self
    }

    /// Sets how long a call waits for the lock of another process. Default: 5 seconds.
    ///
    /// After that time the call is [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    pub fn busy_timeout(mut self, timeout: Duration) -> RegistryOptions {
        self.busy_timeout = timeout;
        self
    }

    /// Sets the clock for times, ids and the expiry of secrets. Default: [`SystemTime::now`].
    ///
    /// Its times are cut to whole milliseconds from 1970 to 9999. The registry calls the clock
    /// while it holds its lock, so the clock must not call the registry.
    pub fn clock(
        mut self,
        now: impl Fn() -> SystemTime + Send + Sync + 'static,
    ) -> RegistryOptions {
        self.clock = Some(Clock::new(now));
        self
    }

    /// Sets the rule for webhook URLs. Default: [`UrlPolicy::any`].
    ///
    /// The rule applies to new and changed URLs and is not stored in the file. An older URL stays,
    /// and the other fields of its subscription can be changed. [`UrlPolicy::check`] finds such
    /// URLs.
    pub fn url_policy(mut self, policy: UrlPolicy) -> RegistryOptions {
        self.rules.url_policy = policy;
        self
    }

    /// Sets the minimum size of a given secret in decoded bytes, from 1 to 128. Default: 32.
    ///
    /// 24 admits secrets of other systems: it is the minimum of
    /// [Standard Webhooks](https://www.standardwebhooks.com). The rule applies to new and changed
    /// secrets and is not stored in the file. A generated secret always has 64 bytes.
    pub fn min_secret_bytes(mut self, bytes: usize) -> RegistryOptions {
        self.rules.min_secret_bytes = bytes;
        self
    }

    /// Limits the number of subscriptions of each owner, and of those without an owner. Default: no
    /// limit.
    ///
    /// A call that would leave more is [`ErrorKind::LimitReached`](crate::ErrorKind::LimitReached)
    /// and changes nothing. It is judged in the writing transaction, so that two processes cannot
    /// pass the limit together. Disabled subscriptions count. Zero lets nothing be created.
    ///
    /// The rule applies to new subscriptions and is not stored in the file: every process that
    /// creates has to set it. Subscriptions beyond a lowered limit, or from an
    /// [`import`](crate::Registry::import), stay and can be changed.
    pub fn max_subscriptions(mut self, most: u64) -> RegistryOptions {
        self.rules.max_subscriptions = Some(most);
        self
    }

    /// Sets the number of changes that [`changes`](crate::Registry::changes) can return. Default:
    /// the number that the file stores, 10,000 in a new file.
    ///
    /// The number is stored in the file. Zero keeps no changes, but sequence numbers still
    /// increase.
    pub fn keep_changes(mut self, keep: u64) -> RegistryOptions {
        self.keep_changes = Some(keep);
        self
    }

    /// Lets SQLite checkpoint the `-wal` into the file: now and then, and when the last connection
    /// closes. Default: `true`.
    ///
    /// With `false`, this registry makes no checkpoints. A program that replicates the file, such
    /// as Litestream, then finds every change in the `-wal` and makes the checkpoints itself.
    /// **While no such program runs, the `-wal` grows with every change**, and reads get slower.
    /// The option is not stored in the file: every process that changes the file has to set it.
    /// `Registry::rekey` (feature `encryption`) makes checkpoints in any case.
    pub fn auto_checkpoint(mut self, auto: bool) -> RegistryOptions {
        self.auto_checkpoint = auto;
        self
    }

    /// Sets a callback that hears how far a long call is. Default: none.
    ///
    /// The calls are `check`, `backup`, `export`, `import`, `create_all`, `apply`, `rekey` and
    /// `fork`. One that takes at least 100 ms calls back about ten times a second at most, from its
    /// own thread. `done` rises to `total`, which the last report of a call that succeeds has. That
    /// report usually comes just before the change is committed, or before the copy is on the disk.
    ///
    /// The callback must not call the registry, because the call holds locks. If the callback
    /// panics, the call fails and changes nothing, and the panic continues once the call has ended.
    /// Only a panic in a last report that comes after the commit leaves the change as it is.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::Registry;
    ///
    /// let options = Registry::options().progress(|progress| {
    ///     eprintln!("{}: {} of {}", progress.job(), progress.done(), progress.total());
    /// });
    /// options.in_memory()?.check()?; // takes less than 100 ms, so nothing is printed
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    pub fn progress(
        mut self,
        report: impl Fn(&Progress) + Send + Sync + 'static,
    ) -> RegistryOptions {
        self.progress = Some(ProgressCallback::new(report));
        self
    }

    /// Encrypts the secrets in the file with this key, by XChaCha20-Poly1305. Default: none, and
    /// the file contains secrets as text. Requires the feature `encryption`.
    ///
    /// A new file is encrypted from the start. Names, URLs and all other fields stay readable. A
    /// key that does not fit the file is
    /// [`ErrorKind::Incompatible`](crate::ErrorKind::Incompatible), and so is a key for a file that
    /// is not encrypted: open that without a key, then call [`rekey`](crate::Registry::rekey). The
    /// key is zeroed in memory when its last owner is dropped.
    #[cfg(feature = "encryption")]
    #[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
    pub fn encryption_key(mut self, key: [u8; 32]) -> RegistryOptions {
        self.key = Some(EncryptionKey::new(key));
        self
    }

    /// Makes a registry in memory deterministic: the same calls return the same ids, generated
    /// secrets and times on every run and every platform. Default: none, and ids and secrets come
    /// from the operating system's generator.
    ///
    /// This is for tests, such as snapshot tests. **The seed reveals the secrets.** Requires the
    /// feature `test-util`.
    ///
    /// Without a [`clock`](RegistryOptions::clock), time begins at 2026-01-01T00:00:00.000Z and
    /// advances by a millisecond with each call that changed something. A failed call draws
    /// nothing. Each registry that is opened with these options starts again from the seed. Values
    /// are stable within a minor version of this crate. A [fork](crate::Registry::fork) continues
    /// from the state of its original.
    ///
    /// # Examples
    ///
    /// ```
    /// use webhook_registry::{NewSubscription, Registry};
    ///
    /// let registry = Registry::options().deterministic(7).in_memory()?;
    /// registry.register_event_type("agent.presencechanged.v1")?;
    /// let new = NewSubscription::new("crm", "https://example.com/", ["agent.*"]);
    /// let created = registry.create(new)?;
    /// assert_eq!(created.subscription().id().to_string(), "01KDVDNA017P8TWAG038P0W54Y");
    /// # Ok::<(), webhook_registry::Error>(())
    /// ```
    #[cfg(feature = "test-util")]
    #[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
    pub fn deterministic(mut self, seed: u64) -> RegistryOptions {
        self.seed = Some(seed);
        self
    }

    /// Returns the problems of opening a file with these options.
    pub(super) fn problems_of_file(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut refuse = |option, why| problems.push(Problem::new(option, why));
        if self.read_only && self.exclusive {
            refuse("exclusive", "cannot be combined with read_only");
        }
        if self.guest && self.exclusive {
            refuse("exclusive", "cannot be combined with guest: the file is the application's");
        }
        if !self.auto_checkpoint && self.exclusive {
            refuse(
                "auto_checkpoint",
                "false cannot be combined with exclusive: no other program could checkpoint",
            );
        }
        if self.read_only && self.keep_changes.is_some() {
            refuse(
                "keep_changes",
                "cannot be combined with read_only, which cannot change the number in the file",
            );
        }
        #[cfg(feature = "test-util")]
        if self.seed.is_some() {
            refuse(
                "deterministic",
                "a registry in a file cannot be deterministic; open it in memory",
            );
        }
        problems.extend(self.problem_of_min_secret_bytes());
        problems
    }

    /// Returns the problems of opening a registry in memory with these options.
    pub(super) fn problems_in_memory(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut refuse = |option, why| problems.push(Problem::new(option, why));
        if self.read_only {
            refuse("read_only", "a registry in memory begins empty, so it cannot be read-only");
        }
        if !self.create {
            refuse("create", "a registry in memory is always created");
        }
        if self.guest {
            refuse("guest", "a registry in memory is in no application's file");
        }
        if self.exclusive {
            refuse("exclusive", "a registry in memory has no file to lock");
        }
        if !self.auto_checkpoint {
            refuse("auto_checkpoint", "a registry in memory has no file to checkpoint");
        }
        if self.key.is_some() {
            refuse("encryption_key", "a registry in memory has no file to encrypt");
        }
        problems.extend(self.problem_of_min_secret_bytes());
        problems
    }

    fn problem_of_min_secret_bytes(&self) -> Option<Problem> {
        let bytes = self.rules.min_secret_bytes;
        (!(1..=MAX_KEY).contains(&bytes)).then(|| {
            Problem::new("min_secret_bytes", format!("has to be from 1 to {MAX_KEY}, not {bytes}"))
        })
    }

    pub(super) fn clock_or_default(&self) -> Clock {
        self.clock.clone().unwrap_or_default()
    }

    pub(super) fn progress_callback(&self) -> Option<ProgressCallback> {
        self.progress.clone()
    }

    pub(super) fn rules(&self) -> Rules {
        self.rules.clone()
    }

    pub(super) fn settings(&self) -> Settings {
        let &RegistryOptions {
            read_only,
            create,
            guest,
            exclusive,
            durability,
            busy_timeout,
            ref key,
            keep_changes,
            auto_checkpoint,
            clock: _,
            rules: _,
            progress: _,
            #[cfg(feature = "test-util")]
                seed: _,
        } = self;
        let (key, random) = (key.clone(), self.random());
        Settings {
            read_only,
            create,
            guest,
            exclusive,
            durability,
            busy_timeout,
            key,
            keep_changes,
            auto_checkpoint,
            random,
        }
    }

    /// Returns the source of ids and secrets. Each call starts again from the seed.
    fn random(&self) -> RandomSource {
        #[cfg(feature = "test-util")]
        if let Some(seed) = self.seed {
            return RandomSource::Seeded(SeededState::new(seed, self.clock.is_none()));
        }
        RandomSource::System
    }
}
