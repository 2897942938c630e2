//! The node tier: every seed runs twice, must agree with itself, and must satisfy every oracle.

use rowmesh_sim::mesh;

/// Seeds that once found a bug, oldest first. Each stays for ever, and keeps its meaning only while the drawing of histories does: a change
/// there turns what a seed found into a test of its own first (`b1_what_replace_removed_is_found_…` in rowmesh-sqlite was one).
const REGRESSIONS: &[u64] = &[14, 61, 168, 274, 390, 441, 488, 698, 865];

/// Runs seeds `first..first + count`; a single one with `ROWMESH_SIM_SEED=N`.
fn check(seeds: impl IntoIterator<Item = u64>) {
    for seed in seeds {
        let once = mesh::run(seed).unwrap_or_else(|wrong| {
            panic!("seed {seed}: {wrong}\nagain: ROWMESH_SIM_SEED={seed} cargo nextest run -p rowmesh-sim one_seed")
        });
        let twice = mesh::run(seed).unwrap_or_else(|wrong| panic!("seed {seed}, second time only: {wrong}"));
        assert_eq!(once, twice, "seed {seed} is not deterministic");
        assert!(once.writes > 0, "seed {seed} did nothing");
    }
}

#[test]
fn kept_seeds_still_pass() {
    check(REGRESSIONS.iter().copied());
}

/// `ROWMESH_SIM_SEED=N` runs seed N once, with `ROWMESH_SIM_COUNT=M` the M seeds from there, and tells of all that fail.
#[test]
fn one_seed() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (first, count) = (number("ROWMESH_SIM_SEED").unwrap_or(1), number("ROWMESH_SIM_COUNT").unwrap_or(1));
    let mut failed = Vec::new();
    if count == 1 {
        println!("{}", mesh::describe(first));
    }
    for seed in first..first + count {
        match std::panic::catch_unwind(|| mesh::run(seed)) {
            Ok(Ok(report)) => println!("seed {seed}: {report:?}"),
            Ok(Err(wrong)) => failed.push(format!("seed {seed}: {wrong}")),
            Err(_) => failed.push(format!("seed {seed}: panicked")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

macro_rules! seeds {
    ($($name:ident: $first:literal),*) => {
        $(#[test]
        fn $name() {
            check($first..$first + 50);
        })*
    };
}

seeds!(
    o1_to_o13_hold_for_seeds_from_0: 0,
    o1_to_o13_hold_for_seeds_from_50: 50,
    o1_to_o13_hold_for_seeds_from_100: 100,
    o1_to_o13_hold_for_seeds_from_150: 150,
    o1_to_o13_hold_for_seeds_from_200: 200,
    o1_to_o13_hold_for_seeds_from_250: 250,
    o1_to_o13_hold_for_seeds_from_300: 300,
    o1_to_o13_hold_for_seeds_from_350: 350,
    o1_to_o13_hold_for_seeds_from_400: 400,
    o1_to_o13_hold_for_seeds_from_450: 450,
    o1_to_o13_hold_where_unique_values_are_contested_for_seeds_from_500: 500,
    o1_to_o13_hold_where_unique_values_are_contested_for_seeds_from_550: 550,
    o1_to_o13_hold_where_unique_values_are_contested_for_seeds_from_600: 600,
    o1_to_o13_hold_where_unique_values_are_contested_for_seeds_from_650: 650,
    o1_to_o13_hold_where_unique_values_are_contested_for_seeds_from_700: 700,
    o1_to_o13_hold_where_parents_are_deleted_for_seeds_from_2050: 2_050,
    o1_to_o13_hold_where_parents_are_deleted_for_seeds_from_2100: 2_100,
    o1_to_o13_hold_where_parents_are_deleted_for_seeds_from_2150: 2_150,
    o1_to_o13_hold_where_numbers_are_given_twice_for_seeds_from_3075: 3_075
);
