//! The jobs of the programs whose library provides rusqlite connections.
#![allow(dead_code, reason = "not every program uses all of it")]

use crate::rusqlite::{self, Connection, TransactionBehavior};

use crate::shared::{ENQUEUE, EVENT, Guest, OUTBOX, Result, Row, TABLE, TRANSACTION, VIEW};

pub fn make(own: &Connection) -> rusqlite::Result<()> {
    own.execute_batch(TABLE)
}

pub fn enqueue(own: &mut Connection, deliveries: &[Row]) -> rusqlite::Result<()> {
    let tx = own.transaction()?;
    for (id, url) in deliveries {
        tx.execute(ENQUEUE, [id, url])?;
    }
    tx.commit()
}

/// Changes the own tables and the registry in one transaction, once in vain.
pub fn transact(own: &mut Connection, guest: &Guest) -> Result {
    for commit in [false, true] {
        let tx = own.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for statement in TRANSACTION {
            tx.execute(statement, [])?;
        }
        if commit {
            tx.commit()?;
            guest.is_changed()?;
        } else {
            tx.rollback()?;
            guest.is_unchanged()?;
        }
    }
    Ok(())
}

pub fn outbox(own: &Connection) -> rusqlite::Result<Vec<Row>> {
    own.prepare(OUTBOX)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// Reads the subscribers from the view of the registry.
pub fn subscribers(file: &Connection) -> rusqlite::Result<Vec<Row>> {
    file.prepare(VIEW)?.query_map([EVENT], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}
