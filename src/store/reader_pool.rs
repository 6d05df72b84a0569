//! A pool of connections that only read, so that readers wait neither for each other nor for a
//! writer.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::connection::connect;
use super::paths::{FileId, check_same_file};
use super::settings::Access;
use crate::error::Result;

/// The number of idle connections that are kept. More are open while more threads read at once.
const MAX_IDLE: usize = 8;

pub(super) struct ReaderPool {
    path: PathBuf,
    access: Access,
    open: Mutex<Open>,
}

struct Open {
    file: Option<FileId>,
    idle: Vec<Connection>,
}

impl ReaderPool {
    /// Creates a pool for a file. `first` is a connection that is already open.
    pub(super) fn new(
        path: &Path,
        access: Access,
        file: Option<FileId>,
        first: Option<Connection>,
    ) -> ReaderPool {
        let open = Open { file, idle: Vec::from_iter(first) };
        ReaderPool { path: path.to_owned(), access, open: Mutex::new(open) }
    }

    /// Returns the identity of the file that the connections read.
    pub(super) fn file(&self) -> Option<FileId> {
        self.open().file
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an idle connection, or opens one.
    pub(super) fn take(&self) -> Result<Connection> {
        let (file, idle) = {
            let mut open = self.open();
            (open.file, open.idle.pop())
        };
        match idle {
            Some(conn) => Ok(conn),
            None => self.connect_to(file),
        }
    }

    /// Opens a connection that has not parsed the schema.
    pub(super) fn connect(&self) -> Result<Connection> {
        self.connect_to(self.file())
    }

    fn connect_to(&self, file: Option<FileId>) -> Result<Connection> {
        let conn = connect(&self.path, self.access)?;
        check_same_file(&self.path, file)?;
        Ok(conn)
    }

    /// Returns a connection to the pool. One with an open transaction is closed instead.
    pub(super) fn give_back(&self, conn: Connection) {
        if !conn.is_autocommit() {
            return;
        }
        let mut open = self.open();
        if open.idle.len() < MAX_IDLE {
            open.idle.push(conn);
        }
    }

    /// Closes the idle connections.
    #[cfg(feature = "encryption")]
    pub(super) fn close(&self) {
        self.open().idle.clear();
    }

    /// Closes the idle connections, and reads this file from now on. No other connection may be in
    /// use.
    pub(super) fn reset(&self, file: Option<FileId>) {
        *self.open() = Open { file, idle: Vec::new() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::paths::file_id;

    fn readers() -> (tempfile::TempDir, ReaderPool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        let readers = ReaderPool::new(&path, Access::Read, file_id(&path), None);
        (folder, readers)
    }

    #[test]
    fn a_returned_connection_is_reused_unless_it_has_an_open_transaction() {
        let (_folder, readers) = readers();
        let is_marked = |conn: &Connection| conn.prepare("SELECT * FROM temp.mark").is_ok();
        let conn = readers.take().unwrap();
        conn.execute_batch("CREATE TEMP TABLE mark (a)").unwrap();
        readers.give_back(conn);
        let conn = readers.take().unwrap();
        assert!(is_marked(&conn));
        assert!(!is_marked(&readers.take().unwrap()), "a second connection is a new one");
        conn.execute_batch("BEGIN").unwrap();
        readers.give_back(conn);
        let conn = readers.take().unwrap();
        assert!(!is_marked(&conn) && conn.is_autocommit());
    }

    #[test]
    fn a_bounded_number_of_idle_connections_is_kept() {
        let (_folder, readers) = readers();
        let in_use: Vec<Connection> = (0..MAX_IDLE + 2).map(|_| readers.take().unwrap()).collect();
        in_use.into_iter().for_each(|conn| readers.give_back(conn));
        assert_eq!(readers.open().idle.len(), MAX_IDLE);
    }
}
