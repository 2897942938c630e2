//! Firms with all that belongs to them, of which some are held back by a row filter, and move in and out of it. Each firm is its own node's:
//! no other makes, moves or deletes rows under it, since what that leaves behind is parked. Either everybody edits what he sees, or rows
//! are deleted and given other keys: an edit that revives a row whose firm is gone would be an orphan, or meet a private row of its key.
//! Every text that is written says so by its form, so that it can be looked for in all bytes that leave a node.

use std::collections::BTreeSet;

use rowmesh_core::roster::{RowFilter, Scope};
use rusqlite::Connection;

use super::oracle;
use crate::rng::Rng;

/// The schema.
pub const DDL: &str = "
    CREATE TABLE firms (id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT);
    CREATE TABLE goods (id TEXT PRIMARY KEY, firm TEXT NOT NULL REFERENCES firms(id) ON DELETE CASCADE ON UPDATE CASCADE, name TEXT, price INTEGER);
    CREATE TABLE sales (firm TEXT NOT NULL REFERENCES firms(id) ON DELETE CASCADE ON UPDATE CASCADE, n INTEGER NOT NULL, note TEXT,
                        PRIMARY KEY (firm, n)) WITHOUT ROWID;
    CREATE TABLE lines (firm TEXT NOT NULL, n INTEGER NOT NULL, line INTEGER NOT NULL, what TEXT, PRIMARY KEY (firm, n, line),
                        FOREIGN KEY (firm, n) REFERENCES sales(firm, n) ON DELETE CASCADE ON UPDATE CASCADE);
    CREATE TABLE people (id TEXT PRIMARY KEY, name TEXT, works TEXT REFERENCES firms(id) ON DELETE SET NULL ON UPDATE CASCADE);
    CREATE TABLE plain (id TEXT PRIMARY KEY, v TEXT, w TEXT);
    CREATE INDEX goods_firm ON goods (firm);
    CREATE INDEX people_works ON people (works);";

/// The names of its tables.
pub const TABLES: [&str; 6] = ["firms", "goods", "sales", "lines", "people", "plain"];

const DEMO: &str = "(SELECT id FROM firms WHERE kind LIKE 'demo%')";

/// The filter, as the roster carries it.
pub fn scope() -> Scope {
    let filter = RowFilter {
        name: "demo".to_owned(),
        root: "firms".to_owned(),
        condition: "kind LIKE 'demo%'".to_owned(),
        ..RowFilter::default()
    };
    Scope { filters: vec![filter], ..Scope::default() }
}

/// What other nodes see of a table.
pub fn travelling(table: &str) -> String {
    match table {
        "firms" => format!("SELECT * FROM firms WHERE id NOT IN {DEMO}"),
        "goods" | "sales" | "lines" => format!("SELECT * FROM {table} WHERE firm NOT IN {DEMO}"),
        "people" => format!("SELECT id, name, CASE WHEN works NOT IN {DEMO} THEN works END FROM people"),
        _ => format!("SELECT * FROM {table}"),
    }
}

fn held_back(table: &str) -> Option<String> {
    match table {
        "firms" => Some(format!("SELECT * FROM firms WHERE id IN {DEMO}")),
        "goods" | "sales" | "lines" => Some(format!("SELECT * FROM {table} WHERE firm IN {DEMO}")),
        _ => None,
    }
}

/// Does something as node `node`'s application. While its copy is unfinished it edits nothing of others: should the copy begin anew, nobody
/// could tell any more what the edit had seen, and a row that left meanwhile would come back by it.
pub fn statements(rng: &mut Rng, node: usize, value: u64, everybody_edits: bool, is_in: bool) -> String {
    let may_edit = everybody_edits && is_in;
    let firm = firm(rng, node);
    let good = format!("g{node}-{}", rng.below(4));
    let sale = rng.below(3);
    let kind = if rng.chance(45) { "demo" } else { "real" };
    let text = format!("~{value}~");
    match rng.below(20) {
        0 | 1 => format!("INSERT INTO firms VALUES ('{firm}', '{kind}', '{text}') ON CONFLICT (id) DO UPDATE SET name = excluded.name"),
        2 => format!("UPDATE firms SET kind = '{kind}', name = '{text}' WHERE id = '{firm}'"),
        3 | 4 => format!("UPDATE firms SET kind = CASE WHEN kind LIKE 'demo%' THEN 'real' ELSE 'demo' END WHERE id = '{firm}'"),
        5 | 6 => format!("INSERT OR REPLACE INTO goods VALUES ('{good}', '{firm}', '{text}', {value})"),
        7 => format!("UPDATE goods SET firm = '{firm}', name = '{text}' WHERE id = '{good}'"),
        8 | 9 => format!(
            "BEGIN; INSERT INTO sales VALUES ('{firm}', {sale}, '{text}') ON CONFLICT (firm, n) DO UPDATE SET note = excluded.note;
             INSERT OR REPLACE INTO lines VALUES ('{firm}', {sale}, {}, '{text}'); COMMIT",
            rng.below(2)
        ),
        10 if !everybody_edits => format!("UPDATE firms SET id = '{}' WHERE id = '{firm}'", self::firm(rng, node)),
        11 if !everybody_edits => match rng.below(4) {
            0 => format!("DELETE FROM firms WHERE id = '{firm}'"),
            1 => format!("DELETE FROM sales WHERE firm = '{firm}' AND n = {sale}"),
            _ => format!("DELETE FROM goods WHERE id = '{good}'"),
        },
        12 | 13 => format!("INSERT OR REPLACE INTO people VALUES ('p{node}-{}', '{text}', '{firm}')", rng.below(2)),
        14 if may_edit => format!("UPDATE goods SET name = '{text}' WHERE id LIKE 'g%-{}'", rng.below(4)),
        15 if may_edit => format!("UPDATE firms SET name = '{text}' WHERE id LIKE 'f%-{}'", rng.below(3)),
        16 if may_edit => format!("UPDATE sales SET note = '{text}' WHERE n = {sale}"),
        _ => {
            let id = rng.below(4);
            format!("INSERT INTO plain VALUES ('{id}', '{text}', NULL) ON CONFLICT (id) DO UPDATE SET w = excluded.v")
        }
    }
}

fn firm(rng: &mut Rng, node: usize) -> String {
    format!("f{node}-{}", rng.below(3))
}

/// Which texts may be known elsewhere, and which stood in rows that were held back.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    exposed: BTreeSet<u64>,
    hidden: BTreeSet<u64>,
    sent: BTreeSet<u64>,
}

impl Secrets {
    /// Looks at a node's rows after each of its writes: what stands there for a moment only counts as known.
    pub fn look(&mut self, app: &Connection) {
        for table in TABLES {
            gather(&mut self.exposed, oracle::query(app, &travelling(table)).join("\n").as_bytes());
            if let Some(sql) = held_back(table) {
                gather(&mut self.hidden, oracle::query(app, &sql).join("\n").as_bytes());
            }
        }
    }

    /// Takes note of bytes that leave a node, uncompressed.
    pub fn leave(&mut self, bytes: &[u8]) {
        gather(&mut self.sent, bytes);
    }

    /// Errs if a text that was never outside the filter left its node, or stands in another's database.
    ///
    /// # Errors
    /// Which, and where.
    pub fn check(&self, apps: &[&Connection]) -> Result<(), String> {
        let secret = |value: &&u64| !self.exposed.contains(value) && self.hidden.contains(value);
        if let Some(value) = self.sent.iter().find(secret) {
            return Err(format!("M5: ~{value}~ stood in held-back rows only, and left its node"));
        }
        for (node, app) in apps.iter().enumerate() {
            let known = everything(app);
            // What a node writes is told apart by the remainder: see `Workload::act`.
            if let Some(value) = known.iter().filter(secret).find(|value| **value % 16 != node as u64) {
                return Err(format!(
                    "M5: ~{value}~ stood in held-back rows only, and is in the database of node {node}"
                ));
            }
        }
        Ok(())
    }
}

/// Every marked text in any table of a database, ours too.
fn everything(app: &Connection) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for table in oracle::query(app, "SELECT name FROM sqlite_master WHERE type = 'table'") {
        let mut statement = app.prepare(&format!("SELECT * FROM \"{table}\"")).expect("a table can be read");
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("a table can be read");
        while let Some(row) = rows.next().expect("a table can be read") {
            for column in 0..columns {
                match row.get_ref(column).expect("a column of the result") {
                    rusqlite::types::ValueRef::Text(bytes) | rusqlite::types::ValueRef::Blob(bytes) => {
                        gather(&mut found, bytes)
                    }
                    _ => {}
                }
            }
        }
    }
    found
}

/// Adds the numbers that stand between two marks.
fn gather(found: &mut BTreeSet<u64>, bytes: &[u8]) {
    let mut number: Option<u64> = None;
    for byte in bytes {
        number = match (byte, number) {
            (b'~', Some(known)) if known > 0 => {
                found.insert(known);
                Some(0)
            }
            (b'~', _) => Some(0),
            (b'0'..=b'9', Some(known)) => known.checked_mul(10).map(|tens| tens + u64::from(byte - b'0')),
            _ => None,
        };
    }
}
