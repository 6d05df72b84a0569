//! `rotate`, `revoke-old` and `secret`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use webhook_registry::{IssuedSecret, Rotation, SubscriptionId};

use crate::create::note_hidden_secrets;
use crate::failure::{Failure, Outcome};
use crate::input;
use crate::output::{Field, Output, Tone};
use crate::session::{Session, TargetArgs};
use crate::text::time;

#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// Name or id of the subscription
    name_or_id: String,
    /// How long the old secret stays valid, such as `2h` or `0s`
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    overlap: Duration,
    /// Read the new secret from a file, or from stdin for `-`
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// With --json, write the secret too
    #[arg(long)]
    reveal: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SecretArgs {
    /// Name or id of the subscription
    name_or_id: String,
    /// Write the secrets themselves
    #[arg(long)]
    reveal: bool,
}

fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

pub(crate) fn rotate(
    session: &Session,
    args: RotateArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let subscription = session.find(&args.name_or_id)?;
    let mut rotation = Rotation::new().overlap(args.overlap);
    if let Some(path) = &args.secret_file {
        rotation = rotation.secret(input::secret(path)?);
    }
    let secret = session.registry.rotate_secret(subscription.id(), rotation)?;
    if out.json() {
        let document = Rotated {
            subscription_id: subscription.id(),
            fingerprint: secret.fingerprint(),
            secret: args.reveal.then(|| secret.expose()),
        };
        if !args.reveal {
            note_hidden_secrets();
        }
        out.document(&document)?;
    } else {
        let record = [
            Field::whole(subscription.id().to_string()),
            Field::new(subscription.name()),
            Field::whole(secret.expose()).colored(Tone::Secret),
        ];
        out.records(["ID", "NAME", "SECRET"], [record])?;
    }
    Ok(Outcome::Done)
}

pub(crate) fn revoke_old(
    session: &Session,
    args: &TargetArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let subscription = session.find(&args.name_or_id)?;
    session.registry.revoke_old_secrets(subscription.id())?;
    write_secrets(&session.registry.secrets(subscription.id())?, false, out)
}

pub(crate) fn secret(
    session: &Session,
    args: &SecretArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let subscription = session.find(&args.name_or_id)?;
    write_secrets(&session.registry.secrets(subscription.id())?, args.reveal, out)
}

/// Answers with the valid secrets, newest first.
fn write_secrets(
    secrets: &[IssuedSecret],
    reveal: bool,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    if out.json() {
        let documents: Vec<Document<'_>> =
            secrets.iter().map(|issued| Document::new(issued, reveal)).collect();
        out.document(&documents)?;
        return Ok(Outcome::Done);
    }
    let mut heading = vec!["FINGERPRINT", "CREATED", "EXPIRES"];
    if reveal {
        heading.push("SECRET");
    }
    let heading = heading.into_iter().map(|name| Field::new(name).bold()).collect();
    let row = |issued: &IssuedSecret| {
        let mut row = vec![
            Field::whole(issued.secret().fingerprint()),
            Field::whole(time(issued.created_at())),
            Field::whole(issued.expires_at().map_or_else(|| "never".to_owned(), time)),
        ];
        if reveal {
            row.push(Field::whole(issued.secret().expose()).colored(Tone::Secret));
        }
        row
    };
    out.rows(Some(heading), secrets.iter().map(row))?;
    Ok(Outcome::Done)
}

/// The JSON of a rotation.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rotated<'a> {
    subscription_id: SubscriptionId,
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

/// The JSON of a valid secret.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    fingerprint: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

impl<'a> Document<'a> {
    fn new(issued: &'a IssuedSecret, reveal: bool) -> Document<'a> {
        Document {
            fingerprint: issued.secret().fingerprint(),
            created_at: time(issued.created_at()),
            expires_at: issued.expires_at().map(time),
            secret: reveal.then(|| issued.secret().expose()),
        }
    }
}
