//! The Store over a PostgreSQL database. Each file has the name of its twin in rowmesh-sqlite where there is one: symmetry is the
//! documentation. PostgreSQL's driver is known here and nowhere else.

pub mod attach;
pub mod capture;
pub mod catalog;
pub mod connection;
pub mod error;
pub mod fault;
pub mod grants;
pub mod location;
pub mod names;
pub mod passfile;
pub mod reach;
pub mod sql;
pub mod tls;
pub mod url;
pub mod values;
pub mod watch;

pub use bytes::Bytes;
pub use tokio_postgres::Row;
pub use tokio_postgres::error::SqlState;
pub use tokio_postgres::types::{FromSql, ToSql, Type};
