//! Rows of the application, read without anything of Rowmesh, and what of them may leave a node: the oracle of these tests.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use business::{Database, Row, TableInfo, Value, demo_rows};
use rusqlite::Connection;

use crate::support;

/// Table and key, for maps and for people.
pub type RowName = (&'static str, String);

/// The tables whose rows belong to all servers.
pub fn synced_tables() -> impl Iterator<Item = &'static TableInfo> {
    business::tables().iter().filter(|table| table.syncs)
}

/// The tables that concern one server only.
pub fn private_tables() -> impl Iterator<Item = &'static TableInfo> {
    business::tables().iter().filter(|table| !table.syncs)
}

/// All rows of these tables.
pub fn read_tables(db: &dyn Database, tables: impl Iterator<Item = &'static TableInfo>) -> BTreeMap<RowName, Row> {
    tables.flat_map(|table| read_table(db, table)).collect()
}

/// What every other node should have of this one: all synced rows that are no demo rows, with NULL for what refers to a demo row.
pub fn read_travelling(db: &dyn Database) -> BTreeMap<RowName, Row> {
    let demo: BTreeSet<RowName> = demo_names(db);
    let mut rows = read_tables(db, synced_tables());
    rows.retain(|name, _| !demo.contains(name));
    let schema = support::empty();
    for table in synced_tables() {
        for (column, parent) in references(&schema, table) {
            for (_, row) in
                rows.range_mut((table.name, String::new())..).take_while(|((name, _), _)| *name == table.name)
            {
                let value = row.iter_mut().find(|(name, _)| *name == column).map(|(_, value)| value).unwrap();
                if demo.contains(&(parent, format!("{:?}", [&*value]))) {
                    *value = Value::Null;
                }
            }
        }
    }
    rows
}

/// The names of all demo rows.
pub fn demo_names(db: &dyn Database) -> BTreeSet<RowName> {
    demo_rows(db).unwrap().into_iter().map(|row| (row.table, format!("{:?}", row.key))).collect()
}

/// Asserts that two sets of rows are equal, naming the first that is not.
pub fn check_rows(expected: &BTreeMap<RowName, Row>, found: &BTreeMap<RowName, Row>) {
    for (name, row) in expected {
        assert_eq!(found.get(name), Some(row), "{name:?}");
    }
    let surplus: Vec<_> = found.keys().filter(|name| !expected.contains_key(name)).collect();
    assert!(surplus.is_empty(), "should not be there: {surplus:?}");
}

/// Texts by which rows would be known again: those of at least eight bytes that are no times and stand in none of the others.
pub fn canaries<'r>(rows: impl Iterator<Item = &'r Row>, others: &[u8]) -> Vec<String> {
    let others = Bytes::new(others);
    let texts: BTreeSet<&str> = rows.flatten().filter_map(|(_, value)| text_of(value)).collect();
    let tells = |text: &&str| text.len() >= Bytes::WINDOW && !is_time(text) && !others.contain(text);
    texts.into_iter().filter(tells).map(str::to_owned).collect()
}

/// Days and times are everybody's.
fn is_time(text: &str) -> bool {
    let shape: String =
        text.chars().take(10).map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    shape == "0000-00-00"
}

/// All texts of rows, one after the other, with the schema behind them.
pub fn all_texts<'r>(rows: impl Iterator<Item = &'r Row>) -> Vec<u8> {
    let mut all: Vec<u8> = rows
        .flatten()
        .filter_map(|(_, value)| text_of(value))
        .flat_map(|text| [text, "\n"].concat().into_bytes())
        .collect();
    all.extend(business::SQLITE_SCHEMA.bytes());
    all
}

/// Bytes that are searched for many texts.
pub struct Bytes<'b> {
    bytes: &'b [u8],
    windows: HashSet<&'b [u8]>,
}

impl<'b> Bytes<'b> {
    /// Shorter texts cannot be searched for.
    pub const WINDOW: usize = 8;

    pub fn new(bytes: &'b [u8]) -> Bytes<'b> {
        Bytes { bytes, windows: bytes.windows(Bytes::WINDOW).collect() }
    }

    pub fn contain(&self, text: &str) -> bool {
        let text = text.as_bytes();
        self.windows.contains(&text[..Bytes::WINDOW]) && self.bytes.windows(text.len()).any(|window| window == text)
    }
}

fn read_table(db: &dyn Database, table: &'static TableInfo) -> Vec<(RowName, Row)> {
    let named = |row: Row| {
        let part = |column: &&str| row.iter().find(|(name, _)| name == column).map(|(_, value)| value.clone()).unwrap();
        let key: Vec<Value> = table.key.iter().map(part).collect();
        ((table.name, format!("{key:?}")), row)
    };
    business::read_rows(db, table.name).unwrap().into_iter().map(named).collect()
}

/// Foreign keys, the same in every database of the application: the column and the table that it refers to. All of the application's are of one column.
fn references(conn: &Connection, table: &TableInfo) -> Vec<(String, &'static str)> {
    let sql = format!("SELECT \"from\" || ' ' || \"table\" FROM pragma_foreign_key_list('{}')", table.name);
    let lines = support::strings(conn, &sql).into_iter();
    lines
        .map(|line| {
            let (column, parent) = line.split_once(' ').unwrap();
            (column.to_owned(), business::table(parent).unwrap().name)
        })
        .collect()
}

fn text_of(value: &Value) -> Option<&str> {
    if let Value::Text(text) = value { Some(text) } else { None }
}
