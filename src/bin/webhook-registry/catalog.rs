//! `init` and `types`: the file and its catalog of event types.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use webhook_registry::EventType;

use crate::failure::{Failure, Outcome};
use crate::input;
use crate::output::{Field, Output};
use crate::session::{OpenArgs, Session};

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Register the event types of a file (see `types import`)
    #[arg(long, value_name = "FILE")]
    types: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TypesCommand {
    /// List the event types
    List {
        /// Only those that a pattern matches
        pattern: Option<String>,
    },
    /// Register event types, or replace those of the same name
    Add {
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// A description, for all of them
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Register the event types of a file
    ///
    /// The file is a JSON catalog (`{"eventTypes": […]}`), a JSON array of event types or of
    /// names, or a text with one name a line.
    Import {
        /// The file, or `-` for stdin
        file: PathBuf,
    },
    /// Remove an event type that no subscription names
    Remove { name: String },
}

pub(crate) fn init(open: &OpenArgs, args: &InitArgs, out: &mut Output) -> Result<Outcome, Failure> {
    // A faulty file must not leave an empty registry.
    let types = args.types.as_deref().map(input::event_types).transpose()?;
    let registered = types.as_ref().map_or(0, Vec::len);
    let (registry, created) = Session::create(open)?;
    registry.register_event_types(types.unwrap_or_default())?;
    let path = registry.path().map(|path| path.display().to_string());
    let path = path.unwrap_or_default();
    if out.json() {
        out.document(&json!({
            "path": path, "created": created, "eventTypes": registered,
        }))?;
    } else {
        let what = if created { "created" } else { "exists" };
        out.line(format!("{what} {path}"))?;
        if args.types.is_some() {
            out.line(format!("registered {registered} event types"))?;
        }
    }
    Ok(Outcome::Done)
}

pub(crate) fn types(
    session: &Session,
    command: TypesCommand,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    match command {
        TypesCommand::List { pattern } => list(session, pattern.as_deref(), out),
        TypesCommand::Add { names, description } => {
            let event_type = |name: String| match &description {
                Some(text) => EventType::new(name).with_description(text),
                None => EventType::new(name),
            };
            register(session, names.into_iter().map(event_type).collect(), out)
        }
        TypesCommand::Import { file } => register(session, input::event_types(&file)?, out),
        TypesCommand::Remove { name } => {
            session.registry.remove_event_type(&name)?;
            if out.json() {
                out.document(&json!({"removed": [name]}))?;
            } else {
                out.line(format!("removed {name}"))?;
            }
            Ok(Outcome::Done)
        }
    }
}

/// Registers event types, and answers with them as they are now.
fn register(
    session: &Session,
    event_types: Vec<EventType>,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    session.registry.register_event_types(event_types.iter().cloned())?;
    if out.json() {
        out.document(&event_types)?;
    } else {
        for event_type in &event_types {
            out.line(format!("registered {}", event_type.name()))?;
        }
    }
    Ok(Outcome::Done)
}

fn list(session: &Session, pattern: Option<&str>, out: &mut Output) -> Result<Outcome, Failure> {
    let mut event_types = session.registry.event_types()?;
    if let Some(pattern) = pattern {
        let matching = session.registry.expand(pattern)?;
        event_types.retain(|event_type| {
            matching.binary_search_by(|name| name.as_str().cmp(event_type.name())).is_ok()
        });
    }
    if out.json() {
        out.document(&event_types)?;
    } else {
        let record = |event_type: &EventType| {
            let schema = event_type.json_schema().map_or("", |_| "schema");
            let description = event_type.description().unwrap_or_default();
            [Field::new(event_type.name()), Field::new(schema), Field::new(description)]
        };
        out.records(["EVENT TYPE", "SCHEMA", "DESCRIPTION"], event_types.iter().map(record))?;
    }
    Ok(Outcome::Done)
}
