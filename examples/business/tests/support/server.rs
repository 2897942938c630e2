//! The application's database on a throw-away PostgreSQL server, of those that the tests of Rowmesh's store start.

#![allow(dead_code)] // Each test binary uses its own part.

#[path = "../../../../crates/rowmesh-postgres/tests/it/cluster.rs"]
mod cluster;

use business::Database;
use rowmesh_postgres::connection::Location;

/// A database of one test's own, and the application's connection to it.
pub struct Server {
    pub app: Box<dyn Database>,
    database: cluster::Database,
}

impl Server {
    /// Without a table.
    pub fn empty() -> Server {
        let database = cluster::Database::new();
        Server { app: business::open(url_of(&database)).unwrap(), database }
    }

    /// With the application's tables.
    pub fn created() -> Server {
        let server = Server::empty();
        business::create(&*server.app).unwrap();
        server
    }

    /// As the application is given it.
    pub fn url(&self) -> String {
        url_of(&self.database)
    }

    /// As Rowmesh is given it.
    pub fn location(&self) -> Location {
        self.database.location()
    }

    /// Asserts that every reference of the application leads to a row.
    pub fn assert_references(&self) {
        let keys = self.check_references();
        assert!(keys > 100, "{keys} foreign keys");
    }

    /// The same of whatever tables there are; how many foreign keys they have.
    pub fn check_references(&self) -> usize {
        cluster::check_references(&self.database.session())
    }
}

/// By the socket, whose folder stands where a host would, with its slashes written otherwise.
fn url_of(database: &cluster::Database) -> String {
    let folder = database.cluster().folder().display().to_string().replace('/', "%2F");
    format!("postgres://{}@{folder}/{}", cluster::SUPERUSER, database.location().database)
}
