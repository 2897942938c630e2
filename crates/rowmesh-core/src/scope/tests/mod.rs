//! Tests of coverage and judge: small schemas by hand (`schema`), random ones against the reference (`random`). The words of
//! conditions and patterns are tested beside them.

mod demo_ids;
mod random;
mod schema;

use std::sync::Arc;

use crate::schema::{Column, ForeignKey, KeyKind, TableSchema};
use crate::scope::reference::Database;
use crate::scope::{Coverage, Edge, Judge, Rows, Verdict};
use crate::value::{Key, Value};

/// Makes a table from words: `id*` is a key column, `x?` may be NULL, `x>parent` refers to `parent.id`.
fn table(name: &str, columns: &[&str]) -> TableSchema {
    let bare = |spec: &str| spec.split(['*', '?', '>']).next().unwrap_or_default().to_owned();
    TableSchema {
        name: name.into(),
        columns: (columns.iter())
            .map(|spec| Column {
                name: bare(spec).into(),
                declared_type: String::new(),
                not_null: !spec.contains('?'),
                default: None,
            })
            .collect(),
        key: (0..columns.len()).filter(|position| columns[*position].contains('*')).collect(),
        key_kind: KeyKind::Natural,
        key_is_told: true,
        uniques: Vec::new(),
        foreign_keys: (columns.iter().enumerate())
            .filter_map(|(position, spec)| {
                let parent = spec.split_once('>')?.1;
                Some(foreign_key(&[position], parent, &["id"], !spec.contains('?')))
            })
            .collect(),
    }
}

fn foreign_key(columns: &[usize], parent: &str, parent_columns: &[&str], not_null: bool) -> ForeignKey {
    ForeignKey {
        columns: columns.to_vec(),
        parent: parent.into(),
        parent_columns: parent_columns.iter().map(|name| (*name).into()).collect(),
        not_null,
        on_delete: "NO ACTION".into(),
    }
}

/// Looks rows up in memory and counts how often.
struct Memory<'a> {
    schemas: &'a [TableSchema],
    database: &'a Database,
    looks: usize,
}

impl<'a> Memory<'a> {
    fn new(schemas: &'a [TableSchema], database: &'a Database) -> Memory<'a> {
        Memory { schemas, database, looks: 0 }
    }

    fn find(&self, table: &str, columns: &[usize], values: &[Value]) -> Vec<Vec<Value>> {
        let rows = self.database.get(table).into_iter().flat_map(|rows| rows.values());
        rows.filter(|row| columns.iter().map(|column| &row[*column]).eq(values)).cloned().collect()
    }

    /// Blanks what judging says it never reads.
    fn in_sight(&self, table: &str, coverage_sight: &[usize], row: Vec<Value>) -> Vec<Value> {
        assert!(self.schemas.iter().any(|schema| &*schema.name == table));
        let blank = |(position, value)| if coverage_sight.contains(&position) { value } else { Value::Null };
        row.into_iter().enumerate().map(blank).collect()
    }
}

/// [`Memory`] that shows the judge no column outside of [`Coverage::sight`].
struct Sighted<'a, 'b> {
    memory: &'b mut Memory<'a>,
    coverage: Arc<Coverage>,
}

impl Rows for Sighted<'_, '_> {
    type Error = std::convert::Infallible;

    fn parent(&mut self, edge: &Edge, values: &[Value]) -> Result<Option<Vec<Value>>, Self::Error> {
        self.memory.looks += 1;
        let found = self.memory.find(&edge.parent, &edge.parent_positions, values).into_iter().next();
        Ok(found.map(|row| self.memory.in_sight(&edge.parent, self.coverage.sight(&edge.parent), row)))
    }

    fn children(&mut self, edge: &Edge, values: &[Value]) -> Result<Vec<Vec<Value>>, Self::Error> {
        self.memory.looks += 1;
        let found = self.memory.find(&edge.child, &edge.columns, values).into_iter();
        Ok(found.map(|row| self.memory.in_sight(&edge.child, self.coverage.sight(&edge.child), row)).collect())
    }
}

fn judge_row(
    judge: &mut Judge,
    coverage: &Arc<Coverage>,
    memory: &mut Memory<'_>,
    table: &str,
    image: &[Value],
) -> Verdict {
    let mut rows = Sighted { memory, coverage: coverage.clone() };
    let Ok(verdict) = judge.verdict(table, image, &mut rows);
    verdict
}

fn insert(database: &mut Database, schemas: &[TableSchema], table: &str, image: &[Value]) {
    let schema = schemas.iter().find(|schema| &*schema.name == table).expect("the test made the table");
    let key = Key::of(schema.key.iter().map(|position| &image[*position]));
    database.entry(schema.name.clone()).or_default().insert(key, image.to_vec());
}
