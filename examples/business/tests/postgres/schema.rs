//! The PostgreSQL schema is the SQLite schema: by its text, and as a server shows it.

use std::collections::BTreeMap;

use business::POSTGRES_SCHEMA;
use rusqlite::Connection;

use crate::{
    server::Server,
    support::{empty, strings},
};

#[test]
fn the_postgres_schema_has_the_same_tables_and_columns() {
    let conn = empty();
    let sqlite: BTreeMap<String, Vec<String>> = business::tables()
        .iter()
        .map(|table| {
            let columns = format!("SELECT name FROM pragma_table_info('{}') ORDER BY cid", table.name);
            (table.name.to_owned(), strings(&conn, &columns))
        })
        .collect();
    assert_eq!(tables_in(POSTGRES_SCHEMA), sqlite);
}

#[test]
fn the_postgres_schema_has_the_same_enumerations() {
    let conn = empty();
    let checks = strings(&conn, "SELECT sql FROM sqlite_schema WHERE type = 'table'").join("\n");
    let mut in_sqlite: Vec<&str> = checks
        .match_indices(" IN (")
        .map(|(at, opening)| checks[at + opening.len()..].split(')').next().unwrap())
        .collect();
    let lines = POSTGRES_SCHEMA.lines().filter(|line| line.starts_with("CREATE TYPE"));
    let mut in_postgres: Vec<&str> = lines.map(|line| line.split(['(', ')']).nth(1).unwrap()).collect();
    for values in [&mut in_sqlite, &mut in_postgres] {
        values.sort_unstable();
        values.dedup();
    }
    assert_eq!(in_sqlite, in_postgres);
}

#[test]
fn a_server_loads_the_postgres_schema_and_shows_the_same_keys_and_references() {
    let server = Server::created();
    let conn = empty();
    assert_eq!(sorted(strings(&*server.app, PG_COLUMNS)), sorted(sqlite_columns(&conn)), "NOT NULL columns");
    assert_eq!(sorted(strings(&*server.app, PG_FOREIGN_KEYS)), sorted(sqlite_foreign_keys(&conn)), "foreign keys");
    assert_eq!(sorted(strings(&*server.app, PG_INDEXES)), sorted(sqlite_indexes(&conn)), "indexes, keys among them");
}

#[test]
fn creating_twice_fails_and_leaves_the_first_schema_alone() {
    let server = Server::created();
    let refused = business::create(&*server.app).unwrap_err();
    assert!(refused.to_string().contains("type \"user_role\" already exists"), "{refused}");
    assert!(!server.app.is_in_transaction());
    assert!(business::sample_insert(&*server.app, "users", "t").is_ok());
}

/// Column names per table, in their order, by a scan of the text: one column per line.
fn tables_in(schema: &str) -> BTreeMap<String, Vec<String>> {
    let mut tables = BTreeMap::new();
    let mut open: Option<(String, Vec<String>)> = None;
    for line in schema.lines() {
        match (line.strip_prefix("CREATE TABLE \""), line.strip_prefix("    \""), &mut open) {
            (Some(rest), ..) => open = rest.split('"').next().map(|name| (name.to_owned(), Vec::new())),
            (_, Some(rest), Some((_, columns))) => columns.extend(rest.split('"').next().map(str::to_owned)),
            _ if line == ");" => tables.extend(open.take()),
            _ => {}
        }
    }
    tables
}

const PG_COLUMNS: &str = "SELECT table_name || '.' || column_name || ' ' || is_nullable FROM information_schema.columns \
    WHERE table_schema = 'public'";

const PG_FOREIGN_KEYS: &str = "SELECT c.conname || ' -> ' || c.confrelid::regclass::text || ' ' || c.confdeltype::text || c.confupdtype::text \
    FROM pg_constraint AS c WHERE c.contype = 'f'";

/// The search index is the only one over an expression and has no counterpart.
const PG_INDEXES: &str = "SELECT t.relname || ' (' || string_agg(a.attname, ', ' ORDER BY k.place) || ') ' || i.indisunique::int::text || (i.indpred IS NOT NULL)::int::text \
    FROM pg_index AS i JOIN pg_class AS t ON t.oid = i.indrelid JOIN pg_namespace AS n ON n.oid = t.relnamespace \
    CROSS JOIN LATERAL unnest(i.indkey::int[]) WITH ORDINALITY AS k (attribute, place) \
    JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = k.attribute \
    WHERE n.nspname = 'public' AND i.indexprs IS NULL GROUP BY t.relname, i.indexrelid, i.indisunique, i.indpred";

fn sqlite_columns(conn: &Connection) -> Vec<String> {
    let each = |name: &str| {
        format!(
            "SELECT '{name}.' || name || CASE WHEN \"notnull\" THEN ' NO' ELSE ' YES' END FROM pragma_table_info('{name}')"
        )
    };
    business::tables().iter().flat_map(|table| strings(conn, &each(table.name))).collect()
}

fn sqlite_foreign_keys(conn: &Connection) -> Vec<String> {
    let each = |name: &str| {
        format!(
            "SELECT '{name}_' || group_concat(\"from\", '_') || '_fkey -> ' || \"table\" || ' ' || \
             CASE on_delete WHEN 'CASCADE' THEN 'c' WHEN 'RESTRICT' THEN 'r' ELSE 'n' END || \
             CASE on_update WHEN 'CASCADE' THEN 'c' ELSE '?' END \
             FROM (SELECT * FROM pragma_foreign_key_list('{name}') ORDER BY id, seq) GROUP BY id"
        )
    };
    business::tables().iter().flat_map(|table| strings(conn, &each(table.name))).collect()
}

fn sqlite_indexes(conn: &Connection) -> Vec<String> {
    let each = |name: &str| {
        format!(
            "SELECT '{name} (' || group_concat(name, ', ') || ') ' || is_unique || partial FROM \
             (SELECT l.name AS index_name, l.\"unique\" AS is_unique, l.partial, i.name FROM pragma_index_list('{name}') AS l, \
              pragma_index_info(l.name) AS i ORDER BY l.seq, i.seqno) GROUP BY index_name"
        )
    };
    let indexes = business::tables().iter().flat_map(|table| strings(conn, &each(table.name)));
    // An AUTOINCREMENT key is the table itself in SQLite and has no index.
    indexes.chain(["audit_logs (id) 10".to_owned()]).collect()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}
