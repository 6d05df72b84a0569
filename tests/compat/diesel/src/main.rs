//! Uses the registry in one program with diesel.

#[path = "../../shared.rs"]
mod shared;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use shared::{EVENT, Program, Result, Row, TABLE};

diesel::table! {
    outbox (subscription) {
        subscription -> Text,
        url -> Text,
    }
}

// A view in the file of the registry.
diesel::table! {
    subscribers (id) {
        event_type -> Text,
        id -> Text,
        name -> Text,
        url -> Text,
    }
}

fn connect(path: std::path::PathBuf) -> Result<SqliteConnection> {
    Ok(SqliteConnection::establish(path.to_str().ok_or("no UTF-8")?)?)
}

fn subscribers_of(file: &mut SqliteConnection) -> QueryResult<Vec<Row>> {
    let of_event = subscribers::table.filter(subscribers::event_type.eq(EVENT));
    of_event.order(subscribers::id).select((subscribers::id, subscribers::url)).load(file)
}

fn main() -> Result {
    let program = Program::new()?;
    let mut own = connect(program.own())?;
    own.batch_execute(TABLE)?;
    let deliveries = program.deliveries()?;
    own.transaction(|own| {
        for (id, url) in &deliveries {
            let row = (outbox::subscription.eq(id), outbox::url.eq(url));
            diesel::insert_into(outbox::table).values(row).execute(own)?;
        }
        QueryResult::Ok(())
    })?;
    program.agrees(&outbox::table.order(outbox::subscription).load(&mut own)?)?;

    let mut file = connect(program.file())?;
    program.agrees(&subscribers_of(&mut file)?)?;
    program.change()?;
    program.agrees(&subscribers_of(&mut file)?)?;
    drop((own, file));
    program.finish("diesel")
}
