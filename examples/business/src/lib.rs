//! The reference application: the schema of the business software that Rowmesh was first made for, a generator of
//! repeatable data for it, and a workload that does what its users do. Everything here is the *application's* side:
//! nothing in this crate knows Rowmesh, and it reads no clock and no randomness, so that the same seed always makes the
//! same bytes.
//!
//! - [`create`] makes the tables, [`generate`] fills them, [`Workload`] goes on working with them.
//! - [`Desk`] is one server of the application, for programs that know no SQL.
//! - [`sample_insert`] and its kin drive one operation through one table, for any table by name.
//! - [`DEMO_SKIP`] and [`DEMO_FOLLOW`] state which rows are demo data; [`demo_rows`] finds them.
//!
//! Callers bring the connection and its settings: the application works with `foreign_keys` on.

mod calendar;
mod catalog;
mod cell;
mod demo;
mod desk;
mod fill;
mod generate;
mod random;
mod samples;
mod tables;
mod workload;

use rusqlite::Connection;
pub use rusqlite::Error;

pub use crate::{
    cell::Cents,
    demo::{DEMO_FOLLOW, DEMO_ROOT, DEMO_SKIP, DemoRow, demo_rows, demo_tables},
    desk::{Contents, Customer, Desk},
    generate::{DEMO_BUSINESSES, Seed, generate},
    samples::{
        Key, bulk_delete, bulk_insert, bulk_update, read_row, sample_delete, sample_insert, sample_key, sample_update,
        sample_upsert,
    },
    tables::{Area, SEARCH_TABLE, TableInfo, table, tables},
    workload::{Action, Workload},
};

/// The application's schema for SQLite 3.24 or later with FTS5.
pub const SQLITE_SCHEMA: &str = include_str!("../schema/sqlite.sql");

/// The application's schema for PostgreSQL 14 or later.
pub const POSTGRES_SCHEMA: &str = include_str!("../schema/postgres.sql");

/// Creates the application's tables in an empty database, in one transaction.
pub fn create(conn: &Connection) -> rusqlite::Result<()> {
    let transaction = rusqlite::Transaction::new_unchecked(conn, rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute_batch(SQLITE_SCHEMA)?;
    transaction.commit()
}
