//! Reads what the application's tables look like, and decides of each whether it can be tracked. Which of those are wanted is decided by
//! the plan (`attach`), not here; nothing is written.

use std::collections::HashMap;

use rowmesh_core::limits;
use rowmesh_core::schema::{Column, ForeignKey, IndexedColumn, KeyKind, TableSchema, UniqueIndex};
use rowmesh_core::unique::{NOCASE, RTRIM};
use rowmesh_core::value::{ColumnName, TableName, Value};
use rowmesh_engine::plan::{DeclaredKeys, Remark, Untracked};

use crate::connection::Session;
use crate::error::Result;
use crate::sql::{qualified, quote, quote_list};
use crate::values::{Kind, PgColumn, read, text_expression};
use crate::watch::schema_version;

/// Everything that stands in a database, as far as keeping it in sync needs to know. Tables of ours and of PostgreSQL are left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalog {
    /// Tables that can be tracked, by name.
    pub tables: Vec<Tracked>,
    /// Tables that cannot, by name.
    pub untracked: Vec<Untracked>,
    /// Schema and name of those that could be, were they not hidden from our role.
    pub hidden: Vec<(String, String)>,
    /// What is worth knowing about tables that can.
    pub remarks: Vec<Remark>,
    /// What tells that the schema has moved since all this was read.
    pub schema_version: i64,
}

/// A table that can be tracked, with what only PostgreSQL knows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracked {
    /// What it looks like.
    pub schema: TableSchema,
    /// Its schema and its own name.
    pub place: (String, String),
    /// Its number in the server's catalog: a table that was made anew has another.
    pub oid: u32,
    /// What reading and writing each column of the schema needs.
    pub columns: Vec<PgColumn>,
    /// Its partitions at any depth, by schema and name.
    pub parts: Vec<Part>,
    /// Whether only triggers of rows see all writes to it.
    pub by_row: bool,
    /// Whether the text of its key depends on how a session shows values.
    pub key_text_depends_on_settings: bool,
    /// Whether no statement can ask the server to skip a row whose key is there: the key is checked late, or is over periods.
    pub is_key_late: bool,
    /// Constraints over several rows that may be checked late, or that are a key over periods.
    pub late: Vec<Late>,
    /// Foreign keys over periods: what a row refers to stands in several rows of the parent.
    pub period_keys: Vec<PeriodKey>,
}

/// A constraint over several rows of one table that we have to check ourselves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Late {
    /// Its columns, each with the operator that holds between two rows which may not stand together.
    pub columns: Vec<(usize, String)>,
}

/// A foreign key whose last column, a range, must be covered by those of the parent's rows that are equal in all others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeriodKey {
    /// Positions of the referring columns.
    pub columns: Vec<usize>,
    /// The table referred to.
    pub parent: TableName,
    /// The columns referred to, by name.
    pub parent_columns: Vec<ColumnName>,
}

impl Late {
    /// The condition that two rows of the table may not stand together.
    pub fn condition(&self, table: &Tracked, one: &str, other: &str) -> String {
        let columns = self.columns.iter().map(|(column, operator)| (quote(&table.columns[*column].name), operator));
        let pairs: Vec<String> =
            columns.map(|(name, operator)| format!("{one}.{name} {operator} {other}.{name}")).collect();
        pairs.join(" AND ")
    }
}

/// A partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Its number in the server's catalog.
    pub oid: u32,
    /// Its schema and its own name.
    pub place: (String, String),
}

impl Tracked {
    /// Its name in SQL.
    pub fn sql_name(&self) -> String {
        qualified(&self.place.0, &self.place.1)
    }
}

impl Catalog {
    /// Reads it. `home` is the schema whose tables travel under their bare names. What moves meanwhile moves `schema_version`.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn read(session: &Session, home: &str, declared: &DeclaredKeys) -> Result<Catalog> {
        let schema_version = schema_version(session)?;
        let mut reading = Reading::begin(session, home, declared)?;
        let (mut tables, mut untracked, mut hidden) = (Vec::new(), Vec::new(), Vec::new());
        let role: String = session.query_one("SELECT current_user::text", &[])?.get(0);
        for relation in std::mem::take(&mut reading.relations) {
            if relation.is_partition {
                continue;
            }
            match reading.table(&relation) {
                Ok(_) if !relation.may_be_read => {
                    untracked.push(Refusal::hidden(&relation, &role).of(&relation.name));
                    hidden.push(relation.place);
                }
                Ok(table) => tables.push(table),
                Err(refusal) => untracked.push(refusal.of(&relation.name)),
            }
        }
        fill_defaults(session, &mut tables, &reading.defaults)?;
        tables.sort_by(|a, b| a.schema.name.cmp(&b.schema.name));
        untracked.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Catalog { tables, untracked, hidden, remarks: reading.remarks, schema_version })
    }

    /// The table of that name, if it can be tracked.
    pub fn table(&self, name: &str) -> Option<&Tracked> {
        self.tables.iter().find(|table| &*table.schema.name == name)
    }
}

/// The schema whose tables travel under their bare names: the one that the location names, else the first one that the role's own search
/// path finds.
///
/// # Errors
/// If the database cannot be read.
pub fn home_schema(session: &Session, named: Option<&str>) -> Result<String> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let sql = "SELECT COALESCE((
        SELECT n.nspname::text
          FROM (SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'search_path') s,
               pg_catalog.regexp_split_to_table(s.reset_val, '\\s*,\\s*') WITH ORDINALITY p (name, place)
          JOIN pg_catalog.pg_namespace n ON n.nspname = CASE p.name WHEN '\"$user\"' THEN current_user
               ELSE pg_catalog.replace(pg_catalog.btrim(p.name, '\"'), '\"\"', '\"') END
         WHERE n.nspname NOT LIKE 'pg\\_%' ORDER BY p.place LIMIT 1), 'public')";
    Ok(session.query_one(sql, &[])?.get(0))
}

/// The queries of `catalog.sql`, in its order.
fn queries() -> [&'static str; 4] {
    let mut parts = include_str!("catalog.sql").split(";\n").map(str::trim).filter(|part| !part.is_empty());
    std::array::from_fn(|_| parts.next().expect("catalog.sql holds four queries"))
}

/// One pass over the schema.
struct Reading<'a> {
    declared: &'a DeclaredKeys,
    /// Whether the server leaves it to us to check foreign keys for what we write.
    is_replica: bool,
    relations: Vec<Relation>,
    names: HashMap<u32, TableName>,
    columns: HashMap<u32, Vec<Found>>,
    uniques: HashMap<u32, Vec<Index>>,
    foreign_keys: HashMap<u32, Vec<Reference>>,
    parts: HashMap<u32, Vec<Part>>,
    /// Default expressions that may be constants, by table and position.
    defaults: Vec<(u32, usize, String)>,
    remarks: Vec<Remark>,
}

#[derive(Clone)]
struct Relation {
    oid: u32,
    name: TableName,
    place: (String, String),
    kind: String,
    is_unlogged: bool,
    is_partition: bool,
    inherits: bool,
    has_heirs: bool,
    of_extension: bool,
    exclusions: i64,
    may_be_read: bool,
}

/// A column as the catalog tells it.
struct Found {
    number: i16,
    column: Column,
    pg: PgColumn,
    is_generated: bool,
    default: Option<String>,
}

struct Index {
    name: String,
    is_primary: bool,
    is_partial: bool,
    is_immediate: bool,
    is_unique: bool,
    is_exclusion: bool,
    /// Attribute numbers with their collations; 0 for an expression.
    parts: Vec<(i16, String, bool)>,
    /// The operators between two rows that may not stand together.
    operators: Vec<String>,
}

impl Index {
    /// Whether ON CONFLICT can name it.
    fn can_be_named(&self) -> bool {
        self.is_immediate && !self.is_exclusion
    }

    /// Whether the values alone tell which rows it holds equal, and that it is asked at once.
    fn is_told<'c>(&self, column: impl Fn(i16) -> Option<&'c PgColumn>) -> bool {
        !self.is_partial && self.can_be_named() && self.is_compared_as_given(column)
    }

    /// Whether values that it holds equal look equal.
    fn is_compared_as_given<'c>(&self, column: impl Fn(i16) -> Option<&'c PgColumn>) -> bool {
        let is_known = |(number, collation, is_deterministic): &(i16, String, bool)| {
            let folds = [NOCASE, RTRIM].into_iter().any(|name| collation.eq_ignore_ascii_case(name));
            *is_deterministic && !folds && column(*number).is_some_and(PgColumn::is_equal_as_given)
        };
        let compares = self.operators.iter().all(|operator| operator == "=");
        compares && self.parts.iter().all(is_known)
    }

    /// Whether it is a key of which no two rows may overlap.
    fn is_over_periods(&self) -> bool {
        self.is_unique && self.is_exclusion
    }
}

struct Reference {
    parent: u32,
    from: Vec<i16>,
    parent_columns: Vec<ColumnName>,
    on_delete: &'static str,
    is_over_periods: bool,
}

impl<'a> Reading<'a> {
    fn begin(session: &Session, home: &str, declared: &'a DeclaredKeys) -> Result<Reading<'a>> {
        let [relations, columns, uniques, foreign_keys] = queries();
        let rows = session.pipeline(&[(relations, &[]), (columns, &[]), (uniques, &[]), (foreign_keys, &[])])?;
        let mut reading = Reading {
            declared,
            is_replica: session.is_replica(),
            relations: Vec::new(),
            names: HashMap::new(),
            columns: HashMap::new(),
            uniques: HashMap::new(),
            foreign_keys: HashMap::new(),
            parts: HashMap::new(),
            defaults: Vec::new(),
            remarks: Vec::new(),
        };
        for row in &rows[0] {
            let (schema, table): (String, String) = (row.get(1), row.get(2));
            let name: TableName =
                if schema == home { table.as_str().into() } else { format!("{schema}.{table}").into() };
            let (oid, persistence): (u32, &str) = (row.get(0), row.get(4));
            reading.names.insert(oid, name.clone());
            reading.relations.push(Relation {
                oid,
                name,
                place: (schema, table),
                kind: row.get(3),
                is_unlogged: persistence == "u",
                is_partition: row.get(5),
                inherits: row.get(6),
                has_heirs: row.get(7),
                of_extension: row.get(8),
                exclusions: row.get(9),
                may_be_read: row.get(11),
            });
        }
        for row in &rows[1] {
            reading.columns.entry(row.get(0)).or_default().push(found(row));
        }
        for row in &rows[2] {
            add_index_part(reading.uniques.entry(row.get(0)).or_default(), row);
        }
        for row in &rows[3] {
            reading.foreign_keys.entry(row.get(0)).or_default().push(Reference {
                parent: row.get(1),
                from: row.get(2),
                parent_columns: row.get::<_, Vec<String>>(6).into_iter().map(ColumnName::from).collect(),
                on_delete: match row.get::<_, &str>(4) {
                    "c" => "CASCADE",
                    "n" => "SET NULL",
                    "d" => "SET DEFAULT",
                    "r" => "RESTRICT",
                    _ => "NO ACTION",
                },
                is_over_periods: row.get(7),
            });
        }
        let parts = "SELECT r.oid, l.oid, p.nspname::text, l.relname::text FROM pg_catalog.pg_class r, \
                     pg_catalog.pg_partition_tree(r.oid) t JOIN pg_catalog.pg_class l ON l.oid = t.relid \
                     JOIN pg_catalog.pg_namespace p ON p.oid = l.relnamespace \
                     WHERE r.relkind = 'p' AND NOT r.relispartition AND t.level > 0 ORDER BY 1, 3, 4";
        for row in session.query(parts, &[])? {
            let part = Part { oid: row.get(1), place: (row.get(2), row.get(3)) };
            reading.parts.entry(row.get(0)).or_default().push(part);
        }
        Ok(reading)
    }

    fn table(&mut self, relation: &Relation) -> std::result::Result<Tracked, Refusal> {
        if let Some(refusal) = Refusal::of_kind(relation) {
            return Err(refusal);
        }
        let found = self.columns.remove(&relation.oid).unwrap_or_default();
        let kept: Vec<&Found> = found.iter().filter(|column| !column.is_generated).collect();
        let place_of = |number: i16| kept.iter().position(|column| column.number == number);
        let all = self.uniques.remove(&relation.oid).unwrap_or_default();
        let columns: Vec<Column> = kept.iter().map(|column| column.column.clone()).collect();
        if let Some(refusal) = beyond_limits(&relation.name, &columns) {
            return Err(refusal);
        }
        let (key, own) = self.key(relation, &columns, &all, &place_of)?;
        let foreign_keys = self.foreign_keys(relation.oid, &columns, &place_of);
        let period_keys = self.period_keys(relation.oid, &place_of);
        if !period_keys.is_empty() && !self.is_replica {
            return Err(Refusal::period_key(relation));
        }
        let pg: Vec<PgColumn> = kept.iter().map(|column| column.pg.clone()).collect();
        let key_kind = key_kind(&key, &pg, &foreign_keys);
        self.remark_on(relation, &all, own);
        for (position, column) in kept.iter().enumerate() {
            self.defaults.extend(column.default.clone().map(|default| (relation.oid, position, default)));
        }
        let late = all.iter().filter(|index| !index.can_be_named());
        let late = late.filter_map(|index| {
            let columns = index.parts.iter().zip(&index.operators);
            let columns = columns.map(|(part, operator)| Some((place_of(part.0)?, operator.clone())));
            Some(Late { columns: columns.collect::<Option<_>>()? })
        });
        let late = late.collect();
        let is_other = |index: &&Index| !index.is_exclusion && !covers(index, &key, &place_of);
        let uniques = all.iter().filter(is_other).map(|index| UniqueIndex {
            name: index.name.clone(),
            parts: (index.parts.iter())
                .map(|(number, collation, _)| {
                    place_of(*number).map(|column| IndexedColumn { column, collation: collation.clone() })
                })
                .collect(),
            partial: index.is_partial,
            is_told: index.is_told(|number| Some(&pg[place_of(number)?])),
        });
        Ok(Tracked {
            schema: TableSchema {
                name: relation.name.clone(),
                uniques: uniques.collect(),
                columns,
                key_kind,
                key_is_told: own.is_compared_as_given(|number| Some(&pg[place_of(number)?])),
                foreign_keys,
                key: key.clone(),
            },
            place: relation.place.clone(),
            oid: relation.oid,
            key_text_depends_on_settings: key.iter().any(|position| pg[*position].depends_on_settings),
            columns: pg,
            parts: self.parts.remove(&relation.oid).unwrap_or_default(),
            by_row: relation.kind == "p",
            is_key_late: !own.can_be_named(),
            late,
            period_keys,
        })
    }

    /// The key's positions, and the index that makes it one.
    fn key<'i>(
        &mut self,
        relation: &Relation,
        columns: &[Column],
        uniques: &'i [Index],
        place_of: &impl Fn(i16) -> Option<usize>,
    ) -> std::result::Result<(Vec<usize>, &'i Index), Refusal> {
        let positions = |index: &Index| -> Option<Vec<usize>> {
            (!index.is_partial).then(|| index.parts.iter().map(|part| place_of(part.0)).collect()).flatten()
        };
        let declared = self.declared.get(&relation.name);
        if let Some(primary) = uniques.iter().find(|index| index.is_primary) {
            if declared.is_some() {
                self.remark(relation, "has a primary key; the key declared for it is not used");
            }
            return match positions(primary) {
                None => Err(Refusal::computed_key(&relation.name)),
                Some(key) if key.len() > limits::KEY_COLUMNS_MAX => Err(Refusal::key_too_wide(key.len())),
                Some(key) => Ok((key, primary)),
            };
        }
        // NULL would make several rows of one key.
        let usable = |index: &&Index| {
            index.is_unique
                && positions(index).is_some_and(|key| {
                    key.len() <= limits::KEY_COLUMNS_MAX && key.iter().all(|position| columns[*position].not_null)
                })
        };
        let Some(names) = declared else {
            let best = uniques.iter().filter(usable).min_by_key(|index| (index.parts.len(), &index.name));
            let best = best.ok_or_else(|| Refusal::no_key(relation, columns))?;
            return Ok((positions(best).unwrap_or_default(), best));
        };
        let key: Option<Vec<usize>> =
            names.iter().map(|name| columns.iter().position(|column| column.name == *name)).collect();
        let index = key.as_ref().and_then(|key| {
            let mut fitting = uniques.iter().filter(usable);
            fitting.find(|index| covers(index, key, place_of))
        });
        match (key, index) {
            (Some(key), Some(index)) => Ok((key, index)),
            _ => Err(Refusal::bad_declared_key(relation, names)),
        }
    }

    /// In the order of their columns, which is the same on every node.
    fn foreign_keys(&self, oid: u32, columns: &[Column], place_of: &impl Fn(i16) -> Option<usize>) -> Vec<ForeignKey> {
        let mut keys: Vec<ForeignKey> = (self.foreign_keys.get(&oid).into_iter().flatten())
            .filter(|reference| !reference.is_over_periods)
            .filter_map(|reference| {
                let positions: Vec<usize> =
                    reference.from.iter().map(|number| place_of(*number)).collect::<Option<_>>()?;
                Some(ForeignKey {
                    not_null: positions.iter().all(|position| columns[*position].not_null),
                    columns: positions,
                    parent: self.names.get(&reference.parent)?.clone(),
                    parent_columns: reference.parent_columns.clone(),
                    on_delete: reference.on_delete.to_owned(),
                })
            })
            .collect();
        keys.sort_by(|a, b| {
            (&a.columns, &a.parent, &a.parent_columns).cmp(&(&b.columns, &b.parent, &b.parent_columns))
        });
        keys.dedup();
        keys
    }

    fn period_keys(&self, oid: u32, place_of: &impl Fn(i16) -> Option<usize>) -> Vec<PeriodKey> {
        let keys = self.foreign_keys.get(&oid).into_iter().flatten().filter(|reference| reference.is_over_periods);
        let keys = keys.filter_map(|reference| {
            Some(PeriodKey {
                columns: reference.from.iter().map(|number| place_of(*number)).collect::<Option<_>>()?,
                parent: self.names.get(&reference.parent)?.clone(),
                parent_columns: reference.parent_columns.clone(),
            })
        });
        keys.collect()
    }

    fn remark_on(&mut self, relation: &Relation, uniques: &[Index], own: &Index) {
        if own.parts.iter().any(|(_, _, is_deterministic)| !is_deterministic) {
            self.remark(relation, "compares its key by a collation that holds different texts equal: two keys that are one here may be two on another node");
        }
        if !own.is_immediate {
            self.remark(relation, "has a deferrable key: while rows that come are written, nobody else writes to it");
        }
        if own.is_over_periods() {
            self.remark(relation, "has a key over periods: while rows that come are written, nobody else writes to it");
        }
        if relation.exclusions > 0 || uniques.iter().any(Index::is_over_periods) {
            self.remark(relation, "has an exclusion constraint: of rows that exclude one another the later is hidden");
        }
        if uniques.iter().any(|index| index.is_partial || index.parts.iter().any(|part| part.0 == 0)) {
            self.remark(
                relation,
                "has a unique index with a condition or an expression: the database alone judges what it refuses",
            );
        }
    }

    fn remark(&mut self, relation: &Relation, text: &str) {
        self.remarks.push(Remark { table: relation.name.clone(), text: text.to_owned() });
    }
}

fn found(row: &crate::Row) -> Found {
    let (name, declared_type, cast): (String, String, String) = (row.get(2), row.get(3), row.get(4));
    let (identity, default): (String, Option<String>) = (row.get(7), row.get(8));
    let (base, category, element): (&str, &str, Option<&str>) = (row.get(10), row.get(12), row.get(14));
    let kind = kind_of(base, row.get(11));
    let is_sequence = default.as_deref().is_some_and(|default| default.starts_with("nextval("));
    let not_null = row.get(5);
    let is_constant = |expression: &String| is_constant(expression);
    Found {
        number: row.get(1),
        column: Column {
            name: name.as_str().into(),
            declared_type,
            not_null,
            default: (default.is_none() && identity.is_empty() && !not_null).then_some(Value::Null),
        },
        pg: PgColumn {
            name,
            cast,
            travels_as: row.get(13),
            kind,
            typmod: row.get(9),
            handed_out: !identity.is_empty() || is_sequence,
            sequence: row.get::<_, Option<u32>>(15).filter(|_| !identity.is_empty() || is_sequence),
            always_identity: identity == "a",
            depends_on_settings: depends_on_settings(base, category, element),
        },
        is_generated: row.get(6),
        default: default.filter(is_constant),
    }
}

fn kind_of(base: &str, typtype: &str) -> Kind {
    match base {
        _ if typtype == "e" => Kind::Text,
        "bool" => Kind::Boolean,
        "int2" => Kind::Integer(2),
        "int4" => Kind::Integer(4),
        "int8" => Kind::Integer(8),
        "float4" => Kind::Single,
        "float8" => Kind::Double,
        "numeric" => Kind::Decimal,
        "text" | "varchar" | "bpchar" | "name" | "char" | "citext" | "json" => Kind::Text,
        "uuid" => Kind::Uuid,
        "bytea" => Kind::Bytes,
        "timestamptz" => Kind::Timestamp { with_zone: true },
        "timestamp" => Kind::Timestamp { with_zone: false },
        "date" => Kind::Date,
        "jsonb" => Kind::Jsonb,
        _ => Kind::Other,
    }
}

/// Types whose text is the same in every session; of others, and of those that are made of several, we do not ask.
fn depends_on_settings(base: &str, category: &str, element: Option<&str>) -> bool {
    const FIXED: [&str; 24] = [
        "bool", "int2", "int4", "int8", "numeric", "text", "varchar", "bpchar", "name", "char", "citext", "uuid",
        "oid", "inet", "cidr", "macaddr", "macaddr8", "bit", "varbit", "pg_lsn", "xid", "xid8", "json", "jsonb",
    ];
    match element {
        Some(element) => !FIXED.contains(&element),
        None => !(FIXED.contains(&base) || category == "E"),
    }
}

/// Whether an expression of a default is a literal: to find out what it gives runs nothing of anyone's.
fn is_constant(expression: &str) -> bool {
    let (literal, cast) = expression.split_once("'::").map_or((expression, ""), |(text, cast)| (text, cast));
    let plain_cast =
        cast.chars().all(|c| c.is_ascii_alphanumeric() || " _.\"(),[]".contains(c)) && !cast.contains("()");
    let is_number = || expression.parse::<f64>().is_ok_and(f64::is_finite);
    match literal.strip_prefix('\'') {
        Some(text) => !cast.is_empty() && plain_cast && !text.replace("''", "").contains('\''),
        None => matches!(expression, "true" | "false" | "NULL") || is_number(),
    }
}

fn add_index_part(indexes: &mut Vec<Index>, row: &crate::Row) {
    let name: String = row.get(1);
    if indexes.last().is_none_or(|last| last.name != name) {
        indexes.push(Index {
            name,
            is_primary: row.get(2),
            is_partial: row.get(3),
            is_immediate: row.get(4),
            is_unique: row.get(8),
            is_exclusion: row.get(9),
            parts: Vec::new(),
            operators: Vec::new(),
        });
    }
    if let Some(index) = indexes.last_mut() {
        index.parts.push((row.get(5), row.get(6), row.get(7)));
        index.operators.push(row.get(10));
    }
}

/// Finds out what rows get that do not name a column, all in one statement.
fn fill_defaults(session: &Session, tables: &mut [Tracked], defaults: &[(u32, usize, String)]) -> Result<()> {
    // Far below the number of columns that a statement may select.
    for some in defaults.chunks(500) {
        let expressions: Vec<String> = some
            .iter()
            .map(|(oid, position, expression)| {
                let table = tables.iter().find(|table| table.oid == *oid);
                table.map_or_else(|| "NULL".to_owned(), |table| default_expression(table, *position, expression))
            })
            .collect();
        let row = session.query_one(&format!("SELECT ARRAY[{}]::pg_catalog.text[]", expressions.join(", ")), &[])?;
        let texts: Vec<Option<String>> = row.get(0);
        for ((oid, position, _), text) in some.iter().zip(texts) {
            if let Some(table) = tables.iter_mut().find(|table| table.oid == *oid) {
                let value = text.map_or(Some(Value::Null), |text| read(&table.columns[*position], &text).ok());
                table.schema.columns[*position].default = value;
            }
        }
    }
    Ok(())
}

/// The text of what a column holds of its default: turned into its type, and rounded to its digits as a row's value would be.
fn default_expression(table: &Tracked, position: usize, expression: &str) -> String {
    let column = &table.columns[position];
    let (text, name) = (text_expression(column, "d"), quote(&column.name));
    let declared = &table.schema.columns[position].declared_type;
    format!("(SELECT {text} FROM (SELECT ({expression})::{}::{declared} AS {name}) d)", column.cast)
}

/// Whether a unique index makes these columns, in any order, tell rows apart.
fn covers(index: &Index, key: &[usize], place_of: &impl Fn(i16) -> Option<usize>) -> bool {
    let columns: Option<Vec<usize>> = index.parts.iter().map(|part| place_of(part.0)).collect();
    !index.is_partial
        && columns
            .is_some_and(|columns| columns.len() == key.len() && key.iter().all(|column| columns.contains(column)))
}

/// A number that the database hands out means nothing elsewhere, unless it is another row's. Of two bytes there are not enough to show a row under another.
fn key_kind(key: &[usize], columns: &[PgColumn], foreign_keys: &[ForeignKey]) -> KeyKind {
    let [only] = key else { return KeyKind::Natural };
    let refers = foreign_keys.iter().any(|foreign| foreign.columns == key);
    let is_number = matches!(columns[*only].kind, Kind::Integer(4 | 8)) && columns[*only].handed_out;
    if is_number && !refers { KeyKind::Generated } else { KeyKind::Natural }
}

fn beyond_limits(name: &str, columns: &[Column]) -> Option<Refusal> {
    let reason = if columns.len() > limits::COLUMNS_MAX {
        format!("has {} columns; at most {} can travel", columns.len(), limits::COLUMNS_MAX)
    } else if columns.iter().map(|column| column.name.len()).chain([name.len()]).any(|n| n > limits::NAME_BYTES_MAX) {
        format!("has a name, or a column's name, of more than {} bytes", limits::NAME_BYTES_MAX)
    } else {
        return None;
    };
    Some(Refusal { code: "RM2112", reason, remedy: String::new() })
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

    fn of_kind(relation: &Relation) -> Option<Refusal> {
        let name = qualified(&relation.place.0, &relation.place.1);
        let (code, reason, remedy) = match relation.kind.as_str() {
            "f" => ("RM2101", "is a foreign table: its rows are another server's", String::new()),
            "m" => ("RM2101", "is a materialised view: every node refreshes its own", String::new()),
            _ if relation.of_extension => ("RM2101", "belongs to an extension: every node has its own", String::new()),
            _ if relation.is_unlogged => (
                "RM2116",
                "is unlogged: a crash empties it, which would look as if its rows had been deleted",
                format!("ALTER TABLE {name} SET LOGGED;"),
            ),
            "r" if relation.inherits || relation.has_heirs => (
                "RM2117",
                "inherits or is inherited from: its rows stand in several tables",
                "make partitions of it, or a table for each kind of row".to_owned(),
            ),
            _ => return None,
        };
        Some(Refusal { code, reason: reason.to_owned(), remedy })
    }

    fn no_key(relation: &Relation, columns: &[Column]) -> Refusal {
        let table = qualified(&relation.place.0, &relation.place.1);
        let remedy = match columns.iter().find(|column| &*column.name == "id") {
            Some(id) => format!("ALTER TABLE {table} ADD PRIMARY KEY ({});", quote(&id.name)),
            None => format!("ALTER TABLE {table} ADD COLUMN id uuid PRIMARY KEY DEFAULT gen_random_uuid();"),
        };
        let reason = "has no primary key and no unique index over columns that are NOT NULL".to_owned();
        Refusal { code: "RM2103", reason, remedy }
    }

    fn computed_key(table: &str) -> Refusal {
        let reason = "has a key with a generated column".to_owned();
        Refusal { code: "RM2118", reason, remedy: format!("give {table} a key of columns that are written") }
    }

    fn key_too_wide(columns: usize) -> Refusal {
        let reason = format!("has a key of {columns} columns; at most {} can be noted", limits::KEY_COLUMNS_MAX);
        Refusal { code: "RM2104", reason, remedy: "give it a key of its own, such as a UUID".to_owned() }
    }

    fn period_key(relation: &Relation) -> Refusal {
        let table = qualified(&relation.place.0, &relation.place.1);
        let reason =
            "has a foreign key with PERIOD, which this role cannot write in any order but that of parents and children";
        let remedy = format!(
            "GRANT SET ON PARAMETER session_replication_role to the role of rowmesh, or drop the foreign key of {table}"
        );
        Refusal { code: "RM2111", reason: reason.to_owned(), remedy }
    }

    fn hidden(relation: &Relation, role: &str) -> Refusal {
        let table = qualified(&relation.place.0, &relation.place.1);
        let remedy = format!("GRANT SELECT, INSERT, UPDATE, DELETE, TRIGGER ON TABLE {table} TO {};", quote(role));
        Refusal { code: "RM2119", reason: "may not be read by the role of rowmesh".to_owned(), remedy }
    }

    fn bad_declared_key(relation: &Relation, names: &[ColumnName]) -> Refusal {
        let table = qualified(&relation.place.0, &relation.place.1);
        let reason =
            format!("has no unique index over exactly the key declared for it ({}), all NOT NULL", names.join(", "));
        let remedy = format!("CREATE UNIQUE INDEX ON {table} ({});", quote_list(names));
        Refusal { code: "RM2106", reason, remedy }
    }
}

#[cfg(test)]
mod tests {
    use super::is_constant;

    #[test]
    fn only_literals_are_asked_for_their_value() {
        for constant in [
            "0",
            "-1.50",
            "true",
            "NULL",
            "'a''b'::text",
            "'x'::character varying",
            "'{}'::jsonb",
            "'1'::public.\"Mood\"",
        ] {
            assert!(is_constant(constant), "{constant}");
        }
        for other in [
            "now()",
            "nextval('s'::regclass)",
            "'a'::text || f()",
            "('now'::text)::date",
            "CURRENT_TIMESTAMP",
            "'now'::text(f())",
        ] {
            assert!(!is_constant(other), "{other}");
        }
    }
}
