//! A row on its way into its table, and what became of it. In which order rows are written so that every constraint holds is each database's
//! business.

use std::sync::Arc;

use rowmesh_core::row_state::ColumnIx;
use rowmesh_core::value::{Key, Value};

use crate::registry::Table;

/// One row to be brought from one image to another.
pub struct RowWrite {
    /// Its table; none where the row cannot be written at all.
    pub table: Option<Arc<Table>>,
    /// Its key.
    pub key: Key,
    /// The key's values.
    pub values: Vec<Value>,
    /// As shown before, in the order of the table.
    pub before: Option<Vec<Value>>,
    /// As it shall be shown: positions and values; columns that are not named keep what they have.
    pub after: Option<Vec<(usize, Value)>>,
    /// Which of `after` differ from `before`, where there are both.
    changed: Vec<usize>,
    /// Why it cannot be written at all.
    pub impossible: Option<String>,
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
        let changed = changed(before.as_deref(), after.as_deref());
        RowWrite { table: Some(table), key, values, before, after, changed, impossible: None }
    }

    /// Puts other values in the place of those that the database has another form for, by column and value; `None` leaves one as it is.
    ///
    /// # Errors
    /// Why a value that was to be written has none.
    pub fn refit(
        &mut self,
        fit: impl Fn(usize, &Value) -> std::result::Result<Option<Value>, String>,
    ) -> std::result::Result<(), String> {
        let Some(after) = &mut self.after else { return Ok(()) };
        for (column, value) in after.iter_mut() {
            if let Some(fitted) = fit(*column, value)? {
                *value = fitted;
            }
        }
        self.changed = changed(self.before.as_deref(), self.after.as_deref());
        Ok(())
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

    /// The columns that get another value than before.
    pub fn changed(&self) -> Vec<(usize, &Value)> {
        let Some(after) = &self.after else { return Vec::new() };
        self.changed.iter().map(|n| (after[*n].0, &after[*n].1)).collect()
    }

    /// Whether there is nothing to write.
    pub fn is_idle(&self) -> bool {
        match (&self.before, &self.after) {
            (None, None) => true,
            (Some(_), Some(_)) => self.changed.is_empty(),
            _ => false,
        }
    }

    /// The row as it will stand; columns that nobody wrote have the table's default.
    pub fn final_row(&self, table: &Table) -> Option<Vec<Value>> {
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

fn changed(before: Option<&[Value]>, after: Option<&[(usize, Value)]>) -> Vec<usize> {
    let (Some(before), Some(after)) = (before, after) else { return Vec::new() };
    let differs = |n: &usize| before[after[*n].0] != after[*n].1;
    (0..after.len()).filter(differs).collect()
}

/// A row of a snapshot that is to be placed into a table that does not show it.
pub struct NewRow {
    /// Its key's values.
    pub key: Vec<Value>,
    /// What it shall show, by the numbers of the columns.
    pub image: Vec<(ColumnIx, Value)>,
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

/// Deletes give unique values free, updates move them, inserts take them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Rows that go.
    Delete,
    /// Rows that stay.
    Update,
    /// Rows that come.
    Insert,
}

impl Phase {
    /// When it is a row's turn.
    pub fn of(write: &RowWrite) -> Phase {
        match (&write.before, &write.after) {
            (Some(_), None) => Phase::Delete,
            (Some(_), Some(_)) => Phase::Update,
            _ => Phase::Insert,
        }
    }
}

/// Puts what is given of a row in order, and into the columns of its key, which may have had other names when it was written, the key's values.
pub fn add_key(table: &Table, key: &[Value], here: &mut Vec<(usize, Value)>) {
    for (column, value) in table.schema.key.iter().zip(key) {
        if !here.iter().any(|(position, _)| position == column) {
            here.push((*column, value.clone()));
        }
    }
    here.sort_by_key(|(position, _)| *position);
}

/// A snapshot's image of a row in the order of the table, as positions and values, and the whole row that it makes: columns that nobody
/// wrote have the table's default.
pub fn placed(table: &Table, key: &[Value], image: &[(ColumnIx, Value)]) -> (Vec<(usize, Value)>, Vec<Value>) {
    let here = image.iter().filter_map(|(column, value)| Some((table.position(*column)?, value.clone())));
    let mut here: Vec<(usize, Value)> = here.collect();
    add_key(table, key, &mut here);
    let mut row: Vec<Value> =
        (table.schema.columns.iter()).map(|column| column.default.clone().unwrap_or(Value::Null)).collect();
    for (position, value) in &here {
        row[*position] = value.clone();
    }
    (here, row)
}
