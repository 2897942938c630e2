//! What a table looks like, as far as keeping it in sync needs to know. How it is found out is the store's business.

use crate::value::{ColumnName, TableName, Value};

/// One table that can be tracked.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSchema {
    /// Its name.
    pub name: TableName,
    /// Its columns in the order of the table; generated ones are left out, since the database makes them.
    pub columns: Vec<Column>,
    /// Positions in `columns` of the key, in the key's order.
    pub key: Vec<usize>,
    /// Whether the key means something outside this database.
    pub key_kind: KeyKind,
    /// Whether equal keys are spelt in one way only, so that what refers to a row names its key as it is.
    pub key_is_told: bool,
    /// Unique indexes besides the key.
    pub uniques: Vec<UniqueIndex>,
    /// Foreign keys to other tables or to itself.
    pub foreign_keys: Vec<ForeignKey>,
}

/// One column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: ColumnName,
    /// The type as declared; empty if none.
    pub declared_type: String,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// The value that a row gets which does not name the column, where that is a constant.
    pub default: Option<Value>,
}

/// Where keys come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Text, UUID, composite, or itself a foreign key: two nodes that use one key mean one row.
    Natural,
    /// A single number that the database hands out: two nodes that use one key may mean two rows.
    Generated,
}

/// A unique index besides the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueIndex {
    /// Its name.
    pub name: String,
    /// What it is over: columns by position, with the collation that decides what is equal; `None` where an expression stands.
    pub parts: Vec<Option<IndexedColumn>>,
    /// Whether a condition leaves rows out of it.
    pub partial: bool,
    /// Whether the values alone tell which rows it holds equal: it is over plain columns, of types and collations whose equality is known here.
    pub is_told: bool,
}

/// A column in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedColumn {
    /// Position in the table's columns.
    pub column: usize,
    /// Name of the collation.
    pub collation: String,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// Positions of the referring columns.
    pub columns: Vec<usize>,
    /// The table referred to.
    pub parent: TableName,
    /// The columns referred to, by name; the parent may be missing or different here.
    pub parent_columns: Vec<ColumnName>,
    /// Whether all referring columns are NOT NULL: then the child cannot exist without the parent and is *owned* by it.
    pub not_null: bool,
    /// Declared action on delete of the parent, upper case (`CASCADE`, `SET NULL`, `NO ACTION` …).
    pub on_delete: String,
}

impl TableSchema {
    /// Position of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| &*column.name == name)
    }

    /// The key's column names in the key's order.
    pub fn key_names(&self) -> impl Iterator<Item = &ColumnName> {
        self.key.iter().map(|position| &self.columns[*position].name)
    }
}

/// Tables so ordered that each comes after those its foreign keys refer to, as far as cycles allow; otherwise by name.
pub fn parents_first(tables: &[TableSchema]) -> Vec<TableName> {
    let mut waiting: Vec<&TableSchema> = tables.iter().collect();
    waiting.sort_by(|a, b| a.name.cmp(&b.name));
    let mut ordered: Vec<TableName> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let is_waiting =
            |name: &TableName, own: &TableName| name != own && waiting.iter().any(|table| table.name == *name);
        let needs = |table: &TableSchema, strict: bool| {
            let keys = table.foreign_keys.iter();
            keys.filter(|key| strict || key.not_null).any(|key| is_waiting(&key.parent, &table.name))
        };
        // A cycle is cut first where NULL is allowed, then by name: any cut is deterministic on equal schemas.
        let next = (waiting.iter().position(|table| !needs(table, true)))
            .or_else(|| waiting.iter().position(|table| !needs(table, false)))
            .unwrap_or(0);
        ordered.push(waiting.remove(next).name.clone());
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, parents: &[(&str, bool)]) -> TableSchema {
        TableSchema {
            name: name.into(),
            columns: Vec::new(),
            key: Vec::new(),
            key_kind: KeyKind::Natural,
            key_is_told: true,
            uniques: Vec::new(),
            foreign_keys: (parents.iter())
                .map(|(parent, not_null)| ForeignKey {
                    columns: Vec::new(),
                    parent: (*parent).into(),
                    parent_columns: Vec::new(),
                    not_null: *not_null,
                    on_delete: "NO ACTION".into(),
                })
                .collect(),
        }
    }

    fn check(tables: &[TableSchema], expected: &[&str]) {
        let ordered = parents_first(tables);
        assert_eq!(ordered.iter().map(|name| &**name).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn parents_come_before_children() {
        check(&[table("a", &[("c", true)]), table("b", &[]), table("c", &[("b", false)])], &["b", "c", "a"]);
    }

    #[test]
    fn e8_a_cycle_is_cut_where_null_is_allowed() {
        check(&[table("a", &[("b", true)]), table("b", &[("a", false)])], &["b", "a"]);
        check(&[table("a", &[("a", true)]), table("x", &[("missing", true)])], &["a", "x"]);
    }
}
