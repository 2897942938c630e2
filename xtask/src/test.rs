//! `cargo xtask test`: the table of everything that is tested. Checks of style and dependencies are in `ci.rs`.

use crate::command::answers;
use crate::repo::Repo;
use crate::setup;
use crate::steps::{self, AfterFailure, Step, Work};

/// Sets up, then runs all steps, or those whose name contains one of `names`. The last line is `N passed, N failed`.
///
/// # Errors
/// A needed program is missing, or no step has such a name.
pub fn run(repo: &Repo, names: &[String]) -> Result<bool, String> {
    setup::run()?;
    let steps: Vec<Step> = steps().into_iter().filter(|step| is_chosen(step.name, names)).collect();
    if steps.is_empty() {
        return Err(format!("no step is named {}; there are: {}", names.join(" "), step_names()));
    }
    let report = steps::run(repo, &steps, AfterFailure::GoOn);
    if !report.failed_steps.is_empty() {
        println!("failed: {}", report.failed_steps.join(", "));
    }
    println!("{} passed, {} failed", report.tests.passed, report.tests.failed);
    Ok(report.is_success())
}

/// Add a row for a new kind of test. `Work::Tests` needs a program that ends with a line `N passed, N failed`; for example:
/// `Work::Tests(vec!["run", "--locked", "--package", "rowmesh-sim", "--bin", "rowmesh-sim", "--", "--seeds", "500"])`.
fn steps() -> Vec<Step> {
    vec![
        Step {
            name: "build",
            proves: "all crates and their tests compile",
            work: Work::Build(vec!["test", "--workspace", "--locked", "--no-run"]),
        },
        Step { name: "tests", proves: "unit and integration tests of all crates", work: Work::Tests(runner()) },
        Step {
            name: "doc tests",
            proves: "the examples in the documentation run",
            work: Work::Tests(vec!["test", "--workspace", "--locked", "--doc"]),
        },
    ]
}

/// cargo-nextest where it is installed: one process per test, and a limit on its time.
fn runner() -> Vec<&'static str> {
    if answers("cargo-nextest", &["nextest", "--version"]) {
        return vec!["nextest", "run", "--workspace", "--locked", "--profile", "ci"];
    }
    vec!["test", "--workspace", "--locked", "--no-fail-fast", "--lib", "--bins", "--tests", "--examples"]
}

fn is_chosen(step: &str, names: &[String]) -> bool {
    names.is_empty() || names.iter().any(|name| step.contains(name.as_str()))
}

fn step_names() -> String {
    steps().iter().map(|step| step.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_names_every_step_is_chosen() {
        assert!(is_chosen("doc tests", &[]));
        assert!(is_chosen("doc tests", &["build".into(), "doc".into()]));
        assert!(!is_chosen("doc tests", &["build".into()]));
    }

    #[test]
    fn step_names_are_unique() {
        let mut names: Vec<_> = steps().iter().map(|step| step.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
