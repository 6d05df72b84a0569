//! The schema's versions.

use rusqlite::{Connection, TransactionBehavior};

use super::fault::OrFault as _;
use super::vault::Vault;
use crate::error::{Error, ErrorKind, Result};
use crate::secret::EncryptionKey;

/// `application_id` of every registry: "whrg".
const APPLICATION: i64 = 0x7768_7267;

/// What turns each version into the next. Append only: files of every released version are about.
const STEPS: [&str; 1] = [include_str!("schema.sql")];

/// What a file holds, by its header and its list of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing yet: no application has put anything there.
    Nothing,
    /// A registry of the version that this crate writes.
    Current,
    /// A registry of this earlier version.
    Older(usize),
    /// A registry of this later version.
    Newer(i64),
    /// Somebody else's tables.
    Foreign,
}

impl Content {
    /// Reads it, in the transaction that is open.
    pub(super) fn of(conn: &Connection) -> rusqlite::Result<Content> {
        let number = |sql| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
        let application = number("PRAGMA application_id")?;
        let version = number("PRAGMA user_version")?;
        let tables = number("SELECT count(*) FROM sqlite_master")?;
        Ok(match (application, usize::try_from(version)) {
            (0, Ok(0)) if tables == 0 => Content::Nothing,
            (APPLICATION, Ok(version)) if version == STEPS.len() => Content::Current,
            (APPLICATION, Ok(older)) if (1..STEPS.len()).contains(&older) => Content::Older(older),
            (APPLICATION, Ok(newer)) if newer > STEPS.len() => Content::Newer(version),
            _ => Content::Foreign,
        })
    }

    /// Refuses what is no registry, or one that this version cannot read.
    pub(super) fn admit(self) -> Result<Content> {
        match self {
            Content::Foreign => Err(Error::new(
                ErrorKind::Incompatible,
                "the file is not a registry: another application's data is in it",
            )),
            Content::Newer(version) => Err(Error::new(
                ErrorKind::Incompatible,
                format!(
                    "the file was written by a newer version of webhook-registry: its schema is {version}, the newest \
                     that this one knows is {}",
                    STEPS.len()
                ),
            )),
            content => Ok(content),
        }
    }
}

/// Brings the file to the current schema, whole or not at all.
///
/// A new file gets the key. What is there is read again inside the transaction: another process may have done the same since it was looked at.
pub(super) fn migrate(conn: &mut Connection, key: Option<&EncryptionKey>) -> Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).or_fault()?;
    let done = match Content::of(&tx).or_fault()?.admit()? {
        Content::Older(version) => version,
        Content::Nothing => 0,
        _ => return Ok(()),
    };
    for step in STEPS.iter().skip(done) {
        tx.execute_batch(step).or_fault()?;
    }
    if done == 0 && key.is_some() {
        Vault::set_key(&tx, key)?;
    }
    tx.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {}",
        STEPS.len()
    ))
    .or_fault()?;
    tx.commit().or_fault()
}
