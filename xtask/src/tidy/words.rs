//! Words, codes and the wire: what is written in one document and used elsewhere. The documents' own truth is for people to judge.

use std::collections::BTreeSet;

use crate::findings::Findings;
use crate::markdown;
use crate::repo::Repo;

const GLOSSARY: &str = "docs/glossary.md";
const ERRORS: &str = "docs/errors.md";
const PROTOCOL: &str = "docs/protocol.md";
const WIRE: &str = "crates/rowmesh-core/src/wire";

/// The code that tests use for one that does not exist.
const NO_SUCH_CODE: &str = "RM9999";

/// One word, one thing: no term has two rows in the glossary.
pub fn every_term_is_defined_once(repo: &Repo) -> Findings {
    let Some(text) = repo.text(GLOSSARY) else {
        return Findings::note(format!("{GLOSSARY} does not exist yet: terms not checked"));
    };
    let mut seen = BTreeSet::new();
    let terms =
        markdown::lines(text).flat_map(|line| terms(line.text).into_iter().map(move |term| (line.number, term)));
    let twice = terms.filter(|(_, term)| term != "word" && !seen.insert(term.clone()));
    twice.map(|(line, term)| format!("{GLOSSARY}:{line}: {term:?} is defined a second time")).collect()
}

/// Every code that a user can meet is explained.
pub fn every_code_is_documented(repo: &Repo) -> Findings {
    let Some(text) = repo.text(ERRORS) else {
        return Findings::note(format!("{ERRORS} does not exist yet: codes not checked"));
    };
    let documented: BTreeSet<&str> = codes(text).collect();
    let sources = repo.texts_with("rs").filter(|(path, _)| path.starts_with("crates/") && path.contains("/src/"));
    let used: BTreeSet<(&str, &str)> =
        sources.flat_map(|(path, text)| codes(without_tests(text)).map(move |code| (code, path))).collect();
    let unknown = used.into_iter().filter(|(code, _)| *code != NO_SUCH_CODE && !documented.contains(code));
    unknown.map(|(code, path)| format!("{path}: {code} is not explained in {ERRORS}")).collect()
}

/// The protocol document carries the hash of the wire files that it describes: whoever changes one looks at the other.
pub fn the_protocol_describes_these_wire_files(repo: &Repo) -> Findings {
    let wire: Vec<&str> = repo.texts_with("rs").filter(|(path, _)| is_wire(path)).map(|(_, text)| text).collect();
    let Some(text) = repo.text(PROTOCOL).filter(|_| !wire.is_empty()) else {
        return Findings::note(format!("{PROTOCOL} and {WIRE} do not both exist yet: hash not checked"));
    };
    let expected = format!("wire: fnv1a64:{:016x}", fnv1a64(wire.iter().flat_map(|text| text.bytes())));
    if text.lines().any(|line| line.trim_matches(|c| "`<!-> ".contains(c)) == expected) {
        return Findings::default();
    }
    Findings::problem(format!(
        "{PROTOCOL} was written for other wire files: read both, then put the line \"{expected}\""
    ))
}

/// A row of a table defines the terms of its first cell, which commas separate; so does a line that opens with `**term**`.
fn terms(line: &str) -> Vec<String> {
    let cell = markdown::first_cell(line);
    let bold = || line.trim_start_matches(['-', ' ']).strip_prefix("**")?.split_once("**").map(|(term, _)| term);
    let names = cell.or_else(bold).unwrap_or_default().split(',');
    names.map(|name| name.trim_matches(|c| "`*: ".contains(c)).to_lowercase()).filter(|name| !name.is_empty()).collect()
}

/// Words of the form `RM` and four digits.
fn codes(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| word.len() == 6 && word.starts_with("RM") && word[2..].bytes().all(|b| b.is_ascii_digit()))
}

fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text)
}

fn is_wire(path: &str) -> bool {
    path.strip_prefix(WIRE).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

/// Guards against forgetting, not against malice.
fn fnv1a64(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_is_the_published_one() {
        assert_eq!(fnv1a64("".bytes()), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a64("a".bytes()), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a64("foobar".bytes()), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_term_with_two_rows_is_found() {
        let check = |text: &str| every_term_is_defined_once(&Repo::of(&[(GLOSSARY, text)])).problems.len();
        assert_eq!(check("| word | meaning |\n|---|---|\n| node, peer | a |\n| seal | b |\n"), 0);
        assert_eq!(check("| node, peer | a |\n| **Peer** | b |\n"), 1);
        assert_eq!(check("- **dot**: a\n\n**dot** again\n"), 1);
        assert_eq!(check("| word | meaning |\n| a | b |\n\n| word | meaning |\n| c | d |\n"), 0);
    }

    #[test]
    fn a_code_without_an_explanation_is_found_outside_of_tests() {
        let check = |source: &str| {
            let repo = Repo::of(&[(ERRORS, "## RM2103 no key"), ("crates/a/src/lib.rs", source)]);
            every_code_is_documented(&repo).problems.len()
        };
        assert_eq!(check("const A: &str = \"RM2103\";"), 0);
        assert_eq!(check("const A: &str = \"error[RM2104]\";"), 1);
        assert_eq!(check("RM21 RM21045 FORM2104 RM9999"), 0);
        assert_eq!(check("a\n#[cfg(test)]\nmod tests {\n \"RM1234\"\n}"), 0);
    }

    #[test]
    fn a_changed_wire_file_makes_the_protocol_stale() {
        let check = |protocol: &str, wire: &str| {
            let files = [(PROTOCOL, protocol), ("crates/rowmesh-core/src/wire/v1.rs", wire)];
            the_protocol_describes_these_wire_files(&Repo::of(&files)).problems
        };
        assert!(check("wire: fnv1a64:85944171f73967e8\n", "foobar").is_empty());
        assert!(check("`wire: fnv1a64:85944171f73967e8`\n", "foobar").is_empty());
        let problems = check("wire: fnv1a64:85944171f73967e8\n", "a");
        assert!(problems[0].contains("\"wire: fnv1a64:af63dc4c8601ec8c\""), "{problems:?}");
    }

    #[test]
    fn missing_documents_are_told_and_no_failure() {
        for check in [every_term_is_defined_once, every_code_is_documented, the_protocol_describes_these_wire_files] {
            let findings = check(&Repo::of(&[]));
            assert_eq!((findings.problems.len(), findings.notes.len()), (0, 1));
        }
    }
}
