//! The database of a node of either kind, as the command line and the application are given it.

use business::Database;

use crate::machine::Machine;

#[path = "../../../../examples/business/tests/support/server.rs"]
mod server;

/// A node's database. Declare it before its daemon: it goes with this value.
pub struct Home {
    /// The path of a file, or the url of a server's database.
    pub place: String,
    server: Option<server::Server>,
}

impl Home {
    /// A file that is not there yet.
    pub fn file(machine: &Machine, name: &str) -> Home {
        Home { place: machine.path(&format!("{name}.db")).display().to_string(), server: None }
    }

    /// A server's database without a table.
    pub fn server() -> Home {
        let server = server::Server::empty();
        Home { place: server.url(), server: Some(server) }
    }

    /// The application's connection, the first one.
    pub fn open_new(&self) -> Box<dyn Database> {
        business::open_new(&self.place).expect("made")
    }

    /// The application's connection.
    pub fn open(&self) -> Box<dyn Database> {
        business::open(&self.place).expect("opened")
    }

    /// Makes the application's tables before the node joins, where it needs that: a server's have to be made by the application.
    pub fn make_ready(&self, make: impl FnOnce(&dyn Database) -> business::Result<()>) {
        if let Some(server) = &self.server {
            make(&*server.app).expect("made");
        }
    }

    /// The first column of each row, which is text.
    pub fn texts(&self, sql: &str) -> Vec<String> {
        self.open().all(sql, &[]).expect("read")
    }

    /// A table of ours, as this kind of database names it.
    pub fn ours(&self, table: &str) -> String {
        if self.server.is_some() { format!("rowmesh.{table}") } else { format!("rowmesh_{table}") }
    }

    /// Asserts that every reference leads to a row and that the database finds itself in order.
    pub fn check_sound(&self) {
        match &self.server {
            Some(server) => {
                server.check_references();
            }
            None => {
                assert_eq!(self.texts("PRAGMA integrity_check"), ["ok"]);
                assert_eq!(self.texts("SELECT \"table\" || ' ' || rowid FROM pragma_foreign_key_check"), [""; 0]);
            }
        }
    }
}
