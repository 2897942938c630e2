//! Row states at rest: one row of `rowmesh.row_states` per row ever seen, living or dead. What they mean is core's business. A transaction
//! fetches those that it expects at once and writes all that it has changed at its end.

use std::sync::Arc;

use rowmesh_core::value::{Key, Value};
use rowmesh_engine::database::{Place, States};
use rowmesh_engine::fault::Result;
use rowmesh_engine::registry::{Table, TableNumber};

use crate::access::{HeldState, PostgresAccess};

/// Row states that one statement writes.
const STATES_PER_STATEMENT: usize = 10_000;

impl States for PostgresAccess<'_> {
    fn expect_states(&self, rows: &[(Arc<Table>, Key)]) -> Result<()> {
        self.fetch_states(rows)
    }

    fn state<T>(
        &self,
        table: TableNumber,
        key: &Key,
        read: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<Option<(Place, T)>> {
        let name = (table, key.clone());
        if !self.held.borrow().states.contains_key(&name) {
            let sql = "SELECT state FROM rowmesh.row_states WHERE t = $1 AND key = $2";
            let bytes = self.find(sql, &[&table.0, &key.0], |row| row.get(0))?;
            self.held.borrow_mut().states.insert(name.clone(), HeldState { bytes, is_new: false });
        }
        let held = self.held.borrow();
        let bytes = held.states.get(&name).and_then(|state| state.bytes.as_deref());
        bytes.map(|bytes| Ok((Place(0), read(bytes)?))).transpose()
    }

    fn save_state(&self, _place: Option<Place>, table: TableNumber, key: &Key, bytes: &[u8]) -> Result<()> {
        let state = HeldState { bytes: Some(bytes.to_vec()), is_new: true };
        self.held.borrow_mut().states.insert((table, key.clone()), state);
        Ok(())
    }

    fn each_state(&self, table: TableNumber, each: &mut dyn FnMut(Key, &[u8]) -> Result<()>) -> Result<()> {
        self.flush_states()?;
        let mut after: Option<Vec<u8>> = None;
        loop {
            let sql = "SELECT key, state FROM rowmesh.row_states WHERE t = $1 AND ($2::bytea IS NULL OR key > $2) ORDER BY key LIMIT 5000";
            let states: Vec<(Vec<u8>, Vec<u8>)> = self.all(sql, &[&table.0, &after], |row| (row.get(0), row.get(1)))?;
            let Some((last, _)) = states.last() else { return Ok(()) };
            after = Some(last.clone());
            for (key, state) in states {
                each(Key(key), &state)?;
            }
        }
    }

    fn states_after(
        &self,
        table: TableNumber,
        after: &[u8],
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let sql = "SELECT key, state FROM rowmesh.row_states WHERE t = $1 AND key > $2 ORDER BY key LIMIT $3";
        let mut states: Vec<(Vec<u8>, Vec<u8>)> =
            self.all(sql, &[&table.0, &after, &(limit as i64)], |row| (row.get(0), row.get(1)))?;
        let mut taken = 0;
        let is_over = |(key, state): &(Vec<u8>, Vec<u8>)| {
            taken += key.len() + state.len();
            taken >= bytes
        };
        if let Some(last) = states.iter().position(is_over) {
            states.truncate(last + 1);
        }
        Ok(states)
    }

    fn count_states(&self) -> Result<u64> {
        self.one("SELECT count(*) FROM rowmesh.row_states", &[], |row| row.get::<_, i64>(0) as u64)
    }

    fn add_shown(&self, table: TableNumber, change: i64) -> Result<()> {
        *self.held.borrow_mut().shown.entry(table).or_default() += change;
        Ok(())
    }

    fn shown_rows(&self, table: TableNumber) -> Result<i64> {
        self.flush_shown()?;
        self.one("SELECT rows FROM rowmesh.tables WHERE t = $1", &[&table.0], |row| row.get(0))
    }

    /// PostgreSQL has no REPLACE: whatever removes a row is noted.
    fn replace_claims(&self, _: &Table, _: &Key, _: Option<&[Value]>, _: Option<&[Value]>) -> Result<()> {
        Ok(())
    }

    fn pushed_aside(&self, _: &Table, _: &Key, _: &[Value]) -> Result<Vec<Key>> {
        Ok(Vec::new())
    }

    fn may_hide_deletes(&self, _: &Table, _: bool) -> bool {
        false
    }
}

impl PostgresAccess<'_> {
    /// Fetches the states of these rows, as far as they are not in memory.
    pub(crate) fn fetch_states(&self, rows: &[(Arc<Table>, Key)]) -> Result<()> {
        let mut held = self.held.borrow_mut();
        let (mut tables, mut keys) = (Vec::new(), Vec::new());
        for (table, key) in rows {
            let name = (table.number, key.clone());
            if let std::collections::hash_map::Entry::Vacant(new) = held.states.entry(name) {
                tables.push(table.number.0);
                keys.push(key.0.clone());
                new.insert(HeldState::default());
            }
        }
        drop(held);
        if keys.is_empty() {
            return Ok(());
        }
        let sql = "SELECT s.t, s.key, s.state FROM unnest($1::bigint[], $2::bytea[]) AS k (t, key)
                     JOIN rowmesh.row_states s ON s.t = k.t AND s.key = k.key";
        let found = self.all(sql, &[&tables, &keys], |row| {
            ((TableNumber(row.get(0)), Key(row.get(1))), row.get::<_, Vec<u8>>(2))
        })?;
        let mut held = self.held.borrow_mut();
        for (name, bytes) in found {
            held.states.insert(name, HeldState { bytes: Some(bytes), is_new: false });
        }
        Ok(())
    }

    /// Writes the states that have changed.
    pub(crate) fn flush_states(&self) -> Result<()> {
        let mut held = self.held.borrow_mut();
        let mut changed: Vec<_> = held.states.iter_mut().filter(|(_, state)| state.is_new).collect();
        // In the order of the key: neighbours in the index are written together.
        changed.sort_unstable_by_key(|(name, _)| *name);
        for some in changed.chunks_mut(STATES_PER_STATEMENT) {
            let tables: Vec<i64> = some.iter().map(|((table, _), _)| table.0).collect();
            let keys: Vec<&[u8]> = some.iter().map(|((_, key), _)| &*key.0).collect();
            let states: Vec<Option<&[u8]>> = some.iter().map(|(_, state)| state.bytes.as_deref()).collect();
            self.run(
                "INSERT INTO rowmesh.row_states (t, key, state) SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])
                 ON CONFLICT (t, key) DO UPDATE SET state = excluded.state",
                &[&tables, &keys, &states],
            )?;
            some.iter_mut().for_each(|(_, state)| state.is_new = false);
        }
        Ok(())
    }

    /// Writes how many rows are shown.
    pub(crate) fn flush_shown(&self) -> Result<()> {
        let shown = std::mem::take(&mut self.held.borrow_mut().shown);
        for (table, change) in shown {
            self.run("UPDATE rowmesh.tables SET rows = rows + $2 WHERE t = $1", &[&table.0, &change])?;
        }
        Ok(())
    }
}
