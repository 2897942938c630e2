//! Reads what the application's tables look like, and decides of each whether it can be tracked. Which of those are wanted is decided by
//! the plan (`attach`), not here; nothing is written.

use std::collections::BTreeMap;

use rowmesh_core::limits;
use rowmesh_core::schema::{Column, ForeignKey, IndexedColumn, KeyKind, TableSchema, UniqueIndex};
use rowmesh_core::unique::{NOCASE, RTRIM};
use rowmesh_core::value::{ColumnName, TableName, Value};
use rowmesh_engine::plan::{DeclaredKeys, Remark, Untracked};
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Result;
use crate::sketch::Sketch;
use crate::sql::{quote, quote_list};

/// Everything that stands in a database, as far as keeping it in sync needs to know. Tables of ours and of SQLite are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalog {
    /// Tables that can be tracked, by name.
    pub tables: Vec<TableSchema>,
    /// Tables that cannot, by name.
    pub untracked: Vec<Untracked>,
    /// What is worth knowing about tables that can.
    pub remarks: Vec<Remark>,
    /// `PRAGMA schema_version` that all this was read at.
    pub schema_version: i64,
}

impl Catalog {
    /// Reads it, at one moment.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn read(connection: &Connection, declared: &DeclaredKeys) -> Result<Catalog> {
        if !connection.is_autocommit() {
            return Reading::begin(connection, declared)?.run();
        }
        let moment = connection.unchecked_transaction()?;
        let catalog = Reading::begin(&moment, declared)?.run()?;
        moment.commit()?;
        Ok(catalog)
    }

    /// The table of that name, if it can be tracked.
    pub fn table(&self, name: &str) -> Option<&TableSchema> {
        self.tables.iter().find(|table| &*table.name == name)
    }
}

/// One pass over the schema.
struct Reading<'a> {
    connection: &'a Connection,
    declared: &'a DeclaredKeys,
    sketch: Sketch,
    names: Vec<Listed>,
    remarks: Vec<Remark>,
}

/// One line of `PRAGMA table_list`.
#[derive(Clone)]
struct Listed {
    name: TableName,
    kind: String,
    without_rowid: bool,
    strict: bool,
}

/// Position among the columns that hold values of their own, by number in the table; `None` for a generated column.
type Positions = Vec<Option<usize>>;

/// A table as the pragmas tell it.
struct Facts {
    columns: Vec<Column>,
    /// Positions of the primary key, in its order.
    primary_key: Vec<usize>,
    /// Whether the primary key is another name of the row's number.
    is_rowid: bool,
    /// All unique indexes, and whether each belongs to the primary key.
    uniques: Vec<(bool, UniqueIndex)>,
    foreign_keys: Vec<ForeignKey>,
}

/// A foreign key as the pragma tells it: names as they were typed, `None` where the parent's primary key is meant.
struct Reference {
    parent: String,
    on_delete: String,
    from: Vec<String>,
    to: Vec<Option<String>>,
}

impl<'a> Reading<'a> {
    fn begin(connection: &'a Connection, declared: &'a DeclaredKeys) -> Result<Reading<'a>> {
        let mut statement = connection.prepare_cached(
            "SELECT name, type, wr, strict FROM pragma_table_list
             WHERE schema = 'main' AND type IN ('table', 'virtual', 'shadow')
               AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'rowmesh\\_%' ESCAPE '\\' ORDER BY name",
        )?;
        let listed = statement.query_map([], |row| {
            let (name, kind): (String, String) = (row.get(0)?, row.get(1)?);
            Ok(Listed { name: name.into(), kind, without_rowid: row.get(2)?, strict: row.get(3)? })
        })?;
        let names = listed.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Reading { connection, declared, sketch: Sketch::of(connection)?, names, remarks: Vec::new() })
    }

    fn run(mut self) -> Result<Catalog> {
        let schema_version = self.connection.query_row("PRAGMA main.schema_version", [], |row| row.get(0))?;
        let (mut tables, mut untracked) = (Vec::new(), Vec::new());
        for listed in self.names.clone() {
            match self.table(&listed)? {
                Ok(table) => tables.push(table),
                Err(refusal) => untracked.push(refusal.of(&listed.name)),
            }
        }
        Ok(Catalog { tables, untracked, remarks: self.remarks, schema_version })
    }

    fn table(&mut self, listed: &Listed) -> Result<std::result::Result<TableSchema, Refusal>> {
        if listed.kind != "table" {
            return Ok(Err(Refusal::not_a_table(&listed.kind)));
        }
        let facts = self.facts(listed)?;
        if let Some(refusal) = beyond_limits(&listed.name, &facts) {
            return Ok(Err(refusal));
        }
        let key = match self.key(listed, &facts)? {
            Ok(key) => key,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let key_kind = key_kind(&key, &facts);
        let collation = key_collation(&facts, &key);
        let key_is_told = collation.is_none();
        if let Some(collation) = collation {
            let text =
                format!("compares its key by {collation}: two keys that are one here may be two on another node");
            self.remark(&listed.name, &text);
        }
        if let Err(said) =
            self.sketch.accepts(&listed.name, probes(&listed.name, &facts, &key).iter().map(String::as_str))
        {
            return Ok(Err(Refusal::not_writable(&said)));
        }
        Ok(Ok(TableSchema {
            name: listed.name.clone(),
            uniques: besides_key(&facts, &key),
            columns: facts.columns,
            key,
            key_kind,
            key_is_told,
            foreign_keys: facts.foreign_keys,
        }))
    }

    fn facts(&mut self, listed: &Listed) -> Result<Facts> {
        let (mut columns, positions, primary_key) = self.columns(listed)?;
        let uniques = self.uniques(&listed.name, &positions)?;
        let is_rowid = !listed.without_rowid && primary_key.len() == 1 && !uniques.iter().any(|(primary, _)| *primary);
        if is_rowid {
            columns[primary_key[0]].not_null = true;
        }
        let foreign_keys = self.foreign_keys(&listed.name, &columns)?;
        Ok(Facts { columns, primary_key, is_rowid, uniques, foreign_keys })
    }

    /// The columns that hold values of their own; the position among them of every column by its number in the table; the primary key.
    fn columns(&mut self, listed: &Listed) -> Result<(Vec<Column>, Positions, Vec<usize>)> {
        let mut statement = self.connection.prepare_cached(
            "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1, 'main') ORDER BY cid",
        )?;
        let mut rows = statement.query(params![&*listed.name])?;
        let (mut columns, mut positions, mut key) = (Vec::new(), Vec::new(), BTreeMap::new());
        while let Some(row) = rows.next()? {
            let (pk, hidden): (i64, i64) = (row.get(4)?, row.get(5)?);
            if hidden != 0 {
                positions.push(None);
                continue;
            }
            let (declared_type, not_null): (String, bool) = (row.get(1)?, row.get(2)?);
            let default = match row.get::<_, Option<String>>(3)? {
                Some(expression) => self.sketch.constant(&declared_type, &expression, listed.strict),
                None => (!not_null).then_some(Value::Null),
            };
            if pk > 0 {
                key.insert(pk, columns.len());
            }
            positions.push(Some(columns.len()));
            columns.push(Column { name: row.get::<_, String>(0)?.into(), declared_type, not_null, default });
        }
        Ok((columns, positions, key.into_values().collect()))
    }

    fn uniques(&self, table: &str, positions: &Positions) -> Result<Vec<(bool, UniqueIndex)>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT name, origin, partial FROM pragma_index_list(?1, 'main') WHERE \"unique\" ORDER BY name",
        )?;
        let mut rows = statement.query(params![table])?;
        let mut uniques = Vec::new();
        while let Some(row) = rows.next()? {
            let (name, origin): (String, String) = (row.get(0)?, row.get(1)?);
            let parts = self.index_parts(&name, positions)?;
            let partial: bool = row.get(2)?;
            let is_told = !partial && parts.iter().all(is_compared_as_known);
            uniques.push((origin == "pk", UniqueIndex { name, parts, partial, is_told }));
        }
        Ok(uniques)
    }

    fn index_parts(&self, index: &str, positions: &Positions) -> Result<Vec<Option<IndexedColumn>>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT cid, coll FROM pragma_index_xinfo(?1, 'main') WHERE \"key\" ORDER BY seqno")?;
        let parts = statement.query_map(params![index], |row| {
            let (number, collation): (i64, Option<String>) = (row.get(0)?, row.get(1)?);
            let position = usize::try_from(number).ok().and_then(|number| positions.get(number).copied().flatten());
            Ok(position.map(|column| IndexedColumn { column, collation: collation.unwrap_or_else(|| "BINARY".into()) }))
        })?;
        Ok(parts.collect::<rusqlite::Result<_>>()?)
    }

    /// In the order of their columns, which is the same on every node. A key to a table that is not there yet is left out until it is,
    /// unless it names the columns that it means.
    fn foreign_keys(&self, table: &str, columns: &[Column]) -> Result<Vec<ForeignKey>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, \"table\", \"from\", \"to\", on_delete FROM pragma_foreign_key_list(?1, 'main') ORDER BY id, seq",
        )?;
        let mut rows = statement.query(params![table])?;
        let mut by_id: BTreeMap<i64, Reference> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let (parent, on_delete) = (row.get(1)?, row.get(4)?);
            let new = || Reference { parent, on_delete, from: Vec::new(), to: Vec::new() };
            let reference = by_id.entry(row.get(0)?).or_insert_with(new);
            reference.from.push(row.get(2)?);
            reference.to.push(row.get(3)?);
        }
        let mut keys = Vec::new();
        for Reference { parent, on_delete, from, to } in by_id.into_values() {
            let parent = self.spelt(&parent);
            let place = |name: &String| columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
            let positions: Option<Vec<usize>> = from.iter().map(place).collect();
            let parent_columns = self.parent_columns(&parent, &to)?;
            if let Some(columns_here) = positions.filter(|positions| positions.len() == parent_columns.len()) {
                let not_null = columns_here.iter().all(|position| columns[*position].not_null);
                keys.push(ForeignKey { columns: columns_here, parent, parent_columns, not_null, on_delete });
            }
        }
        keys.sort_by(|a, b| {
            (&a.columns, &a.parent, &a.parent_columns).cmp(&(&b.columns, &b.parent, &b.parent_columns))
        });
        keys.dedup();
        Ok(keys)
    }

    /// A table's name as its own definition spells it.
    fn spelt(&self, name: &str) -> TableName {
        (self.names.iter().find(|listed| listed.name.eq_ignore_ascii_case(name)))
            .map_or_else(|| name.into(), |listed| listed.name.clone())
    }

    fn parent_columns(&self, parent: &str, named: &[Option<String>]) -> Result<Vec<ColumnName>> {
        let mut statement =
            self.connection.prepare_cached("SELECT name, pk FROM pragma_table_xinfo(?1, 'main') ORDER BY pk, cid")?;
        let columns = statement.query_map(params![parent], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let columns: Vec<(String, i64)> = columns.collect::<rusqlite::Result<_>>()?;
        let named: Option<Vec<&String>> = named.iter().map(Option::as_ref).collect();
        Ok(match named {
            None => columns.iter().filter(|(_, pk)| *pk > 0).map(|(name, _)| name.as_str().into()).collect(),
            Some(named) => (named.iter())
                .map(|name| {
                    let spelt = columns.iter().find(|(column, _)| column.eq_ignore_ascii_case(name));
                    spelt.map_or(name.as_str(), |(column, _)| column.as_str()).into()
                })
                .collect(),
        })
    }

    fn key(&mut self, listed: &Listed, facts: &Facts) -> Result<std::result::Result<Vec<usize>, Refusal>> {
        let declared = self.declared.get(&listed.name);
        let key = match (facts.primary_key.is_empty(), declared) {
            (false, declared) => {
                if declared.is_some() {
                    self.remark(&listed.name, "has a primary key; the key declared for it is not used");
                }
                facts.primary_key.clone()
            }
            (true, Some(names)) => match declared_key(&listed.name, facts, names) {
                Ok(key) => key,
                Err(refusal) => return Ok(Err(refusal)),
            },
            (true, None) => return Ok(Err(Refusal::no_key(&listed.name, facts))),
        };
        if key.len() > limits::KEY_COLUMNS_MAX {
            return Ok(Err(Refusal::key_too_wide(key.len())));
        }
        let nullable: Vec<&str> = key
            .iter()
            .map(|position| &facts.columns[*position])
            .filter(|column| !column.not_null)
            .map(|column| &*column.name)
            .collect();
        if nullable.is_empty() {
            return Ok(Ok(key));
        }
        if self.holds_null(&listed.name, &nullable)? {
            return Ok(Err(Refusal::null_in_key(&listed.name, &nullable)));
        }
        let text = format!("allows NULL in its key ({}): a row without a key cannot travel", nullable.join(", "));
        self.remark(&listed.name, &text);
        Ok(Ok(key))
    }

    fn holds_null(&self, table: &str, columns: &[&str]) -> Result<bool> {
        let any: Vec<String> = columns.iter().map(|column| format!("{} IS NULL", quote(column))).collect();
        let sql = format!("SELECT 1 FROM main.{} WHERE {} LIMIT 1", quote(table), any.join(" OR "));
        Ok(self.connection.query_row(&sql, [], |_| Ok(())).optional()?.is_some())
    }

    fn remark(&mut self, table: &TableName, text: &str) {
        self.remarks.push(Remark { table: table.clone(), text: text.to_owned() });
    }
}

/// Why a table cannot be tracked.
struct Refusal {
    code: &'static str,
    reason: String,
    remedy: String,
}

impl Refusal {
    fn of(self, table: &TableName) -> Untracked {
        Untracked { name: table.clone(), code: self.code, reason: self.reason, remedy: self.remedy }
    }

    fn not_a_table(kind: &str) -> Refusal {
        let reason = match kind {
            "shadow" => "belongs to a virtual table",
            _ => "is a virtual table: every node keeps its own, through the application's triggers",
        };
        Refusal { code: "RM2101", reason: reason.to_owned(), remedy: String::new() }
    }

    fn no_key(table: &str, facts: &Facts) -> Refusal {
        let remedy = match proposed_key(facts) {
            Some(columns) => format!("put into rowmesh.toml: [table.{table}] key = {columns:?}"),
            None => format!(
                "give {table} a primary key, or a unique index and then, in rowmesh.toml: [table.{table}] key = [COLUMNS]"
            ),
        };
        Refusal { code: "RM2103", reason: "has no primary key".to_owned(), remedy }
    }

    fn key_too_wide(columns: usize) -> Refusal {
        let reason = format!("has a key of {columns} columns; at most {} can be noted", limits::KEY_COLUMNS_MAX);
        Refusal { code: "RM2104", reason, remedy: "give it a key of its own, such as a UUID".to_owned() }
    }

    fn null_in_key(table: &str, columns: &[&str]) -> Refusal {
        let any: Vec<String> = columns.iter().map(|column| format!("{} IS NULL", quote(column))).collect();
        let remedy =
            format!("give these rows a key or remove them: SELECT * FROM {} WHERE {}", quote(table), any.join(" OR "));
        Refusal { code: "RM2105", reason: format!("holds rows with NULL in its key ({})", columns.join(", ")), remedy }
    }

    fn bad_declared_key(reason: String, table: &str, facts: &Facts) -> Refusal {
        let remedy = match proposed_key(facts) {
            Some(columns) => format!("put into rowmesh.toml: [table.{table}] key = {columns:?}"),
            None => format!("make a unique index on {table} over the columns of the key"),
        };
        Refusal { code: "RM2106", reason, remedy }
    }

    fn not_writable(said: &str) -> Refusal {
        let reason = format!("cannot be written by Rowmesh: {said}");
        let remedy =
            "its indexes, checks or columns need something that only the application has; leave it out".to_owned();
        Refusal { code: "RM2111", reason, remedy }
    }
}

fn beyond_limits(name: &str, facts: &Facts) -> Option<Refusal> {
    let reason = if facts.columns.len() > limits::COLUMNS_MAX {
        format!("has {} columns; at most {} can travel", facts.columns.len(), limits::COLUMNS_MAX)
    } else if facts
        .columns
        .iter()
        .map(|column| column.name.len())
        .chain([name.len()])
        .any(|length| length > limits::NAME_BYTES_MAX)
    {
        format!("has a name, or a column's name, of more than {} bytes", limits::NAME_BYTES_MAX)
    } else {
        return None;
    };
    Some(Refusal { code: "RM2112", reason, remedy: String::new() })
}

/// A number that the database hands out means nothing elsewhere, unless it is another row's.
fn key_kind(key: &[usize], facts: &Facts) -> KeyKind {
    let refers = facts.foreign_keys.iter().any(|foreign| foreign.columns == key);
    if facts.is_rowid && !refers { KeyKind::Generated } else { KeyKind::Natural }
}

fn declared_key(table: &str, facts: &Facts, names: &[ColumnName]) -> std::result::Result<Vec<usize>, Refusal> {
    let mut key = Vec::with_capacity(names.len());
    for name in names {
        match facts.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)) {
            Some(position) if !key.contains(&position) => key.push(position),
            _ => {
                return Err(Refusal::bad_declared_key(
                    format!("has no column {name} for the key declared"),
                    table,
                    facts,
                ));
            }
        }
    }
    if !facts.uniques.iter().any(|(_, index)| covers(index, &key)) {
        let reason = format!("has no unique index over exactly the key declared for it ({})", names.join(", "));
        return Err(Refusal::bad_declared_key(reason, table, facts));
    }
    Ok(key)
}

/// Whether a unique index makes these columns, in any order, tell rows apart.
fn covers(index: &UniqueIndex, key: &[usize]) -> bool {
    let columns: Option<Vec<usize>> = index.parts.iter().map(|part| part.as_ref().map(|part| part.column)).collect();
    !index.partial
        && columns
            .is_some_and(|columns| columns.len() == key.len() && key.iter().all(|column| columns.contains(column)))
}

/// Columns of the narrowest unique index that could be the key: one whose columns are all NOT NULL if there is any.
fn proposed_key(facts: &Facts) -> Option<Vec<&str>> {
    let candidates = facts.uniques.iter().filter_map(|(_, index)| {
        let columns: Option<Vec<usize>> =
            index.parts.iter().map(|part| part.as_ref().map(|part| part.column)).collect();
        columns.filter(|columns| !index.partial && columns.len() <= limits::KEY_COLUMNS_MAX)
    });
    let best = candidates.min_by_key(|columns| {
        let nullable = columns.iter().any(|column| !facts.columns[*column].not_null);
        (nullable, columns.len())
    })?;
    Some(best.iter().map(|column| &*facts.columns[*column].name).collect())
}

/// The unique index that makes the key one: the primary key's own if it has any.
fn key_index<'f>(facts: &'f Facts, key: &[usize]) -> Option<&'f UniqueIndex> {
    let over_key = || facts.uniques.iter().filter(|(_, index)| covers(index, key));
    over_key().find(|(primary, _)| *primary).or_else(|| over_key().next()).map(|(_, index)| index)
}

/// The collation of the key, where it is not the plain comparison of bytes.
fn key_collation<'f>(facts: &'f Facts, key: &[usize]) -> Option<&'f str> {
    let parts = key_index(facts, key)?.parts.iter().flatten();
    parts.map(|part| part.collation.as_str()).find(|collation| !collation.eq_ignore_ascii_case("BINARY"))
}

/// Unique indexes that refuse more than the key does: not the key's own, nor another over the same columns that compares alike. But where the
/// key's own holds keys equal that differ in their bytes, it refuses more than the key as we know it.
fn besides_key(facts: &Facts, key: &[usize]) -> Vec<UniqueIndex> {
    let own = key_index(facts, key);
    let folds = key_collation(facts, key).is_some();
    let same = |index: &UniqueIndex| {
        covers(index, key)
            && (facts.is_rowid || own.is_some_and(|own| index.parts.iter().all(|part| own.parts.contains(part))))
    };
    let counts = |index: &&UniqueIndex| !same(index) || (folds && own == Some(*index));
    facts.uniques.iter().map(|(_, index)| index).filter(counts).cloned().collect()
}

/// Statements of the kinds that sealing and applying will run.
fn probes(table: &str, facts: &Facts, key: &[usize]) -> [String; 3] {
    let names = || facts.columns.iter().map(|column| &*column.name);
    let by_key: Vec<String> =
        key.iter().map(|column| format!("{} IS NULL", quote(&facts.columns[*column].name))).collect();
    let sets: Vec<String> = names().map(|name| format!("{} = NULL", quote(name))).collect();
    let (table, by_key) = (quote(table), by_key.join(" AND "));
    [
        format!(
            "INSERT INTO main.{table} ({}) VALUES ({})",
            quote_list(names()),
            vec!["NULL"; facts.columns.len()].join(", ")
        ),
        format!("UPDATE main.{table} SET {} WHERE {by_key}", sets.join(", ")),
        format!("DELETE FROM main.{table} WHERE {by_key}"),
    ]
}

/// Whether SQLite itself brings the collation; an application's own may hold anything equal.
fn is_compared_as_known(part: &Option<IndexedColumn>) -> bool {
    let is_known = |name: &str| part.as_ref().is_some_and(|part| part.collation.eq_ignore_ascii_case(name));
    ["BINARY", NOCASE, RTRIM].into_iter().any(is_known)
}
