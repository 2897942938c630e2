//! The sealer: turns dirty keys into one signed changeset by comparing rows as they are with what was last shown. Reads the truth, never
//! the order in which triggers fired. Runs inside a transaction that `engine` began.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use rowmesh_core::changeset::{Changeset, Header, event_salt};
use rowmesh_core::clock::{Lamport, WallTime};
use rowmesh_core::event::{
    Birth, EXTRA_LEAVES_SCOPE, Event, Extras, Operation, TableShape, beats_field, counted_anew_field,
};
use rowmesh_core::ident::Dot;
use rowmesh_core::ledger::ConflictType;
use rowmesh_core::limits;
use rowmesh_core::row_state::{Arrival, RowState, Shown};
use rowmesh_core::show;
use rowmesh_core::store::StoreError;
use rowmesh_core::value::{Key, TableName, Value};

use crate::births::{self, Meanings};
use crate::collisions;
use crate::database::{Access, Note, NotedOperation, Place};
use crate::fault::{Error, Result};
use crate::log;
use crate::orphans;
use crate::registry::{Registry, Table, TableNumber};
use crate::row_states;
use crate::work::{News, Work, is_default, remember_shown, shown_row};

/// The purpose that event salts are derived for.
pub const SALT_PURPOSE: &str = "rowmesh 2026 event salt";

/// Bytes of a change, both images, that is sealed: whoever reads the log refuses more, and nothing after it could be read either.
const EVENT_BYTES_SEALED_MAX: usize = limits::EVENT_BYTES_MAX - (1 << 20);

/// Rows that fit into one changeset, however little of each has changed.
pub const ROWS_THAT_FIT: usize = limits::CHANGESET_BYTES_TARGET / Event::WEIGHT_MIN;

/// Rows that are fetched at once, where that is worth it, at most and at least. How many fit into the changeset is known only when it is full.
const ROWS_EXPECTED_MAX: usize = 4_000;
const ROWS_EXPECTED_MIN: usize = 64;

/// Keys that wait to be looked at: all that one reading of the notes found, in an order that keeps foreign keys whole when it is cut.
#[derive(Default)]
pub struct Round {
    waiting: VecDeque<Pending>,
    part: u32,
    /// Tables in which rows may have gone without any note: a REPLACE took their unique values and has moved on since.
    suspects: BTreeSet<TableNumber>,
    /// Of notes that name several rows, how many of those are still waiting: only then are they spent.
    shared: HashMap<i64, usize>,
    /// More may be noted than this round knows: it was begun in an earlier transaction, or cut short.
    is_behind: bool,
}

/// One key to look at.
#[derive(Debug)]
pub struct Pending {
    table: TableNumber,
    values: Vec<Value>,
    key: Key,
    notes: Vec<i64>,
    /// Something says that the row may be gone: a noted delete, or a row that took its unique value.
    may_be_gone: bool,
    /// It was deleted, and another was made under its key.
    is_reborn: bool,
    at: WallTime,
}

impl Pending {
    /// A row that nobody noted.
    fn come_to(table: TableNumber, values: Vec<Value>, key: Key, at: WallTime) -> Pending {
        Pending { table, values, key, notes: Vec::new(), may_be_gone: true, is_reborn: false, at }
    }
}

/// What sealing one part made.
pub struct SealedPart {
    /// The changeset; none if no row really differed.
    pub changeset: Option<Changeset>,
    /// Whether keys are left for the next part.
    pub more: bool,
    /// Whether notes were looked at and are gone now.
    pub spent: bool,
}

impl Round {
    /// Forgets what was planned: after a rollback the notes are read anew.
    pub fn clear(&mut self) {
        *self = Round::default();
    }

    /// Whether nothing is planned.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// One of the rows that a note names is looked at: whether it was the last.
    fn spends(&mut self, note: i64) -> bool {
        let Some(left) = self.shared.get_mut(&note) else { return true };
        *left -= 1;
        *left == 0
    }
}

/// Seals one part of a round; begins a new round if none is under way.
pub fn seal_part<A: Access>(work: &mut Work<'_, A>, round: &mut Round, unit_rows: usize) -> Result<SealedPart> {
    // What is far away is fetched with its rows, so no more of it than one changeset holds.
    let limit = if A::IS_REMOTE { unit_rows.min(ROWS_THAT_FIT) } else { limits::ROUND_KEYS_MAX };
    let mut any_spent = round.is_empty() && plan(work.db, work.registry, round, limit)?;
    let mut draft = Draft::new(work, unit_rows)?;
    for pending in round.waiting.iter().filter(|pending| pending.is_reborn) {
        draft.meanings.suspect(pending.table, &pending.key);
    }
    let mut spent: Vec<i64> = Vec::new();
    let mut expected = 0;
    for looked in 0.. {
        if draft.is_full() {
            break;
        }
        if A::IS_REMOTE && looked == expected {
            let some = draft.room().clamp(ROWS_EXPECTED_MIN, ROWS_EXPECTED_MAX);
            expect(work, round.waiting.iter().take(some))?;
            expected += some;
        }
        let Some(pending) = round.waiting.pop_front() else { break };
        spent.extend(pending.notes.iter().filter(|note| round.spends(**note)));
        draft.look(work, pending)?;
    }
    round.suspects.append(&mut draft.suspects);
    if round.is_empty() {
        for table in std::mem::take(&mut round.suspects) {
            draft.look_for_missing(work, table)?;
        }
    }
    if !spent.is_empty() {
        any_spent = true;
        work.db.forget_notes(spent)?;
    }
    crate::scope::keep_too_large(work.db, &draft.too_large, &draft.names)?;
    let changeset = draft.finish(work, round)?;
    // What was noted while an earlier part was sealed is the next round's, and nothing is applied over it before.
    let more = !round.is_empty() || (round.is_behind && work.db.any_noted()?);
    round.is_behind = true;
    Ok(SealedPart { changeset, more, spent: any_spent })
}

/// A row that was written here by Rowmesh itself, on a person's behalf, and is to be sealed whatever was noted.
pub struct Written {
    /// Its table.
    pub table: Arc<Table>,
    /// Its key.
    pub key: Key,
    /// Its key's values.
    pub values: Vec<Value>,
    /// What the person said of it.
    pub word: Word,
}

/// What a person said of a row, beyond what can be seen in the table.
pub enum Word {
    /// These columns, by position, ascending, count as written though they may stand as before; maybe counted anew.
    Named(Vec<usize>, bool),
    /// It shall not stand, though it does not: whoever wrote it meanwhile is answered.
    Gone {
        /// What it would show.
        row: Vec<Value>,
        /// Whether it does not stand because it left the scope.
        leaves: bool,
    },
}

/// Seals rows as one changeset, each of them. Everything that the application wrote is sealed already.
pub fn seal_written<A: Access>(work: &mut Work<'_, A>, rows: Vec<Written>) -> Result<Changeset> {
    let mut draft = Draft::new(work, rows.len())?;
    let (mut wanted, mut pending) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for row in rows {
        let Written { table, key, values, word } = row;
        let (name, number) = (table.schema.name.clone(), table.number);
        if draft.words.insert((number, key.clone()), word).is_some() {
            return Err(Error::inconsistent("a row that a person wrote twice at once"));
        }
        wanted.push((name, (number, key.clone())));
        let pending_row = Pending::come_to(number, values, key, work.now);
        pending.push(pending_row);
    }
    for pending in pending {
        draft.look(work, pending)?;
    }
    let is_in = |(_, row): &&(TableName, (TableNumber, Key))| !draft.names.contains(row);
    if let Some((table, (number, key))) = wanted.iter().find(is_in) {
        let is_large = draft.too_large.iter().any(|(of, row, _)| of == number && row == key);
        return Err(not_sealed(table, key, is_large).into());
    }
    let changeset = draft.finish(work, &mut Round::default())?;
    changeset.ok_or_else(|| Error::inconsistent("events without a changeset"))
}

fn not_sealed(table: &str, key: &Key, is_large: bool) -> StoreError {
    let key = key.to_display();
    if is_large {
        let limit = EVENT_BYTES_SEALED_MAX >> 20;
        let message = format!("{table} {key} cannot be written so: with what stood before it is over {limit} MiB");
        return StoreError::needs_person("RM5108", message, "nothing was changed; write less into the row");
    }
    let message = format!("{table} {key} does not travel, or there is nothing of it that could be written");
    StoreError::needs_person("RM5109", message, "nothing was changed; rowmesh tables shows what travels")
}

/// Says which rows are about to be looked at.
fn expect<'p, A: Access>(work: &Work<'_, A>, waiting: impl Iterator<Item = &'p Pending>) -> Result<()> {
    let rows = waiting.filter_map(|pending| {
        let table = work.registry.tracked(pending.table)?;
        Some((table.clone(), pending.key.clone()))
    });
    let rows: Vec<_> = rows.collect();
    work.db.expect(&rows)?;
    let mut meant = Vec::new();
    for (table, key) in &rows {
        meant.extend(births::meant_by(work, table, key)?);
    }
    meant.sort_by(|(one, key), (other, next)| (one.number, key).cmp(&(other.number, next)));
    meant.dedup_by(|(one, key), (other, next)| one.number == other.number && key == next);
    work.db.expect_states(&meant)
}

/// Reads the notes and orders the keys: what may stand parents first, then what may be gone children first. Returns whether some were spent
/// at once, as they name no row.
fn plan(db: &impl Access, registry: &Registry, round: &mut Round, limit: usize) -> Result<bool> {
    let mut found: Vec<Pending> = Vec::new();
    let mut positions: HashMap<(TableNumber, Key), usize> = HashMap::new();
    let mut empty = Vec::new();
    let notes = db.notes(registry, limit)?;
    round.is_behind = notes.len() >= limit;
    round.shared = shared(&notes);
    for note in notes {
        if note.key.is_empty() || registry.tracked(note.table).is_none() {
            empty.push(note.id);
            continue;
        }
        let key = Key::of(&note.key);
        let position = match positions.entry((note.table, key)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let key = new.key().1.clone();
                let (table, values, at) = (note.table, note.key, note.at);
                found.push(Pending { may_be_gone: false, ..Pending::come_to(table, values, key, at) });
                *new.insert(found.len() - 1)
            }
        };
        let pending = &mut found[position];
        pending.notes.push(note.id);
        pending.is_reborn |= pending.may_be_gone && note.operation == NotedOperation::Insert;
        pending.may_be_gone |= note.operation.may_remove();
        pending.at = pending.at.max(note.at);
    }
    let any_empty = !empty.is_empty();
    if any_empty {
        db.forget_notes(empty)?;
    }
    for pending in &found {
        let Some(table) = registry.tracked(pending.table) else { continue };
        // Noted once, the row as it stands is all that it was in this round; noted more often, it may have been more.
        // And a row that a REPLACE gave a value can be gone by the cascade of what it replaced, which was noted for this one only.
        let rewritten = pending.notes.len() > 1 || (pending.may_be_gone && table.cascades_into_itself);
        if db.may_hide_deletes(table, rewritten) {
            round.suspects.insert(pending.table);
        }
    }
    let rank = |pending: &Pending| registry.tracked(pending.table).map_or(0, |table| table.rank as i64);
    found.sort_by_cached_key(|pending| {
        let (rank, is_gone) = (rank(pending), pending.may_be_gone && !pending.is_reborn);
        (is_gone, if is_gone { -rank } else { rank }, pending.notes.first().copied())
    });
    round.part = 0;
    round.waiting = found.into();
    Ok(any_empty)
}

/// Notes that name several rows, with how many.
fn shared(notes: &[Note]) -> HashMap<i64, usize> {
    let mut shared = HashMap::new();
    if notes.is_sorted_by(|note, next| note.id < next.id) {
        return shared;
    }
    for note in notes {
        *shared.entry(note.id).or_insert(0) += 1;
    }
    shared.retain(|_, rows| *rows > 1);
    shared
}

/// The changeset in the making.
struct Draft {
    dot: Dot,
    salt_secret: [u8; 32],
    shapes: Vec<TableShape>,
    shape_of: HashMap<TableNumber, u16>,
    events: Vec<Event>,
    rows: Vec<SealedRow>,
    /// Table and key of each of them.
    names: Vec<(TableNumber, Key)>,
    looked: HashSet<(TableNumber, Key)>,
    suspects: BTreeSet<TableNumber>,
    /// What a person said of rows that have not been looked at yet.
    words: HashMap<(TableNumber, Key), Word>,
    /// Which rows numbers mean that stand in the tables.
    meanings: Meanings,
    /// What rows that are new under their keys come after.
    after: HashMap<(TableNumber, Key), Lamport>,
    /// Rows that no other node would take in, with what they weigh.
    too_large: Vec<(TableNumber, Key, usize)>,
    bytes: usize,
    unit_rows: usize,
}

/// What an event is to say of its row.
struct Drafted {
    operation: Operation,
    before: Vec<Value>,
    written: Vec<(u16, Value)>,
    after: Option<Vec<Value>>,
    extras: Extras,
}

impl Drafted {
    fn of(operation: Operation) -> Drafted {
        Drafted { operation, before: Vec::new(), written: Vec::new(), after: None, extras: Extras::new() }
    }
}

/// What is remembered of a row, and where.
type Known = (Option<Place>, RowState);

/// A row beside its event.
struct SealedRow {
    table: Arc<Table>,
    place: Option<Place>,
    state: RowState,
    before: Option<Vec<Value>>,
    after: Option<Vec<Value>>,
}

impl Draft {
    fn new<A: Access>(work: &Work<'_, A>, unit_rows: usize) -> Result<Draft> {
        let seq = work.origins.get(&work.own).map_or_else(Default::default, |known| known.seq);
        Ok(Draft {
            dot: Dot { origin: work.own, seq: seq.next() },
            salt_secret: work.standing()?.signer.derive(SALT_PURPOSE),
            shapes: Vec::new(),
            shape_of: HashMap::new(),
            events: Vec::new(),
            rows: Vec::new(),
            names: Vec::new(),
            looked: HashSet::new(),
            suspects: BTreeSet::new(),
            words: HashMap::new(),
            meanings: Meanings::default(),
            after: HashMap::new(),
            too_large: Vec::new(),
            bytes: 0,
            unit_rows,
        })
    }

    fn is_full(&self) -> bool {
        self.events.len() >= self.unit_rows || self.bytes >= limits::CHANGESET_BYTES_TARGET
    }

    /// How many more events there is room for, as far as those that are in it tell.
    fn room(&self) -> usize {
        let rows = self.unit_rows.saturating_sub(self.events.len());
        let bytes = limits::CHANGESET_BYTES_TARGET.saturating_sub(self.bytes);
        // A row that has not changed makes no event, so there may be room for more.
        rows.min(bytes * self.events.len().max(1) / self.bytes.max(1) + 1)
    }

    /// Looks at a row, and at those that it pushed aside or draws along: they belong into the same changeset.
    fn look<A: Access>(&mut self, work: &mut Work<'_, A>, first: Pending) -> Result<()> {
        let mut queue = VecDeque::new();
        let mut next = Some(first);
        while let Some(pending) = next {
            if self.looked.insert((pending.table, pending.key.clone())) {
                queue.extend(self.look_at_row(work, &pending)?);
            }
            next = queue.pop_front();
        }
        Ok(())
    }

    fn look_at_row<A: Access>(&mut self, work: &mut Work<'_, A>, pending: &Pending) -> Result<Vec<Pending>> {
        let Some(table) = work.registry.tracked(pending.table).cloned() else { return Ok(Vec::new()) };
        let has_key = |row: &Vec<Value>| {
            let mut parts = table.schema.key.iter().zip(&pending.values);
            parts.all(|(column, value)| row[*column] == *value)
        };
        let row = work.db.read(&table, &pending.values)?.filter(has_key);
        if pending.key.0.len() > limits::KEY_BYTES_MAX {
            self.keep_here(work, pending, row.is_some())?;
            return Ok(Vec::new());
        }
        let known = row_states::recall(work, pending.table, &pending.key)?;
        let moved = work.membership.judge(work.db, &table, &pending.key, row.as_deref())?;
        let (mut others, word) = (Vec::new(), self.words.remove(&(pending.table, pending.key.clone())));
        // A row that was come to from above spreads on whatever became of itself.
        let before = if pending.notes.is_empty() { None } else { shown_row(&table, &pending.key, &known.1) };
        if moved.changed || work.membership.spreads(&table, before.as_deref(), row.as_deref()) {
            others.extend(self.dependants(work, &table, pending, row.as_deref(), &known.1)?);
        }
        let stands = row.is_some();
        let as_it_travels = |row: Vec<Value>| if moved.nulls.is_empty() { row } else { moved.travelling(&row) };
        let travelling = row.filter(|_| !moved.held_back).map(as_it_travels);
        let (place, state) = match &travelling {
            Some(row) if table.has_numbers_in_key() => {
                let (known, referring) = self.told_apart(work, &table, pending, known, row, word.is_some())?;
                others.extend(referring);
                known
            }
            _ => known,
        };
        match (travelling, state.is_shown()) {
            (None, true) if pending.may_be_gone || moved.held_back => {
                let before = shown_row(&table, &pending.key, &state).unwrap_or_default();
                self.delete(work, &table, pending, (place, state), before, moved.held_back)?;
            }
            (None, false) if let Some(Word::Gone { row, leaves }) = word => {
                self.delete(work, &table, pending, (place, state), row, leaves)?;
            }
            (Some(_), _) if matches!(word, Some(Word::Gone { .. })) => {
                return Err(Error::Unnoticed { table: table.number, key: pending.values.clone() });
            }
            // Written, and gone though nobody noted a delete: only a REPLACE does that, or a trigger that was missing.
            (None, _) => {
                if !stands && !pending.may_be_gone {
                    self.suspects.insert(table.number);
                    // Undecided: whoever took its unique value may still be looked at in this round, and then tell.
                    self.looked.remove(&(table.number, pending.key.clone()));
                }
            }
            (Some(row), shown) => {
                others.extend(self.pushed_aside(work, &table, pending, &row)?);
                if shown {
                    self.update(work, &table, pending, (place, state), row, word)?;
                } else {
                    self.insert(work, &table, pending, (place, state), row)?;
                }
            }
        }
        Ok(others)
    }

    /// What is remembered of a row that stands under a key in which numbers are. Whoever had the key before leaves it to a row that was made under it since:
    /// the rows that refer to it, which mean another now, are returned.
    fn told_apart<A: Access>(
        &mut self,
        work: &mut Work<'_, A>,
        table: &Arc<Table>,
        pending: &Pending,
        known: Known,
        row: &[Value],
        is_said: bool,
    ) -> Result<(Known, Vec<Pending>)> {
        let (place, state) = known;
        let identity = work.identity(table.number, &pending.key, &state);
        let is_shown = state.is_shown();
        let is_made_anew =
            is_shown && pending.is_reborn && shown_row(table, &pending.key, &state).as_deref() != Some(row);
        let own = if !table.is_numbered() {
            self.meanings.of_key(work, table, row)?
        } else if state.is_known() && (is_said || (is_shown && !is_made_anew)) {
            identity.clone()
        } else {
            Key::of([&self.meanings.mark(work, table, &pending.key, row, &state)?])
        };
        if table.is_numbered() {
            self.meanings.tell(table.number, &pending.key, births::first(&own)?);
        }
        if state.is_known() && own == identity {
            return Ok(((place, state), Vec::new()));
        }
        let last = births::last_of(work, table, &pending.key, &state)?;
        self.after.insert((table.number, pending.key.clone()), last);
        births::unsettle_unseen(work, table, &pending.key)?;
        if !state.is_known() {
            return Ok(((place, state), Vec::new()));
        }
        let mut referring = Vec::new();
        for (column, part) in table.schema.key.iter().zip(&pending.values).filter(|_| !table.is_numbered()) {
            // Whose number it was leaves it first.
            referring.extend(self.look_at_whom(work, pending, (table.meaning[*column], part))?);
        }
        let left = births::vacate(work, table, &pending.key, &state)?;
        row_states::save_at(work, place, table.number, &pending.key, &RowState::default(), false)?;
        if is_shown {
            let before = shown_row(table, &pending.key, &state).unwrap_or_default();
            work.db.replace_claims(table, &pending.key, Some(&before), None)?;
            let gone = Pending::come_to(table.number, pending.values.clone(), left, pending.at);
            self.delete(work, table, &gone, (None, state), before, false)?;
            self.meanings.say_reborn(table.number, &pending.key);
            for (number, key) in births::referring(work, table, &pending.values[0])? {
                referring.push(follow(pending, number, key)?);
            }
        } else {
            row_states::save(work, table.number, &left, &state, false)?;
        }
        Ok(((place, RowState::default()), referring))
    }

    /// Looks at the row that a number means.
    fn look_at_whom<A: Access>(
        &mut self,
        work: &mut Work<'_, A>,
        cause: &Pending,
        (table, number): (Option<TableNumber>, &Value),
    ) -> Result<Vec<Pending>> {
        let Some(table) = table else { return Ok(Vec::new()) };
        let key = Key::of([number]);
        if !self.looked.insert((table, key.clone())) {
            return Ok(Vec::new());
        }
        let is_reborn = self.meanings.suspects(table, &key);
        self.look_at_row(work, &Pending { is_reborn, ..follow(cause, table, key)? })
    }

    /// A row whose key no index of ours may hold is never remembered: it is named as long as it stands.
    fn keep_here<A: Access>(&mut self, work: &Work<'_, A>, pending: &Pending, stands: bool) -> Result<()> {
        if stands {
            self.too_large.push((pending.table, pending.key.clone(), pending.key.0.len()));
            return Ok(());
        }
        work.db.hold_back(pending.table, &pending.key, None)
    }

    /// Where fewer rows stand than are remembered, finds those that are missing. Counting reads the table's smallest index, so it is
    /// done only after statements that can have hidden something.
    fn look_for_missing<A: Access>(&mut self, work: &mut Work<'_, A>, number: TableNumber) -> Result<()> {
        let Some(table) = work.registry.tracked(number).cloned() else { return Ok(()) };
        if table.schema.uniques.is_empty() {
            return Ok(());
        }
        let stand = work.db.count(&table)? as i64 - crate::scope::count_held_back(work.db, number)?;
        let drafted = self.rows.iter().zip(&self.events).filter(|(row, _)| row.table.number == number);
        let change: i64 = drafted
            .map(|(_, event)| match event.operation {
                Operation::Insert => 1,
                Operation::Update => 0,
                Operation::Delete => -1,
            })
            .sum();
        if row_states::shown_rows(work, number)? + change == stand {
            return Ok(());
        }
        for key in row_states::keys_shown(work.db, work.origins, number)? {
            let values = key.values().map_err(|source| Error::damaged("a key of a row state", source))?;
            let known = self.looked.contains(&(number, key.clone())) || work.db.is_parked(number, &key)?;
            if !known && work.db.read(&table, &values)?.is_none() {
                self.look(work, Pending::come_to(number, values, key, work.now))?;
            }
        }
        Ok(())
    }

    /// Rows that held a unique value which this one took: a REPLACE removed them, or they moved on.
    fn pushed_aside<A: Access>(
        &self,
        work: &Work<'_, A>,
        table: &Table,
        pending: &Pending,
        row: &[Value],
    ) -> Result<Vec<Pending>> {
        let holders = work.db.pushed_aside(table, &pending.key, row)?;
        holders.into_iter().map(|key| follow(pending, table.number, key)).collect()
    }

    /// Rows whose membership in the scope may have changed with this one's.
    fn dependants<A: Access>(
        &self,
        work: &mut Work<'_, A>,
        table: &Table,
        pending: &Pending,
        row: Option<&[Value]>,
        state: &RowState,
    ) -> Result<Vec<Pending>> {
        let before = shown_row(table, &pending.key, state);
        let mut keys = Vec::new();
        for image in [row, before.as_deref()].into_iter().flatten() {
            keys.extend(work.membership.dependants(work.db, work.registry, table, image)?);
        }
        keys.into_iter().map(|(number, key)| follow(pending, number, key)).collect()
    }

    fn insert<A: Access>(
        &mut self,
        work: &Work<'_, A>,
        table: &Arc<Table>,
        pending: &Pending,
        known: Known,
        row: Vec<Value>,
    ) -> Result<()> {
        let written = row.iter().cloned().enumerate().map(|(column, value)| (column as u16, value)).collect();
        let change = Drafted { written, after: Some(row), ..Drafted::of(Operation::Insert) };
        self.push(work, table, pending, known, change)
    }

    fn update<A: Access>(
        &mut self,
        work: &Work<'_, A>,
        table: &Arc<Table>,
        pending: &Pending,
        known: Known,
        row: Vec<Value>,
        word: Option<Word>,
    ) -> Result<()> {
        let state = &known.1;
        let (named, counted_anew) = match word {
            Some(Word::Named(columns, counted_anew)) => (columns, counted_anew),
            _ => (Vec::new(), false),
        };
        let differs = |position: usize, value: &Value| match state.shown_value(table.columns[position]) {
            Some(shown) => *shown != *value,
            // A column that no event ever wrote: new here since a migration. Its default is nobody's write.
            None => !is_default(&table.schema, position, value),
        };
        // What was deleted and stood for the sake of others lives by what is written now: by all of it.
        let revives = !show::exists(state, work.standing()?.policies.current().table(&table.schema.name).existence)
            && row.iter().enumerate().any(|(position, value)| differs(position, value));
        // What refers to another row by several columns is written whole: of two writes that meet, one counts in all of them.
        let refers_otherwise: BTreeSet<usize> = (table.schema.foreign_keys.iter())
            .filter(|key| key.columns.len() > 1 && key.columns.iter().any(|column| differs(*column, &row[*column])))
            .flat_map(|key| key.columns.iter().copied())
            .collect();
        let is_written = |position: usize, value: &Value| {
            let is_named = named.contains(&position)
                || refers_otherwise.contains(&position)
                || self.meanings.has_changed(table, position, value);
            (revives || is_named || differs(position, value)) && !table.schema.key.contains(&position)
        };
        let written: Vec<(u16, Value)> = (row.iter().enumerate())
            .filter(|(position, value)| is_written(*position, value))
            .map(|(position, value)| (position as u16, value.clone()))
            .collect();
        if written.is_empty() {
            return Ok(());
        }
        let anew = counted_anew.then(|| counted_anew_field(named.iter().map(|column| *column as u16)));
        let before = shown_row(table, &pending.key, state).unwrap_or_default();
        let extras = anew.into_iter().collect();
        let change = Drafted { before, written, after: Some(row), extras, ..Drafted::of(Operation::Update) };
        self.push(work, table, pending, known, change)
    }

    fn delete<A: Access>(
        &mut self,
        work: &Work<'_, A>,
        table: &Arc<Table>,
        pending: &Pending,
        known: Known,
        before: Vec<Value>,
        leaves: bool,
    ) -> Result<()> {
        let extras = leaves.then(|| (EXTRA_LEAVES_SCOPE, Vec::new())).into_iter().collect();
        self.push(work, table, pending, known, Drafted { before, extras, ..Drafted::of(Operation::Delete) })
    }

    fn push<A: Access>(
        &mut self,
        work: &Work<'_, A>,
        table: &Arc<Table>,
        pending: &Pending,
        (place, state): Known,
        change: Drafted,
    ) -> Result<()> {
        let Drafted { operation, mut before, mut written, after, mut extras } = change;
        let images = before.iter().chain(written.iter().map(|(_, value)| value));
        let bytes: usize = images.map(Value::weight).sum();
        if bytes > EVENT_BYTES_SEALED_MAX {
            self.too_large.push((table.number, pending.key.clone(), bytes));
            return Ok(());
        }
        if let Some(after) = &after {
            let beaten = collisions::beaten(work, table, &pending.key, &written, after)?;
            extras.extend((!beaten.is_empty()).then(|| beats_field(&beaten)));
        }
        // The capture time says when the user acted; it may not lie in our future, nor at or below what the row already knows.
        let captured = Lamport::at(pending.at.min(work.now));
        let earlier = self.after.get(&(table.number, pending.key.clone())).copied().unwrap_or_default();
        let lamport = captured.max(state.lamport_max().max(earlier).next());
        let birth = match (operation, state.birth()) {
            (Operation::Update | Operation::Delete, Some(birth)) => Birth::At(birth.dot),
            // Back again: who was told from others by its birth keeps it.
            (Operation::Insert, Some(birth)) if table.has_numbers_in_key() => Birth::At(birth.dot),
            _ => Birth::Here,
        };
        let stood = state.is_shown().then(|| before.clone());
        if table.meaning.iter().any(Option::is_some) {
            self.mean(work, table, (&pending.key, &state), &mut before, &mut written)?;
        }
        let event = Event {
            table: self.shape_number(table),
            operation,
            lamport,
            birth,
            before,
            written,
            salt: event_salt(&self.salt_secret, self.dot, self.events.len()),
            extras,
        };
        self.bytes += event.weight();
        self.events.push(event);
        self.rows.push(SealedRow { table: table.clone(), place, state, before: stood, after });
        self.names.push((table.number, pending.key.clone()));
        Ok(())
    }

    /// Says which rows the numbers in an event mean.
    fn mean<A: Access>(
        &mut self,
        work: &Work<'_, A>,
        table: &Table,
        (key, state): (&Key, &RowState),
        before: &mut [Value],
        written: &mut [(u16, Value)],
    ) -> Result<()> {
        let of_key = if state.is_known() {
            let identity = work.identity(table.number, key, state);
            identity.values().map_err(|source| Error::damaged("a key", source))?
        } else {
            Vec::new()
        };
        let own = |column: usize| {
            let part = table.schema.key.iter().position(|key| *key == column)?;
            of_key.get(part).cloned()
        };
        for (column, value) in before.iter_mut().enumerate().filter(|(column, _)| table.meaning[*column].is_some()) {
            let chosen = state.register(table.columns[column]).writes().last();
            let as_written = chosen.filter(|written| *written.value.plain() == *value).map(|written| &written.value);
            *value = match own(column).or_else(|| as_written.cloned()) {
                Some(meant) => meant,
                None => self.meanings.of(work, table, column, value)?,
            };
        }
        for (column, value) in written.iter_mut().filter(|(column, _)| table.meaning[usize::from(*column)].is_some()) {
            *value = match own(usize::from(*column)) {
                Some(meant) => meant,
                None => self.meanings.of(work, table, usize::from(*column), value)?,
            };
        }
        Ok(())
    }

    fn shape_number(&mut self, table: &Table) -> u16 {
        *self.shape_of.entry(table.number).or_insert_with(|| {
            self.shapes.push(table.shape.clone());
            self.shapes.len() as u16 - 1
        })
    }

    /// Signs, and takes the events into row states, log and version vector.
    fn finish<A: Access>(self, work: &mut Work<'_, A>, round: &mut Round) -> Result<Option<Changeset>> {
        if self.events.is_empty() {
            return Ok(None);
        }
        round.part += 1;
        let left = round.waiting.len().div_ceil(self.unit_rows) as u32;
        let header = Header {
            mesh: work.standing()?.mesh,
            dot: self.dot,
            previous: work.origins.get(&work.own).map_or_else(Default::default, |known| known.hash),
            epoch: work.standing()?.epoch,
            roster: work.standing()?.roster,
            context: work.context(&self.names)?,
            part: round.part,
            parts: round.part + left,
            sealed_at: work.now,
            lamport_max: self.events.iter().map(|event| event.lamport).max().unwrap_or_default(),
        };
        let changeset = Changeset::seal(header, self.shapes, self.events, &*work.standing()?.signer);
        log::append(work.db, work.origins, &changeset, &self.names, work.now)?;
        for ((event, (_, key)), row) in changeset.events().iter().zip(&self.names).zip(self.rows) {
            take_own(work, &changeset, event, key, row)?;
        }
        Ok(Some(changeset))
    }
}

/// Takes an event of our own into its row's state. The table already stands as the event left it.
fn take_own<A: Access>(
    work: &mut Work<'_, A>,
    changeset: &Changeset,
    event: &Event,
    key: &Key,
    row: SealedRow,
) -> Result<()> {
    let SealedRow { table, place, mut state, before, after } = row;
    let was_shown = state.is_shown();
    let before = before.as_deref();
    let context = &changeset.header().context;
    let identity = event.key(changeset.shape(event));
    let arrival = Arrival {
        event,
        dot: changeset.dot(),
        context,
        table: &table.schema.name,
        key: &identity,
        columns: &table.columns,
    };
    let (contested, lived) = (state.is_contested(), !state.live.is_empty());
    let merged = state.merge(&arrival);
    match &after {
        Some(after) => remember_shown(&table, &mut state, after),
        None => state.shown = Shown::Absent,
    }
    work.db.replace_claims(&table, key, before, after.as_deref())?;
    if merged.concurrent || contested || state.is_contested() {
        work.remember_rows(table.number, key, &mut state)?;
        let news = News::of(changeset, event, lived, !state.live.is_empty());
        work.refresh_ledger(table.number, key, &state, news)?;
    }
    if work.exceptions.any {
        doubt_exceptions(work, &table, key, &state, [before, after.as_deref()])?;
    }
    row_states::save_at(work, place, table.number, key, &state, was_shown)
}

/// Rows that do not show what was written to them may show it now: the application gave a unique value free or took it, a row that they refer to is
/// back, or nobody needs it any more.
fn doubt_exceptions<A: Access>(
    work: &mut Work<'_, A>,
    table: &Table,
    key: &Key,
    state: &RowState,
    images: [Option<&[Value]>; 2],
) -> Result<()> {
    orphans::doubt(work, table, key, images)?;
    let known = work.exceptions.of(work.db, table.number)?;
    if known.is_empty() {
        return Ok(());
    }
    let mut claims = collisions::claimed(table, images.into_iter().flatten());
    claims.extend(known.claims_of(key));
    if known.has(key) && collisions::not_shown(work, table, (key, state, false), images[1])?.is_empty() {
        let identity = work.identity(table.number, key, state);
        let tied = orphans::still_tied(work, table, key, state)?;
        if tied.is_empty() {
            work.tell(table.number, &identity, ConflictType::ForeignKey, &[])?;
        }
        work.exceptions.set(work.db, table.number, key, tied)?;
        work.tell(table.number, &identity, ConflictType::Unique, &[])?;
    }
    work.exceptions.doubt(work.db, table.number, &claims)
}

/// Whether the change that makes a row of what is remembered of it would be too large to travel.
pub fn is_too_large(table: &Table, key: &Key, state: &RowState, row: &[Value]) -> bool {
    let before: usize = shown_row(table, key, state).iter().flatten().map(Value::weight).sum();
    let differs =
        |(position, value): &(usize, &Value)| state.shown_value(table.columns[*position]).as_deref() != Some(*value);
    let written: usize = row.iter().enumerate().filter(differs).map(|(_, value)| value.weight()).sum();
    before + written > EVENT_BYTES_SEALED_MAX
}

/// Another row to look at because of this one.
fn follow(cause: &Pending, table: TableNumber, key: Key) -> Result<Pending> {
    let values = key.values().map_err(|source| Error::damaged("a key that was remembered", source))?;
    Ok(Pending::come_to(table, values, key, cause.at))
}
