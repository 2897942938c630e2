//! Who depends on whom, as cargo resolves it for all platforms and all features in use. Judges nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::command;
use crate::json::Json;
use crate::repo::Repo;

/// One package of the graph.
#[derive(Debug, Clone, Default)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// Licence expression, if the package states one.
    pub licence: Option<String>,
    /// Where it comes from; none for a path in this repository.
    pub source: Option<String>,
    /// Names of its binaries.
    pub programs: Vec<String>,
}

/// What a dependency is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The package itself.
    Normal,
    /// Its build script: runs on the machine that builds.
    Build,
    /// Its tests.
    Dev,
}

/// Packages and the arrows between them.
#[derive(Debug, Default)]
pub struct Graph {
    packages: BTreeMap<String, Package>,
    arrows: BTreeMap<String, BTreeSet<(Need, String)>>,
    members: BTreeSet<String>,
}

impl Graph {
    /// Asks cargo.
    ///
    /// # Errors
    /// Cargo fails (a lock file that is not up to date, for one), or its answer cannot be read.
    pub fn load(repo: &Repo) -> Result<Graph, String> {
        let command = command::cargo(repo, &["metadata", "--format-version", "1", "--locked"]);
        Graph::parse(&command::output(command)?)
    }

    /// Reads the answer of `cargo metadata`.
    ///
    /// # Errors
    /// It is not what cargo writes.
    pub fn parse(text: &str) -> Result<Graph, String> {
        let json = Json::parse(text)?;
        let packages = json.get("packages").list().iter().map(|p| Ok((id(p, "id")?, package(p)?)));
        let arrows = json.get("resolve").get("nodes").list().iter().map(|node| Ok((id(node, "id")?, arrows(node)?)));
        let members = json.get("workspace_members").list().iter().filter_map(Json::text).map(str::to_string);
        let graph = Graph {
            packages: packages.collect::<Result<_, String>>()?,
            arrows: arrows.collect::<Result<_, String>>()?,
            members: members.collect(),
        };
        if graph.members.is_empty() { Err("cargo metadata names no workspace member".into()) } else { Ok(graph) }
    }

    /// All packages, in the order of names.
    pub fn packages(&self) -> impl Iterator<Item = &Package> {
        self.packages.values()
    }

    /// The packages of this workspace.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.members.iter().filter_map(|id| self.packages.get(id))
    }

    /// Names of the packages that a member depends on directly, for one of these needs.
    pub fn direct(&self, member: &str, needs: &[Need]) -> BTreeSet<&str> {
        let from = self.members.iter().filter(|id| self.name(id) == member);
        from.flat_map(|id| self.arrows_of(id, needs)).map(|id| self.name(id)).collect()
    }

    /// Everything that a member needs to run, through any number of others: name → how it is reached.
    pub fn reached(&self, member: &str) -> BTreeMap<&str, String> {
        let mut found: BTreeMap<&str, String> = BTreeMap::new();
        let mut queue: VecDeque<(&String, String)> =
            self.members.iter().filter(|id| self.name(id) == member).map(|id| (id, member.to_string())).collect();
        let mut seen: BTreeSet<&String> = queue.iter().map(|(id, _)| *id).collect();
        while let Some((id, chain)) = queue.pop_front() {
            for next in self.arrows_of(id, &[Need::Normal]) {
                if seen.insert(next) {
                    let chain = format!("{chain} → {}", self.name(next));
                    found.entry(self.name(next)).or_insert_with(|| chain.clone());
                    queue.push_back((next, chain));
                }
            }
        }
        found
    }

    fn arrows_of(&self, id: &str, needs: &[Need]) -> impl Iterator<Item = &String> {
        let all = self.arrows.get(id).into_iter().flatten();
        all.filter(move |(need, _)| needs.contains(need)).map(|(_, to)| to)
    }

    fn name(&self, id: &str) -> &str {
        self.packages.get(id).map_or("", |package| &package.name)
    }
}

fn package(json: &Json) -> Result<Package, String> {
    let text = |key: &str| json.get(key).text().map(str::to_string);
    let is_program = |target: &&Json| target.get("kind").list().iter().any(|kind| kind.text() == Some("bin"));
    let targets = json.get("targets").list().iter();
    Ok(Package {
        name: id(json, "name")?,
        version: id(json, "version")?,
        licence: text("license"),
        source: text("source"),
        programs: targets.filter(is_program).filter_map(|t| t.get("name").text()).map(str::to_string).collect(),
    })
}

fn arrows(node: &Json) -> Result<BTreeSet<(Need, String)>, String> {
    let mut arrows = BTreeSet::new();
    for dep in node.get("deps").list() {
        for kind in dep.get("dep_kinds").list() {
            let need = match kind.get("kind").text() {
                None => Need::Normal,
                Some("build") => Need::Build,
                Some("dev") => Need::Dev,
                Some(other) => return Err(format!("cargo metadata: unknown kind of dependency {other:?}")),
            };
            arrows.insert((need, id(dep, "pkg")?));
        }
    }
    Ok(arrows)
}

fn id(json: &Json, key: &str) -> Result<String, String> {
    json.get(key).text().map(str::to_string).ok_or_else(|| format!("cargo metadata: {key} is missing"))
}

#[cfg(test)]
impl Graph {
    /// A graph that exists in a test only: members, then arrows by name.
    pub fn of(members: &[&str], arrows: &[(&str, Need, &str)]) -> Graph {
        let mut graph = Graph { members: members.iter().map(|m| m.to_string()).collect(), ..Graph::default() };
        for member in members {
            graph.add(member, None);
        }
        for (from, need, to) in arrows {
            graph.add(from, Some("registry+https://github.com/rust-lang/crates.io-index"));
            graph.add(to, Some("registry+https://github.com/rust-lang/crates.io-index"));
            graph.arrows.entry(from.to_string()).or_default().insert((*need, to.to_string()));
        }
        graph
    }

    /// For tests that need more than names.
    pub fn package_mut(&mut self, id: &str) -> &mut Package {
        self.packages.entry(id.to_string()).or_default()
    }

    fn add(&mut self, name: &str, source: Option<&str>) {
        self.packages.entry(name.to_string()).or_insert_with(|| Package {
            name: name.to_string(),
            version: "1.0.0".to_string(),
            licence: Some("MIT".to_string()),
            source: source.map(str::to_string),
            programs: Vec::new(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{
        "packages": [
            {"id": "p#a", "name": "a", "version": "0.1.0", "license": "MIT", "source": null,
             "targets": [{"kind": ["lib"], "name": "a"}, {"kind": ["bin"], "name": "bench"}]},
            {"id": "r#b", "name": "b", "version": "2.0.0", "license": null, "source": "registry+x", "targets": []},
            {"id": "r#c", "name": "c", "version": "3.0.0", "license": "ISC", "source": "registry+x", "targets": []}
        ],
        "workspace_members": ["p#a"],
        "resolve": {"nodes": [
            {"id": "p#a", "deps": [
                {"name": "b", "pkg": "r#b", "dep_kinds": [{"kind": null, "target": null}, {"kind": "dev", "target": null}]}]},
            {"id": "r#b", "deps": [{"name": "c", "pkg": "r#c", "dep_kinds": [{"kind": "build", "target": null}]}]},
            {"id": "r#c", "deps": []}
        ]}
    }"#;

    #[test]
    fn the_answer_of_cargo_becomes_packages_and_arrows() {
        let graph = Graph::parse(ANSWER).expect("valid");
        let a = graph.members().next().expect("one member");
        assert_eq!((a.name.as_str(), a.programs.as_slice()), ("a", ["bench".to_string()].as_slice()));
        assert_eq!(graph.direct("a", &[Need::Dev]), BTreeSet::from(["b"]));
        assert_eq!(graph.packages().count(), 3);
        assert_eq!(graph.packages().find(|p| p.name == "b").expect("there").licence, None);
    }

    #[test]
    fn build_scripts_and_tests_are_not_reached() {
        let graph = Graph::parse(ANSWER).expect("valid");
        assert_eq!(graph.reached("a").into_keys().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn the_way_to_a_package_is_told() {
        let normal = Need::Normal;
        let graph =
            Graph::of(&["a"], &[("a", normal, "b"), ("b", normal, "c"), ("c", normal, "a"), ("a", Need::Dev, "d")]);
        let reached = graph.reached("a");
        assert_eq!(reached["c"], "a → b → c");
        assert!(!reached.contains_key("d"));
    }

    #[test]
    fn an_answer_without_members_is_an_error() {
        assert!(Graph::parse("{}").is_err());
        assert!(Graph::parse(r#"{"packages": [{}]}"#).is_err());
    }
}
