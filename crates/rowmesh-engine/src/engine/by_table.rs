//! A fact of this node that holds one word for each of some tables. What the words mean is the business of whoever keeps them.

use std::collections::BTreeMap;

use rowmesh_core::value::Value;

use crate::registry::TableNumber;

/// The words by table, kept as `table.word table.word …`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct ByTable(BTreeMap<TableNumber, String>);

impl ByTable {
    /// What a fact holds.
    pub(super) fn read(fact: &Value) -> ByTable {
        let words = fact.as_str().unwrap_or_default().split_ascii_whitespace();
        let table = |word: &str| {
            let (table, meaning) = word.split_once('.')?;
            Some((TableNumber(table.parse().ok()?), meaning.to_owned()))
        };
        ByTable(words.filter_map(table).collect())
    }

    /// The fact that holds it.
    pub(super) fn write(&self) -> Value {
        let words: Vec<String> = self.0.iter().map(|(table, word)| format!("{}.{word}", table.0)).collect();
        Value::text(&words.join(" "))
    }

    /// What it says of a table.
    pub(super) fn of(&self, table: TableNumber) -> Option<&String> {
        self.0.get(&table)
    }

    /// Whether this is what it says of a table.
    pub(super) fn says(&self, table: TableNumber, word: Option<&String>) -> bool {
        self.of(table) == word
    }

    /// Says something of a table, or nothing any more.
    pub(super) fn set(&mut self, table: TableNumber, word: Option<String>) {
        match word {
            Some(word) => drop(self.0.insert(table, word)),
            None => drop(self.0.remove(&table)),
        }
    }
}

impl FromIterator<(TableNumber, String)> for ByTable {
    fn from_iter<T: IntoIterator<Item = (TableNumber, String)>>(words: T) -> ByTable {
        ByTable(words.into_iter().collect())
    }
}
