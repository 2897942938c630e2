//! What a transaction works with: the session, what was fetched for it before it was asked for, and what is kept back to be written together.
//! Begins and ends no transaction.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use rowmesh_core::clock::WallTime;
use rowmesh_core::value::{Key, TableName, Value};
use rowmesh_engine::database::Access;
use rowmesh_engine::fault::Result;
use rowmesh_engine::origins::KnownOrigin;
use rowmesh_engine::registry::TableNumber;
use tokio_postgres::Row;

use crate::connection::{LOCK_PATIENCE, Param, Session};
use crate::copy::CopyRows;
use crate::error;
use crate::fault::Told;
use crate::rows::Tables;
use crate::watch::Watch;

/// A session of ours with what is known of every table.
pub struct PostgresAccess<'a> {
    /// The session.
    pub session: &'a Session,
    /// The tables.
    pub tables: &'a Tables,
    /// What tells that the schema has moved.
    pub(crate) watch: &'a Watch,
    /// Object ids of tables in which what stands may be other than what was written: triggers of the application fire for us there.
    pub(crate) noisy: &'a HashSet<u32>,
    /// Whether each statement that a constraint may refuse is kept apart: the short way, without, has failed.
    pub(crate) is_careful: &'a Cell<bool>,
    /// When the transaction began, and whether it waits for nobody any more.
    pub(crate) begun: Instant,
    pub(crate) is_hasty: Cell<bool>,
    /// Rows and row states that were fetched, and those that wait to be written.
    pub(crate) held: RefCell<Held>,
}

/// What a transaction holds in memory until it ends.
#[derive(Default)]
pub(crate) struct Held {
    /// Rows as they stand, as far as they were asked for.
    pub rows: HashMap<(TableNumber, Key), Option<Vec<Value>>>,
    /// Row states, as far as they were asked for or written.
    pub states: HashMap<(TableNumber, Key), HeldState>,
    /// Changesets and events that are not in the log yet.
    pub changesets: CopyRows,
    /// Events of them.
    pub events: CopyRows,
    /// The number of the last changeset, once it was asked for.
    pub last_changeset: Option<i64>,
    /// Notes that are spent.
    pub spent: Vec<i64>,
    /// Notes of the engine's own, to be made: table, key, time.
    pub notes: Vec<(TableNumber, Vec<Option<String>>, WallTime)>,
    /// The highest numbers written to columns whose values the database hands out: by table and position.
    pub numbers: BTreeMap<(TableName, usize), i64>,
    /// Tables that were written to, with their object ids.
    pub written: HashSet<(TableNumber, u32)>,
    /// Origins that have moved.
    pub origins: BTreeMap<u32, KnownOrigin>,
    /// Rows more or fewer that are shown.
    pub shown: BTreeMap<TableNumber, i64>,
}

/// A row state in memory.
#[derive(Default)]
pub(crate) struct HeldState {
    /// Its bytes; none where nothing is remembered of the row.
    pub bytes: Option<Vec<u8>>,
    /// What stands for it in the table.
    pub stands: Stands,
    /// Whether the bytes wait to be written.
    pub is_new: bool,
}

/// What stands in a table for something that is held. Nobody but us writes to our tables, so it is true until the transaction ends.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Stands {
    /// Not known.
    #[default]
    Unknown,
    /// Nothing.
    Nowhere,
    /// A row at this block and number.
    At(i64),
}

impl Access for PostgresAccess<'_> {
    const IS_REMOTE: bool = true;

    fn flush(&self) -> Result<()> {
        self.flush_states()?;
        self.flush_log()?;
        self.flush_notes()?;
        self.advance_sequences()?;
        self.flush_names()
    }
}

impl<'a> PostgresAccess<'a> {
    /// To be called before a statement that may wait for a row of the application's. A session that waits for ours looks for a deadlock once, after
    /// a while, and ends itself if we wait for it at that moment: who has held locks for long waits hardly at all.
    pub(crate) fn hurry(&self) -> error::Result<()> {
        if self.is_hasty.get() || !self.session.in_transaction() || self.begun.elapsed() < LOCK_PATIENCE {
            return Ok(());
        }
        self.is_hasty.set(true);
        self.session.batch("SET LOCAL lock_timeout = '10ms'")
    }

    /// Writes to the application's tables as its triggers and constraints expect it, where they have their say: they find what they name, and
    /// nothing waits for the end of the transaction.
    pub(crate) fn as_application<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(path) = self.session.path_of_triggers() else { return run() };
        self.session.batch(&format!("SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL search_path = {path}")).told()?;
        let done = run()?;
        self.session.batch("SET LOCAL search_path = pg_catalog, pg_temp").told()?;
        Ok(done)
    }

    /// Runs a statement; returns how many rows it changed.
    pub fn run(&self, sql: &str, params: &[Param<'_>]) -> Result<u64> {
        self.session.execute(sql, params).told()
    }

    /// The first row that a query finds.
    pub fn find<T>(&self, sql: &str, params: &[Param<'_>], read: impl FnOnce(&Row) -> T) -> Result<Option<T>> {
        Ok(self.session.query(sql, params).told()?.first().map(read))
    }

    /// The row of a query that finds one whatever stands.
    pub fn one<T>(&self, sql: &str, params: &[Param<'_>], read: impl FnOnce(&Row) -> T) -> Result<T> {
        Ok(read(&self.session.query_one(sql, params).told()?))
    }

    /// All rows that a query finds.
    pub fn all<T>(&self, sql: &str, params: &[Param<'_>], read: impl FnMut(&Row) -> T) -> Result<Vec<T>> {
        Ok(self.session.query(sql, params).told()?.iter().map(read).collect())
    }
}
