//! Reads and writes the application's rows one by one, by statements that are made once per table. In which order rows are written is
//! `write`'s business.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use rowmesh_core::row_state::ColumnIx;
use rowmesh_core::schema::{IndexedColumn, TableSchema, UniqueIndex};
use rowmesh_core::value::{ColumnName, Value};
use rowmesh_engine::database::Rows;
use rowmesh_engine::fault::Result;
use rowmesh_engine::registry::{Registry, Table, TableNumber};
use rowmesh_engine::write::{NewRow, Outcome, Placed, RowWrite, placed};
use rusqlite::{Connection, ErrorCode, ffi};

use crate::access::SqliteAccess;
use crate::fault::Told;
use crate::fit::fit_in;
use crate::sql::quote;
use crate::values::{bind_values, read_values};
use crate::write;

/// The statements of all tables.
pub type Statements = HashMap<TableNumber, TableStatements>;

/// The statements of one table.
pub struct TableStatements {
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

/// Makes the statements of all tables.
pub fn statements(registry: &Registry) -> Statements {
    registry.all().iter().map(|table| (table.number, TableStatements::new(&table.schema))).collect()
}

impl TableStatements {
    fn new(schema: &TableSchema) -> TableStatements {
        let table = quote(&schema.name);
        let names: Vec<String> = schema.columns.iter().map(|column| quote(&column.name)).collect();
        let places: Vec<String> = (1..=names.len()).map(|n| format!("?{n}")).collect();
        let (names_list, by_key) = (names.join(", "), by_key(schema));
        TableStatements {
            select: format!("SELECT {names_list} FROM main.{table} WHERE {by_key}"),
            insert: format!("INSERT INTO main.{table} ({names_list}) VALUES ({})", places.join(", ")),
            delete: format!("DELETE FROM main.{table} WHERE {by_key}"),
            update: (format!("UPDATE main.{table} SET "), format!(" WHERE {by_key}")),
            updates: Mutex::default(),
            parents: schema.foreign_keys.iter().map(|key| exists_sql(&key.parent, &key.parent_columns)).collect(),
        }
    }

    fn update_sql(&self, schema: &TableSchema, columns: Vec<usize>) -> Arc<str> {
        let mut known = self.updates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sql) = known.get(&columns) {
            return sql.clone();
        }
        let first = schema.key.len() + 1;
        let sets: Vec<String> = (columns.iter().enumerate())
            .map(|(n, column)| format!("{} = ?{}", quote(&schema.columns[*column].name), first + n))
            .collect();
        let sql: Arc<str> = format!("{}{}{}", self.update.0, sets.join(", "), self.update.1).into();
        if known.len() >= UPDATES_MAX {
            known.clear();
        }
        known.insert(columns, sql.clone());
        sql
    }
}

impl Rows for SqliteAccess<'_> {
    type Packed = ();

    fn read(&self, table: &Table, key: &[Value]) -> Result<Option<Vec<Value>>> {
        self.read_row(table, key).told()
    }

    fn keys(&self, table: &Table) -> Result<Vec<Vec<Value>>> {
        let columns: Vec<String> = table.schema.key_names().map(|name| quote(name)).collect();
        let sql = format!("SELECT {} FROM main.{}", columns.join(", "), quote(&table.schema.name));
        self.all(&sql, [], |row| read_values(row, 0, columns.len()))
    }

    fn each_key(&self, table: &Table, visit: &mut dyn FnMut(Vec<Value>) -> Result<ControlFlow<()>>) -> Result<()> {
        let columns: Vec<String> = table.schema.key_names().map(|name| quote(name)).collect();
        let sql = format!("SELECT {} FROM main.{}", columns.join(", "), quote(&table.schema.name));
        self.each(&sql, [], |row| visit(read_values(row, 0, columns.len()).told()?))
    }

    fn scan(&self, table: &Table, visit: &mut dyn FnMut(Vec<Value>) -> Result<()>) -> Result<()> {
        let columns: Vec<String> = table.schema.columns.iter().map(|column| quote(&column.name)).collect();
        let sql = format!("SELECT {} FROM main.{}", columns.join(", "), quote(&table.schema.name));
        self.each(&sql, [], |row| {
            visit(read_values(row, 0, columns.len()).told()?)?;
            Ok(ControlFlow::Continue(()))
        })
    }

    fn count(&self, table: &Table) -> Result<u64> {
        let sql = format!("SELECT count(*) FROM main.{}", quote(&table.schema.name));
        self.one(&sql, [], |row| row.get::<_, i64>(0)).map(|count| count as u64)
    }

    fn rows_where(
        &self,
        table: &TableSchema,
        columns: &[&ColumnName],
        values: &[Value],
        limit: Option<usize>,
    ) -> Result<Vec<Vec<Value>>> {
        let limit = limit.map_or(-1, |limit| limit as i64);
        let names: Vec<String> = table.columns.iter().map(|column| quote(&column.name)).collect();
        let sql = format!(
            "SELECT {} FROM main.{} WHERE {} LIMIT {limit}",
            names.join(", "),
            quote(&table.name),
            equal(columns.iter().copied())
        );
        self.rows_found(&sql, values, names.len()).told()
    }

    /// An index may compare otherwise than its columns do.
    fn holding(&self, table: &TableSchema, index: &UniqueIndex, row: &[Value]) -> Result<Vec<Vec<Value>>> {
        let parts: Vec<_> = index.parts.iter().flatten().collect();
        let condition = |(n, part): (usize, &&IndexedColumn)| {
            format!("{} = ?{} COLLATE {}", quote(&table.columns[part.column].name), n + 1, quote(&part.collation))
        };
        let conditions: Vec<String> = parts.iter().enumerate().map(condition).collect();
        let names: Vec<String> = table.columns.iter().map(|column| quote(&column.name)).collect();
        let (name, conditions) = (quote(&table.name), conditions.join(" AND "));
        let sql = format!("SELECT {} FROM main.{name} WHERE {conditions}", names.join(", "));
        let values: Vec<Value> = parts.iter().map(|part| row[part.column].clone()).collect();
        self.rows_found(&sql, &values, names.len()).told()
    }

    fn dangling(&self, table: &Table, foreign_key: usize) -> Result<Vec<Vec<Value>>> {
        let schema = &table.schema;
        let key = &schema.foreign_keys[foreign_key];
        let column = |position: &usize| format!("c.{}", quote(&schema.columns[*position].name));
        let columns: Vec<String> = (0..schema.columns.len()).map(|position| column(&position)).collect();
        let is_set: Vec<String> = key.columns.iter().map(|own| format!("{} IS NOT NULL", column(own))).collect();
        let pairs = key.parent_columns.iter().zip(&key.columns);
        let is_it: Vec<String> = pairs.map(|(parent, own)| format!("p.{} = {}", quote(parent), column(own))).collect();
        let sql = format!(
            "SELECT {} FROM main.{} c WHERE {} AND NOT EXISTS (SELECT 1 FROM main.{} p WHERE {})",
            columns.join(", "),
            quote(&schema.name),
            is_set.join(" AND "),
            quote(&key.parent),
            is_it.join(" AND ")
        );
        self.all(&sql, [], |row| read_values(row, 0, columns.len()))
    }

    fn delete_unneeded(&self, registry: &Registry, table: &Table, keys: &[Vec<Value>]) -> Result<u64> {
        let mut deleted = 0;
        for key in keys {
            let Some(row) = self.read(table, key)? else { continue };
            if !self.is_referred_to(registry, table, &row)? {
                deleted += u64::from(self.delete_row(table, key).told()?);
            }
        }
        Ok(deleted)
    }

    fn delete(&self, table: &Table, key: &[Value]) -> Result<bool> {
        self.delete_row(table, key).told()
    }

    fn fits(&self, table: &Table, column: usize, value: &mut Value) -> Result<bool> {
        match fit_in(table, column, value) {
            Ok(Some(fitted)) => *value = fitted,
            Ok(None) => {}
            Err(_) => return Ok(false),
        }
        Ok(true)
    }

    /// SQLite asks for NOT NULL and CHECK before it looks for other rows.
    fn admits(&self, table: &Table, row: &[Value]) -> Result<bool> {
        self.connection.execute_batch("SAVEPOINT rowmesh_probe").told()?;
        let tried = self.insert(table, row);
        self.connection.execute_batch("ROLLBACK TO rowmesh_probe; RELEASE rowmesh_probe").told()?;
        let Err(rusqlite::Error::SqliteFailure(code, _)) = &tried else { return tried.told().map(|()| true) };
        let by_others = [
            ffi::SQLITE_CONSTRAINT_PRIMARYKEY,
            ffi::SQLITE_CONSTRAINT_ROWID,
            ffi::SQLITE_CONSTRAINT_UNIQUE,
            ffi::SQLITE_CONSTRAINT_FOREIGNKEY,
        ];
        match code.code {
            ErrorCode::ConstraintViolation => Ok(by_others.contains(&code.extended_code)),
            ErrorCode::TypeMismatch | ErrorCode::TooBig => Ok(false),
            _ => tried.told().map(|()| true),
        }
    }

    fn write_rows(&self, registry: &Registry, writes: &mut [RowWrite]) -> Result<Vec<Outcome>> {
        write::write_rows(self, registry, writes)
    }

    fn place_new(&self, table: &Table, rows: &[NewRow]) -> Result<Vec<Placed>> {
        rows.iter().map(|row| self.place_one(table, &row.key, &row.image)).collect()
    }

    /// None are ever made ready: each row is quickly placed.
    fn place_packed(&self, _: &Table, (): &()) -> Result<()> {
        Ok(())
    }
}

impl SqliteAccess<'_> {
    fn place_one(&self, table: &Table, key: &[Value], image: &[(ColumnIx, Value)]) -> Result<Placed> {
        let (mut here, mut row) = placed(table, key, image);
        for (column, value) in &mut here {
            match fit_in(table, *column, value) {
                Ok(None) => {}
                Ok(Some(fitted)) => {
                    row[*column] = fitted.clone();
                    *value = fitted;
                }
                Err(reason) => return Ok(Placed::Refused(reason)),
            }
        }
        let given: Vec<(usize, &Value)> = here.iter().map(|(column, value)| (*column, value)).collect();
        match self.insert_some(table, &given) {
            Ok(()) => Ok(Placed::Stands(row)),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                let taken = self.read_row(table, key).told()?.is_some();
                Ok(if taken { Placed::KeyTaken(row) } else { Placed::Refused(error.to_string()) })
            }
            Err(error) => Err(error).told(),
        }
    }

    fn of(&self, table: &Table) -> &TableStatements {
        &self.statements[&table.number]
    }

    fn read_row(&self, table: &Table, key: &[Value]) -> rusqlite::Result<Option<Vec<Value>>> {
        let mut statement = self.connection.prepare_cached(&self.of(table).select)?;
        bind_values(&mut statement, 1, key)?;
        let mut rows = statement.raw_query();
        rows.next()?.map(|row| read_values(row, 0, table.columns.len())).transpose()
    }

    fn rows_found(&self, sql: &str, values: &[Value], columns: usize) -> rusqlite::Result<Vec<Vec<Value>>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        bind_values(&mut statement, 1, values)?;
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read_values(row, 0, columns)?);
        }
        Ok(found)
    }

    /// Inserts a row.
    pub fn insert(&self, table: &Table, row: &[Value]) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(&self.of(table).insert)?;
        bind_values(&mut statement, 1, row)?;
        statement.raw_execute().map(|_| ())
    }

    /// Inserts a row that leaves some columns to the table's defaults. `row` holds position and value.
    pub fn insert_some(&self, table: &Table, row: &[(usize, &Value)]) -> rusqlite::Result<()> {
        let values = row.iter().map(|(_, value)| *value);
        if row.len() == table.columns.len() {
            let mut statement = self.connection.prepare_cached(&self.of(table).insert)?;
            bind_values(&mut statement, 1, values)?;
            return statement.raw_execute().map(|_| ());
        }
        let names: Vec<String> = row.iter().map(|(column, _)| quote(&table.schema.columns[*column].name)).collect();
        let places: Vec<String> = (1..=row.len()).map(|n| format!("?{n}")).collect();
        let (name, names, places) = (quote(&table.schema.name), names.join(", "), places.join(", "));
        let mut statement =
            self.connection.prepare_cached(&format!("INSERT INTO main.{name} ({names}) VALUES ({places})"))?;
        bind_values(&mut statement, 1, values)?;
        statement.raw_execute().map(|_| ())
    }

    /// Sets some columns of a row; returns whether there was one.
    pub fn update(&self, table: &Table, key: &[Value], changed: &[(usize, &Value)]) -> rusqlite::Result<bool> {
        let columns: Vec<usize> = changed.iter().map(|(column, _)| *column).collect();
        let sql = self.of(table).update_sql(&table.schema, columns);
        let mut statement = self.connection.prepare_cached(&sql)?;
        bind_values(&mut statement, 1, key)?;
        bind_values(&mut statement, table.schema.key.len() + 1, changed.iter().map(|(_, value)| *value))?;
        Ok(statement.raw_execute()? > 0)
    }

    /// Whether any other row refers to this one.
    fn is_referred_to(&self, registry: &Registry, table: &Table, row: &[Value]) -> Result<bool> {
        for child in registry.referring_to(&table.schema.name) {
            for key in child.schema.foreign_keys.iter().filter(|key| key.parent == table.schema.name) {
                let meant = key.parent_columns.iter().map(|name| Some(row[table.schema.column(name)?].clone()));
                let Some(values) = meant.collect::<Option<Vec<Value>>>() else { continue };
                if values.iter().any(Value::is_null) {
                    continue;
                }
                let columns: Vec<&ColumnName> =
                    key.columns.iter().map(|column| &child.schema.columns[*column].name).collect();
                let referring = self.rows_where(&child.schema, &columns, &values, Some(2))?;
                let is_itself = |found: &Vec<Value>| child.number == table.number && found == row;
                if !referring.iter().all(is_itself) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Deletes a row; returns whether there was one.
    pub fn delete_row(&self, table: &Table, key: &[Value]) -> rusqlite::Result<bool> {
        let mut statement = self.connection.prepare_cached(&self.of(table).delete)?;
        bind_values(&mut statement, 1, key)?;
        Ok(statement.raw_execute()? > 0)
    }

    /// Whether a row with these values in these columns exists: for foreign keys, by the application's own index.
    pub fn exists_where(&self, table: &Table, columns: &[ColumnName], values: &[&Value]) -> rusqlite::Result<bool> {
        exists(self.connection, &exists_sql(&table.schema.name, columns), values)
    }

    /// Whether a row refers to these values of a parent, compared as the parent compares them: a child may spell a key otherwise.
    pub fn has_child(
        &self,
        child: &Table,
        columns: &[ColumnName],
        (parent, meant): (&TableSchema, &[usize]),
        values: &[&Value],
    ) -> rusqlite::Result<bool> {
        let conditions = columns.iter().zip(meant).enumerate().map(|(n, (column, meant))| {
            let collate = folding(parent, *meant).map_or_else(String::new, |name| format!(" COLLATE {}", quote(name)));
            format!("{} = ?{}{collate}", quote(column), n + 1)
        });
        let conditions = conditions.collect::<Vec<String>>().join(" AND ");
        let sql = format!("SELECT 1 FROM main.{} WHERE {conditions} LIMIT 1", quote(&child.schema.name));
        exists(self.connection, &sql, values)
    }

    /// Whether the row that a foreign key names, by its position in the schema, is here.
    pub fn has_parent(&self, table: &Table, foreign_key: usize, values: &[&Value]) -> rusqlite::Result<bool> {
        exists(self.connection, &self.of(table).parents[foreign_key], values)
    }
}

fn exists_sql(table: &str, columns: &[ColumnName]) -> String {
    format!("SELECT 1 FROM main.{} WHERE {} LIMIT 1", quote(table), equal(columns))
}

fn equal<'c>(columns: impl IntoIterator<Item = &'c ColumnName>) -> String {
    let conditions = columns.into_iter().enumerate().map(|(n, column)| format!("{} = ?{}", quote(column), n + 1));
    conditions.collect::<Vec<String>>().join(" AND ")
}

fn exists(connection: &Connection, sql: &str, values: &[&Value]) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(sql)?;
    bind_values(&mut statement, 1, values.iter().copied())?;
    Ok(statement.raw_query().next()?.is_some())
}

/// The collation by which a column holds different texts equal, as far as a unique index tells.
fn folding(schema: &TableSchema, column: usize) -> Option<&str> {
    let mut parts = schema.uniques.iter().flat_map(|index| &index.parts).flatten();
    let folds = parts.find(|part| part.column == column && !part.collation.eq_ignore_ascii_case("BINARY"));
    folds.map(|part| part.collation.as_str())
}

/// The condition on the row of one key, with the key's values as the first parameters. A key's column may fold what differs in its bytes, so
/// where it does the bytes are asked too: `K1` is not the row `k1`.
fn by_key(schema: &TableSchema) -> String {
    let conditions = schema.key.iter().enumerate().map(|(n, column)| {
        let name = quote(&schema.columns[*column].name);
        let exact = if folding(schema, *column).is_some() {
            format!(" AND {name} IS ?{} COLLATE BINARY", n + 1)
        } else {
            String::new()
        };
        format!("{name} IS ?{}{exact}", n + 1)
    });
    conditions.collect::<Vec<String>>().join(" AND ")
}
