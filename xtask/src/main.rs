//! `cargo xtask`: everything that a person or the CI runs on this repository. Uses the standard library only, so that it builds in seconds.
//! Nothing here is part of the product, and nothing of the product is linked in: the tools are run, not called.

mod arrows;
mod bench;
mod ci;
mod command;
mod deny;
mod findings;
mod json;
mod licence;
mod licences;
mod markdown;
mod metadata;
mod policy;
mod repo;
mod servers;
mod setup;
mod steps;
mod tally;
mod test;
mod tidy;

use std::process::ExitCode;

use repo::Repo;

const HELP: &str = "\
cargo xtask test [NAME…]          set up, then run every test (or only the steps whose name contains NAME)
cargo xtask test --postgres 14,16 run the tests of rowmesh-postgres on these versions, fetched with npm
cargo xtask ci [--without-tests]  what the CI runs: format, tidy, arrows, deny, clippy, wasm32, then the tests
cargo xtask tidy                  check what no compiler checks: docs, paths, hazards, leftovers
cargo xtask arrows                check who depends on whom
cargo xtask deny                  check licences, sources and banned crates of all dependencies
cargo xtask licences              write the list of linked packages that `rowmesh version --licenses` prints
cargo xtask bench [ARG…]          build and run the benchmark
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = args.split_first() else {
        print!("{HELP}");
        return ExitCode::from(2);
    };
    let done = Repo::here().and_then(|repo| run(&repo, name, rest));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well; an error where it could not even be tried.
fn run(repo: &Repo, name: &str, args: &[String]) -> Result<bool, String> {
    match (name, args) {
        ("test", [flag, versions]) if flag == "--postgres" => test::run_on_servers(repo, versions),
        ("test", names) => test::run(repo, names),
        ("ci", []) => ci::run(repo, true),
        ("ci", [flag]) if flag == "--without-tests" => ci::run(repo, false),
        ("tidy", []) => Ok(tidy::check(repo).print("tidy")),
        ("arrows", []) => Ok(arrows::check(repo).print("arrows")),
        ("deny", []) => Ok(deny::check(repo).print("deny")),
        ("licences", []) => licences::write(repo),
        ("bench", args) => bench::run(repo, args),
        ("help" | "--help" | "-h", _) => {
            print!("{HELP}");
            Ok(true)
        }
        _ => Err(format!("no such command: {name} {}\n\n{HELP}", args.join(" "))),
    }
}
