//! Writes rows into the application's tables so that every constraint holds: in an order that lets unique values move, with foreign
//! keys checked by ourselves, taking back what cannot stand. Knows nothing of events: it is given rows and says what became of each.

use std::collections::HashSet;
use std::sync::Arc;

use rowmesh_core::row_state::ColumnIx;
use rowmesh_core::value::{ColumnName, Key, TableName, Value};
use rusqlite::ffi;

use crate::fault::{Error, Result};
use crate::registry::Table;
use crate::work::Work;

/// One row to be brought from one image to another.
pub struct RowWrite {
    table: Option<Arc<Table>>,
    key: Key,
    values: Vec<Value>,
    /// As shown before, in the order of the table.
    pub before: Option<Vec<Value>>,
    after: Option<Vec<(usize, Value)>>,
    /// Which of `after` differ from `before`, where there are both.
    changed: Vec<usize>,
    impossible: Option<String>,
}

/// What became of a row.
pub enum Outcome {
    /// The table shows what it should.
    Shown {
        /// The row as it stands, in the order of the table.
        row: Option<Vec<Value>>,
        /// Whether anything had to be written.
        written: bool,
    },
    /// The table shows what it showed before.
    Parked {
        /// What stands in the way.
        reason: String,
    },
}

impl RowWrite {
    /// A row of a table that is here.
    pub fn new(
        table: Arc<Table>,
        key: Key,
        values: Vec<Value>,
        before: Option<Vec<Value>>,
        after: Option<Vec<(usize, Value)>>,
    ) -> RowWrite {
        let changed = match (&before, &after) {
            (Some(before), Some(after)) => {
                let differs = |n: &usize| before[after[*n].0] != after[*n].1;
                (0..after.len()).filter(differs).collect()
            }
            _ => Vec::new(),
        };
        RowWrite { table: Some(table), key, values, before, after, changed, impossible: None }
    }

    /// A row that cannot be written at all.
    pub fn impossible(reason: String) -> RowWrite {
        RowWrite {
            table: None,
            key: Key::default(),
            values: Vec::new(),
            before: None,
            after: None,
            changed: Vec::new(),
            impossible: Some(reason),
        }
    }

    fn changed(&self) -> Vec<(usize, &Value)> {
        let Some(after) = &self.after else { return Vec::new() };
        self.changed.iter().map(|n| (after[*n].0, &after[*n].1)).collect()
    }

    fn is_idle(&self) -> bool {
        match (&self.before, &self.after) {
            (None, None) => true,
            (Some(_), Some(_)) => self.changed.is_empty(),
            _ => false,
        }
    }

    /// The row as it will stand; columns that nobody wrote have the table's default.
    fn final_row(&self, table: &Table) -> Option<Vec<Value>> {
        let after = self.after.as_ref()?;
        let mut row = self.before.clone().unwrap_or_else(|| {
            table.schema.columns.iter().map(|column| column.default.clone().unwrap_or(Value::Null)).collect()
        });
        for (position, value) in after {
            row[*position] = value.clone();
        }
        Some(row)
    }
}

/// What became of a row that was placed into a table that did not show it.
pub enum Placed {
    /// It stands so.
    Stands(Vec<Value>),
    /// The application has a row of that key, which stays; this is what the snapshot had.
    KeyTaken(Vec<Value>),
    /// It cannot stand.
    Refused(String),
}

/// Inserts a row of a snapshot. Nearly all foreign keys are whole, so they are not checked one by one but at the load's end.
pub fn place_new(work: &Work<'_>, table: &Table, key: &[Value], image: &[(ColumnIx, Value)]) -> Result<Placed> {
    let mut here: Vec<(usize, &Value)> =
        image.iter().filter_map(|(column, value)| Some((table.position(*column)?, value))).collect();
    here.sort_by_key(|(position, _)| *position);
    let mut row: Vec<Value> =
        (table.schema.columns.iter()).map(|column| column.default.clone().unwrap_or(Value::Null)).collect();
    for (position, value) in &here {
        row[*position] = (*value).clone();
    }
    match table.insert_some(work.connection, &here) {
        Ok(()) => Ok(Placed::Stands(row)),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
            let taken = table.read(work.connection, key)?.is_some();
            Ok(if taken { Placed::KeyTaken(row) } else { Placed::Refused(error.to_string()) })
        }
        Err(error) => Err(error.into()),
    }
}

/// Brings every row to its new image, or leaves it at the old one and says why.
pub fn write_rows(work: &mut Work<'_>, writes: &mut [RowWrite]) -> Result<Vec<Outcome>> {
    let mut refused: Vec<Option<String>> = writes.iter().map(|write| write.impossible.clone()).collect();
    let mut blocked = Vec::new();
    // Deletes give unique values free, updates move them, inserts take them.
    for phase in [Phase::Delete, Phase::Update, Phase::Insert] {
        for position in 0..writes.len() {
            let write = &writes[position];
            if write.impossible.is_some() || write.is_idle() || phase != Phase::of(write) {
                continue;
            }
            match try_write(work, write)? {
                Tried::Written => {}
                Tried::UniqueTaken(_) => blocked.push(position),
                Tried::Refused(reason) => refused[position] = Some(reason),
            }
        }
    }
    for (position, reason) in rewrite_blocked(work, writes, &blocked)? {
        refused[position] = Some(reason);
    }
    take_back_dangling(work, writes, &mut refused)?;

    writes.iter().zip(refused).map(|(write, refused)| outcome(work, write, refused)).collect()
}

fn outcome(work: &Work<'_>, write: &RowWrite, refused: Option<String>) -> Result<Outcome> {
    if let Some(reason) = refused {
        return Ok(Outcome::Parked { reason });
    }
    let Some(table) = &write.table else { return Ok(Outcome::Shown { row: None, written: false }) };
    let inserted = write.before.is_none() && write.after.is_some();
    let given = write.after.as_ref().map_or(0, Vec::len);
    // Columns that no event wrote got whatever default the table has, which only the table can tell.
    let row = if inserted && given < table.columns.len() {
        table.read(work.connection, &write.values)?
    } else {
        write.final_row(table)
    };
    Ok(Outcome::Shown { row, written: !write.is_idle() })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Delete,
    Update,
    Insert,
}

impl Phase {
    fn of(write: &RowWrite) -> Phase {
        match (&write.before, &write.after) {
            (Some(_), None) => Phase::Delete,
            (Some(_), Some(_)) => Phase::Update,
            _ => Phase::Insert,
        }
    }
}

enum Tried {
    Written,
    UniqueTaken(String),
    Refused(String),
}

fn try_write(work: &Work<'_>, write: &RowWrite) -> Result<Tried> {
    let Some(table) = &write.table else { return Ok(Tried::Written) };
    let result = match (&write.before, &write.after) {
        (_, None) => table.delete(work.connection, &write.values).map(|_| ()),
        (Some(_), Some(after)) => match table.update(work.connection, &write.values, &write.changed()) {
            // The row was there and is gone, and no trigger told: what all other nodes show comes back.
            Ok(false) => insert(work, table, after),
            Ok(true) => Ok(()),
            Err(error) => Err(error),
        },
        (None, Some(after)) => insert(work, table, after),
    };
    judge(work, write, table, result)
}

fn insert(work: &Work<'_>, table: &Table, after: &[(usize, Value)]) -> rusqlite::Result<()> {
    let row: Vec<(usize, &Value)> = after.iter().map(|(position, value)| (*position, value)).collect();
    table.insert_some(work.connection, &row)
}

fn judge(work: &Work<'_>, write: &RowWrite, table: &Table, result: rusqlite::Result<()>) -> Result<Tried> {
    let Err(error) = result else { return Ok(Tried::Written) };
    let rusqlite::Error::SqliteFailure(code, message) = &error else { return Err(error.into()) };
    let message = message.clone().unwrap_or_else(|| code.to_string());
    match code.extended_code {
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID | ffi::SQLITE_CONSTRAINT_UNIQUE => {
            let stands = write.before.is_none() && table.read(work.connection, &write.values)?.is_some();
            if !stands {
                return Ok(Tried::UniqueTaken(message));
            }
            if work.membership.is_held_back(work.connection, table.number, &write.key)? {
                return Ok(Tried::Refused("a row that the scope keeps here has this key".to_owned()));
            }
            Err(Error::Unnoticed { table: table.number, key: write.values.clone() })
        }
        _ if code.code == rusqlite::ErrorCode::ConstraintViolation => Ok(Tried::Refused(message)),
        _ if code.code == rusqlite::ErrorCode::TypeMismatch => Ok(Tried::Refused(message)),
        _ if code.code == rusqlite::ErrorCode::TooBig => Ok(Tried::Refused(message)),
        _ => Err(error.into()),
    }
}

/// Rows whose unique values another row of the same set still held: out of the way all together, then back in at their new places.
/// Succeeds whenever the final state is legal.
fn rewrite_blocked(work: &Work<'_>, writes: &[RowWrite], blocked: &[usize]) -> Result<Vec<(usize, String)>> {
    for position in blocked {
        let write = &writes[*position];
        if let Some(table) = &write.table {
            table.delete(work.connection, &write.values)?;
        }
    }
    let mut refused = Vec::new();
    for position in blocked {
        let write = &writes[*position];
        let Some(table) = &write.table else { continue };
        let Some(row) = write.final_row(table) else { continue };
        let result = match &write.before {
            Some(_) => table.insert(work.connection, &row),
            None => insert(work, table, write.after.as_deref().unwrap_or_default()),
        };
        match judge(work, write, table, result)? {
            Tried::Written => {}
            Tried::UniqueTaken(reason) | Tried::Refused(reason) => refused.push((*position, reason)),
        }
    }
    // A row that cannot stand in its new image goes back to the old one, as far as that is still free.
    for (position, _) in &refused {
        put_back(work, &writes[*position])?;
    }
    Ok(refused)
}

/// Takes back rows whose foreign keys would dangle, until none does.
fn take_back_dangling(work: &Work<'_>, writes: &mut [RowWrite], refused: &mut [Option<String>]) -> Result<()> {
    let mut checked = HashSet::new();
    loop {
        let mut took_back = false;
        for position in 0..writes.len() {
            let write = &writes[position];
            if refused[position].is_some() || write.is_idle() {
                continue;
            }
            let Some(table) = &write.table else { continue };
            let reason = match &write.after {
                Some(_) if table.schema.foreign_keys.is_empty() => None,
                Some(_) => missing_parent(work, table, write, &mut checked)?,
                None => living_child(work, table, write)?,
            };
            if let Some(reason) = reason {
                take_back(work, write)?;
                refused[position] = Some(reason);
                took_back = true;
                checked.clear();
            }
        }
        if !took_back {
            return Ok(());
        }
    }
}

type Reference = (TableName, Vec<ColumnName>, Key);

fn missing_parent(
    work: &Work<'_>,
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
        if work.registry.tracked_by_name(&key.parent).is_none() {
            continue;
        }
        let reference = (key.parent.clone(), key.parent_columns.clone(), Key::of(values.iter().copied()));
        if checked.contains(&reference) {
            continue;
        }
        if table.has_parent(work.connection, position, &values)? {
            checked.insert(reference);
        } else {
            let shown = Key::of(values.iter().copied()).to_display();
            return Ok(Some(format!("it refers to {} {shown}, which is not here", key.parent)));
        }
    }
    Ok(None)
}

fn living_child(work: &Work<'_>, table: &Table, write: &RowWrite) -> Result<Option<String>> {
    let Some(before) = &write.before else { return Ok(None) };
    for child in work.registry.referring_to(&table.schema.name) {
        for key in child.schema.foreign_keys.iter().filter(|key| key.parent == table.schema.name) {
            let positions = key.parent_columns.iter().map(|name| table.schema.column(name));
            let Some(positions) = positions.collect::<Option<Vec<usize>>>() else { continue };
            let values: Vec<&Value> = positions.iter().map(|position| &before[*position]).collect();
            if values.iter().any(|value| value.is_null()) {
                continue;
            }
            let columns: Vec<ColumnName> =
                key.columns.iter().map(|column| child.schema.columns[*column].name.clone()).collect();
            // Another row may have come into its place: one that the columns hold equal, or that took the value which they mean.
            let is_referred_to = child.exists_where(work.connection, &columns, &values)?;
            if is_referred_to && !table.exists_where(work.connection, &key.parent_columns, &values)? {
                return Ok(Some(format!("rows of {} still refer to it", child.schema.name)));
            }
        }
    }
    Ok(None)
}

/// Undoes a write that was made.
fn take_back(work: &Work<'_>, write: &RowWrite) -> Result<()> {
    if let Some(table) = &write.table {
        table.delete(work.connection, &write.values)?;
    }
    put_back(work, write)
}

fn put_back(work: &Work<'_>, write: &RowWrite) -> Result<()> {
    let (Some(table), Some(before)) = (&write.table, &write.before) else { return Ok(()) };
    match table.insert(work.connection, before) {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
            tracing::warn!(table = %table.schema.name, "a parked row's old place is taken: it is hidden until the cause is gone");
            Ok(())
        }
        result => Ok(result?),
    }
}
