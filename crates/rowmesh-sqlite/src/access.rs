//! What a transaction works with: the daemon's connection, and the few shapes in which all rooms ask it something. Begins and ends no
//! transaction.

use std::cell::RefCell;
use std::ops::ControlFlow;

use rowmesh_engine::database::Access;
use rowmesh_engine::fault::Result;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use crate::fault::Told;
use crate::row_states::Held;
use crate::rows::Statements;

/// A connection of ours with the statements of every table.
pub struct SqliteAccess<'a> {
    /// The connection.
    pub connection: &'a Connection,
    /// The statements.
    pub statements: &'a Statements,
    /// What recalling and saving row states needs again and again.
    pub held: RefCell<Held<'a>>,
}

impl Access for SqliteAccess<'_> {}

impl<'a> SqliteAccess<'a> {
    /// Works on a connection.
    pub fn new(connection: &'a Connection, statements: &'a Statements) -> SqliteAccess<'a> {
        SqliteAccess { connection, statements, held: RefCell::default() }
    }

    /// Runs a statement; returns how many rows it changed.
    pub fn run(&self, sql: &str, params: impl Params) -> Result<usize> {
        self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params)).told()
    }

    /// The first row that a query finds.
    pub fn find<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        let mut statement = self.connection.prepare_cached(sql).told()?;
        statement.query_row(params, read).optional().told()
    }

    /// The row of a query that finds one whatever stands.
    pub fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        self.connection.prepare_cached(sql).and_then(|mut statement| statement.query_row(params, read)).told()
    }

    /// All rows that a query finds.
    pub fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.connection.prepare_cached(sql).told()?;
        let rows = statement.query_map(params, read).told()?;
        rows.collect::<rusqlite::Result<_>>().told()
    }

    /// Visits the rows that a query finds, until it is told to break.
    pub fn each(
        &self,
        sql: &str,
        params: impl Params,
        mut visit: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut statement = self.connection.prepare_cached(sql).told()?;
        let mut rows = statement.query(params).told()?;
        while let Some(row) = rows.next().told()? {
            if visit(row)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}
