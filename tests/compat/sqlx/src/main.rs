//! Uses the registry in one program with sqlx.

#[path = "../../shared.rs"]
mod shared;

use shared::{ENQUEUE, EVENT, OUTBOX, Program, Result, Row, TABLE, VIEW};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};

#[tokio::main]
async fn main() -> Result {
    let program = Program::new()?;
    let wal = SqliteConnectOptions::new().journal_mode(SqliteJournalMode::Wal);
    let own = SqlitePool::connect_with(wal.filename(program.own()).create_if_missing(true)).await?;
    sqlx::query(TABLE).execute(&own).await?;
    let mut tx = own.begin().await?;
    for (id, url) in program.deliveries()? {
        sqlx::query(ENQUEUE).bind(id).bind(url).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    let rows: Vec<Row> = sqlx::query_as(OUTBOX).fetch_all(&own).await?;
    program.agrees(&rows)?;

    let reading = SqliteConnectOptions::new().filename(program.file()).read_only(true);
    let file = SqlitePoolOptions::new().max_connections(2).connect_with(reading).await?;
    program.agrees(&sqlx::query_as(VIEW).bind(EVENT).fetch_all(&file).await?)?;
    program.change()?;
    program.agrees(&sqlx::query_as(VIEW).bind(EVENT).fetch_all(&file).await?)?;
    own.close().await;
    file.close().await;
    program.finish("sqlx")
}
