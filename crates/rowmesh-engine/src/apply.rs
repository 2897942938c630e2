//! Takes changesets from elsewhere into row states and tables: merge, show, write, check, remember. Runs inside a transaction that
//! `engine` began and in which everything dirty has been sealed already. Decides no winner: `show` does.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rowmesh_core::changeset::Changeset;
use rowmesh_core::event::Event;
use rowmesh_core::ident::{Dot, Seq};
use rowmesh_core::row_state::{Arrival, ColumnIx, RowState, Shown};
use rowmesh_core::scope::Decision;
use rowmesh_core::show::{self, Choice};
use rowmesh_core::value::{Key, TableName};

use crate::border;
use crate::database::{Access, Place};
use crate::fault::{Error, Result};
use crate::log;
use crate::registry::{Table, TableNumber};
use crate::row_states;
use crate::scope::Arriving;
use crate::work::{News, Work, shown_row};
use crate::write::{Outcome, RowWrite, add_key};

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
    /// `None` where the table is not here, or stays at home.
    table: Option<Arc<Table>>,
}

/// A row on its way through merge, show and write.
struct Passage {
    table: Option<Arc<Table>>,
    number: TableNumber,
    key: Key,
    place: Option<Place>,
    state: RowState,
    /// The last changeset that wrote it, where any did, and those before that one.
    dot: Option<Dot>,
    earlier: Vec<Dot>,
    /// What the ledger has to be brought up to date with, if anything.
    news: Vec<News>,
    /// The row that it belongs to left the scope, and it has to go with it: why, for people.
    orphaned: Option<String>,
}

/// The rows of changesets, as far as their tables are here.
pub fn rows_of<A>(work: &Work<'_, A>, changesets: &[Changeset]) -> Vec<(Arc<Table>, Key)> {
    let events = changesets.iter().flat_map(|changeset| changeset.events().iter().map(move |event| (changeset, event)));
    let row = |(changeset, event): (&Changeset, &Event)| {
        let shape = changeset.shape(event);
        Some((work.registry.tracked_by_name(&shape.name)?.clone(), event.key(shape)))
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
        work.db.expect_states(&rows_of(work, changesets))?;
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
            settle(work, std::mem::take(&mut passages).rows, &mut applied)?;
        }
    }
    settle(work, passages.rows, &mut applied)?;
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

/// Rows that several changesets may write, in the order in which they were first written.
#[derive(Default)]
struct Passages {
    rows: Vec<Passage>,
    positions: HashMap<(TableNumber, Key), usize>,
}

/// Merges every event of a changeset and adds it to the log.
fn merge_changeset<A: Access>(work: &mut Work<'_, A>, changeset: &Changeset, passages: &mut Passages) -> Result<()> {
    let known = recognise(work, changeset)?;
    let mut rows = Vec::with_capacity(changeset.events().len());
    let mut followers = border::Followers::new();
    if work.membership.wants_arriving() {
        let table_of = |event: &Event| known[usize::from(event.table)].table.as_deref();
        work.membership.set_arriving(border::arriving(changeset, table_of));
    }
    for event in changeset.events() {
        let known = &known[usize::from(event.table)];
        let key = event.key(changeset.shape(event));
        rows.push((known.number, key.clone()));
        if !border::is_kept_out(work, known.table.as_deref(), changeset, event, &key, &mut followers)? {
            merge_event(changeset, event, known, passages.row(work, known, key)?);
        }
    }
    if work.membership.wants_arriving() {
        work.membership.set_arriving(Arriving::new());
    }
    log::append(work.db, work.origins, changeset, &rows, work.now)
}

impl Passages {
    /// A row as the changesets before have left it, or as it is remembered.
    fn row<A: Access>(&mut self, work: &Work<'_, A>, known: &Known, key: Key) -> Result<&mut Passage> {
        let position = match self.positions.entry((known.number, key)) {
            Entry::Occupied(position) => *position.get(),
            Entry::Vacant(new) => {
                let key = new.key().1.clone();
                let (place, mut state) = row_states::recall(work, known.number, &key)?;
                // What is shown must not follow the registers before the table does.
                row_states::pin_shown(&mut state);
                self.rows.push(Passage::of(known.table.clone(), known.number, key, place, state));
                *new.insert(self.rows.len() - 1)
            }
        };
        Ok(&mut self.rows[position])
    }
}

impl Passage {
    fn of(table: Option<Arc<Table>>, number: TableNumber, key: Key, place: Option<Place>, state: RowState) -> Passage {
        Passage { table, number, key, place, state, dot: None, earlier: Vec::new(), news: Vec::new(), orphaned: None }
    }
}

/// Tries again to show rows that have something parked. Returns how many rows still have.
pub fn retry_parked<A: Access>(work: &mut Work<'_, A>) -> Result<u64> {
    let mut passages = Vec::new();
    for (number, key) in work.db.parked_rows()? {
        let state = row_states::load(work.db, work.origins, number, &key)?;
        passages.push(Passage::of(table_of(work, number)?, number, key, None, state));
    }
    settle(work, passages, &mut Applied::default())?;
    Ok(work.db.parked_rows()?.len() as u64)
}

/// Shows rows again whose states tell something else than when they were shown, and brings the ledger up to date with them. Returns those that the
/// database refuses: they show what they showed before.
pub fn show_anew<A: Access>(work: &mut Work<'_, A>, rows: &[(TableNumber, Key)]) -> Result<Vec<Refused>> {
    let mut passages = Vec::with_capacity(rows.len());
    for (number, key) in rows {
        let (place, mut state) = row_states::recall(work, *number, key)?;
        row_states::pin_shown(&mut state);
        let news = vec![News::Everything];
        passages.push(Passage { news, ..Passage::of(table_of(work, *number)?, *number, key.clone(), place, state) });
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
        let table = table_of(work, number)?;
        known.push(Known { number, name: shape.name.clone(), columns, table });
    }
    Ok(known)
}

/// The table that rows are shown in; `None` where it is not here, or stays at home.
fn table_of<A: Access>(work: &Work<'_, A>, number: TableNumber) -> Result<Option<Arc<Table>>> {
    let Some(table) = work.registry.tracked(number) else { return Ok(None) };
    let travels = matches!(work.standing()?.scope.tables.decide(&table.schema.name), Decision::Sync);
    Ok(travels.then(|| table.clone()))
}

fn merge_event(changeset: &Changeset, event: &Event, known: &Known, row: &mut Passage) {
    let (was_contested, lived) = (row.state.is_contested(), !row.state.live.is_empty());
    let arrival = Arrival {
        event,
        dot: changeset.dot(),
        context: &changeset.header().context,
        table: &known.name,
        key: &row.key,
        columns: &known.columns,
    };
    let merged = row.state.merge(&arrival);
    row.earlier.extend(row.dot.replace(changeset.dot()));
    if was_contested || merged.concurrent || row.state.is_contested() {
        row.news.push(News::of(changeset, event, lived, !row.state.live.is_empty()));
    }
}

/// Writes what `show` chooses, parks what cannot be written, and remembers all of it.
fn settle<A: Access>(work: &mut Work<'_, A>, mut passages: Vec<Passage>, applied: &mut Applied) -> Result<()> {
    let named = passages.len();
    follow_leaves(work, &mut passages)?;
    hold_orphans(work, &passages[named..])?;
    let mut writes = Vec::with_capacity(passages.len());
    for passage in &mut passages {
        if !passage.news.is_empty() {
            work.remember_rows(passage.number, &passage.key, &mut passage.state)?;
        }
        writes.push(plan_write(work, passage)?);
    }
    let outcomes = work.db.write_rows(work.registry, &mut writes)?;
    let skipped_one = |(passage, outcome): (&Passage, &Outcome)| {
        matches!(outcome, Outcome::Parked { .. }) && !passage.earlier.is_empty()
    };
    if passages.iter().zip(&outcomes).any(skipped_one) {
        // What an earlier changeset left may well be shown.
        *work.one_by_one = true;
        return Err(Error::StartOver);
    }
    for ((passage, write), outcome) in passages.into_iter().zip(writes).zip(outcomes) {
        remember(work, passage, &write, &outcome, applied)?;
    }
    Ok(())
}

/// Rows that belong to one that leaves go with it, though nobody where it left knew of them; they come back with it. Until then they are
/// parked, as they are on nodes that hear of the leave first.
fn follow_leaves<A: Access>(work: &mut Work<'_, A>, passages: &mut Vec<Passage>) -> Result<()> {
    let mut known: HashSet<(TableNumber, Key)> = HashSet::new();
    let mut position = 0;
    while position < passages.len() {
        let parent = &passages[position];
        position += 1;
        let goes = parent.orphaned.is_some() || parent.state.has_left();
        let (true, Some(table)) = (goes, parent.table.clone()) else { continue };
        let Some(row) = shown_row(&table, &parent.key, &parent.state) else { continue };
        if known.is_empty() {
            known.extend(passages.iter().map(|passage| (passage.number, passage.key.clone())));
        }
        let reason = format!(
            "it belongs to {} {}, which left the scope",
            table.schema.name,
            passages[position - 1].key.to_display()
        );
        for (number, key) in work.membership.owned(work.db, work.registry, &table, &row)? {
            let state = row_states::load(work.db, work.origins, number, &key)?;
            if state.is_shown() && known.insert((number, key.clone())) {
                let table = work.registry.tracked(number).cloned();
                let orphaned = Some(reason.clone());
                passages.push(Passage { orphaned, ..Passage::of(table, number, key, None, state) });
            }
        }
    }
    Ok(())
}

/// Keeps the application from changing rows that nobody knew of when rows were locked. What it wrote to them since everything was sealed is
/// sealed first by the next attempt.
fn hold_orphans<A: Access>(work: &mut Work<'_, A>, orphans: &[Passage]) -> Result<()> {
    let row = |orphan: &Passage| Some((orphan.table.clone()?, orphan.key.clone()));
    let rows: Vec<_> = orphans.iter().filter_map(row).collect();
    if rows.is_empty() {
        return Ok(());
    }
    work.db.lock(&rows)?;
    work.db.expect(&rows)?;
    for (orphan, (table, key)) in orphans.iter().filter(|orphan| orphan.table.is_some()).zip(&rows) {
        let values = key.values().map_err(|source| Error::damaged("a key", source))?;
        let stands = match work.db.read(table, &values)? {
            Some(row) => Some(work.membership.verdict(work.db, table, &row)?.travelling(&row)),
            None => None,
        };
        if stands != shown_row(table, key, &orphan.state) && !work.db.noted(table, &values)?.is_empty() {
            return Err(Error::StartOver);
        }
    }
    Ok(())
}

/// What has to happen to the table so that it shows what the state says.
fn plan_write<A: Access>(work: &mut Work<'_, A>, passage: &Passage) -> Result<RowWrite> {
    let Some(table) = &passage.table else {
        let name = work.registry.name(passage.number).map_or("?", |name| name);
        let travels = matches!(work.standing()?.scope.tables.decide(name), Decision::Sync);
        return Ok(RowWrite::impossible(match travels {
            true => format!("there is no table \"{name}\" here yet"),
            false => format!("table \"{name}\" stays at home"),
        }));
    };
    let names = work.registry.column_names(passage.number);
    let choice = show::show(&passage.state, work.standing()?.policies.current().table(&table.schema.name), names);
    let before = shown_row(table, &passage.key, &passage.state);
    let values = passage.key.values().map_err(|source| Error::damaged("a key", source))?;
    let after = match choice {
        _ if passage.orphaned.is_some() => None,
        Choice::Absent => None,
        Choice::Present(image) => {
            let here = image.into_iter().filter_map(|(column, value)| Some((table.position(column)?, value)));
            let mut here: Vec<_> = here.collect();
            add_key(table, &values, &mut here);
            work.membership.cut_references(work.db, table, &mut here)?;
            Some(here)
        }
    };
    Ok(RowWrite::new(table.clone(), passage.key.clone(), values, before, after))
}

fn remember<A: Access>(
    work: &mut Work<'_, A>,
    passage: Passage,
    write: &RowWrite,
    outcome: &Outcome,
    applied: &mut Applied,
) -> Result<()> {
    let Passage { table, number, key, place, mut state, dot, earlier, news, orphaned } = passage;
    let was_shown = state.is_shown();
    match outcome {
        Outcome::Shown { row, written } => {
            applied.rows_written += u64::from(*written);
            match (&table, row) {
                (Some(table), Some(row)) => crate::work::remember_shown(table, &mut state, row),
                _ => state.shown = Shown::Absent,
            }
            match &orphaned {
                Some(reason) => applied.parked += work.park_all(number, &key, &state, reason)?,
                None if work.has_parked => work.db.release(number, &key)?,
                None => {}
            }
            if let Some(table) = &table {
                work.db.replace_claims(table, &key, write.before.as_deref(), row.as_deref())?;
                border::note_if_owner_left(work, table, &key, row.as_deref())?;
            }
        }
        Outcome::Parked { reason } if orphaned.is_some() => {
            applied.parked += work.park_all(number, &key, &state, reason)?;
        }
        Outcome::Parked { reason } => {
            let is_new = dot.is_some();
            let dots = if is_new { earlier.into_iter().chain(dot).collect() } else { parked_dots(work, number, &key)? };
            if dots.is_empty() {
                let newest = state.stamps().max().map(|stamp| stamp.dot);
                applied.refused.push(Refused { table: number, key: key.clone(), newest, reason: reason.clone() });
            }
            for dot in dots {
                work.park(number, &key, dot, reason)?;
                applied.parked += u64::from(is_new);
            }
        }
    }
    for news in news {
        work.refresh_ledger(number, &key, &state, news)?;
    }
    row_states::save_at(work, place, number, &key, &state, was_shown)
}

fn parked_dots<A: Access>(work: &Work<'_, A>, number: TableNumber, key: &Key) -> Result<Vec<Dot>> {
    let parked = work.db.parked(Some((number, key)))?;
    parked.iter().map(|parked| work.origins.dot(parked.origin, parked.seq)).collect()
}
