//! Uses the registry in one program with refinery, which creates the tables of the own file of the
//! program.

#[path = "../../rusqlite_jobs.rs"]
mod jobs;
#[path = "../../shared.rs"]
mod shared;

use refinery::{Migration, Runner};
use rusqlite::{self, Connection};
use shared::{Guest, LATER, ORDERS, Program, Result, TABLE};

fn main() -> Result {
    let program = Program::new()?;
    let mut own = Connection::open(program.own())?;
    let steps = [
        Migration::unapplied("V1__outbox", TABLE)?,
        Migration::unapplied("V2__orders", ORDERS)?,
        Migration::unapplied("V3__later", LATER)?,
    ];
    let migrate = |own: &mut Connection, until: usize, expected: usize| -> Result {
        let done = Runner::new(&steps[..until]).run(own)?;
        if done.applied_migrations().len() == expected {
            Ok(())
        } else {
            Err(format!("{done:?}").into())
        }
    };
    migrate(&mut own, 2, 2)?;
    // The registry moves in, and the migrations go on.
    let guest = Guest::open(program.own())?;
    migrate(&mut own, 2, 0)?;
    jobs::transact(&mut own, &guest)?;
    migrate(&mut own, 3, 1)?;
    guest.is_changed()?;
    own.execute("DELETE FROM outbox", [])?;
    jobs::enqueue(&mut own, &program.deliveries()?)?;
    program.agrees(&jobs::outbox(&own)?)?;

    let file = Connection::open(program.file())?;
    program.agrees(&jobs::subscribers(&file)?)?;
    program.change()?;
    program.agrees(&jobs::subscribers(&file)?)?;
    drop((own, file));
    program.finish("refinery")
}
