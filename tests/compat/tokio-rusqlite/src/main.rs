//! Uses the registry in one program with tokio-rusqlite.

#[path = "../../rusqlite_jobs.rs"]
mod jobs;
#[path = "../../shared.rs"]
mod shared;

use shared::{Program, Result};
use tokio_rusqlite::{Connection, rusqlite};

#[tokio::main]
async fn main() -> Result {
    let program = Program::new()?;
    let own = Connection::open(program.own()).await?;
    own.call(|conn| jobs::make(conn)).await?;
    let deliveries = program.deliveries()?;
    own.call(move |conn| jobs::enqueue(conn, &deliveries)).await?;
    program.agrees(&own.call(|conn| jobs::outbox(conn)).await?)?;

    let file = Connection::open(program.file()).await?;
    program.agrees(&file.call(|conn| jobs::subscribers(conn)).await?)?;
    program.change()?;
    program.agrees(&file.call(|conn| jobs::subscribers(conn)).await?)?;
    own.close().await?;
    file.close().await?;
    program.finish("tokio-rusqlite")
}
