//! Keeps the tests that documents name true: whoever renames one reads what was said of it. That a hazard has a test at all is checked in
//! `hazards`.

use std::collections::BTreeSet;

use crate::findings::Findings;
use crate::markdown;
use crate::repo::Repo;

/// Documents that name tests.
const DOCS: [&str; 3] = ["docs/hazards.md", "docs/architecture.md", "docs/testing.md"];

/// A test's name is a sentence; what has fewer underscores may be anything.
const UNDERSCORES_MIN: usize = 3;

/// Each test that a document names is a function of this repository.
pub fn every_named_test_exists(repo: &Repo) -> Findings {
    let functions: BTreeSet<&str> = repo.texts_with("rs").flat_map(|(_, text)| functions(text)).collect();
    let mut problems = Vec::new();
    for doc in DOCS {
        for line in markdown::lines(repo.text(doc).unwrap_or_default()).filter(|line| !line.fenced) {
            let named = markdown::code_spans(line.text).filter(|span| is_test_name(span));
            let gone = named.filter(|name| !functions.contains(name));
            problems.extend(gone.map(|name| format!("{doc}:{}: there is no test {name}", line.number)));
        }
    }
    problems.into_iter().collect()
}

fn is_test_name(span: &str) -> bool {
    let is_name = span.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    is_name && span.matches('_').count() >= UNDERSCORES_MIN && !span.starts_with("rowmesh_")
}

fn functions(text: &str) -> impl Iterator<Item = &str> {
    let after_word = text.split("fn ").skip(1);
    after_word.filter_map(|rest| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: &[&str]) {
        let repo = Repo::of(&[("docs/hazards.md", line), ("a.rs", "#[test]\nfn b1_replace_leaves_nothing() {}\n")]);
        assert_eq!(every_named_test_exists(&repo).problems, expected, "{line}");
    }

    #[test]
    fn a_test_that_is_gone_is_found() {
        check("| B1 | x | y | `b1_replace_leaves_nothing` |", &[]);
        check(
            "| B1 | x | y | `b1_replace_leaves_a_lot` |",
            &["docs/hazards.md:1: there is no test b1_replace_leaves_a_lot"],
        );
    }

    #[test]
    fn other_names_are_left_alone() {
        check(
            "`last_insert_rowid()`, `rowmesh_conflict_resolutions_row`, `before_data`, `a/b_c_d_e.rs`, `A_B_C_D`",
            &[],
        );
        check("```\n`b1_replace_leaves_a_lot`\n```", &[]);
    }
}
