//! Runs other programs. Knows nothing of what they are for.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::repo::Repo;

/// What `cargo run` told *us* about our own package: build scripts that watch these variables would run again for nothing.
const CARGO_RUN_VARS: [&str; 7] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_RUSTC_CURRENT_DIR",
    "OUT_DIR",
];

/// A command of cargo, the same cargo that runs us, in the root of the repository.
pub fn cargo<S: AsRef<str>>(repo: &Repo, args: &[S]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&repo.root).args(args.iter().map(AsRef::as_ref)).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let foreign = name.to_str().is_some_and(|n| CARGO_RUN_VARS.contains(&n) || n.starts_with("CARGO_PKG_"));
        if foreign {
            command.env_remove(name);
        }
    }
    command
}

/// Output of a command that must succeed.
///
/// # Errors
/// It could not be started, failed, or wrote something else than text.
pub fn output(mut command: Command) -> Result<String, String> {
    let name = describe(&command);
    let output = command.output().map_err(|e| format!("start {name}: {e}"))?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{name} failed ({}): {}", output.status, reason.trim()));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{name} wrote something else than text"))
}

/// Runs a command with all its output going to a file; returns whether it succeeded, and what it wrote.
///
/// # Errors
/// It could not be started, or the file not be written.
pub fn logged(mut command: Command, log: &Path) -> Result<(bool, String), String> {
    let at_log = |e: std::io::Error| format!("write {}: {e}", log.display());
    fs::create_dir_all(log.parent().unwrap_or(log)).map_err(at_log)?;
    let file = File::create(log).map_err(at_log)?;
    command.stderr(file.try_clone().map_err(at_log)?).stdout(file);
    let status = command.status().map_err(|e| format!("start {}: {e}", describe(&command)))?;
    let written = fs::read(log).map_err(|e| format!("read {}: {e}", log.display()))?;
    Ok((status.success(), String::from_utf8_lossy(&written).into_owned()))
}

/// Whether a program is installed and answers to these arguments.
pub fn answers(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Where a step's output goes.
pub fn log_path(repo: &Repo, step: &str) -> PathBuf {
    target_folder(repo).join("xtask").join(step.replace(' ', "-") + ".log")
}

/// Where cargo builds.
pub fn target_folder(repo: &Repo) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo.root.join("target"), |folder| repo.root.join(folder))
}

/// As one would type it.
pub fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args()).map(|word| word.to_string_lossy());
    words.collect::<Vec<_>>().join(" ")
}
