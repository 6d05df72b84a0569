//! Giving the file another key, or none, so that nothing of what was readable before is left in it.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::changes::Ledger;
use super::fault::OrFault as _;
use super::rows::decode_id;
use super::vault::Vault;
use super::{Read, Shared, Store, Write, busy};
use crate::error::{Error, ErrorKind, Result};
use crate::id::SubscriptionId;
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
        let result = busy::patiently(self.busy_timeout, || {
            if let Some(Shared { readers, .. }) = &self.shared {
                readers.close();
            }
            alone(&conn)
        })
        .and_then(|()| rewrite(&conn, &vault, key))
        .map(|new| *vault = new);
        let result = result.and_then(|()| {
            // What the old pages held goes with them: all are written anew, and what was journalled is cut off.
            conn.execute_batch("VACUUM").or_fault().map_err(|cause| {
                let what = "the file has its new key, but what lay there before could not be cleared from it";
                Error::new(cause.kind(), what).because(cause)
            })
        });
        let shared_again = share(&conn, self.shared.is_some());
        result.and(shared_again)
    }
}

/// Takes the file, with its `-wal` emptied into it and removed, for as long as the connection says.
fn alone(conn: &Connection) -> Result<()> {
    conn.pragma_update(None, "locking_mode", "EXCLUSIVE").or_fault()?;
    let taken =
        conn.query_row("PRAGMA journal_mode = TRUNCATE", [], |row| row.get::<_, String>(0)).or_fault();
    match taken {
        Ok(mode) if mode == "truncate" => Ok(()),
        Ok(_) => Err(Error::new(
            ErrorKind::Busy,
            "the file is open elsewhere, and needs to be this registry's alone",
        )),
        Err(error) => Err(error),
    }
    .inspect_err(|_| {
        // Tried again by the caller, or given up: either way the others are let in meanwhile.
        let _ = conn.pragma_update(None, "locking_mode", "NORMAL");
    })
}

/// Back to how a registry's file is used.
fn share(conn: &Connection, shared: bool) -> Result<()> {
    if shared {
        conn.pragma_update(None, "locking_mode", "NORMAL").or_fault()?;
    }
    let mode = |mode: &str| conn.query_row(mode, [], |row| row.get::<_, String>(0)).map(drop);
    // By way of DELETE, which removes the journal's file.
    mode("PRAGMA journal_mode = DELETE").and_then(|()| mode("PRAGMA journal_mode = WAL")).or_fault()
}

fn rewrite(conn: &Connection, old: &Vault, key: Option<&EncryptionKey>) -> Result<Vault> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Exclusive).or_fault()?;
    let new = Vault::set_key(&tx, key)?;
    let (from, to) = (
        Read { conn: &tx, vault: old },
        Write { read: Read { conn: &tx, vault: &new }, ledger: Ledger::new() },
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
    tx.commit().or_fault()?;
    Ok(new)
}

fn subscriptions(conn: &Connection, after: i64) -> Result<Vec<(i64, SubscriptionId)>> {
    let sql = "SELECT seq, id FROM subscription WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let mut statement = conn.prepare_cached(sql).or_fault()?;
    let mut rows = statement.query(params![after, BATCH]).or_fault()?;
    let mut batch = Vec::new();
    while let Some(row) = rows.next().or_fault()? {
        batch.push((row.get(0).or_fault()?, decode_id(&row.get::<_, String>(1).or_fault()?)?));
    }
    Ok(batch)
}
