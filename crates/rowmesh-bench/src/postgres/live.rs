//! What an application keeps of its speed while its changes are carried to another server on the same machine: transactions a second, and processor
//! time a transaction, which a busy machine disturbs less.

use std::time::Duration;

use super::contestant::{Contestant, Field, Processor};
use super::workload::{self, CLIENTS, WORKS, Work};
use super::{Pace, report};

/// One turn of one contestant.
struct Turn {
    /// Transactions a second.
    speed: f64,
    /// Microseconds of processor time a transaction, of the application's server.
    source: f64,
    /// The same of all servers and programs, until all has arrived.
    all: f64,
    /// How long after the application's last transaction all had arrived.
    behind: Option<Duration>,
}

/// Measures and prints.
pub fn run(field: &mut Field, pace: Pace) {
    println!(
        "pg-live: transactions of the application, plain = 1.00 ({CLIENTS} sessions, {} s a turn, middle one of {} turns)",
        pace.turn_seconds, pace.rounds
    );
    for work in &WORKS {
        println!("  {}", work.name);
        println!(
            "    {:<24} {:>8} {:>8} {:>17} {:>15} {:>17}",
            "", "TPS", "kept", "us here (kept)", "us everywhere", "all there after"
        );
        let turns = field.take_turns(pace.rounds, |contestant, _| one_turn(contestant, work, pace));
        for (contestant, own) in field.contestants.iter().zip(&turns) {
            print(contestant.name, own, &turns[0]);
        }
    }
}

fn one_turn(contestant: &mut Contestant, work: &Work, pace: Pace) -> Turn {
    let before = contestant.processor();
    let seconds = pace.turn_seconds.to_string();
    let worked = workload::work(&contestant.source, work, pace.bulk_rows, ["-T", &seconds]);
    let after = contestant.processor();
    let behind = contestant.settle();
    let settled = contestant.processor();
    let each =
        |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64() * 1e6 / worked.transactions.max(1) as f64;
    let Processor { source, all } = before;
    Turn { speed: worked.per_second, source: each(source, after.source), all: each(all, settled.all), behind }
}

fn print(name: &str, own: &[Turn], plain: &[Turn]) {
    let middle = |of: fn(&Turn) -> f64| report::middle(own.iter().map(of));
    // Of each round with the plain turn beside it: the machine is not the same all the time.
    let kept = report::middle(own.iter().zip(plain).map(|(own, plain)| own.speed / plain.speed));
    let kept_here = report::middle(own.iter().zip(plain).map(|(own, plain)| plain.source / own.source));
    let behind = own.iter().map(|turn| turn.behind).collect::<Option<Vec<_>>>();
    let behind = behind.map_or_else(
        || "NOT in time".to_owned(),
        |all| format!("{:.2} s", report::middle(all.iter().map(Duration::as_secs_f64))),
    );
    println!(
        "    {name:<24} {:>8.0} {kept:>8.2} {:>10.0} ({kept_here:.2}) {:>15.0} {behind:>17}",
        middle(|turn| turn.speed),
        middle(|turn| turn.source),
        middle(|turn| turn.all),
    );
}
