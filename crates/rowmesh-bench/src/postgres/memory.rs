//! One transaction that changes every row of a big table: the memory that Rowmesh's programs need for it at their highest, and how fast it arrives.

use std::fs;
use std::time::{Duration, Instant};

use super::contestant::{PATIENCE, wait_until};
use super::load::Loaded;
use super::workload;
use crate::measure::memory_mib;

/// Measures and prints.
pub fn run(loaded: &Loaded, rows: u32) {
    let programs = loaded.carrier.programs();
    let told = |pids: &[u32]| {
        let highest = pids.iter().filter_map(|pid| memory_mib(*pid)).map(|(_, highest)| format!("{highest:.0} MiB"));
        highest.collect::<Vec<_>>().join(" there, ") + " here"
    };
    println!("      memory at its highest until then: {}", told(&programs));
    programs.iter().for_each(|pid| forget_highest(*pid));
    let (here, there) = (loaded.source.application(), loaded.target.application());
    here.batch(&workload::update_products(rows)).expect("the application's statement");
    let committed = Instant::now();
    workload::mark(&here, 1);
    let has_arrived = wait_until(Duration::from_millis(20), || workload::marked(&there) == Some(1));
    let took = committed.elapsed().as_secs_f64();
    let arrival = match has_arrived {
        true => format!("arrived after {took:.1} s, {:.0} rows/s", f64::from(rows) / took),
        false => format!("NOT THERE in {} s", PATIENCE.as_secs()),
    };
    println!("      one transaction of {rows} rows: {}; {arrival}", told(&programs));
}

/// Has the kernel begin anew with the highest memory of a process, where it does that.
fn forget_highest(pid: u32) {
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}
