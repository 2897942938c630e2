//! Compares a table with what is remembered of its rows and notes every key that differs: so what was written while a trigger was missing
//! is recovered. Seals nothing itself.

use std::sync::Arc;

use rowmesh_core::limits;
use rowmesh_core::row_state::RowState;
use rowmesh_core::value::{Key, Value};

use crate::database::Access;
use crate::fault::{Error, Result};
use crate::registry::Table;
use crate::row_states;
use crate::scope::{self, Judgement};
use crate::seal;
use crate::work::{Work, is_default};

/// Rows that are compared at once.
const ROWS_AT_ONCE: usize = 2_000;

/// Notes the keys of a table's rows that differ from what was shown; returns how many.
pub fn table<A: Access>(work: &mut Work<'_, A>, table: &Arc<Table>) -> Result<u64> {
    let mut differing: Vec<Key> = Vec::new();
    let mut some: Vec<Vec<Value>> = Vec::new();
    work.db.scan(table, &mut |row| {
        some.push(row);
        if some.len() < ROWS_AT_ONCE { Ok(()) } else { compare(work, table, std::mem::take(&mut some), &mut differing) }
    })?;
    compare(work, table, some, &mut differing)?;
    for some in row_states::keys_shown(work.db, work.origins, table.number)?.chunks(ROWS_AT_ONCE) {
        find_gone(work, table, some, &mut differing)?;
    }
    for key in &differing {
        let values = key.values().map_err(|source| Error::damaged("a key of a row state", source))?;
        work.db.note(table, &values, work.now)?;
    }
    Ok(differing.len() as u64)
}

/// Finds the rows that should stand and do not.
fn find_gone<A: Access>(work: &Work<'_, A>, table: &Arc<Table>, keys: &[Key], differing: &mut Vec<Key>) -> Result<()> {
    if A::IS_REMOTE {
        work.db.expect(&keys.iter().map(|key| (table.clone(), key.clone())).collect::<Vec<_>>())?;
    }
    for key in keys {
        let values = key.values().map_err(|source| Error::damaged("a key of a row state", source))?;
        if work.db.read(table, &values)?.is_none() {
            differing.push(key.clone());
        }
    }
    Ok(())
}

/// Finds the rows that are not what is remembered of them.
fn compare<A: Access>(
    work: &mut Work<'_, A>,
    table: &Arc<Table>,
    rows: Vec<Vec<Value>>,
    differing: &mut Vec<Key>,
) -> Result<()> {
    if A::IS_REMOTE {
        let keys: Vec<_> = rows.iter().map(|row| (table.clone(), table.key_of(row))).collect();
        work.db.expect_states(&keys)?;
    }
    for row in rows {
        let key = table.key_of(&row);
        // Never remembered, and named already.
        if key.0.len() > limits::KEY_BYTES_MAX {
            continue;
        }
        let state = row_states::load(work.db, work.origins, table.number, &key)?;
        let judgement = work.membership.verdict(work.db, table, &row)?;
        let was_held_back =
            work.membership.concerns(&table.schema.name) && work.db.held_back(table.number, &key)?.is_some();
        let differs = judgement.held_back != was_held_back || !shows(table, &state, &row, &judgement);
        // What is too large to travel is named where a person sees it; looking at it again would tell nothing new.
        let is_settled = || {
            Ok::<_, Error>(
                seal::is_too_large(table, &key, &state, &judgement.travelling(&row))
                    && scope::is_named_too_large(work.db, table.number, &key)?,
            )
        };
        if differs && !is_settled()? {
            differing.push(key);
        }
    }
    Ok(())
}

/// Whether what is remembered as shown is this row as it travels.
fn shows(table: &Table, state: &RowState, row: &[Value], judgement: &Judgement) -> bool {
    if judgement.held_back {
        return !state.is_shown();
    }
    let row = judgement.travelling(row);
    state.is_shown()
        && row.iter().enumerate().all(|(position, value)| match state.shown_value(table.columns[position]) {
            Some(shown) => *shown == *value,
            // It was found by its key, whatever its columns were called before.
            None => table.schema.key.contains(&position) || is_default(&table.schema, position, value),
        })
}
