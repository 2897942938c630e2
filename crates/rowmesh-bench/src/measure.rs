//! Stop-watches and what the kernel says of a process. Judges nothing.

use std::ops::Range;
use std::time::{Duration, Instant};

/// Runs something once and says how long it took.
pub fn time<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = what();
    (result, started.elapsed())
}

/// The middle one of some durations.
pub fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

/// Resident memory of a process in MiB, now and at its highest.
pub fn memory_mib(pid: u32) -> Option<(f64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib / 1024.0)
    };
    Some((field("VmRSS:")?, field("VmHWM:")?))
}

/// Processor time that this thread has used, exactly; `None` where the system does not tell.
pub fn thread_cpu_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Processor time that a process has used.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    ticks(pid, 11..13)
}

/// The same with that of the processes it has started, once they have ended.
pub fn cpu_time_with_the_dead(pid: u32) -> Option<Duration> {
    ticks(pid, 11..15)
}

fn ticks(pid: u32, fields: Range<usize>) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let all: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = all.get(fields)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(ticks * 10))
}
