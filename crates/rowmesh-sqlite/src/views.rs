//! How the database as a whole is told to people, and the statements that make the application's schema. Reads only.

use rusqlite::Connection;

use crate::connection::{Location, journal_mode};

/// Kind and version of the database, its name and mode.
pub fn describe(connection: &Connection, location: &Location) -> String {
    let name = match location.path().and_then(|path| path.file_name()) {
        Some(name) => name.to_string_lossy().into_owned(),
        None => location.to_string(),
    };
    let mode = journal_mode(connection).unwrap_or_default();
    let mode = if mode == "wal" { "WAL mode".to_owned() } else { format!("journal mode {mode}") };
    format!("SQLite {}  {name}, {mode}", rusqlite::version())
}

/// The application's schema as the database remembers it: tables before what hangs on them, nothing of ours.
pub fn schema(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT sql FROM main.sqlite_schema
          WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite~_%' ESCAPE '~' AND tbl_name NOT LIKE 'rowmesh~_%' ESCAPE '~'
            AND name NOT LIKE 'rowmesh~_%' ESCAPE '~'
            AND name NOT IN (SELECT s.name FROM pragma_table_list s WHERE s.schema = 'main' AND s.type = 'shadow')
          ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 WHEN 'view' THEN 2 ELSE 3 END, rowid",
    )?;
    statement.query_map([], |row| row.get(0))?.collect()
}
