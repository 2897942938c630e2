//! What the triggers cost the application: its own statements with and without them, in turns, on the same machine. On a narrow table without
//! an index, which is the worst case, and on two tables of the reference application with their indexes and foreign keys. Triggers that
//! copy whole rows as JSON are measured beside ours, for comparison.

use std::path::Path;
use std::time::Duration;

use rowmesh_core::ident::{Incarnation, NodeId};
use rowmesh_engine::plan::AttachOptions;
use rowmesh_sqlite::connection::Location;
use rowmesh_sqlite::store::SqliteStore;
use rusqlite::Connection;

use crate::measure::{median, thread_cpu_time, time};

const ROUNDS: usize = 5;

/// How long something took: by the clock, and by the processor, which a busy machine disturbs less.
type Took = (Duration, Duration);

/// A table to write to.
struct Subject {
    name: &'static str,
    schema: &'static str,
    /// Rows that the table's own refer to.
    parents: &'static str,
    table: &'static str,
    /// `SELECT` of a whole row for the number `i`, from a source of that name.
    row: &'static str,
    set: &'static str,
    /// The condition that finds the row of the number `?1`.
    by_key: &'static str,
}

const SUBJECTS: [Subject; 3] = [
    Subject {
        name: "narrow table, 8 columns, no index",
        schema: "CREATE TABLE products (id TEXT PRIMARY KEY, sku TEXT NOT NULL, name TEXT NOT NULL, price REAL NOT NULL,
                 stock INTEGER NOT NULL, note TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL)",
        parents: "",
        table: "products",
        row: "printf('%08x-product', i), 'sku' || i, 'Product ' || i, 9.5, 10, NULL, '2026-01-01', '2026-01-01'",
        set: "price = price + 1, updated_at = '2026-02-02'",
        by_key: "id = printf('%08x-product', ?1)",
    },
    Subject {
        name: "business_products, 23 columns, 5 foreign keys, with its indexes",
        schema: business::SQLITE_SCHEMA,
        parents: PARENTS,
        table: "business_products",
        row: "printf('%08x-0000-4000-8000-%012x', (i * 2654435761) % 4294967296, i), 'b', 'c', NULL, NULL, NULL, 'sku' || i, '600' || i,
              'Product ' || i, 'A product of some kind', 'PHYSICAL', 'NEW', 9.5, 5.25, 15, 10, 5, 'each', NULL, '{}', 1, '2026-01-01 10:00:00', '2026-01-01 10:00:00'",
        set: "base_price = base_price + 1, updated_at = '2026-02-02 10:00:00'",
        by_key: "id = printf('%08x-0000-4000-8000-%012x', (?1 * 2654435761) % 4294967296, ?1)",
    },
    Subject {
        name: "business_order_items, 12 columns, key of two, 3 foreign keys, with its indexes",
        schema: business::SQLITE_SCHEMA,
        parents: PARENTS,
        table: "business_order_items",
        row: "'o', i, 'p', NULL, 'An item', 1, 9.5, 0, 9.5, NULL, '2026-01-01 10:00:00', '2026-01-01 10:00:00'",
        set: "quantity = quantity + 1, updated_at = '2026-02-02 10:00:00'",
        by_key: "order_id = 'o' AND line_no = ?1",
    },
];

const PARENTS: &str = "
    INSERT INTO businesses (id, name, updated_at) VALUES ('b', 'B', '2026-01-01');
    INSERT INTO business_categories (id, business_id, name, updated_at) VALUES ('c', 'b', 'C', '2026-01-01');
    INSERT INTO business_products (id, business_id, category_id, sku, name, base_price, updated_at) VALUES ('p', 'b', 'c', 'sku', 'P', 9.5, '2026-01-01');
    INSERT INTO business_orders (id, business_id, order_number, ordered_at, updated_at) VALUES ('o', 'b', '1', '2026-01-01', '2026-01-01');";

/// What watches the table.
#[derive(Clone, Copy, PartialEq)]
enum Watcher {
    Nobody,
    Rowmesh,
    /// Triggers that copy the row before and after as JSON into a table of their own.
    Json,
    /// Triggers that never fire: what SQLite itself asks for having any.
    Never,
}

/// Measures and prints.
pub fn run() {
    println!(
        "capture: speed of the application's statements, plain = 1.00 (WAL, synchronous=NORMAL, median of {ROUNDS}); insert / update"
    );
    for subject in &SUBJECTS {
        println!("  {}", subject.name);
        println!(
            "    {:<28} {:>13} {:>13} {:>13} {:>13}   us a row plain",
            "", "rowmesh", "JSON images", "never fires", "rowmesh, CPU"
        );
        for shape in [Shape::Single(2_000), Shape::Batches(200, 100), Shape::Statement(100_000)] {
            compare(subject, shape);
        }
    }
}

fn compare(subject: &Subject, shape: Shape) {
    let watchers = [Watcher::Nobody, Watcher::Rowmesh, Watcher::Json, Watcher::Never];
    let mut times = watchers.map(|_| (Vec::new(), Vec::new()));
    for _ in 0..ROUNDS {
        for (watcher, times) in watchers.iter().zip(&mut times) {
            let (insert, update) = one_round(subject, shape, *watcher);
            times.0.push(insert);
            times.1.push(update);
        }
    }
    let [plain, others @ ..] = times.map(|(insert, update)| (Medians::of(insert), Medians::of(update)));
    let ratio = |by: fn(&Medians) -> f64, (insert, update): &(Medians, Medians)| {
        format!("{:>6.2} / {:<4.2}", by(&plain.0) / by(insert), by(&plain.1) / by(update))
    };
    let mut columns: Vec<String> = others.iter().map(|other| ratio(|median| median.clock, other)).collect();
    columns.push(ratio(|median| median.processor, &others[0]));
    let each = 1e6 / shape.rows() as f64;
    let (insert, update) = (plain.0.clock * each, plain.1.clock * each);
    println!("    {:<28} {}   {insert:.1} / {update:.1}", shape.name(), columns.join(" "));
}

/// Seconds, the middle ones of several rounds.
struct Medians {
    clock: f64,
    processor: f64,
}

impl Medians {
    fn of(all: Vec<Took>) -> Medians {
        let (clock, processor) = all.into_iter().unzip();
        Medians { clock: median(clock).as_secs_f64(), processor: median(processor).as_secs_f64() }
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

fn one_round(subject: &Subject, shape: Shape, watcher: Watcher) -> (Took, Took) {
    let folder = tempfile::tempdir().expect("a folder for the measurement");
    let path = folder.path().join("app.db");
    let app = open(&path);
    app.execute_batch(subject.schema).expect("the schema is valid");
    app.execute_batch(subject.parents).expect("the parents fit the schema");
    match watcher {
        Watcher::Nobody => {}
        Watcher::Rowmesh => attach(&path),
        Watcher::Json => app.execute_batch(&json_triggers(&app, subject.table)).expect("the triggers are valid"),
        Watcher::Never => app.execute_batch(&idle_triggers(subject.table)).expect("the triggers are valid"),
    }
    (took(|| insert(&app, subject, shape)), took(|| update(&app, subject, shape)))
}

fn took(what: impl FnOnce()) -> Took {
    let before = thread_cpu_time();
    let ((), clock) = time(what);
    let processor = thread_cpu_time().zip(before).map_or(clock, |(after, before)| after.saturating_sub(before));
    (clock, processor)
}

fn attach(path: &Path) {
    let incarnation = Incarnation { count: 1, nonce: 1 };
    let location = Location::File(path.to_owned());
    SqliteStore::open(&location, &AttachOptions::default(), NodeId([1; 32]), incarnation).expect("attaching works");
}

fn json_triggers(app: &Connection, table: &str) -> String {
    let mut statement = app.prepare("SELECT name FROM pragma_table_info(?1)").expect("the table is there");
    let columns: Vec<String> =
        (statement.query_map([table], |row| row.get(0))).and_then(Iterator::collect).expect("the columns can be read");
    let image = |side: &str| {
        let fields: Vec<String> = columns.iter().map(|column| format!("'{column}', {side}.\"{column}\"")).collect();
        format!("json_object({})", fields.join(", "))
    };
    format!(
        "CREATE TABLE images (id INTEGER PRIMARY KEY, t TEXT, op INTEGER, at REAL, old TEXT, new TEXT);
         CREATE TRIGGER images_insert AFTER INSERT ON {table} BEGIN
             INSERT INTO images (t, op, at, new) VALUES ('{table}', 1, julianday('now'), {new}); END;
         CREATE TRIGGER images_update AFTER UPDATE ON {table} BEGIN
             INSERT INTO images (t, op, at, old, new) VALUES ('{table}', 2, julianday('now'), {old}, {new}); END;",
        new = image("NEW"),
        old = image("OLD"),
    )
}

fn idle_triggers(table: &str) -> String {
    ["INSERT", "UPDATE"]
        .map(|event| format!("CREATE TRIGGER idle_{event} AFTER {event} ON {table} WHEN 0 BEGIN SELECT 1; END;"))
        .concat()
}

fn open(path: &Path) -> Connection {
    let app = Connection::open(path).expect("a new database can be opened");
    app.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON")
        .expect("WAL is possible here");
    app
}

fn insert(app: &Connection, subject: &Subject, shape: Shape) {
    let (table, row) = (subject.table, subject.row);
    let one = format!("INSERT INTO {table} SELECT {row} FROM (SELECT ?1 AS i)");
    let all = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) INSERT INTO {table} SELECT {row} FROM n"
    );
    write(app, shape, &one, &all);
}

fn update(app: &Connection, subject: &Subject, shape: Shape) {
    let Subject { table, set, by_key, .. } = subject;
    write(
        app,
        shape,
        &format!("UPDATE {table} SET {set} WHERE {by_key}"),
        &format!("UPDATE {table} SET {set} WHERE ?1 > 0"),
    );
}

/// Runs one statement for every row, or one for all.
fn write(app: &Connection, shape: Shape, one: &str, all: &str) {
    let mut statement = app.prepare(one).expect("the statement fits the table");
    let mut row = |i: usize| assert_eq!(statement.execute([i as i64]).expect("written"), 1);
    match shape {
        Shape::Single(rows) => (1..=rows).for_each(row),
        Shape::Batches(count, rows) => {
            for batch in 0..count {
                app.execute_batch("BEGIN").expect("begun");
                (1..=rows).for_each(|i| row(batch * rows + i));
                app.execute_batch("COMMIT").expect("committed");
            }
        }
        Shape::Statement(rows) => {
            app.execute(all, [rows as i64]).expect("written");
        }
    }
}
