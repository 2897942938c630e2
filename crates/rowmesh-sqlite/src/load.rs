//! Loads a snapshot into a database whose tables are empty, chunk by chunk, each in a transaction that `store` began. The application may
//! write meanwhile: what it wrote stays and is sealed afterwards. A load that was cut short is wiped and begun anew.

use std::collections::HashSet;
use std::sync::Arc;

use rowmesh_core::changeset::Claimed;
use rowmesh_core::encode::Reader;
use rowmesh_core::event::TableShape;
use rowmesh_core::ident::{Digest, Dot, NodeId, Origin};
use rowmesh_core::row_state::{self, ColumnIx, OriginTable, RowState, Shown};
use rowmesh_core::show::{self, Choice};
use rowmesh_core::store::StoreError;
use rowmesh_core::value::{ColumnName, Key, TableName, Value};
use rusqlite::{OptionalExtension, params};

use crate::fault::{Error, Result};
use crate::ledger_rows;
use crate::log;
use crate::parked;
use crate::registry::{Table, TableNumber};
use crate::row_states;
use crate::seal;
use crate::snapshot::{Chunk, Start, decode_end};
use crate::work::{Work, remember_shown};
use crate::{claims, write};

/// A load under way, as kept in memory between chunks.
pub struct Load {
    /// The row of `rowmesh_initial_load_sessions`.
    id: i64,
    start_hash: Digest,
    start: Start,
    tables: Vec<(i64, LoadTable)>,
    chunks: u64,
    /// Something that others may refer to does not stand: a row that left the scope, or one that is parked there or here.
    has_gaps: bool,
}

struct LoadTable {
    number: TableNumber,
    name: TableName,
    /// Number here of each column number there.
    columns: Vec<ColumnIx>,
    table: Option<Arc<Table>>,
}

impl Load {
    /// Begins a load: wipes what an earlier one left, and refuses tables that hold rows.
    pub fn begin(work: &mut Work<'_>, start_bytes: &[u8], source: &NodeId) -> Result<Load> {
        let start = Start::decode(start_bytes).map_err(|source| Error::damaged("a snapshot from a peer", source))?;
        wipe_unfinished(work)?;
        refuse_rows(work)?;
        let mut tables = Vec::with_capacity(start.tables.len());
        for (there, name, columns) in &start.tables {
            let name = TableName::from(name.as_str());
            let number = work.registry.table_number(work.connection, &name)?;
            let columns = (columns.iter())
                .map(|column| work.registry.column_number(work.connection, number, &ColumnName::from(column.as_str())))
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let table = work.registry.tracked(number).cloned();
            tables.push((*there, LoadTable { number, name, columns, table }));
        }
        work.connection
            .prepare_cached(
                "INSERT INTO rowmesh_initial_load_sessions (source, state, started_at, chunks_loaded, rows_loaded, rows_total, start)
                 VALUES (?1, 'Transferring', ?2, 0, 0, ?3, ?4)",
            )?
            .execute(params![source.to_string(), work.now.0 as i64, start.rows as i64, start_bytes])?;
        let id = work.connection.last_insert_rowid();
        Ok(Load { id, start_hash: Digest::of(start_bytes), start, tables, chunks: 0, has_gaps: false })
    }

    /// Loads one chunk; returns how many rows it held.
    pub fn chunk(&mut self, work: &mut Work<'_>, bytes: &[u8]) -> Result<u64> {
        let chunk = Chunk::decode(bytes).map_err(|source| Error::damaged("a snapshot chunk from a peer", source))?;
        let rows = match chunk {
            Chunk::Rows(there, rows) => self.rows(work, there, &rows)?,
            Chunk::Log(changesets) => self.log(work, &changesets)?,
            Chunk::Ledger(entries) => self.ledger(work, entries)?,
        };
        self.chunks += 1;
        work.connection
            .prepare_cached(
                "UPDATE rowmesh_initial_load_sessions SET chunks_loaded = ?2, rows_loaded = rows_loaded + ?3 WHERE id = ?1",
            )?
            .execute(params![self.id, self.chunks as i64, rows as i64])?;
        Ok(rows)
    }

    /// Ends the load: from here the version vector says what the snapshot held.
    pub fn finish(self, work: &mut Work<'_>, end: &[u8]) -> Result<()> {
        let (chunks, start) =
            decode_end(end).map_err(|source| Error::damaged("a snapshot's end from a peer", source))?;
        if chunks != self.chunks || start != self.start_hash {
            return Err(StoreError::transient(
                "RM5303",
                format!("the snapshot is incomplete: {} of {chunks} chunks came", self.chunks),
            )
            .into());
        }
        if self.has_gaps {
            hide_dangling(work)?;
        }
        for (origin, seq, hash) in &self.start.origins {
            let dot = Dot { origin: *origin, seq: *seq };
            let floor = Dot { origin: *origin, seq: self.start.stable.get(origin) };
            work.origins.settle(work.connection, dot, *hash, floor.seq)?;
        }
        work.connection
            .prepare_cached(
                "UPDATE rowmesh_initial_load_sessions SET state = 'Completed', ended_at = ?2 WHERE id = ?1",
            )?
            .execute(params![self.id, work.now.0 as i64])?;
        Ok(())
    }

    fn rows(&mut self, work: &mut Work<'_>, there: i64, rows: &[(Vec<u8>, Vec<u8>)]) -> Result<u64> {
        let table = self.table(there)?;
        let origins: Vec<Origin> = self.start.origins.iter().map(|(origin, ..)| *origin).collect();
        let noted = match &table.table {
            Some(here) => seal::noted_keys(work.connection, here)?,
            None => HashSet::new(),
        };
        let mut has_gaps = false;
        for (key, state) in rows {
            let there = From1(&origins);
            let state = row_state::decode(&mut Reader::new(state), &there)
                .map_err(|source| Error::damaged("a row state from a peer", source))?;
            let (stood_there, is_wanted) = (state.is_shown(), !state.live.is_empty() || state.has_left());
            let state = renumber(state, &table.columns)?;
            let key = Key(key.clone());
            let is_noted = noted.contains(&key);
            let stands = self.row(work, table, key, state, is_noted)?;
            has_gaps |= is_wanted && !(stands && stood_there);
        }
        self.has_gaps |= has_gaps;
        Ok(rows.len() as u64)
    }

    /// Takes in one row. Says whether it stands now.
    fn row(
        &self,
        work: &mut Work<'_>,
        table: &LoadTable,
        key: Key,
        mut state: RowState,
        is_noted: bool,
    ) -> Result<bool> {
        let names = work.registry.column_names(table.number);
        let choice = show::show(&state, work.standing()?.policies.current().table(&table.name), names);
        state.shown = Shown::Absent;
        match (choice, &table.table) {
            (Choice::Absent, _) => {}
            (Choice::Present(_), None) => {
                let reason = format!("there is no table \"{}\" here yet", table.name);
                park_writes(work, table.number, &key, &state, &reason)?;
            }
            (Choice::Present(image), Some(here)) => {
                self.place(work, table, here, &key, &mut state, image, is_noted)?;
            }
        }
        row_states::save(work, table.number, &key, &state, false)?;
        Ok(state.is_shown())
    }

    #[allow(clippy::too_many_arguments)]
    fn place(
        &self,
        work: &mut Work<'_>,
        table: &LoadTable,
        here: &Arc<Table>,
        key: &Key,
        state: &mut RowState,
        image: Vec<(ColumnIx, Value)>,
        is_noted: bool,
    ) -> Result<()> {
        let values = key_values(key)?;
        match write::place_new(work, here, &values, &image)? {
            write::Placed::Stands(row) => {
                if is_noted && seal::was_deleted_here(work.connection, table.number, key)? {
                    // It was here before, by a load that was cut short, and the application deleted it: the next seal tells the others.
                    here.delete(work.connection, &values)?;
                }
                remember_shown(here, state, &row);
                claims::replace(work.connection, here, key, None, Some(&row))
            }
            write::Placed::KeyTaken(row) => {
                // The application wrote this row here while the load ran: its row stays and will be sealed as an edit of this one.
                remember_shown(here, state, &row);
                seal::note(work.connection, table.number, &values, work.now)
            }
            write::Placed::Refused(reason) => park_writes(work, table.number, key, state, &reason),
        }
    }

    fn log(&self, work: &mut Work<'_>, changesets: &[Vec<u8>]) -> Result<u64> {
        for bytes in changesets {
            let claimed = Claimed::decode(bytes).map_err(|source| Error::damaged("a changeset from a peer", source))?;
            let changeset = claimed.trust_own_log();
            let mut rows = Vec::with_capacity(changeset.events().len());
            for event in changeset.events() {
                let shape: &TableShape = changeset.shape(event);
                rows.push((work.registry.table_number(work.connection, &shape.name)?, event.key(shape)));
            }
            log::append_loaded(work.connection, work.origins, &changeset, &rows, work.now)?;
        }
        Ok(0)
    }

    fn ledger(&self, work: &mut Work<'_>, entries: Vec<Vec<Value>>) -> Result<u64> {
        let origins: Vec<Origin> = self.start.origins.iter().map(|(origin, ..)| *origin).collect();
        for entry in entries {
            ledger_rows::restore(work.connection, work.origins, &From1(&origins), entry)?;
        }
        Ok(0)
    }

    fn table(&self, there: i64) -> Result<&LoadTable> {
        let found = self.tables.iter().find(|(number, _)| *number == there);
        found
            .map(|(_, table)| table)
            .ok_or_else(|| Error::inconsistent("a chunk of a table that the snapshot does not name"))
    }
}

fn park_writes(work: &mut Work<'_>, table: TableNumber, key: &Key, state: &RowState, reason: &str) -> Result<()> {
    for stamp in &state.live {
        parked::park(work.connection, work.origins, table, key, stamp.dot, reason, work.now)?;
    }
    work.has_parked = true;
    Ok(())
}

/// Rows that refer to others which do not stand wait for those, as they did where the snapshot was taken: their owners had left the scope, or
/// were parked there or are here.
fn hide_dangling(work: &mut Work<'_>) -> Result<()> {
    loop {
        let mut hid = false;
        for table in work.registry.all() {
            for (position, foreign_key) in table.schema.foreign_keys.iter().enumerate() {
                if work.registry.tracked_by_name(&foreign_key.parent).is_none() {
                    continue;
                }
                let reason = format!("it refers to a row of {} that is not here", foreign_key.parent);
                for row in table.dangling(work.connection, position)? {
                    hid |= hide(work, &table, &row, &reason)?;
                }
            }
        }
        if !hid {
            return Ok(());
        }
    }
}

/// Hides a row that was loaded. What the application wrote meanwhile is its own business. Says whether it has.
fn hide(work: &mut Work<'_>, table: &Table, row: &[Value], reason: &str) -> Result<bool> {
    let key = table.key_of(row);
    let values = key_values(&key)?;
    let mut state = row_states::load(work.connection, work.origins, table.number, &key)?;
    if !state.is_shown() || seal::is_noted(work.connection, table.number, &values)? {
        return Ok(false);
    }
    table.delete(work.connection, &values)?;
    claims::replace(work.connection, table, &key, Some(row), None)?;
    park_writes(work, table.number, &key, &state, reason)?;
    state.shown = Shown::Absent;
    row_states::save(work, table.number, &key, &state, true)?;
    Ok(true)
}

fn key_values(key: &Key) -> Result<Vec<Value>> {
    key.values().map_err(|source| Error::damaged("a key from a peer", source))
}

/// Origins of a snapshot, which are numbered from 1 there.
struct From1<'a>(&'a [Origin]);

impl OriginTable for From1<'_> {
    fn number(&mut self, origin: &Origin) -> u32 {
        self.0.iter().position(|known| known == origin).map_or(0, |position| position as u32 + 1)
    }

    fn origin(&self, number: u32) -> Option<Origin> {
        self.0.get((number as usize).checked_sub(1)?).copied()
    }
}

/// The same state with this node's numbers of columns.
fn renumber(state: RowState, columns: &[ColumnIx]) -> Result<RowState> {
    let here = |there: ColumnIx| {
        columns
            .get(usize::from(there.0))
            .copied()
            .ok_or_else(|| Error::inconsistent("a column that the snapshot does not name"))
    };
    let mut registers = Vec::new();
    for (there, register) in state.registers.into_iter().enumerate() {
        let column = usize::from(here(ColumnIx(there as u16))?.0);
        if registers.len() <= column {
            registers.resize(column + 1, row_state::Register::Unwritten);
        }
        registers[column] = register;
    }
    let mut witnesses = Vec::with_capacity(state.witnesses.len());
    for (stamp, image) in state.witnesses {
        let mut image =
            image.into_iter().map(|(column, value)| Ok((here(column)?, value))).collect::<Result<Vec<_>>>()?;
        image.sort_by_key(|(column, _)| *column);
        witnesses.push((stamp, image));
    }
    Ok(RowState { registers, witnesses, shown: Shown::Absent, ..state })
}

/// What a load that was cut short left: its rows are deleted, its states forgotten.
fn wipe_unfinished(work: &mut Work<'_>) -> Result<()> {
    let unfinished: Option<i64> = work
        .connection
        .prepare_cached("SELECT id FROM rowmesh_initial_load_sessions WHERE state = 'Transferring' LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    if unfinished.is_none() {
        return Ok(());
    }
    for table in work.registry.all() {
        for key in row_states::keys_shown(work.connection, work.origins, table.number)? {
            let values = key.values().map_err(|source| Error::damaged("a key in rowmesh_row_states", source))?;
            if !seal::is_noted(work.connection, table.number, &values)? {
                table.delete(work.connection, &values)?;
            }
        }
    }
    work.connection.execute_batch(
        "UPDATE rowmesh_tables SET rows = 0; DELETE FROM rowmesh_row_states; DELETE FROM rowmesh_claims; DELETE FROM rowmesh_parked; DELETE FROM rowmesh_events;
         DELETE FROM rowmesh_changesets; DELETE FROM rowmesh_conflict_resolutions;
         UPDATE rowmesh_initial_load_sessions SET state = 'Failed', error = 'cut short' WHERE state = 'Transferring'",
    )?;
    Ok(())
}

/// Rows that stood here before Rowmesh came cannot be loaded over. What the application writes meanwhile is noted, and may.
fn refuse_rows(work: &Work<'_>) -> Result<()> {
    let mut full = Vec::new();
    for table in work.registry.all() {
        let mut count = 0;
        for values in table.keys(work.connection)? {
            count += u64::from(!seal::is_noted(work.connection, table.number, &values)?);
        }
        if count > 0 {
            full.push(format!("{} ({count} rows)", table.schema.name));
        }
    }
    if full.is_empty() {
        return Ok(());
    }
    Err(StoreError::needs_person(
        "RM5504",
        format!("this database already holds rows: {}", full.join(", ")),
        "join with a database whose tables are empty; merging two filled databases is not possible in this version",
    )
    .into())
}
