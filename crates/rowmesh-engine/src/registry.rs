//! The tables of this database as sealing and applying use them: numbers for tables and columns that never change their meaning. How a table
//! is recognised is the catalog's business, how its rows are read and written the database's.

use std::collections::HashMap;
use std::sync::Arc;

use rowmesh_core::event::TableShape;
use rowmesh_core::row_state::ColumnIx;
use rowmesh_core::schema::{KeyKind, TableSchema, parents_first};
use rowmesh_core::value::{ColumnName, Key, TableName, Value};

use crate::database::Names;
use crate::fault::Result;

/// The number of a table, for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TableNumber(pub i64);

/// One table that is tracked here.
pub struct Table {
    /// Its number.
    pub number: TableNumber,
    /// What it looks like now.
    pub schema: TableSchema,
    /// The same, as changesets name it.
    pub shape: TableShape,
    /// The number of each column of the schema.
    pub columns: Vec<ColumnIx>,
    /// Position among the tables, parents first.
    pub rank: usize,
    /// Whether a row that goes may take, by cascades, another row of this table with it.
    pub cascades_into_itself: bool,
    /// By column the table whose rows are meant by the numbers in it: this one where it is the key that the database hands out; one that it refers to,
    /// be it by way of others.
    pub meaning: Vec<Option<TableNumber>>,
}

/// All tables, tracked here or only known by name.
#[derive(Default)]
pub struct Registry {
    tracked: HashMap<TableNumber, Arc<Table>>,
    numbers: HashMap<TableName, TableNumber>,
    names: HashMap<TableNumber, TableName>,
    columns: HashMap<TableNumber, Vec<ColumnName>>,
}

impl Registry {
    /// What has numbers already; nothing is tracked yet.
    pub fn load(db: &impl Names) -> Result<Registry> {
        let mut known = Registry::default();
        for (number, name) in db.table_names()? {
            known.numbers.insert(name.clone(), number);
            known.names.insert(number, name);
        }
        for (number, name) in db.column_names()? {
            known.columns.entry(number).or_default().push(name);
        }
        Ok(known)
    }

    /// Whether every table and column has its number already.
    pub fn has_all(&self, schemas: &[TableSchema]) -> bool {
        schemas.iter().all(|schema| {
            let columns = self.numbers.get(&schema.name).and_then(|number| self.columns.get(number));
            columns.is_some_and(|known| schema.columns.iter().all(|column| known.contains(&column.name)))
        })
    }

    /// Tracks the tables of a catalog, numbering what has no number yet.
    pub fn track(&mut self, db: &impl Names, schemas: &[TableSchema]) -> Result<()> {
        let order = parents_first(schemas);
        for schema in schemas {
            self.table_number(db, &schema.name)?;
        }
        for schema in schemas {
            let number = self.table_number(db, &schema.name)?;
            let columns = (schema.columns.iter())
                .map(|column| self.column_number(db, number, &column.name))
                .collect::<Result<Vec<_>>>()?;
            let rank = order.iter().position(|name| *name == schema.name).unwrap_or(order.len());
            let meaning = (0..schema.columns.len()).map(|column| meant_in(schemas, schema, column, 0));
            let meaning = meaning.map(|name| name.and_then(|name| self.numbers.get(name).copied())).collect();
            let table = Table {
                number,
                schema: schema.clone(),
                shape: shape_of(schema),
                columns,
                rank,
                cascades_into_itself: cascades_into_itself(schema, schemas),
                meaning,
            };
            self.tracked.insert(number, Arc::new(table));
        }
        Ok(())
    }

    /// Tracked tables with columns in which numbers mean rows of this one.
    pub fn meaning(&self, table: TableNumber) -> impl Iterator<Item = &Arc<Table>> {
        self.tracked.values().filter(move |other| other.meaning.contains(&Some(table)))
    }

    /// The table, if it is tracked here.
    pub fn tracked(&self, number: TableNumber) -> Option<&Arc<Table>> {
        self.tracked.get(&number)
    }

    /// The table of that name, if it is tracked here.
    pub fn tracked_by_name(&self, name: &str) -> Option<&Arc<Table>> {
        self.numbers.get(name).and_then(|number| self.tracked.get(number))
    }

    /// All tracked tables, parents first.
    pub fn all(&self) -> Vec<Arc<Table>> {
        let mut tables: Vec<Arc<Table>> = self.tracked.values().cloned().collect();
        tables.sort_by_key(|table| table.rank);
        tables
    }

    /// Tracked tables that have a foreign key to this one.
    pub fn referring_to(&self, parent: &str) -> impl Iterator<Item = &Arc<Table>> {
        self.tracked.values().filter(move |table| table.schema.foreign_keys.iter().any(|key| *key.parent == *parent))
    }

    /// A table's name.
    pub fn name(&self, number: TableNumber) -> Option<&TableName> {
        self.names.get(&number)
    }

    /// The number of a table that has one, be it here or not.
    pub fn known_number(&self, name: &str) -> Option<TableNumber> {
        self.numbers.get(name).copied()
    }

    /// The names of a table's columns, by column number.
    pub fn column_names(&self, number: TableNumber) -> &[ColumnName] {
        self.columns.get(&number).map_or(&[], Vec::as_slice)
    }

    /// The number of a table, given to it now if it has none.
    pub fn table_number(&mut self, db: &impl Names, name: &TableName) -> Result<TableNumber> {
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        let number = db.add_table(name)?;
        self.numbers.insert(name.clone(), number);
        self.names.insert(number, name.clone());
        Ok(number)
    }

    /// The number of a column, given to it now if it has none.
    pub fn column_number(&mut self, db: &impl Names, table: TableNumber, name: &ColumnName) -> Result<ColumnIx> {
        let columns = self.columns.entry(table).or_default();
        if let Some(position) = columns.iter().position(|known| known == name) {
            return Ok(ColumnIx(position as u16));
        }
        let number = ColumnIx(columns.len() as u16);
        db.add_column(table, number, name)?;
        columns.push(name.clone());
        Ok(number)
    }
}

impl Table {
    /// Whether its key is a number that the database hands out.
    pub fn is_numbered(&self) -> bool {
        matches!(self.schema.key[..], [key] if self.meaning[key] == Some(self.number))
    }

    /// Whether keys of its rows have numbers in them that a database handed out.
    pub fn has_numbers_in_key(&self) -> bool {
        self.schema.key.iter().any(|column| self.meaning[*column].is_some())
    }

    /// The numbers of the columns of its key.
    pub fn key_columns(&self) -> Vec<ColumnIx> {
        self.schema.key.iter().map(|column| self.columns[*column]).collect()
    }

    /// The key of a row.
    pub fn key_of(&self, row: &[Value]) -> Key {
        Key::of(self.schema.key.iter().map(|column| &row[*column]))
    }

    /// Position in the schema of a column number; `None` if the table has no such column now.
    pub fn position(&self, column: ColumnIx) -> Option<usize> {
        // Columns are mostly numbered in the order of the table.
        match self.columns.get(usize::from(column.0)) {
            Some(known) if *known == column => Some(usize::from(column.0)),
            _ => self.columns.iter().position(|known| *known == column),
        }
    }
}

fn shape_of(schema: &TableSchema) -> TableShape {
    TableShape {
        name: schema.name.clone(),
        columns: schema.columns.iter().map(|column| column.name.clone()).collect(),
        key: schema.key.iter().map(|column| *column as u16).collect(),
    }
}

/// References of references that are followed to find whose numbers are in a column.
const MEANING_DEPTH_MAX: usize = 16;

/// The table whose rows are meant by the numbers in a column.
fn meant_in<'s>(
    schemas: &'s [TableSchema],
    table: &'s TableSchema,
    column: usize,
    depth: usize,
) -> Option<&'s TableName> {
    if table.key == [column] && table.key_kind == KeyKind::Generated {
        return Some(&table.name);
    }
    let referring = table.foreign_keys.iter().filter(|_| depth < MEANING_DEPTH_MAX);
    referring.filter(|key| key.columns.contains(&column)).find_map(|key| {
        let parent = schemas.iter().find(|parent| parent.name == key.parent)?;
        let part = key.columns.iter().position(|own| *own == column)?;
        meant_in(schemas, parent, parent.column(key.parent_columns.get(part)?)?, depth + 1)
    })
}

/// Whether cascades lead from a table back to it.
fn cascades_into_itself(table: &TableSchema, schemas: &[TableSchema]) -> bool {
    let mut reached: Vec<&TableName> = Vec::new();
    let mut next = vec![&table.name];
    while let Some(parent) = next.pop() {
        let cascades = |child: &TableSchema| {
            child.foreign_keys.iter().any(|key| key.parent == *parent && key.on_delete.eq_ignore_ascii_case("CASCADE"))
        };
        for child in schemas.iter().filter(|child| cascades(child)).map(|child| &child.name) {
            if *child == table.name {
                return true;
            }
            if !reached.contains(&child) {
                reached.push(child);
                next.push(child);
            }
        }
    }
    false
}
