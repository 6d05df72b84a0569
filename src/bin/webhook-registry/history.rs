//! `changes`: the history, once or live.

use std::time::Duration;

use clap::Args;
use webhook_registry::{Change, ChangeKind, ErrorKind, Registry};

use crate::failure::{Failure, Outcome};
use crate::output::{Field, Output, Tone};
use crate::reader;
use crate::session::Session;
use crate::text::time;

/// The number of changes that one call of the library reads.
const PAGE: usize = 1000;

/// The number of changes that are searched for those of one subscription.
const SEARCHED: u64 = 10_000;

/// The time between two looks at the number of the last change. A look takes microseconds.
const INTERVAL: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub(crate) struct ChangesArgs {
    /// Only changes after this number; the default is all that are kept
    #[arg(long, value_name = "N")]
    after: Option<u64>,
    /// Go on with new changes, looking for them four times a second
    ///
    /// Without --after, only new changes are printed. With --json, each line is a document: the
    /// only answer that is not one document.
    #[arg(long)]
    follow: bool,
}

pub(crate) fn changes(
    session: &Session,
    args: &ChangesArgs,
    out: &mut Output,
) -> Result<Outcome, Failure> {
    let registry = &session.registry;
    if args.follow {
        let after = args.after.map_or_else(|| registry.last_change(), Ok)?;
        return follow(registry, after, out);
    }
    let start = args.after.map_or(Start::Oldest, Start::After);
    if out.json() {
        out.array(Pages::new(registry, start).flatten_changes())?;
        return Ok(Outcome::Done);
    }
    if out.tables() {
        // The widths of the columns need all of them.
        let all: Vec<Change> =
            Pages::new(registry, start).flatten_changes().collect::<Result<_, _>>()?;
        records(&all, out)?;
        return Ok(Outcome::Done);
    }
    for page in Pages::new(registry, start) {
        records(&page?, out)?;
    }
    Ok(Outcome::Done)
}

/// Prints new changes until the reader has gone, or the program is ended.
fn follow(registry: &Registry, mut after: u64, out: &mut Output) -> Result<Outcome, Failure> {
    loop {
        // A handle of one owner skips the numbers of others, so the last number may have no change.
        let last = registry.last_change()?;
        for page in Pages::new(registry, Start::After(after)) {
            let page = page?;
            after = page.last().map_or(after, Change::sequence);
            if out.json() {
                page.iter().try_for_each(|change| out.document(change))?;
            } else {
                out.rows(None, page.iter().map(record).map(Vec::from))?;
            }
        }
        out.flush()?;
        after = after.max(last);
        while registry.last_change()? == after {
            reader::wait(INTERVAL)?;
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Start {
    Oldest,
    After(u64),
}

/// The pages of the history.
#[derive(Debug)]
struct Pages<'a> {
    registry: &'a Registry,
    /// Where the next page begins. `None` is the end.
    next: Option<Start>,
}

impl<'a> Pages<'a> {
    fn new(registry: &'a Registry, start: Start) -> Pages<'a> {
        Pages { registry, next: Some(start) }
    }

    fn flatten_changes(self) -> impl Iterator<Item = Result<Change, Failure>> {
        self.flat_map(|page| {
            let (changes, failure) = match page {
                Ok(changes) => (changes, None),
                Err(failure) => (Vec::new(), Some(failure)),
            };
            changes.into_iter().map(Ok).chain(failure.map(Err))
        })
    }

    fn read(&self, start: Start) -> Result<Vec<Change>, Failure> {
        match start {
            Start::After(after) => Ok(self.registry.changes(after, PAGE)?),
            Start::Oldest => loop {
                let after = oldest_kept(self.registry)?;
                match self.registry.changes(after, PAGE) {
                    // A writer has pushed the oldest change out meanwhile.
                    Err(error) if error.kind() == ErrorKind::Gone => {}
                    read => return Ok(read?),
                }
            },
        }
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<Vec<Change>, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.next.take()?;
        let read = self.read(start);
        if let Ok(page) = &read {
            self.next = Some(Start::After(page.last()?.sequence()));
        }
        Some(read)
    }
}

/// Returns the number before the oldest change that is kept.
fn oldest_kept(registry: &Registry) -> Result<u64, Failure> {
    // Every number before it is `Gone`, and no number after it.
    let (mut gone, mut kept) = (None, registry.last_change()?);
    loop {
        let middle = match gone {
            None => 0,
            Some(gone) => u64::midpoint(gone, kept),
        };
        if middle == kept || Some(middle) == gone {
            return Ok(kept);
        }
        match registry.changes(middle, 1) {
            Ok(_) => kept = middle,
            Err(error) if error.kind() == ErrorKind::Gone => gone = Some(middle),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns the last changes of a subject, oldest first, of those that are kept and not too old.
pub(crate) fn last_of(
    session: &Session,
    subject: &str,
    count: usize,
) -> Result<Vec<Change>, Failure> {
    let registry = &session.registry;
    let mut found = Vec::new();
    let oldest = oldest_kept(registry)?;
    let mut end = registry.last_change()?;
    let start = oldest.max(end.saturating_sub(SEARCHED));
    while end > start && found.len() < count {
        let after = start.max(end.saturating_sub(1000));
        let page = match registry.changes(after, PAGE) {
            Ok(page) => page,
            // A writer has pushed the oldest changes out meanwhile.
            Err(error) if error.kind() == ErrorKind::Gone => break,
            Err(error) => return Err(error.into()),
        };
        let own = page
            .into_iter()
            .filter(|change| change.sequence() <= end && change.subject() == subject);
        found.extend(own.rev());
        end = after;
    }
    found.truncate(count);
    found.reverse();
    Ok(found)
}

pub(crate) fn records(changes: &[Change], out: &mut Output) -> Result<(), Failure> {
    out.records(
        ["NUMBER", "TIME", "CHANGE", "SUBJECT", "OWNER", "FIELDS"],
        changes.iter().map(record),
    )?;
    Ok(())
}

fn record(change: &Change) -> [Field; 6] {
    let kind = serde_json::to_value(change.kind()).unwrap_or_default();
    let kind = Field::whole(kind.as_str().unwrap_or_default());
    let kind = match change.kind() {
        ChangeKind::Created | ChangeKind::Enabled => kind.colored(Tone::Good),
        ChangeKind::Deleted | ChangeKind::Disabled => kind.colored(Tone::Warning),
        _ => kind,
    };
    let fields: Vec<String> = change.fields().iter().map(field).collect();
    [
        Field::whole(change.sequence().to_string()),
        Field::whole(time(change.at())),
        kind,
        Field::whole(change.subject()),
        Field::new(change.owner().unwrap_or_default()),
        Field::new(fields.join(" ")),
    ]
}

/// Writes a field as `name: before → after`; a secret has no values.
fn field(field: &webhook_registry::FieldChange) -> String {
    match (field.before(), field.after()) {
        (None, None) => field.name().to_owned(),
        (None, Some(after)) => format!("{}={after}", field.name()),
        (Some(before), None) => format!("{}={before}→", field.name()),
        (Some(before), Some(after)) => format!("{}={before}→{after}", field.name()),
    }
}
