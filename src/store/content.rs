//! Determines what a file holds, before anything is written to it.

use rusqlite::{Connection, Error as SqlError, ErrorCode, OptionalExtension as _};

use super::error;
use super::schema::STEPS;
use crate::error::{Error, ErrorKind, Result, quoted};

/// The `application_id` of every file of a registry's own: "whrg".
pub(super) const APPLICATION: i64 = 0x7768_7267;

/// The content of a file, by its header and its list of tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// No application has written anything yet.
    Nothing,
    /// A registry of the version that this crate writes.
    Current,
    /// A registry of this earlier version.
    Older(usize),
    /// A registry of this later version.
    Newer(i64),
    /// The tables of an application, in whose file a registry may be a guest.
    Application,
    /// The tables of an application, one of which has this name that belongs to the registry.
    NameTaken(String),
    /// A registry that is a guest, in a file that was not opened so.
    Guest,
    /// Pages that hold something, and no table to which they belong.
    Lost,
    /// The tables of another application.
    Foreign,
}

/// The content of a file, and whether the file belongs to an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) content: Content,
    /// True if the registry in the file is a guest, or would become one.
    pub(super) guest: bool,
}

impl Found {
    /// Determines the content, in the open transaction. `guest` tells whether the registry may be
    /// one.
    pub(super) fn read(conn: &Connection, guest: bool) -> rusqlite::Result<Found> {
        Found::among(STEPS.len(), conn, guest)
    }

    /// Determines the content, where the newest version is this one.
    pub(super) fn among(newest: usize, conn: &Connection, guest: bool) -> rusqlite::Result<Found> {
        let number = |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
        let found = |content, guest| Ok(Found { content, guest });
        match guest_version(conn)? {
            Some(_) if !guest => return found(Content::Guest, true),
            Some(version) => return found(Content::from_version(newest, version), true),
            None => {}
        }
        let tables = number("SELECT count(*) FROM sqlite_master")?;
        if guest && tables == 0 {
            let lost = pages_in_use(conn)? > 1;
            return found(if lost { Content::Lost } else { Content::Nothing }, true);
        }
        if guest && !has_meta(conn)? {
            let content = match reserved_name(conn)? {
                Some(name) => Content::NameTaken(name),
                None => Content::Application,
            };
            return found(content, true);
        }
        let application = number("PRAGMA application_id")?;
        let version = number("PRAGMA user_version")?;
        let content = match (application, version) {
            (0, 0) if tables == 0 => Content::Nothing,
            (APPLICATION, version) => Content::from_version(newest, version),
            _ => Content::Foreign,
        };
        found(content, false)
    }
}

impl Content {
    fn from_version(newest: usize, version: i64) -> Content {
        match usize::try_from(version) {
            Ok(version) if version == newest => Content::Current,
            Ok(older) if (1..newest).contains(&older) => Content::Older(older),
            Ok(newer) if newer > newest => Content::Newer(version),
            _ => Content::Foreign,
        }
    }

    /// Rejects a file that is not a registry, or that this version cannot read.
    pub(super) fn admit(self) -> Result<Content> {
        let refuse = |why: String| Err(Error::new(ErrorKind::Incompatible, why));
        match self {
            Content::Foreign => refuse(
                "the file is not a registry: another application's data is in it; with \
                 `RegistryOptions::guest(true)` a registry can live beside it"
                    .to_owned(),
            ),
            Content::Guest => refuse(
                "the file belongs to an application, and the registry is a guest in it: open it \
                 with `RegistryOptions::guest(true)`"
                    .to_owned(),
            ),
            Content::NameTaken(name) => refuse(format!(
                "no registry can be made in the file: the name {} of the application's begins as \
                 only the registry's may, with `_webhook_registry_` or `webhook_registry_`",
                quoted(&name)
            )),
            Content::Lost => {
                Err(Error::corrupt("it lists no table, and pages of it hold something"))
            }
            Content::Newer(version) => refuse(format!(
                "the file was written by a newer version of webhook-registry: its schema is \
                 {version}, the newest that this one knows is {}",
                STEPS.len()
            )),
            content => Ok(content),
        }
    }
}

/// Returns the number of pages that hold something. Without a table that is one, the first.
///
/// Where pages can move, some hold their places, one for each fifth part of a page's bytes.
fn pages_in_use(conn: &Connection) -> rusqlite::Result<i64> {
    let number = |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    let pages = number("PRAGMA page_count")?;
    let used = pages.saturating_sub(number("PRAGMA freelist_count")?);
    if number("PRAGMA auto_vacuum")? == 0 {
        return Ok(used);
    }
    let each = number("PRAGMA page_size")?.checked_div(5).unwrap_or_default().max(1);
    Ok(used.saturating_sub(pages.checked_div(each).unwrap_or_default().saturating_add(1)))
}

/// Returns whether the file has the table of the registry's only row.
fn has_meta(conn: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = \
               '_webhook_registry_meta'";
    conn.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|count| count > 0)
}

/// Returns the version of a registry that is a guest in the file.
fn guest_version(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    if !has_meta(conn)? {
        return Ok(None);
    }
    let sql = "SELECT schema_version FROM _webhook_registry_meta WHERE guest = 1";
    match conn.query_row(sql, [], |row| row.get(0)).optional() {
        // A table of that name which no registry has made.
        Err(cause) if error::is(&cause, ErrorCode::Unknown) => Ok(None),
        Err(SqlError::InvalidColumnType(..)) => Ok(None),
        version => version,
    }
}

/// Returns the first name of the application's that only the registry's may have.
///
/// A trigger has no name in common with a table, so an application may call its own triggers as it
/// calls the views that they use.
fn reserved_name(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT name FROM sqlite_master \
                WHERE name LIKE '\\_webhook\\_registry\\_%' ESCAPE '\\' \
                   OR type <> 'trigger' AND name LIKE 'webhook\\_registry\\_%' ESCAPE '\\' \
                ORDER BY name LIMIT 1";
    let name = |row: &rusqlite::Row<'_>| {
        row.get_ref(0)
            .map(|name| String::from_utf8_lossy(name.as_bytes().unwrap_or_default()).into_owned())
    };
    conn.query_row(sql, [], name).optional()
}
