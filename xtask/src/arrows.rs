//! Who may depend on whom: the list of docs/architecture.md as a table that fails on a wrong arrow. Licences and versions are in `deny.rs`.

use crate::findings::Findings;
use crate::metadata::{Graph, Need};
use crate::repo::Repo;

/// Which crates of this workspace a crate may be built on. Its tests may use any but the programs at the end of the list.
const MAY_USE: &[(&str, &[&str])] = &[
    ("rowmesh-core", &[]),
    ("rowmesh-engine", &["rowmesh-core"]),
    ("rowmesh-contract", &["rowmesh-core"]),
    ("rowmesh-sqlite", &["rowmesh-core", "rowmesh-engine"]),
    ("rowmesh-postgres", &["rowmesh-core", "rowmesh-engine"]),
    ("rowmesh", &["rowmesh-core", "rowmesh-engine", "rowmesh-sqlite", "rowmesh-postgres"]),
    ("business", &[]),
    ("rowmesh-sim", &["rowmesh-core", "rowmesh-engine", "rowmesh-sqlite", "rowmesh-postgres", "business"]),
    ("rowmesh-bench", &["rowmesh-core", "rowmesh-engine", "rowmesh-sqlite", "rowmesh-postgres", "rowmesh", "business"]),
    ("rowmesh-cli", &["rowmesh", "business"]),
    ("xtask", &[]),
];

/// Nothing depends on these, not even a test.
const PROGRAMS: &[&str] = &["rowmesh-cli", "rowmesh-bench", "xtask"];

/// What a crate must not be built on, however many crates lie between.
const NEVER_REACHES: &[(&str, &[&str], &str)] = &[
    ("rowmesh-core", &["tokio", "mio", "rusqlite", "libsqlite3-sys", "hyper", "rustls", "ring"], "core does no IO"),
    ("rowmesh-core", &["getrandom", "rand"], "core throws no dice: randomness comes in as an argument"),
    ("rowmesh-sqlite", &["tokio", "hyper", "rustls"], "a store is synchronous and knows no network"),
    ("rowmesh-postgres", &["hyper"], "this store talks to its server and to nobody else"),
    ("rowmesh-sim", &["tokio", "hyper", "rustls", "rowmesh"], "the simulator has its own network and its own time"),
    ("rowmesh-cli", &["rowmesh-sim"], "the simulator does not ship"),
];

/// What a crate must not name itself.
const NEVER_NAMES: &[(&str, &[&str], &str)] = &[
    (
        "rowmesh-cli",
        &["rusqlite", "tokio-postgres", "rowmesh-core", "rowmesh-sqlite", "rowmesh-postgres"],
        "the cli goes through rowmesh",
    ),
    (
        "rowmesh",
        &["rusqlite", "tokio-postgres", "clap", "indicatif", "comfy-table"],
        "the node knows no database driver and prints nothing",
    ),
    ("xtask", &["serde", "serde_json", "toml", "anyhow", "clap"], "xtask uses the standard library only"),
];

/// Checks the workspace as cargo resolves it.
pub fn check(repo: &Repo) -> Findings {
    match Graph::load(repo) {
        Ok(graph) => check_graph(&graph),
        Err(message) => Findings::problem(message),
    }
}

fn check_graph(graph: &Graph) -> Findings {
    let mut findings = Findings::default();
    for member in graph.members() {
        findings.join(check_uses(graph, &member.name));
        findings.join(check_tests(graph, &member.name));
    }
    for (member, banned, why) in NEVER_REACHES {
        let reached = graph.reached(member);
        let chains = banned.iter().filter_map(|name| reached.get(name));
        findings.join(chains.map(|chain| format!("{chain}: {why}")).collect());
    }
    for (member, banned, why) in NEVER_NAMES {
        let direct = graph.direct(member, &[Need::Normal, Need::Build]);
        let named = banned.iter().filter(|name| direct.contains(*name));
        findings.join(named.map(|name| format!("{member} → {name}: {why}")).collect());
    }
    findings
}

fn check_uses(graph: &Graph, member: &str) -> Findings {
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == member) else {
        return Findings::problem(format!(
            "{member} has no row in MAY_USE of xtask/src/arrows.rs: say what it may use"
        ));
    };
    let used = graph.direct(member, &[Need::Normal, Need::Build]);
    let ours = graph.members().map(|package| package.name.as_str()).filter(|name| used.contains(name));
    let wrong = ours.filter(|name| !allowed.contains(name));
    wrong.map(|name| format!("{member} → {name}: this arrow points down the list of crates")).collect()
}

fn check_tests(graph: &Graph, member: &str) -> Findings {
    let used = graph.direct(member, &[Need::Dev]);
    let wrong = PROGRAMS.iter().filter(|name| used.contains(*name));
    wrong.map(|name| format!("{member} → {name} (in tests): nothing depends on a program")).collect()
}

#[cfg(test)]
mod tests {
    use super::Need::{Build, Dev, Normal};
    use super::*;

    const MEMBERS: [&str; 6] = ["rowmesh-core", "rowmesh-sqlite", "rowmesh", "rowmesh-cli", "rowmesh-sim", "xtask"];

    fn check_arrows(arrows: &[(&str, Need, &str)], expected: &[&str]) {
        let problems = check_graph(&Graph::of(&MEMBERS, arrows)).problems;
        assert_eq!(problems.len(), expected.len(), "{problems:?}");
        for part in expected {
            assert!(problems.iter().any(|problem| problem.contains(part)), "{part} not in {problems:?}");
        }
    }

    #[test]
    fn the_house_as_it_is_drawn_is_clean() {
        check_arrows(
            &[
                ("rowmesh-sqlite", Normal, "rowmesh-core"),
                ("rowmesh-sqlite", Normal, "rusqlite"),
                ("rowmesh", Normal, "rowmesh-sqlite"),
                ("rowmesh", Normal, "tokio"),
                ("rowmesh-cli", Normal, "rowmesh"),
                ("rowmesh-core", Dev, "proptest"),
                ("proptest", Normal, "rand"),
                ("rowmesh-core", Normal, "zstd"),
                ("zstd", Build, "getrandom"),
            ],
            &[],
        );
    }

    #[test]
    fn core_is_kept_pure_through_any_number_of_crates() {
        check_arrows(&[("rowmesh-core", Normal, "tokio")], &["rowmesh-core → tokio"]);
        check_arrows(
            &[("rowmesh-core", Normal, "handy"), ("handy", Normal, "rand"), ("rand", Normal, "getrandom")],
            &["rowmesh-core → handy → rand:", "handy → rand → getrandom"],
        );
    }

    #[test]
    fn only_the_direct_use_of_a_driver_is_wrong_in_the_cli() {
        check_arrows(&[("rowmesh-cli", Normal, "other"), ("other", Normal, "rusqlite")], &[]);
        check_arrows(&[("rowmesh-cli", Normal, "rusqlite")], &["rowmesh-cli → rusqlite"]);
    }

    #[test]
    fn arrows_down_the_list_are_wrong() {
        check_arrows(&[("rowmesh-core", Normal, "rowmesh-sqlite")], &["down the list"]);
        check_arrows(&[("rowmesh-sim", Normal, "rowmesh")], &["down the list", "own network"]);
        check_arrows(&[("rowmesh", Build, "xtask")], &["rowmesh → xtask"]);
        check_arrows(&[("rowmesh", Dev, "rowmesh-cli")], &["in tests"]);
        check_arrows(&[("rowmesh-sqlite", Dev, "rowmesh-sim")], &[]);
    }

    #[test]
    fn a_crate_without_a_row_is_reported() {
        let findings = check_graph(&Graph::of(&["rowmesh-new"], &[]));
        assert!(findings.problems[0].contains("rowmesh-new has no row"));
    }
}
