//! Ties the list of hazards to the tests. docs/hazards.md says which rows are implemented; each must be named by a test. Whether the test is
//! any good is for people to judge.

use std::collections::BTreeSet;

use crate::findings::Findings;
use crate::markdown;
use crate::repo::Repo;

const LIST: &str = "docs/hazards.md";

/// The whole list: letter of the section, number of its last row.
const SECTIONS: [(char, u8); 15] = [
    ('A', 22),
    ('B', 17),
    ('C', 11),
    ('D', 13),
    ('E', 15),
    ('F', 13),
    ('G', 16),
    ('H', 16),
    ('I', 13),
    ('J', 12),
    ('K', 24),
    ('L', 8),
    ('M', 7),
    ('N', 8),
    ('Q', 32),
];

/// A test's name is a sentence; a shorter name that begins like a hazard (`h2_client`) is none.
const SENTENCE_WORDS_MIN: usize = 3;

/// Every implemented row is named by a test. Which rows of the whole list no test names is told as a note.
pub fn every_implemented_hazard_has_a_test(repo: &Repo) -> Findings {
    let tested: BTreeSet<Hazard> = repo.texts_with("rs").flat_map(|(_, text)| tested(text)).collect();
    let untested: Vec<Hazard> = all().filter(|hazard| !tested.contains(hazard)).collect();
    let mut findings = Findings::default();
    if repo.text(LIST).is_none() {
        findings.notes.push(format!("{LIST} does not exist yet: implemented hazards not checked"));
    }
    let total = all().count();
    findings.notes.push(format!("{} of {total} hazards have no test yet: {}", untested.len(), ranges(&untested)));
    let listed = implemented(repo.text(LIST).unwrap_or_default());
    let lacking = listed.difference(&tested);
    findings.problems.extend(lacking.map(|hazard| format!("{LIST}: {hazard} is listed, but no test names it")));
    findings
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Hazard {
    section: char,
    row: u8,
}

impl Hazard {
    /// Reads `A1` or `a1`; none if the list has no such row.
    fn parse(word: &str) -> Option<Hazard> {
        let section = word.chars().next()?.to_ascii_uppercase();
        let row = word.get(1..).filter(|row| !row.starts_with('0') && !row.starts_with('+'))?.parse().ok()?;
        let (_, last) = SECTIONS.iter().find(|(letter, _)| *letter == section)?;
        (row >= 1 && row <= *last).then_some(Hazard { section, row })
    }
}

impl std::fmt::Display for Hazard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.section, self.row)
    }
}

/// `A1-A3 A5`
fn ranges(hazards: &[Hazard]) -> String {
    let follows = |a: &Hazard, b: &Hazard| a.section == b.section && a.row + 1 == b.row;
    let runs = hazards.chunk_by(follows).map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        _ => run.iter().map(Hazard::to_string).collect(),
    });
    runs.collect::<Vec<_>>().join(" ")
}

fn all() -> impl Iterator<Item = Hazard> {
    SECTIONS.into_iter().flat_map(|(section, last)| (1..=last).map(move |row| Hazard { section, row }))
}

/// Rows that the document lists: in the first cell of a table's row, or at the head of a list's item.
fn implemented(text: &str) -> BTreeSet<Hazard> {
    let heads = markdown::lines(text).filter(|line| !line.fenced).filter_map(|line| head(line.text));
    heads.flat_map(words).filter_map(Hazard::parse).collect()
}

fn head(line: &str) -> Option<&str> {
    let item = line.trim_start().strip_prefix("- ").map(|item| item.split([':', '(']).next().unwrap_or(item));
    markdown::first_cell(line).or(item)
}

/// Rows that a source names in the name of a function, or in the comment above a test.
fn tested(text: &str) -> BTreeSet<Hazard> {
    let mut found = BTreeSet::new();
    let mut above = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("///") {
            above.extend(words(comment).filter(|word| word.starts_with(char::is_uppercase)).filter_map(Hazard::parse));
        } else if line.starts_with("#[") {
            is_test |= line.contains("test]") || line.contains("test(");
        } else if !line.starts_with("//") {
            found.extend(function_name(line).into_iter().flat_map(named));
            if is_test && function_name(line).is_some() {
                found.extend(above.iter().copied());
            }
            above.clear();
            is_test = false;
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_function =
        before.split_whitespace().all(|word| ["pub", "async", "pub(crate)", "pub(super)"].contains(&word));
    let name = after.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()?;
    is_function.then_some(name)
}

/// `b1_b2_replace_leaves_no_victim` names B1 and B2.
fn named(name: &str) -> Vec<Hazard> {
    let parts: Vec<&str> = name.split('_').collect();
    let hazards: Vec<Hazard> = parts.iter().map_while(|part| Hazard::parse(part)).collect();
    if parts.len() - hazards.len() >= SENTENCE_WORDS_MIN { hazards } else { Vec::new() }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(hazards: BTreeSet<Hazard>) -> Vec<String> {
        hazards.into_iter().map(|hazard| hazard.to_string()).collect()
    }

    #[test]
    fn only_rows_of_the_list_are_hazards() {
        for word in ["A1", "a22", "Q32", "M7"] {
            assert!(Hazard::parse(word).is_some(), "{word}");
        }
        for word in ["A0", "A23", "A01", "O1", "P3", "A", "", "A1x", "A300", "A+1", "ä1"] {
            assert!(Hazard::parse(word).is_none(), "{word}");
        }
    }

    #[test]
    fn the_list_has_all_rows() {
        assert_eq!(all().count(), 227);
    }

    #[test]
    fn names_of_functions_count_when_they_are_sentences() {
        let source = "#[test]\nfn b1_b2_replace_leaves_no_victim() {}\n  async fn c3_crash_before_commit() {}\nfn h2_client() {}";
        assert_eq!(names(tested(source)), ["B1", "B2", "C3"]);
        assert_eq!(names(tested("// fn d1_is_only_a_comment()\nlet x = \"fn d2_in_a_text_only\";")), [""; 0]);
    }

    #[test]
    fn comments_count_above_a_test_only() {
        let test =
            "/// Covers A5 and\n/// F2.\n// plain C1\n#[tokio::test(flavor = \"x\")]\nasync fn lost_triggers() {\n";
        assert_eq!(names(tested(test)), ["A5", "F2"]);
        assert_eq!(names(tested("/// See B13.\nfn snapshot() {\n#[test]\nfn other() {")), [""; 0]);
    }

    #[test]
    fn rows_are_listed_in_tables_and_lists() {
        let text = "# B1 is prose\n| # | what |\n|---|---|\n| B2, B3 | not B4 |\n- **C1**: not C2\n- C3, C4 (not C5)\n```\n- D1\n```\n";
        assert_eq!(names(implemented(text)), ["B2", "B3", "C1", "C3", "C4"]);
    }

    #[test]
    fn a_listed_row_without_a_test_is_a_problem() {
        let repo = Repo::of(&[(LIST, "| B1 |\n| B2 |"), ("a.rs", "fn b1_replace_leaves_no_victim() {}")]);
        let findings = every_implemented_hazard_has_a_test(&repo);
        assert_eq!(findings.problems, ["docs/hazards.md: B2 is listed, but no test names it"]);
        assert!(findings.notes[0].starts_with("226 of 227 hazards have no test yet: A1-A22 B2-B17 C1-C11 "));
    }
}
