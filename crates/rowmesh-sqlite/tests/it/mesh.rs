//! SQLite files as places of the contract, and as nodes of tests that are SQLite's own.

use std::path::{Path, PathBuf};

use rowmesh_contract::Place;
use rowmesh_core::clock::WallTime;
use rowmesh_core::ident::{Incarnation, NodeId};
use rowmesh_core::store::StoreResult;
use rowmesh_engine::plan::AttachOptions;
use rowmesh_sqlite::connection::Location;
use rowmesh_sqlite::store::SqliteStore;
use rusqlite::Connection;

pub use rowmesh_contract::{check_equal, converge, lacked, now, two};

/// A node on a file of its own.
pub type Node = rowmesh_contract::Node<File>;

/// A database file in a folder of its own, with the application's connection.
pub struct File {
    pub app: Connection,
    pub path: PathBuf,
    _folder: tempfile::TempDir,
}

impl File {
    fn in_folder(folder: tempfile::TempDir, open: impl Fn(&Path) -> Connection) -> File {
        let path = folder.path().join("app.db");
        File { app: open(&path), path, _folder: folder }
    }

    /// The files as they lie there at this moment, as after a kill of everybody who had them open.
    pub fn copy_files(&self) -> File {
        let folder = tempfile::tempdir().unwrap();
        for name in ["app.db", "app.db-journal", "app.db-wal"] {
            let from = self.path.with_file_name(name);
            if from.exists() {
                std::fs::copy(from, folder.path().join(name)).unwrap();
            }
        }
        // Nothing that reads: whoever comes first finds what was left.
        File::in_folder(folder, |path| {
            let app = Connection::open(path).unwrap();
            app.execute_batch("PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000").unwrap();
            app
        })
    }

    /// All rows of a query, one line each.
    pub fn query(&self, sql: &str) -> Vec<String> {
        let mut statement = self.app.prepare(sql).unwrap();
        let count = statement.column_count();
        let rows = statement.query_map([], |row| {
            let cells: Vec<String> = (0..count).map(|column| format!("{:?}", row.get_ref(column).unwrap())).collect();
            Ok(cells.join("|"))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }
}

impl Place for File {
    const NUMBER: &'static str = "INTEGER";

    type Store = SqliteStore;
    type Address = PathBuf;

    fn empty() -> File {
        File::in_folder(tempfile::tempdir().unwrap(), open_app)
    }

    fn address(&self) -> PathBuf {
        self.path.clone()
    }

    fn open(address: &PathBuf, node: NodeId, incarnation: Incarnation) -> StoreResult<SqliteStore> {
        SqliteStore::open(&Location::File(address.clone()), &AttachOptions::default(), node, incarnation)
    }

    fn run(&self, sql: &str) {
        self.app.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    fn run_unchecked(&self, sql: &str) {
        self.run(&format!("PRAGMA foreign_keys = OFF; {sql}; PRAGMA foreign_keys = ON"));
    }

    fn texts(&self, sql: &str) -> Vec<String> {
        let mut statement = self.app.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let text = |row: &rusqlite::Row<'_>| row.get::<_, Option<String>>(0);
        let texts: Vec<Option<String>> = statement.query_map([], text).unwrap().map(Result::unwrap).collect();
        texts.into_iter().map(|text| text.unwrap_or_else(|| "NULL".to_owned())).collect()
    }

    fn ours(table: &str) -> String {
        format!("rowmesh_{table}")
    }

    fn date_notes(&self, at: WallTime) {
        self.run(&format!("UPDATE rowmesh_dirty SET at = {}", at.0));
    }

    fn lose_triggers(&self, table: &str) {
        let triggers = format!("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = '{table}'");
        let triggers = self.texts(&triggers);
        assert!(!triggers.is_empty(), "{table} had none");
        triggers.iter().for_each(|name| self.run(&format!("DROP TRIGGER \"{name}\"")));
    }

    fn copied(self) -> (File, File) {
        let copy = self.copy_files();
        (self, copy)
    }

    fn catalog(&self) -> Vec<String> {
        self.texts(
            "SELECT type || ' ' || name || ' ' || tbl_name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1",
        )
    }

    fn check_sound(&self) {
        assert_eq!(self.query("PRAGMA foreign_key_check"), [""; 0]);
        assert_eq!(self.texts("PRAGMA integrity_check"), ["ok"]);
    }
}

/// The application's connection, with the settings that the plan asks for.
pub fn open_app(path: &Path) -> Connection {
    let app = Connection::open(path).unwrap();
    app.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000",
    )
    .unwrap();
    app
}

/// Nodes of one mesh that have the same schema.
pub fn nodes(count: u8, schema: &str) -> Vec<Node> {
    rowmesh_contract::nodes(count, schema)
}

/// Two of them, between which each batch has travelled.
pub fn travels(schema: &str, batches: &[&str]) -> Vec<Node> {
    rowmesh_contract::travels(schema, batches)
}
