//! Licences, sources and banned crates of everything we are built on. cargo-deny does it where it is installed (it takes minutes to build);
//! otherwise we check the same essentials against the same `deny.toml`. Advisories need a network and are left to cargo-deny.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{self, answers};
use crate::findings::Findings;
use crate::metadata::{Graph, Package};
use crate::policy::Policy;
use crate::repo::Repo;
use crate::{licence, licences};

/// Checks all dependencies.
pub fn check(repo: &Repo) -> Findings {
    let graph = match Graph::load(repo) {
        Ok(graph) => graph,
        Err(message) => return Findings::problem(message),
    };
    let mut findings = check_policy(repo, &graph);
    findings.join(licences::check(repo, &graph));
    findings
}

fn check_policy(repo: &Repo, graph: &Graph) -> Findings {
    if answers("cargo-deny", &["--version"]) {
        let deny = command::cargo(repo, &["deny", "--locked", "check", "licenses", "bans", "sources"]);
        return command::output(deny).err().into_iter().collect();
    }
    let Some(text) = repo.text("deny.toml") else {
        return Findings::problem("deny.toml is missing");
    };
    match Policy::parse(text) {
        Ok(policy) => check_graph(&policy, graph),
        Err(message) => Findings::problem(message),
    }
}

fn check_graph(policy: &Policy, graph: &Graph) -> Findings {
    let mut findings: Findings = graph.packages().flat_map(|package| check_package(policy, package)).collect();
    for (name, versions) in versions(graph).into_iter().filter(|(_, versions)| versions.len() > 1) {
        let versions = versions.into_iter().collect::<Vec<_>>().join(", ");
        if policy.single.contains(name) {
            findings.problems.push(format!("{name} occurs in versions {versions}: deny.toml allows one"));
        } else {
            findings.notes.push(format!("{name} occurs in versions {versions}"));
        }
    }
    findings
}

fn check_package(policy: &Policy, package: &Package) -> Vec<String> {
    let name = format!("{} {}", package.name, package.version);
    let verdicts = [
        licence_problem(policy, package),
        source_problem(policy, package),
        policy.banned.contains(&package.name).then(|| "banned by deny.toml".to_string()),
    ];
    verdicts.into_iter().flatten().map(|problem| format!("{name}: {problem}")).collect()
}

fn licence_problem(policy: &Policy, package: &Package) -> Option<String> {
    let Some(expression) = &package.licence else {
        return Some("states no licence".to_string());
    };
    match licence::is_allowed(expression, &|licence| policy.licences.contains(licence)) {
        Ok(true) => None,
        Ok(false) => Some(format!("licence {expression} is not on the list of deny.toml")),
        Err(message) => Some(message),
    }
}

fn source_problem(policy: &Policy, package: &Package) -> Option<String> {
    let source = package.source.as_ref()?;
    let registry = source.strip_prefix("registry+").is_some_and(|registry| policy.registries.contains(registry));
    (!registry).then(|| format!("comes from {source}, which deny.toml does not name"))
}

fn versions(graph: &Graph) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in graph.packages() {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Need::Normal;

    fn policy() -> Policy {
        let set = |name: &str| BTreeSet::from([name.to_string()]);
        Policy {
            licences: set("MIT"),
            banned: set("openssl"),
            single: set("rustls"),
            registries: set("https://github.com/rust-lang/crates.io-index"),
        }
    }

    fn check_with(change: impl FnOnce(&mut Graph), problems: &[&str]) {
        let mut graph = Graph::of(&["ours"], &[("ours", Normal, "theirs"), ("ours", Normal, "rustls")]);
        change(&mut graph);
        assert_eq!(check_graph(&policy(), &graph).problems, problems);
    }

    #[test]
    fn allowed_dependencies_are_clean() {
        check_with(|_| {}, &[]);
    }

    #[test]
    fn a_foreign_licence_or_none_is_a_problem() {
        check_with(
            |graph| graph.package_mut("theirs").licence = Some("GPL-3.0".into()),
            &["theirs 1.0.0: licence GPL-3.0 is not on the list of deny.toml"],
        );
        check_with(|graph| graph.package_mut("theirs").licence = None, &["theirs 1.0.0: states no licence"]);
    }

    #[test]
    fn a_foreign_source_is_a_problem() {
        let git = "git+https://example.com/theirs";
        check_with(
            |graph| graph.package_mut("theirs").source = Some(git.into()),
            &["theirs 1.0.0: comes from git+https://example.com/theirs, which deny.toml does not name"],
        );
    }

    #[test]
    fn a_banned_crate_is_a_problem() {
        check_with(
            |graph| graph.package_mut("theirs").name = "openssl".into(),
            &["openssl 1.0.0: banned by deny.toml"],
        );
    }

    #[test]
    fn a_second_version_is_a_problem_only_where_one_is_allowed() {
        let second = |of: &str| {
            let twin =
                Package { name: of.into(), version: "2.0.0".into(), licence: Some("MIT".into()), ..Package::default() };
            move |graph: &mut Graph| *graph.package_mut("twin") = twin
        };
        check_with(second("theirs"), &[]);
        check_with(second("rustls"), &["rustls occurs in versions 1.0.0, 2.0.0: deny.toml allows one"]);
    }
}
