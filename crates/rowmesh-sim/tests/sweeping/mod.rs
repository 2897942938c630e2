//! Sweeps as tests run them. `ROWMESH_SIM_SEED=n` replays one seed; `ROWMESH_SIM_COUNT=n` runs another number of seeds than usual.
//! Seeds that once failed stand in `regressions.txt` and come first.

use rowmesh_sim::model::Failure;
use rowmesh_sim::model::check::Coverage;
use rowmesh_sim::model::sweep::{self, BadSeed, Outcome};

/// Known bad seeds first, then a range, or the one seed that was asked for. Panics with the seed if one fails.
pub fn sweep(kind: &str, count: u64, one: fn(u64) -> Result<Outcome, Failure>) -> Coverage {
    let seeds = match from_environment("ROWMESH_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            known_bad_seeds(kind).into_iter().for_each(|seed| _ = finish(kind, sweep::run(seed..seed + 1, one)));
            0..from_environment("ROWMESH_SIM_COUNT").unwrap_or(count)
        }
    };
    let coverage = finish(kind, sweep::run(seeds, one));
    println!("{kind}: {coverage:?}");
    coverage
}

fn finish(kind: &str, result: Result<Coverage, BadSeed>) -> Coverage {
    result.unwrap_or_else(|BadSeed { seed, failure }| {
        panic!("replay with ROWMESH_SIM_SEED={seed}, keep it as \"{kind} {seed}\" in regressions.txt: {failure}")
    })
}

fn known_bad_seeds(kind: &str) -> Vec<u64> {
    let lines = include_str!("../../regressions.txt").lines().filter(|line| !line.starts_with('#'));
    let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.filter(|words| words.first() == Some(&kind)).map(|words| words[1].parse().expect("a seed")).collect()
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a whole number"))
}
