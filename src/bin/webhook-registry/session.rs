//! An open registry, and how arguments name a subscription in it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use webhook_registry::{ErrorKind, Registry, RegistryOptions, Subscription, UrlPolicy};

use crate::failure::Failure;
use crate::input;

/// The options that decide which file is opened, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct OpenArgs {
    /// The registry file
    #[arg(long, global = true, env = "WEBHOOK_REGISTRY_DB", value_name = "FILE")]
    #[arg(hide_env_values = true)]
    pub(crate) db: Option<PathBuf>,

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

/// An open registry.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) registry: Registry,
}

impl Session {
    /// Opens a file that has to exist: a misspelt path must not create one.
    pub(crate) fn open(args: &OpenArgs) -> Result<Session, Failure> {
        let path = args.path()?;
        let registry = args.options()?.create(false).open(path)?;
        Ok(Session { registry })
    }

    /// Opens a file, creates it if it is missing or empty, and returns whether it has done so.
    pub(crate) fn create(args: &OpenArgs) -> Result<(Session, bool), Failure> {
        let path = args.path()?;
        let options = args.options()?;
        match options.clone().create(false).open(path) {
            Ok(registry) => Ok((Session { registry }, false)),
            Err(error) if error.kind() == ErrorKind::NotFound && !args.read_only => {
                Ok((Session { registry: options.open(path)? }, true))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Finds a subscription by its id or name. A text that is an id of a subscription is no name.
    pub(crate) fn find(&self, name_or_id: &str) -> Result<Subscription, Failure> {
        if let Ok(id) = name_or_id.parse()
            && let Some(subscription) = self.registry.get(id)?
        {
            return Ok(subscription);
        }
        self.registry.get_by_name(name_or_id)?.ok_or_else(|| not_found(name_or_id))
    }
}

/// Creates the failure for a name or id that no subscription has.
pub(crate) fn not_found(name_or_id: &str) -> Failure {
    let message = format!("no subscription {name_or_id:?}");
    Failure::on(ErrorKind::NotFound, "nameOrId", message)
}

impl OpenArgs {
    fn path(&self) -> Result<&PathBuf, Failure> {
        let missing = || Failure::invalid("db", "give the file with --db or WEBHOOK_REGISTRY_DB");
        self.db.as_ref().ok_or_else(missing)
    }

    fn options(&self) -> Result<RegistryOptions, Failure> {
        let policy = match self.url_policy {
            UrlPolicyChoice::Any => UrlPolicy::any(),
            UrlPolicyChoice::HttpsOnly => UrlPolicy::https_only(),
            UrlPolicyChoice::PublicHttps => UrlPolicy::public_https(),
        };
        let mut options = Registry::options()
            .read_only(self.read_only)
            .url_policy(policy)
            .min_secret_bytes(self.min_secret_bytes);
        if let Some(path) = &self.key_file {
            options = options.encryption_key(input::key(path)?);
        }
        Ok(options)
    }
}
