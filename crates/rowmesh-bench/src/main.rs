//! `cargo xtask bench`: measures on this machine, in one run, and prints ratios beside absolute numbers. Asserts nothing: a noisy machine must
//! not fail a build. What the numbers were when they were last looked at stands in docs/performance.md.

mod capture;
mod daemons;
mod measure;
mod nodes;
mod pipeline;
mod postgres;

/// Rows of the part `pipeline` unless `rows=N` says otherwise: fewer under a profiler.
const PIPELINE_ROWS: usize = 100_000;

fn main() {
    let is_setting = |word: &String| word.contains('=') || word.starts_with("--");
    let (settings, wanted): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(is_setting);
    let rows = settings.iter().find_map(|word| word.strip_prefix("rows=")?.parse().ok()).unwrap_or(PIPELINE_ROWS);
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    if is_wanted("capture") {
        capture::run();
    }
    if is_wanted("pipeline") {
        pipeline::run(rows);
    }
    if is_wanted("nodes") {
        nodes::run();
    }
    let is_quick = settings.iter().any(|word| word == "--quick");
    let pace = if is_quick { postgres::Pace::QUICK } else { postgres::Pace::FULL };
    let only = settings.iter().find_map(|word| word.strip_prefix("only="));
    postgres::run(is_wanted, pace, postgres::Only(only));
}
