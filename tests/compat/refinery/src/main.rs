//! Uses the registry in one program with refinery, which creates the tables of the own file of the
//! program.

#[path = "../../rusqlite_jobs.rs"]
mod jobs;
#[path = "../../shared.rs"]
mod shared;

use refinery::{Migration, Runner};
use rusqlite::{self, Connection};
use shared::{Program, Result, TABLE};

fn main() -> Result {
    let program = Program::new()?;
    let mut own = Connection::open(program.own())?;
    let steps = [
        Migration::unapplied("V1__outbox", TABLE)?,
        Migration::unapplied("V2__due", "ALTER TABLE outbox ADD COLUMN due INTEGER")?,
    ];
    for expected in [2, 0] {
        let done = Runner::new(&steps).run(&mut own)?;
        if done.applied_migrations().len() != expected {
            return Err(format!("{done:?}").into());
        }
    }
    jobs::enqueue(&mut own, &program.deliveries()?)?;
    program.agrees(&jobs::outbox(&own)?)?;

    let file = Connection::open(program.file())?;
    program.agrees(&jobs::subscribers(&file)?)?;
    program.change()?;
    program.agrees(&jobs::subscribers(&file)?)?;
    drop((own, file));
    program.finish("refinery")
}
