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
//! Each works on any [`Database`]: a `rusqlite::Connection`, whose settings its owner brings, or [`Postgres`]; [`open`] opens
//! either as the application does. The same seed makes the same rows on both.

mod calendar;
mod catalog;
mod cell;
mod database;
mod demo;
mod desk;
mod fill;
mod generate;
mod random;
mod samples;
mod tables;
mod workload;

pub use crate::{
    cell::Cents,
    database::{Database, Dialect, Error, Postgres, Purpose, Result, Transaction, Value, open, open_new},
    demo::{DEMO_FOLLOW, DEMO_ROOT, DEMO_SKIP, DemoRow, demo_rows, demo_tables},
    desk::{Contents, Customer, Desk},
    generate::{DEMO_BUSINESSES, Seed, generate},
    samples::{
        Key, Row, bulk_delete, bulk_insert, bulk_update, read_row, read_rows, sample_delete, sample_insert, sample_key,
        sample_update, sample_upsert,
    },
    tables::{Area, SEARCH_TABLE, TableInfo, table, tables},
    workload::{Action, Workload},
};

/// The application's schema for SQLite 3.24 or later with FTS5.
pub const SQLITE_SCHEMA: &str = include_str!("../schema/sqlite.sql");

/// The application's schema for PostgreSQL 14 or later.
pub const POSTGRES_SCHEMA: &str = include_str!("../schema/postgres.sql");

/// Creates the application's tables in an empty database, in one transaction.
pub fn create(db: &dyn Database) -> Result<()> {
    let transaction = Transaction::begin(db, Purpose::Writing)?;
    db.run(match db.dialect() {
        Dialect::Sqlite => SQLITE_SCHEMA,
        Dialect::Postgres => POSTGRES_SCHEMA,
    })?;
    transaction.commit()
}
