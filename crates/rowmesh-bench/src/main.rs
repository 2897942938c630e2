//! `cargo xtask bench`: measures on this machine, in one run, and prints ratios beside absolute numbers. Asserts nothing: a noisy machine must
//! not fail a build. What the numbers were when they were last looked at stands in docs/performance.md.

mod capture;
mod measure;
mod nodes;
mod pipeline;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    if is_wanted("capture") {
        capture::run();
    }
    if is_wanted("pipeline") {
        pipeline::run();
    }
    if is_wanted("nodes") {
        nodes::run();
    }
}
