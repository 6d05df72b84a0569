//! Giving the file another key, or none, so that nothing of what was readable before is left in it.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::error::MapSqliteErr as _;
use super::history::ChangeRecorder;
use super::rows::{id_of, rising};
use super::secret_codec::SecretCodec;
use super::{Read, Shared, Store, Write, retry};
use crate::error::{Error, ErrorKind, Result};
use crate::id::SubscriptionId;
use crate::scope::Scope;
use crate::secret::EncryptionKey;

/// How many subscriptions are rewritten from one look: what of their secrets is in memory at once.
const BATCH: u16 = 1_000;

impl Store {
    /// Seals every secret with this key, or lays it open where there is none. The file has to be this store's alone.
    pub(crate) fn rekey(&self, key: Option<&EncryptionKey>) -> Result<()> {
        if self.read_only {
            return Err(Error::read_only());
        }
        // In this order, as everywhere: no reader of this store is under way, and none begins.
        let mut vault = self.vault.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _watch = self.shared.as_ref().map(|shared| shared.watch.stop());
        let conn = self.lock()?;
        let shared = self.shared.is_some();
        retry::retry_while_busy(self.busy_timeout, || {
            if let Some(Shared { readers, .. }) = &self.shared {
                readers.close();
            }
            alone(&conn, shared)
        })?;
        let result = rewrite(&conn, &vault, key).map(|new| *vault = new).and_then(|()| {
            // What the old pages held goes with them: all are written anew.
            conn.execute_batch("VACUUM").map_sqlite_err().map_err(|cause| {
                let what = "the file has its new key, but what lay there before could not be cleared from it";
                Error::new(cause.kind(), what).with_source(cause)
            })
        });
        // Also where it failed: the others are let in again.
        let shared_again = share(&conn, shared);
        result?;
        shared_again?;
        // By this first look the file is held open again.
        held(retry::retry_while_busy(self.busy_timeout, || SecretCodec::of(&conn, key)))
    }
}

/// What the first look says. Whoever was quicker may have given the file yet another key, or keeps it locked for a while,
/// which undoes nothing.
fn held(look: Result<SecretCodec>) -> Result<()> {
    match look {
        Err(error) if error.kind() != ErrorKind::Busy => Err(error),
        _ => Ok(()),
    }
}

/// Takes the file, with its `-wal` emptied into it and removed, for as long as the connection says.
///
/// It is left in WAL mode all the same. A rollback journal would hold what is to go, and a kill would leave the file half
/// written beside it, so that no key fits until it is rolled back; a `-wal` holds the new pages alone.
fn alone(conn: &Connection, shared: bool) -> Result<()> {
    conn.pragma_update(None, "locking_mode", "EXCLUSIVE").map_sqlite_err()?;
    match journal_mode(conn, "DELETE") {
        Ok(mode) if mode == "delete" => journal_mode(conn, "WAL").map(drop),
        Ok(_) => Err(Error::new(
            ErrorKind::Busy,
            "the file is open elsewhere, and needs to be this registry's alone",
        )),
        Err(error) => Err(error),
    }
    .inspect_err(|_| {
        // Tried again by the caller, or given up: either way the others are let in meanwhile.
        if shared {
            let _ = conn.pragma_update(None, "locking_mode", "NORMAL");
        }
    })
}

/// Back to how a registry's file is used, with the `-wal` emptied into it once more.
///
/// In this order nobody comes in between. A connection that has entered WAL mode by itself cannot let others in before it
/// leaves it, and one that was told to let others in does so after its next statement; that is the one by which the file
/// is in WAL mode again.
fn share(conn: &Connection, shared: bool) -> Result<()> {
    let left = journal_mode(conn, "DELETE");
    if shared {
        conn.pragma_update(None, "locking_mode", "NORMAL").map_sqlite_err()?;
    }
    let entered = journal_mode(conn, "WAL");
    left.and(entered).map(drop)
}

fn journal_mode(conn: &Connection, mode: &str) -> Result<String> {
    conn.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |row| row.get(0)).map_sqlite_err()
}

fn rewrite(
    conn: &Connection,
    old: &SecretCodec,
    key: Option<&EncryptionKey>,
) -> Result<SecretCodec> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Exclusive).map_sqlite_err()?;
    let new = SecretCodec::set_key(&tx, key)?;
    let (from, to) = (
        Read { conn: &tx, vault: old, scope: &Scope::Every },
        Write {
            read: Read { conn: &tx, vault: &new, scope: &Scope::Every },
            ledger: ChangeRecorder::new(),
        },
    );
    let mut after = 0;
    loop {
        let batch = subscriptions(&tx, after)?;
        let Some(&(last, _)) = batch.last() else {
            break;
        };
        for (seq, id) in batch {
            to.set_secrets(seq, id, &from.secrets(seq, id)?)?;
        }
        after = last;
    }
    tx.commit().map_sqlite_err()?;
    Ok(new)
}

fn subscriptions(conn: &Connection, after: i64) -> Result<Vec<(i64, SubscriptionId)>> {
    let sql = "SELECT seq, id FROM subscription INDEXED BY subscription_seq WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let mut statement = conn.prepare_cached(sql).map_sqlite_err()?;
    let mut rows = statement.query(params![after, BATCH]).map_sqlite_err()?;
    let (mut batch, mut last) = (Vec::new(), after);
    while let Some(row) = rows.next().map_sqlite_err()? {
        last = rising(last, row.get(0).map_sqlite_err()?)?;
        batch.push((last, id_of(row, 1)?));
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_after_the_change_undoes_nothing_and_another_key_is_told() {
        let told = |kind| {
            held(Err(Error::new(kind, "met on the first look"))).map_err(|error| error.kind())
        };
        assert_eq!(told(ErrorKind::Busy), Ok(()));
        assert_eq!(told(ErrorKind::Incompatible), Err(ErrorKind::Incompatible));
    }
}
