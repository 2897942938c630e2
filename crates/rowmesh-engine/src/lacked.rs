//! Columns that tables of this database lacked for a while: what is remembered as shown of rows that nobody touched meanwhile does not stand in them
//! when they come back. Written down before the schema counts as followed. Changes no row state: `engine::returned` does.

use std::collections::BTreeSet;

use rowmesh_core::row_state::ColumnIx;
use rowmesh_core::schema::TableSchema;
use rowmesh_core::value::{ColumnName, Value};

use crate::registry::TableNumber;

/// The fact that holds them, as `table.column table.column …` by their numbers.
pub const FACT: &str = "lacked_columns";

/// Columns of tables.
pub type Lacked = BTreeSet<(TableNumber, ColumnIx)>;

/// What the fact says.
pub fn read(fact: Option<&Value>) -> Lacked {
    let words = fact.and_then(Value::as_str).unwrap_or_default().split_ascii_whitespace();
    let column = |word: &str| {
        let (table, column) = word.split_once('.')?;
        Some((TableNumber(table.parse().ok()?), ColumnIx(column.parse().ok()?)))
    };
    words.filter_map(column).collect()
}

/// How to write it.
pub fn write(lacked: &Lacked) -> Value {
    let words: Vec<String> = lacked.iter().map(|(table, column)| format!("{}.{}", table.0, column.0)).collect();
    Value::text(&words.join(" "))
}

/// What the fact has to say once a table is seen to be as it is now; `None` if it says so already. `names` are those of all columns that it was
/// ever known with, in the order of their numbers.
pub fn seen(fact: Option<&Value>, number: TableNumber, names: &[ColumnName], table: &TableSchema) -> Option<Value> {
    let known = read(fact);
    let mut lacked = known.clone();
    let is_here = |name: &ColumnName| table.columns.iter().any(|column| column.name == *name);
    let gone = (0..).map(ColumnIx).zip(names).filter(|(_, name)| !is_here(name));
    lacked.extend(gone.map(|(column, _)| (number, column)));
    (lacked != known).then(|| write(&lacked))
}
