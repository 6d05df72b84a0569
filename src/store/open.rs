//! Opens the file at a path. Its content is checked through a connection that does not write,
//! before anything is written.

use std::error::Error as _;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, ErrorCode, MAIN_DB, TransactionBehavior};

use super::connection::{configure, connect, path_bytes};
use super::content::{Content, Found};
use super::copy;
use super::disk;
use super::error::{self, MapSqliteErr as _, sqlite_error};
use super::io_error::{self, cannot};
use super::lock_wait;
use super::migrate;
use super::paths::{
    self, FileId, beside, check_same_file, not_a_registry, nothing_at, size_beside,
};
use super::refusal;
use super::registry_row;
use super::settings::{Access, Settings};
use super::stored_secret::SecretCodec;
use super::writer::{self, Writer};
use crate::error::{Error, ErrorKind, Result};

/// An open file.
pub(super) struct Opened {
    pub(super) conn: Connection,
    /// The connection by which the content was checked.
    pub(super) reader: Option<Connection>,
    /// True if the connection sees later changes of other processes.
    pub(super) sees_changes: bool,
    /// True if the file belongs to an application.
    pub(super) guest: bool,
    /// The identity of the file, from before it was opened. Where `conn` writes, the file at the
    /// path still had this identity afterwards, so every connection has opened that file. Where it
    /// reads, a file that took its place in between is recognized at the first call.
    pub(super) file: Option<FileId>,
}

/// Creates a database in memory.
///
/// To execute the statements of the schema takes several times as long as to parse it once, which
/// is all that a connection to a copy does. So a process executes them once.
pub(super) fn memory() -> Result<Connection> {
    static TEMPLATE: Mutex<Option<Connection>> = Mutex::new(None);
    let mut conn = Connection::open_in_memory().map_sqlite_err()?;
    configure(&mut conn)?;
    let mut template = TEMPLATE.lock().unwrap_or_else(PoisonError::into_inner);
    if template.is_none() {
        let mut first = Connection::open_in_memory().map_sqlite_err()?;
        migrate::make_in_memory(&mut first)?;
        *template = Some(first);
    }
    if let Some(template) = &*template {
        copy::copy(template, &mut conn, None)?;
    }
    drop(template);
    registry_row::set_random_file_id(&conn)?;
    Ok(conn)
}

/// The number of attempts to open a file. After the last one, a read-only `-wal` or `-shm` is an
/// error, and so is another file at the path. SQLite falls back to opening `-wal` and `-shm` for
/// reading, whatever the cause. With no descriptor free for a moment, the connection could never
/// write.
const TRIES: usize = 3;

/// Opens the file at a path, to read or to write.
pub(super) fn file(path: &Path, how: &Settings) -> Result<Opened> {
    // Rejected before `prepare` makes a file that SQLite could not open.
    path_bytes(path)?;
    if how.read_only {
        return lock_wait::retry_while_busy(how.busy_timeout, || to_read(path, how));
    }
    let mut tries = 1..TRIES;
    loop {
        let has_content = paths::prepare(path, how.create)?;
        let file = paths::file_id(path);
        // Another file may have taken its place before the identity was taken.
        let has_content = has_content || paths::length(path)? > 0;
        let opened = to_write(path, how, has_content, file);
        // The connections may have opened either file, so that even an error can be of a mixture.
        if let Err(replaced) = check_same_file(path, file) {
            if tries.next().is_none() {
                return Err(replaced);
            }
            continue;
        }
        match opened {
            Err(error) if is_too_many_files(&error) && tries.next().is_some() => drop(error),
            Err(error) if error::is_read_only(&error) || error::is_unopened_beside(&error) => {
                if let Some(named) = paths::unwritable_journal(path)? {
                    return Err(named);
                }
                if tries.next().is_none() {
                    return Err(paths::unwritable_shm(path)?.with_source(error));
                }
            }
            opened => return opened,
        }
    }
}

/// Opens a file to write. Before each write the file at the path is compared with `file`: SQLite
/// finds the `-wal` by its name, so with a file that is no longer there it would write to the
/// `-wal` of the file that took its place.
fn to_write(
    path: &Path,
    how: &Settings,
    has_content: bool,
    file: Option<FileId>,
) -> Result<Opened> {
    if let Some((conn, guest)) = has_content.then(|| look_as_writer(path, how)).flatten() {
        check_same_file(path, file)?;
        let writer = Writer::new(how, guest);
        writer.adopt(&conn)?;
        make_writer(&conn, writer, path, how, false)?;
        return Ok(Opened { conn, reader: None, sees_changes: true, guest, file });
    }
    let (found, reader) = if has_content {
        lock_wait::retry_while_busy(how.busy_timeout, || look(path, how))?
    } else {
        (Found { content: Content::Nothing, guest: how.guest }, None)
    };
    let content = found.content.admit()?;
    if matches!(content, Content::Nothing | Content::Application) && !how.create {
        return Err(nothing_at(path));
    }
    // Another connection would keep this one from locking the whole file. In an application's file
    // a connection that cannot write is too little to read.
    let reader = reader.filter(|_| !how.exclusive && !found.guest);
    let writer = Writer::new(how, found.guest);
    let mut conn = writer.connect(path)?;
    check_same_file(path, file)?;
    make_writer(&conn, writer, path, how, !has_content)?;
    if content != Content::Current {
        lock_wait::retry_while_busy(how.busy_timeout, || {
            let check = || check_same_file(path, file);
            migrate::migrate(&mut conn, how.key.as_ref(), how.guest, check)
        })
        .map_err(|error| disk::diagnose(&conn, error))?;
    }
    if how.exclusive {
        // SQLite takes the lock with the first access, and then keeps it.
        lock_wait::retry_while_busy(how.busy_timeout, || {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate);
            tx.and_then(rusqlite::Transaction::commit).map_sqlite_err()
        })?;
    }
    let guest = lock_wait::retry_while_busy(how.busy_timeout, || registry_row::is_guest(&conn))
        .map_err(|error| disk::diagnose(&conn, error))?;
    Ok(Opened { conn, reader, sees_changes: !how.exclusive, guest, file })
}

/// Brings a connection into the mode of one that writes, and rejects one that could never write.
fn make_writer(
    conn: &Connection,
    writer: Writer,
    path: &Path,
    how: &Settings,
    is_new: bool,
) -> Result<()> {
    lock_wait::retry_while_busy(how.busy_timeout, || writer.enter_mode(conn, path, is_new))
        .and_then(|()| writer::can_write(conn))
        .map_err(|error| disk::diagnose(conn, unopened_beside(path, error)))
}

/// Looks at the file through the connection that will write, if it holds a registry of the newest
/// schema that the settings fit. Returns whether the registry is a guest. None leaves the file to
/// the other way of opening, which looks through a connection that cannot write, and gives the
/// reason of a refusal.
///
/// Each connection parses the schema for itself, which takes longer than all the rest of opening.
/// So a file is opened by one connection where nothing speaks against it: until it is known to be a
/// registry, the connection writes no page of it and makes no checkpoint. It would restore the
/// pages of a rollback journal, so there must be none.
fn look_as_writer(path: &Path, how: &Settings) -> Option<(Connection, bool)> {
    // An exclusive connection has to be so before it reads.
    if how.exclusive || !matches!(size_beside(path, "-journal"), Ok(0)) {
        return None;
    }
    let conn = connect(path, Access::Query).ok()?;
    if conn.is_readonly(MAIN_DB).ok()? {
        return None;
    }
    let found = inspect(&conn, path, how);
    conn.execute_batch("ROLLBACK").ok()?;
    let Found { content, guest } = found.ok()?;
    (content == Content::Current).then_some((conn, guest))
}

/// Returns an error that says so where SQLite could not open a file beside this one because too
/// many files are open. The connection is still open, so that no descriptor has become free since.
fn unopened_beside(path: &Path, error: Error) -> Error {
    let unopened = error::is_read_only(&error) || error::is_unopened_beside(&error);
    match unopened.then(|| refusal::too_many_files(path)).flatten() {
        Some(cause) => cannot(path, "be opened", cause),
        None => error,
    }
}

/// Returns whether the operating system allowed no further open file.
fn is_too_many_files(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    cause.is_some_and(io_error::is_too_many_files)
}

/// Returns the content of the file, and the connection that read it, if it sees later changes.
fn look(path: &Path, how: &Settings) -> Result<(Found, Option<Connection>)> {
    let by = |access| {
        connect(path, access).and_then(|conn| Ok((content(&conn, path, how)?, Some(conn))))
    };
    match by(Access::Read) {
        // The application was killed, and any program that reads its file brings back the pages in
        // the journal.
        Err(error) if error.kind() == ErrorKind::Storage && how.guest => by(Access::Query),
        // A killed program left a rollback journal, or a `-shm` cannot be created. A connection
        // that ignores both reads the file without the content of the journal or the `-wal`.
        Err(error) if error.kind() == ErrorKind::Storage => {
            let (_, found) = look_without_wal(path, how, &error)?;
            if found.content != Content::Nothing {
                Ok((found, None))
            } else if journal_restores(path)? {
                // A registry starts without any page, and never has such a journal afterwards.
                let why = format!(
                    "{} is not a registry: the journal beside it holds what another program was \
                     about to remove",
                    path.display()
                );
                Err(Error::new(ErrorKind::Incompatible, why).with_source(error))
            } else if size_beside(path, "-wal")? > 0 {
                Err(error)
            } else {
                Ok((found, None))
            }
        }
        found => found,
    }
}

/// Reads the content of the file without its `-wal`, where SQLite could not read both.
fn look_without_wal(path: &Path, how: &Settings, why: &Error) -> Result<(Connection, Found)> {
    let file = connect(path, Access::Immutable)?;
    match content(&file, path, how) {
        Ok(found) => Ok((file, found)),
        // With the changes in the `-wal` it may be intact.
        Err(error) if error.kind() == ErrorKind::Corrupt && size_beside(path, "-wal")? > 0 => {
            let what = format!(
                "{} could not be read with the changes in its `-wal`: {why}",
                path.display()
            );
            Err(Error::new(ErrorKind::Storage, what).with_source(error))
        }
        Err(error) => Err(error),
    }
}

/// Returns whether a rollback journal beside the file would restore pages. Its header holds their
/// number.
fn journal_restores(path: &Path) -> Result<bool> {
    let journal = beside(path, "-journal")?;
    let mut header = [0; 20];
    match fs::File::open(&journal).and_then(|mut journal| journal.read_exact(&mut header)) {
        Ok(()) => Ok(header.last_chunk() != Some(&[0; 4])),
        Err(cause)
            if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) =>
        {
            Ok(false)
        }
        Err(cause) => Err(cannot(&journal, "be read", cause)),
    }
}

/// Returns the content of the file, and rejects a key that does not fit it.
fn content(conn: &Connection, path: &Path, how: &Settings) -> Result<Found> {
    let inspected = inspect(conn, path, how);
    // A failure may have ended the transaction already. The first error tells more than that of the
    // ROLLBACK, and nothing was written.
    if !conn.is_autocommit() {
        let ended = conn.execute_batch("ROLLBACK").map_sqlite_err();
        if inspected.is_ok() {
            ended?;
        }
    }
    inspected.map_err(|error| disk::diagnose(conn, error))
}

fn inspect(conn: &Connection, path: &Path, how: &Settings) -> Result<Found> {
    conn.execute_batch("BEGIN").map_sqlite_err()?;
    let found = Found::read(conn, how.guest).map_err(|cause| {
        if error::is(&cause, ErrorCode::NotADatabase) {
            not_a_registry(path)
        } else {
            sqlite_error(cause)
        }
    })?;
    if matches!(found.content, Content::Current | Content::Older(_))
        && ends_within_a_page(conn, path)?
    {
        return Err(Error::corrupt("it ends in the middle of a page"));
    }
    if found.content == Content::Current {
        SecretCodec::load(conn, how.key.as_ref())?;
    }
    Ok(found)
}

/// Returns whether the file was cut within a page. SQLite would fill up that page with zeros and
/// report nothing.
///
/// With changes in the `-wal` a file may end so: a program was killed while it copied them into the
/// file, and SQLite copies them again.
fn ends_within_a_page(conn: &Connection, path: &Path) -> Result<bool> {
    let page: u32 = conn.query_row("PRAGMA page_size", [], |row| row.get(0)).map_sqlite_err()?;
    let is_cut = || Ok(!paths::length(path)?.is_multiple_of(page.into()));
    // Asked twice, because another process can have finished its checkpoint in between.
    Ok(is_cut()? && size_beside(path, "-wal")? == 0 && is_cut()?)
}

fn to_read(path: &Path, how: &Settings) -> Result<Opened> {
    let file = paths::file_id(path);
    if paths::size(path)?.is_none_or(|size| size == 0) {
        return Err(nothing_at(path));
    }
    paths::check_existing(path)?;
    let look =
        || connect(path, Access::Read).and_then(|conn| Ok((content(&conn, path, how)?, conn)));
    // Tried again, because a copy is not followed: a failure of one moment must not turn the
    // registry into a copy for its life.
    let followed = match look() {
        Err(error) if error.kind() == ErrorKind::Storage => look(),
        found => found,
    };
    match followed {
        Ok((Found { content, guest }, conn)) => {
            readable(content, path)?;
            Ok(Opened { conn, reader: None, sees_changes: true, guest, file })
        }
        Err(error) if error.kind() == ErrorKind::Storage => read_copy(path, how, file, error),
        Err(error) => Err(error),
    }
}

/// Copies a file into memory, where SQLite can create neither `-wal` nor `-shm`. Without locks a
/// later change could be read half.
fn read_copy(path: &Path, how: &Settings, file: Option<FileId>, why: Error) -> Result<Opened> {
    let (source, found) = look_without_wal(path, how, &why)?;
    let Found { content, guest } = found;
    let content = content.admit()?;
    // Before the other checks: with the unread changes, a file that seems empty or older can be a
    // current one.
    for left in ["-wal", "-journal"] {
        if size_beside(path, left)? > 0 {
            let what = format!(
                "{} holds changes that cannot be read, because nothing can be written beside it",
                beside(path, left)?.display()
            );
            return Err(Error::new(ErrorKind::Storage, what).with_source(why));
        }
    }
    readable(content, path)?;
    let conn = copy::into_memory(&source, None).map_err(|error| disk::diagnose(&source, error))?;
    conn.pragma_update(None, "query_only", true).map_sqlite_err()?;
    Ok(Opened { conn, reader: None, sees_changes: false, guest, file })
}

fn readable(found: Content, path: &Path) -> Result<()> {
    match found.admit()? {
        Content::Nothing | Content::Application => Err(nothing_at(path)),
        Content::Older(version) => Err(Error::new(
            ErrorKind::Incompatible,
            format!(
                "the file's schema is version {version}; open it for writing once, and it is \
                 brought up to date"
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There is only one version yet, so no file has an older one.
    #[test]
    fn a_read_only_open_migrates_nothing() {
        let refused = |content| readable(content, Path::new("/a/file.db")).unwrap_err();
        let older = refused(Content::Older(1));
        assert_eq!(older.kind(), ErrorKind::Incompatible);
        assert!(
            older.to_string().contains("schema is version 1; open it for writing once"),
            "{older}"
        );
        assert_eq!(refused(Content::Newer(9)).kind(), ErrorKind::Incompatible);
        let nothing = refused(Content::Nothing);
        assert_eq!(
            (nothing.kind(), nothing.to_string()),
            (ErrorKind::NotFound, "no registry at /a/file.db".to_owned())
        );
        readable(Content::Current, Path::new("/a/file.db")).unwrap();
    }

    /// The identity is compared before each write, and not only at the end.
    #[cfg(unix)]
    #[test]
    fn a_file_that_took_the_place_of_another_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        let settings = Settings {
            read_only: false,
            create: true,
            guest: false,
            exclusive: false,
            durability: Default::default(),
            busy_timeout: std::time::Duration::from_secs(60),
            key: None,
            keep_changes: None,
            auto_checkpoint: true,
            random: crate::random::RandomSource::System,
        };
        drop(file(&path, &settings).unwrap());
        let registry = fs::read(&path).unwrap();
        // The second is opened through a connection that looks first and writes afterwards.
        for content in [b"".as_slice(), &registry] {
            fs::write(&path, content).unwrap();
            let has_content = !content.is_empty();
            let error = to_write(&path, &settings, has_content, Some((0, 0))).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Storage);
            assert!(error.to_string().contains("was replaced or removed since"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }
}
