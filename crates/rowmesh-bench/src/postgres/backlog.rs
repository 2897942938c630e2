//! Single-row transactions that were made while the receiving side was stopped, and how fast they arrive once it is back.

use std::thread;
use std::time::{Duration, Instant};

use rowmesh_postgres::connection::Session;

use super::contestant::{Contestant, Field, PATIENCE};
use super::workload::{self, CLIENTS, WORKS};
use super::{Pace, report};

/// Making a backlog takes long.
const ROUNDS_MAX: usize = 2;

/// How a backlog came in.
struct Drained {
    /// From the order to receive until all was there.
    whole: Duration,
    /// From the first of its rows seen until all was there, and how many rows came in that time.
    flow: (Duration, i64),
}

/// Measures and prints.
pub fn run(field: &mut Field, pace: Pace) {
    let rounds = pace.rounds.min(ROUNDS_MAX);
    println!(
        "pg-backlog: {} single-row transactions queued while the receiving side is stopped (middle one of {})",
        pace.queued, rounds
    );
    println!("    {:<24} {:>22} {:>28}", "", "from its start, rows/s", "from the first row, rows/s");
    for work in &WORKS[1..] {
        println!("  {}", work.name);
        let turns = field.take_turns(rounds, |contestant, _| drain(contestant, work, pace));
        for (contestant, own) in field.contestants.iter().zip(&turns).filter(|(contestant, _)| contestant.far.is_some())
        {
            print(contestant.name, own, pace);
        }
    }
}

fn print(name: &str, own: &[Option<Drained>], pace: Pace) {
    let Some(own) = own.iter().map(Option::as_ref).collect::<Option<Vec<_>>>() else {
        println!("    {name:<24} NOT THERE in time");
        return;
    };
    let whole = report::middle(own.iter().map(|drained| f64::from(pace.queued) / drained.whole.as_secs_f64()));
    let flow = report::middle(own.iter().map(|Drained { flow: (took, rows), .. }| *rows as f64 / took.as_secs_f64()));
    println!("    {name:<24} {whole:>22.0} {flow:>28.0}");
}

fn drain(contestant: &mut Contestant, work: &workload::Work, pace: Pace) -> Option<Drained> {
    let mark = contestant.next_mark();
    let far = contestant.far.as_mut()?;
    far.carrier.stop_receiving();
    let there = far.target.application();
    let sum = changes(&there);
    let each = (pace.queued / CLIENTS).to_string();
    workload::work(&contestant.source, work, pace.bulk_rows, ["-t", &each]);
    workload::mark(&contestant.source.application(), mark);
    let started = Instant::now();
    far.carrier.receive();
    let drained = watch(&there, mark, sum, started);
    contestant.settle();
    drained
}

/// Looks seldom: looking at the table costs the one who fills it.
fn watch(there: &Session, mark: i64, before: i64, started: Instant) -> Option<Drained> {
    let mut first = None;
    while workload::marked(there) != Some(mark) {
        if started.elapsed() > PATIENCE {
            return None;
        }
        if first.is_none() {
            let seen = changes(there);
            first = (seen > before).then(|| (Instant::now(), seen));
        }
        thread::sleep(Duration::from_millis(10));
    }
    let whole = started.elapsed();
    let (first, seen) = first.unwrap_or((started, before));
    Some(Drained { whole, flow: (first.elapsed(), changes(there) - seen) })
}

/// How many changes of the two kinds the products show: each update adds one to a price, each insert adds a row.
fn changes(app: &Session) -> i64 {
    let query = "SELECT (coalesce(sum(price - 9.5), 0) + count(*))::bigint FROM products";
    app.query_one(query, &[]).expect("the table is there").get(0)
}
