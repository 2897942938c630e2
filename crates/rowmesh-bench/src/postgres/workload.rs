//! What the application's tables look like and what it does with them. The same for every contestant.

use std::path::PathBuf;

use rowmesh_postgres::Bytes;
use rowmesh_postgres::connection::Session;

use super::server::Server;

/// Sessions that work at the same time, as an application's pool has them.
pub const CLIENTS: u32 = 8;

/// Tables that the application has: one of eight columns, the one that says how far somebody has come, and pgbench's own. pgbench's history gets a
/// key, for who carries rows must be able to name them.
const SCHEMA: &str = "
    CREATE TABLE products (id text PRIMARY KEY, sku text NOT NULL, name text NOT NULL, price double precision NOT NULL,
        stock integer NOT NULL, note text, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
    CREATE TABLE marker (id text PRIMARY KEY, n bigint NOT NULL);
";

const HISTORY_KEY: &str = "ALTER TABLE pgbench_history ADD COLUMN id uuid PRIMARY KEY DEFAULT gen_random_uuid()";

/// All tables.
pub const TABLES: [&str; 6] =
    ["products", "marker", "pgbench_accounts", "pgbench_branches", "pgbench_history", "pgbench_tellers"];

/// Columns of a product, from the number `i`.
const PRODUCT: &str = "'sku' || i, 'Product ' || i, 9.5, 10, NULL, '2026-01-01', '2026-01-01'";

/// A kind of transaction of one row or a few.
pub struct Work {
    /// What people call it.
    pub name: &'static str,
    /// pgbench's script; `None` for its own, TPC-B.
    script: Option<&'static str>,
}

/// Transactions that make an application's day.
pub const WORKS: [Work; 3] = [
    Work { name: "TPC-B-like (3 updates, 1 insert, 1 select)", script: None },
    Work { name: "single-row update", script: Some(UPDATE_ONE) },
    Work { name: "single-row insert", script: Some(INSERT_ONE) },
];

const UPDATE_ONE: &str = "\\set i random(1, :rows)
    UPDATE products SET price = price + 1, updated_at = now() WHERE id = lpad(to_hex(:i::int), 8, '0') || '-product';";

const INSERT_ONE: &str = "\\set i random(1, 1000000000)
    INSERT INTO products VALUES (gen_random_uuid(), 'sku' || :i::int, 'Product ' || :i::int, 9.5, 10, NULL, now(), now());";

/// Makes the tables, empty.
pub fn make_tables(server: &Server) {
    server.pgbench(&["-i", "-I", "dtp", "-q"]);
    let app = server.application();
    app.batch(SCHEMA).expect("a new database");
    app.batch(HISTORY_KEY).expect("a new table");
}

/// Fills them: as many products, and pgbench's at this scale.
pub fn fill_tables(server: &Server, products: u32, scale: u32) {
    server.pgbench(&["-i", "-I", "gv", "-q", "-s", &scale.to_string()]);
    let app = server.application();
    app.batch("INSERT INTO marker VALUES ('m', 0)").expect("an empty table");
    app.batch(&insert_products(1, products, "product")).expect("an empty table");
    app.batch("VACUUM ANALYZE").expect("outside of a transaction");
}

/// A statement that makes the products of these numbers; the word tells them from others.
pub fn insert_products(first: u32, last: u32, word: &str) -> String {
    format!(
        "INSERT INTO products SELECT lpad(to_hex(i), 8, '0') || '-{word}', {PRODUCT} FROM generate_series({first}, {last}) i"
    )
}

/// A statement that changes every product that [`fill_tables`] made.
pub fn update_products(products: u32) -> String {
    format!("UPDATE products SET price = price + 1, updated_at = now() WHERE id < lpad(to_hex({products} + 1), 8, '0')")
}

/// The rows of [`insert_products`] as the client of a `COPY products FROM STDIN` has them.
pub fn copied_products(count: u32, word: &str) -> Vec<Bytes> {
    let line = |i| format!("{i:08x}-{word}\tsku{i}\tProduct {i}\t9.5\t10\t\\N\t2026-01-01\t2026-01-01\n");
    let lines: Vec<String> = (1..=count).map(line).collect();
    lines.chunks(500).map(|lines| Bytes::from(lines.concat())).collect()
}

/// Lets the application work: for some seconds as in `["-T", "4"]`, or for some transactions of each session as in `["-t", "5000"]`.
pub fn work(server: &Server, work: &Work, products: u32, length: [&str; 2]) -> super::server::Worked {
    let clients = CLIENTS.to_string();
    let rows = format!("rows={products}");
    let mut arguments = vec!["-n", "-M", "prepared", "-c", &clients, "-D", &rows];
    arguments.extend(length);
    let script = work.script.map(Script::new);
    match &script {
        Some(script) => arguments.extend(["-f", script.path.to_str().expect("a temporary name")]),
        None => arguments.extend(["-b", "tpcb-like"]),
    }
    server.pgbench(&arguments)
}

/// A script in a file of its own, gone with this value.
struct Script {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Script {
    fn new(text: &str) -> Script {
        let folder = tempfile::tempdir().expect("a folder for the script");
        let path = folder.path().join("work.sql");
        // A newline ends no statement there, but a semicolon may stand on any line.
        std::fs::write(&path, text).expect("can be written");
        Script { path, _folder: folder }
    }
}

/// Moves the marker at the source. Who carries changes brings it after all that was committed before.
pub fn mark(app: &Session, n: i64) {
    app.execute("UPDATE marker SET n = $1", &[&n]).expect("the application's statement");
}

/// Where the marker stands.
pub fn marked(app: &Session) -> Option<i64> {
    app.query_opt("SELECT n FROM marker", &[]).ok().flatten().map(|row| row.get(0))
}
