//! An open registry, and how arguments name a subscription in it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use webhook_registry::{
    ErrorKind, ListQuery, Registry, RegistryOptions, Subscription, SubscriptionId, UrlPolicy,
};

use crate::failure::{Failure, Refusal};
use crate::input;
use crate::progress::with_bar;

/// The number of candidates in a message.
const SHOWN: usize = 10;

/// The options that decide which file is opened, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct OpenArgs {
    /// The registry file
    #[arg(long, global = true, env = "WEBHOOK_REGISTRY_DB", value_name = "FILE")]
    #[arg(hide_env_values = true)]
    pub(crate) db: Option<PathBuf>,

    /// Work on the subscriptions of this owner; without it, on those without an owner
    #[arg(long, global = true, value_name = "OWNER")]
    pub(crate) owner: Option<String>,

    /// Work on the subscriptions of every owner
    #[arg(long, global = true)]
    pub(crate) every_owner: bool,

    /// The file is an application's database, in which the registry is a guest
    #[arg(long, global = true)]
    pub(crate) guest: bool,

    /// Refuse every change
    #[arg(long, global = true)]
    pub(crate) read_only: bool,

    /// File with the encryption key: 32 bytes in hexadecimal or base64
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,

    /// The URLs that this command may store
    #[arg(long, global = true, value_name = "POLICY", default_value = "any", value_enum)]
    pub(crate) url_policy: UrlPolicyChoice,

    /// The shortest secret that this command may store
    #[arg(long, global = true, value_name = "N", default_value_t = 32)]
    pub(crate) min_secret_bytes: usize,

    /// The most subscriptions that this command may leave to an owner
    #[arg(long, global = true, value_name = "N")]
    pub(crate) max_subscriptions: Option<u64>,
}

/// The argument of a command that needs nothing but a subscription.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// Name or id of the subscription
    pub(crate) name_or_id: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum UrlPolicyChoice {
    Any,
    HttpsOnly,
    PublicHttps,
}

/// Whose subscriptions a command works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    WithoutOwner,
    Owner,
    EveryOwner,
}

/// An open registry.
#[derive(Debug)]
pub(crate) struct Session {
    /// The handle with the scope of the command.
    pub(crate) registry: Registry,
    pub(crate) scope: Scope,
    every: Registry,
}

impl Session {
    /// Opens a file that has to exist: a misspelt path must not create one.
    pub(crate) fn open(args: &OpenArgs) -> Result<Session, Failure> {
        // clap does not see a conflict of global options on two sides of the command.
        if args.owner.is_some() && args.every_owner {
            return Err(Failure::invalid("owner", "--owner and --every-owner exclude each other"));
        }
        let whole = args.open_existing(args.options()?)?;
        let every = whole.for_every_owner()?;
        let (scope, registry) = match &args.owner {
            Some(owner) => (Scope::Owner, whole.for_owner(owner)?),
            None if args.every_owner => (Scope::EveryOwner, every.clone()),
            None => (Scope::WithoutOwner, whole),
        };
        Ok(Session { registry, scope, every })
    }

    /// Opens a file, creates it if it is missing or empty, and returns whether it has done so.
    pub(crate) fn create(args: &OpenArgs) -> Result<(Registry, bool), Failure> {
        if args.owner.is_some() || args.every_owner {
            return Err(Failure::invalid("owner", "a registry is created for all owners"));
        }
        let path = args.path()?;
        // A key on stdin can be read once.
        let options = args.options()?;
        match args.open_existing(options.clone()) {
            Err(Failure::Registry(error))
                if error.kind() == ErrorKind::NotFound && !args.read_only =>
            {
                Ok((options.open(path)?, true))
            }
            opened => Ok((opened?, false)),
        }
    }

    /// Finds a subscription by its id or name. A text that is an id of a subscription is no name.
    pub(crate) fn find(&self, name_or_id: &str) -> Result<Subscription, Failure> {
        if let Ok(id) = name_or_id.parse()
            && let Some(subscription) = self.registry.get(id)?
        {
            return Ok(subscription);
        }
        if self.scope != Scope::EveryOwner {
            return match self.registry.get_by_name(name_or_id)? {
                Some(subscription) => Ok(subscription),
                None => Err(self.not_found(name_or_id)?),
            };
        }
        let found = self.anywhere(name_or_id)?;
        match <[Subscription; 1]>::try_from(found) {
            Ok([subscription]) => Ok(subscription),
            Err(none) if none.is_empty() => Err(self.not_found(name_or_id)?),
            Err(several) => Err(ambiguous(name_or_id, &several)),
        }
    }

    /// Finds the one subscription of another scope that an id or name can mean.
    ///
    /// Names of different owners have nothing to do with each other, so a name that an owner does
    /// not have means nothing elsewhere.
    pub(crate) fn find_elsewhere(&self, name_or_id: &str) -> Result<Option<Subscription>, Failure> {
        if self.scope == Scope::Owner {
            let id: Result<SubscriptionId, _> = name_or_id.parse();
            return Ok(id.map_or(Ok(None), |id| self.every.get(id))?);
        }
        let found = self.anywhere(name_or_id)?;
        Ok(<[Subscription; 1]>::try_from(found).ok().map(|[subscription]| subscription))
    }

    /// Returns the subscriptions of any owner that have an id or a name.
    fn anywhere(&self, name_or_id: &str) -> Result<Vec<Subscription>, Failure> {
        if let Ok(id) = name_or_id.parse()
            && let Some(subscription) = self.every.get(id)?
        {
            return Ok(vec![subscription]);
        }
        let mut found = Vec::new();
        for subscription in self.every.iter(ListQuery::new().name_contains(name_or_id).limit(1000))
        {
            let subscription = subscription?;
            if subscription.name() == name_or_id {
                found.push(subscription);
            }
        }
        Ok(found)
    }

    /// Creates the failure for an id or name that no subscription of the scope has. Without
    /// `--owner`, it names the owners to ask for.
    fn not_found(&self, name_or_id: &str) -> Result<Failure, Failure> {
        let mut message = format!("no subscription {name_or_id:?}");
        if self.scope == Scope::WithoutOwner {
            let found = self.anywhere(name_or_id)?;
            let owners: BTreeSet<&str> = found.iter().filter_map(Subscription::owner).collect();
            if !owners.is_empty() {
                message.push_str(" without an owner; add --owner ");
                let quoted = owners.iter().take(SHOWN).map(|owner| format!("{owner:?}"));
                message.push_str(&quoted.collect::<Vec<_>>().join(" or "));
            }
        }
        Ok(Failure::on(ErrorKind::NotFound, "nameOrId", message))
    }

    /// Returns the number of all subscriptions in the file.
    pub(crate) fn count_all(&self) -> Result<u64, Failure> {
        Ok(self.every.len()?)
    }
}

/// Creates the failure for a name that several owners have given.
fn ambiguous(name: &str, found: &[Subscription]) -> Failure {
    let each = |subscription: &Subscription| {
        let owner =
            subscription.owner().map_or("no owner".to_owned(), |owner| format!("{owner:?}"));
        ("nameOrId".to_owned(), format!("{} of {owner}", subscription.id()))
    };
    let problems = found.iter().take(SHOWN).map(each).collect();
    let message = format!("{} subscriptions are named {name:?}: give an id", found.len());
    Failure::Refused(Refusal { kind: ErrorKind::Conflict, message, problems })
}

impl OpenArgs {
    fn path(&self) -> Result<&PathBuf, Failure> {
        let missing = || Failure::invalid("db", "give the file with --db or WEBHOOK_REGISTRY_DB");
        self.db.as_ref().ok_or_else(missing)
    }

    fn open_existing(&self, options: RegistryOptions) -> Result<Registry, Failure> {
        let (path, options) = (self.path()?, options.create(false));
        let failure = match options.open(path) {
            Ok(registry) => return Ok(registry),
            Err(error) => error,
        };
        // The library's message is for the program of a host.
        let is_guest = failure.kind() == ErrorKind::Incompatible
            && !self.guest
            && options.guest(true).read_only(true).open(path).is_ok();
        if is_guest {
            let message = "the registry is a guest in an application's database; add --guest";
            return Err(Failure::on(ErrorKind::Incompatible, "guest", message));
        }
        Err(failure.into())
    }

    fn options(&self) -> Result<RegistryOptions, Failure> {
        let policy = match self.url_policy {
            UrlPolicyChoice::Any => UrlPolicy::any(),
            UrlPolicyChoice::HttpsOnly => UrlPolicy::https_only(),
            UrlPolicyChoice::PublicHttps => UrlPolicy::public_https(),
        };
        let mut options = with_bar(Registry::options())
            .guest(self.guest)
            .read_only(self.read_only)
            .url_policy(policy)
            .min_secret_bytes(self.min_secret_bytes);
        if let Some(most) = self.max_subscriptions {
            options = options.max_subscriptions(most);
        }
        if let Some(path) = &self.key_file {
            options = options.encryption_key(input::key(path)?);
        }
        Ok(options)
    }
}
