//! Real daemons on loopback: catching up, latency of a single change, memory, what an idle pair costs.

/// Measures and prints.
pub fn run() {
    println!("nodes: run by cargo xtask bench once the daemon is built");
}
