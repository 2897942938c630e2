//! The list that `rowmesh version --licenses` prints: every package that is linked into the program, with its version and licence. Written by
//! `cargo xtask licences`, checked with the dependencies. Which licences are allowed is `deny`'s business.

use std::fmt::Write;

use crate::findings::Findings;
use crate::metadata::{Graph, Package};
use crate::repo::Repo;

/// Where the list lies; the program includes it.
const LIST: &str = "crates/rowmesh-cli/src/licences.txt";
const PROGRAM: &str = "rowmesh-cli";

/// Writes the list anew.
///
/// # Errors
/// If cargo does not answer or the file cannot be written.
pub fn write(repo: &Repo) -> Result<bool, String> {
    let list = list(&Graph::load(repo)?);
    std::fs::write(repo.root.join(LIST), list).map_err(|error| format!("{LIST}: {error}"))?;
    println!("{LIST} is written");
    Ok(true)
}

/// Whether the list is that of the present dependencies.
pub fn check(repo: &Repo, graph: &Graph) -> Findings {
    match repo.text(LIST) {
        Some(text) if text == list(graph) => Findings::default(),
        _ => Findings::problem(format!("{LIST} is not that of Cargo.lock: run cargo xtask licences")),
    }
}

fn list(graph: &Graph) -> String {
    let linked = graph.reached(PROGRAM);
    let is_linked = |package: &&Package| package.source.is_some() && linked.contains_key(package.name.as_str());
    let mut packages: Vec<&Package> = graph.packages().filter(is_linked).collect();
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    let width = packages.iter().map(|package| package.name.len() + package.version.len() + 1).max().unwrap_or(0);
    let mut text = String::new();
    for Package { name, version, licence, .. } in packages {
        let package = format!("{name} {version}");
        let _ = writeln!(text, "{package:width$}  {}", licence.as_deref().unwrap_or("unknown"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAPH: &str = r#"{"packages":[
        {"id":"p","name":"rowmesh-cli","version":"0.1.0","license":"MIT","source":null,"targets":[]},
        {"id":"a","name":"alpha","version":"1.0.0","license":"MIT","source":"registry","targets":[]},
        {"id":"b","name":"only-in-tests","version":"2.0.0","license":"MIT","source":"registry","targets":[]}],
        "resolve":{"nodes":[{"id":"p","deps":[{"pkg":"a","dep_kinds":[{"kind":null}]},{"pkg":"b","dep_kinds":[{"kind":"dev"}]}]},
        {"id":"a","deps":[]},{"id":"b","deps":[]}]},"workspace_members":["p"]}"#;

    #[test]
    fn what_is_linked_is_listed_and_nothing_else() {
        let graph = Graph::parse(GRAPH).unwrap();
        assert_eq!(list(&graph), "alpha 1.0.0  MIT\n");
        assert!(check(&Repo::of(&[(LIST, "alpha 1.0.0  MIT\n")]), &graph).is_clean());
        assert!(!check(&Repo::of(&[(LIST, "alpha 0.9.0  MIT\n")]), &graph).is_clean());
        assert!(!check(&Repo::of(&[]), &graph).is_clean());
    }
}
