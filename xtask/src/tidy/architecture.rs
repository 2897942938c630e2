//! Keeps docs/architecture.md true: a map that names what is not there is worse than none. What it says about the rooms is for people to judge.

use std::collections::BTreeSet;

use crate::findings::Findings;
use crate::markdown;
use crate::repo::Repo;

const MAP: &str = "docs/architecture.md";

/// Files are named by their end alone (`wire/v1.rs`) only with these; a `.toml` or `.db` may well be a user's.
const SOURCE_EXTENSIONS: [&str; 3] = [".rs", ".sql", ".md"];

/// Every path that the map names exists.
pub fn every_path_exists(repo: &Repo) -> Findings {
    let Some(text) = repo.text(MAP) else {
        return Findings::problem(format!("{MAP} is missing"));
    };
    let missing = named_paths(repo, text).into_iter().filter(|(_, path)| !is_there(repo, path));
    missing.map(|(line, path)| format!("{MAP}:{line}: {path} does not exist")).collect()
}

/// Every crate of the workspace stands on the map.
pub fn every_crate_is_on_the_map(repo: &Repo) -> Findings {
    let Some(text) = repo.text(MAP) else {
        return Findings::default();
    };
    let words: BTreeSet<&str> = text.split(|c: char| !(c.is_alphanumeric() || "-_".contains(c))).collect();
    let crates = repo.texts_with("toml").filter_map(|(path, text)| Some((path, package_name(text)?)));
    let absent = crates.filter(|(_, name)| !words.contains(name));
    absent.map(|(path, name)| format!("{MAP}: crate {name} ({path}) is not on the map")).collect()
}

/// In prose what stands between backticks; in pictures every word that begins in one of our directories.
fn named_paths<'a>(repo: &Repo, text: &'a str) -> Vec<(usize, &'a str)> {
    let mut named = Vec::new();
    for line in markdown::lines(text) {
        let words: Vec<&str> = match line.fenced {
            true => line.text.split_whitespace().filter(|word| begins_in_ours(repo, word)).collect(),
            false => markdown::code_spans(line.text).filter(|span| is_path(repo, span)).collect(),
        };
        named.extend(words.into_iter().map(|path| (line.number, path)));
    }
    named
}

fn is_path(repo: &Repo, span: &str) -> bool {
    let plain = span.chars().all(|c| c.is_alphanumeric() || "-_./*".contains(c)) && !span.contains("..");
    let is_source = SOURCE_EXTENSIONS.iter().any(|end| span.len() > end.len() && span.ends_with(end));
    plain && (is_source || begins_in_ours(repo, span))
}

fn begins_in_ours(repo: &Repo, path: &str) -> bool {
    path.split_once('/').is_some_and(|(first, _)| !first.is_empty() && repo.exists(first))
}

/// As a path from the root, as the end of one, or, with `*`, as the directory before it.
fn is_there(repo: &Repo, path: &str) -> bool {
    let path = path.split_once('*').map_or(path, |(before, _)| before.rsplit_once('/').map_or("", |(dir, _)| dir));
    let end = format!("/{path}");
    repo.exists(path) || (!begins_in_ours(repo, path) && repo.paths().any(|file| file.ends_with(&end)))
}

fn package_name(manifest: &str) -> Option<&str> {
    let package = manifest.strip_prefix("[package]").or_else(|| Some(manifest.split_once("\n[package]")?.1))?;
    let line = package.lines().find(|line| line.starts_with("name"))?;
    line.split('"').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\nname = \"rowmesh-core\"\n";

    fn check(map: &str, expected: &[&str]) {
        let repo = Repo::of(&[
            (MAP, map),
            ("crates/rowmesh-core/Cargo.toml", MANIFEST),
            ("crates/rowmesh-core/src/wire/v1.rs", ""),
            ("Cargo.toml", "[workspace]\nmembers = []\n"),
        ]);
        let mut findings = every_path_exists(&repo);
        findings.join(every_crate_is_on_the_map(&repo));
        assert_eq!(findings.problems, expected);
    }

    #[test]
    fn paths_and_ends_of_paths_are_followed() {
        check(
            "rowmesh-core: `crates/rowmesh-core/`, `crates/rowmesh-core/src/wire/v1.rs`, `wire/v1.rs`, `crates/*`",
            &[],
        );
        check("rowmesh-core: `crates/gone/src/a.rs`", &["docs/architecture.md:1: crates/gone/src/a.rs does not exist"]);
        check("rowmesh-core\n`wire/v2.rs`", &["docs/architecture.md:2: wire/v2.rs does not exist"]);
        check("rowmesh-core\n```\ncrates/gone   a room\n```", &["docs/architecture.md:3: crates/gone does not exist"]);
        check("rowmesh-core `crates/rowmesh/*.rs`", &["docs/architecture.md:1: crates/rowmesh/*.rs does not exist"]);
    }

    #[test]
    fn what_is_no_path_of_ours_is_left_alone() {
        check(
            "rowmesh-core: `rowmesh.toml`, `/var/lib/rowmesh`, `n/a`, `Store`, `a/b or c.rs`, `.rs`, `handle_*(now, input)`",
            &[],
        );
    }

    #[test]
    fn a_crate_that_is_not_on_the_map_is_found() {
        let expected = "docs/architecture.md: crate rowmesh-core (crates/rowmesh-core/Cargo.toml) is not on the map";
        check("only `rowmesh-core-extra` and rowmesh", &[expected]);
    }
}
