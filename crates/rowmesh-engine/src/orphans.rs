//! Rows that refer to one which somebody deleted without knowing of them: which deleted rows are shown again for their sake, which rows are hidden or
//! show NULL instead, and what the ledger says of that. A pure function of the rows' states; which rows have a part in it is found by the
//! application's own foreign keys and by what is remembered of exceptions. Asks only where the database has refused a row, or where an exception is
//! near. Writing the rows is `settle`'s business.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use rowmesh_core::ledger::{ConflictType, Entry, EntryId, Left};
use rowmesh_core::orphans::{self, referred, tie};
use rowmesh_core::policy::{OrphanPolicy, Strategy, TablePolicy};
use rowmesh_core::row_state::{RowState, Stamp};
use rowmesh_core::schema::ForeignKey;
use rowmesh_core::scope::Decision;
use rowmesh_core::show;
use rowmesh_core::unique::Claim;
use rowmesh_core::value::{Key, Value};

use crate::births;
use crate::database::Access;
use crate::fault::{Error, Result};
use crate::log;
use crate::passage::{Passage, Passages};
use crate::registry::{Table, TableNumber};
use crate::row_states;
use crate::work::{Work, shown_row};
use crate::write::placed;

/// What became of a row because one that it refers to, or itself, was deleted.
#[derive(Clone, Default)]
pub struct Kin {
    /// Whether it was deleted and stands because others need it.
    pub restored: bool,
    /// Why it is not shown though it lives, for people.
    pub hidden: Option<String>,
    /// The columns, by position, in which it shows NULL.
    pub nulls: BTreeSet<usize>,
    /// What is to be remembered of it.
    pub ties: BTreeSet<Claim>,
    /// What the ledger says of it.
    pub entries: Vec<Entry>,
}

/// A row, by table and key.
type Row = (TableNumber, Key);

/// Rows that are read first of those that refer to one.
const FIRST_FEW: usize = 32;

/// A reference of a row to one of another: the position of the foreign key in its schema, and the row that it names.
type Reference = (usize, Row);

/// Judges rows that refer to deleted ones, those that were deleted, and those that are about to be written and have to do with them. To be called
/// before anything is written, and before anything is asked about unique values.
pub fn judge_known<A: Access>(work: &mut Work<'_, A>, passages: &mut Passages) -> Result<()> {
    if !work.exceptions.any {
        return Ok(());
    }
    let mut concerned = BTreeSet::new();
    for passage in &passages.rows {
        concerned.extend(known_near(work, passage)?);
    }
    judge(work, passages, concerned).map(drop)
}

/// Judges rows that the database refused, by their positions, and those that they refer to or that refer to them. Returns the positions of rows that
/// are to be written otherwise than they were.
pub fn judge_refused<A: Access>(
    work: &mut Work<'_, A>,
    passages: &mut Passages,
    refused: &[usize],
) -> Result<BTreeSet<usize>> {
    let concerned = refused.iter().filter_map(|position| {
        let passage = &passages.rows[*position];
        let table = passage.table.as_ref()?;
        (passage.orphaned.is_none() && has_kin(work, table)).then(|| (table.number, passage.key.clone()))
    });
    let concerned: BTreeSet<Row> = concerned.collect();
    judge(work, passages, concerned)
}

/// What a row that should stand and does not waits for: everything that it refers to.
pub fn ties_of_absent<A: Access>(
    work: &Work<'_, A>,
    table: &Table,
    key: &Key,
    state: &RowState,
    is_restored: bool,
) -> Result<BTreeSet<Claim>> {
    if !is_restored && !show::exists(state, policy(work, table)?.existence) {
        return Ok(BTreeSet::new());
    }
    Ok(written(work, table, key, state)?.map_or_else(BTreeSet::new, |row| waits_for(work, table, &row)))
}

/// What a row that was deleted and stands is remembered by.
pub fn own_tie<A: Access>(work: &Work<'_, A>, table: &Table, key: &Key, state: &RowState) -> Result<BTreeSet<Claim>> {
    let stands_restored = state.is_shown() && !show::exists(state, policy(work, table)?.existence);
    Ok(stands_restored.then(|| tie(&table.schema.name, key)).into_iter().collect())
}

/// The rows that one refers to.
fn waits_for<A: Access>(work: &Work<'_, A>, table: &Table, row: &[Value]) -> BTreeSet<Claim> {
    references(work, table, row).into_iter().filter_map(|(_, parent)| tie_of(work, &parent)).collect()
}

/// Says that rows which have to do with one, as it stood and as it stands, are to be looked at again.
pub fn doubt<A: Access>(work: &mut Work<'_, A>, table: &Table, key: &Key, images: [Option<&[Value]>; 2]) -> Result<()> {
    let own = BTreeSet::from([tie(&table.schema.name, key)]);
    for child in referring_by_key(work, table) {
        work.exceptions.doubt(work.db, child.number, &own)?;
    }
    work.exceptions.doubt(work.db, table.number, &own)?;
    for row in images.into_iter().flatten().filter(|row| !row.is_empty()) {
        for (_, parent) in references(work, table, row) {
            let Some(tie) = tie_of(work, &parent) else { continue };
            work.exceptions.doubt(work.db, parent.0, &BTreeSet::from([tie]))?;
        }
    }
    Ok(())
}

/// Whether a row that is on no way stands though it was deleted.
pub fn is_restored<A: Access>(work: &Work<'_, A>, table: &Table, key: &Key, state: &RowState) -> Result<bool> {
    if !state.is_shown() || show::exists(state, policy(work, table)?.existence) {
        return Ok(false);
    }
    let known = work.exceptions.of(work.db, table.number)?;
    Ok(known.claims_of(key).any(|claim| *claim == tie(&table.schema.name, key)))
}

/// Those of the ties that are remembered of a row which may still hold for it as it stands.
pub fn still_tied<A: Access>(
    work: &Work<'_, A>,
    table: &Table,
    key: &Key,
    state: &RowState,
) -> Result<BTreeSet<Claim>> {
    let mut ties = BTreeSet::from([tie(&table.schema.name, key)]);
    if let Some(row) = written(work, table, key, state)? {
        ties.extend(waits_for(work, table, &row));
    }
    let known = work.exceptions.of(work.db, table.number)?;
    Ok(known.claims_of(key).filter(|claim| ties.contains(claim)).copied().collect())
}

/// Whether rows of a table refer to others by their keys, or are referred to so.
fn has_kin<A>(work: &Work<'_, A>, table: &Table) -> bool {
    let refers = |reference| parent_of(work, reference).is_some();
    table.schema.foreign_keys.iter().any(refers) || !referring_by_key(work, table).is_empty()
}

/// The table that a foreign key refers to by its key, if it is here.
fn parent_of<'w, A>(work: &'w Work<'_, A>, reference: &ForeignKey) -> Option<&'w Arc<Table>> {
    work.registry.tracked_by_name(&reference.parent).filter(|parent| orphans::is_by_key(reference, &parent.schema))
}

fn referring_by_key<A>(work: &Work<'_, A>, table: &Table) -> Vec<Arc<Table>> {
    let refers =
        |reference: &ForeignKey| reference.parent == table.schema.name && orphans::is_by_key(reference, &table.schema);
    let referring = work.registry.referring_to(&table.schema.name);
    referring.filter(|child| child.schema.foreign_keys.iter().any(refers)).cloned().collect()
}

/// What a row refers to.
fn references<A>(work: &Work<'_, A>, table: &Table, row: &[Value]) -> Vec<Reference> {
    let named = table.schema.foreign_keys.iter().enumerate().filter_map(|(position, reference)| {
        let parent = parent_of(work, reference)?;
        Some((position, (parent.number, referred(reference, &parent.schema, row)?)))
    });
    named.collect()
}

fn tie_of<A>(work: &Work<'_, A>, row: &Row) -> Option<Claim> {
    work.registry.name(row.0).map(|name| tie(name, &row.1))
}

fn policy<'p, A: Access>(work: &'p Work<'_, A>, table: &Table) -> Result<&'p TablePolicy> {
    Ok(work.standing()?.policies.current().table(&table.schema.name))
}

/// What was written to a row last, in the order of its table, whether or not it stands; `None` if nothing ever was.
fn written<A: Access>(work: &Work<'_, A>, table: &Table, key: &Key, state: &RowState) -> Result<Option<Vec<Value>>> {
    let Some(mut row) = as_written(work, table, key, state)? else { return Ok(None) };
    births::row_in_places(work, table, &mut row)?;
    Ok(Some(row))
}

/// The same as its writers meant it.
fn as_written<A: Access>(work: &Work<'_, A>, table: &Table, key: &Key, state: &RowState) -> Result<Option<Vec<Value>>> {
    let image = show::image(state, policy(work, table)?, work.registry.column_names(table.number));
    if image.is_empty() {
        return Ok(None);
    }
    let values = key.values().map_err(|source| Error::damaged("a key", source))?;
    Ok(Some(placed(table, &values, &image).1))
}

/// Rows to be judged because one of them is about to be written: itself, what it refers to or did, and what refers to it, as far as exceptions tell.
fn known_near<A: Access>(work: &Work<'_, A>, passage: &Passage) -> Result<Vec<Row>> {
    let Some(table) = &passage.table else { return Ok(Vec::new()) };
    let of = |table: TableNumber| work.exceptions.of(work.db, table);
    let own = (table.number, passage.key.clone());
    let own_tie = tie(&table.schema.name, &passage.key);
    let known = of(table.number)?;
    let mut near = Vec::new();
    for child in referring_by_key(work, table) {
        if of(child.number)?.claiming(&own_tie).next().is_some() {
            near.push(own.clone());
        }
    }
    let parents: BTreeSet<TableNumber> =
        table.schema.foreign_keys.iter().filter_map(|key| Some(parent_of(work, key)?.number)).collect();
    let mut ties: BTreeSet<Claim> = known.claims_of(&passage.key).copied().collect();
    if !ties.is_empty() {
        near.push(own.clone());
    }
    let mut any_known = false;
    for parent in &parents {
        any_known |= !of(*parent)?.is_empty();
    }
    if !any_known {
        return Ok(near);
    }
    let shown = shown_row(table, &passage.key, &passage.state);
    let written = written(work, table, &passage.key, &passage.state)?;
    for row in [shown, written].into_iter().flatten() {
        ties.extend(waits_for(work, table, &row));
    }
    for parent in parents {
        let known = of(parent)?;
        for tied in &ties {
            let themselves = known.claiming(tied).map(|key| (parent, key.clone()));
            for row in themselves.filter(|row| tie_of(work, row) == Some(*tied)) {
                near.extend([row, own.clone()]);
            }
        }
    }
    Ok(near)
}

fn judge<A: Access>(
    work: &mut Work<'_, A>,
    passages: &mut Passages,
    concerned: BTreeSet<Row>,
) -> Result<BTreeSet<usize>> {
    if concerned.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut judge = Judge::new(work, passages);
    judge.note_passages()?;
    let verdicts = judge.judge(concerned)?;
    apply(work, passages, verdicts)
}

/// Tells the rows what became of them; those that were not on their way are taken along. Returns the positions of those that are to be written
/// otherwise than was said before.
fn apply<A: Access>(
    work: &mut Work<'_, A>,
    passages: &mut Passages,
    verdicts: BTreeMap<Row, Kin>,
) -> Result<BTreeSet<usize>> {
    let mut changed = BTreeSet::new();
    for (row, kin) in verdicts {
        let (position, is_new) = passages.take_along(work, row)?;
        let passage = &mut passages.rows[position];
        let says = |kin: &Kin| (kin.restored, kin.hidden.is_some(), kin.nulls.clone());
        if is_new || passage.kin.as_ref().map(says).unwrap_or_default() != says(&kin) {
            changed.insert(position);
        }
        passage.kin = Some(kin);
    }
    Ok(changed)
}

/// What was found out of rows, as the states are now.
struct Judge<'j, 'w, A> {
    work: &'j mut Work<'w, A>,
    passages: &'j Passages,
    states: HashMap<Row, Rc<RowState>>,
    /// By row the rows that refer to it, as far as they are on their way or were judged: others are found in their tables.
    referring: HashMap<Row, BTreeSet<Row>>,
    /// Of deleted rows whether others need them.
    needed: HashMap<Row, bool>,
    queue: VecDeque<Row>,
    judged: BTreeMap<Row, Kin>,
}

/// What a row refers to and lacks.
struct Lacking<'l> {
    reference: &'l ForeignKey,
    parent: Row,
    /// The write that refers to it.
    written: Stamp,
}

impl<'j, 'w, A: Access> Judge<'j, 'w, A> {
    fn new(work: &'j mut Work<'w, A>, passages: &'j Passages) -> Judge<'j, 'w, A> {
        Judge {
            work,
            passages,
            states: HashMap::new(),
            referring: HashMap::new(),
            needed: HashMap::new(),
            queue: VecDeque::new(),
            judged: BTreeMap::new(),
        }
    }

    /// What rows on their way refer to: they do not stand in their tables yet.
    fn note_passages(&mut self) -> Result<()> {
        let passages = self.passages;
        for passage in &passages.rows {
            let Some(table) = &passage.table else { continue };
            if table.schema.foreign_keys.is_empty() {
                continue;
            }
            if let Some(row) = written(self.work, table, &passage.key, &passage.state)? {
                self.note(&(table.number, passage.key.clone()), &references(self.work, table, &row));
            }
        }
        Ok(())
    }

    fn note(&mut self, row: &Row, references: &[Reference]) {
        for (_, parent) in references {
            self.referring.entry(parent.clone()).or_default().insert(row.clone());
        }
    }

    fn judge(mut self, rows: BTreeSet<Row>) -> Result<BTreeMap<Row, Kin>> {
        self.queue.extend(rows);
        while let Some(row) = self.queue.pop_front() {
            let Some(table) = self.table(row.0)? else { continue };
            if !self.judged.contains_key(&row) {
                // Whoever comes to it meanwhile need not ask for it again.
                self.judged.insert(row.clone(), Kin::default());
                let kin = self.kin(&table, &row)?;
                self.judged.insert(row, kin);
            }
        }
        Ok(self.judged)
    }

    /// A table in which rows are shown.
    fn table(&self, number: TableNumber) -> Result<Option<Arc<Table>>> {
        let Some(table) = self.work.registry.tracked(number) else { return Ok(None) };
        let travels = matches!(self.work.standing()?.scope.tables.decide(&table.schema.name), Decision::Sync);
        Ok(travels.then(|| table.clone()))
    }

    fn state(&mut self, row: &Row) -> Result<Rc<RowState>> {
        if let Some(known) = self.states.get(row) {
            return Ok(known.clone());
        }
        let state = Rc::new(match self.passages.position(row) {
            Some(position) => self.passages.rows[position].state.clone(),
            None => row_states::load(self.work.db, self.work.origins, row.0, &row.1)?,
        });
        self.states.insert(row.clone(), state.clone());
        Ok(state)
    }

    fn lives(&mut self, table: &Table, row: &Row) -> Result<bool> {
        let state = self.state(row)?;
        Ok(show::exists(&state, policy(self.work, table)?.existence))
    }

    fn was_deleted(&mut self, table: &Table, row: &Row) -> Result<bool> {
        Ok(!self.lives(table, row)? && orphans::was_deleted(&*self.state(row)?))
    }

    fn kin(&mut self, table: &Arc<Table>, row: &Row) -> Result<Kin> {
        let mut kin = Kin::default();
        let waiting = self.waiting(table, row)?;
        if self.lives(table, row)? {
            self.queue.extend(waiting);
            self.find_parents(table, row, &mut kin)?;
            return Ok(kin);
        }
        if !self.was_deleted(table, row)? {
            return Ok(kin);
        }
        kin.restored = self.is_needed(row)?;
        let mut others = waiting;
        if kin.restored {
            self.find_parents(table, row, &mut kin)?;
            kin.entries.extend(self.deletes_lost(table, row)?);
        } else {
            self.let_parents_go(table, row)?;
            others.extend(self.living(table, row)?);
        }
        if kin.restored || !others.is_empty() {
            kin.ties.insert(tie(&table.schema.name, &row.1));
        }
        self.queue.extend(others);
        Ok(kin)
    }

    /// Rows that do not stand as they should because this one did not.
    fn waiting(&self, table: &Table, row: &Row) -> Result<Vec<Row>> {
        let own_tie = tie(&table.schema.name, &row.1);
        let mut waiting = Vec::new();
        for child in referring_by_key(self.work, table) {
            let known = self.work.exceptions.of(self.work.db, child.number)?;
            let others = known.claiming(&own_tie).map(|key| (child.number, key.clone()));
            waiting.extend(others.filter(|other| other != row));
        }
        Ok(waiting)
    }

    /// Rows that may refer to this one: those that stand, of each table at most `limit`, those that wait for it, and those on their way.
    fn referring(&self, table: &Table, row: &Row, limit: Option<usize>) -> Result<BTreeSet<Row>> {
        let mut found = self.referring.get(row).cloned().unwrap_or_default();
        found.extend(self.waiting(table, row)?);
        let values = row.1.values().map_err(|source| Error::damaged("a key", source))?;
        for child in referring_by_key(self.work, table) {
            for reference in child.schema.foreign_keys.iter().filter(|key| key.parent == table.schema.name) {
                if !orphans::is_by_key(reference, &table.schema) {
                    continue;
                }
                let names =
                    reference.columns.iter().map(|column| &child.schema.columns[*column].name).collect::<Vec<_>>();
                let place = |name| table.schema.key_names().position(|key| key == name);
                let meant = reference.parent_columns.iter().filter_map(|name| Some(values[place(name)?].clone()));
                let rows = self.work.db.rows_where(&child.schema, &names, &meant.collect::<Vec<_>>(), limit)?;
                found.extend(rows.iter().map(|row| (child.number, child.key_of(row))));
            }
        }
        found.remove(row);
        Ok(found)
    }

    /// Those of them that live.
    fn living(&mut self, table: &Table, row: &Row) -> Result<Vec<Row>> {
        let mut living = Vec::new();
        for other in self.referring(table, row, None)? {
            let Some(of) = self.table(other.0)? else { continue };
            if self.lives(&of, &other)? {
                living.push(other);
            }
        }
        Ok(living)
    }

    /// Whether a living row refers to this one by a reference that no delete of it had seen, be it by way of others that were deleted, or that refer to
    /// what was deleted together with them.
    fn is_needed(&mut self, row: &Row) -> Result<bool> {
        if let Some(known) = self.needed.get(row) {
            return Ok(*known);
        }
        // Of many that refer to it, the first few nearly always tell.
        let is_needed = self.is_held(row, Some(FIRST_FEW))? || self.is_held(row, None)?;
        self.needed.insert(row.clone(), is_needed);
        Ok(is_needed)
    }

    fn is_held(&mut self, row: &Row, limit: Option<usize>) -> Result<bool> {
        let (mut waiting, mut holds) = (vec![row.clone()], HashMap::from([(row.clone(), None)]));
        while let Some(parent) = waiting.pop() {
            let Some(table) = self.table(parent.0)? else { continue };
            for child in self.referring(&table, &parent, limit)? {
                let Some(of) = self.table(child.0)? else { continue };
                let Some(written) = self.holds(&of, &child, &parent)? else { continue };
                let lives = self.lives(&of, &child)?;
                if lives && !self.had_seen(&parent, &of, &child, &written)? {
                    // By way of whom it is held, those have to remember.
                    let mut next = Some(parent);
                    while let Some(between) = next {
                        next = holds.remove(&between).flatten();
                        self.queue.push_back(between);
                    }
                    return Ok(true);
                }
                if (lives || self.was_deleted(&of, &child)?) && !holds.contains_key(&child) {
                    holds.insert(child.clone(), Some(parent.clone()));
                    waiting.push(child);
                }
            }
        }
        Ok(false)
    }

    /// The write by which a row holds another that it refers to; `None` if it holds it not.
    fn holds(&mut self, table: &Table, child: &Row, parent: &Row) -> Result<Option<Stamp>> {
        let state = self.state(child)?;
        for (reference, named) in self.references(table, child)? {
            if named == *parent && self.rule(table, reference) == OrphanPolicy::RestoreParent {
                return self.written_by(table, &state, reference);
            }
        }
        Ok(None)
    }

    /// What a row refers to.
    fn references<'l>(&mut self, table: &'l Table, row: &Row) -> Result<Vec<(&'l ForeignKey, Row)>> {
        let state = self.state(row)?;
        let Some(image) = written(self.work, table, &row.1, &state)? else { return Ok(Vec::new()) };
        let references = references(self.work, table, &image);
        self.note(row, &references);
        Ok(references.into_iter().map(|(position, named)| (&table.schema.foreign_keys[position], named)).collect())
    }

    fn rule(&self, table: &Table, reference: &ForeignKey) -> OrphanPolicy {
        let names = reference.columns.iter().map(|column| &table.schema.columns[*column].name);
        policy(self.work, table).map_or_else(|_| OrphanPolicy::default(), |policy| policy.reference(names))
    }

    /// The deleted rows that a row refers to.
    fn lacking<'l>(&mut self, table: &'l Table, row: &Row) -> Result<Vec<Lacking<'l>>> {
        let state = self.state(row)?;
        let mut lacking = Vec::new();
        for (reference, parent) in self.references(table, row)? {
            let Some(of) = self.table(parent.0)? else { continue };
            if self.was_deleted(&of, &parent)? {
                let written = self.written_by(table, &state, reference)?;
                lacking.extend(written.map(|written| Lacking { reference, parent, written }));
            } else if self.work.exceptions.of(self.work.db, parent.0)?.has(&parent.1) {
                // It may be hidden, and come back if somebody needs it.
                self.queue.push_back(parent);
            }
        }
        Ok(lacking)
    }

    /// The write by which a row refers to another: of several columns the latest.
    fn written_by(&self, table: &Table, state: &RowState, reference: &ForeignKey) -> Result<Option<Stamp>> {
        let policy = policy(self.work, table)?;
        let stamps = reference.columns.iter().filter_map(|column| {
            let rule = policy.column(&table.schema.columns[*column].name);
            show::choose(state.register(table.columns[*column]), rule).map(|written| written.stamp)
        });
        Ok(stamps.max().or_else(|| state.birth().copied()))
    }

    /// Whether somebody who deleted a row had seen that another refers to it, and that one was gone there: where it was not, his database let him.
    fn had_seen(&mut self, parent: &Row, table: &Table, child: &Row, written: &Stamp) -> Result<bool> {
        let (deleted, living) = (self.state(parent)?, self.state(child)?);
        for delete in &deleted.deletes {
            let event =
                log::event_of(self.work.db, self.work.origins, self.work.decoded, parent.0, &parent.1, &delete.dot)?;
            let Some(event) = event else { continue };
            let identity = self.work.identity(child.0, &child.1, &living);
            let sees = |stamp: &Stamp| event.context.sees(&stamp.dot, &table.schema.name, &identity);
            let is_same = written.dot == delete.dot;
            if (is_same || sees(written)) && !living.live.iter().any(sees) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What becomes of a row that stands, or should, because of what it refers to.
    fn find_parents(&mut self, table: &Arc<Table>, row: &Row, kin: &mut Kin) -> Result<()> {
        let lives = self.lives(table, row)?;
        for (_, parent) in self.references(table, row)? {
            let position = self.passages.position(&parent).filter(|_| parent != *row);
            if position.is_some_and(|position| self.passages.rows[position].is_hidden()) {
                let name = self.work.registry.name(parent.0).map_or("?", |name| name);
                kin.hidden = Some(format!("it refers to {name} {}, which is hidden", parent.1.to_display()));
            }
        }
        for lacking in self.lacking(table, row)? {
            let Lacking { reference, parent, written } = lacking;
            let rule = self.rule(table, reference);
            let had_seen = lives && self.had_seen(&parent, table, row, &written)?;
            if rule == OrphanPolicy::RestoreParent {
                let is_needed = had_seen && self.is_needed(row)?;
                if is_needed {
                    kin.ties.extend(tie_of(self.work, row));
                }
                if is_needed || !had_seen {
                    self.restore(&parent)?;
                }
            }
            self.queue.push_back(parent.clone());
            if self.is_needed(&parent)? {
                continue;
            }
            let column =
                *reference.columns.last().ok_or_else(|| Error::inconsistent("a foreign key without columns"))?;
            let can_be_null =
                |column: &&usize| !table.schema.columns[**column].not_null && !table.schema.key.contains(column);
            let nulls: Vec<usize> = reference.columns.iter().filter(can_be_null).copied().collect();
            let strategy = if had_seen && rule == OrphanPolicy::RestoreParent {
                Strategy::ManualResolution
            } else {
                Strategy::BusinessRule
            };
            if rule == OrphanPolicy::SetNull && !nulls.is_empty() {
                kin.nulls.extend(nulls);
                kin.ties.extend(tie_of(self.work, &parent));
            } else {
                let name = self.work.registry.name(parent.0).map_or("?", |name| name);
                kin.hidden = Some(format!("it refers to {name} {}, which was deleted", parent.1.to_display()));
            }
            kin.entries.push(self.reference_lost(table, row, (column, written), &parent, strategy)?);
        }
        Ok(())
    }

    /// A row that stands needs a deleted one. Who was judged while that was not known is judged again.
    fn restore(&mut self, parent: &Row) -> Result<()> {
        if self.needed.insert(parent.clone(), true) == Some(false) {
            let Some(table) = self.table(parent.0)? else { return Ok(()) };
            for row in self.referring(&table, parent, None)?.into_iter().chain([parent.clone()]) {
                if self.judged.remove(&row).is_some() {
                    self.queue.push_back(row);
                }
            }
        }
        Ok(())
    }

    /// A row that does not stand needs nothing: whoever stood for its sake is judged again.
    fn let_parents_go(&mut self, table: &Arc<Table>, row: &Row) -> Result<()> {
        for lacking in self.lacking(table, row)? {
            let known = self.work.exceptions.of(self.work.db, lacking.parent.0)?;
            if known.has(&lacking.parent.1) {
                self.queue.push_back(lacking.parent);
            }
        }
        Ok(())
    }

    /// The deletes of a row that stands all the same.
    fn deletes_lost(&mut self, table: &Table, row: &Row) -> Result<Vec<Entry>> {
        let state = self.state(row)?;
        let stands = state.registers.iter().flat_map(|register| register.writes()).map(|written| written.stamp).max();
        let Some(winning) = stands.or_else(|| state.birth().copied()) else { return Ok(Vec::new()) };
        let image = as_written(self.work, table, &row.1, &state)?.unwrap_or_default();
        let names = table.schema.columns.iter().map(|column| column.name.clone());
        let stands_as: BTreeMap<_, _> = names.zip(image).collect();
        let entry = |delete: &Stamp| Entry {
            id: EntryId { table: table.schema.name.clone(), key: row.1.clone(), loser: delete.dot, column: None },
            kind: ConflictType::ForeignKey,
            strategy: Strategy::KeepBoth,
            losing: *delete,
            winning,
            lost: Left::Nothing,
            won: Left::Written(stands_as.clone()),
            common_value: None,
            superseded: false,
        };
        Ok(state.deletes.iter().map(entry).collect())
    }

    /// A reference that is not shown as it was written.
    fn reference_lost(
        &mut self,
        table: &Table,
        row: &Row,
        (column, written_at): (usize, Stamp),
        parent: &Row,
        strategy: Strategy,
    ) -> Result<Entry> {
        let (state, deleted) = (self.state(row)?, self.state(parent)?);
        let image = as_written(self.work, table, &row.1, &state)?;
        let winning = deleted.deletes.last().copied();
        Ok(Entry {
            id: EntryId {
                table: table.schema.name.clone(),
                key: row.1.clone(),
                loser: written_at.dot,
                column: Some(table.schema.columns[column].name.clone()),
            },
            kind: ConflictType::ForeignKey,
            strategy,
            losing: written_at,
            winning: winning.ok_or_else(|| Error::inconsistent("a row that was deleted without a delete"))?,
            lost: Left::Value(image.map_or(Value::Null, |image| image[column].clone())),
            won: Left::Nothing,
            common_value: None,
            superseded: false,
        })
    }
}
