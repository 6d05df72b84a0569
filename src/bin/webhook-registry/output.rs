//! The answer on stdout: tables on a terminal, lines with tabs elsewhere, or JSON.

use std::cmp::Reverse;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use anstream::AutoStream;
use clap::ValueEnum;
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::session::{Scope, Session};
use crate::text::visible;

/// The spaces left and right of a field in a table.
const PADDING: (u16, u16) = (0, 2);

/// The value of `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

impl ColorChoice {
    /// Makes the choice hold for stdout and stderr of the whole process.
    pub(crate) fn write_global(self) {
        match self {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

/// The answer of a command.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    tables: bool,
    /// Removes the colours where they are not wanted.
    text: AutoStream<StdoutLock<'static>>,
}

/// The meaning of a colour.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tone {
    Good,
    Warning,
    Bad,
    Secret,
}

/// One field of a record.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    text: String,
    tone: Option<Tone>,
    bold: bool,
    /// Whether it should not be broken into lines.
    whole: bool,
}

impl Field {
    pub(crate) fn new(text: impl AsRef<str>) -> Field {
        Field { text: visible(text.as_ref()).into_owned(), tone: None, bold: false, whole: false }
    }

    /// Creates a field that is useless in parts, such as an id or a time.
    pub(crate) fn whole(text: impl AsRef<str>) -> Field {
        Field { whole: true, ..Field::new(text) }
    }

    pub(crate) fn colored(self, tone: Tone) -> Field {
        Field { tone: Some(tone), ..self }
    }

    pub(crate) fn bold(self) -> Field {
        Field { bold: true, ..self }
    }

    fn cell(self) -> Cell {
        let Field { text, tone, bold, whole: _ } = self;
        let mut cell = Cell::new(text);
        if let Some(tone) = tone {
            cell = cell.fg(match tone {
                Tone::Good => Color::DarkGreen,
                Tone::Warning => Color::DarkYellow,
                Tone::Bad => Color::DarkRed,
                Tone::Secret => Color::DarkCyan,
            });
        }
        if bold { cell.add_attribute(Attribute::Bold) } else { cell }
    }
}

impl<T: AsRef<str>> From<T> for Field {
    fn from(text: T) -> Field {
        Field::new(text)
    }
}

/// Returns the field for the state of a subscription.
pub(crate) fn state(enabled: bool) -> Field {
    if enabled {
        Field::whole("enabled").colored(Tone::Good)
    } else {
        Field::whole("disabled").colored(Tone::Warning)
    }
}

/// Appends the owner to a record, where the answer is about every owner.
pub(crate) fn with_owner<const N: usize>(
    fields: [Field; N],
    owner: Option<&str>,
    session: &Session,
) -> Vec<Field> {
    let mut row = Vec::from(fields);
    if session.scope == Scope::EveryOwner {
        row.push(Field::new(owner.unwrap_or_default()));
    }
    row
}

impl Output {
    pub(crate) fn new(json: bool, color: ColorChoice) -> Output {
        let stdout = io::stdout();
        // The tables have colours always, and `text` removes them. Without this line, NO_COLOR
        // would act on the tables even with `--color always`.
        crossterm::style::force_color_output(true);
        let tables = stdout.is_terminal() || color == ColorChoice::Always;
        let text = AutoStream::new(stdout.lock(), AutoStream::choice(&stdout));
        Output { json, tables, text }
    }

    /// Returns whether the answer is JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Returns whether the answer is for a person at a terminal.
    pub(crate) fn tables(&self) -> bool {
        self.tables
    }

    /// Writes one JSON document.
    pub(crate) fn document(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut out = self.raw();
        serde_json::to_writer(&mut out, value)?;
        out.write_all(b"\n")?;
        out.flush()
    }

    /// Writes an array of JSON, one element a line, without having all elements in memory.
    pub(crate) fn array<T: Serialize, E: From<io::Error>>(
        &mut self,
        elements: impl IntoIterator<Item = Result<T, E>>,
    ) -> Result<(), E> {
        let mut out = self.raw();
        let mut before: &[u8] = b"[";
        for element in elements {
            // An element that cannot be read leaves an incomplete document, which no reader takes
            // for a complete one.
            let element = element?;
            out.write_all(before).map_err(E::from)?;
            serde_json::to_writer(&mut out, &element).map_err(|error| E::from(error.into()))?;
            before = b",\n";
        }
        let end: &[u8] = if before == b"[" { b"[]\n" } else { b"]\n" };
        out.write_all(end).and_then(|()| out.flush()).map_err(E::from)
    }

    /// Returns stdout with a buffer, for output without colours.
    pub(crate) fn raw(&mut self) -> impl Write + use<> {
        BufWriter::with_capacity(1 << 16, io::stdout())
    }

    /// Writes one line of text, and escapes what could control the terminal.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.text, "{}", visible(text.as_ref()))
    }

    /// Writes records: a table with a heading on a terminal, lines with tabs elsewhere.
    pub(crate) fn records<const N: usize>(
        &mut self,
        heading: [&str; N],
        records: impl IntoIterator<Item = [Field; N]>,
    ) -> io::Result<()> {
        let heading = heading.map(|name| Field::new(name).bold());
        self.rows(Some(Vec::from(heading)), records.into_iter().map(Vec::from))
    }

    /// Writes records that [`with_owner`] has made.
    pub(crate) fn owned_records<const N: usize>(
        &mut self,
        heading: [&str; N],
        session: &Session,
        records: impl IntoIterator<Item = Vec<Field>>,
    ) -> io::Result<()> {
        let heading = heading.map(|name| Field::new(name).bold());
        let heading = with_owner(heading, Some("OWNER"), session);
        self.rows(Some(heading), records)
    }

    /// Writes the fields of one thing, each with its name, in the same way.
    pub(crate) fn fields(&mut self, fields: Vec<(&str, Field)>) -> io::Result<()> {
        let rows = fields.into_iter().map(|(name, field)| vec![Field::new(name).bold(), field]);
        self.rows(None, rows)
    }

    /// Writes rows of any number of fields. Only a table has the heading.
    pub(crate) fn rows(
        &mut self,
        heading: Option<Vec<Field>>,
        rows: impl IntoIterator<Item = Vec<Field>>,
    ) -> io::Result<()> {
        if !self.tables {
            let mut out = self.raw();
            for row in rows {
                let texts: Vec<String> = row.into_iter().map(|field| field.text).collect();
                writeln!(out, "{}", texts.join("\t"))?;
            }
            return out.flush();
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.enforce_styling();
        let rows: Vec<Vec<Field>> = rows.into_iter().collect();
        if rows.is_empty() {
            note("nothing to show");
            return Ok(());
        }
        let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
        let mut filled = vec![false; columns];
        let mut whole = vec![false; columns];
        for row in &rows {
            for ((field, filled), whole) in row.iter().zip(&mut filled).zip(&mut whole) {
                *filled |= !field.text.is_empty();
                *whole |= field.whole;
            }
        }
        // A column without a text, such as the reason where nothing is disabled, takes space only.
        let shown = |row: Vec<Field>| {
            let fields = row.into_iter().zip(&filled).filter(|(_, filled)| **filled);
            fields.map(|(field, _)| field.cell())
        };
        if let Some(heading) = heading {
            table.set_header(shown(heading));
        }
        for row in rows {
            table.add_row(shown(row));
        }
        for column in table.column_iter_mut() {
            column.set_padding(PADDING);
        }
        let whole = whole.into_iter().zip(&filled).filter(|(_, filled)| **filled);
        self.keep_whole(&mut table, &whole.map(|(whole, _)| whole).collect::<Vec<_>>());
        writeln!(self.text, "{}", table.trim_fmt())
    }

    /// Writes text as it is.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        let mut out = self.raw();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Returns the width of the terminal, or that of a page where there is none.
    pub(crate) fn width(&self) -> usize {
        const PAGE: u16 = 100;
        Table::new().width().unwrap_or(PAGE).into()
    }

    /// Keeps columns from being broken into lines, the widest first, as long as the others have
    /// room beside them.
    fn keep_whole(&self, table: &mut Table, whole: &[bool]) {
        /// The least that another column needs to be readable.
        const READABLE: u16 = 10;
        let widths = table.column_max_content_widths();
        let least = |width: u16| usize::from(width.min(READABLE).saturating_add(PADDING.1));
        let mut used = widths.iter().copied().map(least).fold(0, usize::saturating_add);
        let columns = widths.into_iter().zip(table.column_iter_mut()).zip(whole);
        let mut columns: Vec<_> =
            columns.filter(|(_, whole)| **whole).map(|(both, _)| both).collect();
        columns.sort_by_key(|(width, _)| Reverse(*width));
        for (width, column) in columns {
            let more = used.saturating_add(width.saturating_sub(READABLE).into());
            if more <= self.width() {
                column.set_constraint(ColumnConstraint::ContentWidth);
                used = more;
            }
        }
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.text.flush()
    }
}

/// Writes a note to stderr.
pub(crate) fn note(text: &str) {
    // Nothing can be done about a stderr that cannot be written to.
    let _ = writeln!(anstream::stderr(), "{}", visible(text));
}
