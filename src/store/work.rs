//! Lets tests count the work that SQLite does instead of timing it, and mislead SQLite's planner.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::handle::Store;

/// The statistics of a table, or of an index with so many columns: the text of
/// `sqlite_stat1.stat`.
pub(crate) type Statistics<'s> = &'s mut dyn FnMut(&str, Option<(&str, usize)>) -> String;

impl Store {
    /// Returns whether SQLite plans the statements of foreign keys with the statistics of tables,
    /// as 3.49 does. No SQL of this crate can change that. SQLite 3.50 finds the rows that refer to
    /// a deleted one by their index, whatever the statistics are.
    pub(crate) fn statistics_slow_foreign_keys() -> bool {
        rusqlite::version_number() < 3_050_000
    }

    /// Does a job on a store in memory, and returns how many instructions of SQLite's virtual
    /// machine it took.
    pub(crate) fn steps<T>(&self, job: impl FnOnce() -> T) -> (T, u64) {
        assert!(self.shared.is_none(), "another connection can have done the work");
        let steps = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&steps);
        let count = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            false
        };
        // Before rusqlite 0.38 the method returns `()`, which has no `unwrap`.
        let _ = self.main.lock().unwrap().progress_handler(1, Some(count));
        let result = job();
        let _ = self.main.lock().unwrap().progress_handler(0, None::<fn() -> bool>);
        (result, steps.load(Ordering::Relaxed))
    }

    /// Runs `ANALYZE`, as another program may, so that plans are made with what the tables hold
    /// now.
    pub(crate) fn analyze(&self) {
        self.main.lock().unwrap().execute_batch("ANALYZE").unwrap();
    }

    /// Replaces all statistics of every table and index.
    pub(crate) fn plant(&self, statistics: Statistics<'_>) {
        self.analyze();
        let conn = self.main.lock().unwrap();
        let rows = |sql: &str| -> Vec<(String, String)> {
            let mut statement = conn.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.map(|row| row.unwrap()).collect()
        };
        let is_table = "type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
        let tables = rows(&format!("SELECT name, name FROM sqlite_schema WHERE {is_table}"));
        // A table WITHOUT ROWID is an index of its own name.
        let indexes = rows(&format!(
            "SELECT t.name, i.name FROM sqlite_schema t JOIN pragma_index_list(t.name) i WHERE {}",
            is_table.replace("type", "t.type").replace("name", "t.name")
        ));
        assert!(!indexes.is_empty());
        let mut insert =
            conn.prepare("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?1, ?2, ?3)").unwrap();
        conn.execute_batch("DELETE FROM sqlite_stat1").unwrap();
        // Not in every build of SQLite.
        let _ = conn.execute_batch("DELETE FROM sqlite_stat4");
        for (table, _) in tables {
            insert.execute((&table, None::<&str>, statistics(&table, None))).unwrap();
        }
        for (table, index) in indexes {
            let columns = "SELECT count(*) FROM pragma_index_xinfo(?1)";
            let columns: i64 = conn.query_row(columns, [&index], |row| row.get(0)).unwrap();
            let says = statistics(&table, Some((&index, usize::try_from(columns).unwrap())));
            insert.execute((&table, &index, says)).unwrap();
        }
        conn.execute_batch("ANALYZE sqlite_schema").unwrap();
    }

    /// Adds two tables, and returns which of them SQLite reads first in a join that can begin with
    /// either.
    pub(crate) fn first_of_two(&self) -> String {
        let conn = self.main.lock().unwrap();
        conn.execute_batch(
            "CREATE TABLE IF NOT EXISTS probe_a (x INTEGER); CREATE INDEX IF NOT EXISTS \
             probe_a_x ON probe_a (x); \
             CREATE TABLE IF NOT EXISTS probe_b (x INTEGER); CREATE INDEX IF NOT EXISTS \
             probe_b_x ON probe_b (x)",
        )
        .unwrap();
        let sql = "EXPLAIN QUERY PLAN SELECT * FROM probe_a JOIN probe_b ON probe_a.x = probe_b.x";
        let first: String = conn.query_row(sql, [], |row| row.get(3)).unwrap();
        if first.contains("probe_a") { "probe_a" } else { "probe_b" }.to_owned()
    }
}
