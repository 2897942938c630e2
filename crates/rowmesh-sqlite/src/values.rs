//! Exact conversion between SQLite's values and ours, both ways. Judges nothing and changes nothing.

use std::sync::Arc;

use rowmesh_core::value::{Key, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Row, Statement, ToSql};

/// A value on its way into a statement.
pub struct Bound<'a>(pub &'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Boolean(truth) => ValueRef::Integer(i64::from(*truth)),
            Value::Integer(number) | Value::Born(number, _) => ValueRef::Integer(*number),
            Value::Real(number) => ValueRef::Real(*number),
            Value::Text(bytes) => ValueRef::Text(bytes),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
            Value::Decimal(text) | Value::Typed(_, text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// What a column of a result holds.
pub fn from_sqlite(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(bytes) => Value::Text(bytes.into()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.into()),
    }
}

/// Columns `from..from + count` of a result row.
pub fn read_values(row: &Row<'_>, from: usize, count: usize) -> rusqlite::Result<Vec<Value>> {
    // Collecting into a Result would let the vector grow step by step.
    let mut values = Vec::with_capacity(count);
    for column in from..from + count {
        values.push(from_sqlite(row.get_ref(column)?));
    }
    Ok(values)
}

/// Binds values to consecutive parameters from `first` (counted from 1).
pub fn bind_values<'v>(
    statement: &mut Statement<'_>,
    first: usize,
    values: impl IntoIterator<Item = &'v Value>,
) -> rusqlite::Result<()> {
    for (offset, value) in values.into_iter().enumerate() {
        statement.raw_bind_parameter(first + offset, Bound(value))?;
    }
    Ok(())
}

/// A key from a result column that holds key bytes.
pub fn read_key(row: &Row<'_>, column: usize) -> rusqlite::Result<Key> {
    Ok(Key(row.get_ref(column)?.as_blob()?.to_vec()))
}

/// A shared name from text in a result column.
pub fn read_name(row: &Row<'_>, column: usize) -> rusqlite::Result<Arc<str>> {
    Ok(Arc::from(row.get_ref(column)?.as_str()?))
}
