//! `cargo xtask test`: the table of everything that is tested. Checks of style and dependencies are in `ci.rs`.

use crate::command::{self, answers};
use crate::repo::Repo;
use crate::servers::{self, SERVERS, Server};
use crate::setup;
use crate::steps::{self, AfterFailure, Step, Surroundings, Work};

/// Sets up, then runs all steps, or those whose name contains one of `names`. The last line is `N passed, N failed`.
///
/// # Errors
/// A needed program is missing, or no step has such a name.
pub fn run(repo: &Repo, names: &[String]) -> Result<bool, String> {
    setup::run()?;
    let mut steps: Vec<Step> = steps().into_iter().filter(|step| is_chosen(step.name, names)).collect();
    let servers = SERVERS.iter().filter(|server| server.always && is_chosen(server.step, names));
    steps.extend(servers.map(|server| on_server(repo, server).unwrap_or_else(|reason| skipped(server, reason))));
    if steps.is_empty() {
        return Err(format!("no step is named {}; there are: {}", names.join(" "), step_names().join(", ")));
    }
    Ok(run_all(repo, &steps))
}

/// Runs the tests of rowmesh-postgres on servers of these versions, a list as in `14,16`.
///
/// # Errors
/// A needed program is missing, no version is named so, or a server cannot be fetched.
pub fn run_on_servers(repo: &Repo, versions: &str) -> Result<bool, String> {
    setup::run()?;
    let servers = servers::listed(versions)?;
    let steps = servers.into_iter().map(|server| on_server(repo, server)).collect::<Result<Vec<Step>, String>>()?;
    Ok(run_all(repo, &steps))
}

fn run_all(repo: &Repo, steps: &[Step]) -> bool {
    let report = steps::run(repo, steps, AfterFailure::GoOn);
    if !report.failed_steps.is_empty() {
        println!("failed: {}", report.failed_steps.join(", "));
    }
    println!("{} passed, {} failed", report.tests.passed, report.tests.failed);
    report.is_success()
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

/// The tests of rowmesh-postgres with another server than the installed one.
fn on_server(repo: &Repo, server: &Server) -> Result<Step, String> {
    let untested = command::log_path(repo, &format!("{} untested", server.step));
    let variables =
        vec![("ROWMESH_TEST_POSTGRES", servers::fetch(repo, server)?), ("ROWMESH_TEST_UNTESTED", untested.clone())];
    let work = Work::TestsOn(server_runner(), Surroundings { variables, untested });
    Ok(Step { name: server.step, proves: server.proves, work })
}

/// What every run does besides is worth having without it: no network is no failure.
fn skipped(server: &Server, reason: String) -> Step {
    Step { name: server.step, proves: server.proves, work: Work::Skip(format!("NOT TESTED on it: {reason}")) }
}

/// Of the whole workspace, as [`runner`] does, so that nothing is built again. What a store that is restarted again and again proves does not hang on
/// the server's version.
fn server_runner() -> Vec<&'static str> {
    if has_nextest() {
        let tests = "binary_id(rowmesh-postgres::it) - test(contract::restarted::)";
        return vec!["nextest", "run", "--workspace", "--locked", "--profile", "ci", "--filterset", tests];
    }
    vec!["test", "--package", "rowmesh-postgres", "--locked", "--no-fail-fast", "--test", "it"]
}

/// cargo-nextest where it is installed: one process per test, and a limit on its time.
fn runner() -> Vec<&'static str> {
    if has_nextest() {
        return vec!["nextest", "run", "--workspace", "--locked", "--profile", "ci"];
    }
    vec!["test", "--workspace", "--locked", "--no-fail-fast", "--lib", "--bins", "--tests", "--examples"]
}

fn has_nextest() -> bool {
    answers("cargo-nextest", &["nextest", "--version"])
}

fn is_chosen(step: &str, names: &[String]) -> bool {
    names.is_empty() || names.iter().any(|name| step.contains(name.as_str()))
}

fn step_names() -> Vec<&'static str> {
    let servers = SERVERS.iter().filter(|server| server.always).map(|server| server.step);
    steps().iter().map(|step| step.name).chain(servers).collect()
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
        let mut names = step_names();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
