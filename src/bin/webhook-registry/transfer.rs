//! `export`, `import`, `backup` and `rekey`: the registry as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use webhook_registry::Export;

use crate::failure::{Failure, Outcome};
use crate::input;
use crate::output::Output;
use crate::session::Session;

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Write to a new file, which only its owner can read
    #[arg(long, short, value_name = "FILE", required_unless_present = "reveal")]
    output: Option<PathBuf>,
    /// Write to stdout: the document contains the secrets
    #[arg(long, conflicts_with = "output")]
    reveal: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// An exported document, or `-` for stdin
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The new file
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RekeyArgs {
    /// File with the new key: 32 bytes in hexadecimal or base64
    #[arg(long, value_name = "FILE", required_unless_present = "decrypt")]
    new_key_file: Option<PathBuf>,
    /// Store the secrets as text
    #[arg(long, conflicts_with = "new_key_file")]
    decrypt: bool,
}

pub(crate) fn export(
    session: &Session,
    args: &ExportArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let document = session.registry.export()?;
    let Some(path) = &args.output else {
        out.document(&document)?;
        return Ok(Outcome::Done);
    };
    let file = create_private(path).map_err(|error| Failure::file("create", path, &error))?;
    if let Err(error) = write_document(&file, &document) {
        // A part of a document must not be taken for a whole one.
        let _ = fs::remove_file(path);
        return Err(Failure::file("write", path, &error));
    }
    done("exported", path, out)
}

/// Creates a file that only its owner can read.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn write_document(file: &File, document: &Export) -> io::Result<()> {
    let mut buffer = BufWriter::new(file);
    serde_json::to_writer(&mut buffer, document)?;
    buffer.write_all(b"\n")?;
    buffer.flush()?;
    file.sync_all()
}

pub(crate) fn import(
    session: &Session,
    args: &ImportArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let document: Export = input::document(&input::read(&args.file)?)?;
    session.registry.import(document)?;
    let subscriptions = session.count_all()?;
    let event_types = session.registry.event_types()?.len();
    if out.json() {
        out.document(&json!({"subscriptions": subscriptions, "eventTypes": event_types}))?;
    } else {
        out.line(format!("imported {subscriptions} subscriptions, {event_types} event types"))?;
    }
    Ok(Outcome::Done)
}

pub(crate) fn backup(
    session: &Session,
    args: &BackupArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    session.registry.backup(&args.file)?;
    done("copied to", &args.file, out)
}

pub(crate) fn rekey(
    session: &Session,
    args: &RekeyArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let key = args.new_key_file.as_deref().map(input::key).transpose()?;
    session.registry.rekey(key)?;
    if out.json() {
        out.document(&json!({"encrypted": key.is_some()}))?;
    } else {
        out.line(if key.is_some() { "encrypted with the new key" } else { "decrypted" })?;
    }
    Ok(Outcome::Done)
}

/// Answers with the file that a command has made.
fn done(verb: &str, path: &Path, out: &mut Output) -> Result<Outcome, Failure> {
    let path = path.display().to_string();
    if out.json() {
        out.document(&json!({"file": path}))?;
    } else {
        out.line(format!("{verb} {path}"))?;
    }
    Ok(Outcome::Done)
}
