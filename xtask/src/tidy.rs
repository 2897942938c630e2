//! `cargo xtask tidy`: what no compiler checks. Each check is a function of the repository's text; it mends nothing.

mod architecture;
mod hazards;
mod links;
mod named_tests;
mod sources;
mod storage;
mod words;

use crate::findings::Findings;
use crate::repo::Repo;

const CHECKS: &[fn(&Repo) -> Findings] = &[
    sources::every_file_says_what_it_is,
    sources::nothing_is_left_over,
    sources::nothing_names_this_machine,
    sources::only_the_public_registry_is_named,
    architecture::every_path_exists,
    architecture::every_crate_is_on_the_map,
    links::every_link_resolves,
    words::every_term_is_defined_once,
    words::every_code_is_documented,
    words::the_protocol_describes_these_wire_files,
    hazards::every_implemented_hazard_has_a_test,
    named_tests::every_named_test_exists,
    storage::every_table_and_column_is_told,
];

/// Runs all checks.
pub fn check(repo: &Repo) -> Findings {
    CHECKS.iter().fold(Findings::default(), |mut all, check| {
        all.join(check(repo));
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        let findings = check(&Repo::here().expect("readable repository"));
        assert!(findings.is_clean(), "\n{}", findings.render());
    }
}
