//! A SQLite database as the engine works with it: capture, the application's tables, and ours. The rules of sealing and applying are
//! rowmesh-engine's; nothing here decides which write wins.

pub mod access;
pub mod attach;
pub mod capture;
pub mod carry;
pub mod catalog;
pub mod claims;
pub mod connection;
pub mod error;
pub mod exceptions;
pub mod fault;
pub mod filesystem;
pub mod fit;
pub mod held_back;
pub mod ledger_rows;
pub mod load_schema;
pub mod log;
pub mod lost_numbers;
pub mod names;
pub mod notes;
pub mod parked;
pub mod records;
pub mod row_states;
pub mod rows;
pub mod sketch;
pub mod sql;
pub mod store;
pub mod values;
pub mod views;
pub mod watch;
pub mod write;
