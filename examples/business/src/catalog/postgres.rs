//! PostgreSQL's description of a table: its catalog, as far as the search path leads to the table.

use super::{Column, Kind, Table, foreign_keys, literal};
use crate::{
    cell::values,
    database::{Database, Result},
};

/// Name, type, whether NOT NULL, default, place in the primary key, values of the enumeration.
type Described = (String, String, bool, Option<String>, Option<i64>, Option<String>);

pub(super) fn read(db: &dyn Database, name: &str) -> Result<Table> {
    let columns: Vec<Described> = db.all(COLUMNS, &values![name])?;
    let mut key: Vec<(i64, String)> = columns.iter().filter_map(|column| Some((column.4?, column.0.clone()))).collect();
    key.sort();
    let column = |(name, declared, not_null, default, _, choices): Described| Column {
        name,
        kind: kind(&declared),
        not_null,
        default: default.as_deref().map(without_cast).and_then(literal),
        choices: choices.iter().flat_map(|choices| choices.lines()).map(str::to_owned).collect(),
    };
    Ok(Table {
        name: name.to_owned(),
        columns: columns.into_iter().map(column).collect(),
        key: key.into_iter().map(|(_, name)| name).collect(),
        foreign_keys: foreign_keys(db.all(FOREIGN_KEYS, &values![name])?),
        unique: db.all(UNIQUE_COLUMNS, &values![name])?.into_iter().collect(),
    })
}

const COLUMNS: &str = "SELECT a.attname, t.typname, a.attnotnull, pg_get_expr(d.adbin, d.adrelid), \
    array_position(i.indkey::int2[], a.attnum), \
    (SELECT string_agg(e.enumlabel, E'\\n' ORDER BY e.enumsortorder) FROM pg_enum AS e WHERE e.enumtypid = t.oid) \
    FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid \
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
    LEFT JOIN pg_index AS i ON i.indrelid = a.attrelid AND i.indisprimary \
    WHERE a.attrelid = quote_ident(?1)::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

const FOREIGN_KEYS: &str = "SELECT c.oid::int8, a.attname, t.relname, p.attname FROM pg_constraint AS c \
    CROSS JOIN unnest(c.conkey, c.confkey) WITH ORDINALITY AS k (own, parent, place) \
    JOIN pg_class AS t ON t.oid = c.confrelid \
    JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.own \
    JOIN pg_attribute AS p ON p.attrelid = c.confrelid AND p.attnum = k.parent \
    WHERE c.conrelid = quote_ident(?1)::regclass AND c.contype = 'f' ORDER BY c.oid, k.place";

const UNIQUE_COLUMNS: &str = "SELECT a.attname FROM pg_index AS i \
    JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) \
    WHERE i.indrelid = quote_ident(?1)::regclass AND i.indisunique AND NOT i.indisprimary";

/// Ids of UUIDs and values of enumerations are texts to the application.
fn kind(declared: &str) -> Kind {
    match declared {
        "bool" => Kind::Boolean,
        "timestamptz" => Kind::Time,
        "date" => Kind::Date,
        "numeric" => Kind::Decimal,
        "float8" => Kind::Real,
        "int2" | "int4" | "int8" => Kind::Integer,
        "jsonb" => Kind::Json,
        "bytea" => Kind::Bytes,
        _ => Kind::Text,
    }
}

/// `'SALE'::order_type` is the literal `'SALE'`.
fn without_cast(default: &str) -> &str {
    match default.rsplit_once("'::") {
        Some((literal, _)) => &default[..=literal.len()],
        None => default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_read_without_its_cast() {
        let written = ["'it''s'::text", "'[]'::jsonb", "true", "0.5", "CURRENT_TIMESTAMP"];
        assert_eq!(written.map(without_cast), ["'it''s'", "'[]'", "true", "0.5", "CURRENT_TIMESTAMP"]);
    }
}
