//! Takes changesets from elsewhere into row states. Runs inside a transaction that
//! `engine` began and in which everything dirty has been sealed already. Decides no winner: `show` does.

use std::sync::Arc;

use rowmesh_core::changeset::Changeset;
use rowmesh_core::event::{Birth, Event, Operation};
use rowmesh_core::ident::{Dot, Seq};
use rowmesh_core::row_state::{Arrival, ColumnIx, Stamp};
use rowmesh_core::value::{Key, TableName};

use crate::births::{self, Newborn};
use crate::border;
use crate::database::Access;
use crate::fault::Result;
use crate::log;
use crate::passage::{Passage, Passages, shown_in};
use crate::registry::{Table, TableNumber};
use crate::row_states;
use crate::scope::Arriving;
use crate::settle::settle;
use crate::work::{News, Work};

/// What taking in changesets did.
#[derive(Debug, Default)]
pub struct Applied {
    /// Changesets that are taken in now, those that were before included.
    pub changesets: usize,
    /// Events of those that were not.
    pub events: u64,
    /// Rows written to or deleted from tables.
    pub rows_written: u64,
    /// Events that are parked now because of it.
    pub parked: u64,
    /// Rows that were to be shown anew, without any event, and cannot be.
    pub refused: Vec<Refused>,
}

/// A row that shows something else than its state tells, because the database takes nothing else. No event of it is parked: whoever edits it has
/// seen what it shows.
#[derive(Debug)]
pub struct Refused {
    /// Its table.
    pub table: TableNumber,
    /// Its key.
    pub key: Key,
    /// The changeset of the newest write in it.
    pub newest: Option<Dot>,
    /// What stands in the way.
    pub reason: String,
}

/// A table of a changeset as this node knows it.
struct Known {
    number: TableNumber,
    name: TableName,
    columns: Vec<ColumnIx>,
    /// Those of its key.
    key: Vec<ColumnIx>,
    /// `None` where the table is not here, or stays at home.
    table: Option<Arc<Table>>,
}

/// The rows of changesets, as far as their tables are here.
pub fn rows_of<A: Access>(work: &Work<'_, A>, changesets: &[Changeset]) -> Result<Vec<(Arc<Table>, Key)>> {
    let events = changesets.iter().flat_map(|changeset| changeset.events().iter().map(move |event| (changeset, event)));
    let row = |(changeset, event): (&Changeset, &Event)| {
        let shape = changeset.shape(event);
        let table = work.registry.tracked_by_name(&shape.name)?.clone();
        let place = births::place_of(work, &table, &event.key(shape));
        Some(place.map(|place| (table, place)))
    };
    events.filter_map(row).collect()
}

/// Those of these rows whose tables are here.
pub fn tracked<A>(work: &Work<'_, A>, rows: Vec<(TableNumber, Key)>) -> Vec<(Arc<Table>, Key)> {
    rows.into_iter().filter_map(|(number, key)| Some((work.registry.tracked(number)?.clone(), key))).collect()
}

/// The first of these changesets that hold so many rows together, one at least.
pub fn first_of(changesets: &[Changeset], rows_max: usize) -> &[Changeset] {
    let mut rows = 0;
    let is_over = |changeset: &Changeset| {
        rows += changeset.events().len();
        rows > rows_max
    };
    let count = changesets.iter().position(is_over).unwrap_or(changesets.len());
    &changesets[..count.max(1).min(changesets.len())]
}

/// Takes in changesets, each whole, up to the first that comes too early. They are shown together: what the first of them wrote and a later
/// one changed again is written once. Where rows are judged by others that stand, or where that has met a row which cannot be shown as the last
/// one left it, a changeset is shown before the next is looked at.
pub fn take_in<A: Access>(work: &mut Work<'_, A>, changesets: &[Changeset]) -> Result<Applied> {
    if A::IS_REMOTE {
        work.db.expect_states(&rows_of(work, changesets)?)?;
    }
    let mut applied = Applied::default();
    let mut passages = Passages::default();
    for changeset in changesets {
        match fits(work, changeset) {
            Fit::Known => {}
            Fit::TooEarly => break,
            Fit::Next => {
                merge_changeset(work, changeset, &mut passages)?;
                applied.events += changeset.events().len() as u64;
            }
        }
        applied.changesets += 1;
        if *work.one_by_one || work.membership.has_filters() {
            settle(work, std::mem::take(&mut passages), &mut applied)?;
        }
    }
    settle(work, passages, &mut applied)?;
    Ok(applied)
}

enum Fit {
    Known,
    Next,
    TooEarly,
}

/// Whether a changeset is the next of its origin here, with everything there that it has seen.
fn fits<A>(work: &Work<'_, A>, changeset: &Changeset) -> Fit {
    let dot = changeset.dot();
    let known = work.origins.get(&dot.origin).map_or(Seq(0), |known| known.seq);
    if known >= dot.seq {
        Fit::Known
    } else if known.next() == dot.seq && work.origins.vector().includes(&changeset.header().context.vector) {
        Fit::Next
    } else {
        Fit::TooEarly
    }
}

/// Merges every event of a changeset and adds it to the log.
fn merge_changeset<A: Access>(work: &mut Work<'_, A>, changeset: &Changeset, passages: &mut Passages) -> Result<()> {
    let known = recognise(work, changeset)?;
    let mut rows = Vec::with_capacity(changeset.events().len());
    let mut followers = border::Followers::new();
    if work.membership.wants_arriving() {
        let table_of = |event: &Event| known[usize::from(event.table)].table.as_deref();
        let arriving = border::arriving(work, changeset, table_of)?;
        work.membership.set_arriving(arriving);
    }
    for event in changeset.events() {
        let known = &known[usize::from(event.table)];
        let identity = event.key(changeset.shape(event));
        if !border::is_kept_out(work, known.table.as_deref(), changeset, event, &identity, &mut followers)? {
            let born = Stamp { lamport: event.lamport, dot: changeset.dot() };
            let is_birth = event.operation == Operation::Insert && event.birth == Birth::Here;
            let newborn = || Newborn { born, context: Some(changeset.header().context.clone()) };
            let newborn = is_birth.then_some(newborn);
            let place = births::come_to(work, passages, known.number, &identity, &known.key, newborn)?;
            merge_event(changeset, event, known, (&identity, passages.row(work, (known.number, place))?));
        }
        rows.push((known.number, identity));
    }
    // Later events may have sent rows of earlier ones elsewhere.
    for (number, key) in &mut rows {
        let place = match passages.place(*number, key) {
            Some(place) => place.clone(),
            None => place_here(work, *number, key)?,
        };
        *key = place;
    }
    if work.membership.wants_arriving() {
        work.membership.set_arriving(Arriving::new());
    }
    log::append(work.db, work.origins, changeset, &rows, work.now)
}

/// Tries again to show rows that have something parked. Returns how many rows still have, and whether anything is otherwise than before.
pub fn retry_parked<A: Access>(work: &mut Work<'_, A>) -> Result<(u64, bool)> {
    let (mut passages, mut applied) = (Passages::default(), Applied::default());
    let rows = work.db.parked_rows()?;
    let before = rows.len();
    for (number, key) in rows {
        let state = row_states::load(work.db, work.origins, number, &key)?;
        passages.push(Passage::of(shown_in(work, number)?, number, key, None, state));
    }
    settle(work, passages, &mut applied)?;
    let left = work.db.parked_rows()?.len();
    Ok((left as u64, left != before || applied.rows_written > 0 || work.exceptions.has_changed))
}

/// Shows rows again whose states tell something else than when they were shown, and brings the ledger up to date with them. Returns those that the
/// database refuses: they show what they showed before.
pub fn show_anew<A: Access>(work: &mut Work<'_, A>, rows: &[(TableNumber, Key)]) -> Result<Vec<Refused>> {
    let mut passages = Passages::default();
    for (number, key) in rows {
        let (place, mut state) = row_states::recall(work, *number, key)?;
        row_states::pin_shown(&mut state);
        let news = vec![News::Everything];
        passages.push(Passage { news, ..Passage::of(shown_in(work, *number)?, *number, key.clone(), place, state) });
    }
    let mut applied = Applied::default();
    settle(work, passages, &mut applied)?;
    Ok(applied.refused)
}

/// Numbers the changeset's tables and columns; those unknown here get numbers too, so that their rows are remembered until they exist. So are
/// those of a table that stays at home: whoever sealed them had not heard of that yet, and it may travel again.
fn recognise<A: Access>(work: &mut Work<'_, A>, changeset: &Changeset) -> Result<Vec<Known>> {
    let mut known = Vec::with_capacity(changeset.shapes().len());
    for shape in changeset.shapes() {
        let number = work.registry.table_number(work.db, &shape.name)?;
        let columns = (shape.columns.iter())
            .map(|name| work.registry.column_number(work.db, number, name))
            .collect::<Result<Vec<_>>>()?;
        let table = shown_in(work, number)?;
        let key = shape.key.iter().map(|column| columns[usize::from(*column)]).collect();
        known.push(Known { number, name: shape.name.clone(), columns, key, table });
    }
    Ok(known)
}

/// Where a row is that was not taken in, or has no numbers in its key.
fn place_here<A: Access>(work: &Work<'_, A>, number: TableNumber, identity: &Key) -> Result<Key> {
    work.registry.tracked(number).map_or_else(|| Ok(identity.clone()), |table| births::place_of(work, table, identity))
}

fn merge_event(changeset: &Changeset, event: &Event, known: &Known, (identity, row): (&Key, &mut Passage)) {
    let (was_contested, lived) = (row.state.is_contested(), !row.state.live.is_empty());
    let arrival = Arrival {
        event,
        dot: changeset.dot(),
        context: &changeset.header().context,
        table: &known.name,
        key: identity,
        columns: &known.columns,
    };
    let merged = row.state.merge(&arrival);
    row.earlier.extend(row.dot.replace(changeset.dot()));
    if was_contested || merged.concurrent || row.state.is_contested() {
        row.news.push(News::of(changeset, event, lived, !row.state.live.is_empty()));
    }
}
