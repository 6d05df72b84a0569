//! Uses the registry in one program with r2d2_sqlite.

#[path = "../../rusqlite_jobs.rs"]
mod jobs;
#[path = "../../shared.rs"]
mod shared;

use r2d2::Pool;
use r2d2_sqlite::SqliteConnectionManager;
use r2d2_sqlite::rusqlite;
use shared::{Program, Result};

fn main() -> Result {
    let program = Program::new()?;
    let own = Pool::builder().max_size(2).build(SqliteConnectionManager::file(program.own()))?;
    jobs::make(&*own.get()?)?;
    jobs::enqueue(&mut *own.get()?, &program.deliveries()?)?;
    program.agrees(&jobs::outbox(&*own.get()?)?)?;

    let file = Pool::builder().max_size(2).build(SqliteConnectionManager::file(program.file()))?;
    program.agrees(&jobs::subscribers(&*file.get()?)?)?;
    program.change()?;
    program.agrees(&jobs::subscribers(&*file.get()?)?)?;
    drop((own, file));
    program.finish("r2d2_sqlite")
}
