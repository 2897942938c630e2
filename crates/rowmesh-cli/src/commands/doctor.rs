//! `rowmesh doctor`: what this program can check by itself, and what the running node finds.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rowmesh::control::api::{Answer, Check, Question};
use rowmesh::setup;
use serde_json::json;

use crate::args::Doctor;
use crate::config::{Config, database};
use crate::context::{Context, unexpected};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::nodes::{Place, Remembered};
use crate::render;

/// Checks everything. A node that does not run is a finding, not an error.
pub fn doctor(context: &Context, arguments: &Doctor) -> Outcome<Exit> {
    let place = context.place()?;
    let mut checks = local(&context.config, &place);
    match context.ask_at(&place, &Question::Doctor { fix: arguments.fix }) {
        Ok(Answer::Checks { checks: found }) => checks.extend(found),
        Ok(other) => return Err(unexpected(&other)),
        Err(failure) => {
            let start = format!("rowmesh run {}", place.flag(&context.config));
            checks.push(check("error", &failure.code, &failure.message, &start));
        }
    }
    let broken = checks.iter().any(|check| check.verdict == "error");
    context.talk.result(&json!({ "checks": checks }), || render::doctor::checks(&checks, context.talk.out))?;
    Ok(if broken { Exit::Attention } else { Exit::Done })
}

fn local(config: &Config, place: &Place) -> Vec<Check> {
    let mut checks = vec![check("ok", "", &format!("rowmesh {}", env!("CARGO_PKG_VERSION")), "")];
    checks.push(folder(&place.folder));
    if let Some(remembered) = &place.remembered {
        checks.push(database(config, remembered, &place.folder));
    }
    checks
}

fn folder(folder: &Path) -> Check {
    match std::fs::metadata(folder) {
        Err(error) => check("error", "RM8201", &format!("folder {}: {error}", folder.display()), ""),
        Ok(found) if found.permissions().mode() & 0o022 != 0 => {
            let text = format!("folder {} can be written by other users", folder.display());
            check("error", "RM4121", &text, &format!("chmod 700 {}", folder.display()))
        }
        Ok(_) => check("ok", "", &format!("folder {}", folder.display()), ""),
    }
}

/// The same look as that of a start, so that both give the same code for the same fault.
fn database(config: &Config, remembered: &Remembered, folder: &Path) -> Check {
    let database = database::remembered(config, remembered.database.clone(), folder.to_owned());
    match database.and_then(|database| setup::check(&database.place.reveal())) {
        Ok(()) => check("ok", "", &format!("database {}", remembered.database), ""),
        Err(failure) => {
            let remedy = failure.hints.first();
            let command = remedy.map(|hint| if hint.command.is_empty() { &hint.text } else { &hint.command });
            check("error", &failure.code, &failure.message, command.map_or("", String::as_str))
        }
    }
}

fn check(verdict: &str, code: &str, text: &str, command: &str) -> Check {
    Check { verdict: verdict.into(), text: text.into(), code: code.into(), command: command.into() }
}
