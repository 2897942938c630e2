//! `cargo xtask bench`: finds the benchmark program and runs it optimised. What is measured is that program's business.

use crate::command;
use crate::metadata::Graph;
use crate::repo::Repo;

const PROGRAM: &str = "bench";

/// Builds and runs the benchmark with its output on the screen; returns whether it succeeded.
///
/// # Errors
/// There is no such program, or it could not be started.
pub fn run(repo: &Repo, args: &[String]) -> Result<bool, String> {
    let graph = Graph::load(repo)?;
    let Some(package) = graph.members().find(|package| package.programs.iter().any(|name| name == PROGRAM)) else {
        return Err(format!("no crate of the workspace has a program named {PROGRAM:?} yet"));
    };
    let mut command =
        command::cargo(repo, &["run", "--release", "--locked", "--package", &package.name, "--bin", PROGRAM, "--"]);
    command.args(args);
    let status = command.status().map_err(|e| format!("start {}: {e}", command::describe(&command)))?;
    Ok(status.success())
}
