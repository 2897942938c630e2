//! `cargo xtask ci`: the checks that a change must pass besides its tests, cheapest first, ending at the first failure. The tests are in `test.rs`.

use std::path::Path;
use std::process::Command;

use crate::command::{answers, output};
use crate::repo::Repo;
use crate::steps::{self, AfterFailure, Step, Work};
use crate::{arrows, deny, setup, test, tidy};

const WASM: &str = "wasm32-unknown-unknown";

/// Runs the checks and, if they pass and are asked for, the tests.
///
/// # Errors
/// A needed program is missing.
pub fn run(repo: &Repo, with_tests: bool) -> Result<bool, String> {
    setup::run()?;
    let report = steps::run(repo, &steps(), AfterFailure::Stop);
    if !report.is_success() {
        println!("check failed: {}", report.failed_steps.join(", "));
        return Ok(false);
    }
    println!("all checks passed");
    if with_tests { test::run(repo, &[]) } else { Ok(true) }
}

fn steps() -> Vec<Step> {
    vec![
        Step {
            name: "format",
            proves: "one layout, nothing to argue about",
            work: Work::Cargo(vec!["fmt", "--all", "--check"]),
        },
        Step { name: "tidy", proves: "docs say what the code is", work: Work::Check(tidy::check) },
        Step {
            name: "arrows",
            proves: "dependencies point the way of docs/architecture.md",
            work: Work::Check(arrows::check),
        },
        Step {
            name: "deny",
            proves: "licences, sources, banned crates, one TLS stack",
            work: Work::Check(deny::check),
        },
        Step {
            name: "clippy",
            proves: "no warnings; core calls no clock, dice, files, net or threads",
            work: Work::Cargo(vec![
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ]),
        },
        Step { name: "wasm32", proves: "core compiles where there is no operating system", work: wasm() },
    ]
}

/// Core's C dependency (zstd) needs clang for this target, beside the target itself.
fn wasm() -> Work {
    if !is_target_installed(WASM) {
        return Work::Skip(format!("target {WASM} is not installed: rustup target add {WASM}"));
    }
    if !answers("clang", &["--version"]) {
        return Work::Skip("clang is not installed, zstd needs it to compile for wasm32: apt-get install clang".into());
    }
    Work::Cargo(vec!["check", "--package", "rowmesh-core", "--target", WASM, "--locked", "--quiet"])
}

fn is_target_installed(target: &str) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", target]);
    output(rustc).is_ok_and(|dir| Path::new(dir.trim()).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_nobody_has_is_not_installed() {
        assert!(!is_target_installed("no-such-target"));
    }
}
