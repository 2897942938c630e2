//! Reads and writes the application's rows in sets: each statement carries its rows as one array per column. In which order rows are written
//! is `write`'s business, how a value looks on its way `values`'.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use rowmesh_core::schema::TableSchema;
use rowmesh_core::value::{ColumnName, Key, TableName, Value};
use rowmesh_engine::database::{Rows, States};
use rowmesh_engine::fault::{Error, Result};
use rowmesh_engine::registry::{Registry, Table};
use rowmesh_engine::write::{NewRow, Outcome, Placed, RowWrite, placed};
use tokio_postgres::Row;

use crate::access::PostgresAccess;
use crate::catalog::Tracked;
use crate::copy::CopyTexts;
use crate::error;
use crate::fault::{Constraint, Told};
use crate::given::Given;
use crate::pack::Packed;
use crate::periods;
use crate::sql::{quote, quote_list};
use crate::tied;
use crate::values::{self, PgColumn, copied, row_expression, stands_as_given};
use crate::write::{self, fit_in};

/// What PostgreSQL's catalog says of the tables, by the names under which they travel.
pub type Tables = HashMap<TableName, Arc<Tracked>>;

/// Rows that one statement fetches, locks or writes.
const ROWS_PER_STATEMENT: usize = 10_000;

/// New rows from which on COPY is worth its preparations.
const COPY_ROWS_MIN: usize = 50;

impl Rows for PostgresAccess<'_> {
    type Packed = Packed;

    fn expect(&self, rows: &[(Arc<Table>, Key)]) -> Result<()> {
        self.expect_states(rows)?;
        self.fetch_rows(rows)
    }

    /// In the order of tables and keys, so that two sessions that lock the same rows do not wait for each other.
    fn lock(&self, rows: &[(Arc<Table>, Key)]) -> Result<u64> {
        let mut locked = 0;
        for (table, keys) in by_table(rows)? {
            let details = self.details(&table)?;
            for some in keys.chunks(ROWS_PER_STATEMENT) {
                let given = Given::new(details, &table.schema.key, some);
                let (names, order) = (given.names(), given.names().join(", t."));
                let sql = format!(
                    "SELECT 1 FROM {} AS t JOIN {} ON {} ORDER BY t.{order} FOR UPDATE OF t",
                    name_of(details),
                    given.rows("k"),
                    given.equal("k", "t", &names)
                );
                locked += self.session.execute(&sql, &given.params()).told()?;
                self.forget_rows(&table, some);
            }
        }
        if !rows.is_empty() {
            self.check_schema()?;
        }
        Ok(locked)
    }

    fn read(&self, table: &Table, key: &[Value]) -> Result<Option<Vec<Value>>> {
        let name = (table.number, Key::of(key));
        if !self.held.borrow().rows.contains_key(&name) {
            let found = self.rows_by_key(table, &[key.to_vec()])?;
            let row = found.into_iter().find(|row| table.key_of(row) == name.1);
            self.held.borrow_mut().rows.insert(name.clone(), row);
        }
        Ok(self.held.borrow().rows.get(&name).cloned().flatten())
    }

    fn keys(&self, table: &Table) -> Result<Vec<Vec<Value>>> {
        let details = self.details(table)?;
        let key = some(details, &table.schema.key);
        let sql = format!("SELECT {} FROM {} AS t", row_expression(key.iter().copied(), "t"), name_of(details));
        read_rows(&self.session.query(&sql, &[]).told()?, key)
    }

    fn each_key(&self, table: &Table, visit: &mut dyn FnMut(Vec<Value>) -> Result<ControlFlow<()>>) -> Result<()> {
        let details = self.details(table)?;
        let key = some(details, &table.schema.key);
        let sql = format!("SELECT {} FROM {} AS t", row_expression(key.iter().copied(), "t"), name_of(details));
        self.each_until(&sql, &mut |row| visit(read_row(row, key.iter().copied())?))
    }

    fn scan(&self, table: &Table, visit: &mut dyn FnMut(Vec<Value>) -> Result<()>) -> Result<()> {
        let details = self.details(table)?;
        let sql = format!("SELECT {} FROM {} AS t", row_expression(&details.columns, "t"), name_of(details));
        self.each(&sql, &mut |row| visit(read_row(row, &details.columns)?))
    }

    fn count(&self, table: &Table) -> Result<u64> {
        let sql = format!("SELECT count(*) FROM {}", name_of(self.details(table)?));
        self.one(&sql, &[], |row| row.get::<_, i64>(0) as u64)
    }

    fn rows_where(
        &self,
        table: &TableSchema,
        columns: &[&ColumnName],
        values: &[Value],
        limit: Option<usize>,
    ) -> Result<Vec<Vec<Value>>> {
        let Some(details) = self.tables.get(&table.name) else { return Ok(Vec::new()) };
        let positions: Option<Vec<usize>> = columns.iter().map(|name| table.column(name)).collect();
        let positions = positions.ok_or_else(|| Error::inconsistent("a reference to a column that is not there"))?;
        let given = Given::new(details, &positions, [values]);
        let limit = limit.map_or_else(String::new, |limit| format!(" LIMIT {limit}"));
        let sql = format!(
            "SELECT {} FROM {} AS t JOIN {} ON {}{limit}",
            row_expression(&details.columns, "t"),
            name_of(details),
            given.rows("k"),
            given.equal("k", "t", &given.names())
        );
        read_rows(&self.session.query(&sql, &given.params()).told()?, &details.columns)
    }

    fn dangling(&self, table: &Table, foreign_key: usize) -> Result<Vec<Vec<Value>>> {
        let key = &table.schema.foreign_keys[foreign_key];
        let (details, parent) = (self.details(table)?, self.tables.get(&key.parent));
        let Some(parent) = parent else { return Ok(Vec::new()) };
        let own: Vec<String> = some(details, &key.columns).iter().map(|column| quote(&column.name)).collect();
        let is_set: Vec<String> = own.iter().map(|own| format!("t.{own} IS NOT NULL")).collect();
        let pairs = key.parent_columns.iter().zip(&own);
        let is_it: Vec<String> = pairs.map(|(parent, own)| format!("p.{} = t.{own}", quote(parent))).collect();
        let sql = format!(
            "SELECT {} FROM {} AS t WHERE {} AND NOT EXISTS (SELECT 1 FROM {} AS p WHERE {})",
            row_expression(&details.columns, "t"),
            name_of(details),
            is_set.join(" AND "),
            name_of(parent),
            is_it.join(" AND ")
        );
        read_rows(&self.session.query(&sql, &[]).told()?, &details.columns)
    }

    fn left_alone(&self, registry: &Registry, table: &Table) -> Result<Vec<(Vec<Value>, String)>> {
        periods::all_uncovered(self, registry, self.details(table)?)
    }

    fn delete_unneeded(&self, _: &Registry, table: &Table, keys: &[Vec<Value>]) -> Result<u64> {
        self.as_application(|| self.delete_where_unneeded(table, keys))
    }

    fn delete(&self, table: &Table, key: &[Value]) -> Result<bool> {
        self.as_application(|| Ok(self.delete_set(table, &[key]).told()? > 0))
    }

    fn fits(&self, table: &Table, column: usize, value: &mut Value) -> Result<bool> {
        let details = self.details(table)?;
        if fit_in(details, table, column, value).is_err() {
            return Ok(false);
        }
        let held = &details.columns[column];
        let stands = values::fit(held, value).ok().flatten().and_then(|text| values::read(held, &text).ok());
        if let Some(stands) = stands {
            *value = stands;
        }
        Ok(true)
    }

    /// PostgreSQL asks for types, NOT NULL and CHECK before it looks for other rows.
    fn admits(&self, table: &Table, row: &[Value]) -> Result<bool> {
        self.hurry().told()?;
        let columns: Vec<usize> = (0..row.len()).collect();
        let tried = self.as_application(|| {
            self.session.batch("SAVEPOINT rowmesh_probe").told()?;
            let tried = self.insert_set(table, &columns, &[row.iter().collect()]);
            self.session.batch("ROLLBACK TO SAVEPOINT rowmesh_probe; RELEASE SAVEPOINT rowmesh_probe").told()?;
            Ok(tried)
        })?;
        let Err(error) = tried else { return Ok(true) };
        match Constraint::of(&error) {
            Some(Constraint::Unique(_)) => Ok(true),
            Some(Constraint::Other(_)) => Ok(tied::is_about_references(&error)),
            None => Err(error).told(),
        }
    }

    fn write_rows(&self, registry: &Registry, writes: &mut [RowWrite]) -> Result<Vec<Outcome>> {
        self.as_application(|| write::write_rows(self, registry, writes))
    }

    fn place_new(&self, table: &Table, rows: &[NewRow]) -> Result<Vec<Placed>> {
        self.session.batch(&format!("LOCK TABLE {} IN ROW EXCLUSIVE MODE", name_of(self.details(table)?))).told()?;
        self.check_schema()?;
        self.as_application(|| Placing::new(self, table, rows)?.run())
    }

    fn place_packed(&self, table: &Table, packed: &Packed) -> Result<()> {
        packed.place(self, table)
    }

    fn lock_all(&self, registry: &Registry) -> Result<()> {
        let names = registry.all().iter().map(|table| Ok(name_of(self.details(table)?))).collect::<Result<Vec<_>>>()?;
        if names.is_empty() {
            return Ok(());
        }
        self.session.batch(&format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", names.join(", "))).told()
    }
}

/// What is given of a row, by position in the table, and the whole row that it makes.
type GivenRow = (Vec<(usize, Value)>, Vec<Value>);

/// Rows of a snapshot on their way into their table.
struct Placing<'p, 'a> {
    db: &'p PostgresAccess<'a>,
    table: &'p Table,
    rows: &'p [NewRow],
    given: Vec<GivenRow>,
    placed: Vec<Option<Placed>>,
}

impl<'p, 'a> Placing<'p, 'a> {
    fn new(db: &'p PostgresAccess<'a>, table: &'p Table, rows: &'p [NewRow]) -> Result<Placing<'p, 'a>> {
        let given: Vec<_> = rows.iter().map(|row| placed(table, &row.key, &row.image)).collect();
        let details = db.details(table)?;
        let refused = |(here, _): &GivenRow| {
            let reason = here.iter().find_map(|(column, value)| fit_in(details, table, *column, value).err());
            reason.map(Placed::Refused)
        };
        let placed = given.iter().map(refused).collect();
        Ok(Placing { db, table, rows, given, placed })
    }

    fn run(mut self) -> Result<Vec<Placed>> {
        let mut groups: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
        for (position, (here, _)) in self.given.iter().enumerate() {
            if self.placed[position].is_none() {
                groups.entry(here.iter().map(|(column, _)| *column).collect()).or_default().push(position);
            }
        }
        for (columns, positions) in groups {
            self.insert(&columns, &positions)?;
        }
        let unsure: Vec<Vec<Value>> = (0..self.rows.len())
            .filter(|n| self.placed[*n].is_none())
            .filter(|n| !self.is_sure(*n))
            .map(|n| self.rows[n].key.clone())
            .collect();
        for row in self.db.rows_by_key(self.table, &unsure)? {
            self.db.hold_row(self.table, row);
        }
        (0..self.rows.len()).map(|position| self.outcome(position)).collect()
    }

    /// Inserts rows with one statement; where that is refused, halves of them, down to the rows that are the cause.
    fn insert(&mut self, columns: &[usize], positions: &[usize]) -> Result<()> {
        let values: Vec<Vec<&Value>> = (positions.iter())
            .map(|position| self.given[*position].0.iter().map(|(_, value)| value).collect())
            .collect();
        match (self.db.guarded(|db| db.insert_set(self.table, columns, &values))?, positions) {
            (Ok(taken), _) => {
                for position in taken.into_iter().map(|taken| positions[taken]) {
                    self.placed[position] = Some(Placed::KeyTaken(self.given[position].1.clone()));
                }
                Ok(())
            }
            (Err(Constraint::Unique(reason) | Constraint::Other(reason)), [one]) => {
                self.placed[*one] = Some(Placed::Refused(reason));
                Ok(())
            }
            (Err(_), _) => {
                let (first, second) = positions.split_at(positions.len() / 2);
                self.insert(columns, first)?;
                self.insert(columns, second)
            }
        }
    }

    /// Whether a row that was inserted stands as it was given, for sure.
    fn is_sure(&self, position: usize) -> bool {
        let (here, row) = &self.given[position];
        let Some(details) = self.db.tables.get(&self.table.schema.name) else { return false };
        here.len() == row.len() && here.iter().all(|(column, value)| stands_as_given(&details.columns[*column], value))
    }

    fn outcome(&mut self, position: usize) -> Result<Placed> {
        if let Some(placed) = self.placed[position].take() {
            return Ok(placed);
        }
        let stands = if self.is_sure(position) { None } else { self.db.read(self.table, &self.rows[position].key)? };
        Ok(Placed::Stands(stands.unwrap_or_else(|| self.given[position].1.clone())))
    }
}

impl PostgresAccess<'_> {
    /// What the catalog says of a table.
    pub(crate) fn details(&self, table: &Table) -> Result<&Arc<Tracked>> {
        let details = self.tables.get(&table.schema.name);
        details.ok_or_else(|| Error::inconsistent("a tracked table that the catalog does not know"))
    }

    /// Fetches these rows as they stand, as far as they are not in memory.
    pub(crate) fn fetch_rows(&self, rows: &[(Arc<Table>, Key)]) -> Result<()> {
        let mut unknown = Vec::new();
        for (table, key) in rows {
            let mut held = self.held.borrow_mut();
            if let Entry::Vacant(new) = held.rows.entry((table.number, key.clone())) {
                new.insert(None);
                unknown.push((table.clone(), key.clone()));
            }
        }
        for (table, keys) in by_table(&unknown)? {
            for some in keys.chunks(ROWS_PER_STATEMENT) {
                for row in self.rows_by_key(&table, some)? {
                    self.hold_row(&table, row);
                }
            }
        }
        Ok(())
    }

    /// Keeps a row as it stands.
    pub(crate) fn hold_row(&self, table: &Table, row: Vec<Value>) {
        let name = (table.number, table.key_of(&row));
        self.held.borrow_mut().rows.insert(name, Some(row));
    }

    /// Deletes rows; returns how many there were.
    pub(crate) fn delete_set(&self, table: &Table, keys: &[&[Value]]) -> error::Result<u64> {
        let details = &self.tables[&table.schema.name];
        let mut deleted = 0;
        for some in keys.chunks(ROWS_PER_STATEMENT) {
            self.forget_rows(table, some);
            self.held.borrow_mut().written.insert((table.number, details.oid));
            let given = Given::new(details, &table.schema.key, some.iter().copied());
            let (rows, equal) = (given.rows("k"), given.equal("k", "t", &given.names()));
            let sql = format!("DELETE FROM {} AS t USING {rows} WHERE {equal}", name_of(details));
            deleted += self.session.execute(&sql, &given.params())?;
        }
        Ok(deleted)
    }

    /// Deletes rows that no other refers to, tables that are not synced included; returns how many. Whoever has locked them knows that nobody comes
    /// to refer to one meanwhile.
    fn delete_where_unneeded(&self, table: &Table, keys: &[Vec<Value>]) -> Result<u64> {
        let details = self.details(table)?;
        let references = self.all(tied::STRANGERS, &[&details.oid, &Vec::<u32>::new()], |row| {
            let (name, condition): (String, String) = (row.get(0), row.get(1));
            format!("AND NOT EXISTS (SELECT FROM {name} AS c WHERE {condition} AND (c.tableoid, c.ctid) <> (t.tableoid, t.ctid))")
        })?;
        let mut deleted = 0;
        for some in keys.chunks(ROWS_PER_STATEMENT) {
            self.forget_rows(table, some);
            self.held.borrow_mut().written.insert((table.number, details.oid));
            let given = Given::new(details, &table.schema.key, some);
            let (rows, equal) = (given.rows("k"), given.equal("k", "t", &given.names()));
            let sql =
                format!("DELETE FROM {} AS t USING {rows} WHERE {equal} {}", name_of(details), references.join(" "));
            deleted += self.run(&sql, &given.params())?;
        }
        Ok(deleted)
    }

    /// Sets these columns of rows; returns the positions of those that are not there.
    pub(crate) fn update_set(
        &self,
        table: &Table,
        columns: &[usize],
        keys: &[&[Value]],
        values: &[Vec<&Value>],
    ) -> error::Result<Vec<usize>> {
        let details = &self.tables[&table.schema.name];
        let key = &table.schema.key;
        let both: Vec<usize> = key.iter().chain(columns).copied().collect();
        let mut left = Vec::new();
        for (number, some) in keys.chunks(ROWS_PER_STATEMENT).enumerate() {
            self.forget_rows(table, some);
            self.held.borrow_mut().written.insert((table.number, details.oid));
            let first = number * ROWS_PER_STATEMENT;
            let rows = some.iter().zip(&values[first..]);
            let given = Given::new(details, &both, rows.map(|(key, values)| key.iter().chain(values.iter().copied())));
            let equal = given.equal("u", "t", &given.names()[..key.len()]);
            let sets: Vec<String> = given
                .names()
                .iter()
                .zip(given.values("u"))
                .skip(key.len())
                .map(|(name, value)| format!("{name} = {value}"))
                .collect();
            let sql = format!(
                "UPDATE {} AS t SET {} FROM {} WHERE {equal}",
                name_of(details),
                sets.join(", "),
                given.rows("u")
            );
            self.stop_other_writers(details)?;
            let updated = self.session.execute(&sql, &given.params())?;
            self.check_late(table, some.iter().map(|key| key.iter()))?;
            if updated < some.len() as u64 {
                let there = self.keys_there(table, some)?;
                left.extend((0..some.len()).filter(|n| !there.contains(&Key::of(some[*n]))).map(|n| first + n));
            }
        }
        Ok(left)
    }

    /// Inserts rows that leave the other columns to the table's defaults; returns the positions of those whose key is taken.
    pub(crate) fn insert_set(
        &self,
        table: &Table,
        columns: &[usize],
        values: &[Vec<&Value>],
    ) -> error::Result<Vec<usize>> {
        let details = &self.tables[&table.schema.name];
        let key = &table.schema.key;
        let key_columns = some(details, key);
        let key_names: Vec<String> = key_columns.iter().map(|column| quote(&column.name)).collect();
        let places: Vec<usize> = key.iter().filter_map(|key| columns.iter().position(|column| column == key)).collect();
        let key_of = |row: &Vec<&Value>| Key::of(places.iter().map(|place| row[*place]));
        self.note_numbers(table, details, columns, values);
        // Refused by any constraint it is refused as a whole, so it is not for those who have to find out which row is the cause.
        if values.len() >= COPY_ROWS_MIN && !self.is_careful.get() && !details.is_key_late && details.late.is_empty() {
            return self.copy_set(table, columns, values, key_of).map(|()| Vec::new());
        }
        let mut left = Vec::new();
        for (number, some) in values.chunks(ROWS_PER_STATEMENT).enumerate() {
            let keys: Vec<Key> = some.iter().map(key_of).collect();
            self.held.borrow_mut().written.insert((table.number, details.oid));
            keys.iter().for_each(|key| drop(self.held.borrow_mut().rows.remove(&(table.number, key.clone()))));
            let given = Given::new(details, columns, some.iter().map(|row| row.iter().copied()));
            let unless_taken = if details.is_key_late {
                let values = given.values("u");
                let equal: Vec<String> = key_names
                    .iter()
                    .zip(&places)
                    .map(|(name, place)| format!("o.{name} = {}", values[*place]))
                    .collect();
                format!("WHERE NOT EXISTS (SELECT 1 FROM {} AS o WHERE {})", name_of(details), equal.join(" AND "))
            } else {
                format!("ON CONFLICT ({}) DO NOTHING", key_names.join(", "))
            };
            let sql = format!(
                "INSERT INTO {} AS t ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} {unless_taken} RETURNING {}",
                name_of(details),
                given.names().join(", "),
                given.values("u").join(", "),
                given.rows("u"),
                row_expression(key_columns.iter().copied(), "t"),
            );
            self.stop_other_writers(details)?;
            let inserted = self.session.query(&sql, &given.params())?;
            self.check_late(table, some.iter().map(|row| places.iter().map(|place| row[*place])))?;
            if inserted.len() < some.len() {
                let inserted: HashSet<Key> = inserted
                    .iter()
                    .filter_map(|row| read_row(row, key_columns.iter().copied()).ok())
                    .map(|key| Key::of(&key))
                    .collect();
                left.extend(
                    (0..some.len()).filter(|n| !inserted.contains(&keys[*n])).map(|n| number * ROWS_PER_STATEMENT + n),
                );
            }
        }
        Ok(left)
    }

    /// Inserts rows none of whose keys is taken, the quickest way there is.
    fn copy_set(
        &self,
        table: &Table,
        columns: &[usize],
        values: &[Vec<&Value>],
        key_of: impl Fn(&Vec<&Value>) -> Key,
    ) -> error::Result<()> {
        let details = &self.tables[&table.schema.name];
        let columns = some(details, columns);
        let mut held = self.held.borrow_mut();
        held.written.insert((table.number, details.oid));
        let mut rows = CopyTexts::default();
        for row in values {
            held.rows.remove(&(table.number, key_of(row)));
            rows.row(columns.iter().zip(row).map(|(column, value)| copied(column, value)));
        }
        drop(held);
        let names = quote_list(columns.iter().map(|column| &column.name));
        self.session.copy_in(&format!("COPY {} ({names}) FROM STDIN", name_of(details)), rows.take()).map(drop)
    }

    /// Where the server checks a unique constraint late, only we can check it for what we write, and only while nobody else writes: by then it is
    /// too late for a session in the role of a replica.
    fn stop_other_writers(&self, details: &Tracked) -> error::Result<()> {
        if details.late.is_empty() {
            return Ok(());
        }
        self.session.batch(&format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", name_of(details)))
    }

    /// Checks unique constraints that the server checks late, for rows that were just written.
    fn check_late<'v, K>(&self, table: &Table, keys: impl Iterator<Item = K>) -> error::Result<()>
    where
        K: IntoIterator<Item = &'v Value>,
    {
        let details = &self.tables[&table.schema.name];
        if details.late.is_empty() {
            return Ok(());
        }
        let given = Given::new(details, &table.schema.key, keys);
        let (rows, equal, name) = (given.rows("k"), given.equal("k", "t", &given.names()), name_of(details));
        for late in &details.late {
            let sql = format!(
                "SELECT 1 FROM {name} AS t JOIN {rows} ON {equal} JOIN {name} AS o ON {} AND (o.tableoid, o.ctid) <> (t.tableoid, t.ctid) LIMIT 1",
                late.condition(details, "o", "t")
            );
            if !self.session.query(&sql, &given.params())?.is_empty() {
                return Err(error::Error::NotUnique { table: table.schema.name.to_string() });
            }
        }
        Ok(())
    }

    /// Which of these values no row of `parent` has in these columns, by position. Rows that have are kept from going until we commit.
    pub(crate) fn missing_parents(
        &self,
        parent: &Table,
        columns: &[ColumnName],
        values: &[Vec<Value>],
    ) -> Result<Vec<usize>> {
        let details = self.details(parent)?;
        let positions: Option<Vec<usize>> = columns.iter().map(|name| parent.schema.column(name)).collect();
        let positions = positions.ok_or_else(|| Error::inconsistent("a reference to a column that is not there"))?;
        let mut missing = Vec::new();
        for (number, some) in values.chunks(ROWS_PER_STATEMENT).enumerate() {
            let given = Given::new(details, &positions, some);
            let (rows, equal) = (given.rows("k"), given.equal("k", "t", &given.names()));
            let sql = format!("SELECT k.i FROM {} AS t JOIN {rows} ON {equal} FOR KEY SHARE OF t", name_of(details));
            self.hurry().told()?;
            let found: HashSet<i64> = self.all(&sql, &given.params(), |row| row.get(0))?.into_iter().collect();
            missing.extend(
                (0..some.len()).filter(|n| !found.contains(&(*n as i64 + 1))).map(|n| number * ROWS_PER_STATEMENT + n),
            );
        }
        Ok(missing)
    }

    /// Which of these values of `parent` rows of `child` refer to by one of its foreign keys although no row has them any more, by position.
    pub(crate) fn still_referred_to(
        &self,
        parent: &Table,
        child: &Table,
        foreign_key: usize,
        values: &[Vec<Value>],
    ) -> Result<Vec<usize>> {
        let key = &child.schema.foreign_keys[foreign_key];
        let (here, there) = (self.details(parent)?, self.details(child)?);
        let positions: Option<Vec<usize>> = key.parent_columns.iter().map(|name| parent.schema.column(name)).collect();
        let positions = positions.ok_or_else(|| Error::inconsistent("a reference to a column that is not there"))?;
        let referring: Vec<String> = some(there, &key.columns).iter().map(|column| quote(&column.name)).collect();
        let mut found = Vec::new();
        for (number, some) in values.chunks(ROWS_PER_STATEMENT).enumerate() {
            let given = Given::new(here, &positions, some);
            let sql = format!(
                "SELECT k.i FROM {} WHERE EXISTS (SELECT 1 FROM {} AS c WHERE {}) AND NOT EXISTS (SELECT 1 FROM {} AS t WHERE {})",
                given.rows("k"),
                name_of(there),
                given.equal("k", "c", &referring),
                name_of(here),
                given.equal("k", "t", &given.names())
            );
            let positions = self.all(&sql, &given.params(), |row| row.get::<_, i64>(0))?;
            found.extend(positions.into_iter().map(|n| number * ROWS_PER_STATEMENT + n as usize - 1));
        }
        Ok(found)
    }

    /// Runs statements that a constraint may refuse: then none of them has happened, and the transaction goes on. Constraints nearly never
    /// refuse, so at first nothing is prepared for it; if one does, the transaction is begun anew with a savepoint before each.
    pub(crate) fn guarded<T>(
        &self,
        run: impl FnOnce(&Self) -> error::Result<T>,
    ) -> Result<std::result::Result<T, Constraint>> {
        self.hurry().told()?;
        if !self.is_careful.get() {
            return match run(self) {
                Err(error) if Constraint::of(&error).is_some() => {
                    self.is_careful.set(true);
                    Err(Error::StartOver)
                }
                done => Ok(Ok(done.told()?)),
            };
        }
        self.session.batch("SAVEPOINT rowmesh_guard").told()?;
        match run(self) {
            Ok(value) => {
                self.session.batch("RELEASE SAVEPOINT rowmesh_guard").told()?;
                Ok(Ok(value))
            }
            Err(error) => match Constraint::of(&error) {
                Some(refusal) => {
                    self.session
                        .batch("ROLLBACK TO SAVEPOINT rowmesh_guard; RELEASE SAVEPOINT rowmesh_guard")
                        .told()?;
                    Ok(Err(refusal))
                }
                None => Err(error).told(),
            },
        }
    }

    fn rows_by_key(&self, table: &Table, keys: &[Vec<Value>]) -> Result<Vec<Vec<Value>>> {
        let details = self.details(table)?;
        let given = Given::new(details, &table.schema.key, keys);
        let (rows, equal) = (given.rows("k"), given.equal("k", "t", &given.names()));
        let sql = format!(
            "SELECT t.row FROM {rows}, LATERAL (SELECT {} AS row FROM {} AS t WHERE {equal} LIMIT 1) AS t",
            row_expression(&details.columns, "t"),
            name_of(details)
        );
        read_rows(&self.session.query(&sql, &given.params()).told()?, &details.columns)
    }

    fn keys_there(&self, table: &Table, keys: &[&[Value]]) -> error::Result<HashSet<Key>> {
        let details = &self.tables[&table.schema.name];
        let given = Given::new(details, &table.schema.key, keys.iter().copied());
        let key = some(details, &table.schema.key);
        let (rows, equal) = (given.rows("k"), given.equal("k", "t", &given.names()));
        let found = format!(
            "SELECT {} FROM {} AS t JOIN {rows} ON {equal}",
            row_expression(key.iter().copied(), "t"),
            name_of(details)
        );
        let found = self.session.query(&found, &given.params())?;
        Ok(found.iter().filter_map(|row| read_row(row, key.iter().copied()).ok()).map(|key| Key::of(&key)).collect())
    }

    fn forget_rows(&self, table: &Table, keys: &[impl AsRef<[Value]>]) {
        let mut held = self.held.borrow_mut();
        keys.iter().for_each(|key| drop(held.rows.remove(&(table.number, Key::of(key.as_ref())))));
    }

    /// Visits the rows of a query, some at a time: all of a table at once may be more than memory holds.
    fn each(&self, sql: &str, visit: &mut dyn FnMut(&Row) -> Result<()>) -> Result<()> {
        self.each_until(sql, &mut |row| visit(row).map(ControlFlow::Continue))
    }

    fn each_until(&self, sql: &str, visit: &mut dyn FnMut(&Row) -> Result<ControlFlow<()>>) -> Result<()> {
        let begins = !self.session.in_transaction();
        if begins {
            self.session.begin().told()?;
        }
        self.session.batch(&format!("DECLARE rowmesh_each NO SCROLL CURSOR FOR {sql}")).told()?;
        let visited = self.visit_all(visit);
        if begins {
            self.session.rollback().told()?;
        } else if visited.is_ok() {
            self.session.batch("CLOSE rowmesh_each").told()?;
        }
        visited
    }

    fn visit_all(&self, visit: &mut dyn FnMut(&Row) -> Result<ControlFlow<()>>) -> Result<()> {
        let fetch = format!("FETCH {ROWS_PER_STATEMENT} FROM rowmesh_each");
        loop {
            let rows = self.session.query(&fetch, &[]).told()?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in &rows {
                if visit(row)?.is_break() {
                    return Ok(());
                }
            }
        }
    }
}

/// How a table is called in SQL.
pub(crate) fn name_of(table: &Tracked) -> String {
    table.sql_name()
}

/// Some columns of a table.
pub(crate) fn some<'t>(table: &'t Tracked, columns: &[usize]) -> Vec<&'t PgColumn> {
    columns.iter().map(|column| &table.columns[*column]).collect()
}

/// A row that came as one array of texts.
pub(crate) fn read_row<'c>(row: &Row, columns: impl IntoIterator<Item = &'c PgColumn>) -> Result<Vec<Value>> {
    read_texts(&texts(row, 0)?.unwrap_or_default(), columns)
}

/// The same for texts that were taken out.
pub(crate) fn read_texts<'c>(
    texts: &[Option<&str>],
    columns: impl IntoIterator<Item = &'c PgColumn>,
) -> Result<Vec<Value>> {
    values::read_row(columns, texts).map_err(|misfit| Error::damaged("a row of the application", misfit.to_string()))
}

/// An array of texts in a row; `None` for NULL.
pub(crate) fn texts(row: &Row, column: usize) -> Result<Option<Vec<Option<&str>>>> {
    row.try_get(column).map_err(error::Error::from).told()
}

fn read_rows<'c>(rows: &[Row], columns: impl IntoIterator<Item = &'c PgColumn> + Clone) -> Result<Vec<Vec<Value>>> {
    rows.iter().map(|row| read_row(row, columns.clone())).collect()
}

type Keys = Vec<Vec<Value>>;

/// Rows by their tables, each in the order of its keys, none twice.
fn by_table(rows: &[(Arc<Table>, Key)]) -> Result<Vec<(Arc<Table>, Keys)>> {
    let mut sorted: Vec<&(Arc<Table>, Key)> = rows.iter().collect();
    sorted.sort_unstable_by_key(|(table, key)| (table.number, key));
    sorted.dedup_by_key(|(table, key)| (table.number, key));
    let values = |key: &Key| key.values().map_err(|source| Error::damaged("a key", source));
    sorted
        .chunk_by(|(one, _), (next, _)| one.number == next.number)
        .map(|rows| Ok((rows[0].0.clone(), rows.iter().map(|(_, key)| values(key)).collect::<Result<Keys>>()?)))
        .collect()
}
