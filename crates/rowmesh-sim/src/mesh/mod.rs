//! The node tier: whole nodes, shipped state machines, codec and SQLite store in virtual time, over links that lose, delay, reorder,
//! duplicate and break. Faults first, then everything is healed and the nodes must agree. Sockets, threads and real time are not here.

pub mod drawn;
pub mod filtered;
pub mod joining;
pub mod node;
pub mod oracle;
pub mod workload;
pub mod world;

use crate::rng::Rng;
use drawn::Quarrels;
use workload::Workload;
use world::{Faults, World};

/// What a run ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Hash over everything that happened, in order.
    pub trace: [u8; 32],
    /// Statements that the applications committed.
    pub writes: u64,
    /// Messages that arrived.
    pub messages: u64,
    /// Entries in the ledger at the end.
    pub conflicts: usize,
    /// Those of them that tell of two rows with one unique value.
    pub collisions: usize,
    /// Those that tell of rows which refer to deleted ones.
    pub orphans: usize,
    /// Those that tell of two rows which were given one number.
    pub renumbered: usize,
    /// Times a node was killed.
    pub crashes: u64,
    /// Nodes that came in with a snapshot.
    pub joins: u64,
    /// Calls of a store that failed because something went wrong in them.
    pub failed_calls: u64,
}

/// Seeds from here on let several nodes take one unique value; those before keep their histories.
const CONTESTED_FROM: u64 = 500;

/// Seeds from here on let nodes delete what others refer to, too.
const ORPHANED_FROM: u64 = 2_000;

/// Seeds from here on have tables whose keys SQLite numbers, too.
const NUMBERED_FROM: u64 = 3_000;

/// How many times as much is written there: a row has to be deleted just when another comes to refer to it.
const WRITES_FOR_ORPHANS: usize = 4;

/// What the nodes of a seed may break together.
fn quarrels(seed: u64) -> Quarrels {
    Quarrels {
        over_values: seed >= CONTESTED_FROM,
        over_parents: seed >= ORPHANED_FROM,
        over_numbers: seed >= NUMBERED_FROM,
    }
}

/// What a seed draws before anything happens, for people.
pub fn describe(seed: u64) -> String {
    let mut rng = Rng::from_seed(seed);
    let faults = Faults::draw(&mut rng);
    format!("{faults:?}\n{}", Workload::draw(&mut rng, quarrels(seed)).ddl())
}

/// Runs one seed: faults drawn from it, then healing, then every oracle.
///
/// # Errors
/// What was found wrong, in words.
pub fn run(seed: u64) -> Result<Report, String> {
    let mut rng = Rng::from_seed(seed);
    let mut faults = Faults::draw(&mut rng);
    if quarrels(seed).over_parents {
        faults.writes_per_minute *= WRITES_FOR_ORPHANS;
        faults.partitions = true;
    }
    let workload = Workload::draw(&mut rng, quarrels(seed));
    let mut world = World::new(seed, rng, faults, workload);
    world.run_faults();
    world.heal();
    oracle::check(&mut world)?;
    Ok(world.report())
}
