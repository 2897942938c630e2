//! Checks of single files: the opening sentence, leftovers, and names of this machine. Formatting and lints are rustfmt's and clippy's.

use std::path::Path;

use crate::findings::Findings;
use crate::repo::Repo;

/// Where the sources are that a reader comes to.
const ROOMS: [&str; 3] = ["crates/", "examples/", "xtask/"];

/// Each written in two parts, so that this file does not find itself.
const LEFTOVERS: [&str; 7] = [
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("db", "g!("),
    concat!("#[ig", "nore"),
    concat!("#[should_", "panic"),
];

/// Home directories and working directories of people and machines, and a neighbour of the repository.
const MACHINE_PATHS: [&str; 5] = [
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/Us", "ers/"),
    concat!("/bui", "lds/"),
    concat!("../sh", "ared"),
];

/// Keys of cargo's configuration that lead away from the public registry.
const REGISTRY_KEYS: [&str; 4] =
    [concat!("[sou", "rce."), concat!("[registr", "ies"), concat!("replace", "-with"), concat!("sparse", "+http")];

const PUBLIC_REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Every source file opens with `//!`.
pub fn every_file_says_what_it_is(repo: &Repo) -> Findings {
    let sources = repo.texts_with("rs").filter(|(path, _)| ROOMS.iter().any(|room| path.starts_with(room)));
    let silent = sources.filter(|(_, text)| !text.starts_with("//! "));
    silent.map(|(path, _)| format!("{path}: open with //! and say what this file is, and what is not in it")).collect()
}

/// No reminder, no hole, no test that does not run.
pub fn nothing_is_left_over(repo: &Repo) -> Findings {
    let code = repo.texts().filter(|(path, _)| is_code(path));
    code.flat_map(|(path, text)| find(path, text, &LEFTOVERS))
        .map(|hit| format!("{hit}: finish it or remove it"))
        .collect()
}

/// No absolute path of the machine that somebody works on.
pub fn nothing_names_this_machine(repo: &Repo) -> Findings {
    let own = own_paths(repo);
    let mut parts: Vec<&str> = own.iter().map(String::as_str).collect();
    parts.extend(MACHINE_PATHS);
    let hits = repo.texts().flat_map(|(path, text)| find(path, text, &parts));
    hits.map(|hit| format!("{hit}: the repository must not know where it lies")).collect()
}

/// Neither the lock file nor a configuration leads to another registry.
pub fn only_the_public_registry_is_named(repo: &Repo) -> Findings {
    let settings = repo.texts_with("toml").flat_map(|(path, text)| find(path, text, &REGISTRY_KEYS));
    let mut findings: Findings = settings.map(|hit| format!("{hit}: a registry is the machine's setting")).collect();
    for (index, line) in repo.text("Cargo.lock").unwrap_or_default().lines().enumerate() {
        if line.strip_prefix("source = ").is_some_and(|source| source.trim_matches('"') != PUBLIC_REGISTRY) {
            findings.problems.push(format!("Cargo.lock:{}: {line}: not the public registry", index + 1));
        }
    }
    findings
}

fn is_code(path: &str) -> bool {
    let extension = Path::new(path).extension().and_then(|e| e.to_str());
    matches!(extension, Some("rs" | "sql" | "toml" | "sh" | "js" | "css" | "html" | "yml")) || path.starts_with(".ci/")
}

/// The directory we lie in and the home of who runs us, unless they are too short to mean anything.
fn own_paths(repo: &Repo) -> Vec<String> {
    let root = repo.root.to_string_lossy().into_owned();
    let home = std::env::var("HOME").unwrap_or_default();
    let real = |path: &String| path.trim_matches('/').len() > 3;
    [root, home].into_iter().filter(real).map(|path| path.trim_end_matches('/').to_string() + "/").collect()
}

/// `path:line: part` for each line that contains one of the parts as a word of its own.
fn find(path: &str, text: &str, parts: &[&str]) -> Vec<String> {
    let first_in = |line: &str| parts.iter().find(|part| stands_alone(line, part)).map(|part| part.to_string());
    let hits = text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, first_in(line)?)));
    hits.map(|(number, part)| format!("{path}:{number}: {part}")).collect()
}

/// Whether no letter, digit or dot touches the part where it begins or ends with a letter, or with the slash of an absolute path.
fn stands_alone(line: &str, part: &str) -> bool {
    let joins = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
    let part_ends_in_letter = part.ends_with(|c: char| c.is_alphanumeric());
    line.match_indices(part).any(|(at, _)| {
        let free_before = !line[..at].ends_with(joins);
        let free_after = !part_ends_in_letter || !line[at + part.len()..].starts_with(joins);
        free_before && free_after
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(check: fn(&Repo) -> Findings, path: &str, text: &str) -> usize {
        check(&Repo::of(&[(path, text)])).problems.len()
    }

    #[test]
    fn a_source_without_an_opening_sentence_is_found() {
        assert_eq!(problems(every_file_says_what_it_is, "crates/a/src/lib.rs", "//! Does a.\n"), 0);
        assert_eq!(problems(every_file_says_what_it_is, "crates/a/src/lib.rs", "//!\n"), 1);
        assert_eq!(problems(every_file_says_what_it_is, "crates/a/tests/it.rs", "use a;\n//! late"), 1);
        assert_eq!(problems(every_file_says_what_it_is, "docs/example.rs", "use a;"), 0);
    }

    #[test]
    fn every_leftover_is_found_where_it_is_code() {
        for leftover in LEFTOVERS {
            assert_eq!(
                problems(nothing_is_left_over, "crates/a/src/lib.rs", &format!("a\n  {leftover} b\n")),
                1,
                "{leftover}"
            );
            assert_eq!(problems(nothing_is_left_over, "README.md", leftover), 0, "{leftover}");
        }
        assert_eq!(problems(nothing_is_left_over, ".ci/run", concat!("mktemp XX", "XXXX")), 0);
        assert_eq!(problems(nothing_is_left_over, "a.rs", concat!("my_db", "g!(x)")), 0);
    }

    #[test]
    fn paths_of_a_machine_are_found_and_relative_ones_are_not() {
        for path in MACHINE_PATHS {
            assert_eq!(problems(nothing_names_this_machine, "docs/a.md", &format!("see `{path}`")), 1, "{path}");
        }
        assert_eq!(problems(nothing_names_this_machine, "a.md", "/nowhere/rowmesh/Cargo.toml"), 1);
        assert_eq!(problems(nothing_names_this_machine, "a.md", concat!("docs/wo", "rk/a.md and /var/lib/rowmesh")), 0);
    }

    #[test]
    fn another_registry_is_found() {
        let lock = |source: &str| format!("[[package]]\nname = \"a\"\nsource = \"{source}\"\n");
        assert_eq!(problems(only_the_public_registry_is_named, "Cargo.lock", &lock(PUBLIC_REGISTRY)), 0);
        assert_eq!(
            problems(only_the_public_registry_is_named, "Cargo.lock", &lock("registry+https://mirror.example/")),
            1
        );
        let config = concat!("[sou", "rce.crates-io]\nreplace", "-with = \"mirror\"");
        assert_eq!(problems(only_the_public_registry_is_named, ".cargo/config.toml", config), 2);
    }
}
