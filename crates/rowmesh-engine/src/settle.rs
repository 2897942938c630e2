//! Rows whose states are merged, on their way into their tables: show, write, check, remember; those that cannot be shown are parked. Takes nothing into
//! states, which is `apply`'s business, and decides no winner: `show` does, and `collisions` where several rows have a part in it.

use rowmesh_core::ident::Dot;
use rowmesh_core::ledger::ConflictType;
use rowmesh_core::row_state::Shown;
use rowmesh_core::scope::Decision;
use rowmesh_core::show::{self, Choice};
use rowmesh_core::value::{Key, Value};

use crate::apply::{Applied, Refused};
use crate::births;
use crate::border;
use crate::collisions;
use crate::database::Access;
use crate::fault::{Error, Result};
use crate::ledger_rows;
use crate::orphans;
use crate::passage::{Passage, Passages};
use crate::registry::{Table, TableNumber};
use crate::row_states;
use crate::work::{Work, shown_row};
use crate::write::{Outcome, RowWrite, add_key};

/// Writes what `show` chooses, parks what cannot be written, and remembers all of it.
pub fn settle<A: Access>(work: &mut Work<'_, A>, mut passages: Passages, applied: &mut Applied) -> Result<()> {
    births::settle_marked(work, &mut passages)?;
    births::put_all_right(work, &mut passages)?;
    let drawn_in: Vec<usize> = passages.take_loaded();
    let named = passages.rows.len();
    births::follow(work, &mut passages)?;
    for passage in passages.rows.iter_mut().filter(|passage| !passage.news.is_empty()) {
        work.remember_rows(passage.number, &passage.key, &mut passage.state)?;
    }
    orphans::judge_known(work, &mut passages)?;
    collisions::judge_known(work, &mut passages)?;
    follow_hidden(work, &mut passages)?;
    hold_drawn_in(work, &passages, drawn_in.into_iter().chain(named..passages.rows.len()))?;
    let done = write_all(work, &mut passages)?;
    let skipped_one = |(passage, done): (&Passage, &Done)| done.refused.is_some() && !passage.earlier.is_empty();
    if passages.rows.iter().zip(&done).any(skipped_one) {
        // What an earlier changeset left may well be shown.
        *work.one_by_one = true;
        return Err(Error::StartOver);
    }
    for (passage, done) in passages.rows.into_iter().zip(done) {
        remember(work, passage, done, applied)?;
    }
    Ok(())
}

/// What became of a row that was written, maybe several times; of a key that a row has left, nothing.
#[derive(Default)]
struct Done {
    /// As it was shown before, in the order of the table.
    before: Option<Vec<Value>>,
    /// As it stands now.
    stands: Option<Vec<Value>>,
    /// Whether anything had to be written.
    is_written: bool,
    /// Why it does not stand as it should.
    refused: Option<String>,
    /// Whether it cannot be written at all.
    is_impossible: bool,
}

/// How often rows are written anew because others have a unique value of theirs: each time something else of one of them is tried.
const ROUNDS_MAX: usize = 16;

/// Writes the rows; those that are refused because of a unique value show something else, or who has the value does.
fn write_all<A: Access>(work: &mut Work<'_, A>, passages: &mut Passages) -> Result<Vec<Done>> {
    let is_left =
        |passage: &Passage| passage.stands.is_none() && !passage.state.is_known() && !passage.state.is_shown();
    let mut done: Vec<Option<Done>> =
        passages.rows.iter().map(|passage| is_left(passage).then(Done::default)).collect();
    let mut turn: Vec<usize> = (0..passages.rows.len()).filter(|position| done[*position].is_none()).collect();
    for round in 1..=ROUNDS_MAX {
        done.resize_with(passages.rows.len(), || None);
        let mut writes = Vec::with_capacity(turn.len());
        for position in &turn {
            writes.push(plan_write(work, &passages.rows[*position])?);
        }
        if std::env::var("DBG").is_ok() {
            for (position, write) in turn.iter().zip(&writes) {
                let passage = &passages.rows[*position];
                println!(
                    "PLAN {:?} {} before {:?} after {:?} came {:?} kin {:?} dot {:?}",
                    passage.table.as_ref().map(|t| t.schema.name.clone()),
                    passage.key.to_display(),
                    write.before,
                    write.after,
                    passage.came_from,
                    passage.kin.as_ref().map(|k| (k.restored, k.hidden.clone())),
                    passage.dot.map(|d| d.seq)
                );
            }
        }
        let outcomes = work.db.write_rows(work.registry, &mut writes)?;
        for ((position, write), outcome) in turn.iter().zip(writes).zip(outcomes) {
            done[*position] = Some(Done::after(done[*position].take(), write, outcome));
        }
        let can_be_judged = |position: &usize| {
            done[*position].as_ref().is_some_and(|done| done.refused.is_some() && !done.is_impossible)
        };
        let refused: Vec<usize> = turn.iter().copied().filter(can_be_judged).collect();
        if refused.is_empty() || round == ROUNDS_MAX {
            break;
        }
        let known = passages.rows.len();
        let mut next = orphans::judge_refused(work, passages, &refused)?;
        next.extend(collisions::judge_refused(work, passages, &refused)?);
        if next.is_empty() && !passages.rows.iter().any(Passage::is_hidden) {
            break;
        }
        for (passage, done) in passages.rows.iter_mut().zip(&done) {
            passage.stands = done.as_ref().map(|done| done.stands.clone());
        }
        next.extend(follow_hidden(work, passages)?);
        if next.is_empty() && passages.rows.len() == known {
            break;
        }
        hold_drawn_in(work, passages, known..passages.rows.len())?;
        next.extend(refused);
        next.extend(known..passages.rows.len());
        turn = next.into_iter().collect();
    }
    done.into_iter().map(|done| done.ok_or_else(|| Error::inconsistent("a row that was never written"))).collect()
}

impl Done {
    /// After another attempt at a row. What is refused leaves it as it stood.
    fn after(earlier: Option<Done>, write: RowWrite, outcome: Outcome) -> Done {
        let is_impossible = write.impossible.is_some();
        let (before, was_written) = match earlier {
            Some(earlier) => (earlier.before, earlier.is_written),
            None => (write.before.clone(), false),
        };
        let (stands, is_written, refused) = match outcome {
            Outcome::Shown { row, written } => (row, written || was_written, None),
            Outcome::Parked { reason } => (write.before, was_written, Some(reason)),
        };
        Done { before, stands, is_written, refused, is_impossible }
    }
}

/// Rows that belong to one that leaves go with it, though nobody where it left knew of them; so do those that refer to one that is hidden. They come
/// back with it. Until then they are parked, as they are on nodes that hear of the leave first. Returns the positions of those that were written
/// already.
fn follow_hidden<A: Access>(work: &mut Work<'_, A>, passages: &mut Passages) -> Result<Vec<usize>> {
    let (mut position, mut written) = (0, Vec::new());
    while position < passages.rows.len() {
        let parent = &passages.rows[position];
        position += 1;
        let Some(table) = parent.table.clone() else { continue };
        let is_hidden = parent.is_hidden();
        if !is_hidden && parent.orphaned.is_none() && !parent.state.has_left() {
            continue;
        }
        let Some(row) = parent.stands_as(&table) else { continue };
        let name = format!("{} {}", table.schema.name, parent.key.to_display());
        let (reason, followers) = if is_hidden {
            (format!("it refers to {name}, which is hidden"), referring(work, &table, &row)?)
        } else {
            let owned = work.membership.owned(work.db, work.registry, &table, &row)?;
            (format!("it belongs to {name}, which left the scope"), owned)
        };
        for follower in followers {
            match passages.position(&follower) {
                None => follow(work, passages, follower, (&reason, is_hidden))?,
                // What it refers to is known once it is written.
                Some(child) if is_hidden && passages.rows[child].stands.is_some() => {
                    let follower = &mut passages.rows[child];
                    if follower.orphaned.is_none() {
                        (follower.orphaned, follower.goes_with_hidden) = (Some(reason.clone()), true);
                        written.push(child);
                        position = position.min(child);
                    }
                }
                Some(_) => {}
            }
        }
    }
    Ok(written)
}

fn follow<A: Access>(
    work: &Work<'_, A>,
    passages: &mut Passages,
    (number, key): (TableNumber, Key),
    (reason, goes_with_hidden): (&str, bool),
) -> Result<()> {
    let state = row_states::load(work.db, work.origins, number, &key)?;
    if state.is_shown() {
        let table = work.registry.tracked(number).cloned();
        let orphaned = Some(reason.to_owned());
        passages.push(Passage { orphaned, goes_with_hidden, ..Passage::of(table, number, key, None, state) });
    }
    Ok(())
}

/// The rows that refer to one by a foreign key.
fn referring<A: Access>(work: &Work<'_, A>, table: &Table, row: &[Value]) -> Result<Vec<(TableNumber, Key)>> {
    let mut found = Vec::new();
    for child in work.registry.referring_to(&table.schema.name) {
        for key in child.schema.foreign_keys.iter().filter(|key| key.parent == table.schema.name) {
            let meant = key.parent_columns.iter().map(|name| table.schema.column(name));
            let Some(meant) = meant.collect::<Option<Vec<usize>>>() else { continue };
            let values: Vec<Value> = meant.iter().map(|column| row[*column].clone()).collect();
            if values.iter().any(Value::is_null) {
                continue;
            }
            let columns: Vec<_> = key.columns.iter().map(|column| &child.schema.columns[*column].name).collect();
            for row in work.db.rows_where(&child.schema, &columns, &values, None)? {
                found.push((child.number, child.key_of(&row)));
            }
        }
    }
    Ok(found)
}

/// Keeps the application from changing rows that nobody knew of when rows were locked. What it wrote to them since everything was sealed is
/// sealed first by the next attempt.
fn hold_drawn_in<A: Access>(
    work: &mut Work<'_, A>,
    passages: &Passages,
    drawn_in: impl Iterator<Item = usize>,
) -> Result<()> {
    let drawn_in: Vec<&Passage> = drawn_in.map(|position| &passages.rows[position]).collect();
    let row = |passage: &&Passage| Some((passage.table.clone()?, passage.key.clone()));
    let rows: Vec<_> = drawn_in.iter().filter_map(row).collect();
    if rows.is_empty() {
        return Ok(());
    }
    work.drawn_in.extend(rows.iter().cloned());
    work.db.lock(&rows)?;
    work.db.expect(&rows)?;
    for (passage, (table, key)) in drawn_in.iter().filter(|passage| passage.table.is_some()).zip(&rows) {
        let values = key.values().map_err(|source| Error::damaged("a key", source))?;
        let stands = match work.db.read(table, &values)? {
            Some(row) => Some(work.membership.verdict(work.db, table, &row)?.travelling(&row)),
            None => None,
        };
        if stands != shown_row(table, key, &passage.state) && !work.db.noted(table, &values)?.is_empty() {
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
    let policy = work.standing()?.policies.current().table(&table.schema.name);
    let choice = show::show_row(&passage.state, policy, names, passage.is_restored());
    let before = passage.stands_as(table);
    let values = passage.key.values().map_err(|source| Error::damaged("a key", source))?;
    let after = match choice {
        _ if passage.hidden().is_some() => None,
        Choice::Absent => None,
        Choice::Present(_) if values.iter().any(|value| matches!(value, Value::Born(..))) => {
            return Ok(RowWrite::impossible("its number belongs to another row here".to_owned()));
        }
        Choice::Present(image) => {
            let here = births::in_places(work, table, image)?
                .into_iter()
                .filter_map(|(column, value)| Some((table.position(column)?, value)));
            let mut here: Vec<_> = here.collect();
            add_key(table, &values, &mut here);
            work.membership.cut_references(work.db, table, &mut here)?;
            show_otherwise(passage, &mut here);
            Some(here)
        }
    };
    Ok(RowWrite::new(table.clone(), passage.key.clone(), values, before, after))
}

/// Puts what a row shows where others keep what it claims, or what it refers to was deleted.
fn show_otherwise(passage: &Passage, here: &mut Vec<(usize, Value)>) {
    let yielding = passage.yielding.iter().flat_map(|yielding| yielding.columns.iter().cloned());
    let nulls = passage.kin.iter().flat_map(|kin| kin.nulls.iter().map(|column| (*column, Value::Null)));
    for (column, value) in yielding.chain(nulls) {
        match here.binary_search_by_key(&column, |(position, _)| *position) {
            Ok(place) => here[place].1 = value,
            Err(place) => here.insert(place, (column, value)),
        }
    }
}

fn remember<A: Access>(work: &mut Work<'_, A>, mut passage: Passage, done: Done, applied: &mut Applied) -> Result<()> {
    let Done { before, stands, is_written, refused, .. } = done;
    let (number, was_shown) = (passage.number, passage.state.is_shown());
    applied.rows_written += u64::from(is_written);
    if refused.is_none() || is_written {
        match (&passage.table, &stands) {
            (Some(table), Some(row)) => crate::work::remember_shown(table, &mut passage.state, row),
            _ => passage.state.shown = Shown::Absent,
        }
        if let Some(table) = &passage.table {
            work.db.replace_claims(table, &passage.key, before.as_deref(), stands.as_deref())?;
            border::note_if_owner_left(work, table, &passage.key, stands.as_deref())?;
        }
    }
    let is_refused = refused.is_some();
    match (refused, passage.hidden().cloned()) {
        // Nobody wrote that it stands: those that need it wait.
        (Some(_), None) if passage.is_restored() => {}
        (Some(reason), None) => park(work, &mut passage, &reason, applied)?,
        (None, None) if work.has_parked => work.db.release(number, &passage.key)?,
        (None, None) => {}
        (refused, Some(hidden)) => {
            let reason = refused.unwrap_or(hidden);
            applied.parked += work.park_all(number, &passage.key, &passage.state, &reason)?;
        }
    }
    remember_exceptions(work, &passage, is_refused, stands.as_deref())?;
    let Passage { key, place, state, news, yielding, kin, renumbered, .. } = passage;
    for news in news {
        work.refresh_ledger(number, &key, &state, news)?;
    }
    let told = [
        (ConflictType::Unique, yielding.map(|yielding| yielding.entries)),
        (ConflictType::ForeignKey, kin.map(|kin| kin.entries)),
    ];
    let identity = work.identity(number, &key, &state);
    for (kind, mut entries) in told.into_iter().filter_map(|(kind, entries)| Some((kind, entries?))) {
        entries.iter_mut().for_each(|entry| entry.id.key.clone_from(&identity));
        work.tell(number, &identity, kind, &entries)?;
    }
    work.conflicts += ledger_rows::save_earlier(work.db, work.origins, &renumbered, work.now)?;
    row_states::save_at(work, place, number, &key, &state, was_shown)
}

fn park<A: Access>(work: &mut Work<'_, A>, passage: &mut Passage, reason: &str, applied: &mut Applied) -> Result<()> {
    let (number, key, is_new) = (passage.number, &passage.key, passage.dot.is_some());
    let dots = match passage.dot {
        Some(dot) => std::mem::take(&mut passage.earlier).into_iter().chain([dot]).collect(),
        None => parked_dots(work, number, key)?,
    };
    if dots.is_empty() {
        let newest = passage.state.stamps().max().map(|stamp| stamp.dot);
        applied.refused.push(Refused { table: number, key: key.clone(), newest, reason: reason.to_owned() });
    }
    for dot in dots {
        work.park(number, key, dot, reason)?;
        applied.parked += u64::from(is_new);
    }
    Ok(())
}

/// Remembers which unique values a row claims and does not show, and which rows it waits for, where this stands for it.
fn remember_exceptions<A: Access>(
    work: &mut Work<'_, A>,
    passage: &Passage,
    is_refused: bool,
    stands: Option<&[Value]>,
) -> Result<()> {
    let Some(table) = &passage.table else { return Ok(()) };
    let is_judged = passage.yielding.is_some() || passage.kin.is_some();
    let is_odd = is_refused || is_judged || passage.is_odd || passage.orphaned.is_some();
    if !is_odd && !work.exceptions.of(work.db, table.number)?.has(&passage.key) {
        return Ok(());
    }
    let mut claims = collisions::not_shown(work, table, (&passage.key, &passage.state, passage.is_restored()), stands)?;
    claims.extend(passage.yielding.iter().flat_map(|yielding| &yielding.passed_over));
    claims.extend(passage.kin.iter().flat_map(|kin| &kin.ties));
    if stands.is_none() {
        claims.extend(orphans::ties_of_absent(work, table, &passage.key, &passage.state, passage.is_restored())?);
    }
    work.exceptions.set(work.db, table.number, &passage.key, claims)
}

fn parked_dots<A: Access>(work: &Work<'_, A>, number: TableNumber, key: &Key) -> Result<Vec<Dot>> {
    let parked = work.db.parked(Some((number, key)))?;
    parked.iter().map(|parked| work.origins.dot(parked.origin, parked.seq)).collect()
}
