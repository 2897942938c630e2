//! The Store over a PostgreSQL database. Each file has the name of its twin in rowmesh-sqlite where there is one: symmetry is the
//! documentation. PostgreSQL's driver is known here and nowhere else.

pub mod access;
pub mod attach;
pub mod capture;
pub mod carry;
pub mod catalog;
pub mod connection;
pub mod copy;
pub mod error;
pub mod exceptions;
pub mod fault;
pub mod given;
pub mod grants;
pub mod held_back;
pub mod ledger_rows;
pub mod location;
pub mod log;
pub mod lost_numbers;
pub mod names;
pub mod notes;
pub mod pack;
pub mod parked;
pub mod passfile;
pub mod periods;
pub mod pieces;
mod place;
pub mod reach;
pub mod records;
pub mod row_states;
pub mod rows;
pub mod sequences;
pub mod sql;
pub mod store;
pub mod strides;
pub mod tied;
pub mod tls;
pub mod url;
pub mod values;
pub mod watch;
pub mod write;

pub use bytes::Bytes;
pub use tokio_postgres::Row;
pub use tokio_postgres::error::SqlState;
pub use tokio_postgres::types::{FromSql, ToSql, Type};
