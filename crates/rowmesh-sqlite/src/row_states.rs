//! Row states at rest: one row of `rowmesh_row_states` per row ever seen, living or dead. What they mean is core's business.

use rowmesh_core::value::{Key, Value};
use rowmesh_engine::database::{Place, States};
use rowmesh_engine::fault::{Error, Result};
use rowmesh_engine::registry::{Table, TableNumber};
use rusqlite::{CachedStatement, Connection, params};

use crate::access::SqliteAccess;
use crate::claims;
use crate::fault::Told;
use crate::values::read_key;
use std::ops::ControlFlow;

/// What every row of a transaction needs: its statements, prepared once.
#[derive(Default)]
pub struct Held<'a> {
    recall: Option<CachedStatement<'a>>,
    update: Option<CachedStatement<'a>>,
}

const RECALL: &str = "SELECT r, state FROM rowmesh_row_states WHERE t = ?1 AND key = ?2";
const UPDATE: &str = "UPDATE rowmesh_row_states SET state = ?2 WHERE r = ?1";
const INSERT: &str = "INSERT INTO rowmesh_row_states (t, key, state) VALUES (?1, ?2, ?3) ON CONFLICT (t, key) DO UPDATE SET state = excluded.state";

impl States for SqliteAccess<'_> {
    fn state<T>(
        &self,
        table: TableNumber,
        key: &Key,
        read: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<Option<(Place, T)>> {
        let mut held = self.held.borrow_mut();
        let statement = held_statement(&mut held.recall, self.connection, RECALL).told()?;
        let mut rows = statement.query(params![table.0, key.0]).told()?;
        let Some(row) = rows.next().told()? else { return Ok(None) };
        let bytes = row.get_ref(1).and_then(|value| Ok(value.as_blob()?)).told()?;
        Ok(Some((Place(row.get(0).told()?), read(bytes)?)))
    }

    fn save_state(&self, place: Option<Place>, table: TableNumber, key: &Key, bytes: &[u8]) -> Result<()> {
        let Some(place) = place else {
            return self.run(INSERT, params![table.0, key.0, bytes]).map(drop);
        };
        let mut held = self.held.borrow_mut();
        let statement = held_statement(&mut held.update, self.connection, UPDATE).told()?;
        match statement.execute(params![place.0, bytes]).told()? {
            1 => Ok(()),
            _ => Err(Error::inconsistent("a row state that is not where it was")),
        }
    }

    fn each_state(&self, table: TableNumber, each: &mut dyn FnMut(Key, &[u8]) -> Result<()>) -> Result<()> {
        self.each("SELECT key, state FROM rowmesh_row_states WHERE t = ?1", [table.0], |row| {
            let bytes = row.get_ref(1).and_then(|value| Ok(value.as_blob()?)).told()?;
            each(read_key(row, 0).told()?, bytes).map(ControlFlow::Continue)
        })
    }

    fn states_after(
        &self,
        table: TableNumber,
        after: &[u8],
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let sql = "SELECT key, state FROM rowmesh_row_states WHERE t = ?1 AND key > ?2 ORDER BY key LIMIT ?3";
        let (mut states, mut taken) = (Vec::new(), 0);
        self.each(sql, params![table.0, after, limit as i64], |row| {
            let (key, state): (Vec<u8>, Vec<u8>) = (row.get(0).told()?, row.get(1).told()?);
            taken += key.len() + state.len();
            states.push((key, state));
            Ok(if taken >= bytes { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(states)
    }

    fn count_states(&self) -> Result<u64> {
        self.one("SELECT count(*) FROM rowmesh_row_states", [], |row| row.get::<_, i64>(0)).map(|count| count as u64)
    }

    fn add_shown(&self, table: TableNumber, change: i64) -> Result<()> {
        self.run("UPDATE rowmesh_tables SET rows = rows + ?2 WHERE t = ?1", params![table.0, change]).map(drop)
    }

    fn shown_rows(&self, table: TableNumber) -> Result<i64> {
        self.one("SELECT rows FROM rowmesh_tables WHERE t = ?1", [table.0], |row| row.get(0))
    }

    fn replace_claims(&self, table: &Table, key: &Key, old: Option<&[Value]>, new: Option<&[Value]>) -> Result<()> {
        claims::replace(self.connection, table, key, old, new).told()
    }

    fn pushed_aside(&self, table: &Table, key: &Key, row: &[Value]) -> Result<Vec<Key>> {
        claims::holders(self.connection, table, key, row).told()
    }

    /// A REPLACE hides what it removed where the row that took its value has moved on since.
    fn may_hide_deletes(&self, table: &Table, rewritten: bool) -> bool {
        (rewritten && !table.schema.uniques.is_empty()) || claims::has_untold(table)
    }
}

fn held_statement<'s, 'a>(
    slot: &'s mut Option<CachedStatement<'a>>,
    connection: &'a Connection,
    sql: &str,
) -> rusqlite::Result<&'s mut CachedStatement<'a>> {
    match slot {
        Some(statement) => Ok(statement),
        None => Ok(slot.insert(connection.prepare_cached(sql)?)),
    }
}
