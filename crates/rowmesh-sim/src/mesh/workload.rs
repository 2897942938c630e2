//! What the applications do: random statements of every shape, on the small shop below or on a schema that is drawn. Rows that later rules
//! settle across rows (unique values and foreign keys broken by two nodes together) are written by one node each; all others are fought over.

use rowmesh_core::policy::Policies;
use rusqlite::Connection;

use super::drawn::{Drawn, Quarrels};
use super::filtered;
use crate::rng::Rng;

/// The application of a run.
#[derive(Debug, Clone)]
pub enum Workload {
    /// A shop with a full-text index of its customers.
    Shop,
    /// Whatever the seed says.
    Drawn(Drawn),
    /// Firms, some of which a filter holds back.
    Filtered {
        /// Whether nodes edit rows of one another.
        everybody_edits: bool,
    },
}

impl Workload {
    /// Draws one.
    pub fn draw(rng: &mut Rng, quarrels: Quarrels) -> Workload {
        match rng.below(10) {
            _ if quarrels.over_parents => Workload::Drawn(Drawn::draw(rng, quarrels)),
            0..=2 => Workload::Shop,
            3..=7 => Workload::Drawn(Drawn::draw(rng, quarrels)),
            _ => Workload::Filtered { everybody_edits: rng.chance(60) },
        }
    }

    /// How its conflicts are settled.
    pub fn policies(&self) -> Policies {
        match self {
            Workload::Drawn(drawn) => drawn.policies(),
            _ => Policies::default(),
        }
    }

    /// What the application's migrations run.
    pub fn ddl(&self) -> String {
        match self {
            Workload::Shop => SHOP.to_owned(),
            Workload::Drawn(drawn) => drawn.ddl(),
            Workload::Filtered { .. } => filtered::DDL.to_owned(),
        }
    }

    /// The names of its tables, quoted.
    pub fn tables(&self) -> Vec<String> {
        match self {
            Workload::Shop => ["customers", "stock", "badges", "orders", "lines"].map(str::to_owned).to_vec(),
            Workload::Drawn(drawn) => drawn.table_names(),
            Workload::Filtered { .. } => filtered::TABLES.map(str::to_owned).to_vec(),
        }
    }

    /// What all nodes should hold of each of its tables.
    pub fn shared_rows(&self) -> Vec<(String, String)> {
        let whole = |table: String| match self {
            Workload::Filtered { .. } => (table.clone(), filtered::travelling(&table)),
            _ => (table.clone(), format!("SELECT * FROM {table}")),
        };
        self.tables().into_iter().map(whole).collect()
    }

    /// Does something as node `node`'s application; `is_in` says whether its copy is whole. Returns whether it was committed.
    pub fn act(&self, app: &Connection, rng: &mut Rng, node: usize, is_in: bool, counter: &mut u64) -> bool {
        *counter += 1;
        let value = *counter * 16 + node as u64;
        let statements = match self {
            Workload::Shop => in_the_shop(rng, node, value),
            Workload::Drawn(drawn) => drawn.statements(rng, node, value),
            Workload::Filtered { everybody_edits } => filtered::statements(rng, node, value, *everybody_edits, is_in),
        };
        match app.execute_batch(&statements) {
            Ok(()) => true,
            Err(error) => {
                // A constraint may refuse what was drawn; nothing else may.
                let refused = error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation);
                assert!(refused, "O13: {statements}: {error}");
                if !app.is_autocommit() {
                    app.execute_batch("ROLLBACK").expect("a transaction can be rolled back");
                }
                false
            }
        }
    }
}

const SHOP: &str = "
    CREATE TABLE customers (id TEXT PRIMARY KEY, name TEXT NOT NULL DEFAULT '', phone TEXT, note BLOB, seen REAL);
    CREATE TABLE stock (shop TEXT NOT NULL, sku TEXT NOT NULL, amount INTEGER NOT NULL, price, PRIMARY KEY (shop, sku)) WITHOUT ROWID;
    CREATE TABLE badges (id TEXT PRIMARY KEY, code TEXT UNIQUE, holder TEXT COLLATE NOCASE, slot INTEGER, UNIQUE (holder, slot));
    CREATE TABLE orders (id TEXT PRIMARY KEY, total INTEGER NOT NULL);
    CREATE TABLE lines (order_id TEXT NOT NULL REFERENCES orders(id) ON DELETE CASCADE ON UPDATE CASCADE, line INTEGER NOT NULL, what TEXT,
                        PRIMARY KEY (order_id, line));
    CREATE INDEX lines_order ON lines (order_id);
    CREATE VIRTUAL TABLE search USING fts5(id UNINDEXED, name);
    CREATE TRIGGER customers_ai AFTER INSERT ON customers BEGIN INSERT INTO search (id, name) VALUES (NEW.id, NEW.name); END;
    CREATE TRIGGER customers_au AFTER UPDATE ON customers BEGIN UPDATE search SET name = NEW.name WHERE id = NEW.id; END;
    CREATE TRIGGER customers_ad AFTER DELETE ON customers BEGIN DELETE FROM search WHERE id = OLD.id; END;";

fn in_the_shop(rng: &mut Rng, node: usize, value: u64) -> String {
    match rng.below(20) {
        0..=3 => edit_customer(rng, value),
        4..=5 => insert_customer(rng, value),
        6 => format!("DELETE FROM customers WHERE id = '{}'", customer(rng)),
        7..=8 => upsert_stock(rng, value),
        9 => format!("UPDATE stock SET amount = {value} WHERE shop = 's{}'", rng.below(3)),
        10 => format!("UPDATE customers SET seen = {value}.5, note = x'{value:016x}'"),
        11..=13 => badge(rng, node, value),
        14..=16 => order(rng, node, value),
        17 => delete_and_insert(rng, value),
        18 => format!("DELETE FROM stock WHERE sku = 'k{}'", rng.below(4)),
        _ => format!("BEGIN; {}; {}; ROLLBACK", edit_customer(rng, value), upsert_stock(rng, value)),
    }
}

fn customer(rng: &mut Rng) -> String {
    format!("c{}", rng.below(6))
}

fn edit_customer(rng: &mut Rng, value: u64) -> String {
    let id = customer(rng);
    match rng.below(3) {
        0 => format!("UPDATE customers SET name = 'n{value}' WHERE id = '{id}'"),
        1 => format!("UPDATE customers SET phone = 'p{value}' WHERE id = '{id}'"),
        _ => format!("UPDATE customers SET phone = 'p{value}', name = 'm{value}' WHERE id = '{id}'"),
    }
}

fn insert_customer(rng: &mut Rng, value: u64) -> String {
    let id = customer(rng);
    format!("INSERT OR IGNORE INTO customers (id, name, phone) VALUES ('{id}', 'i{value}', 'q{value}')")
}

fn upsert_stock(rng: &mut Rng, value: u64) -> String {
    let (shop, sku) = (rng.below(3), rng.below(4));
    format!(
        "INSERT INTO stock VALUES ('s{shop}', 'k{sku}', {value}, NULL) ON CONFLICT (shop, sku) DO UPDATE SET amount = excluded.amount, price = {value}.25"
    )
}

/// Badges carry unique values: each node has its own, and swaps and replaces them freely.
fn badge(rng: &mut Rng, node: usize, value: u64) -> String {
    let (id, other) = (rng.below(4), rng.below(4));
    let (code, slot) = (rng.below(4), rng.below(2));
    match rng.below(4) {
        0 => format!("INSERT OR REPLACE INTO badges VALUES ('b{node}-{id}', '{node}-{code}', 'H{node}', {slot})"),
        1 => format!("UPDATE OR REPLACE badges SET code = '{node}-{code}' WHERE id = 'b{node}-{id}'"),
        2 => format!("DELETE FROM badges WHERE id = 'b{node}-{id}'"),
        _ => format!(
            "BEGIN; UPDATE badges SET code = 'x{value}' WHERE id = 'b{node}-{id}'; UPDATE badges SET code = '{node}-{code}' WHERE id = 'b{node}-{other}';
             UPDATE OR REPLACE badges SET code = '{node}-{other}' WHERE id = 'b{node}-{id}'; COMMIT"
        ),
    }
}

/// Orders and their lines belong to the node that made them.
fn order(rng: &mut Rng, node: usize, value: u64) -> String {
    let (id, line) = (rng.below(4), rng.below(3));
    match rng.below(5) {
        0 | 1 => format!(
            "BEGIN; INSERT INTO orders VALUES ('o{node}-{id}', {value}) ON CONFLICT (id) DO UPDATE SET total = excluded.total;
             INSERT OR REPLACE INTO lines VALUES ('o{node}-{id}', {line}, 'w{value}'); COMMIT"
        ),
        2 => format!("DELETE FROM orders WHERE id = 'o{node}-{id}'"),
        3 => format!("UPDATE orders SET id = 'o{node}-{line}' WHERE id = 'o{node}-{id}'"),
        _ => format!("DELETE FROM lines WHERE order_id = 'o{node}-{id}'"),
    }
}

fn delete_and_insert(rng: &mut Rng, value: u64) -> String {
    let id = customer(rng);
    format!(
        "BEGIN; DELETE FROM customers WHERE id = '{id}'; INSERT INTO customers (id, name) VALUES ('{id}', 'again{value}'); COMMIT"
    )
}
