//! The rules of one transaction, the same for every database: what is sealed, merged, shown and written together, and what is remembered of
//! it. Generic over [`database`]'s traits; knows no SQL. [`engine::Engine`] is the `Store` that a node works with.

pub mod apply;
pub mod births;
pub mod border;
pub mod changes;
pub mod collisions;
pub mod database;
pub mod decoded;
pub mod engine;
pub mod exceptions;
pub mod fault;
pub mod lacked;
pub mod ledger_rows;
pub mod load;
pub mod log;
pub mod origins;
pub mod orphans;
pub mod passage;
pub mod plan;
pub mod reconcile;
pub mod registry;
pub mod restamp;
pub mod rivals;
pub mod row_states;
pub mod rules;
pub mod scope;
pub mod seal;
pub mod settle;
pub mod snapshot;
pub mod unpack;
pub mod views;
pub mod work;
pub mod write;
