//! What a database says about its own tables: columns, keys, foreign keys, unique columns and enumerations. Read from
//! the database and not from this crate's schema text, so that a table which a migration has altered is seen as it is.
//! How each kind of database is asked stands in the rooms below.

mod postgres;
mod sqlite;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    database::{Database, Dialect, Error, Result, Value, marks},
    tables::tables,
};

/// One table as the database describes it.
#[derive(Debug)]
pub(crate) struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    /// Names of the primary key's columns, in the key's order.
    pub key: Vec<String>,
    pub foreign_keys: Vec<ForeignKey>,
    /// Columns that take part in a unique index, the primary key's own excepted.
    pub unique: BTreeSet<String>,
}

#[derive(Debug)]
pub(crate) struct Column {
    pub name: String,
    pub kind: Kind,
    pub not_null: bool,
    pub default: Option<Value>,
    /// The values that an enumeration allows; empty for other columns.
    pub choices: Vec<String>,
}

/// What a column is for, by the type that it is declared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Time,
    Date,
    Decimal,
    Real,
    Integer,
    Json,
    Bytes,
    Text,
}

#[derive(Debug)]
pub(crate) struct ForeignKey {
    pub columns: Vec<String>,
    pub parent: String,
    pub parent_columns: Vec<String>,
}

impl Table {
    /// Fails where there is no such table, or one without a primary key.
    pub(crate) fn read(db: &dyn Database, name: &str) -> Result<Self> {
        let table = match db.dialect() {
            Dialect::Sqlite => sqlite::read(db, name)?,
            Dialect::Postgres => postgres::read(db, name)?,
        };
        if table.key.is_empty() { Err(Error::NoKey(table.name)) } else { Ok(table) }
    }

    /// The columns that a new row brings along: all but a number that the database gives.
    pub(crate) fn given_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !(column.name == "id" && column.kind == Kind::Integer))
    }

    pub(crate) fn kind_of(&self, column: &str) -> Option<Kind> {
        self.columns.iter().find(|candidate| candidate.name == column).map(|column| column.kind)
    }

    pub(crate) fn is_foreign(&self, column: &str) -> bool {
        self.foreign_keys.iter().any(|foreign| foreign.columns.iter().any(|name| name == column))
    }

    pub(crate) fn is_key(&self, column: &str) -> bool {
        self.key.iter().any(|name| name == column)
    }

    /// Whether a row cannot be without the parent that this key names.
    pub(crate) fn requires(&self, foreign: &ForeignKey) -> bool {
        let not_null = |name: &String| self.columns.iter().any(|column| column.name == *name && column.not_null);
        foreign.columns.iter().all(not_null)
    }

    /// `"order_id" = ?1 AND "line_no" = ?2`, its parameters numbered from `first`.
    pub(crate) fn key_condition(&self, first: usize) -> String {
        let terms: Vec<String> =
            self.key.iter().enumerate().map(|(place, name)| format!("{} = ?{}", quoted(name), first + place)).collect();
        terms.join(" AND ")
    }

    /// An INSERT of these columns, in their order.
    pub(crate) fn insert_sql<'a>(&self, columns: impl Iterator<Item = &'a Column>) -> String {
        let names: Vec<String> = columns.map(|column| quoted(&column.name)).collect();
        format!("INSERT INTO {} ({}) VALUES ({})", quoted(&self.name), names.join(", "), marks(1, names.len()))
    }

    /// A SELECT of all columns, in their order.
    pub(crate) fn select_sql(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|column| quoted(&column.name)).collect();
        format!("SELECT {} FROM {}", names.join(", "), quoted(&self.name))
    }
}

/// All tables of the application by name.
pub(crate) fn read_all(db: &dyn Database) -> Result<BTreeMap<&'static str, Table>> {
    tables().iter().map(|table| Ok((table.name, Table::read(db, table.name)?))).collect()
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(crate) fn quoted_list(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// Foreign keys from their columns: number of the key, column, parent, the parent's column, in the keys' order.
fn foreign_keys(columns: Vec<(i64, String, String, String)>) -> Vec<ForeignKey> {
    let mut found: Vec<(i64, ForeignKey)> = Vec::new();
    for (id, column, parent, parent_column) in columns {
        match found.last_mut() {
            Some((last, foreign)) if *last == id => {
                foreign.columns.push(column);
                foreign.parent_columns.push(parent_column);
            }
            _ => found.push((id, ForeignKey { columns: vec![column], parent, parent_columns: vec![parent_column] })),
        }
    }
    found.into_iter().map(|(_, foreign)| foreign).collect()
}

/// The value of a literal default; none for an expression such as CURRENT_TIMESTAMP.
fn literal(text: &str) -> Option<Value> {
    if let Some(inner) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return Some(Value::Text(inner.replace("''", "'")));
    }
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(Value::Integer(1)),
        "false" => Some(Value::Integer(0)),
        number => match number.parse::<i64>() {
            Ok(integer) => Some(Value::Integer(integer)),
            Err(_) => number.parse::<f64>().ok().map(Value::Real),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_read_as_the_values_they_stand_for() {
        assert_eq!(literal("'it''s'"), Some(Value::Text("it's".into())));
        assert_eq!(literal("true"), Some(Value::Integer(1)));
        assert_eq!(literal("-3"), Some(Value::Integer(-3)));
        assert_eq!(literal("0.5"), Some(Value::Real(0.5)));
        assert_eq!(literal("CURRENT_TIMESTAMP"), None);
    }

    #[test]
    fn a_composite_foreign_key_is_one_key() {
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        crate::create(&conn).unwrap();
        let table = Table::read(&conn, "employee_time_tracking").unwrap();
        assert_eq!(table.foreign_keys.len(), 1);
        assert_eq!(table.foreign_keys[0].columns, ["employee_id", "attendance_date"]);
        assert_eq!(table.foreign_keys[0].parent, "employee_attendance");
        assert!(table.requires(&table.foreign_keys[0]));
        assert_eq!(Table::read(&conn, "business_memberships").unwrap().key, ["user_id", "business_id"]);
    }
}
