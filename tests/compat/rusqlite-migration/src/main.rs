//! Uses the registry in one program with rusqlite_migration, which counts the migrations of the own
//! file of the program by `user_version`.

#[path = "../../rusqlite_jobs.rs"]
mod jobs;
#[path = "../../shared.rs"]
mod shared;

use rusqlite::{self, Connection};
use rusqlite_migration::{M, Migrations};
use shared::{Guest, LATER, ORDERS, Program, Result, TABLE};

fn main() -> Result {
    let program = Program::new()?;
    let mut own = Connection::open(program.own())?;
    let steps = Migrations::new([TABLE, ORDERS, LATER].map(M::up).to_vec());
    steps.to_version(&mut own, 2)?;
    // The registry moves in, and the migrations go on.
    let guest = Guest::open(program.own())?;
    steps.to_version(&mut own, 2)?;
    jobs::transact(&mut own, &guest)?;
    steps.to_latest(&mut own)?;
    guest.is_changed()?;
    let version = own.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?;
    if version != 3 {
        return Err(format!("version {version}").into());
    }
    own.execute("DELETE FROM outbox", [])?;
    jobs::enqueue(&mut own, &program.deliveries()?)?;
    program.agrees(&jobs::outbox(&own)?)?;

    let file = Connection::open(program.file())?;
    program.agrees(&jobs::subscribers(&file)?)?;
    program.change()?;
    program.agrees(&jobs::subscribers(&file)?)?;
    drop((own, file));
    program.finish("rusqlite_migration")
}
