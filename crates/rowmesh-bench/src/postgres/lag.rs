//! Single changes on idle servers, one after another: from the commit here to the row there.

use std::thread;
use std::time::{Duration, Instant};

use super::contestant::{Contestant, Field, PATIENCE};
use super::{Pace, report, workload};

/// How often the row there is looked at, besides the millisecond fraction that looking takes.
const POLL: Duration = Duration::from_micros(100);

/// Whoever is slow is known well enough by then.
const LONG: Duration = Duration::from_secs(20);

/// Between two changes, and not a whole number of anybody's rounds.
const PAUSE: Duration = Duration::from_micros(37_300);

/// Measures and prints.
pub fn run(field: &mut Field, pace: Pace) {
    println!("pg-lag: {} single changes on idle servers, commit to visible at the other side", pace.singles);
    for contestant in field.carried() {
        let lags = lags(contestant, pace.singles);
        let part = |part| report::at(lags.iter().map(|lag| lag.as_secs_f64() * 1e3), part);
        println!(
            "    {:<24} median {:>8.1} ms   p99 {:>8.1} ms   highest {:>8.1} ms{}",
            contestant.name,
            part(0.5),
            part(0.99),
            part(1.0),
            if lags.len() < pace.singles { format!("   of {} only", lags.len()) } else { String::new() }
        );
    }
}

fn lags(contestant: &mut Contestant, singles: usize) -> Vec<Duration> {
    let Some((here, there)) = contestant.sessions() else { return vec![] };
    let (mut lags, begun) = (Vec::with_capacity(singles), Instant::now());
    while lags.len() < singles && begun.elapsed() < LONG {
        thread::sleep(PAUSE);
        let mark = contestant.next_mark();
        workload::mark(&here, mark);
        let committed = Instant::now();
        while workload::marked(&there) != Some(mark) {
            if committed.elapsed() > PATIENCE {
                return lags;
            }
            thread::sleep(POLL);
        }
        lags.push(committed.elapsed());
    }
    lags
}
