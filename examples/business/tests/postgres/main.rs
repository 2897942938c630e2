//! The application on PostgreSQL, beside the same application on SQLite. Needs a PostgreSQL server's programs on this machine.

mod same;
mod schema;
#[path = "../support/server.rs"]
mod server;
#[path = "../support/mod.rs"]
mod support;
