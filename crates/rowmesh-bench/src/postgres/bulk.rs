//! One statement that writes very many rows: how much longer it takes the application, and how soon after it all rows are at the other side.

use std::time::Duration;

use rowmesh_postgres::connection::Session;

use super::contestant::{Contestant, Field};
use super::{Pace, report, workload};
use crate::measure::time;

/// The tables grow with each.
const ROUNDS_MAX: usize = 3;

/// A statement of many rows; the last number tells the rounds apart.
struct Statement {
    name: &'static str,
    run: fn(&Session, Pace, usize),
}

const STATEMENTS: [Statement; 3] = [
    Statement { name: "UPDATE", run: update },
    Statement { name: "INSERT … SELECT", run: insert },
    Statement { name: "COPY", run: copy },
];

/// Measures and prints.
pub fn run(field: &mut Field, pace: Pace) {
    let rounds = pace.rounds.min(ROUNDS_MAX);
    println!(
        "pg-bulk: one statement of {} rows (middle one of {}); time against plain, and the speed at which it arrives from its commit on",
        pace.bulk_rows, rounds
    );
    for statement in &STATEMENTS {
        println!("  {}", statement.name);
        let turns = field.take_turns(rounds, |contestant, round| one_turn(contestant, statement, pace, round));
        let plain: Vec<f64> = turns[0].iter().map(|(took, _)| took.as_secs_f64()).collect();
        for (contestant, own) in field.contestants.iter().zip(&turns) {
            let took = own.iter().map(|(took, _)| took.as_secs_f64());
            let against = report::middle(took.clone().zip(&plain).map(|(own, plain)| own / plain));
            println!(
                "    {:<24} {:>8.2} s {against:>8.2} {}",
                contestant.name,
                report::middle(took),
                arrival(contestant, own, pace)
            );
        }
    }
}

fn arrival(contestant: &Contestant, own: &[(Duration, Option<Duration>)], pace: Pace) -> String {
    if contestant.far.is_none() {
        return String::new();
    }
    let behind: Option<Vec<f64>> = own.iter().map(|(_, behind)| behind.map(|behind| behind.as_secs_f64())).collect();
    behind.map_or_else(
        || format!("{:>20}", "NOT THERE in time"),
        |behind| format!("{:>12.0} rows/s", f64::from(pace.bulk_rows) / report::middle(behind.into_iter())),
    )
}

/// How long the application took, and how long after it all had arrived.
fn one_turn(
    contestant: &mut Contestant,
    statement: &Statement,
    pace: Pace,
    round: usize,
) -> (Duration, Option<Duration>) {
    let app = contestant.source.application();
    let ((), took) = time(|| (statement.run)(&app, pace, round));
    let behind = contestant.settle();
    // Whoever comes next finds no dead rows to clean up.
    app.batch("VACUUM products").expect("outside of a transaction");
    (took, behind)
}

fn update(app: &Session, pace: Pace, _round: usize) {
    app.batch(&workload::update_products(pace.bulk_rows)).expect("the application's statement");
}

fn insert(app: &Session, pace: Pace, round: usize) {
    let word = format!("inserted{round}");
    app.batch(&workload::insert_products(1, pace.bulk_rows, &word)).expect("the application's statement");
}

fn copy(app: &Session, pace: Pace, round: usize) {
    let rows = workload::copied_products(pace.bulk_rows, &format!("copied{round}"));
    app.copy_in("COPY products FROM STDIN", rows.into_iter()).expect("the application's statement");
}
