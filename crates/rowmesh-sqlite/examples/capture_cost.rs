//! Measures what capture costs the application: the same statements on a database without and with our triggers, WAL, synchronous=NORMAL.
//! Prints operations per second and the ratio; judges nothing. `cargo run -p rowmesh-sqlite --example capture_cost [ROUNDS]`

use std::time::{Duration, Instant};

use rowmesh_engine::plan::AttachOptions;
use rowmesh_sqlite::attach::{attach, plan};
use rowmesh_sqlite::connection::{Location, open_daemon};
use rusqlite::{Connection, params};

const SCHEMA: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
    CREATE TABLE orders (id TEXT PRIMARY KEY NOT NULL, customer TEXT, amount INTEGER, rate REAL, note TEXT);
    CREATE INDEX orders_customer ON orders (customer);";
const SINGLE_ROWS: usize = 5_000;
const BATCH_ROWS: usize = 100;
const BATCHES: usize = 200;
const BULK_ROWS: usize = 100_000;

/// A figure and how to get it: rows written, and the time that took.
type Measured = Vec<(&'static str, usize, Duration)>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let (mut plain, mut captured): (Measured, Measured) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for (with_capture, best) in [(false, &mut plain), (true, &mut captured)] {
            let path = folder.path().join(format!("{round}-{with_capture}.db"));
            let application = Connection::open(&path)?;
            application.execute_batch(SCHEMA)?;
            if with_capture {
                let mut daemon = open_daemon(&Location::File(path))?;
                let plan = plan(&daemon, &AttachOptions::default())?;
                attach(&mut daemon, &plan)?;
            }
            keep_best(best, measure(&application)?);
        }
    }
    println!("{:28} {:>12} {:>12} {:>7}", "statements", "plain/s", "captured/s", "ratio");
    for ((name, rows, without), (_, _, with)) in plain.iter().zip(&captured) {
        let per_second = |time: &Duration| *rows as f64 / time.as_secs_f64();
        println!(
            "{name:28} {:12.0} {:12.0} {:7.2}",
            per_second(without),
            per_second(with),
            per_second(with) / per_second(without)
        );
    }
    Ok(())
}

fn keep_best(best: &mut Measured, round: Measured) {
    if best.is_empty() {
        *best = round;
        return;
    }
    for (kept, new) in best.iter_mut().zip(round) {
        kept.2 = kept.2.min(new.2);
    }
}

fn measure(application: &Connection) -> rusqlite::Result<Measured> {
    let mut insert = application.prepare("INSERT INTO orders VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut update = application.prepare("UPDATE orders SET note = ?2 WHERE id = ?1")?;
    let mut insert_row =
        |n: usize| insert.execute(params![key(n), format!("name {n}"), n as i64, n as f64 * 1.5, "some longer text"]);
    let mut update_row = |n: usize| update.execute(params![key(n), format!("changed longer text {n}")]);
    let singles = 0..SINGLE_ROWS;
    let batches =
        |from: usize| (0..BATCHES).map(move |batch| from + batch * BATCH_ROWS..from + (batch + 1) * BATCH_ROWS);
    let mut measured = Vec::new();
    measured.push((
        "insert, one row",
        SINGLE_ROWS,
        timed(|| singles.clone().try_for_each(|n| insert_row(n).map(drop)))?,
    ));
    measured.push((
        "update, one row",
        SINGLE_ROWS,
        timed(|| singles.clone().try_for_each(|n| update_row(n).map(drop)))?,
    ));
    let rows = BATCHES * BATCH_ROWS;
    let in_batches = |write: &mut dyn FnMut(usize) -> rusqlite::Result<usize>| {
        timed(|| {
            batches(SINGLE_ROWS).try_for_each(|mut batch| {
                application.execute_batch("BEGIN")?;
                batch.try_for_each(|n| write(n).map(drop))?;
                application.execute_batch("COMMIT")
            })
        })
    };
    measured.push(("insert, 100 rows at a time", rows, in_batches(&mut insert_row)?));
    measured.push(("update, 100 rows at a time", rows, in_batches(&mut update_row)?));
    let bulk = format!(
        "INSERT INTO orders WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {BULK_ROWS})
         SELECT printf('%08x-bulk-%012d', (i * 2654435761) % 4294967296, i), 'name ' || i, i, i * 1.5, 'some longer text' FROM n"
    );
    measured.push(("insert, 100,000 in one", BULK_ROWS, timed(|| application.execute_batch(&bulk))?));
    let all = "UPDATE orders SET amount = amount + 1, note = 'changed ' || amount WHERE id LIKE '%-bulk-%'";
    measured.push(("update, 100,000 in one", BULK_ROWS, timed(|| application.execute_batch(all))?));
    measured.push((
        "delete, 100,000 in one",
        BULK_ROWS,
        timed(|| application.execute_batch("DELETE FROM orders WHERE id LIKE '%-bulk-%'"))?,
    ));
    Ok(measured)
}

/// Keys in no order, as UUIDs are.
fn key(n: usize) -> String {
    format!("{:08x}-aaaa-bbbb-{n:012}", n.wrapping_mul(2_654_435_761) % (1 << 32))
}

fn timed(run: impl FnOnce() -> rusqlite::Result<()>) -> rusqlite::Result<Duration> {
    let begin = Instant::now();
    run()?;
    Ok(begin.elapsed())
}
