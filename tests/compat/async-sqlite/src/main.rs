//! Uses the registry in one program with async-sqlite.

#[path = "../../rusqlite_jobs.rs"]
mod jobs;
#[path = "../../shared.rs"]
mod shared;

use async_sqlite::{JournalMode, PoolBuilder, rusqlite};
use shared::{Program, Result};

#[tokio::main]
async fn main() -> Result {
    let program = Program::new()?;
    let own = PoolBuilder::new().path(program.own()).journal_mode(JournalMode::Wal).open().await?;
    own.conn(jobs::make).await?;
    let deliveries = program.deliveries()?;
    own.conn_mut(move |conn| jobs::enqueue(conn, &deliveries)).await?;
    program.agrees(&own.conn(jobs::outbox).await?)?;

    let file = PoolBuilder::new().path(program.file()).num_conns(2).open().await?;
    program.agrees(&file.conn(jobs::subscribers).await?)?;
    program.change()?;
    program.agrees(&file.conn(jobs::subscribers).await?)?;
    own.close().await?;
    file.close().await?;
    program.finish("async-sqlite")
}
