//! Rows whose keys are numbers that databases handed out: several nodes give one number to different rows. Under which key each is shown, which of them a
//! number means that stands in a table, and what moves when a row has to give its number to another. Who gives way is told by
//! `rowmesh_core::births`; writing the rows is `settle`'s business.
//!
//! A row's *identity* is its key as events name it: the number with the mark of its birth. Its *place* is the key under which it is shown here, and by
//! which everything that is remembered of it is found.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rowmesh_core::births;
use rowmesh_core::clock::Lamport;
use rowmesh_core::event::Context;
use rowmesh_core::ledger::{ConflictType, Entry, EntryId, Left};
use rowmesh_core::orphans::tie;
use rowmesh_core::policy::Strategy;
use rowmesh_core::row_state::{ColumnIx, RowState, Stamp};
use rowmesh_core::unique::{self, Claim};
use rowmesh_core::value::{Birthmark, ColumnName, Key, TableName, Value};

use crate::database::Access;
use crate::fault::{Error, Result};
use crate::log;
use crate::passage::{Passage, Passages};
use crate::registry::{Table, TableNumber};
use crate::row_states;
use crate::work::{Work, shown_row};

/// An insert that makes a row.
#[derive(Clone)]
pub struct Newborn {
    /// When it happened.
    pub born: Stamp,
    /// What its maker knew; everything, where nobody remembers.
    pub context: Option<Context>,
}

/// Where rows are shown.
pub struct Places<'p, A> {
    /// The database.
    pub db: &'p A,
    /// Tables in which rows may be shown under other numbers than their own.
    pub lost_numbers: &'p BTreeSet<TableNumber>,
}

impl<A: Access> Places<'_, A> {
    /// The key under which a row is shown.
    pub fn of(&self, table: &Table, identity: &Key) -> Result<Key> {
        if !table.has_numbers_in_key() {
            return Ok(plain(identity)?.unwrap_or_else(|| identity.clone()));
        }
        let parts = values(identity)?;
        let places = table.schema.key.iter().zip(&parts).map(|(column, part)| self.in_column(table, *column, part));
        Ok(Key::of(&places.collect::<Result<Vec<_>>>()?))
    }

    /// What a column shows of a value that was written to it.
    pub fn in_column(&self, table: &Table, column: usize, value: &Value) -> Result<Value> {
        match table.meaning.get(column).copied().flatten() {
            Some(of) if !value.is_null() && self.lost_numbers.contains(&of) => {
                let place = self.db.derived_place(of, &Key::of([value]))?;
                let moved = place.map(|place| values(&place)).transpose()?.and_then(|mut parts| parts.pop());
                Ok(moved.unwrap_or_else(|| value.clone().into_plain()))
            }
            _ => Ok(value.clone().into_plain()),
        }
    }

    /// The same of values by the names of their columns.
    pub fn in_named(&self, table: &Table, name: &str, value: &mut Value) -> Result<()> {
        *value = match table.schema.column(name) {
            Some(column) => self.in_column(table, column, value)?,
            None => value.clone().into_plain(),
        };
        Ok(())
    }
}

/// The key under which a row is shown.
pub fn place_of<A: Access>(work: &Work<'_, A>, table: &Table, identity: &Key) -> Result<Key> {
    work.places().of(table, identity)
}

/// What a column shows of a value that was written to it.
pub fn in_place<A: Access>(work: &Work<'_, A>, table: &Table, column: usize, value: &Value) -> Result<Value> {
    work.places().in_column(table, column, value)
}

/// What was written to a row, as its table shows it.
pub fn in_places<A: Access>(
    work: &Work<'_, A>,
    table: &Table,
    mut image: Vec<(ColumnIx, Value)>,
) -> Result<Vec<(ColumnIx, Value)>> {
    for (column, value) in &mut image {
        let position = table.position(*column).filter(|position| table.meaning[*position].is_some());
        let shown = match position {
            Some(position) => in_place(work, table, position, value)?,
            None if matches!(value, Value::Born(..)) => value.clone().into_plain(),
            None => continue,
        };
        *value = shown;
    }
    Ok(image)
}

/// A row in the order of its table as that shows it.
pub fn row_in_places<A: Access>(work: &Work<'_, A>, table: &Table, row: &mut [Value]) -> Result<()> {
    for (column, value) in row.iter_mut().enumerate() {
        if table.meaning[column].is_some() || matches!(value, Value::Born(..)) {
            *value = in_place(work, table, column, value)?;
        }
    }
    Ok(())
}

/// A key without marks; none where it has none.
fn plain(identity: &Key) -> Result<Option<Key>> {
    let parts = values(identity)?;
    let is_marked = parts.iter().any(|part| matches!(part, Value::Born(..)));
    Ok(is_marked.then(|| Key::of(&parts.into_iter().map(Value::into_plain).collect::<Vec<_>>())))
}

fn values(key: &Key) -> Result<Vec<Value>> {
    key.values().map_err(|source| Error::damaged("a key", source))
}

fn number_of(identity: &Key) -> Result<Option<i64>> {
    Ok(match values(identity)?[..] {
        [Value::Integer(number) | Value::Born(number, _)] => Some(number),
        _ => None,
    })
}

/// Where an event's row is remembered, or is to be: an insert may set other rows on their way, which give up the key that it takes. `columns` are those of
/// its key.
pub fn come_to<A: Access>(
    work: &mut Work<'_, A>,
    passages: &mut Passages,
    number: TableNumber,
    identity: &Key,
    columns: &[ColumnIx],
    newborn: Option<impl FnOnce() -> Newborn>,
) -> Result<Key> {
    if let Some(place) = passages.place(number, identity).filter(|_| newborn.is_none()) {
        return Ok(place.clone());
    }
    let Some(table) = work.registry.tracked(number).cloned() else {
        return while_away(work, number, identity, columns);
    };
    let plain = plain(identity)?;
    if plain.is_none() && !table.has_numbers_in_key() {
        return Ok(identity.clone());
    }
    find_misplaced(work, passages, &table, (identity, plain.as_ref()))?;
    let mut place = place_of(work, &table, identity)?;
    let holder = passages.load(work, (number, place.clone()))?;
    let holder = identity_of(&table, &passages.rows[holder].state, &place);
    let is_other = holder.as_ref().is_some_and(|holder| holder != identity);
    if table.is_numbered() {
        let own = number_of(identity)?.ok_or_else(|| Error::inconsistent("a number that is none"))?;
        match newborn {
            Some(newborn) if is_other || work.lost_numbers.contains(&number) => {
                take_number(work, passages, &table, own, (identity, None), &newborn())?;
                place = place_of(work, &table, identity)?;
            }
            _ => {}
        }
    } else if is_other && put_right(work, passages, (number, &place))? == place {
        // Only where tables differ from node to node: it waits until they do not.
        place = identity.clone();
    }
    passages.note_place(number, identity, &place);
    Ok(place)
}

/// Where a row is remembered whose table is not here: under its identity, unless it was remembered before the table went.
fn while_away<A: Access>(work: &Work<'_, A>, number: TableNumber, identity: &Key, columns: &[ColumnIx]) -> Result<Key> {
    let Some(plain) = plain(identity)? else { return Ok(identity.clone()) };
    let places = [work.db.derived_place(number, identity)?, Some(plain)];
    for place in places.into_iter().flatten() {
        let state = row_states::load(work.db, work.origins, number, &place)?;
        if state.is_known() && state.identity(columns, &place) == *identity {
            return Ok(place);
        }
    }
    Ok(identity.clone())
}

/// The identity of the row that is remembered at a place, if any is.
fn identity_of(table: &Table, state: &RowState, place: &Key) -> Option<Key> {
    state.is_known().then(|| state.identity(&table.key_columns(), place))
}

/// A row may be remembered where it was shown before what it refers to moved, or before its table was here.
fn find_misplaced<A: Access>(
    work: &mut Work<'_, A>,
    passages: &mut Passages,
    table: &Arc<Table>,
    (identity, plain): (&Key, Option<&Key>),
) -> Result<()> {
    let place = place_of(work, table, identity)?;
    // What came while the table was not here waits for it.
    let while_away = work.has_parked.then_some(identity);
    for other in plain.into_iter().chain(while_away).filter(|other| **other != place) {
        let state = match passages.position(&(table.number, other.clone())) {
            Some(position) => passages.rows[position].state.clone(),
            None => row_states::load(work.db, work.origins, table.number, other)?,
        };
        if identity_of(table, &state, other).as_ref() == Some(identity) {
            return put_right(work, passages, (table.number, other)).map(drop);
        }
    }
    Ok(())
}

/// Moves a row that is remembered at a place which is not its own any more. Returns where it is now.
pub fn put_right<A: Access>(
    work: &mut Work<'_, A>,
    passages: &mut Passages,
    (number, place): (TableNumber, &Key),
) -> Result<Key> {
    let Some(table) = work.registry.tracked(number).filter(|table| table.has_numbers_in_key()).cloned() else {
        return Ok(place.clone());
    };
    let position = passages.load(work, (number, place.clone()))?;
    let Some(identity) = identity_of(&table, &passages.rows[position].state, place) else { return Ok(place.clone()) };
    let own = place_of(work, &table, &identity)?;
    if own == *place {
        return Ok(own);
    }
    if table.is_numbered() {
        // It came while the table was not here, so nobody has asked yet whose the number is.
        let number = number_of(&identity)?.ok_or_else(|| Error::inconsistent("a number that is none"))?;
        for newborn in births_at(work, passages, (&table, place))? {
            let from = Some(place).filter(|place| **place == identity);
            take_number(work, passages, &table, number, (&identity, from), &newborn)?;
        }
        return place_of(work, &table, &identity);
    }
    let there = passages.load(work, (number, own.clone()))?;
    if passages.rows[there].state.is_known() && put_right(work, passages, (number, &own))? == own {
        return Ok(place.clone());
    }
    relocate(work, passages, &table, place, &own)?;
    Ok(own)
}

/// Asks of a birth who keeps the number that it was given, and moves those that lose it. The row is remembered `from` there if it came while nobody could ask.
fn take_number<A: Access>(
    work: &mut Work<'_, A>,
    passages: &mut Passages,
    table: &Arc<Table>,
    number: i64,
    (identity, from): (&Key, Option<&Key>),
    newborn: &Newborn,
) -> Result<()> {
    let plain = Key::of([&Value::Integer(number)]);
    give_up_derived(work, passages, table, &plain)?;
    let mut rivals = given(work, passages, table, number)?;
    let (mut is_lost, mut lost_to) = (false, None);
    for rival in rivals.iter_mut().filter(|rival| rival.identity != *identity) {
        for born in &rival.births {
            // Had a later one seen it, it would have come here before that.
            let saw = *born < newborn.born && sees(newborn, table, (&rival.identity, born));
            rival.is_lost |= !births::keeps(born, &newborn.born, saw);
            if !births::keeps(&newborn.born, born, saw) {
                is_lost = true;
                if !saw {
                    lost_to = lost_to.min(Some(*born)).or(Some(*born));
                }
            }
            if newborn.born < *born {
                rival.entries.push(lost(table, number, (&rival.identity, born), &newborn.born));
            }
        }
    }
    let own = rivals.iter().position(|rival| rival.identity == *identity);
    let own = own.unwrap_or_else(|| {
        let place = from.cloned();
        rivals.push(Given { identity: identity.clone(), place, ..Given::default() });
        rivals.len() - 1
    });
    rivals[own].is_lost |= is_lost;
    rivals[own].births.push(newborn.born);
    rivals[own].entries.extend(lost_to.map(|to| lost(table, number, (identity, &newborn.born), &to)));
    move_losers(work, passages, table, number, &rivals)
}

/// A row that was given a number.
#[derive(Default)]
struct Given {
    identity: Key,
    births: Vec<Stamp>,
    /// Where it is remembered; none if it is new.
    place: Option<Key>,
    /// Whether it gives way to another.
    is_lost: bool,
    entries: Vec<Entry>,
}

fn sees(newborn: &Newborn, table: &Table, (identity, born): (&Key, &Stamp)) -> bool {
    newborn.context.as_ref().is_none_or(|context| context.sees(&born.dot, &table.schema.name, identity))
}

/// All rows that are known to have been given a number.
fn given<A: Access>(
    work: &mut Work<'_, A>,
    passages: &mut Passages,
    table: &Arc<Table>,
    number: i64,
) -> Result<Vec<Given>> {
    let plain = Key::of([&Value::Integer(number)]);
    let mut found = Vec::new();
    if work.lost_numbers.contains(&table.number) {
        found = work.db.lost_number(table.number, number)?;
    }
    let holder = passages.load(work, (table.number, plain.clone()))?;
    let holder = identity_of(table, &passages.rows[holder].state, &plain);
    found.extend(holder.map(|identity| (identity, plain.clone())));
    let mut given = Vec::with_capacity(found.len() + 1);
    for (identity, place) in found {
        let position = passages.load(work, (table.number, place.clone()))?;
        let births = passages.rows[position].state.births.clone();
        let is_lost = place != plain;
        given.push(Given { identity, births, place: Some(place), is_lost, entries: Vec::new() });
    }
    Ok(given)
}

/// The births of a row that is remembered at a place.
fn births_at<A: Access>(
    work: &mut Work<'_, A>,
    passages: &mut Passages,
    (table, place): (&Table, &Key),
) -> Result<Vec<Newborn>> {
    let position = passages.load(work, (table.number, place.clone()))?;
    let births = passages.rows[position].state.births.clone();
    let mut newborns = Vec::with_capacity(births.len());
    for born in births {
        let event = log::event_of(work.db, work.origins, work.decoded, table.number, place, &born.dot)?;
        newborns.push(Newborn { born, context: event.map(|event| event.context.clone()) });
    }
    Ok(newborns)
}

/// Those that lose their number leave it, then who keeps it comes to it.
fn move_losers<A: Access>(
    work: &mut Work<'_, A>,
    passages: &mut Passages,
    table: &Arc<Table>,
    number: i64,
    rivals: &[Given],
) -> Result<()> {
    let plain = Key::of([&Value::Integer(number)]);
    for rival in rivals.iter().filter(|rival| rival.is_lost) {
        let known = work.db.derived_place(table.number, &rival.identity)?;
        if known.is_some() && known == rival.place {
            continue;
        }
        let row = (&rival.identity, rival.births.iter().min().copied());
        let place = next_free(work, passages, table, row, (None, true))?;
        if let Some(from) = &rival.place {
            relocate(work, passages, table, from, &place)?;
        }
        set_place(work, table, number, &rival.identity, Some(&place))?;
        passages.note_place(table.number, &rival.identity, &place);
    }
    for rival in rivals.iter().filter(|rival| !rival.is_lost) {
        if let Some(place) = rival.place.as_ref().filter(|place| **place != plain) {
            relocate(work, passages, table, place, &plain)?;
            set_place(work, table, number, &rival.identity, None)?;
        }
        passages.note_place(table.number, &rival.identity, &plain);
    }
    for rival in rivals.iter().filter(|rival| !rival.entries.is_empty()) {
        let place = place_of(work, table, &rival.identity)?;
        let position = passages.load(work, (table.number, place))?;
        passages.rows[position].renumbered.extend(rival.entries.iter().cloned());
    }
    Ok(())
}

/// Asks anew who keeps a number, of all that were given it: births have other stamps than when that was asked last, or one had taken the number before it was
/// known of.
fn settle_anew<A: Access>(
    work: &mut Work<'_, A>,
    passages: &mut Passages,
    table: &Arc<Table>,
    number: i64,
) -> Result<()> {
    let mut rivals = given(work, passages, table, number)?;
    let mut newborns = Vec::with_capacity(rivals.len());
    for rival in &rivals {
        let place = rival.place.as_ref().ok_or_else(|| Error::inconsistent("a row that is nowhere"))?;
        newborns.push(births_at(work, passages, (table, place))?);
    }
    for own in 0..rivals.len() {
        let (mut is_lost, mut entries) = (false, Vec::new());
        for newborn in &newborns[own] {
            let mut lost_to: Option<Stamp> = None;
            for other in (0..rivals.len()).filter(|other| *other != own) {
                for theirs in &newborns[other] {
                    let (later, earlier) = if theirs.born < newborn.born {
                        (newborn, (&rivals[other].identity, &theirs.born))
                    } else {
                        (theirs, (&rivals[own].identity, &newborn.born))
                    };
                    let saw = sees(later, table, earlier);
                    let keeps = births::keeps(&newborn.born, &theirs.born, saw);
                    is_lost |= !keeps;
                    if !keeps && !saw && lost_to.is_none_or(|to| theirs.born < to) {
                        lost_to = Some(theirs.born);
                    }
                }
            }
            let row = (&rivals[own].identity, &newborn.born);
            entries.extend(lost_to.map(|to| lost(table, number, row, &to)));
        }
        (rivals[own].is_lost, rivals[own].entries) = (is_lost, entries);
    }
    move_losers(work, passages, table, number, &rivals)
}

fn lost(table: &Table, number: i64, (identity, born): (&Key, &Stamp), to: &Stamp) -> Entry {
    let column = table.schema.key.first().map(|column| table.schema.columns[*column].name.clone());
    Entry {
        id: EntryId { table: table.schema.name.clone(), key: identity.clone(), loser: born.dot, column },
        kind: ConflictType::Rekey,
        strategy: Strategy::KeepBoth,
        losing: *born,
        winning: *to,
        lost: Left::Value(Value::Integer(number)),
        won: Left::Value(Value::Integer(number)),
        common_value: None,
        // Nobody has to do anything about it.
        superseded: true,
    }
}

fn set_place<A: Access>(
    work: &mut Work<'_, A>,
    table: &Table,
    number: i64,
    identity: &Key,
    place: Option<&Key>,
) -> Result<()> {
    work.lost_numbers.insert(table.number);
    work.db.set_place(table.number, number, identity, place)
}

/// A row that is shown under a derived number gives it to whoever was born with it, and takes the next.
fn give_up_derived<A: Access>(
    work: &mut Work<'_, A>,
    passages: &mut Passages,
    table: &Arc<Table>,
    place: &Key,
) -> Result<()> {
    let position = passages.load(work, (table.number, place.clone()))?;
    let state = &passages.rows[position].state;
    let Some(identity) = identity_of(table, state, place) else { return Ok(()) };
    let (own, born) = (number_of(&identity)?, state.birth().copied());
    let Some(number) = own.filter(|number| Key::of([&Value::Integer(*number)]) != *place) else { return Ok(()) };
    let next = next_free(work, passages, table, (&identity, born), (Some(place), true))?;
    relocate(work, passages, table, place, &next)?;
    set_place(work, table, number, &identity, Some(&next))?;
    passages.note_place(table.number, &identity, &next);
    Ok(())
}

/// Where a row that lost its number is to be shown, which cannot be at `taken`; `displaces` says whether a later row may be sent on.
fn next_free<A: Access>(
    work: &mut Work<'_, A>,
    passages: &mut Passages,
    table: &Arc<Table>,
    (identity, born): (&Key, Option<Stamp>),
    (taken, displaces): (Option<&Key>, bool),
) -> Result<Key> {
    for attempt in 0..births::DERIVED_COUNT as u64 {
        let number = births::derived(&table.schema.name, identity, attempt);
        let place = Key::of([&Value::Integer(number)]);
        if taken == Some(&place) || !work.db.lost_number(table.number, number)?.is_empty() {
            continue;
        }
        let state = match passages.position(&(table.number, place.clone())) {
            Some(position) => passages.rows[position].state.clone(),
            None => row_states::load(work.db, work.origins, table.number, &place)?,
        };
        let Some(other) = identity_of(table, &state, &place) else { return Ok(place) };
        let is_derived = number_of(&other)? != Some(number);
        if other == *identity {
            return Ok(place);
        }
        if is_derived && (born, identity) < (state.birth().copied(), &other) && displaces {
            give_up_derived(work, passages, table, &place)?;
            return Ok(place);
        }
    }
    Err(Error::inconsistent("a table that has more rows than there are numbers"))
}

/// Moves all that is remembered of a row to another key. What stands in the table under the old one stands there still, and is whoever's that comes there.
fn relocate<A: Access>(
    work: &mut Work<'_, A>,
    passages: &mut Passages,
    table: &Arc<Table>,
    from: &Key,
    to: &Key,
) -> Result<()> {
    let (old, new) =
        (passages.load(work, (table.number, from.clone()))?, passages.load(work, (table.number, to.clone()))?);
    passages.move_state(old, new);
    let name = &table.schema.name;
    work.db.move_row(table.number, from, to, (tie(name, from), tie(name, to)))?;
    work.exceptions.forget_known();
    Ok(())
}

/// What is remembered among the exceptions of a row of which it has to be asked anew who keeps its number.
pub fn unsettled(table: &TableName, place: &Key) -> Claim {
    tie(table, &Key([b"number", place.0.as_slice()].concat()))
}

/// Asks anew whose the numbers are of which that has to be asked.
pub fn settle_marked<A: Access>(work: &mut Work<'_, A>, passages: &mut Passages) -> Result<()> {
    if !work.exceptions.any_doubted {
        return Ok(());
    }
    for number in work.lost_numbers.clone() {
        let Some(table) = work.registry.tracked(number).filter(|table| table.is_numbered()).cloned() else { continue };
        let known = work.exceptions.of(work.db, number)?;
        let is_marked = |(key, claims): &(&Key, &BTreeSet<Claim>)| claims.contains(&unsettled(&table.schema.name, key));
        let marked: Vec<Key> = known.by_key().filter(is_marked).map(|(key, _)| key.clone()).collect();
        for place in marked {
            let position = passages.load(work, (number, place.clone()))?;
            // Remembering it forgets the mark.
            passages.rows[position].is_odd = true;
            let identity = identity_of(&table, &passages.rows[position].state, &place);
            if let Some(own) = identity.map(|identity| number_of(&identity)).transpose()?.flatten() {
                settle_anew(work, passages, &table, own)?;
            }
        }
    }
    Ok(())
}

/// Puts rows right that are on their way and may be where they do not belong.
pub fn put_all_right<A: Access>(work: &mut Work<'_, A>, passages: &mut Passages) -> Result<()> {
    let is_known = |passage: &&Passage| passage.state.is_known();
    let rows = passages.rows.iter().filter(is_known).map(|passage| (passage.number, passage.key.clone()));
    rows.collect::<Vec<_>>()
        .into_iter()
        .try_for_each(|(number, key)| put_right(work, passages, (number, &key)).map(drop))
}

/// A row that does not stand leaves its key to one that was made here under it. Returns where it is remembered from now on.
pub fn vacate<A: Access>(work: &mut Work<'_, A>, table: &Arc<Table>, place: &Key, state: &RowState) -> Result<Key> {
    let identity = state.identity(&table.key_columns(), place);
    let mut passages = Passages::default();
    let to = match number_of(&identity)?.filter(|_| table.is_numbered()) {
        Some(number) => {
            let row = (&identity, state.birth().copied());
            let to = next_free(work, &mut passages, table, row, (Some(place), false))?;
            set_place(work, table, number, &identity, Some(&to))?;
            to
        }
        None => place_of(work, table, &identity)?,
    };
    if to == *place {
        return Err(Error::inconsistent("a row under a key that belongs to another"));
    }
    let name = &table.schema.name;
    work.db.move_row(table.number, place, &to, (tie(name, place), tie(name, &to)))?;
    work.exceptions.forget_known();
    if !state.live.is_empty() {
        // It may have to have its number back: whoever took that may not have known of it.
        unsettle(work, table, &to)?;
    }
    Ok(to)
}

/// Says that it has to be asked anew who keeps the number of a row.
pub fn unsettle<A: Access>(work: &mut Work<'_, A>, table: &Table, place: &Key) -> Result<()> {
    let own = unsettled(&table.schema.name, place);
    let mut claims: BTreeSet<Claim> = work.exceptions.of(work.db, table.number)?.claims_of(place).copied().collect();
    claims.insert(own);
    work.exceptions.set(work.db, table.number, place, claims)?;
    work.exceptions.doubt(work.db, table.number, &BTreeSet::from([own]))
}

/// The same of rows that lost a number which is given away anew here, where nobody could see them: to them the number was not free.
pub fn unsettle_unseen<A: Access>(work: &mut Work<'_, A>, table: &Table, place: &Key) -> Result<()> {
    let Some(number) = number_of(place)?.filter(|_| work.has_parked && work.lost_numbers.contains(&table.number))
    else {
        return Ok(());
    };
    for (_, at) in work.db.lost_number(table.number, number)? {
        if work.db.is_parked(table.number, &at)? {
            unsettle(work, table, &at)?;
        }
    }
    Ok(())
}

/// Rows that refer to one, by its number, whatever refers so.
pub fn referring<A: Access>(work: &Work<'_, A>, table: &Table, number: &Value) -> Result<Vec<(TableNumber, Key)>> {
    let mut found = Vec::new();
    for other in work.registry.meaning(table.number) {
        for column in 0..other.meaning.len() {
            let is_own_key = other.number == table.number && other.schema.key.contains(&column);
            if other.meaning[column] != Some(table.number) || is_own_key {
                continue;
            }
            let name = &other.schema.columns[column].name;
            let rows = work.db.rows_where(&other.schema, &[name], std::slice::from_ref(number), None)?;
            found.extend(rows.iter().map(|row| (other.number, other.key_of(row))));
        }
    }
    Ok(found)
}

/// Rows that have to be shown anew because one that they refer to is about to be shown under another key.
pub fn follow<A: Access>(work: &mut Work<'_, A>, passages: &mut Passages) -> Result<()> {
    if work.lost_numbers.is_empty() {
        return Ok(());
    }
    let mut position = 0;
    while position < passages.rows.len() {
        let passage = &passages.rows[position];
        position += 1;
        let Some(table) = passage.table.clone().filter(|table| table.is_numbered()) else { continue };
        if !work.lost_numbers.contains(&table.number) {
            continue;
        }
        let Some(identity) = identity_of(&table, &passage.state, &passage.key) else { continue };
        let mut called: BTreeSet<Option<i64>> = passage.came_from.iter().map(number_of).collect::<Result<_>>()?;
        let own = number_of(&identity)?;
        if number_of(&passage.key)? != own && !passage.state.is_shown() {
            called.insert(own);
        }
        for number in called.into_iter().flatten() {
            for row in referring(work, &table, &Value::Integer(number))? {
                passages.take_along(work, row)?;
            }
        }
    }
    Ok(())
}

/// The highest timestamp of anything known of rows that were given the number of a key: whoever is given it now comes after them.
pub fn last_of<A: Access>(work: &Work<'_, A>, table: &Table, place: &Key, state: &RowState) -> Result<Lamport> {
    let mut last = state.lamport_max();
    if let Some(number) = number_of(place)?.filter(|_| work.lost_numbers.contains(&table.number)) {
        for (_, place) in work.db.lost_number(table.number, number)? {
            last = last.max(row_states::load(work.db, work.origins, table.number, &place)?.lamport_max());
        }
    }
    Ok(last)
}

/// The rows that numbers in a row mean, itself left out.
pub fn meant_by<A: Access>(work: &Work<'_, A>, table: &Table, key: &Key) -> Result<Vec<(Arc<Table>, Key)>> {
    let columns = table.meaning.iter().enumerate().filter_map(|(column, of)| Some((column, (*of)?)));
    let others: Vec<(usize, &Arc<Table>)> = columns
        .filter(|(column, of)| *of != table.number || !table.schema.key.contains(column))
        .filter_map(|(column, of)| Some((column, work.registry.tracked(of)?)))
        .collect();
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let Some(row) = work.db.read(table, &values(key)?)? else { return Ok(Vec::new()) };
    let meant = others.into_iter().filter(|(column, _)| !row[*column].is_null());
    Ok(meant.map(|(column, of)| (of.clone(), Key::of([&row[column]]))).collect())
}

/// What numbers mean that stand in tables, for whoever seals them.
#[derive(Default)]
pub struct Meanings {
    known: HashMap<(TableNumber, Key), Value>,
    /// Keys under which rows were deleted and made anew since they were sealed last.
    suspected: BTreeSet<(TableNumber, Key)>,
    /// Those under which it is another row now.
    reborn: BTreeSet<(TableNumber, Key)>,
}

impl Meanings {
    /// What a value in a column of a row means.
    pub fn of<A: Access>(&mut self, work: &Work<'_, A>, table: &Table, column: usize, value: &Value) -> Result<Value> {
        let of = table.meaning[column].and_then(|of| work.registry.tracked(of)).cloned();
        match of {
            Some(of) if matches!(value, Value::Integer(_)) => self.of_row(work, &of, &Key::of([value])),
            _ => Ok(value.clone()),
        }
    }

    /// The identity of a row that stands, or stood last, at a place: that of its key.
    pub fn of_key<A: Access>(&mut self, work: &Work<'_, A>, table: &Table, row: &[Value]) -> Result<Key> {
        let parts = table.schema.key.iter().map(|column| self.of(work, table, *column, &row[*column]));
        Ok(Key::of(&parts.collect::<Result<Vec<_>>>()?))
    }

    /// Says who stands at a place.
    pub fn tell(&mut self, table: TableNumber, place: &Key, meant: Value) {
        self.known.insert((table, place.clone()), meant);
    }

    /// Says that a row was deleted and made anew under a key, be it as it was.
    pub fn suspect(&mut self, table: TableNumber, place: &Key) {
        self.suspected.insert((table, place.clone()));
    }

    /// Whether somebody said so.
    pub fn suspects(&self, table: TableNumber, place: &Key) -> bool {
        self.suspected.contains(&(table, place.clone()))
    }

    /// Says that it is another row.
    pub fn say_reborn(&mut self, table: TableNumber, place: &Key) {
        self.reborn.insert((table, place.clone()));
    }

    /// Whether a value names a row that was deleted and made anew, so that it means another now.
    pub fn has_changed(&self, table: &Table, column: usize, value: &Value) -> bool {
        table.meaning[column].is_some_and(|of| self.reborn.contains(&(of, Key::of([value]))))
    }

    fn of_row<A: Access>(&mut self, work: &Work<'_, A>, table: &Arc<Table>, place: &Key) -> Result<Value> {
        if let Some(known) = self.known.get(&(table.number, place.clone())) {
            return Ok(known.clone());
        }
        let state = row_states::load(work.db, work.origins, table.number, place)?;
        let known = identity_of(table, &state, place);
        let is_suspected = self.suspected.contains(&(table.number, place.clone()));
        let is_another = is_suspected && work.db.read(table, &values(place)?)? != shown_row(table, place, &state);
        let meant = match known.filter(|_| state.is_shown() && !is_another) {
            Some(identity) => first(&identity)?,
            None => self.of_unsealed(work, table, place, &state)?,
        };
        self.tell(table.number, place, meant.clone());
        Ok(meant)
    }

    /// Of a row that nobody has sealed yet, if there is one.
    fn of_unsealed<A: Access>(
        &mut self,
        work: &Work<'_, A>,
        table: &Arc<Table>,
        place: &Key,
        state: &RowState,
    ) -> Result<Value> {
        match work.db.read(table, &values(place)?)? {
            Some(row) => self.mark(work, table, place, &row, state),
            None => first(&identity_of(table, state, place).unwrap_or_else(|| place.clone())),
        }
    }

    /// The identity of a row that is new here.
    pub fn mark<A: Access>(
        &mut self,
        work: &Work<'_, A>,
        table: &Arc<Table>,
        place: &Key,
        row: &[Value],
        state: &RowState,
    ) -> Result<Value> {
        let number = number_of(place)?.ok_or_else(|| Error::inconsistent("a number that is none"))?;
        let is_told = unique::claims(&table.schema, row).next().is_some() && can_be_told(work, table);
        let mark = if is_told {
            let mut content: Vec<(&ColumnName, Value)> = Vec::with_capacity(row.len());
            for (column, value) in row.iter().enumerate().filter(|(column, _)| !table.schema.key.contains(column)) {
                content.push((&table.schema.columns[column].name, self.of(work, table, column, value)?));
            }
            births::mark_of_content(&table.schema.name, number, &content)
        } else {
            self.mark_of_count(work, table, (number, place), state)?
        };
        let meant = Value::Born(number, mark);
        // Who has lost the number never has it again.
        let has_lost = is_told
            && work.lost_numbers.contains(&table.number)
            && work.db.derived_place(table.number, &Key::of([&meant]))?.is_some();
        if has_lost {
            return Ok(Value::Born(number, self.mark_of_count(work, table, (number, place), state)?));
        }
        Ok(meant)
    }

    fn mark_of_count<A: Access>(
        &self,
        work: &Work<'_, A>,
        table: &Table,
        (number, place): (i64, &Key),
        state: &RowState,
    ) -> Result<Birthmark> {
        let lost = if work.lost_numbers.contains(&table.number) {
            work.db.lost_number(table.number, number)?.len()
        } else {
            0
        };
        let holder = identity_of(table, state, place).map(|holder| number_of(&holder)).transpose()?.flatten();
        let count = lost as u64 + u64::from(holder == Some(number));
        Ok(births::mark_of_count(&table.schema.name, number, &work.own, count))
    }
}

/// Whether what a row holds can be told without knowing the row: what it refers to is sealed before it.
fn can_be_told<A: Access>(work: &Work<'_, A>, table: &Table) -> bool {
    let others = table.meaning.iter().enumerate().filter(|(column, _)| !table.schema.key.contains(column));
    others.filter_map(|(_, of)| work.registry.tracked((*of)?)).all(|of| of.rank < table.rank)
}

/// The value of a key that has one.
pub fn first(identity: &Key) -> Result<Value> {
    values(identity)?.pop().ok_or_else(|| Error::inconsistent("a key without values"))
}
