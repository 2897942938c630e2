//! SQLite's description of a table: its pragmas, and the text of its CREATE TABLE for the enumerations.

use super::{Column, Kind, Table, foreign_keys, literal, quoted};
use crate::{
    cell::values,
    database::{Database, Result},
};

/// Name, type, whether NOT NULL, default, place in the primary key.
type Described = (String, String, bool, Option<String>, i64);

pub(super) fn read(db: &dyn Database, name: &str) -> Result<Table> {
    let ddl: String = db.one("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1", &values![name])?;
    let columns: Vec<Described> = db.all(
        "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?1) ORDER BY cid",
        &values![name],
    )?;
    let mut key: Vec<(i64, String)> =
        columns.iter().filter(|column| column.4 > 0).map(|column| (column.4, column.0.clone())).collect();
    key.sort();
    let column = |(name, declared, not_null, default, place): Described| Column {
        kind: kind(&declared),
        not_null: not_null || place > 0,
        default: default.as_deref().and_then(literal),
        choices: enumeration(&ddl, &name),
        name,
    };
    Ok(Table {
        name: name.to_owned(),
        columns: columns.into_iter().map(column).collect(),
        key: key.into_iter().map(|(_, name)| name).collect(),
        foreign_keys: foreign_keys(db.all(FOREIGN_KEYS, &values![name])?),
        unique: db.all(UNIQUE_COLUMNS, &values![name])?.into_iter().collect(),
    })
}

/// SQLite numbers them from the last to the first.
const FOREIGN_KEYS: &str =
    "SELECT id, \"from\", \"table\", \"to\" FROM pragma_foreign_key_list(?1) ORDER BY id DESC, seq";

const UNIQUE_COLUMNS: &str = "SELECT info.name FROM pragma_index_list(?1) AS list, pragma_index_info(list.name) AS info \
    WHERE list.\"unique\" AND list.origin <> 'pk' AND info.name IS NOT NULL";

fn kind(declared: &str) -> Kind {
    match declared.to_ascii_uppercase().as_str() {
        "BOOLEAN" => Kind::Boolean,
        "DATETIME" => Kind::Time,
        "DATE" => Kind::Date,
        "DECIMAL" => Kind::Decimal,
        "REAL" => Kind::Real,
        "INTEGER" => Kind::Integer,
        "JSONB" => Kind::Json,
        "BLOB" => Kind::Bytes,
        _ => Kind::Text,
    }
}

/// The values of `CHECK ("column" IN ('A', 'B'))` in a table's DDL.
fn enumeration(ddl: &str, column: &str) -> Vec<String> {
    let opening = format!("{} IN (", quoted(column));
    let Some((_, rest)) = ddl.split_once(&opening) else {
        return Vec::new();
    };
    let list = rest.split(')').next().unwrap_or_default();
    list.split(',').map(|value| value.trim().trim_matches('\'').to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enumeration_is_read_from_its_own_check() {
        let ddl = r#"CREATE TABLE t ("kind" TEXT CHECK ("kind" IN ('A', 'B C')), "other_kind" TEXT CHECK ("n" >= 0))"#;
        assert_eq!(enumeration(ddl, "kind"), ["A", "B C"]);
        assert!(enumeration(ddl, "other_kind").is_empty());
    }
}
