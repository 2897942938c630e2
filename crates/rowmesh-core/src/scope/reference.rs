//! What stays at home and what others see, worked out the slow and plain way over a whole database in memory. The oracle that
//! `judge` and the stores are tested against: it shares no code with them but the conditions. Not for use at work.
//!
//! Names must be spelt as the schema spells them, and references are equal values, whatever collation a database has.

use std::collections::{BTreeMap, BTreeSet};

use crate::schema::{ForeignKey, TableSchema};
use crate::scope::coverage::FilterIx;
use crate::scope::judge::RootRow;
use crate::scope::{Filter, SeveralOwners};
use crate::value::{Key, TableName, Value};

/// All rows of all tables, by key; a row is a value for each column in the table's order.
pub type Database = BTreeMap<TableName, BTreeMap<Key, Vec<Value>>>;

/// One row that stays at home.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldRow {
    /// Its table.
    pub table: TableName,
    /// Its key.
    pub key: Key,
    /// A root that keeps it; a row may be in the list with several.
    pub root: RootRow,
}

/// Every row that stays, with every root that keeps it.
pub fn held_back(schemas: &[TableSchema], filters: &[Filter], database: &Database) -> BTreeSet<HeldRow> {
    let world = World { schemas, filters, database };
    let covered = world.covered();
    let needed = world.needed(&covered);
    let stays = covered.into_iter().filter(|((table, key), _)| !needed.contains(&(table.clone(), key.clone())));
    stays
        .flat_map(|((table, key), roots)| {
            roots.into_iter().map(move |root| HeldRow { table: table.clone(), key: key.clone(), root })
        })
        .collect()
}

/// What others see: rows that travel, with NULL where a nullable key names a row that stays.
pub fn travelling(schemas: &[TableSchema], filters: &[Filter], database: &Database) -> Database {
    let world = World { schemas, filters, database };
    let held: BTreeSet<RowName> =
        held_back(schemas, filters, database).into_iter().map(|row| (row.table, row.key)).collect();
    let mut seen = Database::new();
    for (table, rows) in database {
        let travelling = rows.iter().filter(|(key, _)| !held.contains(&(table.clone(), (*key).clone())));
        let rows = travelling.map(|(key, row)| (key.clone(), world.masked(table, row, &held))).collect();
        seen.insert(table.clone(), rows);
    }
    seen
}

type RowName = (TableName, Key);

struct World<'a> {
    schemas: &'a [TableSchema],
    filters: &'a [Filter],
    database: &'a Database,
}

/// A reference of one row under one filter.
enum Owner {
    Row(RowName),
    /// A root that is not there, known by the values that name it.
    Missing(Key),
}

impl World<'_> {
    fn covered(&self) -> BTreeMap<RowName, BTreeSet<RootRow>> {
        let mut covered: BTreeMap<RowName, BTreeSet<RootRow>> = BTreeMap::new();
        for (position, filter) in self.filters.iter().enumerate() {
            for (row, keys) in self.covered_by(filter) {
                let roots = keys.into_iter().map(|key| RootRow { filter: FilterIx(position), key });
                covered.entry(row).or_default().extend(roots);
            }
        }
        covered
    }

    fn covered_by(&self, filter: &Filter) -> BTreeMap<RowName, BTreeSet<Key>> {
        let tables = self.tables_of(filter);
        let rows: Vec<RowName> = self.names().collect();
        let owners: BTreeMap<&RowName, Vec<Owner>> =
            rows.iter().map(|row| (row, self.owners(filter, &tables, row))).collect();
        let mut roots: BTreeMap<RowName, BTreeSet<Key>> = BTreeMap::new();
        let mut free: BTreeSet<RowName> = BTreeSet::new();
        loop {
            let before = (roots.values().map(BTreeSet::len).sum::<usize>(), free.len());
            for row in &rows {
                let is_root = self.is_root(filter, row);
                let mut reached: BTreeSet<Key> = is_root.then(|| row.1.clone()).into_iter().collect();
                let mut owned_by_free = owners[row].is_empty();
                for owner in &owners[row] {
                    match owner {
                        Owner::Missing(key) => drop(reached.insert(key.clone())),
                        Owner::Row(owner) => {
                            reached.extend(roots.get(owner).into_iter().flatten().cloned());
                            owned_by_free |= free.contains(owner);
                        }
                    }
                }
                if !reached.is_empty() {
                    roots.entry(row.clone()).or_default().extend(reached);
                }
                if owned_by_free && !is_root {
                    free.insert(row.clone());
                }
            }
            if before == (roots.values().map(BTreeSet::len).sum(), free.len()) {
                break;
            }
        }
        if filter.several_owners == SeveralOwners::All {
            roots.retain(|row, _| !free.contains(row));
        }
        roots
    }

    /// Rows that a travelling row cannot stand without.
    fn needed(&self, covered: &BTreeMap<RowName, BTreeSet<RootRow>>) -> BTreeSet<RowName> {
        let mut needed: BTreeSet<RowName> = BTreeSet::new();
        loop {
            let before = needed.len();
            for row in self.names().filter(|row| !covered.contains_key(row) || needed.contains(row)).collect::<Vec<_>>()
            {
                let image = self.image(&row);
                for key in self.schema(&row.0).foreign_keys.iter().filter(|key| self.binds(&row.0, key)) {
                    needed.extend(self.parent(key, image).filter(|parent| covered.contains_key(parent)));
                }
            }
            if needed.len() == before {
                return needed;
            }
        }
    }

    fn masked(&self, table: &TableName, row: &[Value], held: &BTreeSet<RowName>) -> Vec<Value> {
        let mut masked = row.to_vec();
        let schema = self.schema(table);
        for key in schema.foreign_keys.iter().filter(|key| !self.binds(table, key)) {
            let held_parent = self.parent(key, row).is_some_and(|parent| held.contains(&parent));
            if held_parent || self.names_missing_root(key, row) {
                for column in self.columns_to_null(schema, key) {
                    masked[column] = Value::Null;
                }
            }
        }
        masked
    }

    fn columns_to_null(&self, schema: &TableSchema, key: &ForeignKey) -> Vec<usize> {
        let may: Vec<usize> = key.columns.iter().copied().filter(|column| self.may_be_null(schema, *column)).collect();
        let alone = |column: &usize| {
            let users = schema.foreign_keys.iter().filter(|other| other.columns.contains(column));
            users.into_iter().all(|other| BTreeSet::from_iter(&other.columns) == BTreeSet::from_iter(&key.columns))
        };
        let own: Vec<usize> = may.iter().copied().filter(alone).collect();
        if own.is_empty() { may } else { own }
    }

    fn owners(&self, filter: &Filter, tables: &BTreeSet<TableName>, row: &RowName) -> Vec<Owner> {
        let image = self.image(row);
        let schema = self.schema(&row.0);
        let mut owners = Vec::new();
        for key in schema
            .foreign_keys
            .iter()
            .filter(|key| tables.contains(&key.parent) && self.is_followed(filter, schema, key))
        {
            match self.parent(key, image) {
                Some(parent) => owners.push(Owner::Row(parent)),
                None => owners.extend(self.missing_root(filter, key, image).map(Owner::Missing)),
            }
        }
        owners
    }

    fn tables_of(&self, filter: &Filter) -> BTreeSet<TableName> {
        let mut tables = BTreeSet::from([filter.root.clone()]);
        loop {
            let owned = |schema: &&TableSchema| {
                schema
                    .foreign_keys
                    .iter()
                    .any(|key| tables.contains(&key.parent) && self.is_followed(filter, schema, key))
            };
            let found: Vec<TableName> = self.schemas.iter().filter(owned).map(|schema| schema.name.clone()).collect();
            let before = tables.len();
            tables.extend(found);
            if tables.len() == before {
                return tables;
            }
        }
    }

    fn is_followed(&self, filter: &Filter, schema: &TableSchema, key: &ForeignKey) -> bool {
        let names: BTreeSet<&str> = key.columns.iter().map(|column| &*schema.columns[*column].name).collect();
        let declared = filter.follow.iter().any(|follow| {
            follow.table == schema.name
                && follow.columns.iter().map(|column| &**column).collect::<BTreeSet<_>>() == names
        });
        declared || self.binds(&schema.name, key)
    }

    fn binds(&self, table: &TableName, key: &ForeignKey) -> bool {
        let schema = self.schema(table);
        key.columns.iter().all(|column| !self.may_be_null(schema, *column))
    }

    fn may_be_null(&self, schema: &TableSchema, column: usize) -> bool {
        !schema.columns[column].not_null && !schema.key.contains(&column)
    }

    fn is_root(&self, filter: &Filter, row: &RowName) -> bool {
        let schema = self.schema(&row.0);
        let lookup = |name: &str| schema.column(name).map(|column| self.image(row)[column].clone());
        row.0 == filter.root && filter.skip.evaluate(&lookup).is_true()
    }

    fn missing_root(&self, filter: &Filter, key: &ForeignKey, image: &[Value]) -> Option<Key> {
        let values = reference(key, image)?;
        let named =
            |name: &str| key.parent_columns.iter().position(|column| &**column == name).map(|at| values[at].clone());
        let is_root = key.parent == filter.root && filter.skip.evaluate(&named).is_true();
        let root = self.schema(&key.parent);
        let own_key: Option<Vec<Value>> = root.key_names().map(|name| named(name)).collect();
        is_root.then(|| Key::of(&own_key.unwrap_or(values)))
    }

    fn names_missing_root(&self, key: &ForeignKey, image: &[Value]) -> bool {
        self.parent(key, image).is_none()
            && self.filters.iter().any(|filter| self.missing_root(filter, key, image).is_some())
    }

    fn parent(&self, key: &ForeignKey, image: &[Value]) -> Option<RowName> {
        let values = reference(key, image)?;
        let schema = self.schema(&key.parent);
        let columns: Vec<usize> = key.parent_columns.iter().filter_map(|name| schema.column(name)).collect();
        let mut rows = self.database.get(&key.parent)?.iter();
        let (name, _) = rows.find(|(_, row)| columns.iter().map(|column| &row[*column]).eq(&values))?;
        Some((key.parent.clone(), name.clone()))
    }

    fn names(&self) -> impl Iterator<Item = RowName> {
        self.database.iter().flat_map(|(table, rows)| rows.keys().map(|key| (table.clone(), key.clone())))
    }

    fn image(&self, row: &RowName) -> &[Value] {
        &self.database[&row.0][&row.1]
    }

    fn schema(&self, table: &TableName) -> &TableSchema {
        let found = self.schemas.iter().find(|schema| schema.name == *table);
        found.expect("the database holds tables of the schema only")
    }
}

fn reference(key: &ForeignKey, image: &[Value]) -> Option<Vec<Value>> {
    key.columns.iter().map(|column| Some(image[*column].clone()).filter(|value| !value.is_null())).collect()
}
