//! Takes back changes that the log holds, as new ones: changeset by changeset, the newest first, a bounded number of rows at once. What takes back a
//! row's changes is told by core; who asks for it, and in which order the steps follow, is not known here.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;

use rowmesh_core::clock::WallTime;
use rowmesh_core::limits;
use rowmesh_core::lineage::lineage;
use rowmesh_core::row_state::Stamp;
use rowmesh_core::store::{Edit, Said, Sealed, StoreResult, UndoStep, UndoneRow};
use rowmesh_core::undo::{Undo, Undoing, Undone, undone};
use rowmesh_core::value::{ColumnName, Key, TableName, Value};

use super::editing::{Tried, unseen};
use super::{End, Engine};
use crate::births;
use crate::database::{Access, Database, Log};
use crate::fault::{Error, Result};
use crate::work::Work;
use crate::{log, row_states};

/// Events that one step looks at.
const EVENTS_AT_ONCE: usize = 1_000;

/// Rows that one step takes back, of how many events, and whether there are more of these.
struct RowsMeant {
    rows: Vec<(TableName, Key)>,
    looked: usize,
    more: bool,
}

impl<D: Database> Engine<D> {
    /// The numbers of the changesets in the log that may hold changes which are meant, newest first.
    pub(super) fn changesets_meant(&self, undo: &Undo) -> Result<Vec<u64>> {
        let mut numbers = Vec::new();
        self.database.access().each_changeset(0, &mut |number, origin, seq, body| {
            let dot = self.origins.dot(origin, seq)?;
            let of_it =
                undo.node.is_none_or(|node| node == dot.origin.node) && undo.seq.is_none_or(|seq| seq == dot.seq);
            // Its highest timestamp tells whether any of its changes is young enough.
            let is_young = |since| Ok::<_, Error>(log::header(body)?.lamport_max.wall() >= since);
            if of_it && undo.since.map_or(Ok(true), is_young)? {
                numbers.push(number as u64);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        numbers.reverse();
        Ok(numbers)
    }

    /// Takes back some of a changeset's changes, from its last event on: those before are `skip` many by now.
    pub(super) fn undo_some(
        &mut self,
        now: WallTime,
        undo: &Undo,
        (changeset, skip): (u64, usize),
        dry_run: bool,
    ) -> StoreResult<UndoStep> {
        let RowsMeant { rows, looked, more } = self.rows_meant(undo, changeset, skip)?;
        let rows = self.in_transaction(|work| places(work, &rows).map(End::Rollback))?;
        let mut refused: BTreeMap<(TableName, Key), String> = BTreeMap::new();
        loop {
            let told = RefCell::new(Vec::new());
            let edits = |work: &mut Work<'_, D::Access<'_>>| {
                let mut told = told.borrow_mut();
                told.clear();
                let mut edits = Vec::new();
                for (table, key) in &rows {
                    let undone = undone_row(work, undo, table, key)?;
                    let here = work.registry.tracked_by_name(table).cloned();
                    let unseen = here.map(|here| unseen(work, &here, key)).transpose()?.flatten();
                    let refusal = unseen.or_else(|| refused.get(&(table.clone(), key.clone())).cloned());
                    edits.extend(edit_of(table, key, &undone.undoing).filter(|_| refusal.is_none()));
                    told.push(UndoneRow { table: table.clone(), key: key.clone(), undone, refused: refusal });
                }
                Ok(edits)
            };
            let tried = if dry_run {
                self.in_transaction(|work| edits(work).map(|_| End::Rollback(Tried::Done(Sealed::default()))))?
            } else {
                self.write_all(now, &rows, |work| edits(work))?
            };
            let told = told.into_inner();
            match tried {
                Tried::Done(sealed) => return Ok(UndoStep { rows: told, looked, more, sealed }),
                Tried::Refused(places) => {
                    let written: Vec<&UndoneRow> = told.iter().filter(|row| row.is_written()).collect();
                    for (place, reason) in places {
                        let row = written.get(place).ok_or_else(|| Error::inconsistent("a refusal of no row"))?;
                        refused.insert((row.table.clone(), row.key.clone()), reason);
                    }
                }
            }
        }
    }

    /// The rows of some of a changeset's events that are meant, the last event first.
    fn rows_meant(&self, undo: &Undo, changeset: u64, skip: usize) -> Result<RowsMeant> {
        let changeset = log::numbered(&self.database.access(), changeset as i64)?;
        let (mut rows, mut known, mut looked, mut bytes) = (Vec::new(), HashSet::new(), 0, 0);
        let mut events = changeset.events().iter().rev().skip(skip).peekable();
        while let Some(event) = events.next_if(|_| looked < EVENTS_AT_ONCE && bytes < limits::CHANGESET_BYTES_TARGET) {
            looked += 1;
            let shape = changeset.shape(event);
            let stamp = Stamp { lamport: event.lamport, dot: changeset.dot() };
            let row = (shape.name.clone(), event.key(shape));
            if undo.means(&shape.name, &stamp)
                && self.registry.tracked_by_name(&shape.name).is_some()
                && known.insert(row.clone())
            {
                bytes += event.weight();
                rows.push(row);
            }
        }
        Ok(RowsMeant { rows, looked, more: events.peek().is_some() })
    }
}

/// Where rows are shown, by their identities.
fn places<A: Access>(work: &Work<'_, A>, rows: &[(TableName, Key)]) -> Result<Vec<(TableName, Key)>> {
    let place = |(name, identity): &(TableName, Key)| match work.registry.tracked_by_name(name) {
        Some(table) => Ok((name.clone(), births::place_of(work, table, identity)?)),
        None => Ok((name.clone(), identity.clone())),
    };
    rows.iter().map(place).collect()
}

/// What takes back the changes of a row that are meant, as far as its table has the columns.
fn undone_row<A: Access>(work: &mut Work<'_, A>, undo: &Undo, name: &TableName, key: &Key) -> Result<Undone> {
    let nothing = Undone { undoing: Undoing::Nothing, kept: Vec::new() };
    let Some(table) = work.registry.tracked_by_name(name).cloned() else { return Ok(nothing) };
    let (_, state) = row_states::recall(work, table.number, key)?;
    let policy = work.standing()?.policies.current().table(name);
    let lineage = lineage(&state, policy, work.registry.column_names(table.number));
    let events = log::events_of_row(work.db, work.decoded, table.number, key)?;
    let events: Vec<_> = events.iter().map(|event| &**event).collect();
    let Undone { undoing, kept } = undone(&lineage, &events, |stamp| undo.means(name, stamp));
    let here: BTreeSet<&str> = table.schema.columns.iter().map(|column| &*column.name).collect();
    let of_here = |mut columns: BTreeMap<ColumnName, Value>| {
        columns.retain(|column, _| here.contains(&**column));
        columns
    };
    let undoing = match undoing {
        Undoing::Back(row) => Undoing::Back(of_here(row)),
        Undoing::Columns(columns) => {
            let columns = of_here(columns);
            if columns.is_empty() { Undoing::Nothing } else { Undoing::Columns(columns) }
        }
        other => other,
    };
    Ok(Undone { undoing, kept })
}

fn edit_of(table: &TableName, key: &Key, undoing: &Undoing) -> Option<Edit> {
    let values = match undoing {
        Undoing::Nothing => return None,
        Undoing::Gone => None,
        Undoing::Back(columns) | Undoing::Columns(columns) => {
            Some(columns.iter().map(|(column, value)| (column.clone(), Said::Value(value.clone()))).collect())
        }
    };
    Some(Edit { table: table.clone(), key: key.clone(), values, counted_anew: false })
}
