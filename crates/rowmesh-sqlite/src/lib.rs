//! placeholder

pub mod attach;
pub mod border;
pub mod capture;
pub mod carry;
pub mod catalog;
pub mod connection;
pub mod error;
pub mod filesystem;
pub mod patterns;
pub mod sketch;
pub mod sql;
pub mod watch;

pub mod apply;
pub mod claims;
pub mod fault;
pub mod ledger_rows;
pub mod load;
pub mod load_schema;
pub mod log;
pub mod origins;
pub mod parked;
pub mod reconcile;
pub mod records;
pub mod registry;
pub mod restamp;
pub mod row_states;
pub mod scope;
pub mod seal;
pub mod snapshot;
pub mod store;
pub mod values;
pub mod views;
pub mod work;
pub mod write;
