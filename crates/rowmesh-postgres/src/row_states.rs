//! Row states at rest: one row of `rowmesh.row_states` per row ever seen, living or dead. What they mean is core's business. A transaction
//! fetches those that it expects at once and writes all that it has changed at its end.

use std::sync::Arc;

use rowmesh_core::value::{Key, Value};
use rowmesh_engine::database::{Place, States};
use rowmesh_engine::fault::{Error, Result};
use rowmesh_engine::registry::{Table, TableNumber};

use crate::access::{HeldState, PostgresAccess, Stands};
use crate::copy::CopyRows;
use crate::fault::Told;
use crate::place::{read_place, show_place};

/// Writes states of rows that have none.
pub(crate) const COPY_STATES: &str = "COPY rowmesh.row_states (t, key, state) FROM STDIN (FORMAT binary)";

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
            self.fetch(vec![name.clone()])?;
        }
        let held = self.held.borrow();
        let bytes = held.states.get(&name).and_then(|state| state.bytes.as_deref());
        bytes.map(|bytes| Ok((Place(0), read(bytes)?))).transpose()
    }

    fn save_state(&self, _place: Option<Place>, table: TableNumber, key: &Key, bytes: &[u8]) -> Result<()> {
        let mut held = self.held.borrow_mut();
        let state = held.states.entry((table, key.clone())).or_default();
        (state.bytes, state.is_new) = (Some(bytes.to_vec()), true);
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

    fn add_states(&self, table: TableNumber, states: &[(Key, Vec<u8>)]) -> Result<()> {
        let mut rows = CopyRows::default();
        for (key, state) in states {
            let mut row = rows.row(3);
            row.bigint(table.0);
            row.value(&key.0);
            row.value(state);
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.session.copy_in(COPY_STATES, rows.take()).told().map(drop)
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

/// Whose state.
type Name = (TableNumber, Key);

impl PostgresAccess<'_> {
    /// Fetches the states of these rows, as far as they are not in memory.
    pub(crate) fn fetch_states(&self, rows: &[(Arc<Table>, Key)]) -> Result<()> {
        let held = self.held.borrow();
        let mut unknown: Vec<Name> = rows.iter().map(|(table, key)| (table.number, key.clone())).collect();
        unknown.retain(|name| !held.states.contains_key(name));
        drop(held);
        self.fetch(unknown)
    }

    /// Looks these up in the table. The bytes of states that are new in memory stay.
    fn fetch(&self, mut names: Vec<Name>) -> Result<()> {
        names.sort_unstable();
        names.dedup();
        let mut found = Vec::new();
        for of_table in names.chunk_by(|(one, _), (next, _)| one == next) {
            if self.any_between(&of_table[0], &of_table[of_table.len() - 1])? {
                found.append(&mut self.find_states(of_table)?);
            }
        }
        let mut held = self.held.borrow_mut();
        for name in names {
            held.states.entry(name).or_default().stands = Stands::Nowhere;
        }
        for (name, place, bytes) in found {
            let state = held.states.entry(name).or_default();
            state.stands = Stands::At(place);
            if !state.is_new {
                state.bytes = Some(bytes);
            }
        }
        Ok(())
    }

    /// Whether any state lies between two of one table. Where rows are new, and in the order of their keys, one look tells that of all.
    fn any_between(&self, first: &Name, last: &Name) -> Result<bool> {
        let sql = "SELECT FROM rowmesh.row_states WHERE t = $1 AND key >= $2 AND key <= $3 LIMIT 1";
        Ok(first == last || self.find(sql, &[&first.0.0, &first.1.0, &last.1.0], |_| ())?.is_some())
    }

    fn find_states(&self, names: &[Name]) -> Result<Vec<(Name, i64, Vec<u8>)>> {
        let table = names[0].0;
        let keys: Vec<&[u8]> = names.iter().map(|(_, key)| &*key.0).collect();
        let sql = "SELECT s.place, k.key, s.state FROM unnest($2::bytea[]) AS k (key),
                        LATERAL (SELECT ctid::text AS place, state FROM rowmesh.row_states WHERE t = $1 AND key = k.key LIMIT 1) AS s";
        let found = self.session.query(sql, &[&table.0, &keys]).told()?;
        found.iter().map(|row| Ok(((table, Key(row.get(1))), read_place(row.get(0))?, row.get(2)))).collect()
    }

    /// Writes the states that have changed.
    pub(crate) fn flush_states(&self) -> Result<()> {
        let mut held = self.held.borrow_mut();
        let is_unknown = |state: &HeldState| state.is_new && state.stands == Stands::Unknown;
        let unknown = held.states.iter().filter(|(_, state)| is_unknown(state)).map(|(name, _)| name.clone());
        let unknown: Vec<Name> = unknown.collect();
        drop(held);
        self.fetch(unknown)?;
        held = self.held.borrow_mut();
        let mut changed: Vec<_> = held.states.iter_mut().filter(|(_, state)| state.is_new).collect();
        // In the order of the key: neighbours in the index are written together.
        changed.sort_unstable_by_key(|(name, _)| *name);
        self.insert_states(&changed)?;
        self.update_states(&changed)?;
        for (_, state) in changed {
            (state.is_new, state.stands) = (false, Stands::Unknown);
        }
        Ok(())
    }

    fn insert_states(&self, changed: &[(&Name, &mut HeldState)]) -> Result<()> {
        let mut rows = CopyRows::default();
        for ((table, key), state) in changed.iter().filter(|(_, state)| state.stands == Stands::Nowhere) {
            let mut row = rows.row(3);
            row.bigint(table.0);
            row.value(&key.0);
            row.value(state.bytes.as_deref().unwrap_or_default());
        }
        if rows.is_empty() {
            return Ok(());
        }
        self.session.copy_in(COPY_STATES, rows.take()).told().map(drop)
    }

    fn update_states(&self, changed: &[(&Name, &mut HeldState)]) -> Result<()> {
        let at = |(_, state): &(&Name, &mut HeldState)| match state.stands {
            Stands::At(place) => Some((show_place(place), state.bytes.clone())),
            _ => None,
        };
        let standing: Vec<_> = changed.iter().filter_map(at).collect();
        for some in standing.chunks(STATES_PER_STATEMENT) {
            let places: Vec<&str> = some.iter().map(|(place, _)| &**place).collect();
            let states: Vec<Option<&[u8]>> = some.iter().map(|(_, bytes)| bytes.as_deref()).collect();
            let updated = self.run(
                "UPDATE rowmesh.row_states AS s SET state = n.state FROM unnest($1::text[]::tid[], $2::bytea[]) AS n (place, state)
                  WHERE s.ctid = n.place",
                &[&places, &states],
            )?;
            if updated != some.len() as u64 {
                return Err(Error::inconsistent("row states that are not where they were read"));
            }
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
