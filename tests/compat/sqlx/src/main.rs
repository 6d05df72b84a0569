//! Uses the registry in one program with sqlx.

#[path = "../../shared.rs"]
mod shared;

use shared::{
    ENQUEUE, EVENT, Guest, LATER, ORDERS, OUTBOX, Program, Result, Row, TABLE, TRANSACTION, VIEW,
};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};

#[tokio::main]
async fn main() -> Result {
    let program = Program::new()?;
    let wal = SqliteConnectOptions::new().journal_mode(SqliteJournalMode::Wal);
    let own = SqlitePool::connect_with(wal.filename(program.own()).create_if_missing(true)).await?;
    let migrations = program.own().with_extension("migrations");
    std::fs::create_dir(&migrations)?;
    let migrate = async |number: u32, sql: &'static str| -> Result {
        std::fs::write(migrations.join(format!("{number}_step.sql")), sql)?;
        Ok(Migrator::new(migrations.as_path()).await?.run(&own).await?)
    };
    migrate(1, TABLE).await?;
    migrate(2, ORDERS).await?;
    // The registry moves in, and the migrations go on.
    let guest = Guest::open(program.own())?;
    for commit in [false, true] {
        let mut tx = own.begin().await?;
        for statement in TRANSACTION {
            sqlx::query(statement).execute(&mut *tx).await?;
        }
        if commit {
            tx.commit().await?;
            guest.is_changed()?;
        } else {
            tx.rollback().await?;
            guest.is_unchanged()?;
        }
    }
    migrate(3, LATER).await?;
    guest.is_changed()?;
    sqlx::query("DELETE FROM outbox").execute(&own).await?;
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
