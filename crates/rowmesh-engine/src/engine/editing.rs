//! What a person writes through Rowmesh: everything that the application wrote is sealed first, then the rows are written and sealed as one changeset
//! that has seen all of it. Who may ask for that, and why, is not known here.

use std::collections::BTreeMap;
use std::sync::Arc;

use rowmesh_core::clock::WallTime;
use rowmesh_core::row_state::{ColumnIx, RowState};
use rowmesh_core::show;
use rowmesh_core::store::{Edit, Said, Sealed, StoreError, StoreResult};
use rowmesh_core::value::{ColumnName, Key, TableName, Value};

use super::{End, Engine, cause};
use crate::births;
use crate::database::{Access, Database, Rows};
use crate::fault::{Error, Result};
use crate::registry::Table;
use crate::row_states;
use crate::seal::{self, Word, Written};
use crate::work::{Work, shown_row};
use crate::write::{Outcome, RowWrite, add_key, placed};

/// What an attempt to write rows came to.
pub(super) enum Tried {
    /// They are written and sealed.
    Done(Sealed),
    /// The database takes some of them not, by their place among those that were to be written, and why: nothing was written.
    Refused(Vec<(usize, String)>),
}

/// Rows by the names of their tables.
pub(super) type RowNames = [(TableName, Key)];

impl<D: Database> Engine<D> {
    /// Writes and seals, all of it or nothing.
    pub(super) fn edit_all(&mut self, now: WallTime, edits: &[Edit]) -> StoreResult<Sealed> {
        let rows: Vec<_> = edits.iter().map(|edit| (edit.table.clone(), edit.key.clone())).collect();
        match self.write_all(now, &rows, |_| Ok(edits.to_vec()))? {
            Tried::Done(sealed) => Ok(sealed),
            Tried::Refused(refused) => {
                let first = refused.first().and_then(|(place, reason)| Some(self::refused(edits.get(*place)?, reason)));
                Err(first.unwrap_or_else(|| Error::inconsistent("an edit that was refused without a reason").into()))
            }
        }
    }

    /// Writes what is told about rows and seals it as one changeset, however often it takes until everything that was written here is sealed. What
    /// is to be written is asked for when that is so: nothing can change before it is written.
    pub(super) fn write_all(
        &mut self,
        now: WallTime,
        rows: &RowNames,
        edits: impl Fn(&mut Work<'_, D::Access<'_>>) -> Result<Vec<Edit>>,
    ) -> StoreResult<Tried> {
        let mut last_unnoticed = None;
        loop {
            match self.following(|engine| engine.write_now(now, rows, &edits)) {
                Ok(Some(tried)) => return Ok(tried),
                Ok(None) => {}
                Err(error) => {
                    let Some(Error::Unnoticed { table, key }) = cause(&error) else { return Err(error) };
                    let row = (*table, key.clone());
                    self.note_unnoticed(row.0, &row.1, now)?;
                    // Noted and sealed, and still unnoticed: looking again would find the same.
                    if last_unnoticed.replace(row.clone()) == Some(row) {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// One attempt; none where something that was written here had to be sealed first, and more may be left.
    fn write_now(
        &mut self,
        now: WallTime,
        rows: &RowNames,
        edits: impl Fn(&mut Work<'_, D::Access<'_>>) -> Result<Vec<Edit>>,
    ) -> StoreResult<Option<Tried>> {
        let mut not_taken = Vec::new();
        let tried = self.in_transaction_with_round(|work, round| {
            work.now = now;
            let named = |(table, key): &(TableName, Key)| Ok((table_of(work, table)?, key.clone()));
            let rows = rows.iter().map(named).collect::<Result<Vec<_>>>()?;
            let locked = work.db.lock(&rows)?;
            let part = seal::seal_part(work, round, D::UNIT_ROWS)?;
            if part.more || (part.spent && work.db.lock(&rows)? > locked) {
                return Ok(End::Commit(None));
            }
            let edits = edits(work)?;
            if edits.is_empty() {
                return Ok(End::Commit(Some(Tried::Done(Sealed::default()))));
            }
            let (mut writes, mut written) = (Vec::with_capacity(edits.len()), Vec::with_capacity(edits.len()));
            for edit in &edits {
                let (write, row) = planned(work, table_of(work, &edit.table)?, edit)?;
                writes.push(write);
                written.push(row);
            }
            let outcomes = work.db.write_rows(work.registry, &mut writes)?.into_iter().enumerate();
            not_taken.extend(outcomes.filter_map(|(place, outcome)| match outcome {
                Outcome::Parked { reason } => Some((place, reason)),
                Outcome::Shown { .. } => None,
            }));
            if let Some((place, reason)) = not_taken.first() {
                return Err(refused(&edits[*place], reason).into());
            }
            let changeset = seal::seal_written(work, written)?;
            let events = changeset.events().len() as u64;
            Ok(End::Commit(Some(Tried::Done(Sealed { dots: vec![changeset.dot()], events, more: false }))))
        });
        match tried {
            Err(_) if !not_taken.is_empty() => Ok(Some(Tried::Refused(not_taken))),
            tried => tried,
        }
    }
}

fn table_of<A>(work: &Work<'_, A>, name: &str) -> Result<Arc<Table>> {
    let table = work.registry.tracked_by_name(name).cloned();
    Ok(table.ok_or_else(|| not_here(&format!("there is no table {name} here that travels")))?)
}

/// What has to be written, and what of it is said whether it stands or not.
fn planned<A: Access>(work: &Work<'_, A>, table: Arc<Table>, edit: &Edit) -> Result<(RowWrite, Written)> {
    if let Some(reason) = unseen(work, &table, &edit.key)? {
        return Err(refused(edit, &reason).into());
    }
    let (_, state) = row_states::recall(work, table.number, &edit.key)?;
    let before = shown_row(&table, &edit.key, &state);
    let key = edit.key.values().map_err(|source| Error::damaged("a key", source))?;
    let (mut word, mut after) = (Word::Named(Vec::new(), false), None);
    if let Some(values) = &edit.values {
        let said = values.iter().map(|value| place(&table, value)).collect::<Result<BTreeMap<_, _>>>()?;
        if let Some(column) = said.keys().find(|column| table.schema.key.contains(column) && before.is_some()) {
            let column = &table.schema.columns[*column].name;
            return Err(not_here(&format!("{column} belongs to the key of {}: a row keeps its key", edit.table)).into());
        }
        if before.is_some() && !said.is_empty() {
            word = Word::Named(said.keys().copied().collect(), edit.counted_anew);
        }
        let mut here = match before {
            Some(_) => Vec::new(),
            None => placed(&table, &key, &held_last(work, &table, &state)?).0,
        };
        here.retain(|(column, _)| !matches!(said.get(column), Some(Said::Value(_))));
        for (column, said) in said {
            if let Said::Value(value) = said {
                here.push((column, births::in_place(work, &table, column, &value)?));
            }
        }
        add_key(&table, &key, &mut here);
        after = Some(here);
    } else if before.is_none() && !state.live.is_empty() {
        word = Word::Gone { row: placed(&table, &key, &held_last(work, &table, &state)?).1, leaves: state.has_left() };
    }
    let write = RowWrite::new(table.clone(), edit.key.clone(), key.clone(), before, after);
    Ok((write, Written { table, key: edit.key.clone(), values: key, word }))
}

/// Why a row cannot be written by a person here, if it cannot: what is written now has not seen what nobody here could see, and would settle nothing.
pub(super) fn unseen<A: Access>(work: &Work<'_, A>, table: &Table, key: &Key) -> Result<Option<String>> {
    let parked = work.db.parked(Some((table.number, key)))?;
    Ok(parked.first().map(|parked| format!("what others wrote to it cannot be shown here yet: {}", parked.reason)))
}

fn place(table: &Table, (name, said): &(ColumnName, Said)) -> Result<(usize, Said)> {
    let position = table.schema.columns.iter().position(|column| column.name == *name);
    let position = position.ok_or_else(|| not_here(&format!("{} has no column {name}", table.schema.name)))?;
    Ok((position, said.clone()))
}

/// What a row that does not stand would show, had nobody deleted it.
fn held_last<A: Access>(work: &Work<'_, A>, table: &Table, state: &RowState) -> Result<Vec<(ColumnIx, Value)>> {
    let policy = work.standing()?.policies.current().table(&table.schema.name);
    births::in_places(work, table, show::image(state, policy, work.registry.column_names(table.number)))
}

fn not_here(message: &str) -> StoreError {
    StoreError::needs_person("RM5109", message, "rowmesh tables shows what is here")
}

fn refused(edit: &Edit, reason: &str) -> StoreError {
    let message = format!("{} {} cannot be written so: {reason}", edit.table, edit.key.to_display());
    StoreError::needs_person("RM5108", message, "nothing was changed; write something that the database accepts")
}
