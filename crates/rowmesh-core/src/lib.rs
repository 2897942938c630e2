//! The pure heart of Rowmesh: values, clocks, row state, merge and show, the signed log and roster, protocol state machines,
//! the wire, and the `Store` trait. Knows no clock, no randomness, no files, no sockets, no threads and no SQL.

pub mod ack;
pub mod amount;
pub mod births;
pub mod changeset;
pub mod clock;
pub mod encode;
pub mod event;
pub mod exchange;
pub mod ident;
pub mod invite;
pub mod ledger;
pub mod limits;
pub mod lineage;
pub mod orphans;
pub mod policy;
pub mod roster;
pub mod row_state;
pub mod schema;
pub mod scope;
pub mod show;
pub mod sign;
pub mod store;
pub mod stride;
pub mod undo;
pub mod unique;
pub mod value;
pub mod wire;
