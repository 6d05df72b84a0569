//! The registry beside rusqlite.

#[path = "../../rusqlite_jobs.rs"]
mod jobs;
#[path = "../../shared.rs"]
mod shared;

use rusqlite::{self, Connection};
use shared::{Program, Result};

fn main() -> Result {
    let program = Program::new()?;
    let mut own = Connection::open(program.own())?;
    jobs::make(&own)?;
    jobs::enqueue(&mut own, &program.deliveries()?)?;
    program.agrees(&jobs::outbox(&own)?)?;

    let file = Connection::open(program.file())?;
    program.agrees(&jobs::subscribers(&file)?)?;
    program.change()?;
    program.agrees(&jobs::subscribers(&file)?)?;
    drop((own, file));
    program.finish("rusqlite")
}
