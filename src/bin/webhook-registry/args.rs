//! The command line: the options of every command, and the list of commands.

use clap::{Args, Parser, Subcommand};

use crate::create::CreateArgs;
use crate::edit::{DeleteArgs, DisableArgs, UpdateArgs};
use crate::explain::{ExpandArgs, ExplainArgs, SubscribersArgs};
use crate::generate::{CompletionsArgs, ManArgs};
use crate::history::ChangesArgs;
use crate::list::ListArgs;
use crate::matrix::MatrixArgs;
use crate::output::ColorChoice;
use crate::reconcile::{ApplyArgs, PlanArgs};
use crate::secrets::{RotateArgs, SecretArgs};
use crate::session::{OpenArgs, TargetArgs};
use crate::show::ShowArgs;
use crate::transfer::{BackupArgs, ExportArgs, ImportArgs, RekeyArgs};

const AFTER_HELP: &str = "\
stdout has the answer, stderr everything else. On a terminal the answer is a \
table; elsewhere each line has one record, with a tab between its fields and \
without a heading. With --json it is one JSON document.

Exit status: 0 done; 1 findings (check), differences (plan --check) or nobody \
(subscribers --check); 2 a refusal or wrong use.";

/// Reads and changes a registry of webhook subscriptions: one SQLite file, which any number of
/// programs can use at the same time.
#[derive(Debug, Parser)]
#[command(
    name = "webhook-registry",
    version,
    after_help = AFTER_HELP,
    max_term_width = 80,
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) open: OpenArgs,

    /// Write one JSON document: the JSON of the library
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,

    /// When to use colour (NO_COLOR and CLICOLOR act on auto); always also writes tables
    #[arg(long, global = true, value_name = "WHEN", default_value_t, value_enum)]
    #[arg(help_heading = "Output")]
    pub(crate) color: ColorChoice,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a registry, or leave an existing one as it is
    Init(crate::catalog::InitArgs),
    /// List, add, import or remove event types
    Types(TypesArgs),
    /// Create a subscription, and print its secret once
    Create(CreateArgs),
    /// List subscriptions
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show a subscription, its event types and its last changes
    Show(ShowArgs),
    /// Change a subscription
    Update(UpdateArgs),
    /// Enable a subscription
    Enable(TargetArgs),
    /// Disable a subscription
    Disable(DisableArgs),
    /// Delete subscriptions
    Delete(DeleteArgs),
    /// Replace the secret; the old one stays valid for the overlap
    Rotate(RotateArgs),
    /// Drop all secrets but the newest
    RevokeOld(TargetArgs),
    /// List the valid secrets by fingerprint, or reveal them
    Secret(SecretArgs),
    /// List who gets an event
    Subscribers(SubscribersArgs),
    /// Explain who gets an event, and why a subscription does not
    Explain(ExplainArgs),
    /// List the event types that a pattern matches
    Expand(ExpandArgs),
    /// Show event types × subscriptions, also as HTML or Mermaid
    Matrix(MatrixArgs),
    /// Check the file for damage, and advise on its content
    Check,
    /// Print the history of changes
    Changes(ChangesArgs),
    /// Show what `apply` would change
    Plan(PlanArgs),
    /// Make the subscriptions equal to a declared list
    Apply(ApplyArgs),
    /// Write everything as one JSON document, with the secrets
    Export(ExportArgs),
    /// Read an exported document into an empty registry
    Import(ImportArgs),
    /// Copy the registry to a new file while others use it
    Backup(BackupArgs),
    /// Encrypt the secrets with another key, or decrypt them
    Rekey(RekeyArgs),
    /// List the owners that have subscriptions
    Owners,
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual page
    Man(ManArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TypesArgs {
    #[command(subcommand)]
    pub(crate) command: crate::catalog::TypesCommand,
}
