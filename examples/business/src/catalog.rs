//! What a database says about its own tables: columns, keys, foreign keys, unique columns and enumerations. Read from
//! the database and not from this crate's schema text, so that a table which a migration has altered is seen as it is.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, types::Value};

use crate::tables::tables;

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
    pub declared: String,
    pub not_null: bool,
    pub default: Option<Value>,
    /// The values that an enumeration allows; empty for other columns.
    pub choices: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct ForeignKey {
    pub columns: Vec<String>,
    pub parent: String,
    pub parent_columns: Vec<String>,
}

impl Table {
    /// Fails where there is no such table, or one without a primary key.
    pub(crate) fn read(conn: &Connection, name: &str) -> rusqlite::Result<Self> {
        let ddl: String =
            conn.query_row("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1", [name], |row| {
                row.get(0)
            })?;
        let (columns, key) = read_columns(conn, name, &ddl)?;
        if key.is_empty() {
            return Err(rusqlite::Error::InvalidParameterName(format!("table {name} has no primary key")));
        }
        let foreign_keys = read_foreign_keys(conn, name)?;
        let unique = read_unique_columns(conn, name)?;
        Ok(Self { name: name.to_owned(), columns, key, foreign_keys, unique })
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

    /// An INSERT of all columns, in their order.
    pub(crate) fn insert_sql(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|column| quoted(&column.name)).collect();
        let marks = vec!["?"; names.len()].join(", ");
        format!("INSERT INTO {} ({}) VALUES ({marks})", quoted(&self.name), names.join(", "))
    }
}

/// All tables of the application by name.
pub(crate) fn read_all(conn: &Connection) -> rusqlite::Result<BTreeMap<&'static str, Table>> {
    tables().iter().map(|table| Ok((table.name, Table::read(conn, table.name)?))).collect()
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(crate) fn quoted_list(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

fn read_columns(conn: &Connection, table: &str, ddl: &str) -> rusqlite::Result<(Vec<Column>, Vec<String>)> {
    let mut statement =
        conn.prepare_cached("SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?1) ORDER BY cid")?;
    let mut key: Vec<(i64, String)> = Vec::new();
    let mut columns = Vec::new();
    let mut rows = statement.query([table])?;
    while let Some(row) = rows.next()? {
        let (name, place): (String, i64) = (row.get(0)?, row.get(4)?);
        if place > 0 {
            key.push((place, name.clone()));
        }
        let default: Option<String> = row.get(3)?;
        columns.push(Column {
            declared: row.get::<_, String>(1)?.to_ascii_uppercase(),
            not_null: row.get::<_, bool>(2)? || place > 0,
            default: default.as_deref().and_then(literal),
            choices: enumeration(ddl, &name),
            name,
        });
    }
    key.sort();
    Ok((columns, key.into_iter().map(|(_, name)| name).collect()))
}

fn read_foreign_keys(conn: &Connection, table: &str) -> rusqlite::Result<Vec<ForeignKey>> {
    let mut statement = conn.prepare_cached(
        "SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?1) ORDER BY id DESC, seq",
    )?;
    let mut found: Vec<(i64, ForeignKey)> = Vec::new();
    let mut rows = statement.query([table])?;
    while let Some(row) = rows.next()? {
        let (id, parent, column, parent_column): (i64, String, String, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        match found.last_mut() {
            Some((last, foreign)) if *last == id => {
                foreign.columns.push(column);
                foreign.parent_columns.push(parent_column);
            }
            _ => found.push((id, ForeignKey { columns: vec![column], parent, parent_columns: vec![parent_column] })),
        }
    }
    Ok(found.into_iter().map(|(_, foreign)| foreign).collect())
}

fn read_unique_columns(conn: &Connection, table: &str) -> rusqlite::Result<BTreeSet<String>> {
    let mut statement = conn.prepare_cached(
        "SELECT info.name FROM pragma_index_list(?1) AS list, pragma_index_info(list.name) AS info \
         WHERE list.\"unique\" AND list.origin <> 'pk' AND info.name IS NOT NULL",
    )?;
    statement.query_map([table], |row| row.get(0))?.collect()
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

/// The values of `CHECK ("column" IN ('A', 'B'))` in a table's DDL.
fn enumeration(ddl: &str, column: &str) -> Vec<String> {
    let opening = format!("{} IN (", quoted(column));
    let Some((_, rest)) = ddl.split_once(&opening) else {
        return Vec::new();
    };
    let list = rest.split(')').next().unwrap_or_default();
    list.split(',').map(|value| value.trim().trim_matches('\'').to_owned()).collect()
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
    fn an_enumeration_is_read_from_its_own_check() {
        let ddl = r#"CREATE TABLE t ("kind" TEXT CHECK ("kind" IN ('A', 'B C')), "other_kind" TEXT CHECK ("n" >= 0))"#;
        assert_eq!(enumeration(ddl, "kind"), ["A", "B C"]);
        assert!(enumeration(ddl, "other_kind").is_empty());
    }

    #[test]
    fn a_composite_foreign_key_is_one_key() {
        let conn = Connection::open_in_memory().unwrap();
        crate::create(&conn).unwrap();
        let table = Table::read(&conn, "employee_time_tracking").unwrap();
        assert_eq!(table.foreign_keys.len(), 1);
        assert_eq!(table.foreign_keys[0].columns, ["employee_id", "attendance_date"]);
        assert_eq!(table.foreign_keys[0].parent, "employee_attendance");
        assert!(table.requires(&table.foreign_keys[0]));
        assert_eq!(Table::read(&conn, "business_memberships").unwrap().key, ["user_id", "business_id"]);
    }
}
