//! Runs a table of steps: one line per step with its time, the whole output of those that fail. What the steps are is decided elsewhere.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::command;
use crate::findings::Findings;
use crate::repo::Repo;
use crate::tally::Tally;

/// One row of the table.
pub struct Step {
    /// Short, lower case, unique in its table; `cargo xtask test NAME` chooses by it.
    pub name: &'static str,
    /// What we know once it has passed.
    pub proves: &'static str,
    /// How it is done.
    pub work: Work,
}

/// The ways to do a step.
pub enum Work {
    /// A command of cargo that must succeed. Nothing after it makes sense if it fails.
    Build(Vec<&'static str>),
    /// A command of cargo that must succeed, and that must say how many tests it ran.
    Tests(Vec<&'static str>),
    /// The same on something else than usual.
    TestsOn(Vec<&'static str>, Surroundings),
    /// A command of cargo that must succeed.
    Cargo(Vec<&'static str>),
    /// A check of our own.
    Check(fn(&Repo) -> Findings),
    /// Cannot be done on this machine, for this reason.
    Skip(String),
}

/// What tests find out about from outside.
pub struct Surroundings {
    /// Variables, with their values.
    pub variables: Vec<(&'static str, PathBuf)>,
    /// A file to which tests add a line for whatever they could not test there. Its lines are shown.
    pub untested: PathBuf,
}

/// What to do after a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// The first failure ends the run.
    Stop,
    /// The steps do not depend on each other: run them all.
    GoOn,
}

/// How a run went.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Report {
    /// Names of the steps that failed.
    pub failed_steps: Vec<&'static str>,
    /// Tests that the runners reported. A step that fails without naming a failed test counts as one.
    pub tests: Tally,
}

/// Runs the steps in order.
pub fn run(repo: &Repo, steps: &[Step], after_failure: AfterFailure) -> Report {
    let width = steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    let mut report = Report::default();
    for step in steps {
        print!("{:width$}  ", step.name);
        let _ = std::io::stdout().flush();
        let start = Instant::now();
        let outcome = perform(repo, step);
        println!("{:<7}{:>7.1} s  {}", outcome.word(), start.elapsed().as_secs_f64(), outcome.remark(step));
        outcome.print_details();
        report.add(step.name, &outcome);
        let ends = after_failure == AfterFailure::Stop || matches!(step.work, Work::Build(_));
        if ends && outcome.is_failure() {
            break;
        }
    }
    report
}

impl Report {
    /// Whether every step passed.
    pub fn is_success(&self) -> bool {
        self.failed_steps.is_empty() && self.tests.failed == 0
    }

    fn add(&mut self, name: &'static str, outcome: &Outcome) {
        let mut tests = outcome.tests().unwrap_or_default();
        if outcome.is_failure() {
            self.failed_steps.push(name);
            tests.failed = tests.failed.max(1);
        }
        self.tests += tests;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed { tests: Option<Tally>, notes: String },
    Failed { tests: Option<Tally>, details: String },
    Skipped { reason: String },
}

fn perform(repo: &Repo, step: &Step) -> Outcome {
    match &step.work {
        Work::Build(args) | Work::Cargo(args) => run_cargo(repo, step.name, command::cargo(repo, args), false),
        Work::Tests(args) => run_cargo(repo, step.name, command::cargo(repo, args), true),
        Work::TestsOn(args, surroundings) => run_elsewhere(repo, step.name, args, surroundings),
        Work::Check(check) => judge_findings(&check(repo)),
        Work::Skip(reason) => Outcome::Skipped { reason: reason.clone() },
    }
}

fn run_elsewhere(repo: &Repo, name: &str, args: &[&str], surroundings: &Surroundings) -> Outcome {
    let _ = std::fs::remove_file(&surroundings.untested);
    let mut command = command::cargo(repo, args);
    command.envs(surroundings.variables.iter().map(|(name, value)| (name, value)));
    let outcome = run_cargo(repo, name, command, true);
    // There is no file where nothing was left out.
    let untested = std::fs::read_to_string(&surroundings.untested).unwrap_or_default();
    match outcome {
        Outcome::Passed { tests, notes } => Outcome::Passed { tests, notes: notes + &untested },
        Outcome::Failed { tests, details } => Outcome::Failed { tests, details: details + "\n" + &untested },
        skipped => skipped,
    }
}

fn run_cargo(repo: &Repo, name: &str, command: Command, counts_tests: bool) -> Outcome {
    let title = command::describe(&command);
    match command::logged(command, &command::log_path(repo, name)) {
        Ok((success, output)) => judge_output(&title, success, &output, counts_tests),
        Err(details) => Outcome::Failed { tests: None, details },
    }
}

/// A runner that succeeds without saying how many tests it ran may have run none: that is a failure too.
fn judge_output(title: &str, success: bool, output: &str, counts_tests: bool) -> Outcome {
    let tests = if counts_tests { Tally::read(output) } else { None };
    let silent = counts_tests && tests.is_none();
    if success && !silent && tests.unwrap_or_default().failed == 0 {
        return Outcome::Passed { tests, notes: String::new() };
    }
    let reason = if success && silent { "\nthe runner did not say how many tests it ran\n" } else { "" };
    Outcome::Failed { tests, details: format!("$ {title}\n{}{reason}", output.trim_end()) }
}

fn judge_findings(findings: &Findings) -> Outcome {
    if findings.is_clean() {
        return Outcome::Passed { tests: None, notes: findings.render() };
    }
    Outcome::Failed { tests: None, details: findings.render() }
}

impl Outcome {
    fn is_failure(&self) -> bool {
        matches!(self, Outcome::Failed { .. })
    }

    fn tests(&self) -> Option<Tally> {
        match self {
            Outcome::Passed { tests, .. } | Outcome::Failed { tests, .. } => *tests,
            Outcome::Skipped { .. } => None,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Outcome::Passed { .. } => "ok",
            Outcome::Failed { .. } => "FAILED",
            Outcome::Skipped { .. } => "skipped",
        }
    }

    fn remark(&self, step: &Step) -> String {
        match (self, self.tests()) {
            (Outcome::Skipped { reason }, _) => reason.clone(),
            (_, Some(tests)) => format!("{} ({} passed, {} failed)", step.proves, tests.passed, tests.failed),
            (_, None) => step.proves.to_string(),
        }
    }

    fn print_details(&self) {
        let text = match self {
            Outcome::Passed { notes, .. } => notes,
            Outcome::Failed { details, .. } => details,
            Outcome::Skipped { .. } => return,
        };
        for line in text.lines() {
            println!("    {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARY: &str = "     Summary [ 0.1s] 2 tests run: 2 passed, 0 skipped";

    #[test]
    fn a_runner_that_reports_nothing_has_not_passed() {
        assert!(!judge_output("t", true, SUMMARY, true).is_failure());
        assert!(judge_output("t", true, "nothing to do", true).is_failure());
        assert!(!judge_output("t", true, "nothing to do", false).is_failure());
    }

    #[test]
    fn exit_code_and_counts_must_both_be_good() {
        assert!(judge_output("t", false, SUMMARY, true).is_failure());
        assert!(judge_output("t", true, "1 passed, 1 failed", true).is_failure());
    }

    #[test]
    fn a_step_that_fails_without_a_failed_test_counts_as_one() {
        let mut report = Report::default();
        report.add("unit", &judge_output("t", true, SUMMARY, true));
        report.add("doc", &judge_output("t", false, "error: could not compile", true));
        assert_eq!(report.tests, Tally { passed: 2, failed: 1 });
        assert_eq!(report.failed_steps, ["doc"]);
        assert!(!report.is_success());
    }

    #[test]
    fn steps_after_a_failed_build_do_not_run() {
        let repo = Repo::of(&[]);
        let broken = || Work::Check(|_| Findings::problem("broken"));
        let step = |name, work| Step { name, proves: "", work };
        let steps = [step("a", broken()), step("b", broken())];
        assert_eq!(run(&repo, &steps, AfterFailure::GoOn).failed_steps, ["a", "b"]);
        assert_eq!(run(&repo, &steps, AfterFailure::Stop).failed_steps, ["a"]);
        let steps = [step("build", Work::Build(vec!["no-such-command"])), step("b", broken())];
        assert_eq!(run(&repo, &steps, AfterFailure::GoOn).failed_steps, ["build"]);
    }
}
