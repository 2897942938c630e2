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
}

/// By the socket, whose folder stands where a host would, with its slashes written otherwise.
fn url_of(database: &cluster::Database) -> String {
    let folder = database.cluster().folder().display().to_string().replace('/', "%2F");
    format!("postgres://{}@{folder}/{}", cluster::SUPERUSER, database.location().database)
}

/// A server that is told to replicate checks no reference by itself.
pub fn assert_references(app: &dyn Database) {
    let keys: Vec<(String, String, String)> = app.all(REFERENCES, &[]).unwrap();
    assert!(keys.len() > 100, "{} foreign keys", keys.len());
    for (key, child, parent) in keys {
        let broken = format!("SELECT count(*) FROM {child} AND NOT EXISTS (SELECT 1 FROM {parent})");
        assert_eq!(app.one::<i64>(&broken, &[]).unwrap(), 0, "{key} is broken");
    }
}

/// Name, the table whose rows refer with the condition that they do, the table that they refer to with the condition that they find it.
const REFERENCES: &str = "SELECT c.conname, \
    format('%s AS c WHERE ', c.conrelid::regclass) || string_agg(format('c.%I IS NOT NULL', a.attname), ' AND '), \
    format('%s AS p WHERE ', c.confrelid::regclass) || string_agg(format('p.%I = c.%I', p.attname, a.attname), ' AND ') \
    FROM pg_constraint AS c CROSS JOIN unnest(c.conkey, c.confkey) AS k (own, parent) \
    JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.own \
    JOIN pg_attribute AS p ON p.attrelid = c.confrelid AND p.attnum = k.parent \
    WHERE c.contype = 'f' GROUP BY c.oid, c.conname, c.conrelid, c.confrelid";
