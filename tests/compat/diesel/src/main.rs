//! Uses the registry in one program with diesel.

#[path = "../../shared.rs"]
mod shared;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel_migrations::{FileBasedMigrations, MigrationHarness as _};
use shared::{EVENT, Guest, LATER, ORDERS, Program, Result, Row, TABLE, TRANSACTION};

diesel::table! {
    outbox (subscription) {
        subscription -> Text,
        url -> Text,
    }
}

// A view in the file of the registry.
diesel::table! {
    #[sql_name = "webhook_registry_subscribers"]
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
    let migrations = program.own().with_extension("migrations");
    let migrate = |own: &mut SqliteConnection, number: u32, sql: &str| -> Result {
        let step = migrations.join(format!("2026-01-01-00000{number}_step"));
        std::fs::create_dir_all(&step)?;
        std::fs::write(step.join("up.sql"), sql)?;
        let found = FileBasedMigrations::from_path(&migrations)?;
        match own.run_pending_migrations(found)?.len() {
            1 => Ok(()),
            done => Err(format!("{done} migrations").into()),
        }
    };
    migrate(&mut own, 1, TABLE)?;
    migrate(&mut own, 2, ORDERS)?;
    // The registry moves in, and the migrations go on.
    let guest = Guest::open(program.own())?;
    for commit in [false, true] {
        let done = own.immediate_transaction(|own| {
            for statement in TRANSACTION {
                diesel::sql_query(statement).execute(own)?;
            }
            if commit { Ok(()) } else { Err(diesel::result::Error::RollbackTransaction) }
        });
        if done.is_ok() != commit {
            return Err(format!("{done:?}").into());
        }
        if commit { guest.is_changed()? } else { guest.is_unchanged()? }
    }
    migrate(&mut own, 3, LATER)?;
    guest.is_changed()?;
    own.batch_execute("DELETE FROM outbox")?;
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
