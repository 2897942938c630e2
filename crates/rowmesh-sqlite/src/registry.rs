//! The tables of this database as sealing and applying use them: numbers for tables and columns that never change their meaning, and
//! the statements that read and write a row. How a table is recognised is `catalog`'s business.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rowmesh_core::event::TableShape;
use rowmesh_core::row_state::ColumnIx;
use rowmesh_core::schema::{TableSchema, parents_first};
use rowmesh_core::value::{ColumnName, Key, TableName, Value};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::sql::quote;
use crate::values::{bind_values, read_values};

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
    select: String,
    insert: String,
    delete: String,
    /// `UPDATE main.… SET` without and ` WHERE …` with the key, and what was made of them by the columns set.
    update: (String, String),
    updates: Mutex<HashMap<Vec<usize>, Arc<str>>>,
    /// For each foreign key, whether the row that it names is here.
    parents: Vec<String>,
}

/// Statements of one table by the columns that they set, at most.
const UPDATES_MAX: usize = 64;

/// All tables, tracked here or only known by name.
#[derive(Default)]
pub struct Registry {
    tracked: HashMap<TableNumber, Arc<Table>>,
    numbers: HashMap<TableName, TableNumber>,
    names: HashMap<TableNumber, TableName>,
    columns: HashMap<TableNumber, Vec<ColumnName>>,
}

impl Registry {
    /// Numbers the tables of a catalog and their columns, in the current transaction, or in one of its own.
    pub fn load(connection: &Connection, schemas: &[TableSchema]) -> rusqlite::Result<Registry> {
        let mut known = Registry::default();
        known.load_names(connection)?;
        if known.has_all(schemas) || !connection.is_autocommit() {
            return known.numbered(connection, schemas);
        }
        // Hundreds of new columns are one commit: each commit waits for the disk.
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let numbered = known.numbered(connection, schemas)?;
        transaction.commit()?;
        Ok(numbered)
    }

    fn numbered(mut self, connection: &Connection, schemas: &[TableSchema]) -> rusqlite::Result<Registry> {
        let order = parents_first(schemas);
        for schema in schemas {
            let number = self.table_number(connection, &schema.name)?;
            let columns = (schema.columns.iter())
                .map(|column| self.column_number(connection, number, &column.name))
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let rank = order.iter().position(|name| *name == schema.name).unwrap_or(order.len());
            let cascades = cascades_into_itself(schema, schemas);
            self.tracked.insert(number, Arc::new(Table::new(number, schema.clone(), columns, rank, cascades)));
        }
        Ok(self)
    }

    /// Whether every table and column has its number already.
    fn has_all(&self, schemas: &[TableSchema]) -> bool {
        schemas.iter().all(|schema| {
            let columns = self.numbers.get(&schema.name).and_then(|number| self.columns.get(number));
            columns.is_some_and(|known| schema.columns.iter().all(|column| known.contains(&column.name)))
        })
    }

    fn load_names(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached("SELECT t, name FROM rowmesh_tables")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (number, name) = (TableNumber(row.get(0)?), TableName::from(row.get::<_, String>(1)?));
            self.numbers.insert(name.clone(), number);
            self.names.insert(number, name);
        }
        let mut statement = connection.prepare_cached("SELECT t, name FROM rowmesh_columns ORDER BY t, ix")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.columns.entry(TableNumber(row.get(0)?)).or_default().push(row.get::<_, String>(1)?.into());
        }
        Ok(())
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

    /// The names of a table's columns, by column number.
    pub fn column_names(&self, number: TableNumber) -> &[ColumnName] {
        self.columns.get(&number).map_or(&[], Vec::as_slice)
    }

    /// The number of a table, given to it now if it has none.
    pub fn table_number(&mut self, connection: &Connection, name: &TableName) -> rusqlite::Result<TableNumber> {
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        connection
            .prepare_cached("INSERT INTO rowmesh_tables (name, state, shape) VALUES (?1, 'named', '')")?
            .execute(params![&**name])?;
        let number = TableNumber(connection.last_insert_rowid());
        self.numbers.insert(name.clone(), number);
        self.names.insert(number, name.clone());
        Ok(number)
    }

    /// The number of a column, given to it now if it has none.
    pub fn column_number(
        &mut self,
        connection: &Connection,
        table: TableNumber,
        name: &ColumnName,
    ) -> rusqlite::Result<ColumnIx> {
        let columns = self.columns.entry(table).or_default();
        if let Some(position) = columns.iter().position(|known| known == name) {
            return Ok(ColumnIx(position as u16));
        }
        let number = ColumnIx(columns.len() as u16);
        connection
            .prepare_cached("INSERT INTO rowmesh_columns (t, ix, name) VALUES (?1, ?2, ?3)")?
            .execute(params![table.0, number.0, &**name])?;
        columns.push(name.clone());
        Ok(number)
    }
}

impl Table {
    fn new(
        number: TableNumber,
        schema: TableSchema,
        columns: Vec<ColumnIx>,
        rank: usize,
        cascades_into_itself: bool,
    ) -> Table {
        let table = quote(&schema.name);
        let names: Vec<String> = schema.columns.iter().map(|column| quote(&column.name)).collect();
        let places: Vec<String> = (1..=names.len()).map(|n| format!("?{n}")).collect();
        let (names_list, by_key) = (names.join(", "), by_key(&schema));
        let shape = TableShape {
            name: schema.name.clone(),
            columns: schema.columns.iter().map(|column| column.name.clone()).collect(),
            key: schema.key.iter().map(|column| *column as u16).collect(),
        };
        Table {
            number,
            shape,
            columns,
            rank,
            cascades_into_itself,
            select: format!("SELECT {names_list} FROM main.{table} WHERE {by_key}"),
            insert: format!("INSERT INTO main.{table} ({names_list}) VALUES ({})", places.join(", ")),
            delete: format!("DELETE FROM main.{table} WHERE {by_key}"),
            update: (format!("UPDATE main.{table} SET "), format!(" WHERE {by_key}")),
            updates: Mutex::default(),
            parents: schema.foreign_keys.iter().map(|key| exists_sql(&key.parent, &key.parent_columns)).collect(),
            schema,
        }
    }

    /// The row with that key as it stands, columns in the schema's order.
    pub fn read(&self, connection: &Connection, key: &[Value]) -> rusqlite::Result<Option<Vec<Value>>> {
        let mut statement = connection.prepare_cached(&self.select)?;
        bind_values(&mut statement, 1, key)?;
        let mut rows = statement.raw_query();
        rows.next()?.map(|row| read_values(row, 0, self.columns.len())).transpose()
    }

    /// Inserts a row.
    pub fn insert(&self, connection: &Connection, row: &[Value]) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(&self.insert)?;
        bind_values(&mut statement, 1, row)?;
        statement.raw_execute().map(|_| ())
    }

    /// Inserts a row that leaves some columns to the table's defaults. `row` holds position and value.
    pub fn insert_some(&self, connection: &Connection, row: &[(usize, &Value)]) -> rusqlite::Result<()> {
        if row.len() == self.columns.len() {
            let mut statement = connection.prepare_cached(&self.insert)?;
            bind_values(&mut statement, 1, row.iter().map(|(_, value)| *value))?;
            return statement.raw_execute().map(|_| ());
        }
        let names: Vec<String> = row.iter().map(|(column, _)| quote(&self.schema.columns[*column].name)).collect();
        let places: Vec<String> = (1..=row.len()).map(|n| format!("?{n}")).collect();
        let (table, names, places) = (quote(&self.schema.name), names.join(", "), places.join(", "));
        let mut statement =
            connection.prepare_cached(&format!("INSERT INTO main.{table} ({names}) VALUES ({places})"))?;
        bind_values(&mut statement, 1, row.iter().map(|(_, value)| *value))?;
        statement.raw_execute().map(|_| ())
    }

    /// Sets some columns of a row; returns whether there was one.
    pub fn update(
        &self,
        connection: &Connection,
        key: &[Value],
        changed: &[(usize, &Value)],
    ) -> rusqlite::Result<bool> {
        let columns: Vec<usize> = changed.iter().map(|(column, _)| *column).collect();
        let mut statement = connection.prepare_cached(&self.update_sql(columns))?;
        bind_values(&mut statement, 1, key)?;
        bind_values(&mut statement, self.schema.key.len() + 1, changed.iter().map(|(_, value)| *value))?;
        Ok(statement.raw_execute()? > 0)
    }

    fn update_sql(&self, columns: Vec<usize>) -> Arc<str> {
        let mut known = self.updates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sql) = known.get(&columns) {
            return sql.clone();
        }
        let first = self.schema.key.len() + 1;
        let sets: Vec<String> = (columns.iter().enumerate())
            .map(|(n, column)| format!("{} = ?{}", quote(&self.schema.columns[*column].name), first + n))
            .collect();
        let sql: Arc<str> = format!("{}{}{}", self.update.0, sets.join(", "), self.update.1).into();
        if known.len() >= UPDATES_MAX {
            known.clear();
        }
        known.insert(columns, sql.clone());
        sql
    }

    /// Deletes a row; returns whether there was one.
    pub fn delete(&self, connection: &Connection, key: &[Value]) -> rusqlite::Result<bool> {
        let mut statement = connection.prepare_cached(&self.delete)?;
        bind_values(&mut statement, 1, key)?;
        Ok(statement.raw_execute()? > 0)
    }

    /// The keys of all rows.
    pub fn keys(&self, connection: &Connection) -> rusqlite::Result<Vec<Vec<Value>>> {
        let columns: Vec<String> =
            self.schema.key.iter().map(|column| quote(&self.schema.columns[*column].name)).collect();
        let sql = format!("SELECT {} FROM main.{}", columns.join(", "), quote(&self.schema.name));
        let mut statement = connection.prepare_cached(&sql)?;
        statement.query_map([], |row| read_values(row, 0, columns.len()))?.collect()
    }

    /// How many rows it has.
    pub fn count(&self, connection: &Connection) -> rusqlite::Result<u64> {
        let sql = format!("SELECT count(*) FROM main.{}", quote(&self.schema.name));
        connection.prepare_cached(&sql)?.query_row([], |row| row.get::<_, i64>(0)).map(|count| count as u64)
    }

    /// Visits every row as it stands.
    pub fn scan<E: From<rusqlite::Error>>(
        &self,
        connection: &Connection,
        mut visit: impl FnMut(Vec<Value>) -> Result<(), E>,
    ) -> Result<(), E> {
        let columns: Vec<String> = self.schema.columns.iter().map(|column| quote(&column.name)).collect();
        let sql = format!("SELECT {} FROM main.{}", columns.join(", "), quote(&self.schema.name));
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            visit(read_values(row, 0, columns.len())?)?;
        }
        Ok(())
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

    /// Whether a row with these values in these columns exists: for foreign keys, by the application's own index.
    pub fn exists_where(
        &self,
        connection: &Connection,
        columns: &[ColumnName],
        values: &[&Value],
    ) -> rusqlite::Result<bool> {
        exists(connection, &exists_sql(&self.schema.name, columns), values)
    }

    /// The rows whose foreign key, by its position in the schema, names a row that is not here.
    pub fn dangling(&self, connection: &Connection, foreign_key: usize) -> rusqlite::Result<Vec<Vec<Value>>> {
        let key = &self.schema.foreign_keys[foreign_key];
        let column = |position: &usize| format!("c.{}", quote(&self.schema.columns[*position].name));
        let columns: Vec<String> = (0..self.schema.columns.len()).map(|position| column(&position)).collect();
        let is_set: Vec<String> = key.columns.iter().map(|own| format!("{} IS NOT NULL", column(own))).collect();
        let pairs = key.parent_columns.iter().zip(&key.columns);
        let is_it: Vec<String> = pairs.map(|(parent, own)| format!("p.{} = {}", quote(parent), column(own))).collect();
        let sql = format!(
            "SELECT {} FROM main.{} c WHERE {} AND NOT EXISTS (SELECT 1 FROM main.{} p WHERE {})",
            columns.join(", "),
            quote(&self.schema.name),
            is_set.join(" AND "),
            quote(&key.parent),
            is_it.join(" AND ")
        );
        let mut statement = connection.prepare(&sql)?;
        let rows = statement.query_map([], |row| read_values(row, 0, columns.len()))?;
        rows.collect()
    }

    /// Whether the row that a foreign key names, by its position in the schema, is here.
    pub fn has_parent(&self, connection: &Connection, foreign_key: usize, values: &[&Value]) -> rusqlite::Result<bool> {
        exists(connection, &self.parents[foreign_key], values)
    }
}

fn exists_sql(table: &str, columns: &[ColumnName]) -> String {
    let conditions: Vec<String> =
        columns.iter().enumerate().map(|(n, column)| format!("{} = ?{}", quote(column), n + 1)).collect();
    format!("SELECT 1 FROM main.{} WHERE {} LIMIT 1", quote(table), conditions.join(" AND "))
}

fn exists(connection: &Connection, sql: &str, values: &[&Value]) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(sql)?;
    bind_values(&mut statement, 1, values.iter().copied())?;
    Ok(statement.raw_query().next()?.is_some())
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

/// The condition on the row of one key, with the key's values as the first parameters. A key's column may fold what differs in its bytes, so
/// where it does the bytes are asked too: `K1` is not the row `k1`.
fn by_key(schema: &TableSchema) -> String {
    let folds = |column: usize| {
        let parts = schema.uniques.iter().flat_map(|index| &index.parts).flatten();
        parts.into_iter().any(|part| part.column == column && !part.collation.eq_ignore_ascii_case("BINARY"))
    };
    let conditions = schema.key.iter().enumerate().map(|(n, column)| {
        let name = quote(&schema.columns[*column].name);
        let exact = if folds(*column) { format!(" AND {name} IS ?{} COLLATE BINARY", n + 1) } else { String::new() };
        format!("{name} IS ?{}{exact}", n + 1)
    });
    conditions.collect::<Vec<String>>().join(" AND ")
}

/// A shared name from text in a result column.
pub fn read_name(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Arc<str>> {
    Ok(Arc::from(row.get_ref(column)?.as_str()?))
}

/// A fact of this node by name.
pub fn fact<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> rusqlite::Result<Option<T>> {
    connection
        .prepare_cached("SELECT value FROM rowmesh_facts WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// Sets a fact of this node.
pub fn set_fact(connection: &Connection, name: &str, value: &dyn rusqlite::ToSql) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO rowmesh_facts (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value")?
        .execute(params![name, value])?;
    Ok(())
}
