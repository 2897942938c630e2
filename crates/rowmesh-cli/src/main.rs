//! The command `rowmesh`: reads the command line, runs one command, ends with its exit code. What the program knows of databases and
//! networks it knows from crate `rowmesh`; here it only talks.

mod args;
mod commands;
mod config;
mod context;
mod demo;
mod exit;
mod explain;
mod failure;
mod nodes;
mod paint;
mod paths;
mod render;
mod talk;
mod units;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::Cli;
use crate::exit::Exit;
use crate::talk::Talk;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error).into(),
    };
    let talk = Talk::new(&cli.everywhere);
    match commands::run(talk, &cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            talk.fail(&failure);
            Exit::of(&failure).into()
        }
    }
}

/// Help and version are answers; everything else is wrong usage, told as JSON where JSON was asked for.
fn usage(error: &clap::Error) -> Exit {
    let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if is_answer || !std::env::args().any(|argument| argument == "--json") {
        let _ = error.print();
        return if is_answer { Exit::Done } else { Exit::Usage };
    }
    let text = error.render().to_string();
    let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let failure = failure::failure("RM1001", message).hint("What there is:", "rowmesh --help");
    let document = serde_json::to_string_pretty(&failure::to_json(&failure)).unwrap_or_default();
    println!("{document}");
    Exit::Usage
}
