//! The integration tests of this crate, in one binary: a link takes longer than most of them.

mod cluster;
mod fake_store;
mod local;
mod mesh;
mod pairing;
mod restarts;
mod sqlite;
mod transport;
