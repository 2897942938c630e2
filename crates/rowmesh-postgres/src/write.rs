//! Writes rows into the application's tables so that every constraint holds: in sets as large as the constraints let pass, in an order that lets
//! unique values move, with foreign keys checked by ourselves, taking back what cannot stand. Knows nothing of events: it is given rows and
//! says what became of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use rowmesh_core::value::Value;
use rowmesh_engine::database::{HeldBack, Rows};
use rowmesh_engine::fault::{Error, Result};
use rowmesh_engine::registry::{Registry, Table};
use rowmesh_engine::rivals::Rivals;
use rowmesh_engine::write::{Outcome, Phase, RowWrite};

use crate::access::PostgresAccess;
use crate::catalog::Tracked;
use crate::fault::Constraint;
use crate::periods;
use crate::tied;
use crate::values::{fit, stands_as_given};

/// Brings every row to its new image, or leaves it at the old one and says why.
pub fn write_rows(db: &PostgresAccess<'_>, registry: &Registry, writes: &mut [RowWrite]) -> Result<Vec<Outcome>> {
    for write in writes.iter_mut() {
        check_fit(db, write)?;
    }
    let refused: Vec<Option<String>> = writes.iter().map(|write| write.impossible.clone()).collect();
    let is_loose = db.session.is_replica() || !(db.is_careful.get() || tied::concerns(db, registry, writes)?);
    if !is_loose {
        let refused = tied::write_rows(db, registry, writes, refused)?;
        return outcomes(db, writes, refused);
    }
    let mut job = Job { db, registry, refused, blocked: Vec::new(), writes };
    for group in groups(job.writes) {
        job.write(&group, &group.rows)?;
    }
    job.rewrite_blocked()?;
    job.take_back_dangling()?;
    let Job { refused, .. } = job;
    outcomes(db, writes, refused)
}

/// What a column cannot hold exactly is not written.
fn check_fit(db: &PostgresAccess<'_>, write: &mut RowWrite) -> Result<()> {
    let Some(table) = &write.table else { return Ok(()) };
    let details = db.details(table)?;
    let keys = table.schema.key.iter().copied().zip(&write.values);
    let given = write.after.iter().flatten().map(|(column, value)| (*column, value));
    let refused = keys.chain(given).find_map(|(column, value)| fit_in(details, table, column, value).err());
    write.impossible = write.impossible.take().or(refused);
    Ok(())
}

/// Whether a value can stand in a column; one of the key has to stand exactly as it is, or it would name another row.
///
/// # Errors
/// Why it cannot.
pub(crate) fn fit_in(
    details: &Tracked,
    table: &Table,
    column: usize,
    value: &Value,
) -> std::result::Result<(), String> {
    let held = &details.columns[column];
    fit(held, value).map_err(|misfit| misfit.to_string())?;
    if table.schema.key.contains(&column) && !stands_as_given(held, value) {
        return Err(format!("column {} is part of the key and would be written otherwise here", held.name));
    }
    Ok(())
}

/// Rows of one table that one statement can write.
struct Group {
    table: Arc<Table>,
    phase: Phase,
    /// Positions of the columns that are given.
    columns: Vec<usize>,
    /// Which rows.
    rows: Vec<usize>,
}

/// Deletes come first, those of children before those of parents; then updates; then inserts, parents before children.
fn groups(writes: &[RowWrite]) -> Vec<Group> {
    let mut found: BTreeMap<(u8, i64, Vec<usize>), Group> = BTreeMap::new();
    for (position, write) in writes.iter().enumerate() {
        let Some(table) = write.table.as_ref().filter(|_| write.impossible.is_none() && !write.is_idle()) else {
            continue;
        };
        let (phase, rank) = (Phase::of(write), table.rank as i64);
        let columns: Vec<usize> = match phase {
            Phase::Delete => Vec::new(),
            Phase::Update => write.changed().iter().map(|(column, _)| *column).collect(),
            Phase::Insert => write.after.iter().flatten().map(|(column, _)| *column).collect(),
        };
        let order = match phase {
            Phase::Delete => (0, -rank, columns.clone()),
            Phase::Update => (1, rank, columns.clone()),
            Phase::Insert => (2, rank, columns.clone()),
        };
        let group = || Group { table: table.clone(), phase, columns, rows: Vec::new() };
        found.entry(order).or_insert_with(group).rows.push(position);
    }
    found.into_values().collect()
}

/// References of one foreign key: their table, the rows that have them, what they name.
type Asked = (Arc<Table>, Vec<usize>, Vec<Vec<Value>>);

struct Job<'w, 'a> {
    db: &'w PostgresAccess<'a>,
    registry: &'w Registry,
    writes: &'w mut [RowWrite],
    /// Why a row does not get its new image.
    refused: Vec<Option<String>>,
    /// Rows whose unique values another row of the set may still hold.
    blocked: Vec<usize>,
}

impl Job<'_, '_> {
    /// Writes rows of a group with one statement; where that is refused, halves of them, down to the rows that are the cause.
    fn write(&mut self, group: &Group, rows: &[usize]) -> Result<()> {
        match self.attempt(group, rows)? {
            None => Ok(()),
            Some(refusal) => match rows {
                [] => Ok(()),
                [one] => {
                    match refusal {
                        Constraint::Unique(_) => self.blocked.push(*one),
                        Constraint::Other(reason) => self.refused[*one] = Some(reason),
                    }
                    Ok(())
                }
                _ => {
                    let (first, second) = rows.split_at(rows.len() / 2);
                    self.write(group, first)?;
                    self.write(group, second)
                }
            },
        }
    }

    /// Tries one statement; what a constraint refuses has not happened.
    fn attempt(&mut self, group: &Group, rows: &[usize]) -> Result<Option<Constraint>> {
        let table = &*group.table;
        let given = |position: &usize| given(&self.writes[*position], &group.columns);
        let keys: Vec<&[Value]> = rows.iter().map(|position| &*self.writes[*position].values).collect();
        let done = self.db.guarded(|db| match group.phase {
            Phase::Delete => db.delete_set(table, &keys).map(|_| Vec::new()),
            Phase::Update => db.update_set(table, &group.columns, &keys, &rows.iter().map(given).collect::<Vec<_>>()),
            Phase::Insert => db.insert_set(table, &group.columns, &rows.iter().map(given).collect::<Vec<_>>()),
        })?;
        match done {
            Ok(left) => self.look_at_left(group, rows, left).map(|()| None),
            Err(refusal) => Ok(Some(refusal)),
        }
    }

    /// Rows that a statement left alone: an update of a row that is gone brings it back whole, as all other nodes show it; an insert that found
    /// its key taken has met a row that nobody told of.
    fn look_at_left(&mut self, group: &Group, rows: &[usize], left: Vec<usize>) -> Result<()> {
        for position in left.into_iter().map(|left| rows[left]) {
            let write = &self.writes[position];
            match group.phase {
                Phase::Delete => {}
                Phase::Update => self.blocked.push(position),
                Phase::Insert if self.db.held_back(group.table.number, &write.key)?.is_some() => {
                    self.refused[position] = Some("a row that the scope keeps here has this key".to_owned());
                }
                Phase::Insert => {
                    return Err(Error::Unnoticed { table: group.table.number, key: write.values.clone() });
                }
            }
        }
        Ok(())
    }

    fn rewrite_blocked(&mut self) -> Result<()> {
        let blocked = std::mem::take(&mut self.blocked);
        if blocked.is_empty() {
            return Ok(());
        }
        self.leave_to_tied()?;
        self.change_places(&blocked)
    }

    fn insert_one(&self, table: &Table, columns: &[usize], row: &[Value]) -> Result<Option<String>> {
        let values: Vec<&Value> = columns.iter().map(|column| &row[*column]).collect();
        let done = self.db.guarded(|db| db.insert_set(table, columns, std::slice::from_ref(&values)))?;
        Ok(match done {
            Ok(left) if left.is_empty() => None,
            Ok(_) => Some("another row has come under this key".to_owned()),
            Err(Constraint::Unique(reason) | Constraint::Other(reason)) => Some(reason),
        })
    }

    /// Takes back rows whose foreign keys would dangle, until none does.
    fn take_back_dangling(&mut self) -> Result<()> {
        loop {
            let mut dangling = self.without_parents()?;
            dangling.extend(self.with_children()?);
            dangling.extend(periods::uncovered(self.db, self.registry, &self.written().collect::<Vec<_>>())?);
            if dangling.is_empty() {
                return Ok(());
            }
            self.leave_to_tied()?;
            for (position, reason) in dangling {
                if self.refused[position].replace(reason).is_none() {
                    self.take_back(position)?;
                }
            }
        }
    }

    /// Where foreign keys act, a row that goes out of the way, or back, takes others with it: then all is done otherwise.
    fn leave_to_tied(&self) -> Result<()> {
        if self.db.session.is_replica() {
            return Ok(());
        }
        self.db.is_careful.set(true);
        Err(Error::StartOver)
    }

    /// Rows that were written and refer to others which do not stand. Those that do are kept from going until we commit.
    fn without_parents(&self) -> Result<Vec<(usize, String)>> {
        let mut asked: BTreeMap<(i64, usize), Asked> = BTreeMap::new();
        for (position, write, table) in self.written() {
            let Some(row) = write.final_row(table) else { continue };
            for (number, key) in table.schema.foreign_keys.iter().enumerate() {
                let changed =
                    |column: &usize| write.before.as_ref().is_none_or(|before| before[*column] != row[*column]);
                let values: Vec<Value> = key.columns.iter().map(|column| row[*column].clone()).collect();
                let is_new = key.columns.iter().any(changed) && !values.iter().any(Value::is_null);
                if is_new && self.registry.tracked_by_name(&key.parent).is_some() {
                    let entry = asked.entry((table.number.0, number));
                    let (_, positions, all) = entry.or_insert_with(|| (table.clone(), Vec::new(), Vec::new()));
                    positions.push(position);
                    all.push(values);
                }
            }
        }
        let mut dangling = Vec::new();
        for ((_, number), (table, positions, values)) in asked {
            let key = &table.schema.foreign_keys[number];
            let Some(parent) = self.registry.tracked_by_name(&key.parent) else { continue };
            for missing in self.db.missing_parents(parent, &key.parent_columns, &values)? {
                let shown = rowmesh_core::value::Key::of(&values[missing]).to_display();
                dangling.push((positions[missing], format!("it refers to {} {shown}, which is not here", key.parent)));
            }
        }
        Ok(dangling)
    }

    /// Rows that went, or got other values, although others refer to what they were.
    fn with_children(&self) -> Result<Vec<(usize, String)>> {
        let mut dangling = Vec::new();
        let mut gone: BTreeMap<i64, (Arc<Table>, Vec<usize>)> = BTreeMap::new();
        for (position, write, table) in self.written() {
            if write.before.is_some() {
                gone.entry(table.number.0).or_insert_with(|| (table.clone(), Vec::new())).1.push(position);
            }
        }
        for (table, positions) in gone.into_values() {
            for child in self.registry.referring_to(&table.schema.name) {
                for (number, key) in child.schema.foreign_keys.iter().enumerate() {
                    if key.parent != table.schema.name {
                        continue;
                    }
                    let columns = key.parent_columns.iter().map(|name| table.schema.column(name));
                    let Some(columns) = columns.collect::<Option<Vec<usize>>>() else { continue };
                    let left = positions
                        .iter()
                        .filter_map(|position| Some((*position, self.left_behind(*position, &columns)?)));
                    let (rows, values): (Vec<usize>, Vec<Vec<Value>>) = left.unzip();
                    for found in self.db.still_referred_to(&table, child, number, &values)? {
                        dangling.push((rows[found], format!("rows of {} still refer to it", child.schema.name)));
                    }
                }
            }
        }
        Ok(dangling)
    }

    /// What a row had in these columns and has there no more.
    fn left_behind(&self, position: usize, columns: &[usize]) -> Option<Vec<Value>> {
        let write = &self.writes[position];
        let before = write.before.as_ref()?;
        let after = write.table.as_ref().and_then(|table| write.final_row(table));
        let is_gone = after.is_none_or(|after| columns.iter().any(|column| after[*column] != before[*column]));
        let values: Vec<Value> = columns.iter().map(|column| before[*column].clone()).collect();
        (is_gone && !values.iter().any(Value::is_null)).then_some(values)
    }
}

impl<'a> Rivals for Job<'_, 'a> {
    type Rows = PostgresAccess<'a>;

    fn rows(&self) -> &PostgresAccess<'a> {
        self.db
    }

    fn writes(&self) -> &[RowWrite] {
        self.writes
    }

    fn refused(&self) -> &[Option<String>] {
        &self.refused
    }

    fn refuse(&mut self, position: usize, reason: String) {
        self.refused[position] = Some(reason);
    }

    fn insert_whole(&self, position: usize) -> Result<Option<String>> {
        let write = &self.writes[position];
        let Some(table) = &write.table else { return Ok(None) };
        let Some(row) = write.final_row(table) else { return Ok(None) };
        let columns: Vec<usize> = match &write.before {
            Some(_) => (0..row.len()).collect(),
            None => write.after.iter().flatten().map(|(column, _)| *column).collect(),
        };
        self.insert_one(table, &columns, &row)
    }

    fn insert_before(&self, table: &Table, before: &[Value]) -> Result<bool> {
        let columns: Vec<usize> = (0..before.len()).collect();
        Ok(self.insert_one(table, &columns, before)?.is_none())
    }
}

/// What became of each row, given why those that were not written were not.
fn outcomes(db: &PostgresAccess<'_>, writes: &[RowWrite], refused: Vec<Option<String>>) -> Result<Vec<Outcome>> {
    let mut unsure = Vec::new();
    for (write, refused) in writes.iter().zip(&refused) {
        let Some(table) = write.table.as_ref().filter(|_| refused.is_none() && !write.is_idle()) else { continue };
        if needs_look(write, db.details(table)?) {
            unsure.push((table.clone(), write.key.clone()));
        }
    }
    db.fetch_rows(&unsure)?;
    writes.iter().zip(refused).map(|(write, refused)| outcome(db, write, refused)).collect()
}

fn outcome(db: &PostgresAccess<'_>, write: &RowWrite, refused: Option<String>) -> Result<Outcome> {
    if let Some(reason) = refused {
        return Ok(Outcome::Parked { reason });
    }
    let Some(table) = &write.table else { return Ok(Outcome::Shown { row: None, written: false }) };
    let looks = !write.is_idle() && needs_look(write, db.details(table)?);
    let row = if looks { db.read(table, &write.values)? } else { write.final_row(table) };
    Ok(Outcome::Shown { row, written: !write.is_idle() })
}

/// Whether only the table can tell how a row stands now: a column that no event wrote got whatever default the table has, a value from another
/// kind of database is written otherwise here.
fn needs_look(write: &RowWrite, details: &Tracked) -> bool {
    let Some(after) = &write.after else { return false };
    let is_whole = write.before.is_some() || after.len() == details.columns.len();
    let given =
        if write.before.is_some() { write.changed() } else { after.iter().map(|(n, value)| (*n, value)).collect() };
    !is_whole || !given.iter().all(|(column, value)| stands_as_given(&details.columns[*column], value))
}

fn given<'v>(write: &'v RowWrite, columns: &[usize]) -> Vec<&'v Value> {
    let after = write.after.as_deref().unwrap_or_default();
    let of_column = |column: &usize| after.iter().find(|(position, _)| position == column).map(|(_, value)| value);
    columns.iter().filter_map(of_column).collect()
}
