//! Makes sure that the programs which building and testing need are there. Installs Debian packages as root; otherwise says what to install.
//! Rust itself, and a C compiler to link this very program, are `.ci/run`'s business: without them nothing here runs.

use std::path::PathBuf;
use std::process::Command;

use crate::command::{answers, output};

/// A program that must answer, and where it comes from.
struct Tool {
    program: &'static str,
    /// Whether it is there and answers at once.
    answers: fn() -> bool,
    debian_package: &'static str,
    needed_for: &'static str,
}

/// Add a row for a program that a test starts.
const TOOLS: &[Tool] = &[
    Tool {
        program: "cc",
        answers: || answers("cc", &["--version"]),
        debian_package: "build-essential",
        needed_for: "the C parts of SQLite, zstd and ring",
    },
    Tool {
        program: "the PostgreSQL server",
        answers: has_postgres,
        debian_package: "postgresql",
        needed_for: "the tests of rowmesh-postgres, which start servers of their own",
    },
    Tool {
        program: "pgbouncer",
        answers: || answers("/usr/sbin/pgbouncer", &["--version"]) || answers("pgbouncer", &["--version"]),
        debian_package: "pgbouncer",
        needed_for: "the tests of rowmesh-postgres behind a pooler",
    },
];

/// Installs what is missing.
///
/// # Errors
/// Something is missing and cannot be installed; says what to do.
pub fn run() -> Result<(), String> {
    let missing: Vec<&Tool> = TOOLS.iter().filter(|tool| !is_present(tool)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.debian_package).collect();
    for tool in &missing {
        println!("setup: {} is missing, needed for {}", tool.program, tool.needed_for);
    }
    if !can_install() {
        return Err(format!("install them first: sudo apt-get install {}", packages.join(" ")));
    }
    install(&packages)?;
    match missing.iter().find(|tool| !is_present(tool)) {
        Some(tool) => Err(format!("{} is still missing after installing {}", tool.program, tool.debian_package)),
        None => Ok(()),
    }
}

fn is_present(tool: &Tool) -> bool {
    (tool.answers)()
}

/// Debian keeps the server's programs out of the search path, those of each version in a folder of its own.
fn has_postgres() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    let mut config = Command::new("pg_config");
    config.arg("--bindir");
    folders.extend(output(config).ok().map(|folder| PathBuf::from(folder.trim())));
    folders.iter().any(|folder| answers(&folder.join("initdb").to_string_lossy(), &["--version"]))
}

fn can_install() -> bool {
    let mut id = Command::new("id");
    id.arg("-u");
    output(id).is_ok_and(|uid| uid.trim() == "0") && answers("apt-get", &["--version"])
}

fn install(packages: &[&str]) -> Result<(), String> {
    println!("setup: installing {}", packages.join(" "));
    apt_get(&["update"])?;
    let mut args = vec!["install", "--yes", "--no-install-recommends"];
    args.extend(packages);
    apt_get(&args)
}

fn apt_get(args: &[&str]) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    output(command).map(|_| ())
}
