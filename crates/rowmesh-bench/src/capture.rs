//! What the triggers cost the application: its own statements with and without them, in turns, on the same machine.

use std::path::Path;
use std::time::Duration;

use rowmesh_core::ident::{Incarnation, NodeId};
use rowmesh_sqlite::attach::AttachOptions;
use rowmesh_sqlite::connection::Location;
use rowmesh_sqlite::store::SqliteStore;
use rusqlite::Connection;

use crate::measure::{median, time};

const SCHEMA: &str =
    "CREATE TABLE products (id TEXT PRIMARY KEY, sku TEXT NOT NULL, name TEXT NOT NULL, price REAL NOT NULL,
     stock INTEGER NOT NULL, note TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL)";
const ROUNDS: usize = 5;

/// Measures and prints.
pub fn run() {
    println!(
        "capture: speed of the application's statements with triggers, plain = 1.00 (WAL, synchronous=NORMAL, median of {ROUNDS})"
    );
    for shape in [Shape::Single(2_000), Shape::Batches(200, 100), Shape::Statement(100_000)] {
        let mut plain = (Vec::new(), Vec::new());
        let mut captured = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            for (with, times) in [(false, &mut plain), (true, &mut captured)] {
                let (insert, update) = one_round(shape, with);
                times.0.push(insert);
                times.1.push(update);
            }
        }
        let (plain, captured) = ((median(plain.0), median(plain.1)), (median(captured.0), median(captured.1)));
        println!(
            "  {:<28} insert {:.2}   update {:.2}     ({:.1} and {:.1} us a row plain)",
            shape.name(),
            plain.0.as_secs_f64() / captured.0.as_secs_f64(),
            plain.1.as_secs_f64() / captured.1.as_secs_f64(),
            plain.0.as_secs_f64() * 1e6 / shape.rows() as f64,
            plain.1.as_secs_f64() * 1e6 / shape.rows() as f64,
        );
    }
}

#[derive(Clone, Copy)]
enum Shape {
    Single(usize),
    Batches(usize, usize),
    Statement(usize),
}

impl Shape {
    fn name(self) -> String {
        match self {
            Shape::Single(_) => "single-row transactions".to_owned(),
            Shape::Batches(_, rows) => format!("{rows}-row transactions"),
            Shape::Statement(rows) => format!("one statement of {rows} rows"),
        }
    }

    fn rows(self) -> usize {
        match self {
            Shape::Single(rows) | Shape::Statement(rows) => rows,
            Shape::Batches(count, rows) => count * rows,
        }
    }
}

fn one_round(shape: Shape, with: bool) -> (Duration, Duration) {
    let folder = tempfile::tempdir().expect("a folder for the measurement");
    let path = folder.path().join("app.db");
    let app = open(&path);
    app.execute_batch(SCHEMA).expect("the schema is valid");
    if with {
        attach(&path);
    }
    let ((), insert) = time(|| insert(&app, shape));
    let ((), update) = time(|| update(&app, shape));
    (insert, update)
}

fn attach(path: &Path) {
    let incarnation = Incarnation { count: 1, nonce: 1 };
    let location = Location::File(path.to_owned());
    SqliteStore::open(&location, &AttachOptions::default(), NodeId([1; 32]), incarnation).expect("attaching works");
}

fn open(path: &Path) -> Connection {
    let app = Connection::open(path).expect("a new database can be opened");
    app.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL").expect("WAL is possible here");
    app
}

fn insert(app: &Connection, shape: Shape) {
    let one =
        "INSERT INTO products VALUES (?1, 'sku' || ?1, 'Product ' || ?1, 9.5, 10, NULL, '2026-01-01', '2026-01-01')";
    let row = |i: usize| {
        app.prepare_cached(one)
            .and_then(|mut statement| statement.execute([format!("{i:08x}-product")]))
            .expect("inserted");
    };
    match shape {
        Shape::Single(rows) => (0..rows).for_each(row),
        Shape::Batches(count, rows) => in_batches(app, count, rows, row),
        Shape::Statement(rows) => {
            app.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                 INSERT INTO products SELECT printf('%08x-product', i), 'sku' || i, 'Product ' || i, 9.5, 10, NULL, '2026-01-01', '2026-01-01' FROM n",
                [rows as i64],
            )
            .expect("inserted");
        }
    }
}

fn update(app: &Connection, shape: Shape) {
    let one = "UPDATE products SET price = price + 1, updated_at = '2026-02-02' WHERE id = ?1";
    let row = |i: usize| {
        app.prepare_cached(one)
            .and_then(|mut statement| statement.execute([format!("{i:08x}-product")]))
            .expect("updated");
    };
    match shape {
        Shape::Single(rows) => (0..rows).for_each(row),
        Shape::Batches(count, rows) => in_batches(app, count, rows, row),
        Shape::Statement(_) => {
            app.execute("UPDATE products SET price = price + 1, updated_at = '2026-02-02'", []).expect("updated");
        }
    }
}

fn in_batches(app: &Connection, count: usize, rows: usize, row: impl Fn(usize)) {
    for batch in 0..count {
        app.execute_batch("BEGIN").expect("begun");
        (0..rows).for_each(|i| row(batch * rows + i));
        app.execute_batch("COMMIT").expect("committed");
    }
}
