//! Writes rows into the application's tables so that every constraint holds: in an order that lets unique values move, with foreign
//! keys checked by ourselves, taking back what cannot stand. Knows nothing of events: it is given rows and says what became of each.

use std::collections::HashSet;

use rowmesh_core::value::{ColumnName, Key, TableName, Value};
use rowmesh_engine::database::{HeldBack, Rows};
use rowmesh_engine::fault::{Error, Result};
use rowmesh_engine::registry::{Registry, Table};
use rowmesh_engine::rivals::Rivals;
use rowmesh_engine::write::{Outcome, Phase, RowWrite};
use rusqlite::ffi;

use crate::access::SqliteAccess;
use crate::fault::Told;
use crate::fit::fit_in;

/// Brings every row to its new image, or leaves it at the old one and says why.
pub fn write_rows(db: &SqliteAccess<'_>, registry: &Registry, writes: &mut [RowWrite]) -> Result<Vec<Outcome>> {
    writes.iter_mut().for_each(fit_values);
    let refused = writes.iter().map(|write| write.impossible.clone()).collect();
    let mut job = Job { db, registry, writes, refused, blocked: Vec::new() };
    // Deletes give unique values free, updates move them, inserts take them.
    for phase in [Phase::Delete, Phase::Update, Phase::Insert] {
        job.write_phase(phase)?;
    }
    let blocked = std::mem::take(&mut job.blocked);
    job.change_places(&blocked)?;
    job.take_back_dangling()?;
    job.outcomes()
}

/// Rows being written.
struct Job<'j, 'a> {
    db: &'j SqliteAccess<'a>,
    registry: &'j Registry,
    writes: &'j [RowWrite],
    /// Why a row stands as it did, by position.
    refused: Vec<Option<String>>,
    /// Rows whose unique values others held when they were written.
    blocked: Vec<usize>,
}

/// Values from other databases become what they stand as here.
fn fit_values(write: &mut RowWrite) {
    let Some(table) = write.table.clone() else { return };
    let fitted = write.refit(|column, value| fit_in(&table, column, value));
    if let Err(reason) = fitted {
        write.impossible = Some(reason);
    }
}

enum Tried {
    Written,
    UniqueTaken(String),
    Refused(String),
}

fn try_write(db: &SqliteAccess<'_>, write: &RowWrite) -> Result<Tried> {
    let Some(table) = &write.table else { return Ok(Tried::Written) };
    let result = match (&write.before, &write.after) {
        (_, None) => db.delete_row(table, &write.values).map(|_| ()),
        (Some(_), Some(after)) => match db.update(table, &write.values, &write.changed()) {
            // The row was there and is gone, and no trigger told: what all other nodes show comes back.
            Ok(false) => insert(db, table, after),
            Ok(true) => Ok(()),
            Err(error) => Err(error),
        },
        (None, Some(after)) => insert(db, table, after),
    };
    judge(db, write, table, result)
}

fn insert(db: &SqliteAccess<'_>, table: &Table, after: &[(usize, Value)]) -> rusqlite::Result<()> {
    let row: Vec<(usize, &Value)> = after.iter().map(|(position, value)| (*position, value)).collect();
    db.insert_some(table, &row)
}

fn judge(db: &SqliteAccess<'_>, write: &RowWrite, table: &Table, result: rusqlite::Result<()>) -> Result<Tried> {
    let Err(error) = result else { return Ok(Tried::Written) };
    let rusqlite::Error::SqliteFailure(code, message) = &error else { return Err(error).told() };
    let message = message.clone().unwrap_or_else(|| code.to_string());
    match code.extended_code {
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID | ffi::SQLITE_CONSTRAINT_UNIQUE => {
            let stands = write.before.is_none() && db.read(table, &write.values)?.is_some();
            if !stands {
                return Ok(Tried::UniqueTaken(message));
            }
            if db.held_back(table.number, &write.key)?.is_some() {
                return Ok(Tried::Refused("a row that the scope keeps here has this key".to_owned()));
            }
            Err(Error::Unnoticed { table: table.number, key: write.values.clone() })
        }
        _ if code.code == rusqlite::ErrorCode::ConstraintViolation => Ok(Tried::Refused(message)),
        _ if code.code == rusqlite::ErrorCode::TypeMismatch => Ok(Tried::Refused(message)),
        _ if code.code == rusqlite::ErrorCode::TooBig => Ok(Tried::Refused(message)),
        _ => Err(error).told(),
    }
}

impl Job<'_, '_> {
    fn write_phase(&mut self, phase: Phase) -> Result<()> {
        for (position, write) in self.writes.iter().enumerate() {
            if write.impossible.is_some() || write.is_idle() || phase != Phase::of(write) {
                continue;
            }
            match try_write(self.db, write)? {
                Tried::Written => {}
                Tried::UniqueTaken(_) => self.blocked.push(position),
                Tried::Refused(reason) => self.refused[position] = Some(reason),
            }
        }
        Ok(())
    }

    /// Takes back rows whose foreign keys would dangle, until none does.
    fn take_back_dangling(&mut self) -> Result<()> {
        let mut checked = HashSet::new();
        loop {
            let mut took_back = false;
            for position in 0..self.writes.len() {
                let Some(reason) = self.why_dangling(position, &mut checked)? else { continue };
                self.refused[position] = Some(reason);
                self.take_back(position)?;
                took_back = true;
                checked.clear();
            }
            if !took_back {
                return Ok(());
            }
        }
    }

    /// Why a row cannot stand as it was written, as far as foreign keys go.
    fn why_dangling(&self, position: usize, checked: &mut HashSet<Reference>) -> Result<Option<String>> {
        let write = &self.writes[position];
        let (None, false, Some(table)) = (&self.refused[position], write.is_idle(), &write.table) else {
            return Ok(None);
        };
        let orphaned = match &write.after {
            Some(_) if !table.schema.foreign_keys.is_empty() => {
                missing_parent(self.db, self.registry, table, write, checked)?
            }
            _ => None,
        };
        match orphaned {
            None => living_child(self.db, self.registry, table, write),
            reason => Ok(reason),
        }
    }

    fn outcomes(self) -> Result<Vec<Outcome>> {
        let Job { db, writes, refused, .. } = self;
        writes.iter().zip(refused).map(|(write, refused)| outcome(db, write, refused)).collect()
    }
}

impl<'a> Rivals for Job<'_, 'a> {
    type Rows = SqliteAccess<'a>;

    fn rows(&self) -> &SqliteAccess<'a> {
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
        let result = match &write.before {
            Some(_) => self.db.insert(table, &row),
            None => insert(self.db, table, write.after.as_deref().unwrap_or_default()),
        };
        Ok(match judge(self.db, write, table, result)? {
            Tried::Written => None,
            Tried::UniqueTaken(reason) | Tried::Refused(reason) => Some(reason),
        })
    }

    fn insert_before(&self, table: &Table, before: &[Value]) -> Result<bool> {
        match self.db.insert(table, before) {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => Ok(false),
            result => result.told().map(|()| true),
        }
    }
}

type Reference = (TableName, Vec<ColumnName>, Key);

fn missing_parent(
    db: &SqliteAccess<'_>,
    registry: &Registry,
    table: &Table,
    write: &RowWrite,
    checked: &mut HashSet<Reference>,
) -> Result<Option<String>> {
    let Some(row) = write.final_row(table) else { return Ok(None) };
    for (position, key) in table.schema.foreign_keys.iter().enumerate() {
        let changed = |column: &usize| write.before.as_ref().is_none_or(|before| before[*column] != row[*column]);
        let values: Vec<&Value> = key.columns.iter().map(|column| &row[*column]).collect();
        if values.iter().any(|value| value.is_null()) || !key.columns.iter().any(changed) {
            continue;
        }
        if registry.tracked_by_name(&key.parent).is_none() {
            continue;
        }
        let reference = (key.parent.clone(), key.parent_columns.clone(), Key::of(values.iter().copied()));
        if checked.contains(&reference) {
            continue;
        }
        if db.has_parent(table, position, &values).told()? {
            checked.insert(reference);
        } else {
            let shown = Key::of(values.iter().copied()).to_display();
            return Ok(Some(format!("it refers to {} {shown}, which is not here", key.parent)));
        }
    }
    Ok(None)
}

/// Whether rows refer to what a row was and is no more.
fn living_child(db: &SqliteAccess<'_>, registry: &Registry, table: &Table, write: &RowWrite) -> Result<Option<String>> {
    let Some(before) = &write.before else { return Ok(None) };
    let changed = write.changed();
    let has_moved = |column: &usize| write.after.is_none() || changed.iter().any(|(position, _)| position == column);
    for child in registry.referring_to(&table.schema.name) {
        for key in child.schema.foreign_keys.iter().filter(|key| key.parent == table.schema.name) {
            let positions = key.parent_columns.iter().map(|name| table.schema.column(name));
            let Some(positions) = positions.collect::<Option<Vec<usize>>>() else { continue };
            let values: Vec<&Value> = positions.iter().map(|position| &before[*position]).collect();
            if values.iter().any(|value| value.is_null()) || !positions.iter().any(has_moved) {
                continue;
            }
            let columns: Vec<ColumnName> =
                key.columns.iter().map(|column| child.schema.columns[*column].name.clone()).collect();
            // Another row may have come into its place: one that the columns hold equal, or that took the value which they mean.
            let is_referred_to = db.has_child(child, &columns, (&table.schema, &positions), &values).told()?;
            if is_referred_to && !db.exists_where(table, &key.parent_columns, &values).told()? {
                return Ok(Some(format!("rows of {} still refer to it", child.schema.name)));
            }
        }
    }
    Ok(None)
}

fn outcome(db: &SqliteAccess<'_>, write: &RowWrite, refused: Option<String>) -> Result<Outcome> {
    if let Some(reason) = refused {
        return Ok(Outcome::Parked { reason });
    }
    let Some(table) = &write.table else { return Ok(Outcome::Shown { row: None, written: false }) };
    let inserted = write.before.is_none() && write.after.is_some();
    let given = write.after.as_ref().map_or(0, Vec::len);
    // Columns that no event wrote got whatever default the table has, which only the table can tell.
    let row =
        if inserted && given < table.columns.len() { db.read(table, &write.values)? } else { write.final_row(table) };
    Ok(Outcome::Shown { row, written: !write.is_idle() })
}
