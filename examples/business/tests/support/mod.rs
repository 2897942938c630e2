//! What several tests of this crate need: databases in memory, and a dump that shows every byte of one.

#![allow(dead_code)] // Each test binary uses its own part.

use business::{Database, Seed};
use rusqlite::{Connection, types::Value};

pub fn empty() -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    conn.pragma_update(None, "foreign_keys", true).unwrap();
    business::create(&conn).unwrap();
    conn
}

pub fn filled(seed: &Seed) -> Connection {
    let conn = empty();
    business::generate(&conn, seed).unwrap();
    conn
}

pub fn count(db: &dyn Database, from: &str) -> i64 {
    db.one(&format!("SELECT count(*) FROM {from}"), &[]).unwrap()
}

pub fn strings(db: &dyn Database, sql: &str) -> Vec<String> {
    db.all(sql, &[]).unwrap()
}

/// Every table, the search table included, row by row with the storage class of every value.
pub fn dump(conn: &Connection) -> String {
    let names = business::tables().iter().map(|table| table.name).chain([business::SEARCH_TABLE]);
    names.map(|name| format!("{name}\n{}", dump_table(conn, name))).collect()
}

pub fn dump_table(conn: &Connection, name: &str) -> String {
    let mut statement = conn.prepare(&format!("SELECT * FROM \"{name}\" ORDER BY rowid")).unwrap();
    let columns = statement.column_count();
    let rows =
        statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect::<Result<Vec<Value>, _>>()).unwrap();
    rows.map(|row| format!("{:?}\n", row.unwrap())).collect()
}

pub fn assert_references(conn: &Connection) {
    let broken = strings(conn, "SELECT \"table\" || ' ' || rowid || ' -> ' || parent FROM pragma_foreign_key_check");
    assert!(broken.is_empty(), "foreign keys broken: {broken:?}");
}

/// Foreign keys, the b-trees, and the full-text index against its content.
pub fn assert_sound(conn: &Connection) {
    assert_references(conn);
    assert_eq!(strings(conn, "PRAGMA integrity_check"), ["ok"]);
    let entries = "SELECT product_id || '|' || name || '|' || sku || '|' || description FROM product_search ORDER BY 1";
    let products =
        "SELECT id || '|' || name || '|' || sku || '|' || coalesce(description, '') FROM business_products ORDER BY 1";
    assert_eq!(strings(conn, entries), strings(conn, products), "search table and products differ");
    conn.execute_batch("INSERT INTO product_search (product_search) VALUES ('integrity-check')").unwrap();
}
