//! `webhook-registry`: a program for people at a registry file.
//!
//! The program uses the public API of the library alone. Each group of commands has a file, with
//! its arguments and the functions that run it.

mod args;
mod catalog;
mod closest;
mod create;
mod edit;
mod explain;
mod failure;
mod generate;
mod history;
mod input;
mod list;
mod matrix;
mod output;
mod owners;
mod progress;
mod reader;
mod reconcile;
mod secrets;
mod session;
mod show;
mod text;
mod transfer;
mod verdict;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::args::{Cli, Command};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::session::Session;

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.color.write_global();
    match run(cli) {
        Ok(outcome) => outcome.into(),
        Err(failure) => failure,
    }
}

/// Runs a command, and reports its failure.
fn run(cli: Cli) -> Result<Outcome, ExitCode> {
    let Cli { json, color, open, command } = cli;
    let mut out = Output::new(json, color);
    answer(&open, command, &mut out)
        .and_then(|outcome| out.flush().map(|()| outcome).map_err(Failure::from))
        .or_else(|failure| failure.report(json))
}

fn answer(
    open: &session::OpenArgs,
    command: Command,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let session = match command {
        Command::Completions(args) => return generate::completions(&args, Cli::command(), out),
        Command::Man(args) => return generate::man(&args, Cli::command(), out),
        Command::Init(args) => return catalog::init(open, &args, out),
        _ => Session::open(open)?,
    };
    match command {
        Command::Types(args) => catalog::types(&session, args.command, out),
        Command::Create(args) => create::create(&session, args, out),
        Command::List(args) => list::list(&session, args, out),
        Command::Show(args) => show::show(&session, &args, out),
        Command::Update(args) => edit::update(&session, args, out),
        Command::Enable(args) => edit::enable(&session, &args, out),
        Command::Disable(args) => edit::disable(&session, &args, out),
        Command::Delete(args) => edit::delete(&session, &args, out),
        Command::Rotate(args) => secrets::rotate(&session, args, out),
        Command::RevokeOld(args) => secrets::revoke_old(&session, &args, out),
        Command::Secret(args) => secrets::secret(&session, &args, out),
        Command::Subscribers(args) => explain::subscribers(&session, &args, out),
        Command::Explain(args) => explain::explain(&session, &args, out),
        Command::Expand(args) => explain::expand(&session, &args, out),
        Command::Matrix(args) => matrix::matrix(&session, &args, out),
        Command::Check => explain::check(&session, out),
        Command::Changes(args) => history::changes(&session, &args, out),
        Command::Plan(args) => reconcile::plan(&session, &args, out),
        Command::Apply(args) => reconcile::apply(&session, &args, out),
        Command::Export(args) => transfer::export(&session, &args, out),
        Command::Import(args) => transfer::import(&session, &args, out),
        Command::Backup(args) => transfer::backup(&session, &args, out),
        Command::Rekey(args) => transfer::rekey(&session, &args, out),
        Command::Owners => owners::owners(&session, out),
        // These do not open a registry that has to exist, and have returned.
        Command::Init(_) | Command::Completions(_) | Command::Man(_) => Ok(Outcome::Done),
    }
}
