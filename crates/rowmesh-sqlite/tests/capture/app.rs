//! An application and its database, with the daemon's connection beside it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rowmesh_engine::changes::ChangeKind;
use rowmesh_engine::plan::{AttachOptions, Followed};
use rowmesh_sqlite::attach::{attach, follow, plan};
use rowmesh_sqlite::connection::{Location, open_daemon};
use rusqlite::Connection;
use rusqlite::types::Value;

/// A database file, the application's connection to it, and the daemon's.
pub struct App {
    pub path: PathBuf,
    pub app: Connection,
    pub daemon: Connection,
    pub options: AttachOptions,
    _folder: tempfile::TempDir,
}

/// One note: table, operation, key.
pub type Note = (String, &'static str, Vec<Value>);

impl App {
    /// An application with that schema, not attached yet.
    pub fn new(schema: &str) -> App {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let app = Connection::open(&path).unwrap();
        app.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = OFF").unwrap();
        app.execute_batch(schema).unwrap();
        let daemon = open_daemon(&Location::File(path.clone())).unwrap();
        App { path, app, daemon, options: AttachOptions::default(), _folder: folder }
    }

    /// The same, attached.
    pub fn attached(schema: &str) -> App {
        let mut app = App::new(schema);
        app.attach();
        app
    }

    pub fn attach(&mut self) -> Followed {
        let plan = plan(&self.daemon, &self.options).unwrap();
        attach(&mut self.daemon, &plan).unwrap()
    }

    pub fn follow(&mut self) -> Vec<(String, ChangeKind)> {
        let followed = follow(&mut self.daemon, &self.options).unwrap();
        followed.changes.into_iter().map(|change| (change.table.to_string(), change.kind)).collect()
    }

    /// Runs statements as the application.
    pub fn run(&self, sql: &str) {
        self.app.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Takes all notes, in the order in which they were made.
    pub fn take_notes(&self) -> Vec<Note> {
        let mut statement = self
            .app
            .prepare(
                "SELECT name, op, at, k1, k2, k3, k4, k5, k6, k7, k8 FROM rowmesh_dirty JOIN rowmesh_tables USING (t) ORDER BY id",
            )
            .unwrap();
        let notes = statement
            .query_map([], |row| {
                let at = rowmesh_sqlite::capture::noted_at(row.get_ref(2)?).0;
                assert!(at > 1_700_000_000_000, "milliseconds since 1970: {at}");
                let operation = match row.get(1)? {
                    1 => "insert",
                    2 => "update",
                    3 => "delete",
                    4 => "rekey",
                    other => panic!("operation {other}"),
                };
                let mut key: Vec<Value> = (3..11).map(|column| row.get(column)).collect::<rusqlite::Result<_>>()?;
                while key.last() == Some(&Value::Null) {
                    key.pop();
                }
                Ok((row.get(0)?, operation, key))
            })
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        drop(statement);
        self.run("DELETE FROM rowmesh_dirty");
        notes
    }

    /// Notes of tables with a single integer key, as text: `insert t 1`.
    pub fn take_short_notes(&self) -> Vec<String> {
        let short = |(table, operation, key): Note| match key.as_slice() {
            [Value::Integer(number)] => format!("{operation} {table} {number}"),
            [Value::Text(text)] => format!("{operation} {table} {text}"),
            other => format!("{operation} {table} {other:?}"),
        };
        self.take_notes().into_iter().map(short).collect()
    }

    /// The schema, without what is ours if `without_ours`.
    pub fn schema(&self, without_ours: bool) -> Vec<(String, String, String, Option<String>)> {
        let mut statement =
            self.app.prepare("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid").unwrap();
        let all: Vec<(String, String, String, Option<String>)> = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        let is_ours = |name: &str| name.starts_with("rowmesh_") || name.starts_with("sqlite_autoindex_rowmesh_");
        all.into_iter().filter(|(_, name, _, _)| !(without_ours && is_ours(name))).collect()
    }

    /// One number from the database.
    pub fn number(&self, sql: &str) -> i64 {
        self.app.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The rows of a table by the values of their key columns.
    pub fn rows(&self, table: &str, key_columns: usize) -> BTreeMap<String, Vec<Value>> {
        let mut statement = self.app.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let columns = statement.column_count();
        let rows = statement
            .query_map([], |row| (0..columns).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<Value>>>())
            .unwrap();
        rows.map(|row| row.unwrap()).map(|row| (format!("{:?}", &row[..key_columns]), row)).collect()
    }
}
