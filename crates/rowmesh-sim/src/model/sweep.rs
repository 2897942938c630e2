//! Many seeds at once, on all cores. Known bad seeds first; some seeds twice, to see that a seed decides everything. Knows nothing
//! of what a history does: it is handed a function from seed to result.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rowmesh_core::ident::Digest;

use super::check::{self, Coverage};
use super::world::World;
use super::{Failure, ensure};

/// One seed in this many runs twice.
const TWICE: u64 = 64;

/// What one history comes to.
pub struct Outcome {
    /// Hash of everything that happened.
    pub trace: Digest,
    /// What it touched.
    pub coverage: Coverage,
}

/// A seed, and what went wrong under it.
#[derive(Debug)]
pub struct BadSeed {
    /// The seed.
    pub seed: u64,
    /// What went wrong.
    pub failure: Failure,
}

/// Runs one random history of rows with natural keys: faults first, then healing, then all oracles.
///
/// # Errors
/// If an oracle is broken.
pub fn history(seed: u64) -> Result<Outcome, Failure> {
    let mut world = World::drawn(seed);
    world.play(|world| {
        if world.rng.chance(5) {
            let node = world.rng.below(world.nodes.len());
            check::node(&world.history, &world.nodes[node])?;
        }
        Ok(())
    })?;
    world.heal()?;
    let coverage = check::healed(&mut world)?;
    Ok(Outcome { trace: world.trace(), coverage })
}

/// Runs one random history in which nodes forget stable events at random times.
///
/// # Errors
/// If a table or a ledger differs from the reference's.
pub fn pruning_history(seed: u64) -> Result<Outcome, Failure> {
    prune_while_playing(seed, false)
}

/// The same, but acknowledgements do not say what is parked: wrong, and kept to show that this can be seen.
///
/// # Errors
/// For some seeds.
pub fn careless_pruning_history(seed: u64) -> Result<Outcome, Failure> {
    prune_while_playing(seed, true)
}

fn prune_while_playing(seed: u64, vectors_only: bool) -> Result<Outcome, Failure> {
    let mut world = World::drawn(seed);
    world.play(|world| {
        let (node, row) = (world.rng.below(world.nodes.len()), world.rng.below(world.history.setting.rows));
        if world.is_stable(node, row, vectors_only) {
            world.nodes[node].prune(&world.history, row);
        }
        Ok(())
    })?;
    world.heal()?;
    Ok(Outcome { trace: world.trace(), coverage: check::pruned(&mut world)? })
}

/// Runs every seed of a range on all cores and stops at the first that fails.
///
/// # Errors
/// With the seed, for a replay.
pub fn run(
    seeds: std::ops::Range<u64>,
    one: impl Fn(u64) -> Result<Outcome, Failure> + Sync,
) -> Result<Coverage, BadSeed> {
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new(Coverage::default());
    let bad: Mutex<Option<BadSeed>> = Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let mut mine = Coverage::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || bad.lock().expect("no thread panics while it reports").is_some() {
                break;
            }
            match guarded(seed, &one) {
                Ok(coverage) => mine += coverage,
                Err(failure) => {
                    let mut bad = bad.lock().expect("no thread panics while it reports");
                    bad.get_or_insert(BadSeed { seed, failure });
                }
            }
        }
        *total.lock().expect("no thread panics while it adds") += mine;
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    match bad.into_inner().expect("all threads are done") {
        Some(bad) => Err(bad),
        None => Ok(total.into_inner().expect("all threads are done")),
    }
}

fn guarded(seed: u64, one: impl Fn(u64) -> Result<Outcome, Failure>) -> Result<Coverage, Failure> {
    let outcome = catch_unwind(AssertUnwindSafe(|| one(seed))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        format!("panic: {}", text.unwrap_or("without a message"))
    })??;
    if seed.is_multiple_of(TWICE) {
        ensure!(one(seed)?.trace == outcome.trace, "the same seed gave another history");
    }
    Ok(outcome.coverage)
}
