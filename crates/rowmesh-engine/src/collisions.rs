//! Rows that claim a unique value which another row shows: who of them keeps it, what the others show, and what the ledger says of that. Finds the rows
//! by the application's own indexes and by what is remembered of exceptions; who comes first is `rowmesh_core::unique`'s business, writing the
//! rows `settle`'s. Asks only where the database has refused a row, or where an exception is near.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use rowmesh_core::ident::Dot;
use rowmesh_core::ledger::{ConflictType, Entry, EntryId, Left};
use rowmesh_core::policy::Strategy;
use rowmesh_core::row_state::{ColumnIx, RowState};
use rowmesh_core::schema::UniqueIndex;
use rowmesh_core::show::{self, Choice};
use rowmesh_core::unique::{self, Claim, Claimant, Instead};
use rowmesh_core::value::{ColumnName, Key, Value};

use crate::births;
use crate::database::Access;
use crate::fault::{Error, Result};
use crate::orphans;
use crate::passage::Passages;
use crate::registry::{Table, TableNumber};
use crate::row_states;
use crate::work::{Work, shown_row};
use crate::write::placed;

/// What a row shows where others keep what it claims.
#[derive(Clone, Default)]
pub struct Yielding {
    /// The columns, by position, in which it shows something else than was written.
    pub columns: Vec<(usize, Value)>,
    /// What it would show instead if others did not write that.
    pub passed_over: BTreeSet<Claim>,
    /// Why it cannot be shown at all, for people.
    pub hidden: Option<String>,
    /// What the ledger says of it.
    pub entries: Vec<Entry>,
}

/// A row, by table and key.
type Row = (TableNumber, Key);

/// Attempts at a suffix that nobody else shows. Two rows of one value have the same first one by a chance of one in a million.
const ATTEMPTS_MAX: u64 = 1_000;
const _: () = assert!(ATTEMPTS_MAX < unique::SUFFIXES);

/// Judges the rows that are exceptions, and those that claim, or give up, what an exception claims. To be called before anything is written.
pub fn judge_known<A: Access>(work: &mut Work<'_, A>, passages: &mut Passages) -> Result<()> {
    if !work.exceptions.any {
        return Ok(());
    }
    let mut concerned = Vec::new();
    let mut judge = Judge::new(work, passages);
    for passage in &passages.rows {
        let Some(table) = &passage.table else { continue };
        let known = work.exceptions.of(work.db, table.number)?;
        // A row that is hidden is not written, so that no refusal would tell of it.
        let is_hidden = passage.is_hidden() && has_told(table);
        if known.is_empty() && !is_hidden {
            continue;
        }
        let mut is_near = is_hidden || known.has(&passage.key);
        let shown = shown_row(table, &passage.key, &passage.state);
        let wanted = judge.wanted(&(table.number, passage.key.clone()))?;
        for row in [shown.as_ref(), wanted.as_deref()].into_iter().flatten() {
            for (_, claim) in unique::claims(&table.schema, row) {
                let mut others = known.claiming(&claim).filter(|key| **key != passage.key).peekable();
                is_near |= others.peek().is_some();
                concerned.extend(others.map(|key| (table.number, key.clone())));
            }
        }
        if is_near {
            concerned.push((table.number, passage.key.clone()));
        }
    }
    let verdicts = judge.judge(concerned)?;
    apply(work, passages, verdicts).map(drop)
}

/// Judges rows that the database refused, by their positions, and those that claim what they claim. Returns the positions of rows that are to be
/// written otherwise than they were.
pub fn judge_refused<A: Access>(
    work: &mut Work<'_, A>,
    passages: &mut Passages,
    refused: &[usize],
) -> Result<BTreeSet<usize>> {
    let concerned = refused.iter().filter_map(|position| {
        let passage = &passages.rows[*position];
        let table = passage.table.as_ref().filter(|table| has_told(table))?;
        (passage.orphaned.is_none()).then(|| (table.number, passage.key.clone()))
    });
    let concerned: Vec<Row> = concerned.collect();
    if concerned.is_empty() {
        return Ok(BTreeSet::new());
    }
    let verdicts = Judge::new(work, passages).judge(concerned)?;
    apply(work, passages, verdicts)
}

/// What a row claims and does not show, where this stands for it. `is_restored` tells whether it should stand though it was deleted.
pub fn not_shown<A: Access>(
    work: &Work<'_, A>,
    table: &Table,
    (key, state, is_restored): (&Key, &RowState, bool),
    row: Option<&[Value]>,
) -> Result<BTreeSet<Claim>> {
    if !has_told(table) {
        return Ok(BTreeSet::new());
    }
    let Some(wanted) = wanted(work, table, (key, state, is_restored))? else { return Ok(BTreeSet::new()) };
    let shown: BTreeSet<Claim> =
        row.into_iter().flat_map(|row| unique::claims(&table.schema, row)).map(|(_, claim)| claim).collect();
    Ok(unique::claims(&table.schema, &wanted).map(|(_, claim)| claim).filter(|claim| !shown.contains(claim)).collect())
}

/// Everything that rows in these images claim.
pub fn claimed<'r>(table: &Table, rows: impl IntoIterator<Item = &'r [Value]>) -> BTreeSet<Claim> {
    let rows = rows.into_iter().filter(|row| !row.is_empty());
    let claims = rows.flat_map(|row| unique::claims(&table.schema, row).map(|(_, claim)| claim).collect::<Vec<_>>());
    claims.collect()
}

/// The claims of other rows that give way to what a row writes here: nobody shows what they claim.
pub fn beaten<A: Access>(
    work: &Work<'_, A>,
    table: &Arc<Table>,
    key: &Key,
    written: &[(u16, Value)],
    row: &[Value],
) -> Result<Vec<(Key, Dot)>> {
    let mut beaten = Vec::new();
    if !work.exceptions.any || !has_told(table) {
        return Ok(beaten);
    }
    let known = work.exceptions.of(work.db, table.number)?;
    let is_written = |index: &UniqueIndex| {
        index.parts.iter().flatten().any(|part| written.iter().any(|(column, _)| usize::from(*column) == part.column))
    };
    for (index, claim) in unique::claims(&table.schema, row).filter(|(index, _)| is_written(index)) {
        for other in known.claiming(&claim).filter(|other| *other != key) {
            let state = row_states::load(work.db, work.origins, table.number, other)?;
            if let Some(claimant) = claimant(work, table, index, other, &state)? {
                beaten.push((work.identity(table.number, other, &state), claimant.written.dot));
            }
        }
    }
    beaten.sort();
    beaten.dedup();
    beaten.truncate(rowmesh_core::limits::CLAIMS_BEATEN_MAX);
    Ok(beaten)
}

/// The indexes that can be judged, by their columns: what they are called differs from node to node.
fn told_in_order(table: &Table) -> Vec<(usize, &UniqueIndex)> {
    let columns = |index: &UniqueIndex| -> Vec<ColumnName> {
        index.parts.iter().flatten().map(|part| table.schema.columns[part.column].name.clone()).collect()
    };
    let told = table.schema.uniques.iter().enumerate().filter(|(_, index)| index.is_told);
    let mut told: Vec<(usize, &UniqueIndex)> = told.collect();
    told.sort_by_cached_key(|(_, index)| columns(index));
    told
}

fn has_told(table: &Table) -> bool {
    table.schema.uniques.iter().any(|index| index.is_told)
}

/// What was written to a row, in the order of its table, as it was written; `None` if it does not stand.
fn chosen<A: Access>(
    work: &Work<'_, A>,
    table: &Table,
    (key, state, is_restored): (&Key, &RowState, bool),
) -> Result<Option<Vec<Value>>> {
    let (policies, names) = (&work.standing()?.policies, work.registry.column_names(table.number));
    let Choice::Present(image) =
        show::show_row(state, policies.current().table(&table.schema.name), names, is_restored)
    else {
        return Ok(None);
    };
    let values = key.values().map_err(|source| Error::damaged("a key", source))?;
    Ok(Some(placed(table, &values, &image).1))
}

/// What a row would show if there were no others, as it would stand here; `None` if it does not stand, or cannot.
fn wanted<A: Access>(work: &Work<'_, A>, table: &Table, of: (&Key, &RowState, bool)) -> Result<Option<Vec<Value>>> {
    let Some(mut row) = chosen(work, table, of)? else { return Ok(None) };
    births::row_in_places(work, table, &mut row)?;
    for (column, value) in row.iter_mut().enumerate() {
        if !work.db.fits(table, column, value)? {
            return Ok(None);
        }
    }
    Ok(Some(row))
}

fn claimant<A: Access>(
    work: &Work<'_, A>,
    table: &Table,
    index: &UniqueIndex,
    key: &Key,
    state: &RowState,
) -> Result<Option<Claimant>> {
    let columns: Vec<ColumnIx> = index.parts.iter().flatten().map(|part| table.columns[part.column]).collect();
    let policies = &work.standing()?.policies;
    let policy = policies.current().table(&table.schema.name);
    let claimant = Claimant::of(key.clone(), state, policy, &columns, work.registry.column_names(table.number));
    let Some(mut claimant) = claimant else { return Ok(None) };
    for (key, _) in &mut claimant.beats {
        *key = births::place_of(work, table, key)?;
    }
    Ok(Some(claimant))
}

/// What was found out of rows and claims, as the states are now.
struct Judge<'j, 'w, A> {
    work: &'j Work<'w, A>,
    passages: &'j Passages,
    wanted: HashMap<Row, Option<Rc<Vec<Value>>>>,
    /// Rows on their way, by what they claim.
    claiming: HashMap<TableNumber, HashMap<Claim, Vec<Key>>>,
    groups: HashMap<(TableNumber, Claim), Rc<Group>>,
    /// What rows show instead of what they claim, as far as it was asked for.
    instead: HashMap<Row, Rc<Shows>>,
}

/// The rows that have to do with one value.
struct Group {
    /// Those that claim it, the first first.
    claimants: Vec<Claimant>,
    /// Those, and whoever shows it or wanted to show it in the place of another.
    near: BTreeSet<Key>,
}

/// What a row shows, and where it gave way.
#[derive(Default)]
struct Shows {
    row: Vec<Value>,
    columns: BTreeSet<usize>,
    /// What it would show instead if others did not write that.
    passed_over: BTreeSet<Claim>,
    lost: Vec<Lost>,
    is_hidden: bool,
}

/// An index in which another row comes first.
struct Lost {
    index: usize,
    own: Claimant,
    first: Claimant,
}

type Verdicts = Vec<(Row, Yielding)>;

impl<'j, 'w, A: Access> Judge<'j, 'w, A> {
    fn new(work: &'j Work<'w, A>, passages: &'j Passages) -> Judge<'j, 'w, A> {
        Judge {
            work,
            passages,
            wanted: HashMap::new(),
            claiming: HashMap::new(),
            groups: HashMap::new(),
            instead: HashMap::new(),
        }
    }

    /// Judges these rows and all that claim what they claim.
    fn judge(mut self, rows: Vec<Row>) -> Result<Verdicts> {
        let mut queue = VecDeque::from(rows);
        let (mut seen, mut verdicts) = (BTreeSet::new(), Vec::new());
        let mut asked = BTreeSet::new();
        while let Some(row) = queue.pop_front() {
            if !seen.insert(row.clone()) {
                continue;
            }
            let Some(table) = self.work.registry.tracked(row.0).cloned() else { continue };
            if let Some(wanted) = self.wanted(&row)? {
                for (index, claim) in unique::claims(&table.schema, &wanted) {
                    let group = self.group(&table, index, claim, &wanted)?;
                    if asked.insert((row.0, claim)) {
                        queue.extend(group.near.iter().map(|key| (row.0, key.clone())));
                    }
                }
            }
            verdicts.push((row.clone(), self.verdict(&table, &row)?));
        }
        Ok(verdicts)
    }

    fn state(&self, row: &Row) -> Result<RowState> {
        match self.passages.position(row) {
            Some(position) => Ok(self.passages.rows[position].state.clone()),
            None => row_states::load(self.work.db, self.work.origins, row.0, &row.1),
        }
    }

    /// The same, and whether the row stands, or should, though it was deleted.
    fn state_of(&self, table: &Table, row: &Row) -> Result<(RowState, bool)> {
        let state = self.state(row)?;
        let kin = self.passages.position(row).and_then(|position| self.passages.rows[position].kin.as_ref());
        let is_restored = match kin {
            Some(kin) => kin.restored,
            None => orphans::is_restored(self.work, table, &row.1, &state)?,
        };
        Ok((state, is_restored))
    }

    fn wanted(&mut self, row: &Row) -> Result<Option<Rc<Vec<Value>>>> {
        if let Some(known) = self.wanted.get(row) {
            return Ok(known.clone());
        }
        let wanted = match self.work.registry.tracked(row.0).cloned() {
            Some(table) => {
                let (state, is_restored) = self.state_of(&table, row)?;
                wanted(self.work, &table, (&row.1, &state, is_restored))?.map(Rc::new)
            }
            None => None,
        };
        self.wanted.insert(row.clone(), wanted.clone());
        Ok(wanted)
    }

    /// The rows that have to do with a value that a row claims, or would show.
    fn group(&mut self, table: &Arc<Table>, index: &UniqueIndex, claim: Claim, row: &[Value]) -> Result<Rc<Group>> {
        if let Some(known) = self.groups.get(&(table.number, claim)) {
            return Ok(known.clone());
        }
        let mut near: BTreeSet<Key> = self.standing(table, index, row)?;
        near.extend(self.work.exceptions.of(self.work.db, table.number)?.claiming(&claim).cloned());
        near.extend(self.on_their_way(table, claim)?);
        let mut claimants = Vec::new();
        for key in &near {
            let row = (table.number, key.clone());
            let Some(wanted) = self.wanted(&row)? else { continue };
            if unique::claim(&table.schema, index, &wanted) == Some(claim) {
                let (state, is_restored) = self.state_of(table, &row)?;
                let claimant = claimant(self.work, table, index, key, &state)?;
                claimants.extend(claimant.map(|claimant| Claimant { is_restored, ..claimant }));
            }
        }
        unique::in_order(&mut claimants);
        let group = Rc::new(Group { claimants, near });
        self.groups.insert((table.number, claim), group.clone());
        Ok(group)
    }

    /// The rows of the table that hold these values.
    fn standing(&self, table: &Arc<Table>, index: &UniqueIndex, row: &[Value]) -> Result<BTreeSet<Key>> {
        let rows = self.work.db.holding(&table.schema, index, row)?;
        let mut keys = BTreeSet::new();
        for row in rows {
            let key = table.key_of(&row);
            let is_known = self.passages.position(&(table.number, key.clone())).is_some()
                || self.state(&(table.number, key.clone()))?.is_shown();
            if is_known {
                keys.insert(key);
            } else if self.work.db.held_back(table.number, &key)?.is_none() {
                let key = key.values().map_err(|source| Error::damaged("a key", source))?;
                return Err(Error::Unnoticed { table: table.number, key });
            }
        }
        Ok(keys)
    }

    /// Rows that are about to be written and claim this.
    fn on_their_way(&mut self, table: &Arc<Table>, claim: Claim) -> Result<Vec<Key>> {
        if !self.claiming.contains_key(&table.number) {
            let mut claiming: HashMap<Claim, Vec<Key>> = HashMap::new();
            let passages = self.passages;
            for passage in passages.rows.iter().filter(|passage| passage.number == table.number) {
                let Some(wanted) = self.wanted(&(table.number, passage.key.clone()))? else { continue };
                for (_, claim) in unique::claims(&table.schema, &wanted) {
                    claiming.entry(claim).or_default().push(passage.key.clone());
                }
            }
            self.claiming.insert(table.number, claiming);
        }
        Ok(self.claiming[&table.number].get(&claim).cloned().unwrap_or_default())
    }

    fn verdict(&mut self, table: &Arc<Table>, row: &Row) -> Result<Yielding> {
        let shows = self.shows(table, row)?;
        let columns = shows.columns.iter().map(|column| (*column, shows.row[*column].clone())).collect();
        let mut entries: Vec<Entry> = Vec::new();
        for lost in &shows.lost {
            let entry = self.entry(table, row, lost, shows.is_hidden)?;
            // A write that loses in several indexes by one column is told once.
            if entries.iter().all(|told| told.id != entry.id) {
                entries.push(entry);
            }
        }
        let hidden = shows.is_hidden.then(|| {
            let first = shows.lost.first().map_or_else(String::new, |lost| lost.first.key.to_display());
            format!("{} {first} has the same unique value, and it can show no other", table.schema.name)
        });
        Ok(Yielding { columns, passed_over: shows.passed_over.clone(), hidden, entries })
    }

    /// What a row shows, once those before it have what they show.
    fn shows(&mut self, table: &Arc<Table>, row: &Row) -> Result<Rc<Shows>> {
        if let Some(known) = self.instead.get(row) {
            return Ok(known.clone());
        }
        // Whoever asks for it again while it is being found out is told that it yields nowhere.
        let wanted = self.wanted(row)?.map_or_else(Vec::new, |wanted| wanted.to_vec());
        self.instead.insert(row.clone(), Rc::new(Shows { row: wanted, ..Shows::default() }));
        let shows = Rc::new(self.find_what_shows(table, row)?);
        self.instead.insert(row.clone(), shows.clone());
        Ok(shows)
    }

    fn find_what_shows(&mut self, table: &Arc<Table>, row: &Row) -> Result<Shows> {
        let Some(wanted) = self.wanted(row)? else { return Ok(Shows::default()) };
        let mut shows = Shows { row: wanted.to_vec(), ..Shows::default() };
        // In the order of the claims: each needs only those before it.
        let mut before: Vec<Key> = Vec::new();
        for (number, index) in told_in_order(table) {
            let Some(claim) = unique::claim(&table.schema, index, &wanted) else { continue };
            let group = self.group(table, index, claim, &wanted)?;
            let group = &group.claimants;
            let Some(own) = group.iter().position(|claimant| claimant.key == row.1).filter(|own| *own > 0) else {
                continue;
            };
            before.extend(group[..own].iter().map(|claimant| claimant.key.clone()));
            shows.lost.push(Lost { index: number, own: group[own].clone(), first: group[0].clone() });
            match unique::yielding(&table.schema, index) {
                Some(column) => drop(shows.columns.insert(column)),
                None => shows.is_hidden = true,
            }
        }
        if shows.lost.is_empty() || shows.is_hidden {
            return Ok(shows);
        }
        let mut taken = BTreeSet::new();
        for key in before {
            let other = self.shows(table, &(table.number, key))?;
            taken.extend(claimed(table, [&*other.row]));
        }
        for form in [Instead::Suffix, Instead::Null] {
            if self.show_instead(table, row, (form, &taken), &mut shows)? {
                return Ok(shows);
            }
        }
        shows.is_hidden = true;
        Ok(shows)
    }

    /// Puts something else into the columns in which a row yields; `false` if that could not stand there.
    fn show_instead(
        &mut self,
        table: &Arc<Table>,
        row: &Row,
        (form, taken): (Instead, &BTreeSet<Claim>),
        shows: &mut Shows,
    ) -> Result<bool> {
        let Some(wanted) = self.wanted(row)? else { return Ok(false) };
        for attempt in 0..ATTEMPTS_MAX {
            for column in shows.columns.clone() {
                let Some(value) = self.derived(table, row, (form, attempt), (column, &wanted[column]))? else {
                    return Ok(false);
                };
                shows.row[column] = value;
            }
            if self.is_free(table, row, &shows.row, &wanted, taken)? {
                return self.work.db.admits(table, &shows.row);
            }
            shows.passed_over.extend(claimed(table, [&*shows.row]));
        }
        Ok(false)
    }

    /// What a row shows in one column in a form; what is no text has no suffix.
    fn derived(
        &self,
        table: &Table,
        row: &Row,
        (form, attempt): (Instead, u64),
        (column, wanted): (usize, &Value),
    ) -> Result<Option<Value>> {
        if form == Instead::Suffix
            && let Some(mut value) = unique::suffixed(wanted, &table.schema.name, &row.1, attempt)
            && self.work.db.fits(table, column, &mut value)?
        {
            return Ok(Some(value));
        }
        Ok((!table.schema.columns[column].not_null).then_some(Value::Null))
    }

    /// Whether nobody writes what a row shows instead, and no row before it shows that: what is derived never displaces what is written.
    fn is_free(
        &mut self,
        table: &Arc<Table>,
        row: &Row,
        shown: &[Value],
        wanted: &[Value],
        taken: &BTreeSet<Claim>,
    ) -> Result<bool> {
        for (index, claim) in unique::claims(&table.schema, shown) {
            if unique::claim(&table.schema, index, wanted) == Some(claim) {
                continue;
            }
            let group = self.group(table, index, claim, shown)?;
            if taken.contains(&claim) || group.claimants.iter().any(|claimant| claimant.key != row.1) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn entry(&mut self, table: &Arc<Table>, row: &Row, lost: &Lost, is_hidden: bool) -> Result<Entry> {
        let index = &table.schema.uniques[lost.index];
        let last = index.parts.iter().flatten().next_back().map_or(0, |part| part.column);
        let column = unique::yielding(&table.schema, index).unwrap_or(last);
        let name = |column: usize| table.schema.columns[column].name.clone();
        // As they were written: how values stand differs between kinds of databases.
        let wrote = |row: &Row| {
            let (state, is_restored) = self.state_of(table, row)?;
            chosen(self.work, table, (&row.1, &state, is_restored))
        };
        let (own, first) = (wrote(row)?, wrote(&(row.0, lost.first.key.clone()))?);
        let keeps = table.schema.key.iter().copied().chain([column]);
        let keeps = keeps.filter_map(|column| Some((name(column), first.as_ref()?[column].clone()))).collect();
        Ok(Entry {
            id: EntryId {
                table: table.schema.name.clone(),
                key: row.1.clone(),
                loser: lost.own.written.dot,
                column: Some(name(column)),
            },
            kind: ConflictType::Unique,
            strategy: if is_hidden { Strategy::ManualResolution } else { Strategy::KeepBoth },
            losing: lost.own.written,
            winning: lost.first.written,
            lost: Left::Value(own.map_or(Value::Null, |own| own[column].clone())),
            won: Left::Written(keeps),
            common_value: None,
            superseded: false,
        })
    }
}

/// Tells the rows what they show; those that were not on their way are taken along. Returns the positions of those that show something else than was
/// said of them before.
fn apply<A: Access>(work: &mut Work<'_, A>, passages: &mut Passages, verdicts: Verdicts) -> Result<BTreeSet<usize>> {
    let mut changed = BTreeSet::new();
    for (row, yielding) in verdicts {
        let (position, is_new) = passages.take_along(work, row)?;
        let passage = &mut passages.rows[position];
        let says = |yielding: &Yielding| (yielding.columns.clone(), yielding.hidden.is_some());
        let before = passage.yielding.as_ref().map(says).unwrap_or_default();
        if is_new || before != says(&yielding) {
            changed.insert(position);
        }
        passage.yielding = Some(yielding);
    }
    Ok(changed)
}
