//! The registry beside SeaORM.

#[path = "../../shared.rs"]
mod shared;

use std::path::Path;

use sea_orm::{
    ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, Statement, TransactionTrait,
    Value,
};
use shared::{ENQUEUE, EVENT, OUTBOX, Program, Result, Row, TABLE, VIEW};

async fn connect(path: &Path, mode: &str) -> Result<DatabaseConnection> {
    let path = path.to_str().ok_or("no UTF-8")?;
    Ok(Database::connect(format!("sqlite://{path}?mode={mode}")).await?)
}

fn statement<const N: usize>(sql: &str, values: [&str; N]) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values.map(Value::from))
}

/// The rows of a query for two columns.
async fn rows<const N: usize>(
    connection: &DatabaseConnection,
    sql: &str,
    values: [&str; N],
) -> Result<Vec<Row>, DbErr> {
    let found = connection.query_all(statement(sql, values)).await?;
    found.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

#[tokio::main]
async fn main() -> Result {
    let program = Program::new()?;
    let own = connect(&program.own(), "rwc").await?;
    own.execute_unprepared(TABLE).await?;
    let tx = own.begin().await?;
    for (id, url) in program.deliveries()? {
        tx.execute(statement(ENQUEUE, [&id, &url])).await?;
    }
    tx.commit().await?;
    program.agrees(&rows(&own, OUTBOX, []).await?)?;

    let file = connect(&program.file(), "ro").await?;
    program.agrees(&rows(&file, VIEW, [EVENT]).await?)?;
    program.change()?;
    program.agrees(&rows(&file, VIEW, [EVENT]).await?)?;
    own.close().await?;
    file.close().await?;
    program.finish("sea-orm")
}
