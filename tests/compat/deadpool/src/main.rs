//! Uses the registry in one program with deadpool-sqlite.

#[path = "../../rusqlite_jobs.rs"]
mod jobs;
#[path = "../../shared.rs"]
mod shared;

use deadpool_sqlite::{Config, Pool, Runtime, rusqlite};
use shared::{Program, Result};

/// Runs a job on a connection of the pool.
async fn on<T: Send + 'static>(
    pool: &Pool,
    job: impl FnOnce(&mut rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T> {
    let conn = pool.get().await?;
    Ok(conn.interact(job).await.map_err(|error| error.to_string())??)
}

#[tokio::main]
async fn main() -> Result {
    let program = Program::new()?;
    let own = Config::new(program.own()).create_pool(Runtime::Tokio1)?;
    on(&own, |conn| jobs::make(conn)).await?;
    let deliveries = program.deliveries()?;
    on(&own, move |conn| jobs::enqueue(conn, &deliveries)).await?;
    program.agrees(&on(&own, |conn| jobs::outbox(conn)).await?)?;

    let file = Config::new(program.file()).create_pool(Runtime::Tokio1)?;
    program.agrees(&on(&file, |conn| jobs::subscribers(conn)).await?)?;
    program.change()?;
    program.agrees(&on(&file, |conn| jobs::subscribers(conn)).await?)?;
    own.close();
    file.close();
    program.finish("deadpool-sqlite")
}
