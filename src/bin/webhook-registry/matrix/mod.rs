//! `matrix`: event types × subscriptions, as a table, a page or a diagram.

mod data;
mod html;
mod mermaid;

use std::fs;
use std::path::PathBuf;

use clap::Args;
use webhook_registry::{Explanation, ExplanationEntry};

use self::data::{DISABLED, ENABLED, Matrix};
use crate::failure::{Failure, Outcome};
use crate::output::{Field, Output, Tone, note, state, with_owner};
use crate::session::Session;
use crate::text::joined;

#[derive(Debug, Args)]
pub(crate) struct MatrixArgs {
    /// Only the event types that this pattern matches
    #[arg(default_value = "*")]
    pattern: String,
    /// Write a page with a filter box, without references to other files; `-` is stdout
    #[arg(long, value_name = "FILE", conflicts_with_all = ["mermaid", "json"])]
    html: Option<PathBuf>,
    /// Write a Mermaid flowchart
    #[arg(long, conflicts_with = "json")]
    mermaid: bool,
}

pub(crate) fn matrix(
    session: &Session,
    args: &MatrixArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let registry = &session.registry;
    let names = registry.expand(&args.pattern)?;
    let mut rows = names.iter().map(|name| registry.explain(name).map_err(Failure::from));
    if out.json() {
        out.array(rows)?;
    } else if args.mermaid {
        mermaid::write(&Matrix::new(rows)?, &mut out.raw())?;
    } else if let Some(path) = &args.html {
        let page = html::page(&Matrix::new(rows)?);
        if path.as_os_str() == "-" {
            out.text(&page)?;
        } else {
            fs::write(path, page).map_err(|error| Failure::file("write", path, &error))?;
            out.line(format!("wrote {}", path.display()))?;
        }
    } else if out.tables() {
        table(session, &Matrix::new(rows)?, out)?;
    } else {
        // One line for each mark.
        rows.try_for_each(|row| lines(session, &row?, out))?;
    }
    Ok(Outcome::Done)
}

fn lines(session: &Session, row: &Explanation, out: &mut Output) -> Result<(), Failure> {
    let record = |entry: &ExplanationEntry| {
        let record = [
            Field::new(row.event_type()),
            Field::whole(entry.subscription_id().to_string()),
            Field::new(entry.name()),
            state(entry.enabled()),
            Field::new(joined(entry.patterns())),
            Field::new(entry.disabled_reason().unwrap_or_default()),
        ];
        with_owner(record, entry.owner(), session)
    };
    let heading = ["EVENT TYPE", "ID", "NAME", "STATE", "PATTERNS", "REASON"];
    out.owned_records(heading, session, row.entries().iter().map(record))?;
    Ok(())
}

/// Writes the table. Where the names do not fit, the columns have numbers, which a list explains.
fn table(session: &Session, matrix: &Matrix, out: &mut Output) -> Result<(), Failure> {
    if matrix.rows.is_empty() {
        note("the catalog has no event types");
        return Ok(());
    }
    let names = matrix.columns.values().map(|column| column.full_name().chars().count());
    let types = matrix.rows.iter().map(|row| row.event_type().len()).max().unwrap_or_default();
    let needed = names.fold(types, |sum, name| sum.saturating_add(name).saturating_add(2));
    let numbered = needed > out.width();
    let mut heading = vec![Field::new("EVENT TYPE").bold()];
    for (column, number) in matrix.columns.values().zip(1_usize..) {
        let name =
            if numbered { Field::new(number.to_string()) } else { Field::new(column.full_name()) };
        heading.push(name.bold());
    }
    let rows = matrix.rows.iter().map(|row| {
        let mut fields = vec![Field::new(row.event_type())];
        let mut entries = row.entries().iter().peekable();
        for id in matrix.columns.keys() {
            // Both are in the order of ids.
            let entry = entries.next_if(|entry| entry.subscription_id() == *id);
            fields.push(match entry.map(|entry| entry.enabled()) {
                Some(true) => Field::new(ENABLED).colored(Tone::Good),
                Some(false) => Field::new(DISABLED).colored(Tone::Warning),
                None => Field::new(""),
            });
        }
        fields
    });
    out.rows(Some(heading), rows)?;
    if numbered {
        out.line("")?;
        let legend = matrix.columns.iter().zip(1_usize..).map(|((id, column), number)| {
            let record = [
                Field::whole(number.to_string()).bold(),
                Field::new(&column.name),
                Field::whole(id.to_string()),
                state(column.enabled),
                Field::new(&column.reason),
            ];
            with_owner(record, column.owner.as_deref(), session)
        });
        out.owned_records(["COLUMN", "NAME", "ID", "STATE", "REASON"], session, legend)?;
    }
    Ok(())
}
