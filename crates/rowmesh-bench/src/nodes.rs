//! Real daemons on loopback: catching up, latency of a single change, memory, what an idle pair costs. What the stores do without a network
//! between them is in pipeline.rs.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::daemons::{Daemon, Place};
use crate::measure::{cpu_time, median, memory_mib, time};

const QUEUED: usize = 100_000;
const SINGLE: usize = 200;
const POLL: Duration = Duration::from_millis(2);
const IDLE: Duration = Duration::from_secs(20);
/// Without a write for so long, nothing more comes of what was done before: a regular exchange, every 30 s, lies in it.
const QUIET: Duration = Duration::from_secs(45);
/// Longer than anything here should take: what takes longer is reported as not done.
const PATIENCE: Duration = Duration::from_secs(180);

/// Measures and prints.
pub fn run() {
    println!("nodes: two daemons of the release build on loopback");
    let Some(place) = Place::new() else {
        println!("  there is no release build of rowmesh, and none could be made");
        return;
    };
    let a_app = application(&place.folder().join("a.db"));
    a_app.execute_batch(SCHEMA).expect("the schema is valid");
    let start = |arguments: &[&str]| place.start(arguments).expect("it becomes live");
    let a = start(&["up", "a.db", "--name", "a", "--yes"]);
    let b = start(&["up", "b.db", "--name", "b", "--yes", "--join", a.invite()]);
    let b_app = application(&place.folder().join("b.db"));

    let (b, highest) = catching_up(&place, &a_app, &b_app, b);
    latency(&a_app, &b_app);
    memory(&[("a", a.pid(), 0.0), ("b", b.pid(), highest)]);
    tail(&[("a", &a_app), ("b", &b_app)]);
    idle(&[("a", &a, &a_app), ("b", &b, &b_app)]);
}

/// Changes that queued while the peer was away. Gives the peer's new process, and the memory that its old one had at its highest.
fn catching_up(place: &Place, a_app: &Connection, b_app: &Connection, b: Daemon) -> (Daemon, f64) {
    let highest = memory_mib(b.pid()).map_or(0.0, |(_, highest)| highest);
    drop(b);
    let insert = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {QUEUED})
         INSERT INTO products SELECT printf('%08x-product', i), 'sku' || i, 'Product ' || i, 9.5, 10, NULL, '2026-01-01', '2026-01-01' FROM n"
    );
    a_app.execute_batch(&insert).expect("the application's statement");
    let (sealed, sealing) = time(|| wait_until(Duration::from_millis(20), || count(a_app, "rowmesh_dirty") == 0));
    report_rows("queued while the peer is away: sealed after", sealed, sealing);
    let ((b, complete), took) = time(|| {
        let b = place.start(&["run", "--name", "b"]).expect("it becomes live");
        (b, wait_until(Duration::from_millis(20), || count(b_app, "products") >= QUEUED))
    });
    report_rows("the peer has them, its start included", complete, took);
    (b, highest)
}

/// Single changes, one after another: from the commit here to the row there.
fn latency(a_app: &Connection, b_app: &Connection) {
    let mut times = Vec::with_capacity(SINGLE);
    for change in 0..SINGLE {
        let name = format!("single change {change}");
        let update = "UPDATE products SET name = ?1 WHERE id = '00000001-product'";
        a_app.execute(update, [&name]).expect("the application's statement");
        let shown = || {
            let query = "SELECT name = ?1 FROM products WHERE id = '00000001-product'";
            b_app.prepare_cached(query).and_then(|mut row| row.query_row([&name], |row| row.get(0))).unwrap_or(false)
        };
        let (is_there, took) = time(|| wait_until(POLL, shown));
        if !is_there {
            println!("  single change {change} did not arrive within {} s", PATIENCE.as_secs());
            return;
        }
        times.push(took);
    }
    times.sort();
    let at = |hundredth: usize| times[(times.len() * hundredth / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    println!(
        "  {:<52} p50 {:.1} ms   p99 {:.1} ms   highest {:.1} ms",
        format!("{SINGLE} single changes, commit to visible at the peer"),
        median(times.clone()).as_secs_f64() * 1e3,
        at(99),
        at(100),
    );
}

/// Resident memory of each node at its highest, or of its process before if that was higher.
fn memory(nodes: &[(&str, u32, f64)]) {
    for (name, pid, before) in nodes {
        let Some((now, highest)) = memory_mib(*pid) else {
            println!("  memory of {name}: this system does not tell");
            continue;
        };
        println!(
            "  {:<52} {:>6.1} MiB   now {now:.1} MiB",
            format!("memory of {name} at its highest"),
            highest.max(*before)
        );
    }
}

/// How long after the last change the nodes go on writing to their databases: acknowledgements travel with the next regular exchange.
fn tail(nodes: &[(&str, &Connection); 2]) {
    let started = Instant::now();
    let mut seen = nodes.map(|(_, app)| (version(app), Duration::ZERO, 0));
    while seen.iter().any(|(_, last, _)| started.elapsed() - *last < QUIET) && started.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(50));
        for ((_, app), (known, last, times)) in nodes.iter().zip(&mut seen) {
            let now = version(app);
            if now != *known {
                (*known, *last, *times) = (now, started.elapsed(), *times + 1);
            }
        }
    }
    for ((name, _), (_, last, times)) in nodes.iter().zip(seen) {
        println!(
            "  {:<52} {:>6.1} s   after the last change, seen to write {times} times since",
            format!("last write of {name}"),
            last.as_secs_f64()
        );
    }
}

/// What a pair costs that has nothing to do, and whether it leaves the databases alone.
fn idle(nodes: &[(&str, &Daemon, &Connection); 2]) {
    let look = || nodes.map(|(_, daemon, app)| (cpu_time(daemon.pid()), version(app)));
    let before = look();
    let ((), took) = time(|| thread::sleep(IDLE));
    for ((name, ..), (before, after)) in nodes.iter().zip(before.into_iter().zip(look())) {
        let (Some(cpu_before), Some(cpu_after)) = (before.0, after.0) else {
            println!("  idle {name}: this system does not tell");
            continue;
        };
        let percent = cpu_after.saturating_sub(cpu_before).as_secs_f64() / took.as_secs_f64() * 100.0;
        let wrote = if before.1 == after.1 { "nothing written" } else { "WROTE to its database" };
        println!("  {:<52} {percent:>6.2} % of a core   {wrote}", format!("{name} idle for {} s", IDLE.as_secs()));
    }
}

/// The application's side, set up as applications with SQLite are.
fn application(path: &Path) -> Connection {
    let app = Connection::open(path).expect("the database can be opened");
    app.busy_timeout(Duration::from_secs(10)).expect("set");
    app.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL").expect("WAL is possible here");
    app
}

fn wait_until(poll: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(poll);
    }
    true
}

fn count(app: &Connection, table: &str) -> usize {
    let query = format!("SELECT count(*) FROM {table}");
    app.query_row(&query, [], |row| row.get::<_, i64>(0)).map_or(0, |rows| rows as usize)
}

/// Moves whenever another connection has committed.
fn version(app: &Connection) -> i64 {
    app.query_row("PRAGMA data_version", [], |row| row.get(0)).expect("the database can be read")
}

fn report_rows(name: &str, is_done: bool, took: Duration) {
    let seconds = took.as_secs_f64();
    if is_done {
        println!("  {name:<52} {:>9.0} rows/s   {seconds:.2} s", QUEUED as f64 / seconds);
    } else {
        println!("  {name:<52} NOT DONE after {seconds:.0} s");
    }
}

const SCHEMA: &str =
    "CREATE TABLE products (id TEXT PRIMARY KEY, sku TEXT NOT NULL, name TEXT NOT NULL, price REAL NOT NULL,
     stock INTEGER NOT NULL, note TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL)";
