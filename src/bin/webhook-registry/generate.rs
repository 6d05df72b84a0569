//! `completions` and `man`: what is generated from the command line itself.

use std::io::Write;

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::failure::{Failure, Outcome};
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The command whose page to print; without it, the page of the program
    command: Option<String>,
}

pub(crate) fn completions(
    args: &CompletionsArgs,
    mut command: Command,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    // Into memory first: `generate` panics when the reader has gone.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "webhook-registry", &mut script);
    write(&script, out)
}

pub(crate) fn man(
    args: &ManArgs,
    mut command: Command,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    command.build();
    if let Some(name) = &args.command {
        let Some(found) = command.find_subcommand(name) else {
            return Err(Failure::invalid("command", format!("there is no command {name:?}")));
        };
        command = found.clone();
    }
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    write(&page, out)
}

fn write(bytes: &[u8], out: &mut Output) -> Result<Outcome, Failure> {
    if out.json() {
        return Err(Failure::invalid("json", "this answer cannot be JSON"));
    }
    let mut out = out.raw();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(Outcome::Done)
}
